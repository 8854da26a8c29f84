//! Brokers on one thread: two, joined by a loopback carrier, or some of a cluster, over an engine.
//!
//! | file | owns |
//! |---|---|
//! | `house` | one broker: its shards, its carrier, its clients |
//! | `guest` | a client of one of them, and its books: each message once, in order, and every hole told |
//! | `pair` | two brokers, the connection between them, and the steps that move them |
//! | `tests` | the promises that they keep, in seeded runs and in single cases |
//! | `server` | an engine that loses, doubles and brings late, and its connections |
//! | `cluster` | brokers over it, and the steps that move them |
//! | `cluster_tests` | the promises that these keep |
//! | `count_tests`, `history_tests`, `stored_tests` | those of counts of subscribers, of history, and of history that is stored |

mod cluster;
mod cluster_tests;
mod count_tests;
mod guest;
mod history_tests;
mod house;
mod pair;
mod server;
mod stored_tests;
mod tests;
