//! Owns what a report says, before it is HTML or Markdown: chapters of figures, tables and words.

use super::plot::Chart;

/// A whole report.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) title: String,
    /// One for each source, in the order in which they were named.
    pub(crate) chapters: Vec<Chapter>,
}

/// What one source has to say.
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
    /// What takes away from it: unfinished, lost, a debug build.
    pub(crate) warnings: Vec<String>,
    pub(crate) sections: Vec<Section>,
}

/// Part of a chapter.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) blocks: Vec<Block>,
}

/// What sections are made of.
#[derive(Clone, Debug)]
pub(crate) enum Block {
    Words(String),
    Figure(Box<Figure>),
    Table(Table),
    /// What to type in a shell.
    Command(String),
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
    /// How to read it.
    pub(crate) caption: String,
    /// Whose figures these are.
    pub(crate) runs: String,
}

/// Rows of figures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// Empty under a section's title that says it.
    pub(crate) title: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Cell>>,
    pub(crate) caption: String,
    /// Whether this is the table that runs are looked up in: the first cell of each row is a place to go to.
    pub(crate) is_index: bool,
}

/// What a column holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Column {
    pub(crate) heading: String,
    /// Set to the right.
    pub(crate) numbers: bool,
}

/// What stands in a cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Cell {
    Text(String),
    /// Something that nobody may overlook.
    Alarm(String),
    /// A run, by its name in full.
    Run(String),
}

impl Table {
    /// With these columns; a name that begins with `#` is one of numbers.
    pub(crate) fn new(title: &str, columns: &[&str], caption: &str) -> Self {
        let column = |name: &&str| Column {
            heading: name.trim_start_matches('#').to_owned(),
            numbers: name.starts_with('#'),
        };
        Table {
            title: title.to_owned(),
            columns: columns.iter().map(column).collect(),
            caption: caption.to_owned(),
            ..Table::default()
        }
    }

    /// One more row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let row: Vec<Cell> = cells.into_iter().collect();
        debug_assert_eq!(row.len(), self.columns.len(), "{row:?}");
        self.rows.push(row);
    }
}

impl Cell {
    /// Text from anything.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Cell::Text(text.into())
    }
}

/// Lower-case words with hyphens, fit for file names and anchors.
pub(crate) fn slug(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' });
    let plain: String = plain.collect();
    plain.split_whitespace().collect::<Vec<_>>().join("-")
}
