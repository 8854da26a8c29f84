//! Everything that connects: endpoints and the addresses behind them, listeners, connections. The only place that names
//! sockets; everything else gets a [`Stream`].
//!
//! | file | owns |
//! |---|---|
//! | `endpoint` | `tcp://HOST:PORT`, `tls://HOST:PORT` and `uds://PATH`, and the errors of places that cannot be reached |
//! | `text` | the forms in which an endpoint may be written |
//! | `address` | one address, as the kernel takes it |
//! | `advertised` | endpoints of direct publishers |
//! | `names` | look-ups of host names, on threads of their own |
//! | `listen_config` | the choices about listeners: access to socket files |
//! | `listen` | listeners: one at each address of an endpoint |
//! | `inherited` | listening sockets that the process was started with |
//! | `socket_file` | the file of a Unix socket: who may bind it, take it over and remove it |
//! | `accept` | connections that come in, until an executor takes them |
//! | `connect` | connections that go out, and the choices about them |
//! | `stream` | a connection of an executor, of whatever kind |
//! | `tls` | certificates, trust, and encrypted streams |
//! | `sealed` | in tests: a stream with a handshake |
//! | `stranger` | in tests: ends of connections that are no streams |
//! | `control` | listeners of the control thread, and their connections |
//! | `heard` | their streams, whose sockets note the first word of their peers |
//! | `blocking` | connections that plain threads make |

mod accept;
mod address;
mod advertised;
#[cfg(feature = "cli")]
mod blocking;
mod connect;
#[cfg(feature = "broker")]
mod control;
mod endpoint;
#[cfg(feature = "broker")]
mod heard;
mod inherited;
mod listen;
mod listen_config;
mod names;
#[cfg(test)]
mod sealed;
mod socket_file;
#[cfg(test)]
mod stranger;
mod stream;
mod text;
mod tls;

pub use accept::{AcceptQueue, Accepted, ListeningSocket};
pub(crate) use address::Address;
#[cfg(feature = "cli")]
pub(crate) use blocking::connect_blocking;
#[cfg(feature = "cli")]
pub(crate) use connect::is_cut_off;
pub use connect::{ConnectConfig, connect};
#[cfg(feature = "broker")]
pub use control::{ControlListeners, ControlPeer};
pub use endpoint::{DEFAULT_ENDPOINT, Endpoint, tcp_addresses_until};
#[cfg(feature = "broker")]
pub use heard::{ControlStream, FirstWord};
pub use inherited::InheritedSockets;
pub use listen::{Listening, listen};
pub use listen_config::ListenConfig;
#[cfg(test)]
pub(crate) use sealed::{KNOCK, SEALED_HOST, sealed_pair};
pub use socket_file::SocketFile;
#[cfg(test)]
pub(crate) use stranger::{Stranger, Strangers};
pub use stream::Stream;
#[cfg(feature = "tls")]
pub(crate) use tls::CertificateFacts;
#[cfg(all(test, feature = "cli"))]
pub(crate) use tls::tls_pair;
pub use tls::{ClientCertificates, Fingerprint, TlsClient, TlsClientFiles, TlsServer, TlsServerFiles};
