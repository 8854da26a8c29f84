//! Owns the crossover: at how many subscribers which mode reaches the last one first, by payload.

use super::super::document::Block;
use super::super::likeness::{Family, families};
use super::super::plot::Chart;
use super::super::plot::frame::{Axis, Dash, Key};
use super::super::plot::lines::{Line, Lines, Named, Rule};
use super::super::plot::scale::Scale;
use super::super::runs::{OverRounds, Runs};
use super::super::table::{Cell, Table};
use super::counts::{count_axis, median_to_last};
use super::look::shape_of;
use crate::order::rising;
use crate::record::RunRecord;
use crate::unit::{Unit, count, digits, payload};

/// The ratio direct over proxy of one family, over the number of subscribers.
#[derive(Clone, PartialEq, Debug)]
struct Ratios {
    /// The family's name.
    name: String,
    /// Number of subscribers, and the ratio over the rounds.
    points: Vec<(f64, OverRounds)>,
}

/// Factor by which a ratio of one round alone may be off: two runs of the same thing differ by more than their samples tell.
const NOISE: f64 = 1.1;

impl Ratios {
    /// Places of the points that are beyond noise: all of their rounds are on one side of 1.
    fn clear(&self) -> Vec<usize> {
        let is_clear = |(_, ratio): &(f64, OverRounds)| {
            let (low, high) = ratio.spread().unwrap_or((ratio.median / NOISE, ratio.median * NOISE));
            low > 1.0 || high < 1.0
        };
        (0..self.points.len()).filter(|at| is_clear(&self.points[*at])).collect()
    }

    /// Where the ratio passes 1 between two points that are clearly on either side, by interpolation on logarithmic axes.
    fn crossings(&self) -> Vec<f64> {
        let crossing = |pair: &[(f64, OverRounds)]| {
            let [(x0, y0), (x1, y1)] = pair else { return None };
            let (from, to) = (y0.median.ln(), y1.median.ln());
            ((from < 0.0) != (to < 0.0)).then(|| (x0.ln() + (x1.ln() - x0.ln()) * from / (from - to)).exp())
        };
        let between = |ends: &[usize]| {
            let found: Vec<f64> = self.points[ends[0]..=ends[1]].windows(2).filter_map(crossing).collect();
            // It ends where it began if it passes to and fro.
            (found.len() % 2 == 1).then(|| found[found.len() / 2])
        };
        self.clear().windows(2).filter_map(between).collect()
    }

    /// The answer in a sentence.
    fn sentence(&self) -> String {
        let clear = self.clear();
        let starts_below = clear.first().is_some_and(|at| self.points[*at].1.median < 1.0);
        let (few, many) = if starts_below { ("direct", "proxy") } else { ("proxy", "direct") };
        let crossings: Vec<String> = self.crossings().iter().map(|at| at.round().to_string()).collect();
        let said = match &crossings[..] {
            [] if clear.is_empty() => "no mode is first beyond noise.".to_owned(),
            [] => format!("{few} mode reaches the last subscriber first wherever it is beyond noise."),
            [at] => format!("{few} mode is first up to about {at} subscribers, {many} mode beyond."),
            several => format!("the order of modes changes at about {} subscribers.", several.join(", ")),
        };
        format!("{}: {said}", self.name)
    }
}

/// Direct over proxy, median time to the last subscriber, of each family in which both were run at several counts.
fn ratios(runs: &Runs<'_>) -> Vec<Ratios> {
    let paced = runs.paced();
    let only_payload = paced.values(|run| Some((&run.sessions, &run.transport, run.rate_hz))).len() < 2;
    let of = |family: &Family<'_>| {
        let point = |count: u64| {
            let [direct, proxy] = ["direct", "proxy"].map(|mode| family.runs.of_mode(mode).of_count(count));
            let beside = |run: &RunRecord| {
                let same_round = proxy.only(|other| other.round == run.round);
                Some(median_to_last(run)? / same_round.over(median_to_last)?.median)
            };
            Some((count as f64, direct.over(beside)?))
        };
        let size = family.runs.first().map_or(0, |run| run.size_bytes);
        let name = if only_payload || family.title.is_empty() { payload(size) } else { family.title.clone() };
        Ratios { name, points: family.runs.counts().into_iter().filter_map(point).collect() }
    };
    families(&paced).iter().map(of).filter(|ratios| ratios.points.len() > 1).collect()
}

/// The plot, and its figures as a table.
pub(crate) fn blocks(runs: &Runs<'_>) -> Vec<Block> {
    let ratios = ratios(runs);
    if ratios.is_empty() {
        return Vec::new();
    }
    let points = || ratios.iter().flat_map(|one| &one.points);
    let counts: Vec<u64> = rising(points().map(|(count, _)| *count as u64));
    let values = points().map(|(_, ratio)| ratio.median).chain([0.9, 1.1]);
    let line = |(number, one): (usize, &Ratios)| Line {
        key: Key::line(&one.name, number, Dash::Solid, Some(shape_of(number))),
        points: one.points.iter().map(|(count, ratio)| (*count, ratio.median)).collect(),
    };
    let named = |(series, one): (usize, &Ratios)| {
        let words = |x: f64| format!("{} ≈ {}", one.name, count(x.round() as u64));
        let name = |x: f64| Named { x, y: 1.0, series, words: words(x) };
        one.crossings().into_iter().map(name).collect::<Vec<_>>()
    };
    let chart = Lines {
        x: count_axis(&counts),
        y: Axis::new("time to the last, direct / proxy", Scale::log(values, Unit::Ratio)),
        lines: ratios.iter().enumerate().map(line).collect(),
        rules: vec![Rule { at: 1.0, words: "below: direct is first".into() }],
        named: ratios.iter().enumerate().flat_map(named).collect(),
    };
    let paced = runs.paced();
    let caption = format!(
        "Median time to the last subscriber in direct mode over that in proxy mode. Below 1 direct mode is faster. \
         Rings mark where a line passes 1, interpolated between two measured numbers of subscribers at which all rounds are on \
         one side, and on another.{}",
        paced.about_latencies()
    );
    let title = "Which mode reaches the last subscriber first".into();
    vec![
        paced.figure("crossover", title, Chart::Lines(chart), caption),
        Block::Table(table(&ratios, &counts)),
    ]
}

fn table(ratios: &[Ratios], counts: &[u64]) -> Table {
    let headings = counts.iter().map(|number| format!("#{}", count(*number)));
    let headings = std::iter::once("runs".to_owned()).chain(headings).chain(["#passes 1 at".to_owned()]);
    let mut table = Table::new(
        "Direct / proxy by number of subscribers",
        headings,
        "Median time to the last subscriber, direct over proxy.",
    );
    for one in ratios {
        let at = |number: &u64| {
            let point = one.points.iter().find(|(count, _)| *count as u64 == *number);
            Cell::known(point.map(|(_, ratio)| digits(ratio.median)))
        };
        let crossings: Vec<String> = one.crossings().iter().map(|at| count(at.round() as u64)).collect();
        let crossings = if crossings.is_empty() { "never".to_owned() } else { crossings.join(", ") };
        let cells = counts.iter().map(at);
        table.row(std::iter::once(Cell::text(&one.name[..])).chain(cells).chain([Cell::text(crossings)]));
    }
    table
}

/// A sentence for each family: the mode that is first.
pub(crate) fn answers(runs: &Runs<'_>) -> Vec<String> {
    ratios(runs).iter().map(Ratios::sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crossing_lies_between_the_counts_around_it() {
        let ratios = |points: &[(f64, f64)]| {
            let point = |(count, ratio): &(f64, f64)| (*count, OverRounds::of([*ratio]).unwrap());
            Ratios { name: "64 B".into(), points: points.iter().map(point).collect() }
        };
        let found = ratios(&[(1.0, 2.0), (4.0, 0.5)]).crossings();
        assert!(found.len() == 1 && (found[0] - 2.0).abs() < 1e-9, "{found:?}");
        assert!(ratios(&[(1.0, 0.9), (4.0, 0.5)]).crossings().is_empty());
        // Between points that are clear; what is within noise claims nothing.
        let over_noise = ratios(&[(1.0, 2.0), (2.0, 0.97), (8.0, 1.05), (16.0, 0.5)]);
        assert_eq!(over_noise.crossings().iter().map(|at| at.round()).collect::<Vec<_>>(), [3.0]);
        let unclear = ratios(&[(1.0, 1.04), (4.0, 0.96)]);
        assert!(
            unclear.crossings().is_empty() && unclear.sentence().ends_with("no mode is first beyond noise.")
        );
        assert!(ratios(&[(1.0, 0.5), (4.0, 1.05)]).sentence().contains("wherever it is beyond noise"));
        assert_eq!(ratios(&[(1.0, 2.0), (2.0, 0.5), (4.0, 2.0)]).crossings().len(), 2);
    }
}
