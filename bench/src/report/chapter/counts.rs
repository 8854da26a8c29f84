//! Owns the plots over the number of subscribers: boxes, means and medians, times to the first and the last.

use super::super::document::Block;
use super::super::likeness::{Family, families};
use super::super::plot::Chart;
use super::super::plot::boxes::{BoxFigures, BoxSeries, Boxes};
use super::super::plot::frame::{Axis, Dash, Key};
use super::super::plot::lines::{Line, Lines};
use super::super::plot::scale::Scale;
use super::super::runs::{Measure, Runs};
use super::look::{mode_key, of_mode};
use crate::measure::latency::Summary;
use crate::record::RunRecord;
use crate::unit::Unit;

/// The title of an axis of subscribers.
const SUBSCRIBERS: &str = "subscribers";

/// A plot of latencies with several lines for each mode.
struct Plot {
    slug: &'static str,
    title: &'static str,
    caption: &'static str,
    /// The lines of each mode.
    shown: [(&'static str, Dash, Measure); 2],
}

const PLOTS: [Plot; 2] = [
    Plot {
        slug: "averages",
        title: "Mean and median latency",
        caption: "Over every delivery. Where the mean is far above the median, a few deliveries took much longer than \
                  most.",
        shown: [
            ("median", Dash::Solid, median),
            ("mean", Dash::Dashed, |run| one_way(run, run.latency_us, |summary| summary.mean)),
        ],
    },
    Plot {
        slug: "first-last",
        title: "Time to the first and to the last subscriber",
        caption: "Of each message: the time until its first subscriber had it, and until all had it; medians over the \
                  messages. The last is what a fan-out takes, the distance between the two is the skew between \
                  subscribers.",
        shown: [
            ("last", Dash::Solid, median_to_last),
            ("first", Dash::Dashed, |run| one_way(run, run.first_subscriber_us, |summary| summary.median)),
        ],
    },
];

/// Each plot that can be made, for each family with several numbers of subscribers and a rate.
pub(crate) fn blocks(runs: &Runs<'_>) -> Vec<Block> {
    let families = families(&runs.paced());
    let families: Vec<&Family<'_>> =
        families.iter().filter(|family| family.runs.counts().len() > 1).collect();
    let plots = PLOTS.iter().flat_map(|plot| families.iter().filter_map(|family| plot.of(family)));
    families.iter().filter_map(|family| boxes(family)).chain(plots).collect()
}

/// A one-way latency of this run in microseconds, unless the clocks may be as wrong as it is long.
pub(crate) fn one_way(
    run: &RunRecord,
    summary: Option<Summary>,
    figure: impl Fn(&Summary) -> f64,
) -> Option<f64> {
    let us = figure(&summary?);
    (run.clock_error_us.is_none_or(|error_us| us >= error_us)).then_some(us)
}

/// Median latency of a run at every subscriber.
pub(crate) fn median(run: &RunRecord) -> Option<f64> {
    one_way(run, run.latency_us, |summary| summary.median)
}

/// The 99th percentile of its latency.
pub(crate) fn p99(run: &RunRecord) -> Option<f64> {
    one_way(run, run.latency_us, |summary| summary.p99)
}

/// Median time to its last subscriber.
pub(crate) fn median_to_last(run: &RunRecord) -> Option<f64> {
    one_way(run, run.last_subscriber_us, |summary| summary.median)
}

/// An axis with these numbers of subscribers.
pub(crate) fn count_axis(counts: &[u64]) -> Axis {
    Axis::new(SUBSCRIBERS, Scale::counts(counts))
}

fn boxes(family: &Family<'_>) -> Option<Block> {
    let counts = family.runs.counts();
    let figures = |mode: &str, count: u64| -> Option<BoxFigures> {
        let rounds = family.runs.of_mode(mode).of_count(count);
        let error_us = rounds.clock_error().unwrap_or(0.0);
        let at = |figure: fn(&Summary) -> f64| {
            let over = rounds.over(|run| run.latency_us.as_ref().map(figure));
            over.map(|over| over.median.max(error_us))
        };
        Some(BoxFigures {
            low: at(|summary| summary.min)?,
            q1: at(|summary| summary.q1)?,
            median: at(|summary| summary.median).filter(|us| *us > error_us)?,
            q3: at(|summary| summary.q3)?,
            high: at(|summary| summary.p99)?,
            far: at(|summary| summary.max)?,
        })
    };
    let series = |mode: &str| BoxSeries {
        key: Key::area(mode, of_mode(mode).0),
        boxes: counts.iter().map(|count| figures(mode, *count)).collect(),
    };
    let series: Vec<BoxSeries> = family.runs.modes().into_iter().map(series).collect();
    let all = series.iter().flat_map(|series| series.boxes.iter().flatten());
    let ends: Vec<f64> = all.flat_map(|figures| [figures.low, figures.far]).collect();
    let chart = Boxes {
        title: SUBSCRIBERS.to_owned(),
        categories: counts.iter().map(|count| Unit::Count.text(*count as f64)).collect(),
        y: Axis::new("latency at every subscriber", Scale::log(ends.iter().copied(), Unit::Us)),
        series,
    };
    let caption = format!(
        "Boxes span Q1 to Q3 with the median as a bar; whiskers reach from the least to the 99th percentile, and the \
         point is the greatest.{}",
        family.runs.about_latencies()
    );
    let title = format!("Latency of every message at every subscriber{}", family.behind());
    let figure = || family.runs.figure(&family.slug("boxes"), title, Chart::Boxes(chart), caption);
    (!ends.is_empty()).then(figure)
}

impl Plot {
    /// The plot of a family.
    fn of(&self, family: &Family<'_>) -> Option<Block> {
        let line = |(what, dash, figure): &(&str, Dash, Measure), mode: &str| {
            family.runs.of_mode(mode).line(mode_key(mode, what, *dash), figure)
        };
        let modes = family.runs.modes();
        let lines = self.shown.iter().flat_map(|shown| modes.iter().map(move |mode| line(shown, mode)));
        let lines: Vec<Line> = lines.filter(|line| !line.points.is_empty()).collect();
        lines.first()?;
        let chart = Lines::new(count_axis(&family.runs.counts()), ("latency", Unit::Us), lines);
        let caption = format!("{}{}", self.caption, family.runs.about_latencies());
        let title = format!("{}{}", self.title, family.behind());
        Some(family.runs.figure(&family.slug(self.slug), title, Chart::Lines(chart), caption))
    }
}
