#!/usr/bin/env bash
# glommio-ng 0.12.0: tasks that end in one of two ways are never freed.
#
# One is a task whose handle is detached while the runtime drops its finished future, as happens in a register of running tasks that
# releases a task when it ends. The other is a task that is cancelled, by dropping its handle, while it waits for something that
# holds none of its wakers. The allocation is never freed. If the task is detached earlier, or awaited, nothing leaks. Measured on
# 2026-11-28, rustc 1.95.0, Linux 6.18, by counting bytes in the global allocator over 10,000 tasks; a long-lived executor with one
# task per connection grows by that much for each.
#
# Needs cargo, a crate registry, io_uring and 512 KiB of memlock; the build takes a minute. Exit code 1: the behaviour has changed.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "detached"
version = "0.0.0"
edition = "2021"

[dependencies]
glommio = { package = "glommio-ng", version = "=0.12.0", default-features = false }
futures-lite = "=2.6.1"
TOML
cat > src/main.rs <<'RUST'
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::task::{Context, Poll};

use glommio::{LocalExecutorBuilder, Placement, Task};

static LIVE: AtomicIsize = AtomicIsize::new(0);

/// The system's allocator, with a count of live bytes.
struct Counting;

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        System.alloc(layout)
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        System.dealloc(at, layout)
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TASKS: isize = 10_000;

type Kept = Rc<RefCell<Option<Task<()>>>>;

/// A guard inside a future: detaches the handle stored here, if any, when the future is dropped.
struct DetachInDrop(Kept);

impl Drop for DetachInDrop {
    fn drop(&mut self) {
        if let Some(handle) = self.0.borrow_mut().take() {
            handle.detach();
        }
    }
}

/// Ready at its second poll.
struct Body {
    polled: bool,
    _inside: DetachInDrop,
}

impl Future for Body {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.polled, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

async fn turns() {
    for _ in 0..4 {
        futures_lite::future::yield_now().await;
    }
}

#[derive(Clone, Copy)]
enum How {
    Awaited,
    DetachedAtOnce,
    DetachedInDrop,
    CancelledAsItWaits,
}

async fn one(how: How) {
    let kept = Kept::default();
    let inside = DetachInDrop(Rc::clone(&kept));
    // Not an async block, which drops its captures as it ends: the runtime drops this one after its last poll.
    let task = glommio::spawn_local(Body { polled: false, _inside: inside });
    match how {
        How::Awaited => task.await,
        How::DetachedAtOnce => {
            task.detach();
        }
        How::DetachedInDrop => *kept.borrow_mut() = Some(task),
        How::CancelledAsItWaits => {
            drop(task);
            let waits = glommio::spawn_local(std::future::pending::<()>());
            turns().await;
            drop(waits);
        }
    }
    turns().await;
}

async fn grown_per_task(how: How) -> isize {
    // Once before the measurement, so that queues have their capacity.
    for _ in 0..1_000 {
        one(how).await;
    }
    let before = LIVE.load(Ordering::Relaxed);
    for _ in 0..TASKS {
        one(how).await;
    }
    (LIVE.load(Ordering::Relaxed) - before) / TASKS
}

fn main() {
    let executor = LocalExecutorBuilder::new(Placement::Unbound).io_memory(64 << 10).make().expect("io_uring");
    executor.run(async {
        for (name, how) in [
            ("awaited", How::Awaited),
            ("detached at once", How::DetachedAtOnce),
            ("detached as its future is dropped", How::DetachedInDrop),
            ("cancelled as it waits", How::CancelledAsItWaits),
        ] {
            let bytes = grown_per_task(how).await;
            println!("{name}: {}", if bytes == 0 { "nothing stays" } else { "stays" });
            eprintln!("{name}: {bytes} bytes a task");
        }
    });
}
RUST
cargo run -q > seen
cat seen
diff - seen <<'EXPECTED'
awaited: nothing stays
detached at once: nothing stays
detached as its future is dropped: stays
cancelled as it waits: stays
EXPECTED
echo "as described"
