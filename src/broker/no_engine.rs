//! In place of an engine, in programs that are built without the feature `nats`: there is none, as the configuration has been told.

use std::convert::Infallible;
use std::time::Duration;

use corecast_executors::Link;

use super::CarrierEnd;
use super::config::BrokerConfig;
use crate::control::ControlThread;
use crate::error::Result;

/// There is none.
pub(super) struct NoComingEngine(Infallible);

/// There is none.
pub(super) struct NoJoinedEngine(Infallible);

impl NoComingEngine {
    #[expect(clippy::unnecessary_wraps, reason = "where there may be one, it may fail")]
    pub(super) fn of(_: &BrokerConfig, _: usize) -> Result<Option<NoComingEngine>> {
        Ok(None)
    }

    pub(super) fn start(&self) -> u64 {
        match self.0 {}
    }

    pub(super) fn ends(&self) -> Link<CarrierEnd> {
        match self.0 {}
    }

    pub(super) fn begin(self, _: &ControlThread) -> Result<NoJoinedEngine> {
        match self.0 {}
    }
}

impl NoJoinedEngine {
    pub(super) fn wait_until_connected(&mut self, _: Duration) -> bool {
        match self.0 {}
    }

    pub(super) fn wait_until_ended(&mut self) {
        match self.0 {}
    }
}
