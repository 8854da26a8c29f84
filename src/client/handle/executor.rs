//! The executor that serves the publishers and subscribers of other threads: one for each process and reactor, started
//! with the first of them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use corecast_executors::{
    CoreSet, Either, Inbox, Link, PoolConfig, Reactor, ShardContext, ShardId, Ticks, first, spawn_local,
    start,
};
use once_cell::sync::OnceCell;

use super::asks::{Command, PublisherEnds, PublisherTaskEnds, RegistryEnds, SubscriberEnds, publisher_ends};
use super::question::question;
use super::served::serve;
use crate::broker::{Begin, Item, chain};
use crate::client::config::ClientConfig;
use crate::client::direct::{cores_of, executor_gone, start_executors};
use crate::client::local::LocalClient;
use crate::client::session::ClientRuntime;
use crate::client::waiters::Waiters;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::PublisherId;
use crate::limits::COMMANDS_MAX;
use crate::topic::Filter;

/// The way to the executor of this process with that reactor, which is started when nobody has asked before. It lives as
/// long as the process: nobody who asks it outlives it.
fn commands(reactor: Reactor) -> Result<Link<Command>> {
    static AUTO: OnceCell<Link<Command>> = OnceCell::new();
    static IO_URING: OnceCell<Link<Command>> = OnceCell::new();
    static EPOLL: OnceCell<Link<Command>> = OnceCell::new();
    let commands = match reactor {
        Reactor::Auto => &AUTO,
        Reactor::IoUring => &IO_URING,
        Reactor::Epoll => &EPOLL,
    };
    // A start that fails, such as for want of descriptors, is tried again by whoever asks next.
    commands.get_or_try_init(|| start_executor(reactor)).cloned()
}

/// The executor of a publisher and its clones: the one that all share, or, for those with cores of their own, one on the
/// first of these.
#[derive(Clone, Debug)]
pub(super) struct PublisherExecutor {
    config: ClientConfig,
    commands: Link<Command>,
}

impl PublisherExecutor {
    /// The executor for a publisher with this configuration.
    ///
    /// # Errors
    /// `Invalid` for cores that are none of this process; `Executor`.
    pub(super) async fn find(config: ClientConfig) -> Result<Self> {
        let commands = commands_for(&config).await?;
        Ok(Self::reached_by(commands, config))
    }

    pub(super) fn reached_by(commands: Link<Command>, config: ClientConfig) -> Self {
        PublisherExecutor { config, commands }
    }

    /// Both ends of a publisher with this number.
    pub(super) fn ends(&self, id: PublisherId) -> (PublisherEnds, PublisherTaskEnds) {
        publisher_ends(id, &self.commands)
    }

    /// Opens a publisher. Gives the longest frame body that is taken, in bytes, when its session is open.
    pub(super) async fn open(&self, ends: PublisherTaskEnds) -> Result<usize> {
        let (question, mut answer) = question();
        let command = Command::Publisher { config: self.config.clone(), ends, question: Some(question) };
        self.commands.send(command).await.map_err(|_| executor_gone())?;
        answer.recv().await.unwrap_or_else(|| Err(executor_gone()))
    }

    /// Begins to open a publisher, whose handle is told if that fails. Another executor takes the place of one that has
    /// ended, as one of a publisher's own does with its last publisher.
    pub(super) async fn begin_to_open(&mut self, ends: PublisherTaskEnds) -> Result<()> {
        let command = Command::Publisher { config: self.config.clone(), ends, question: None };
        let Err(command) = self.commands.send(command).await else { return Ok(()) };
        self.commands = commands_for(&self.config).await?;
        self.commands.send(command).await.map_err(|_| executor_gone())
    }
}

/// The way to the executor for publishers with this configuration: one of its own is started.
async fn commands_for(config: &ClientConfig) -> Result<Link<Command>> {
    match &config.direct.cores {
        None => commands(config.reactor),
        Some(cores) => start_own_executor(cores, config.clone()).await,
    }
}

/// Asks for a subscriber of the executor that all share.
pub(super) async fn ask_for_subscriber(config: ClientConfig, filters: Vec<Filter>) -> Result<SubscriberEnds> {
    let (question, mut answer) = question();
    send(config.reactor, Command::Subscriber { config, filters, question }).await?;
    answer.recv().await.unwrap_or_else(|| Err(executor_gone()))
}

/// Asks for a view of the registry of the executor that all share.
pub(super) async fn ask_for_registry(config: ClientConfig) -> Result<RegistryEnds> {
    let (question, mut answer) = question();
    send(config.reactor, Command::Registry { config, question }).await?;
    answer.recv().await.unwrap_or_else(|| Err(executor_gone()))
}

async fn send(reactor: Reactor, command: Command) -> Result<()> {
    commands(reactor)?.send(command).await.map_err(|_| executor_gone())
}

/// An executor for a direct publisher and its clones on the first of its cores. Those on the others are started when one
/// of them has a topic that goes direct.
async fn start_own_executor(cores: &CoreSet, config: ClientConfig) -> Result<Link<Command>> {
    let cores = cores_of(cores)?;
    let first = *cores.first().expect("a set of cores has one");
    let executors = start_executors(vec![first], (config.direct.idle, config.reactor))?;
    let (commands, inbox) = executors[0].beside(COMMANDS_MAX);
    let begin: Begin = Box::new(move |context| Box::pin(run_own(context.ticks, config, inbox)));
    executors[0].send(Item::Begin(begin)).await.map_err(|_| executor_gone())?;
    Ok(commands)
}

/// Serves a publisher and its clones, and ends with the last of them.
async fn run_own(ticks: Ticks, config: ClientConfig, mut commands: Inbox<Command>) {
    let client = LocalClient::start(config, ticks);
    let served = Rc::new(Served::default());
    let mut next = commands.recv().await;
    while let Some(command) = next {
        served.begin(serve(client.clone(), command));
        next = match first(commands.recv(), served.until_none()).await {
            Either::Left(Some(command)) => Some(command),
            Either::Left(None) => None,
            // The last one may have been cloned just before.
            Either::Right(()) => commands.try_recv(),
        };
    }
    drop(commands);
    served.until_none().await;
    client.close().await;
}

/// The number of tasks of an executor that serve handles.
#[derive(Default)]
struct Served {
    tasks: Cell<usize>,
    changed: Waiters,
}

impl Served {
    /// Begins one more.
    fn begin(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        let served = Rc::clone(self);
        served.tasks.update(|tasks| tasks + 1);
        spawn_local(async move {
            task.await;
            served.tasks.update(|tasks| tasks - 1);
            served.changed.wake_all();
        })
        .detach();
    }

    async fn until_none(&self) {
        self.changed.until(|| (self.tasks.get() == 0).then_some(())).await;
    }
}

fn start_executor(reactor: Reactor) -> Result<Link<Command>> {
    // Not pinned: an application's other threads, and other clients, have their cores too.
    let config = PoolConfig { link_capacity: COMMANDS_MAX, reactor, ..PoolConfig::single("corecast-client") };
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
        let (clients, client) = (Rc::clone(&clients), clients.of(config));
        let served = serve(client.clone(), command);
        spawn_local(async move {
            served.await;
            clients.leave(&client.inner.config);
        })
        .detach();
    }
}

/// The clients of this executor. Those with the same configuration share one, and so, per executor, a session.
struct Clients {
    runtime: Rc<ClientRuntime>,
    of_configs: RefCell<HashMap<ClientConfig, UsedClient>>,
}

/// A client, and the number of its users.
struct UsedClient {
    client: LocalClient,
    users: usize,
}

impl Clients {
    /// The client for one more user with this configuration, which leaves it at its end.
    fn of(&self, config: &ClientConfig) -> LocalClient {
        let mut clients = self.of_configs.borrow_mut();
        let make = || {
            let client = LocalClient::with_runtime(config.clone(), Rc::clone(&self.runtime));
            UsedClient { client, users: 0 }
        };
        let used = clients.entry(config.clone()).or_insert_with(make);
        used.users += 1;
        used.client.clone()
    }

    /// A user has left: with the last one of a configuration its client goes.
    fn leave(&self, config: &ClientConfig) {
        let mut clients = self.of_configs.borrow_mut();
        let used = clients.get_mut(config).expect("its user has left just now");
        used.users -= 1;
        if used.users == 0 {
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
                    clients.leave(&config);
                    assert_eq!(clients.of_configs.borrow().len(), 1, "somebody uses it");
                    clients.leave(&config);
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
