//! Owns the control thread of one broker: its runtime, its tasks, its end. Idle, it sleeps: it has no tick.

use std::convert::Infallible;
use std::thread::JoinHandle;
use std::time::Instant;

use corecast_executors::{CoreId, Inbox, Link, RecvTimeout, link, spawn_beside};
use tokio::runtime::{Builder, Handle};
use tokio::task::{LocalSet, spawn_local};
use tracing::{error, warn};

use crate::error::{Error, ErrorKind, Result};
use crate::limits::{CONTROL_END_MAX, CONTROL_TASKS_MAX};

/// Begins a task that stays on the thread.
type Begin = Box<dyn FnOnce() + Send>;

/// The control thread of a broker: a plain thread with a tokio runtime of its own, beside the CPUs of the shards if this
/// process may use others. Dropped, it ends.
#[derive(Debug)]
pub struct ControlThread {
    tasks: Handle,
    /// Tasks that are to begin on the thread, which ends when this is dropped.
    life: Option<Link<Begin>>,
    thread: Option<JoinHandle<()>>,
    /// Closed when the thread has ended.
    ended: Inbox<Infallible>,
}

impl ControlThread {
    /// Starts the thread, which does nothing yet.
    ///
    /// # Errors
    /// `Io`: no descriptor is left for its runtime, or no room for a thread.
    pub fn start(shards: &[CoreId]) -> Result<ControlThread> {
        let failed = |e| Error::io("cannot start the control thread", e);
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let tasks = runtime.handle().clone();
        let (life, mut owner) = link::<Begin>(CONTROL_TASKS_MAX);
        let (end, ended) = link(1);
        let run = move || {
            let _ended = end;
            // Tasks run meanwhile. They end with their runtime, before the thread is seen to have ended.
            let local = LocalSet::new();
            let begin_all = async {
                while let Some(begin) = owner.recv().await {
                    begin();
                }
            };
            runtime.block_on(local.run_until(begin_all));
            drop(local);
            drop(runtime);
        };
        let thread = spawn_beside("control", shards, run).map_err(failed)?;
        Ok(ControlThread { tasks, life: Some(life), thread: Some(thread), ended })
    }

    /// Runs a task on this thread, within a tokio runtime that has sockets and timers. A task lives as long as the thread: if
    /// it ends before, or panics, that is logged as an error under its name.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = Error> + Send + 'static) {
        self.tasks.spawn(until_it_ends(name, task));
    }

    /// Runs a task as [`ControlThread::spawn`] does, which is made on this thread and never leaves it.
    ///
    /// # Errors
    /// `Executor`: the thread has ended.
    #[cfg(feature = "nats")]
    pub(crate) fn spawn_here<T: Future<Output = Error> + 'static>(
        &self,
        name: &'static str,
        make: impl FnOnce() -> T + Send + 'static,
    ) -> Result<()> {
        let ended = || Error::new(ErrorKind::Executor, "the control thread of the broker has ended");
        let begin: Begin = Box::new(move || drop(spawn_local(until_it_ends(name, make()))));
        let life = self.life.as_ref().ok_or_else(ended)?;
        life.send_blocking(begin).map_err(|_| ended())
    }

    /// Ends all tasks where they wait, and the thread. A task that does not wait holds the end up for [`CONTROL_END_MAX`] at
    /// most; then the thread is left to end by itself.
    pub fn end(&mut self) {
        drop(self.life.take());
        let Some(thread) = self.thread.take() else { return };
        match self.ended.recv_deadline(Instant::now() + CONTROL_END_MAX) {
            Err(RecvTimeout::TimedOut) => {
                warn!("a task holds the control thread up: it is left to end by itself");
            }
            Err(RecvTimeout::Closed) => {
                if thread.join().is_err() {
                    error!("the control thread has panicked");
                }
            }
            Ok(never) => match never {},
        }
    }
}

impl Drop for ControlThread {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a task, and logs its end.
async fn until_it_ends(name: &'static str, task: impl Future<Output = Error>) {
    let _panic = PanicIsLogged(name);
    let error = task.await;
    error!(task = name, %error, "a task of the control thread has ended");
}

/// Logs a panic of the task that owns this, by its name.
struct PanicIsLogged(&'static str);

impl Drop for PanicIsLogged {
    fn drop(&mut self) {
        if std::thread::panicking() {
            error!(task = self.0, "a task of the control thread has panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::future::pending;
    use std::time::Duration;

    use corecast_executors::pause;
    use tracing::field::{Field, Visit};
    use tracing::span;
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    /// A watchdog, not a measure.
    const LONG: Duration = Duration::from_secs(60);

    /// Sends the fields of each event as one text.
    struct Heard(Link<String>);

    impl Subscriber for Heard {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut text = Text(String::new());
            event.record(&mut text);
            // The test may have heard enough.
            let _ = self.0.try_send(text.0);
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    struct Text(String);

    impl Visit for Text {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.0.push_str(&format!("{field}={value:?} "));
        }
    }

    fn start() -> ControlThread {
        ControlThread::start(&[]).expect("a thread and a descriptor")
    }

    /// Runs `body` on the thread and returns its result.
    fn run<T: Send + 'static>(control: &ControlThread, body: impl FnOnce() -> T + Send + 'static) -> T {
        let (result, mut results) = link(1);
        control.spawn("once", async move {
            // The test waits for it.
            let _ = result.try_send(body());
            pending().await
        });
        results.recv_deadline(Instant::now() + LONG).expect("the thread runs it")
    }

    #[test]
    fn tasks_end_where_they_wait_and_the_thread_with_them() {
        let mut control = start();
        let (inside, mut seen) = link::<Infallible>(1);
        control.spawn("waits", async move {
            let _inside = inside;
            pending().await
        });
        assert_eq!(
            run(&control, || std::thread::current().name().map(str::to_owned)).as_deref(),
            Some("control")
        );
        assert_eq!(seen.recv_deadline(Instant::now()), Err(RecvTimeout::TimedOut));
        control.end();
        assert_eq!(seen.recv_deadline(Instant::now()), Err(RecvTimeout::Closed), "the task has been dropped");
        control.end();
    }

    #[cfg(feature = "nats")]
    #[test]
    fn a_task_that_stays_on_the_thread_ends_with_it() {
        let mut control = start();
        let (name, mut names) = link(1);
        let (inside, mut seen) = link::<Infallible>(1);
        let make = move || {
            // It could not be sent to another thread.
            let kept = std::rc::Rc::new(inside);
            async move {
                let _ = name.try_send(std::thread::current().name().map(str::to_owned));
                let _kept = kept;
                pending().await
            }
        };
        control.spawn_here("stays", make).expect("the thread lives");
        let heard = names.recv_deadline(Instant::now() + LONG).expect("it runs");
        assert_eq!(heard.as_deref(), Some("control"));
        assert_eq!(seen.recv_deadline(Instant::now()), Err(RecvTimeout::TimedOut));
        control.end();
        assert_eq!(seen.recv_deadline(Instant::now()), Err(RecvTimeout::Closed), "the task has been dropped");
        assert!(control.spawn_here("late", || async { pending().await }).is_err());
    }

    #[test]
    fn a_task_that_holds_the_thread_up_does_not_hold_up_its_owner() {
        let mut control = start();
        let (release, mut held) = link::<Infallible>(1);
        let (begun, mut begins) = link(1);
        control.spawn("hangs", async move {
            let _ = begun.try_send(());
            assert_eq!(held.recv_blocking(), None);
            pending().await
        });
        begins.recv_deadline(Instant::now() + LONG).expect("it runs");
        control.end();
        // Until now: it would never have returned otherwise.
        drop(release);
        assert_eq!(control.ended.recv_deadline(Instant::now() + LONG), Err(RecvTimeout::Closed));
    }

    #[test]
    fn the_end_of_a_task_is_logged_and_so_is_its_panic() {
        let control = start();
        let (line, mut lines) = link(8);
        run(&control, move || std::mem::forget(tracing::subscriber::set_default(Heard(line))));
        control.spawn("fails", async { Error::new(ErrorKind::Io, "no luck") });
        control.spawn("panics", async { unreachable!("on purpose") });
        let mut heard = || lines.recv_deadline(Instant::now() + LONG).expect("a line");
        let (ended, panicked) = (heard(), heard());
        assert!(
            ended.contains("has ended") && ended.contains("fails") && ended.contains("no luck"),
            "{ended}"
        );
        assert!(panicked.contains("has panicked") && panicked.contains("panics"), "{panicked}");
        assert_eq!(run(&control, || 1), 1, "the others go on");
    }

    #[test]
    fn an_idle_control_thread_does_not_wake() {
        let control = start();
        let status = run(&control, || format!("/proc/self/task/{}/status", nix::unistd::gettid()));
        let wakes = || {
            let text = std::fs::read_to_string(&status).expect("the thread lives");
            let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.and_then(|count| count.trim().parse::<u64>().ok()).expect("a count")
        };
        let before = wakes();
        pause(Duration::from_millis(300));
        // The first sleep may come only now; one tick each 10 ms would be thirty.
        assert!(wakes() <= before + 3, "{} after {before}", wakes());
    }
}
