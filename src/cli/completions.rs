//! `corecast completions`: the completions of a shell, from the definition of the arguments.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::output::print;
use super::{Cli, Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  corecast completions bash > ~/.local/share/bash-completion/completions/corecast
  corecast completions fish > ~/.config/fish/completions/corecast.fish";

/// Print the completions for a shell.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// Which shell.
    shell: Shell,
}

pub(super) fn run(args: CompletionsArgs) -> Result<Exit, Failure> {
    print(script(args.shell))?;
    Ok(Exit::Fine)
}

/// The whole script: writing it straight to stdout would panic on a closed pipe.
fn script(shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "corecast", &mut text);
    text
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_learns_every_subcommand() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).expect("scripts are text");
            for name in ["broker", "pub", "sub", "doctor", "egress-bytes"] {
                assert!(script.contains(name), "{shell}: {name}");
            }
        }
    }
}
