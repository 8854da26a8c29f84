//! The executor that serves the publishers and subscribers of other threads: one for each process, started with
//! the first of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use corecast_executors::{CoreSet, Link, PoolConfig, ShardContext, ShardId, Ticks, spawn_local, start};
use once_cell::sync::OnceCell;

use super::asks::{Command, PublisherEnds, RegistryEnds, SubscriberEnds};
use super::question::question;
use super::served::serve;
use crate::broker::{Begin, Item, chain};
use crate::client::config::ClientConfig;
use crate::client::direct::{cores_of, executor_gone, start_executors};
use crate::client::local::LocalClient;
use crate::client::session::ClientRuntime;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::COMMANDS_MAX;
use crate::topic::Filter;

/// The way to the executor of this process, which is started when nobody has asked before. It lives as long as the
/// process: nobody who asks it outlives it.
fn commands() -> Result<Link<Command>> {
    static COMMANDS: OnceCell<Link<Command>> = OnceCell::new();
    // A start that fails, such as for want of descriptors, is tried again by whoever asks next.
    COMMANDS.get_or_try_init(start_executor).cloned()
}

/// Asks for a publisher: of the executor that all share, or of one of its own if it is to have some.
pub(super) async fn ask_for_publisher(config: ClientConfig) -> Result<PublisherEnds> {
    let (question, mut answer) = question();
    let cores = config.direct.cores.clone();
    match cores {
        None => send(Command::Publisher { config, question }).await?,
        Some(cores) => {
            start_own_executor(&cores, config.clone(), Command::Publisher { config, question })?;
        }
    }
    answer.recv().await.unwrap_or_else(|| Err(executor_gone()))
}

/// Asks for a subscriber of the executor that all share.
pub(super) async fn ask_for_subscriber(config: ClientConfig, filters: Vec<Filter>) -> Result<SubscriberEnds> {
    let (question, mut answer) = question();
    send(Command::Subscriber { config, filters, question }).await?;
    answer.recv().await.unwrap_or_else(|| Err(executor_gone()))
}

/// Asks for a view of the registry of the executor that all share.
pub(super) async fn ask_for_registry(config: ClientConfig) -> Result<RegistryEnds> {
    let (question, mut answer) = question();
    send(Command::Registry { config, question }).await?;
    answer.recv().await.unwrap_or_else(|| Err(executor_gone()))
}

async fn send(command: Command) -> Result<()> {
    commands()?.send(command).await.map_err(|_| executor_gone())
}

/// An executor for one direct publisher on the first of its cores. Those on the others are started when it has a
/// topic that goes direct.
fn start_own_executor(cores: &CoreSet, config: ClientConfig, command: Command) -> Result<()> {
    let cores = cores_of(cores)?;
    let first = *cores.first().expect("a set of cores has one");
    let commands = start_executors(vec![first], &config.direct)?;
    let begin: Begin = Box::new(move |context| Box::pin(run_own(context.ticks, config, command)));
    commands[0].send_blocking(Item::Begin(begin)).map_err(|_| executor_gone())
}

async fn run_own(ticks: Ticks, config: ClientConfig, command: Command) {
    let client = LocalClient::start(config, ticks);
    serve(client.clone(), command).await;
    client.close().await;
}

fn start_executor() -> Result<Link<Command>> {
    // Not pinned: an application's other threads, and other clients, have their cores too.
    let config = PoolConfig { link_capacity: COMMANDS_MAX, ..PoolConfig::single("corecast-client") };
    let pool = start(&config, run).map_err(|e| Error::new(ErrorKind::Executor, chain(&e)))?;
    // It lives as long as the process: the link that is given out keeps it from stopping.
    Ok(pool.commands(ShardId(0)))
}

async fn run(context: ShardContext<Command>) {
    let ShardContext { mut commands, ticks, .. } = context;
    let runtime = ClientRuntime::start(ticks);
    let clients = Rc::new(Clients { runtime, of_configs: RefCell::default() });
    while let Some(command) = commands.recv().await {
        let (Command::Publisher { config, .. }
        | Command::Subscriber { config, .. }
        | Command::Registry { config, .. }) = &command;
        let (clients, config) = (Rc::clone(&clients), config.clone());
        let client = clients.of(&config);
        spawn_local(async move {
            serve(client, command).await;
            clients.forget_unused(&config);
        })
        .detach();
    }
}

/// The clients of this executor. Those with the same configuration share one, and so, per executor, a session.
struct Clients {
    runtime: Rc<ClientRuntime>,
    of_configs: RefCell<HashMap<ClientConfig, LocalClient>>,
}

impl Clients {
    fn of(&self, config: &ClientConfig) -> LocalClient {
        let mut clients = self.of_configs.borrow_mut();
        let make = || LocalClient::with_runtime(config.clone(), Rc::clone(&self.runtime));
        clients.entry(config.clone()).or_insert_with(make).clone()
    }

    /// Somebody has left: if nobody is left with this configuration, so does its client.
    fn forget_unused(&self, config: &ClientConfig) {
        let mut clients = self.of_configs.borrow_mut();
        if clients.get(config).is_some_and(|client| Rc::strong_count(&client.inner) == 1) {
            clients.remove(config);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Endpoint;

    #[test]
    fn a_client_is_forgotten_with_its_last_user() {
        let (done, mut result) = corecast_executors::link(1);
        let config = PoolConfig::single("test");
        let body = move |context: ShardContext<()>| {
            let done = done.clone();
            async move {
                let runtime = ClientRuntime::start(context.ticks);
                let clients = Clients { runtime, of_configs: RefCell::default() };
                for n in 0..100 {
                    let name = format!("user {n}");
                    let config = ClientConfig { name, ..ClientConfig::new(Endpoint::default()) };
                    let [one, other] = [clients.of(&config), clients.of(&config)];
                    assert!(Rc::ptr_eq(&one.inner, &other.inner));
                    drop(one);
                    clients.forget_unused(&config);
                    assert_eq!(clients.of_configs.borrow().len(), 1, "somebody uses it");
                    drop(other);
                    clients.forget_unused(&config);
                    assert_eq!(clients.of_configs.borrow().len(), 0);
                }
                done.try_send(()).expect("there is room");
            }
        };
        let pool = start(&config, body).expect("an executor");
        assert_eq!(result.recv_blocking(), Some(()));
        pool.stop().expect("it ends in order");
    }
}
