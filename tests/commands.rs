//! The `corecast` command as a user runs it: exit codes, output on stdout and stderr, full disks, closed pipes, and
//! files that arrive unchanged.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod running;
mod watchdog;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use broker_process::{BrokerProcess, Transport, corecast};
use corecast::internals::telemetry::{METRICS, MetricKind};
use nix::sys::signal::Signal;
use running::{Running, at, run, said, start, subscribed, succeeded, text};

fn broker() -> BrokerProcess {
    BrokerProcess::start(Transport::Tcp, &["--shards", "2"])
}

fn lossless_broker() -> BrokerProcess {
    BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--overflow", "block"])
}

#[test]
fn a_message_is_published_and_printed() {
    let _watchdog = watchdog::watch("a_message_is_published_and_printed");
    let broker = broker();
    let sub = subscribed(&broker, 1, &mut at(&broker, &["sub", "prices.>", "--count", "3"]));
    succeeded(&at(&broker, &["pub", "prices.eur.usd", "1.0842"]).output().expect("it runs"));
    succeeded(&at(&broker, &["pub", "prices.eur.chf", "-0.5", "--count", "2"]).output().expect("it runs"));
    let output = sub.output();
    succeeded(&output);
    assert_eq!(text(&output.stdout), "1.0842\n-0.5\n-0.5\n");
}

#[test]
fn messages_are_generated_at_a_rate() {
    let _watchdog = watchdog::watch("messages_are_generated_at_a_rate");
    let broker = broker();
    let sub = subscribed(&broker, 1, &mut at(&broker, &["sub", "t", "--count", "10"]));
    let start = Instant::now();
    let args = ["pub", "t", "--count", "10", "--size", "5", "--rate", "50", "--wait-subscribers", "1"];
    succeeded(&at(&broker, &args).output().expect("it runs"));
    assert!(start.elapsed() >= Duration::from_millis(180));
    let numbers: String = (1..=10).map(|number| format!("{number:05}\n")).collect();
    assert_eq!(text(&sub.output().stdout), numbers);

    let too_fast = ["pub", "t", "--count", "1000000", "--size", "1", "--rate", "1000000000"];
    let output = at(&broker, &too_fast).output().expect("it runs");
    assert!(said(&output, 3).contains("slower"));
}

#[test]
fn a_time_that_is_over_is_27() {
    let _watchdog = watchdog::watch("a_time_that_is_over_is_27");
    let broker = broker();
    let output = at(&broker, &["sub", "t", "--timeout", "300ms"]).output().expect("it runs");
    assert!(said(&output, 27).contains("after 0 messages"));
    let args = ["pub", "t", "x", "--wait-subscribers", "2", "--timeout", "0.3"];
    let output = at(&broker, &args).output().expect("it runs");
    assert!(said(&output, 27).contains("0 of 2 subscribers"));
}

#[test]
fn a_broker_that_is_not_there_or_hangs_is_a_time_that_is_over() {
    let _watchdog = watchdog::watch("a_broker_that_is_not_there_or_hangs_is_a_time_that_is_over");
    let stopped = broker();
    stopped.freeze();
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address =
        |listener: &std::net::TcpListener| format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let absent = address(&std::net::TcpListener::bind("127.0.0.1:0").expect("a port"));
    std::thread::scope(|threads| {
        for endpoint in [stopped.endpoint(), &address(&mute), &absent] {
            for args in [&["sub", "t"][..], &["registry"]] {
                let endpoint = endpoint.to_owned();
                threads.spawn(move || {
                    let within = ["--timeout", "400ms", "--broker", &endpoint];
                    let said = said(&run(&[args, &within].concat()), 27);
                    assert!(said.contains(&endpoint), "{said}");
                });
            }
        }
    });
}

#[test]
fn a_broker_that_hangs_ends_pub_and_is_not_said_to_have_hung_up() {
    let _watchdog = watchdog::watch("a_broker_that_hangs_ends_pub_and_is_not_said_to_have_hung_up");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--heartbeat", "1s"]);
    let mut publish = at(&broker, &["pub", "t", "--lines", "-", "--timeout", "1"]);
    let mut publish = start(publish.stdin(Stdio::piped()));
    let mut stdin = publish.0.stdin.take().expect("it is piped");
    stdin.write_all(b"the first\n").expect("it reads");
    broker.until(|page| page.sum("corecast_messages_in_total") == 1);
    broker.freeze();
    let line = [&[b'x'; 10_000][..], b"\n"].concat();
    while stdin.write_all(&line).is_ok() {}
    let said = said(&publish.output(), 1);
    assert!(said.contains("the broker has said nothing for"), "{said}");
    assert!(!said.contains("closed the connection"), "{said}");
}

#[test]
fn a_broker_that_goes_away_ends_pub_in_its_time() {
    let _watchdog = watchdog::watch("a_broker_that_goes_away_ends_pub_in_its_time");
    let mut broker = broker();
    let mut publish = at(&broker, &["pub", "t", "--lines", "-", "--timeout", "1", "--wait-subscribers", "1"]);
    let sub = subscribed(&broker, 1, &mut at(&broker, &["sub", "t"]));
    let mut publish = start(publish.stdin(Stdio::piped()));
    let mut stdin = publish.0.stdin.take().expect("it is piped");
    stdin.write_all(b"the first\n").expect("it reads");
    broker.until(|page| page.sum("corecast_messages_in_total") == 1);
    broker.kill();
    let start = Instant::now();
    let line = [&[b'x'; 10_000][..], b"\n"].concat();
    // Until it ends, and reads no more.
    while stdin.write_all(&line).is_ok() {}
    let output = publish.output();
    assert!(start.elapsed() < Duration::from_secs(30), "it was given a second");
    let said = said(&output, 1);
    assert!(said.contains("of stdin") && said.contains("no connection to"), "{said}");
    drop(sub);
}

#[test]
fn without_a_broker_there_is_a_hint() {
    let _watchdog = watchdog::watch("without_a_broker_there_is_a_hint");
    // A port that was free a moment ago, and a path that is not there.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it is bound").port();
    let dir = tempfile::tempdir().expect("a directory");
    let endpoints = [format!("tcp://127.0.0.1:{port}"), format!("uds://{}/none.sock", dir.path().display())];
    // Each tries for a while before it says so.
    std::thread::scope(|threads| {
        for endpoint in &endpoints {
            for (args, code) in [(&["pub", "t", "x"][..], 1), (&["sub", "t", "--timeout", "300ms"], 27)] {
                threads.spawn(move || {
                    let said = said(&run(&[args, &["--broker", endpoint]].concat()), code);
                    assert!(said.contains(endpoint) && said.contains("corecast broker"), "{said}");
                });
            }
        }
    });
}

#[test]
fn wrong_usage_is_2() {
    let _watchdog = watchdog::watch("wrong_usage_is_2");
    let lines: &[&[&str]] = &[
        &[],
        &["publish"],
        &["pub"],
        &["pub", "t"],
        &["pub", "a..b", "x"],
        &["pub", "a.*", "x"],
        &["pub", "t", "x", "--lines", "-"],
        &["pub", "t", "x", "--rate", "0"],
        &["sub"],
        &["sub", "a.>.b"],
        &["sub", "t", "--count", "many"],
        &["sub", "t", "-o", "xml"],
        &["sub", "t", "--broker", "localhost"],
        &["broker", "--overflow", "maybe"],
        &["broker", "--listen", "udp://127.0.0.1:1"],
        &["broker", "--cores", "100000"],
        &["broker", "--shards", "0"],
        &["broker", "--egress-bytes", "1KiB"],
        &["broker", "--egress-frames", "1"],
        &["broker", "--heartbeat", "1ms"],
        &["broker", "--log-level", "loud"],
        &["broker", "--log-level", "info,corecast=loud"],
        &["completions", "tcsh"],
        &["man", "nothing"],
        &["doctor", "--cores", "fast"],
    ];
    for line in lines {
        let output = run(line);
        assert!(!said(&output, 2).is_empty(), "{line:?}");
        assert_eq!(output.stdout, b"", "{line:?}");
    }
}

#[test]
fn what_cannot_be_read_or_published_is_named() {
    let _watchdog = watchdog::watch("what_cannot_be_read_or_published_is_named");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--frame-bytes-max", "4KiB"]);
    let output = at(&broker, &["pub", "t", "--lines", "no/such/file"]).output().expect("it runs");
    assert!(said(&output, 1).contains("cannot open no/such/file"));
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("lines");
    std::fs::write(&path, [&b"short\n"[..], &[b'x'; 5000], b"\nnever\n"].concat()).expect("a file");
    let sub = subscribed(&broker, 1, &mut at(&broker, &["sub", "t", "--count", "1"]));
    let lines = path.display().to_string();
    let output = at(&broker, &["pub", "t", "--lines", &lines]).output().expect("it runs");
    let said = said(&output, 1);
    assert!(said.contains("line 2 of") && said.contains("5000 bytes"), "{said}");
    assert_eq!(text(&sub.output().stdout), "short\n", "what came before is delivered");
}

#[test]
fn wildcards_of_mqtt_are_told_what_to_write() {
    let _watchdog = watchdog::watch("wildcards_of_mqtt_are_told_what_to_write");
    let broker = broker();
    for (theirs, ours) in [("sensors/+/temp", "'sensors.*.temp'"), ("#", "'>'"), ("a.#", "'a.>'")] {
        let output = at(&broker, &["sub", theirs, "--timeout", "10ms"]).output().expect("it runs");
        let said = said(&output, 27);
        assert!(said.contains("is taken as a name") && said.contains(ours), "{said}");
    }
    let output = at(&broker, &["sub", "c#.>", "--timeout", "10ms"]).output().expect("it runs");
    assert!(!said(&output, 27).contains("taken as a name"));
}

#[test]
fn a_size_is_checked_before_it_is_made() {
    let _watchdog = watchdog::watch("a_size_is_checked_before_it_is_made");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--frame-bytes-max", "4KiB"]);
    // Nobody is there to wait for.
    let too_large = ["pub", "t", "--count", "1", "--size", "256MiB", "--wait-subscribers", "1"];
    let output = at(&broker, &too_large).output().expect("it runs");
    let text = said(&output, 1);
    assert!(text.contains("a generated message: a payload of 268435456 bytes is too long"), "{text}");
    let output = at(&broker, &["pub", "t", "--count", "1", "--size", "5GB"]).output().expect("it runs");
    assert!(said(&output, 2).contains("error: --size: 5000000000 is more than any broker takes"));
}

#[test]
fn a_closed_pipe_ends_a_command_quietly() {
    let _watchdog = watchdog::watch("a_closed_pipe_ends_a_command_quietly");
    let broker = broker();
    for format in ["text", "raw", "json"] {
        let mut sub = subscribed(&broker, 1, &mut at(&broker, &["sub", "t", "-o", format]));
        succeeded(&at(&broker, &["pub", "t", "the first\n"]).output().expect("it runs"));
        let mut line = String::new();
        let mut stdout = BufReader::new(sub.stdout());
        stdout.read_line(&mut line).expect("a line");
        assert!(line.contains("the first"), "{line}");
        drop(stdout);
        // Nothing more is published: it learns of it all the same.
        sub.0.wait().expect("it is ours");
        let mut end = Vec::new();
        sub.0.stderr.take().expect("it is piped").read_to_end(&mut end).expect("its words");
        assert_eq!((text(&end), sub.0.wait().expect("it is ours").code()), ("", Some(0)), "{format}");
    }
    for line in [&["man"][..], &["completions", "bash"], &["doctor", "--jitter", "1ms"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = corecast().args(line).stdout(writer).stderr(Stdio::piped()).spawn();
        succeeded(&Running(output.expect("it starts")).output());
    }
}

fn full_disk() -> File {
    File::options().write(true).open("/dev/full").expect("Linux has one")
}

#[test]
fn a_full_disk_is_an_error_and_no_panic() {
    let _watchdog = watchdog::watch("a_full_disk_is_an_error_and_no_panic");
    let broker = broker();
    for format in ["text", "raw", "json"] {
        let sub = subscribed(&broker, 1, at(&broker, &["sub", "t", "-o", format]).stdout(full_disk()));
        succeeded(&at(&broker, &["pub", "t", "lost"]).output().expect("it runs"));
        assert!(said(&sub.output(), 1).contains("cannot write to stdout"), "{format}");
    }
    let lines: &[&[&str]] = &[
        &["man"],
        &["completions", "fish"],
        &["doctor", "--jitter", "1ms"],
        &["broker", "--listen", "tcp://127.0.0.1:0", "--shards", "1"],
    ];
    for line in lines {
        let output = corecast().args(*line).stdout(full_disk()).output().expect("it starts");
        assert!(said(&output, 1).contains("cannot write to stdout"), "{line:?}");
    }
    // With stderr full as well, the exit code still tells.
    let mut nowhere = at(&broker, &["sub", "t", "--timeout", "1ms"]);
    let status = nowhere.stdout(full_disk()).stderr(full_disk()).status().expect("it runs");
    assert_eq!(status.code(), Some(27));
}

#[test]
fn a_million_lines_arrive_as_they_were() {
    const LINES: u64 = 1_000_000;
    let _watchdog = watchdog::watch("a_million_lines_arrive_as_they_were");
    let broker = lossless_broker();
    let numbers: String = (1..=LINES).map(|number| format!("{number}\n")).collect();
    let mut sub = start(&mut at(&broker, &["sub", "numbers", "--count", &LINES.to_string()]));
    let mut publish = at(&broker, &["pub", "numbers", "--lines", "-", "--wait-subscribers", "1"]);
    let mut publish = start(publish.stdin(Stdio::piped()));
    let mut stdin = publish.0.stdin.take().expect("it is piped");
    std::thread::scope(|threads| {
        threads.spawn(|| {
            stdin.write_all(numbers.as_bytes()).expect("it reads all");
            drop(stdin);
        });
        assert_reads(sub.stdout(), numbers.as_bytes());
    });
    succeeded(&publish.output());
    succeeded(&sub.output());
}

/// Reads to the end, and finds exactly this.
fn assert_reads(mut from: impl std::io::Read, wanted: &[u8]) {
    let mut buffer = vec![0; 256 << 10];
    let mut at = 0;
    loop {
        let n = from.read(&mut buffer).expect("it writes");
        if n == 0 {
            break;
        }
        let there = wanted.get(at..at + n);
        assert!(there == Some(&buffer[..n]), "other bytes than were sent, from byte {at} on");
        at += n;
    }
    assert_eq!(at, wanted.len(), "bytes that are missing at the end");
}

/// Text of people: the sources of this project's dependencies, up to 50 MB, and what people write seldom.
fn real_text() -> Vec<u8> {
    const BYTES: usize = 50 << 20;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let mut folders: Vec<PathBuf> = home.into_iter().map(|home| home.join("registry/src")).collect();
    folders.push(PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let mut lines = Vec::with_capacity(BYTES + (8 << 20));
    lines.extend_from_slice(b"\n\n\r\n \xff\xfe\x00 not UTF-8 \x80\n\n");
    lines.extend(std::iter::repeat_n(b'L', 3 << 20));
    lines.extend_from_slice(b"\n");
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if lines.len() < BYTES
                && path.extension().is_some_and(|ending| ending == "rs" || ending == "md")
            {
                lines.extend(std::fs::read(path).unwrap_or_default());
                lines.push(b'\n');
            }
        }
    }
    assert!(lines.len() > 8 << 20, "the registry has been found");
    // Without a registry of that size the rest is said again.
    while lines.len() < BYTES {
        lines.extend_from_within(..(BYTES - lines.len()).min(lines.len()));
    }
    if lines.last() != Some(&b'\n') {
        lines.push(b'\n');
    }
    lines
}

#[test]
fn a_real_file_arrives_at_sixteen_subscribers_byte_for_byte() {
    let _watchdog = watchdog::watch("a_real_file_arrives_at_sixteen_subscribers_byte_for_byte");
    let broker = lossless_broker();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("real.txt");
    let real = real_text();
    std::fs::write(&path, &real).expect("room for 50 MB");
    let lines = real.iter().filter(|byte| **byte == b'\n').count().to_string();
    let (path, real) = (path.display().to_string(), &real);
    std::thread::scope(|threads| {
        for _ in 0..16 {
            let mut sub = start(&mut at(&broker, &["sub", "text", "--count", &lines]));
            threads.spawn(move || {
                assert_reads(sub.stdout(), real);
                succeeded(&sub.output());
            });
        }
        let args = ["pub", "text", "--lines", &path, "--wait-subscribers", "16"];
        succeeded(&at(&broker, &args).output().expect("it runs"));
    });
    assert_eq!(broker.page().sum("corecast_drops_total"), 0);
}

#[test]
fn json_is_an_object_a_line_and_raw_has_nothing_between() {
    use std::os::unix::ffi::OsStrExt as _;
    let _watchdog = watchdog::watch("json_is_an_object_a_line_and_raw_has_nothing_between");
    let broker = broker();
    let json = subscribed(&broker, 1, &mut at(&broker, &["sub", "a.*", "--count", "3", "-o", "json"]));
    let raw = subscribed(&broker, 2, &mut at(&broker, &["sub", "a.*", "--count", "3", "-o", "raw"]));
    for (topic, payload) in [("a.b", &b"say \"hi\"\n"[..]), ("a.\u{e4}", b"\xff\xfe"), ("a.c", b"")] {
        let mut publish = at(&broker, &["pub", topic]);
        succeeded(&publish.arg(std::ffi::OsStr::from_bytes(payload)).output().expect("it runs"));
    }
    assert_eq!(raw.output().stdout, b"say \"hi\"\n\xff\xfe");
    let output = json.output();
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[0]["topic"], &lines[0]["payload"]), (&"a.b".into(), &"say \"hi\"\n".into()));
    assert_eq!((&lines[1]["topic"], &lines[1]["payload_base64"]), (&"a.\u{e4}".into(), &"//4=".into()));
    assert_eq!((&lines[1]["payload"], &lines[2]["payload"]), (&serde_json::Value::Null, &"".into()));
    for line in &lines {
        assert_eq!(line["sequence"], 1, "each was published by another");
        assert_eq!(line["publisher"].as_str().expect("text").len(), 16);
        assert!(line["time"].as_str().expect("text").ends_with('Z'));
    }
}

#[test]
fn a_gap_is_told_where_it_is() {
    let _watchdog = watchdog::watch("a_gap_is_told_where_it_is");
    let mut broker = broker();
    let text_sub = subscribed(&broker, 1, &mut at(&broker, &["sub", "t", "--count", "2"]));
    let json_sub = subscribed(&broker, 2, &mut at(&broker, &["sub", "t", "--count", "2", "-o", "json"]));
    succeeded(&at(&broker, &["pub", "t", "before"]).output().expect("it runs"));
    broker.until(|page| page.sum("corecast_deliveries_total") == 2);
    broker.kill();
    broker.start_again();
    succeeded(&at(&broker, &["pub", "t", "after", "--wait-subscribers", "2"]).output().expect("it runs"));
    let output = text_sub.output();
    assert_eq!(text(&output.stdout), "before\nafter\n");
    let told = said(&output, 0);
    assert_eq!(told.lines().filter(|line| line.starts_with("gap: ")).count(), 1, "{told}");
    let output = json_sub.output();
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&lines[0]["payload"], &lines[2]["payload"]), (&"before".into(), &"after".into()));
    assert_eq!(lines[1]["gap"], serde_json::json!({"missed": null, "reason": "reconnect"}));
}

#[test]
fn a_broker_says_where_it_serves() {
    let _watchdog = watchdog::watch("a_broker_says_where_it_serves");
    let dir = tempfile::tempdir().expect("a directory");
    let uds = format!("uds://{}", dir.path().join("b.sock").display());
    let mut command = corecast();
    command
        .args(["broker", "--shards", "2", "--listen", "tcp://127.0.0.1:0"])
        .env("CORECAST_LOG_LEVEL", "off")
        .args(["--listen", &uds, "--metrics", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = start(&mut command);
    let mut line = String::new();
    let mut stdout = BufReader::new(running.stdout());
    stdout.read_line(&mut line).expect("a line");
    let words: Vec<&str> = line.split_whitespace().collect();
    let [ready, tcp, socket, shards, cores, metrics] = words[..] else { panic!("{line}") };
    assert_eq!((ready, socket, shards), ("ready", &uds[..], "shards=2"));
    assert!(tcp.starts_with("tcp://127.0.0.1:") && !tcp.ends_with(":0"), "{line}");
    assert!(cores.starts_with("cores=") && metrics.starts_with("metrics=127.0.0.1:"), "{line}");
    let pid = i32::try_from(running.0.id()).expect("Linux has no longer pids");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).expect("it runs");
    succeeded(&running.output());
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).expect("the end");
    assert_eq!(rest, b"", "one line is all");
}

#[test]
fn the_page_has_every_metric() {
    let _watchdog = watchdog::watch("the_page_has_every_metric");
    let broker = broker();
    succeeded(&at(&broker, &["pub", "t", "x"]).output().expect("it runs"));
    let page = broker.until(|page| page.sum("corecast_messages_in_total") == 1);
    for metric in METRICS {
        let names = match metric.kind {
            MetricKind::Histogram => {
                ["_bucket", "_sum", "_count"].map(|end| format!("{}{end}", metric.name)).to_vec()
            }
            MetricKind::Counter | MetricKind::Gauge | MetricKind::Ratio => vec![metric.name.to_owned()],
        };
        for name in names {
            assert!(page.has(&name), "{name}");
        }
    }
    let build = format!("corecast_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"));
    assert!(page.text().contains(&build), "{}", page.text());
    check_metrics(page.text());
}

/// Prometheus' own check of the page, if its `promtool` is installed (Debian's package `prometheus`).
fn check_metrics(page: &str) {
    let mut promtool = std::process::Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut promtool) = promtool.spawn() else {
        let _ = writeln!(std::io::stderr(), "left out: there is no promtool (apt-get install prometheus)");
        return;
    };
    promtool.stdin.take().expect("it is piped").write_all(page.as_bytes()).expect("it reads all");
    let output = promtool.wait_with_output().expect("it is ours");
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn the_host_is_checked() {
    let output = run(&["doctor", "--jitter", "10ms", "-o", "json"]);
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = findings.as_array().expect("an array");
    let levels: Vec<&str> = findings.iter().filter_map(|finding| finding["level"].as_str()).collect();
    assert!(!levels.is_empty() && levels.len() == findings.len());
    let wrong = levels.contains(&"error");
    assert_eq!(output.status.code(), Some(i32::from(wrong)));
    let output = run(&["doctor", "--jitter", "10ms"]);
    assert_eq!(text(&output.stdout).lines().filter(|line| !line.contains("fix: ")).count(), findings.len());
    // A CPU that is not there is an error with a fix.
    let output = run(&["doctor", "--jitter", "1ms", "--cores", "4095"]);
    said(&output, 1);
    assert!(text(&output.stdout).contains("4095"));
}

#[test]
fn a_long_measurement_reports_how_far_it_has_come() {
    let _watchdog = watchdog::watch("a_long_measurement_reports_how_far_it_has_come");
    let mut doctor = corecast()
        .args(["doctor", "--jitter", "1h"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let mut line = String::new();
    let read = BufReader::new(doctor.stderr.take().expect("a pipe")).read_line(&mut line);
    doctor.kill().expect("it runs");
    doctor.wait().expect("it ends");
    read.expect("a line");
    assert_eq!(line, "measuring jitter: 0 of 3600 s\n");
}

#[test]
fn help_pages_and_completions_come_from_one_definition() {
    for line in [&["man"][..], &["man", "broker"], &["man", "pub"], &["man", "sub"], &["man", "doctor"]] {
        let output = run(line);
        succeeded(&output);
        assert!(text(&output.stdout).contains(".TH "), "{line:?}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        succeeded(&output);
        assert!(text(&output.stdout).contains("wait-subscribers"), "{shell}");
    }
    for line in
        [&["--help"][..], &["help", "broker"], &["pub", "--help"], &["sub", "--help"], &["doctor", "--help"]]
    {
        let output = run(line);
        succeeded(&output);
        assert!(text(&output.stdout).contains("Examples:"), "{line:?}");
    }
    succeeded(&run(&["--version"]));
}
