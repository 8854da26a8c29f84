//! `corecast doctor`: says what this host allows, and what to change.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use clap::{Args, value_parser};
use corecast_executors::{CoreSet, Finding, HostCheck, Level, pause, spawn_plain};

use super::doctor_engine::{DoctorEngineArgs, engine_findings};
use super::http_address::HttpAddress;
use super::http_client::{HttpAnswer, HttpClientArgs};
use super::output::{Format, note, print};
use super::{Exit, Failure};
use crate::Users;
use crate::auth::ANONYMOUS;
use crate::broker::CurveServerKey;
use crate::config::TimeSpan;
use crate::limits::{HTTP_CONVERSATION_MAX, SHARDS_MAX};
use crate::printable::printable_json;
use crate::transport::CertificateFacts;

const EXAMPLES: &str = "\
Examples:
  corecast doctor
  corecast doctor --cores 0-15 --open-files 20000
  corecast doctor --users users.toml --tls-cert server.pem     # their faults, and how long it is valid
  corecast doctor --zmtp-curve-key broker.key_secret           # who may read it, and the public key
  corecast doctor --engine nats://10.0.0.5:4222    # an engine: version, longest message, rights, round trip
  corecast doctor --metrics 127.0.0.1:9680         # a running broker: its health, and what it leaves open
  corecast doctor -o json | jq '.[] | select(.level != \"ok\")'

The exit code is 1 if a finding is an error. Jitter is how long this machine takes the CPU away from a thread that only \
reads the clock: no latency can be better than that.";

/// Validity that a certificate should have left: time for people to notice.
const CERTIFICATE_LEFT_MIN: Duration = Duration::from_secs(30 * 86_400);

/// The time between two reports of progress.
const PROGRESS_PERIOD: Duration = Duration::from_secs(10);

/// Check this host: kernel, io_uring, limits, CPUs and jitter, and files of a broker; each finding comes with its fix.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct DoctorArgs {
    /// CPU cores the broker is to run on: all, physical, 0-3,8 or numa:0.
    #[arg(long, value_name = "SET")]
    cores: Option<CoreSet>,

    /// Number of shards the broker is to have [default: one per core of the set].
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=SHARDS_MAX as i64))]
    shards: Option<u16>,

    /// Number of connections to be open at once.
    #[arg(long, value_name = "N")]
    open_files: Option<u64>,

    /// Certificate of tls:// listeners: a PEM file.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,

    /// File of users: as for `corecast broker --users`.
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,

    /// File with the secret key of ZeroMQ doors: as for `corecast broker --zmtp-curve-key`.
    #[arg(long, value_name = "FILE")]
    zmtp_curve_key: Option<PathBuf>,

    /// Address of the HTTP server of a running broker: its health, and listeners that lack protection.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<HttpAddress>,

    #[command(flatten)]
    engine: DoctorEngineArgs,

    #[command(flatten)]
    client: HttpClientArgs,

    /// Duration of the jitter measurement.
    #[arg(long, value_name = "SECS", default_value_t = TimeSpan(Duration::from_secs(1)))]
    jitter: TimeSpan,

    /// Output format: text, or json for an array.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn run(args: DoctorArgs) -> Result<Exit, Failure> {
    let check = HostCheck {
        cores: args.cores,
        shards: args.shards.map(usize::from),
        connections_wanted: args.open_files,
        jitter: args.jitter.0,
    };
    tell_of_long_measurement(args.jitter.0);
    let mut findings = check.run();
    findings.extend(args.tls_cert.as_deref().map(certificate));
    findings.extend(args.users.as_deref().map(users));
    findings.extend(args.zmtp_curve_key.as_deref().map(curve_key));
    findings.extend(args.metrics.iter().flat_map(|address| running_broker(address, &args.client)));
    findings.extend(engine_findings(&args.engine)?);
    match args.output {
        Format::Text => print(table(&findings))?,
        Format::Json => print(json(&findings)?)?,
    }
    let wrong = findings.iter().any(|finding| finding.level == Level::Error);
    Ok(if wrong { Exit::Failed } else { Exit::Fine })
}

/// A finding; it has the fix unless all is well.
fn finding(name: &'static str, level: Level, found: String, fix: &str) -> Finding {
    let fix = (level != Level::Ok).then(|| fix.to_owned());
    Finding { name, level, found, fix }
}

/// The finding on a certificate: whether clients would take it, and for how long.
fn certificate(path: &Path) -> Finding {
    let finding = |level, found, fix| finding("certificate", level, found, fix);
    let facts = match CertificateFacts::read("tls_cert", path) {
        Ok(facts) => facts,
        Err(error) => {
            return finding(
                Level::Error,
                error.without_field().to_string(),
                "name a PEM file of a certificate",
            );
        }
    };
    let now = SystemTime::now();
    if let Some(why) = facts.why_not_of_server(now) {
        return finding(Level::Error, format!("{}: {why}", path.display()), RENEW);
    }
    // A broker takes these, for clients that know their fingerprint.
    let only_pinned = match (facts.is_authority, facts.names.is_empty()) {
        (true, _) => Some("it is that of an authority"),
        (false, true) => Some("it is for no host"),
        (false, false) => None,
    };
    if let Some(why) = only_pinned {
        let found = format!("{}: {why}, so that only clients with --pin take it", path.display());
        return finding(Level::Warning, found, RENEW);
    }
    let left = facts.ends_at.duration_since(now).unwrap_or_default();
    let level = if left < CERTIFICATE_LEFT_MIN { Level::Warning } else { Level::Ok };
    let names = facts.names.join(", ");
    finding(level, format!("valid for {} more days, for {names}", left.as_secs() / 86_400), RENEW)
}

const RENEW: &str =
    "make another, such as with `corecast cert server`, and have the broker read it: `corecast reload`";

const USERS_FIX: &str = "mend that, then `corecast user check`: a broker does not start with such a file, and a running one \
     goes on with the users it has";

/// The finding on a file of users: whether a broker would take it.
fn users(path: &Path) -> Finding {
    match Users::read(path) {
        Err(error) => finding("users", Level::Error, error.to_string(), USERS_FIX),
        Ok(users) => {
            let count = users.iter().count();
            let plural = if count == 1 { "" } else { "s" };
            let open = if users.get(ANONYMOUS).is_some() { ", anonymous among them" } else { "" };
            finding("users", Level::Ok, format!("{count} user{plural}{open}"), "")
        }
    }
}

/// The finding on a secret key of CURVE: whether a broker would take it, and the public key that clients need.
fn curve_key(path: &Path) -> Finding {
    match CurveServerKey::read(path) {
        Err(error) => {
            let fix = "a broker would not take this file: `corecast curve-keygen` makes one";
            finding("curve key", Level::Error, error.to_string(), fix)
        }
        Ok(key) => finding("curve key", Level::Ok, format!("its public key is {}", key.public()), ""),
    }
}

/// The findings on a broker that runs: its health, and each listener that lacks protection.
fn running_broker(address: &HttpAddress, client: &HttpClientArgs) -> Vec<Finding> {
    let finding = |level, found, fix| finding("broker", level, found, fix);
    let answer = match client.ask("GET /healthz", address, Instant::now() + HTTP_CONVERSATION_MAX) {
        Ok(HttpAnswer { status: 200 | 503, text }) => text,
        Ok(answer) => {
            let fix = "show the token that the broker has: --http-token-file FILE";
            return vec![finding(
                Level::Error,
                format!("{}: {}", answer.status, answer.text.trim_end()),
                fix,
            )];
        }
        Err(error) => {
            let fix = "name the address of --metrics of a broker that runs";
            return vec![finding(Level::Error, error.without_field().to_string(), fix)];
        }
    };
    let of_line = |line: &str| match (line, line.strip_prefix("insecure ")) {
        ("ok", _) => finding(Level::Ok, "every shard turns".to_owned(), ""),
        ("engine away: this host is served, and hears no other", _) => {
            finding(Level::Warning, line.to_owned(), "look into its log: it says why")
        }
        (line, _) if line.starts_with("engine ") => finding(Level::Ok, line.to_owned(), ""),
        ("draining", _) => finding(Level::Warning, "it is stopping".to_owned(), "wait for its successor"),
        (_, Some(listener)) => {
            let fix = "start it without --insecure: it says what is missing";
            finding(Level::Warning, format!("insecure {listener}"), fix)
        }
        (stalled, None) => {
            finding(Level::Error, stalled.to_owned(), "look into its log, and at the CPU of that shard")
        }
    };
    answer.lines().map(of_line).collect()
}

/// Reports on stderr how far a long measurement has come: nothing else is printed before its end.
fn tell_of_long_measurement(whole: Duration) {
    if whole < PROGRESS_PERIOD {
        return;
    }
    let started = Instant::now();
    let tell = move || {
        while started.elapsed() < whole {
            note(format!("measuring jitter: {} of {} s", started.elapsed().as_secs(), whole.as_secs()));
            pause(PROGRESS_PERIOD);
        }
    };
    // It ends with the process, and without it only the reports are missing.
    let _ = spawn_plain("progress", tell);
}

fn json(findings: &[Finding]) -> Result<String, Failure> {
    let mut text = serde_json::to_string_pretty(findings)
        .map_err(|e| Failure::new(Exit::Failed, format!("cannot write the findings as JSON: {e}")))?;
    text.push('\n');
    Ok(printable_json(&text).into_owned())
}

/// Three columns, and the fix below its finding.
fn table(findings: &[Finding]) -> String {
    let names = findings.iter().map(|finding| finding.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for finding in findings {
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{level:<7}  {:<names$}  {}", finding.name, finding.found);
        if let Some(fix) = &finding.fix {
            let _ = writeln!(text, "{:<7}  {:<names$}  fix: {fix}", "", "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        let finding = |name, level, found: &str, fix: Option<&str>| Finding {
            name,
            level,
            found: found.to_owned(),
            fix: fix.map(str::to_owned),
        };
        vec![
            finding("kernel", Level::Ok, "6.18", None),
            finding("open files", Level::Error, "1024", Some("ulimit -n 20000")),
        ]
    }

    #[test]
    fn the_table_is_aligned_and_has_the_fixes() {
        let wanted = "\
ok       kernel      6.18
error    open files  1024
                     fix: ulimit -n 20000
";
        assert_eq!(table(&findings()), wanted);
    }

    #[test]
    fn json_is_an_array() {
        let json: serde_json::Value =
            serde_json::from_str(&json(&findings()).expect("findings are plain")).expect("JSON");
        assert_eq!(json[1]["level"], "error");
        assert_eq!(json[1]["fix"], "ulimit -n 20000");
        assert_eq!(json[0]["fix"], serde_json::Value::Null);
    }
}
