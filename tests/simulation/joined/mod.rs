//! Two brokers on one thread, joined by a loopback carrier.
//!
//! | file | owns |
//! |---|---|
//! | `house` | one broker: its shards, its end of the joint, its clients |
//! | `guest` | a client of one of them, and its books: each message once, in order, and every hole told |
//! | `pair` | both, the connection between them, and the steps that move them |
//! | `tests` | the promises that they keep, in seeded runs and in single cases |

mod guest;
mod house;
mod pair;
mod tests;
