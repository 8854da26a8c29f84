//! Owns the option that names the broker, for every command that connects to one.

use clap::Args;

use crate::{ClientConfig, Endpoint};

/// The broker to connect to.
#[derive(Args, Clone, Debug)]
pub(super) struct BrokerArg {
    /// Address of the broker.
    #[arg(long, value_name = "URL", default_value_t = Endpoint::default())]
    broker: Endpoint,
}

impl BrokerArg {
    /// A client of that broker, known to it by the name of the command.
    pub(super) fn client(&self, command: &str) -> ClientConfig {
        let mut config = ClientConfig::new(self.broker.clone());
        config.name = format!("corecast-{command}");
        config
    }
}
