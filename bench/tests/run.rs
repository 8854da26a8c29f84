//! `corecast-bench run` as a person or a script calls it, against the real broker.
#![expect(clippy::unwrap_used, reason = "a test that cannot read what it wants to check has failed")]

mod command;

use command::{assert_exit, assert_fine_or_late, bench, record, run, text};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

/// A watchdog, not a measure: nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Children of a process, by the parent that procfs names.
fn children_of(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let parent_of = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    processes.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

/// True while it runs: a zombie does not.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| {
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    })
}

/// Looks until it is so.
#[track_caller]
fn until(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "it never came to be that {what}");
        std::thread::yield_now();
    }
}

fn signal(pid: u32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), signal).unwrap();
}

/// A run of a minute that has sent its first messages.
struct Underway {
    bench: Child,
    stderr: BufReader<std::process::ChildStderr>,
    broker: u32,
}

impl Underway {
    fn start(arguments: &[&str]) -> Self {
        Self::start_for("60", arguments)
    }

    /// A run of so many seconds, that is sending.
    fn start_for(seconds: &str, arguments: &[&str]) -> Self {
        let mut all =
            vec!["run", "--subscribers", "8", "--rate", "200", "--duration", seconds, "--json", "-"];
        all.extend(arguments);
        let mut bench = bench(&all).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(bench.stderr.take().unwrap());
        let mut said = String::new();
        while !said.ends_with("sending\n") {
            assert!(stderr.read_line(&mut said).unwrap() > 0, "it ended: {said}");
        }
        let broker = *children_of(bench.id()).first().unwrap();
        Underway { bench, stderr, broker }
    }

    /// Its output, once it has ended.
    fn finish(mut self) -> Output {
        let mut stderr = Vec::new();
        self.stderr.read_to_end(&mut stderr).unwrap();
        let mut output = self.bench.wait_with_output().unwrap();
        output.stderr = stderr;
        output
    }
}

#[test]
fn every_message_is_accounted_for_on_every_kind_of_session_and_transport() {
    for (transport, sessions) in [("tcp", "per-subscriber"), ("uds", "per-executor"), ("tcp", "per-executor")]
    {
        let output = run(&[
            "--subscribers",
            "3,24",
            "--publishers",
            "3",
            "--messages",
            "50",
            "--rate",
            "500",
            "--size",
            "200",
            "--transport",
            transport,
            "--sessions",
            sessions,
            "--json",
            "-",
            "--assert",
            "lost == 0",
            "--assert",
            "deliveries == deliveries_expected",
            "--assert",
            "messages_sent == 150",
            "--assert",
            "duplicated + reordered + corrupted == 0",
            "--assert",
            "latency_us.max <= last_subscriber_us.max",
            "--assert",
            "first_subscriber_us.min > 0",
            "--assert",
            "broker.rss_bytes > 1e5",
        ]);
        assert_fine_or_late(&output);
        let record = record(&output);
        assert_eq!(record["schema"], "corecast-bench/1");
        assert_eq!(record["runs"].as_array().unwrap().len(), 2);
        let run = &record["runs"][1];
        assert_eq!((&run["transport"], &run["sessions"]), (&Value::from(transport), &Value::from(sessions)));
        assert_eq!(run["deliveries_expected"], 24 * 150);
        assert_eq!(run["incomplete"], Value::Null);
    }
}

#[test]
fn a_flood_is_accounted_for_under_every_policy_that_keeps_the_session() {
    for policy in ["drop-oldest", "drop-newest", "latest", "block"] {
        let output = run(&[
            "--subscribers",
            "16",
            "--rate",
            "flood",
            "--messages",
            "20000",
            "--overflow",
            policy,
            "--size",
            "2000",
            "--egress-bytes",
            "5000000",
            "--json",
            "-",
            "--assert",
            "lost == 0",
            "--assert",
            "deliveries + gaps_reported == deliveries_expected",
            "--assert",
            "messages_sent == 20000",
        ]);
        assert_exit(&output, 0);
        let run = record(&output)["runs"][0].clone();
        assert_eq!(run["rate_hz"], Value::Null);
        if policy == "block" {
            assert_eq!(run["gaps_reported"], 0);
        }
    }
}

/// Forty topics of three publishers, and what every run of them keeps to.
const TOPICS: [&str; 22] = [
    "--subscribers",
    "24",
    "--publishers",
    "3",
    "--topics",
    "40",
    "--topics-per-subscriber",
    "7",
    "--json",
    "-",
    "--assert",
    "lost == 0",
    "--assert",
    "duplicated + reordered + corrupted + misdelivered == 0",
    "--assert",
    "topics == 40",
    "--assert",
    "topics_per_subscriber == 7",
    "--assert",
    "deliveries > 0",
    "--assert",
    "deliveries_expected < messages_sent * subscribers * 0.8",
];

#[test]
fn each_subscriber_gets_its_part_of_the_topics() {
    for (mode, sessions, spread, filters) in [
        ("proxy", "per-subscriber", "uniform", "exact"),
        ("proxy", "per-executor", "zipf", "wildcard:3"),
        ("direct", "per-subscriber", "zipf", "exact"),
    ] {
        let asked =
            ["--mode", mode, "--sessions", sessions, "--topic-spread", spread, "--topic-filters", filters];
        let amount = ["--messages", "200", "--rate", "400", "--assert", "deliveries == deliveries_expected"];
        let output = run(&[&TOPICS[..], &asked, &amount].concat());
        assert_fine_or_late(&output);
        let run = record(&output)["runs"][0].clone();
        assert_eq!((&run["mode"], &run["messages_sent"]), (&Value::from(mode), &Value::from(600)), "{run}");
        assert_eq!(
            (&run["topic_spread"], &run["topic_filters"]),
            (&Value::from(spread), &Value::from(filters))
        );
        assert_eq!(run["incomplete"], Value::Null, "{run}");
    }
}

#[test]
fn gaps_of_a_flood_are_told_topic_by_topic() {
    for policy in ["drop-oldest", "block"] {
        let flood = ["--rate", "flood", "--messages", "20000", "--size", "2000", "--egress-bytes", "5000000"];
        let kept = ["--overflow", policy, "--assert", "deliveries + gaps_reported == deliveries_expected"];
        let output = run(&[&TOPICS[..], &flood, &kept].concat());
        assert_exit(&output, 0);
        let run = record(&output)["runs"][0].clone();
        assert_eq!(run["messages_sent"], 60_000);
        assert!(!run["notes"].to_string().contains("than they missed"), "{run}");
    }
}

#[test]
fn the_tables_and_the_file_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r.json");
    let output =
        run(&["--subscribers", "4", "--messages", "5", "--rate", "100", "--json", file.to_str().unwrap()]);
    assert_fine_or_late(&output);
    let record: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(record["runs"][0]["deliveries"], 20);
    let stdout = text(&output.stdout);
    assert!(stdout.contains("proxy mode, tcp, sessions per-subscriber"), "{stdout}");
    assert!(stdout.contains("median"), "{stdout}");
}

#[test]
fn an_assertion_that_fails_is_two_and_keeps_the_record() {
    let output = run(&[
        "--subscribers",
        "2",
        "--messages",
        "3",
        "--json",
        "-",
        "--rate",
        "100",
        "--assert",
        "lost > 0",
    ]);
    assert_exit(&output, 2);
    assert!(text(&output.stderr).contains("--assert 'lost > 0' does not hold"), "{}", text(&output.stderr));
    assert_eq!(record(&output)["runs"][0]["lost"], 0);
}

#[test]
fn wrong_usage_is_two_and_starts_nothing() {
    for (arguments, says) in [
        (vec!["--assert", "losst==0"], "deliveries_expected"),
        (vec!["--size", "8"], "it takes 40"),
        (vec!["--mode", "fast"], "it has `proxy`, `direct` and `both`"),
        (vec!["--mode", "both", "--broker", "tcp://127.0.0.1:1"], "leave --broker out"),
        (vec!["--subscribers", "90000000"], "ulimit -Hn"),
        (vec!["--cores", "4095"], "4095"),
        (vec!["--log", "loud=very=much"], "--log"),
    ] {
        let output = run(&arguments);
        assert_exit(&output, 2);
        assert!(text(&output.stderr).contains(says), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn a_rate_that_cannot_be_reached_is_three_and_ends_in_time() {
    let output = run(&[
        "--subscribers",
        "2",
        "--rate",
        "1e8",
        "--duration",
        "0.2",
        "--overflow",
        "block",
        "--json",
        "-",
    ]);
    assert_exit(&output, 3);
    let run = record(&output)["runs"][0].clone();
    assert_eq!(run["lost"], 0);
    assert!(run["notes"][0].as_str().unwrap().contains("asked rate was not reached"), "{run}");
}

#[test]
fn a_broker_that_does_not_answer_is_a_failure_that_says_where() {
    // It takes connections, as the kernel does for it, and never says a word.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let output = run(&["--broker", &url, "--subscribers", "2", "--timeout", "1", "--json", "-"]);
    assert_exit(&output, 1);
    let said = text(&output.stderr);
    assert!(said.contains("cannot subscribe") && said.contains(&url), "{said}");
}

#[test]
fn no_broker_to_start_is_an_error_that_says_what_to_do() {
    let output = bench(&["run"]).env("CORECAST_BIN", "/nowhere/corecast").output().unwrap();
    assert_exit(&output, 1);
    assert!(
        text(&output.stderr).contains("CORECAST_BIN names /nowhere/corecast"),
        "{}",
        text(&output.stderr)
    );
    let output = bench(&["run"]).env("CORECAST_BIN", "/bin/false").output().unwrap();
    assert_exit(&output, 1);
    assert!(text(&output.stderr).contains("the broker ended before it served"), "{}", text(&output.stderr));
}

#[test]
fn what_the_broker_says_against_its_options_is_passed_on() {
    let output = run(&["--egress-bytes", "0", "--subscribers", "1", "--messages", "1"]);
    assert_exit(&output, 1);
    assert!(text(&output.stderr).contains("egress-bytes"), "{}", text(&output.stderr));
}

#[test]
fn an_interruption_keeps_what_was_measured_and_leaves_no_broker() {
    let underway = Underway::start(&[]);
    let broker = underway.broker;
    signal(underway.bench.id(), nix::sys::signal::Signal::SIGINT);
    let output = underway.finish();
    assert_exit(&output, 1);
    let run = record(&output)["runs"][0].clone();
    assert_eq!((&run["incomplete"], &run["lost"]), (&Value::from("interrupted"), &Value::from(0)));
    assert!(!runs(broker));
}

#[test]
fn a_broker_that_dies_is_a_failure_that_says_so_and_keeps_what_was_measured() {
    let underway = Underway::start(&[]);
    signal(underway.broker, nix::sys::signal::Signal::SIGKILL);
    let output = underway.finish();
    assert_exit(&output, 1);
    let run = record(&output)["runs"][0].clone();
    assert!(run["incomplete"].as_str().unwrap().contains("the broker has ended (signal: 9"), "{run}");
}

#[test]
fn a_broker_that_hangs_is_a_time_out() {
    let underway = Underway::start(&["--timeout", "1", "--overflow", "block"]);
    signal(underway.broker, nix::sys::signal::Signal::SIGSTOP);
    let broker = underway.broker;
    let output = underway.finish();
    assert_exit(&output, 27);
    assert!(!runs(broker));
}

#[test]
fn no_broker_outlives_a_bench_that_is_killed() {
    let underway = Underway::start(&[]);
    let broker = underway.broker;
    assert!(runs(broker));
    signal(underway.bench.id(), nix::sys::signal::Signal::SIGKILL);
    underway.finish();
    until("the broker has gone", || !runs(broker));
}

#[test]
fn a_closed_pipe_and_a_full_disk_are_no_panic() {
    let arguments = ["run", "--subscribers", "1", "--messages", "1", "--rate", "flood"];
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = bench(&arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_exit(&output, 0);
    let full = std::fs::File::create("/dev/full").unwrap();
    let output = bench(&arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_exit(&output, 1);
    assert!(text(&output.stderr).contains("cannot write to stdout"), "{}", text(&output.stderr));
}

#[test]
fn help_completions_and_man_pages_come_from_one_definition() {
    let help = bench(&["run", "--help"]).output().unwrap();
    assert_exit(&help, 0);
    assert!(
        text(&help.stdout).contains("Examples:")
            && text(&help.stdout).contains("CORECAST_BENCH_RUN_SUBSCRIBERS")
    );
    let completions = bench(&["completions", "bash"]).output().unwrap();
    assert_exit(&completions, 0);
    assert!(text(&completions.stdout).contains("--subscribers"));
    assert!(text(&bench(&["man"]).output().unwrap().stdout).contains("corecast-bench"));
    let pages = tempfile::tempdir().unwrap().path().join("man");
    assert_exit(&bench(&["man", "--out", pages.to_str().unwrap()]).output().unwrap(), 0);
    assert!(pages.join("corecast-bench-run.1").is_file());
}

#[test]
fn what_cannot_be_written_is_told_before_the_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, file) = (folder.path().join("none/r.json"), folder.path().join("file"));
    std::fs::write(&file, "").unwrap();
    let (missing, below) = (missing.display().to_string(), file.join("out").display().to_string());
    let lines: &[&[&str]] = &[
        &["run", "--json", &missing],
        &["run", "--json", "/"],
        &["peers", "--json", &missing],
        &["peers", "--out", &below],
        &["experiment", "echo", "--out", &below],
        &["compare", "a.json", "b.json", "--json", &missing],
    ];
    for line in lines {
        let output = bench(line).output().unwrap();
        let said = text(&output.stderr);
        // One line, and nothing was started: a run says that it connects.
        assert!(matches!(output.status.code(), Some(1 | 2)) && said.lines().count() == 1, "{line:?}: {said}");
        assert!(said.contains(line[line.len() - 1].trim_end_matches("/out")), "{line:?}: {said}");
        assert!(output.stdout.is_empty(), "{line:?}");
    }
}

#[test]
fn tables_are_printed_though_the_record_cannot_be_written() {
    let arguments = ["run", "--subscribers", "1", "--messages", "3", "--json", "/dev/full"];
    let output = bench(&arguments).output().unwrap();
    assert!(text(&output.stderr).contains("cannot write /dev/full"), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("proxy 1"), "{}", text(&output.stdout));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn bash_completes_behind_a_subcommand() {
    let script = bench(&["completions", "bash"]).output().unwrap();
    let offered = |words: &[&str]| {
        let program = "source /dev/stdin; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                       \"$(complete -p \"$1\" | sed 's/.*-F \\([^ ]*\\).*/\\1/')\" \"$1\" \"${!#}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; \
                       echo \"${COMPREPLY[*]}\"";
        let mut bash = std::process::Command::new("bash");
        bash.args(["--norc", "-c", program, "bash"]).args(words);
        let mut bash =
            bash.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        std::io::Write::write_all(&mut bash.stdin.take().unwrap(), &script.stdout).unwrap();
        text(&bash.wait_with_output().unwrap().stdout).trim().to_owned()
    };
    assert_eq!(offered(&["corecast-bench", "exp"]), "experiment");
    assert_eq!(offered(&["corecast-bench", "run", "--subsc"]), "--subscribers");
    assert_eq!(offered(&["corecast-bench", "run", "--mode", ""]), "proxy direct both");
    assert_eq!(offered(&["corecast-bench", "peers", "--transport", "u"]), "uds");
}

#[test]
fn a_broker_that_stands_still_shows_in_every_message_that_it_delays() {
    use nix::sys::signal::{Signal, kill};
    let underway = Underway::start_for("10", &["--timeout", "30"]);
    let broker = nix::unistd::Pid::from_raw(i32::try_from(underway.broker).unwrap());
    corecast_executors::pause(Duration::from_secs(3));
    kill(broker, Signal::SIGSTOP).unwrap();
    // The time that it stands still is what is measured.
    corecast_executors::pause(Duration::from_secs(3));
    kill(broker, Signal::SIGCONT).unwrap();
    let output = underway.finish();
    let run = &record(&output)["runs"][0];
    assert_eq!((&run["lost"], &run["incomplete"]), (&Value::from(0), &Value::Null), "{run}");
    let latency = |figure: &str| run["latency_us"][figure].as_f64().unwrap() / 1e6;
    // Of 10 s of messages, 3 wait for 3 s to 0: 1.5 s on average, which is 0.45 s over all.
    let (mean, p99) = (latency("mean"), latency("p99"));
    assert!((0.40..0.75).contains(&mean) && (2.7..3.6).contains(&p99), "mean {mean} s, p99 {p99} s");
}
