//! Owns how a point in time is printed: RFC 3339, in UTC, with nanoseconds.

use std::fmt;

const NS_PER_S: u64 = 1_000_000_000;
const S_PER_DAY: u64 = 24 * 3600;

/// Nanoseconds since 1970-01-01 UTC; printed as `2026-01-02T03:04:05.123456789Z`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Utc {
    /// Nanoseconds since 1970-01-01 UTC.
    pub unix_ns: u64,
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, ns) = (self.unix_ns / NS_PER_S, self.unix_ns % NS_PER_S);
        let (year, month, day) = date(s / S_PER_DAY);
        let s = s % S_PER_DAY;
        let (hour, minute, second) = (s / 3600, s / 60 % 60, s % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ns:09}Z")
    }
}

/// Year, month and day of the Gregorian calendar. The time ends in 2554, so walking the years is short.
fn date(mut days: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    loop {
        let in_year = if is_leap(year) { 366 } else { 365 };
        if days < in_year {
            break;
        }
        days -= in_year;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for in_month in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < in_month {
            break;
        }
        days -= in_month;
        month += 1;
    }
    (year, month, days + 1)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        let at = |s: u64, ns: u64| Utc { unix_ns: s * NS_PER_S + ns }.to_string();
        // From `date -u -d @SECONDS +%FT%TZ`.
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(at(951_782_399, 1), "2000-02-28T23:59:59.000000001Z");
        assert_eq!(at(951_868_799, 0), "2000-02-29T23:59:59.000000000Z");
        assert_eq!(at(951_868_800, 0), "2000-03-01T00:00:00.000000000Z");
        assert_eq!(at(1_767_225_599, 999_999_999), "2025-12-31T23:59:59.999999999Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000000000Z");
        assert_eq!(Utc { unix_ns: u64::MAX }.to_string(), "2554-07-21T23:34:33.709551615Z");
    }
}
