//! Nobody writes into an operator's terminal: no publisher, no broker, no argument.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod running;
mod watchdog;

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use broker_process::{BrokerProcess, Transport};
use corecast::internals::wire::{Frame, encode_to_vec, greeting};
use corecast_executors::spawn_plain;
use running::{at, run, said, subscribed, succeeded, text};

fn broker() -> BrokerProcess {
    BrokerProcess::start(Transport::Tcp, &["--shards", "2"])
}

/// A command under Python's `pty`: its stdout and stderr are a terminal, whose output is captured.
fn on_a_terminal(broker: &BrokerProcess, args: &[&str]) -> Command {
    let plain = at(broker, args);
    let mut command = Command::new("python3");
    command.args(["-c", "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"]);
    command.arg(plain.get_program()).args(plain.get_args());
    for (name, _) in plain.get_envs() {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn payloads_do_nothing_to_a_terminal() {
    let _watchdog = watchdog::watch("payloads_do_nothing_to_a_terminal");
    let broker = broker();
    let payload = "\x1b]0;owned\x07\ngap: 1 message of t missed\u{202e}";
    for (format, wanted) in [
        ("text", "\\x1b]0;owned\\x07\\ngap: 1 message of t missed\\u{202e}\r\n"),
        ("raw", "\x1b]0;owned\x07\r\ngap: 1 message of t missed\u{202e}"),
    ] {
        let args = ["sub", "t", "--count", "1", "-o", format];
        let sub = subscribed(&broker, 1, &mut on_a_terminal(&broker, &args));
        succeeded(&at(&broker, &["pub", "t", payload]).output().expect("it runs"));
        let output = sub.output();
        // The terminal shows stderr, too: the word that it is subscribed.
        let (first, shown) = text(&output.stdout).split_once("\r\n").expect("a line");
        assert!(first.starts_with("subscribed at tcp://"), "{first}");
        assert_eq!((shown, output.status.code()), (wanted, Some(0)), "{}", text(&output.stderr));
    }
}

#[test]
fn a_hostile_broker_does_not_write_into_the_terminal() {
    let _watchdog = watchdog::watch("a_hostile_broker_does_not_write_into_the_terminal");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let code = corecast::ErrorCode::PolicyRefused.number();
    let refusal = Frame::Error { text: "\x1b[2J\nerror: forged\u{9b}1m", code, request: 0 };
    let refusal = encode_to_vec(&refusal);
    let refuse_all = move || {
        for peer in listener.incoming() {
            let mut peer = peer.expect("a connection");
            // Whoever is gone already does not hear it.
            let _ = peer.write_all(&greeting::ours()).and_then(|()| peer.write_all(&refusal));
            let _ = peer.shutdown(std::net::Shutdown::Write);
            let _ = peer.read_to_end(&mut Vec::new());
        }
    };
    // Nobody joins it: it ends with the process.
    spawn_plain("hostile", refuse_all).expect("a thread");
    for args in [&["sub", "t"][..], &["pub", "t", "x"], &["registry"]] {
        let said = said(&run(&[args, &["--broker", &endpoint]].concat()), 1);
        assert!(said.contains("refused: \\x1b[2J\\nerror: forged\\u{9b}1m (policy_refused)"), "{said:?}");
        assert_eq!(said.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{said}");
    }
}

#[test]
fn no_argument_writes_into_the_terminal() {
    let _watchdog = watchdog::watch("no_argument_writes_into_the_terminal");
    let hostile = "a\x1b[2J\n\u{9b}1m\nerror: \u{202e}forged";
    let lines: &[&[&str]] = &[
        &["sub", hostile],
        &["sub", "t", "--count", hostile],
        &["sub", "t", "-o", hostile],
        &[hostile],
        &["pub", "t", "x", "--broker", hostile],
        &["broker", "--mode-rule", hostile],
        &["broker", "--overflow", hostile],
        &["broker", "--log-level", hostile],
        &["pub", "t", "--lines", hostile],
        &["man", hostile],
    ];
    for line in lines {
        let output = run(line);
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains("\\x1b[2J"), "{line:?}: {said}");
        assert!(
            !said.contains(|char: char| char.is_control() && char != '\n' || char == '\u{202e}'),
            "{said:?}"
        );
        assert!(
            !said.lines().any(|line| line.starts_with("error: \\u") || line.starts_with("\\u{9b}")),
            "{said}"
        );
    }
}
