//! `corecast-bench experiment` as a person or a script calls it, against the real broker.
#![expect(clippy::unwrap_used, reason = "a test that cannot read what it wants to check has failed")]

mod command;

use command::{assert_exit, assert_fine_or_late, bench, run, text};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Output, Stdio};

/// An experiment that writes into this folder.
fn experiment(folder: &Path, arguments: &[&str]) -> Output {
    let out = ["--out", folder.to_str().unwrap()];
    bench(&[&["experiment"], arguments, &out[..]].concat()).output().unwrap()
}

fn results(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("results.json")).unwrap()).unwrap()
}

fn records(results: &Value) -> Vec<Value> {
    results["runs"].as_array().unwrap().iter().map(|entry| entry["record"].clone()).collect()
}

#[test]
fn topics_go_through_every_system_that_is_there_and_stand_side_by_side_in_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let (nothing, out) = (folder.path().join("nothing"), folder.path().join("topics"));
    let out = out.to_str().unwrap();
    let brief = ["--quick", "--rate", "100", "--duration", "0.3", "--out", out];
    let asserted =
        ["--assert", "lost == 0", "--assert", "duplicated + reordered + corrupted + misdelivered == 0"];
    let mut command = bench(&[&["experiment", "topics"], &brief[..], &asserted].concat());
    let output = command.env("PATH", &nothing).env("CORECAST_BENCH_PYTHON", &nothing).output().unwrap();
    assert_fine_or_late(&output);
    let results = results(Path::new(out));
    assert_eq!(results["incomplete"], Value::Null);
    let records = records(&results);
    let skipped = results["skipped"].as_array().into_iter().flatten().map(|skipped| &skipped["peer"]);
    let systems = "corecast,corecast-zmtp,libzmq,nats,nats-2.15,redis,redis-8.2,mosquitto,floor,floor-blocks"
        .split(',');
    let mut fates: Vec<&str> = skipped.map(|peer| peer.as_str().unwrap()).collect();
    assert!(!fates.contains(&"corecast") && !fates.contains(&"floor"), "{fates:?}");
    for name in systems.clone().filter(|name| !fates.contains(name)).collect::<Vec<_>>() {
        assert_eq!(
            records.iter().filter(|run| run["peer"] == name).count(),
            4,
            "two workloads, two runs: {name}"
        );
        fates.push(name);
    }
    assert_eq!(fates.len(), systems.count(), "each once: {fates:?}");
    assert!(records.iter().all(|run| run["deliveries"] == run["deliveries_expected"]), "{results}");
    let page = folder.path().join("page");
    assert_exit(&bench(&["report", out, "--out", page.to_str().unwrap()]).output().unwrap(), 0);
    let report = std::fs::read_to_string(page.join("report.md")).unwrap();
    for said in [
        "64 subscribers, 20 of 100 topics, 64 B, flood",
        "64 subscribers, 10 of 1000 topics, 64 B, 100 messages/s",
    ] {
        assert!(report.contains(said), "{said} is not in {report}");
    }
}

/// No more than the other tests of this machine leave room for.
const SMALL: [&str; 6] = ["--subscribers", "1,2", "--messages", "3", "--rate", "50"];

#[test]
fn the_canonical_experiment_leaves_a_folder_with_everything_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("deep/canonical");
    let output =
        experiment(&folder, &[&["canonical", "--quick", "--assert", "lost == 0"], &SMALL[..]].concat());
    assert_fine_or_late(&output);
    let results = results(&folder);
    assert_eq!((&results["name"], &results["quick"]), (&"canonical".into(), &true.into()));
    assert_eq!((&results["kind"], &results["incomplete"]), (&"experiment".into(), &Value::Null));
    assert!(results["started_at"].as_str().unwrap().ends_with('Z'));
    let records = records(&results);
    let kinds: Vec<_> = records
        .iter()
        .map(|run| {
            (
                run["sessions"].as_str().unwrap(),
                run["subscribers"].as_u64().unwrap(),
                run["mode"].as_str().unwrap(),
            )
        })
        .collect();
    let of = |sessions| {
        [(sessions, 1, "proxy"), (sessions, 1, "direct"), (sessions, 2, "proxy"), (sessions, 2, "direct")]
    };
    assert_eq!(kinds, [of("per-subscriber"), of("per-executor")].concat());
    for (run, entry) in records.iter().zip(results["runs"].as_array().unwrap()) {
        assert_eq!((&run["lost"], &run["messages_sent"]), (&0.into(), &3.into()), "{run}");
        assert!(run["cpu_ns_per_delivery"].as_f64().unwrap() > 0.0, "{run}");
        let raw = folder.join("runs").join(entry["id"].as_str().unwrap());
        for file in ["latency.hdr", "first_subscriber.hdr", "last_subscriber.hdr"] {
            assert!(raw.join(file).is_file(), "{file}");
        }
        let csv = std::fs::read_to_string(raw.join("subscribers/00000.csv")).unwrap();
        assert_eq!((csv.lines().count(), csv.lines().next()), (4, Some("index,message id,latency_s")));
    }
    let said = text(&output.stdout);
    assert!(said.contains("sessions per-executor") && said.contains("corecast-bench report "), "{said}");
    // What has been measured is not measured over.
    let again = experiment(&folder, &[&["canonical"], &SMALL[..]].concat());
    assert_exit(&again, 2);
    assert!(text(&again.stderr).contains("has results already"), "{}", text(&again.stderr));
}

#[test]
fn what_a_broker_costs_is_in_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "scaling",
        "--subscribers",
        "64",
        "--shards",
        "1",
        "--rounds",
        "1",
        "--duration",
        "2",
        "--rate",
        "50",
    ];
    assert_fine_or_late(&experiment(folder.path(), &arguments));
    let run = &records(&results(folder.path()))[0];
    assert!(run["rss_per_subscriber_bytes"].as_f64().unwrap() > 0.0, "{run}");
    let deliveries = run["deliveries"].as_u64().unwrap();
    assert_eq!(run["shards"], serde_json::json!([{ "sessions": 64, "deliveries": deliveries }]));
    assert_eq!(run["cpu_ns_per_delivery"], run["broker"]["cpu_ns_per_delivery"]);
    let extra = &run["extra"];
    // Where perf cannot count, a note says why.
    match extra["syscalls_per_delivery"].as_f64() {
        Some(calls) => assert!(calls > 0.1 && calls < 100.0, "{run}"),
        None => assert!(run["notes"].to_string().contains("no system calls were counted"), "{run}"),
    }
    assert!(extra["cpu_cores"].as_f64().unwrap() > 0.0, "{run}");
}

#[test]
fn slow_subscribers_fall_behind_and_nobody_else_does() {
    for mode in ["proxy", "direct"] {
        for slow in [&["--slow", "2"][..], &["--slow", "2", "--slow-delay", "100ms"]] {
            let common = [
                "--mode",
                mode,
                "--subscribers",
                "10",
                "--size",
                "60000",
                "--rate",
                "flood",
                "--messages",
                "2000",
            ];
            // Whoever is slow holds up the publisher here, so that nobody else can be told of a gap.
            let lossless = ["--overflow", "block", "--timeout", "2", "--json", "-"];
            let held = run(&[&common[..], slow, &lossless].concat());
            assert_exit(&held, 27);
            // The same where whoever is slow loses by it.
            let lossy = ["--overflow", "drop-oldest", "--json", "-", "--assert", "lost == 0"];
            let output = run(&[&common[..], slow, &lossy].concat());
            assert_exit(&output, 0);
            let run = command::record(&output)["runs"][0].clone();
            assert_eq!((&run["slow_subscribers"], &run["subscribers"]), (&2.into(), &10.into()));
            let accounted = run["deliveries"].as_u64().unwrap() + run["gaps_reported"].as_u64().unwrap();
            assert_eq!(
                (accounted, &run["deliveries_expected"]),
                (8 * 2000, &(8 * 2000).into()),
                "{mode} {slow:?}"
            );
        }
    }
}

#[test]
fn isolation_compares_each_round_with_one_in_which_all_are_healthy() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "isolation",
        "--subscribers",
        "20",
        "--rounds",
        "2",
        "--messages",
        "10",
        "--rate",
        "50",
        "--slow",
        "1",
    ];
    assert_fine_or_late(&experiment(folder.path(), &arguments));
    let records = records(&results(folder.path()));
    let rounds: Vec<_> = records.iter().map(|run| run["round"].as_u64().unwrap()).collect();
    assert_eq!(rounds, [1, 1, 1, 2, 2, 2]);
    for run in &records {
        assert_eq!(run["lost"], 0);
        let is_slow = run["slow_subscribers"].is_u64();
        assert_eq!(run["extra"]["isolation_ratio"].is_f64(), is_slow, "{run}");
        assert_eq!(run["deliveries_expected"], if is_slow { 190 } else { 200 });
    }
}

#[test]
fn a_flood_is_whole_and_a_search_says_which_rates_are() {
    let folder = tempfile::tempdir().unwrap();
    let arguments =
        ["flood", "--quick", "--subscribers", "4", "--size", "64", "--mode", "proxy", "--duration", "0.3"];
    assert_fine_or_late(&experiment(folder.path(), &arguments));
    let records = records(&results(folder.path()));
    let flood = &records[0];
    assert_eq!((&flood["rate_hz"], &flood["overflow"]), (&Value::Null, &"block".into()));
    assert_eq!((&flood["gaps_reported"], &flood["deliveries"]), (&0.into(), &flood["deliveries_expected"]));
    assert!(records.len() > 1, "a search follows");
    for run in &records[1..] {
        let whole = run["extra"]["whole"].as_f64().unwrap();
        assert!(whole == 0.0 || run["gaps_reported"] == 0, "{run}");
        assert!(run["rate_hz"].as_f64().unwrap() > 0.0);
    }
}

/// An agent on a free port. Ended when it is dropped.
struct Agent {
    process: Child,
    url: String,
}

impl Agent {
    fn start() -> Self {
        let mut command = bench(&["agent", "--listen", "tcp://127.0.0.1:0"]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let url = ready.trim().strip_prefix("ready ").unwrap().to_owned();
        Agent { process, url }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn subscribers_of_an_experiment_may_be_on_other_hosts() {
    let agents = [Agent::start(), Agent::start()];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hosts.toml");
    let hosts = agents.iter().zip(["one", "two"]);
    let hosts = hosts.map(|(agent, name)| format!("[[host]]\nname = '{name}'\nagent = '{}'\n", agent.url));
    std::fs::write(&file, hosts.collect::<String>()).unwrap();
    let out = folder.path().join("out");
    let said = ["--sessions", "per-subscriber", "--messages", "5", "--rate", "50", "--subscribers", "4"];
    let hosts = ["canonical", "--hosts", file.to_str().unwrap(), "--assert", "lost == 0"];
    assert_fine_or_late(&experiment(&out, &[&hosts[..], &said].concat()));
    let results = results(&out);
    for (run, entry) in records(&results).iter().zip(results["runs"].as_array().unwrap()) {
        assert_eq!((&run["deliveries"], &run["hosts"][1]["name"]), (&20.into(), &"two".into()), "{run}");
        let samples = out.join("runs").join(entry["id"].as_str().unwrap()).join("subscribers");
        assert_eq!(std::fs::read_dir(samples).unwrap().count(), 4);
    }
}

#[test]
fn an_experiment_in_a_file_is_that_experiment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("small.toml");
    let said =
        "experiment = 'crossover'\nsubscribers = 2\nsize = [64, 1000]\nmessages = 2\nrounds = 1\nrate = 50\n";
    std::fs::write(&file, said).unwrap();
    let out = folder.path().join("out");
    assert_fine_or_late(&experiment(&out, &[file.to_str().unwrap()]));
    let sizes: Vec<_> =
        records(&results(&out)).iter().map(|run| run["size_bytes"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [64, 64, 1000, 1000]);
}

#[test]
fn wrong_usage_is_two_and_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.toml");
    std::fs::write(&file, "experiment = 'idle'\nsubscriber = 3\n").unwrap();
    let out = folder.path().join("out");
    for (arguments, says) in [
        (
            vec![file.to_str().unwrap()],
            &["wrong.toml", "line 2", "unknown field `subscriber`", "`subscribers`"][..],
        ),
        (vec!["nothing"], &["there is no experiment `nothing`", "canonical"]),
        (vec!["canonical", "--subscribers", "1,90000000"], &["90000000 subscribers need", "ulimit -Hn"]),
        (vec!["canonical", "--assert", "losst == 0"], &["deliveries_expected"]),
        (vec![], &["NAME|FILE.toml"]),
    ] {
        let output = experiment(&out, &arguments);
        assert_exit(&output, 2);
        for says in says {
            assert!(text(&output.stderr).contains(says), "{arguments:?}: {}", text(&output.stderr));
        }
        assert!(!out.exists());
    }
}

#[test]
fn no_broker_to_start_is_not_tried_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let arguments = ["experiment", "canonical", "--quick", "--out", out.to_str().unwrap()];
    let output = bench(&arguments).env("CORECAST_BIN", "/nowhere/corecast").output().unwrap();
    assert_exit(&output, 1);
    let said = text(&output.stderr);
    assert_eq!(
        said.matches("CORECAST_BIN names /nowhere/corecast").count(),
        2,
        "told, and why it ended: {said}"
    );
    assert!(results(&out)["incomplete"].as_str().unwrap().contains("given up"));
}

#[test]
fn a_run_that_fails_is_told_and_the_others_are_made() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (out, program) = (folder.path().join("out"), folder.path().join("corecast"));
    let corecast = Path::new(command::BENCH).with_file_name("corecast");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *'--mode direct'*) echo not today >&2; exit 9;; esac\nexec {} \"$@\"\n",
        corecast.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = [&["experiment", "canonical", "--out", out.to_str().unwrap()], &SMALL[..]].concat();
    let output = bench(&arguments).env("CORECAST_BIN", &program).output().unwrap();
    assert_exit(&output, 1);
    let results = results(&out);
    assert!(records(&results).iter().all(|run| run["mode"] == "proxy"));
    assert_eq!(records(&results).len(), 4);
    let said = text(&output.stderr);
    assert_eq!(said.matches("not today").count(), 5, "each of four, and the first again at the end: {said}");
    let incomplete = results["incomplete"].as_str().unwrap();
    assert!(
        incomplete.starts_with("4 of 8 runs failed, the first of them: direct 1 subscribers: "),
        "{incomplete}"
    );
}

#[test]
fn an_assertion_that_fails_is_two_and_keeps_the_results() {
    let folder = tempfile::tempdir().unwrap();
    let arguments =
        [&["canonical", "--mode", "proxy", "--sessions", "per-executor", "--assert", "lost > 0"], &SMALL[..]];
    let output = experiment(folder.path(), &arguments.concat());
    assert_exit(&output, 2);
    assert!(text(&output.stderr).contains("--assert 'lost > 0' does not hold"), "{}", text(&output.stderr));
    assert_eq!(results(folder.path())["incomplete"], Value::Null);
}

#[test]
fn an_interruption_keeps_what_was_measured_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let arguments =
        ["experiment", "canonical", "--subscribers", "1,2", "--sessions", "per-executor", "--out"];
    let mut command =
        bench(&[&arguments[..], &[out.to_str().unwrap(), "--duration", "60", "--rate", "100"]].concat());
    let mut bench = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(bench.stderr.take().unwrap());
    let mut said = String::new();
    while !said.ends_with("sending\n") {
        assert!(stderr.read_line(&mut said).unwrap() > 0, "it ended: {said}");
    }
    assert!(said.contains("run 1 of 4: proxy 1 subscribers: "), "{said}");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(bench.id() as i32), nix::sys::signal::Signal::SIGINT)
        .unwrap();
    stderr.read_to_string(&mut said).unwrap();
    let output = bench.wait_with_output().unwrap();
    assert_exit(&output, 1);
    assert!(said.contains("incomplete: interrupted in run 1 of 4"), "{said}");
    let results = results(&out);
    assert_eq!(results["incomplete"], "interrupted in run 1 of 4");
    let records = records(&results);
    assert_eq!((records.len(), &records[0]["incomplete"]), (1, &"interrupted".into()));
    assert_eq!(records[0]["lost"], 0);
}

#[test]
fn the_list_names_every_experiment_and_its_question() {
    let output = bench(&["experiment", "--list"]).output().unwrap();
    assert_exit(&output, 0);
    let said = text(&output.stdout);
    for name in ["canonical", "crossover", "flood", "isolation", "scaling", "idle"] {
        assert!(said.lines().any(|line| line.starts_with(name) && line.ends_with('?')), "{name}: {said}");
    }
}
