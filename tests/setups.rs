//! The set-ups that README.md and docs/SECURITY.md show, typed as they stand: but for the port, which another broker of this
//! machine may have.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod running;
mod watchdog;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use broker_process::corecast;
use running::{Running, start};
use tempfile::TempDir;

/// The port of all examples.
const PORT: &str = "6680";

/// The lines of a set-up: those of its broker's host, of which the last is the broker, and those of a subscriber and a publisher.
struct SetUp {
    host: Vec<String>,
    sub: String,
    publish: String,
    folder: TempDir,
    /// The address of its broker for commands that name none.
    endpoint: String,
}

impl SetUp {
    /// The set-up below a heading of a page.
    fn of(page: &str, heading: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
        let text = fs::read_to_string(path).expect("a page");
        let (_, section) = text.split_once(&format!("\n## {heading}\n")).expect("the heading");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it is bound");
        let section = section.replace(PORT, &free.port().to_string());
        let mut blocks = section.split("```sh\n").skip(1).map(|rest| {
            let block = rest.split("```").next().expect("the block ends");
            block.lines().map(str::to_owned).collect::<Vec<String>>()
        });
        let host = blocks.next().expect("the broker's host");
        let [sub, publish] = blocks.next().and_then(|lines| lines.try_into().ok()).expect("two clients");
        let folder = tempfile::tempdir().expect("a folder");
        SetUp { host, sub, publish, folder, endpoint: format!("tcp://127.0.0.1:{}", free.port()) }
    }

    /// A line as a shell runs it, in place of the shell if it is one command.
    fn shell(&self, line: &str) -> Command {
        let clean = corecast();
        let program = PathBuf::from(clean.get_program());
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let own = program.parent().expect("it is in a folder").to_owned();
        let path = std::env::join_paths([own].into_iter().chain(std::env::split_paths(&folders)));
        let mut shell = Command::new("sh");
        for (name, _) in clean.get_envs() {
            shell.env_remove(name);
        }
        shell.args(["-euc", line]).current_dir(&self.folder).env("PATH", path.expect("folders"));
        shell.env("CORECAST_BROKER_LISTEN", &self.endpoint).env("CORECAST_BROKER", &self.endpoint);
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        shell
    }

    fn run(&self, line: &str) {
        let output = self.shell(line).output().expect("a shell");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn spawn(&self, line: &str) -> Running {
        start(&mut self.shell(&format!("exec {line}")))
    }

    /// Types all lines, and waits until the message has arrived.
    fn type_all(&self) {
        let (broker, before) = self.host.split_last().expect("it has lines");
        before.iter().for_each(|line| self.run(line));
        let mut broker = self.spawn(broker);
        let mut ready = String::new();
        let mut stdout = BufReader::new(broker.stdout());
        stdout.read_line(&mut ready).expect("a line");
        if !ready.starts_with("ready ") {
            let mut said = String::new();
            let _ = broker.0.stderr.take().expect("it is piped").read_to_string(&mut said);
            assert_eq!(ready, "", "{said}");
        }
        // Nobody without a token is let in, and the error says what it takes.
        let (nobody, _) = self.sub.split_once(" --token-file").expect("a subscriber with a token");
        let refused = self.shell(&format!("exec {nobody}")).output().expect("a shell");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(1) && said.contains("--token-file"), "{said}");

        let mut sub = self.spawn(&self.sub);
        let mut heard = BufReader::new(sub.stdout());
        self.run(&self.publish);
        let mut line = String::new();
        heard.read_line(&mut line).expect("a line");
        assert_eq!(line, "1.0842\n");
    }
}

#[test]
fn a_team_is_set_up_as_the_readme_says() {
    let _watchdog = watchdog::watch("a_team_is_set_up_as_the_readme_says");
    let set_up = SetUp::of("README.md", "Secure set-up");
    let kinds = |part: &str| set_up.host.iter().filter(|line| line.contains(part)).count();
    assert_eq!((kinds("corecast cert"), kinds("corecast user add"), kinds("corecast broker")), (1, 2, 1));
    set_up.type_all();
}

#[test]
fn the_page_on_security_sets_up_one_host_and_a_team() {
    let _watchdog = watchdog::watch("the_page_on_security_sets_up_one_host_and_a_team");
    for heading in ["Set-up: one host", "Set-up: a team, with tokens over TLS"] {
        SetUp::of("docs/SECURITY.md", heading).type_all();
    }
}
