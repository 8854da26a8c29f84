//! Tasks of one executor, and their end. Used by shard bodies; the register is this file's alone.
//!
//! The runtime drops neither the future nor the sockets of a task that still waits when its
//! executor ends. So every task is written down here, and when the body of a shard returns, what
//! is left is cancelled and dropped while the executor still runs.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tracing::warn;

use crate::turn::end_turn;

/// How many rounds of drops the end of an executor waits for. Each round drops the tasks that the
/// tasks of the round before owned; nesting is two or three deep.
const CLOSING_TURNS_MAX: usize = 64;

thread_local! {
    /// Every live task of this executor; those that nobody awaits any more are kept here.
    static TASKS: RefCell<HashMap<u64, Option<Box<dyn Detached>>>> = RefCell::new(HashMap::new());
    static NEXT_KEY: Cell<u64> = const { Cell::new(0) };
}

/// A detached task. Dropping it cancels it; releasing it lets it be.
trait Detached {
    fn release(self: Box<Self>);
}

impl<T: 'static> Detached for glommio::Task<T> {
    fn release(self: Box<Self>) {
        drop((*self).detach());
    }
}

/// A task on this executor. Await it for its value; drop it to cancel it.
#[must_use = "a task is cancelled when this is dropped: await it or detach it"]
#[derive(Debug)]
pub struct LocalTask<T> {
    task: glommio::Task<T>,
    key: u64,
}

/// Runs `future` on this executor, next to the one that calls. Its first poll comes once the caller
/// waits, never inside this call: a borrow may be held across it.
///
/// # Panics
/// Outside an executor of this crate.
pub fn spawn_local<T: 'static>(future: impl Future<Output = T> + 'static) -> LocalTask<T> {
    let key = NEXT_KEY.get();
    NEXT_KEY.set(key + 1);
    TASKS.with_borrow_mut(|tasks| tasks.insert(key, None));
    let body = Registered { future, _alive: Alive { key } };
    // The runtime's plain spawn polls the future at once, inside the call; this one queues it.
    let task = glommio::spawn_local_into(body, glommio::TaskQueueHandle::default())
        .expect("the default queue is there as long as the executor is");
    LocalTask { task, key }
}

impl<T: 'static> LocalTask<T> {
    /// Lets the task go on by itself, until it ends or its executor does.
    pub fn detach(self) {
        let Self { task, key } = self;
        TASKS.with_borrow_mut(|tasks| {
            // A task that is over has no entry: there is nothing to keep.
            if let Some(kept) = tasks.get_mut(&key) {
                *kept = Some(Box::new(task));
            }
        });
    }

    /// Cancels the task and waits until its future is dropped. The value, if it was over before.
    pub async fn cancel(self) -> Option<T> {
        self.task.cancel().await
    }
}

impl<T> Future for LocalTask<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.task).poll(cx)
    }
}

pin_project! {
    /// A future, and its place in the register. Not an `async` block, which would hold the future twice: as what it
    /// captured and as what it awaits.
    struct Registered<F> {
        #[pin]
        future: F,
        _alive: Alive,
    }
}

impl<F: Future> Future for Registered<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

/// Lives inside a task's future: takes the task off the register when that is dropped.
struct Alive {
    key: u64,
}

impl Drop for Alive {
    fn drop(&mut self) {
        // The borrow ends before the release, which may run other code.
        let kept = TASKS.try_with(|tasks| tasks.borrow_mut().remove(&self.key));
        if let Ok(Some(Some(task))) = kept {
            task.release();
        }
    }
}

/// Cancels every task that is left and waits until their futures are dropped. The last thing an
/// executor does.
pub(crate) async fn cancel_all() {
    for _ in 0..CLOSING_TURNS_MAX {
        let detached: Vec<_> =
            TASKS.with_borrow_mut(|tasks| tasks.values_mut().filter_map(Option::take).collect());
        drop(detached);
        if TASKS.with_borrow(HashMap::is_empty) {
            return;
        }
        end_turn().await;
    }
    let left = TASKS.with_borrow(HashMap::len);
    warn!(tasks = left, "tasks outlive their executor: something keeps their handles");
}
