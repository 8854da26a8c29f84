//! Owns charts of lines: series over counts or percentiles, rules across, and points that are named.

use super::canvas::{Drawing, Form, Px, text_width};
use super::frame::{Axis, Frame, Key, Look, dashes, mark, path_points};
use super::scale::Scale;
use super::theme::{Ink, Theme};
use crate::unit::Unit;
use maud::{Markup, html};

/// Lines over an axis.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
    /// Across the whole, with words: where something changes.
    pub(crate) rules: Vec<Rule>,
    /// Points with words beside them.
    pub(crate) named: Vec<Named>,
}

/// A series: its key is that of a line, with a shape where there are few points.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Line {
    pub(crate) key: Key,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A level that matters.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Rule {
    pub(crate) at: f64,
    pub(crate) words: String,
}

/// A point that matters.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Named {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) series: usize,
    pub(crate) words: String,
}

impl Lines {
    /// Lines over `x`, on a logarithmic axis that holds them all.
    pub(crate) fn new(x: Axis, (y, unit): (&str, Unit), lines: Vec<Line>) -> Self {
        let values = lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value);
        let y = Axis::new(y, Scale::log(values, unit));
        Lines { x, y, lines, rules: Vec::new(), named: Vec::new() }
    }

    pub(crate) fn draw(&self, form: Form, theme: Theme) -> Drawing {
        let keys: Vec<Key> = self.lines.iter().map(|line| line.key.clone()).collect();
        let frame = Frame::new(form, theme, &keys, &self.y.scale);
        let content = html! {
            (frame.upright(&keys, &self.y.title, &self.y.scale))
            (frame.level(&self.x.title, &frame.ticks(&self.x.scale)))
            @for rule in &self.rules { (self.rule(rule, &frame)) }
            @for line in &self.lines { (self.line(line, &frame)) }
            (self.names(&frame))
        };
        Drawing { height: form.height, content }
    }

    fn at(&self, frame: &Frame, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        Some((frame.x(self.x.scale.place(x)?), frame.y(self.y.scale.place(y)?)))
    }

    fn line(&self, line: &Line, frame: &Frame) -> Markup {
        let Key { series, look: Look::Line(dash, shape), .. } = line.key else { return html! {} };
        let ink = frame.theme.paint(Ink::Series(series));
        let placed: Vec<(f64, f64)> = line.points.iter().filter_map(|point| self.at(frame, *point)).collect();
        html! {
            polyline points=(path_points(placed.iter().copied())) fill="none" stroke=(ink) stroke-width="2"
                stroke-linejoin="round" stroke-dasharray=[dashes(dash)] {}
            @if let Some(shape) = shape {
                @for point in &line.points {
                    @if let Some((x, y)) = self.at(frame, *point) {
                        (mark(shape, x, y, 4.0, series, frame.theme, &self.words(line, *point)))
                    }
                }
            }
        }
    }

    fn words(&self, line: &Line, (x, y): (f64, f64)) -> String {
        format!("{}, {}: {}", line.key.name, self.x.scale.text(x), self.y.scale.text(y))
    }

    fn rule(&self, rule: &Rule, frame: &Frame) -> Markup {
        let ink = frame.theme.paint(Ink::Soft);
        html! {
            @if let Some(y) = self.y.scale.place(rule.at).map(|place| frame.y(place)) {
                line x1=(Px(frame.left)) x2=(Px(frame.right)) y1=(Px(y)) y2=(Px(y)) stroke=(ink)
                    stroke-width="1.5" {}
                text x=(Px(frame.left + 6.0)) y=(Px(y + RULE_WORDS * frame.form.letters)) fill=(ink)
                    paint-order="stroke" stroke=(frame.theme.paint(Ink::Paper)) stroke-width="3" { (rule.words) }
            }
        }
    }

    /// The named points: a ring each, and its words where nothing else's words are.
    fn names(&self, frame: &Frame) -> Markup {
        let mut taken: Vec<(f64, f64, f64)> = Vec::new();
        let letters = frame.form.letters;
        html! {
            @for named in &self.named {
                @if let Some((x, y)) = self.at(frame, (named.x, named.y)) {
                    @let (left, baseline) = free_place(&taken, (x, y), &named.words, frame);
                    @let () = taken.push((left, left + text_width(&named.words, letters), baseline));
                    circle cx=(Px(x)) cy=(Px(y)) r="7" fill="none" stroke-width="2"
                        stroke=(frame.theme.paint(Ink::Series(named.series))) {}
                    text x=(Px(left)) y=(Px(baseline)) font-weight="bold" paint-order="stroke"
                        stroke=(frame.theme.paint(Ink::Paper)) stroke-width="3"
                        fill=(frame.theme.paint(Ink::Series(named.series))) { (named.words) }
                }
            }
        }
    }
}

/// Words of a rule stand so many letters below it; those of points stand above.
const RULE_WORDS: f64 = 1.3;

/// Where words of a point go: above it to the right, or further up, row by row, until they cover no others.
fn free_place(taken: &[(f64, f64, f64)], (x, y): (f64, f64), words: &str, frame: &Frame) -> (f64, f64) {
    let (width, letters) = (text_width(words, frame.form.letters) * 1.1, frame.form.letters);
    let left = (x + 9.0).min(frame.right - width);
    let covers = |baseline: f64| {
        let beside = |(from, to, at): &(f64, f64, f64)| {
            *from < left + width && left < *to && (at - baseline).abs() < letters * 1.1
        };
        taken.iter().any(beside)
    };
    let rows = (0..20).map(|row| y - 10.0 - f64::from(row) * letters * 1.2);
    let free = rows.take_while(|baseline| *baseline > frame.top).find(|baseline| !covers(*baseline));
    (left, free.unwrap_or(y + letters * 1.8))
}
