//! Owns the text about a comparison that goes to stdout: each peer's figures, and ours over them. The record has all of
//! it, with more digits.

use super::name::family_of;
use super::plan::Contest;
use super::summary::{BestRatios, ContestSummary};
use crate::record::{PeerRecord, RatioRecord, SkippedRecord};
use crate::report::table::{Cell, Table};
use crate::unit::{Unit, count, counted, digits, duration, number};
use corecast::internals::printable::{printable, printable_lines};

/// The meaning of the short headings.
const ABOUT: &str = "per second: deliveries in the flood;\n\
                     to last: median until the last subscriber has a message;\n\
                     CPU: of the peer, for a delivery; memory: for a subscriber";
/// The figures of the table of ratios, with their headings.
const RATIOS: [(&str, &str); 4] = [
    ("deliveries_per_s", "#per second"),
    ("last_subscriber_us.median", "#to last"),
    ("cpu_ns_per_delivery", "#CPU"),
    ("rss_per_subscriber_bytes", "#memory"),
];

/// The tables of a comparison, and a line for everything that is worth knowing about it.
pub fn render(
    plan: &Contest,
    summary: &ContestSummary,
    skipped: &[SkippedRecord],
    notes: &[String],
) -> String {
    let mut text = format!(
        "{}, {} bytes, {} messages/s{}, {}\n{}{}{ABOUT}\n",
        counted(plan.run.subscribers, "subscriber"),
        count(plan.run.size_bytes as u64),
        number(plan.rate_hz()),
        if plan.flood_messages > 0 { " and a flood" } else { "" },
        counted(plan.rounds as usize, "round"),
        workload(plan),
        figures(&summary.peers).text(1)
    );
    if summary.peers.iter().any(has_own_clients) {
        text.push_str("* clients of its own, in Python: their time is in its figures\n");
    }
    if summary.peers.iter().any(|peer| !peer.ratio.is_empty()) {
        let ours = summary.peers.iter().find(|peer| peer.ratio.is_empty());
        let ours = ours.map_or("ours", |peer| peer.peer.as_str());
        text.push_str(&format!("\n{ours} over each, median of the rounds (least to greatest)\n"));
        text.push_str(&ratios(summary).text(1));
        text.push_str(&best_of_families(summary));
    }
    let versions =
        summary.peers.iter().filter_map(|peer| Some(format!("{} {}", peer.peer, peer.version.as_ref()?)));
    text.push_str(&format!("versions: {}\n", printable(&versions.collect::<Vec<_>>().join(", "))));
    for peer in summary.peers.iter().filter(|peer| peer.lost + peer.gaps_reported + peer.wrong > 0) {
        text.push_str(&format!(
            "{}: lost {}, gaps {}, wrong {} of {}\n",
            peer.peer,
            count(peer.lost),
            count(peer.gaps_reported),
            count(peer.wrong),
            count(peer.deliveries_expected)
        ));
    }
    let moved = summary.peers.iter().filter_map(|peer| Some((&peer.peer, peer.sessions_moved?)));
    for (peer, moved) in moved.filter(|(_, moved)| *moved > 0) {
        text.push_str(&format!("{peer}: {} moved from shard to shard\n", counted(moved as usize, "session")));
    }
    for skipped in skipped {
        let round = skipped.round.map(|round| format!(" in round {round}")).unwrap_or_default();
        let why = printable_lines(&skipped.why);
        text.push_str(&format!("skipped {}{round}: {why}\n", skipped.peer));
    }
    for note in notes {
        text.push_str(&format!("{note}\n"));
    }
    text
}

/// Lines about publishers and topics, where there is more than one, and about the neighbour.
fn workload(plan: &Contest) -> String {
    let publishers = plan.run.publishers;
    let topics = match plan.run.topics {
        None if publishers == 1 => String::new(),
        None => format!("{}, all of them wanted by everybody\n", counted(publishers, "publisher")),
        Some(topics) => format!("{}, each subscriber wants {topics}\n", counted(publishers, "publisher")),
    };
    topics + &plan.neighbour.map(|neighbour| format!("{neighbour}\n")).unwrap_or_default()
}

fn figures(peers: &[PeerRecord]) -> Table {
    const COLUMNS: [&str; 10] = [
        "peer",
        "#per second",
        "#median",
        "#p99",
        "#to last",
        "#its p99",
        "#CPU",
        "#flood CPU",
        "#memory",
        "#lost",
    ];
    let mut table = Table::new("", COLUMNS, "");
    for peer in peers {
        let (latency, last) = (peer.latency_us, peer.last_subscriber_us);
        let figures = [
            peer.deliveries_per_s.map(|per_s| count(per_s.round() as u64)),
            latency.map(|summary| duration(summary.median)),
            latency.map(|summary| duration(summary.p99)),
            last.map(|summary| duration(summary.median)),
            last.map(|summary| duration(summary.p99)),
            peer.cpu_ns_per_delivery.map(|ns| duration(ns / 1000.0)),
            peer.cpu_ns_per_delivery_flood.map(|ns| duration(ns / 1000.0)),
            peer.rss_per_subscriber_bytes.map(|bytes| Unit::Bytes.text(bytes)),
            Some(count(peer.lost)),
        ];
        let mark = if has_own_clients(peer) { "*" } else { "" };
        let name = Cell::text(format!("{}{mark}", peer.peer));
        table.row(std::iter::once(name).chain(figures.map(Cell::known)));
    }
    table
}

/// True if neither our raw sockets nor our library subscribed to it.
fn has_own_clients(peer: &PeerRecord) -> bool {
    !["raw", "native"].contains(&&peer.clients[..])
}

fn ratios(summary: &ContestSummary) -> Table {
    let headings = RATIOS.map(|(_, heading)| heading);
    let mut table = Table::new("", [&["over"], &headings[..]].concat(), "");
    let mut row = |name: &str, of: &dyn Fn(&str) -> Option<RatioRecord>| {
        let cell = |(figure, _): (&str, _)| {
            let RatioRecord { median, min, max } = of(figure)?;
            Some(format!("{} ({}–{})", digits(median), digits(min), digits(max)))
        };
        let cells = RATIOS.map(cell);
        if cells.iter().any(Option::is_some) {
            table.row(std::iter::once(Cell::text(name)).chain(cells.map(Cell::known)));
        }
    };
    for peer in &summary.peers {
        row(&peer.peer, &|figure| peer.ratio.get(figure).copied());
    }
    for (family, best) in families(summary) {
        row(&format!("best of {family}"), &|figure| Some(best.get(figure)?.ratio));
    }
    row("best of the rivals", &|figure| Some(summary.ratio_to_best.get(figure)?.ratio));
    table
}

/// Families of which several peers were measured.
fn families(summary: &ContestSummary) -> impl Iterator<Item = (&String, &BestRatios)> {
    let measured =
        |family: &str| summary.peers.iter().filter(|peer| family_of(&peer.peer) == Some(family)).count();
    summary.ratio_to_best_of.iter().filter(move |(family, _)| measured(family) > 1)
}

/// The peer that was the best of its family in most rounds, figure by figure; nothing if there is one of each.
fn best_of_families(summary: &ContestSummary) -> String {
    let headings = RATIOS.map(|(_, heading)| heading.trim_start_matches('#'));
    let mut table = Table::new("", [&["which is the"], &headings[..]].concat(), "");
    for (family, best) in families(summary) {
        let cells = RATIOS
            .map(|(figure, _)| Cell::known(best.get(figure).and_then(|best| best.over.first().cloned())));
        table.row(std::iter::once(Cell::text(format!("best of {family}"))).chain(cells));
    }
    if table.rows.is_empty() { String::new() } else { table.text(1) }
}

#[cfg(test)]
mod tests {
    use super::super::summary::summarize;
    use super::super::summary::tests::sample;
    use super::*;

    #[test]
    fn everything_worth_knowing_is_there_and_fits() {
        let (plan, comparison) = sample();
        let skipped = [SkippedRecord { peer: "nats".into(), round: None, why: "it is not there".into() }];
        let text = render(&plan, &summarize(&plan, &comparison), &skipped, &["a note".into()]);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        for wanted in [
            "512 subscribers, 64 bytes, 20 messages/s and a flood, 3 rounds",
            "corecast over each",
            "10.0 (10.0–10.0)",
            "best of the rivals",
            "libzmq: lost 6, gaps 0, wrong 0",
            "skipped nats: it is not there",
            "a note",
        ] {
            assert!(text.contains(wanted), "{wanted} is not in\n{text}");
        }
    }
}
