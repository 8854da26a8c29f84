//! The HTTP server of a broker where it is not for everybody: its token, its encryption, and reloads by request.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod certificates;
mod running;
mod watchdog;

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker_process::{Page, corecast};
use certificates::{Authority, Validity};
use corecast_executors::pause;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use running::{Running, run, said, start, succeeded, text};
use tempfile::TempDir;
use watchdog::LIMIT;

/// Between two looks at something that no signal tells of.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

const TOKEN: &str = "corecast_sesame";

/// A broker with an HTTP server at an address of the test's choice.
struct Broker {
    process: Running,
    /// The address of the HTTP server, as the ready line has it.
    metrics: String,
    endpoint: String,
    log: PathBuf,
}

impl Broker {
    fn start(folder: &TempDir, metrics: &str, args: &[&str]) -> Self {
        let log = folder.path().join("log");
        let mut command = corecast();
        command.args(["broker", "--shards", "1", "-o", "json", "--listen", "tcp://127.0.0.1:0"]);
        command.args(["--metrics", metrics]).args(args);
        command.stdout(Stdio::piped()).stderr(fs::File::create(&log).expect("a log file"));
        let mut process = start(&mut command);
        let mut line = String::new();
        BufReader::new(process.stdout()).read_line(&mut line).expect("a line");
        let ready: serde_json::Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("{}", fs::read_to_string(&log).unwrap_or_default()));
        let text = |value: &serde_json::Value| value.as_str().expect("an address").to_owned();
        Broker { process, metrics: text(&ready["metrics"]), endpoint: text(&ready["endpoints"][0]), log }
    }

    /// The answer to a request with these header lines, over TCP or at the socket file.
    fn answer(&self, request: &str, headers: &str) -> String {
        let bytes = format!("{request} HTTP/1.1\r\nHost: test\r\n{headers}\r\n");
        let mut answer = String::new();
        if let Some(path) = self.metrics.strip_prefix("uds://") {
            let mut peer = UnixStream::connect(path).expect("it serves");
            peer.set_read_timeout(Some(LIMIT)).expect("a watchdog");
            peer.write_all(bytes.as_bytes()).expect("room for a request");
            peer.read_to_string(&mut answer).expect("an answer, and its end");
        } else {
            let mut peer = TcpStream::connect(&self.metrics).expect("it serves");
            peer.set_read_timeout(Some(LIMIT)).expect("a watchdog");
            peer.write_all(bytes.as_bytes()).expect("room for a request");
            peer.read_to_string(&mut answer).expect("an answer, and its end");
        }
        answer
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("its log")
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.process.0.id()).expect("Linux has no longer pids"))
    }

    fn hang_up(&self) {
        kill(self.pid(), Signal::SIGHUP).expect("it runs");
    }

    /// Waits until a line of its log has this part so many times.
    fn has_logged(&self, part: &str, times: usize) {
        while self.log().matches(part).count() < times {
            pause(LOOK_PAUSE);
        }
    }
}

/// A server under TLS with a token, of a broker whose files are in this folder; and the arguments of a command that asks it.
fn sealed(folder: &TempDir, authority: &Authority, more: &[&str]) -> (Broker, Vec<String>) {
    let file = secret(&folder.path().join("token"), TOKEN);
    authority.sign_server("server");
    let ([cert, key], ca) = (authority.files("server"), authority.ca().display().to_string());
    let args = ["--tls-cert", &cert, "--tls-key", &key, "--http-token-file", &file];
    let broker = Broker::start(folder, "https://127.0.0.1:0", &[&args[..], more].concat());
    let asks = ["--metrics", &broker.metrics, "--http-token-file", &file, "--ca", &ca].map(str::to_owned);
    (broker, asks.to_vec())
}

fn with_token(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// Writes a file that only its owner reads.
fn secret(path: &Path, text: &str) -> String {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a mode");
    path.display().to_string()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).expect("a status")
}

fn counter(answer: &str, name: &str) -> u64 {
    let (_, page) = answer.split_once("\r\n\r\n").expect("a body");
    Page::parse(page).sum(name)
}

#[test]
fn a_token_is_asked_of_every_reader() {
    let _watchdog = watchdog::watch("a_token_is_asked_of_every_reader");
    let folder = tempfile::tempdir().expect("a folder");
    let file = secret(&folder.path().join("token"), &format!("{TOKEN}\n"));
    let broker = Broker::start(&folder, "127.0.0.1:0", &["--http-token-file", &file]);
    for (request, headers) in [
        ("GET /metrics", ""),
        ("GET /healthz", ""),
        ("GET /nothing", ""),
        ("POST /reload", &with_token("corecast_sesam")),
        ("GET /metrics", &with_token("corecast_sesame2")),
        ("GET /metrics", "Authorization: Basic x\r\n"),
    ] {
        let answer = broker.answer(request, headers);
        assert_eq!(status(&answer), "401", "{request} {headers}: {answer}");
        assert!(answer.contains("\r\nwww-authenticate: Bearer realm=\"corecast\"\r\n"), "{answer}");
        assert!(answer.contains("--http-token-file") && !answer.contains("corecast_s"), "{answer}");
    }
    let right = with_token(TOKEN);
    assert!(broker.answer("GET /healthz", &right).ends_with("\r\n\r\nok\n"));
    let metrics = broker.answer("GET /metrics", &right);
    assert_eq!(status(&metrics), "200", "{metrics}");
    assert_eq!(counter(&metrics, "corecast_http_refusals_total"), 6);
    let lines = broker.log().matches("showed no token, or a wrong one").count();
    assert!((1..=6).contains(&lines) && broker.log().contains("peer=127.0.0.1:"), "{}", broker.log());
    assert!(!broker.log().contains("corecast_s"), "no secret");
    let reload = broker.answer("POST /reload", &right);
    assert!(
        status(&reload) == "200" && reload.contains("the token of the HTTP server is read again"),
        "{reload}"
    );
    assert_eq!(status(&broker.answer("GET /reload", &right)), "405");
}

#[test]
fn without_a_token_whoever_reaches_it_reads_and_has_nothing_reloaded() {
    let _watchdog = watchdog::watch("without_a_token_whoever_reaches_it_reads_and_has_nothing_reloaded");
    let folder = tempfile::tempdir().expect("a folder");
    let broker = Broker::start(&folder, "127.0.0.1:0", &[]);
    for path in ["/health", "/healthz"] {
        assert!(broker.answer(&format!("GET {path}"), "").ends_with("\r\n\r\nok\n"), "{path}");
    }
    let reload = broker.answer("POST /reload", "");
    assert!(status(&reload) == "403" && reload.contains("--http-token-file"), "{reload}");
    let said = said(&run(&["reload", "--metrics", &broker.metrics]), 1);
    assert!(said.contains("by a Unix socket"), "{said}");
}

#[test]
fn what_other_hosts_reach_needs_a_token_and_encryption_or_the_word_insecure() {
    let _watchdog =
        watchdog::watch("what_other_hosts_reach_needs_a_token_and_encryption_or_the_word_insecure");
    let folder = tempfile::tempdir().expect("a folder");
    let file = secret(&folder.path().join("token"), TOKEN);
    let authority = Authority::new();
    authority.sign_server("server");
    let [cert, key] = authority.files("server");
    let tls = ["--tls-cert", &cert, "--tls-key", &key];
    let token = ["--http-token-file", &file];
    let here = ["broker", "--shards", "1", "--listen", "tcp://127.0.0.1:0"];
    let (open, sealed) = (["--metrics", "0.0.0.0:0"], ["--metrics", "https://0.0.0.0:0"]);
    for (args, part) in [
        (open.to_vec(), "everybody who reaches it may read its pages"),
        ([&sealed[..], &tls].concat(), "everybody who reaches it may read its pages"),
        ([&open[..], &token].concat(), "read on their way: write https://HOST:PORT"),
    ] {
        let said = said(&run(&[&here[..], &args].concat()), 2);
        assert!(said.starts_with("error: --metrics: other hosts reach http"), "{args:?}: {said}");
        assert!(said.contains(part) && said.contains("--insecure"), "{args:?}: {said}");
    }
    for (args, part) in [
        (sealed.to_vec(), "--metrics: https:// needs a certificate"),
        (token.to_vec(), "--http-token-file: it is of no use without --metrics"),
        ([&["--metrics", "127.0.0.1:0"], &tls[..]].concat(), "--tls-cert: it is of no use"),
    ] {
        let said = said(&run(&[&here[..], &args].concat()), 2);
        assert!(said.contains(part), "{args:?}: {said}");
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("a mode");
    let too_open = said(&run(&[&here[..], &["--metrics", "127.0.0.1:0"], &token].concat()), 2);
    assert!(
        too_open.contains("--http-token-file: the token file") && too_open.contains("chmod 0600"),
        "{too_open}"
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");

    let closed = Broker::start(&folder, "https://0.0.0.0:0", &[&tls[..], &token].concat());
    assert!(!closed.log().contains("insecure"), "{}", closed.log());
    drop(closed);
    let broker = Broker::start(&folder, "0.0.0.0:0", &["--insecure"]);
    assert!(broker.log().contains("insecure http://0.0.0.0:"), "{}", broker.log());
    let health = broker.answer("GET /healthz", "");
    assert!(health.contains("\r\n\r\nok\ninsecure http://0.0.0.0:") && health.contains("(HTTP)"), "{health}");
    assert_eq!(counter(&broker.answer("GET /metrics", ""), "corecast_insecure_listeners"), 1);
    let doctor = run(&["doctor", "--jitter", "0", "--metrics", &broker.metrics]);
    assert!(text(&doctor.stdout).contains("every shard turns"), "{doctor:?}");
    assert!(text(&doctor.stdout).contains("insecure http://0.0.0.0:"), "{doctor:?}");
}

#[test]
fn doctor_reads_the_users_and_a_server_under_tls() {
    let _watchdog = watchdog::watch("doctor_reads_the_users_and_a_server_under_tls");
    let folder = tempfile::tempdir().expect("a folder");
    let file = secret(&folder.path().join("token"), TOKEN);
    let authority = Authority::new();
    authority.sign_server("server");
    let ([cert, key], ca) = (authority.files("server"), authority.ca().display().to_string());
    let args = ["--tls-cert", &cert, "--tls-key", &key, "--http-token-file", &file];
    let broker = Broker::start(&folder, "https://127.0.0.1:0", &args);
    let doctor = |args: &[&str]| {
        let output = run(&[&["doctor", "--jitter", "0", "--metrics", &broker.metrics], args].concat());
        text(&output.stdout).to_owned()
    };
    let found = doctor(&["--http-token-file", &file, "--ca", &ca]);
    assert!(found.contains("every shard turns"), "{found}");
    for (args, part) in [
        (&["--ca", &ca][..], "401: show the token"),
        (&["--http-token-file", &file], "authority that is not trusted here"),
    ] {
        let found = doctor(args);
        assert!(
            found.lines().any(|line| line.starts_with("error") && line.contains(part)),
            "{args:?}: {found}"
        );
    }
    // Without encryption it is no HTTP server.
    let plain = broker.metrics.replace("https://", "");
    let found = text(&run(&["doctor", "--jitter", "0", "--metrics", &plain]).stdout).to_owned();
    assert!(found.contains("is no HTTP server of a broker"), "{found}");

    let users = secret(&folder.path().join("users.toml"), "[[user]]\nname = 'desk'\nsubscribe = ['a b']\n");
    let found = text(&run(&["doctor", "--jitter", "0", "--users", &users]).stdout).to_owned();
    assert!(found.contains("users.toml:3: user `desk`: `subscribe`"), "{found}");
    secret(Path::new(&users), "[[user]]\nname = 'anonymous'\n");
    let found = text(&run(&["doctor", "--jitter", "0", "--users", &users]).stdout).to_owned();
    assert!(found.contains("1 user, anonymous among them"), "{found}");
}

#[test]
fn doctor_reads_the_key_of_zeromq_doors_and_does_not_show_it() {
    let _watchdog = watchdog::watch("doctor_reads_the_key_of_zeromq_doors_and_does_not_show_it");
    let folder = tempfile::tempdir().expect("a folder");
    let name = folder.path().join("broker").display().to_string();
    let public = text(&run(&["curve-keygen", &name]).stdout).trim().to_owned();
    let file = format!("{name}.key_secret");
    let doctor = |file: &str| {
        let output = run(&["doctor", "--jitter", "0", "--zmtp-curve-key", file]);
        let stdout = text(&output.stdout).to_owned();
        let line = stdout.lines().find(|line| line.contains("curve key")).expect("a finding").to_owned();
        assert!(output.status.code() == Some(1) || line.starts_with("ok"), "{output:?}");
        (line, stdout)
    };
    let keys = fs::read_to_string(&file).expect("the file");
    let secret_key = keys.split('"').rev().nth(1).expect("a secret key");
    let (line, all) = doctor(&file);
    assert!(line.starts_with("ok") && line.contains(&public) && !all.contains(secret_key), "{all}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("a mode");
    let (line, all) = doctor(&file);
    assert!(line.starts_with("error") && line.contains("chmod 0600") && !all.contains(secret_key), "{all}");
    // The public key is no use to a broker.
    secret(Path::new(&file), &format!("curve\n    public-key = \"{public}\"\n"));
    let (line, all) = doctor(&file);
    assert!(line.starts_with("error") && line.contains("has no secret key"), "{all}");
    assert!(
        all.contains("fix: a broker would not take this file: `corecast curve-keygen` makes one"),
        "{all}"
    );
    assert!(doctor(&format!("{file}.old")).0.starts_with("error"), "nor is one that is not there");
}

#[test]
fn a_reload_is_asked_for_at_a_unix_socket_and_reports_its_result() {
    let _watchdog = watchdog::watch("a_reload_is_asked_for_at_a_unix_socket_and_reports_its_result");
    let folder = tempfile::tempdir().expect("a folder");
    let good = "[[user]]\nname = 'anonymous'\nsubscribe = ['>']\n";
    let users = secret(&folder.path().join("users.toml"), good);
    let socket = format!("uds://{}", folder.path().join("http.sock").display());
    let broker = Broker::start(&folder, &socket, &["--users", &users]);
    let reload = || run(&["reload", "--metrics", &socket]);
    let publish = || run(&["pub", "t", "x", "--broker", &broker.endpoint]);
    said(&publish(), 1);
    secret(Path::new(&users), &good.replace("subscribe", "publish"));
    let output = reload();
    succeeded(&output);
    assert_eq!(text(&output.stdout), "the file of users is read again, and followed\n");
    succeeded(&publish());

    secret(Path::new(&users), "[[user]]\nname = 'anonymous'\npublish = 'x'\n");
    let fault = said(&reload(), 1);
    assert!(fault.contains("nothing changes") && fault.contains("users.toml:3: user `anonymous`"), "{fault}");
    succeeded(&publish());
    broker.hang_up();
    broker.has_logged("nothing changes", 2);
    let metrics = broker.answer("GET /metrics", "");
    assert_eq!(counter(&metrics, "corecast_reloads_total"), 1);
    assert_eq!(counter(&metrics, "corecast_reloads_failed_total"), 2);
}

#[test]
fn without_a_free_descriptor_a_reload_changes_nothing() {
    let _watchdog = watchdog::watch("without_a_free_descriptor_a_reload_changes_nothing");
    let folder = tempfile::tempdir().expect("a folder");
    let users = secret(&folder.path().join("users.toml"), "[[user]]\nname = 'anonymous'\npublish = ['>']\n");
    let socket = format!("uds://{}", folder.path().join("http.sock").display());
    let broker = Broker::start(&folder, &socket, &["--users", &users]);
    let limit = |files: &str| {
        let pid = broker.pid().to_string();
        // The soft limit alone, so that it may be raised again.
        let done = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={files}:")]).status();
        assert!(done.expect("prlimit, of util-linux").success());
    };
    limit("3");
    broker.hang_up();
    broker.has_logged("Too many open files", 1);
    assert!(
        broker.log().contains("the file of users is not read again, and nothing changes"),
        "{}",
        broker.log()
    );
    limit("1000");
    succeeded(&run(&["pub", "t", "x", "--broker", &broker.endpoint]));
    let metrics = broker.answer("GET /metrics", "");
    assert_eq!(counter(&metrics, "corecast_reloads_failed_total"), 1);
    succeeded(&run(&["reload", "--metrics", &socket]));
}

#[test]
fn the_token_and_the_certificate_are_replaced_while_it_serves() {
    let _watchdog = watchdog::watch("the_token_and_the_certificate_are_replaced_while_it_serves");
    let folder = tempfile::tempdir().expect("a folder");
    let file = secret(&folder.path().join("token"), TOKEN);
    let other = secret(&folder.path().join("other"), "corecast_other");
    let authority = Authority::new();
    let put = |name: &str| {
        authority.sign_server(name);
        for kind in ["pem", "key"] {
            let from = authority.path(&format!("{name}.{kind}"));
            fs::copy(from, authority.path(&format!("live.{kind}"))).expect("a file");
        }
    };
    let pin = |name: &str| {
        let shown = run(&["cert", "show", &authority.path(&format!("{name}.pem")).display().to_string()]);
        let line = text(&shown.stdout).lines().find_map(|line| line.strip_prefix("fingerprint"));
        line.expect("a fingerprint").trim().to_owned()
    };
    put("before");
    let [cert, key] = authority.files("live");
    let args = ["--tls-cert", &cert, "--tls-key", &key, "--http-token-file", &file];
    let broker = Broker::start(&folder, "https://127.0.0.1:0", &args);
    let reload = |token: &str, pin: &str| -> Output {
        run(&["reload", "--metrics", &broker.metrics, "--http-token-file", token, "--pin", pin])
    };
    let (before, refused) = (pin("before"), "show the token of --http-token-file");
    assert!(said(&reload(&other, &before), 1).contains(refused));
    succeeded(&reload(&file, &before));

    // A file at fault changes neither.
    let copy = secret(&folder.path().join("copy"), TOKEN);
    put("after");
    secret(Path::new(&file), "two words");
    let fault = said(&reload(&copy, &before), 1);
    assert!(fault.contains("the token of the HTTP server is not read again, and nothing changes"), "{fault}");
    secret(Path::new(&file), "corecast_other\n");
    let output = reload(&copy, &before);
    succeeded(&output);
    assert_eq!(text(&output.stdout).lines().count(), 2, "token and certificate");
    let after = pin("after");
    assert!(said(&reload(&copy, &after), 1).contains(refused), "it has another now");
    assert!(said(&reload(&other, &before), 1).contains("another than the one with the fingerprint"));
    succeeded(&reload(&other, &after));
}

/// Asks twelve times, while connections without end come from this host, each of which says so much and no more.
fn asked_beside_a_flood(broker: &Broker, word: &[u8], args: &[&str]) {
    let address = broker.metrics.trim_start_matches("https://");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut open = VecDeque::new();
            while !is_over.load(Ordering::Relaxed) {
                // Ports may run short.
                open.extend(
                    TcpStream::connect(address).and_then(|mut peer| peer.write_all(word).map(|()| peer)),
                );
                if open.len() > 200 {
                    open.pop_front();
                }
                pause(Duration::from_micros(400));
            }
        });
        broker.has_logged("gave way to a newer one", 1);
        let answers: Vec<Output> = (0..12).map(|_| run(&[&["sessions"], args].concat())).collect();
        is_over.store(true, Ordering::Relaxed);
        answers.iter().for_each(succeeded);
    });
    assert!(broker.log().contains("one of the host with the most gave way"), "{}", broker.log());
}

#[test]
fn operators_are_served_beside_a_flood_of_connections_that_say_nothing() {
    let _watchdog = watchdog::watch("operators_are_served_beside_a_flood_of_connections_that_say_nothing");
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let (broker, asks) = sealed(&folder, &authority, &[]);
    asked_beside_a_flood(&broker, b"", &asks.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_unix_socket_beside_a_flooded_address_answers_every_time() {
    let _watchdog = watchdog::watch("a_unix_socket_beside_a_flooded_address_answers_every_time");
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let socket = format!("uds://{}", folder.path().join("http.sock").display());
    let (broker, asks) = sealed(&folder, &authority, &["--metrics", &socket]);
    succeeded(&run(&[vec!["sessions"], asks.iter().map(String::as_str).collect()].concat()));
    // The beginning of a handshake: as much as an operator has said who is pushed out.
    let word = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    asked_beside_a_flood(&broker, word, &["--metrics", &socket]);
}

#[test]
fn a_server_that_ends_the_connection_is_told_from_one_that_is_not_there() {
    let _watchdog = watchdog::watch("a_server_that_ends_the_connection_is_told_from_one_that_is_not_there");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for _ in 0..2 {
                drop(listener.accept().expect("a connection"));
            }
        });
        for metrics in [address.clone(), format!("https://{address}")] {
            let said = said(&run(&["sessions", "--metrics", &metrics]), 1);
            assert!(said.contains(&format!("the HTTP server at {metrics} ended the connection")), "{said}");
            assert!(said.contains("ask again") && said.contains("Unix socket"), "{said}");
            assert!(!said.contains("docs.rs") && !said.contains("tls://"), "{said}");
        }
    });
    drop(listener);
    let said = said(&run(&["sessions", "--metrics", &format!("https://{address}")]), 1);
    assert!(said.contains(&format!("does not answer at https://{address}: ")), "{said}");
}

#[test]
fn handshakes_that_fail_are_counted_and_named_at_most_once_a_second() {
    let _watchdog = watchdog::watch("handshakes_that_fail_are_counted_and_named_at_most_once_a_second");
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let ca = authority.ca().display().to_string();
    let (broker, asks) = sealed(&folder, &authority, &["--tls-client-ca", &ca, "--tls-clients", "optional"]);
    let address = broker.metrics.trim_start_matches("https://");
    let logged = |part: &str| broker.has_logged(&format!("reason={part}"), 1);
    let sends = |bytes: &[u8]| {
        let mut peer = TcpStream::connect(address).expect("it serves");
        peer.set_read_timeout(Some(LIMIT)).expect("a watchdog");
        peer.write_all(bytes).expect("room for it");
        // An alert, or nothing.
        let _ = peer.read_to_end(&mut Vec::new());
    };
    // Whoever only looks whether somebody is here has not failed.
    drop(TcpStream::connect(address).expect("it serves"));
    sends(b"GET /metrics HTTP/1.1\r\n\r\n");
    logged("it does not speak TLS: its first bytes are `GET /met`; its readers write https://");
    (0..4).for_each(|_| sends(&[0; 100]));
    let lines = broker.log().matches("a TLS handshake with the HTTP server failed").count();
    assert!((1..=5).contains(&lines) && broker.log().contains("peer=127.0.0.1:"), "{}", broker.log());
    let openssl = |args: &[&str], request: &str| -> Output {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-ign_eof", "-connect", address]).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = command.spawn().expect("openssl");
        // It may have ended with its handshake.
        let _ = client.stdin.take().expect("it is piped").write_all(request.as_bytes());
        client.wait_with_output().expect("it is ours")
    };
    openssl(&["-tls1_2"], "");
    let other = Authority::named("another authority");
    other.sign("client", "DNS:client", "clientAuth", Validity::Now);
    let [cert, key] = other.files("client");
    openssl(&["-cert", &cert, "-key", &key], "");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: test\r\n{}\r\n", with_token(TOKEN));
    let metrics = openssl(&["-CAfile", &ca], &request);
    let page = text(&metrics.stdout);
    assert_eq!(counter(page, "corecast_http_handshakes_failed_total"), 7, "{page}\n{}", broker.log());
    assert_eq!(counter(page, "corecast_http_pushed_out_total"), 0);
    let asks: Vec<&str> = asks.iter().map(String::as_str).collect();
    succeeded(&run(&[&["sessions"], &asks[..]].concat()));
}

#[test]
fn a_token_does_not_travel_to_another_host_where_it_can_be_read() {
    let _watchdog = watchdog::watch("a_token_does_not_travel_to_another_host_where_it_can_be_read");
    let folder = tempfile::tempdir().expect("a folder");
    let file = secret(&folder.path().join("token"), TOKEN);
    let asks = |metrics: &str, more: &[&str]| {
        run(&[&["sessions", "--metrics", metrics, "--timeout", "200ms"], more].concat())
    };
    let token = ["--http-token-file", &file];
    for there in ["192.0.2.1:9680", "http://192.0.2.1:9680", "tcp://broker.invalid:9680"] {
        let refused = said(&asks(there, &token), 2);
        assert!(refused.starts_with("error: --metrics: whoever is on the way to "), "{refused}");
        assert!(refused.contains("write https://HOST:PORT") && refused.contains("--insecure"), "{refused}");
        // Nothing of it is said where it is accepted, or there is no token.
        for args in [&[&token[..], &["--insecure"]].concat()[..], &[]] {
            let failed = asks(there, args);
            assert!(failed.status.code() != Some(2), "{failed:?}");
            assert!(!text(&failed.stderr).contains("on the way"), "{failed:?}");
        }
    }
    let broker = Broker::start(&folder, "127.0.0.1:0", &token);
    for here in [broker.metrics.clone(), broker.metrics.replace("127.0.0.1", "localhost")] {
        succeeded(&run(&[&["sessions", "--metrics", &here], &token[..]].concat()));
    }
}

#[test]
fn prometheus_scrapes_it_with_token_and_authority() {
    let _watchdog = watchdog::watch("prometheus_scrapes_it_with_token_and_authority");
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let file = secret(&folder.path().join("token"), TOKEN);
    let authority = Authority::new();
    authority.sign_server("server");
    let [cert, key] = authority.files("server");
    let args = ["--tls-cert", &cert, "--tls-key", &key, "--http-token-file", &file];
    let broker = Broker::start(&folder, "https://127.0.0.1:0", &args);
    let config = format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n- job_name: corecast\n  scheme: https\n  \
         authorization: {{ credentials_file: {file} }}\n  tls_config: {{ ca_file: {} }}\n  static_configs:\n  - targets: \
         ['{}']\n",
        authority.ca().display(),
        broker.metrics.trim_start_matches("https://"),
    );
    fs::write(path("prometheus.yml"), config).expect("written");
    // A port that was free a moment ago: Prometheus does not tell which one it has.
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it is bound");
    let mut prometheus = Command::new("prometheus");
    prometheus.arg(format!("--config.file={}", path("prometheus.yml")));
    prometheus
        .arg(format!("--storage.tsdb.path={}", path("data")))
        .arg(format!("--web.listen-address={free}"));
    prometheus.stdout(Stdio::null()).stderr(fs::File::create(path("prometheus.log")).expect("a log file"));
    let Ok(prometheus) = prometheus.spawn() else {
        let _ = writeln!(std::io::stderr(), "left out: there is no prometheus (apt-get install prometheus)");
        return;
    };
    let mut prometheus = Running(prometheus);
    let targets = || {
        let mut answer = String::new();
        let mut peer = TcpStream::connect(free)?;
        peer.write_all(b"GET /api/v1/targets HTTP/1.0\r\n\r\n")?;
        peer.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    let health = loop {
        let answer = targets().unwrap_or_default();
        if let Some((_, rest)) = answer.split_once("\"health\":\"")
            && !rest.starts_with("unknown")
        {
            break answer;
        }
        let ended = prometheus.0.try_wait().expect("it is ours");
        assert!(ended.is_none(), "{}", fs::read_to_string(path("prometheus.log")).expect("its log"));
        pause(LOOK_PAUSE);
    };
    assert!(health.contains("\"health\":\"up\""), "{health}");
}
