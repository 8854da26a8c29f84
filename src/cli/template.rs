//! Payloads with something new in each message: `{{count}}`, `{{time}}` and `{{random 1 100}}`, for `pub --template`.

use std::io::Write as _;

use super::message_format::unix_ns_now;
use super::utc::Utc;
use crate::printable::printable;

/// All that may stand between braces, for errors and help texts.
pub(super) const FIELDS: &str = "{{count}}, {{time}} and {{random FROM TO}}";

/// A part of each payload.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Field {
    Bytes(Vec<u8>),
    /// The number of the message, from 1.
    Count,
    /// The time now, RFC 3339.
    Time,
    /// A whole number from the first to the last.
    Random(i64, i64),
}

/// A payload with fields, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Template(Vec<Field>);

impl Template {
    /// Finds the fields in a text.
    ///
    /// # Errors
    /// A field that is none, or does not end.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let mut fields = Vec::new();
        let mut rest = text;
        while let Some(open) = find(rest, b"{{") {
            let (before, behind) = (&rest[..open], &rest[open + 2..]);
            let close = find(behind, b"}}").ok_or_else(|| {
                format!("`{{{{{}` has no }}}} behind it", printable(&behind[..behind.len().min(20)]))
            })?;
            fields.push(Field::Bytes(before.to_vec()));
            fields.push(field(&behind[..close])?);
            rest = &behind[close + 2..];
        }
        fields.push(Field::Bytes(rest.to_vec()));
        fields.retain(|field| !matches!(field, Field::Bytes(bytes) if bytes.is_empty()));
        Ok(Template(fields))
    }

    /// True if a text has fields, all of them well: whoever sends it as it stands may have meant them.
    pub(super) fn is_meant_by(text: &[u8]) -> bool {
        Template::parse(text)
            .is_ok_and(|template| template.0.iter().any(|field| !matches!(field, Field::Bytes(_))))
    }

    /// Puts the payload of the message with this number in `payload`.
    pub(super) fn fill(&self, number: u64, payload: &mut Vec<u8>) {
        payload.clear();
        for field in &self.0 {
            // Writing to a vector does not fail.
            let _ = match field {
                Field::Bytes(bytes) => payload.write_all(bytes),
                Field::Count => write!(payload, "{number}"),
                Field::Time => write!(payload, "{}", Utc { unix_ns: unix_ns_now() }),
                Field::Random(from, to) => write!(payload, "{}", fastrand::i64(*from..=*to)),
            };
        }
    }
}

fn find(text: &[u8], mark: &[u8]) -> Option<usize> {
    text.windows(mark.len()).position(|window| window == mark)
}

fn field(text: &[u8]) -> Result<Field, String> {
    let wrong = |why: &str| Err(format!("`{{{{{}}}}}` {why}", printable(text)));
    let words: Vec<&str> = std::str::from_utf8(text).unwrap_or("").split_whitespace().collect();
    match words[..] {
        ["count"] => Ok(Field::Count),
        ["time"] => Ok(Field::Time),
        ["random", from, to] => match (from.parse::<i64>(), to.parse::<i64>()) {
            (Ok(from), Ok(to)) if from <= to => Ok(Field::Random(from, to)),
            _ => wrong("wants two whole numbers, the smaller one first"),
        },
        _ => wrong(&format!("is no field; there are {FIELDS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, number: u64) -> String {
        let mut payload = b"of before".to_vec();
        Template::parse(text.as_bytes()).expect(text).fill(number, &mut payload);
        String::from_utf8(payload).expect("text")
    }

    #[test]
    fn fields_are_new_in_each_message() {
        assert_eq!(filled("n={{count}};{{ count }}}", 7), "n=7;7}");
        assert_eq!(filled("{}", 1), "{}");
        assert_eq!(filled("", 1), "");
        let time = filled("{{time}}", 1);
        assert!(time.starts_with("20") && time.ends_with('Z') && time.len() == 30, "{time}");
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..1_000 {
            seen.insert(filled("{{random -1 1}}", 1));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["-1", "0", "1"]);
        assert_eq!(filled("{{random 5 5}}", 1), "5");
    }

    #[test]
    fn bytes_that_are_no_text_stay() {
        let template = Template::parse(b"\xff{{count}}\xfe").expect("a template");
        let mut payload = Vec::new();
        template.fill(1, &mut payload);
        assert_eq!(payload, b"\xff1\xfe");
    }

    #[test]
    fn what_is_no_field_is_named() {
        for (text, part) in [
            ("{{counter}}", "`{{counter}}` is no field; there are {{count}}"),
            ("{{}}", "`{{}}` is no field"),
            ("{{a\u{1b}}}", "`{{a\\x1b}}` is no field"),
            ("{{random 1}}", "is no field"),
            ("{{random 2 1}}", "the smaller one first"),
            ("{{random a b}}", "two whole numbers"),
            ("a {{count", "`{{count` has no }} behind it"),
        ] {
            let error = Template::parse(text.as_bytes()).expect_err(text);
            assert!(error.contains(part), "{error}");
            assert!(!Template::is_meant_by(text.as_bytes()));
        }
        assert!(Template::parse(b"{{\xff}}").is_err());
        assert!(Template::is_meant_by(b"a{{count}}") && !Template::is_meant_by(b"{a}"));
    }
}
