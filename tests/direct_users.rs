//! Direct publishers of a broker with users: who is let in and for how long, what becomes of streams when rights are revoked and
//! when the broker is started again, and ZeroMQ subscribers, who hear them by way of the broker.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod running;
mod watchdog;
mod zmtp_broker;
mod zmtp_peer;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use broker_process::{BrokerProcess, Transport};
use corecast::internals::auth::{Secret, TokenHash};
use corecast::internals::limits::{LENGTH_BYTES, TICKET_GRACE};
use corecast::internals::wire::{CheckedFrame, Frame, announced_bytes, encode_to_vec, greeting};
use corecast::{
    ClientConfig, Endpoint, ErrorCode, ErrorKind, Event, Filter, GapReason, Publisher, Subscriber, Token,
};
use corecast_executors::{MonotonicNs, pause, spawn_plain};
use nix::sys::signal::Signal;
use running::{at, said, start};
use tempfile::TempDir;
use zmtp_broker::Door;
use zmtp_peer::Said;

/// Long enough for whatever is on its way; the watchdog ends what never comes.
const PATIENCE: Duration = Duration::from_secs(60);

const FEEDS: &str = "register = ['prices.>']";
const DESK: &str = "subscribe = ['prices.>']";

/// A folder with a file of users, and a place for a publisher to listen.
struct Team(TempDir);

impl Team {
    /// Users of these names, with these rights; each has its name as its token, unless others stand there.
    fn of(users: &[(&str, &str)]) -> Team {
        let team = Team(tempfile::tempdir().expect("a folder"));
        team.write(users);
        team
    }

    fn write(&self, users: &[(&str, &str)]) {
        let user = |(name, rights): &(&str, &str)| {
            let token = TokenHash::of(&Secret::new(name.as_bytes()));
            let token = if *name == "anonymous" || rights.contains("tokens") {
                String::new()
            } else {
                format!("tokens = ['{token}']\n")
            };
            format!("[[user]]\nname = '{name}'\n{token}{rights}\n")
        };
        fs::write(self.file(), users.iter().map(user).collect::<String>()).expect("written");
        fs::set_permissions(self.file(), fs::Permissions::from_mode(0o600)).expect("a mode");
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("users.toml")
    }

    fn args(&self) -> Vec<String> {
        ["--mode", "direct", "--shards", "2", "--users"]
            .map(str::to_owned)
            .into_iter()
            .chain([self.file().display().to_string()])
            .collect()
    }

    fn broker(&self) -> BrokerProcess {
        let args = self.args();
        BrokerProcess::start(Transport::Tcp, &args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Where the publisher of this team listens.
    fn door(&self) -> PathBuf {
        self.0.path().join("publisher.sock")
    }

    fn publisher(&self, broker: &BrokerProcess) -> Publisher {
        let mut config = client(broker, "feeds");
        config.direct = config.direct.listen(Some(Endpoint::Uds { path: self.door() }));
        Publisher::with_config(config).expect("a user")
    }
}

fn client(broker: &BrokerProcess, user: &str) -> ClientConfig {
    broker.client().token(Token::new(user).expect("a token"))
}

fn prices() -> [Filter; 1] {
    [Filter::parse("prices.>").expect("a filter")]
}

fn desk(broker: &BrokerProcess) -> Subscriber {
    Subscriber::with_config(client(broker, "desk"), &prices()).expect("a user")
}

/// The payload of the next message.
fn next(subscriber: &mut Subscriber) -> Vec<u8> {
    match subscriber.recv_timeout(PATIENCE).expect("it is well") {
        Some(Event::Message(message)) => message.payload.to_vec(),
        other => panic!("{other:?} in the place of a message"),
    }
}

/// A client without a library, which keeps to no rule.
struct Raw<S> {
    stream: S,
    received: Vec<u8>,
    /// The greeting was read.
    is_greeted: bool,
}

impl<S: Read + Write> Raw<S> {
    /// Greets, and says these frames.
    fn say(mut stream: S, frames: &[Frame<'_>]) -> Self {
        let mut said = greeting::ours().to_vec();
        frames.iter().for_each(|frame| said.extend(encode_to_vec(frame)));
        stream.write_all(&said).expect("it is taken");
        Raw { stream, received: Vec::new(), is_greeted: false }
    }

    /// Reads on until `look` finds something in a frame; `None` at the end of the stream.
    fn until<T>(&mut self, mut look: impl FnMut(Frame<'_>) -> Option<T>) -> Option<T> {
        loop {
            let greeting_bytes = if self.is_greeted { 0 } else { greeting::GREETING_BYTES };
            if self.received.len() >= greeting_bytes {
                self.is_greeted = true;
                self.received.drain(..greeting_bytes);
                while let Some(length) = announced_bytes(&self.received).filter(|n| self.received.len() >= *n)
                {
                    let frame: Vec<u8> = self.received.drain(..length).collect();
                    let checked = CheckedFrame::check(&frame[LENGTH_BYTES..]).expect("a frame");
                    if let Some(found) = look(checked.frame()) {
                        return Some(found);
                    }
                }
            }
            let mut more = [0; 4096];
            match self.stream.read(&mut more).expect("it ends in order") {
                0 => return None,
                read => self.received.extend_from_slice(&more[..read]),
            }
        }
    }
}

const HELLO: Frame<'_> = Frame::Hello { name: "", overflow: 0, previous: 0, ticket: 0 };
const SUBSCRIBE: Frame<'_> = Frame::Subscribe { filter: b"prices.>", request: 1, subscriber: 1, kind: 1 };

fn refused_with(frame: Frame<'_>) -> Option<ErrorCode> {
    match frame {
        Frame::Error { code, request: 0, .. } => Some(ErrorCode::from_number(code)),
        Frame::Welcome { .. } | Frame::Message { .. } | Frame::Run { .. } => {
            panic!("{frame:?} to a stranger")
        }
        _ => None,
    }
}

#[test]
fn a_direct_publisher_is_heard_by_those_who_may_and_says_nothing_to_strangers() {
    let _watchdog = watchdog::watch("a_direct_publisher_is_heard_by_those_who_may");
    let team = Team::of(&[("feeds", FEEDS), ("desk", DESK), ("guest", "subscribe = ['news']")]);
    let broker = team.broker();
    let mut desk = desk(&broker);
    let mut feeds = team.publisher(&broker);
    feeds.publish("prices.eur", b"first").expect("it is taken");
    assert_eq!(next(&mut desk), b"first");

    let error = Subscriber::with_config(client(&broker, "guest"), &prices()).expect_err("it may not");
    assert_eq!(error.kind(), ErrorKind::Refused(ErrorCode::NotPermitted), "{error}");

    let forged = Frame::Ticket { ticket: &[7; 200], publisher: feeds.id().0 };
    for frames in [&[HELLO, SUBSCRIBE][..], &[forged, HELLO, SUBSCRIBE]] {
        let stream = UnixStream::connect(team.door()).expect("it listens");
        let mut stranger = Raw::say(stream, frames);
        assert_eq!(stranger.until(refused_with), Some(ErrorCode::Unauthenticated));
        assert_eq!(stranger.until(refused_with), None, "the end");
    }
    feeds.publish("prices.eur", b"second").expect("it is taken");
    assert_eq!(next(&mut desk), b"second");
}

#[test]
fn a_revoked_right_ends_the_direct_stream_of_one_who_does_not_leave_by_itself() {
    let _watchdog = watchdog::watch("a_revoked_right_ends_the_direct_stream");
    let team = Team::of(&[("feeds", FEEDS), ("desk", DESK), ("keeper", DESK)]);
    let broker = team.broker();
    let mut desk = desk(&broker);
    let mut feeds = team.publisher(&broker);
    feeds.publish("prices.eur", b"before").expect("it is taken");
    assert_eq!(next(&mut desk), b"before");

    // It takes its ticket, and leaves the broker.
    let watch = Frame::WatchPublishers { filter: b"prices.>", request: 1, kind: 1 };
    let login = Frame::Login { token: b"keeper" };
    let stream = TcpStream::connect(broker.address()).expect("it listens");
    let given = |frame: Frame<'_>| match frame {
        Frame::Ticket { ticket, .. } => Some(ticket.to_vec()),
        _ => None,
    };
    let ticket = Raw::say(stream, &[login, HELLO, watch]).until(given).expect("a ticket");
    let shown = Frame::Ticket { ticket: &ticket, publisher: feeds.id().0 };
    let stream = UnixStream::connect(team.door()).expect("it listens");
    let mut keeper = Raw::say(stream, &[shown, HELLO, SUBSCRIBE]);
    let is_subscribed = |frame: Frame<'_>| matches!(frame, Frame::Done { request: 1 }).then_some(());
    keeper.until(is_subscribed).expect("it is let in");

    team.write(&[("feeds", FEEDS), ("desk", DESK)]);
    broker.signal(Signal::SIGHUP);
    let ended = |frame: Frame<'_>| match frame {
        Frame::Error { code, request: 0, .. } => Some(ErrorCode::from_number(code)),
        _ => None,
    };
    assert_eq!(keeper.until(ended), Some(ErrorCode::Unauthenticated));
    let stream = UnixStream::connect(team.door()).expect("it listens");
    let mut again = Raw::say(stream, &[shown, HELLO, SUBSCRIBE]);
    assert_eq!(again.until(refused_with), Some(ErrorCode::Unauthenticated), "not by the same ticket");
    feeds.publish("prices.eur", b"after").expect("it is taken");
    assert_eq!(next(&mut desk), b"after", "nobody else notices");
}

/// A broker with users is killed under a direct stream and started again: the stream goes on for longer than a ticket of the broker
/// before lets in, and new ones begin.
fn streams_go_on_behind_one_that(starts_again: impl FnOnce(&mut BrokerProcess)) {
    let team = Team::of(&[("feeds", FEEDS), ("desk", DESK)]);
    let mut broker = team.broker();
    let mut before = desk(&broker);
    let mut feeds = team.publisher(&broker);
    feeds.publish("prices.eur", b"0").expect("it is taken");
    assert_eq!(next(&mut before), b"0");
    broker.kill();
    feeds.publish("prices.eur", b"1").expect("it is taken");
    assert_eq!(next(&mut before), b"1", "while it is away");
    starts_again(&mut broker);
    let mut after = desk(&broker);
    let until = MonotonicNs::now() + TICKET_GRACE + Duration::from_secs(2);
    let mut number = 2;
    while MonotonicNs::now() < until {
        let payload = number.to_string();
        feeds.publish("prices.eur", payload.as_bytes()).expect("it is taken");
        assert_eq!(next(&mut before), payload.as_bytes(), "nothing is missing");
        number += 1;
        pause(Duration::from_millis(50));
    }
    let mut last = Vec::new();
    while last != (number - 1).to_string().as_bytes() {
        last = next(&mut after);
    }
}

#[test]
fn direct_streams_go_on_behind_a_broker_that_is_started_again_and_new_ones_begin() {
    let _watchdog = watchdog::watch("direct_streams_go_on_behind_a_broker_that_is_started_again");
    streams_go_on_behind_one_that(BrokerProcess::start_again);
}

#[test]
fn direct_streams_go_on_behind_a_broker_that_is_started_again_without_users() {
    let _watchdog = watchdog::watch("direct_streams_go_on_behind_a_broker_without_users");
    // It gives no tickets in the place of those before: its word that the publisher is there has to do.
    streams_go_on_behind_one_that(|broker| broker.start_again_with(&["--mode", "direct", "--shards", "2"]));
}

#[test]
fn a_subscriber_hears_a_direct_publisher_of_some_of_its_topics_and_the_others_when_they_begin() {
    let _watchdog = watchdog::watch("a_subscriber_hears_a_direct_publisher_of_some_of_its_topics");
    let both = "['prices.>', 'news.>']";
    let (register, subscribe) = (format!("register = {both}"), format!("subscribe = {both}"));
    let team = Team::of(&[("feeds", &register), ("desk", &subscribe)]);
    let broker = team.broker();
    let filters = ["prices.>", "news.>"].map(|text| Filter::parse(text).expect("a filter"));
    let mut desk = Subscriber::with_config(client(&broker, "desk"), &filters).expect("a user");
    let mut feeds = team.publisher(&broker);
    // The ticket says nothing of news as long as there are none.
    let mut later = None;
    for (topic, payload) in
        [("prices.eur", b"1"), ("prices.usd", b"2"), ("news.today", b"3"), ("prices.eur", b"4")]
    {
        feeds.publish(topic, payload).expect("it is taken");
        assert_eq!(next(&mut desk), payload, "{topic}");
        if later.is_none() {
            later = Some(Subscriber::with_config(client(&broker, "desk"), &filters).expect("a user"));
        }
    }
    let mut later = later.expect("it has come behind the first message");
    assert_eq!([next(&mut later), next(&mut later), next(&mut later)], [b"2", b"3", b"4"]);
}

#[test]
fn a_subscriber_whose_new_ticket_has_no_room_for_its_filter_is_told_so() {
    let _watchdog = watchdog::watch("a_subscriber_whose_new_ticket_has_no_room_for_its_filter_is_told_so");
    let long = format!("prices.{}", "x".repeat(200));
    let levels: Vec<&str> = [&["prices"][..], &["a"; 60]].concat();
    // Filters that leave no room for the long one in a ticket, all of which concern one topic.
    let patterns = (1..=50).map(|star| {
        let mut pattern = levels.clone();
        pattern[star] = "*";
        format!(", '{}'", pattern.join("."))
    });
    let few = format!("subscribe = ['{long}']");
    let many = format!("subscribe = ['{long}'{}]", patterns.collect::<String>());
    let team = Team::of(&[("feeds", FEEDS), ("desk", &few), ("other", DESK), ("leaver", DESK)]);
    let broker = team.broker();
    let filter = Filter::parse(&long).expect("a filter");
    let mut desk = Subscriber::with_config(client(&broker, "desk"), &[filter]).expect("a user");
    let mut other = Subscriber::with_config(client(&broker, "other"), &prices()).expect("a user");
    let mut feeds = team.publisher(&broker);
    feeds.publish(&*long, b"1").expect("it is taken");
    assert_eq!((next(&mut desk), next(&mut other)), (b"1".to_vec(), b"1".to_vec()));
    feeds.publish(&*levels.join("."), b"2").expect("it is taken");
    assert_eq!(next(&mut other), b"2", "by now the broker knows of the topic");

    team.write(&[("feeds", FEEDS), ("desk", &many), ("other", DESK)]);
    broker.signal(Signal::SIGHUP);
    let error = desk.recv_timeout(PATIENCE).expect_err("the broker permits it, but not the ticket");
    assert_eq!(error.kind(), ErrorKind::Refused(ErrorCode::NotPermitted), "{error}");
    let (text, publisher) = (error.to_string(), feeds.id());
    assert!(text.contains(&long) && text.contains(&format!("at publisher {publisher}")), "{text}");
    feeds.publish(&*long, b"3").expect("it is taken");
    assert_eq!(next(&mut other), b"3", "nobody else notices");
}

#[test]
fn a_zeromq_subscriber_hears_the_direct_publisher_of_a_user() {
    let _watchdog = watchdog::watch("a_zeromq_subscriber_hears_the_direct_publisher_of_a_user");
    let team = Team::of(&[("feeds", FEEDS), ("anonymous", "subscribe = [{ prefix = 'prices.' }]")]);
    let args = team.args();
    let door = Door::open(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let mut subscriber = door.peer("SUB");
    subscriber.subscribe(b"prices.");
    let mut feeds = team.publisher(&door.broker);
    feeds.publish("prices.eur", b"1.08").expect("it is taken");
    assert_eq!(subscriber.hear(), Said::Message(vec![b"prices.eur".to_vec(), b"1.08".to_vec()]));
}

#[test]
fn a_door_for_zeromq_sockets_of_its_own_is_an_error_that_says_what_to_do() {
    let team = Team::of(&[("feeds", FEEDS)]);
    let broker = team.broker();
    let mut config = client(&broker, "feeds");
    config.direct =
        config.direct.zmtp([format!("ipc://{}", team.door().display()).parse().expect("an endpoint")]);
    let mut feeds = Publisher::with_config(config).expect("a user");
    let error = feeds.publish("prices.eur", b"").and_then(|_| feeds.flush(PATIENCE)).expect_err("it may not");
    assert!(error.to_string().contains("by way of the broker"), "{error}");
}

/// Publishes this until the subscriber is told of a gap, which it must be long before a ticket would have ended.
fn until_gap(feeds: &mut Publisher, desk: &mut Subscriber, payload: &[u8]) {
    let since = MonotonicNs::now();
    loop {
        // One whose session has ended says so, and goes on with its direct streams.
        let _ = feeds.publish("prices.eur", payload);
        match desk.recv_timeout(Duration::from_millis(10)).expect("it is well") {
            Some(Event::Gap(gap)) => break assert_eq!(gap.reason, GapReason::Publisher),
            Some(Event::Message(message)) => assert_eq!(&message.payload[..], payload),
            _ => {}
        }
        assert!(MonotonicNs::now().saturating_since(since) < TOO_LATE, "it is still heard");
    }
}

/// Far more than the second in which a revoked right ends, and far less than the minute for which a ticket lasts.
const TOO_LATE: Duration = Duration::from_secs(20);

#[test]
fn a_direct_publisher_that_has_lost_its_right_is_heard_no_longer_until_it_has_it_again() {
    let _watchdog = watchdog::watch("a_direct_publisher_that_has_lost_its_right_is_heard_no_longer");
    let good = [("feeds", FEEDS), ("desk", DESK), ("other", FEEDS)];
    let team = Team::of(&good);
    let broker = team.broker();
    let mut desk = desk(&broker);
    let mut feeds = team.publisher(&broker);
    let mut other = Publisher::with_config(client(&broker, "other")).expect("a user");
    feeds.publish("prices.eur", b"before").expect("it is taken");
    assert_eq!(next(&mut desk), b"before");
    other.publish("prices.usd", b"of another").expect("it is taken");
    assert_eq!(next(&mut desk), b"of another");

    team.write(&[("feeds", "register = ['news']"), ("desk", DESK), ("other", FEEDS)]);
    broker.signal(Signal::SIGHUP);
    until_gap(&mut feeds, &mut desk, b"before");
    for _ in 0..20 {
        feeds.publish("prices.eur", b"meanwhile").expect("it goes on as if nothing had happened");
    }
    other.publish("prices.usd", b"of another").expect("it is taken");
    assert_eq!(next(&mut desk), b"of another", "and of nobody else");

    team.write(&good);
    broker.signal(Signal::SIGHUP);
    broker.until(|page| page.sum("corecast_reloads_total") == 2);
    loop {
        feeds.publish("prices.eur", b"again").expect("it is taken");
        match desk.recv_timeout(Duration::from_millis(50)).expect("it is well") {
            Some(Event::Message(message)) => break assert_eq!(&message.payload[..], b"again"),
            // Others could have been heard before it was introduced.
            Some(Event::Gap(_)) | None => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_direct_publisher_whose_user_or_token_is_gone_is_heard_no_longer() {
    let _watchdog = watchdog::watch("a_direct_publisher_whose_user_or_token_is_gone_is_heard_no_longer");
    let another = format!("{FEEDS}\ntokens = ['{}']", TokenHash::of(&Secret::new(b"another")));
    for after in [&[("desk", DESK)][..], &[("feeds", another.as_str()), ("desk", DESK)]] {
        let team = Team::of(&[("feeds", FEEDS), ("desk", DESK)]);
        let broker = team.broker();
        let mut desk = desk(&broker);
        // One that logs in again with what is in a file, and stays until then.
        let token = team.0.path().join("feeds.token");
        fs::write(&token, "feeds").expect("written");
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).expect("a mode");
        let mut feeds = Publisher::with_config(broker.client().token(Token::file(token))).expect("a user");
        feeds.publish("prices.eur", b"before").expect("it is taken");
        assert_eq!(next(&mut desk), b"before");
        team.write(after);
        broker.signal(Signal::SIGHUP);
        until_gap(&mut feeds, &mut desk, b"before");
    }
}

/// Passes connections on to a broker; cuts them, and lets no other through until it is told to.
struct Wire {
    listener: TcpListener,
    cut: Arc<AtomicBool>,
    passed: mpsc::Receiver<TcpStream>,
}

impl Wire {
    fn to(broker: SocketAddr) -> Wire {
        let (pass, passed) = mpsc::channel();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let wire = Wire { listener, cut: Arc::default(), passed };
        let listener = wire.listener.try_clone().expect("a descriptor");
        let cut = Arc::clone(&wire.cut);
        let pass_on = move || {
            for near in listener.incoming().map_while(Result::ok) {
                if cut.load(Ordering::SeqCst) {
                    continue;
                }
                let far = TcpStream::connect(broker).expect("the broker listens");
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let [mut from, mut to] = [from, to].map(|end| end.try_clone().expect("a descriptor"));
                    let copy = move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    };
                    spawn_plain("wire", copy).expect("a thread");
                }
                for end in [near, far] {
                    let _ = pass.send(end);
                }
            }
        };
        spawn_plain("wire", pass_on).expect("a thread");
        wire
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        for end in self.passed.try_iter() {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}

#[test]
fn a_subscriber_that_was_away_while_a_direct_publisher_lost_its_right_hears_it_no_longer() {
    let _watchdog = watchdog::watch("a_subscriber_that_was_away_while_a_direct_publisher_lost_its_right");
    let team = Team::of(&[("feeds", FEEDS), ("desk", DESK)]);
    let broker = team.broker();
    let wire = Wire::to(broker.address());
    let mut config = client(&broker, "desk");
    config.broker =
        format!("tcp://{}", wire.listener.local_addr().expect("it listens")).parse().expect("one");
    let mut desk = Subscriber::with_config(config, &prices()).expect("a user");
    let mut feeds = team.publisher(&broker);
    feeds.publish("prices.eur", b"before").expect("it is taken");
    assert_eq!(next(&mut desk), b"before");

    wire.cut();
    broker.until(|page| page.sum("corecast_sessions") == 1);
    team.write(&[("feeds", "register = ['news']"), ("desk", DESK)]);
    broker.signal(Signal::SIGHUP);
    broker.until(|page| page.sum("corecast_reloads_total") == 1);
    feeds.publish("prices.eur", b"before").expect("it is taken");
    assert_eq!(next(&mut desk), b"before", "it cannot know");
    wire.mend();
    let since = MonotonicNs::now();
    let mut is_told = false;
    while !is_told {
        feeds.publish("prices.eur", b"before").expect("it goes on as if nothing had happened");
        is_told = match desk.recv_timeout(Duration::from_millis(10)).expect("it is well") {
            // That of its own connection may come before.
            Some(Event::Gap(gap)) => gap.reason == GapReason::Publisher,
            _ => false,
        };
        assert!(MonotonicNs::now().saturating_since(since) < TOO_LATE, "it is still heard");
    }
    for _ in 0..20 {
        feeds.publish("prices.eur", b"meanwhile").expect("it goes on as if nothing had happened");
    }
    while let Some(event) = desk.recv_timeout(Duration::from_millis(500)).expect("it is well") {
        assert!(!matches!(event, Event::Message(_)), "{event:?} behind the gap");
    }
}

#[test]
fn a_direct_publisher_that_a_broker_started_again_does_not_know_is_heard_no_longer() {
    let _watchdog = watchdog::watch("a_direct_publisher_that_a_broker_started_again_does_not_know");
    let team = Team::of(&[("feeds", FEEDS), ("desk", DESK), ("other", FEEDS)]);
    let mut broker = team.broker();
    let mut desk = desk(&broker);
    let mut feeds = team.publisher(&broker);
    let mut other = Publisher::with_config(client(&broker, "other")).expect("a user");
    feeds.publish("prices.eur", b"before").expect("it is taken");
    assert_eq!(next(&mut desk), b"before");
    other.publish("prices.usd", b"of another").expect("it is taken");
    assert_eq!(next(&mut desk), b"of another");

    broker.kill();
    team.write(&[("desk", DESK), ("other", FEEDS)]);
    broker.start_again();
    // It is no user any more, and hears nothing of this broker: it goes on by the word of the one before.
    let since = MonotonicNs::now();
    let mut heard = [0, 0];
    loop {
        let _ = feeds.publish("prices.eur", b"before");
        other.publish("prices.usd", b"of another").expect("it is taken");
        match desk.recv_timeout(Duration::from_millis(10)).expect("it is well") {
            Some(Event::Gap(gap)) if gap.reason == GapReason::Publisher => break,
            Some(Event::Message(message)) => heard[usize::from(&message.payload[..] == b"before")] += 1,
            _ => {}
        }
        assert!(MonotonicNs::now().saturating_since(since) < TOO_LATE, "it is still heard: {heard:?}");
    }
    assert!(heard[1] > 0, "it was heard until then: {heard:?}");
    while let Some(event) = desk.recv_timeout(Duration::from_millis(500)).expect("it is well") {
        let is_late = matches!(&event, Event::Message(message) if &message.payload[..] == b"before");
        assert!(!is_late, "{event:?} behind the gap");
    }
    let _ = feeds.publish("prices.eur", b"before");
    other.publish("prices.usd", b"at last").expect("it is taken");
    assert_eq!(next(&mut desk), b"at last", "and of nobody else");
}

#[test]
fn pub_ends_when_it_may_not_be_a_direct_publisher_any_more() {
    let _watchdog = watchdog::watch("pub_ends_when_it_may_not_be_a_direct_publisher_any_more");
    let team = Team::of(&[("feeds", FEEDS), ("desk", DESK)]);
    let broker = team.broker();
    let mut desk = desk(&broker);
    let mut publish = at(&broker, &["pub", "prices.eur", "--lines", "-"]);
    let mut publish = start(publish.env("CORECAST_TOKEN", "feeds").stdin(Stdio::piped()));
    let mut stdin = publish.0.stdin.take().expect("it is piped");
    stdin.write_all(b"before\n").expect("it reads");
    assert_eq!(next(&mut desk), b"before");
    team.write(&[("feeds", "register = ['news']"), ("desk", DESK)]);
    broker.signal(Signal::SIGHUP);
    // It waits for a line that does not come.
    let said = said(&publish.output(), 1);
    assert!(said.contains("prices.eur") && said.contains("not_permitted"), "{said}");
    drop(stdin);
}
