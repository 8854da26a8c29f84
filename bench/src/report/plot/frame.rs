//! Owns what charts have in common: the room for the data, grid, ticks, titles of the axes, and the legend above.

use super::canvas::{Form, Px, text_width};
use super::scale::{Scale, Tick};
use super::theme::{Ink, Theme};
use maud::{Markup, html};

/// An axis: what is on it with its unit, and its scale.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) title: String,
    pub(crate) scale: Scale,
}

impl Axis {
    /// With unit and kind of the scale behind the title.
    pub(crate) fn new(title: &str, scale: Scale) -> Self {
        Axis { title: format!("{title}{}", scale.in_words()), scale }
    }
}

/// The dash pattern of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dash {
    Solid,
    Dashed,
}

/// The marker at a point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    Circle,
    Square,
    Triangle,
    Diamond,
}

/// Those that series take, in turn.
pub(crate) const SHAPES: [Shape; 4] = [Shape::Circle, Shape::Square, Shape::Triangle, Shape::Diamond];

/// A series in the legend.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) series: usize,
    pub(crate) look: Look,
}

impl Key {
    /// The key of an area in the colour of this series.
    pub(crate) fn area(name: &str, series: usize) -> Self {
        Key { name: name.to_owned(), series, look: Look::Area }
    }

    /// The key of a line, with this shape at its points.
    pub(crate) fn line(name: impl Into<String>, series: usize, dash: Dash, shape: Option<Shape>) -> Self {
        Key { name: name.into(), series, look: Look::Line(dash, shape) }
    }
}

/// The sample of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    Line(Dash, Option<Shape>),
    Area,
}

/// Where things go in a picture of this form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) form: Form,
    pub(crate) theme: Theme,
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
    legend_rows: usize,
}

/// A line of text takes so many times its letters.
pub(crate) const LINE: f64 = 1.55;
/// Free at the edges of the picture.
const EDGE: f64 = 4.0;
/// A sample in the legend.
const SAMPLE: f64 = 26.0;
/// Between the entries of the legend.
const BETWEEN: f64 = 18.0;

impl Frame {
    /// Room for `keys` above, and for the labels of `y` at the left.
    pub(crate) fn new(form: Form, theme: Theme, keys: &[Key], y: &Scale) -> Self {
        let line = form.letters * LINE;
        let widest = y.ticks.iter().map(|tick| text_width(&tick.label, form.letters)).fold(0.0, f64::max);
        let legend_rows = places(keys, form).last().map_or(0, |(_, row)| row + 1);
        Frame {
            form,
            theme,
            left: EDGE + widest + 8.0,
            right: form.width - EDGE - form.letters,
            // The legend, the title of the upright axis, and half a label.
            top: EDGE + line * (legend_rows as f64 + 1.15) + form.letters * 0.7,
            bottom: form.height - EDGE - line * 2.0 - 4.0,
            legend_rows,
        }
    }

    /// The coordinate of a place on the level axis.
    pub(crate) fn x(&self, place: f64) -> f64 {
        self.left + place * (self.right - self.left)
    }

    /// The coordinate of a place on the upright axis.
    pub(crate) fn y(&self, place: f64) -> f64 {
        self.bottom - place * (self.bottom - self.top)
    }

    /// The legend, both titles, and the upright axis with its lines.
    pub(crate) fn upright(&self, keys: &[Key], title: &str, scale: &Scale) -> Markup {
        let (soft, grid) = (self.theme.paint(Ink::Soft), self.theme.paint(Ink::Grid));
        let title_at = EDGE + self.form.letters * LINE * (self.legend_rows as f64 + 0.85);
        html! {
            (legend_of(keys, self.form, self.theme))
            text x=(Px(EDGE)) y=(Px(title_at)) fill=(soft) { (title) }
            @for tick in &scale.ticks {
                @if let Some(y) = scale.place(tick.at).map(|place| self.y(place)) {
                    line x1=(Px(self.left)) x2=(Px(self.right)) y1=(Px(y)) y2=(Px(y)) stroke=(grid)
                        stroke-width=(if tick.label.is_empty() { "0.5" } else { "1" }) {}
                    @if !tick.label.is_empty() {
                        text x=(Px(self.left - 8.0)) y=(Px(y + self.form.letters * 0.35)) text-anchor="end"
                            fill=(soft) { (tick.label) }
                    }
                }
            }
        }
    }

    /// The level axis: its line, and the labels that do not touch each other.
    pub(crate) fn level(&self, title: &str, labels: &[(f64, String)]) -> Markup {
        let (soft, letters) = (self.theme.paint(Ink::Soft), self.form.letters);
        let baseline = self.bottom + letters * 1.3;
        html! {
            line x1=(Px(self.left)) x2=(Px(self.right)) y1=(Px(self.bottom)) y2=(Px(self.bottom))
                stroke=(soft) stroke-width="1" {}
            @for (x, label) in labels {
                line x1=(Px(*x)) x2=(Px(*x)) y1=(Px(self.bottom)) y2=(Px(self.bottom + 4.0)) stroke=(soft) {}
                @if !label.is_empty() {
                    text x=(Px(*x)) y=(Px(baseline)) text-anchor="middle" fill=(soft) { (label) }
                }
            }
            text x=(Px(self.right)) y=(Px(baseline + letters * LINE)) text-anchor="end" fill=(soft) { (title) }
        }
    }

    /// Where the ticks of a level axis are, with the labels that have room: from the last one down, since that is
    /// what a plot is mostly about.
    pub(crate) fn ticks(&self, scale: &Scale) -> Vec<(f64, String)> {
        let place = |tick: &Tick| Some((self.x(scale.place(tick.at)?), tick.label.clone()));
        self.thinned(scale.ticks.iter().filter_map(place).collect())
    }

    /// Those labels dropped that would touch another.
    pub(crate) fn thinned(&self, mut labels: Vec<(f64, String)>) -> Vec<(f64, String)> {
        let mut free = f64::INFINITY;
        for (x, label) in labels.iter_mut().rev().filter(|(_, label)| !label.is_empty()) {
            let half = text_width(label, self.form.letters) / 2.0;
            if *x + half + 3.0 > free {
                label.clear();
            } else {
                free = *x - half;
            }
        }
        labels
    }
}

/// Where each entry of the legend begins, and in which row.
fn places(keys: &[Key], form: Form) -> Vec<(f64, usize)> {
    let (mut x, mut row) = (EDGE, 0);
    let place = |key: &Key| {
        let width = SAMPLE + 6.0 + text_width(&key.name, form.letters);
        if x > EDGE && x + width > form.width - EDGE {
            (x, row) = (EDGE, row + 1);
        }
        let here = (x, row);
        x += width + BETWEEN;
        here
    };
    keys.iter().map(place).collect()
}

/// The entries, each where it has room.
pub(crate) fn legend_of(keys: &[Key], form: Form, theme: Theme) -> Markup {
    let line = form.letters * LINE;
    html! {
        @for (key, (x, row)) in keys.iter().zip(places(keys, form)) {
            @let middle = EDGE + line * (row as f64 + 0.45);
            (sample(key, x, middle, theme))
            text x=(Px(x + SAMPLE + 6.0)) y=(Px(middle + form.letters * 0.35)) { (key.name) }
        }
    }
}

fn sample(key: &Key, x: f64, y: f64, theme: Theme) -> Markup {
    let ink = theme.paint(Ink::Series(key.series));
    html! {
        @match key.look {
            Look::Line(dash, shape) => {
                line x1=(Px(x)) x2=(Px(x + SAMPLE)) y1=(Px(y)) y2=(Px(y)) stroke=(ink) stroke-width="2"
                    stroke-dasharray=[dashes(dash)] {}
                @if let Some(shape) = shape {
                    (mark(shape, x + SAMPLE / 2.0, y, 4.0, key.series, theme, ""))
                }
            }
            Look::Area => {
                rect x=(Px(x + 5.0)) y=(Px(y - 6.0)) width="16" height="12" rx="2" fill=(ink)
                    fill-opacity="0.28" stroke=(ink) stroke-width="1.5" {}
            }
        }
    }
}

/// The dash pattern in SVG.
pub(crate) fn dashes(dash: Dash) -> Option<&'static str> {
    match dash {
        Dash::Solid => None,
        Dash::Dashed => Some("7 4"),
    }
}

/// A point, with words for who points at it.
pub(crate) fn mark(
    shape: Shape,
    x: f64,
    y: f64,
    size: f64,
    series: usize,
    theme: Theme,
    words: &str,
) -> Markup {
    let (fill, edge) = (theme.paint(Ink::Series(series)), theme.paint(Ink::Paper));
    let corners: &[(f64, f64)] = match shape {
        Shape::Circle => &[],
        Shape::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        Shape::Triangle => &[(0.0, -1.15), (1.1, 0.85), (-1.1, 0.85)],
        Shape::Diamond => &[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)],
    };
    let title = html! { @if !words.is_empty() { title { (words) } } };
    html! {
        @if corners.is_empty() {
            circle cx=(Px(x)) cy=(Px(y)) r=(Px(size)) fill=(fill) stroke=(edge) { (title) }
        } @else {
            polygon fill=(fill) stroke=(edge)
                points=(path_points(corners.iter().map(|(right, down)| (x + right * size, y + down * size)))) {
                (title)
            }
        }
    }
}

/// Points as `points` and paths take them: `1,2 3.5,4`.
pub(crate) fn path_points(points: impl Iterator<Item = (f64, f64)>) -> String {
    let point = |(x, y)| html! { (Px(x)) "," (Px(y)) }.into_string();
    points.map(point).collect::<Vec<_>>().join(" ")
}
