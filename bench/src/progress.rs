//! Owns what is seen while a run goes on: a bar on a terminal, a plain line every few seconds elsewhere. All of it
//! goes to stderr; stdout is for results.

use crate::unit::count;
use corecast::internals::printable::printable;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Interval between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// The bar counts in thousandths of the run.
const BAR_STEPS: u64 = 1000;

/// The progress of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Position {
    /// Messages sent so far.
    pub sent: u64,
    /// Deliveries so far.
    pub deliveries: u64,
    /// Messages reported as missed so far.
    pub gaps: u64,
    /// The part of the run that is done, 0 to 1.
    pub done: f64,
    /// Time left, if it can be told.
    pub left: Option<Duration>,
}

/// The place of a run among those of an experiment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its number, from 1.
    pub run: u64,
    /// Number of runs.
    pub of: u64,
    /// About how long those after it take.
    pub left_after: Duration,
}

/// The display of one run.
#[derive(Debug)]
pub struct Progress {
    title: String,
    place: Option<Place>,
    bar: Option<ProgressBar>,
    last: (Instant, u64),
    last_line: Instant,
    rate_per_s: f64,
}

impl Progress {
    /// Shows the run called `title`, as a bar if stderr is a terminal.
    pub fn start(title: String) -> Self {
        Progress::start_at(None, title)
    }

    /// The same of a run that is one of several.
    pub fn start_at(place: Option<Place>, title: String) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| new_bar(place, &title));
        let title = match place {
            Some(Place { run, of, .. }) => format!("run {run} of {of}: {title}"),
            None => title,
        };
        let now = Instant::now();
        Progress { title, place, bar, last: (now, 0), last_line: now, rate_per_s: 0.0 }
    }

    /// Says what the run is about now.
    pub fn phase(&self, phase: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(phase.to_owned());
                bar.tick();
            }
            None => self.line(phase),
        }
    }

    /// Shows how far the run is.
    pub fn update(&mut self, position: &Position) {
        let now = Instant::now();
        self.measure_rate(now, position.deliveries);
        let text = match self.place {
            // What is left of all says more than what is left of this run.
            Some(place) => {
                let position_only = Position { left: None, ..*position };
                format!("{}, {}", whole(place, position), describe(&position_only, self.rate_per_s))
            }
            None => describe(position, self.rate_per_s),
        };
        match &self.bar {
            Some(bar) => {
                bar.set_position((position.done.clamp(0.0, 1.0) * BAR_STEPS as f64) as u64);
                bar.set_message(text);
                bar.tick();
            }
            None if now.duration_since(self.last_line) >= LINE_EVERY => {
                self.last_line = now;
                self.line(&format!("{:.0} %, {text}", position.done * 100.0));
            }
            None => {}
        }
    }

    fn measure_rate(&mut self, now: Instant, deliveries: u64) {
        /// Shorter spans than this give a rate that flickers.
        const SPAN_MIN: Duration = Duration::from_millis(500);
        let (then, before) = self.last;
        let span = now.duration_since(then);
        if span >= SPAN_MIN {
            self.rate_per_s = deliveries.saturating_sub(before) as f64 / span.as_secs_f64();
            self.last = (now, deliveries);
        }
    }

    fn line(&self, text: &str) {
        // Nobody reads it: no reason to end a measurement.
        let _ = writeln!(std::io::stderr(), "{}", printable(&format!("{}: {text}", self.title)));
    }
}

/// A bar; that of one run of several is shorter, so that there is room on a line of 80 characters.
fn new_bar(place: Option<Place>, title: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(BAR_STEPS), ProgressDrawTarget::stderr());
    // When it is dropped it goes away; the tables say the rest.
    let bar = bar.with_finish(ProgressFinish::AndClear);
    let (template, prefix) = match place {
        Some(Place { run, of, .. }) => {
            ("{prefix} [{bar:10}] {percent:>3} % {wide_msg}", format!("{run}/{of} {title}"))
        }
        None => ("{prefix} [{bar:24}] {percent:>3} % {wide_msg}", title.to_owned()),
    };
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.expect("the templates above are of indicatif's grammar").progress_chars("=> "));
    bar.set_prefix(prefix);
    bar
}

/// A position in words, the most important first: a narrow terminal cuts the end off.
fn describe(position: &Position, rate_per_s: f64) -> String {
    let mut text = String::new();
    if let Some(left) = position.left {
        text.push_str(&format!("{} s left, ", left.as_secs_f64().ceil()));
    }
    text.push_str(&format!(
        "{} deliveries, {}/s, {} sent",
        count(position.deliveries),
        count(rate_per_s.round() as u64),
        count(position.sent)
    ));
    if position.gaps > 0 {
        text.push_str(&format!(", {} in gaps", count(position.gaps)));
    }
    text
}

/// Time left of the whole experiment.
fn whole(place: Place, position: &Position) -> String {
    let left_s = (place.left_after + position.left.unwrap_or_default()).as_secs_f64().ceil() as u64;
    match (left_s / 60, left_s % 60) {
        (0, s) => format!("{s} s left"),
        (min, s) => format!("{min} min {s} s left"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_an_experiment() {
        let place = Place { run: 2, of: 9, left_after: Duration::from_secs(100) };
        let position = Position { left: Some(Duration::from_millis(4_500)), ..Position::default() };
        assert_eq!(whole(place, &position), "1 min 45 s left");
        let progress = Progress::start_at(Some(place), "proxy 4 subscribers".into());
        assert_eq!(progress.title, "run 2 of 9: proxy 4 subscribers");
    }

    #[test]
    fn a_position_in_words() {
        let mut position = Position { sent: 20, deliveries: 10_240, ..Position::default() };
        assert_eq!(describe(&position, 5120.4), "10,240 deliveries, 5,120/s, 20 sent");
        position.gaps = 7;
        position.left = Some(Duration::from_millis(2_500));
        assert_eq!(describe(&position, 0.0), "3 s left, 10,240 deliveries, 0/s, 20 sent, 7 in gaps");
    }

    #[test]
    fn the_rate_is_that_of_the_last_span() {
        let mut progress = Progress::start("test".into());
        let start = progress.last.0;
        progress.measure_rate(start + Duration::from_secs(1), 1000);
        assert_eq!(progress.rate_per_s, 1000.0);
        progress.measure_rate(start + Duration::from_millis(1100), 9000);
        assert_eq!(progress.rate_per_s, 1000.0, "too soon for another");
        progress.measure_rate(start + Duration::from_secs(3), 5000);
        assert_eq!(progress.rate_per_s, 2000.0);
    }
}
