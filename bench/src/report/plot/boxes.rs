//! Owns box plots: for each category one box a series, side by side.

use super::canvas::{Drawing, Form, Px};
use super::frame::{Axis, Frame, Key};
use super::theme::{Ink, Theme};
use maud::{Markup, html};

/// Box plots by category.
#[derive(Clone, Debug)]
pub(crate) struct Boxes {
    /// The title of the categories.
    pub(crate) title: String,
    /// In order, from the left.
    pub(crate) categories: Vec<String>,
    pub(crate) y: Axis,
    pub(crate) series: Vec<BoxSeries>,
}

/// The boxes of one series.
#[derive(Clone, Debug)]
pub(crate) struct BoxSeries {
    pub(crate) key: Key,
    /// One for each category, or none where nothing was measured.
    pub(crate) boxes: Vec<Option<BoxFigures>>,
}

/// The figures of a box. `low` and `high` are the ends of its whiskers, `far` is a point beyond.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct BoxFigures {
    pub(crate) low: f64,
    pub(crate) q1: f64,
    pub(crate) median: f64,
    pub(crate) q3: f64,
    pub(crate) high: f64,
    pub(crate) far: f64,
}

/// The part of a category's room that its boxes take.
const FILLED: f64 = 0.72;
/// The widest that a box becomes.
const BOX_WIDTH_MAX: f64 = 34.0;

impl Boxes {
    pub(crate) fn draw(&self, form: Form, theme: Theme) -> Drawing {
        let keys: Vec<Key> = self.series.iter().map(|series| series.key.clone()).collect();
        let frame = Frame::new(form, theme, &keys, &self.y.scale);
        let room = (frame.right - frame.left) / self.categories.len().max(1) as f64;
        let middle = |category: usize| frame.left + room * (category as f64 + 0.5);
        let labels = self.categories.iter().enumerate();
        let labels = frame.thinned(labels.map(|(at, name)| (middle(at), name.clone())).collect());
        let width = (room * FILLED / self.series.len().max(1) as f64).min(BOX_WIDTH_MAX);
        let content = html! {
            (frame.upright(&keys, &self.y.title, &self.y.scale))
            (frame.level(&self.title, &labels))
            @for (number, series) in self.series.iter().enumerate() {
                @let aside = (number as f64 - (self.series.len() as f64 - 1.0) / 2.0) * width;
                @for (category, figures) in series.boxes.iter().enumerate() {
                    @if let Some(figures) = figures {
                        @let words = format!("{}, {}", series.key.name, self.categories[category]);
                        (self.one(figures, middle(category) + aside, width * 0.82, series.key.series, &words, &frame))
                    }
                }
            }
        };
        Drawing { height: form.height, content }
    }

    fn one(&self, of: &BoxFigures, x: f64, width: f64, series: usize, words: &str, frame: &Frame) -> Markup {
        let ink = frame.theme.paint(Ink::Series(series));
        let y = |value: f64| frame.y(self.y.scale.place(value).unwrap_or(0.0).clamp(0.0, 1.0));
        let (left, right, cap) = (x - width / 2.0, x + width / 2.0, width * 0.3);
        let text = |value: f64| self.y.scale.text(value);
        html! {
            g stroke=(ink) stroke-width="1.5" {
                title {
                    (words) ": Q1 " (text(of.q1)) ", median " (text(of.median)) ", Q3 " (text(of.q3))
                    ", whiskers " (text(of.low)) " to " (text(of.high)) ", greatest " (text(of.far))
                }
                @for (end, from) in [(of.high, of.q3), (of.low, of.q1)] {
                    line x1=(Px(x)) x2=(Px(x)) y1=(Px(y(end))) y2=(Px(y(from))) {}
                    line x1=(Px(x - cap)) x2=(Px(x + cap)) y1=(Px(y(end))) y2=(Px(y(end))) {}
                }
                rect x=(Px(left)) y=(Px(y(of.q3))) width=(Px(width)) height=(Px((y(of.q1) - y(of.q3)).max(1.0)))
                    fill=(ink) fill-opacity="0.28" {}
                line x1=(Px(left)) x2=(Px(right)) y1=(Px(y(of.median))) y2=(Px(y(of.median))) stroke-width="3" {}
                circle cx=(Px(x)) cy=(Px(y(of.far))) r="2" fill=(ink) stroke="none" {}
            }
        }
    }
}
