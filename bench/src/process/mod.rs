//! Processes that a measurement starts: each ends with this one, and says why it failed.
//!
//! | file | owns |
//! |---|---|
//! | [`guard`] | the hidden subcommand through which a process is started, so that it outlives nobody |
//! | [`child`] | one process: started, waited for until it serves, its last words, its end |
//! | [`server`] | the fan-out of a run: a process of ours, or one that runs already |
//! | [`certificate`] | the certificate of a server with TLS |
//! | [`trust`] | the certificate that clients of a server trust |
//! | [`error`] | the reasons for which a server is not there |
//! | [`program`] | where the programs of servers are |
//! | [`product`] | the servers that read a configuration file, edition by edition |
//! | [`engine`] | the choice of the engine between brokers of ours |
//! | [`joined`] | brokers of ours with an engine between them |
//! | [`broker`] | the `corecast` broker: its file, its arguments, its ready line |
//! | [`neighbour`] | a process that keeps a core busy meanwhile |
//! | [`transport`] | TCP, TCP under TLS, or Unix sockets |

pub mod broker;
pub mod certificate;
pub mod child;
pub mod engine;
pub mod error;
pub mod guard;
pub mod joined;
pub mod neighbour;
pub mod product;
pub mod program;
pub mod server;
pub mod transport;
pub mod trust;
