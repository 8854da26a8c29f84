//! Owns the percentile curves: the whole distribution of the largest runs, from the histograms that were kept.

use super::super::document::{Block, Figure};
use super::super::plot::Chart;
use super::super::plot::frame::{Axis, Dash};
use super::super::plot::lines::{Line, Lines};
use super::super::plot::scale::Scale;
use super::super::source::Source;
use super::counts::{about_latencies, slug_of};
use super::family::{Family, clock_error, families, mode_look, name_runs, paced};
use crate::measure::latency::Latencies;
use crate::results::Entry;
use crate::unit::{Unit, counted};

/// The curve ends at the percentile beyond which there is one measurement; never further than this.
const QUANTILE_MAX: f64 = 0.999_999;
/// An axis shows at least so much, however few measurements there are.
const QUANTILE_MIN: f64 = 0.99;

/// For each family with a rate: the curves of its largest number of subscribers.
pub(crate) fn blocks(source: &Source, runs: &[&Entry]) -> Vec<Block> {
    families(&paced(runs)).iter().filter_map(|family| figure(source, family)).map(Block::figure).collect()
}

fn figure(source: &Source, family: &Family<'_>) -> Option<Figure> {
    let count = *family.counts().last()?;
    let mut lines = Vec::new();
    let mut shown: Vec<&Entry> = Vec::new();
    let mut longest = 0u64;
    for mode in family.modes() {
        let rounds = family.rounds(mode, count);
        let (mut each, mut last) = (Latencies::new(), Latencies::new());
        for raw in rounds.iter().filter_map(|entry| source.raw(&entry.id)) {
            each.merge(&raw.latency);
            last.merge(&raw.last_subscriber);
        }
        longest = longest.max(each.len());
        let error_us = clock_error(&rounds).unwrap_or(0.0);
        for (what, dash, latencies) in [("each", Dash::Solid, &each), ("last", Dash::Dashed, &last)] {
            let points = curve(latencies, error_us);
            if !points.is_empty() {
                let name = format!("{mode}, {what}");
                lines.push(Line { name, series: mode_look(mode).0, dash, shape: None, points });
            }
        }
        shown.extend(rounds);
    }
    lines.first()?;
    let greatest = (1.0 - 1.0 / longest.max(1) as f64).clamp(QUANTILE_MIN, QUANTILE_MAX);
    let x = Axis::new("percentile", Scale::percentiles(greatest));
    let subscribers = counted(count as usize, "subscriber");
    Some(Figure {
        slug: slug_of("percentiles", family),
        title: format!("Percentiles at {subscribers}{}", family.behind()),
        chart: Chart::Lines(Lines::new(x, ("latency", Unit::Us), lines)),
        caption: format!(
            "Each: every delivery. Last: of each message, when its last subscriber had it. A curve ends where one \
             measurement is left. The axis is logarithmic in what is missing to 100 %.{}",
            about_latencies(&shown).replace("Each point is the median over", "The measurements are those of")
        ),
        runs: name_runs(&source.name, &shown),
    })
}

/// Without what is below the clocks' error, and without what is beyond the last measurement but one.
fn curve(latencies: &Latencies, error_us: f64) -> Vec<(f64, f64)> {
    let last = 1.0 - 1.0 / latencies.len().max(2) as f64;
    let points = latencies.curve().into_iter();
    points
        .filter(|(quantile, us)| *quantile <= last.min(QUANTILE_MAX) && *us >= error_us && *us > 0.0)
        .collect()
}
