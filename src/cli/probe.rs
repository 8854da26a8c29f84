//! Owns the arguments that `ping` and `latency` share: how they reach a broker, and for how long they wait.

use std::time::Duration;

use clap::Args;

use super::Failure;
use super::client_args::ClientArgs;
use super::output::{Format, print};
use super::round_trips::RoundTrips;
use crate::config::{TimeSpan, parse_timeout};
use crate::{ClientConfig, Error};

#[derive(Args, Clone, Debug)]
pub(super) struct ProbeArgs {
    /// Timeout for a connection, and for each answer or message to come back.
    #[arg(short = 't', long, value_name = "SECS", value_parser = parse_timeout, default_value_t = TimeSpan(Duration::from_secs(5)))]
    timeout: TimeSpan,

    /// Output format: text, or json with an object on each line.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(super) output: Format,

    #[command(flatten)]
    pub(super) client: ClientArgs,
}

impl ProbeArgs {
    /// The time for one thing.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout.0
    }

    /// The configuration of a client with this name, which gives up after that time.
    ///
    /// # Errors
    /// As for [`ClientArgs::config`].
    pub(super) fn config(&self, name: &str) -> Result<ClientConfig, Failure> {
        let timeout = self.timeout();
        Ok(self.client.clone().config()?.name(name).connect_timeout(timeout).publish_timeout(timeout))
    }

    /// The failure of a connection within that time.
    pub(super) fn not_connected(&self, error: Error) -> Failure {
        Failure::not_connected(error, Some(self.timeout()), self.timeout())
    }

    /// Prints the sums over all that was measured.
    pub(super) fn print_sums(&self, trips: &RoundTrips) -> Result<(), Failure> {
        print(if self.output == Format::Json { trips.object() } else { trips.lines() })
    }
}
