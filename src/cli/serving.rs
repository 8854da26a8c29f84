//! The options of `corecast broker` that are no matter of a broker inside a program.

use std::path::PathBuf;
use std::time::Duration;

use super::http_address::HttpAddress;
use crate::config::{FilePath, List, One, Optional, Plain, Switch, TimeSpan};
use crate::limits::{DRAIN_DEFAULT, DRAIN_SPREAD_DEFAULT};
use crate::transport::Endpoint;

configuration! {
    /// The options of the command for a broker that serves and ends.
    #[derive(Clone, Debug)]
    pub(super) struct Serving {
        /// Drain timeout on shutdown.
        drain_timeout: Duration = DRAIN_DEFAULT, option("drain-timeout", "SECS", One<TimeSpan>);

        /// Brokers at which clients are to go on when `corecast drain` or SIGUSR2 ends this one, as they reach them; repeatable or
        /// comma-separated [default: each client's own next address].
        drain_to: Vec<Endpoint> = Vec::new(), option("drain-to", "URL", List<Plain>);

        /// Time over which clients are sent there, some at a time.
        drain_spread: Duration = DRAIN_SPREAD_DEFAULT, option("drain-spread", "SECS", One<TimeSpan>);

        /// Address of an HTTP server, HOST:PORT, https://HOST:PORT or uds://PATH: metrics for Prometheus at /metrics, health
        /// at /healthz and /readyz, /reload, and the API under /api/v1; repeatable or comma-separated.
        metrics: Vec<HttpAddress> = Vec::new(), option("metrics", "ADDRESS", List<Plain>);

        /// File of the token that readers of the HTTP server have to show, as `Authorization: Bearer TOKEN`; needed where
        /// other hosts reach it.
        http_token_file: Option<PathBuf> = None, option("http-token-file", "FILE", Optional<FilePath>);

        /// Say that it is ready only once the engine has answered. Without this a broker whose engine is away serves its own host,
        /// and its log and metrics say so.
        engine_wait: bool = false, option("engine-wait", "", Switch);

        /// Allow core dumps, and debuggers of this user, though the memory of a broker with users or TLS holds secrets.
        core_dumps: bool = false, option("core-dumps", "", Switch);
    }
}
