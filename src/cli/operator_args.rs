//! Owns how a command of an operator reaches a running broker: the arguments that say where its HTTP server is, and requests to
//! its API.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use super::http_address::HttpAddress;
use super::http_client::{HttpAnswer, HttpClientArgs};
use super::{Exit, Failure};
use crate::config::{TimeSpan, parse_timeout};
use crate::error::Error;

/// The HTTP server of a broker, and what it needs to be shown.
#[derive(Args, Clone, Debug)]
pub(super) struct OperatorArgs {
    /// Address of the broker's HTTP server: the one of --metrics of `corecast broker`, which has none without it.
    #[arg(long, value_name = "ADDRESS")]
    metrics: HttpAddress,

    #[command(flatten)]
    client: HttpClientArgs,

    /// Timeout for the answer.
    #[arg(short = 't', long, value_name = "SECS", value_parser = parse_timeout, default_value_t = TimeSpan(Duration::from_secs(15)))]
    timeout: TimeSpan,
}

impl OperatorArgs {
    /// Sends a request, and returns its answer, whatever the broker says.
    ///
    /// # Errors
    /// As for [`HttpClientArgs::ask`].
    pub(super) fn answer(&self, request: &str) -> Result<HttpAnswer, Error> {
        self.client.ask(request, &self.metrics, Instant::now() + self.timeout.0)
    }

    /// Sends a request such as `GET /api/v1/shards`, and returns the text of the answer.
    ///
    /// # Errors
    /// Nobody answers, or the broker does not do it: with its words.
    pub(super) fn ask(&self, request: &str) -> Result<String, Failure> {
        let answer = self.answer(request)?;
        match answer.status {
            200..=299 => Ok(answer.text),
            status => Err(Failure::new(Exit::Failed, refusal(status, &answer.text))),
        }
    }

    /// The same, for an answer that is an object.
    ///
    /// # Errors
    /// As for [`OperatorArgs::ask`], and if it is none.
    pub(super) fn ask_for_object(&self, request: &str) -> Result<Value, Failure> {
        let text = self.ask(request)?;
        let no_object = || {
            let text = format!("what answers at {} has no API of this version", self.metrics);
            Failure::new(Exit::Failed, text)
        };
        serde_json::from_str(&text).ok().filter(Value::is_object).ok_or_else(no_object)
    }
}

/// The words of a broker that refuses: those of its object, or all that it says.
fn refusal(status: u16, text: &str) -> String {
    let object: Option<Value> = serde_json::from_str(text).ok();
    match object.as_ref().and_then(|object| object["error"].as_str()) {
        Some(error) => error.to_owned(),
        None if text.trim().is_empty() => format!("the broker answers with status {status}"),
        None => text.trim_end().to_owned(),
    }
}

/// Text as a value in the query of a request.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_does_not_end_the_query_or_the_line() {
        assert_eq!(encoded("desk-1.a_b~"), "desk-1.a_b~");
        assert_eq!(encoded("a&b=c d\r\n\u{e9}%"), "a%26b%3Dc%20d%0D%0A%C3%A9%25");
    }

    #[test]
    fn a_refusal_has_the_words_of_the_broker() {
        assert_eq!(refusal(400, "{\"error\":\"no such parameter\"}\n"), "no such parameter");
        assert_eq!(refusal(403, "this is for operators\n"), "this is for operators");
        assert_eq!(refusal(502, "\n"), "the broker answers with status 502");
    }
}
