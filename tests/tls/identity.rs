//! Certificates of clients as identities, and certificates of brokers that are renewed, with brokers of this process.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use corecast::{
    Broker, BrokerConfig, ClientConfig, ConnectConfig, Endpoint, ErrorCode, ErrorKind, Event, Filter,
    ListenConfig, Permissions, Publisher, Sessions, Subscriber, TlsClientFiles, TlsServer, TlsServerFiles,
    Topic, Users,
};

use super::certificates::{Authority, Validity};
use super::trust::openssl_server_at;
use super::watchdog::{LIMIT, watch};

/// The certificate of this name for listeners, which take client certificates of the same authority.
fn certificate(authority: &Authority, name: &str) -> TlsServer {
    let [cert, key] = authority.files(name);
    let files = TlsServerFiles::default()
        .tls_cert(Some(cert.into()))
        .tls_key(Some(key.into()))
        .tls_client_ca(Some(authority.ca()));
    files.read().expect("OpenSSL has made them").expect("there are some")
}

fn broker(config: BrokerConfig, tls: TlsServer) -> Broker {
    broker_at("tls://127.0.0.1:0".parse().expect("an endpoint"), config, tls)
}

fn broker_at(listen: Endpoint, config: BrokerConfig, tls: TlsServer) -> Broker {
    let config = config.listen([listen]).shards(2).listeners(ListenConfig::default().tls(tls));
    Broker::start(config).expect("this host runs brokers")
}

/// The configuration of a client with the certificate of this name.
fn client(authority: &Authority, broker: &Broker, name: &str) -> ClientConfig {
    let [cert, key] = authority.files(name);
    let files =
        TlsClientFiles::default().ca(Some(authority.ca())).cert(Some(cert.into())).key(Some(key.into()));
    let connect = ConnectConfig::default().tls(files.read().expect("OpenSSL has made them"));
    ClientConfig::new(broker.endpoints()[0].clone()).connect(connect)
}

fn topic(name: &str) -> Topic {
    Topic::new(name).expect("a topic")
}

#[test]
fn a_client_is_the_user_whom_its_certificate_names() {
    let _watchdog = watch("a_client_is_the_user_whom_its_certificate_names");
    let authority = Authority::new();
    authority.sign_server("server");
    authority.sign("alice", "DNS:alice.example.org,email:alice@example.org", "clientAuth", Validity::Now);
    authority.sign("eve", "DNS:eve.example.org", "clientAuth", Validity::Now);
    let users = authority.path("users.toml");
    let text = "[[user]]\nname = 'alice'\ncertificates = ['alice@example.org']\npublish = ['a.>']\nsubscribe = ['a.>']\n";
    fs::write(&users, text).expect("a file");
    fs::set_permissions(&users, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let permissions = Permissions::of_users(Users::read(&users).expect("a user"));
    let broker = broker(BrokerConfig::default().permissions(permissions), certificate(&authority, "server"));
    let alice = client(&authority, &broker, "alice");
    let mut subscriber =
        Subscriber::with_config(alice.clone(), &[Filter::parse("a.>").expect("a filter")]).expect("it may");
    let mut publisher = Publisher::with_config(alice.clone()).expect("it is known");
    publisher.publish(topic("a.b"), b"x").expect("it is taken");
    assert!(matches!(subscriber.recv_timeout(LIMIT), Ok(Some(Event::Message(_)))));
    let other = Subscriber::with_config(alice, &[Filter::parse("b").expect("a filter")]).map(drop);
    assert_eq!(other.expect_err("it may not").kind(), ErrorKind::Refused(ErrorCode::NotPermitted));
    let eve = Publisher::with_config(client(&authority, &broker, "eve").connect_timeout(LIMIT)).map(drop);
    let error = eve.expect_err("nobody knows it");
    assert_eq!(error.kind(), ErrorKind::Refused(ErrorCode::Unauthenticated), "{error}");
}

#[test]
fn a_broker_takes_another_certificate_and_its_sessions_stay() {
    let _watchdog = watch("a_broker_takes_another_certificate_and_its_sessions_stay");
    let authority = Authority::new();
    authority.sign_server("before");
    authority.sign_server("after");
    authority.sign("alice", "DNS:alice", "clientAuth", Validity::Now);
    let (before, after) = (certificate(&authority, "before"), certificate(&authority, "after"));
    let broker = broker(BrokerConfig::default(), before.clone());
    let alice = client(&authority, &broker, "alice");
    let mut subscriber =
        Subscriber::with_config(alice, &[Filter::parse("t").expect("a filter")]).expect("it serves");
    let [cert, key] = authority.files("alice");
    let pinned = |tls: &TlsServer| {
        let files = TlsClientFiles::default()
            .pin(tls.fingerprint())
            .cert(Some(cert.clone().into()))
            .key(Some(key.clone().into()));
        let connect = ConnectConfig::default().tls(files.read().expect("OpenSSL has made them"));
        Publisher::with_config(ClientConfig::new(broker.endpoints()[0].clone()).connect(connect))
    };
    drop(pinned(&before).expect("it has this one"));
    broker.set_certificate(&after).expect("it lives");
    // The command overtakes no connection.
    let mut publisher = loop {
        match pinned(&after) {
            Ok(publisher) => break publisher,
            Err(error) => assert!(error.to_string().contains("fingerprint"), "{error}"),
        }
    };
    assert!(pinned(&before).is_err(), "it has another now");
    publisher.publish(topic("t"), b"x").expect("it is taken");
    assert!(matches!(subscriber.recv_timeout(LIMIT), Ok(Some(Event::Message(_)))), "the session stays");
}

#[test]
fn a_client_whose_broker_comes_back_with_an_expired_certificate_waits_for_another() {
    let _watchdog = watch("a_client_whose_broker_comes_back_with_an_expired_certificate_waits_for_another");
    let authority = Authority::new();
    authority.sign_server("server");
    authority.sign("old", "IP:127.0.0.1", "serverAuth", Validity::Past);
    authority.sign("alice", "DNS:alice", "clientAuth", Validity::Now);
    let tls = certificate(&authority, "server");
    let before = broker(BrokerConfig::default(), tls.clone());
    let alice = client(&authority, &before, "alice");
    let endpoint = before.endpoints()[0].clone();
    let filters = [Filter::parse("t").expect("a filter")];
    let mut subscriber = Subscriber::with_config(alice.clone(), &filters).expect("it serves");
    before.stop(LIMIT).expect("nothing is to be sent");
    let address = endpoint.to_string().replace("tls://", "");
    let (expired, mut said) = openssl_server_at(&authority, "old", &address);
    said.find(|line| line.contains("alert certificate expired")).expect("the subscriber has come, and gone");
    // Another configuration, so that it does not share the session.
    let alone = alice.sessions(Sessions::PerSubscriber);
    let other =
        Subscriber::with_config(alone.clone(), &filters).map(drop).expect_err("it was never connected");
    assert!(other.to_string().contains("its certificate has expired"), "{other}");
    drop(expired);
    let _after = broker_at(endpoint, BrokerConfig::default(), tls);
    let mut publisher = Publisher::with_config(alone).expect("it serves");
    loop {
        publisher.publish(topic("t"), b"x").expect("it is taken");
        let event = subscriber.recv_timeout(Duration::from_millis(100)).expect("it is never given up");
        if let Some(Event::Message(_)) = event {
            return;
        }
    }
}
