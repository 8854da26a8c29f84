//! Owns how sizes, times, rates and counts are written in options: `16MiB`, `250ms`, `20`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Form, Literal};

/// A number of bytes: a whole number with a unit, or without for bytes. K, M and G alone are binary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size(pub usize);

/// The units of sizes. The first of two with the same factor is how it is printed.
const SIZE_UNITS: &[(&str, usize)] = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
    ("", 1),
];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text);
        let number: usize =
            number.parse().map_err(|_| "write a whole number of bytes, such as 65536 or 16MiB".to_owned())?;
        let factor = SIZE_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let factor =
            factor.ok_or_else(|| format!("'{unit}' is not a unit: B, KiB, MiB, GiB, kB, MB or GB"))?;
        number
            .checked_mul(factor)
            .map(Size)
            .ok_or_else(|| "it is more than this machine can count".to_owned())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = SIZE_UNITS[..3].iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        match whole {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Form<usize> for Size {
    const LITERAL: Literal = Literal::Number;

    fn read(text: &str) -> Result<usize, String> {
        text.parse::<Size>().map(|size| size.0)
    }

    fn write(value: &usize) -> String {
        Size(*value).to_string()
    }
}

/// The form of a number of things.
#[derive(Debug)]
pub struct Count;

impl Form<usize> for Count {
    const LITERAL: Literal = Literal::Number;

    fn read(text: &str) -> Result<usize, String> {
        parse_count(text)
    }

    fn write(value: &usize) -> String {
        value.to_string()
    }
}

/// Parses a number of things.
///
/// # Errors
/// A sentence that says what to write instead.
pub fn parse_count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "write a whole number, such as 8".to_owned())
}

/// A length of time: a number with a unit, or without for seconds; fractions are allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeSpan(pub Duration);

/// Longest time that an option takes: a year is for ever, and far from where sums of times overflow.
const SPAN_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

const SPAN_UNITS: &[(&str, f64)] =
    &[("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("", 1.0)];

impl FromStr for TimeSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text);
        let number: f64 =
            number.parse().map_err(|_| "write seconds, or a time such as 250ms or 5m".to_owned())?;
        let factor = SPAN_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let factor = factor.ok_or_else(|| format!("'{unit}' is not a unit: h, m, s, ms or us"))?;
        match Duration::try_from_secs_f64(number * factor) {
            Ok(time) if time <= SPAN_MAX => Ok(TimeSpan(time)),
            _ => Err("at most a year".to_owned()),
        }
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.is_zero() {
            true => f.write_str("0s"),
            false => write!(f, "{:?}", self.0),
        }
    }
}

impl Form<Duration> for TimeSpan {
    const LITERAL: Literal = Literal::Number;

    fn read(text: &str) -> Result<Duration, String> {
        text.parse::<TimeSpan>().map(|time| time.0)
    }

    fn write(value: &Duration) -> String {
        TimeSpan(*value).to_string()
    }
}

/// Parses a time within which something has to be done: above 0.
///
/// # Errors
/// A sentence that says what to write instead.
pub fn parse_timeout(text: &str) -> Result<TimeSpan, String> {
    match text.parse::<TimeSpan>()? {
        TimeSpan(Duration::ZERO) => Err("write a time above 0, such as 250ms or 5m".to_owned()),
        time => Ok(time),
    }
}

/// The digits (and a dot) at the start, and what follows them.
fn number_and_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// The highest rate that an option takes: one message a nanosecond.
const RATE_MAX_HZ: f64 = 1e9;

/// Parses a rate in messages a second: above 0.
///
/// # Errors
/// A sentence that says what to write instead.
pub fn parse_rate_hz(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(hz) if hz > 0.0 && hz <= RATE_MAX_HZ => Ok(hz),
        _ => Err("write a number above 0, of messages a second".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let size = |text: &str| text.parse::<Size>().map(|size| size.0);
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("65536"), Ok(65_536));
        assert_eq!(size("16MiB"), Ok(16 << 20));
        assert_eq!((size("2K"), size("2 KiB"), size("2kB")), (Ok(2048), Ok(2048), Ok(2000)));
        for wrong in ["", "MiB", "-1", "1.5MiB", "1 mib", "1e3", "99999999999999999999", "99999999999999GiB"]
        {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        for text in ["0", "1", "1023", "1KiB", "1536", "16MiB", "3GiB"] {
            let there: Size = text.parse().expect(text);
            assert_eq!(there.to_string().parse(), Ok(there));
        }
        assert_eq!((Size(16 << 20).to_string(), Size(1000).to_string()), ("16MiB".into(), "1000".into()));
    }

    #[test]
    fn spans() {
        let span = |text: &str| text.parse::<TimeSpan>().map(|span| span.0);
        assert_eq!(span("5"), Ok(Duration::from_secs(5)));
        assert_eq!(span("2.5s"), Ok(Duration::from_millis(2500)));
        assert_eq!(
            (span("250ms"), span("50us")),
            (Ok(Duration::from_millis(250)), Ok(Duration::from_micros(50)))
        );
        assert_eq!((span("2m"), span("1h")), (Ok(Duration::from_secs(120)), Ok(Duration::from_secs(3600))));
        for wrong in ["", "s", "-1", "1d", "nan", "inf", "9999h", "1..2"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
        for (text, shown) in [("5s", "5s"), ("250ms", "250ms"), ("1.5s", "1.5s"), ("0ms", "0s")] {
            assert_eq!(TimeSpan(span(text).expect(text)).to_string(), shown);
        }
    }

    #[test]
    fn rates() {
        assert_eq!((parse_rate_hz("20"), parse_rate_hz("0.5")), (Ok(20.0), Ok(0.5)));
        for wrong in ["0", "-1", "nan", "inf", "2e9", "fast", ""] {
            assert!(parse_rate_hz(wrong).is_err(), "{wrong}");
        }
    }
}
