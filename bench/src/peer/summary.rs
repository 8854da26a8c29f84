//! Owns what a comparison says of each peer: its figures over all rounds, and ours over them, round by round.

use super::compare::ContestRuns;
use super::name::PeerName;
use super::plan::Contest;
use crate::experiment::outcome::Outcome;
use crate::measure::latency::Latencies;
use crate::order::{grouped, median};
use crate::record::{BestRecord, PeerRecord, RatioRecord, RunRecord, thousandths};
use crate::results::Raw;
use std::collections::BTreeMap;

/// A figure of a round that is compared: its name, whether it is the flood's, where it stands, whether more of it is
/// better.
struct Figure {
    name: &'static str,
    flood: bool,
    of: fn(&RunRecord) -> Option<f64>,
    more_is_better: bool,
}

const FIGURES: [Figure; 9] = [
    less("latency_us.median", |run| run.latency_us.map(|summary| summary.median)),
    less("latency_us.p99", |run| run.latency_us.map(|summary| summary.p99)),
    less("first_subscriber_us.median", |run| run.first_subscriber_us.map(|summary| summary.median)),
    less("last_subscriber_us.median", |run| run.last_subscriber_us.map(|summary| summary.median)),
    less("last_subscriber_us.p99", |run| run.last_subscriber_us.map(|summary| summary.p99)),
    less("cpu_ns_per_delivery", |run| run.cpu_ns_per_delivery),
    less("rss_per_subscriber_bytes", |run| run.rss_per_subscriber_bytes),
    flood("deliveries_per_s", |run| Some(run.deliveries_per_s), true),
    flood("cpu_ns_per_delivery_flood", |run| run.cpu_ns_per_delivery, false),
];

const fn flood(name: &'static str, of: fn(&RunRecord) -> Option<f64>, more_is_better: bool) -> Figure {
    Figure { name, flood: true, of, more_is_better }
}

const fn less(name: &'static str, of: fn(&RunRecord) -> Option<f64>) -> Figure {
    Figure { name, flood: false, of, more_is_better: false }
}

/// The names of the figures that there are ratios of.
pub fn figure_names() -> impl Iterator<Item = &'static str> {
    FIGURES.iter().map(|figure| figure.name)
}

/// Ours over the best of several, by the name of the figure.
pub type BestRatios = BTreeMap<String, BestRecord>;

/// All peers, over all rounds.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ContestSummary {
    /// The peers that were measured at all, in the order in which they were named.
    pub peers: Vec<PeerRecord>,
    /// Ours over the best of the systems that others would use, figure by figure.
    pub ratio_to_best: BestRatios,
    /// Ours over the best of each family of these, by its name.
    pub ratio_to_best_of: BTreeMap<String, BestRatios>,
}

/// Sums a comparison up.
pub fn summarize(plan: &Contest, comparison: &ContestRuns) -> ContestSummary {
    let runs = &comparison.runs;
    let measured: Vec<PeerName> =
        plan.peers.iter().copied().filter(|name| of_peer(runs, *name).next().is_some()).collect();
    let ours = measured.iter().copied().find(|name| name.system.is_ours());
    let peers = measured.iter().map(|name| {
        let mut record = record_of(*name, plan, comparison);
        if let Some(ours) = ours.filter(|ours| ours != name) {
            record.ratio = ratios(plan, |figure, round| {
                Some(in_round(runs, ours, figure, round)? / in_round(runs, *name, figure, round)?)
            });
        }
        record
    });
    let peers = peers.collect();
    let rivals: Vec<PeerName> = measured.iter().copied().filter(|name| name.system.is_rival()).collect();
    let over_best =
        |of: &[PeerName]| ours.map(|ours| ratios_to_best(plan, runs, ours, of)).unwrap_or_default();
    let families =
        grouped(rivals.iter().copied(), |name| name.system.family().unwrap_or_default().to_owned());
    let ratio_to_best_of = families.into_iter().map(|(family, of)| (family, over_best(&of))).collect();
    ContestSummary { peers, ratio_to_best: over_best(&rivals), ratio_to_best_of }
}

/// Ours over the best of these peers, round by round.
fn ratios_to_best(plan: &Contest, runs: &[Outcome], ours: PeerName, peers: &[PeerName]) -> BestRatios {
    let of_figure = |figure: &Figure| {
        let best_of = |round: u32| {
            let theirs = peers.iter().filter_map(|peer| Some((*peer, in_round(runs, *peer, figure, round)?)));
            theirs.reduce(|best, other| {
                let better = if figure.more_is_better { other.1 > best.1 } else { other.1 < best.1 };
                if better { other } else { best }
            })
        };
        let rounds = (1..=plan.rounds).filter_map(|round| {
            let (peer, best) = best_of(round)?;
            Some((peer, in_round(runs, ours, figure, round)? / best))
        });
        let (best, ratios): (Vec<PeerName>, Vec<f64>) = rounds.unzip();
        let mut over = grouped(&best, |peer| peer.to_string());
        over.sort_by_key(|(_, rounds)| std::cmp::Reverse(rounds.len()));
        let over = over.into_iter().map(|(peer, _)| peer).collect();
        Some((figure.name.to_owned(), BestRecord { ratio: RatioRecord::over(ratios)?, over }))
    };
    FIGURES.iter().filter_map(of_figure).collect()
}

fn of_peer(runs: &[Outcome], name: PeerName) -> impl Iterator<Item = &Outcome> {
    let name = name.to_string();
    runs.iter().filter(move |run| run.record.peer.as_deref() == Some(&name))
}

fn is_flood(run: &RunRecord) -> bool {
    run.rate_hz.is_none()
}

/// A figure of a peer in a round that was measured whole. Nought is no figure: nothing can be divided by it.
fn in_round(runs: &[Outcome], name: PeerName, figure: &Figure, round: u32) -> Option<f64> {
    let mut found = of_peer(runs, name).map(|run| &run.record);
    let run = found
        .find(|run| run.round == Some(round) && is_flood(run) == figure.flood && run.incomplete.is_none())?;
    (figure.of)(run).filter(|value| value.is_finite() && *value > 0.0)
}

fn ratios(plan: &Contest, ratio: impl Fn(&Figure, u32) -> Option<f64>) -> BTreeMap<String, RatioRecord> {
    let of_figure = |figure: &Figure| {
        let ratios: Vec<f64> = (1..=plan.rounds).filter_map(|round| ratio(figure, round)).collect();
        Some((figure.name.to_owned(), RatioRecord::over(ratios)?))
    };
    FIGURES.iter().filter_map(of_figure).collect()
}

fn record_of(name: PeerName, plan: &Contest, comparison: &ContestRuns) -> PeerRecord {
    let all = || of_peer(&comparison.runs, name);
    let whole = || all().filter(|run| run.record.incomplete.is_none());
    let paced = || whole().filter(|run| !is_flood(&run.record));
    let median_of = |figure_name: &str| {
        let figure = FIGURES.iter().find(|figure| figure.name == figure_name)?;
        let rounds = (1..=plan.rounds).filter_map(|round| in_round(&comparison.runs, name, figure, round));
        median(rounds).map(thousandths)
    };
    let merged = |of: fn(&Raw) -> &Latencies| {
        let mut merged = Latencies::new();
        paced().for_each(|run| merged.merge(of(&run.raw)));
        merged.summary()
    };
    let sum = |of: fn(&RunRecord) -> u64| all().map(|run| of(&run.record)).sum();
    PeerRecord {
        peer: name.to_string(),
        version: all().next().and_then(|run| run.record.peer_version.clone()),
        transport: plan.transport_of(name).to_string(),
        sessions: plan.sessions_of(name).to_string(),
        clients: all().next().and_then(|run| run.record.clients.clone()).unwrap_or_default(),
        reactor: all().next().and_then(|run| run.record.reactor.clone()),
        rounds: paced().count() as u32,
        deliveries_per_s: median_of("deliveries_per_s"),
        latency_us: merged(|raw| &raw.latency),
        first_subscriber_us: merged(|raw| &raw.first_subscriber),
        last_subscriber_us: merged(|raw| &raw.last_subscriber),
        cpu_ns_per_delivery: median_of("cpu_ns_per_delivery"),
        cpu_ns_per_delivery_flood: median_of("cpu_ns_per_delivery_flood"),
        rss_per_subscriber_bytes: median_of("rss_per_subscriber_bytes"),
        deliveries_expected: sum(|run| run.deliveries_expected),
        deliveries: sum(|run| run.deliveries),
        gaps_reported: sum(|run| run.gaps_reported),
        lost: sum(|run| run.lost),
        wrong: sum(|run| run.duplicated + run.reordered + run.corrupted + run.misdelivered.unwrap_or(0)),
        sessions_moved: all().filter_map(|run| run.record.sessions_moved).reduce(|sum, moved| sum + moved),
        ratio: BTreeMap::new(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::plan::tests::sample_plan;
    use super::*;
    use crate::measure::latency::Summary as Figures;

    /// A comparison of ours with libzmq and redis in three rounds.
    pub(crate) fn sample() -> (Contest, ContestRuns) {
        let plan = Contest {
            peers: ["corecast", "libzmq", "redis"].map(|name| name.parse().unwrap()).to_vec(),
            ..sample_plan()
        };
        let mut comparison = ContestRuns::default();
        for (round, ours_us) in [(1, 100.0), (2, 300.0), (3, 200.0)] {
            for (peer, us, per_s) in
                [("corecast", ours_us, 30e6), ("libzmq", 1000.0, 3e6), ("redis", 400.0, 1e6)]
            {
                let summary = Some(Figures { median: us, ..Figures::default() });
                let paced = RunRecord {
                    peer: Some(peer.into()),
                    round: Some(round),
                    clients: Some("raw".into()),
                    rate_hz: Some(20.0),
                    latency_us: summary,
                    last_subscriber_us: summary,
                    lost: 1,
                    ..RunRecord::default()
                };
                let flood =
                    RunRecord { rate_hz: None, deliveries_per_s: per_s * f64::from(round), ..paced.clone() };
                comparison
                    .runs
                    .extend([paced, flood].map(|record| Outcome::complete(record, Raw::default())));
            }
        }
        (plan, comparison)
    }

    #[test]
    fn ratios_are_of_the_rounds_and_have_a_spread() {
        let (plan, comparison) = sample();
        let summary = summarize(&plan, &comparison);
        let names: Vec<&str> = summary.peers.iter().map(|peer| &peer.peer[..]).collect();
        assert_eq!(names, ["corecast", "libzmq", "redis"]);
        assert!(summary.peers[0].ratio.is_empty(), "ours over ours says nothing");
        let libzmq = &summary.peers[1];
        assert_eq!(
            libzmq.ratio["last_subscriber_us.median"],
            RatioRecord { median: 0.2, min: 0.1, max: 0.3 }
        );
        assert_eq!(libzmq.ratio["deliveries_per_s"], RatioRecord { median: 10.0, min: 10.0, max: 10.0 });
        assert_eq!((libzmq.deliveries_per_s, libzmq.lost, libzmq.rounds), (Some(6e6), 6, 3));
        assert!(!libzmq.ratio.contains_key("rss_per_subscriber_bytes"), "it was not measured");
    }

    #[test]
    fn the_best_is_the_best_of_each_figure() {
        let (plan, comparison) = sample();
        let best = summarize(&plan, &comparison).ratio_to_best;
        assert_eq!(best["last_subscriber_us.median"].ratio.median, 0.5);
        assert_eq!(best["last_subscriber_us.median"].over, ["redis"]);
        assert_eq!(best["deliveries_per_s"].ratio.median, 10.0);
        assert_eq!(best["deliveries_per_s"].over, ["libzmq"]);
    }

    #[test]
    fn the_best_of_a_family_may_be_another_one_in_another_round() {
        let (mut plan, mut comparison) = sample();
        plan.peers[1] = "redis-8.2".parse().unwrap();
        for run in comparison.runs.iter_mut().map(|run| &mut run.record) {
            match (run.peer.as_deref(), run.round) {
                (Some("libzmq"), _) => run.peer = Some("redis-8.2".into()),
                (Some("redis"), Some(2)) => run.deliveries_per_s *= 10.0,
                _ => {}
            }
        }
        let summary = summarize(&plan, &comparison);
        assert_eq!(summary.ratio_to_best_of.keys().collect::<Vec<_>>(), ["redis"]);
        let flood = &summary.ratio_to_best_of["redis"]["deliveries_per_s"];
        assert_eq!((flood.ratio.min, flood.ratio.max), (3.0, 10.0));
        assert_eq!(flood.over, ["redis-8.2", "redis"], "the one of more rounds first");
    }

    #[test]
    fn a_round_that_is_not_whole_is_in_no_figure() {
        let (plan, mut comparison) = sample();
        for run in comparison.runs.iter_mut().map(|run| &mut run.record) {
            run.incomplete = (run.round == Some(2)).then(|| "interrupted".into());
        }
        let summary = summarize(&plan, &comparison);
        assert_eq!(summary.peers[1].rounds, 2);
        assert_eq!(summary.peers[1].ratio["latency_us.median"].median, 0.15);
        assert_eq!(summary.peers[1].lost, 6, "but what it lost counts");
    }
}
