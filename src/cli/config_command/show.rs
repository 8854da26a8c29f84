//! The options in force for a command, and where the value of each came from.

use serde::Serialize;

use crate::cli::output::{Format, json_line};
use crate::cli::settings::InForce;
use crate::cli::{Source, Sources};
use crate::config::Arity;
use crate::config::file::{FileSection, written};

/// The options of a section with their values and sources: as a config file that says the same, or in JSON, a line each.
pub(super) fn shown(section: &FileSection, values: &InForce, sources: &Sources, format: Format) -> String {
    let options = section.keys.iter().map(|key| {
        let texts = values.get(key.key);
        let source = sources.of(key.field);
        match format {
            Format::Json => json_line(&OptionInForce {
                table: section.table,
                key: key.key,
                value: match (key.arity, texts) {
                    (Arity::Switch, _) => (!texts.is_empty()).into(),
                    (Arity::List | Arity::Repeated, _) => texts.into(),
                    (Arity::One, [text]) => text.as_str().into(),
                    (Arity::One, _) => serde_json::Value::Null,
                },
                source: source.into(),
            }),
            Format::Text => {
                let unset = if texts.is_empty() && key.may_be_unset() { "# " } else { "" };
                format!("{:<48} # {}\n", format!("{unset}{}", written(key, texts)), origin(key.key, source))
            }
        }
    });
    let table = match (section.table, format) {
        (Some(table), Format::Text) => format!("[{table}]\n"),
        _ => String::new(),
    };
    table + &options.collect::<String>()
}

fn origin(key: &str, source: &Source) -> String {
    match source {
        Source::Default => "default".to_owned(),
        Source::File { path, line } => format!("{path}:{line}"),
        Source::Environment(variable) => variable.clone(),
        Source::CommandLine => format!("--{key}"),
    }
}

#[derive(Serialize)]
struct OptionInForce {
    table: Option<&'static str>,
    key: &'static str,
    /// A text, a list of texts, a boolean for a switch, or null where it is unset.
    value: serde_json::Value,
    source: Origin,
}

/// The kind of a source, and where it is.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Origin {
    Default,
    File { path: String, line: usize },
    Environment { variable: String },
    CommandLine,
}

impl From<&Source> for Origin {
    fn from(source: &Source) -> Self {
        match source.clone() {
            Source::Default => Origin::Default,
            Source::File { path, line } => Origin::File { path, line },
            Source::Environment(variable) => Origin::Environment { variable },
            Source::CommandLine => Origin::CommandLine,
        }
    }
}
