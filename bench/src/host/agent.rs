//! Owns the agent: it listens, lets one controller at a time drive a swarm here, tells others so, and ends in order.

use super::clock::ClockIdentity;
use super::frames::{self, FrameError};
use super::protocol::{Answer, HANDSHAKE_TIMEOUT, Request, Version, Welcome};
use super::session::{End, Session};
use super::token::{AGENT, AgentToken, CONTROLLER, Proof, nonce};
use crate::interrupt::Interrupt;
use crate::measure::environment::Environment;
use anyhow::{bail, ensure};
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

/// Serves one controller after the other until somebody asks to stop: those that have the token, if there is one. What
/// a person wants to know goes to `say`.
pub fn serve(
    listeners: Vec<TcpListener>,
    token: Option<AgentToken>,
    interrupt: &Interrupt,
    say: fn(&str),
) -> io::Result<()> {
    let busy = Arc::new(AtomicBool::new(false));
    let (welcomed, mut controllers) = link(1);
    let greeter = Greeter { token, busy: busy.clone(), welcomed, say };
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
    token: Option<AgentToken>,
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
        let proof = match self.admit(&stream) {
            Ok(proof) => proof,
            Err((busy, why)) => {
                (self.say)(&format!("refused {from}: {why}"));
                let _ = frames::write(&stream, &Answer::Refused { agent: Version::ours(), busy, why });
                return frames::close(&stream);
            }
        };
        let welcomed = frames::write(&stream, &Answer::Welcome(Box::new(welcome(proof))));
        if welcomed.is_err() || self.welcomed.send_blocking(Controller { stream, from }).is_err() {
            self.busy.store(false, Ordering::Release);
        }
    }

    /// Takes the place of the one controller for a peer, and returns the proof that it is to get. The error is a refusal:
    /// true if another controller has the place, and the reason.
    fn admit(&self, stream: &TcpStream) -> Result<Option<Proof>, (bool, String)> {
        let proof = self.identify(stream).map_err(|why| (false, why.to_string()))?;
        // One of several threads that greet takes the place; the one that serves gives it back.
        if self.busy.swap(true, Ordering::AcqRel) {
            let why = "it serves another controller; it serves one at a time: wait for that one, or end it";
            return Err((true, why.into()));
        }
        Ok(proof)
    }

    /// Checks the version of a peer and, if there is a token, its proof. Returns the proof of this end.
    fn identify(&self, stream: &TcpStream) -> anyhow::Result<Option<Proof>> {
        let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
        frames::prepare(stream)?;
        let (ours, Request::Hello(theirs)) = (Version::ours(), frames::read(stream, deadline)?) else {
            bail!(FrameError::nonsense("it does not begin with hello"));
        };
        ensure!(theirs == ours, "this agent is of {ours}, whoever asks of {theirs}: use the same on both");
        let Some(token) = &self.token else { return Ok(None) };
        let challenge = nonce()?;
        frames::write(stream, &Answer::Challenge { agent: ours, nonce: challenge })?;
        let Request::Proof { nonce, proof } = frames::read(stream, deadline)? else {
            bail!(FrameError::nonsense("it does not answer the challenge"));
        };
        let nonces = (&challenge, &nonce);
        ensure!(token.is_proof(&proof, CONTROLLER, nonces), "its token is another one than ours");
        Ok(Some(token.proof(AGENT, nonces)))
    }
}

fn welcome(proof: Option<Proof>) -> Welcome {
    Welcome {
        agent: Version::ours(),
        proof,
        clock: ClockIdentity::here(),
        open_files: raise_open_files(u64::MAX).unwrap_or(0),
        environment: Environment::read(),
    }
}
