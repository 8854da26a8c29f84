//! Owns the percentile curves: the whole distribution of the largest runs, from the histograms that were kept.

use super::super::document::Block;
use super::super::likeness::{Family, families};
use super::super::plot::Chart;
use super::super::plot::frame::{Axis, Dash, Key};
use super::super::plot::lines::{Line, Lines};
use super::super::plot::scale::Scale;
use super::super::runs::Runs;
use super::look::of_mode;
use crate::measure::latency::Latencies;
use crate::unit::{Unit, counted};

/// The curve ends at the percentile beyond which there is one measurement; never further than this.
const QUANTILE_MAX: f64 = 0.999_999;
/// An axis shows at least so much, however few measurements there are.
const QUANTILE_MIN: f64 = 0.99;

/// For each family with a rate: the curves of its largest number of subscribers.
pub(crate) fn blocks(runs: &Runs<'_>) -> Vec<Block> {
    families(&runs.paced()).iter().filter_map(figure).collect()
}

fn figure(family: &Family<'_>) -> Option<Block> {
    let count = *family.runs.counts().last()?;
    let shown = family.runs.of_count(count);
    let mut lines = Vec::new();
    let mut longest = 0u64;
    for mode in family.runs.modes() {
        let rounds = shown.of_mode(mode);
        let (mut each, mut last) = (Latencies::new(), Latencies::new());
        for raw in rounds.entries().filter_map(|entry| rounds.source().raw(&entry.id)) {
            each.merge(&raw.latency);
            last.merge(&raw.last_subscriber);
        }
        longest = longest.max(each.len());
        let error_us = rounds.clock_error().unwrap_or(0.0);
        let curves = [("each", Dash::Solid, &each), ("last", Dash::Dashed, &last)];
        let line = |(what, dash, latencies)| Line {
            key: Key::line(format!("{mode}, {what}"), of_mode(mode).0, dash, None),
            points: curve(latencies, error_us),
        };
        lines.extend(curves.map(line).into_iter().filter(|line| !line.points.is_empty()));
    }
    lines.first()?;
    let greatest = (1.0 - 1.0 / longest.max(1) as f64).clamp(QUANTILE_MIN, QUANTILE_MAX);
    let x = Axis::new("percentile", Scale::percentiles(greatest));
    let title = format!("Percentiles at {}{}", counted(count as usize, "subscriber"), family.behind());
    let caption = format!(
        "Each: every delivery. Last: of each message, when its last subscriber had it. A curve ends where one \
         measurement is left. The axis is logarithmic in what is missing to 100 %.{}",
        shown.about_latencies().replace("Each point is the median over", "The measurements are those of")
    );
    let chart = Chart::Lines(Lines::new(x, ("latency", Unit::Us), lines));
    Some(shown.figure(&family.slug("percentiles"), title, chart, caption))
}

/// The curve between the clocks' error and the last measurement but one.
fn curve(latencies: &Latencies, error_us: f64) -> Vec<(f64, f64)> {
    let last = 1.0 - 1.0 / latencies.len().max(2) as f64;
    let points = latencies.curve().into_iter();
    points
        .filter(|(quantile, us)| *quantile <= last.min(QUANTILE_MAX) && *us >= error_us && *us > 0.0)
        .collect()
}
