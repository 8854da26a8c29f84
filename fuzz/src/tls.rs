//! Bytes at a `tls://` listener, from the first on: whatever comes is a handshake or the end of the connection, and a good client
//! works afterwards. A whole broker, since a handshake is what its pumps make of it.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use corecast::{
    Broker, BrokerConfig, ClientConfig, ConnectConfig, Endpoint, ListenConfig, Publisher, TlsClient,
    TlsClientFiles, TlsServerFiles,
};
use rcgen::{CertificateParams, KeyPair};

/// The hello of OpenSSL's client for localhost, with TLS 1.3 alone.
const HELLO: &[u8] = include_bytes!("hello.bin");

/// Inputs between two looks at whether a good client works.
const LOOK_EVERY: u64 = 500;

/// Long enough for whatever is on its way.
const PATIENCE: Duration = Duration::from_secs(30);

/// A broker of this process, which ends with it.
struct Target {
    broker: Broker,
    port: u16,
    trust: TlsClient,
    inputs: AtomicU64,
}

/// Runs one input. What is sent is the rest as it is, or, if the first byte is odd, a hello with some changes, and then the rest.
pub fn tls(data: &[u8]) {
    static TARGET: OnceLock<Target> = OnceLock::new();
    let Some((first, rest)) = data.split_first() else { return };
    let target = TARGET.get_or_init(start);
    let mut sent = Vec::new();
    if first % 2 == 1 {
        sent.extend_from_slice(HELLO);
        let (changes, rest) = rest.split_at(rest.len().min(usize::from(first >> 1) % 8 * 3));
        for change in changes.chunks_exact(3) {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % HELLO.len();
            sent[at] ^= change[2];
        }
        sent.extend_from_slice(rest);
    } else {
        sent.extend_from_slice(rest);
    }
    let mut peer = TcpStream::connect(("127.0.0.1", target.port)).expect("the broker lives");
    peer.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // The broker may have hung up before all was sent.
    let _ = peer.write_all(&sent).and_then(|()| peer.shutdown(Shutdown::Write));
    if let Err(error) = peer.read_to_end(&mut Vec::new()) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "it neither answers nor ends: {error}");
    }
    if target.inputs.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOOK_EVERY) {
        target.a_good_client_works();
    }
}

fn start() -> Target {
    let folder = std::env::temp_dir().join(format!("corecast-fuzz-tls-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let (cert_file, key_file) = (folder.join("pem"), folder.join("key"));
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    fs::write(&cert_file, params.self_signed(&key).expect("a certificate").pem()).expect("written");
    fs::write(&key_file, key.serialize_pem()).expect("written");
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).expect("a mode");
    let files = TlsServerFiles::default().tls_cert(Some(cert_file)).tls_key(Some(key_file));
    let server = files.read().expect("they fit").expect("there are some");
    fs::remove_dir_all(&folder).expect("it is ours");
    let pinned = TlsClientFiles::default().pin(server.fingerprint());
    let trust = pinned.read().expect("a pin").expect("there is one");
    let listen: Endpoint = "tls://127.0.0.1:0".parse().expect("an endpoint");
    let config = BrokerConfig::default().listen([listen]).shards(1);
    let broker = Broker::start(config.listeners(ListenConfig::default().tls(server))).expect("a broker");
    let Endpoint::Tls { port, .. } = broker.endpoints()[0] else { unreachable!("it listens on TLS") };
    Target { broker, port, trust, inputs: AtomicU64::new(0) }
}

impl Target {
    fn a_good_client_works(&self) {
        let connect = ConnectConfig::default().tls(self.trust.clone());
        let config = ClientConfig::new(self.broker.endpoints()[0].clone()).connect(connect);
        let mut publisher = Publisher::with_config(config).expect("a good client is let in");
        publisher.publish("t", b"x").expect("it is taken");
        publisher.close().expect("it is taken");
    }
}
