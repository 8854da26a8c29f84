//! Owns the same report as Markdown, for a README: tables as tables, plots as pictures beside it.

use super::document::{Block, Chapter, Document};
use super::table::{Cell, Table};
use std::fmt::Write as _;

/// Where the pictures of a figure are, beside the text: light, dark, and as pixels.
pub(crate) fn picture_path(chapter: &str, figure: &str, ending: &str) -> String {
    format!("plots/{chapter}-{figure}{ending}")
}

/// The whole text.
pub(crate) fn text(document: &Document) -> String {
    let mut text = format!("# {}\n\n**{}**\n", escaped(&document.title), escaped(&document.headline));
    for part in &document.chapters {
        chapter(part, &mut text);
    }
    text
}

/// Appends a line, and a blank one.
fn paragraph(text: &mut String, words: impl AsRef<str>) {
    text.push('\n');
    text.push_str(words.as_ref());
    text.push('\n');
}

fn chapter(chapter: &Chapter, text: &mut String) {
    paragraph(text, format!("## {}", escaped(&chapter.title)));
    paragraph(text, escaped(&chapter.facts.join(" · ")));
    for warning in &chapter.warnings {
        paragraph(text, format!("> **{}**", escaped(warning)));
    }
    paragraph(text, format!("*{}*", escaped(&chapter.question)));
    for sentence in &chapter.answer {
        paragraph(text, escaped(sentence));
    }
    for section in &chapter.sections {
        paragraph(text, format!("### {}", escaped(&section.title)));
        for block in &section.blocks {
            match block {
                Block::Words(words) => paragraph(text, escaped(words)),
                Block::Command(command) => paragraph(text, format!("```sh\n{command}\n```")),
                Block::Table(shown) => table(shown, text),
                Block::Figure(figure) => {
                    let path = |ending| picture_path(&chapter.slug, &figure.slug, ending);
                    paragraph(text, format!("#### {}", escaped(&figure.title)));
                    paragraph(
                        text,
                        format!(
                            "<picture><source media=\"(prefers-color-scheme: dark)\" srcset=\"{}\"><img alt=\"{}\" \
                             src=\"{}\"></picture>",
                            path("-dark.svg"),
                            attribute(&figure.title),
                            path(".svg")
                        ),
                    );
                    paragraph(text, format!("{} Runs: {}", escaped(&figure.caption), escaped(&figure.runs)));
                }
            }
        }
    }
}

fn table(table: &Table, text: &mut String) {
    if !table.title.is_empty() {
        paragraph(text, format!("**{}**", escaped(&table.title)));
    }
    text.push('\n');
    let headings = table.headings.iter().map(|heading| escaped(&heading.text));
    line(headings, text);
    let rules = table.headings.iter().map(|heading| if heading.numbers { "---:" } else { "---" }.to_owned());
    line(rules, text);
    for row in &table.rows {
        let cells = row.iter().map(|cell| match cell {
            Cell::Text(text) | Cell::Run(text) => escaped(text),
            Cell::Alarm(text) => format!("**{}**", escaped(text)),
        });
        line(cells, text);
    }
    if !table.caption.is_empty() {
        paragraph(text, escaped(&table.caption));
    }
}

fn line(cells: impl Iterator<Item = String>, text: &mut String) {
    let cells: Vec<String> = cells.collect();
    writeln!(text, "| {} |", cells.join(" | ")).expect("memory takes all that is written");
}

/// Without anything that Markdown would take for more than words.
fn escaped(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    for letter in words.chars() {
        match letter {
            '|' | '*' | '_' | '`' | '<' | '[' | ']' | '\\' | '#' => text.extend(['\\', letter]),
            '\n' => text.push(' '),
            letter => text.push(letter),
        }
    }
    text
}

fn attribute(words: &str) -> String {
    words.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words() {
        assert_eq!(escaped("a|b *c* [d](e) <f>"), r"a\|b \*c\* \[d\](e) \<f>");
    }
}
