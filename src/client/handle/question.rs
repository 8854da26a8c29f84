//! Questions that a thread asks a task of the client executor. Two kinds of ends are watched: the asker's, so that a
//! question nobody waits for any more costs nothing, and the task's, so that nobody waits for an answer that cannot come.

use std::pin::pin;

use corecast_executors::{Either, Inbox, Link, MonotonicNs, TickClock, first, link};
use futures_lite::future::{or, poll_once};

use crate::client::connection_events::{ConnectionEvent, ConnectionEvents, ConnectionReport};
use crate::client::deadline::Deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::ANSWER_GRACE;

/// The answering end of a question.
#[derive(Debug)]
pub(super) struct Question<T> {
    reply: Link<Result<T>>,
    /// Closed when the asker is gone.
    asker: Inbox<()>,
}

/// The asking end. Dropped, it withdraws the question.
#[derive(Debug)]
pub(super) struct PendingAnswer<T> {
    answer: Inbox<Result<T>>,
    _asker: Link<()>,
}

/// A question and where its answer comes.
pub(super) fn question<T>() -> (Question<T>, PendingAnswer<T>) {
    let (reply, answer) = link(1);
    let (alive, asker) = link(1);
    (Question { reply, asker }, PendingAnswer { answer, _asker: alive })
}

impl<T> Question<T> {
    /// Works out the answer and gives it, unless the asker withdraws the question: then the work is dropped.
    pub(super) async fn answer(mut self, work: impl Future<Output = Result<T>>) {
        // In a place of its own: the futures around it would each hold it once more.
        let work = Box::pin(work);
        let withdrawn = async {
            until_closed(&mut self.asker).await;
            None
        };
        if let Some(answer) = or(withdrawn, async { Some(work.await) }).await {
            // The asker may have left just now.
            drop(self.reply.try_send(answer));
        }
    }
}

impl<T> PendingAnswer<T> {
    /// The answer; `None` when the question was dropped without one.
    pub(super) async fn recv(&mut self) -> Option<Result<T>> {
        self.answer.recv().await
    }
}

/// Waits until every link to this inbox is gone. Nothing is ever sent on them.
pub(super) async fn until_closed(inbox: &mut Inbox<()>) {
    while inbox.recv().await.is_some() {}
}

/// A handle's line to the task that serves it.
#[derive(Debug)]
pub(super) struct Line {
    calls: Link<Call>,
    ending: TaskEnd,
}

/// The task's end of a [`Line`].
#[derive(Debug)]
pub(super) struct LineEnd {
    calls: Inbox<Call>,
    /// Takes the reason why the task ends.
    pub(super) failed: Link<Error>,
}

/// A call of a handle to its task, beside its questions.
#[derive(Debug)]
enum Call {
    Alarm(Alarm),
    /// To tell it what becomes of the connection.
    Watch(Link<ConnectionEvent>),
}

/// A time at which a thread wants to be woken: it may have no timer of its own.
#[derive(Debug)]
struct Alarm {
    at: MonotonicNs,
    ring: Link<()>,
}

/// Both ends of a line. `subject` is the thing that has ended when the task has.
pub(super) fn line(subject: &'static str) -> (Line, LineEnd) {
    let (calls_link, calls) = link(1);
    let (failed, told) = link(1);
    let ending = TaskEnd { told, subject, why: None };
    (Line { calls: calls_link, ending }, LineEnd { calls, failed })
}

impl Line {
    /// Sends a question and waits for its answer: until the deadline, and no longer than the task lives. A question may
    /// lie unread in the queue of a task that has ended, for as long as somebody can send to that: so the queue does not
    /// tell, and the task's own link does.
    ///
    /// # Errors
    /// The answer's; `TimedOut`; why the task has ended.
    pub(super) async fn ask<Q, T>(
        &mut self,
        questions: &Link<Q>,
        deadline: Deadline,
        make: impl FnOnce(Question<T>) -> Q,
    ) -> Result<T> {
        let (question, mut answer) = question();
        let answered = async {
            match questions.send(make(question)).await {
                Ok(()) => answer.recv().await,
                Err(_) => None,
            }
        };
        let (ring, mut rung) = link(1);
        let alarm = Alarm { at: deadline.at + ANSWER_GRACE, ring };
        let late = async {
            // Without a bell only the end of the task ends the wait: it is ending.
            let rings = self.calls.send(Call::Alarm(alarm)).await.is_ok() && rung.recv().await.is_some();
            if rings { Err(too_late(deadline)) } else { std::future::pending().await }
        };
        let ended = async { Err(self.ending.wait().await) };
        answered_before(async { answered_or_never(answered.await).await }, or(late, ended)).await
    }

    /// Waits for something that the task does or drops as it ends; `None`: dropped.
    ///
    /// # Errors
    /// Why the task has ended.
    pub(super) async fn unless_ended<T>(&mut self, done: impl Future<Output = Option<T>>) -> Result<T> {
        let done = async { answered_or_never(done.await.map(Ok)).await };
        answered_before(done, async { Err(self.ending.wait().await) }).await
    }

    /// A stream of what becomes of the connection: of a task that has ended, an empty one.
    pub(super) async fn watch_connection(&self) -> ConnectionEvents {
        let (watcher, events) = ConnectionEvents::make();
        drop(self.calls.send(Call::Watch(watcher)).await);
        events
    }

    /// Why the task has ended, if a call has said so before.
    pub(super) fn known_end(&self) -> Option<Error> {
        self.ending.known()
    }

    /// The reason why the task ends, if it has failed.
    pub(super) fn failure(&mut self) -> Option<Error> {
        self.ending.given()
    }

    /// Why the task has ended, which is known to have.
    pub(super) fn failed(&mut self) -> Error {
        self.ending.why()
    }
}

/// Waits for an answer, until there can be none. An answer that has come counts, whatever else has happened since: the task
/// runs on another thread, so it may answer and end between the look for the answer and the look for the end.
async fn answered_before<T>(answer: impl Future<Output = T>, end: impl Future<Output = T>) -> T {
    let mut answer = pin!(answer);
    let ended = async { Either::Right(end.await) };
    match or(async { Either::Left(answer.as_mut().await) }, ended).await {
        Either::Left(answer) => answer,
        Either::Right(end) => poll_once(answer).await.unwrap_or(end),
    }
}

/// A question that was dropped unanswered: its task ends, and says why.
async fn answered_or_never<T>(answer: Option<Result<T>>) -> Result<T> {
    match answer {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}

fn too_late(deadline: Deadline) -> Error {
    let text = format!(
        "not done within {} ms: messages that were published before still wait",
        deadline.within.as_millis()
    );
    Error::new(ErrorKind::TimedOut, text)
}

/// Wakes the handle when its time is over, and adds it to those that `report` tells, until it is gone. It asks one thing at
/// a time: another alarm takes the place of the one before.
pub(super) async fn ring(clock: &TickClock, report: &ConnectionReport, line: &mut LineEnd) {
    let mut alarm: Option<Alarm> = None;
    loop {
        let over = async {
            match &alarm {
                Some(alarm) => clock.until(alarm.at).await,
                None => std::future::pending().await,
            }
        };
        match first(line.calls.recv(), over).await {
            Either::Left(Some(Call::Alarm(newer))) => alarm = Some(newer),
            Either::Left(Some(Call::Watch(watcher))) => report.watch(watcher),
            Either::Left(None) => return,
            Either::Right(()) => {
                if let Some(Alarm { ring, .. }) = alarm.take() {
                    let _ = ring.try_send(());
                }
            }
        }
    }
}

/// The end of a task that serves a handle: its reason comes once, and is remembered.
#[derive(Debug)]
pub(super) struct TaskEnd {
    told: Inbox<Error>,
    subject: &'static str,
    why: Option<(ErrorKind, String)>,
}

impl TaskEnd {
    async fn wait(&mut self) -> Error {
        if self.why.is_none() {
            let error = self.told.recv().await;
            self.note(error);
        }
        self.why()
    }

    fn given(&mut self) -> Option<Error> {
        if self.why.is_none() {
            let error = self.told.try_recv()?;
            self.note(Some(error));
        }
        Some(self.why())
    }

    fn known(&self) -> Option<Error> {
        let (kind, text) = self.why.as_ref()?;
        Some(Error::new(*kind, text.as_str()))
    }

    fn why(&mut self) -> Error {
        if self.why.is_none() {
            let error = self.told.try_recv();
            self.note(error);
        }
        self.known().expect("it is noted above")
    }

    fn note(&mut self, error: Option<Error>) {
        let error =
            error.unwrap_or_else(|| Error::new(ErrorKind::Closed, format!("the {} has ended", self.subject)));
        self.why = Some((error.kind(), error.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};
    use std::task::Poll;
    use std::time::Duration;

    use corecast_executors::{block_on, spawn_plain};

    use super::*;

    #[test]
    fn an_answer_that_comes_just_before_the_end_counts() {
        // Not there at the first look; then its task gives it and ends, before anybody looks for the end.
        let mut looks = 0;
        let answer = poll_fn(|_| {
            looks += 1;
            if looks == 1 { Poll::Pending } else { Poll::Ready("answer") }
        });
        assert_eq!(block_on(answered_before(answer, ready("end"))), "answer");
        assert_eq!(block_on(answered_before(pending(), ready("end"))), "end");
    }

    #[test]
    fn a_task_that_ends_with_its_answer_is_never_missed() {
        const HANDLES: usize = 2_000;
        let (lines, mut served) = link::<(Inbox<Question<usize>>, LineEnd)>(1);
        let serve = move || {
            while let Some((mut questions, end)) = served.recv_blocking() {
                let question = questions.recv_blocking().expect("a question");
                block_on(question.answer(async { Ok(1) }));
                drop(end);
            }
        };
        let server = spawn_plain("server", serve).expect("a thread");
        for handle in 0..HANDLES {
            let (mut line, end) = line("task");
            let (questions, asked) = link(1);
            lines.send_blocking((asked, end)).expect("it serves");
            let deadline = Deadline::after(Duration::from_secs(60));
            let answer = block_on(line.ask(&questions, deadline, |question| question));
            assert_eq!(answer.expect("an answer"), 1, "handle {handle}");
        }
        drop(lines);
        server.join().expect("it ends in order");
    }
}
