//! Owns the way from a value to a place on an axis, and where an axis has its ticks.

use crate::unit::{Unit, tick};

/// An axis' scale: what it spans, and its ticks.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Scale {
    kind: Kind,
    low: f64,
    high: f64,
    /// In rising order, all of them in the span.
    pub(crate) ticks: Vec<Tick>,
    /// Unit of its values.
    unit: Unit,
}

/// A place of an axis that has a line, and a label.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Tick {
    pub(crate) at: f64,
    /// Empty for one of the finer lines.
    pub(crate) label: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Linear,
    Log,
    /// Quantiles from 0 to 1, logarithmic in the distance to 1.
    Percentile,
}

/// A linear axis has about so many ticks.
const LINEAR_TICKS: f64 = 5.0;
/// From so many decades on, a logarithmic axis has labels at powers of ten only.
const DECADES_WITH_FINE_LABELS: f64 = 3.1;
/// Up to so many decades, it has labels at every digit.
const DECADES_WITH_ALL_LABELS: f64 = 0.75;
/// The part of the span that is left free at each end, so that no mark stands on the edge.
const MARGIN: f64 = 0.03;

impl Scale {
    /// From 0 to a little more than the greatest of `values`.
    pub(crate) fn linear(values: impl IntoIterator<Item = f64>, unit: Unit) -> Self {
        let greatest = values.into_iter().filter(|value| value.is_finite()).fold(0.0, f64::max);
        let greatest = if greatest > 0.0 { greatest } else { 1.0 };
        let step = nice_step(greatest / LINEAR_TICKS);
        let high = (greatest / step).ceil() * step;
        let ticks = (0..=(high / step).round() as u32).map(|number| f64::from(number) * step);
        let (factor, _) = unit.of_axis(high, high);
        let ticks = ticks.map(|at| Tick { at, label: tick(at / factor) }).collect();
        Scale { kind: Kind::Linear, low: 0.0, high, ticks, unit }
    }

    /// Logarithmic, around all of `values`; those that are not above 0 have no place on it.
    pub(crate) fn log(values: impl IntoIterator<Item = f64>, unit: Unit) -> Self {
        let (low, high) = log_span(values);
        let decades = (high / low).log10();
        let (factor, _) = unit.of_axis(low, high);
        let mut ticks = Vec::new();
        for exponent in low.log10().floor() as i32..=high.log10().ceil() as i32 {
            for digit in 1..10u8 {
                let at = f64::from(digit) * 10f64.powi(exponent);
                let labelled = match digit {
                    1 => true,
                    2 | 5 => decades < DECADES_WITH_FINE_LABELS,
                    _ => decades < DECADES_WITH_ALL_LABELS,
                };
                if at >= low * 0.999 && at <= high * 1.001 {
                    let label = if labelled { tick(at / factor) } else { String::new() };
                    ticks.push(Tick { at, label });
                }
            }
        }
        Scale { kind: Kind::Log, low, high, ticks, unit }
    }

    /// Logarithmic, with a tick at each of these counts and nowhere else.
    pub(crate) fn counts(counts: &[u64]) -> Self {
        let mut counts: Vec<u64> = counts.iter().copied().filter(|count| *count > 0).collect();
        counts.sort_unstable();
        counts.dedup();
        let least = counts.first().copied().unwrap_or(1) as f64;
        let greatest = counts.last().copied().unwrap_or(2) as f64;
        let room = (greatest / least).max(2.0).powf(MARGIN);
        let ticks = counts.iter().map(|count| *count as f64);
        let ticks = ticks.map(|at| Tick { at, label: tick(at) }).collect();
        Scale { kind: Kind::Log, low: least / room, high: greatest * room, ticks, unit: Unit::Count }
    }

    /// Quantiles from 0 to `greatest`, which is below 1.
    pub(crate) fn percentiles(greatest: f64) -> Self {
        let named = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999_999];
        let ticks = named.into_iter().filter(|at| *at <= greatest);
        let ticks = ticks.map(|at| Tick { at, label: percent(at) }).collect();
        Scale { kind: Kind::Percentile, low: 0.0, high: greatest, ticks, unit: Unit::Share }
    }

    /// From 0 at the low end to 1 at the high end; beyond them for what is outside. `None` for what has no place.
    pub(crate) fn place(&self, value: f64) -> Option<f64> {
        let along = |value: f64| match self.kind {
            Kind::Linear => value,
            Kind::Log => value.log10(),
            Kind::Percentile => -(1.0 - value).log10(),
        };
        let (low, high) = (along(self.low), along(self.high));
        let place = (along(value) - low) / (high - low);
        place.is_finite().then_some(place)
    }

    /// The words behind the title of its axis: unit and kind.
    pub(crate) fn in_words(&self) -> String {
        let least = if self.low > 0.0 { self.low } else { self.high };
        let (_, unit) = self.unit.of_axis(least, self.high);
        let words = match (self.kind, unit) {
            (Kind::Percentile, _) => "%, log towards 100".to_owned(),
            (Kind::Linear, unit) => unit.to_owned(),
            (Kind::Log, "") => "log".to_owned(),
            (Kind::Log, unit) => format!("{unit}, log"),
        };
        if words.is_empty() { words } else { format!(" ({words})") }
    }

    /// The value in words, in three digits.
    pub(crate) fn text(&self, value: f64) -> String {
        match self.kind {
            Kind::Percentile => format!("{} %", percent(value)),
            Kind::Linear | Kind::Log => self.unit.text(value),
        }
    }
}

/// A quantile in percent: `99.9`.
fn percent(quantile: f64) -> String {
    let text = format!("{:.4}", quantile * 100.0);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Ends at 1, 2 or 5 times a power of ten.
fn log_span(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let (mut least, mut greatest) = (f64::INFINITY, 0f64);
    for value in values.into_iter().filter(|value| value.is_finite() && *value > 0.0) {
        least = least.min(value);
        greatest = greatest.max(value);
    }
    if greatest == 0.0 {
        return (1.0, 10.0);
    }
    let ends = |exponent: i32| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(exponent));
    let (from, to) = (least.log10().floor() as i32 - 1, greatest.log10().ceil() as i32 + 1);
    let all: Vec<f64> = (from..=to).flat_map(ends).collect();
    let low = all.iter().copied().rfind(|end| *end <= least).unwrap_or(least);
    let high = all.iter().copied().find(|end| *end >= greatest).unwrap_or(greatest);
    if low < high { (low, high) } else { (low, high * 2.0) }
}

/// The least of 1, 2, 2.5 and 5 times a power of ten that is at least `step`.
fn nice_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|factor| factor * power >= step * 0.999);
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().map(|tick| &tick.label[..]).filter(|label| !label.is_empty()).collect()
    }

    #[test]
    fn a_logarithmic_axis_spans_its_values() {
        let scale = Scale::log([230.0, 4_400.0], Unit::Us);
        assert_eq!(labels(&scale), ["0.2", "0.5", "1", "2", "5"]);
        assert_eq!((scale.place(200.0), scale.place(5_000.0)), (Some(0.0), Some(1.0)));
        let wide = Scale::log([1.0, 1e6 - 1.0], Unit::Us);
        assert_eq!(labels(&wide), ["0.001", "0.01", "0.1", "1", "10", "100", "1,000"]);
        assert_eq!(scale.place(0.0), None);
    }

    #[test]
    fn one_value_and_none_have_an_axis() {
        for scale in [Scale::log([], Unit::Us), Scale::log([5.0], Unit::Us), Scale::linear([], Unit::Us)] {
            assert!(scale.ticks.len() >= 2, "{scale:?}");
            assert!(scale.place(5.0).is_some());
        }
        assert!(Scale::counts(&[8]).place(8.0).is_some());
    }

    #[test]
    fn a_linear_axis_begins_at_nothing() {
        assert_eq!(labels(&Scale::linear([4.4e6], Unit::PerS)), ["0", "1", "2", "3", "4", "5"]);
    }

    #[test]
    fn percentiles_are_stretched_towards_the_last() {
        let scale = Scale::percentiles(0.9999);
        assert_eq!(labels(&scale), ["0", "50", "90", "99", "99.9", "99.99"]);
        let place = |quantile| scale.place(quantile).unwrap();
        assert!((place(0.99) - place(0.9) - (place(0.999) - place(0.99))).abs() < 1e-9);
        assert_eq!(scale.place(1.0), None);
    }
}
