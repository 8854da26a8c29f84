//! The forms in which `pub` and `sub` take and print messages, what they count, and `ping` and `latency`: as users run them.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod running;
mod watchdog;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Output, Stdio};

use broker_process::{BrokerProcess, Transport};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use running::{at, run, said, start, subscribed, succeeded, text};
use serde_json::Value;

fn broker() -> BrokerProcess {
    BrokerProcess::start(Transport::Tcp, &["--shards", "2"])
}

/// Runs a command at this broker to its end.
fn ran(broker: &BrokerProcess, args: &[&str]) -> Output {
    at(broker, args).output().expect("it runs")
}

/// The output of a subscriber with these arguments for one message that is published with those.
fn printed(broker: &BrokerProcess, sub: &[&str], publish: &[&str]) -> String {
    let args = [&["sub", "prices.>", "-n", "1"], sub].concat();
    let subscriber = subscribed(broker, 1, &mut at(broker, &args));
    succeeded(&ran(broker, &[&["pub", "prices.eur"], publish].concat()));
    let output = subscriber.output();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

fn object(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {}", text(bytes)))
}

#[test]
fn a_subscriber_shows_topics_and_forms() {
    let _watchdog = watchdog::watch("a_subscriber_shows_topics_and_forms");
    let broker = broker();
    assert_eq!(printed(&broker, &["-v"], &["1.08"]), "prices.eur 1.08\n");
    assert_eq!(printed(&broker, &["-F", "%n|%t|%l|%x|%s%%"], &["1.08"]), "1|prices.eur|4|312e3038|1%\n");
    assert_eq!(printed(&broker, &["-F", "%p\\n", "-o", "raw"], &["1.08"]), "1.08\n");
    let timed = printed(&broker, &["-F", "%T %a"], &["1.08"]);
    let (time, age) = timed.trim_end().split_once(' ').expect("two words");
    let age: f64 = age.parse().expect("milliseconds");
    assert!(time.ends_with('Z') && (0.0..60_000.0).contains(&age), "{timed}");
    for (args, part) in [
        (&["-F", "%q"][..], "`%q` is no placeholder"),
        (&["-v", "-o", "json"], "an object has all parts"),
        (&["-v", "-F", "%p"], "cannot be used with"),
        (&["--rate", "-v"], "cannot be used with"),
        (&["--rate", "-o", "raw"], "it is text or json"),
    ] {
        let refused = said(&ran(&broker, &[&["sub", "t"], args].concat()), 2);
        assert!(refused.contains(part), "{args:?}: {refused}");
    }
    let help = run(&["sub", "--help"]);
    for part in [
        "\n  %t  topic ",
        "%T  time of publication",
        "%a  age in milliseconds",
        "-b, --broker",
        "-n, --count",
        "-t, --timeout",
    ] {
        assert!(text(&help.stdout).contains(part), "{part} is not in {}", text(&help.stdout));
    }
}

#[test]
fn a_file_is_one_message_byte_for_byte() {
    let _watchdog = watchdog::watch("a_file_is_one_message_byte_for_byte");
    let broker = broker();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report");
    let bytes: Vec<u8> = (0..100_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    std::fs::write(&path, &bytes).expect("written");
    let subscriber = subscribed(&broker, 1, &mut at(&broker, &["sub", "t", "-n", "3", "-o", "raw"]));
    let file = path.display().to_string();
    succeeded(&ran(&broker, &["pub", "t", "--file", &file, "--repeat", "2"]));
    let mut command = at(&broker, &["pub", "t", "--file", "-"]);
    let mut piped = start(command.stdin(Stdio::piped()));
    piped.0.stdin.take().expect("it is piped").write_all(b"of stdin\nin two lines\n").expect("it reads");
    succeeded(&piped.output());
    let heard = subscriber.output().stdout;
    assert_eq!(heard, [&bytes[..], &bytes, b"of stdin\nin two lines\n"].concat());
    let missing = said(&ran(&broker, &["pub", "t", "--file", "no/such/file"]), 1);
    assert!(missing.contains("cannot open no/such/file"), "{missing}");
    let folder = said(&ran(&broker, &["pub", "t", "--file", &folder.path().display().to_string()]), 1);
    assert!(folder.contains("cannot read") && folder.contains("directory"), "{folder}");
}

#[test]
fn a_file_that_is_too_long_is_refused_before_it_is_sent() {
    let _watchdog = watchdog::watch("a_file_that_is_too_long_is_refused_before_it_is_sent");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--frame-bytes-max", "4KiB"]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report");
    std::fs::write(&path, [b'x'; 5_000]).expect("written");
    let refused = said(&ran(&broker, &["pub", "t", "--file", &path.display().to_string()]), 1);
    assert!(refused.contains("the file: a payload of 5000 bytes is too long"), "{refused}");
}

#[test]
fn templates_are_filled_in_and_only_if_asked() {
    let _watchdog = watchdog::watch("templates_are_filled_in_and_only_if_asked");
    let broker = broker();
    let subscriber = subscribed(&broker, 1, &mut at(&broker, &["sub", "t", "-n", "6"]));
    let template = "{\"n\":{{count}},\"r\":{{random 3 3}},\"t\":\"{{time}}\"}";
    succeeded(&ran(&broker, &["pub", "t", template, "--template", "-n", "2"]));
    succeeded(&ran(&broker, &["pub", "t", "{{count}}"]));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lines");
    std::fs::write(&path, "line {{count}}\n").expect("written");
    let lines = path.display().to_string();
    succeeded(&ran(&broker, &["pub", "t", "--lines", &lines, "--template", "--repeat", "3"]));
    let output = subscriber.output();
    let heard: Vec<&str> = text(&output.stdout).lines().collect();
    for (n, line) in heard[..2].iter().enumerate() {
        let filled = object(line.as_bytes());
        assert_eq!((&filled["n"], &filled["r"]), (&(n + 1).into(), &3.into()));
        assert!(filled["t"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
    }
    assert_eq!(heard[2..], ["{{count}}", "line 1", "line 2", "line 3"]);
    let wrong = said(&ran(&broker, &["pub", "t", "{{counter}}", "--template"]), 2);
    assert!(wrong.contains("--template: `{{counter}}` is no field; there are {{count}}"), "{wrong}");
}

#[test]
fn counts_are_printed_each_second_and_at_the_end() {
    let _watchdog = watchdog::watch("counts_are_printed_each_second_and_at_the_end");
    let broker = broker();
    let mut subscriber =
        subscribed(&broker, 1, &mut at(&broker, &["sub", "t", "--rate", "--stats", "-o", "json"]));
    let published = ran(&broker, &["pub", "t", "-n", "1000", "--size", "10", "-o", "json"]);
    succeeded(&published);
    let sums = object(&published.stdout);
    assert_eq!(
        (&sums["topic"], &sums["messages"], &sums["bytes"]),
        (&"t".into(), &1000.into(), &10_000.into())
    );
    let mut stdout = BufReader::new(subscriber.stdout());
    let mut counted = 0;
    while counted < 1000 {
        let mut line = String::new();
        assert_ne!(stdout.read_line(&mut line).expect("a line"), 0, "it ended after {counted} messages");
        let second = object(line.as_bytes());
        assert!(second["seconds"].as_f64().is_some_and(|seconds| seconds > 0.5), "{second}");
        counted += second["messages"].as_u64().expect("a number");
    }
    assert_eq!(counted, 1000);
    kill(Pid::from_raw(subscriber.0.id().cast_signed()), Signal::SIGINT).expect("it runs");
    let output = subscriber.output();
    assert_eq!(output.status.code(), Some(0));
    let whole = object(&output.stderr);
    assert_eq!(
        (&whole["messages"], &whole["bytes"], &whole["missed"]),
        (&1000.into(), &10_000.into(), &0.into())
    );
    assert!(whole["age_ms"]["most"].as_f64().is_some_and(|ms| ms >= 0.0), "{whole}");
}

/// A command under Python's `pty`, whose stderr is a terminal, and stdout a pipe: the words for people are told from data.
fn watched(broker: &BrokerProcess, args: &[&str]) -> Command {
    const STDERR_IS_A_TERMINAL: &str = "
import os, pty, subprocess, sys
ours, theirs = pty.openpty()
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stderr=theirs)
os.close(theirs)
def forward(number, frame):
    child.send_signal(number)
import signal
signal.signal(signal.SIGINT, forward)
while True:
    try:
        some = os.read(ours, 65536)
    except OSError:
        break
    sys.stderr.buffer.write(some)
    sys.stderr.buffer.flush()
sys.exit(child.wait())
";
    let plain = at(broker, args);
    let mut command = Command::new("python3");
    command.args(["-c", STDERR_IS_A_TERMINAL]).arg(plain.get_program()).args(plain.get_args());
    for (name, _) in plain.get_envs() {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_terminal_is_told_how_it_stands() {
    let _watchdog = watchdog::watch("a_terminal_is_told_how_it_stands");
    let broker = broker();
    let mut subscriber = subscribed(&broker, 1, &mut watched(&broker, &["sub", "t"]));
    let mut words = BufReader::new(subscriber.0.stderr.take().expect("it is piped"));
    let mut line = String::new();
    words.read_line(&mut line).expect("a line");
    assert!(line.starts_with(&format!("subscribed at {}; Ctrl-C ends it", broker.endpoint())), "{line}");

    // Two are wanted, and one is there.
    let mut publisher = start(&mut watched(&broker, &["pub", "t", "x", "--wait-subscribers", "2"]));
    let mut waiting = BufReader::new(publisher.0.stderr.take().expect("it is piped"));
    let mut line = String::new();
    waiting.read_line(&mut line).expect("a line");
    assert!(line.starts_with("waiting: 1 of 2 subscribers are there"), "{line}");
    // It has its message and is gone before a counter of two would be seen.
    let second = start(&mut at(&broker, &["sub", "t", "-n", "1"]));
    assert!(publisher.0.wait().expect("it is ours").success());
    succeeded(&second.output());

    let mut stdout = BufReader::new(subscriber.stdout());
    let mut heard = String::new();
    stdout.read_line(&mut heard).expect("a message");
    assert_eq!(heard, "x\n");
    kill(Pid::from_raw(subscriber.0.id().cast_signed()), Signal::SIGINT).expect("it runs");
    let mut line = String::new();
    words.read_line(&mut line).expect("a line");
    assert!(line.starts_with("received 1 message (1 B) in ") && line.contains(", 0 missed"), "{line}");
    assert!(subscriber.0.wait().expect("it is ours").success());

    let sent = watched(&broker, &["pub", "t", "-n", "30", "--rate", "20"]).output().expect("it runs");
    let words = text(&sent.stderr);
    assert!(words.contains("\r\u{1b}[Ksent ") && words.contains(" of 30 ("), "{words:?}");
    assert!(words.trim_end().ends_with("a second") && words.contains("sent 30 messages, "), "{words:?}");
    let meant = watched(&broker, &["pub", "t", "{{count}}"]).output().expect("it runs");
    assert!(text(&meant.stderr).contains("--template fills it in"), "{}", text(&meant.stderr));
}

#[test]
fn a_wait_on_a_terminal_ends_with_the_same_error() {
    let _watchdog = watchdog::watch("a_wait_on_a_terminal_ends_with_the_same_error");
    let broker = broker();
    let args = ["pub", "t", "x", "--wait-subscribers", "3", "-t", "0.3"];
    let output = watched(&broker, &args).output().expect("it runs");
    assert_eq!(output.status.code(), Some(27));
    assert!(text(&output.stderr).contains("0 of 3 subscribers"), "{}", text(&output.stderr));
}

#[test]
fn ping_says_how_far_a_broker_is() {
    let _watchdog = watchdog::watch("ping_says_how_far_a_broker_is");
    let broker = broker();
    let output = ran(&broker, &["ping", "-n", "3", "-i", "1ms"]);
    succeeded(&output);
    let lines = text(&output.stdout);
    for part in ["connected to tcp://", "answer 3 in ", "3 round trips, 0 lost", "99.9 %: "] {
        assert!(lines.contains(part), "{part} is not in {lines}");
    }
    let output = ran(&broker, &["ping", "-n", "3", "-i", "1ms", "-o", "json"]);
    succeeded(&output);
    let objects: Vec<Value> = text(&output.stdout).lines().map(|line| object(line.as_bytes())).collect();
    assert_eq!(objects.len(), 5);
    assert_eq!(objects[0]["broker"], broker.endpoint());
    assert_eq!((&objects[3]["number"], &objects[4]["count"]), (&3.into(), &3.into()));
    assert!(objects[4]["times_us"]["p50"].as_f64().is_some_and(|us| us > 0.0), "{}", objects[4]);

    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let endpoint = format!("tcp://{closed}");
    let away = said(&run(&["ping", "-b", &endpoint, "-t", "300ms"]), 27);
    assert!(away.contains(&endpoint), "{away}");
    broker.freeze();
    let mute = said(&ran(&broker, &["ping", "-t", "300ms"]), 27);
    assert!(mute.contains(broker.endpoint()), "{mute}");
}

#[test]
fn latency_is_measured_there_and_back() {
    let _watchdog = watchdog::watch("latency_is_measured_there_and_back");
    let broker = broker();
    let output = ran(&broker, &["latency", "-n", "50", "-o", "json"]);
    succeeded(&output);
    let facts = object(&output.stdout);
    assert_eq!((&facts["count"], &facts["lost"]), (&50.into(), &0.into()));
    let us = |name: &str| facts["times_us"][name].as_f64().expect("a number");
    assert!(0.0 < us("least") && us("least") <= us("p50") && us("p50") <= us("most"), "{facts}");
    // Somebody else publishes on the topic, too: those messages are not taken for ours.
    let mut noise =
        start(&mut at(&broker, &["pub", "busy", "-n", "1000000", "--size", "64", "--rate", "500"]));
    broker.until(|page| page.sum("corecast_messages_in_total") > 100);
    let args = ["latency", "-n", "5", "--topic", "busy", "--rate", "100", "--size", "8"];
    let output = ran(&broker, &args);
    succeeded(&output);
    assert!(text(&output.stdout).starts_with("5 round trips, 0 lost\n"), "{}", text(&output.stdout));
    noise.0.kill().expect("it runs");
    let short = said(&ran(&broker, &["latency", "--size", "7"]), 2);
    assert!(short.contains("--size: 7 B is too short") || short.contains("--size: 7"), "{short}");
}

#[test]
fn latency_says_which_topic_is_refused() {
    let _watchdog = watchdog::watch("latency_says_which_topic_is_refused");
    let folder = tempfile::tempdir().expect("a folder");
    let users = folder.path().join("users.toml");
    let token = folder.path().join("desk.token");
    let path = |path: &std::path::Path| path.display().to_string();
    let added = run(&[
        "user",
        "add",
        "desk",
        "--users",
        &path(&users),
        "--publish",
        "mine.>",
        "--subscribe",
        "mine.>",
        "--token-out",
        &path(&token),
    ]);
    assert_eq!(added.status.code(), Some(0), "{}", text(&added.stderr));
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "1", "--users", &path(&users)]);
    let args = ["latency", "-n", "3", "--token-file", &path(&token)];
    let refused = said(&ran(&broker, &args), 1);
    assert!(refused.contains("hint: --topic names a topic"), "{refused}");
    let allowed = ran(&broker, &[&args[..], &["--topic", "mine.test"]].concat());
    succeeded(&allowed);
}

/// Paths of commands that do something, each as its words.
fn leaves(command: &clap::Command, words: &[String]) -> Vec<(Vec<String>, bool)> {
    let children: Vec<_> = command.get_subcommands().filter(|child| child.get_name() != "help").collect();
    if children.is_empty() {
        let has_form = command.get_arguments().any(|argument| argument.get_long() == Some("output"));
        return vec![(words.to_vec(), has_form)];
    }
    let below = |child: &&clap::Command| leaves(child, &[words, &[child.get_name().to_owned()]].concat());
    children.iter().flat_map(below).collect()
}

#[test]
fn whatever_prints_facts_prints_them_for_programs() {
    // These print files of other formats, and no facts.
    let files = ["completions", "man", "config default"];
    let all = leaves(&corecast::internals::cli::command(), &[]);
    assert!(all.len() > 20, "{all:?}");
    for (words, has_form) in all {
        let name = words.join(" ");
        assert_eq!(has_form, !files.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn commands_that_make_and_check_files_answer_in_json() {
    let _watchdog = watchdog::watch("commands_that_make_and_check_files_answer_in_json");
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let answer = |args: &[&str], code: i32| -> Vec<Value> {
        let output = run(&[args, &["-o", "json"]].concat());
        assert_eq!(said(&output, code), "", "{args:?}");
        text(&output.stdout).lines().map(|line| object(line.as_bytes())).collect()
    };
    let one = |args: &[&str]| answer(args, 0).pop().unwrap_or_else(|| panic!("{args:?} says nothing"));
    let (dir, users) = (path(""), path("users.toml"));
    let made = |name: &str| serde_json::json!({ "certificate": format!("{dir}{name}.pem"), "key": format!("{dir}{name}.key") });
    assert_eq!(one(&["cert", "ca", "--dir", &dir]), made("ca"));
    assert_eq!(one(&["cert", "server", "localhost", "--dir", &dir]), made("server"));
    assert_eq!(one(&["cert", "client", "alice", "--dir", &dir]), made("alice"));
    assert_eq!(one(&["cert", "show", &path("server.pem")])["names"], serde_json::json!(["localhost"]));
    let keys = one(&["curve-keygen", &path("k")]);
    assert_eq!(keys["public_key"].as_str().map(str::len), Some(40), "{keys}");
    assert!(std::fs::exists(keys["secret_key_file"].as_str().expect("a path")).expect("a folder"), "{keys}");

    let add = |args: &[&str]| one(&[&["user", "add", "--users", &users], args].concat());
    let desk = add(&["desk", "--publish", "a.>"]);
    assert_eq!(desk["user"], "desk");
    // The token is shown once, and is the one that counts.
    let token = desk["token"].as_str().expect("a token");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "1", "--users", &users]);
    let mut publish = at(&broker, &["pub", "a.b", "x"]);
    succeeded(&publish.env("CORECAST_TOKEN", token).output().expect("it runs"));
    let out = path("feeds.token");
    assert_eq!(
        add(&["feeds", "--token-out", &out]),
        serde_json::json!({ "user": "feeds", "token_file": out })
    );
    assert_eq!(add(&["robot", "--no-token", "--uid", "7"]), serde_json::json!({ "user": "robot" }));
    assert_eq!(one(&["user", "check", "--users", &users])["users"], 3);
    assert_eq!(answer(&["user", "list", "--users", &users], 0).len(), 3);
    let permissions = ["user", "permissions", "desk", "--users", &users];
    assert_eq!(one(&permissions)["rights"]["publish"], serde_json::json!(["a.>"]));
    let asked = answer(&[&permissions[..], &["--publish", "a.b", "--subscribe", "a.b"]].concat(), 1);
    let allowed: Vec<&Value> = asked.iter().map(|answer| &answer["allowed"]).collect();
    assert_eq!(allowed, [&Value::Bool(true), &Value::Bool(false)], "{asked:?}");
    assert_eq!(one(&["user", "remove", "robot", "--users", &users]), serde_json::json!({ "user": "robot" }));

    std::fs::write(path("broker.toml"), "shards = 2\n").expect("written");
    let checked = one(&["config", "check", &path("broker.toml")]);
    assert_eq!(checked, serde_json::json!({ "file": path("broker.toml"), "options": 1 }));
}

#[test]
fn doctor_takes_a_config_file_and_looks_at_what_it_names() {
    let _watchdog = watchdog::watch("doctor_takes_a_config_file_and_looks_at_what_it_names");
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (file, dir, users) = (path("broker.toml"), path(""), path("users.toml"));
    let write = |text: &str| std::fs::write(&file, text).expect("written");
    write(
        "shards = 1\nusers = 'users.toml'\nlisten = 'tls://127.0.0.1:0'\ntls-cert = 'server.pem'\ntls-key = 'server.key'\n",
    );
    said(&run(&["cert", "ca", "--dir", &dir, "-o", "json"]), 0);
    said(&run(&["cert", "server", "localhost", "--dir", &dir, "--days", "20", "-o", "json"]), 0);
    said(&run(&["user", "add", "a", "--no-token", "--uid", "1", "--users", &users]), 0);
    let findings = |args: &[&str], code: Option<i32>| -> Vec<(String, String, String)> {
        let output = run(&[&["doctor", "--jitter", "0", "-o", "json"], args].concat());
        assert!(code.is_none_or(|code| output.status.code() == Some(code)), "{output:?}");
        let all: Value = serde_json::from_slice(&output.stdout).expect("an array");
        let word = |finding: &Value, name: &str| finding[name].as_str().expect("text").to_owned();
        let all = all.as_array().expect("an array").iter();
        all.map(|finding| (word(finding, "name"), word(finding, "level"), word(finding, "found"))).collect()
    };
    let of = |all: &[(String, String, String)], name: &str| -> Vec<(String, String)> {
        let same = all.iter().filter(|(of, ..)| of == name);
        same.map(|(_, level, found)| (level.clone(), found.replace(&file, "F"))).collect()
    };
    let all = findings(&["--config", &file], None);
    let well = ("ok".to_owned(), "F: 5 options, and the files that it names are well".to_owned());
    assert_eq!(of(&all, "config"), [well]);
    assert_eq!(of(&all, "users"), [("ok".to_owned(), "1 user".to_owned())]);
    let (level, found) = &of(&all, "certificate")[0];
    assert!(level == "warning" && found == "valid for 19 more days, for localhost", "{found}");
    assert!(of(&all, "open_files")[0].1.ends_with("of 1 shard"), "{all:?}");
    // Options are stronger than the file.
    let all = findings(&["--config", &file, "--shards", "2", "--users", &file], Some(1));
    assert!(of(&all, "open_files")[0].1.ends_with("of 2 shards"), "{all:?}");
    assert_eq!(of(&all, "users")[0].0, "error");
    write("lease = 'soon'\nshards = 'x'\n");
    let all = findings(&["--config", &file], Some(1));
    let faults = of(&all, "config");
    assert!(faults.iter().all(|(level, _)| level == "error") && faults.len() == 2, "{faults:?}");
    assert_eq!(faults[1].1, "F:2:10: `shards`: write a whole number, such as 8");
}
