//! Owns how figures are written in reports: a number and its unit, in few digits. Tables of one unit have their own
//! decimals.

/// The quantity that a number stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    /// Microseconds; written in the unit of time that fits.
    Us,
    /// Nanoseconds, likewise.
    Ns,
    /// Things.
    Count,
    /// Things a second.
    PerS,
    /// Bytes, in powers of 1,000.
    Bytes,
    /// One figure over another.
    Ratio,
    /// A share of one, as percent.
    Share,
    /// A number that says of itself what it is.
    Plain,
}

impl Unit {
    /// A value in three digits: `5.51 ms`, `3.10 M/s`, `0.75`.
    pub(crate) fn text(self, value: f64) -> String {
        match self {
            Unit::Us => duration(value).replace("us", "µs"),
            Unit::Ns => duration(value / 1000.0).replace("us", "µs"),
            Unit::Count => {
                if value < 1e6 {
                    count(value.round().max(0.0) as u64)
                } else {
                    scaled(value, "")
                }
            }
            Unit::PerS => scaled(value, "/s"),
            Unit::Bytes => scaled(value, "B"),
            Unit::Ratio => format!("{}×", digits(value)),
            Unit::Share => format!("{} %", digits(value * 100.0)),
            Unit::Plain => digits(value),
        }
    }

    /// The unit of the ticks of an axis from `least` to `greatest`: a factor, and its name for the axis' title. The
    /// largest that leaves both ends readable.
    pub(crate) fn of_axis(self, least: f64, greatest: f64) -> (f64, &'static str) {
        /// Ticks below this have more zeros than the eye counts.
        const TICK_MIN: f64 = 0.000_99;

        let factors: &[(f64, &str)] = match self {
            Unit::Us => &[(1.0, "µs"), (1e3, "ms"), (1e6, "s")],
            Unit::Ns => &[(1.0, "ns"), (1e3, "µs"), (1e6, "ms")],
            Unit::Bytes => &[(1.0, "bytes"), (1e3, "kB"), (1e6, "MB")],
            Unit::PerS => &[(1.0, ""), (1e3, "thousands"), (1e6, "millions")],
            Unit::Share => &[(0.01, "%")],
            Unit::Count | Unit::Ratio | Unit::Plain => &[(1.0, "")],
        };
        let fits = |(factor, _): &&(f64, &str)| *factor <= greatest * 1.001 && least / factor >= TICK_MIN;
        factors.iter().rfind(fits).or(factors.first()).copied().unwrap_or((1.0, ""))
    }
}

/// The number at a tick, without needless decimals: `0.5`, `2,000`.
pub(crate) fn tick(value: f64) -> String {
    if value.abs() >= 999.5 {
        return count(value.round() as u64);
    }
    let text = digits(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Three digits and a factor of thousands.
fn scaled(value: f64, unit: &str) -> String {
    let factors = [(1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G")];
    let fits = |(factor, _): &(f64, &str)| value.abs() < 999.5 * factor;
    let (factor, name) = factors.into_iter().find(fits).unwrap_or((1e9, "G"));
    let spaced = if name.is_empty() && unit.is_empty() { "" } else { " " };
    format!("{}{spaced}{name}{unit}", digits(value / factor))
}

/// Three significant digits, without an exponent.
pub(crate) fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        small if small < 0.000_995 => 5,
        small if small < 0.0995 => 3,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// Bytes as people name payloads: `64 B`, `1 KiB`, `256 KiB`.
pub(crate) fn payload(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        bytes if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        bytes => format!("{} B", count(bytes)),
    }
}

/// Counted things with the right number: `1 run`, `2 runs`.
pub(crate) fn counted(number: usize, thing: &str) -> String {
    format!("{} {thing}{}", count(number as u64), if number == 1 { "" } else { "s" })
}

/// A count with its thousands set apart: `51,200`.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number without needless decimals: `20`, `0.5`.
pub(crate) fn number(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 { count(number as u64) } else { format!("{number}") }
}

/// Microseconds with three digits, in the unit that fits: `812 us`, `2.41 ms`, `1.20 s`.
pub(crate) fn duration(us: f64) -> String {
    let units = [(1e-3, "ns"), (1.0, "us"), (1e3, "ms"), (1e6, "s")];
    // The bound is where three digits round to a thousand, which is one of the next unit.
    let (unit_us, name) = units.into_iter().find(|(unit_us, _)| us < 999.5 * unit_us).unwrap_or((1e6, "s"));
    let amount = us / unit_us;
    let decimals = match amount {
        amount if amount >= 99.95 => 0,
        amount if amount >= 9.995 => 1,
        _ => 2,
    };
    format!("{amount:.decimals$} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_set_in_thousands() {
        let counts = [0, 999, 1000, 51_200, 10_240_000].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "51,200", "10,240,000"]);
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        let durations =
            [0.0, 0.5, 0.9996, 4.0, 12.34, 99.96, 999.4, 999.6, 2_410.0, 107_354.0, 1_204_000.0, 4e9]
                .map(duration);
        let wanted = [
            "0.00 ns", "500 ns", "1.00 us", "4.00 us", "12.3 us", "100 us", "999 us", "1.00 ms", "2.41 ms",
            "107 ms", "1.20 s", "4000 s",
        ];
        assert_eq!(durations, wanted);
    }

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        assert_eq!(Unit::Us.text(5512.0), "5.51 ms");
        assert_eq!(Unit::Us.text(40.0), "40.0 µs");
        assert_eq!(Unit::Ns.text(850.0), "850 ns");
        assert_eq!(Unit::PerS.text(3_100_000.0), "3.10 M/s");
        assert_eq!(Unit::Bytes.text(5_300.0), "5.30 kB");
        assert_eq!(Unit::Ratio.text(0.75), "0.75×");
        assert_eq!(Unit::Ratio.text(0.012_34), "0.012×");
        assert_eq!(Unit::Share.text(0.01), "1.00 %");
        assert_eq!(Unit::Count.text(9_000.0), "9,000");
    }

    #[test]
    fn an_axis_has_one_unit_and_short_ticks() {
        assert_eq!(Unit::Us.of_axis(200.0, 5_000.0), (1e3, "ms"));
        assert_eq!(Unit::Us.of_axis(1.0, 500.0), (1.0, "µs"));
        assert_eq!(Unit::Us.of_axis(1.0, 1e6), (1e3, "ms"));
        assert_eq!(Unit::PerS.of_axis(4e7, 4e7), (1e6, "millions"));
        assert_eq!(Unit::Ratio.of_axis(0.1, 0.5), (1.0, ""));
        assert_eq!(Unit::Share.of_axis(0.6, 0.6), (0.01, "%"));
        let ticks = [0.0, 0.001, 0.05, 0.5, 1.0, 2.5, 20.0, 500.0, 2_000.0].map(tick);
        assert_eq!(ticks, ["0", "0.001", "0.05", "0.5", "1", "2.5", "20", "500", "2,000"]);
    }

    #[test]
    fn payloads_are_named_as_people_do() {
        assert_eq!(
            [64, 1024, 16_384, 1 << 20, 1500].map(payload),
            ["64 B", "1 KiB", "16 KiB", "1 MiB", "1,500 B"]
        );
    }
}
