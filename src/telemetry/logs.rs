//! Owns the set-up of the logs: text or JSON on stderr. A command calls it once, at its start; a library inside another
//! program only logs through `tracing`.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::str::FromStr;
use std::sync::OnceLock;

use corecast_executors::before_abort;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use super::stderr::{Lane, flush_log};
use crate::error::{Error, ErrorKind, Result};
use crate::printable::{printable, printable_json};

/// The format of a log line.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(Error::new(ErrorKind::Invalid, format!("'{text}' is not a log format: text or json"))),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        })
    }
}

/// Sends the process's log lines of this level and above to stderr. `level` is `error`, `warn`, `info`, `debug`,
/// `trace` or `off`, or levels by module: `info,corecast::broker=debug`. A thread of its own writes them: logging never
/// waits for the reader of stderr.
///
/// # Errors
/// An invalid level; logs that were set up before.
pub fn install_logs(level: &str, format: LogFormat) -> Result<()> {
    let filter = filter_of(level)?;
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lane = Lane::open()?;
    let layer = layer(format, colour, move || lane.lines());
    let (filter, changeable) = reload::Layer::new(filter);
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()
        .map_err(|e| Error::new(ErrorKind::Invalid, format!("the logs cannot be set up: {e}")))?;
    // Those that are there now are the only ones of this process.
    let _ = LEVEL.set(changeable);
    before_abort(flush_log);
    Ok(())
}

/// The level of the logs that [`install_logs`] has set up.
static LEVEL: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Changes the level of the logs, from the next line on.
///
/// # Errors
/// An invalid level; logs that were not set up here.
pub(crate) fn set_log_level(level: &str) -> Result<()> {
    let filter = filter_of(level)?;
    let not_ours = || Error::new(ErrorKind::Invalid, "the logs are not those of this command");
    LEVEL.get().and_then(|level| level.reload(filter).ok()).ok_or_else(not_ours)
}

/// Checks a log level, or levels by module.
///
/// # Errors
/// `Invalid`; it says what to write instead.
pub(crate) fn check_log_level(level: &str) -> Result<()> {
    filter_of(level).map(drop)
}

fn filter_of(level: &str) -> Result<EnvFilter> {
    let wrong =
        |why: String| Error::new(ErrorKind::Invalid, format!("the log level '{level}' is not one: {why}"));
    // A word that is not a level would be taken for the name of a module, and everything else would fall silent.
    let is_level = |word: &str| word.contains('=') || word.trim().parse::<LevelFilter>().is_ok();
    if let Some(word) = level.split(',').find(|word| !is_level(word)) {
        return Err(wrong(format!("'{word}' is none of error, warn, info, debug, trace and off")));
    }
    let filter = EnvFilter::builder().parse(level).map_err(|e| wrong(e.to_string()))?;
    Ok(match ENGINE_CLIENT_OFF.parse() {
        // The engine says the same in lines of its own, at most one a second.
        Ok(off) if !level.contains("async_nats") => filter.add_directive(off),
        _ => filter,
    })
}

/// The client library of the engine is silent, unless `level` names it.
const ENGINE_CLIENT_OFF: &str = "async_nats=off";

/// A layer that formats lines, each with a writer of its own.
fn layer<W: Write + 'static>(
    format: LogFormat,
    colour: bool,
    writer: impl Fn() -> W + Send + Sync + 'static,
) -> Box<dyn Layer<Registry> + Send + Sync> {
    // A full disk under stderr must not end the process: by default a line that cannot be written is reported
    // with `eprintln!`, which panics.
    let lines = tracing_subscriber::fmt::layer().log_internal_errors(false);
    match format {
        LogFormat::Text => {
            let lines = lines.fmt_fields(debug_fn(write_field).delimited(" "));
            lines.with_ansi(colour).with_writer(writer).boxed()
        }
        LogFormat::Json => lines.json().with_writer(move || PrintableJson(writer())).boxed(),
    }
}

/// Writes one field of a line. Peers choose topics, endpoints and names, and a log line must stay one line: tracing's
/// own formatter escapes control sequences, but passes line breaks (tracing-subscriber 0.3.23).
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = format!("{value:?}");
    match field.name() {
        "message" => write!(writer, "{}", printable(&value)),
        name => write!(writer, "{name}={}", printable(&value)),
    }
}

/// Passes on lines of JSON, without characters that act on a terminal. A line comes in one piece.
struct PrintableJson<W>(W);

impl<W: Write> Write for PrintableJson<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.0.write_all(printable_json(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_names() {
        for format in [LogFormat::Text, LogFormat::Json] {
            assert_eq!(format.to_string().parse::<LogFormat>().expect("its own name"), format);
        }
        assert!("xml".parse::<LogFormat>().is_err());
    }

    /// A line of each level, with text that a peer may choose.
    fn line_of(format: LogFormat, colour: bool) -> String {
        let (lines, written) = std::sync::mpsc::channel();
        let layer = layer(format, colour, move || Sent(lines.clone()));
        let error = Error::new(ErrorKind::Protocol, "refused: \x1b[2J\nERROR forged\u{9b}1m");
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let name = "a\u{202e}b\n";
            tracing::warn!(%error, name, topic = ?crate::Topic::new("t"), n = 3, "a peer: {error}");
        });
        String::from_utf8(written.try_iter().flatten().collect()).expect("text")
    }

    struct Sent(std::sync::mpsc::Sender<Vec<u8>>);

    impl Write for Sent {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.send(line.to_vec()).map_err(io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_peer_cannot_forge_a_line() {
        let text = line_of(LogFormat::Text, false);
        assert_eq!(text.matches(|c: char| c.is_control()).collect::<String>(), "\n", "{text:?}");
        for part in [
            "a peer: refused: \\x1b[2J\\nERROR forged\\u{9b}1m error=refused: \\x1b[2J\\nERROR forged\\u{9b}1m",
            "name=\"a\\u{202e}b\\n\" topic=Ok(Topic(\"t\")) n=3\n",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        let colours = line_of(LogFormat::Text, true);
        assert!(colours.contains('\x1b') && !colours.contains("\x1b[2J") && colours.lines().count() == 1);
        let json = line_of(LogFormat::Json, false);
        assert_eq!(json.matches(|c: char| !(' '..='~').contains(&c)).collect::<String>(), "\n", "{json:?}");
        let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(read["fields"]["name"], "a\u{202e}b\n");
    }

    #[test]
    fn a_level_that_is_none_is_an_error() {
        for level in ["info,corecast=loud", "loud", "info,loud"] {
            let error = install_logs(level, LogFormat::Text).expect_err("no such level");
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(level), "{error}");
        }
    }
}
