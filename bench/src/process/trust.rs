//! Owns the trust of clients in a server that is reached over TLS.

use corecast::{TlsClient, TlsClientFiles};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Trust in one certificate: for clients of our own library, and for raw ones.
#[derive(Clone, Debug)]
pub struct Trust {
    library: TlsClient,
    raw: Arc<ClientConfig>,
}

impl Trust {
    /// Trust in the certificate of this file.
    pub fn of(file: &Path) -> io::Result<Self> {
        let files = TlsClientFiles::default().ca(Some(file.to_owned()));
        let library = files.read().map_err(io::Error::other)?.expect("a file is given");
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(file).map_err(io::Error::other)?)
            .map_err(io::Error::other)?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?;
        let mut raw = builder.with_root_certificates(roots).with_no_client_auth();
        // As our library: each connection is a whole handshake.
        raw.resumption = Resumption::disabled();
        Ok(Trust { library, raw: Arc::new(raw) })
    }

    /// The trust of clients of our own library.
    pub fn library(&self) -> TlsClient {
        self.library.clone()
    }

    /// The trust of raw clients.
    pub fn raw(&self) -> Arc<ClientConfig> {
        self.raw.clone()
    }
}

/// The cryptography of the raw clients and of the floor: the cipher that comes first is that of our library and of
/// nats-server, and redis-server takes what its client prefers, so that everybody encrypts alike.
pub(super) fn provider() -> Arc<CryptoProvider> {
    let mut provider = default_provider();
    provider.cipher_suites.retain(|suite| *suite != cipher_suite::TLS13_AES_128_GCM_SHA256);
    provider.cipher_suites.insert(0, cipher_suite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}
