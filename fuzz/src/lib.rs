//! The fuzz targets as plain functions: an input that breaks a rule panics. `tests/fuzz_corpus.rs` of the main crate
//! also runs the corpus through them, without a fuzzer.

mod engine;
mod frames;
mod greeting;
mod mechanisms;
mod runs;
mod session;
mod ticket;
mod tls;
mod users;

pub use engine::engine;
pub use frames::frames;
pub use greeting::greeting;
pub use mechanisms::mechanisms;
pub use runs::runs;
pub use session::session;
pub use ticket::ticket;
pub use tls::tls;
pub use users::users;
