//! Owns the plots over the number of subscribers: boxes, means and medians, times to the first and the last.

use super::super::document::{Block, Figure};
use super::super::plot::Chart;
use super::super::plot::boxes::{BoxSeries, Boxes, Figures};
use super::super::plot::frame::{Axis, Dash};
use super::super::plot::lines::{Line, Lines};
use super::super::plot::scale::Scale;
use super::super::source::Source;
use super::family::{
    Family, Look, clock_error, families, line_over_counts, median_to_last, mode_look, name_runs, one_way,
    over_rounds, paced,
};
use crate::record::RunRecord;
use crate::results::Entry;
use crate::unit::{Unit, counted};

/// The title of an axis of subscribers.
pub(crate) const SUBSCRIBERS: &str = "subscribers";

/// Each plot that can be made, for each family with several numbers of subscribers and a rate.
pub(crate) fn blocks(source: &Source, runs: &[&Entry]) -> Vec<Block> {
    let families = families(&paced(runs));
    let families: Vec<&Family<'_>> = families.iter().filter(|family| family.counts().len() > 1).collect();
    let plots: [fn(&Source, &Family<'_>) -> Option<Figure>; 3] = [boxes, averages, first_and_last];
    let figures = plots.iter().flat_map(|plot| families.iter().filter_map(|family| plot(source, family)));
    figures.map(Block::figure).collect()
}

/// The end of captions about one-way latencies.
pub(crate) fn about_latencies(runs: &[&Entry]) -> String {
    let rounds = runs.iter().filter_map(|entry| entry.record.round).max().unwrap_or(1);
    let mut words = String::new();
    if rounds > 1 {
        words += &format!(" Each point is the median over {}.", counted(rounds as usize, "round"));
    }
    if let Some(error_us) = clock_error(runs) {
        words += &format!(
            " The hosts' clocks may differ by up to ± {}: every one-way latency may be wrong by as much, and none \
             that is smaller is shown.",
            Unit::Us.text(error_us)
        );
    }
    words
}

/// The axis of subscribers of a family.
pub(crate) fn count_axis(family: &Family<'_>) -> Axis {
    Axis::new(SUBSCRIBERS, Scale::counts(&family.counts()))
}

fn boxes(source: &Source, family: &Family<'_>) -> Option<Figure> {
    let counts = family.counts();
    let figures = |mode: &str, count: u64| -> Option<Figures> {
        let rounds = family.rounds(mode, count);
        let error_us = clock_error(&rounds).unwrap_or(0.0);
        let at = |figure: fn(&crate::measure::latency::Summary) -> f64| {
            over_rounds(&rounds, |run| run.latency_us.as_ref().map(figure))
                .map(|over| over.median.max(error_us))
        };
        let median = at(|summary| summary.median).filter(|us| *us > error_us)?;
        let (low, q1, q3) =
            (at(|summary| summary.min)?, at(|summary| summary.q1)?, at(|summary| summary.q3)?);
        Some(Figures {
            low,
            q1,
            median,
            q3,
            high: at(|summary| summary.p99)?,
            far: at(|summary| summary.max)?,
        })
    };
    let series: Vec<BoxSeries> = family
        .modes()
        .into_iter()
        .map(|mode| BoxSeries {
            name: mode.to_owned(),
            series: mode_look(mode).0,
            boxes: counts.iter().map(|count| figures(mode, *count)).collect(),
        })
        .collect();
    let all = series.iter().flat_map(|series| series.boxes.iter().flatten());
    let ends: Vec<f64> = all.flat_map(|figures| [figures.low, figures.far]).collect();
    if ends.is_empty() {
        return None;
    }
    let chart = Boxes {
        title: SUBSCRIBERS.to_owned(),
        categories: counts.iter().map(|count| Unit::Count.text(*count as f64)).collect(),
        y: Axis::new("latency at every subscriber", Scale::log(ends, Unit::Us)),
        series,
    };
    Some(Figure {
        slug: slug_of("boxes", family),
        title: format!("Latency of every message at every subscriber{}", family.behind()),
        chart: Chart::Boxes(chart),
        caption: format!(
            "Boxes span Q1 to Q3 with the median as a bar; whiskers reach from the least to the 99th percentile, \
             and the point is the greatest.{}",
            about_latencies(&family.runs)
        ),
        runs: name_runs(&source.name, &family.runs),
    })
}

fn averages(source: &Source, family: &Family<'_>) -> Option<Figure> {
    let of = |what, dash, figure: fn(&crate::measure::latency::Summary) -> f64| {
        lines_by_mode(family, what, dash, move |run| one_way(run, run.latency_us, figure))
    };
    let mut lines = of("median", Dash::Solid, |summary| summary.median);
    lines.extend(of("mean", Dash::Dashed, |summary| summary.mean));
    let caption = format!(
        "Over every delivery. Where the mean is far above the median, a few deliveries took much longer than most.{}",
        about_latencies(&family.runs)
    );
    latency_figure(source, family, lines, ("averages", "Mean and median latency", caption))
}

fn first_and_last(source: &Source, family: &Family<'_>) -> Option<Figure> {
    let mut lines = lines_by_mode(family, "last", Dash::Solid, median_to_last);
    lines.extend(lines_by_mode(family, "first", Dash::Dashed, |run| {
        one_way(run, run.first_subscriber_us, |summary| summary.median)
    }));
    let caption = format!(
        "Of each message: the time until its first subscriber had it, and until all had it; medians over the \
         messages. The last is what a fan-out takes, the distance between the two is the skew between subscribers.{}",
        about_latencies(&family.runs)
    );
    latency_figure(
        source,
        family,
        lines,
        ("first-last", "Time to the first and to the last subscriber", caption),
    )
}

/// A line for each mode.
fn lines_by_mode(
    family: &Family<'_>,
    what: &str,
    dash: Dash,
    figure: impl Fn(&RunRecord) -> Option<f64>,
) -> Vec<Line> {
    let line = |mode: &str| line_over_counts(Look::of_mode(mode, what, dash), &family.of_mode(mode), &figure);
    family.modes().into_iter().map(line).filter(|line| !line.points.is_empty()).collect()
}

fn latency_figure(
    source: &Source,
    family: &Family<'_>,
    lines: Vec<Line>,
    (slug, title, caption): (&str, &str, String),
) -> Option<Figure> {
    lines.iter().find(|line| !line.points.is_empty())?;
    let chart = Lines::new(count_axis(family), ("latency", Unit::Us), lines);
    Some(Figure {
        slug: slug_of(slug, family),
        title: format!("{title}{}", family.behind()),
        chart: Chart::Lines(chart),
        caption,
        runs: name_runs(&source.name, &family.runs),
    })
}

/// A figure's slug in its chapter.
pub(crate) fn slug_of(what: &str, family: &Family<'_>) -> String {
    super::super::document::slug(&format!("{what} {}", family.title))
}
