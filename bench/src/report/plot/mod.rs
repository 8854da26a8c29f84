//! Plots as SVG: what a chart shows, separate from how wide it is drawn and in which colours.
//!
//! No library of plots is used. Those that are kept up draw boxes from samples and not from the quartiles of a
//! histogram, have no axis of percentiles that is logarithmic towards 100 %, place marks on whole pixels, and write
//! colours into the file, where ours follow the reader's light or dark scheme. `maud` writes the elements and escapes
//! what stands in them; `resvg` draws the PNG.
//!
//! | file | owns |
//! |---|---|
//! | [`canvas`] | the size of a picture, and of what stands in it |
//! | [`theme`] | colours, by role, and what they are in light and dark |
//! | [`scale`] | from a value to a place on an axis, and where its ticks are |
//! | [`frame`] | axes, grid, titles and legend: all that charts have in common |
//! | [`lines`] | lines with markers, rules, and points that are named |
//! | [`boxes`] | box plots by category |
//! | [`bars`] | bars with their spread |

pub(crate) mod bars;
pub(crate) mod boxes;
pub(crate) mod canvas;
pub(crate) mod frame;
pub(crate) mod lines;
pub(crate) mod scale;
pub(crate) mod theme;

use canvas::{Drawing, Form, Px};
use maud::{Markup, html};
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

impl Chart {
    /// The whole picture as an `svg` element, which names itself to those who cannot see it.
    pub(crate) fn draw(&self, name: &str, form: Form, theme: Theme) -> Markup {
        let Drawing { height, content } = match self {
            Chart::Lines(lines) => lines.draw(form, theme),
            Chart::Boxes(boxes) => boxes.draw(form, theme),
            Chart::Bars(bars) => bars.draw(form, theme),
        };
        let (width, letters) = (Px(form.width), Px(form.letters));
        // In a page the title stands above; a file is passed on alone.
        let title = if theme == Theme::Page { 0.0 } else { form.letters * 2.4 };
        let height = height + title;
        html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (width) " " (Px(height)) } width=(width)
                height=(Px(height)) role="img" aria-label=(name) font-family=(theme.family()) font-size=(letters)
                fill=(theme.paint(Ink::Text)) {
                @if theme != Theme::Page {
                    rect width="100%" height="100%" fill=(theme.paint(Ink::Paper)) {}
                    text x=(Px(4.0)) y=(Px(title * 0.75)) font-weight="bold" font-size=(Px(form.letters * 1.2)) { (name) }
                }
                g transform=[(title > 0.0).then(|| format!("translate(0 {title:.1})"))] { (content) }
            }
        }
    }
}
