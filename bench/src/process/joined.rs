//! Owns brokers of ours that an engine joins: two on this host, which are one server, or one of several hosts.

use super::broker::{self, BrokerOptions};
use super::engine::Engine;
use super::error::StartError;
use super::server::Server;
use super::transport::Transport;
use corecast::{Endpoint, Mode};
use std::path::Path;

/// Starts the broker of a run, as [`broker::start`] does. If it has an engine, that is started too, unless it runs already, and a
/// second broker on it, unless other hosts have theirs (`listen` is where they reach this one).
pub fn start(
    options: &BrokerOptions,
    mode: Mode,
    listen: Option<&Endpoint>,
    guard: Option<&Path>,
) -> Result<Server, StartError> {
    let started = match &options.engine {
        None => return broker::start(options, mode, listen, guard),
        Some(Engine::Started(product)) => Some(product.start(Transport::Tcp, "", guard)?),
        Some(Engine::Running(_)) => None,
    };
    let mut options = options.clone();
    if let Some(engine) = &started {
        let url = engine.subscribe_at.to_string().replace("tcp://", "nats://");
        options.engine = Some(Engine::Running(url));
    }
    let mut near = broker::start(&options, mode, listen, guard)?;
    if listen.is_none() {
        let far = broker::start(&options, mode, None, guard)?;
        near.far_at = Some(far.subscribe_at.clone());
        near.joined.push(far);
    }
    if let Some(engine) = started {
        let versions = near.version.as_ref().zip(engine.version.as_ref());
        near.version = versions.map(|(own, of_engine)| format!("{own} over nats-server {of_engine}"));
        near.joined.push(engine);
    }
    Ok(near)
}
