//! Owns `--assert` over a comparison: the names of its figures, and whether they keep what was asserted.

use super::name::{PeerName, field};
use super::summary::{BestRatios, ContestSummary, figure_names};
use crate::measure::latency::Summary;
use crate::record::assertion::{self, Numbers};
use crate::record::expression::{AssertionError, Expression};
use crate::record::{BestRecord, PeerRecord, RatioRecord};
use std::collections::BTreeMap;

/// The peer that stands for the best of the systems that others would use.
const BEST: &str = "best";

/// The numbers of a comparison: of each peer, of ratios, and sums over all.
pub fn numbers_of(summary: &ContestSummary) -> Numbers {
    let mut numbers = Numbers::new();
    for peer in &summary.peers {
        let name = field(&peer.peer);
        let figures = assertion::numbers_of(&PeerRecord { ratio: BTreeMap::new(), ..peer.clone() });
        numbers.extend(figures.into_iter().map(|(figure, number)| (format!("{name}.{figure}"), number)));
        add_ratios(&name, peer.ratio.iter(), &mut numbers);
    }
    add_best(BEST, &summary.ratio_to_best, &mut numbers);
    for (family, best) in &summary.ratio_to_best_of {
        add_best(&best_of(family), best, &mut numbers);
    }
    let mut add_sum = |name: &str, of: fn(&PeerRecord) -> u64| {
        numbers.insert(name.to_owned(), Some(summary.peers.iter().map(of).sum::<u64>() as f64));
    };
    add_sum("deliveries_expected", |peer| peer.deliveries_expected);
    add_sum("deliveries", |peer| peer.deliveries);
    add_sum("gaps_reported", |peer| peer.gaps_reported);
    add_sum("lost", |peer| peer.lost);
    add_sum("wrong", |peer| peer.wrong);
    numbers
}

/// The peer that stands for the best of a family.
fn best_of(family: &str) -> String {
    format!("{BEST}_{family}")
}

fn add_best(peer: &str, best: &BestRatios, numbers: &mut Numbers) {
    add_ratios(peer, best.iter().map(|(figure, best)| (figure, &best.ratio)), numbers);
}

fn add_ratios<'a>(
    peer: &str,
    ratios: impl Iterator<Item = (&'a String, &'a RatioRecord)>,
    numbers: &mut Numbers,
) {
    for (figure, ratio) in ratios {
        let name = format!("ratio.{peer}.{figure}");
        numbers.insert(format!("{name}.min"), Some(ratio.min));
        numbers.insert(format!("{name}.max"), Some(ratio.max));
        numbers.insert(name, Some(ratio.median));
    }
}

/// Refuses an assertion about what a comparison of these peers does not have.
pub fn check_names(expression: &Expression, peers: &[PeerName]) -> Result<(), AssertionError> {
    let full = full_summary(peers);
    let known = numbers_of(&full);
    expression.check_fields(
        |field| known.contains_key(field),
        |_| {
            let peers: Vec<String> = peers.iter().map(|peer| field(&peer.to_string())).collect();
            let ratios: Vec<&str> = figure_names().collect();
            format!(
                "which this comparison has not: it has lost, gaps_reported, wrong, deliveries, deliveries_expected; PEER.FIGURE; and ratio.PEER.FIGURE, ours over theirs, with .min or .max behind it, where FIGURE is one of {}. PEER is one of {} and, for ratios, {BEST}{}",
                ratios.join(", "),
                peers.join(", "),
                full.ratio_to_best_of.keys().map(|family| format!(", {}", best_of(family))).collect::<String>()
            )
        },
    )
}

/// The complaint about a comparison with these numbers, if it does not keep the assertion.
pub fn check(expression: &Expression, numbers: &Numbers) -> Option<String> {
    expression.complaint("", &|name: &str| numbers.get(name).copied().flatten())
}

/// A comparison in which everything was measured: its names are the names there are.
fn full_summary(peers: &[PeerName]) -> ContestSummary {
    let ratio: BTreeMap<_, _> =
        figure_names().map(|name| (name.to_owned(), RatioRecord::default())).collect();
    let peer = |name: &PeerName| PeerRecord {
        peer: name.to_string(),
        deliveries_per_s: Some(0.0),
        latency_us: Some(Summary::default()),
        first_subscriber_us: Some(Summary::default()),
        last_subscriber_us: Some(Summary::default()),
        cpu_ns_per_delivery: Some(0.0),
        cpu_ns_per_delivery_flood: Some(0.0),
        rss_per_subscriber_bytes: Some(0.0),
        sessions_moved: Some(0),
        ratio: ratio.clone(),
        ..PeerRecord::default()
    };
    let best: BestRatios = figure_names().map(|name| (name.to_owned(), BestRecord::default())).collect();
    let families = peers.iter().filter_map(|name| name.system.family());
    ContestSummary {
        peers: peers.iter().map(peer).collect(),
        ratio_to_best_of: families.map(|family| (family.to_owned(), best.clone())).collect(),
        ratio_to_best: best,
    }
}

#[cfg(test)]
mod tests {
    use super::super::summary::summarize;
    use super::super::summary::tests::sample;
    use super::*;

    #[test]
    fn ratios_figures_and_sums_have_names() {
        let (plan, comparison) = sample();
        let numbers = numbers_of(&summarize(&plan, &comparison));
        for holds in [
            "ratio.libzmq.deliveries_per_s >= 10",
            "ratio.redis.last_subscriber_us.median < 1",
            "ratio.libzmq.last_subscriber_us.median.max == 0.3",
            "ratio.best.last_subscriber_us.median == 0.5",
            "ratio.best_libzmq.deliveries_per_s.max == 10",
            "libzmq.deliveries_per_s == 6e6",
            "corecast.lost + libzmq.lost + redis.lost == lost",
        ] {
            let expression = holds.parse().unwrap();
            assert_eq!(check(&expression, &numbers), None, "{holds}");
            assert_eq!(check_names(&expression, &plan.peers), Ok(()), "{holds}");
        }
        let said = check(&"ratio.libzmq.deliveries_per_s >= 11".parse().unwrap(), &numbers).unwrap();
        assert!(said.ends_with("does not hold: ratio.libzmq.deliveries_per_s = 10"), "{said}");
        let said = check(&"libzmq.rss_per_subscriber_bytes < 1".parse().unwrap(), &numbers).unwrap();
        assert!(said.contains("cannot be told: libzmq.rss_per_subscriber_bytes was not measured"), "{said}");
    }

    #[test]
    fn a_name_that_there_is_not_is_refused_before_the_first_run() {
        let peers = ["corecast".parse().unwrap(), "floor-tcp".parse().unwrap()];
        assert_eq!(
            check_names(&"ratio.floor_tcp.last_subscriber_us.median <= 1.2".parse().unwrap(), &peers),
            Ok(())
        );
        for wrong in
            ["ratio.libzmq.deliveries_per_s > 1", "ratio.floor-tcp.deliveries_per_s > 1", "losts == 0"]
        {
            let error = check_names(&wrong.parse().unwrap(), &peers).unwrap_err().to_string();
            assert!(error.contains("floor_tcp") && error.contains("deliveries_per_s"), "{error}");
        }
        assert!("lost = 0".parse::<Expression>().unwrap_err().to_string().contains("expected one of"));
    }
}
