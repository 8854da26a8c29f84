//! The places of the figures on a screen of any size: a line of sums, then shards, the slowest sessions and topics, each with as
//! many columns and rows as have room. What is cut off is said.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Table};

use super::super::table::Align;
use super::live::{Column, Live, SESSIONS, SHARDS, TOPICS};

/// The gap between two columns.
const GAP: u16 = 2;

/// Draws the figures, and a word on what is wrong.
pub(super) fn draw(frame: &mut Frame<'_>, live: &Live, trouble: Option<&str>, has_colours: bool) {
    let area = frame.area();
    let colours = Colours { are_wanted: has_colours };
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let (text, style) = match trouble {
        Some(trouble) => (trouble.to_owned(), colours.bad()),
        None if live.has_drops => (live.summary(area.width.into()), colours.bad()),
        None => (live.summary(area.width.into()), Style::default()),
    };
    frame.render_widget(Paragraph::new(Line::styled(text, style)), head);
    let [shards, sessions, topics] = heights(body.height, live);
    let areas: [Rect; 3] = Layout::vertical([shards, sessions, topics].map(Constraint::Length)).areas(body);
    list(frame, areas[0], ("SHARDS", &SHARDS, &live.shards), &colours);
    list(frame, areas[1], ("SLOWEST SESSIONS", &SESSIONS, &live.sessions), &colours);
    list(frame, areas[2], ("TOPICS", &TOPICS, &live.topics), &colours);
}

/// The heights of the three lists: shards have what they need up to a third, the sessions half of the rest.
fn heights(height: u16, live: &Live) -> [u16; 3] {
    let wanted = |rows: usize| u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(2);
    let shards = wanted(live.shards.len()).min((height / 3).max(3)).min(height);
    let rest = height - shards;
    let sessions =
        wanted(live.sessions.len()).min(rest.div_ceil(2).max(rest.saturating_sub(wanted(live.topics.len()))));
    [shards, sessions, rest - sessions]
}

/// One list: a header, and as many rows as have room.
fn list<const COLUMNS: usize>(
    frame: &mut Frame<'_>,
    area: Rect,
    (name, columns, rows): (&str, &[Column; COLUMNS], &[[String; COLUMNS]]),
    colours: &Colours,
) {
    // One row of a list is worth more than its header alone.
    if area.height < 2 {
        return;
    }
    let shown = usize::from(area.height - 2).min(rows.len());
    let title =
        if shown < rows.len() { format!("{name}: {shown} of {}", rows.len()) } else { name.to_owned() };
    let [above, table] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    frame.render_widget(Paragraph::new(Span::styled(title, colours.faint())), above);
    let fitting = fitting(columns, area.width);
    let widths = widths(columns, &fitting, area.width);
    let cells = |texts: [&str; COLUMNS]| {
        let cell = |(at, width): (&usize, &u16)| {
            let alignment =
                if columns[*at].align == Align::Right { Alignment::Right } else { Alignment::Left };
            Line::from(cut(texts[*at], *width)).alignment(alignment)
        };
        Row::new(fitting.iter().zip(&widths).map(cell).collect::<Vec<_>>())
    };
    let header = cells(columns.each_ref().map(|column| column.title)).style(colours.header());
    let lines: Vec<Row<'_>> =
        rows.iter().take(shown).map(|row| cells(row.each_ref().map(String::as_str))).collect();
    frame.render_widget(Table::new(lines, widths).header(header).column_spacing(GAP), table);
}

/// A text that has room in so many columns: one that is cut off ends in `…`.
fn cut(text: &str, width: u16) -> String {
    let room = usize::from(width);
    if Span::raw(text).width() <= room {
        return text.to_owned();
    }
    // A few characters at most are wide ones, and leave again.
    let mut cut: String = text.chars().take(room).collect();
    while Span::raw(cut.as_str()).width() >= room.max(1) {
        cut.pop();
    }
    cut.push('…');
    cut
}

/// The columns that a list of this width has room for: those of the highest rank go first.
fn fitting(columns: &[Column], width: u16) -> Vec<usize> {
    let mut fitting: Vec<usize> = (0..columns.len()).collect();
    loop {
        let cells: u16 = fitting.iter().map(|at| columns[*at].least).sum();
        if cells + gaps(fitting.len()) <= width {
            return fitting;
        }
        let dispensable = fitting.iter().enumerate().filter(|(_, at)| columns[**at].rank > 0);
        let Some((place, _)) = dispensable.max_by_key(|(_, at)| columns[**at].rank) else { return fitting };
        fitting.remove(place);
    }
}

/// The blanks between so many columns.
fn gaps(columns: usize) -> u16 {
    GAP * u16::try_from(columns.saturating_sub(1)).unwrap_or(0)
}

/// The width of each of these columns: the least, and what is left over goes to the first words.
fn widths(columns: &[Column], fitting: &[usize], width: u16) -> Vec<u16> {
    let least: u16 = fitting.iter().map(|at| columns[*at].least).sum();
    let mut left = width.saturating_sub(least + gaps(fitting.len()));
    let of_column = |at: &usize| {
        let more = left.min(columns[*at].width - columns[*at].least);
        left -= more;
        columns[*at].least + more
    };
    fitting.iter().map(of_column).collect()
}

/// Styles, without colours where nobody wants them.
struct Colours {
    are_wanted: bool,
}

impl Colours {
    fn bad(&self) -> Style {
        if self.are_wanted { Style::new().fg(Color::Red) } else { Style::new().add_modifier(Modifier::BOLD) }
    }

    fn faint(&self) -> Style {
        if self.are_wanted { Style::new().fg(Color::Cyan) } else { Style::new() }
    }

    fn header(&self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::live::tests::live;
    use super::*;

    /// The screen of this size, line by line.
    fn drawn(columns: u16, lines: u16, live: &Live, trouble: Option<&str>) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(columns, lines)).expect("memory");
        terminal.draw(|frame| draw(frame, live, trouble, false)).expect("it is in memory");
        let buffer = terminal.backend().buffer();
        let line =
            |y| (0..columns).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..lines).map(line).collect()
    }

    #[test]
    fn a_usual_terminal_has_all_lists() {
        let screen = drawn(80, 24, &live(4), None);
        let text = screen.join("\n");
        assert!(screen[0].starts_with("corecast 0.1.0: 4 k in/s, 49 k out/s"), "{text}");
        for part in [
            "SHARDS",
            "SLOWEST SESSIONS",
            "TOPICS",
            "session 0\\x1…",
            "192.0.2.1:4711",
            "prices.0",
            "25 %",
            "12 k",
            "1.5 s",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains(" of "), "all has room:\n{text}");
    }

    #[test]
    fn a_large_terminal_has_every_column() {
        let text = drawn(200, 50, &live(10), None).join("\n");
        for column in SHARDS.iter().chain(&SESSIONS).chain(&TOPICS) {
            assert!(text.contains(column.title), "{} is missing in\n{text}", column.title);
        }
        assert_eq!(text.matches("prices.>").count(), 10, "{text}");
    }

    #[test]
    fn a_narrow_terminal_has_what_matters_and_says_what_is_cut_off() {
        let screen = drawn(20, 24, &live(40), None);
        let text = screen.join("\n");
        for part in ["SHARD", "OUT/S", "LAG", "session", "TOPIC", "SHARDS: 5 of 40"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert_eq!(screen[0], "494 k out/s");
        assert!(!text.contains("ADDRESS") && screen.iter().all(|line| line.chars().count() <= 20), "{text}");
    }

    #[test]
    fn a_cell_says_that_it_is_cut_off() {
        let texts = [("prices.>", 8), ("prices.>", 7), ("価格.>", 6), ("価格.>", 5), ("価格", 3), ("a", 0)];
        let wanted = ["prices.>", "prices…", "価格.>", "価格…", "価…", "…"];
        assert_eq!(texts.map(|(text, width)| cut(text, width)), wanted);
        assert_eq!(cut(&"x".repeat(100_000), 60).chars().count(), 60);
        let text = drawn(20, 24, &live(1), None).join("\n");
        assert!(text.contains("session 0\\x…"), "{text}");
    }

    #[test]
    fn any_size_is_drawn() {
        for columns in [1, 2, 7, 20, 79, 250] {
            for lines in [1, 2, 3, 5, 8, 24, 100] {
                for rows in [0, 1, 50] {
                    assert_eq!(drawn(columns, lines, &live(rows), None).len(), usize::from(lines));
                }
            }
        }
    }

    #[test]
    fn trouble_is_in_the_first_line_and_the_last_figures_stay() {
        let screen = drawn(80, 24, &live(1), Some("nobody answers"));
        assert_eq!(screen[0], "nobody answers");
        assert!(screen.join("\n").contains("prices.0"));
    }
}
