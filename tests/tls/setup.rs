//! The secure set-up by commands, and what those commands refuse.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::broker_process::{BrokerProcess, Transport};
use super::running::{run, said, start, succeeded, text};
use super::{broker_process, watchdog};

#[test]
fn three_commands_make_a_secure_set_up() {
    let _watchdog = watchdog::watch("three_commands_make_a_secure_set_up");
    let dir = tempfile::tempdir().expect("a folder");
    let file = |name: &str| dir.path().join(name).display().to_string();
    let at = dir.path().display().to_string();
    for args in
        [&["cert", "ca", "--dir", &at][..], &["cert", "server", "localhost", "127.0.0.1", "--dir", &at]]
    {
        said(&run(args), 0);
    }
    let (cert, key, ca) = (file("server.pem"), file("server.key"), file("ca.pem"));
    let tls = ["--listen", "tls://127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
    let broker = BrokerProcess::start(Transport::Tcp, &tls);
    let endpoint = &broker.endpoints()[1];
    let mut sub = broker_process::corecast();
    sub.args(["sub", "t", "--count", "1", "--broker", endpoint, "--ca", &ca])
        .stdout(std::process::Stdio::piped());
    let sub = start(&mut sub);
    broker.until(|page| page.sum("corecast_subscriptions") == 1);
    succeeded(&run(&["pub", "t", "hello", "--broker", endpoint, "--ca", &ca]));
    let output = sub.output();
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "hello\n"));
    let expiry = broker.page().sum("corecast_tls_certificate_expiry_timestamp_seconds");
    assert!(expiry > 1_700_000_000, "{expiry}");
    let doctor = run(&["doctor", "--jitter", "0", "--tls-cert", &cert]);
    assert!(text(&doctor.stdout).contains("valid for 364 more days, for localhost, 127.0.0.1"), "{doctor:?}");
    for name in ["ca.pem", "ca.key", "server.pem", "server.key"] {
        let mode = fs::metadata(file(name)).expect("it was made").permissions().mode();
        let wanted = if name.ends_with(".pem") { 0o644 } else { 0o600 };
        assert_eq!(mode & 0o777, wanted, "{name}");
    }
}

#[test]
fn no_certificate_is_overwritten_and_none_is_made_without_its_authority() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = dir.path().display().to_string();
    let orphan = said(&run(&["cert", "server", "localhost", "--dir", &at]), 1);
    assert!(orphan.contains("ca.pem") && orphan.contains("hint: `corecast cert ca`"), "{orphan}");
    said(&run(&["cert", "ca", "--dir", &at]), 0);
    let before = fs::read(dir.path().join("ca.key")).expect("it was made");
    let again = said(&run(&["cert", "ca", "--dir", &at]), 1);
    assert!(again.contains("ca.pem is there already, and is not overwritten"), "{again}");
    assert_eq!(fs::read(dir.path().join("ca.key")).expect("it stays"), before);
    for name in ["tls://localhost:1", "", "a b"] {
        let wrong = said(&run(&["cert", "server", name, "--dir", &at]), 2);
        assert!(wrong.contains("is no host"), "{wrong}");
    }
    for name in ["alice", "alice@example.org", "spiffe://example.org/alice"] {
        said(&run(&["cert", "client", name, "--out", "client", "--dir", &at]), 0);
        let shown = run(&["cert", "show", &dir.path().join("client.pem").display().to_string()]);
        assert!(text(&shown.stdout).contains(&format!("names        {name}\n")), "{shown:?}");
        for kind in ["pem", "key"] {
            fs::remove_file(dir.path().join(format!("client.{kind}"))).expect("it was made");
        }
    }
}
