//! `corecast-bench peers` as a person or a script calls it: with the floor and our own broker always, with the other
//! systems where they are installed (`scripts/peers.sh install`), and with peers that are missing or broken.
#![expect(clippy::unwrap_used, reason = "a test that cannot read what it wants to check has failed")]

mod command;

use command::{BENCH, assert_exit, assert_fine_or_late, bench, record, text};
use corecast_bench::results::{Kind, read_raw, read_results};
use corecast_executors::Topology;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A watchdog, not a measure: nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// A comparison that takes a moment.
const SMALL: [(&str, &str); 4] = [
    ("CORECAST_BENCH_PEERS_SUBSCRIBERS", "24"),
    ("CORECAST_BENCH_PEERS_RATE", "40"),
    ("CORECAST_BENCH_PEERS_DURATION", "0.5"),
    ("CORECAST_BENCH_PEERS_FLOOD_MESSAGES", "2000"),
];

/// The command; what the environment says of it, `arguments` may say otherwise.
fn peers(arguments: &[&str]) -> Command {
    let mut all = vec!["peers"];
    all.extend(arguments);
    let mut command = bench(&all);
    command.envs(SMALL);
    command
}

fn run(arguments: &[&str]) -> Output {
    peers(arguments).output().unwrap()
}

fn named<'a>(record: &'a Value, peer: &str) -> &'a Value {
    let found = record["peers"].as_array().into_iter().flatten().find(|entry| entry["peer"] == peer);
    found.unwrap_or(&Value::Null)
}

/// Everything that was promised of a peer is there, and no message is missing.
#[track_caller]
fn assert_measured(record: &Value, peer: &str) {
    let entry = named(record, peer);
    assert!(entry.is_object(), "{peer} was not measured: {}", record["skipped"]);
    let subscribers = record["runs"][0]["subscribers"].as_u64().unwrap();
    for field in ["deliveries_per_s", "cpu_ns_per_delivery", "cpu_ns_per_delivery_flood"] {
        assert!(entry[field].as_f64().unwrap() > 0.0, "{peer} {field}: {entry}");
    }
    // So few take no memory of their own.
    assert!(subscribers < 10 || entry["rss_per_subscriber_bytes"].is_number(), "{peer}: {entry}");
    assert!(entry["latency_us"]["median"].as_f64().unwrap() > 0.0, "{peer}: {entry}");
    let (last, first) = (&entry["last_subscriber_us"]["max"], &entry["first_subscriber_us"]["min"]);
    assert!(last.as_f64().unwrap() >= first.as_f64().unwrap(), "{peer}: {entry}");
    for nothing in ["lost", "gaps_reported", "wrong"] {
        assert_eq!(entry[nothing], 0, "{peer}: {entry}");
    }
    assert_eq!(entry["deliveries"], entry["deliveries_expected"], "{peer}: {entry}");
    let runs = record["runs"].as_array().unwrap().iter().filter(|run| run["peer"] == peer);
    for run in runs {
        assert_eq!(run["incomplete"], Value::Null, "{peer}: {run}");
        let all = run["messages_sent"].as_u64().unwrap() * subscribers;
        match run["topics"].as_u64() {
            None => assert_eq!(run["deliveries"], all, "{peer}"),
            Some(_) => assert_eq!(
                (&run["deliveries"], &run["misdelivered"]),
                (&run["deliveries_expected"], &0.into())
            ),
        }
    }
}

#[test]
fn ours_and_the_floor_are_compared_in_alternating_rounds() {
    let names =
        ["corecast", "corecast-uds", "floor-tcp", "floor-tcp-blocks", "floor-uds", "floor-uds-blocks"];
    let output = run(&[
        "--peers",
        &names.join(","),
        "--rounds",
        "2",
        "--json",
        "-",
        "--assert",
        "lost + gaps_reported + wrong == 0",
        "--assert",
        "ratio.floor_tcp_blocks.deliveries_per_s.max > 0",
        "--assert",
        "ratio.corecast_uds.last_subscriber_us.median > 0",
        "--assert",
        "floor_uds.deliveries_per_s > 1000",
    ]);
    assert_fine_or_late(&output);
    let record = record(&output);
    assert_eq!(record["schema"], "corecast-bench/1");
    for name in names {
        assert_measured(&record, name);
        assert_eq!(named(&record, name)["rounds"], 2);
    }
    let order: Vec<&str> =
        record["runs"].as_array().unwrap().iter().map(|run| run["peer"].as_str().unwrap()).collect();
    assert_eq!(order.len(), 24, "two runs a peer and round");
    assert_eq!((order[0], order[12]), ("corecast", "corecast-uds"), "each round begins with another one");
    assert!(named(&record, "corecast")["ratio"].is_null(), "ours over ours says nothing");
    let ratio = &named(&record, "floor-tcp")["ratio"]["deliveries_per_s"];
    assert!(ratio["min"].as_f64() <= ratio["median"].as_f64() && ratio["max"].is_number(), "{ratio}");
}

#[test]
fn a_floor_of_several_threads_loses_nothing_even_when_its_time_is_up() {
    let output = run(&[
        "--peers",
        "floor-tcp,floor-tcp-blocks",
        "--rounds",
        "1",
        "--floor-threads",
        "3",
        "--flood-messages",
        "100000000",
        "--json",
        "-",
        "--assert",
        "lost == 0",
    ]);
    assert_fine_or_late(&output);
    let record = record(&output);
    assert_measured(&record, "floor-tcp");
    assert_measured(&record, "floor-tcp-blocks");
}

#[test]
fn sessions_may_be_shared_and_clients_our_own() {
    for clients in ["raw", "native"] {
        let output = run(&[
            "--peers",
            "corecast,floor-tcp",
            "--rounds",
            "1",
            "--sessions",
            "per-executor",
            "--clients",
            clients,
            "--json",
            "-",
            "--assert",
            "lost == 0",
        ]);
        assert_fine_or_late(&output);
        let record = record(&output);
        let ours = named(&record, "corecast");
        assert_eq!((&ours["clients"], &ours["sessions"]), (&clients.into(), &"per-executor".into()));
        assert_eq!(named(&record, "floor-tcp")["sessions"], "per-subscriber");
        assert_eq!(ours["deliveries"], ours["deliveries_expected"]);
    }
}

#[test]
fn another_build_of_ours_is_measured_in_the_same_call() {
    let file = Path::new(BENCH).with_file_name("corecast");
    let arguments =
        ["--peers", "corecast", "--before", file.to_str().unwrap(), "--rounds", "1", "--json", "-"];
    let output = run(&arguments);
    assert_fine_or_late(&output);
    let record = record(&output);
    assert_measured(&record, "corecast");
    assert_measured(&record, "corecast-before");
    assert!(named(&record, "corecast-before")["ratio"]["deliveries_per_s"].is_object());
    let output = run(&["--peers", "corecast", "--before", "/nowhere"]);
    assert_exit(&output, 2);
    assert!(text(&output.stderr).contains("this is no file; build it"), "{}", text(&output.stderr));
}

#[test]
fn ours_may_go_direct() {
    let output = run(&["--peers", "corecast-direct,floor-tcp", "--rounds", "1", "--json", "-"]);
    assert_fine_or_late(&output);
    let record = record(&output);
    let ours = named(&record, "corecast-direct");
    assert_eq!((&record["runs"][0]["mode"], &ours["clients"]), (&"direct".into(), &"native".into()));
    assert!(ours["cpu_ns_per_delivery"].as_f64().unwrap() > 0.0, "{ours}");
    assert_eq!((&ours["lost"], &ours["deliveries"]), (&0.into(), &ours["deliveries_expected"]));
    assert!(named(&record, "floor-tcp")["ratio"]["latency_us.median"].is_object());
}

#[test]
fn the_other_systems_deliver_everything_where_they_are_there() {
    const ALL: &str =
        "corecast-zmtp,libzmq,libzmq-one-part,nats,nats-2.15,redis,redis-8.2,redis-8.2-io4,mosquitto";
    for (names, transport) in [(ALL, "tcp"), ("libzmq,redis,redis-8.2", "uds")] {
        let output = run(&["--peers", names, "--transport", transport, "--rounds", "1", "--json", "-"]);
        // If none of them is there, nothing was measured.
        if !text(&output.stderr).contains("is not there") {
            assert_fine_or_late(&output);
        }
        let record = record(&output);
        for name in names.split(',') {
            let skipped = record["skipped"].as_array().into_iter().flatten();
            match skipped.into_iter().find(|skipped| skipped["peer"] == name) {
                Some(skipped) => {
                    let why = skipped["why"].as_str().unwrap();
                    assert!(why.contains("is not there: scripts/peers.sh install"), "{name}: {why}");
                    eprintln!("NOT TESTED: {name} over {transport}: {why}");
                }
                None => {
                    assert_measured(&record, name);
                    assert_versioned(&record, name);
                }
            }
        }
    }
}

/// The version of a peer is in all its records, and is the one that its name has.
#[track_caller]
fn assert_versioned(record: &Value, peer: &str) {
    let version = named(record, peer)["version"].as_str().unwrap();
    assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{peer}: {version}");
    let asked = peer.split('-').find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    assert!(asked.is_none_or(|asked| version.starts_with(&format!("{asked}."))), "{peer}: {version}");
    for run in record["runs"].as_array().unwrap().iter().filter(|run| run["peer"] == peer) {
        assert_eq!(run["peer_version"], version, "{peer}");
    }
}

/// Every system with raw clients: ours and the floor, which are always there, then the others.
const EVERYBODY: &str = "corecast,corecast-singles,corecast-direct,corecast-zmtp,floor-tcp,floor-tcp-blocks,floor-tcp-frames,floor-uds,\
                         libzmq,libzmq-one-part,nats,redis,mosquitto";

/// Runs everybody with these arguments, and checks that each that is there has delivered what all have.
#[track_caller]
fn assert_same_deliveries(arguments: &[&str]) {
    let output = run(&[&["--peers", EVERYBODY, "--rounds", "1", "--json", "-"], arguments].concat());
    assert_fine_or_late(&output);
    let record = record(&output);
    let mut measured: Vec<&str> = EVERYBODY.split(',').collect();
    for skipped in record["skipped"].as_array().into_iter().flatten() {
        assert!(
            skipped["why"].as_str().unwrap().contains("is not there: scripts/peers.sh install"),
            "{skipped}"
        );
        measured.retain(|name| skipped["peer"] != *name);
    }
    // A direct publisher shares a process with its subscribers, so its memory is not known.
    for name in measured.iter().filter(|name| **name != "corecast-direct") {
        assert_measured(&record, name);
    }
    assert!(measured.len() >= 7, "{measured:?}");
    let paced = |name: &str| {
        let runs = record["runs"].as_array().unwrap().iter();
        let run = runs.clone().find(|run| run["peer"] == name && run["rate_hz"].is_number()).unwrap();
        assert_eq!(run["deliveries"], run["deliveries_expected"], "{name}: {run}");
        (run["messages_sent"].as_u64().unwrap(), run["deliveries"].as_u64().unwrap())
    };
    // The floor sends all, however late; a publisher that is too late gives up what is left.
    let (sent, deliveries) = paced("floor-tcp");
    let differs = |name: &&&str| matches!(paced(name), (all, other) if all == sent && other != deliveries);
    assert_eq!(measured.iter().find(differs), None, "{deliveries} deliveries of {sent} messages");
    assert!(deliveries > 0);
}

#[test]
fn everybody_delivers_the_same_part_of_the_topics() {
    let topics = ["--publishers", "2", "--topics", "30", "--topics-per-subscriber", "4", "--topic-spread"];
    for (spread, filters) in [("uniform", "exact"), ("zipf", "wildcard:3")] {
        assert_same_deliveries(&[&topics[..], &[spread, "--topic-filters", filters]].concat());
    }
}

#[test]
fn many_publishers_reach_few_subscribers_through_everybody() {
    assert_same_deliveries(&["--publishers", "12", "--subscribers", "2", "--flood-messages", "300"]);
}

#[test]
fn peers_with_clients_of_their_own_deliver_everything_where_they_are_there() {
    let topics = ["--publishers", "2", "--topics", "30", "--topics-per-subscriber", "4"];
    let missing = [
        assert_own_clients_deliver(&[]),
        assert_own_clients_deliver(&[&topics[..], &["--topic-filters", "wildcard:3"]].concat()),
    ];
    missing.concat().iter().for_each(|missing| eprintln!("NOT TESTED: {missing}"));
}

/// Checks that each peer with clients of its own that is there has delivered what our broker has. Returns those that are
/// not there.
#[track_caller]
fn assert_own_clients_deliver(arguments: &[&str]) -> Vec<String> {
    let mut missing = Vec::new();
    let names = ["pyzmq-proxy", "pyzmq-direct", "zenoh-1.10"];
    let peers = format!("corecast,{}", names.join(","));
    let own = ["--peers", &peers, "--rounds", "1", "--flood-messages", "0", "--json", "-"];
    let output = run(&[&own, arguments].concat());
    let record = record(&output);
    let run = |peer: &str| {
        let mut runs = record["runs"].as_array().unwrap().iter();
        runs.find(|run| run["peer"] == peer).map(|run| (&run["messages_sent"], &run["deliveries"]))
    };
    for name in names {
        let entry = named(&record, name);
        if entry.is_null() {
            let skipped = record["skipped"].as_array().unwrap();
            let skipped = skipped.iter().find(|skipped| skipped["peer"] == name).unwrap();
            let why = skipped["why"].as_str().unwrap();
            assert!(why.contains("is not there: scripts/peers.sh install"), "{why}");
            missing.push(format!("{name}: {why}"));
            continue;
        }
        assert_eq!((&entry["lost"], &entry["wrong"]), (&0.into(), &0.into()), "{entry}");
        assert_eq!(entry["deliveries"], entry["deliveries_expected"], "{entry}");
        let (ours, theirs) = (run("corecast").unwrap(), run(name).unwrap());
        assert!(theirs.1.as_u64().unwrap() > 0, "{entry}");
        // Our publisher gives up what is left if it is too late.
        assert!(ours.0 != theirs.0 || ours == theirs, "{name}: {theirs:?}, and not {ours:?}");
        assert!(entry["last_subscriber_us"]["median"].as_f64().unwrap() > 0.0, "{entry}");
        assert!(entry["cpu_ns_per_delivery"].as_f64().unwrap() > 0.0, "{entry}");
        assert_eq!(entry["clients"], name.split('-').next().unwrap());
        assert_versioned(&record, name);
    }
    missing
}

#[test]
fn the_peers_that_are_there_are_listed() {
    let output = run(&["--list"]);
    assert_exit(&output, 0);
    let list = text(&output.stdout);
    let line = |peer: &str| list.lines().find(|line| line.split_whitespace().next() == Some(peer)).unwrap();
    assert!(line("floor").ends_with("this command"), "{list}");
    assert!(line("corecast").contains(env!("CARGO_PKG_VERSION")), "{list}");
    let nothing = tempfile::tempdir().unwrap();
    let list = text(&peers(&["--list"]).env("PATH", nothing.path()).output().unwrap().stdout).to_owned();
    let redis = list.lines().find(|line| line.starts_with("redis ")).unwrap();
    assert!(redis.ends_with("missing: scripts/peers.sh install"), "{list}");
}

#[test]
fn a_peer_that_is_not_there_is_skipped_by_name_with_the_fix() {
    let nothing = tempfile::tempdir().unwrap();
    let mut command = peers(&["--peers", "corecast,redis,nats-uds", "--rounds", "2"]);
    let output = command.env("PATH", nothing.path()).output().unwrap();
    assert_fine_or_late(&output);
    let said = text(&output.stdout);
    assert!(said.contains("skipped redis: redis-server is not there: scripts/peers.sh install"), "{said}");
    assert!(said.contains("skipped nats-uds: nats-server has no Unix sockets"), "{said}");
    assert_eq!(said.matches("skipped").count(), 2, "once, not once a round: {said}");
}

#[test]
fn a_peer_that_does_not_start_is_named_with_what_it_said() {
    let folder = tempfile::tempdir().unwrap();
    let fake = folder.path().join("redis-server");
    std::fs::write(&fake, "#!/bin/sh\necho 'no such luck' >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
    let with_fake = |arguments: &[&str]| peers(arguments).env("PATH", folder.path()).output().unwrap();
    let output = with_fake(&["--peers", "redis,floor-tcp", "--rounds", "1", "--json", "-"]);
    assert_fine_or_late(&output);
    let record = record(&output);
    assert_measured(&record, "floor-tcp");
    let why = record["skipped"][0]["why"].as_str().unwrap();
    assert!(why.contains("redis-server does not start") && why.contains("no such luck"), "{why}");
    assert_eq!(record["skipped"][0]["round"], 1);
    // Nothing at all is a failure, and an assertion about it does not hold.
    let output = with_fake(&["--peers", "redis", "--rounds", "1", "--assert", "redis.lost == 0"]);
    assert_exit(&output, 1);
    assert!(text(&output.stderr).contains("redis.lost was not measured"), "{}", text(&output.stderr));
}

#[test]
fn an_assertion_that_does_not_hold_is_wrong_usage_and_says_the_figure() {
    let output = run(&["--peers", "floor-uds", "--rounds", "1", "--assert", "floor_uds.lost > 5"]);
    assert_exit(&output, 2);
    assert!(text(&output.stderr).contains("does not hold: floor_uds.lost = 0"));
}

#[test]
fn results_are_a_folder_for_reports() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results");
    let out = path.to_str().unwrap();
    let output = run(&["--peers", "corecast,floor-uds", "--rounds", "1", "--out", out]);
    assert_fine_or_late(&output);
    let results = read_results(&path).unwrap();
    assert_eq!((results.kind, results.incomplete), (Kind::Peers, None));
    assert_eq!((results.runs.len(), results.runs_planned), (4, 4));
    for entry in &results.runs {
        let raw = read_raw(&path, &entry.id).unwrap();
        assert_eq!(raw.latency.len(), entry.record.deliveries, "{}", entry.id);
    }
    let again = run(&["--peers", "floor-uds", "--rounds", "1", "--out", out]);
    assert_exit(&again, 2);
    assert!(text(&again.stderr).contains("has results already"));
}

/// A broker that somebody else started; it ends with the test, however that ends.
struct Broker {
    child: Child,
    endpoint: String,
}

impl Broker {
    fn start() -> Self {
        let mut child = Command::new(Path::new(BENCH).with_file_name("corecast"))
            .args(["broker", "-o", "json", "--listen", "tcp://127.0.0.1:0", "--log-level", "warn"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let ready: Value = serde_json::from_str(&ready).unwrap_or_default();
        let endpoint = ready["endpoints"][0].as_str().unwrap_or_default().to_owned();
        Broker { child, endpoint }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_peer_that_runs_already_is_used_and_left_alone() {
    // The command beside the bench is built by now, or this builds it.
    drop(bench(&[]));
    let mut broker = Broker::start();
    let peer = format!("corecast={},pid={}", broker.endpoint, broker.child.id());
    let output = run(&["--peers", "floor-uds", "--peer", &peer, "--rounds", "2", "--json", "-"]);
    assert_eq!(broker.child.try_wait().unwrap(), None, "it was left alone");
    assert_fine_or_late(&output);
    assert_measured(&record(&output), "corecast");
}

/// Peers that are processes of their own, each with a word among its arguments.
const CHILDREN: [(&str, &str); 2] = [("corecast", "broker"), ("floor-tcp", "floor")];

/// A comparison that is in its first paced run.
struct Underway {
    bench: Child,
    stderr: BufReader<ChildStderr>,
}

impl Underway {
    fn start(arguments: &[&str]) -> Self {
        let own = ["--rounds", "3", "--duration", "60", "--json", "-", "--peers"];
        let mut command = peers(&[&own, arguments].concat());
        let mut bench = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(bench.stderr.take().unwrap());
        let mut said = String::new();
        while !said.ends_with("sending\n") {
            assert!(stderr.read_line(&mut said).unwrap() > 0, "it ended: {said}");
        }
        Underway { bench, stderr }
    }

    /// Its process that has this word among its arguments.
    fn child(&self, word: &str) -> u32 {
        let bench = self.bench.id();
        let processes = std::fs::read_dir("/proc").unwrap();
        let mut pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        pids.find(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
            let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            parent.and_then(|parent| parent.parse().ok()) == Some(bench)
                && words.split('\0').any(|said| said == word)
        })
        .unwrap()
    }

    fn finish(mut self) -> Output {
        let mut stderr = Vec::new();
        self.stderr.read_to_end(&mut stderr).unwrap();
        let mut output = self.bench.wait_with_output().unwrap();
        output.stderr = stderr;
        output
    }
}

/// True while it runs: a zombie does not.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| {
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    })
}

#[track_caller]
fn until_gone(pid: u32) {
    let deadline = Instant::now() + PATIENCE;
    while runs(pid) {
        assert!(Instant::now() < deadline, "process {pid} does not end");
        std::thread::yield_now();
    }
}

#[test]
fn an_interruption_keeps_what_was_measured_and_marks_it() {
    for (peer, word) in CHILDREN {
        let underway = Underway::start(&[peer]);
        let child = underway.child(word);
        kill(Pid::from_raw(underway.bench.id() as i32), Signal::SIGINT).unwrap();
        let output = underway.finish();
        assert_exit(&output, 1);
        let record = record(&output);
        let run = &record["runs"][0];
        assert_eq!(record["runs"].as_array().unwrap().len(), 1, "{peer}");
        assert!(run["incomplete"].as_str().unwrap().contains("interrupted"), "{peer}: {run}");
        until_gone(child);
    }
}

#[test]
fn a_peer_that_dies_is_said_and_nothing_waits_for_it() {
    for (peer, word) in CHILDREN {
        let underway = Underway::start(&[peer]);
        kill(Pid::from_raw(underway.child(word) as i32), Signal::SIGKILL).unwrap();
        // Its next rounds go on with another process: they are of no interest here.
        kill(Pid::from_raw(underway.bench.id() as i32), Signal::SIGINT).unwrap();
        let output = underway.finish();
        assert_exit(&output, 1);
        let record = record(&output);
        assert!(record["runs"][0]["incomplete"].is_string(), "{peer}: {record}");
    }
}

#[test]
fn no_peer_outlives_a_bench_that_is_killed() {
    for (peer, word) in CHILDREN {
        let underway = Underway::start(&[peer]);
        let child = underway.child(word);
        kill(Pid::from_raw(underway.bench.id() as i32), Signal::SIGKILL).unwrap();
        underway.finish();
        until_gone(child);
    }
}

#[test]
fn a_neighbour_runs_on_its_core_and_ends_with_the_bench() {
    let core = Topology::detect().unwrap().allowed().last().unwrap().to_string();
    let underway = Underway::start(&["floor-tcp", "--neighbour", &format!("{core}:19")]);
    let child = underway.child("neighbour");
    let status = std::fs::read_to_string(format!("/proc/{child}/status")).unwrap();
    assert!(status.lines().any(|line| line == format!("Cpus_allowed_list:\t{core}")), "{status}");
    kill(Pid::from_raw(underway.bench.id() as i32), Signal::SIGINT).unwrap();
    let record = record(&underway.finish());
    until_gone(child);
    let notes = record["runs"][0]["notes"].as_array().unwrap();
    assert!(notes.contains(&format!("a neighbour at nice 19 keeps core {core} busy").into()), "{notes:?}");
}

#[test]
fn a_neighbour_that_cannot_be_is_said_and_nothing_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let fake = folder.path().join("nice");
    // It starts the command as it was, as `nice` does without the right.
    std::fs::write(&fake, "#!/bin/sh\nshift 2\nexec \"$@\"\n").unwrap();
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
    let core = Topology::detect().unwrap().allowed().last().unwrap().to_string();
    let mut command =
        peers(&["--peers", "floor-tcp", "--rounds", "1", "--neighbour", &format!("{core}:-20")]);
    let output = command.env("PATH", folder.path()).output().unwrap();
    assert_exit(&output, 1);
    let said = text(&output.stdout);
    assert!(said.contains("its nice value is not -20: less than 0 takes root"), "{said}");
}
