//! Owns the certificate of a server that is started with TLS: made for it, in its folder.

use super::trust::{Trust, provider};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The host of a certificate: every server that is started here is reached by this address.
const HOST: &str = "127.0.0.1";
/// The name of the certificate's file; configurations of servers in `bench/peers` have it too.
pub const CERTIFICATE_FILE: &str = "server.pem";
/// The name of the file of its key.
pub const KEY_FILE: &str = "server.key";

/// A certificate of a server, and its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerCertificate {
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The file of its key.
    pub key: PathBuf,
}

impl ServerCertificate {
    /// Makes one in this folder: an ECDSA key of P-256, which is what most servers have, and a certificate that only those
    /// trust that are told to.
    pub fn make(folder: &Path) -> io::Result<Self> {
        let made = ServerCertificate::of(folder);
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let params = CertificateParams::new([HOST.to_owned()]).map_err(io::Error::other)?;
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        write(&made.key, &key.serialize_pem())?;
        write(&made.certificate, &certificate.pem())?;
        Ok(made)
    }

    /// The one that was made in this folder.
    pub fn of(folder: &Path) -> Self {
        ServerCertificate { certificate: folder.join(CERTIFICATE_FILE), key: folder.join(KEY_FILE) }
    }

    /// Trust in it.
    pub fn trust(&self) -> io::Result<Trust> {
        Trust::of(&self.certificate)
    }

    /// The configuration of a server of our own that has it: the floor.
    pub fn server(&self) -> io::Result<Arc<ServerConfig>> {
        let certificate = CertificateDer::from_pem_file(&self.certificate).map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(io::Error::other)?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?;
        let config = builder.with_no_client_auth().with_single_cert(vec![certificate], key);
        let mut config = config.map_err(io::Error::other)?;
        // As our broker: each connection is a whole handshake.
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

/// Writes a file that only its owner may read.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConnection, ServerConnection};

    #[test]
    fn clients_trust_it_for_this_host_and_encrypt_as_everybody_does() {
        let folder = tempfile::tempdir().unwrap();
        let made = ServerCertificate::make(folder.path()).unwrap();
        assert_eq!(made, ServerCertificate::of(folder.path()));
        let trust = made.trust().unwrap();
        let of = |host: &'static str| ServerName::try_from(host).unwrap();
        let shaken = |host| {
            let mut client = ClientConnection::new(trust.raw(), of(host)).unwrap();
            let mut server = ServerConnection::new(made.server().unwrap()).unwrap();
            while client.is_handshaking() || server.is_handshaking() {
                let mut bytes = Vec::new();
                client.write_tls(&mut bytes).unwrap();
                server.read_tls(&mut &bytes[..]).unwrap();
                server.process_new_packets().unwrap();
                bytes.clear();
                server.write_tls(&mut bytes).unwrap();
                client.read_tls(&mut &bytes[..]).unwrap();
                client.process_new_packets()?;
            }
            Ok::<_, rustls::Error>(client.negotiated_cipher_suite().unwrap().suite())
        };
        assert_eq!(shaken(HOST), Ok(rustls::CipherSuite::TLS13_AES_128_GCM_SHA256));
        assert!(shaken("127.0.0.2").unwrap_err().to_string().contains("certificate"));
    }
}
