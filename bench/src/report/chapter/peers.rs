//! Owns the comparison with peers: bars of each figure, with the spread over the rounds, and ours over theirs.

use super::super::document::Block;
use super::super::likeness::rate;
use super::super::plot::Chart;
use super::super::plot::bars::{Bars, Group};
use super::super::plot::frame::Key;
use super::super::plot::theme::{DIRECT, OTHERS, PROXY};
use super::super::runs::{Measure, OverRounds, Runs};
use super::super::table::{Cell, Table};
use super::counts::{median, median_to_last};
use super::scaling::cpu;
use crate::order::{grouped, rising};
use crate::peer::name::family_of;
use crate::record::RunRecord;
use crate::unit::{Unit, counted, digits, payload};

/// Our name in records.
const OURS: &str = "corecast";

/// Stands behind the name of a peer whose subscribers are its own clients.
const OWN_CLIENTS: &str = " (own clients)";

/// A figure that peers are compared by.
struct Metric {
    slug: &'static str,
    title: &'static str,
    axis: &'static str,
    unit: Unit,
    /// Set for figures of floods, unset for those of runs with a rate; `None`: of both, apart.
    flood: Option<bool>,
    figure: Measure,
    words: &'static str,
}

const METRICS: [Metric; 5] = [
    Metric {
        slug: "peers-flood",
        title: "Flood: deliveries a second",
        axis: "deliveries a second",
        unit: Unit::PerS,
        flood: Some(true),
        figure: |run| Some(run.deliveries_per_s),
        words: "As fast as messages are taken; more is better.",
    },
    Metric {
        slug: "peers-last",
        title: "Median time to the last subscriber",
        axis: "time to the last subscriber",
        unit: Unit::Us,
        flood: Some(false),
        figure: median_to_last,
        words: "Of each message; less is better.",
    },
    Metric {
        slug: "peers-latency",
        title: "Median latency at every subscriber",
        axis: "latency",
        unit: Unit::Us,
        flood: Some(false),
        figure: median,
        words: "Over every delivery; less is better.",
    },
    Metric {
        slug: "peers-cpu",
        title: "CPU time for each delivery",
        axis: "CPU time / delivery",
        unit: Unit::Ns,
        flood: None,
        figure: cpu,
        words: "User and system time of whoever fans out, over deliveries; less is better.",
    },
    Metric {
        slug: "peers-memory",
        title: "Memory for each subscriber",
        axis: "resident memory / subscriber",
        unit: Unit::Bytes,
        flood: None,
        figure: |run| run.rss_per_subscriber_bytes,
        words: "Resident memory of whoever fans out, with every subscriber there and idle, less that before the \
                first; less is better.",
    },
];

/// The name of a bar: a peer's, or ours with its mode where the record names no peer.
fn bar_name(run: &RunRecord) -> String {
    let ours = || format!("{OURS} {}", run.mode);
    let mut name = run.peer.clone().unwrap_or_else(ours);
    let said = name.split('-').any(|word| word == run.transport);
    match &run.transport[..] {
        "uds" if !said => name += ", Unix sockets",
        "tls" if !said => name += ", TLS",
        _ => {}
    }
    // Everybody has the same raw sockets, unless it says so.
    if is_ours(&name) && run.clients.as_deref() == Some("native") {
        name += ", native clients";
    }
    if run.clients.as_deref().is_some_and(|clients| !["raw", "native"].contains(&clients)) {
        name += OWN_CLIENTS;
    }
    name
}

/// The family of a peer that somebody would use in place of ours.
fn family(run: &RunRecord) -> Option<&'static str> {
    run.peer.as_deref().and_then(family_of)
}

fn is_ours(peer: &str) -> bool {
    peer.starts_with(OURS)
}

/// One question that all peers were asked: how many, how large, how fast.
struct Case<'a> {
    heading: String,
    flood: bool,
    runs: Runs<'a>,
}

/// A peer's figure in one case.
struct Entrant<'a> {
    name: String,
    series: usize,
    over: OverRounds,
    rounds: Runs<'a>,
}

impl<'a> Case<'a> {
    /// The rounds of one.
    fn of(&self, name: &str) -> Runs<'a> {
        self.runs.only(|run| bar_name(run) == name)
    }

    /// The rounds of each family that several peers are of.
    fn families(&self) -> Vec<(&'static str, Runs<'a>)> {
        let families = self.runs.by(family).into_iter();
        let named = families.filter_map(|(family, runs)| Some((family?, runs)));
        named.filter(|(_, runs)| runs.values(|run| Some(bar_name(run))).len() > 1).collect()
    }

    /// The metrics that apply.
    fn metrics(&self) -> impl Iterator<Item = &'static Metric> {
        METRICS.iter().filter(|metric| metric.flood.is_none_or(|flood| flood == self.flood))
    }

    /// The figures of all that have one.
    fn figures(&self, metric: &Metric) -> Vec<Entrant<'a>> {
        let figure = |(name, rounds): (String, Runs<'a>)| {
            let over = rounds.over(metric.figure)?;
            let first = rounds.first()?;
            let series = match &first.peer {
                Some(peer) if !is_ours(peer) => OTHERS,
                _ if first.mode == "direct" => DIRECT,
                _ => PROXY,
            };
            Some(Entrant { name, series, over, rounds })
        };
        self.runs.by(bar_name).into_iter().filter_map(figure).collect()
    }
}

fn cases<'a>(runs: &Runs<'a>) -> Vec<Case<'a>> {
    let key = |run: &RunRecord| {
        let subscribers = counted(run.subscribers as usize, "subscriber");
        let publishers = (run.publishers > 1).then(|| counted(run.publishers as usize, "publisher"));
        let topics = run.shared_topics().map(|topics| topics.to_string());
        let words = [Some(subscribers), publishers, topics, Some(payload(run.size_bytes)), Some(rate(run))];
        let words: Vec<String> = words.into_iter().flatten().collect();
        (words.join(", "), run.rate_hz.is_none())
    };
    let case = |((heading, flood), runs)| Case { heading, flood, runs };
    runs.by(key).into_iter().map(case).collect()
}

/// The figure that others are set beside: ours in proxy mode if there is one, else ours, else the first.
fn reference<'f, 'a>(figures: &'f [Entrant<'a>]) -> Option<&'f Entrant<'a>> {
    let of = |series: usize| figures.iter().find(|figure| figure.series == series);
    let plain = figures.iter().find(|figure| figure.name == OURS);
    plain.or_else(|| of(PROXY)).or_else(|| of(DIRECT)).or(figures.first())
}

/// A plot for each figure, and the table of ours over theirs.
pub(crate) fn blocks(runs: &Runs<'_>) -> Vec<Block> {
    if runs.records().all(|run| run.peer.is_none()) {
        return Vec::new();
    }
    let cases = cases(runs);
    let plots = METRICS.iter().filter_map(|metric| plot(runs, &cases, metric));
    let tables = cases.iter().filter_map(ratios).map(Block::Table);
    plots.chain(tables).chain(versions(runs).map(Block::Words)).collect()
}

/// The versions that peers stated.
fn versions(runs: &Runs<'_>) -> Option<String> {
    Some(format!("Versions, as the peers state them: {}.", runs.peer_versions()?))
}

fn plot(runs: &Runs<'_>, cases: &[Case<'_>], metric: &Metric) -> Option<Block> {
    let group = |case: &Case<'_>| {
        let mut figures = case.figures(metric);
        let ours = reference(&figures)?;
        let (name, rounds) = (ours.name.clone(), ours.rounds.clone());
        // The best first.
        figures.sort_by(|one, other| one.over.median.total_cmp(&other.over.median));
        if metric.unit == Unit::PerS {
            figures.reverse();
        }
        let bar = |figure: &Entrant<'_>| {
            let ratio = ratio(&figure.rounds, &rounds, metric).filter(|_| figure.name != name);
            let ratio = ratio.map_or_else(String::new, |ratio| Unit::Ratio.text(ratio.median));
            figure.over.bar(&figure.name, figure.series, ratio)
        };
        Some(Group { heading: case.heading.clone(), bars: figures.iter().map(bar).collect() })
    };
    let asked = cases.iter().filter(|case| metric.flood.is_none_or(|flood| flood == case.flood));
    let (groups, shown): (Vec<Group>, Vec<&Runs<'_>>) =
        asked.filter_map(|case| Some((group(case)?, &case.runs))).unzip();
    let bars = || groups.iter().flat_map(|group| &group.bars);
    bars().next()?;
    let shown = runs.of(shown.into_iter().flat_map(Runs::entries));
    let keys = [("corecast, proxy mode", PROXY), ("corecast, direct mode", DIRECT), ("others", OTHERS)];
    let keys = keys.into_iter().filter(|(_, series)| bars().any(|bar| bar.series == *series));
    let keys: Vec<_> = keys.map(|(name, series)| Key::area(name, series)).collect();
    let caption = format!(
        "{} The bar is the median over {}, the line across it reaches from the least to the greatest; behind the \
         figure, how many times ours it is (the median over the rounds).",
        metric.words,
        counted(shown.rounds(), "round")
    );
    let chart = Chart::Bars(Bars::new((metric.axis, metric.unit), keys, groups));
    Some(shown.figure(metric.slug, metric.title.into(), chart, caption))
}

/// Ours over each, with the least and the greatest over rounds that were made side by side.
fn ratios(case: &Case<'_>) -> Option<Table> {
    let of_all: Vec<Entrant<'_>> = METRICS.iter().find_map(|metric| {
        let figures = case.figures(metric);
        (!figures.is_empty()).then_some(figures)
    })?;
    let ours = reference(&of_all)?;
    let headings = case.metrics().map(|metric| format!("#{}", metric.axis));
    let mut table = Table::new(
        &format!("{} over each: {}", ours.name, case.heading),
        std::iter::once("beside".to_owned()).chain(headings),
        "Median of the ratios round by round, with the least and the greatest. Above 1 ours is more.",
    );
    let names = rising(case.runs.records().map(bar_name));
    for name in names.into_iter().filter(|name| *name != ours.name) {
        let theirs = case.of(&name);
        let cell = |metric| Cell::known(ratio(&ours.rounds, &theirs, metric).map(ratio_in_words));
        table.row(std::iter::once(Cell::text(&name[..])).chain(case.metrics().map(cell)));
    }
    for (family, theirs) in case.families() {
        let cell = |metric| {
            let ratio = ratio(&ours.rounds, &theirs, metric)?;
            Some(format!("{}, {}", ratio_in_words(ratio), best_name(&theirs, metric)?))
        };
        let cells = case.metrics().map(|metric| Cell::known(cell(metric)));
        table.row(std::iter::once(Cell::text(format!("best of {family}"))).chain(cells));
    }
    (!table.rows.is_empty()).then_some(table)
}

/// Those over the best of these, round by round.
fn ratio(those: &Runs<'_>, these: &Runs<'_>, metric: &Metric) -> Option<OverRounds> {
    let ratio = |that: &RunRecord| {
        let best = best_of_round(these, that.round, metric)?;
        Some((metric.figure)(that)? / (metric.figure)(best)?)
    };
    those.over(ratio)
}

/// The best run of a round.
fn best_of_round<'a>(runs: &Runs<'a>, round: Option<u32>, metric: &Metric) -> Option<&'a RunRecord> {
    let figure = |run: &RunRecord| (metric.figure)(run).unwrap_or_default();
    let of_round = runs.records().filter(|run| run.round == round && figure(run) > 0.0);
    let more_is_better = metric.unit == Unit::PerS;
    of_round.reduce(|best, run| {
        let better = if more_is_better { figure(run) > figure(best) } else { figure(run) < figure(best) };
        if better { run } else { best }
    })
}

/// The name of the peer that was the best in most rounds.
fn best_name(runs: &Runs<'_>, metric: &Metric) -> Option<String> {
    let rounds = runs.values(|run| Some(run.round)).into_iter();
    let best = rounds.filter_map(|round| best_of_round(runs, round, metric)).map(bar_name);
    let names = grouped(best, String::clone).into_iter().rev();
    Some(names.max_by_key(|(_, rounds)| rounds.len())?.0)
}

/// With the least and the greatest.
fn ratio_in_words(over: OverRounds) -> String {
    match over.spread() {
        Some((low, high)) => format!("{} ({}–{})", digits(over.median), digits(low), digits(high)),
        None => digits(over.median),
    }
}

/// Ours and theirs in words, for the answer: a sentence for each case that has peers.
pub(crate) fn answers(runs: &Runs<'_>) -> Vec<String> {
    let sentence = |case: &Case<'_>| {
        let metric = if case.flood { &METRICS[0] } else { &METRICS[1] };
        let figures = case.figures(metric);
        let ours = reference(&figures)?;
        let over = |(name, rounds): (&str, &Runs<'_>)| {
            let ratio = ratio(&ours.rounds, rounds, metric)?;
            let (peer, behind) = match name.strip_suffix(OWN_CLIENTS) {
                Some(peer) => (peer, OWN_CLIENTS),
                None => (name, ""),
            };
            Some(format!("{} {peer}'s{behind}", Unit::Ratio.text(ratio.median)))
        };
        // Of a family only the best.
        let families = case.families();
        let best_of = |(family, rounds): &(&str, Runs<'_>)| {
            let words = over((&best_name(rounds, metric)?, rounds))?;
            Some(format!("{words} (the best of {family})"))
        };
        let alone = |figure: &&Entrant<'_>| {
            let family = figure.rounds.first().and_then(family);
            figure.series == OTHERS && families.iter().all(|(other, _)| Some(*other) != family)
        };
        let others = figures.iter().filter(alone).filter_map(|peer| over((&peer.name, &peer.rounds)));
        let others: Vec<String> = families.iter().filter_map(best_of).chain(others).collect();
        (!others.is_empty()).then(|| {
            let what = if case.flood { "deliveries a second" } else { "median time to the last subscriber" };
            let (name, figure) = (&ours.name, metric.unit.text(ours.over.median));
            format!("{}: {name} has {figure} ({what}), {}.", case.heading, others.join(", "))
        })
    };
    cases(runs).iter().filter_map(sentence).collect()
}
