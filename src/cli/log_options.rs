//! The options of all commands about their logs.

use crate::config::{Form, One, Optional, Plain};
use crate::telemetry::{LogFormat, check_log_level};

configuration! {
    /// The options of logs.
    #[derive(Clone, Debug)]
    pub(super) struct LogOptions {
        /// Log level on stderr: error, warn, info, debug, trace or off, also by module: info,corecast::broker=debug
        /// [default: info for the broker, warn for the others].
        log_level: Option<String> = None, option("log-level", "LEVEL", Optional<LogLevel>);

        /// Log format: text, or json with one object per line.
        log_format: LogFormat = LogFormat::Text, option("log-format", "FORMAT", One<Plain>);
    }
}

/// The form of a log level, or of several by module.
#[derive(Debug)]
struct LogLevel;

impl Form<String> for LogLevel {
    fn read(text: &str) -> Result<String, String> {
        check_log_level(text).map(|()| text.to_owned()).map_err(|e| e.to_string())
    }

    fn write(level: &String) -> String {
        level.clone()
    }
}
