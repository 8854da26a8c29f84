//! Owns writing to stdout and to files. A closed pipe ends a command quietly; a full disk is an error; neither is a
//! panic.

use super::exit::Exit;
use anyhow::Context;
use corecast::internals::cli::Utc;
use corecast::internals::printable::{printable, printable_json, printable_lines};
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

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

/// Prints the complaints of assertions; the exit code is that of wrong usage if there is one.
pub fn complain_of_each(complaints: impl IntoIterator<Item = String>) -> Exit {
    complaints.into_iter().fold(Exit::Fine, |_, complaint| {
        note(&complaint);
        Exit::Usage
    })
}

/// Says something on stderr. What a broker or a peer said may have several lines: they are set in, so that none of them
/// looks like one of ours.
pub fn note(text: &str) {
    // If stderr is gone too, the exit code is all that can be said.
    let _ = writeln!(io::stderr(), "corecast-bench: {}", printable_lines(text));
}

/// The time of day, RFC 3339 in UTC; empty on a clock beyond 2554.
pub fn now() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).map_or_else(|_| String::new(), |unix_ns| Utc { unix_ns }.to_string())
}

/// Finds out whether a file can be written, before the work whose results it is to hold. It leaves what is there.
///
/// # Errors
/// Names the file and why it cannot be written.
pub fn check_file(path: &Path) -> anyhow::Result<()> {
    let what = || format!("cannot write {}", path.display());
    match path.metadata() {
        Ok(existing) if existing.is_dir() => {
            Err(io::Error::from(io::ErrorKind::IsADirectory)).with_context(what)
        }
        // A device or a pipe is opened when there is something for it.
        Ok(existing) if !existing.is_file() => Ok(()),
        _ => beside(path).map(drop).with_context(what),
    }
}

/// The same for a folder that is to hold several files; it is made.
///
/// # Errors
/// As [`check_file`].
pub fn check_folder(path: &Path) -> anyhow::Result<()> {
    let what = || format!("cannot write into {}", path.display());
    std::fs::create_dir_all(path).with_context(what)?;
    beside(&path.join("file")).map(drop).with_context(what)
}

/// A file in the same folder, without a name that anybody knows; it goes again unless it gets one.
fn beside(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".corecast-bench-").permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    builder.tempfile_in(folder)
}

/// Prints tables to stdout and writes JSON into a file, the one whatever becomes of the other; or prints the JSON
/// instead, where the path is `-`.
///
/// # Errors
/// Names what could not be written.
pub fn publish_both(
    path: Option<&Path>,
    tables: &str,
    json: impl FnOnce() -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<()> {
    match path {
        None => print_lines(tables).map(drop),
        Some(path) if path == Path::new("-") => print(&json()?).map(drop),
        Some(path) => {
            let printed = print_lines(tables);
            write_file(path, &json()?)?;
            printed.map(drop)
        }
    }
}

/// Finds out whether JSON can be written where it is wanted; `-` is stdout.
///
/// # Errors
/// As [`check_file`].
pub fn check_json(path: Option<&Path>) -> anyhow::Result<()> {
    match path {
        Some(path) if path != Path::new("-") => check_file(path).context("--json"),
        _ => Ok(()),
    }
}

/// Writes a file whole or not at all: under another name beside it first, so that an earlier one stays if the disk
/// is full.
pub fn write_file(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    let what = || format!("cannot write {}", path.display());
    // A device or a pipe can only be written to as it is.
    if path.metadata().is_ok_and(|existing| !existing.is_file()) {
        return std::fs::write(path, text).with_context(what);
    }
    let mut file = beside(path).with_context(what)?;
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
    fn what_cannot_be_written_is_known_before_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.json");
        check_file(&path).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        std::fs::write(&path, "an earlier one").unwrap();
        check_file(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"an earlier one");
        check_file(Path::new("/dev/null")).unwrap();
        for wrong in
            [folder.path(), &path.join("r.json"), Path::new("/proc/r.json"), Path::new("/nowhere/r.json")]
        {
            let error = check_file(wrong).unwrap_err();
            assert!(error.to_string().contains(&wrong.display().to_string()), "{error}");
        }
        check_folder(&folder.path().join("a/b")).unwrap();
        for wrong in [&path, Path::new("/proc/report")] {
            assert!(check_folder(wrong).unwrap_err().to_string().contains("cannot write into"));
        }
    }

    #[test]
    fn a_folder_that_is_not_there_and_a_full_disk_are_errors_that_name_the_file() {
        let error = write_file(Path::new("/nowhere/at/all/r.json"), b"x").unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all/r.json"), "{error}");
        let error = write_file(Path::new("/dev/full"), b"x").unwrap_err();
        assert!(error.to_string().contains("/dev/full"), "{error}");
    }
}
