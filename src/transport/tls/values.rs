//! Certificates and trust as values of configurations: read from files once, and cheap to clone.

#[cfg(not(feature = "tls"))]
use std::convert::Infallible as TlsEnd;
use std::sync::Arc;
use std::time::SystemTime;

#[cfg(feature = "tls")]
use super::channel::TlsEnd;
#[cfg(feature = "tls")]
use super::client::ClientSide;
use super::files::{TlsClientFiles, TlsServerFiles};
use super::fingerprint::Fingerprint;
#[cfg(feature = "tls")]
use super::server::ServerSide;
#[cfg(not(feature = "tls"))]
use super::without::{NoClientSide as ClientSide, NoServerSide as ServerSide};
use crate::error::{Error, Result};

/// The certificate of `tls://` listeners with its key, and the authorities of client certificates: a value, which
/// [`TlsServerFiles::read`] makes. To change it, make another and give it to the broker.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TlsServer(Arc<ServerSide>);

impl TlsServer {
    /// A certificate of its own, which nobody has signed and which no name is in: others know it by its fingerprint.
    ///
    /// # Errors
    /// `Invalid` in a program without TLS; `Io` when the kernel gives no random bytes.
    pub(crate) fn self_made() -> Result<Self> {
        ServerSide::self_made().map(|side| TlsServer(Arc::new(side)))
    }

    /// The end of the certificate's validity.
    pub fn expires_at(&self) -> SystemTime {
        self.0.expires_at()
    }

    /// The names of the certificate.
    pub fn names(&self) -> &[String] {
        self.0.names()
    }

    /// The fingerprint of the certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint()
    }

    pub(in crate::transport) fn end(&self) -> TlsEnd {
        self.0.end()
    }
}

/// Trust in the other ends of `tls://` connections, and a certificate of this end: a value, which [`TlsClientFiles::read`]
/// makes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TlsClient(Arc<ClientSide>);

impl TlsClient {
    /// Trust in the certificate with this fingerprint, and in no other.
    ///
    /// # Errors
    /// `Invalid` in a program without TLS.
    pub(in crate::transport) fn pinned(pin: Fingerprint) -> Result<Self> {
        ClientSide::read(&TlsClientFiles::default().pin(pin)).map(|side| TlsClient(Arc::new(side)))
    }

    /// Trust in the authorities that this host trusts.
    pub(crate) async fn of_system() -> Result<Self> {
        ClientSide::of_system().await.map(TlsClient)
    }

    /// The configuration of rustls, for a client library that makes its own connections.
    #[cfg(feature = "nats")]
    pub(crate) fn rustls_config(&self) -> rustls::ClientConfig {
        self.0.rustls_config()
    }

    /// This end of a connection to a host.
    ///
    /// # Errors
    /// `Invalid` if no certificate could be for the host.
    pub(in crate::transport) fn end(&self, host: &str) -> Result<TlsEnd> {
        self.0.end(host)
    }
}

impl TlsServerFiles {
    /// Reads and checks the files. `None`: none is given.
    ///
    /// # Errors
    /// `Invalid`, with the field, for a file that cannot be read or holds something else, a key that everybody may read or
    /// that belongs to another certificate, and a certificate that is not valid now, or not for this end of a connection.
    pub fn read(&self) -> Result<Option<TlsServer>> {
        let Some(cert) = &self.tls_cert else {
            for (field, file) in [("tls_key", &self.tls_key), ("tls_client_ca", &self.tls_client_ca)] {
                if file.is_some() {
                    return Err(Error::of_field(field, "it is of no use without --tls-cert FILE"));
                }
            }
            return Ok(None);
        };
        ServerSide::read(cert, self).map(|side| Some(TlsServer(Arc::new(side))))
    }
}

impl TlsClientFiles {
    /// Reads and checks the files. `None`: none is given, and the authorities that this host trusts are those of the
    /// client.
    ///
    /// # Errors
    /// As for [`TlsServerFiles::read`], and for contradictions.
    pub fn read(&self) -> Result<Option<TlsClient>> {
        if self.ca.is_some() && self.pin.is_some() {
            let text = "one certificate and authorities are two ways to trust; give --ca or --pin";
            return Err(Error::of_field("pin", text));
        }
        if self.key.is_some() && self.cert.is_none() {
            return Err(Error::of_field("key", "it is of no use without --cert FILE"));
        }
        if *self == TlsClientFiles::default() {
            return Ok(None);
        }
        ClientSide::read(self).map(|side| Some(TlsClient(Arc::new(side))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_of_no_use_alone_are_errors() {
        let server = TlsServerFiles::default().tls_key(Some("k".into())).read().unwrap_err();
        assert_eq!(server.field(), Some("tls_key"), "{server}");
        let client = TlsClientFiles::default().key(Some("k".into())).read().unwrap_err();
        assert_eq!(client.field(), Some("key"), "{client}");
        let pin: Fingerprint = format!("sha256:{}", "ab".repeat(32)).parse().expect("a fingerprint");
        let two_ways = TlsClientFiles::default().ca(Some("c".into())).pin(pin).read().unwrap_err();
        assert_eq!(two_ways.field(), Some("pin"), "{two_ways}");
        assert!(TlsServerFiles::default().read().expect("no file").is_none());
        assert!(TlsClientFiles::default().read().expect("no file").is_none());
    }
}
