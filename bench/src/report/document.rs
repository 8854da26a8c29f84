//! Owns what a report says, before it is HTML or Markdown: chapters of figures, tables and words.

use super::plot::Chart;
use super::table::Table;

/// A whole report.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) title: String,
    /// The sentence above all: the first one beside a rival, or else the first answer.
    pub(crate) headline: String,
    /// One for each source, in the order in which they were named.
    pub(crate) chapters: Vec<Chapter>,
}

/// The title of the section whose plots everybody sees.
pub(crate) const RESULTS: &str = "Results";

/// The report of one source.
#[derive(Clone, Debug)]
pub(crate) struct Chapter {
    /// Unique in the report, fit for file names and anchors.
    pub(crate) slug: String,
    pub(crate) title: String,
    /// When, how many runs, which build.
    pub(crate) facts: Vec<String>,
    pub(crate) question: String,
    /// The answer, computed from the figures.
    pub(crate) answer: Vec<String>,
    /// Reasons to trust the answer less: unfinished, lost, a debug build.
    pub(crate) warnings: Vec<String>,
    pub(crate) sections: Vec<Section>,
}

/// Part of a chapter.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) blocks: Vec<Block>,
}

/// The parts of a section.
#[derive(Clone, Debug)]
pub(crate) enum Block {
    Words(String),
    Figure(Box<Figure>),
    Table(Table),
    /// Text to type in a shell.
    Command(String),
}

impl Section {
    /// A section of these blocks.
    pub(crate) fn new(title: &str, blocks: Vec<Block>) -> Self {
        Section { title: title.to_owned(), blocks }
    }
}

impl Block {
    /// A plot.
    pub(crate) fn figure(figure: Figure) -> Self {
        Block::Figure(Box::new(figure))
    }
}

/// A plot with what there is to say about it.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// Unique in its chapter, fit for file names and anchors.
    pub(crate) slug: String,
    pub(crate) title: String,
    pub(crate) chart: Chart,
    /// Explanation of the plot.
    pub(crate) caption: String,
    /// Whose figures these are.
    pub(crate) runs: String,
}

/// Lower-case words with hyphens, fit for file names and anchors.
pub(crate) fn slug(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' });
    let plain: String = plain.collect();
    plain.split_whitespace().collect::<Vec<_>>().join("-")
}

/// The same words with a capital at their beginning.
pub(crate) fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}
