//! Owns writing to stdout and to files. A closed pipe ends a command quietly; a full disk is an error; neither is a
//! panic.

use anyhow::Context;
use corecast::printable::{printable, printable_json, printable_lines};
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;

/// Writes all of `text` to stdout. `Ok(false)`: whoever read it has gone, and there is no point in more.
pub fn print(text: &[u8]) -> anyhow::Result<bool> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write to stdout"),
    }
}

/// Writes tables and other lines for people to stdout: records and agents bring words of others.
pub fn print_lines(text: &str) -> anyhow::Result<bool> {
    let lines: String = text.split_inclusive('\n').map(one_line).collect();
    print(lines.as_bytes())
}

fn one_line(line: &str) -> String {
    match line.strip_suffix('\n') {
        Some(line) => format!("{}\n", printable(line)),
        None => printable(line).to_string(),
    }
}

/// A value as JSON over several lines, as files and stdout get it.
pub fn json(value: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    let mut text = serde_json::to_string_pretty(value).context("cannot write JSON")?;
    text.push('\n');
    Ok(printable_json(&text).into_owned().into_bytes())
}

/// Says on stderr what is wrong, with its causes.
pub fn complain(error: &anyhow::Error) {
    note(&format!("{error:#}"));
}

/// Says something on stderr. What a broker or a peer said may have several lines: they are set in, so that none of them
/// looks like one of ours.
pub fn note(text: &str) {
    // If stderr is gone too, the exit code is all that can be said.
    let _ = writeln!(io::stderr(), "corecast-bench: {}", printable_lines(text));
}

/// Writes a file whole or not at all: under another name beside it first, so that an earlier one stays if the disk
/// is full.
pub fn write_file(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    let what = || format!("cannot write {}", path.display());
    // A device or a pipe can only be written to as it is.
    if path.metadata().is_ok_and(|existing| !existing.is_file()) {
        return std::fs::write(path, text).with_context(what);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".corecast-bench-").permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = builder.tempfile_in(folder).with_context(what)?;
    file.write_all(text).with_context(what)?;
    file.persist(path).with_context(what)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_are_shown_and_do_nothing() {
        assert_eq!(one_line("a  1\r\n"), "a  1\\r\n");
        let json = json(&serde_json::json!({ "host": "\u{9b}" })).unwrap();
        assert_eq!(json, b"{\n  \"host\": \"\\u009b\"\n}\n");
    }

    #[test]
    fn a_file_is_written_whole_and_replaces_an_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.json");
        write_file(&path, b"one").unwrap();
        write_file(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_folder_that_is_not_there_and_a_full_disk_are_errors_that_name_the_file() {
        let error = write_file(Path::new("/nowhere/at/all/r.json"), b"x").unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all/r.json"), "{error}");
        let error = write_file(Path::new("/dev/full"), b"x").unwrap_err();
        assert!(error.to_string().contains("/dev/full"), "{error}");
    }
}
