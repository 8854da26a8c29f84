//! The end of a broker that nobody notices: its clients are told, some of them at a time, to go on at another broker, and it
//! serves until they have gone. A task of the control thread.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_executors::MonotonicNs;
use tokio::time::sleep;

use super::census::Operations;
use super::look::{Look, SendOffShare};
use super::query::{Query, QueryFault};
use crate::config::TimeSpan;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{BROKERS_MAX, SEND_OFF_PATIENCE, SEND_OFF_PERIOD};
use crate::registry::endpoints_to_lines;
use crate::transport::Endpoint;
use crate::wire::{Frame, encode_to_vec};

/// An order of an operator to drain the broker and end it.
#[derive(PartialEq, Eq, Default, Debug)]
pub struct DrainRequest {
    /// The brokers at which clients are to go on: none, if it names none.
    pub to: Vec<Endpoint>,
    /// The time over which they are sent there, if it says one.
    pub spread: Option<Duration>,
}

impl DrainRequest {
    pub(super) fn read(query: Option<&str>) -> Result<Self, QueryFault> {
        let query = Query::parse(query, &["to", "spread"])?;
        let fault = |name: &str, why: String| QueryFault(format!("`{name}`: {why}"));
        let to = query.get("to").unwrap_or_default().split(',').filter(|endpoint| !endpoint.is_empty());
        let to = to.map(str::parse).collect::<crate::Result<Vec<Endpoint>>>();
        let to = to.map_err(|why| fault("to", why.to_string()))?;
        let spread = query.get("spread").map(str::parse::<TimeSpan>).transpose();
        let spread = spread.map_err(|why| fault("spread", why.to_string()))?.map(|TimeSpan(spread)| spread);
        SendOff::new(&to, spread.unwrap_or_default()).map_err(|why| fault("to", why.to_string()))?;
        Ok(DrainRequest { to, spread })
    }
}

/// The order to send all clients to other brokers, before this one ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SendOff {
    to: Arc<[Endpoint]>,
    spread: Duration,
}

impl SendOff {
    /// Clients go to these, or where each has another broker of its own if there are none; some at a time, over so long.
    ///
    /// # Errors
    /// `Invalid` for an endpoint that nobody could connect to, and for too many.
    pub fn new(to: &[Endpoint], spread: Duration) -> Result<Self> {
        let invalid = |text: String| Err(Error::new(ErrorKind::Invalid, text));
        if to.len() > BROKERS_MAX {
            return invalid(format!("{} brokers are named; at most {BROKERS_MAX} are", to.len()));
        }
        if let Some(nowhere) = to.iter().find(|endpoint| !endpoint.can_be_reached()) {
            return invalid(format!(
                "clients could not connect to {nowhere}; write the address and the port at which they reach that broker"
            ));
        }
        Ok(SendOff { to: to.into(), spread })
    }

    /// The order that follows where an operator says something else than this standing one. `None`: no clients are to be sent
    /// anywhere.
    pub(crate) fn with(&self, request: &DrainRequest) -> Option<SendOff> {
        let to: Arc<[Endpoint]> =
            if request.to.is_empty() { Arc::clone(&self.to) } else { request.to.as_slice().into() };
        let is_meant = !to.is_empty() || request.spread.is_some();
        is_meant.then(|| SendOff { to, spread: request.spread.unwrap_or(self.spread) })
    }

    /// The frame that tells a client, with the epochs of brokers that have all that this one has.
    fn frame(&self, joined: &[u64]) -> Bytes {
        let joined: Vec<u8> = joined.iter().flat_map(|epoch| epoch.to_le_bytes()).collect();
        encode_to_vec(&Frame::Drain { endpoints: &endpoints_to_lines(&self.to), joined: &joined, ends: 0 })
            .into()
    }

    /// Tells the clients, and waits until those have gone that can, or have had the time to. Returns how many have not.
    pub(crate) async fn carry_out(&self, operations: &Operations, joined: &[u64]) -> usize {
        let frame = self.frame(joined);
        let began = MonotonicNs::now();
        loop {
            let passed = MonotonicNs::now().saturating_since(began);
            let share = share_after(passed, self.spread);
            let told = SendOffShare { frame: frame.clone(), share };
            let answers = operations.look(|answer| Look::SendOff(told, answer)).await;
            let left: usize = answers.iter().sum();
            // A shard that is held up is asked again.
            let is_empty = left == 0 && answers.len() == operations.cores().len();
            if is_empty || passed >= self.spread + SEND_OFF_PATIENCE {
                return left;
            }
            sleep(SEND_OFF_PERIOD).await;
        }
    }
}

/// The share of clients that are told after this time.
fn share_after(passed: Duration, spread: Duration) -> f64 {
    if passed >= spread { 1.0 } else { (passed + SEND_OFF_PERIOD).as_secs_f64() / spread.as_secs_f64() }
        .min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_evenly_over_the_time() {
        let second = Duration::from_secs(1);
        assert_eq!(share_after(Duration::ZERO, Duration::ZERO), 1.0);
        assert!((share_after(Duration::ZERO, 10 * second) - 0.01).abs() < 1e-9, "some go at once");
        assert!((share_after(5 * second, 10 * second) - 0.51).abs() < 1e-9);
        for (passed, spread) in [(10 * second, 10 * second), (11 * second, 10 * second), (second, second / 2)]
        {
            assert_eq!(share_after(passed, spread), 1.0);
        }
    }

    #[test]
    fn brokers_that_nobody_can_reach_are_not_named() {
        let order = |endpoints: &[&str]| {
            let endpoints: Vec<Endpoint> = endpoints.iter().map(|text| text.parse().expect(text)).collect();
            SendOff::new(&endpoints, Duration::ZERO).map_err(|error| error.to_string())
        };
        let fine = order(&["tcp://10.0.0.7:6680", "uds:///run/x"]).expect("both can be reached");
        let frame = fine.frame(&[1, 2]);
        let (_, frame) = crate::wire::splitter::frames(&frame).next().expect("a frame");
        let joined: Vec<u8> = [1_u64.to_le_bytes(), 2_u64.to_le_bytes()].concat();
        let endpoints = "tcp://10.0.0.7:6680\nuds:///run/x";
        assert_eq!(frame, Frame::Drain { endpoints, joined: &joined, ends: 0 });
        for nowhere in ["tcp://*:6680", "tcp://10.0.0.7:0", "tcp://0.0.0.0:1"] {
            assert!(order(&[nowhere]).unwrap_err().contains("could not connect"), "{nowhere}");
        }
        let many = vec!["tcp://10.0.0.7:1"; BROKERS_MAX + 1];
        assert!(order(&many).unwrap_err().contains("17 brokers"));
    }

    #[test]
    fn an_order_to_drain_names_brokers_and_a_time() {
        let read = |query: &str| DrainRequest::read(Some(query)).map_err(|fault| fault.to_string());
        assert_eq!(read(""), Ok(DrainRequest::default()));
        let both = read("to=tcp%3A%2F%2Fb%3A1,c:2&spread=250ms").expect("both are there");
        let endpoints: Vec<String> = both.to.iter().map(Endpoint::to_string).collect();
        assert_eq!(endpoints, ["tcp://b:1", "tcp://c:2"]);
        assert_eq!(both.spread, Some(Duration::from_millis(250)));
        for (query, why) in [
            ("to=nowhere%3A%3A1", "`to`"),
            ("to=tcp://b:0", "could not connect"),
            ("spread=soon", "`spread`"),
            ("when=now", "no such parameter"),
        ] {
            let fault = read(query).unwrap_err();
            assert!(fault.contains(why), "{query}: {fault}");
        }
    }
}
