//! Places in a text.

use std::fmt;

/// A place in a text: line and column, counted from 1. A column is a character.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct TextPlace {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl TextPlace {
    /// The place of the byte at `at`; the end of the text, if that lies beyond it.
    pub(super) fn of(text: &str, at: usize) -> Self {
        let mut end = at.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        TextPlace {
            line: 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
            column: 1 + before[line_start..].chars().count(),
        }
    }
}

/// `12:3`.
impl fmt::Display for TextPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_are_counted_from_1() {
        let text = "ab\nä=1\n";
        for (at, place) in
            [(0, "1:1"), (2, "1:3"), (3, "2:1"), (4, "2:1"), (5, "2:2"), (8, "3:1"), (99, "3:1")]
        {
            assert_eq!(TextPlace::of(text, at).to_string(), place, "{at}");
        }
    }
}
