//! `corecast completions`, and the scripts of both commands of this project, from the definition of the arguments.

use clap::builder::{PossibleValuesParser, Resettable};
use clap::{Arg, Args, ValueHint};
use clap_complete::Shell;

use super::output::print;
use super::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  corecast completions bash > ~/.local/share/bash-completion/completions/corecast
  corecast completions fish > ~/.config/fish/completions/corecast.fish";

/// The values of options that take one of a few words, or begin with one, in both commands. Options are parsed by their
/// own types; these words are for shells alone.
const WORDS: &[(&str, &[&str])] = &[
    ("overflow", &["drop-oldest", "drop-newest", "latest", "disconnect", "block"]),
    ("idle", &["park", "spin:100", "busy"]),
    ("broker-idle", &["park", "spin:100", "busy"]),
    ("cores", &["all", "physical"]),
    ("publisher-cores", &["all", "physical"]),
    ("broker-cores", &["all", "physical"]),
    ("log-level", LEVELS),
    ("log", LEVELS),
    ("log-format", &["text", "json"]),
    ("transport", &["tcp", "uds"]),
    ("clients", &["raw", "native"]),
];
const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace", "off"];

/// The argument that names a subcommand, in both commands.
const SUBCOMMAND: &str = "subcommand";

/// Print a shell completion script.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// Shell to complete in.
    shell: Shell,
}

pub(super) fn run(args: CompletionsArgs) -> Result<Exit, Failure> {
    print(completion_script(args.shell, super::command(), &[("mode", &["proxy", "direct"])]))?;
    Ok(Exit::Fine)
}

/// The whole script for a command: writing it straight to stdout would panic on a closed pipe. `words` are the values of
/// options that this command has beside those that both have.
///
/// Bash's functions are named without a hyphen and the name is set right afterwards: in those that clap_complete 4.6.11
/// makes for a command with one, nothing is found behind a subcommand (clap-rs/clap#6421).
pub fn completion_script(shell: Shell, command: clap::Command, words: &[(&str, &[&'static str])]) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let with_words = |arg: Arg| {
        let known =
            |long: &str| words.iter().chain(WORDS).find(|(name, _)| *name == long).map(|(_, words)| *words);
        let is_one_word = arg.get_action().takes_values() && arg.get_possible_values().is_empty();
        let value = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
        match (arg.get_long().and_then(known), value.as_deref()) {
            (Some(words), _) if is_one_word => {
                let words = PossibleValuesParser::new(words.iter().copied());
                arg.value_parser(words).default_value(Resettable::Reset)
            }
            (_, Some(value)) if value.contains("FILE") => arg.value_hint(ValueHint::FilePath),
            (_, Some("DIR" | "FOLDER")) => arg.value_hint(ValueHint::DirPath),
            // Without a hint bash offers the files of this folder for a number, too.
            _ if is_one_word && !arg.is_positional() => arg.value_hint(ValueHint::Other),
            _ => arg,
        }
    };
    let visible = command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set());
    let subcommands: Vec<String> = visible.map(|subcommand| subcommand.get_name().to_owned()).collect();
    let with_names = |arg: Arg| match arg.get_id().as_str() {
        SUBCOMMAND => arg.value_parser(PossibleValuesParser::new(subcommands.clone())),
        _ => with_words(arg),
    };
    let command = command.mut_args(with_words).mut_subcommands(|subcommand| {
        subcommand.mut_args(with_names).mut_subcommands(|inner| inner.mut_args(with_words))
    });
    let mut script = Vec::new();
    if shell != Shell::Bash {
        clap_complete::generate(shell, &mut command.clone(), name, &mut script);
        return script;
    }
    let plain = name.replace('-', "_");
    clap_complete::generate(shell, &mut command.clone(), plain.clone(), &mut script);
    let script = String::from_utf8(script).expect("scripts are text");
    script.replace(&format!(" {plain}\n"), &format!(" {name}\n")).into_bytes()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::OverflowPolicy;
    use crate::registry::Mode;

    #[test]
    fn every_shell_learns_every_subcommand() {
        for shell in Shell::value_variants() {
            let script = completion_script(*shell, crate::cli::command(), &[]);
            let script = String::from_utf8(script).expect("scripts are text");
            for name in ["broker", "pub", "sub", "doctor", "egress-bytes"] {
                assert!(script.contains(name), "{shell}: {name}");
            }
        }
    }

    #[test]
    fn the_words_are_those_that_the_options_take() {
        let words = |name: &str| WORDS.iter().find(|(long, _)| *long == name).expect(name).1;
        assert!(words("overflow").iter().all(|word| word.parse::<OverflowPolicy>().is_ok()));
        assert!(words("idle").iter().all(|word| word.parse::<corecast_executors::Idle>().is_ok()));
        assert!(words("cores").iter().all(|word| word.parse::<corecast_executors::CoreSet>().is_ok()));
        assert!(words("log-format").iter().all(|word| word.parse::<crate::telemetry::LogFormat>().is_ok()));
        assert!(["proxy", "direct"].iter().all(|word| word.parse::<Mode>().is_ok()));
    }
}
