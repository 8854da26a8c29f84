//! Owns the arguments by which a client finds its broker and trusts it: the same for `pub`, `sub` and `registry`.

use clap::Args;

use super::Failure;
use super::core_dumps::forbid_core_dumps;
use super::settings::Settings;
use crate::{ClientConfig, TlsClientFiles};

#[derive(Args, Clone, Debug)]
pub(super) struct ClientArgs {
    #[command(flatten)]
    client: Settings<ClientConfig>,

    #[command(flatten)]
    trust: Settings<TlsClientFiles>,
}

impl ClientArgs {
    /// The configuration, for which the files of certificates and of the token are read now.
    ///
    /// # Errors
    /// The file that cannot be read, or does not fit.
    pub(super) fn config(self) -> Result<ClientConfig, Failure> {
        let config = self.client.with_token()?;
        let trust = self.trust.0;
        if config.token.is_some() || trust.cert.is_some() {
            forbid_core_dumps()?;
        }
        let connect = config.connect.clone().tls(trust.read()?);
        Ok(config.connect(connect))
    }
}
