//! Tasks of one executor, and their end. Used by shard bodies; the register belongs to this file alone.
//!
//! When an executor ends, the runtime drops neither the futures nor the sockets of its waiting tasks. So every task is
//! registered here, and when the body of a shard returns, the remaining ones are cancelled and dropped while the
//! executor still runs.
//!
//! Tasks are cancelled here and not by the runtime, and their handles are dropped at once or after the tasks' end. The
//! runtime never frees a task that it cancels while it waits, nor one whose handle is dropped along with the finished
//! future: 60 to 150 bytes each.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use tracing::warn;

use crate::reactor::{self, Handle};
use crate::turn::end_turn;

/// Rounds of drops that the end of an executor waits for. Each round drops the tasks that the tasks of the previous
/// round owned; nesting is two or three deep.
const CLOSING_TURNS_MAX: usize = 64;

thread_local! {
    /// Every live task of this executor.
    static TASKS: RefCell<HashMap<u64, Rc<Life>>> = RefCell::new(HashMap::new());
    static NEXT_KEY: Cell<u64> = const { Cell::new(0) };
}

/// The state that a task, its handle and the register share.
#[derive(Debug, Default)]
struct Life {
    cancelled: Cell<bool>,
    /// Wakes the task; set from its first poll until its end, so that the runtime counts a waker and does not cancel
    /// the task by itself.
    waker: RefCell<Option<Waker>>,
}

impl Life {
    /// Makes the task drop its future when it runs next, which is soon.
    fn cancel(&self) {
        self.cancelled.set(true);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// A task on this executor. Await it for its value; drop it to cancel it.
#[must_use = "a task is cancelled when this is dropped: await it or detach it"]
#[derive(Debug)]
pub struct LocalTask<T> {
    /// `None` once it is detached.
    task: Option<Handle<Option<T>>>,
    life: Rc<Life>,
}

/// Runs `future` on this executor, beside the caller. It is first polled once the caller waits, never inside this call:
/// a borrow may be held across it.
///
/// # Panics
/// Outside an executor of this crate.
pub fn spawn_local<T: 'static>(future: impl Future<Output = T> + 'static) -> LocalTask<T> {
    let key = NEXT_KEY.get();
    NEXT_KEY.set(key + 1);
    let life = Rc::<Life>::default();
    TASKS.with_borrow_mut(|tasks| tasks.insert(key, Rc::clone(&life)));
    let body = Registered::Runs { future, alive: Alive { key, life: Rc::clone(&life) } };
    LocalTask { task: Some(reactor::spawn(body)), life }
}

impl<T: 'static> LocalTask<T> {
    /// Lets the task go on by itself, until it ends or its executor does.
    pub fn detach(mut self) {
        self.give_up_handle();
    }

    /// Cancels the task and waits until its future is dropped. Returns the value, if the task had ended before.
    pub async fn cancel(mut self) -> Option<T> {
        self.life.cancel();
        self.task.take().expect("it is not detached").await
    }
}

impl<T> LocalTask<T> {
    fn give_up_handle(&mut self) -> Option<()> {
        self.task.take().map(drop)
    }
}

impl<T> Drop for LocalTask<T> {
    fn drop(&mut self) {
        if self.give_up_handle().is_some() {
            self.life.cancel();
        }
    }
}

impl<T> Future for LocalTask<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let task = self.task.as_mut().expect("it is not detached");
        match Pin::new(task).poll(cx) {
            Poll::Ready(Some(value)) => Poll::Ready(value),
            // Only the end of the executor cancels a task that is awaited, and it cancels the awaiting one, too.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

pin_project! {
    /// A future and its entry in the register, until it has ended or is cancelled. Not an `async` block, which would
    /// store the future twice: as a captured variable and as the awaited future.
    #[project = RegisteredNow]
    enum Registered<F> {
        Runs {
            #[pin]
            future: F,
            alive: Alive,
        },
        Over,
    }
}

impl<F: Future> Future for Registered<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let RegisteredNow::Runs { future, alive } = self.as_mut().project() else {
            unreachable!("the runtime polls a task until it is over");
        };
        let polled = if alive.life.cancelled.get() {
            Poll::Ready(None)
        } else {
            alive.life.waker.borrow_mut().get_or_insert_with(|| cx.waker().clone());
            future.poll(cx).map(Some)
        };
        if polled.is_ready() {
            // The future ends here and not when the runtime drops this: by then the runtime has checked for a handle,
            // and a handle that the future owned would be dropped without its knowledge.
            self.set(Self::Over);
        }
        polled
    }
}

/// A guard beside a task's future: removes the task from the register when it is dropped.
struct Alive {
    key: u64,
    life: Rc<Life>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        drop(self.life.waker.take());
        // The register may be gone, with its thread.
        let _ = TASKS.try_with(|tasks| tasks.borrow_mut().remove(&self.key));
    }
}

/// Cancels every remaining task and waits until their futures are dropped. The last act of an executor.
pub(crate) async fn cancel_all() {
    for _ in 0..CLOSING_TURNS_MAX {
        TASKS.with_borrow(|tasks| tasks.values().for_each(|life| life.cancel()));
        if TASKS.with_borrow(HashMap::is_empty) {
            return;
        }
        end_turn().await;
    }
    let left = TASKS.with_borrow(HashMap::len);
    warn!(tasks = left, "tasks outlive their executor: each that ends begins another");
}
