//! Owns the asker of our own: a publisher and a subscriber of its topic in one executor, which never sleeps.

use super::asker::{Asker, Told};
use crate::experiment::plan::Plan;
use crate::measure::messages::Messages;
use crate::measure::payload::{Head, PublisherIndex, RunId, check};
use crate::measure::workload::Workload;
use crate::process::server::Server;
use crate::process::trust::Trust;
use crate::swarm::reports::Failure;
use crate::swarm::topics::Topics;
use corecast::{ClientConfig, Event, LocalClient, LocalPublisher, LocalSubscriber, Topic};
use corecast_executors::{
    Idle, Link, MonotonicNs, Pool, PoolConfig, PoolError, Reactor, Sockets, spawn_local, start as start_pool,
};
use std::sync::Arc;

/// The thread's name.
const POOL: &str = "bench-echo";
/// Capacity of the executor's link. Nothing is ever sent on it: its end is the signal to stop.
const COMMANDS_MAX: usize = 1;

/// Starts the executor; it asks until all is asked, and goes when it is stopped.
pub(super) fn start(plan: &Plan, broker: &Server, link: Link<Told>) -> Result<Pool<()>, PoolError> {
    let config = PoolConfig {
        name: POOL.into(),
        cores: plan.subscriber_cores.clone(),
        shards: 1,
        idle: Idle::Busy,
        sockets: Sockets::Few,
        reactor: Reactor::IoUring,
        link_capacity: COMMANDS_MAX,
    };
    let plan = Arc::new(plan.clone());
    let (broker, tls) = (broker.subscribe_at.clone(), broker.trust.as_ref().map(Trust::library));
    start_pool(&config, move |mut context| {
        let (plan, broker, tls, link) = (plan.clone(), broker.clone(), tls.clone(), link.clone());
        async move {
            let mut config = ClientConfig::new(broker);
            config.name = POOL.into();
            config.connect.tls = tls;
            config.sessions = plan.sessions;
            config.connect_timeout = plan.timeout;
            let client = LocalClient::start(config, context.ticks);
            let asking = {
                let client = client.clone();
                spawn_local(async move { ask_all(&client, &plan, link).await })
            };
            while context.commands.recv().await.is_some() {}
            drop(asking);
            client.close().await;
        }
    })
}

async fn ask_all(client: &LocalClient, plan: &Plan, link: Link<Told>) {
    let ready = set_up(client, plan).await;
    let mut asker = Asker::new(plan.amount, link);
    let ended = match ready {
        Ok(mut ends) => ends.ask(&mut asker).await,
        Err(failure) => Err(failure),
    };
    asker.finish(ended);
}

/// The two ends of what is measured.
struct Ends {
    run: RunId,
    topic: Topic,
    messages: Messages,
    publisher: LocalPublisher,
    subscriber: LocalSubscriber,
}

async fn set_up(client: &LocalClient, plan: &Plan) -> Result<Ends, Failure> {
    let failed = |error: corecast::Error| Failure::of("the echo cannot start", &error);
    let run = RunId(fastrand::u64(..));
    let workload = Workload::own(1);
    let topics = Topics::new(run, workload);
    let messages = Messages::new(run, &workload, PublisherIndex(0), plan.size_bytes)
        .map_err(|error| Failure::new("the echo cannot start", error.to_string()))?;
    let subscriber = client.subscriber(&topics.filters(0)).await.map_err(failed)?;
    let mut publisher = client.publisher().await.map_err(failed)?;
    let topic = topics.topics().next().expect("a publisher has a topic");
    publisher.wait_for_subscribers(&topic, 1, plan.timeout).await.map_err(failed)?;
    Ok(Ends { run, topic, messages, publisher, subscriber })
}

impl Ends {
    /// One message after another, each when the last has come.
    async fn ask(&mut self, asker: &mut Asker) -> Result<(), Failure> {
        for sequence in 0.. {
            let asked = MonotonicNs::now();
            let (_, payload) = self.messages.next(asked);
            let published = self.publisher.publish(&self.topic, payload).await;
            published.map_err(|error| Failure::of("a message was not taken", &error))?;
            let came = self.subscriber.recv().await;
            let answered = MonotonicNs::now();
            let came = came.map_err(|error| Failure::of("a message did not come back", &error))?;
            let intact = match &came {
                Event::Message(message) => check(&message.payload, self.run, Head::Plain),
                Event::Gap(_) | Event::CaughtUp => None,
            };
            if intact.is_none_or(|stamp| stamp.sequence != sequence) {
                let why = format!("for message {sequence} came {came:?}");
                return Err(Failure::new("a message did not come back as it was sent", why));
            }
            if !asker.answered(asked, answered) {
                break;
            }
        }
        Ok(())
    }
}
