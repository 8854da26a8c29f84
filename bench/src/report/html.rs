//! Owns the page: one file that needs nothing else, no network, no script. Each plot stands in it twice, for wide
//! pages and for narrow ones; its colours are the page's.

use super::document::{Block, Chapter, Document, Figure, RESULTS, Section, slug};
use super::plot::canvas::{NARROW, WIDE};
use super::plot::theme::{Theme, variables};
use super::table::{Cell, Heading, Table};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The style sheet; `LIGHT` and `DARK` stand for the colours.
const STYLE: &str = include_str!("page.css");
/// Plots of a chapter's results that are open: the others, and all tables, are folded until they are asked for.
const PLOTS_OPEN: usize = 5;

/// The whole page.
pub(crate) fn page(document: &Document) -> String {
    let style = STYLE.replace("LIGHT", &variables(false)).replace("DARK", &variables(true));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (document.title) }
                style { (PreEscaped(style)) }
            }
            body {
                header {
                    h1 { (document.title) }
                    p.headline { (unbroken(&document.headline)) }
                    @if document.chapters.len() > 1 { (contents(document)) }
                }
                main { @for part in &document.chapters { (chapter(part)) } }
                footer {
                    "Made by corecast-bench report. Latency counts from when a message should have been sent. Every \
                     figure names its runs; the tables hold them all."
                }
            }
        }
    };
    let mut text = page.into_string();
    text.push('\n');
    text
}

fn contents(document: &Document) -> Markup {
    html! {
        nav aria-label="Contents" {
            ul {
                @for chapter in &document.chapters {
                    li { a href={ "#" (chapter.slug) } { (chapter.title) } }
                }
            }
        }
    }
}

fn chapter(chapter: &Chapter) -> Markup {
    html! {
        section.chapter id=(chapter.slug) {
            h2 { (chapter.title) }
            p.facts { (chapter.facts.join(" · ")) }
            @if !chapter.warnings.is_empty() {
                ul.alarm { @for warning in &chapter.warnings { li { strong { (warning) } } } }
            }
            div.summary {
                p.question { (chapter.question) }
                @for sentence in &chapter.answer { p.answer { (unbroken(sentence)) } }
            }
            @for part in &chapter.sections { (section(part, chapter)) }
        }
    }
}

fn section(section: &Section, chapter: &Chapter) -> Markup {
    let mut left = if section.title == RESULTS { PLOTS_OPEN } else { 0 };
    let (shown, folded): (Vec<&Block>, Vec<&Block>) = section.blocks.iter().partition(|block| {
        let is_shown = left > 0 && matches!(block, Block::Figure(_));
        left -= usize::from(is_shown);
        is_shown
    });
    let each =
        |blocks: &[&Block]| html! { @for block in blocks { (self::block(block, &section.title, chapter)) } };
    html! {
        @if !shown.is_empty() { h3 { (section.title) } (each(&shown)) }
        @if !folded.is_empty() {
            details {
                summary { h3 { @if shown.is_empty() { (section.title) } @else { "More plots and tables" } } }
                (each(&folded))
            }
        }
    }
}

fn block(block: &Block, section: &str, chapter: &Chapter) -> Markup {
    match block {
        Block::Words(words) => html! { p { (words) } },
        Block::Figure(shown) => figure(shown, chapter),
        Block::Table(shown) => table(shown, section, chapter),
        Block::Command(command) => html! { pre tabindex="0" { (command) } },
    }
}

fn figure(figure: &Figure, chapter: &Chapter) -> Markup {
    html! {
        figure id={ (chapter.slug) "-" (figure.slug) } {
            h4 { (figure.title) }
            div.plot.wide { (figure.chart.draw(&figure.title, WIDE, Theme::Page)) }
            div.plot.narrow { (figure.chart.draw(&figure.title, NARROW, Theme::Page)) }
            figcaption { (unbroken(&figure.caption)) span.runs { "Runs: " (figure.runs) } }
        }
    }
}

fn table(table: &Table, section: &str, chapter: &Chapter) -> Markup {
    let name = if table.title.is_empty() { section } else { &table.title };
    html! {
        div.table {
            @if !table.title.is_empty() { h4 { (table.title) } }
            div.scroll tabindex="0" role="region" aria-label=(name) {
                table class=[look(table)] {
                    thead { tr { @for shown in &table.headings { (heading(shown)) } } }
                    tbody { @for row in &table.rows { (self::row(row, table, chapter)) } }
                }
            }
            @if !table.caption.is_empty() { p.about { (table.caption) } }
        }
    }
}

/// Tables of figures are tight and keep each row in one line; those of words are not.
fn look(table: &Table) -> Option<&'static str> {
    match &table.headings[..] {
        [first, _] => (first.text == "what").then_some("facts-table"),
        _ => Some("figures"),
    }
}

fn heading(heading: &Heading) -> Markup {
    html! { th scope="col" class=[heading.numbers.then_some("n")] { (heading.text) } }
}

fn row(row: &[Cell], table: &Table, chapter: &Chapter) -> Markup {
    let id = row.first().filter(|_| table.is_index).and_then(|cell| match cell {
        Cell::Run(run) => Some(anchor(chapter, run)),
        _ => None,
    });
    html! {
        tr id=[id] {
            @for (cell, column) in row.iter().zip(&table.headings) {
                @match cell {
                    Cell::Text(text) => { td class=[column.numbers.then_some("n")] { (text) } }
                    Cell::Alarm(text) => {
                        td class=[column.numbers.then_some("n")] { span.alarmed { (text) } }
                    }
                    Cell::Run(run) if table.is_index => { td { (run) } }
                    // The number that its name begins with.
                    Cell::Run(run) => { td { a href={ "#" (anchor(chapter, run)) } { (run.split('-').next().unwrap_or(run)) } } }
                }
            }
        }
    }
}

/// The same words with figures and their units kept in one line.
fn unbroken(words: &str) -> String {
    const UNITS: [&str; 9] = ["ns", "µs", "ms", "s", "kB", "MB", "M/s", "k/s", "cores"];
    let mut text = String::with_capacity(words.len());
    for word in words.split(' ') {
        let unit = word.trim_end_matches(|letter: char| ",.;:)".contains(letter));
        let after_number = text.ends_with(|letter: char| letter.is_ascii_digit() || letter == '±');
        let after_ratio = text.ends_with('×');
        if !text.is_empty() {
            let binds = after_ratio || (after_number && (UNITS.contains(&unit) || text.ends_with('±')));
            text.push(if binds { '\u{a0}' } else { ' ' });
        }
        text.push_str(word);
    }
    text
}

/// Where a run stands in the page.
fn anchor(chapter: &Chapter, run: &str) -> String {
    format!("{}-run-{}", chapter.slug, slug(run))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stay_with_their_units() {
        assert_eq!(
            unbroken("in 5.97 ms, 1.24× nats's, ± 40 µs"),
            "in 5.97\u{a0}ms, 1.24×\u{a0}nats's, ±\u{a0}40\u{a0}µs"
        );
        assert_eq!(unbroken("of 512 subscribers in 3 runs"), "of 512 subscribers in 3 runs");
        assert_eq!(unbroken(""), "");
    }
}
