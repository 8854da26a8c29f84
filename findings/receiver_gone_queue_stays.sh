#!/usr/bin/env bash
# Rust channels whose last receiver is gone: are the queued messages dropped, or kept for as long as a sender lives?
#
# Observed on 2026-11-28, rustc 1.95.0. Kept: flume 0.12.0 (bounded and unbounded), crossbeam-channel 0.5.15 (bounded only),
# async-channel 2.5.0 and kanal 0.1.1 (both bounded and unbounded). Dropped at once: crossbeam-channel 0.5.15 (unbounded), tokio
# 1.47.1 and the standard library.
#
# It matters if a request carries its own reply channel: when the request is kept, the reply sender inside it is kept, and the caller
# waits for the reply for ever, although sending returns "disconnected" by then. A request has to watch something besides its
# reply. Needs cargo and a crate registry; takes about half a minute. Exit code 1: the behaviour has changed.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "queues"
version = "0.0.0"
edition = "2021"

[dependencies]
flume = "=0.12.0"
crossbeam-channel = "=0.5.15"
async-channel = "=2.5.0"
kanal = "=0.1.1"
tokio = { version = "=1.47.1", features = ["sync"] }
TOML
cat > src/main.rs <<'RUST'
use std::sync::{Arc, Weak};

/// Makes a message and a handle that shows if it still lives.
fn message() -> (Arc<()>, Weak<()>) {
    let message = Arc::new(());
    let seen = Arc::downgrade(&message);
    (message, seen)
}

fn report(name: &str, seen: &Weak<()>) {
    println!("{name}: {}", if seen.strong_count() > 0 { "kept" } else { "dropped" });
}

/// Sends one message, drops the receiver, checks, and drops the sender last.
macro_rules! case {
    ($name:literal, $channel:expr, $send:ident) => {{
        let (sender, receiver) = $channel;
        let (message, seen) = message();
        sender.$send(message).expect("there is room, and a receiver");
        drop(receiver);
        report($name, &seen);
        drop(sender);
        assert_eq!(seen.strong_count(), 0, "without a sender nothing is kept");
    }};
}

fn main() {
    case!("flume bounded", flume::bounded(4), send);
    case!("flume unbounded", flume::unbounded(), send);
    case!("crossbeam-channel bounded", crossbeam_channel::bounded(4), send);
    case!("crossbeam-channel unbounded", crossbeam_channel::unbounded(), send);
    case!("async-channel bounded", async_channel::bounded(4), try_send);
    case!("async-channel unbounded", async_channel::unbounded(), try_send);
    case!("kanal bounded", kanal::bounded(4), send);
    case!("kanal unbounded", kanal::unbounded(), send);
    case!("tokio bounded", tokio::sync::mpsc::channel(4), try_send);
    case!("tokio unbounded", tokio::sync::mpsc::unbounded_channel(), send);
    case!("std bounded", std::sync::mpsc::sync_channel(4), send);
    case!("std unbounded", std::sync::mpsc::channel(), send);
}
RUST
cargo run -q > seen
cat seen
diff - seen <<'EXPECTED'
flume bounded: kept
flume unbounded: kept
crossbeam-channel bounded: kept
crossbeam-channel unbounded: dropped
async-channel bounded: kept
async-channel unbounded: kept
kanal bounded: kept
kanal unbounded: kept
tokio bounded: dropped
tokio unbounded: dropped
std bounded: dropped
std unbounded: dropped
EXPECTED
echo "as described"
