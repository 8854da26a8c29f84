//! Every bound of corecast, with its unit, its reason and its relation to the others. Anybody may read these;
//! a new one comes with all three.

// ------------------------------------------------------------------------------------------------ Topics

/// Longest topic and longest filter, in bytes. Topics are names, not data: every route that a router caches
/// holds one, and a prefix tree of them is at most this deep. 1 KiB is four times what NATS advises.
pub const TOPIC_BYTES_MAX: usize = 1024;

/// Most levels of a topic or of a pattern. It bounds the depth of the pattern trie, and so its recursion: one
/// stack frame of some 100 bytes a level. Topics that come in through the ZeroMQ door may have more levels;
/// a pattern that ends in `>` still matches them, at no greater depth.
pub const TOPIC_LEVELS_MAX: usize = 64;

const _: () =
    assert!(TOPIC_LEVELS_MAX * 2 <= TOPIC_BYTES_MAX, "a name of that many one-byte levels must fit");
