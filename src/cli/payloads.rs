//! Owns where the payloads of `pub` come from: a message, a file, the lines of a file, or generated ones.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::interrupt::{Interrupt, InterruptedReads};
use super::template::Template;
use super::{Exit, Failure};
use crate::limits::FRAME_BYTES_MAX_LIMIT;

/// Bytes read from a file at a time: some ten thousand short lines.
const READ_BYTES: usize = 256 << 10;

/// Payloads, one after another.
pub(super) enum Payloads {
    /// The same again.
    Same { payload: Vec<u8>, left: u64, name: &'static str },
    /// The same with fields that are new each time.
    Filled { template: Template, given: u64, count: u64 },
    /// The lines of a file, without their newlines; each is a template, if that is asked for.
    Lines { lines: Lines, left: u64, are_templates: bool },
    /// The number of the message from 1, in decimal, with zeros before it up to the size.
    Generated { size: usize, given: u64, count: u64 },
}

impl Payloads {
    /// Puts the next payload in `payload`; false when there is none.
    pub(super) fn next(&mut self, payload: &mut Vec<u8>) -> Result<bool, Failure> {
        match self {
            Payloads::Same { left: 0, .. } | Payloads::Lines { left: 0, .. } => Ok(false),
            Payloads::Same { payload: same, left, .. } => {
                *left -= 1;
                payload.clone_from(same);
                Ok(true)
            }
            Payloads::Filled { template, given, count } => {
                if given == count {
                    return Ok(false);
                }
                *given += 1;
                template.fill(*given, payload);
                Ok(true)
            }
            Payloads::Lines { lines, left, are_templates } => {
                *left -= 1;
                let is_there = lines.next(payload)?;
                if is_there && *are_templates {
                    let template = Template::parse(payload)
                        .map_err(|why| Failure::new(Exit::Failed, why).at(lines.place()))?;
                    template.fill(lines.given, payload);
                }
                Ok(is_there)
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
            Payloads::Filled { .. } | Payloads::Lines { .. } => None,
            Payloads::Generated { size, .. } => Some(*size),
        }
    }

    /// The number of payloads, where that is known before there is one.
    pub(super) fn count_to_come(&self) -> Option<u64> {
        match self {
            Payloads::Same { left, .. } => Some(*left),
            Payloads::Filled { count, .. } | Payloads::Generated { count, .. } => Some(*count),
            Payloads::Lines { .. } => None,
        }
    }

    /// Names what was given last, for errors.
    pub(super) fn place(&self) -> String {
        match self {
            Payloads::Same { name, .. } => format!("the {name}"),
            Payloads::Filled { given, .. } => format!("message {given}"),
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

/// Opens a file, of which nothing can be read after an interrupt; `-` is stdin.
fn open(path: &Path, reads: &InterruptedReads) -> Result<(String, Box<dyn Read>), Failure> {
    let (name, file) = if path == Path::new("-") {
        ("stdin".to_owned(), io::stdin().as_fd().try_clone_to_owned().map(File::from))
    } else {
        // One that is a named pipe is opened though nobody writes to it yet: it is the reads that wait.
        let opened = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
        (path.display().to_string(), opened)
    };
    let reader = file.and_then(|file| reads.reader(file));
    let reader = reader.map_err(|e| Failure::new(Exit::Failed, format!("cannot open {name}: {e}")))?;
    Ok((name, Box::new(reader)))
}

/// Reads all of a file as one payload.
pub(super) fn read_file(path: &Path, interrupt: &Interrupt) -> Result<Vec<u8>, Failure> {
    let reads =
        interrupt.reads().map_err(|e| Failure::new(Exit::Failed, format!("cannot make a pipe: {e}")))?;
    let (name, reader) = open(path, &reads)?;
    read_whole(&name, reader, FRAME_BYTES_MAX_LIMIT)
}

fn read_whole(name: &str, reader: impl Read, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    reader
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Failure::new(Exit::Failed, format!("cannot read {name}: {e}")))?;
    if bytes.len() > bytes_max {
        return Err(Failure::new(Exit::Failed, format!("{name} has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// The lines of a file, byte for byte, the last one with or without its newline.
pub(super) struct Lines {
    name: String,
    reader: BufReader<Box<dyn Read>>,
    number: u64,
    /// Lines of all passes.
    given: u64,
    line_bytes_max: usize,
    /// Times to read the file again, and how.
    again: Option<(u64, PathBuf, InterruptedReads)>,
}

impl Lines {
    /// Opens the file to read it so many times; `-` is stdin, which can be read once.
    pub(super) fn open(path: &Path, times: u64, interrupt: &Interrupt) -> Result<Self, Failure> {
        let reads =
            interrupt.reads().map_err(|e| Failure::new(Exit::Failed, format!("cannot make a pipe: {e}")))?;
        let (name, reader) = open(path, &reads)?;
        let again = (times > 1).then(|| (times - 1, path.to_owned(), reads));
        Ok(Lines { again, ..Self::new(name, reader, FRAME_BYTES_MAX_LIMIT) })
    }

    /// Lines longer than `line_bytes_max` are an error before they fill the memory.
    fn new(name: impl Into<String>, reader: Box<dyn Read>, line_bytes_max: usize) -> Self {
        Lines {
            name: name.into(),
            reader: BufReader::with_capacity(READ_BYTES, reader),
            number: 0,
            given: 0,
            line_bytes_max,
            again: None,
        }
    }

    fn next(&mut self, line: &mut Vec<u8>) -> Result<bool, Failure> {
        // A file without lines is not read again and again.
        while !self.next_of_pass(line)? {
            if self.number == 0 || !self.open_again()? {
                return Ok(false);
            }
        }
        self.given += 1;
        Ok(true)
    }

    /// Opens the file once more; false if that was done often enough.
    fn open_again(&mut self) -> Result<bool, Failure> {
        let Some((left, path, reads)) = &mut self.again else { return Ok(false) };
        if *left == 0 {
            return Ok(false);
        }
        *left -= 1;
        let (_, reader) = open(path, reads)?;
        self.reader = BufReader::with_capacity(READ_BYTES, reader);
        self.number = 0;
        Ok(true)
    }

    /// The next line of this pass; false at the end of the file.
    fn next_of_pass(&mut self, line: &mut Vec<u8>) -> Result<bool, Failure> {
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
        Payloads::Lines { lines: Lines::new("test", Box::new(bytes), 8), left, are_templates: false }
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
        assert_eq!(all(Payloads::Same { payload: b"x".to_vec(), left: 2, name: "message" }), [b"x", b"x"]);
        assert_eq!(all(Payloads::Generated { size: 3, given: 0, count: 2 }), [b"001", b"002"]);
        assert_eq!(all(Payloads::Generated { size: 1, given: 9, count: 10 }), [b"0"]);
        assert_eq!(all(Payloads::Generated { size: 0, given: 0, count: 1 }), [b""]);
    }

    #[test]
    fn lines_are_filled_in_and_counted_on() {
        let lines = Lines::new("test", Box::new(&b"{{count}}\n\nx{{count}}"[..]), 80);
        let filled = Payloads::Lines { lines, left: u64::MAX, are_templates: true };
        assert_eq!(all(filled), [&b"1"[..], b"", b"x3"]);
        let lines = Lines::new("test", Box::new(&b"ok\n{{no}}"[..]), 80);
        let mut wrong = Payloads::Lines { lines, left: u64::MAX, are_templates: true };
        let mut line = Vec::new();
        assert_eq!(wrong.next(&mut line), Ok(true));
        let failure = wrong.next(&mut line).expect_err("no field").to_string();
        assert!(failure.starts_with("error: line 2 of test: `{{no}}` is no field"), "{failure}");
        let template = Template::parse(b"a{{count}}").expect("a template");
        assert_eq!(all(Payloads::Filled { template, given: 0, count: 2 }), [b"a1", b"a2"]);
    }

    #[test]
    fn a_file_is_read_again_or_whole() {
        let interrupt = Interrupt::new().expect("a pipe");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lines");
        let lines = |times| {
            let lines = Lines::open(&path, times, &interrupt).expect("a file");
            all(Payloads::Lines { lines, left: u64::MAX, are_templates: false })
        };
        std::fs::write(&path, "a\nb\n").expect("written");
        assert_eq!((lines(1).len(), lines(3).concat()), (2, b"ababab".to_vec()));
        assert_eq!(read_file(&path, &interrupt), Ok(b"a\nb\n".to_vec()));
        std::fs::write(&path, "").expect("written");
        assert!(lines(u64::MAX).is_empty());
        assert_eq!(read_file(&path, &interrupt), Ok(Vec::new()));
        assert_eq!(read_whole("f", &b"123"[..], 3), Ok(b"123".to_vec()));
        let long = read_whole("f", &b"1234"[..], 3).expect_err("four bytes").to_string();
        assert_eq!(long, "error: f has more than 3 bytes\n");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let failure = Lines::open(Path::new("no/such/file"), 1, &Interrupt::new().unwrap())
            .err()
            .expect("it is not there");
        assert!(failure.to_string().starts_with("error: cannot open no/such/file: "), "{failure}");
    }
}
