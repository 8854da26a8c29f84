//! Owns the crossover: at how many subscribers which mode reaches the last one first, by payload.

use super::super::document::{Block, Figure};
use super::super::plot::Chart;
use super::super::plot::frame::Axis;
use super::super::plot::lines::{Line, Lines, Named, Rule};
use super::super::plot::scale::Scale;
use super::super::source::Source;
use super::super::table::{Cell, Table};
use super::counts::{SUBSCRIBERS, about_latencies};
use super::family::{Family, Look, families, median_to_last, name_runs, over_rounds, paced};
use crate::order::rising;
use crate::results::Entry;
use crate::unit::{Unit, count, digits, payload};

/// The ratio direct over proxy of one family, over the number of subscribers.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Ratios {
    /// The family's name.
    pub(crate) name: String,
    /// Number of subscribers, and the ratio.
    pub(crate) points: Vec<(f64, f64)>,
}

impl Ratios {
    /// Where the ratio passes 1, by interpolation between two counts on logarithmic axes.
    pub(crate) fn crossings(&self) -> Vec<f64> {
        let crossing = |pair: &[(f64, f64)]| {
            let [(x0, y0), (x1, y1)] = pair else { return None };
            let (from, to) = (y0.ln(), y1.ln());
            let crosses = (from < 0.0) != (to < 0.0) && from != to;
            crosses.then(|| (x0.ln() + (x1.ln() - x0.ln()) * from / (from - to)).exp())
        };
        self.points.windows(2).filter_map(crossing).collect()
    }
}

/// Direct over proxy, median time to the last subscriber, of each family in which both were run at several counts.
pub(crate) fn ratios(runs: &[&Entry]) -> Vec<Ratios> {
    let paced = paced(runs);
    let families = families(&paced);
    let only_payload = same_but_for_payload(&paced);
    let of = |family: &Family<'_>| {
        let last = |mode, count| over_rounds(&family.rounds(mode, count), median_to_last);
        let point =
            |count: u64| Some((count as f64, last("direct", count)?.median / last("proxy", count)?.median));
        let size = family.runs.first().map_or(0, |entry| entry.record.size_bytes);
        let name = if only_payload || family.title.is_empty() { payload(size) } else { family.title.clone() };
        Ratios { name, points: family.counts().into_iter().filter_map(point).collect() }
    };
    families.iter().map(of).filter(|ratios| ratios.points.len() > 1).collect()
}

fn same_but_for_payload(runs: &[&Entry]) -> bool {
    let same = |entry: &&Entry| {
        let (one, first) = (&entry.record, &runs[0].record);
        one.sessions == first.sessions && one.transport == first.transport && one.rate_hz == first.rate_hz
    };
    runs.iter().all(same)
}

/// The plot, and its figures as a table.
pub(crate) fn blocks(source: &Source, runs: &[&Entry]) -> Vec<Block> {
    let ratios = ratios(runs);
    if ratios.is_empty() {
        return Vec::new();
    }
    let both = paced(runs);
    let counts: Vec<u64> =
        ratios.iter().flat_map(|one| &one.points).map(|(count, _)| *count as u64).collect();
    let values = ratios.iter().flat_map(|one| &one.points).map(|(_, ratio)| *ratio).chain([0.9, 1.1]);
    let chart = Lines {
        x: Axis::new(SUBSCRIBERS, Scale::counts(&counts)),
        y: Axis::new("time to the last, direct / proxy", Scale::log(values, Unit::Ratio)),
        lines: ratios.iter().enumerate().map(|(number, one)| line(one, number)).collect(),
        rules: vec![Rule { at: 1.0, words: "below: direct is first".into() }],
        named: ratios.iter().enumerate().flat_map(|(number, one)| named(one, number)).collect(),
    };
    let figure = Figure {
        slug: "crossover".into(),
        title: "Which mode reaches the last subscriber first".into(),
        chart: Chart::Lines(chart),
        caption: format!(
            "Median time to the last subscriber in direct mode over that in proxy mode. Below 1 direct mode is \
             faster. Rings mark where a line passes 1, interpolated between two measured numbers of subscribers.{}",
            about_latencies(&both)
        ),
        runs: name_runs(&source.name, &both),
    };
    vec![Block::figure(figure), Block::Table(table(&ratios, &counts))]
}

fn line(ratios: &Ratios, number: usize) -> Line {
    Look::numbered(ratios.name.clone(), number).line(ratios.points.clone())
}

fn named(ratios: &Ratios, number: usize) -> Vec<Named> {
    let name = |x: f64| Named {
        x,
        y: 1.0,
        series: number,
        words: format!("{} ≈ {}", ratios.name, count(x.round() as u64)),
    };
    ratios.crossings().into_iter().map(name).collect()
}

fn table(ratios: &[Ratios], counts: &[u64]) -> Table {
    let counts = rising(counts.iter().copied());
    let headings: Vec<String> = counts.iter().map(|number| format!("#{}", count(*number))).collect();
    let mut columns = vec!["runs"];
    columns.extend(headings.iter().map(String::as_str));
    columns.push("#passes 1 at");
    let mut table = Table::new(
        "Direct / proxy by number of subscribers",
        &columns,
        "Median time to the last subscriber, direct over proxy.",
    );
    for one in ratios {
        let at = |number: &u64| {
            let point = one.points.iter().find(|(count, _)| *count as u64 == *number);
            Cell::known(point.map(|(_, ratio)| digits(*ratio)))
        };
        let crossings: Vec<String> = one.crossings().iter().map(|at| count(at.round() as u64)).collect();
        let crossings = if crossings.is_empty() { "never".to_owned() } else { crossings.join(", ") };
        let cells = counts.iter().map(at);
        table.row(std::iter::once(Cell::text(&one.name[..])).chain(cells).chain([Cell::text(crossings)]));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crossing_lies_between_the_counts_around_it() {
        let ratios = |points: &[(f64, f64)]| Ratios { name: String::new(), points: points.to_vec() };
        let found = ratios(&[(1.0, 2.0), (4.0, 0.5)]).crossings();
        assert!(found.len() == 1 && (found[0] - 2.0).abs() < 1e-9, "{found:?}");
        assert!(ratios(&[(1.0, 0.9), (4.0, 0.5)]).crossings().is_empty());
        assert_eq!(ratios(&[(1.0, 2.0), (2.0, 0.5), (4.0, 2.0)]).crossings().len(), 2);
    }
}
