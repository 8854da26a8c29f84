//! The end that connects: whom it trusts, and the certificate that it shows if it is asked for one.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use corecast_executors::{link, spawn_plain};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::{IpAddr as PkiAddress, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};

use super::certificate::CertificateFacts;
use super::files::TlsClientFiles;
use super::fingerprint::Fingerprint;
use super::pem::{self, wrong};
use super::pin::Pinned;
use super::provider::provider;
use super::{TlsEnd, trouble};
use crate::error::{Error, ErrorKind, Result};

/// Trust in other ends, and a certificate of this end.
pub(super) struct ClientSide {
    config: Arc<ClientConfig>,
    /// Everything that was read but the key, which belongs to the certificate.
    source: Source,
}

#[derive(PartialEq, Eq, Hash, Debug)]
struct Source {
    /// `None`: those of the host, or a fingerprint.
    authorities: Option<Vec<Vec<u8>>>,
    pin: Option<Fingerprint>,
    chain: Vec<Vec<u8>>,
}

/// Trust in the authorities that this host trusts.
static OF_SYSTEM: OnceLock<std::result::Result<Arc<ClientSide>, String>> = OnceLock::new();

impl ClientSide {
    pub(super) fn read(files: &TlsClientFiles) -> Result<Self> {
        let mut source = Source { authorities: None, pin: files.pin, chain: Vec::new() };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has suites of TLS 1.3");
        let builder = match (&files.pin, &files.ca) {
            (Some(pin), _) => {
                let verifier = Arc::new(Pinned { to: *pin, provider: provider() });
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
            (None, Some(path)) => {
                let mut roots = RootCertStore::empty();
                let mut authorities = Vec::new();
                for authority in pem::certificates("ca", path)? {
                    authorities.push(authority.to_vec());
                    roots.add(authority).map_err(|e| wrong("ca", path, trouble::in_a_file(&e)))?;
                }
                source.authorities = Some(authorities);
                builder.with_webpki_verifier(verifier(roots).map_err(|why| wrong("ca", path, why))?)
            }
            (None, None) => {
                let roots = roots_of_system().map_err(|why| Error::of_field("ca", why))?;
                builder.with_webpki_verifier(verifier(roots).map_err(|why| Error::of_field("ca", why))?)
            }
        };
        let mut config = match &files.cert {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let chain = pem::certificates("cert", path)?;
                let facts = CertificateFacts::of(&chain[0]).map_err(|why| wrong("cert", path, why))?;
                if let Some(why) = facts.why_not_of_client(SystemTime::now()) {
                    return Err(wrong("cert", path, why));
                }
                source.chain = chain.iter().map(|certificate| certificate.to_vec()).collect();
                let key_path = files.key.as_deref().unwrap_or(path);
                let key = pem::private_key("key", key_path)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|e| wrong("key", key_path, trouble::in_a_file(&e)))?
            }
        };
        // A handshake is far cheaper than a session lives long, and nothing is kept for each server.
        config.resumption = Resumption::disabled();
        Ok(ClientSide { config: Arc::new(config), source })
    }

    /// Trust in the authorities that this host trusts: read once in a process, on a thread of its own.
    pub(super) async fn of_system() -> Result<Arc<Self>> {
        if OF_SYSTEM.get().is_none() {
            let (done, mut read) = link(1);
            let begin = move || {
                OF_SYSTEM.get_or_init(|| {
                    ClientSide::read(&TlsClientFiles::default())
                        .map(Arc::new)
                        .map_err(|error| error.without_field().to_string())
                });
                // Whoever waits for it may have gone.
                let _ = done.try_send(());
            };
            spawn_plain("corecast-roots", begin).map_err(|e| Error::io("cannot start a thread", e))?;
            read.recv().await;
        }
        match OF_SYSTEM.get() {
            Some(Ok(trust)) => Ok(Arc::clone(trust)),
            Some(Err(why)) => Err(Error::of_field("ca", why.clone())),
            None => Err(Error::new(ErrorKind::Io, "the authorities of this host could not be read")),
        }
    }

    /// The configuration of rustls, for a client library that makes its own connections.
    #[cfg(feature = "nats")]
    pub(super) fn rustls_config(&self) -> ClientConfig {
        ClientConfig::clone(&self.config)
    }

    /// This end of a connection to a host.
    ///
    /// # Errors
    /// `Invalid` if no certificate could be for the host.
    pub(super) fn end(&self, host: &str) -> Result<TlsEnd> {
        // An interface is a matter of this host.
        let plain = host.split_once('%').map_or(host, |(address, _)| address);
        let name = match plain.parse::<IpAddr>() {
            Ok(ip) => ServerName::IpAddress(PkiAddress::from(ip)),
            Err(_) => ServerName::try_from(plain.to_owned()).map_err(|_| {
                Error::new(
                    ErrorKind::Invalid,
                    format!("`{plain}` is no name that a certificate could be for"),
                )
            })?,
        };
        Ok(TlsEnd::Client(Arc::clone(&self.config), name))
    }
}

fn verifier(roots: RootCertStore) -> std::result::Result<Arc<WebPkiServerVerifier>, String> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|e| e.to_string())
}

/// The authorities that this host trusts. Some that cannot be read are not missed; none at all is an error.
fn roots_of_system() -> std::result::Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(format!("this host trusts no authority{why}; give --ca FILE or --pin sha256:HEX"));
    }
    Ok(roots)
}

impl PartialEq for ClientSide {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for ClientSide {}

impl Hash for ClientSide {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.hash(state);
    }
}

/// Nothing of the key.
impl fmt::Debug for ClientSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Source { authorities, pin, chain } = &self.source;
        f.debug_struct("ClientSide")
            .field("authorities", &authorities.as_ref().map(Vec::len))
            .field("pin", pin)
            .field("has_certificate", &!chain.is_empty())
            .finish()
    }
}
