//! Owns what a person reads of a comparison: each peer's figures, and ours over them. All of it is in the record too,
//! with more digits. It fits a terminal of 100 columns.

use super::plan::Plan;
use super::summary::Summary;
use crate::report::peer_record::{PeerRecord, RatioRecord, SkippedRecord};
use crate::report::table::{count, duration, number};
use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};
use corecast::printable::{printable, printable_lines};
use std::collections::BTreeMap;

/// A line above, below, and under the header.
const STYLE: TableStyle = TableStyle::new().top_border(LINE).header_separator(LINE).bottom_border(LINE);
const LINE: LineStyle = LineStyle::none().fill('─').junction('─');
/// What the short headers mean: longer ones would be broken to fit.
const ABOUT: &str = "per second: deliveries in the flood; to last: median until the last subscriber has a message;\n\
                     CPU: of the peer, for a delivery; memory: for a subscriber";
/// The figures of the table of ratios, with their headers.
const RATIOS: [(&str, &str); 4] = [
    ("deliveries_per_s", "per second"),
    ("last_subscriber_us.median", "to last"),
    ("cpu_ns_per_delivery", "CPU"),
    ("rss_per_subscriber_bytes", "memory"),
];

/// The tables of a comparison, and a line for everything that is worth knowing about it.
pub fn render(plan: &Plan, summary: &Summary, skipped: &[SkippedRecord], notes: &[String]) -> String {
    let mut text = format!(
        "{} subscribers, {} bytes, {} messages/s and a flood, {} rounds\n{}\n{ABOUT}\n",
        count(plan.subscribers as u64),
        count(plan.size_bytes as u64),
        number(plan.rate_hz),
        plan.rounds,
        figures(&summary.peers).trim_fmt()
    );
    if summary.peers.iter().any(|peer| !peer.ratio.is_empty()) {
        let ours = summary.peers.iter().find(|peer| peer.ratio.is_empty());
        let ours = ours.map_or("ours", |peer| peer.peer.as_str());
        text.push_str(&format!("\n{ours} over each, median of the rounds (least to greatest)\n"));
        text.push_str(&format!("{}\n", ratios(summary).trim_fmt()));
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

fn figures(peers: &[PeerRecord]) -> Table {
    let mut table = table(&[
        "peer",
        "per second",
        "median",
        "p99",
        "to last",
        "its p99",
        "CPU",
        "flood CPU",
        "memory",
        "lost",
    ]);
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
            peer.rss_per_subscriber_bytes.map(kilobytes),
            Some(count(peer.lost)),
        ];
        let cells = figures.map(|figure| right(figure.unwrap_or_else(|| "-".into())));
        table.add_row(std::iter::once(Cell::new(&peer.peer)).chain(cells));
    }
    tighten(table)
}

fn ratios(summary: &Summary) -> Table {
    let mut table = table(&["over", RATIOS[0].1, RATIOS[1].1, RATIOS[2].1, RATIOS[3].1]);
    let peers = summary.peers.iter().map(|peer| (peer.peer.as_str(), &peer.ratio));
    let best = ("best of the rivals", &summary.ratio_to_best);
    for (name, ratio) in peers.chain([best]).filter(|(_, ratio)| !ratio.is_empty()) {
        let cells = RATIOS.map(|(figure, _)| right(ratio_of(ratio, figure)));
        table.add_row(std::iter::once(Cell::new(name)).chain(cells));
    }
    tighten(table)
}

fn ratio_of(ratios: &BTreeMap<String, RatioRecord>, figure: &str) -> String {
    let Some(ratio) = ratios.get(figure) else { return "-".into() };
    let RatioRecord { median, min, max } = ratio;
    format!("{} ({}–{})", digits(*median), digits(*min), digits(*max))
}

/// Three digits.
fn digits(number: f64) -> String {
    let decimals = match number {
        number if number >= 99.95 => 0,
        number if number >= 9.995 => 1,
        _ => 2,
    };
    format!("{number:.decimals$}")
}

fn kilobytes(bytes: f64) -> String {
    format!("{:.2} KB", bytes / 1000.0)
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    let header = header.iter().enumerate().map(|(index, name)| match index {
        0 => Cell::new(name),
        _ => right((*name).to_owned()),
    });
    table.load_style(STYLE).set_header(header);
    table
}

/// Two blanks between columns instead of three.
fn tighten(mut table: Table) -> Table {
    let last = table.column_count() - 1;
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, u16::from(index < last)));
    }
    table
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
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
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
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
