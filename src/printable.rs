//! Owns the display of foreign text to people: topics, names, endpoints and error texts of peers, which may contain
//! terminal control sequences or forge a line. Everything that prints such text comes here; payloads are data, and only
//! `corecast sub` prints them, on a terminal.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Text that is escaped as it is displayed; see [`printable`].
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(&'a [u8]);

/// Displays text without anything that acts on a terminal or cannot be seen: control characters (C0, DEL and C1,
/// including line breaks), marks that change the direction of text, line separators, and invisible characters. They are
/// written as `
/// `, `\x1b` or `\u{202e}`, and bytes that are not UTF-8 as `\xff`. A backslash stays as it is: the aim is that the
/// text does no harm, not that it can be read back.
pub fn printable<T: AsRef<[u8]> + ?Sized>(text: &T) -> Printable<'_> {
    Printable(text.as_ref())
}

impl Printable<'_> {
    /// True if it is displayed unchanged.
    pub fn is_plain(&self) -> bool {
        std::str::from_utf8(self.0).is_ok_and(|text| !text.contains(acts))
    }

    fn write(&self, out: &mut impl Write) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            let mut rest = chunk.valid();
            while let Some(at) = rest.find(acts) {
                out.write_str(&rest[..at])?;
                let mut after = rest[at..].chars();
                if let Some(char) = after.next() {
                    escape(char, out)?;
                }
                rest = after.as_str();
            }
            out.write_str(rest)?;
            for byte in chunk.invalid() {
                write!(out, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.width().is_none() && f.precision().is_none() {
            return self.write(f);
        }
        let mut text = String::new();
        self.write(&mut text)?;
        f.pad(&text)
    }
}

/// Displays several lines, which stay lines. Those after the first are indented, so that none looks like one of ours.
pub fn printable_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| printable(line).to_string()).collect();
    lines.join("\n    ")
}

/// JSON with the same characters as `\uXXXX`, which keeps its meaning: they only occur within its strings, where
/// serde_json escapes only C0. The text between strings (line breaks) is left alone.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let acts_in_string = |char: char| !matches!(char, '\0'..='\x1f') && acts(char);
    if !json.contains(acts_in_string) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len() + 16);
    for char in json.chars() {
        if !acts_in_string(char) {
            text.push(char);
            continue;
        }
        for unit in char.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    Cow::Owned(text)
}

/// True if a character has an effect other than being visible. Joiners stay: Persian and emoji need them.
fn acts(char: char) -> bool {
    match char {
        // Nearly all text: no need to check further.
        ' '..='~' => false,
        char if char.is_control() => true,
        // Direction: Arabic letter mark, left-to-right and right-to-left marks, embeddings, overrides and isolates.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // Line and paragraph separators.
        '\u{2028}' | '\u{2029}' => true,
        // Invisible: soft hyphen, zero-width space, word joiner and invisible operators, shaping controls that Unicode
        // deprecates, byte order mark, interlinear annotations, tags.
        '\u{ad}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        _ => false,
    }
}

fn escape(char: char, out: &mut impl Write) -> fmt::Result {
    match char {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        char if char.is_ascii() => write!(out, "\\x{:02x}", u32::from(char)),
        char => write!(out, "\\u{{{:x}}}", u32::from(char)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in ["", "prices.eur.usd", "C:\\new \"quoted\"", "prix.été", "می‌خواهم", "👩‍👩‍👧 日本"]
        {
            assert_eq!(printable(text).to_string(), text);
            assert!(printable(text).is_plain(), "{text}");
            assert!(matches!(printable_json(text), Cow::Borrowed(_)));
        }
    }

    #[test]
    fn whatever_acts_is_escaped() {
        let shown = |bytes: &[u8]| printable(bytes).to_string();
        assert_eq!(
            shown(b"a\x1b[2Jb\nerror: forged\r\t\x07\0"),
            "a\\x1b[2Jb\\nerror: forged\\r\\t\\x07\\x00"
        );
        assert_eq!(shown(b"\x7f \xc2\x9b1m"), "\\x7f \\u{9b}1m");
        assert_eq!(
            shown("a\u{202e}b\u{2066}c\u{2028}d\u{feff}".as_bytes()),
            "a\\u{202e}b\\u{2066}c\\u{2028}d\\u{feff}"
        );
        assert_eq!(shown(b"\xff\x9ba\xc3"), "\\xff\\x9ba\\xc3");
        assert_eq!(format!("[{:>6}]", printable("a\n")), "[   a\\n]");
    }

    #[test]
    fn lines_of_others_are_set_in() {
        let said = "it said:\n\x1b[2Jerror: \u{202e}\r\n\n";
        assert_eq!(printable_lines(said), "it said:\n    \\x1b[2Jerror: \\u{202e}\n    ");
    }

    #[test]
    fn json_means_the_same() {
        let value = serde_json::json!({ "topic": "a\u{9b}31m\u{202e}\u{e0041}\x7f\n", "n": 1 });
        for json in [value.to_string(), serde_json::to_string_pretty(&value).expect("JSON")] {
            let escaped = printable_json(&json);
            assert!(escaped.contains("a\\u009b31m\\u202e\\udb40\\udc41\\u007f\\n"), "{escaped}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).expect("JSON"), value);
        }
    }

    proptest! {
        #[test]
        fn nothing_that_acts_is_left(bytes in proptest::collection::vec(any::<u8>(), 0..64), text in ".*") {
            for shown in [printable(&bytes).to_string(), printable(&text).to_string()] {
                prop_assert!(printable(&shown).is_plain());
            }
        }
    }
}
