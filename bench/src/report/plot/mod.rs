//! Plots as SVG: what a chart shows, separate from how wide it is drawn and in which colours.
//!
//! No library of plots is used. Those that are kept up draw boxes from samples and not from the quartiles of a
//! histogram, have no axis of percentiles that is logarithmic towards 100 %, place marks on whole pixels, and write
//! colours into the file, where ours follow the reader's light or dark scheme. `maud` writes the elements and escapes
//! what stands in them; `resvg` draws the PNG.
//!
//! | file | owns |
//! |---|---|
//! | [`theme`] | colours, by role, and what they are in light and dark |
//! | [`scale`] | from a value to a place on an axis, and where its ticks are |
//! | [`frame`] | axes, grid, titles and legend: all that charts have in common |
//! | [`lines`] | lines with markers, rules, and points that are named |
//! | [`boxes`] | box plots by category |
//! | [`bars`] | bars with their spread |

pub(crate) mod bars;
pub(crate) mod boxes;
pub(crate) mod frame;
pub(crate) mod lines;
pub(crate) mod scale;
pub(crate) mod theme;

use maud::{Markup, Render, html};
use theme::{Ink, Theme};

/// A chart.
#[derive(Clone, Debug)]
pub(crate) enum Chart {
    /// Lines over an axis.
    Lines(lines::Lines),
    /// Box plots by category.
    Boxes(boxes::Boxes),
    /// Bars, one below the other.
    Bars(bars::Bars),
}

/// The size of a picture. Each form has letters of its own size, so that neither is a shrunken other.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Form {
    /// Width of the picture, in its own units, which are pixels where it is shown as it is.
    pub(crate) width: f64,
    /// Height of what has no height of its own.
    pub(crate) height: f64,
    /// Size of the letters.
    pub(crate) letters: f64,
}

/// For a page as wide as a desk's screen, and for files.
pub(crate) const WIDE: Form = Form { width: 960.0, height: 440.0, letters: 13.5 };
/// For a page as wide as a telephone's screen.
pub(crate) const NARROW: Form = Form { width: 360.0, height: 340.0, letters: 11.5 };

impl Chart {
    /// The whole picture as an `svg` element, which names itself to those who cannot see it.
    pub(crate) fn draw(&self, name: &str, form: Form, theme: Theme) -> Markup {
        let Drawing { height, content } = match self {
            Chart::Lines(lines) => lines.draw(form, theme),
            Chart::Boxes(boxes) => boxes.draw(form, theme),
            Chart::Bars(bars) => bars.draw(form, theme),
        };
        let (width, letters) = (Px(form.width), Px(form.letters));
        html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (width) " " (Px(height)) } width=(width)
                height=(Px(height)) role="img" aria-label=(name) font-family=(theme.family()) font-size=(letters)
                fill=(theme.paint(Ink::Text)) {
                @if theme != Theme::Page {
                    rect width="100%" height="100%" fill=(theme.paint(Ink::Paper)) {}
                }
                (content)
            }
        }
    }
}

/// The elements of a picture, and how high it has become.
pub(crate) struct Drawing {
    pub(crate) height: f64,
    pub(crate) content: Markup,
}

/// A length in the units of the picture, in at most one decimal: enough for the eye, and the same bytes everywhere.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Px(pub(crate) f64);

impl Render for Px {
    fn render_to(&self, into: &mut String) {
        let text = format!("{:.1}", self.0);
        let text = text.strip_suffix(".0").unwrap_or(&text);
        into.push_str(if text == "-0" { "0" } else { text });
    }
}

/// The width of this text, at most, in letters of such a size: by the widths of DejaVu Sans, which is wider than what
/// browsers take.
pub(crate) fn text_width(text: &str, letters: f64) -> f64 {
    let ems: f64 = text
        .chars()
        .map(|letter| match letter {
            'i' | 'j' | 'l' | '.' | ',' | ':' | ' ' | '\'' | '|' | 'I' | '(' | ')' | 't' | 'f' | 'r' => 0.4,
            'm' | 'w' | 'M' | 'W' | '%' | '@' | '×' | '±' | '→' | '≈' | '≤' => 0.95,
            letter if letter.is_uppercase() => 0.74,
            _ => 0.64,
        })
        .sum();
    ems * letters
}
