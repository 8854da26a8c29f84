//! TLS 1.3 under `tls://` endpoints: the certificates of both ends, and the streams that they make. Without the feature
//! `tls` the options are still there, and whoever uses one is told.
//!
//! | file | owns |
//! |---|---|
//! | `files` | the options: files of certificates and keys, and who must have some |
//! | `values` | what was read, as values of configurations |
//! | `pem` | what such a file may be: its length, its content, who may read it |
//! | `certificate` | facts of a certificate: from when to when it is valid, for which names |
//! | `provider` | the cryptography that both ends use |
//! | `server` | the end that listens: its certificate, and whom it lets in |
//! | `client` | the end that connects: whom it trusts, and its certificate |
//! | `pin` | trust in one certificate, known by its fingerprint |
//! | `fingerprint` | fingerprints as they are written |
//! | `channel` | the stream: its handshake, its records, its end |
//! | `control_stream` | the same for the control thread |
//! | `blocking_stream` | the same for plain threads that connect |
//! | `turns` | the turns in which an executor works on handshakes |
//! | `trouble` | the words for handshakes that fail |
//! | `rig` | in tests: both ends of such a stream |
//! | `without` | in place of most of that, in programs that are built without it |

#[cfg(all(feature = "tls", feature = "cli"))]
mod blocking_stream;
#[cfg(feature = "tls")]
mod certificate;
#[cfg(feature = "tls")]
mod channel;
#[cfg(feature = "tls")]
mod client;
#[cfg(all(feature = "tls", feature = "broker"))]
mod control_stream;
mod files;
mod fingerprint;
#[cfg(feature = "tls")]
mod pem;
#[cfg(feature = "tls")]
mod pin;
#[cfg(feature = "tls")]
mod provider;
#[cfg(all(test, feature = "cli"))]
mod rig;
#[cfg(feature = "tls")]
mod server;
#[cfg(feature = "tls")]
mod trouble;
#[cfg(feature = "tls")]
mod turns;
mod values;
#[cfg(not(feature = "tls"))]
mod without;

#[cfg(all(feature = "tls", feature = "cli"))]
pub(super) use blocking_stream::TlsBlockingStream;
#[cfg(feature = "tls")]
pub(crate) use certificate::CertificateFacts;
#[cfg(feature = "tls")]
pub(super) use channel::{TlsChannel, TlsEnd};
#[cfg(all(feature = "tls", feature = "broker"))]
pub(super) use control_stream::TlsControlStream;
pub use files::{ClientCertificates, TlsClientFiles, TlsServerFiles};
pub use fingerprint::Fingerprint;
#[cfg(all(test, feature = "cli"))]
pub(crate) use rig::tls_pair;
pub use values::{TlsClient, TlsServer};
