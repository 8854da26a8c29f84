//! Clients that are not ours, against a broker.

use std::process::{Command, Output, Stdio};

use corecast::{ClientConfig, ConnectConfig, Event, Filter, Subscriber, TlsClientFiles};

use super::broker_with;
use super::certificates::{Authority, argument};
use super::running::text;
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
