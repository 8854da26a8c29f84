//! Certificates that are replaced in their files while the broker runs.

use std::fs;

use nix::sys::signal::Signal;

use super::broker_with;
use super::certificates::{Authority, Validity, argument};
use super::running::{run, succeeded, text};
use super::watchdog::watch;

/// The fingerprint of a certificate, by the command of users.
fn fingerprint(authority: &Authority, name: &str) -> String {
    let [cert, _] = authority.files(name);
    let shown = run(&["cert", "show", &cert]);
    let line = text(&shown.stdout).lines().find_map(|line| line.strip_prefix("fingerprint"));
    line.expect("a fingerprint").trim().to_owned()
}

#[test]
fn a_hang_up_makes_the_broker_read_its_certificate_again_and_a_bad_file_changes_nothing() {
    let _watchdog =
        watch("a_hang_up_makes_the_broker_read_its_certificate_again_and_a_bad_file_changes_nothing");
    let authority = Authority::new();
    authority.sign_server("before");
    authority.sign_server("after");
    authority.sign("clients", "DNS:localhost,IP:127.0.0.1", "clientAuth", Validity::Now);
    let put = |name: &str| {
        for kind in ["pem", "key"] {
            let from = authority.path(&format!("{name}.{kind}"));
            fs::copy(from, authority.path(&format!("live.{kind}"))).expect("a file");
        }
    };
    put("before");
    let (broker, endpoint) = broker_with(&authority, "live", &[]);
    let publish = |pin: &str| run(&["pub", "t", "x", "--broker", &endpoint, "--pin", pin]);
    let (before, after) = (fingerprint(&authority, "before"), fingerprint(&authority, "after"));
    succeeded(&publish(&before));
    let hang_up = |line: &str, times: usize| {
        broker.signal(Signal::SIGHUP);
        broker.until(|_| broker.log().matches(line).count() == times);
    };
    fs::write(authority.path("live.pem"), "no certificate").expect("a file");
    hang_up("the certificate is not read again, and nothing changes", 1);
    succeeded(&publish(&before));
    put("clients");
    hang_up("the certificate is not read again, and nothing changes", 2);
    assert!(broker.log().contains("its extended key usage lacks serverAuth"), "{}", broker.log());
    succeeded(&publish(&before));
    put("after");
    hang_up("the certificate is read again", 1);
    // The command overtakes no connection.
    while !publish(&after).status.success() {}
    assert!(!publish(&before).status.success(), "it has another now");
    let ca = authority.ca();
    succeeded(&run(&["pub", "t", "x", "--broker", &endpoint, "--ca", argument(&ca)]));
}
