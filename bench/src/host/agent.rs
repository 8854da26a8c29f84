//! Owns the agent: it listens, lets one controller at a time drive a swarm here, tells others so, and ends in order.

use super::clock::ClockIdentity;
use super::frames::{self, FrameError};
use super::protocol::{Answer, HANDSHAKE_TIMEOUT, Request, Version, Welcome};
use super::session::{End, Session};
use crate::interrupt::Interrupt;
use crate::measure::environment::Environment;
use corecast_executors::{Inbox, Link, RecvTimeout, link, pause, raise_open_files, spawn_plain};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Interval between two checks for an interruption.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Pause between two accepts of which the first failed: descriptors may come free meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A controller that was welcomed.
struct Controller {
    stream: TcpStream,
    from: SocketAddr,
}

/// Serves one controller after the other until somebody asks to stop. What a person wants to know goes to `say`.
pub fn serve(listeners: Vec<TcpListener>, interrupt: &Interrupt, say: fn(&str)) -> io::Result<()> {
    let busy = Arc::new(AtomicBool::new(false));
    let (welcomed, mut controllers) = link(1);
    let greeter = Greeter { busy: busy.clone(), welcomed, say };
    for listener in listeners {
        let greeter = greeter.clone();
        // It ends with the process: nothing but this waits for connections.
        spawn_plain("agent-accept", move || greeter.accept_all(&listener))?;
    }
    drop(greeter);
    while let Some(controller) = next(&mut controllers, interrupt)? {
        say(&format!("serving {}", controller.from));
        let end = Session::serve(&controller.stream, interrupt);
        match end.unwrap_or_else(|error| End::Broken(error.to_string())) {
            End::Done => say(&format!("done with {}", controller.from)),
            End::Interrupted => say(&format!("asked to stop while serving {}", controller.from)),
            End::Broken(why) => say(&format!("{} is gone ({why}): its subscribers are too", controller.from)),
        }
        // Before the connection is closed: who sees that may come again at once.
        busy.store(false, Ordering::Release);
        frames::close(&controller.stream);
    }
    Ok(())
}

fn next(controllers: &mut Inbox<Controller>, interrupt: &Interrupt) -> io::Result<Option<Controller>> {
    while !interrupt.is_set() {
        match controllers.recv_deadline(Instant::now() + LOOK_EVERY) {
            Ok(controller) => return Ok(Some(controller)),
            Err(RecvTimeout::TimedOut) => {}
            Err(RecvTimeout::Closed) => return Err(io::Error::other("nobody accepts connections any more")),
        }
    }
    Ok(None)
}

/// State of a thread that accepts. It greets one connection after the other, each within a deadline: a silent one keeps
/// the next one waiting for some seconds, but never the controller that is served.
#[derive(Clone)]
struct Greeter {
    /// Set while a controller is served.
    busy: Arc<AtomicBool>,
    welcomed: Link<Controller>,
    say: fn(&str),
}

impl Greeter {
    fn accept_all(&self, listener: &TcpListener) {
        loop {
            match listener.accept() {
                Ok((stream, from)) => self.greet(stream, from),
                Err(error) => {
                    (self.say)(&format!("cannot accept a connection: {error}"));
                    pause(ACCEPT_PAUSE);
                }
            }
        }
    }

    fn greet(&self, stream: TcpStream, from: SocketAddr) {
        let refusal = match first_word(&stream) {
            Err(error) => Some((false, error.to_string())),
            Ok(theirs) if theirs != Version::ours() => {
                let ours = Version::ours();
                Some((
                    false,
                    format!("this agent is of {ours}, whoever asks of {theirs}: use the same on both"),
                ))
            }
            // One of several threads that greet takes the place; the one that serves gives it back.
            Ok(_) if self.busy.swap(true, Ordering::AcqRel) => Some((
                true,
                "it serves another controller; it serves one at a time: wait for that one, or end it".into(),
            )),
            Ok(_) => None,
        };
        if let Some((busy, why)) = refusal {
            (self.say)(&format!("refused {from}: {why}"));
            let _ = frames::write(&stream, &Answer::Refused { agent: Version::ours(), busy, why });
            return frames::close(&stream);
        }
        let welcomed = frames::write(&stream, &Answer::Welcome(Box::new(welcome())));
        if welcomed.is_err() || self.welcomed.send_blocking(Controller { stream, from }).is_err() {
            self.busy.store(false, Ordering::Release);
        }
    }
}

/// The version in the first word of a peer.
fn first_word(stream: &TcpStream) -> Result<Version, FrameError> {
    frames::prepare(stream)?;
    match frames::read(stream, Instant::now() + HANDSHAKE_TIMEOUT)? {
        Request::Hello(theirs) => Ok(theirs),
        _ => Err(FrameError::Malformed(serde::de::Error::custom("it does not begin with hello"))),
    }
}

fn welcome() -> Welcome {
    Welcome {
        agent: Version::ours(),
        clock: ClockIdentity::here(),
        open_files: raise_open_files(u64::MAX).unwrap_or(0),
        environment: Environment::read(),
    }
}
