//! From the text of a config file to what it sets. All that is wrong with it is found at once.

use std::collections::BTreeMap;
use std::path::Path;

use serde_spanned::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::literal::texts_of;
use super::near::nearest;
use super::{FileFault, FileGrammar, FileSection, TextPlace};

/// An option that a file sets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FileEntry {
    pub(crate) texts: Vec<String>,
    pub(crate) place: TextPlace,
}

/// The options that a file sets: by table, none for the top level, and by key.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct FileValues(BTreeMap<(Option<&'static str>, &'static str), FileEntry>);

impl FileValues {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The same, without a key.
    pub(crate) fn without(&self, table: Option<&'static str>, key: &'static str) -> FileValues {
        let others = self.0.iter().filter(|(of, _)| **of != (table, key));
        FileValues(others.map(|(of, entry)| (*of, entry.clone())).collect())
    }

    /// That key alone.
    pub(crate) fn only(&self, table: Option<&'static str>, key: &'static str) -> FileValues {
        let same = self.0.iter().filter(|(of, _)| **of == (table, key));
        FileValues(same.map(|(of, entry)| (*of, entry.clone())).collect())
    }

    pub(crate) fn get(&self, table: Option<&'static str>, key: &'static str) -> Option<&FileEntry> {
        self.0.get(&(table, key))
    }
}

/// Reads the text of a config file. Relative paths in it begin at `folder`.
///
/// # Errors
/// All that is wrong, in the order of the text.
pub(crate) fn read_config(
    text: &[u8],
    grammar: &FileGrammar,
    folder: &Path,
) -> Result<FileValues, Vec<FileFault>> {
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            let valid = String::from_utf8_lossy(&text[..error.valid_up_to()]);
            let what = format!("the byte 0x{:02x} is not text in UTF-8", text[error.valid_up_to()]);
            return Err(vec![FileFault::new(TextPlace::of(&valid, valid.len()), what)]);
        }
    };
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { text, grammar, folder, values: FileValues::default(), faults: Vec::new() };
    reader.top_level(root.get_ref());
    let mut syntax: Vec<FileFault> =
        errors.iter().map(|error| reader.syntax(error, root.get_ref())).collect();
    // Behind the first thing in a line that is no TOML, all is a guess.
    syntax.sort();
    syntax.dedup_by_key(|fault| fault.place().line);
    let is_guess = |fault: &FileFault| syntax.iter().any(|wrong| wrong.place().line == fault.place().line);
    let mut faults: Vec<FileFault> = reader.faults.into_iter().filter(|fault| !is_guess(fault)).collect();
    faults.extend(syntax);
    faults.sort();
    faults.dedup_by_key(|fault| fault.place());
    if faults.is_empty() { Ok(reader.values) } else { Err(faults) }
}

struct Reader<'a> {
    text: &'a str,
    grammar: &'a FileGrammar,
    folder: &'a Path,
    values: FileValues,
    faults: Vec<FileFault>,
}

type Key<'i> = Spanned<DeString<'i>>;
type Value<'i> = Spanned<DeValue<'i>>;

impl Reader<'_> {
    fn place(&self, at: usize) -> TextPlace {
        TextPlace::of(self.text, at)
    }

    fn fault(&mut self, at: usize, key: &str, what: String) {
        self.faults.push(FileFault::new(self.place(at), what).of_key(key));
    }

    fn top_level(&mut self, table: &DeTable<'_>) {
        let grammar = self.grammar;
        let Some(section) = grammar.section(None) else { return };
        for (key, value) in table {
            match (grammar.section(Some(key.get_ref())), value.get_ref()) {
                (Some(section), DeValue::Table(inner)) => {
                    inner.iter().for_each(|(key, value)| self.entry(section, key, value));
                }
                (None, DeValue::Table(_)) if section.get(key.get_ref()).is_none() => self.unknown_table(key),
                (Some(_), _) => {
                    let what = format!("this is a table: write [{}] in a line of its own", key.get_ref());
                    self.fault(key.span().start, key.get_ref(), what);
                }
                _ => self.entry(section, key, value),
            }
        }
    }

    fn entry(&mut self, section: &FileSection, key: &Key<'_>, value: &Value<'_>) {
        let at = key.span().start;
        let Some(known) = section.get(key.get_ref()) else {
            let what = self.unknown(section, key.get_ref());
            return self.fault(at, key.get_ref(), what);
        };
        match texts_of(known, value, self.folder) {
            Ok(None) => {}
            Ok(Some(texts)) => {
                let entry = FileEntry { texts, place: self.place(at) };
                self.values.0.insert((section.table, known.key), entry);
            }
            Err(wrong) => {
                for (span, what) in wrong {
                    // A table that is opened by its name stands where its name does.
                    self.fault(span.start.max(at), known.key, what);
                }
            }
        }
    }

    /// Says why a section does not have a key, and which one was meant.
    fn unknown(&self, section: &FileSection, key: &str) -> String {
        let plain = key.trim_start_matches('-');
        if let Some(owner) = self.grammar.owner(plain).filter(|owner| owner.table != section.table) {
            return format!("it is an option of {}, and {}", owner.whose, owner.place());
        }
        if self.grammar.not_in_files.contains(&plain) {
            return "it is for the command line and the environment alone".to_owned();
        }
        let known = section.keys.iter().flat_map(|known| [(known.key, known.key), (known.field, known.key)]);
        match nearest(key, known) {
            Some(meant) => format!("no such option; did you mean `{meant}`?"),
            None => "no such option; `corecast config default` lists them all".to_owned(),
        }
    }

    fn unknown_table(&mut self, key: &Key<'_>) {
        let tables = self.grammar.sections.iter().filter_map(|section| section.table);
        let what = match nearest(key.get_ref(), tables.clone().map(|table| (table, table))) {
            Some(meant) => format!("no such table; did you mean [{meant}]?"),
            None => {
                let tables: Vec<String> = tables.map(|table| format!("[{table}]")).collect();
                let tables = tables.join(", ");
                format!(
                    "no such table; options of brokers stand at the top level, and there is only {tables}"
                )
            }
        };
        self.fault(key.span().start, key.get_ref(), what);
    }

    /// The fault of a text that is no TOML.
    fn syntax(&self, error: &toml::de::Error, root: &DeTable<'_>) -> FileFault {
        let span = error.span().unwrap_or(0..0);
        let place = self.place(span.start);
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if error.message() != "duplicate key" {
            let fault = FileFault::new(place, self.in_our_words(error.message(), span.start));
            let (key, _) = self
                .text
                .get(line_start..span.start)
                .and_then(|line| line.split_once('='))
                .unwrap_or_default();
            return match self.grammar.owner(key.trim()) {
                Some(_) => fault.of_key(key.trim()),
                None => fault,
            };
        }
        let written = self.text.get(span.clone()).unwrap_or_default();
        let key = written.trim_matches(['"', '\'']).trim();
        let is_table = self.text[line_start..].trim_start().starts_with('[');
        let (what, first) = match is_table {
            true => ("there are two tables of this name", self.line_of_table(key, place.line)),
            false => ("it is there twice", self.line_of_key(key, root, span.start)),
        };
        let first = first.map(|line| format!(" (first in line {line})")).unwrap_or_default();
        FileFault::new(place, format!("{what}{first}")).of_key(key)
    }

    /// The fault of a text that is no TOML, with the way out; the parser's own words say what it expects next.
    fn in_our_words(&self, message: &str, at: usize) -> String {
        let rest = self.text.get(at..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        match message {
            _ if message.starts_with("string values must be quoted") => {
                let value = rest.split('#').next().unwrap_or_default().trim();
                // Another option where a value of a list is expected: the list was never ended.
                if value.split_once('=').is_some_and(|(key, _)| self.grammar.owner(key.trim()).is_some()) {
                    return "the ] at the end of the list before this is missing".to_owned();
                }
                format!("a text stands in quotes: write {value:?}")
            }
            _ if message.starts_with("invalid basic string, expected `\"`")
                || message.starts_with("invalid literal string, expected `'`") =>
            {
                "the quote at the end of the text is missing".to_owned()
            }
            _ if message.starts_with("key with no value") => {
                "an option and its value have = between them, and this has none".to_owned()
            }
            other => other.to_owned(),
        }
    }

    /// The line above this place where a key is first: the parser keeps that one, in whichever table.
    fn line_of_key(&self, key: &str, root: &DeTable<'_>, before: usize) -> Option<usize> {
        let tables = root.iter().filter_map(|(_, value)| value.get_ref().as_table());
        let all = std::iter::once(root).chain(tables).flat_map(|table| table.keys());
        let same = all.filter(|other| other.get_ref() == key).map(|other| other.span().start);
        same.filter(|at| *at < before).max().map(|at| self.place(at).line)
    }

    /// The line above this one where a table is first: the parser keeps the last.
    fn line_of_table(&self, name: &str, before: usize) -> Option<usize> {
        let named =
            |line: &str| line.trim().strip_prefix('[')?.split(']').next().map(|name| name.trim().to_owned());
        let lines = self.text.lines().take(before - 1);
        lines.map(named).position(|other| other.as_deref() == Some(name)).map(|line| line + 1)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use proptest::prelude::*;
    use proptest::{collection, sample};

    use super::*;
    use crate::config::file::FileKey;
    use crate::config::{Count, FilePath, List, OnOff, One, Optional, Plain, Size, Switch, TimeSpan};

    configuration! {
        /// Options of each shape and form.
        #[derive(Debug)]
        struct OfBrokers {
            /// Addresses.
            listen: Vec<crate::Endpoint> = Vec::new(), option("listen", "URL", List<Plain>);
            /// Size.
            egress_bytes_max: usize = 1 << 20, option("egress-bytes", "BYTES", One<Size>);
            /// Number.
            shards: Option<usize> = None, option("shards", "N", Optional<Count>);
            /// Time.
            lease: Duration = Duration::from_secs(5), option("lease", "SECS", One<TimeSpan>);
            /// Path.
            users: Option<PathBuf> = None, option("users", "FILE", Optional<FilePath>);
            /// On or off.
            rebalance: bool = true, option("rebalance", "on|off", One<OnOff>);
            /// Switch.
            insecure: bool = false, option("insecure", "", Switch);
            /// Policy.
            overflow: crate::OverflowPolicy = crate::OverflowPolicy::default(), option("overflow", "POLICY", One<Plain>);
        }
    }

    configuration! {
        /// Options of a table.
        #[derive(Debug)]
        struct OfClients {
            /// Address.
            broker: crate::Endpoint = crate::Endpoint::default(), option("broker", "URL", One<Plain>);
        }
    }

    fn grammar() -> FileGrammar {
        let section = |table, whose, keys| FileSection { table, whose, keys };
        FileGrammar {
            sections: vec![
                section(None, "brokers", FileKey::all_of::<OfBrokers>()),
                section(Some("client"), "clients", FileKey::all_of::<OfClients>()),
            ],
            not_in_files: &["output"],
        }
    }

    fn read(text: &[u8]) -> Result<FileValues, Vec<FileFault>> {
        read_config(text, &grammar(), Path::new("/etc/corecast"))
    }

    fn faults(text: impl AsRef<[u8]>) -> Vec<String> {
        let faults = read(text.as_ref()).expect_err("it is wrong");
        faults.iter().map(FileFault::to_string).collect()
    }

    #[test]
    fn values_are_written_in_their_natural_way_or_as_on_the_command_line() {
        for (line, texts) in [
            ("listen = ['tcp://h:1', 'uds:///a,b']", &["tcp://h:1", "uds:///a,b"][..]),
            ("listen = 'tcp://h:1,tcp://h:2'", &["tcp://h:1", "tcp://h:2"]),
            ("listen = []", &[]),
            ("egress-bytes = '16 MiB'", &["16 MiB"]),
            ("egress-bytes = 1_048_576", &["1048576"]),
            ("egress-bytes = 0x10", &["16"]),
            ("shards = 3", &["3"]),
            ("shards = '3'", &["3"]),
            ("lease = 2.5", &["2.5"]),
            ("lease = 1e1", &["10"]),
            ("lease = '250ms'", &["250ms"]),
            ("users = 'users.toml'", &["/etc/corecast/users.toml"]),
            ("users = '/run/users.toml'", &["/run/users.toml"]),
            ("rebalance = false", &["off"]),
            ("rebalance = 'on'", &["on"]),
            ("insecure = true", &["true"]),
            ("\"overflow\" = \"\"\"block\"\"\"", &["block"]),
        ] {
            let text = format!("# a comment\n\n  {line}");
            let values = read(text.as_bytes()).unwrap_or_else(|faults| panic!("{line}: {faults:?}"));
            let key = line.split_once(" = ").expect("a key").0.trim_matches('"');
            let (of, entry) = values.0.first_key_value().expect("one");
            let read: Vec<&str> = entry.texts.iter().map(String::as_str).collect();
            assert_eq!((*of, values.0.len()), ((None, of.1), 1));
            assert_eq!((of.1, &read[..], entry.place.to_string().as_str()), (key, texts, "3:3"), "{line}");
        }
        let values = read(b"shards = ''\nlease = 1\n[client]\r\nbroker = 'h:1'\r\n").expect("good");
        assert_eq!(values.get(None, "shards"), None, "unset");
        assert_eq!(values.get(Some("client"), "broker").expect("there").texts, ["h:1"]);
        for nothing in ["", "\n\n", "# nothing\n", "\u{feff}# nothing", "[client]\n"] {
            assert_eq!(read(nothing.as_bytes()).expect("nothing is wrong"), FileValues::default());
        }
    }

    #[test]
    fn each_fault_has_its_place_its_key_and_the_way_out() {
        for (text, wanted) in [
            ("egres-bytes = 1", "1:1: `egres-bytes`: no such option; did you mean `egress-bytes`?"),
            (
                "\n egress_bytes_max = 1",
                "2:2: `egress_bytes_max`: no such option; did you mean `egress-bytes`?",
            ),
            ("--listen = 'h:1'", "1:1: `--listen`: no such option; did you mean `listen`?"),
            ("colour = 1", "1:1: `colour`: no such option; `corecast config default` lists them all"),
            ("output = 'json'", "1:1: `output`: it is for the command line and the environment alone"),
            ("broker = 'h:1'", "1:1: `broker`: it is an option of clients, and stands in the table [client]"),
            (
                "[client]\nlisten = 'h:1'",
                "2:1: `listen`: it is an option of brokers, and stands at the top level, before any table",
            ),
            ("[clients]\nbroker = 'h:1'", "1:2: `clients`: no such table; did you mean [client]?"),
            (
                "[broker]\nlisten = 'h:1'",
                "1:2: `broker`: no such table; options of brokers stand at the top level, and there is only [client]",
            ),
            ("client = 5", "1:1: `client`: this is a table: write [client] in a line of its own"),
            (
                "[[client]]\nbroker = 'h:1'",
                "1:3: `client`: this is a table: write [client] in a line of its own",
            ),
            ("[listen]\na = 1", "1:2: `listen`: an option has a value, and this is a table"),
            ("listen.a = 1", "1:1: `listen`: an option has a value, and this is a table"),
            (
                "egress-bytes = '16 parsecs'",
                "1:16: `egress-bytes`: 'parsecs' is not a unit: B, KiB, MiB, GiB, kB, MB or GB",
            ),
            (
                "egress-bytes = true",
                "1:16: `egress-bytes`: write a whole number of bytes, such as 65536 or 16MiB",
            ),
            (
                "egress-bytes = ''",
                "1:16: `egress-bytes`: write a whole number of bytes, such as 65536 or 16MiB",
            ),
            ("shards = 2.5", "1:10: `shards`: write a whole number, such as 8"),
            ("shards = -1", "1:10: `shards`: write a whole number, such as 8"),
            ("shards = [1, 2]", "1:10: `shards`: one value is wanted, and this is a list of 2"),
            ("lease = 2024-01-01", "1:9: `lease`: '-01-01' is not a unit: h, m, s, ms or us"),
            ("lease = inf", "1:9: `lease`: write seconds, or a time such as 250ms or 5m"),
            ("users = 5", "1:9: `users`: a text in quotes is wanted, and this is a number"),
            ("users = true", "1:9: `users`: a text in quotes is wanted, and this is true without quotes"),
            ("rebalance = 'maybe'", "1:13: `rebalance`: `maybe` is neither on nor off"),
            ("rebalance = 1", "1:13: `rebalance`: `1` is neither on nor off"),
            ("insecure = 'true'", "1:12: `insecure`: write true or false, without quotes"),
            (
                "listen = [\n 'h:1',\n ['h:2'],\n]",
                "3:2: `listen`: one value is wanted in each place, and this is a list",
            ),
            ("shards = 1\n\nshards = 2", "3:1: `shards`: it is there twice (first in line 1)"),
            (
                "[client]\nbroker = 'h:1'\n[client]",
                "3:2: `client`: there are two tables of this name (first in line 1)",
            ),
            (
                "[client]\nbroker = 'h:1'\n'broker' = 'h:2'",
                "3:1: `broker`: it is there twice (first in line 2)",
            ),
        ] {
            assert_eq!(faults(text), [wanted], "{text}");
        }
    }

    #[test]
    fn what_is_no_toml_is_said_with_its_place() {
        for (text, wanted) in [
            ("shards = 1\nlisten = tcp://127.0.0.1:6680\n", "2:10: "),
            ("listen = ['h:1'", "1:16: "),
            ("listen = [\n'h:1',\nshards = 3\n", "3:1: the ] at the end of the list before this is missing"),
            ("shards 1", "1:8: "),
            ("shards =", "1:9: "),
            ("egress-bytes = 16MiB", "1:16: "),
            ("shards = 1 lease = 1", "1:10: "),
            ("users = 'a\n", "1:11: `users`: the quote at the end of the text is missing"),
            ("overflow = \"block\n", "1:18: `overflow`: the quote at the end of the text is missing"),
            ("lease = 5s # soon", "1:9: `lease`: a text stands in quotes: write \"5s\""),
            ("lease 5s", "1:7: an option and its value have = between them, and this has none"),
        ] {
            let faults = faults(text);
            assert_eq!(faults.len(), 1, "{text}: {faults:?}");
            assert!(faults[0].starts_with(wanted), "{text}: {faults:?}");
        }
        assert_eq!(faults(b"shards = 1\nusers = '\xff'"), ["2:10: the byte 0xff is not text in UTF-8"]);
        assert_eq!(faults(b"\x00")[0].split(' ').next(), Some("1:1:"));
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_or_refused_with_its_places(
            parts in collection::vec(sample::select(PARTS), 0..32)
        ) {
            let text = parts.concat();
            match read(text.as_bytes()) {
                Ok(values) => prop_assert!(values.len() <= 3, "{text:?}: {values:?}"),
                Err(faults) => {
                    prop_assert!(!faults.is_empty() && faults.is_sorted());
                    let lines = 1 + text.matches('\n').count();
                    prop_assert!(faults.iter().all(|fault| (1..=lines).contains(&fault.place().line)), "{text:?}");
                }
            }
        }
    }

    /// Pieces of files.
    const PARTS: &[&str] = &[
        "listen",
        "client",
        "broker",
        "shards",
        "x",
        " = ",
        "=",
        "'h:1'",
        "1",
        "true",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        ",",
        ".",
        "\n",
        "\n",
        "\r\n",
        "#",
        "'",
        "\"",
        "\"\"\"",
        "\\u00e4",
        "\u{e4}",
        "2024-01-01",
        "\t",
    ];

    #[test]
    fn all_that_is_wrong_is_found_at_once() {
        let text = "listne = 'h:1'\nlisten = ['h:1', 'udp://x', 5]\nlease = soon\nshards = 'x'\nshards = 1\n[client]\nbrokr = 1\n";
        let places: Vec<String> =
            faults(text).iter().map(|fault| fault.split_once(": ").expect("a place").0.to_owned()).collect();
        assert_eq!(places, ["1:1", "2:18", "2:29", "3:9", "4:10", "5:1", "7:1"]);
    }
}
