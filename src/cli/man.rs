//! `corecast man`: the man pages, from the definition of the arguments.

use clap::Args;
use clap_mangen::Man;

use super::output::print;
use super::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  corecast man > corecast.1
  corecast man pub | man -l -";

/// Print the man page, of this command or of a subcommand.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ManArgs {
    /// Which subcommand.
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
    let mut text = Vec::new();
    Man::new(command.clone())
        .render(&mut text)
        .map_err(|e| Failure::new(Exit::Failed, format!("cannot make the man page: {e}")))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_options_and_examples() {
        let text = |name| String::from_utf8(page(name).expect("a page")).expect("pages are text");
        assert!(text(None).contains("corecast\\-broker(1)"), "{}", text(None));
        let publish = text(Some("pub"));
        assert!(publish.contains("wait\\-subscribers") && publish.contains("Examples"), "{publish}");
        assert_eq!(page(Some("nothing")).err().map(|failure| failure.exit()), Some(Exit::Usage));
    }
}
