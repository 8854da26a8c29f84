//! Owns where the payloads of `pub` come from: a message, the lines of a file, or generated ones.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

use super::interrupt::Interrupt;
use super::{Exit, Failure};
use crate::limits::FRAME_BYTES_MAX_LIMIT;

/// Bytes read from a file at a time: some ten thousand short lines.
const READ_BYTES: usize = 256 << 10;

/// Payloads, one after another.
pub(super) enum Payloads {
    /// The same again.
    Same { payload: Vec<u8>, left: u64 },
    /// The lines of a file, without their newlines.
    Lines { lines: Lines, left: u64 },
    /// The number of the message from 1, in decimal, with zeros before it up to the size.
    Generated { size: usize, given: u64, count: u64 },
}

impl Payloads {
    /// Puts the next payload in `payload`; false when there is none.
    pub(super) fn next(&mut self, payload: &mut Vec<u8>) -> Result<bool, Failure> {
        match self {
            Payloads::Same { left: 0, .. } | Payloads::Lines { left: 0, .. } => Ok(false),
            Payloads::Same { payload: same, left } => {
                *left -= 1;
                payload.clone_from(same);
                Ok(true)
            }
            Payloads::Lines { lines, left } => {
                *left -= 1;
                lines.next(payload)
            }
            Payloads::Generated { size, given, count } => {
                if given == count {
                    return Ok(false);
                }
                *given += 1;
                generate(*given, *size, payload);
                Ok(true)
            }
        }
    }

    /// The bytes of each payload, where that is known before there is one.
    pub(super) fn size_to_come(&self) -> Option<usize> {
        match self {
            Payloads::Same { payload, .. } => Some(payload.len()),
            Payloads::Lines { .. } => None,
            Payloads::Generated { size, .. } => Some(*size),
        }
    }

    /// Names what was given last, for errors.
    pub(super) fn place(&self) -> String {
        match self {
            Payloads::Same { .. } => "the message".to_owned(),
            Payloads::Lines { lines, .. } => lines.place(),
            Payloads::Generated { given: 0, .. } => "a generated message".to_owned(),
            Payloads::Generated { given, .. } => format!("generated message {given}"),
        }
    }

    /// True if payloads come at a pace that is not ours.
    pub(super) fn have_own_pace(&self) -> bool {
        matches!(self, Payloads::Lines { .. })
    }
}

fn generate(number: u64, size: usize, payload: &mut Vec<u8>) {
    payload.clear();
    payload.resize(size, b'0');
    let mut number = number;
    for digit in payload.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The lines of a file, byte for byte, the last one with or without its newline.
pub(super) struct Lines {
    name: String,
    reader: BufReader<Box<dyn Read>>,
    number: u64,
    line_bytes_max: usize,
}

impl Lines {
    /// Opens the file, of which nothing can be read after an interrupt; `-` is stdin.
    pub(super) fn open(path: &Path, interrupt: &Interrupt) -> Result<Self, Failure> {
        let (name, file) = if path == Path::new("-") {
            ("stdin".to_owned(), io::stdin().as_fd().try_clone_to_owned().map(File::from))
        } else {
            // One that is a named pipe is opened though nobody writes to it yet: it is the reads that wait.
            let opened = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
            (path.display().to_string(), opened)
        };
        let reader = file.and_then(|file| interrupt.reader(file));
        let reader = reader.map_err(|e| Failure::new(Exit::Failed, format!("cannot open {name}: {e}")))?;
        Ok(Self::new(name, Box::new(reader), FRAME_BYTES_MAX_LIMIT))
    }

    /// Lines longer than `line_bytes_max` are an error before they fill the memory.
    fn new(name: impl Into<String>, reader: Box<dyn Read>, line_bytes_max: usize) -> Self {
        Lines {
            name: name.into(),
            reader: BufReader::with_capacity(READ_BYTES, reader),
            number: 0,
            line_bytes_max,
        }
    }

    fn next(&mut self, line: &mut Vec<u8>) -> Result<bool, Failure> {
        line.clear();
        // One byte more for the newline of the longest line.
        let mut bounded = (&mut self.reader).take(self.line_bytes_max as u64 + 1);
        let n = bounded
            .read_until(b'\n', line)
            .map_err(|e| Failure::new(Exit::Failed, format!("cannot read {}: {e}", self.name)))?;
        if n == 0 {
            return Ok(false);
        }
        self.number += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() > self.line_bytes_max {
            let text = format!("{} has more than {} bytes", self.place(), self.line_bytes_max);
            return Err(Failure::new(Exit::Failed, text));
        }
        Ok(true)
    }

    fn place(&self) -> String {
        format!("line {} of {}", self.number, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut payloads: Payloads) -> Vec<Vec<u8>> {
        let mut payload = vec![99];
        let mut all = Vec::new();
        while payloads.next(&mut payload).expect("a source without errors") {
            all.push(payload.clone());
        }
        all
    }

    fn lines(bytes: &'static [u8], left: u64) -> Payloads {
        Payloads::Lines { lines: Lines::new("test", Box::new(bytes), 8), left }
    }

    #[test]
    fn lines_are_kept_byte_for_byte() {
        assert_eq!(all(lines(b"a\n\nb\r\n\xff\0", u64::MAX)), [&b"a"[..], b"", b"b\r", b"\xff\0"]);
        assert_eq!(all(lines(b"a\n", u64::MAX)), [b"a"]);
        assert!(all(lines(b"", u64::MAX)).is_empty());
        assert_eq!(all(lines(b"a\nb\nc\n", 2)), [b"a", b"b"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_named() {
        assert_eq!(all(lines(b"12345678\n12345678", u64::MAX)), [b"12345678", b"12345678"]);
        let mut long = lines(b"ok\n123456789\n", u64::MAX);
        let mut line = Vec::new();
        assert_eq!(long.next(&mut line), Ok(true));
        let failure = long.next(&mut line).expect_err("nine bytes");
        assert_eq!(failure.to_string(), "error: line 2 of test has more than 8 bytes\n");
    }

    #[test]
    fn messages_repeat_and_numbers_count() {
        assert_eq!(all(Payloads::Same { payload: b"x".to_vec(), left: 2 }), [b"x", b"x"]);
        assert_eq!(all(Payloads::Generated { size: 3, given: 0, count: 2 }), [b"001", b"002"]);
        assert_eq!(all(Payloads::Generated { size: 1, given: 9, count: 10 }), [b"0"]);
        assert_eq!(all(Payloads::Generated { size: 0, given: 0, count: 1 }), [b""]);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let failure = Lines::open(Path::new("no/such/file"), &Interrupt::pair().unwrap().1)
            .err()
            .expect("it is not there");
        assert!(failure.to_string().starts_with("error: cannot open no/such/file: "), "{failure}");
    }
}
