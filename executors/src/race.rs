//! The first of two futures. For pumps that wait for a readable socket or the request to stop.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

thread_local! {
    /// The side that is polled first next time.
    static LEFT_FIRST: Cell<bool> = const { Cell::new(true) };
}

/// The value of the first future to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first future's value.
    Left(A),
    /// The second future's value.
    Right(B),
}

pin_project! {
    /// The future that [`first`] makes. It is as large as both, and not twice: an `async fn` holds its arguments beside the place
    /// where it has pinned them, and races stand within races in the task of every connection.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct First<A, B> {
        #[pin]
        left: A,
        #[pin]
        right: B,
        left_first: bool,
    }
}

/// Waits for the first of two futures and drops the other.
///
/// If both are ready the sides alternate, so that neither can starve the other in a loop. Pass fresh futures each time:
/// a receive that was dropped loses nothing, but one that is kept may miss its wake-up.
pub fn first<A: Future, B: Future>(left: A, right: B) -> First<A, B> {
    First { left, right, left_first: LEFT_FIRST.replace(!LEFT_FIRST.get()) }
}

impl<A: Future, B: Future> Future for First<A, B> {
    type Output = Either<A::Output, B::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if *this.left_first
            && let Poll::Ready(value) = this.left.as_mut().poll(cx)
        {
            return Poll::Ready(Either::Left(value));
        }
        if let Poll::Ready(value) = this.right.poll(cx) {
            return Poll::Ready(Either::Right(value));
        }
        if !*this.left_first
            && let Poll::Ready(value) = this.left.poll(cx)
        {
            return Poll::Ready(Either::Left(value));
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_lite::future::block_on;

    use super::*;
    use crate::link::link;

    #[test]
    fn the_one_that_is_ready_wins() {
        for _ in 0..4 {
            assert_eq!(block_on(first(ready(1), pending::<()>())), Either::Left(1));
            assert_eq!(block_on(first(pending::<()>(), ready(2))), Either::Right(2));
        }
    }

    #[test]
    fn the_sides_take_turns_when_both_are_ready() {
        let lefts = (0..100).filter(|_| block_on(first(ready(()), ready(()))) == Either::Left(())).count();
        assert_eq!(lefts, 50);
    }

    #[test]
    fn a_receive_that_loses_the_race_loses_no_message() {
        let (link, mut inbox) = link(4);
        for number in 0..4 {
            link.try_send(number).unwrap();
        }
        let mut received = Vec::new();
        while received.len() < 4 {
            if let Either::Left(number) = block_on(first(inbox.recv(), ready(()))) {
                received.push(number.unwrap());
            }
        }
        assert_eq!(received, [0, 1, 2, 3]);
    }

    #[test]
    fn a_race_is_no_larger_than_both_sides() {
        let side = || {
            let ballast = [0_u8; 1_000];
            async move {
                pending::<()>().await;
                std::hint::black_box(&ballast);
            }
        };
        let (one, both) = (size_of_val(&side()), size_of_val(&first(side(), side())));
        assert!(both <= 2 * one + 16, "{both} bytes of two times {one}");
    }
}
