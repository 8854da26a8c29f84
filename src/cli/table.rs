//! Owns how rows of facts are printed for people: in columns, with a header, safe for a terminal.

use crate::printable::printable;

/// The side on which a column has its edge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A header and rows, as lines. What a cell has that acts on a terminal is escaped; the last column is as wide as it is.
pub(super) fn table<const COLUMNS: usize>(
    header: [(&str, Align); COLUMNS],
    rows: &[[String; COLUMNS]],
) -> String {
    let safe = |row: &[String; COLUMNS]| row.each_ref().map(|cell| printable(cell).to_string());
    let rows: Vec<[String; COLUMNS]> = rows.iter().map(safe).collect();
    let names = header.map(|(name, _)| name.to_owned());
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        let cells = std::iter::once(&names).chain(&rows).map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    });
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().zip(header).zip(widths).map(|((cell, (_, align)), width)| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    std::iter::once(&names).chain(&rows).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_nothing_acts() {
        let header = [("NAME", Align::Left), ("COUNT", Align::Right), ("TOPIC", Align::Left)];
        let row =
            |name: &str, count: &str, topic: &str| [name.to_owned(), count.to_owned(), topic.to_owned()];
        let text = table(header, &[row("a\x1b[2J", "1", "t"), row("b", "123456", "")]);
        assert_eq!(text, "NAME       COUNT  TOPIC\na\\x1b[2J       1  t\nb         123456\n");
        assert_eq!(table(header, &[]), "NAME  COUNT  TOPIC\n");
    }
}
