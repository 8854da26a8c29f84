//! Owns a table: rows of figures under headings, and how it looks on a terminal. Reports write the same tables as HTML
//! and Markdown.

use crate::record::RunRecord;

/// Width of a terminal that shows every table unbroken.
const TERMINAL_COLUMNS: usize = 80;
/// Stands between two columns.
const BETWEEN: &str = "  ";

/// Rows of figures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// Empty under a section's title that says it.
    pub(crate) title: String,
    pub(crate) headings: Vec<Heading>,
    pub(crate) rows: Vec<Vec<Cell>>,
    pub(crate) caption: String,
    /// Set on the table in which runs are looked up: the first cell of each row is a place to go to.
    pub(crate) is_index: bool,
}

/// A heading, and how the cells below it are set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Heading {
    pub(crate) text: String,
    /// Set to the right.
    pub(crate) numbers: bool,
}

/// The content of one row in one column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Cell {
    Text(String),
    /// Something that nobody may overlook.
    Alarm(String),
    /// A run, by its name in full.
    Run(String),
}

/// A column of things of one kind: its heading, which begins with `#` above numbers, and the cell of a thing.
pub(crate) type Column<'a, T> = (&'a str, &'a dyn Fn(&T) -> Cell);

impl Table {
    /// An empty table with these columns; a name that begins with `#` is one of numbers.
    pub(crate) fn new<T: AsRef<str>>(
        title: &str,
        columns: impl IntoIterator<Item = T>,
        caption: &str,
    ) -> Self {
        let heading = |name: T| Heading {
            text: name.as_ref().trim_start_matches('#').to_owned(),
            numbers: name.as_ref().starts_with('#'),
        };
        Table {
            title: title.to_owned(),
            headings: columns.into_iter().map(heading).collect(),
            caption: caption.to_owned(),
            ..Table::default()
        }
    }

    /// The table of these rows, with a cell of each in each column.
    pub(crate) fn of<'r, T: 'r>(
        title: &str,
        caption: &str,
        rows: impl IntoIterator<Item = &'r T>,
        columns: &[Column<'_, T>],
    ) -> Self {
        let mut table = Table::new(title, columns.iter().map(|(heading, _)| *heading), caption);
        for row in rows {
            table.row(columns.iter().map(|(_, cell)| cell(row)));
        }
        table
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let row: Vec<Cell> = cells.into_iter().collect();
        assert_eq!(row.len(), self.headings.len(), "{row:?}");
        self.rows.push(row);
    }

    /// The table for a terminal. One that is too wide comes in parts, which all begin with the first `keys` columns.
    pub(crate) fn text(&self, keys: usize) -> String {
        let widths: Vec<usize> = (0..self.headings.len()).map(|column| self.width(column)).collect();
        let keys = if keys < widths.len() { keys } else { 0 };
        let (keys, rest): (Vec<usize>, Vec<usize>) = (0..widths.len()).partition(|column| *column < keys);
        let in_parts = |parts: usize| {
            let columns = rest.chunks(rest.len().div_ceil(parts));
            columns.map(|part| [&keys[..], part].concat()).collect::<Vec<_>>()
        };
        let fits = |columns: &Vec<usize>| {
            let blanks = BETWEEN.len() * (columns.len() - 1);
            columns.iter().map(|column| widths[*column]).sum::<usize>() + blanks <= TERMINAL_COLUMNS
        };
        let parts = (1..rest.len()).map(in_parts).find(|parts| parts.iter().all(fits));
        let parts = parts.unwrap_or_else(|| in_parts(rest.len()));
        parts.iter().map(|columns| self.part(columns, &widths)).collect::<Vec<_>>().join("\n")
    }

    /// The lines of some columns, between rules.
    fn part(&self, columns: &[usize], widths: &[usize]) -> String {
        let line = |cells: &[&str]| {
            let cells = columns.iter().map(|column| {
                let (text, width) = (cells[*column], widths[*column]);
                if self.headings[*column].numbers {
                    format!("{text:>width$}")
                } else {
                    format!("{text:width$}")
                }
            });
            format!("{}\n", cells.collect::<Vec<_>>().join(BETWEEN).trim_end())
        };
        let width = columns.iter().map(|column| widths[*column]).sum::<usize>();
        let rule = format!("{}\n", "─".repeat(width + BETWEEN.len() * (columns.len() - 1)));
        let header = line(&self.headings.iter().map(|heading| &heading.text[..]).collect::<Vec<_>>());
        let rows = self.rows.iter().map(|row| line(&row.iter().map(Cell::as_str).collect::<Vec<_>>()));
        format!("{rule}{header}{rule}{}{rule}", rows.collect::<String>())
    }

    fn width(&self, column: usize) -> usize {
        let heading = self.headings[column].text.chars().count();
        self.rows.iter().map(|row| row[column].as_str().chars().count()).fold(heading, usize::max)
    }
}

impl Cell {
    /// Text from anything.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Cell::Text(text.into())
    }

    /// The name of a run's fan-out; it raises the alarm if the run was not finished.
    pub(crate) fn of_run(name: String, run: &RunRecord) -> Self {
        match run.incomplete {
            Some(_) => Cell::Alarm(format!("{name}, incomplete")),
            None => Cell::Text(name),
        }
    }

    /// The text of a figure, or a dash where there is none.
    pub(crate) fn known(figure: Option<impl Into<String>>) -> Self {
        figure.map_or_else(|| Cell::text("–"), Cell::text)
    }

    /// Its words, whatever they are.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Cell::Text(text) | Cell::Alarm(text) | Cell::Run(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: usize, cell: &str) -> Table {
        let names: Vec<String> = (0..columns).map(|column| format!("#column {column}")).collect();
        let mut table = Table::new("", &names, "");
        table.headings[0].numbers = false;
        table.row((0..columns).map(|_| Cell::text(cell)));
        table
    }

    #[test]
    fn a_narrow_table_is_whole() {
        let lines = ["─".repeat(18), "column 0  column 1".into(), "4.00 ms    4.00 ms".into()];
        let [rule, header, row] = &lines;
        assert_eq!(table(2, "4.00 ms").text(1), format!("{rule}\n{header}\n{rule}\n{row}\n{rule}\n"));
    }

    #[test]
    fn a_wide_table_comes_in_even_parts_that_begin_with_its_keys() {
        let text = table(10, "4.00 ms").text(1);
        let headers: Vec<&str> = text.lines().filter(|line| line.contains("column")).collect();
        let [first, second] = headers[..] else { panic!("{text}") };
        assert!(first.starts_with("column 0  column 1") && first.ends_with("column 5"), "{text}");
        assert!(second.starts_with("column 0  column 6") && second.ends_with("column 9"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= TERMINAL_COLUMNS), "{text}");
    }

    #[test]
    fn columns_that_fit_nowhere_stand_alone() {
        let text = table(3, &"x".repeat(70)).text(1);
        assert_eq!(text.lines().filter(|line| line.starts_with('─')).count(), 6, "{text}");
        assert!(table(1, &"x".repeat(100)).text(1).contains(&"x".repeat(100)));
    }
}
