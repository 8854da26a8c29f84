//! Waiting for something of a session: for an answer, for room, or for the end of its users' patience with the broker.

use corecast_executors::{Either, Link, MonotonicNs, TICK, first};

use super::life::Session;
use super::patience::AllowedSilence;
use super::state::State;
use crate::client::deadline::Deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::HEARTBEATS_UNHEARD_MAX;

impl Session {
    /// Waits until `look` finds something, or the session has failed.
    pub(in crate::client) async fn until<T>(
        &self,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T> {
        self.changed
            .until(|| {
                let mut state = self.state.borrow_mut();
                match state.alive() {
                    Err(error) => Some(Err(error)),
                    Ok(()) => look(&mut state).map(Ok),
                }
            })
            .await
    }

    /// As [`Session::until`], for whoever comes to a session: without a sign of the broker for as long as a first connection
    /// would be tried, it is an error. Those that have the session already wait on.
    pub(in crate::client) async fn until_connected<T>(
        &self,
        look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T> {
        let called = self.runtime.clock.now();
        let silence = AllowedSilence { earliest: called, time: self.config.connect_timeout, heartbeats: 0 };
        match first(self.until(look), self.until_silent(silence)).await {
            Either::Left(done) => done,
            Either::Right(error) => Err(error),
        }
    }

    /// As [`Session::until_connected`], for something that the broker is to confirm by the deadline, however much else it
    /// says until then.
    ///
    /// # Errors
    /// `TimedOut` if it does not; those of a broker that gives no sign of life.
    pub(in crate::client) async fn until_confirmed<T>(
        &self,
        deadline: Deadline,
        subject: &str,
        look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T> {
        match first(self.until_connected(look), self.until_overdue(deadline, subject)).await {
            Either::Left(done) => done,
            Either::Right(error) => Err(error),
        }
    }

    /// Waits until a confirmation is overdue, and returns the reason. A session that was never open gives itself up.
    async fn until_overdue(&self, deadline: Deadline, subject: &str) -> Error {
        let clock = &self.runtime.clock;
        let called = clock.now();
        clock.until(deadline.at).await;
        let was_open = || self.patience.is_endless() || self.state.borrow().is_open();
        self.changed.until(|| was_open().then_some(())).await;
        let silence = AllowedSilence { earliest: called, time: deadline.within, heartbeats: 0 };
        if self.end_of(silence).is_some_and(|end| end <= clock.now()) {
            return self.unreachable();
        }
        self.too_late(deadline, &format!("the broker has not confirmed {subject}"))
    }

    /// The error for something that was not there by the deadline.
    fn too_late(&self, deadline: Deadline, what: &str) -> Error {
        let broker = &self.config.broker;
        let text = format!("{what}: not within {} ms ({broker})", deadline.within.as_millis());
        Error::new(ErrorKind::TimedOut, text)
    }

    /// Waits until there has been no sign of the broker for so long, and says why.
    async fn until_silent(&self, silence: AllowedSilence) -> Error {
        let clock = &self.runtime.clock;
        loop {
            let was_open = self.state.borrow().is_open();
            let changed = self.changed.until(|| (self.state.borrow().is_open() != was_open).then_some(()));
            match self.end_of(silence) {
                Some(end) if end <= clock.now() => return self.unreachable(),
                Some(end) => drop(first(clock.until(end), changed).await),
                None => changed.await,
            }
        }
    }

    /// As [`Patience::end_of`](super::patience::Patience::end_of).
    fn end_of(&self, silence: AllowedSilence) -> Option<MonotonicNs> {
        self.patience.end_of(silence, &self.state.borrow())
    }

    /// The silence of the broker after which publishers wait no more.
    fn silence_of_publishers(&self) -> AllowedSilence {
        let time = self.config.publish_timeout;
        AllowedSilence { earliest: MonotonicNs(0), time, heartbeats: HEARTBEATS_UNHEARD_MAX }
    }

    /// Waits until there is room for another message.
    ///
    /// # Errors
    /// `Unreachable` when the broker is away for longer than this client's publishers wait.
    pub(in crate::client) async fn until_room(&self) -> Result<()> {
        let room = self.until(|state| Session::has_room(state).then_some(()));
        match first(room, self.until_silent(self.silence_of_publishers())).await {
            Either::Left(done) => done,
            Either::Right(error) => Err(error),
        }
    }

    /// Gives the error of a broker that is away for longer than publishers wait to whoever takes it, for as long as it is.
    pub(in crate::client) async fn complain_while_away(&self, complaints: Link<Error>) {
        let clock = &self.runtime.clock;
        let silence = self.silence_of_publishers();
        let until_back = async || {
            while self.end_of(silence).is_some_and(|end| end <= clock.now()) {
                clock.until(clock.now() + TICK).await;
            }
        };
        loop {
            self.until_silent(silence).await;
            let complain = async { while complaints.send(self.unreachable()).await.is_ok() {} };
            if let Either::Right(()) = first(until_back(), complain).await {
                // Nobody is there to hear it.
                return std::future::pending().await;
            }
        }
    }

    /// The error for a session that has been without its broker for too long.
    fn unreachable(&self) -> Error {
        if self.state.borrow().is_open() {
            return Error::new(ErrorKind::Unreachable, self.has_fallen_silent().to_string());
        }
        let away = self.patience.away(self.runtime.clock.now());
        let (broker, why) = (&self.config.broker, self.patience.last_failure());
        let text = format!("there has been no connection to {broker} for {:.1} s: {why}", away.as_secs_f64());
        Error::new(ErrorKind::Unreachable, text)
    }

    /// As [`Session::until`], and no longer than to the deadline.
    pub(in crate::client) async fn until_by<T>(
        &self,
        deadline: Deadline,
        what: &str,
        look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T> {
        match first(self.until(look), self.runtime.clock.until(deadline.at)).await {
            Either::Left(done) => done,
            Either::Right(()) => Err(self.too_late(deadline, what)),
        }
    }
}
