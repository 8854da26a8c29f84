//! Completions and man pages, read by a real bash and a real man.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod running;
mod watchdog;

use std::io::Write as _;
use std::process::{Command, Stdio};

use running::{run, said, text};

/// The completions that bash offers for these words, of which the last is incomplete.
fn offered(words: &[&str]) -> String {
    let script = run(&["completions", "bash"]);
    said(&script, 0);
    let program = "source /dev/stdin; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                   \"$(complete -p \"$1\" | sed 's/.*-F \\([^ ]*\\).*/\\1/')\" \"$1\" \"${!#}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; \
                   echo \"${COMPREPLY[*]}\"";
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", program, "bash"]).args(words);
    let mut bash =
        bash.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("bash");
    bash.stdin.take().expect("it is piped").write_all(&script.stdout).expect("it reads all");
    text(&bash.wait_with_output().expect("it is ours").stdout).trim().to_owned()
}

#[test]
fn bash_completes_options_and_their_words() {
    let _watchdog = watchdog::watch("bash_completes_options_and_their_words");
    assert_eq!(offered(&["corecast", "bro"]), "broker");
    assert_eq!(offered(&["corecast", "broker", "--egress-b"]), "--egress-bytes");
    assert_eq!(
        offered(&["corecast", "broker", "--overflow", ""]),
        "drop-oldest drop-newest latest disconnect block"
    );
    assert_eq!(offered(&["corecast", "broker", "--mode", "d"]), "direct");
    assert_eq!(offered(&["corecast", "broker", "--idle", "b"]), "busy");
    assert_eq!(offered(&["corecast", "sub", "-o", "j"]), "json");
    assert_eq!(offered(&["corecast", "sub", "--log-level", "tr"]), "trace");
    assert_eq!(offered(&["corecast", "man", "regis"]), "registry");
    assert_eq!(offered(&["corecast", "config", "ch"]), "check");
    assert_eq!(offered(&["corecast", "config", "show", "--config", "Cargo.t"]), "Cargo.toml");
    assert_eq!(offered(&["corecast", "config", "show", "--overflow", "b"]), "block");
    // A number is none of the files of this folder.
    assert_eq!(offered(&["corecast", "pub", "--size", "Cargo"]), "Cargo");
    assert_eq!(offered(&["corecast", "pub", "--lines", "Cargo.t"]), "Cargo.toml");
}

fn left_out(why: &str) {
    let _ = writeln!(std::io::stderr(), "left out: {why}");
}

#[test]
fn man_shows_the_pages() {
    let _watchdog = watchdog::watch("man_shows_the_pages");
    for name in ["broker", "pub", "sub", "registry", "doctor", "completions", "man"] {
        let page = run(&["man", name]);
        said(&page, 0);
        let mut man = Command::new("man");
        man.args(["--warnings", "-l", "-"]).env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8");
        let started = man.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let Ok(mut man) = started else { return left_out("there is no man") };
        // Whoever takes nothing is a man that shows nothing, as in small containers.
        let _ = man.stdin.take().expect("it is piped").write_all(&page.stdout);
        let output = man.wait_with_output().expect("it is ours");
        let shown = text(&output.stdout);
        if !shown.contains("SYNOPSIS") {
            return left_out("this man shows no pages");
        }
        assert_eq!(text(&output.stderr), "", "{name}");
        let whole = corecast::internals::cli::command();
        let help =
            whole.find_subcommand(name).and_then(|command| command.get_after_help()).expect("a help text");
        let help = help.to_string();
        let examples =
            help.split("Examples:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("examples");
        for example in examples.lines() {
            assert!(
                shown.lines().any(|line| line.trim() == example.trim()),
                "{example} is not a line of {shown}"
            );
        }
        for section in ["EXAMPLES", "EXIT STATUS", "ENVIRONMENT"] {
            assert!(shown.lines().any(|line| line == section), "{section} is not in {shown}");
        }
        assert!(shown.trim_end().lines().last().is_some_and(|foot| foot.contains("20")), "{shown}");
    }
}
