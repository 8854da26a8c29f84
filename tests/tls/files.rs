//! Files of certificates and keys that are wrong: each is an error before anything listens, and names the option.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::certificates::{Authority, Validity};
use super::running::{run, said, text};

#[test]
fn a_broker_with_a_wrong_file_does_not_start_and_says_which() {
    let authority = Authority::new();
    authority.sign_server("server");
    authority.sign_server("other");
    authority.sign("old", "DNS:localhost", "serverAuth", Validity::Past);
    authority.sign("early", "DNS:localhost", "serverAuth", Validity::Future);
    authority.sign("clients", "DNS:localhost", "clientAuth", Validity::Now);
    fs::write(authority.path("text.pem"), "this is no certificate\n").expect("a file");
    let everybodys = authority.path("everybodys.key");
    fs::copy(authority.path("server.key"), &everybodys).expect("a file");
    fs::set_permissions(&everybodys, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let file = |name: &str| authority.path(name).display().to_string();
    for (cert, key, option, part) in [
        ("none.pem", "server.key", "--tls-cert", "No such file"),
        ("text.pem", "server.key", "--tls-cert", "it has no certificate"),
        ("server.key", "server.key", "--tls-cert", "it has no certificate"),
        ("old.pem", "old.key", "--tls-cert", "it has expired"),
        ("early.pem", "early.key", "--tls-cert", "it is not valid yet"),
        ("clients.pem", "clients.key", "--tls-cert", "it is not for servers, and clients would refuse it"),
        ("server.pem", "none.key", "--tls-key", "No such file"),
        ("server.pem", "server.pem", "--tls-key", "everybody on this host may read this key"),
        (
            "server.pem",
            "everybodys.key",
            "--tls-key",
            "everybody on this host may read this key; run: chmod 600",
        ),
        ("server.pem", "other.key", "--tls-key", "not the one of the certificate"),
    ] {
        let (cert, key) = (file(cert), file(key));
        let tls = ["broker", "--listen", "tls://127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
        let said = said(&run(&tls), 2);
        assert!(
            said.starts_with(&format!("error: {option}: ")) && said.contains(part),
            "{cert} {key}: {said}"
        );
    }
    let [cert, key] = authority.files("server");
    let ca = file("text.pem");
    let tls = ["broker", "--listen", "tls://127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
    let wrong_ca = said(&run(&[&tls[..], &["--tls-client-ca", &ca]].concat()), 2);
    assert!(wrong_ca.starts_with("error: --tls-client-ca: "), "{wrong_ca}");
}

#[test]
fn whoever_looks_at_a_certificate_before_a_broker_does_says_the_same() {
    let authority = Authority::new();
    authority.sign("clients", "DNS:localhost", "clientAuth", Validity::Now);
    authority.sign_server("server");
    let part = "it is not for servers, and clients would refuse it: its extended key usage lacks serverAuth";
    let [cert, key] = authority.files("clients");
    let config = authority.path("broker.toml");
    let options = format!("listen = 'tls://127.0.0.1:0'\ntls-cert = '{cert}'\ntls-key = '{key}'\n");
    fs::write(&config, options).expect("a file");
    let config = config.display().to_string();
    let checked = said(&run(&["config", "check", &config]), 2);
    assert!(checked.contains(":2:") && checked.contains(part), "{checked}");
    let doctor = |cert: &str| {
        let output = run(&["doctor", "--jitter", "0", "--tls-cert", cert]);
        let stdout = text(&output.stdout).to_owned();
        stdout.lines().find(|line| line.contains("certificate")).expect("a finding").to_owned()
    };
    let found = doctor(&cert);
    assert!(found.starts_with("error") && found.contains(part), "{found}");
    let found = doctor(&authority.ca().display().to_string());
    assert!(found.starts_with("warning") && found.contains("that of an authority"), "{found}");
    let [server, _] = authority.files("server");
    let found = doctor(&server);
    assert!(found.starts_with("ok") && found.contains("for localhost, 127.0.0.1"), "{found}");
    let shown = run(&["cert", "show", &cert]);
    assert!(text(&shown.stdout).contains("purpose      clients\n"), "{shown:?}");
}

#[test]
fn what_does_not_fit_together_is_told() {
    let authority = Authority::new();
    authority.sign_server("server");
    let [cert, key] = authority.files("server");
    for (args, part) in [
        (&["broker", "--listen", "tls://127.0.0.1:0"][..], "--listen: tls://127.0.0.1:0 needs a certificate"),
        (
            &["broker", "--listen", "tcp://127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key],
            "--tls-cert: it is of no use",
        ),
        (&["broker", "--tls-key", &key], "--tls-key: it is of no use without --tls-cert"),
        (&["broker", "--zmtp", "tls://127.0.0.1:0"], "ZeroMQ speaks no TLS"),
        (&["sub", "t", "--key", &key], "--key: it is of no use without --cert"),
        (&["sub", "t", "--ca", &key, "--broker", "tls://127.0.0.1:1"], "--ca: "),
        (&["sub", "t", "--pin", "sha256:12", "--broker", "tls://127.0.0.1:1"], "64 hexadecimal digits"),
    ] {
        let said = said(&run(args), 2);
        assert!(said.contains(part), "{args:?}: {said}");
    }
}
