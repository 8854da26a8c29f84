//! Bounds of TLS: of handshakes, records and files of certificates.

/// Bytes of records that a TLS stream makes ahead of the kernel: two of the longest, so that a send is worth its call. A
/// stalled session holds no more than these, beside a queue that it shares with others.
pub const TLS_UNSENT_BYTES_MAX: usize = 32 << 10;

/// Most bytes that a client may send before its first message of TLS is whole: four times those of browsers, which have the
/// keys of two methods in them. So much a connection may hold without any work for either end.
pub const TLS_HELLO_BYTES_MAX: usize = 8 << 10;

/// Most bytes that a peer may send before its TLS handshake is over: room for the longest chain of certificates in use, some
/// 10 KiB, and what may come in the same read as the end of the handshake.
pub const TLS_HANDSHAKE_BYTES_MAX: usize = 64 << 10;

/// Longest PEM file of certificates or of a key, in bytes: all authorities that a host trusts are a quarter of this.
pub const PEM_FILE_BYTES_MAX: usize = 1 << 20;
