//! Owns the colours of reports: each has a role, and is told apart by people who do not see all colours (the palette
//! of Okabe and Ito, made lighter for dark paper). Marks that differ in colour differ in shape or dash too.

use maud::PreEscaped;
use std::fmt::Write as _;

/// The purpose of a colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ink {
    /// Titles and figures.
    Text,
    /// Labels of axes.
    Soft,
    /// Lines behind the data.
    Grid,
    /// The background.
    Paper,
    /// The data: one colour a series, beginning again after the last.
    Series(usize),
}

/// In what colours a picture is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Theme {
    /// In those of the page that it is part of, which follow the reader's choice.
    Page,
    /// In its own, on white.
    Light,
    /// In its own, on black.
    Dark,
}

/// The series that proxy mode always is.
pub(crate) const PROXY: usize = 0;
/// The series that direct mode always is.
pub(crate) const DIRECT: usize = 1;
/// The series that those are that ours are set beside.
pub(crate) const OTHERS: usize = 6;

/// Role, name of the page's variable, colour on light paper, colour on dark paper.
const COLOURS: [(Ink, &str, &str, &str); 11] = [
    (Ink::Text, "text", "#1b1f24", "#e8eaed"),
    (Ink::Soft, "soft", "#57606a", "#a5adb6"),
    (Ink::Grid, "grid", "#dfe3e8", "#343a42"),
    (Ink::Paper, "paper", "#ffffff", "#15181c"),
    (Ink::Series(0), "series-0", "#0072b2", "#5ab4ec"),
    (Ink::Series(1), "series-1", "#d55e00", "#f59142"),
    (Ink::Series(2), "series-2", "#00875f", "#35c795"),
    (Ink::Series(3), "series-3", "#a8508a", "#dd94c4"),
    (Ink::Series(4), "series-4", "#8a6d00", "#e6cf4a"),
    (Ink::Series(5), "series-5", "#3a8fc4", "#9cd4f5"),
    (Ink::Series(6), "series-6", "#78818b", "#8d96a0"),
];

/// Number of series with colours of their own.
const SERIES: usize = 7;

/// The font of text on the page.
const PAGE_FAMILY: &str = "inherit";
/// The fonts of text in files: the first is embedded in this command for PNG.
const FILE_FAMILY: &str = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif";

impl Theme {
    /// The colour as SVG takes it.
    pub(crate) fn paint(self, ink: Ink) -> PreEscaped<String> {
        let ink = match ink {
            Ink::Series(series) => Ink::Series(series % SERIES),
            ink => ink,
        };
        let colour = COLOURS.iter().find(|(role, ..)| *role == ink);
        let (_, name, light, dark) = colour.expect("every role is in the list");
        PreEscaped(match self {
            Theme::Page => format!("var(--{name})"),
            Theme::Light => (*light).to_owned(),
            Theme::Dark => (*dark).to_owned(),
        })
    }

    /// The font of its text.
    pub(crate) fn family(self) -> &'static str {
        match self {
            Theme::Page => PAGE_FAMILY,
            Theme::Light | Theme::Dark => FILE_FAMILY,
        }
    }
}

/// The page's variables: `--text: #…;` and so on, of light or dark paper.
pub(crate) fn variables(dark: bool) -> String {
    COLOURS.iter().fold(String::new(), |mut css, (_, name, on_light, on_dark)| {
        let colour = if dark { on_dark } else { on_light };
        write!(css, "--{name}:{colour};").expect("memory takes all that is written");
        css
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_has_a_colour_and_there_is_one_after_the_last() {
        for series in 0..20 {
            assert!(Theme::Light.paint(Ink::Series(series)).0.starts_with('#'));
        }
        assert_eq!(Theme::Page.paint(Ink::Series(8)).0, "var(--series-1)");
        assert!(variables(true).contains("--paper:#15181c;"));
    }
}
