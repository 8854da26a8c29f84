//! Everything that connects: endpoints and the addresses behind them, listeners, connections. The only place that names
//! sockets; everything else gets a [`Stream`].
//!
//! | file | owns |
//! |---|---|
//! | `endpoint` | `tcp://HOST:PORT` and `uds://PATH`, and the errors of places that cannot be reached |
//! | `text` | the forms in which an endpoint may be written |
//! | `address` | one address, as the kernel takes it |
//! | `advertised` | endpoints of direct publishers |
//! | `names` | look-ups of host names, on threads of their own |
//! | `access` | access to socket files |
//! | `listen` | listeners: one at each address of an endpoint |
//! | `socket_file` | the file of a Unix socket: who may bind it, take it over and remove it |
//! | `accept` | connections that come in, until an executor takes them |
//! | `connect` | connections that go out |
//! | `stream` | a connection of an executor, of whatever kind |
//! | `sealed` | in tests: a stream with a handshake |
//! | `control` | listeners of the control thread |

mod accept;
mod access;
mod address;
mod advertised;
mod connect;
#[cfg(feature = "broker")]
mod control;
mod endpoint;
mod listen;
mod names;
#[cfg(test)]
mod sealed;
mod socket_file;
mod stream;
mod text;

pub use accept::{AcceptQueue, Accepted, ListeningSocket};
pub use access::SocketAccess;
pub(crate) use address::Address;
pub use connect::{ConnectError, connect};
#[cfg(feature = "broker")]
pub use control::ControlListeners;
pub use endpoint::{DEFAULT_ENDPOINT, Endpoint, tcp_addresses_until};
pub use listen::{Listening, listen};
#[cfg(test)]
pub(crate) use sealed::sealed_pair;
pub use socket_file::SocketFile;
pub use stream::Stream;
