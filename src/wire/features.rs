//! Optional parts of the protocol, which each end offers in its greeting.

/// Parts of the protocol that one end understands. An end sends of them only what the other has offered.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Features(u32);

impl Features {
    /// Version 1 of the protocol alone.
    pub const NONE: Features = Features(0);
    /// Frames of several messages: [`Frame::Run`](super::Frame::Run).
    pub const RUNS: Features = Features(1);
    /// Logins: [`Frame::Login`](super::Frame::Login).
    pub const LOGINS: Features = Features(2);
    /// Refusals of one subscription or topic, after which the session goes on:
    /// [`Frame::PublishRefused`](super::Frame::PublishRefused), and errors with the number of a `Subscribe` or
    /// `WatchPublishers`.
    pub const REFUSALS: Features = Features(4);
    /// Tickets to direct publishers: [`Frame::Ticket`](super::Frame::Ticket) and
    /// [`Frame::TicketRules`](super::Frame::TicketRules).
    pub const TICKETS: Features = Features(8);
    /// Starts before the next message: [`Frame::Start`](super::Frame::Start).
    pub const HISTORY: Features = Features(16);
    /// Goes on at another broker when it is told to: [`Frame::Drain`](super::Frame::Drain).
    pub const DRAINS: Features = Features(32);
    /// The features that this build offers.
    pub const OURS: Features = Features(
        Features::RUNS.0
            | Features::LOGINS.0
            | Features::REFUSALS.0
            | Features::TICKETS.0
            | Features::HISTORY.0
            | Features::DRAINS.0,
    );

    /// True if all of `others` are among these.
    #[inline]
    pub fn has(self, others: Features) -> bool {
        self.0 & others.0 == others.0
    }

    /// The features on the wire. Those that this build does not know are left out.
    pub fn from_wire(bits: u32) -> Self {
        Features(bits & Features::OURS.0)
    }

    /// The bits on the wire.
    pub fn to_wire(self) -> u32 {
        self.0
    }
}
