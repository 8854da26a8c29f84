//! Owns the looks of series that mean the same in every plot: a mode has its colour and its shape.

use super::super::plot::frame::{Dash, Key, SHAPES, Shape};
use super::super::plot::theme::{DIRECT, PROXY};

/// Colour and shape of a mode.
pub(crate) fn of_mode(mode: &str) -> (usize, Shape) {
    if mode == "direct" { (DIRECT, Shape::Square) } else { (PROXY, Shape::Circle) }
}

/// The dash of a mode where colours mean something else.
pub(crate) fn dash_of_mode(mode: &str) -> Dash {
    if mode == "direct" { Dash::Dashed } else { Dash::Solid }
}

/// The key of a line of this mode: `proxy, last`.
pub(crate) fn mode_key(mode: &str, what: &str, dash: Dash) -> Key {
    let (series, shape) = of_mode(mode);
    Key::line(format!("{mode}, {what}"), series, dash, Some(shape))
}

/// The shape of the series of this number, where shapes mean no mode.
pub(crate) fn shape_of(number: usize) -> Shape {
    SHAPES[number % SHAPES.len()]
}
