//! Owns the set-up of the logs: text or JSON on stderr. A command calls it once, at its start.

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::error::{Error, ErrorKind, Result};

/// How a line of the log is written.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
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
/// `trace` or `off`, or levels by module: `info,corecast::broker=debug`.
///
/// # Errors
/// A level that cannot be read; logs that were set up before.
pub fn install_logs(level: &str, format: LogFormat) -> Result<()> {
    let wrong =
        |why: String| Error::new(ErrorKind::Invalid, format!("the log level '{level}' is not one: {why}"));
    // A word that is no level would be the name of a module, and all else would fall silent.
    let is_level = |word: &str| word.contains('=') || word.trim().parse::<LevelFilter>().is_ok();
    if let Some(word) = level.split(',').find(|word| !is_level(word)) {
        return Err(wrong(format!("'{word}' is none of error, warn, info, debug, trace and off")));
    }
    let filter = EnvFilter::builder().parse(level).map_err(|e| wrong(e.to_string()))?;
    // A full disk under stderr must not end the process: by default a line that cannot be written is reported
    // with `eprintln!`, which panics.
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            lines.with_ansi(colour).boxed()
        }
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()
        .map_err(|e| Error::new(ErrorKind::Invalid, format!("the logs cannot be set up: {e}")))
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

    #[test]
    fn a_level_that_is_none_is_an_error() {
        for level in ["info,corecast=loud", "loud", "info,loud"] {
            let error = install_logs(level, LogFormat::Text).expect_err("no such level");
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(level), "{error}");
        }
    }
}
