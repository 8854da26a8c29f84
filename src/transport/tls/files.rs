//! The options of TLS: files of certificates and keys, for listeners and for connections that are made. Each is read when
//! its configuration is: before anything listens or connects, and never on an executor.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::fingerprint::Fingerprint;
use crate::config::{FilePath, One, Optional, Plain};

configuration! {
    /// Files of the certificate of `tls://` listeners, and of the authorities of client certificates.
    #[derive(Clone, PartialEq, Eq, Hash, Debug)]
    #[non_exhaustive]
    pub struct TlsServerFiles {
        /// Certificate of tls:// listeners, and those between it and its authority: a PEM file.
        tls_cert (into): Option<PathBuf> = None, option("tls-cert", "FILE", Optional<FilePath>);

        /// Private key of --tls-cert: a PEM file that not everybody on this host may read [default: the file of
        /// --tls-cert].
        tls_key (into): Option<PathBuf> = None, option("tls-key", "FILE", Optional<FilePath>);

        /// Authorities of client certificates: a PEM file. Without it none is asked for.
        tls_client_ca (into): Option<PathBuf> = None, option("tls-client-ca", "FILE", Optional<FilePath>);

        /// With --tls-client-ca, whether clients must show a certificate: required or optional.
        tls_clients: ClientCertificates = ClientCertificates::default(), option("tls-clients", "POLICY", One<Plain>);
    }
}

configuration! {
    /// Files by which a client trusts the other ends of `tls://` connections, and of its own certificate.
    #[derive(Clone, PartialEq, Eq, Hash, Debug)]
    #[non_exhaustive]
    pub struct TlsClientFiles {
        /// tls://: authorities to trust, a PEM file [default: those that this host trusts].
        ca (into): Option<PathBuf> = None, option("ca", "FILE", Optional<FilePath>);

        /// tls://: trust the one certificate with this fingerprint, sha256:HEX, whatever its authority, names and dates.
        pin (into): Option<Fingerprint> = None, option("pin", "FINGERPRINT", Optional<Plain>);

        /// tls://: certificate of this client: a PEM file.
        cert (into): Option<PathBuf> = None, option("cert", "FILE", Optional<FilePath>);

        /// tls://: private key of --cert: a PEM file that not everybody on this host may read [default: the file of --cert].
        key (into): Option<PathBuf> = None, option("key", "FILE", Optional<FilePath>);
    }
}

/// The rule of who must show a client certificate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum ClientCertificates {
    /// Every client.
    #[default]
    Required,
    /// Nobody, but a certificate that is shown must be of one of the authorities.
    Optional,
}

impl fmt::Display for ClientCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ClientCertificates::Required => "required",
            ClientCertificates::Optional => "optional",
        })
    }
}

impl FromStr for ClientCertificates {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "required" => Ok(ClientCertificates::Required),
            "optional" => Ok(ClientCertificates::Optional),
            _ => Err("client certificates are required or optional".to_owned()),
        }
    }
}
