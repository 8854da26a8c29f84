//! Users, as people run them: the file that `corecast user` makes, a broker that follows it, and clients that show tokens.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod running;
mod watchdog;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use broker_process::{BrokerProcess, Transport, corecast};
use corecast::{
    ClientConfig, Error, ErrorCode, ErrorKind, Event, Filter, Publisher, Sessions, Subscriber, Token,
};
use nix::sys::signal::Signal;
use running::{at, said, start, subscribed};
use tempfile::TempDir;

/// Long enough for whatever is on its way; the watchdog ends what never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a file of users and their tokens.
struct Team {
    folder: TempDir,
}

impl Team {
    /// A user `feeds`, who publishes prices, and a user `desk`, who hears them.
    fn gather() -> Team {
        let team = Team { folder: tempfile::tempdir().expect("a folder") };
        team.add("feeds", &["--publish", "prices.>"]);
        team.add("desk", &["--subscribe", "prices.>"]);
        team
    }

    fn users(&self) -> PathBuf {
        self.folder.path().join("users.toml")
    }

    /// `corecast user COMMAND --users FILE ARGS`.
    fn user(&self, command: &str, args: &[&str]) -> Output {
        let mut corecast = corecast();
        corecast.args(["user", command, "--users"]).arg(self.users()).args(args);
        corecast.output().expect("the command can be started")
    }

    /// Adds a user, or a token to one, and keeps the token in a file.
    fn add(&self, name: &str, args: &[&str]) {
        let added = self.user("add", &[&[name], args].concat());
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        fs::write(self.token_file(name), &added.stdout).expect("written");
        fs::set_permissions(self.token_file(name), fs::Permissions::from_mode(0o600)).expect("a mode");
    }

    fn token_file(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.token"))
    }

    fn broker(&self) -> BrokerProcess {
        let users = self.users().display().to_string();
        BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--users", &users])
    }

    fn client(&self, broker: &BrokerProcess, name: &str) -> ClientConfig {
        broker.client().token(Token::file(self.token_file(name)))
    }
}

fn prices() -> [Filter; 1] {
    [Filter::parse("prices.>").expect("a filter")]
}

fn assert_refused(error: &Error, code: ErrorCode, part: &str) {
    assert_eq!(error.kind(), ErrorKind::Refused(code), "{error}");
    assert!(error.to_string().contains(part), "{error}");
}

fn payload(subscriber: &mut Subscriber) -> Vec<u8> {
    match subscriber.recv_timeout(PATIENCE).expect("it is well") {
        Some(Event::Message(message)) => message.payload.to_vec(),
        other => panic!("{other:?} in the place of a message"),
    }
}

#[test]
fn users_do_what_they_may_and_others_are_not_let_in() {
    let _watchdog = watchdog::watch("users_do_what_they_may_and_others_are_not_let_in");
    let team = Team::gather();
    let broker = team.broker();
    let mut desk = Subscriber::with_config(team.client(&broker, "desk"), &prices()).expect("a user");
    let mut feeds = Publisher::with_config(team.client(&broker, "feeds")).expect("a user");
    feeds.publish("prices.eur", b"1.08").expect("it is taken");
    assert_eq!(payload(&mut desk), b"1.08");

    let error = Subscriber::with_config(broker.client(), &prices()).expect_err("nobody");
    assert_refused(&error, ErrorCode::Unauthenticated, "--token-file");
    let wrong = broker.client().token(Token::new("corecast_of_nobody").expect("a token"));
    let error = Subscriber::with_config(wrong, &prices()).expect_err("nobody");
    assert_refused(&error, ErrorCode::Unauthenticated, "the token is not");
    assert!(!error.to_string().contains("of_nobody") && !broker.log().contains("of_nobody"), "no secret");
    let all = [Filter::parse(">").expect("a filter")];
    let error = Subscriber::with_config(team.client(&broker, "desk"), &all).expect_err("too wide");
    assert_refused(&error, ErrorCode::NotPermitted, "allowed: `prices.>`");
    feeds.publish("news", b"").expect("it is on its way");
    assert_refused(&feeds.flush(PATIENCE).expect_err("it may not"), ErrorCode::NotPermitted, "publish");
    broker.until(|page| page.sum("corecast_refusals_total") == 2);
    feeds.publish("prices.eur", b"1.09").expect("it is taken");
    assert_eq!(payload(&mut desk), b"1.09", "the sessions go on");
}

#[test]
fn the_commands_log_in_with_a_file_or_a_variable() {
    let _watchdog = watchdog::watch("the_commands_log_in_with_a_file_or_a_variable");
    let team = Team::gather();
    let broker = team.broker();
    let token = fs::read_to_string(team.token_file("feeds")).expect("a token");
    let publish = |set: &[(&str, &str)], args: &[&str]| {
        let mut command = corecast();
        command.args(["pub", "--broker", broker.endpoint(), "prices.eur", "1"]).args(args);
        command.envs(set.iter().copied()).output().expect("the command can be started")
    };
    let file = team.token_file("feeds").display().to_string();
    for (set, args) in [
        (&[("CORECAST_TOKEN", token.trim())][..], &[][..]),
        (&[("CORECAST_TOKEN_FILE", file.as_str())], &[]),
        (&[], &["--token-file", file.as_str()]),
        (&[("CORECAST_TOKEN", "of_nobody")], &["--token-file", file.as_str()]),
    ] {
        assert!(publish(set, args).status.success(), "{set:?} {args:?}");
    }
    let said = said(&publish(&[], &[]), 1);
    assert!(said.contains("--token-file or CORECAST_TOKEN"), "{said}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("a mode");
    let output = publish(&[], &["--token-file", &file]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("chmod 0600") && !said.contains(token.trim()),
        "{said}"
    );
    assert!(said.starts_with("error: --token-file: the token file "), "{said}");
    let output = publish(&[("CORECAST_TOKEN_FILE", file.as_str())], &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("error: CORECAST_TOKEN_FILE: the token file "), "{said}");
    let gone = format!("{file}.old");
    let output = publish(&[("CORECAST_TOKEN_FILE", gone.as_str())], &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains(&gone) && said.contains("set by the environment variable CORECAST_TOKEN_FILE"),
        "{said}"
    );
}

#[test]
fn commands_that_ask_for_the_whole_registry_say_which_right_they_need() {
    let _watchdog = watchdog::watch("commands_that_ask_for_the_whole_registry_say_which_right_they_need");
    let team = Team::gather();
    team.add("operator", &["--list", ">"]);
    let broker = team.broker();
    let ask = |command: &[&str], user: &str| {
        let file = team.token_file(user).display().to_string();
        at(&broker, &[command, &["--token-file", &file]].concat())
            .output()
            .expect("the command can be started")
    };
    for command in [&["registry"][..], &["ping", "-n", "1"]] {
        let said = said(&ask(command, "desk"), 1);
        assert!(said.contains("allowed: `prices.>`"), "{said}");
        assert!(
            said.contains("hint: this command asks for the whole registry") && said.contains("list = ["),
            "{said}"
        );
        assert!(ask(command, "operator").status.success());
    }
}

#[test]
fn a_reload_ends_those_that_are_no_users_any_more_and_nobody_else() {
    let _watchdog = watchdog::watch("a_reload_ends_those_that_are_no_users_any_more_and_nobody_else");
    let team = Team::gather();
    team.add("other", &["--subscribe", "prices.>"]);
    let broker = team.broker();
    let subscriber = |name| {
        // A token that is no file's is not tried again.
        let token = fs::read_to_string(team.token_file(name)).expect("a token");
        let config = broker.client().token(Token::new(&token).expect("a token"));
        Subscriber::with_config(config, &prices()).expect("a user")
    };
    let (mut desk, mut other) = (subscriber("desk"), subscriber("other"));
    let mut feeds = Publisher::with_config(team.client(&broker, "feeds")).expect("a user");

    // At fault, and too open: nothing changes.
    let good = fs::read_to_string(team.users()).expect("it is there");
    fs::write(team.users(), &good[..good.len() - 1]).expect("written");
    broker.signal(Signal::SIGHUP);
    broker.until(|page| page.sum("corecast_reloads_failed_total") == 1);
    fs::write(team.users(), &good).expect("written");
    fs::set_permissions(team.users(), fs::Permissions::from_mode(0o644)).expect("a mode");
    broker.signal(Signal::SIGHUP);
    broker.until(|page| page.sum("corecast_reloads_failed_total") == 2);
    fs::set_permissions(team.users(), fs::Permissions::from_mode(0o600)).expect("a mode");
    feeds.publish("prices.eur", b"before").expect("it is taken");
    assert_eq!((payload(&mut desk), payload(&mut other)), (b"before".to_vec(), b"before".to_vec()));

    assert!(team.user("remove", &["desk"]).status.success());
    broker.signal(Signal::SIGHUP);
    broker.until(|page| page.sum("corecast_reloads_total") == 1);
    feeds.publish("prices.eur", b"after").expect("it is taken");
    assert_eq!(payload(&mut other), b"after");
    let error = desk.recv_timeout(PATIENCE).expect_err("it is no user any more");
    assert_refused(&error, ErrorCode::Unauthenticated, "no longer");
    broker.until(|page| page.closes("unauthenticated") == 1);
    assert!(broker.log().contains("user=\"desk\""), "{}", broker.log());
    assert!(broker.log().contains("nothing changes"), "{}", broker.log());
}

#[test]
fn pub_ends_as_soon_as_its_topic_is_refused_also_when_its_right_is_revoked_later() {
    let _watchdog = watchdog::watch("pub_ends_as_soon_as_its_topic_is_refused");
    let team = Team::gather();
    team.add("ticker", &["--publish", "prices.ticks.>"]);
    let broker = team.broker();
    let mut desk = Subscriber::with_config(team.client(&broker, "desk"), &prices()).expect("a user");
    let token = team.token_file("ticker").display().to_string();
    let publish = |topic| {
        let mut publish = at(&broker, &["pub", topic, "--lines", "-", "--token-file", &token]);
        let mut publish = start(publish.stdin(Stdio::piped()));
        let stdin = publish.0.stdin.take().expect("it is piped");
        (publish, stdin)
    };
    // Each waits for more lines, which do not come.
    let (refused, mut stdin) = publish("news");
    stdin.write_all(b"a line\n").expect("it reads");
    let words = said(&refused.output(), 1);
    assert!(words.contains("you may not publish on `news`") && words.contains("prices.ticks.>"), "{words}");

    let (revoked, mut stdin) = publish("prices.ticks.eur");
    stdin.write_all(b"before\n").expect("it reads");
    assert_eq!(payload(&mut desk), b"before");
    let users = fs::read_to_string(team.users()).expect("it is there");
    fs::write(team.users(), users.replace("prices.ticks.>", "prices.other.>")).expect("written");
    broker.signal(Signal::SIGHUP);
    broker.until(|page| page.sum("corecast_reloads_total") == 1);
    stdin.write_all(b"after\n").expect("it reads");
    let words = said(&revoked.output(), 1);
    assert!(words.contains("prices.ticks.eur") && words.contains("not_permitted"), "{words}");
}

#[test]
fn a_command_whose_token_is_revoked_says_so_at_once_and_goes_on_with_the_next_one() {
    let _watchdog = watchdog::watch("a_command_whose_token_is_revoked_says_so_at_once");
    let team = Team::gather();
    let broker = team.broker();
    let users = fs::read_to_string(team.users()).expect("it is there");
    let token = team.token_file("desk").display().to_string();
    let mut sub = at(&broker, &["sub", "prices.>", "--token-file", &token]);
    let mut sub = subscribed(&broker, 1, &mut sub);
    assert!(team.user("remove", &["desk"]).status.success());
    broker.signal(Signal::SIGHUP);
    let mut words = BufReader::new(sub.0.stderr.take().expect("it is piped")).lines();
    let mut next = || words.next().expect("it has more to say").expect("a line");
    let lost = next();
    assert!(lost.contains("the connection to the broker is lost"), "{lost}");
    assert!(lost.contains("unauthenticated"), "the reason: {lost}");
    fs::write(team.users(), users).expect("written");
    broker.signal(Signal::SIGHUP);
    while !next().contains("connected to the broker again") {}
}

#[test]
fn quotas_hold_over_all_shards_and_through_a_reload() {
    let _watchdog = watchdog::watch("quotas_hold_over_all_shards_and_through_a_reload");
    let team = Team { folder: tempfile::tempdir().expect("a folder") };
    let most = ["--max-sessions", "2", "--max-subscriptions", "3", "--max-publish-rate", "1000"];
    team.add("guest", &[&["--subscribe", ">", "--publish", ">"][..], &most].concat());
    let listed = String::from_utf8_lossy(&team.user("list", &[]).stdout).into_owned();
    assert!(listed.contains("sessions = 2, subscriptions = 3, publish_rate = 1000"), "{listed}");
    let broker = team.broker();
    let config = team.client(&broker, "guest").sessions(Sessions::PerSubscriber);
    let filters = |texts: &[&str]| -> Vec<Filter> {
        texts.iter().map(|text| Filter::parse(text).expect("a filter")).collect()
    };
    // Connections go to the shard with the fewest, in turns.
    let mut subscriber = Subscriber::with_config(config.clone(), &filters(&["a", "b"])).expect("the first");
    let error =
        Subscriber::with_config(config.clone(), &filters(&["a", "b"])).expect_err("a fourth subscription");
    assert_refused(&error, ErrorCode::TooManySubscriptions, "quota of 3 subscriptions");
    broker.until(|page| page.sum("corecast_sessions") == 1);
    let mut publisher = Publisher::with_config(config.clone()).expect("the second");
    let refused = |config: &ClientConfig| {
        let hasty = config.clone().connect_timeout(Duration::from_millis(300));
        let error = Publisher::with_config(hasty).expect_err("a third session");
        assert_refused(&error, ErrorCode::TooManySessions, "quota of 2 sessions");
    };
    refused(&config);
    assert!(team.user("add", &["other", "--no-token"]).status.success());
    broker.signal(Signal::SIGHUP);
    broker.until(|page| page.sum("corecast_reloads_total") == 1);
    refused(&config);

    const MESSAGES: u64 = 1_000;
    let start = Instant::now();
    for _ in 0..MESSAGES {
        publisher.publish("a", b"x").expect("it waits, and goes on");
    }
    publisher.flush(PATIENCE).expect("nothing is lost");
    for _ in 0..MESSAGES {
        payload(&mut subscriber);
    }
    // But for the burst it took a second.
    assert!(start.elapsed() >= Duration::from_millis(800), "{:?}", start.elapsed());
    assert!(broker.page().sum("corecast_quota_waits_total") > 0);
    drop(publisher);
    broker.until(|page| page.sum("corecast_sessions") == 1);
    Publisher::with_config(config).expect("there is room again");
}

#[test]
fn the_file_is_made_and_changed_by_the_command() {
    let team = Team::gather();
    let mode = fs::metadata(team.users()).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(team.users()).expect("it is there");
    let token = fs::read_to_string(team.token_file("desk")).expect("a token");
    assert!(!text.contains(token.trim()) && text.contains("sha256:"), "its hash alone");
    let out = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(out(&team.user("check", &[])).ends_with("2 users\n"));
    team.add("desk", &[]);
    let listed = out(&team.user("list", &[]));
    assert!(listed.contains("desk") && listed.contains("2 tokens"), "{listed}");
    assert_eq!(team.user("add", &["desk", "--publish", "a"]).status.code(), Some(1), "it is there");
    for (args, code, answer) in [
        (&["desk", "--subscribe", "prices.*"][..], 0, "yes: subscribe to `prices.*`"),
        (&["desk", "--subscribe", ">"], 1, "no: subscribe to `>`"),
        (&["desk", "--publish", "prices.eur"], 1, "no: publish on"),
        (&["desk"], 0, "subscribe  `prices.>`"),
        (&["nobody"], 1, ""),
    ] {
        let output = team.user("permissions", args);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert!(out(&output).contains(answer), "{args:?}: {}", out(&output));
    }
    // A key of CURVE may begin with a hyphen.
    let key = ["-0aaa"; 8].concat();
    assert_eq!(team.user("add", &["robot", "--no-token", "--curve-key", &key]).status.code(), Some(0));
    let listed = out(&team.user("list", &["-o", "json"]));
    assert!(listed.contains(&format!("\"curve_keys\":[\"{key}\"]")), "{listed}");
    assert!(team.user("remove", &["robot"]).status.success());
    assert!(team.user("remove", &["feeds"]).status.success());
    assert_eq!(team.user("remove", &["feeds"]).status.code(), Some(1));
    // The last one stays: a file without users would be none.
    assert_eq!(team.user("remove", &["desk"]).status.code(), Some(1));
    assert!(out(&team.user("check", &[])).ends_with("1 user\n"));
}

#[test]
fn one_command_at_a_time_changes_the_file() {
    let team = Team::gather();
    let mut slow = corecast();
    slow.args(["user", "add", "late", "--no-token", "--password-stdin", "--users"]).arg(team.users());
    let mut slow = slow.stdin(Stdio::piped()).spawn().expect("the command can be started");
    // It waits for its password. Meanwhile another user goes, and stays gone.
    let removed = team.user("remove", &["desk"]);
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    slow.stdin.take().expect("a pipe").write_all(b"sesame\n").expect("read");
    assert!(slow.wait().expect("it ends").success());
    let users = String::from_utf8(team.user("list", &[]).stdout).expect("text");
    let names: Vec<&str> = users.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["feeds", "late"]);
    // While a change is under way, or was cut off, another says so and changes nothing.
    let lock = team.folder.path().join("users.toml.new");
    fs::write(&lock, "").expect("written");
    let text = said(&team.user("remove", &["late"]), 1);
    assert!(text.contains("another change is under way"), "{text}");
    assert!(fs::exists(&lock).expect("a look"), "it is not ours");
    fs::remove_file(&lock).expect("removed");
    // A token that cannot be shown is of no use: there is no such user then.
    let mut untold = corecast();
    untold.args(["user", "add", "untold", "--users"]).arg(team.users());
    let untold = untold.stdout(File::options().write(true).open("/dev/full").expect("a full disk"));
    assert_eq!(untold.output().expect("it runs").status.code(), Some(1));
    assert!(!fs::read_to_string(team.users()).expect("read").contains("untold"));
    assert!(!fs::exists(&lock).expect("a look"));
    // A link stays one.
    let link = team.folder.path().join("link.toml");
    std::os::unix::fs::symlink("users.toml", &link).expect("a link");
    let mut over_link = corecast();
    over_link.args(["user", "remove", "late", "--users"]).arg(&link);
    assert!(over_link.output().expect("it runs").status.success());
    assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    assert!(!fs::read_to_string(team.users()).expect("read").contains("late"));
}

#[test]
fn a_broker_that_other_hosts_reach_is_closed_unless_it_is_said_to_be_insecure() {
    let _watchdog =
        watchdog::watch("a_broker_that_other_hosts_reach_is_closed_unless_it_is_said_to_be_insecure");
    let team = Team::gather();
    let users = team.users().display().to_string();
    let here = ["--listen", "tcp://127.0.0.1:0"];
    let zmtp = ["--zmtp", "tcp://0.0.0.0:0"];
    let key = team.folder.path().join("broker").display().to_string();
    assert!(running::run(&["curve-keygen", &key]).status.success());
    let key = format!("{key}.key_secret");
    for (args, part) in [
        (&["--listen", "tcp://0.0.0.0:0"][..], "--listen: other hosts reach tcp://0.0.0.0:"),
        (&["--listen", "tcp://*:0"], "--users FILE"),
        (&["--listen", "tcp://0.0.0.0:0", "--users", &users], "read and changed on their way"),
        (&[&here[..], &zmtp].concat(), "--zmtp: other hosts"),
        (&[&here[..], &zmtp, &["--zmtp-curve-key", &key]].concat(), "--users FILE"),
        (&[&here[..], &zmtp, &["--users", &users]].concat(), "--zmtp-curve-key FILE"),
        (&[&here[..], &["--metrics", "0.0.0.0:0"]].concat(), "--metrics: other hosts"),
    ] {
        let said = said(&running::run(&[&["broker", "--shards", "1"], args].concat()), 2);
        assert!(said.contains(part) && said.contains("--insecure"), "{args:?}: {said}");
    }
    let closed = ["--shards", "1", "--users", &users, "--zmtp-curve-key", &key];
    let broker = BrokerProcess::start(Transport::Tcp, &[&closed[..], &zmtp].concat());
    assert_eq!(broker.page().sum("corecast_insecure_listeners"), 0, "CURVE encrypts, and users log in");
    let broker =
        BrokerProcess::start(Transport::Tcp, &[&["--shards", "1", "--insecure"][..], &zmtp].concat());
    broker.until(|page| page.sum("corecast_insecure_listeners") == 1);
    assert!(broker.log().contains("insecure tcp://0.0.0.0:"), "{}", broker.log());
}
