//! `corecast doctor`: says what this host allows, and what to change.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use corecast_executors::{CoreSet, Finding, HostCheck, Level, pause, spawn_plain};

use super::broker_options::BrokerOptions;
use super::doctor_engine::{DoctorEngineArgs, engine_findings};
use super::doctor_files::{self, certificate, curve_key, finding, is_public, users};
use super::http_address::HttpAddress;
use super::http_client::{HttpAnswer, HttpClientArgs};
use super::output::{Format, note, print};
use super::{Exit, Failure};
use crate::config::TimeSpan;
use crate::limits::{HTTP_CONVERSATION_MAX, SHARDS_MAX};
use crate::printable::printable_json;

const EXAMPLES: &str = "\
Examples:
  corecast doctor
  corecast doctor --cores 0-15 --open-files 20000
  corecast doctor --config broker.toml   # its faults, and the host for the broker that it describes
  corecast doctor --users users.toml --tls-cert server.pem     # their faults, and how long it is valid
  corecast doctor --zmtp-curve-key broker.key_secret           # who may read it, and the public key
  corecast doctor --engine nats://10.0.0.5:4222    # an engine: version, longest message, rights, round trip
  corecast doctor --engine nats://10.0.0.5:4222 --engine-history     # whether history can be stored there, too
  corecast doctor --metrics 127.0.0.1:9680         # a running broker: its health, and what it leaves open
  corecast doctor -o json | jq '.[] | select(.level != \"ok\")'

The exit code is 1 if a finding is an error. Jitter is how long this machine takes the CPU away from a thread that only \
reads the clock: no latency can be better than that.";

/// The time between two reports of progress.
const PROGRESS_PERIOD: Duration = Duration::from_secs(10);

/// Check this host: kernel, io_uring, limits, CPUs and jitter, and files of a broker; each finding comes with its fix.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct DoctorArgs {
    /// Config file of a broker: it is checked, and so are its certificate, users and engine; its cores and shards are those to be
    /// checked, unless options say otherwise.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

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
    let (config, planned) = args.config.as_deref().map(doctor_files::config).unwrap_or_default();
    let broker = planned.as_ref().map(|options| &options.config.0);
    let check = HostCheck {
        cores: args.cores.or_else(|| broker.map(|broker| broker.cores.clone())),
        shards: args.shards.map(usize::from).or_else(|| broker.and_then(|broker| broker.shards)),
        connections_wanted: args.open_files,
        jitter: args.jitter.0,
    };
    tell_of_long_measurement(args.jitter.0);
    let mut findings = check.run();
    findings.extend(config);
    let tls_cert = args.tls_cert.or_else(|| planned.as_ref().and_then(BrokerOptions::certificate));
    findings.extend(tls_cert.as_deref().map(certificate));
    let users_file = args.users.or_else(|| broker.and_then(|broker| broker.users.clone()));
    findings.extend(users_file.as_deref().map(users));
    findings.extend(match &args.zmtp_curve_key {
        Some(path) => Some(curve_key(path)),
        None => broker.and_then(|broker| broker.zmtp_curve_key.as_ref()).map(is_public),
    });
    findings.extend(args.metrics.iter().flat_map(|address| running_broker(address, &args.client)));
    findings.extend(engine_findings(&args.engine, broker)?);
    match args.output {
        Format::Text => print(table(&findings))?,
        Format::Json => print(json(&findings)?)?,
    }
    let wrong = findings.iter().any(|finding| finding.level == Level::Error);
    Ok(if wrong { Exit::Failed } else { Exit::Fine })
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
