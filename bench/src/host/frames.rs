//! Owns the bytes of the control connection: frames of a length (`u32`, little-endian) and so many bytes of JSON.
//! Reading is bounded in size and in time; memory grows with what arrives, never with a length that was announced.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// The longest JSON of a frame, in bytes: a part of the measurements (256 KiB of text, of which each quote takes two
/// bytes) and what is around it. All other frames are far shorter.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// Bytes before the JSON.
const LENGTH_BYTES: usize = 4;
/// Bytes that are read at once, so that a frame's buffer grows as it arrives.
const READ_BYTES: usize = 64 << 10;
/// Time that a peer may leave its receive buffer full: a healthy one reads all the time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time to wait for the end of a connection after the last word, so that no reset destroys that word.
const LINGER: Duration = Duration::from_secs(2);

/// An error of the connection.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The other end has closed it.
    #[error("the connection was closed by the other end")]
    Closed,
    /// A timeout before a whole frame had come.
    #[error("nothing came in time")]
    TimedOut,
    /// A frame that is longer than any may be, or nothing of this protocol.
    #[error("a frame of {0} bytes, of {FRAME_BYTES_MAX} at most: this is not the protocol of the agents")]
    TooLong(usize),
    /// JSON that says nothing that is known.
    #[error("a frame that is not of the protocol of the agents: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl FrameError {
    /// The error for a frame that is well formed, and out of place.
    pub fn nonsense(what: &str) -> Self {
        FrameError::Malformed(serde::de::Error::custom(what))
    }
}

/// Prepares a connection: no delay for small frames, no endless write.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))
}

/// Sends one frame.
pub fn write(mut stream: &TcpStream, message: &impl Serialize) -> Result<(), FrameError> {
    let mut bytes = vec![0; LENGTH_BYTES];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - LENGTH_BYTES;
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong(length));
    }
    bytes[..LENGTH_BYTES].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(stream.write_all(&bytes)?)
}

/// The bytes of the next frame, whole before `deadline`.
pub fn read_bytes(stream: &TcpStream, deadline: Instant) -> Result<Vec<u8>, FrameError> {
    let mut length = [0; LENGTH_BYTES];
    fill(stream, &mut length, deadline)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong(length));
    }
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let start = bytes.len();
        bytes.resize(length.min(start + READ_BYTES), 0);
        fill(stream, &mut bytes[start..], deadline)?;
    }
    Ok(bytes)
}

/// The next frame, whole before `deadline`.
pub fn read<T: DeserializeOwned>(stream: &TcpStream, deadline: Instant) -> Result<T, FrameError> {
    Ok(serde_json::from_slice(&read_bytes(stream, deadline)?)?)
}

/// Says that nothing more comes, and reads to the end: a close with unread bytes would destroy what was said last.
pub fn close(stream: &TcpStream) {
    let deadline = Instant::now() + LINGER;
    let mut rest = [0; READ_BYTES];
    let _ = stream.shutdown(Shutdown::Write);
    // What comes is of no interest, but only so much of it is read.
    for _ in 0..FRAME_BYTES_MAX / READ_BYTES {
        if !matches!(read_some(stream, &mut rest, deadline), Ok(length) if length > 0) {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

fn fill(stream: &TcpStream, mut into: &mut [u8], deadline: Instant) -> Result<(), FrameError> {
    while !into.is_empty() {
        match read_some(stream, into, deadline)? {
            0 => return Err(FrameError::Closed),
            length => into = &mut into[length..],
        }
    }
    Ok(())
}

/// Bytes that are there, as soon as there are some. 0: the end.
fn read_some(mut stream: &TcpStream, into: &mut [u8], deadline: Instant) -> Result<usize, FrameError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(FrameError::TimedOut);
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(into) {
            Ok(length) => return Ok(length),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(FrameError::TimedOut);
            }
            // The other end was killed, or closed with our bytes unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(FrameError::Closed),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (one, listener.accept().unwrap().0)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn a_frame_that_was_written_is_read_and_then_the_end() {
        let (one, other) = pair();
        let long = "x".repeat(300_000);
        write(&one, &long).unwrap();
        write(&one, &7).unwrap();
        drop(one);
        assert_eq!(read::<String>(&other, soon()).unwrap(), long);
        assert_eq!(read::<u32>(&other, soon()).unwrap(), 7);
        assert!(matches!(read::<u32>(&other, soon()), Err(FrameError::Closed)));
    }

    #[test]
    fn what_is_too_long_or_no_json_is_refused_in_both_directions() {
        let (one, other) = pair();
        let error = write(&one, &"x".repeat(FRAME_BYTES_MAX)).unwrap_err();
        assert!(matches!(error, FrameError::TooLong(length) if length == FRAME_BYTES_MAX + 2), "{error}");
        (&one).write_all(b"\x03\0\0\0abcGET / HTTP/1.1\r\n").unwrap();
        assert!(matches!(read::<u32>(&other, soon()), Err(FrameError::Malformed(_))));
        assert!(matches!(read::<u32>(&other, soon()), Err(FrameError::TooLong(0x2054_4547))));
    }

    #[test]
    fn half_a_frame_is_waited_for_until_the_deadline() {
        let (one, other) = pair();
        (&one).write_all(b"\x03\0\0\0ab").unwrap();
        let error = read::<u32>(&other, Instant::now() + Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error, FrameError::TimedOut), "{error}");
    }
}
