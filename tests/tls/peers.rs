//! Clients that are not ours, against a broker.

use std::process::{Command, Output, Stdio};

use corecast::{ClientConfig, ConnectConfig, Event, Filter, Subscriber, TlsClientFiles};

use super::broker_with;
use super::certificates::{Authority, Validity, argument};
use super::running::{run, succeeded, text};
use super::watchdog::{LIMIT, watch};

/// Connects with OpenSSL, and ends at once.
fn s_client(authority: &Authority, endpoint: &str, args: &[&str]) -> Output {
    let address = endpoint.strip_prefix("tls://").expect("TLS");
    let ca = authority.ca();
    let mut command = Command::new("openssl");
    command.args([
        "s_client",
        "-connect",
        address,
        "-CAfile",
        argument(&ca),
        "-verify_return_error",
        "-brief",
    ]);
    command.args(args).stdin(Stdio::null());
    command.output().expect("openssl can be started")
}

#[test]
fn openssl_trusts_the_broker_and_speaks_tls_1_3_with_it_and_nothing_older() {
    let _watchdog = watch("openssl_trusts_the_broker_and_speaks_tls_1_3_with_it_and_nothing_older");
    let authority = Authority::new();
    authority.sign_server("server");
    let (broker, endpoint) = broker_with(&authority, "server", &[]);
    for suite in ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"] {
        let output = s_client(&authority, &endpoint, &["-ciphersuites", suite]);
        let said = text(&output.stderr);
        assert!(output.status.success() && said.contains("TLSv1.3") && said.contains(suite), "{said}");
        assert!(said.contains("Verification: OK"), "{said}");
    }
    for version in ["-tls1_2", "-tls1_1"] {
        assert!(!s_client(&authority, &endpoint, &[version]).status.success(), "{version}");
    }
    broker.until(|page| page.closes("stream_handshake") >= 1);
    assert!(broker.log().contains("the client does not offer TLS 1.3"), "{}", broker.log());
}

#[test]
fn a_client_in_python_publishes_and_subscribes_over_tls() {
    let _watchdog = watch("a_client_in_python_publishes_and_subscribes_over_tls");
    let authority = Authority::new();
    authority.sign_server("server");
    let (_broker, endpoint) = broker_with(&authority, "server", &[]);
    let ca = authority.ca();
    let trust = TlsClientFiles::default().ca(Some(ca.clone())).read().expect("OpenSSL has made it");
    let config = ClientConfig::new(endpoint.parse().expect("an endpoint"));
    let config = config.connect(ConnectConfig::default().tls(trust));
    let mut subscriber =
        Subscriber::with_config(config, &[Filter::parse("news.>").expect("a filter")]).expect("it serves");
    let long = "x".repeat(100_000);
    let words = ["e4", "", long.as_str()];
    let python = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python/raw_client.py"))
        .args(["pub", &endpoint, "news.chess"])
        .args(words)
        .env("SSL_CERT_FILE", &ca)
        .output()
        .expect("this test needs python3 (3.8 or newer) on the PATH");
    assert!(python.status.success(), "{}", text(&python.stderr));
    for word in words {
        let Some(Event::Message(message)) = subscriber.recv_timeout(LIMIT).expect("the session is open")
        else {
            panic!("a message was published");
        };
        assert_eq!(text(&message.payload), word);
    }
}

/// Runs the client in Python's ssl to its end, and returns what it prints.
fn in_python(what: &str, endpoint: &str, authority: &Authority, of: Option<&str>) -> String {
    let (host, port) =
        endpoint.strip_prefix("tls://").and_then(|at| at.rsplit_once(':')).expect("an address");
    let ca = authority.ca();
    let own = of.map(|name| authority.files(name)).into_iter().flatten();
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/tls.py"));
    command.args([what, host, port, argument(&ca)]).args(own);
    let output = command.output().expect("this test needs python3 (3.8 or newer) on the PATH");
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

#[test]
fn python_sees_tls_1_3_the_certificate_and_no_protocol_of_others() {
    let _watchdog = watch("python_sees_tls_1_3_the_certificate_and_no_protocol_of_others");
    let authority = Authority::new();
    authority.sign_server("server");
    let (_broker, endpoint) = broker_with(&authority, "server", &[]);
    let seen: serde_json::Value =
        serde_json::from_str(&in_python("look", &endpoint, &authority, None)).expect("JSON");
    assert_eq!((&seen["version"], &seen["cipher"]), (&"TLSv1.3".into(), &"TLS_AES_128_GCM_SHA256".into()));
    assert_eq!(seen["alpn"], serde_json::Value::Null, "it offers HTTP, and the broker takes no notice");
    assert_eq!(seen["greeting"], "CORECAST");
    let [cert, _] = authority.files("server");
    let shown = run(&["cert", "show", &cert]);
    let fingerprint = seen["fingerprint"].as_str().expect("a fingerprint");
    assert!(text(&shown.stdout).contains(fingerprint), "{seen}: {}", text(&shown.stdout));
}

#[test]
fn a_handshake_that_stops_anywhere_in_the_last_flight_is_a_clean_end() {
    let _watchdog = watch("a_handshake_that_stops_anywhere_in_the_last_flight_is_a_clean_end");
    let authority = Authority::new();
    authority.sign_server("server");
    authority.sign("alice", "DNS:alice", "clientAuth", Validity::Now);
    let ca = authority.ca();
    let (plain, endpoint) = broker_with(&authority, "server", &[]);
    let (with_certificates, closed_endpoint) =
        broker_with(&authority, "server", &["--tls-client-ca", argument(&ca)]);
    for (broker, endpoint, of) in
        [(&plain, &endpoint, None), (&with_certificates, &closed_endpoint, Some("alice"))]
    {
        let bytes: u64 = in_python("cut", endpoint, &authority, of).parse().expect("a length");
        assert!(bytes > 50, "{bytes} bytes of a whole flight");
        broker.until(|page| page.sum("corecast_sessions") == 0);
        let own = of.map(|name| authority.files(name));
        let own = own.iter().flat_map(|[cert, key]| ["--cert", cert, "--key", key]);
        let args = ["pub", "t", "x", "--broker", endpoint, "--ca", argument(&ca)].into_iter().chain(own);
        succeeded(&run(&args.collect::<Vec<_>>()));
    }
}

#[test]
fn certificates_of_clients_are_judged_whoever_made_them() {
    let _watchdog = watch("certificates_of_clients_are_judged_whoever_made_them");
    let (authority, stranger) = (Authority::new(), Authority::named("a stranger"));
    authority.sign_server("server");
    authority.sign("alice", "DNS:alice", "clientAuth", Validity::Now);
    authority.sign("old", "DNS:alice", "clientAuth", Validity::Past);
    authority.sign("early", "DNS:alice", "clientAuth", Validity::Future);
    authority.sign("server-only", "DNS:alice", "serverAuth", Validity::Now);
    stranger.sign("eve", "DNS:alice", "clientAuth", Validity::Now);
    let ca = authority.ca();
    let (broker, endpoint) = broker_with(&authority, "server", &["--tls-client-ca", argument(&ca)]);
    // OpenSSL sends a certificate whatever it thinks of it; what the broker thinks comes after its own handshake.
    let shows = |of: &Authority, name: &str| {
        let [cert, key] = of.files(name);
        s_client(&authority, &endpoint, &["-cert", &cert, "-key", &key])
    };
    assert!(shows(&authority, "alice").status.success());
    for (of, name, part) in [
        (&authority, "old", "the client's certificate has expired"),
        (&authority, "early", "the client's certificate is not valid yet"),
        (&authority, "server-only", "the client's certificate is not for this end of a connection"),
        (&stranger, "eve", "of an authority that --tls-client-ca does not have"),
    ] {
        broker.until(|_| {
            // A reason has one line a second.
            let _ = shows(of, name);
            broker.log().contains(part)
        });
    }
    broker.until(|page| page.closes("stream_handshake") >= 3);
}
