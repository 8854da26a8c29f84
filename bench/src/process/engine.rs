//! Owns the choice of the engine between brokers of ours.

use super::product::{NATS, NATS_PINNED, Product};
use std::str::FromStr;

/// An engine.
#[derive(Clone, Debug)]
pub enum Engine {
    /// A server that is started for the run.
    Started(&'static Product),
    /// One that runs already, at this URL.
    Running(String),
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "nats" => Ok(Engine::Started(&NATS)),
            "nats-2.15" => Ok(Engine::Started(&NATS_PINNED)),
            url if url.starts_with("nats://") || url.starts_with("tls://") => Ok(Engine::Running(url.into())),
            _ => Err(format!(
                "`{text}` is no engine: there are `nats` and `nats-2.15` (scripts/peers.sh install), which are started for \
                 each run, and the URL of one that runs already, such as nats://10.0.0.5:4222"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_a_server_of_ours_to_start_or_one_that_runs() {
        let engine = |text: &str| text.parse::<Engine>();
        let program = |text: &str| match engine(text).unwrap() {
            Engine::Started(product) => product.program.to_owned(),
            Engine::Running(url) => url,
        };
        assert_eq!(["nats", "nats-2.15"].map(program), ["nats-server", "nats-server-2.15"]);
        assert_eq!(program("nats://h:4222,nats://i:4222"), "nats://h:4222,nats://i:4222");
        for wrong in ["", "redis", "nats-2.9", "tcp://h:4222"] {
            assert!(engine(wrong).unwrap_err().contains("such as nats://10.0.0.5:4222"), "{wrong}");
        }
    }
}
