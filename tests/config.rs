//! Config files, as people use them: options from a file under those of the environment and of the command line, and what is
//! said where something in the file is wrong.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod running;
mod watchdog;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use broker_process::{BrokerProcess, Transport, corecast};
use corecast_executors::pause;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use running::{Running, said, start, subscribed, text};
use tempfile::TempDir;

/// A folder with a config file.
struct Folder(TempDir);

impl Folder {
    fn with(text: &str) -> Folder {
        let folder = Folder(tempfile::tempdir().expect("a folder"));
        folder.write(text);
        folder
    }

    fn write(&self, text: &str) {
        fs::write(self.path("broker.toml"), text).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The path of the config file.
    fn file(&self) -> String {
        self.path("broker.toml").display().to_string()
    }

    /// A command that is told of the file by `variables` and `args`, until it ends.
    fn run(&self, args: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = corecast();
        command.args(args).envs(variables.iter().copied()).stdin(Stdio::null());
        command.output().expect("the command can be started")
    }

    /// A broker that reads the file, and its ready line.
    fn broker(&self, args: &[&str], variables: &[(&str, &str)]) -> (Running, serde_json::Value) {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.path("log")).expect("a log file");
        let mut command = corecast();
        command.args(["broker", "--config", &self.file(), "-o", "json"]).args(args);
        command.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut broker = start(&mut command);
        let mut line = String::new();
        BufReader::new(broker.stdout()).read_line(&mut line).expect("its ready line");
        let ready = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}\n{}", self.log()));
        (broker, ready)
    }

    fn ready(&self, args: &[&str], variables: &[(&str, &str)]) -> serde_json::Value {
        self.broker(args, variables).1
    }

    /// All that its brokers have logged.
    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The counters of a broker whose HTTP server listens at a socket file here.
    fn metrics(&self, socket: &str) -> String {
        let mut peer = UnixStream::connect(self.path(socket)).expect("it serves metrics");
        write!(peer, "GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n").expect("room for a request");
        let mut answer = String::new();
        peer.read_to_string(&mut answer).expect("an answer, and its end");
        answer
    }
}

/// Between two looks at counters, of which no signal tells.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

fn hang_up(broker: &Running) {
    let pid = Pid::from_raw(i32::try_from(broker.0.id()).expect("Linux has no longer pids"));
    kill(pid, Signal::SIGHUP).expect("it is there until it is waited for");
}

#[test]
fn a_file_is_weaker_than_the_environment_and_that_than_the_command_line() {
    let _watchdog = watchdog::watch("a_file_is_weaker_than_the_environment_and_that_than_the_command_line");
    let folder = Folder::with(
        "listen = ['tcp://127.0.0.1:0', 'tcp://127.0.0.1:0']\nshards = 3\nmetrics = '127.0.0.1:0'\n",
    );
    for (args, variables, shards) in [
        (&[][..], &[][..], 3),
        (&[], &[("CORECAST_BROKER_SHARDS", "2")], 2),
        (&["--shards", "1"], &[("CORECAST_BROKER_SHARDS", "2")], 1),
        (&["--shards", "1"], &[], 1),
        (&[], &[("CORECAST_BROKER_SHARDS", "")], 3),
    ] {
        let ready = folder.ready(args, variables);
        assert_eq!(ready["shards"], shards, "{args:?} {variables:?}");
        assert_eq!(ready["endpoints"].as_array().map(Vec::len), Some(2), "{ready}");
        assert!(ready["metrics"].is_string(), "{ready}");
    }
    // A list takes the place of a list, and a variable may take a switch back.
    assert_eq!(
        folder.ready(&["--listen", "tcp://127.0.0.1:0"], &[])["endpoints"].as_array().map(Vec::len),
        Some(1)
    );
    folder.write("listen = 'tcp://0.0.0.0:0'\ninsecure = true\n");
    folder.ready(&[], &[]);
    let taken_back = [("CORECAST_BROKER_INSECURE", "false")];
    let said = said(&folder.run(&["broker", "--config", &folder.file()], &taken_back), 2);
    assert!(
        said.contains(&format!("error: {}:1: listen: ", folder.file())) && said.contains("--insecure"),
        "{said}"
    );
}

#[test]
fn the_file_is_named_by_a_variable_too_and_its_paths_begin_at_its_folder() {
    let _watchdog = watchdog::watch("the_file_is_named_by_a_variable_too_and_its_paths_begin_at_its_folder");
    let folder = Folder::with("listen = 'tcp://127.0.0.1:0'\nusers = 'nobody.toml'\n");
    let named = [("CORECAST_BROKER_CONFIG", folder.file())];
    let named: Vec<(&str, &str)> = named.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let said = said(&folder.run(&["broker"], &named), 2);
    let nobody = folder.path("nobody.toml");
    assert!(
        said.contains(&format!(
            "error: {}:2: users: cannot read the file of users {}",
            folder.file(),
            nobody.display()
        )),
        "{said}"
    );
}

#[test]
fn a_file_that_is_wrong_keeps_a_broker_from_starting_and_all_that_is_wrong_is_said() {
    let _watchdog =
        watchdog::watch("a_file_that_is_wrong_keeps_a_broker_from_starting_and_all_that_is_wrong_is_said");
    let folder = Folder::with("egres-bytes = '16MiB'\nlease = 'soon'\n");
    let file = folder.file();
    let broker = |folder: &Folder, variables: &[(&str, &str)]| {
        folder.run(&["broker", "--config", &folder.file()], variables)
    };
    let wanted = format!(
        "error: {file}:1:1: `egres-bytes`: no such option; did you mean `egress-bytes`?\n\
         error: {file}:2:9: `lease`: write seconds, or a time such as 250ms or 5m\n"
    );
    assert_eq!(said(&broker(&folder, &[]), 2), wanted);
    // Even where something stronger would take its place.
    assert_eq!(said(&broker(&folder, &[("CORECAST_BROKER_LEASE", "5s")]), 2), wanted);
    // What the broker refuses has the place of the value.
    folder.write("\nheartbeat = 0.001\n");
    let refused = said(&broker(&folder, &[]), 2);
    assert_eq!(refused, format!("error: {file}:2: heartbeat: 1ms is too short; at least 100ms\n"));
    fs::remove_file(&file).expect("removed");
    let missing = said(&folder.run(&["broker"], &[("CORECAST_BROKER_CONFIG", &file)]), 1);
    assert!(missing.contains(&format!("error: cannot read the config file {file}: ")), "{missing}");
    assert!(
        missing.contains("hint: this one is set by the environment variable CORECAST_BROKER_CONFIG"),
        "{missing}"
    );
    // A key of the file is not that of a certificate from elsewhere.
    folder.write("tls-cert = 'a.pem'\ntls-key = 'b.key'\nlisten = 'tls://127.0.0.1:0'\n");
    let of_file = said(&broker(&folder, &[]), 2);
    assert!(
        of_file.contains(&format!(
            "error: {file}:1: tls-cert: {}: No such file",
            folder.path("a.pem").display()
        )),
        "{of_file}"
    );
    let elsewhere = said(&broker(&folder, &[("CORECAST_BROKER_TLS_CERT", "/none.pem")]), 2);
    assert!(
        elsewhere.contains("error: CORECAST_BROKER_TLS_CERT: /none.pem: No such file")
            && !elsewhere.contains("b.key"),
        "{elsewhere}"
    );
    // A name from outside forges no line.
    folder.write("\"a\\nerror: forged\\u001b[2J\" = 1\n");
    let hostile = said(&broker(&folder, &[]), 2);
    assert!(hostile.lines().count() == 1 && hostile.contains("`a\\nerror: forged\\x1b[2J`"), "{hostile}");
}

#[test]
fn the_file_with_every_option_is_made_checked_and_served() {
    let _watchdog = watchdog::watch("the_file_with_every_option_is_made_checked_and_served");
    let folder = Folder::with("");
    let made = folder.run(&["config", "default"], &[]);
    said(&made, 0);
    let made = String::from_utf8(made.stdout).expect("text");
    let options = made.lines().filter(|line| line.starts_with("# ") && line.contains(" = ")).count();
    assert!(options > 30, "{made}");
    for (of, count) in
        [("broker", "--help"), ("sub", "--help")].map(|(name, help)| (name, folder.run(&[name, help], &[])))
    {
        let help = String::from_utf8(count.stdout).expect("text");
        let longs = help.lines().filter_map(|line| line.strip_prefix("      --"));
        let longs = longs.map(|line| line.split([' ', '=']).next().expect("a name"));
        // Those that say what is to be done this once.
        let not_in_files = ["config", "output", "help", "version", "count", "timeout", "overflow"];
        let not_in_files = [&not_in_files[..], &["from", "resume", "rate", "stats"]].concat();
        for long in longs.filter(|long| of == "broker" || !long.starts_with("log-")) {
            let is_there = made.contains(&format!("\n# {long} = "));
            assert!(is_there || not_in_files.contains(&long), "--{long} of {of} is missing in {made}");
        }
    }
    folder.write(&made);
    let checked = folder.run(&["config", "check", &folder.file()], &[]);
    said(&checked, 0);
    assert_eq!(String::from_utf8(checked.stdout).expect("text"), format!("{}: 0 options\n", folder.file()));
    // With every line uncommented, and then with the two that differ where a test runs.
    let set: String =
        made.lines().map(|line| format!("{}\n", line.strip_prefix('#').unwrap_or(line))).collect();
    folder.write(&set);
    said(&folder.run(&["config", "check", &folder.file()], &[]), 0);
    assert_eq!(folder.ready(&["--listen", "tcp://127.0.0.1:0", "--shards", "1"], &[])["shards"], 1);
}

#[test]
fn a_check_finds_all_that_is_wrong_with_the_values_and_then_with_the_options_together() {
    let _watchdog =
        watchdog::watch("a_check_finds_all_that_is_wrong_with_the_values_and_then_with_the_options_together");
    let folder = Folder::with("");
    let file = folder.file();
    let checked = |text: &str, code: i32| {
        folder.write(text);
        said(&folder.run(&["config", "check", &file], &[]), code).replace(&file, "F")
    };
    assert_eq!(checked("", 0), "");
    assert_eq!(
        checked("shards = 'x'\nlisten = 5\n[clients]\n", 2),
        "error: F:1:10: `shards`: write a whole number, such as 8\n\
         error: F:2:10: `listen`: `5` is no endpoint: it is a port alone; write tcp://localhost:5, or tcp://*:5 for every \
         address of this host\n\
         error: F:3:2: `clients`: no such table; did you mean [client]?\n"
    );
    assert_eq!(
        checked("shards = 0\n\n  lease = '1ms'\nheartbeat = 0\n", 2),
        "error: F:1:1: `shards`: 0 is not a number from 1 to 1024\n\
         error: F:3:3: `lease`: 1ms is too short; at least 300ms\n\
         error: F:4:1: `heartbeat`: 0s is too short; at least 100ms\n"
    );
    // What one option lacks is another one's absence, and is told once.
    let lacks = checked("listen = 'tls://127.0.0.1:0'\nshards = 0\n", 2);
    assert!(
        lacks.contains("F:1:1: `listen`: tls://127.0.0.1:0 needs a certificate")
            && lacks.contains("F:2:1: `shards`"),
        "{lacks}"
    );
    let of_no_use = checked("http-token-file = 'none'\n", 2);
    assert_eq!(of_no_use, "error: F:1:1: `http-token-file`: it is of no use without --metrics ADDRESS\n");
    for (text, place, wanted) in [
        (
            "listen = ['tcp://h:1', 'tcp://*:1']",
            "1:1: `listen`",
            "tcp://h:1 takes the port of tcp://*:1 as well",
        ),
        ("metrics = ['h:1', 'h:1']", "1:1: `metrics`", "tcp://h:1 is there twice"),
        (
            "listen = 'tcp://*:1'\nzmtp-xsub = 'tcp://h:1'\ninsecure = true",
            "2:1: `zmtp-xsub`",
            "tcp://h:1 is taken: --listen has tcp://*:1",
        ),
        (
            "listen = 'uds:///a'\nmetrics = 'uds:///a'",
            "2:1: `metrics`",
            "uds:///a is taken: --listen has uds:///a",
        ),
    ] {
        assert_eq!(checked(text, 2), format!("error: F:{place}: {wanted}\n"), "{text}");
    }
    for (text, code, wanted) in [
        ("listen = 'tcp://0.0.0.0:1'", 2, "error: F:1:1: `listen`: other hosts reach tcp://0.0.0.0:1, where"),
        ("zmtp = 'tcp://[2001:db8::1]:1'", 2, "error: F:1:1: `zmtp`: other hosts reach tcp://[2001:db8::1]"),
        ("metrics = '192.0.2.1:1'", 2, "error: F:1:1: `metrics`: other hosts reach http://192.0.2.1:1"),
        ("frame-bytes-max = '200MiB'", 2, "error: F: the default of `egress-bytes`: 16777216 is too little"),
        ("users = 'none.toml'", 2, "error: F:1:1: `users`: cannot read the file of users "),
        ("listen = ['tcp://h:0', 'tcp://h:0', 'tcp://h:1', 'tcp://g:1']\nmetrics = 'uds:///h'", 0, ""),
        ("listen = 'tcp://*:1'\nmetrics = '*:3'\ninsecure = true", 0, ""),
    ] {
        let said = checked(text, code);
        assert!(said.starts_with(wanted) && (code > 0 || said.is_empty()), "{text}: {said}");
    }
    fs::remove_file(&file).expect("removed");
    let missing = said(&folder.run(&["config", "check", &file], &[]), 1);
    assert!(
        missing.starts_with(&format!("error: cannot read the config file {file}: No such file")),
        "{missing}"
    );
    let directory = folder.path("").display().to_string();
    assert!(said(&folder.run(&["config", "check", &directory], &[]), 1).ends_with("it is a folder\n"));
}

#[test]
fn what_is_in_force_is_shown_with_its_source() {
    let _watchdog = watchdog::watch("what_is_in_force_is_shown_with_its_source");
    let folder =
        Folder::with("shards = 3\n\nlease = '2s'\nusers = 'u.toml'\nlog-level = 'debug'\nheartbeat = 7\n");
    let file = folder.file();
    let shown = |args: &[&str]| {
        let variables = [
            ("CORECAST_BROKER_LEASE", "3s"),
            ("CORECAST_BROKER_CONFIG", &file),
            ("CORECAST_LOG_FORMAT", "json"),
        ];
        let output =
            folder.run(&[&["config", "show", "--heartbeat", "8", "--insecure"], args].concat(), &variables);
        said(&output, 0);
        text(&output.stdout).replace(&file, "F")
    };
    let lines = shown(&[]);
    for line in [
        "shards = 3 # F:1",
        "lease = \"3s\" # CORECAST_BROKER_LEASE",
        "heartbeat = \"8s\" # --heartbeat",
        "insecure = true # --insecure",
        "log-level = \"debug\" # F:5",
        "log-format = \"json\" # CORECAST_LOG_FORMAT",
        "overflow = \"drop-oldest\" # default",
        "zmtp = [] # default",
        "# tls-cert = \"\" # default",
    ] {
        let is_there = |shown: &str| shown.split_whitespace().eq(line.split_whitespace());
        assert!(lines.lines().any(is_there), "{line} is not in\n{lines}");
    }
    let users = format!("users = \"{}\"", folder.path("u.toml").display());
    assert!(lines.contains(&users), "{lines}");
    // It is a config file, which sets the same.
    let copy = Folder::with(&lines.replace(&users, "users = ''"));
    said(&folder.run(&["config", "check", &copy.file()], &[]), 0);
    let json: Vec<serde_json::Value> =
        shown(&["-o", "json"]).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |key: &str| json.iter().find(|option| option["key"] == key).expect("an option");
    assert_eq!(of("shards")["value"], "3");
    assert_eq!(of("shards")["source"], serde_json::json!({ "kind": "file", "path": "F", "line": 1 }));
    let variable = serde_json::json!({ "kind": "environment", "variable": "CORECAST_BROKER_LEASE" });
    assert_eq!((&of("lease")["value"], &of("lease")["source"]), (&"3s".into(), &variable));
    assert_eq!(of("heartbeat")["source"]["kind"], "command_line");
    assert_eq!(
        (&of("insecure")["value"], &of("tls-cert")["value"]),
        (&true.into(), &serde_json::Value::Null)
    );
    assert_eq!(of("listen")["value"], serde_json::json!(["tcp://127.0.0.1:6680"]));
}

#[test]
fn clients_find_their_broker_by_a_file() {
    let _watchdog = watchdog::watch("clients_find_their_broker_by_a_file");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "1"]);
    let folder = Folder::with("");
    let home = folder.path("");
    fs::create_dir(folder.path("corecast")).expect("made");
    let own = folder.path("corecast/client.toml");
    let with = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = corecast();
        command.args(args).env("XDG_CONFIG_HOME", &home).envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let right = format!("[client]\nbroker = '{}'\n", broker.endpoint());
    fs::write(&own, &right).expect("written");
    let sub = subscribed(&broker, 1, &mut with(&["sub", "t", "--count", "3"], &[]));
    let publish = |args: &[&str], variables: &[(&str, &str)]| {
        with(&[&["pub", "t", "hi"], args].concat(), variables).output().expect("it runs")
    };
    said(&publish(&[], &[]), 0);
    // A named file takes its place, the environment is stronger, and the command line is stronger yet.
    let nobody = "tcp://127.0.0.1:1";
    let wrong = folder.path("wrong.toml").display().to_string();
    fs::write(&wrong, format!("[client]\nbroker = '{nobody}'\n")).expect("written");
    let away = said(&publish(&["--timeout", "100ms"], &[("CORECAST_CONFIG", &wrong)]), 27);
    assert!(away.contains(&format!("this one is set by {wrong}:2")), "{away}");
    let named = own.display().to_string();
    said(&publish(&["--config", &named], &[("CORECAST_CONFIG", &wrong)]), 0);
    said(
        &publish(
            &["--broker", broker.endpoint()],
            &[("CORECAST_CONFIG", &wrong), ("CORECAST_BROKER", nobody)],
        ),
        0,
    );
    let output = sub.output();
    assert_eq!((said(&output, 0).as_str(), text(&output.stdout)), ("", "hi\nhi\nhi\n"));
    let shown = with(&["config", "show-client"], &[("CORECAST_PIN", "")]).output().expect("it runs");
    said(&shown, 0);
    assert!(
        text(&shown.stdout).starts_with(&format!("[client]\nbroker = \"{}\"", broker.endpoint())),
        "{shown:?}"
    );
    assert!(text(&shown.stdout).contains(&format!("# {named}:2\n")), "{shown:?}");
    // One that is named is there; and whichever is read is well.
    let missing = folder.path("missing.toml").display().to_string();
    let said_missing = said(&publish(&[], &[("CORECAST_CONFIG", &missing)]), 1);
    assert!(
        said_missing.contains("No such file") && said_missing.contains("variable CORECAST_CONFIG"),
        "{said_missing}"
    );
    fs::write(&own, "broker = 'h:1'\n").expect("written");
    let misplaced = said(&publish(&[], &[]), 2);
    let wanted = format!(
        "error: {named}:1:1: `broker`: it is an option of clients, and stands in the table [client]\n"
    );
    assert_eq!(misplaced, wanted);
    fs::remove_file(&own).expect("removed");
    said(&publish(&["--broker", broker.endpoint()], &[]), 0);
}

#[test]
fn a_token_of_the_environment_is_stronger_than_one_of_a_file() {
    let _watchdog = watchdog::watch("a_token_of_the_environment_is_stronger_than_one_of_a_file");
    let folder = Folder::with("");
    let users = folder.path("users.toml").display().to_string();
    let add = |name: &str| {
        let token = folder.path(&format!("{name}.token")).display().to_string();
        let args = ["user", "add", name, "--users", &users, "--publish", name, "--token-out", &token];
        said(&folder.run(&args, &[]), 0);
    };
    add("a");
    add("b");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "1", "--users", &users]);
    // Beside the config file, wherever the command runs.
    folder.write(&format!("[client]\nbroker = '{}'\ntoken-file = 'a.token'\n", broker.endpoint()));
    let publish = |topic: &str, variables: &[(&str, &str)]| {
        folder.run(&["pub", topic, "hi", "--config", &folder.file()], variables)
    };
    said(&publish("a", &[]), 0);
    let token = fs::read_to_string(folder.path("b.token")).expect("a token");
    said(&publish("b", &[("CORECAST_TOKEN", token.trim())]), 0);
    said(&publish("a", &[("CORECAST_TOKEN", token.trim())]), 1);
    said(&publish("b", &[("CORECAST_TOKEN_FILE", &folder.path("b.token").display().to_string())]), 0);
}

#[test]
fn a_reload_takes_up_what_can_change_and_names_what_cannot() {
    let _watchdog = watchdog::watch("a_reload_takes_up_what_can_change_and_names_what_cannot");
    let folder = Folder::with("");
    let path = |name: &str| folder.path(name).display().to_string();
    for (file, user) in [("old.toml", "old"), ("new.toml", "new")] {
        let (users, token) = (path(file), path(&format!("{user}.token")));
        let args = ["user", "add", user, "--users", &users, "--publish", "t", "--token-out", &token];
        said(&folder.run(&args, &[]), 0);
    }
    folder.write("users = 'old.toml'\nshards = 2\n");
    let http = format!("uds://{}", path("http.sock"));
    let (mut broker, ready) =
        folder.broker(&["--shards", "1", "--listen", "tcp://127.0.0.1:0", "--metrics", &http], &[]);
    let endpoint = ready["endpoints"][0].as_str().expect("it listens").to_owned();
    let publish = |user: &str, code: i32| {
        let token = path(&format!("{user}.token"));
        said(&folder.run(&["pub", "t", "hi", "--broker", &endpoint, "--token-file", &token], &[]), code)
    };
    let reload = |code: i32| {
        let output = folder.run(&["reload", "--metrics", &http], &[]);
        said(&output, code) + text(&output.stdout)
    };
    let until_counted = |name: &str, count: u64| {
        let line = format!("\n{name} {count}\n");
        while !folder.metrics("http.sock").contains(&line) {
            pause(LOOK_PAUSE);
        }
    };
    publish("old", 0);
    publish("new", 1);
    assert!(!folder.log().contains("DEBUG"), "{}", folder.log());
    let (file, new) = (folder.file(), path("new.toml"));
    folder.write("users = 'new.toml'\nshards = 3\nlog-level = 'debug'\nlease = '9s'\ninsecure = true\n");
    let done = format!(
        "the config file is read again: users = \"{new}\" from now on\n\
         the config file is read again: log-level = \"debug\" from now on\n\
         only a restart takes up lease = \"9s\" ({file}:4): until then it is lease = \"5s\"\n\
         only a restart takes up insecure = true ({file}:5): until then it is insecure = false\n\
         the file of users is read again, and followed\n"
    );
    assert_eq!(reload(0), done);
    publish("new", 0);
    publish("old", 1);
    let log = folder.log();
    assert!(log.contains("DEBUG") && log.contains("only a restart takes up lease"), "{log}");
    // What is wrong anywhere changes nothing, and goes on to be named.
    for (text, wanted) in [
        ("users = 'old.toml'\nlaese = 1\n", "2:1: `laese`: no such option; did you mean `lease`?\n"),
        ("users = 'old.toml'\nheartbeat = 0.01\n", "2: heartbeat: 10ms is too short; at least 100ms\n"),
    ] {
        folder.write(text);
        let wanted =
            format!("error: the config file is not followed, and nothing changes\nerror: {file}:{wanted}");
        assert_eq!(reload(1), wanted);
    }
    folder.write("users = 'none.toml'\n");
    assert!(reload(1).starts_with("error: the file of users is not read again, and nothing changes: "));
    fs::remove_file(&file).expect("removed");
    hang_up(&broker);
    until_counted("corecast_reloads_failed_total", 4);
    publish("new", 0);
    publish("old", 1);
    // One that sets nothing takes nothing away that needs a restart.
    folder.write("");
    hang_up(&broker);
    until_counted("corecast_reloads_total", 2);
    assert!(folder.log().contains("cannot read the config file"), "{}", folder.log());
    publish("new", 0);
    folder.write("users = 'old.toml'\nlog-level = 'warn'\n");
    assert_eq!(reload(0).lines().count(), 3);
    publish("old", 0);
    let warned = folder.log();
    publish("old", 0);
    assert_eq!(folder.log(), warned, "at this level it says nothing more");
    assert_eq!(broker.0.try_wait().expect("it is ours"), None, "it serves");
}

#[test]
fn wrong_files_are_told_with_line_key_and_way_out() {
    let _watchdog = watchdog::watch("wrong_files_are_told_with_line_key_and_way_out");
    let folder = Folder::with("");
    let file = folder.file();
    for (text, wanted) in [
        ("egres-bytes = '16MiB'", "1:1: `egres-bytes`: no such option; did you mean `egress-bytes`?"),
        ("Egress_Bytes = '16MiB'", "1:1: `Egress_Bytes`: no such option; did you mean `egress-bytes`?"),
        ("lease = '5 minuts'", "1:9: `lease`: 'minuts' is not a unit: h, m, s, ms or us"),
        ("lease = 5s", "1:9: `lease`: a text stands in quotes: write \"5s\""),
        (
            "[client]\nbroker = 'h:1'\n[client]\nca = 'ca.pem'",
            "3:2: `client`: there are two tables of this name (first in line 1)",
        ),
        (
            "[broker]\nshards = 2",
            "1:2: `broker`: no such table; options of brokers stand at the top level, and there is only [client]",
        ),
        ("shards = true", "1:10: `shards`: write a whole number, such as 8"),
        (
            "mode-rule = ['video.>.b=direct']",
            "1:14: `mode-rule`: `video.>.b`: not a filter: the '>' at byte 6 must be the last level",
        ),
        (
            "listen = ['tcp://127.0.0.1:0', 'tcp://127.0.0.1:66800']",
            "1:32: `listen`: `tcp://127.0.0.1:66800` is no endpoint: the port is not a number up to 65535; write \
             tcp://HOST:PORT",
        ),
        (
            "listen = 'tcp//127.0.0.1:6680'",
            "1:10: `listen`: `tcp//127.0.0.1:6680` is no endpoint: a colon stands behind the scheme; write \
             tcp://127.0.0.1:6680",
        ),
        (
            "metrics = '127.0.0.1:99999'",
            "1:11: `metrics`: `127.0.0.1:99999` is no address for HTTP: the port is not a number up to 65535; write \
             HOST:PORT, https://HOST:PORT or uds://PATH, such as 127.0.0.1:9680",
        ),
        (
            "overflow = 'drop-oldst'",
            "1:12: `overflow`: `drop-oldst` is no overflow policy; it is one of drop-oldest, drop-newest, latest, \
             disconnect, block",
        ),
        ("overflow = \"block\n", "1:18: `overflow`: the quote at the end of the text is missing"),
    ] {
        folder.write(text);
        let told = said(&folder.run(&["config", "check", &file, "-o", "json"], &[]), 2);
        assert_eq!(told, format!("error: {file}:{wanted}\n"), "{text}");
    }
}

#[test]
fn a_file_that_this_user_may_not_read_says_who_may() {
    let _watchdog = watchdog::watch("a_file_that_this_user_may_not_read_says_who_may");
    if !Uid::effective().is_root() {
        let _ = writeln!(std::io::stderr(), "left out: it takes root to be another user");
        return;
    }
    let folder = Folder::with("shards = 1\n");
    fs::set_permissions(folder.path(""), fs::Permissions::from_mode(0o755)).expect("a mode");
    fs::set_permissions(folder.path("broker.toml"), fs::Permissions::from_mode(0o600)).expect("a mode");
    // A copy, since the folder of the build may be nobody else's.
    let copy = folder.path("corecast");
    fs::copy(corecast().get_program(), &copy).expect("room for a copy");
    let mut command = std::process::Command::new(copy);
    command.args(["config", "check", &folder.file()]).uid(65_534).gid(65_534).stdin(Stdio::null());
    let told = said(&command.output().expect("everybody may run it"), 1);
    let wanted = format!("error: cannot read the config file {}: the uid 65534 may not: ", folder.file());
    assert!(
        told.starts_with(&wanted) && told.contains("run this command as the user of the broker"),
        "{told}"
    );
}
