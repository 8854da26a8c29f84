//! Whom clients trust, and whom brokers let in: each wrong certificate ends the connection with words that say what it is.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::broker_with;
use super::certificates::{Authority, Validity, argument};
use super::running::{Running, run, said, succeeded};
use super::watchdog;

/// A server of OpenSSL with this certificate; returns its endpoint at the address.
fn openssl_server(authority: &Authority, name: &str) -> (Running, String) {
    let (server, mut said) = openssl_server_at(authority, name, "127.0.0.1:0");
    let address = said
        .find_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned))
        .expect("it says where it listens");
    (server, format!("tls://{address}"))
}

/// A server of OpenSSL with this certificate at this address, and the lines that it says.
pub(super) fn openssl_server_at(
    authority: &Authority,
    name: &str,
    address: &str,
) -> (Running, impl Iterator<Item = String> + use<>) {
    let [cert, key] = authority.files(name);
    // In one stream: it says where it listens on the one, and what goes wrong on the other.
    let mut command = Command::new("sh");
    command.args(["-c", "exec openssl s_server \"$@\" 2>&1", "sh", "-accept", address]);
    command.args(["-cert", &cert, "-key", &key, "-tls1_3"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = super::running::start(&mut command);
    let lines = BufReader::new(server.stdout()).lines();
    (server, lines.map(|line| line.expect("text")))
}

#[test]
fn a_certificate_that_is_not_the_brokers_ends_the_client_with_the_reason() {
    let _watchdog = watchdog::watch("a_certificate_that_is_not_the_brokers_ends_the_client_with_the_reason");
    let (authority, namesake, stranger) =
        (Authority::new(), Authority::new(), Authority::named("a stranger"));
    authority.sign("old", "IP:127.0.0.1", "serverAuth", Validity::Past);
    authority.sign("early", "IP:127.0.0.1", "serverAuth", Validity::Future);
    authority.sign("elsewhere", "DNS:elsewhere.example.org", "serverAuth", Validity::Now);
    authority.sign("client", "IP:127.0.0.1", "clientAuth", Validity::Now);
    namesake.sign_server("namesake");
    stranger.sign_server("stranger");
    let not_trusted = "of an authority that is not trusted here; give the authority's certificate with --ca";
    let ca = authority.ca();
    for (of, name, part) in [
        (&authority, "old", "its certificate has expired, "),
        (&authority, "early", "its certificate is not valid yet"),
        (&authority, "elsewhere", "is not for the host 127.0.0.1; it is for "),
        (&authority, "client", "is not for this end of a connection"),
        (&namesake, "namesake", not_trusted),
        (&stranger, "stranger", not_trusted),
    ] {
        let (_server, endpoint) = openssl_server(of, name);
        let said = said(&run(&["sub", "t", "--broker", &endpoint, "--ca", argument(&ca)]), 1);
        assert!(said.contains(&endpoint) && said.contains(part), "{name}: {said}");
    }
}

#[test]
fn a_pinned_certificate_is_trusted_whatever_it_says_and_no_other() {
    let _watchdog = watchdog::watch("a_pinned_certificate_is_trusted_whatever_it_says_and_no_other");
    let authority = Authority::new();
    authority.sign("elsewhere", "DNS:elsewhere.example.org", "serverAuth", Validity::Now);
    authority.sign_server("other");
    let fingerprint = |name: &str| {
        let [cert, _] = authority.files(name);
        let output = Command::new("openssl")
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-in", &cert])
            .output();
        let output = String::from_utf8(output.expect("openssl can be started").stdout).expect("text");
        format!("sha256:{}", output.split_once('=').expect("a fingerprint").1.trim())
    };
    let (_broker, endpoint) = broker_with(&authority, "elsewhere", &[]);
    let publish = |pin: &str| run(&["pub", "t", "hello", "--broker", &endpoint, "--pin", pin]);
    succeeded(&publish(&fingerprint("elsewhere")));
    let refused = said(&publish(&fingerprint("other")), 1);
    assert!(refused.contains("another than the one with the fingerprint of --pin"), "{refused}");
}

#[test]
fn a_broker_that_wants_client_certificates_takes_those_of_its_authorities_alone() {
    let _watchdog =
        watchdog::watch("a_broker_that_wants_client_certificates_takes_those_of_its_authorities_alone");
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.sign_server("server");
    authority.sign("alice", "DNS:alice", "clientAuth", Validity::Now);
    authority.sign("server-only", "DNS:mallory", "serverAuth", Validity::Now);
    stranger.sign("eve", "DNS:eve", "clientAuth", Validity::Now);
    let ca = authority.ca();
    let args = ["--tls-client-ca", argument(&ca)];
    let (required, endpoint) = broker_with(&authority, "server", &args);
    let (optional, open_endpoint) =
        broker_with(&authority, "server", &[&args[..], &["--tls-clients", "optional"]].concat());
    let publish = |endpoint: &str, of: Option<(&Authority, &str)>| {
        let files = of.map(|(of, name)| of.files(name));
        let own = files.iter().flat_map(|[cert, key]| ["--cert", cert, "--key", key]);
        let args: Vec<&str> = ["pub", "t", "hello", "--broker", endpoint, "--ca", argument(&ca)]
            .into_iter()
            .chain(own)
            .collect();
        run(&args)
    };
    succeeded(&publish(&endpoint, Some((&authority, "alice"))));
    succeeded(&publish(&open_endpoint, Some((&authority, "alice"))));
    succeeded(&publish(&open_endpoint, None));
    for (endpoint, of, part) in [
        (&endpoint, None, "it wants a certificate of this client; give one with --cert"),
        (&endpoint, Some((&stranger, "eve")), "it does not accept the certificate of this client"),
        (&open_endpoint, Some((&stranger, "eve")), "it does not accept the certificate of this client"),
    ] {
        let said = said(&publish(endpoint, of), 1);
        assert!(said.contains(part), "{said}");
    }
    let wrong_end = said(&publish(&endpoint, Some((&authority, "server-only"))), 2);
    assert!(wrong_end.starts_with("error: --cert: ") && wrong_end.contains("not for clients"), "{wrong_end}");
    required.until(|page| page.closes("stream_handshake") == 2);
    optional.until(|page| page.closes("stream_handshake") == 1);
    assert!(required.log().contains("the client has shown no certificate"), "{}", required.log());
}

#[test]
fn tls_and_plain_ports_that_are_mixed_up_are_told_apart() {
    let _watchdog = watchdog::watch("tls_and_plain_ports_that_are_mixed_up_are_told_apart");
    let authority = Authority::new();
    authority.sign_server("server");
    let (broker, endpoint) = broker_with(&authority, "server", &[]);
    let plain = broker.endpoint();
    let ca = authority.ca();
    let to_tls = said(&run(&["pub", "t", "x", "--broker", &endpoint.replace("tls:", "tcp:")]), 1);
    assert!(
        to_tls.contains("speaks TLS, and is no corecast broker without it; write tls:// instead of tcp://"),
        "{to_tls}"
    );
    let wrong = plain.replace("tcp:", "tls:");
    let to_plain = said(&run(&["pub", "t", "x", "--broker", &wrong, "--ca", argument(&ca)]), 1);
    assert!(to_plain.contains("its first bytes are `CORECAST`; write tcp://"), "{to_plain}");
    assert!(broker.log().contains("a client of corecast connects to tls://"), "{}", broker.log());
    succeeded(&run(&["pub", "t", "x", "--broker", &endpoint, "--ca", argument(&ca)]));
}
