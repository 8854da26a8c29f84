//! Owns the floor: what it costs the kernel alone to send the same bytes to the same sockets. A process of its own,
//! so that its CPU time is read as every peer's is: this command under a hidden name, told on stdin what to send.

use super::dialect::sink::Role;
use super::dialect::{Dialect, Language, lengths, native};
use super::job::{Job, Pace, wait_for};
use super::socket;
use crate::measure::payload::{Payload, PublisherIndex, RunId};
use crate::swarm::reports::Sent;
use crate::swarm::schedule::{Amount, Schedule};
use anyhow::{Context, bail};
use clap::Args;
use corecast::Endpoint;
use corecast_executors::{MonotonicNs, raise_open_files, spawn_plain};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};
use std::io::{self, BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

/// The hidden subcommand's name.
pub const SUBCOMMAND: &str = "floor";
/// Bytes of a block.
const BLOCK_BYTES: usize = 64 << 10;
/// Connections that wait to be taken: as many as the kernel has room for by default.
const BACKLOG: i32 = 4096;

/// Arguments of the hidden subcommand.
#[derive(Args, Clone, Debug)]
pub struct FloorArgs {
    /// Endpoint to listen at.
    #[arg(long)]
    pub listen: Endpoint,
    /// Number of subscribers to wait for.
    #[arg(long)]
    pub subscribers: usize,
    /// Threads that send, each to its share of the sockets.
    #[arg(long)]
    pub threads: usize,
    /// Send blocks in a flood, not messages.
    #[arg(long)]
    pub blocks: bool,
    /// Send the frames that our broker would send.
    #[arg(long)]
    pub frames: bool,
}

impl FloorArgs {
    fn language(&self) -> Language {
        if self.frames { Language::Native } else { Language::Lengths }
    }
}

/// One job, as a line of JSON.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    run: u64,
    size_bytes: usize,
    messages: u64,
    /// Rate; none for a flood.
    rate_hz: Option<f64>,
    start_ns: u64,
    time_max_ns: u64,
}

/// The first line of the process, as JSON.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Ready {
    ready: String,
}

/// The floor's process, as the one that started it sees it.
#[derive(Debug)]
pub struct Floor {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Floor {
    /// The floor behind these pipes, whose first line has been read.
    pub fn new(stdin: ChildStdin, stdout: BufReader<ChildStdout>) -> Self {
        Floor { stdin, stdout }
    }

    /// Has the process send all that the job says. It cannot be halted: ending its process does that.
    pub fn carry_out(&mut self, job: &Job) -> io::Result<Sent> {
        let answer = self.ask(&order(job))?;
        serde_json::from_str(&answer)
            .map_err(|_| io::Error::other(format!("its process says `{}`", answer.trim_end())))
    }

    fn ask(&mut self, order: &Order) -> io::Result<String> {
        let mut line = serde_json::to_vec(order).expect("an order is numbers");
        line.push(b'\n');
        self.stdin.write_all(&line)?;
        self.stdin.flush()?;
        let mut answer = String::new();
        match self.stdout.read_line(&mut answer)? {
            0 => Err(io::Error::other("its process has ended")),
            _ => Ok(answer),
        }
    }
}

fn order(job: &Job) -> Order {
    let (run, size_bytes) = (job.run.0, job.size_bytes);
    match job.pace {
        Pace::At(schedule) => {
            let (start_ns, messages) = (schedule.due(0).0, schedule.messages());
            Order { run, size_bytes, messages, rate_hz: Some(schedule.rate_hz()), start_ns, time_max_ns: 0 }
        }
        Pace::Flood { messages, time_max, .. } => {
            let time_max_ns = time_max.as_nanos().try_into().unwrap_or(u64::MAX);
            Order { run, size_bytes, messages, rate_hz: None, start_ns: 0, time_max_ns }
        }
    }
}

/// The floor's endpoint, according to its first line.
pub fn endpoint_in(line: &str) -> Option<Endpoint> {
    serde_json::from_str::<Ready>(line).ok()?.ready.parse().ok()
}

/// Runs the floor: listens, takes all subscribers, then does what stdin says until it ends.
pub fn be_the_floor(args: &FloorArgs) -> anyhow::Result<()> {
    raise_open_files(u64::MAX).context("cannot raise the limit of open files")?;
    let listener = listen(&args.listen).with_context(|| format!("cannot listen on {}", args.listen))?;
    let mut stdout = io::stdout().lock();
    say(&mut stdout, &Ready { ready: bound(&listener, &args.listen)?.to_string() })?;
    let sockets = accept(&listener, args).context("cannot take the subscribers")?;
    let crews: Vec<Arc<Crew>> = split(sockets, args.threads).into_iter().map(Arc::new).collect();
    for line in io::stdin().lock().lines() {
        let line = line.context("cannot read stdin")?;
        let order: Order = serde_json::from_str(&line).with_context(|| format!("no order: {line}"))?;
        let sent = carry_out(&crews, order, args)?;
        say(&mut stdout, &sent)?;
    }
    Ok(())
}

fn say(out: &mut impl Write, what: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string(what).context("cannot write what was sent")?;
    writeln!(out, "{text}").and_then(|()| out.flush()).context("cannot write to stdout")
}

fn listen(endpoint: &Endpoint) -> io::Result<Socket> {
    let address = socket::address(endpoint)?;
    let listener = Socket::new(address.domain(), Type::STREAM, None)?;
    listener.bind(&address)?;
    listener.listen(BACKLOG)?;
    Ok(listener)
}

/// The endpoint with the port that the kernel chose.
fn bound(listener: &Socket, asked: &Endpoint) -> anyhow::Result<Endpoint> {
    let port = listener.local_addr().context("cannot read its own address")?.as_socket();
    Ok(match (asked, port) {
        (Endpoint::Tcp { host, .. }, Some(address)) => {
            Endpoint::Tcp { host: host.clone(), port: address.port() }
        }
        (asked, _) => asked.clone(),
    })
}

fn accept(listener: &Socket, args: &FloorArgs) -> io::Result<Vec<Socket>> {
    let welcome = if args.frames { native::welcome() } else { lengths::WELCOME.to_vec() };
    let mut sockets = Vec::with_capacity(args.subscribers);
    while sockets.len() < args.subscribers {
        let (mut socket, address) = listener.accept()?;
        if address.domain() != Domain::UNIX {
            socket.set_tcp_nodelay(true)?;
        }
        socket.write_all(&welcome)?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// The sockets that one thread sends to.
type Crew = Vec<Socket>;

fn split(sockets: Vec<Socket>, threads: usize) -> Vec<Crew> {
    let threads = threads.clamp(1, sockets.len().max(1));
    let mut crews: Vec<Crew> = (0..threads).map(|_| Vec::new()).collect();
    for (index, socket) in sockets.into_iter().enumerate() {
        crews[index % threads].push(socket);
    }
    crews
}

/// One thread does it itself; several each do it for their sockets.
fn carry_out(crews: &[Arc<Crew>], order: Order, args: &FloorArgs) -> anyhow::Result<Sent> {
    if let [crew] = crews {
        return send(crew, order, args, &End::of(1)).context("cannot send");
    }
    let mut threads = Vec::new();
    let end = Arc::new(End::of(crews.len()));
    for crew in crews {
        let (crew, end, args) = (crew.clone(), end.clone(), args.clone());
        threads.push(spawn_plain("floor", move || send(&crew, order, &args, &end))?);
    }
    let mut whole: Option<Sent> = None;
    for thread in threads {
        let Ok(sent) = thread.join() else { bail!("a thread of the floor has panicked") };
        let sent = sent.context("cannot send")?;
        whole = Some(whole.map_or(sent, |whole| Sent {
            late: whole.late.max(sent.late),
            started_ns: whole.started_ns.min(sent.started_ns),
            ..whole
        }));
    }
    whole.context("there is no thread")
}

/// The end of a flood: when its time is over, all threads go on to where the furthest is, so that every subscriber
/// gets the same messages.
struct End {
    all: Barrier,
    furthest: AtomicU64,
}

impl End {
    fn of(threads: usize) -> Self {
        End { all: Barrier::new(threads), furthest: AtomicU64::new(0) }
    }

    /// The position of the furthest, once every thread has come here.
    fn agree(&self, sent: u64) -> u64 {
        self.furthest.fetch_max(sent, Ordering::SeqCst);
        self.all.wait();
        self.furthest.load(Ordering::SeqCst)
    }
}

fn send(crew: &Crew, order: Order, args: &FloorArgs, end: &End) -> io::Result<Sent> {
    let payload = Payload::new(RunId(order.run), PublisherIndex(0), order.size_bytes);
    let mut payload = payload.map_err(io::Error::other)?;
    let mut encoder = Dialect::new(args.language(), Role::Publisher, 0);
    match order.rate_hz {
        Some(rate_hz) => {
            let amount = Amount::Messages(order.messages);
            let schedule = Schedule::new(MonotonicNs(order.start_ns), rate_hz, amount, (0, 1));
            send_at(crew, &schedule, &mut payload, &mut encoder)
        }
        None => {
            let mut out = Vec::with_capacity(2 * BLOCK_BYTES);
            encoder.publish(payload.stamp(0, MonotonicNs(0)), &mut out);
            let block = if args.blocks { (BLOCK_BYTES / out.len()).max(1) as u64 } else { 1 };
            let mut flood = Flood { crew, payload, encoder, block, sent: 0, out };
            flood.run(&order, end)
        }
    }
}

fn send_at(
    crew: &Crew,
    schedule: &Schedule,
    payload: &mut Payload,
    encoder: &mut Dialect,
) -> io::Result<Sent> {
    let mut sent = Sent { sent: 0, intended: schedule.messages(), late: 0, started_ns: schedule.due(0).0 };
    let mut out = Vec::new();
    while sent.sent < sent.intended {
        let due = wait_for(schedule, sent.sent);
        sent.late += u64::from(schedule.is_late(due, MonotonicNs::now()));
        out.clear();
        encoder.publish(payload.stamp(sent.sent, due), &mut out);
        to_all(crew, &out)?;
        sent.sent += 1;
    }
    Ok(sent)
}

struct Flood<'a> {
    crew: &'a Crew,
    payload: Payload,
    encoder: Dialect,
    block: u64,
    sent: u64,
    out: Vec<u8>,
}

impl Flood<'_> {
    fn run(&mut self, order: &Order, end: &End) -> io::Result<Sent> {
        let started = MonotonicNs::now();
        let over = started + Duration::from_nanos(order.time_max_ns);
        while self.sent < order.messages && MonotonicNs::now() <= over {
            self.send_block(order.messages)?;
        }
        let furthest = end.agree(self.sent);
        while self.sent < furthest {
            self.send_block(furthest)?;
        }
        Ok(Sent { sent: self.sent, intended: self.sent, late: 0, started_ns: started.0 })
    }

    fn send_block(&mut self, messages: u64) -> io::Result<()> {
        let now = MonotonicNs::now();
        self.out.clear();
        for _ in 0..self.block.min(messages - self.sent) {
            self.encoder.publish(self.payload.stamp(self.sent, now), &mut self.out);
            self.sent += 1;
        }
        to_all(self.crew, &self.out)
    }
}

/// The bare loop: a `send` for each socket, which waits where the kernel has no room.
fn to_all(crew: &Crew, bytes: &[u8]) -> io::Result<()> {
    for mut socket in crew {
        socket.write_all(bytes)?;
    }
    Ok(())
}
