//! Owns the floor of an echo: two threads, pinned to the cores that the other runs use, which spin on the two ends of
//! one connection without ever sleeping. One writes the bytes of a frame and reads as many; the other gives back what
//! it reads. They run as bodies of executors, which is how a thread gets a core here; neither body ever waits.

use super::asker::{Asker, Told, failed, pool_failed};
use crate::experiment::plan::Plan;
use crate::experiment::run::RunError;
use crate::measure::messages::Messages;
use crate::measure::payload::{PublisherIndex, RunId, SizeError};
use crate::measure::workload::Workload;
use crate::process::transport::Transport;
use crate::swarm::reports::Failure;
use crate::swarm::topics::Topics;
use corecast::internals::wire::{Frame, encode_to_vec};
use corecast_executors::{
    Idle, Link, MonotonicNs, Pool, PoolConfig, Reactor, ShardId, Sockets, start as start_pool,
};
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;

/// The threads' name.
const POOL: &str = "bench-bare";
const ANSWERER: ShardId = ShardId(0);
/// Capacity of the executors' links, on which nothing is ever sent.
const COMMANDS_MAX: usize = 1;
/// Reads in vain between two looks at whether anybody still waits: well over what an answer takes.
const READS_PER_LOOK: u32 = 100_000;
/// Bytes that the answerer reads at once.
const READ_BYTES: usize = 64 << 10;

/// Starts both threads; they end by themselves when all is asked, or when nobody waits for it.
pub(super) fn start(plan: &Plan, link: Link<Told>) -> Result<Pool<()>, RunError> {
    let bytes = frame(plan.size_bytes).map_err(|error| failed("no frame", &error.to_string()))?;
    let (asking, answering) =
        pair(plan.transport()).map_err(|error| failed("cannot connect two sockets", &error.to_string()))?;
    let config = PoolConfig {
        name: POOL.into(),
        cores: [&plan.fan_out_cores[..], &plan.subscriber_cores[..]].concat(),
        shards: 2,
        idle: Idle::Busy,
        sockets: Sockets::Few,
        reactor: Reactor::IoUring,
        link_capacity: COMMANDS_MAX,
    };
    let (ends, amount) = (Arc::new((asking, answering)), plan.amount);
    start_pool(&config, move |context| {
        let (bytes, link, ends) = (bytes.clone(), link.clone(), ends.clone());
        async move {
            let (asking, answering) = &*ends;
            if context.shard == ANSWERER {
                // The other end says what went wrong, if anything did.
                let _ = give_back(answering);
                let _ = answering.shutdown(Shutdown::Both);
            } else {
                let mut asker = Asker::new(amount, link);
                let ended = ask(asking, &bytes, &mut asker);
                let _ = asking.shutdown(Shutdown::Both);
                asker.finish(ended.map_err(|error| Failure::new("the bare echo", error.to_string())));
            }
        }
    })
    .map_err(pool_failed)
}

/// The very bytes that a message of this payload is on our wire.
fn frame(size_bytes: usize) -> Result<Vec<u8>, SizeError> {
    let run = RunId(fastrand::u64(..));
    let workload = Workload::own(1);
    let mut messages = Messages::new(run, &workload, PublisherIndex(0), size_bytes)?;
    let topic = Topics::new(run, workload).name(0);
    let frame = Frame::Message {
        topic: topic.as_bytes(),
        payload: messages.next(MonotonicNs::now()).1,
        publisher: fastrand::u64(..),
        sequence: 1,
        sent_at_ns: 0,
    };
    Ok(encode_to_vec(&frame))
}

/// Both ends of a connection, neither of which ever waits for anything.
fn pair(transport: Transport) -> io::Result<(Socket, Socket)> {
    let (asking, answering) = match transport {
        Transport::Uds => Socket::pair(Domain::UNIX, Type::STREAM, None)?,
        // The bare connection is bare: TLS is part of what it is held against.
        Transport::Tcp | Transport::Tls => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let asking = TcpStream::connect(listener.local_addr()?)?;
            let (answering, _) = listener.accept()?;
            asking.set_nodelay(true)?;
            answering.set_nodelay(true)?;
            (asking.into(), answering.into())
        }
    };
    asking.set_nonblocking(true)?;
    answering.set_nonblocking(true)?;
    Ok((asking, answering))
}

/// Asks until all is asked.
fn ask(mut socket: &Socket, bytes: &[u8], asker: &mut Asker) -> io::Result<()> {
    let mut answer = vec![0; bytes.len()];
    loop {
        let asked = MonotonicNs::now();
        let (mut written, mut read, mut in_vain) = (0, 0, 0);
        while read < bytes.len() {
            // Both at once: with a large frame the other end gives back before it has all.
            if written < bytes.len() {
                written += now_or_not(|| socket.write(&bytes[written..]))?.unwrap_or(0);
            }
            match now_or_not(|| socket.read(&mut answer[read..]))? {
                Some(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Some(length) => read += length,
                None => in_vain += 1,
            }
            if in_vain >= READS_PER_LOOK {
                in_vain = 0;
                if asker.is_given_up() {
                    return Ok(());
                }
            }
        }
        if !asker.answered(asked, MonotonicNs::now()) || asker.is_given_up() {
            return Ok(());
        }
    }
}

/// Gives back what comes, until nothing more can.
fn give_back(mut socket: &Socket) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let Some(length) = now_or_not(|| socket.read(&mut buffer))? else { continue };
        if length == 0 {
            return Ok(());
        }
        let mut given = 0;
        while given < length {
            given += now_or_not(|| socket.write(&buffer[given..length]))?.unwrap_or(0);
        }
    }
}

/// The result of a call that never waits; nothing if it would have had to wait.
fn now_or_not(call: impl FnOnce() -> io::Result<usize>) -> io::Result<Option<usize>> {
    match call() {
        Ok(length) => Ok(Some(length)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            std::hint::spin_loop();
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_a_frame() {
        let bytes = frame(64).unwrap();
        let body = corecast::internals::wire::CheckedFrame::check(
            &bytes[corecast::internals::limits::LENGTH_BYTES..],
        )
        .unwrap();
        let Frame::Message { payload, .. } = body.frame() else { panic!("it is a message") };
        assert_eq!(payload.len(), 64);
    }

    #[test]
    fn what_is_written_comes_back_over_both_transports() {
        for transport in [Transport::Tcp, Transport::Uds] {
            let (asking, answering) = pair(transport).unwrap();
            let echo = corecast_executors::spawn_plain("echo", move || give_back(&answering)).unwrap();
            let (link, mut inbox) = corecast_executors::link(64);
            let mut asker = Asker::new(crate::swarm::schedule::Amount::Messages(20), link);
            // Longer than what a socket takes at once: neither end may wait for the other.
            ask(&asking, &vec![7; 1 << 20][..], &mut asker).unwrap();
            asker.finish(Ok(()));
            drop(asking);
            echo.join().unwrap().unwrap();
            let asked = std::iter::from_fn(|| inbox.try_recv()).find_map(|told| match told {
                Told::Done(asked) => Some(asked),
                _ => None,
            });
            assert_eq!(asked.unwrap().latencies.len(), 20);
        }
    }
}
