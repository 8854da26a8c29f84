//! Questions to the stores of history, and their answers, without the words of any engine. Owned by nobody.

use std::time::Duration;

use bytes::Bytes;

use crate::topic::Filter;

/// A store: the topics of one rule, and the bounds of what it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreBounds {
    /// The topics.
    pub filter: Filter,
    /// A name that no other store has: letters, digits, `-` and `_`.
    pub name: String,
    /// The subjects of all that it takes.
    pub subjects: String,
    /// The time for which it holds them.
    pub age: Duration,
    /// Most bytes.
    pub bytes: u64,
    /// Most payloads of each subject; `None`: as many as there is room for.
    pub of_each: Option<u64>,
}

/// A question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreAsk {
    /// Find out if it is there, with its bounds.
    Look(StoreBounds),
    /// Make it.
    Make(StoreBounds),
    /// Give it this configuration, as [`StoreAnswer::Differs`] had it.
    Change(StoreBounds, Bytes),
    /// Begin to read it from its first payload.
    Read(StoreBounds),
    /// Bring the next payloads.
    More {
        /// The store.
        store: StoreBounds,
        /// The reader, as [`StoreAnswer::Reads`] had it.
        reader: String,
        /// Most of them.
        count: usize,
    },
    /// Give up what is under this subject, which may be a pattern.
    Clear {
        /// The store.
        store: StoreBounds,
        /// The subject.
        subject: String,
    },
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreAnswer {
    /// There is no such store.
    Absent,
    /// It is there, with its bounds.
    Fits,
    /// It is there with others; this configuration has the right ones, and is as before in all else.
    Differs(Bytes),
    /// A reader has begun.
    Reads {
        /// Its name.
        reader: String,
        /// Payloads that it will bring.
        left: u64,
    },
    /// There are no more payloads now.
    NoMore,
    /// It has given up what it was to give up, if it was there.
    Cleared,
}

/// The facts of a payload that a store brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreFacts {
    /// The time for which it has been there.
    pub age: Duration,
    /// Its number among all that the store ever had, from 1 on.
    pub number: u64,
    /// Payloads behind it.
    pub left: u64,
}
