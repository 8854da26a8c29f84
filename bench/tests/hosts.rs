//! `corecast-bench run --hosts` with real agents on loopback: what they give together, and what becomes of a run
//! when one of them does not do its part.
#![expect(clippy::unwrap_used, reason = "a test that cannot read what it wants to check has failed")]

mod command;

use command::{assert_exit, assert_fine_or_late, bench, record, run, text};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A watchdog, not a measure: nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Conditions on every run.
const EXACT: [&str; 4] = [
    "--assert",
    "lost + duplicated + reordered + corrupted == 0",
    "--assert",
    "deliveries == deliveries_expected",
];

/// An agent on a port of its own.
struct Agent {
    process: Child,
    url: String,
    stderr: Option<BufReader<std::process::ChildStderr>>,
}

impl Agent {
    fn start() -> Self {
        Agent::with(&[])
    }

    fn with(options: &[&str]) -> Self {
        Agent::from(bench(&[&["agent", "--listen", "tcp://127.0.0.1:0"], options].concat()))
    }

    fn from(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let url = ready.trim().strip_prefix("ready ").unwrap().to_owned();
        let stderr = process.stderr.take().map(BufReader::new);
        Agent { process, url, stderr }
    }

    fn address(&self) -> &str {
        self.url.strip_prefix("tcp://").unwrap()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id() as i32), signal).unwrap();
    }

    /// Reads what it says until a line with these words.
    fn says(&mut self, words: &str) {
        let stderr = self.stderr.as_mut().unwrap();
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended without `{words}`");
        }
    }

    /// Threads and sockets of its process, but for what it always has.
    fn executors(&self) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|name| name.starts_with("bench-sub")).count()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A file that names these agents, in order: one, two…
fn hosts_file(agents: &[&str]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = write_hosts(&folder, "", agents);
    (folder, path)
}

/// The same in this folder, with lines before the agents.
fn write_hosts(folder: &TempDir, before: &str, agents: &[&str]) -> PathBuf {
    let path = folder.path().join("hosts.toml");
    let hosts = agents.iter().zip(["one", "two", "three"]);
    let text: String =
        hosts.map(|(agent, name)| format!("[[host]]\nname = \"{name}\"\nagent = \"{agent}\"\n")).collect();
    std::fs::write(&path, format!("{before}{text}")).unwrap();
    path
}

/// A file of a token, for its owner alone.
fn write_token(folder: &TempDir, name: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, name.repeat(32)).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn run_on(agents: &[&str], arguments: &[&str]) -> Output {
    let (_folder, path) = hosts_file(agents);
    run(&[&["--hosts", path.to_str().unwrap(), "--json", "-"], arguments].concat())
}

fn frame(value: &Value) -> Vec<u8> {
    let text = value.to_string();
    [&(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn read_frame(mut stream: &TcpStream) -> Value {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut body = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn hello() -> Value {
    json!({ "say": "hello", "version": env!("CARGO_PKG_VERSION"), "schema": "corecast-bench/1" })
}

/// Looks until it is so.
#[track_caller]
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "it never came to be that {what}");
        std::thread::yield_now();
    }
}

#[test]
fn an_agent_that_other_hosts_reach_wants_a_token_or_the_word_insecure() {
    for listen in ["tcp://*:0", "tcp://0.0.0.0:0", "tcp://[::]:0"] {
        let output = bench(&["agent", "--listen", listen]).output().unwrap();
        assert_exit(&output, 2);
        let said = text(&output.stderr);
        assert!(said.contains("--token-file FILE") && said.contains("--insecure"), "{listen}: {said}");
        assert!(output.stdout.is_empty(), "it has not listened");
    }
    let folder = tempfile::tempdir().unwrap();
    let token = write_token(&folder, "token");
    drop(Agent::from(bench(&["agent", "--listen", "tcp://0.0.0.0:0", "--token-file", &token])));
    let mut open = Agent::from(bench(&["agent", "--listen", "tcp://0.0.0.0:0", "--insecure"]));
    open.says("may make this host connect anywhere");
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o644)).unwrap();
    let output = bench(&["agent", "--token-file", &token]).output().unwrap();
    assert_exit(&output, 2);
    assert!(text(&output.stderr).contains("chmod 0600"), "{}", text(&output.stderr));
}

#[test]
fn agents_and_controllers_with_one_token_work_together_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (write_token(&folder, "ours"), write_token(&folder, "other"));
    let (with, mut without) = (Agent::with(&["--token-file", &ours]), Agent::start());
    let run_with = |token_file: &str, agent: &Agent| {
        let before =
            if token_file.is_empty() { String::new() } else { format!("token_file = \"{token_file}\"\n") };
        let hosts = write_hosts(&folder, &before, &[&agent.url]);
        run(&["--hosts", hosts.to_str().unwrap(), "--subscribers", "2", "--messages", "3", "--rate", "100"])
    };
    let fails = |token_file: &str, agent: &Agent, says: &str| {
        let output = run_with(token_file, agent);
        assert_exit(&output, 1);
        assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
    };
    fails("", &with, "asks for its token: name the file that it was started with as token_file");
    fails(&other, &with, "its token is another one than ours");
    fails(&ours, &without, "does not prove that it has the token");
    // Relative to the file of hosts.
    assert_fine_or_late(&run_with("ours", &with));
    assert_fine_or_late(&run_with("", &without));
    assert_exit(&run_with("nowhere", &with), 2);
    without.says("done with");
}

#[test]
fn a_stranger_is_told_nothing_that_the_token_makes_and_no_proof_counts_twice() {
    let folder = tempfile::tempdir().unwrap();
    let one = Agent::with(&["--token-file", &write_token(&folder, "ours")]);
    let challenged = |stream: &TcpStream| {
        let mut stream = stream;
        stream.write_all(&frame(&hello())).unwrap();
        let challenge = read_frame(stream);
        assert_eq!(
            (&challenge["say"], &challenge["proof"]),
            (&json!("challenge"), &Value::Null),
            "{challenge}"
        );
        challenge["nonce"].clone()
    };
    let (mut stream, mut again) = (one.connect(), one.connect());
    let first = challenged(&stream);
    // Its own random number sent back, with what might be a proof.
    stream.write_all(&frame(&json!({ "say": "proof", "nonce": first, "proof": first }))).unwrap();
    let answer = read_frame(&stream);
    assert_eq!((&answer["say"], &answer["busy"]), (&json!("refused"), &json!(false)), "{answer}");
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "and it closes");
    assert_ne!(challenged(&again), first, "each connection has a challenge of its own");
    again.write_all(&frame(&json!({ "say": "ping", "sent_ns": 1 }))).unwrap();
    assert_eq!(read_frame(&again)["say"], "refused");
}

#[test]
fn an_agent_is_reached_at_every_address_that_it_listens_on() {
    let agent = Agent::from(bench(&["agent", "--listen", "tcp://*:0", "--insecure"]));
    let port: u16 = agent.url.rsplit(':').next().unwrap().parse().unwrap();
    let hosts = ["127.0.0.1", "::1"];
    let of_this_machine = hosts.into_iter().filter(|host| TcpListener::bind((*host, 0)).is_ok());
    for host in of_this_machine {
        TcpStream::connect((host, port)).unwrap_or_else(|error| panic!("{host}: {error}"));
    }
}

#[test]
fn a_run_over_two_hosts_is_exact_in_both_modes_and_names_them() {
    let (one, two) = (Agent::start(), Agent::start());
    for sessions in ["per-subscriber", "per-executor"] {
        let common = ["--mode", "both", "--subscribers", "25", "--publishers", "3", "--sessions", sessions];
        let output = run_on(
            &[&one.url, &two.url],
            &[&common[..], &["--messages", "30", "--rate", "200"], &EXACT].concat(),
        );
        assert_fine_or_late(&output);
        let record = record(&output);
        assert_eq!(record["runs"].as_array().unwrap().len(), 2);
        for run in record["runs"].as_array().unwrap() {
            assert_eq!(run["deliveries"], 25 * 90);
            let hosts: Vec<_> = run["hosts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|host| (&host["name"], &host["subscribers"]))
                .collect();
            assert_eq!(hosts, [(&json!("one"), &json!(13)), (&json!("two"), &json!(12))]);
            assert_eq!(
                (&run["clock_error_us"], &run["hosts"][0]["clock_offset_us"]),
                (&Value::Null, &json!(0.0))
            );
            let clock = run["hosts"][0]["environment"]["clock"].as_str().unwrap();
            assert!(clock.contains("the one of the publishers' host"), "{clock}");
            assert!(run["first_subscriber_us"]["min"].as_f64().unwrap() > 0.0, "{run}");
        }
    }
    until("no executor is left", || one.executors() + two.executors() == 0);
}

#[test]
fn each_host_wants_the_topics_that_its_subscribers_would_want_here() {
    let (one, two) = (Agent::start(), Agent::start());
    let topics = ["--topics", "30", "--topics-per-subscriber", "4", "--topic-filters", "wildcard:3"];
    let common =
        ["--mode", "both", "--subscribers", "25", "--publishers", "2", "--messages", "60", "--rate", "200"];
    let arguments = [&common[..], &topics, &EXACT].concat();
    let (elsewhere, here) =
        (run_on(&[&one.url, &two.url], &arguments), run(&[&arguments[..], &["--json", "-"]].concat()));
    let deliveries = |output: &Output| {
        assert_fine_or_late(output);
        let runs = record(output)["runs"].as_array().unwrap().clone();
        let each = runs.iter().map(|run| (run["deliveries"].as_u64().unwrap(), run["misdelivered"].as_u64()));
        each.collect::<Vec<_>>()
    };
    let elsewhere = deliveries(&elsewhere);
    assert_eq!(elsewhere, deliveries(&here));
    assert!(
        elsewhere.iter().all(|(deliveries, wrong)| *deliveries > 0 && *wrong == Some(0)),
        "{elsewhere:?}"
    );
}

#[test]
fn a_host_without_a_share_is_left_alone() {
    let one = Agent::start();
    // Nobody listens there, and nobody is asked.
    let output =
        run_on(&[&one.url, "tcp://127.0.0.1:1"], &["--subscribers", "1", "--messages", "3", "--rate", "100"]);
    assert_fine_or_late(&output);
    assert_eq!(record(&output)["runs"][0]["hosts"].as_array().unwrap().len(), 1);
}

/// The agent's clock is ahead by ten hours: in a time namespace of its own, which root may make.
#[test]
fn a_clock_that_is_hours_off_gives_right_latencies_within_its_bound() {
    if !nix::unistd::geteuid().is_root() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: a time namespace needs root");
        return;
    }
    const AHEAD_S: f64 = 36_000.0;
    let mut command = Command::new("unshare");
    command.args([
        "--time",
        "--monotonic",
        "36000",
        "--fork",
        "--kill-child",
        command::BENCH,
        "agent",
        "--listen",
    ]);
    command.arg("tcp://127.0.0.1:0").stdin(Stdio::null());
    let (here, ahead) = (Agent::start(), Agent::from(command));
    let arguments = ["--subscribers", "16", "--rate", "50", "--duration", "2.5", "--mode", "both"];
    let output = run_on(&[&here.url, &ahead.url], &[&arguments[..], &EXACT].concat());
    assert_fine_or_late(&output);
    for run in record(&output)["runs"].as_array().unwrap() {
        let (same, apart) = (&run["hosts"][0], &run["hosts"][1]);
        assert_eq!((&same["clock_offset_us"], &same["clock_error_us"]), (&json!(0.0), &Value::Null));
        let (offset_us, error_us) =
            (apart["clock_offset_us"].as_f64().unwrap(), apart["clock_error_us"].as_f64().unwrap());
        assert!((offset_us - AHEAD_S * 1e6).abs() <= error_us, "{offset_us} ± {error_us}");
        // Half of a round trip over loopback, with a machine that does other things too.
        assert!(error_us > 0.0 && error_us < 50_000.0, "± {error_us}");
        assert_eq!(run["clock_error_us"].as_f64(), Some(error_us));
        let latency = &run["latency_us"];
        assert!(
            latency["median"].as_f64().unwrap() < 1e6 && latency["max"].as_f64().unwrap() < 10e6,
            "{latency}"
        );
    }
    // Killed, not asked: unshare waits for its child, and takes it along.
    drop(ahead);
}

/// A run of a minute on two agents, which has sent its first messages.
struct Underway {
    bench: Child,
    stderr: BufReader<std::process::ChildStderr>,
    _folder: TempDir,
}

impl Underway {
    fn start(agents: &[&Agent]) -> Self {
        let urls: Vec<&str> = agents.iter().map(|agent| &agent.url[..]).collect();
        let (folder, path) = hosts_file(&urls);
        let mut bench =
            bench(&["run", "--subscribers", "8", "--rate", "100", "--duration", "60", "--json", "-"]);
        bench.arg("--hosts").arg(path);
        let mut bench = bench.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(bench.stderr.take().unwrap());
        let mut said = String::new();
        // The first line that says how far it is comes after some seconds of messages.
        while !said.contains(" deliveries, ") {
            assert!(stderr.read_line(&mut said).unwrap() > 0, "it ended: {said}");
        }
        Underway { bench, stderr, _folder: folder }
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

/// Checks the words and the record of a run on two hosts, of which the second is lost.
#[track_caller]
fn assert_lost(output: &Output, code: i32, says: &str) {
    assert_exit(output, code);
    let run = record(output)["runs"][0].clone();
    let why = run["incomplete"].as_str().unwrap();
    assert!(why.contains("host two is lost") && why.contains(says), "{why}");
    assert!(run["deliveries"].as_u64() > Some(0), "what the other host got is kept: {run}");
    let notes = run["notes"].to_string();
    assert!(notes.contains("4 subscribers did not say what they got"), "{notes}");
}

#[test]
fn an_agent_that_is_killed_is_named_and_the_others_results_are_kept() {
    let (one, two) = (Agent::start(), Agent::start());
    let underway = Underway::start(&[&one, &two]);
    two.signal(Signal::SIGKILL);
    assert_lost(&underway.finish(), 1, "start it again");
    until("no executor is left", || one.executors() == 0);
}

#[test]
fn an_agent_that_hangs_is_a_time_out_that_names_it() {
    let (one, two) = (Agent::start(), Agent::start());
    let underway = Underway::start(&[&one, &two]);
    two.signal(Signal::SIGSTOP);
    assert_lost(&underway.finish(), 27, "has not answered within 5 s");
    two.signal(Signal::SIGCONT);
}

#[test]
fn an_agent_that_is_asked_to_end_does_so_in_order_and_the_run_says_so() {
    let (one, mut two) = (Agent::start(), Agent::start());
    let underway = Underway::start(&[&one, &two]);
    two.signal(Signal::SIGTERM);
    assert_lost(&underway.finish(), 1, "start it again");
    assert_eq!(two.process.wait().unwrap().code(), Some(0));
    two.says("asked to stop while serving");
}

#[test]
fn a_controller_that_is_killed_takes_its_subscribers_along_and_the_next_is_served() {
    let (mut one, two) = (Agent::start(), Agent::start());
    let underway = Underway::start(&[&one, &two]);
    until("executors run", || one.executors() > 0);
    kill(Pid::from_raw(underway.bench.id() as i32), Signal::SIGKILL).unwrap();
    underway.finish();
    one.says("its subscribers are too");
    until("no executor is left", || one.executors() + two.executors() == 0);
    let output = run_on(
        &[&one.url, &two.url],
        &[&["--subscribers", "4", "--messages", "5", "--rate", "100"][..], &EXACT].concat(),
    );
    assert_fine_or_late(&output);
}

#[test]
fn a_second_controller_is_told_that_there_is_a_first() {
    let one = Agent::start();
    let first = one.connect();
    (&first).write_all(&frame(&hello())).unwrap();
    assert_eq!(read_frame(&first)["say"], "welcome");
    let beat = corecast_executors::spawn_plain("beat", {
        let mut first = first.try_clone().unwrap();
        // It goes on saying that it is there until it is cut.
        move || {
            while first.write_all(&frame(&json!({ "say": "ping", "sent_ns": 1 }))).is_ok() {
                std::thread::park_timeout(Duration::from_millis(200));
            }
        }
    });
    let output = run_on(&[&one.url], &["--subscribers", "1"]);
    assert_exit(&output, 1);
    let said = text(&output.stderr);
    assert!(said.contains("host one") && said.contains("serves another controller"), "{said}");
    first.shutdown(std::net::Shutdown::Both).unwrap();
    beat.unwrap().join().unwrap();
    let output = run_on(&[&one.url], &["--subscribers", "1", "--messages", "2", "--rate", "100"]);
    assert_fine_or_late(&output);
}

#[test]
fn an_agent_refuses_what_is_not_its_protocol_and_serves_on() {
    let one = Agent::start();
    let huge = u32::MAX.to_le_bytes();
    let ping = frame(&json!({ "say": "ping", "sent_ns": 1 }));
    for (bytes, says) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], "not the protocol"),
        (&huge[..], "not the protocol"),
        (&b"\x04\0\0\0\xff\xff\xff\xff"[..], "not of the protocol"),
        (&ping[..], "does not begin with hello"),
    ] {
        let mut stream = one.connect();
        stream.write_all(bytes).unwrap();
        let answer = read_frame(&stream);
        assert_eq!(answer["say"], "refused");
        assert!(answer["why"].as_str().unwrap().contains(says), "{answer}");
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "and it closes");
    }
    // After the first word too.
    for bytes in [&huge[..], &frame(&json!({ "say": "reboot" })), &frame(&hello())] {
        let mut stream = one.connect();
        stream.write_all(&frame(&hello())).unwrap();
        let answer = read_frame(&stream);
        assert_eq!(answer["say"], "welcome", "{answer}");
        stream.write_all(bytes).unwrap();
        assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)), "and it closes");
    }
    let output = run_on(
        &[&one.url],
        &[&["--subscribers", "4", "--messages", "5", "--rate", "100"][..], &EXACT].concat(),
    );
    assert_fine_or_late(&output);
}

#[test]
fn another_version_is_refused_by_both_ends_with_both_versions() {
    let one = Agent::start();
    let stream = one.connect();
    (&stream)
        .write_all(&frame(&json!({ "say": "hello", "version": "9.9.9", "schema": "corecast-bench/7" })))
        .unwrap();
    let answer = read_frame(&stream);
    let why = answer["why"].as_str().unwrap();
    assert!(
        why.contains("9.9.9") && why.contains(env!("CARGO_PKG_VERSION")) && why.contains("corecast-bench/7"),
        "{why}"
    );

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let other = corecast_executors::spawn_plain("other", move || {
        let (stream, _) = listener.accept().unwrap();
        assert_eq!(read_frame(&stream), hello());
        (&stream)
            .write_all(&frame(&json!({ "say": "hello there", "version": "9.9.9", "schema": "s/2" })))
            .unwrap();
    });
    let output = run_on(&[&url], &["--subscribers", "1"]);
    other.unwrap().join().unwrap();
    assert_exit(&output, 1);
    let said = text(&output.stderr);
    assert!(
        said.contains("version 9.9.9, schema s/2") && said.contains("use the same corecast-bench on both"),
        "{said}"
    );
    assert!(said.contains(env!("CARGO_PKG_VERSION")), "{said}");
}

#[test]
fn hosts_that_cannot_be_used_are_named_with_what_to_do() {
    let one = Agent::start();
    let two = ["--subscribers", "2"];
    let output = run_on(&[&one.url, "tcp://127.0.0.1:1"], &two);
    assert_exit(&output, 1);
    assert!(
        text(&output.stderr).contains("host two: no agent answers at tcp://127.0.0.1:1"),
        "{}",
        text(&output.stderr)
    );
    // It takes connections, as the kernel does for it, and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = run_on(&[&format!("tcp://{}", mute.local_addr().unwrap())], &two);
    assert_exit(&output, 27);
    assert!(text(&output.stderr).contains("host one: the agent at"), "{}", text(&output.stderr));
    let output = run_on(&[&one.url], &["--subscribers", "2", "--transport", "uds"]);
    assert_exit(&output, 2);
    assert!(text(&output.stderr).contains("the transport is tcp"), "{}", text(&output.stderr));
    let output = run_on(&[&one.url], &["--subscribers", "2", "--cores", "4095"]);
    assert_exit(&output, 1);
    assert!(text(&output.stderr).contains("host one: cannot use the cores 4095"), "{}", text(&output.stderr));
    let output = run(&["--hosts", "/nowhere/hosts.toml"]);
    assert_exit(&output, 2);
    assert!(text(&output.stderr).contains("/nowhere/hosts.toml"), "{}", text(&output.stderr));
}

#[test]
fn an_agent_says_what_is_wrong_with_its_address_and_ends_on_a_signal() {
    let one = Agent::start();
    let output = bench(&["agent", "--listen", &one.url]).output().unwrap();
    assert_exit(&output, 1);
    assert!(text(&output.stderr).contains("another process listens there"), "{}", text(&output.stderr));
    let output = bench(&["agent", "--listen", "uds:///x"]).output().unwrap();
    assert_exit(&output, 2);
    assert!(text(&output.stderr).contains("write tcp://HOST:PORT"), "{}", text(&output.stderr));
    let mut idle = one;
    idle.signal(Signal::SIGTERM);
    assert_eq!(idle.process.wait().unwrap().code(), Some(0));
}
