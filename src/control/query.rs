//! The query of a request, as pairs of a name and a value: what stands behind the `?`.

use std::fmt;

use crate::printable::printable;

/// The parameters of a request. Each may be there once.
#[derive(Default, Debug)]
pub(super) struct Query(Vec<(String, String)>);

/// A query that is at fault, in words for whoever has sent it.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct QueryFault(pub(super) String);

impl fmt::Display for QueryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Query {
    /// Reads a query that may have these parameters and no other.
    ///
    /// # Errors
    /// It has another, one of them twice, or an escape that is none.
    pub(super) fn parse(text: Option<&str>, allowed: &[&str]) -> Result<Query, QueryFault> {
        let mut query = Query::default();
        for pair in text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if !allowed.contains(&name.as_str()) {
                let known = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
                return Err(QueryFault(format!(
                    "no such parameter: `{}`; there is {known}",
                    printable(&name)
                )));
            }
            if query.get(&name).is_some() {
                return Err(QueryFault(format!("`{name}` is there twice")));
            }
            query.0.push((name, value));
        }
        Ok(query)
    }

    /// The value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that is a number of this range; `default` if it is not there.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn number(
        &self,
        name: &str,
        range: (usize, usize),
        default: usize,
    ) -> Result<usize, QueryFault> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let (least, most) = range;
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(QueryFault(format!(
                "`{name}` is a number from {least} to {most}, and not `{}`",
                printable(text)
            ))),
        }
    }

    /// A parameter that is one of these words; the first if it is not there.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn word<T: Copy>(&self, name: &str, words: &[(&'static str, T)]) -> Result<T, QueryFault> {
        let Some(text) = self.get(name) else { return Ok(words[0].1) };
        words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning).ok_or_else(|| {
            let all: Vec<&str> =
                words.iter().map(|(word, _)| *word).filter(|word| !word.is_empty()).collect();
            QueryFault(format!("`{name}` is one of {}, and not `{}`", all.join(", "), printable(text)))
        })
    }
}

/// Text with `%41` and `+` for what they stand for.
fn decoded(text: &str) -> Result<String, QueryFault> {
    let fault = || QueryFault(format!("`{}` has a % that is no escape of UTF-8", printable(text)));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, behind) = behind.split_at_checked(2).ok_or_else(fault)?;
                let digits = std::str::from_utf8(digits).map_err(|_| fault())?;
                let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex).ok_or_else(fault)?);
                rest = behind;
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).map_err(|_| fault())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_known() {
        let query = Query::parse(Some("user=a%20b%2Bc+d&limit=7&"), &["user", "limit"]).expect("a query");
        assert_eq!((query.get("user"), query.get("sort")), (Some("a b+c d"), None));
        assert_eq!((query.number("limit", (1, 9), 3), query.number("offset", (0, 9), 3)), (Ok(7), Ok(3)));
        assert_eq!(Query::parse(None, &[]).map(|query| query.0.len()), Ok(0));
    }

    #[test]
    fn a_query_at_fault_is_told() {
        for (text, part) in [
            ("a=1", "no such parameter: `a`; there is limit, order"),
            ("limit=1&limit=2", "`limit` is there twice"),
            ("limit=%", "`%` has a % that is no escape"),
            ("limit=%4", "no escape"),
            ("limit=%+1", "no escape"),
            ("limit=%ff", "no escape of UTF-8"),
            ("a%1b[2J=1", "no such parameter: `a\\x1b[2J`"),
        ] {
            let fault = Query::parse(Some(text), &["limit", "order"]).expect_err(text).to_string();
            assert!(fault.contains(part), "{text}: {fault}");
        }
        for text in ["0", "10", "-1", "x", "", "1e3", "99999999999999999999"] {
            let query = Query::parse(Some(&format!("limit={text}")), &["limit"]).expect("a query");
            let fault = query.number("limit", (1, 9), 3).expect_err(text).to_string();
            assert!(fault.starts_with("`limit` is a number from 1 to 9, and not `"), "{fault}");
        }
        let query = Query::parse(Some("order=up"), &["order"]).expect("a query");
        let fault = query.word("order", &[("asc", 1), ("desc", 2)]).expect_err("none").to_string();
        assert_eq!(fault, "`order` is one of asc, desc, and not `up`");
    }
}
