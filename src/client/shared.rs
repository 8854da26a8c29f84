//! The executor that serves the publishers and subscribers of other threads: one for each process, started with
//! the first of them. Everything that crosses from a thread to it is in this file's two enums.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use corecast_executors::{
    Idle, Inbox, Link, PoolConfig, ShardContext, ShardId, Ticks, end_turn, first, link, spawn_local, start,
};

use super::config::ClientConfig;
use super::direct_shards::{cores_of, start_executors};
use super::local::LocalClient;
use super::local_publisher::LocalPublisher;
use super::local_registry::LocalRegistryView;
use super::local_subscriber::LocalSubscriber;
use super::message::Event;
use super::publisher::executor_gone;
use super::registry_view::{Listed, PublisherChange};
use super::runtime::ClientRuntime;
use crate::broker::{Begin, Item, chain};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::PublisherId;
use crate::limits::{
    COMMANDS_MAX, EVENT_BYTES_PER_HANDOVER, EVENTS_PER_HANDOVER, HANDOVERS_MAX, PUBLISH_ITEMS_MAX,
    PUBLISHES_PER_TURN,
};
use crate::topic::{Filter, Topic};

/// What a thread asks of the executor.
pub(super) enum Command {
    Publisher { config: ClientConfig, reply: Link<Result<PublisherEnds>> },
    Subscriber { config: ClientConfig, filters: Vec<Filter>, reply: Link<Result<SubscriberEnds>> },
    Registry { config: ClientConfig, reply: Link<Result<RegistryEnds>> },
}

/// A thread asks for a list.
pub(super) struct ListAsk {
    pub(super) timeout: Duration,
    /// With how many lists were given.
    pub(super) reply: Link<Result<(u64, Vec<Listed>)>>,
}

/// The thread's ends of a view of the registry.
pub(super) struct RegistryEnds {
    pub(super) asks: Link<ListAsk>,
    /// With how many lists were given before.
    pub(super) changes: Inbox<(u64, Vec<PublisherChange>)>,
    /// Why the view has ended, when no more changes come.
    pub(super) failure: Inbox<Error>,
}

/// What a thread asks of its publisher, in order.
pub(super) enum PublishItem {
    Publish {
        topic: Topic,
        payload: Bytes,
    },
    /// All that was published before this has been taken over: it waits here no more.
    Taken {
        reply: Link<()>,
    },
    Wait {
        topic: Topic,
        n: usize,
        timeout: Duration,
        reply: Link<Result<usize>>,
    },
    Flush {
        timeout: Duration,
        reply: Link<Result<()>>,
    },
    Close {
        timeout: Duration,
        reply: Link<Result<()>>,
    },
}

/// The thread's ends of a publisher.
pub(super) struct PublisherEnds {
    pub(super) id: PublisherId,
    pub(super) frame_bytes_max: usize,
    pub(super) items: Link<PublishItem>,
    /// Why the publisher has ended, when its items are taken no more.
    pub(super) failure: Inbox<Error>,
}

/// The thread's ends of a subscriber.
pub(super) struct SubscriberEnds {
    pub(super) events: Inbox<Vec<Event>>,
    /// Why the subscriber has ended, when no more events come.
    pub(super) failure: Inbox<Error>,
    /// Nothing is sent on it: that it is gone tells the executor that the thread's end is, while no event comes.
    pub(super) alive: Link<()>,
}

/// The way to the executor of this process, which is started when nobody has asked before.
pub(super) fn commands() -> Result<Link<Command>> {
    static COMMANDS: OnceLock<std::result::Result<Link<Command>, String>> = OnceLock::new();
    let started = COMMANDS.get_or_init(|| start_executor().map_err(|e| e.to_string()));
    started.clone().map_err(|text| Error::new(ErrorKind::Executor, text))
}

/// Asks for a publisher: of the executor that all share, or of one of its own if it is to have some.
pub(super) fn publisher_command(config: ClientConfig, reply: Link<Result<PublisherEnds>>) -> Result<Asked> {
    let command = Command::Publisher { config: config.clone(), reply };
    match &config.direct.cores {
        None => Ok(Asked { commands: Some(commands()?), command: Some(command) }),
        Some(cores) => {
            start_own_executor(cores, config.clone(), command)?;
            Ok(Asked { commands: None, command: None })
        }
    }
}

/// A command and whom to send it to, if it is not under way already.
pub(super) struct Asked {
    commands: Option<Link<Command>>,
    command: Option<Command>,
}

impl Asked {
    pub(super) fn send_blocking(self) -> Result<()> {
        let (Some(commands), Some(command)) = (self.commands, self.command) else { return Ok(()) };
        commands.send_blocking(command).map_err(|_| executor_gone())
    }

    pub(super) async fn send(self) -> Result<()> {
        let (Some(commands), Some(command)) = (self.commands, self.command) else { return Ok(()) };
        commands.send(command).await.map_err(|_| executor_gone())
    }
}

/// An executor for one direct publisher on the first of its cores. Those on the others are started when it has a
/// topic that goes direct.
fn start_own_executor(cores: &str, config: ClientConfig, command: Command) -> Result<()> {
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
    let config = PoolConfig {
        name: "corecast-client".to_owned(),
        // Not pinned: an application's other threads, and other clients, have their cores too.
        cores: Vec::new(),
        shards: 1,
        idle: Idle::default(),
        link_capacity: COMMANDS_MAX,
    };
    let pool = start(&config, run).map_err(|e| Error::new(ErrorKind::Executor, chain(&e)))?;
    // It lives as long as the process: the link that is given out keeps it from stopping.
    Ok(pool.commands(ShardId(0)))
}

async fn run(context: ShardContext<Command>) {
    let ShardContext { mut commands, ticks, .. } = context;
    let runtime = ClientRuntime::start(ticks);
    // Those with the same configuration share a client, and so, per executor, a session.
    let clients: Rc<RefCell<HashMap<ClientConfig, LocalClient>>> = Rc::default();
    while let Some(command) = commands.recv().await {
        let (Command::Publisher { config, .. }
        | Command::Subscriber { config, .. }
        | Command::Registry { config, .. }) = &command;
        let client = clients
            .borrow_mut()
            .entry(config.clone())
            .or_insert_with(|| LocalClient::with_runtime(config.clone(), Rc::clone(&runtime)))
            .clone();
        spawn_local(serve(client, command)).detach();
    }
}

async fn serve(client: LocalClient, command: Command) {
    match command {
        Command::Publisher { reply, .. } => match client.publisher().await {
            Ok(publisher) => {
                let (items_link, items) = link(PUBLISH_ITEMS_MAX);
                let (failed, failure) = link(1);
                let (id, frame_bytes_max) = (publisher.id(), publisher.frame_bytes_max());
                let ends = PublisherEnds { id, frame_bytes_max, items: items_link, failure };
                if reply.try_send(Ok(ends)).is_ok() {
                    publish(publisher, items, failed).await;
                }
            }
            // Nobody waits for the answer any more: nothing to do.
            Err(error) => drop(reply.try_send(Err(error))),
        },
        Command::Subscriber { filters, reply, .. } => match client.subscriber(&filters).await {
            Ok(subscriber) => {
                let (events_link, events) = link(HANDOVERS_MAX);
                let (failed, failure) = link(1);
                let (alive, gone) = link(1);
                if reply.try_send(Ok(SubscriberEnds { events, failure, alive })).is_ok() {
                    // Dropped by either, the subscriber is unsubscribed.
                    let _ = first(receive(subscriber, events_link, failed), until_gone(gone)).await;
                }
            }
            Err(error) => drop(reply.try_send(Err(error))),
        },
        Command::Registry { reply, .. } => match client.registry_view().await {
            Ok(view) => {
                let (asks_link, asks) = link(1);
                let (changes_link, changes) = link(HANDOVERS_MAX);
                let (failed, failure) = link(1);
                if reply.try_send(Ok(RegistryEnds { asks: asks_link, changes, failure })).is_ok() {
                    let _ = first(tell_changes(&view, changes_link, failed), answer_lists(&view, asks)).await;
                }
            }
            Err(error) => drop(reply.try_send(Err(error))),
        },
    }
}

/// Answers a thread that asks for lists, until it has gone.
async fn answer_lists(view: &LocalRegistryView, mut asks: Inbox<ListAsk>) {
    while let Some(ListAsk { timeout, reply }) = asks.recv().await {
        let list = view.list(timeout).await;
        drop(reply.try_send(list.map(|list| (view.lists.get(), list))));
    }
}

/// Tells a thread what changes, as much at a time as there is, until it has gone or the session has failed.
async fn tell_changes(
    view: &LocalRegistryView,
    changes: Link<(u64, Vec<PublisherChange>)>,
    failed: Link<Error>,
) {
    loop {
        let mut batch = match view.next_change().await {
            Ok(change) => vec![change],
            Err(error) => return drop(failed.try_send(error)),
        };
        while batch.len() < EVENTS_PER_HANDOVER
            && let Some(change) = view.try_next_change()
        {
            batch.push(change);
        }
        if changes.send((view.lists.get(), batch)).await.is_err() {
            return;
        }
    }
}

/// Does what a thread asks of its publisher, until it is closed, dropped, or its session has failed.
async fn publish(mut publisher: LocalPublisher, mut items: Inbox<PublishItem>, failed: Link<Error>) {
    while let Some(item) = items.recv().await {
        let mut next = Some(item);
        for _ in 0..PUBLISHES_PER_TURN {
            let Some(item) = next.take().or_else(|| items.try_recv()) else { break };
            match item {
                PublishItem::Publish { topic, payload } => {
                    if let Err(error) = publisher.publish(&topic, &payload).await {
                        // The thread finds its items taken no more, and looks here.
                        drop(failed.try_send(error));
                        return;
                    }
                }
                PublishItem::Taken { reply } => drop(reply.try_send(())),
                PublishItem::Wait { topic, n, timeout, reply } => {
                    drop(reply.try_send(publisher.wait_for_subscribers(&topic, n, timeout).await));
                }
                PublishItem::Flush { timeout, reply } => drop(reply.try_send(publisher.flush(timeout).await)),
                PublishItem::Close { timeout, reply } => {
                    return drop(reply.try_send(publisher.close(timeout).await));
                }
            }
        }
        end_turn().await;
    }
}

/// Waits until the thread has dropped its end.
async fn until_gone(mut alive: Inbox<()>) {
    while alive.recv().await.is_some() {}
}

/// Hands events to a thread, as many at a time as there are, until it has gone or the session has failed.
async fn receive(mut subscriber: LocalSubscriber, events: Link<Vec<Event>>, failed: Link<Error>) {
    loop {
        let mut batch = match subscriber.recv().await {
            Ok(event) => vec![event],
            Err(error) => return drop(failed.try_send(error)),
        };
        let mut bytes = batch[0].bytes();
        while batch.len() < EVENTS_PER_HANDOVER
            && bytes < EVENT_BYTES_PER_HANDOVER
            && let Some(event) = subscriber.try_recv()
        {
            bytes += event.bytes();
            batch.push(event);
        }
        if events.send(batch).await.is_err() {
            return;
        }
    }
}
