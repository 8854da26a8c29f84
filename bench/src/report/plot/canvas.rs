//! Owns the measures of a picture: the forms that it is drawn in, lengths, and the width of words.

use maud::{Markup, Render};

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
