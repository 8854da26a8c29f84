//! Owns the floor: what it costs the kernel alone to send the same bytes to the same sockets. A process of its own,
//! so that its CPU time is read as every peer's is: this command under a hidden name, told on stdin what to send.

use super::dialect::sink::Role;
use super::dialect::{Dialect, Language, lengths, native};
use super::floor_stream::FloorStream;
use super::job::{Job, Pace, wait_for};
use crate::measure::messages::Messages;
use crate::measure::payload::{PublisherIndex, RunId};
use crate::measure::workload::Workload;
use crate::process::certificate::ServerCertificate;
use crate::swarm::reports::Sent;
use crate::swarm::schedule::{Amount, Schedule};
use crate::swarm::topics::Topics;
use anyhow::{Context, bail};
use clap::Args;
use corecast::internals::transport::{self, Listening, SocketFile};
use corecast::{Endpoint, ListenConfig};
use corecast_executors::{MonotonicNs, raise_open_files, spawn_plain};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

/// The hidden subcommand's name.
pub const SUBCOMMAND: &str = "floor";
/// Bytes of a block.
const BLOCK_BYTES: usize = 64 << 10;

/// Arguments of the hidden subcommand.
#[derive(Args, Clone, Debug)]
pub struct FloorArgs {
    /// Endpoint to listen at.
    #[arg(long)]
    pub listen: Endpoint,
    /// Number of subscribers to wait for.
    #[arg(long)]
    pub subscribers: usize,
    /// Number of filters of each.
    #[arg(long)]
    pub filters: u32,
    /// Threads that send, each to its share of the sockets.
    #[arg(long)]
    pub threads: usize,
    /// Send blocks in a flood, not messages.
    #[arg(long)]
    pub blocks: bool,
    /// Send the frames that our broker would send.
    #[arg(long)]
    pub frames: bool,
    /// Folder of the certificate; without it nothing is encrypted.
    #[arg(long)]
    pub certificate: Option<PathBuf>,
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
    workload: Workload,
    size_bytes: usize,
    /// Messages of each publisher.
    messages: u64,
    /// Rate of each; none for a flood.
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
    let (rate_hz, start_ns, messages, time_max) = match job.pace {
        Pace::At { start, rate_hz, amount } => {
            let messages = Schedule::new(start, rate_hz, amount, (0, 1)).messages();
            (Some(rate_hz), start.0, messages, Duration::ZERO)
        }
        Pace::Flood { messages, time_max, .. } => (None, 0, messages, time_max),
    };
    Order {
        run: job.run.0,
        workload: job.workload,
        size_bytes: job.size_bytes,
        messages,
        rate_hz,
        start_ns,
        time_max_ns: time_max.as_nanos().try_into().unwrap_or(u64::MAX),
    }
}

/// The floor's endpoint, according to its first line.
pub fn endpoint_in(line: &str) -> Option<Endpoint> {
    serde_json::from_str::<Ready>(line).ok()?.ready.parse().ok()
}

/// Runs the floor: listens, takes all subscribers, then does what stdin says until it ends.
pub fn be_the_floor(args: &FloorArgs) -> anyhow::Result<()> {
    raise_open_files(u64::MAX).context("cannot raise the limit of open files")?;
    let (listener, _file, endpoint) = listen(&args.listen)?;
    let mut stdout = io::stdout().lock();
    say(&mut stdout, &Ready { ready: endpoint.to_string() })?;
    let subscribers = accept(&listener, args).context("cannot take the subscribers")?;
    let mut crews = split(subscribers, args.threads);
    for line in io::stdin().lock().lines() {
        let line = line.context("cannot read stdin")?;
        let order: Order = serde_json::from_str(&line).with_context(|| format!("no order: {line}"))?;
        let sent = carry_out(&mut crews, order, args)?;
        say(&mut stdout, &sent)?;
    }
    Ok(())
}

fn say(out: &mut impl Write, what: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string(what).context("cannot write what was sent")?;
    writeln!(out, "{text}").and_then(|()| out.flush()).context("cannot write to stdout")
}

/// A socket that listens, the file of a Unix socket, and the endpoint with the port that the kernel chose.
fn listen(asked: &Endpoint) -> anyhow::Result<(Socket, Option<SocketFile>, Endpoint)> {
    // The floor adds TLS by itself.
    let plain = match asked.clone() {
        Endpoint::Tls { host, port, .. } => Endpoint::Tcp { host, port },
        other => other,
    };
    let Listening { file, sockets, endpoint } = transport::listen(&plain, &ListenConfig::default())?;
    let socket = sockets.into_iter().next().expect("a listener has a socket at least");
    let socket = Socket::from(OwnedFd::from(socket));
    socket.set_nonblocking(false).context("cannot wait for connections")?;
    let endpoint = match (endpoint, asked) {
        (Endpoint::Tcp { host, port }, Endpoint::Tls { .. }) => Endpoint::Tls { host, port, pin: None },
        (endpoint, _) => endpoint,
    };
    Ok((socket, file, endpoint))
}

/// All subscribers, as they are numbered in the swarm.
fn accept(listener: &Socket, args: &FloorArgs) -> io::Result<Vec<Subscriber>> {
    let welcome = if args.frames { native::welcome(args.filters) } else { lengths::WELCOME.to_vec() };
    let tls = args.certificate.as_deref().map(|folder| ServerCertificate::of(folder).server()).transpose()?;
    let mut subscribers = Vec::with_capacity(args.subscribers);
    while subscribers.len() < args.subscribers {
        let (socket, address) = listener.accept()?;
        if address.domain() != Domain::UNIX {
            socket.set_tcp_nodelay(true)?;
        }
        let mut stream = FloorStream::over(socket, tls.as_ref())?;
        let number = if args.frames { native::accept(&mut stream)? } else { lengths::accept(&mut stream)? };
        stream.write_all(&welcome)?;
        subscribers.push((number, stream));
    }
    subscribers.sort_by_key(|(number, _)| *number);
    Ok(subscribers)
}

/// A subscriber's number, and its stream.
type Subscriber = (usize, FloorStream);
/// The subscribers that one thread sends to.
type Crew = Vec<Subscriber>;

fn split(subscribers: Vec<Subscriber>, threads: usize) -> Vec<Crew> {
    let threads = threads.clamp(1, subscribers.len().max(1));
    let mut crews: Vec<Crew> = (0..threads).map(|_| Vec::new()).collect();
    for (index, subscriber) in subscribers.into_iter().enumerate() {
        crews[index % threads].push(subscriber);
    }
    crews
}

/// One thread does it itself; several each do it for their subscribers, and give them back.
fn carry_out(crews: &mut [Crew], order: Order, args: &FloorArgs) -> anyhow::Result<Sent> {
    if let [crew] = crews {
        return send(crew, order, args, &End::of(1)).context("cannot send");
    }
    let mut threads = Vec::new();
    let end = Arc::new(End::of(crews.len()));
    for crew in crews.iter_mut() {
        let (mut own, end, args) = (std::mem::take(crew), end.clone(), args.clone());
        threads.push(spawn_plain("floor", move || {
            let sent = send(&mut own, order, &args, &end);
            (own, sent)
        })?);
    }
    let mut whole: Option<Sent> = None;
    for (crew, thread) in crews.iter_mut().zip(threads) {
        let Ok((own, sent)) = thread.join() else { bail!("a thread of the floor has panicked") };
        *crew = own;
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

fn send(crew: &mut Crew, order: Order, args: &FloorArgs, end: &End) -> io::Result<Sent> {
    let mut stream = Interleaved::new(&order, args.language())?;
    let publishers = order.workload.publishers as u64;
    let all = order.messages.saturating_mul(publishers);
    match order.rate_hz {
        Some(rate_hz) => {
            // Their schedules interlock.
            let amount = Amount::Messages(all);
            let together = rate_hz * publishers as f64;
            let schedule = Schedule::new(MonotonicNs(order.start_ns), together, amount, (0, 1));
            send_at(&mut Outgoing::new(crew, &order.workload, 1), &schedule, &mut stream)
        }
        None => {
            let message_bytes = Interleaved::new(&order, args.language())?.message_bytes();
            let block_bytes = if args.blocks { BLOCK_BYTES } else { message_bytes };
            let outgoing = Outgoing::new(crew, &order.workload, block_bytes);
            let block = (block_bytes / message_bytes).max(1) as u64;
            Flood { stream, outgoing, block, sent: 0 }.run(all, &order, end)
        }
    }
}

/// The messages of all publishers, one of each in turn.
struct Interleaved {
    messages: Vec<Messages>,
    encoders: Vec<Dialect>,
    next: usize,
    /// The publisher and the topic of the last message, which the next one may join.
    last: (usize, u32),
    names: Vec<String>,
    out: Vec<u8>,
}

impl Interleaved {
    fn new(order: &Order, language: Language) -> io::Result<Self> {
        let messages = |index: usize| {
            let publisher = PublisherIndex(index as u32);
            let messages = Messages::new(RunId(order.run), &order.workload, publisher, order.size_bytes);
            messages.map_err(io::Error::other)
        };
        let encoder = |index: usize| {
            let mut encoder = Dialect::new(language, Role::Publisher, index);
            if let Dialect::Native(native) = &mut encoder {
                native.gather_runs(BLOCK_BYTES);
            }
            encoder
        };
        let publishers = 0..order.workload.publishers;
        Ok(Interleaved {
            messages: publishers.clone().map(messages).collect::<io::Result<_>>()?,
            encoders: publishers.map(encoder).collect(),
            next: 0,
            last: (0, 0),
            names: Topics::of_peers(order.workload, language.separator()).names().collect(),
            out: Vec::new(),
        })
    }

    /// The bytes of a message by itself.
    fn message_bytes(&mut self) -> usize {
        let (topic, payload) = self.messages[0].next(MonotonicNs(0));
        self.out.clear();
        self.encoders[0].publish(&self.names[topic as usize], payload, &mut self.out);
        self.encoders[0].finish(&mut self.out);
        self.out.len()
    }

    /// Adds the next message to what is outgoing. It may be kept back, for the next ones to join it.
    fn push(&mut self, due: MonotonicNs, outgoing: &mut Outgoing<'_>) -> io::Result<()> {
        let Interleaved { messages, encoders, last, names, out, .. } = self;
        let (publisher, next) = (self.next, (self.next + 1) % messages.len());
        let (topic, payload) = messages[publisher].next(due);
        if *last != (publisher, topic) {
            finish(&mut encoders[last.0], last.1, out, outgoing)?;
        }
        (self.next, *last) = (next, (publisher, topic));
        out.clear();
        encoders[publisher].publish(&names[topic as usize], payload, out);
        outgoing.push(topic, out)
    }

    /// Adds what is kept back.
    fn finish(&mut self, outgoing: &mut Outgoing<'_>) -> io::Result<()> {
        let (publisher, topic) = self.last;
        finish(&mut self.encoders[publisher], topic, &mut self.out, outgoing)
    }
}

/// Adds what this publisher keeps back of messages on a topic.
fn finish(
    encoder: &mut Dialect,
    topic: u32,
    out: &mut Vec<u8>,
    outgoing: &mut Outgoing<'_>,
) -> io::Result<()> {
    out.clear();
    encoder.finish(out);
    outgoing.push(topic, out)
}

/// The bytes on their way to the subscribers of one thread: in blocks, each with a `send` for each socket, which waits
/// where the kernel has no room.
struct Outgoing<'a> {
    crew: &'a mut Crew,
    /// For each topic the subscribers that want it, by their places; `None`: everybody wants everything.
    wanting: Option<Vec<Vec<usize>>>,
    block_bytes: usize,
    /// The block of each subscriber that wants a part; the first one is everybody's where all want all.
    blocks: Vec<Vec<u8>>,
}

impl<'a> Outgoing<'a> {
    fn new(crew: &'a mut Crew, workload: &Workload, block_bytes: usize) -> Self {
        let interest = |(number, _): &Subscriber| workload.wanted_by(*number);
        let interests: Vec<Vec<u32>> = crew.iter().map(interest).collect();
        let partial = interests.iter().any(|topics| topics.len() < workload.topics());
        let wanting = partial.then(|| {
            let mut wanting = vec![Vec::new(); workload.topics()];
            for (place, topics) in interests.iter().enumerate() {
                topics.iter().for_each(|topic| wanting[*topic as usize].push(place));
            }
            wanting
        });
        let blocks = vec![Vec::new(); if partial { crew.len() } else { 1 }];
        Outgoing { crew, wanting, block_bytes, blocks }
    }

    /// Adds a message, and sends the blocks that are full with it.
    fn push(&mut self, topic: u32, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let Some(wanting) = &self.wanting else {
            self.blocks[0].extend_from_slice(bytes);
            // The next message would not fit.
            return if self.blocks[0].len() + bytes.len() > self.block_bytes { self.flush() } else { Ok(()) };
        };
        for place in &wanting[topic as usize] {
            let block = &mut self.blocks[*place];
            block.extend_from_slice(bytes);
            if block.len() + bytes.len() > self.block_bytes {
                self.crew[*place].1.write_all(block)?;
                block.clear();
            }
        }
        Ok(())
    }

    /// Sends all that waits.
    fn flush(&mut self) -> io::Result<()> {
        for (place, (_, stream)) in self.crew.iter_mut().enumerate() {
            let block = if self.wanting.is_some() { &self.blocks[place] } else { &self.blocks[0] };
            if !block.is_empty() {
                stream.write_all(block)?;
            }
        }
        self.blocks.iter_mut().for_each(Vec::clear);
        Ok(())
    }
}

fn send_at(outgoing: &mut Outgoing<'_>, schedule: &Schedule, stream: &mut Interleaved) -> io::Result<Sent> {
    let mut sent = Sent { sent: 0, intended: schedule.messages(), late: 0, started_ns: schedule.due(0).0 };
    while sent.sent < sent.intended {
        let due = wait_for(schedule, sent.sent);
        sent.late += u64::from(schedule.is_late(due, MonotonicNs::now()));
        stream.push(due, outgoing)?;
        stream.finish(outgoing)?;
        sent.sent += 1;
    }
    Ok(sent)
}

struct Flood<'a> {
    stream: Interleaved,
    outgoing: Outgoing<'a>,
    /// Messages between two looks at the clock.
    block: u64,
    sent: u64,
}

impl Flood<'_> {
    fn run(&mut self, messages: u64, order: &Order, end: &End) -> io::Result<Sent> {
        let started = MonotonicNs::now();
        let over = started + Duration::from_nanos(order.time_max_ns);
        while self.sent < messages && MonotonicNs::now() <= over {
            self.send_block(messages)?;
        }
        let furthest = end.agree(self.sent);
        while self.sent < furthest {
            self.send_block(furthest)?;
        }
        self.outgoing.flush()?;
        Ok(Sent { sent: self.sent, intended: self.sent, late: 0, started_ns: started.0 })
    }

    fn send_block(&mut self, messages: u64) -> io::Result<()> {
        let now = MonotonicNs::now();
        for _ in 0..self.block.min(messages - self.sent) {
            self.stream.push(now, &mut self.outgoing)?;
            self.sent += 1;
        }
        self.stream.finish(&mut self.outgoing)
    }
}
