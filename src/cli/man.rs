//! `corecast man`, and the man pages of both commands of this project, from the definition of the arguments.

use std::io::{self, Write};

use clap::Args;
use clap_mangen::Man;

use super::output::print;
use super::{EXIT_STATUS, Exit, Failure};

/// When what the pages say last changed, for their foot.
const PAGES_DATE: &str = "2026-11-29";

const EXAMPLES: &str = "\
Examples:
  corecast man > corecast.1
  corecast man pub | man -l -";

/// Print the man page of this command or of a subcommand.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ManArgs {
    /// Subcommand [default: the page of the whole command].
    subcommand: Option<String>,
}

pub(super) fn run(args: ManArgs) -> Result<Exit, Failure> {
    print(page(args.subcommand.as_deref())?)?;
    Ok(Exit::Fine)
}

fn page(subcommand: Option<&str>) -> Result<Vec<u8>, Failure> {
    let mut whole = super::command();
    // So that the subcommands know their full names and the options of all.
    whole.build();
    let command = match subcommand {
        None => &whole,
        Some(name) => whole
            .find_subcommand(name)
            .ok_or_else(|| Failure::new(Exit::Usage, format!("there is no subcommand '{name}'")))?,
    };
    man_page(command.clone(), EXIT_STATUS)
        .map_err(|e| Failure::new(Exit::Failed, format!("cannot make the man page: {e}")))
}

/// The page of a command that is built: clap_mangen's sections, and then those that its help text has and that readers of
/// man pages look for. `exit_status` has each code with its meaning.
///
/// # Errors
/// None that writing to memory could have.
pub fn man_page(command: clap::Command, exit_status: &[(u8, &str)]) -> io::Result<Vec<u8>> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (examples, notes) = split_help(&help);
    let variables = variables(&command);
    let has_subcommands = command.get_subcommands().any(|subcommand| !subcommand.is_hide_set());
    let source = concat!("corecast ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command).date(PAGES_DATE).source(source).manual("corecast");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_subcommands {
        man.render_subcommands_section(&mut page)?;
    }
    section(&mut page, "NOTES", &notes)?;
    section(&mut page, "EXAMPLES", &examples)?;
    section(&mut page, "ENVIRONMENT", &variables)?;
    let codes = exit_status.iter().map(|(code, meaning)| format!(".TP\n.B {code}\n{}\n", escaped(meaning)));
    section(&mut page, "EXIT STATUS", &codes.collect::<String>())?;
    Ok(page)
}

fn section(page: &mut Vec<u8>, title: &str, body: &str) -> io::Result<()> {
    if body.is_empty() { Ok(()) } else { write!(page, ".SH \"{title}\"\n{body}") }
}

/// The examples and the rest of a help text, as roff. The examples are the lines below `Examples:` up to an empty one.
/// Indented lines are shown as they are, and a line of the width of a terminal is never filled into two.
fn split_help(help: &str) -> (String, String) {
    let (before, rest) = match help.split_once("Examples:\n") {
        Some((before, rest)) => (before, rest),
        None => (help, ""),
    };
    let (examples, after) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let paragraphs = [before, after].map(|text| text.trim_matches('\n').to_owned());
    let notes = paragraphs.iter().filter(|text| !text.is_empty()).map(|text| blocks(text)).collect();
    (as_they_are(examples), notes)
}

/// Paragraphs, and blocks of indented lines between them.
fn blocks(text: &str) -> String {
    let is_block = |paragraph: &str| paragraph.lines().any(|line| line.starts_with("  "));
    let roff = |paragraph: &str| match is_block(paragraph) {
        true => format!(".PP\n{}", as_they_are(paragraph)),
        false => format!(".PP\n{}\n", paragraph.lines().map(escaped).collect::<Vec<_>>().join("\n")),
    };
    text.split("\n\n").filter(|paragraph| !paragraph.is_empty()).map(roff).collect()
}

fn as_they_are(lines: &str) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = lines.lines().map(escaped).collect();
    format!(".nf\n{}\n.fi\n", lines.join("\n"))
}

/// One entry for each option that has a variable.
fn variables(command: &clap::Command) -> String {
    let entry = |arg: &clap::Arg| {
        let (variable, long) = (arg.get_env()?.to_string_lossy().into_owned(), arg.get_long()?);
        Some(format!(
            ".TP\n.B {}\nThe value of \\fB{}\\fR.\n",
            escaped(&variable),
            escaped(&format!("--{long}"))
        ))
    };
    let entries: String = command.get_arguments().filter_map(entry).collect();
    if entries.is_empty() {
        return entries;
    }
    format!(
        "{entries}.PP\nThe command line takes precedence over the environment, and an empty variable counts as unset.\n"
    )
}

/// Text as roff takes it literally.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_options_and_examples() {
        let text = |name| String::from_utf8(page(name).expect("a page")).expect("pages are text");
        assert!(text(None).contains("corecast\\-broker(1)"), "{}", text(None));
        let publish = text(Some("pub"));
        for part in [
            &PAGES_DATE[..4],
            "wait\\-subscribers",
            ".SH \"EXAMPLES\"\n.nf\n  corecast pub prices.eur.usd 1.0842\n",
            ".SH \"ENVIRONMENT\"\n",
            "CORECAST_PUB_COUNT",
            ".SH \"EXIT STATUS\"\n.TP\n.B 0\n",
        ] {
            assert!(publish.contains(part), "{part} is not in {publish}");
        }
        assert!(!publish.contains("EXTRA"), "{publish}");
        assert_eq!(page(Some("nothing")).err().map(|failure| failure.exit()), Some(Exit::Usage));
    }

    #[test]
    fn help_becomes_sections() {
        let (examples, notes) =
            split_help("Examples:\n  a 'b' \\\n  .c -d\n\nAll of it\nis so.\n\nx.toml:\n    [[y]]\n");
        assert_eq!(examples, ".nf\n  a \\(aqb\\(aq \\e\n  .c \\-d\n.fi\n");
        assert_eq!(notes, ".PP\nAll of it\nis so.\n.PP\n.nf\nx.toml:\n    [[y]]\n.fi\n");
        assert_eq!(split_help("No examples."), (String::new(), ".PP\nNo examples.\n".to_owned()));
        assert_eq!(split_help(""), (String::new(), String::new()));
    }
}
