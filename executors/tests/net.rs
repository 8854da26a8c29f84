//! Sockets on an executor: readiness, calls that never block, and descriptors that do not leak.

#![expect(clippy::unwrap_used, reason = "in a test every failure is a panic")]

mod child;
mod watchdog;

use std::cell::Cell;
use std::future::Future;
use std::io::{IoSlice, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;
use std::time::Duration;

use corecast_executors::{
    Either, Idle, MonotonicNs, Pacer, Pool, PoolConfig, ReadySocket, ShardContext, Topology, end_turn, first,
    link, readable_sockets, spawn_local, start,
};

const SPIN: Idle = Idle::Spin(Duration::from_micros(50));

/// Runs `body` on one shard, to its end: on one that sleeps, and on those that poll their sockets themselves.
fn on_shard<Fut>(name: &'static str, body: impl Fn(ShardContext<()>) -> Fut + Send + Clone + 'static)
where
    Fut: Future<Output = ()> + 'static,
{
    on_shards_that(name, [Idle::Park, SPIN, Idle::Busy], body);
}

/// The same on shards with these idle policies alone, one after the other.
fn on_shards_that<Fut>(
    name: &'static str,
    idle: impl IntoIterator<Item = Idle>,
    body: impl Fn(ShardContext<()>) -> Fut + Send + Clone + 'static,
) where
    Fut: Future<Output = ()> + 'static,
{
    let _watchdog = watchdog::watch(name, Duration::from_secs(60));
    let cores = Topology::detect().unwrap().allowed().to_vec();
    for idle in idle {
        let cores = cores.clone();
        let config = PoolConfig { cores, idle, ..PoolConfig::single("net") };
        let pool: Pool<()> = start(&config, body.clone()).unwrap();
        pool.stop().unwrap();
    }
}

fn pair() -> (ReadySocket, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (ReadySocket::adopt(ours.into()).unwrap(), theirs)
}

#[test]
fn reading_sees_nothing_then_bytes_then_the_end() {
    on_shard("reading_sees_nothing_then_bytes_then_the_end", |_| async {
        let (socket, mut peer) = pair();
        let mut buffer = [0; 16];
        assert_eq!(socket.try_recv(&mut buffer).unwrap(), None);
        peer.write_all(b"hello").unwrap();
        socket.readable().await.unwrap();
        assert_eq!(socket.try_recv(&mut buffer[..2]).unwrap(), Some(2));
        assert_eq!(socket.try_recv(&mut buffer[2..]).unwrap(), Some(3));
        assert_eq!(&buffer[..5], b"hello");
        drop(peer);
        socket.readable().await.unwrap();
        assert_eq!(socket.try_recv(&mut buffer).unwrap(), Some(0));
    });
}

#[test]
fn sending_stops_when_the_kernel_is_full_and_goes_on_when_it_is_not() {
    on_shard("sending_stops_when_the_kernel_is_full", |_| async {
        let (socket, mut peer) = pair();
        // More parts than one call takes.
        let part = [7_u8; 100];
        let parts: Vec<IoSlice<'_>> = (0..3_000).map(|_| IoSlice::new(&part)).collect();
        let mut sent = 0;
        while let Some(bytes) = socket.try_send_vectored(&parts).unwrap() {
            assert!(bytes <= 1_024 * part.len());
            sent += bytes;
        }
        assert!(sent > 0);
        peer.set_nonblocking(true).unwrap();
        let mut received = Vec::new();
        let _ = peer.read_to_end(&mut received);
        socket.writable().await.unwrap();
        sent += socket.try_send_vectored(&parts[..1]).unwrap().unwrap();
        socket.shutdown_write().unwrap();
        peer.set_nonblocking(false).unwrap();
        peer.read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), sent);
        assert!(received.iter().all(|&byte| byte == 7));
    });
}

#[test]
fn a_send_to_a_peer_that_is_gone_is_an_error_and_no_signal() {
    on_shard("a_send_to_a_peer_that_is_gone", |_| async {
        let (socket, peer) = pair();
        drop(peer);
        let error = socket.try_send_vectored(&[IoSlice::new(b"x")]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn listeners_of_both_families_accept_and_hand_over() {
    on_shard("listeners_of_both_families_accept", |_| async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let unix = UnixListener::bind(&path).unwrap();
        let mut tcp_peer: Option<TcpStream> = None;
        let mut unix_peer: Option<UnixStream> = None;
        for listener in [OwnedFd::from(tcp), OwnedFd::from(unix)] {
            let listener = ReadySocket::adopt(listener).unwrap();
            assert!(listener.try_accept().unwrap().is_none());
            let peer: &mut dyn std::io::Write = if tcp_peer.is_none() {
                tcp_peer.insert(TcpStream::connect(address).unwrap())
            } else {
                unix_peer.insert(UnixStream::connect(&path).unwrap())
            };
            listener.readable().await.unwrap();
            let accepted = listener.try_accept().unwrap().unwrap();
            assert!(listener.try_accept().unwrap().is_none());
            // As if it went to another shard and was adopted there.
            let socket = ReadySocket::adopt(ReadySocket::adopt(accepted).unwrap().into_fd()).unwrap();
            let mut buffer = [0; 4];
            assert_eq!(socket.try_recv(&mut buffer).unwrap(), None);
            peer.write_all(b"ping").unwrap();
            socket.readable().await.unwrap();
            assert_eq!(socket.try_recv(&mut buffer).unwrap(), Some(4));
        }
    });
}

#[test]
fn only_an_executor_adopts_and_only_sockets() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    assert!(ReadySocket::adopt(ours.into()).is_err());
    assert!(Pacer::new().is_err());
}

#[test]
fn a_wait_for_a_socket_can_be_given_up_and_taken_up_again() {
    on_shard("a_wait_for_a_socket_can_be_given_up", |_| async {
        let (socket, mut peer) = pair();
        let (stop, mut stopped) = link::<()>(1);
        for _ in 0..500 {
            stop.try_send(()).unwrap();
            assert!(matches!(first(stopped.recv(), socket.readable()).await, Either::Left(Some(()))));
        }
        peer.write_all(b"x").unwrap();
        assert!(matches!(first(stopped.recv(), socket.readable()).await, Either::Right(Ok(()))));
        let mut buffer = [0; 4];
        assert_eq!(socket.try_recv(&mut buffer).unwrap(), Some(1));
    });
}

/// Raised a turn later, by another task.
fn raised_soon() -> Rc<Cell<bool>> {
    let raised = Rc::new(Cell::new(false));
    let later = Rc::clone(&raised);
    spawn_local(async move {
        end_turn().await;
        later.set(true);
    })
    .detach();
    raised
}

#[test]
fn a_socket_that_always_has_data_leaves_turns_to_others() {
    on_shard("a_socket_that_always_has_data", |_| async {
        let (socket, mut peer) = pair();
        peer.write_all(b"x").unwrap();
        let stop = raised_soon();
        // Nobody reads it.
        while !stop.get() {
            socket.readable().await.unwrap();
        }
    });
}

#[test]
fn input_that_the_socket_does_not_show_ends_the_wait() {
    on_shard("input_that_the_socket_does_not_show", |_| async {
        let (socket, _peer) = pair();
        let stop = raised_soon();
        while !stop.get() {
            socket.readable_or(|| true).await.unwrap();
        }
    });
}

#[test]
fn an_executor_that_does_not_sleep_keeps_asking_for_input() {
    on_shards_that("an_executor_that_does_not_sleep", [SPIN, Idle::Busy], |_| async {
        let (socket, peer) = pair();
        loop {
            let has_input = raised_soon();
            let (found, rung) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
            let (is_found, rings, mut peer) =
                (Rc::clone(&found), Rc::clone(&rung), peer.try_clone().unwrap());
            spawn_local(async move {
                for _ in 0..10_000 {
                    end_turn().await;
                    if is_found.get() {
                        return;
                    }
                }
                rings.set(true);
                peer.write_all(b"x").unwrap();
            })
            .detach();
            socket.readable_or(|| has_input.get()).await.unwrap();
            found.set(true);
            if !rung.get() {
                return;
            }
            // This thread was off its CPU for longer than it looks, and slept: another time.
            socket.try_recv(&mut [0; 4]).unwrap();
        }
    });
}

#[test]
fn more_sockets_than_wake_in_one_turn_all_wake() {
    const SOCKETS: usize = 600;
    on_shard("more_sockets_than_wake_in_one_turn_all_wake", |_| async {
        let (done, mut all_done) = link(SOCKETS);
        let mut peers = Vec::new();
        for _ in 0..SOCKETS {
            let (socket, peer) = pair();
            peers.push(peer);
            let done = done.clone();
            spawn_local(async move {
                for _ in 0..3 {
                    socket.readable().await.unwrap();
                    assert_eq!(socket.try_recv(&mut [0; 4]).unwrap(), Some(1));
                    done.try_send(()).unwrap();
                }
            })
            .detach();
        }
        for _ in 0..3 {
            // They wait, or are about to.
            peers.iter_mut().for_each(|peer| peer.write_all(b"x").unwrap());
            for _ in 0..SOCKETS {
                all_done.recv().await.unwrap();
            }
        }
    });
}

#[test]
fn sockets_whose_tasks_have_yet_to_run_are_counted() {
    // The others look at their sockets themselves.
    on_shards_that("sockets_whose_tasks_have_yet_to_run_are_counted", [Idle::Park], |_| async {
        let (count, mut counts) = link(3);
        let mut peers = Vec::new();
        for _ in 0..3 {
            let (socket, peer) = pair();
            peers.push(peer);
            let count = count.clone();
            spawn_local(async move {
                socket.readable().await.unwrap();
                count.try_send(readable_sockets()).unwrap();
            })
            .detach();
        }
        // Now they wait.
        end_turn().await;
        assert_eq!(readable_sockets(), 0);
        peers.iter_mut().for_each(|peer| peer.write_all(b"x").unwrap());
        for others in [2, 1, 0] {
            assert_eq!(counts.recv().await, Some(others));
        }
    });
}

#[test]
fn a_socket_that_was_waited_for_can_move_on_and_another_has_its_place() {
    on_shard("a_socket_that_was_waited_for_can_move_on", |_| async {
        let (mut socket, mut peer) = pair();
        for _ in 0..3 {
            let given_up = first(socket.readable(), end_turn()).await;
            assert!(matches!(given_up, Either::Right(())));
            let fd = socket.into_fd();
            // What comes now wakes nobody else.
            peer.write_all(b"x").unwrap();
            let (other, _other_peer) = pair();
            assert!(matches!(first(other.readable(), end_turn()).await, Either::Right(())));
            assert_eq!(readable_sockets(), 0);
            socket = ReadySocket::adopt(fd).unwrap();
            socket.readable().await.unwrap();
            assert_eq!(socket.try_recv(&mut [0; 4]).unwrap(), Some(1));
        }
    });
}

#[test]
fn a_pacer_waits_until_the_time_and_not_at_all_for_the_past() {
    on_shard("a_pacer_waits_until_the_time", |_| async {
        let mut pacer = Pacer::new().unwrap();
        pacer.until(MonotonicNs(0)).await.unwrap();
        for microseconds in [1, 50, 1_000, 3_000, 50] {
            let deadline = MonotonicNs::now() + Duration::from_micros(microseconds);
            pacer.until(deadline).await.unwrap();
            assert!(MonotonicNs::now() >= deadline);
        }
    });
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Accepts, adopts, hands over and drops, in every way that a broker does, 200 times.
fn one_life_of_a_pool() {
    on_shard("descriptors_do_not_leak", |_| async {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let listener = ReadySocket::adopt(tcp.into()).unwrap();
        let (hand_over, mut handed) = link::<OwnedFd>(8);
        for round in 0..200 {
            let _peer = TcpStream::connect(address).unwrap();
            listener.readable().await.unwrap();
            let accepted = listener.try_accept().unwrap().unwrap();
            match round % 4 {
                0 => drop(accepted),
                1 => hand_over.try_send(accepted).unwrap(),
                2 => drop(ReadySocket::adopt(accepted).unwrap()),
                // Still waiting when the executor ends.
                _ => spawn_local(async move {
                    let socket = ReadySocket::adopt(accepted).unwrap();
                    let _ = socket.readable().await;
                    let _ = first(socket.writable(), std::future::pending::<()>()).await;
                    std::future::pending::<()>().await;
                })
                .detach(),
            }
            if round % 8 == 1 {
                drop(ReadySocket::adopt(handed.recv().await.unwrap()).unwrap());
            }
            while round % 8 == 2 && handed.try_recv().is_some() {}
            end_turn().await;
        }
        // What is left in the link goes with the link.
        assert!(listener.as_fd().try_clone_to_owned().is_ok());
    });
}

#[test]
fn descriptors_do_not_leak() {
    const TEST: &str = "descriptors_do_not_leak";
    if !child::is_child_of(TEST) {
        return child::run_to_success(TEST);
    }
    one_life_of_a_pool();
    let before = open_descriptors();
    for _ in 0..3 {
        one_life_of_a_pool();
    }
    // The runtime's thread for blocking calls goes a moment after its executor.
    let _watchdog = watchdog::watch(TEST, Duration::from_secs(30));
    while open_descriptors() > before {
        std::thread::yield_now();
    }
}
