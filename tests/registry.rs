//! The registry as users see it: `corecast registry` and the view behind it, against the real broker.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod watchdog;

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Output, Stdio};
use std::time::Duration;

use broker_process::{BrokerProcess, Transport, corecast};
use corecast::{DownReason, Listed, Publisher, PublisherChange, RegistryView, Sessions, Topic};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// Long enough for whatever is on its way; the watchdog ends what never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Long enough to see that something is not there: what these tests wait for is there within milliseconds.
const SHORT: Duration = Duration::from_millis(300);

fn direct(name: &'static str) -> (BrokerProcess, watchdog::Watchdog) {
    let watchdog = watchdog::watch(name);
    let rules = ["--mode", "direct", "--mode-rule", "low.>=proxy"];
    (BrokerProcess::start(Transport::Tcp, &rules), watchdog)
}

/// A publisher that has begun this topic. Each has a session, and so a registration, of its own.
fn publisher(broker: &BrokerProcess, topic: &str) -> Publisher {
    let config = broker.client().sessions(Sessions::PerSubscriber);
    let mut publisher = Publisher::with_config(config).expect("a publisher");
    begin(&mut publisher, topic);
    publisher
}

fn begin(publisher: &mut Publisher, topic: &str) {
    publisher.publish(Topic::new(topic).expect("a topic"), b"").expect("it is taken");
    publisher.flush(PATIENCE).expect("it is taken");
}

fn view(broker: &BrokerProcess) -> RegistryView {
    RegistryView::with_config(broker.client()).expect("a view")
}

/// The publishers with their topics.
fn pairs(list: &[Listed]) -> Vec<(u64, String)> {
    list.iter().map(|listed| (listed.publisher.0, topics(listed))).collect()
}

fn topics(listed: &Listed) -> String {
    listed.topics.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn next(view: &mut RegistryView) -> PublisherChange {
    view.next_change_timeout(PATIENCE).expect("it is well").expect("something changes")
}

fn command(broker: &BrokerProcess, args: &[&str]) -> Output {
    let mut command = corecast();
    command.args(["registry", "--broker", broker.endpoint()]).args(args).stdin(Stdio::null());
    command.output().expect("the command can be started")
}

#[track_caller]
fn assert_exit(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
    (stdout, stderr)
}

/// `corecast registry --watch`, line by line.
struct Watching {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watching {
    fn start(broker: &BrokerProcess) -> Self {
        let mut command = corecast();
        command.args(["registry", "--watch", "-o", "json", "--broker", broker.endpoint()]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the command can be started");
        let lines = BufReader::new(child.stdout.take().expect("it is piped"));
        Watching { child, lines }
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("it can be read");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("`{line}`: {e}"))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_watch_ends_in_its_time_though_nobody_reads() {
    let (broker, _watchdog) = direct("a_watch_ends_in_its_time_though_nobody_reads");
    // Rows of 4 KB, more than a pipe takes.
    let topics =
        |publisher: usize| (0..15).map(move |topic| format!("{publisher}.{topic}.{}", "x".repeat(240)));
    let _publishers: Vec<Publisher> = (0..20)
        .map(|number| {
            let mut publisher = publisher(&broker, &number.to_string());
            topics(number).for_each(|topic| begin(&mut publisher, &topic));
            publisher
        })
        .collect();
    let mut command = corecast();
    command.args(["registry", "--watch", "--timeout", "2s", "-o", "json", "--broker", broker.endpoint()]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watch = command.spawn().expect("the command can be started");
    let said = std::io::read_to_string(watch.stderr.take().expect("it is piped")).expect("text");
    assert_eq!(watch.wait().expect("it is ours").code(), Some(27), "{said}");
    assert_eq!(said, "error: output that nobody has read is lost\n");
}

#[test]
fn a_list_has_every_direct_publisher_and_what_is_left_of_its_lease() {
    let (broker, _watchdog) = direct("registry list");
    let mut view = view(&broker);
    assert_eq!(view.list(PATIENCE).expect("a list"), []);
    let mut first = publisher(&broker, "a");
    begin(&mut first, "b");
    let second = publisher(&broker, "c");
    let _proxied = publisher(&broker, "low.d");
    let list = view.list(PATIENCE).expect("a list");
    let mut wanted = vec![(first.id().0, "a b".to_owned()), (second.id().0, "c".to_owned())];
    wanted.sort_unstable();
    assert_eq!(pairs(&list), wanted);
    for listed in &list {
        let left = listed.lease_left.expect("a list has it");
        assert!(left > Duration::ZERO && left <= Duration::from_secs(5), "{left:?}");
        assert_eq!(listed.endpoints.len(), 1);
    }
    // Nobody connects to a publisher only to know of it.
    let watched = first.wait_for_subscribers(Topic::new("a").expect("a topic"), 1, SHORT);
    assert!(watched.is_err_and(|e| e.to_string().contains("0 of 1")));
}

#[test]
fn changes_begin_behind_a_list_or_with_everybody() {
    let (broker, _watchdog) = direct("registry changes");
    let first = publisher(&broker, "a");
    let mut listing = view(&broker);
    let mut watching = view(&broker);
    assert_eq!(pairs(&listing.list(PATIENCE).expect("a list")), [(first.id().0, "a".to_owned())]);
    let PublisherChange::Up(listed) = next(&mut watching) else { panic!("nobody has left") };
    assert_eq!((listed.publisher, listed.lease_left), (first.id(), None));

    let mut second = publisher(&broker, "b");
    begin(&mut second, "c");
    let id = second.id();
    second.close().expect("it ends in order");
    // However its ups were seen, the last word is that it left.
    for view in [&mut listing, &mut watching] {
        let mut seen = String::new();
        let last = loop {
            match next(view) {
                PublisherChange::Up(listed) => {
                    assert_eq!(listed.publisher, id);
                    seen = topics(&listed);
                }
                down => break down,
            }
        };
        assert!(["b", "b c"].contains(&&seen[..]), "{seen}");
        assert_eq!(last, PublisherChange::Down { publisher: id, epoch: 1, reason: DownReason::Left });
        assert_eq!(view.next_change_timeout(SHORT).expect("it is well"), None);
    }
}

#[test]
fn a_view_goes_on_when_the_broker_comes_back() {
    let (mut broker, _watchdog) = direct("registry restart");
    let publisher = publisher(&broker, "a");
    let mut view = view(&broker);
    assert_eq!(pairs(&view.list(PATIENCE).expect("a list")).len(), 1);
    broker.kill();
    broker.start_again();
    // Either the view is back first and hears that nobody is there, or the publisher is, under a new epoch.
    let mut change = next(&mut view);
    if let PublisherChange::Down { reason, .. } = change {
        assert_eq!(reason, DownReason::Forgotten);
        change = next(&mut view);
    }
    let PublisherChange::Up(listed) = change else { panic!("{change:?}") };
    assert_eq!((listed.publisher, listed.epoch), (publisher.id(), 2));
    let list = view.list(PATIENCE).expect("a list");
    assert_eq!(pairs(&list), [(publisher.id().0, "a".to_owned())]);
}

#[test]
fn the_port_of_a_publisher_is_no_registry() {
    let (broker, _watchdog) = direct("registry port");
    let publisher = publisher(&broker, "a");
    let endpoint = view(&broker).list(PATIENCE).expect("a list")[0].endpoints[0].to_string();
    let said = RegistryView::connect(&endpoint).expect_err("it is no broker").to_string();
    assert!(said.contains(&format!("{endpoint} is publisher {}", publisher.id())), "{said}");
}

#[test]
fn the_command_prints_a_table_or_an_object_a_line() {
    let (broker, _watchdog) = direct("registry command");
    let (stdout, stderr) = assert_exit(&command(&broker, &[]), 0);
    assert_eq!((&stdout[..], stderr.lines().count()), ("", 1));
    assert!(
        stderr.starts_with("nobody is registered: only publishers of topics that go direct are")
            && stderr.contains("--mode-rule"),
        "{stderr}"
    );

    let publishers = [publisher(&broker, "a"), publisher(&broker, "b.c")];
    let (stdout, stderr) = assert_exit(&command(&broker, &[]), 0);
    assert_eq!(stderr, "");
    let rows: Vec<Vec<&str>> = stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["PUBLISHER", "EPOCH", "LEASE", "LEFT", "ENDPOINTS", "TOPICS"]);
    assert_eq!(rows.len(), 3);
    for row in &rows[1..] {
        let [id, epoch, left, "s", endpoint, topic] = row[..] else { panic!("{row:?}") };
        assert!(publishers.iter().any(|publisher| publisher.id().to_string() == id), "{stdout}");
        assert!(epoch == "1" && left.parse().is_ok_and(|left: f64| left <= 5.0), "{stdout}");
        assert!(endpoint.starts_with("tcp://127.0.0.1:") && ["a", "b.c"].contains(&topic), "{stdout}");
    }

    let (stdout, _) = assert_exit(&command(&broker, &["-o", "json"]), 0);
    let objects: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let mut topics: Vec<&Value> = objects.iter().map(|object| &object["topics"]).collect();
    topics.sort_by_key(|topics| topics.to_string());
    assert_eq!(topics, [&json!(["a"]), &json!(["b.c"])]);
    assert!(objects.iter().all(|object| object["lease_left_ms"].as_u64() > Some(0)), "{stdout}");
}

#[test]
fn a_watch_prints_who_is_there_then_each_change_until_interrupted() {
    let _watchdog = watchdog::watch("registry watch");
    let lease = ["--mode", "direct", "--lease", "300ms"];
    let broker = BrokerProcess::start(Transport::Uds, &lease);
    let there = publisher(&broker, "a");
    let mut watching = Watching::start(&broker);
    let row = watching.next();
    let wanted = (json!("there"), json!(there.id().to_string()), json!(["a"]));
    assert_eq!((row["change"].clone(), row["publisher"].clone(), row["topics"].clone()), wanted);

    // A process of its own, killed: nobody says that it leaves.
    let mut pub_command = corecast();
    pub_command.args(["pub", "b", "--count", "1000000", "--rate", "10", "--broker", broker.endpoint()]);
    let mut killed = pub_command.spawn().expect("the command can be started");
    let up = watching.next();
    assert_eq!(
        (&up["change"], &up["topics"], &up["lease_left_ms"]),
        (&json!("up"), &json!(["b"]), &Value::Null)
    );
    killed.kill().expect("it runs");
    killed.wait().expect("it is ours");
    let down = watching.next();
    let wanted = json!({"change": "down", "publisher": up["publisher"], "epoch": 1, "reason": "expired"});
    assert_eq!(down, wanted);

    let id = there.id().to_string();
    there.close().expect("it ends in order");
    let down = watching.next();
    assert_eq!(down, json!({"change": "down", "publisher": id, "epoch": 1, "reason": "left"}));

    let pid = Pid::from_raw(i32::try_from(watching.child.id()).expect("a process id"));
    kill(pid, Signal::SIGINT).expect("it runs");
    assert_eq!(watching.child.wait().expect("it is ours").code(), Some(0));
}

#[test]
fn a_watch_ends_when_its_time_is_over() {
    let (broker, _watchdog) = direct("registry timeout");
    let (stdout, stderr) = assert_exit(&command(&broker, &["--watch", "--timeout", "300ms"]), 0);
    assert_eq!(stdout, "CHANGE  PUBLISHER  EPOCH  LEASE LEFT  ENDPOINTS  TOPICS\n");
    assert_eq!(stderr, "");
}

#[test]
fn a_closed_pipe_is_quiet_and_a_full_disk_is_an_error() {
    let (broker, _watchdog) = direct("registry pipe");
    let _publisher = publisher(&broker, "a");
    for args in [&[][..], &["--watch"]] {
        let run = |stdout: Stdio| {
            let mut command = corecast();
            command.args(["registry", "--broker", broker.endpoint()]).args(args);
            command.stdout(stdout).stderr(Stdio::piped());
            command.spawn().expect("the command can be started").wait_with_output().expect("it is ours")
        };
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        assert_eq!(assert_exit(&run(writer.into()), 0), (String::new(), String::new()));
        let full = std::fs::File::create("/dev/full").expect("the full disk");
        let (_, said) = assert_exit(&run(full.into()), 1);
        assert!(said.contains("cannot write to stdout"), "{said}");
    }
}

#[test]
fn a_broker_that_is_none_is_an_error_with_a_hint() {
    let _watchdog = watchdog::watch("registry none");
    let run = |url: &str| {
        let mut command = corecast();
        command.args(["registry", "--timeout", "500ms", "--broker", url]);
        command.output().expect("the command can be started")
    };
    // It takes connections, as the kernel does for it, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("tcp://{}", silent.local_addr().expect("its address"));
    let (_, said) = assert_exit(&run(&url), 27);
    assert!(said.contains(&url) && said.contains("hint: another broker is named with --broker"), "{said}");
    drop(silent);
    let (_, said) = assert_exit(&run(&url), 27);
    assert!(said.contains(&url) && said.contains("hint: "), "{said}");
    assert_exit(&run("nowhere"), 2);
}
