//! Looks of operators into the shard of one executor, in turns: between two of them everybody else has his.

use std::rc::Rc;

use corecast_executors::{Link, ShardId, ThreadTimes, end_turn};

use super::flush::settle;
use super::runtime::Runtime;
use crate::control::{HistoryFigures, Look, SendOffShare, ShardCensus, Whom};
use crate::ids::{SessionId, SessionNumber};
use crate::limits::CENSUS_DETAILS_PER_TURN;
use crate::shard::Census;

/// Does what an operator asks of this shard. Nobody waits for it but whoever asks, who may have gone.
pub(super) async fn look(runtime: &Rc<Runtime>, look: Look) {
    match look {
        Look::Census(answer) => drop(answer.try_send(census(runtime).await)),
        Look::Details(places, answer) => {
            let mut details = Vec::new();
            let mine = here(runtime.id, &places);
            for some in mine.chunks(CENSUS_DETAILS_PER_TURN) {
                runtime.census(|census| details.extend(some.iter().filter_map(|id| census.details(*id))));
                end_turn().await;
            }
            drop(answer.try_send(details));
        }
        Look::Audience(topics, answer) => {
            let mut counts = Vec::with_capacity(topics.len());
            for some in topics.chunks(CENSUS_DETAILS_PER_TURN) {
                runtime.census(|census| counts.extend(some.iter().map(|topic| census.audience(topic))));
                end_turn().await;
            }
            drop(answer.try_send(counts));
        }
        Look::Registry(behind, most, answer) => {
            runtime.stir();
            let page = runtime.census(|census| census.registry(behind, most));
            page.into_iter().for_each(|page| drop(answer.try_send(page)));
        }
        Look::Kick(whom, answer) => kick(runtime, &whom, answer).await,
        Look::History(question, answer) => {
            let (mut figures, mut next) = (HistoryFigures::default(), question.behind.clone());
            loop {
                next = runtime.census(|census| census.history(&question, next.as_ref(), &mut figures));
                end_turn().await;
                if next.is_none() {
                    break;
                }
            }
            drop(answer.try_send(figures));
        }
        Look::ClearHistory(filter, answer) => {
            let (mut cleared, mut next) = (0, None);
            loop {
                next = runtime.census(|census| census.clear_history(&filter, next.as_ref(), &mut cleared));
                end_turn().await;
                if next.is_none() {
                    break;
                }
            }
            // Whoever asked may have gone.
            let _ = answer.try_send(cleared);
        }
        Look::SendOff(share, answer) => send_off(runtime, &share, answer).await,
    }
}

/// The places of these that are on this shard.
fn here(me: ShardId, places: &[(ShardId, SessionId)]) -> Vec<SessionId> {
    places.iter().filter(|(shard, _)| *shard == me).map(|(_, id)| *id).collect()
}

impl Runtime {
    /// Looks into the shard, for as long as `look` takes.
    fn census<T>(&self, look: impl FnOnce(&mut Census<'_>) -> T) -> T {
        look(&mut Census::of(&mut self.shard.borrow_mut()))
    }
}

async fn census(runtime: &Rc<Runtime>) -> ShardCensus {
    let (mut sessions, mut topics) = (Vec::new(), Vec::new());
    let mut next = Some(0);
    while let Some(from) = next {
        next = runtime.census(|census| census.sessions(from, &mut sessions));
        end_turn().await;
    }
    let mut next = Some(0);
    while let Some(from) = next {
        next = runtime.census(|census| census.topics(from, &mut topics));
        end_turn().await;
    }
    let mut shard = runtime.census(|census| census.shard());
    shard.link_items = runtime.links.iter().flatten().map(|link| link.depth() as u64).sum();
    shard.thread_times = ThreadTimes::here().and_then(|times| times.read()).ok();
    ShardCensus { shard, sessions, topics }
}

async fn send_off(runtime: &Rc<Runtime>, SendOffShare { frame, share }: &SendOffShare, answer: Link<usize>) {
    let slots = runtime.census(|census| census.slots());
    let before = (slots as f64 * share).ceil() as usize;
    let (mut left, mut next) = (0, Some(0));
    while let Some(from) = next {
        runtime.stir();
        next = runtime.census(|census| census.send_off((from, before), frame, &mut left));
        settle(runtime).await;
        end_turn().await;
    }
    // Whoever asked may have gone.
    let _ = answer.try_send(left);
}

async fn kick(runtime: &Rc<Runtime>, whom: &Whom, answer: Link<Vec<SessionNumber>>) {
    let (mut kicked, mut next) = (Vec::new(), Some(0));
    while let Some(from) = next {
        runtime.stir();
        next = runtime.census(|census| census.kick(from, whom, &mut kicked));
        settle(runtime).await;
        end_turn().await;
    }
    drop(answer.try_send(kicked));
}
