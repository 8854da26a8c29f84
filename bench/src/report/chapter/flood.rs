//! Owns floods: deliveries a second over the number of subscribers, by mode and payload.

use super::super::document::Block;
use super::super::likeness::WHOLE;
use super::super::plot::Chart;
use super::super::plot::frame::{Dash, Key, Shape};
use super::super::plot::lines::{Line, Lines};
use super::super::plot::theme::OTHERS;
use super::super::runs::Runs;
use super::counts::count_axis;
use super::look::{dash_of_mode, of_mode, shape_of};
use crate::order::rising;
use crate::unit::{Unit, counted, payload};

/// The plot, if floods were run at several numbers of subscribers.
pub(crate) fn blocks(runs: &Runs<'_>) -> Vec<Block> {
    let floods = runs.only(|run| run.rate_hz.is_none() && run.peer.is_none());
    // The runs of a search at a rate that was delivered whole.
    let searches = runs.only(|run| run.extra.get(WHOLE) == Some(&1.0));
    if floods.counts().len() < 2 {
        return Vec::new();
    }
    let lines = lines(&floods).into_iter().chain(paced(&searches)).collect();
    let chart = Lines::new(count_axis(&floods.counts()), ("deliveries a second", Unit::PerS), lines);
    let caption = "Floods are published as fast as messages are taken; the overflow policy `block` holds publishers \
                   back, so that all of it is delivered. Paced is the highest rate of a search at which nobody was \
                   held back and nothing was dropped. Deliveries over the time from the start to the last arrival.";
    let shown = runs.of(floods.entries().chain(searches.entries()));
    let title = "Deliveries a second, as fast as it goes".into();
    vec![shown.figure("flood", title, Chart::Lines(chart), caption.into())]
}

/// The highest rate of each search, over the number of subscribers; a line for each mode.
fn paced(searches: &Runs<'_>) -> Vec<Line> {
    let size = searches.first().map_or(0, |run| run.size_bytes);
    let line = |mode: &str| {
        let runs = searches.of_mode(mode);
        let most = |count| runs.of_count(count).records().map(|run| run.deliveries_per_s).fold(0.0, f64::max);
        let name = format!("{mode}, {}, paced", payload(size));
        Line {
            key: Key::line(name, OTHERS, Dash::Dashed, Some(Shape::Diamond)),
            points: runs.counts().into_iter().map(|count| (count as f64, most(count))).collect(),
        }
    };
    searches.modes().into_iter().rev().map(line).collect()
}

/// One line for each mode, sessions and payload: colour by payload where there are several, else by mode.
fn lines(floods: &Runs<'_>) -> Vec<Line> {
    let kinds = floods.by(|run| (&run.mode[..], &run.sessions[..], run.size_bytes));
    let sizes = rising(kinds.iter().map(|((.., size), _)| *size));
    let modes = floods.modes().len() > 1;
    let sessions = rising(kinds.iter().map(|((_, sessions, _), _)| *sessions)).len() > 1;
    let line = |((mode, session, size), runs): &((&str, &str, u64), Runs<'_>)| {
        let number = sizes.iter().position(|other| other == size).unwrap_or(0);
        let (mode_series, mode_shape) = of_mode(mode);
        let mut parts: Vec<String> = Vec::new();
        parts.extend(modes.then(|| (*mode).to_owned()));
        parts.extend((sizes.len() > 1).then(|| payload(*size)));
        parts.extend(sessions.then(|| (*session).to_owned()));
        let name = if parts.is_empty() { (*mode).to_owned() } else { parts.join(", ") };
        let series = if sizes.len() == 1 { mode_series } else { number };
        let (dash, shape) =
            if modes { (dash_of_mode(mode), mode_shape) } else { (Dash::Solid, shape_of(number)) };
        let key = Key::line(name, series, dash, Some(shape));
        runs.line(key, |run| Some(run.deliveries_per_s).filter(|per_s| *per_s > 0.0))
    };
    kinds.iter().map(line).collect()
}

/// The most deliveries a second of each payload.
pub(crate) fn answers(runs: &Runs<'_>) -> Vec<String> {
    let floods = runs.only(|run| run.rate_hz.is_none());
    let most = |size: u64| {
        let alike = floods.records().filter(|run| run.size_bytes == size);
        let run = alike.max_by(|one, other| one.deliveries_per_s.total_cmp(&other.deliveries_per_s))?;
        Some(format!(
            "{}: at most {} deliveries a second, in {} mode with {}.",
            payload(size),
            Unit::Count.text(run.deliveries_per_s),
            run.mode,
            counted(run.subscribers as usize, "subscriber"),
        ))
    };
    rising(floods.records().map(|run| run.size_bytes)).into_iter().filter_map(most).collect()
}
