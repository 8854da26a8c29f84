//! The errors of this library's operations, and the error codes of the wire.

use std::fmt;

/// The result of an operation of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error: a kind to branch on, and a sentence that says what went wrong and what to do.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    /// The field of a configuration that is to blame.
    field: Option<&'static str>,
    context: String,
    source: Option<std::io::Error>,
}

/// The kinds of [`Error`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An endpoint, filter, topic, option or file has the wrong form.
    Invalid,
    /// Nobody answered at the endpoint within the time given.
    Unreachable,
    /// The address is in use by another process.
    AddressInUse,
    /// The other end answered with a refusal.
    Refused(ErrorCode),
    /// The other end does not speak this protocol, or violated it.
    Protocol,
    /// The session has ended and will not come back: closed here, or the executor has stopped.
    Closed,
    /// The connection was lost during the operation, which may or may not have been carried out.
    Lost,
    /// The operation did not finish in the time given. It may still take effect.
    TimedOut,
    /// The executors could not be started or have failed.
    Executor,
    /// The operating system refused.
    Io,
}

impl Error {
    /// An error of this kind; `context` is a whole sentence without a final dot.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Error { kind, field: None, context: context.into(), source: None }
    }

    /// An error of the operating system, `source`; `context` says what was being done.
    pub fn io(context: impl Into<String>, source: std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::AddrInUse => ErrorKind::AddressInUse,
            std::io::ErrorKind::TimedOut => ErrorKind::TimedOut,
            _ => ErrorKind::Io,
        };
        Error { kind, field: None, context: context.into(), source: Some(source) }
    }

    /// The same error, which an error of a stream has caused: its words stand behind the sentence.
    pub(crate) fn caused_by(self, source: std::io::Error) -> Self {
        Error { source: Some(source), ..self }
    }

    /// An `Invalid` error of a field of a configuration; `context` says what to change and does not name the field.
    pub(crate) fn of_field(field: &'static str, context: impl Into<String>) -> Self {
        Error { field: Some(field), ..Error::new(ErrorKind::Invalid, context) }
    }

    /// The same error, of a field of a configuration; `context` does not name the field.
    #[cfg(feature = "client")]
    pub(crate) fn at_field(self, field: &'static str) -> Self {
        Error { field: Some(field), ..self }
    }

    /// The same error for one more who asks: its cause is in its words.
    #[cfg(feature = "client")]
    pub(crate) fn repeated(&self) -> Self {
        let context = match &self.source {
            Some(source) => format!("{}: {source}", self.context),
            None => self.context.clone(),
        };
        Error { kind: self.kind, field: self.field, context, source: None }
    }

    /// The field of the configuration that has to change, as `BrokerConfig` or `ClientConfig` name it. The error's text
    /// begins with it.
    pub fn field(&self) -> Option<&'static str> {
        self.field
    }

    /// The same error for those who know the field by another name.
    pub(crate) fn without_field(mut self) -> Self {
        self.field = None;
        self
    }

    /// The kind to branch on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.context)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| e as _)
    }
}

/// A conversion that cannot fail does not.
impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// Declares the wire's error codes once: number, name in logs and metrics, and meaning.
macro_rules! error_codes {
    ($( $(#[$doc:meta])* $name:ident = $number:literal, $label:literal; )*) => {
        /// The reason for which a connection or a request was refused, as an error frame carries it. Numbers are never
        /// reused.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[non_exhaustive]
        pub enum ErrorCode { $( $(#[$doc])* $name, )* #[doc = "A code that this version does not know."] Unknown(u16) }

        impl ErrorCode {
            /// Every code that this version knows.
            pub const ALL: &'static [ErrorCode] = &[$( ErrorCode::$name, )*];

            /// The number on the wire.
            pub fn number(self) -> u16 {
                match self { $( ErrorCode::$name => $number, )* ErrorCode::Unknown(n) => n }
            }

            /// The code with that number.
            pub fn from_number(number: u16) -> Self {
                match number { $( $number => ErrorCode::$name, )* n => ErrorCode::Unknown(n) }
            }

            /// Its name in logs and metrics: a bounded set.
            pub fn label(self) -> &'static str {
                match self { $( ErrorCode::$name => $label, )* ErrorCode::Unknown(_) => "unknown" }
            }
        }
    };
}

error_codes! {
    /// The first bytes are not this protocol's greeting (but HTTP, TLS, or anything else).
    NotCorecast = 1, "not_corecast";
    /// The greeting asks for a version that this end does not speak.
    Version = 2, "version";
    /// The frame's bytes are not a valid archive, or its length is below the minimum.
    Malformed = 3, "malformed";
    /// The frame announces more bytes than the limit in the welcome.
    TooLarge = 4, "too_large";
    /// A frame that this side may not send, or not at this point.
    Unexpected = 5, "unexpected";
    /// A topic that is empty, too long, or contains characters that no topic may.
    BadTopic = 6, "bad_topic";
    /// A filter that is empty, too long, or does not follow the grammar.
    BadFilter = 7, "bad_filter";
    /// The handshake did not finish in time.
    HandshakeTimeout = 8, "handshake_timeout";
    /// A frame was begun but not finished in time.
    FrameTimeout = 9, "frame_timeout";
    /// Nothing arrived for longer than the idle limit, not even heartbeats.
    IdleTimeout = 10, "idle_timeout";
    /// The egress queue is full and the policy is `disconnect`.
    SlowSubscriber = 11, "slow_subscriber";
    /// More subscriptions than one session may hold.
    TooManySubscriptions = 12, "too_many_subscriptions";
    /// More sessions than this end may hold.
    TooManySessions = 13, "too_many_sessions";
    /// The broker is shutting down.
    ShuttingDown = 14, "shutting_down";
    /// An overflow policy that this broker does not grant.
    PolicyRefused = 15, "policy_refused";
    /// An invalid registration: no endpoint or one that nobody could reach, no topic or too many.
    EndpointRefused = 16, "endpoint_refused";
    /// A renewal of a lease that has run out: register again, under a new epoch.
    LeaseLost = 17, "lease_lost";
    /// A registration older than the one in the registry.
    StaleEpoch = 18, "stale_epoch";
    /// More registrations than the registry holds.
    TooManyPublishers = 19, "too_many_publishers";
    /// The endpoint belongs to another publisher, which is connected or has a lease that still runs.
    EndpointTaken = 20, "endpoint_taken";
    /// The first bytes are not a ZMTP greeting, on a port for ZeroMQ sockets.
    NotZmtp = 21, "not_zmtp";
    /// A ZMTP greeting that asks for a mechanism that this port does not accept.
    Mechanism = 22, "mechanism";
    /// A ZeroMQ socket of a type that this port does not accept.
    SocketType = 23, "socket_type";
    /// Something that this session's identity is not permitted to do.
    NotPermitted = 24, "not_permitted";
    /// The peer has not shown that it is a user, or what it has shown is of nobody, or no longer.
    Unauthenticated = 25, "unauthenticated";
    /// A box of CURVE that does not open: it is for the key of another server, changed, or sent again.
    BadBox = 26, "bad_box";
    /// An operator has ended this session.
    Kicked = 27, "kicked";
    /// Something that was published could not be stored, and a rule says that a flush confirms that it is.
    NotStored = 28, "not_stored";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorCode::Unknown(n) => write!(f, "unknown code {n}"),
            code => f.write_str(code.label()),
        }
    }
}
