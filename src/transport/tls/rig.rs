//! In tests: an end that listens and one that trusts it, and streams between them.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

use rcgen::{CertificateParams, KeyPair};

use super::{TlsClient, TlsClientFiles, TlsServer, TlsServerFiles};
use crate::transport::stream::{Stream, StreamKind};

/// A listener's certificate for localhost, and trust in it.
fn tls_ends() -> (TlsServer, TlsClient) {
    let dir = tempfile::tempdir().expect("a folder");
    let (certificate, key_path) = (dir.path().join("pem"), dir.path().join("key"));
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    fs::write(&certificate, params.self_signed(&key).expect("a certificate").pem()).expect("a file");
    fs::write(&key_path, key.serialize_pem()).expect("a file");
    fs::set_permissions(&key_path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let files = TlsServerFiles::default().tls_cert(Some(certificate)).tls_key(Some(key_path));
    let server = files.read().expect("they fit").expect("there are some");
    let client =
        TlsClientFiles::default().pin(server.fingerprint()).read().expect("a pin").expect("there is one");
    (server, client)
}

/// Two connected streams of this executor, which have not shaken hands yet: of the listener, and of its client.
pub(crate) fn tls_pair() -> io::Result<(Stream, Stream)> {
    let (server, client) = tls_ends();
    let (one, other) = UnixStream::pair()?;
    let client = StreamKind::of_client(&client, "localhost").map_err(io::Error::other)?;
    Ok((Stream::adopt(one.into(), StreamKind::of_server(&server))?, Stream::adopt(other.into(), client)?))
}
