//! The end that listens: its certificate, and whom it lets in.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier};

use super::certificate::CertificateFacts;
use super::files::{ClientCertificates, TlsServerFiles};
use super::fingerprint::Fingerprint;
use super::pem::{self, wrong};
use super::provider::provider;
use super::{TlsEnd, trouble};
use crate::error::{Error, ErrorKind, Result};

/// A certificate with its key, and the authorities of client certificates.
pub(super) struct ServerSide {
    config: Arc<ServerConfig>,
    facts: CertificateFacts,
    /// Everything that was read but the key, which belongs to the certificate.
    source: (Vec<Vec<u8>>, Vec<Vec<u8>>, ClientCertificates),
}

impl ServerSide {
    pub(super) fn read(cert: &Path, files: &TlsServerFiles) -> Result<Self> {
        let chain = pem::certificates("tls_cert", cert)?;
        let facts = CertificateFacts::of(&chain[0]).map_err(|why| wrong("tls_cert", cert, why))?;
        if let Some(why) = facts.why_not_of_server(SystemTime::now()) {
            return Err(wrong("tls_cert", cert, why));
        }
        let key_path = files.tls_key.as_deref().unwrap_or(cert);
        let key = pem::private_key("tls_key", key_path)?;
        let source = chain.iter().map(|certificate| certificate.to_vec()).collect();
        let builder = versions();
        let mut authorities = Vec::new();
        let builder = match &files.tls_client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for authority in pem::certificates("tls_client_ca", path)? {
                    authorities.push(authority.to_vec());
                    roots.add(authority).map_err(|e| wrong("tls_client_ca", path, trouble::in_a_file(&e)))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
                let verifier = match files.tls_clients {
                    ClientCertificates::Required => verifier,
                    ClientCertificates::Optional => verifier.allow_unauthenticated(),
                };
                let verifier = verifier.build().map_err(|e| wrong("tls_client_ca", path, e))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = builder
            .with_single_cert(chain, key)
            .map_err(|e| wrong("tls_key", key_path, trouble::in_a_file(&e)))?;
        let source = (source, authorities, files.tls_clients);
        Ok(ServerSide { config: Arc::new(without_tickets(config)), facts, source })
    }

    /// A certificate of its own, without names.
    pub(super) fn self_made() -> Result<Self> {
        let made = KeyPair::generate().and_then(|key| {
            let certificate = CertificateParams::default().self_signed(&key)?;
            Ok((certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der())))
        });
        let (certificate, key) = made.map_err(|e| {
            Error::new(ErrorKind::Io, format!("a certificate for the direct publisher cannot be made: {e}"))
        })?;
        let facts = CertificateFacts::of(&certificate).expect("it was made just now");
        let source = (vec![certificate.to_vec()], Vec::new(), ClientCertificates::default());
        let config = versions()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key.into())
            .expect("the key is that of the certificate");
        Ok(ServerSide { config: Arc::new(without_tickets(config)), facts, source })
    }

    pub(super) fn expires_at(&self) -> SystemTime {
        self.facts.ends_at
    }

    pub(super) fn names(&self) -> &[String] {
        &self.facts.names
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.facts.fingerprint
    }

    pub(super) fn end(&self) -> TlsEnd {
        TlsEnd::Server(Arc::clone(&self.config))
    }
}

fn versions() -> ConfigBuilder<ServerConfig, WantsVerifier> {
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has suites of TLS 1.3")
}

/// Session tickets of TLS would wait unread at a publisher that only writes, and reset its last messages away.
fn without_tickets(mut config: ServerConfig) -> ServerConfig {
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ignore_client_order = true;
    config
}

impl PartialEq for ServerSide {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for ServerSide {}

impl Hash for ServerSide {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.hash(state);
    }
}

/// Nothing of the key.
impl fmt::Debug for ServerSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSide")
            .field("names", &self.names())
            .field("fingerprint", &self.fingerprint())
            .finish()
    }
}
