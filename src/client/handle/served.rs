//! Tasks of the client executor, each at the other end of a handle in some thread: they do what it asks, for as long as
//! it is there.

use std::pin::Pin;

use corecast_executors::{Inbox, Link, end_turn, first, link};

use super::asks::{Command, ListAsk, PublishItem, PublisherTaskEnds, RegistryEnds, SubscriberEnds};
use super::question::{LineEnd, Question, line, ring};
use crate::client::listed::PublisherChange;
use crate::client::local::{LocalClient, LocalPublisher, LocalRegistryView, LocalSubscriber};
use crate::client::message::Event;
use crate::client::session::Session;
use crate::error::{Error, Result};
use crate::limits::{
    EVENT_BYTES_PER_HANDOVER, EVENTS_PER_HANDOVER, HANDOVERS_MAX, LINGER, PUBLISHES_PER_TURN,
};
use crate::topic::Filter;

/// Makes what is asked for, and serves it. Opening takes many times the memory of serving, and an executor may serve thousands:
/// each future is in a place of its own, and the one that opens is gone when it has done so.
pub(super) fn serve(client: LocalClient, command: Command) -> Pin<Box<dyn Future<Output = ()>>> {
    match command {
        Command::Publisher { ends, question, .. } => Box::pin(serve_publisher(client, ends, question)),
        Command::Subscriber { filters, question, .. } => {
            Box::pin(serve_subscriber(client, filters, question))
        }
        Command::Registry { question, .. } => Box::pin(serve_registry_view(client, question)),
    }
}

async fn serve_publisher(client: LocalClient, ends: PublisherTaskEnds, question: Option<Question<usize>>) {
    let opening = client.opening_publisher(ends.id);
    let session = opening.session();
    let Some(question) = question else { return publish(&session, opening.open(), ends).await };
    let mut opened = None;
    let open = async { Ok(opened.insert(opening.open().await?).frame_bytes_max()) };
    Box::pin(question.answer(open)).await;
    if let Some(publisher) = opened {
        publish(&session, async { Ok(publisher) }, ends).await;
    }
}

async fn serve_subscriber(client: LocalClient, filters: Vec<Filter>, question: Question<SubscriberEnds>) {
    let opened = Box::pin(async move {
        let mut served = None;
        let open = async {
            let subscriber = client.subscriber(&filters).await?;
            let (events_link, events) = link(HANDOVERS_MAX);
            let (line, end) = line("subscriber");
            served = Some((subscriber, events_link, end));
            Ok(SubscriberEnds { events, line })
        };
        question.answer(open).await;
        served
    });
    if let Some((subscriber, events, line)) = opened.await {
        hand_events(subscriber, events, line).await;
    }
}

async fn serve_registry_view(client: LocalClient, question: Question<RegistryEnds>) {
    let opened = Box::pin(async move {
        let mut served = None;
        let open = async {
            let view = client.registry_view().await?;
            let (asks, asked) = link(1);
            let (changes_link, changes) = link(HANDOVERS_MAX);
            let (line, end) = line("view");
            served = Some((view, asked, changes_link, end));
            Ok(RegistryEnds { asks, changes, line })
        };
        question.answer(open).await;
        served
    });
    if let Some((view, asks, changes, line)) = opened.await {
        show_registry(&view, asks, changes, line).await;
    }
}

/// Does what a thread asks of its publisher, once that is open, until it is closed or its session has failed. A handle that was dropped does
/// not wait for what it has published: that has [`LINGER`] to leave.
async fn publish(
    session: &Session,
    opening: impl Future<Output = Result<LocalPublisher>>,
    ends: PublisherTaskEnds,
) {
    let PublisherTaskEnds { items, complaints, mut line, .. } = ends;
    let failed = line.failed.clone();
    let left = async {
        let clock = &session.runtime.clock;
        ring(clock, &session.report, &mut line).await;
        clock.until(clock.now() + LINGER).await;
    };
    // As in `Question::answer`.
    let taken = Box::pin(async move {
        match opening.await {
            Ok(publisher) => take_items(publisher, items, failed).await,
            Err(error) => drop(failed.try_send(error)),
        }
    });
    let served = first(taken, session.complain_while_away(complaints));
    first(served, left).await;
}

/// Takes items in order. When it returns, they are taken no more, and `failed` says why if it was not asked to end.
async fn take_items(mut publisher: LocalPublisher, mut items: Inbox<PublishItem>, failed: Link<Error>) {
    while let Some(item) = items.recv().await {
        let mut next = Some(item);
        for _ in 0..PUBLISHES_PER_TURN {
            let Some(item) = next.take().or_else(|| items.try_recv()) else { break };
            match item {
                PublishItem::Publish { topic, payload, claim } => {
                    if claim.is_some_and(|claim| !claim.take()) {
                        continue;
                    }
                    if let Err(error) = publisher.publish_taken(&topic, &payload).await {
                        return drop(failed.try_send(error));
                    }
                }
                PublishItem::Taken { reply } => drop(reply.try_send(())),
                PublishItem::Wait { topic, n, deadline, question } => {
                    question.answer(publisher.wait_until_there(&topic, n, deadline)).await;
                }
                PublishItem::Flush { deadline, question } => {
                    question.answer(publisher.flush_until(deadline)).await;
                }
                PublishItem::Close { deadline, question } => {
                    return question.answer(publisher.close_until(deadline)).await;
                }
            }
        }
        end_turn().await;
    }
}

/// Hands events to a thread, until it has gone or the session has failed. Dropped then, the subscriber is unsubscribed.
async fn hand_events(mut subscriber: LocalSubscriber, events: Link<Vec<Event>>, mut line: LineEnd) {
    let session = subscriber.session();
    let failed = line.failed.clone();
    first(receive(&mut subscriber, events, failed), ring(&session.runtime.clock, &session.report, &mut line))
        .await;
}

/// Hands events over, as many at a time as there are.
async fn receive(subscriber: &mut LocalSubscriber, events: Link<Vec<Event>>, failed: Link<Error>) {
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

/// Shows a thread the registry, until it has gone or the session has failed.
async fn show_registry(
    view: &LocalRegistryView,
    asks: Inbox<ListAsk>,
    changes: Link<(u64, Vec<PublisherChange>)>,
    mut line: LineEnd,
) {
    let session = view.session();
    let failed = line.failed.clone();
    let served = first(tell_changes(view, changes, failed), answer_lists(view, asks));
    first(served, ring(&session.runtime.clock, &session.report, &mut line)).await;
}

/// Answers a thread that asks for lists.
async fn answer_lists(view: &LocalRegistryView, mut asks: Inbox<ListAsk>) {
    while let Some(ListAsk { deadline, question }) = asks.recv().await {
        question.answer(async { view.list_until(deadline).await.map(|list| (view.lists.get(), list)) }).await;
    }
}

/// Tells a thread what changes, as much at a time as there is.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The memory of the futures that this function makes, in bytes.
    fn future_bytes<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_open_subscriber_takes_little_memory_however_much_opening_takes() {
        let bytes = future_bytes(serve_subscriber);
        assert!(bytes <= 1_024, "{bytes} bytes");
        let bytes = future_bytes(serve_publisher);
        assert!(bytes <= 4_096, "{bytes} bytes");
    }
}
