//! A config file that has every option, with its documentation and its default, and sets none.

use std::fmt::Write as _;

use super::{FileGrammar, FileKey, written};
use crate::config::Arity;

/// Characters of a line of documentation.
const LINE_CHARS: usize = 100;

/// The text of such a file. Documentation stands behind `##`, and options behind `#`: without the `#` they are set.
pub(crate) fn sample(grammar: &FileGrammar, head: &str) -> String {
    let mut text = document(head);
    for section in &grammar.sections {
        let _ = write!(text, "\n## Options of {}.\n", section.whose);
        if let Some(table) = section.table {
            let _ = writeln!(text, "# [{table}]");
        }
        for key in &section.keys {
            let _ = write!(text, "\n{}# {}\n", document(&documentation(key)), written(key, &key.default));
        }
    }
    text
}

fn documentation(key: &FileKey) -> String {
    let value = match key.arity {
        Arity::Switch => "true or false",
        _ => key.value,
    };
    let unset = if key.may_be_unset() { " \"\" leaves it unset." } else { "" };
    format!("{value}: {}.{unset}", key.help)
}

/// Lines of a comment.
fn document(text: &str) -> String {
    let mut lines = String::new();
    for paragraph in text.lines() {
        let mut line = "##".to_owned();
        for word in paragraph.split(' ') {
            if line.chars().count() + 1 + word.chars().count() > LINE_CHARS {
                let _ = writeln!(lines, "{line}");
                line = "##".to_owned();
            }
            line.push(' ');
            line.push_str(word);
        }
        let _ = writeln!(lines, "{}", line.trim_end());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_is_filled_into_lines() {
        let words = vec!["word"; 50].join(" ");
        let lines = document(&format!("First.\n\n{words}"));
        assert!(lines.starts_with("## First.\n##\n## word word"), "{lines}");
        assert!(lines.lines().all(|line| line.len() <= LINE_CHARS && line.starts_with("##")), "{lines}");
        assert_eq!(lines.matches("word").count(), 50);
    }
}
