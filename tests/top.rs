//! `corecast top` in a real terminal, and its figures without one.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod running;
mod watchdog;

use std::process::{Command, Stdio};

use broker_process::{BrokerProcess, Transport, corecast};
use corecast::{Filter, Subscriber};
use running::{run, said, start, text};
use serde_json::Value;

/// Runs a command in a terminal of this size until it has shown these words; then it gets a key, or a signal. Prints what it
/// has written, and ends as it did.
const IN_A_TERMINAL: &str = "
import fcntl, os, pty, signal, struct, sys, termios
columns, lines, end, words = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4].split('|')
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', lines, columns, 0, 0))
    os.environ['TERM'] = 'xterm-256color'
    os.execvp(sys.argv[5], sys.argv[5:])
seen, asked = b'', False
while True:
    try:
        some = os.read(fd, 65536)
    except OSError:
        break
    if not some:
        break
    seen += some
    if not asked and all(word.encode() in seen for word in words):
        asked = True
        os.kill(pid, signal.SIGTERM) if end == 'TERM' else os.write(fd, end.encode())
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(status) if asked else 99)
";

/// The bytes that `top` has written to a terminal of this size until it was ended by that.
fn shown(broker: &BrokerProcess, size: (u16, u16), end: &str, words: &str) -> String {
    let mut command = Command::new("python3");
    let (columns, lines) = (size.0.to_string(), size.1.to_string());
    command.args(["-c", IN_A_TERMINAL, &columns, &lines, end, words, env!("CARGO_BIN_EXE_corecast")]);
    command.args(["top", "--metrics", &broker.metrics().to_string(), "--interval", "500ms"]);
    for (name, _) in corecast().get_envs() {
        command.env_remove(name);
    }
    let output = start(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())).output();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    text(&output.stdout).to_owned()
}

fn broker_with_a_session() -> (BrokerProcess, Subscriber) {
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "1"]);
    let filters = [Filter::parse("prices.>").expect("a filter")];
    let name = "screen\u{1b}]0;owned\u{7}";
    let subscriber = Subscriber::with_config(broker.client().name(name), &filters).expect("a subscriber");
    (broker, subscriber)
}

#[test]
fn a_terminal_shows_the_broker_and_is_as_before_afterwards() {
    let _watchdog = watchdog::watch("a_terminal_shows_the_broker_and_is_as_before_afterwards");
    let (broker, _subscriber) = broker_with_a_session();
    for (size, end, words) in [
        ((80, 24), "q", "SHARDS|SLOWEST|TOPICS|screen"),
        ((200, 50), "\u{3}", "SHARDS|ADDRESS|FILTERS|prices.>"),
        ((20, 12), "TERM", "SHARD|LAG"),
    ] {
        let written = shown(&broker, size, end, words);
        let [opens, closes, cursor] = ["\u{1b}[?1049h", "\u{1b}[?1049l", "\u{1b}[?25h"];
        assert!(written.contains(opens) && written.contains(cursor), "{size:?}: {written:?}");
        assert!(written.trim_end().ends_with(closes), "{size:?}: {written:?}");
        assert!(!written.contains("\u{1b}]0;") && !written.contains('\u{7}'), "{written:?}");
    }
}

#[test]
fn once_prints_the_figures_and_needs_no_terminal() {
    let _watchdog = watchdog::watch("once_prints_the_figures_and_needs_no_terminal");
    let (broker, _subscriber) = broker_with_a_session();
    let metrics = broker.metrics().to_string();
    let top = |args: &[&str]| run(&[&["top", "--metrics", &metrics], args].concat());
    let output = top(&["--once", "-o", "json"]);
    assert_eq!(said(&output, 0), "");
    let live: Value = serde_json::from_str(text(&output.stdout)).expect("an object");
    assert_eq!(live["sessions_total"], 1);
    assert_eq!(live["slowest"][0]["filters"]["first"][0], "prices.>");
    let output = top(&["--once"]);
    assert_eq!(said(&output, 0), "");
    let tables = text(&output.stdout);
    for part in ["corecast ", "SHARD", "screen\\x1b]0;owned\\x07", "prices.>", "TOPIC"] {
        assert!(tables.contains(part), "{part} is missing in {tables}");
    }
    let refused = said(&top(&[]), 2);
    assert!(refused.contains("stdout is no terminal") && refused.contains("--once"), "{refused}");
    let usage = said(&top(&["-o", "json"]), 2);
    assert!(usage.contains("--once"), "{usage}");
    let alone = said(&run(&["top", "--metrics", "127.0.0.1:1", "--once"]), 1);
    assert!(alone.contains("127.0.0.1:1"), "{alone}");
}
