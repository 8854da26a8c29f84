//! Owns bars that lie one below the other, each with its figure in words and with the spread of several rounds.

use super::canvas::{Drawing, Form, Px, text_width};
use super::frame::{Axis, Frame, Key, LINE};
use super::scale::Scale;
use super::theme::{Ink, Theme};
use crate::unit::Unit;
use maud::{Markup, html};

/// Bars, one below the other.
#[derive(Clone, Debug)]
pub(crate) struct Bars {
    /// The axis of values.
    pub(crate) axis: Axis,
    /// The meaning of the colours; none if each bar says it.
    pub(crate) keys: Vec<Key>,
    pub(crate) groups: Vec<Group>,
}

/// Bars under one heading.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// Empty if there is only one.
    pub(crate) heading: String,
    pub(crate) bars: Vec<Bar>,
}

/// One bar.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) series: usize,
    pub(crate) value: f64,
    /// The least and the greatest of several rounds.
    pub(crate) spread: Option<(f64, f64)>,
    /// Behind its figure, such as a ratio.
    pub(crate) words: String,
}

/// Height of a bar.
const BAR_HEIGHT: f64 = 18.0;
/// The most of the picture's width that names take where they stand beside the bars.
const NAMES_WIDTH_MAX: f64 = 0.34;
/// Below this width of the picture, names stand above their bars.
const NAMES_BESIDE_FROM: f64 = 600.0;

/// Where the bars of a picture go.
struct Rows {
    frame: Frame,
    /// Set if names stand beside their bars.
    beside: bool,
    row: f64,
    heading: f64,
}

impl Bars {
    /// Bars on a linear axis that holds them all, with their spread.
    pub(crate) fn new((axis, unit): (&str, Unit), keys: Vec<Key>, groups: Vec<Group>) -> Self {
        let bars = groups.iter().flat_map(|group| &group.bars);
        let ends = bars.map(|bar| bar.spread.map_or(bar.value, |(_, high)| high));
        Bars { axis: Axis::new(axis, Scale::linear(ends, unit)), keys, groups }
    }

    pub(crate) fn draw(&self, form: Form, theme: Theme) -> Drawing {
        let letters = form.letters;
        let beside = form.width >= NAMES_BESIDE_FROM;
        let row = if beside { BAR_HEIGHT + 9.0 } else { BAR_HEIGHT + letters * LINE + 7.0 };
        let heading = letters * LINE + 6.0;
        let bars: usize = self.groups.iter().map(|group| group.bars.len()).sum();
        let headings: usize = self.groups.iter().map(|group| wrapped(&group.heading, form).len()).sum();
        let mut frame = Frame::new(form, theme, &self.keys, &self.axis.scale);
        // The title of the figures stands below, with the axis that they are read from.
        frame.top -= letters * LINE * 1.15;
        frame.bottom = frame.top + bars as f64 * row + headings as f64 * heading + 4.0;
        let names = self.groups.iter().flat_map(|group| &group.bars);
        let widest = names.map(|bar| text_width(&bar.name, letters)).fold(0.0, f64::max);
        frame.left = if beside { 4.0 + widest.min(form.width * NAMES_WIDTH_MAX) + 10.0 } else { 4.0 };
        // The figure of the longest bar has its room too.
        let figures = self.groups.iter().flat_map(|group| &group.bars).map(|bar| self.figure(bar));
        let figures = figures.map(|figure| text_width(&figure, letters)).fold(0.0, f64::max);
        frame.right = form.width - 4.0 - if beside { figures + 10.0 } else { letters * 1.5 };
        let rows = Rows { frame, beside, row, heading };
        let content = html! {
            (super::frame::legend_of(&self.keys, form, theme))
            (self.grid(&frame))
            (self.rows(&rows))
            (frame.level(&self.axis.title, &frame.ticks(&self.axis.scale)))
        };
        Drawing { height: frame.bottom + letters * LINE * 2.0 + 8.0, content }
    }

    fn grid(&self, frame: &Frame) -> Markup {
        let grid = frame.theme.paint(Ink::Grid);
        html! {
            @for (x, _) in frame.ticks(&self.axis.scale) {
                line x1=(Px(x)) x2=(Px(x)) y1=(Px(frame.top)) y2=(Px(frame.bottom)) stroke=(grid) {}
            }
        }
    }

    fn rows(&self, rows: &Rows) -> Markup {
        let mut y = rows.frame.top;
        html! {
            @for group in &self.groups {
                @for heading in wrapped(&group.heading, rows.frame.form) {
                    text x="4" y=(Px(y + rows.heading * 0.7)) font-weight="bold" paint-order="stroke"
                        stroke=(rows.frame.theme.paint(Ink::Paper)) stroke-width="4" { (heading) }
                    @let () = y += rows.heading;
                }
                @for bar in &group.bars {
                    (self.bar(bar, y, rows))
                    @let () = y += rows.row;
                }
            }
        }
    }

    fn bar(&self, bar: &Bar, top: f64, rows: &Rows) -> Markup {
        let (frame, letters) = (&rows.frame, rows.frame.form.letters);
        let ink = frame.theme.paint(Ink::Series(bar.series));
        let x = |value: f64| frame.x(self.axis.scale.place(value).unwrap_or(0.0).clamp(0.0, 1.0));
        let bar_top = if rows.beside { top } else { top + letters * LINE };
        let middle = bar_top + BAR_HEIGHT / 2.0;
        let end = bar.spread.map_or(x(bar.value), |(_, high)| x(high).max(x(bar.value)));
        let text_y = middle + letters * 0.35;
        html! {
            @if rows.beside {
                text x=(Px(frame.left - 10.0)) y=(Px(text_y)) text-anchor="end" { (bar.name) }
                text x=(Px(end + 7.0)) y=(Px(text_y)) { (self.figure(bar)) }
            } @else {
                text x="4" y=(Px(top + letters)) {
                    (bar.name) " " tspan font-weight="bold" { (self.figure(bar)) }
                }
            }
            rect x=(Px(frame.left)) y=(Px(bar_top)) width=(Px((x(bar.value) - frame.left).max(1.0)))
                height=(Px(BAR_HEIGHT)) fill=(ink) {
                title { (bar.name) ": " (self.figure(bar)) }
            }
            @if let Some((low, high)) = bar.spread {
                g stroke=(frame.theme.paint(Ink::Text)) stroke-width="1.5" {
                    line x1=(Px(x(low))) x2=(Px(x(high))) y1=(Px(middle)) y2=(Px(middle)) {}
                    @for end in [low, high] {
                        line x1=(Px(x(end))) x2=(Px(x(end))) y1=(Px(middle - 5.0)) y2=(Px(middle + 5.0)) {}
                    }
                }
            }
        }
    }

    /// The bar's figure in words: its value, and what is said behind it.
    fn figure(&self, bar: &Bar) -> String {
        let value = self.axis.scale.text(bar.value);
        if bar.words.is_empty() { value } else { format!("{value}, {}", bar.words) }
    }
}

/// A heading in as many lines as it takes, broken between its parts.
fn wrapped(heading: &str, form: Form) -> Vec<String> {
    /// Bold letters are wider than plain ones.
    const BOLD: f64 = 1.08;
    let fits = |line: &str| text_width(line, form.letters) * BOLD <= form.width - 8.0;
    let mut lines: Vec<String> = Vec::new();
    for part in heading.split(", ").filter(|part| !part.is_empty()) {
        match lines.last_mut() {
            Some(line) if fits(&format!("{line}, {part}")) => *line = format!("{line}, {part}"),
            _ => lines.push(part.to_owned()),
        }
    }
    lines
}
