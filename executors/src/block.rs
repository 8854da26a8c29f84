//! Waiting for a future on a plain thread: the blocking forms of requests from other threads to an executor.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake as Waking, Waker};
use std::thread::Thread;

use crate::thread::on_executor;

/// Wakes a thread that waits in [`block_on`].
struct Unpark(Thread);

impl Waking for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks the thread until the future has a value. The future may use no runtime's timers or sockets: links only.
///
/// # Panics
/// On an executor thread: it would block the shard.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    assert!(!on_executor(), "blocking an executor thread blocks its shard");
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        // It may return early, and then the future is only polled once more.
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::link;
    use crate::thread::spawn_plain;

    #[test]
    fn another_thread_ends_the_wait() {
        let (asks, mut asked) = link::<u32>(1);
        let (replies, mut answers) = link(1);
        let echo = move || {
            while let Some(number) = asked.recv_blocking() {
                replies.send_blocking(number).unwrap();
            }
        };
        let thread = spawn_plain("echo", echo).unwrap();
        for number in 0..1000 {
            let answer = block_on(async {
                asks.send(number).await.unwrap();
                answers.recv().await
            });
            assert_eq!(answer, Some(number));
        }
        drop(asks);
        thread.join().unwrap();
        assert_eq!(block_on(answers.recv()), None);
    }
}
