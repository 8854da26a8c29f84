//! Owns how figures of a running broker are written for people: short, with a unit, and never wider than seven characters.

use serde_json::Value;

/// A number of things, or of things a second: `0`, `12`, `3.4 k`, `1.2 M`.
pub(super) fn count(number: f64) -> String {
    scaled(number, 1e3, &["", "k", "M", "G", "T"])
}

/// A number of bytes: `12 B`, `3.4 KiB`.
pub(super) fn bytes(number: f64) -> String {
    scaled(number, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

fn scaled(number: f64, step: f64, units: &[&str]) -> String {
    let (mut number, mut unit) = (number.max(0.0), 0);
    // What would be displayed as the step itself has the next unit.
    while number >= step - 0.5 && unit + 1 < units.len() {
        number /= step;
        unit += 1;
    }
    let digits = usize::from(number < 9.95);
    let text = format!("{number:.digits$}");
    format!("{} {}", text.strip_suffix(".0").unwrap_or(&text), units[unit]).trim_end().to_owned()
}

/// A span of time: `0`, `120 ms`, `3.4 s`, `12 min`, `5 h`, `3 d`.
pub(super) fn span(seconds: f64) -> String {
    match seconds {
        s if s <= 0.0 => "0".to_owned(),
        s if s < 0.9995 => format!("{:.0} ms", (s * 1e3).max(1.0)),
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 119.5 => format!("{s:.0} s"),
        s if s < 7170.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_000.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} d", s / 86_400.0),
    }
}

/// A figure of a row.
pub(super) fn figure(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or(0.0)
}

/// A number of a row that names a thing, such as a shard, and so is written in full; a dash if there is none.
pub(super) fn id(row: &Value, name: &str) -> String {
    row[name].as_u64().map_or("-".to_owned(), |id| id.to_string())
}

/// A word of a row; a dash if there is none.
pub(super) fn word<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let counts = [0.0, 0.4, 7.0, 12.3, 999.0, 999.6, 3_400.0, 1_234_567.0, 4e13];
        let written = ["0", "0.4", "7", "12", "999", "1 k", "3.4 k", "1.2 M", "40 T"];
        assert_eq!(counts.map(count), written);
        assert_eq!([0.0, 1023.6, 1536.0, 3e9].map(bytes), ["0 B", "1 KiB", "1.5 KiB", "2.8 GiB"]);
        let spans = [0.0, 0.0001, 0.12, 0.9996, 3.44, 75.0, 720.0, 18_000.0, 300_000.0];
        assert_eq!(
            spans.map(span),
            ["0", "1 ms", "120 ms", "1.0 s", "3.4 s", "75 s", "12 min", "5 h", "3 d"]
        );
        for number in [1.0, 9.96, 99.96, 999.5, 9_999.0, 1e6, 1e12] {
            assert!(count(number).len() <= 7 && bytes(number).len() <= 8, "{number}");
        }
    }
}
