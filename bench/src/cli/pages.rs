//! Owns the completion scripts and the man pages. Both come from the definition of the arguments, so they cannot
//! say anything else than `--help`.

use super::exit::Exit;
use super::output::{print, write_file};
use clap::Args;
use corecast::internals::cli::{completion_script, man_page};
use std::path::PathBuf;

/// Arguments of `corecast-bench completions`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// Shell: bash, elvish, fish, powershell or zsh
    pub shell: clap_complete::Shell,
}

/// Arguments of `corecast-bench man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Write corecast-bench.1, corecast-bench-run.1… into this folder instead
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

/// Exit codes and their meanings.
const EXIT_STATUS: &[(u8, &str)] = &[
    (0, "All went well."),
    (1, "Something failed, or was interrupted."),
    (2, "Wrong usage, or an assertion that does not hold."),
    (3, "The asked rate was not reached."),
    (27, "It took too long."),
];

/// Prints a completion script.
pub fn completions(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    let words: &[(&str, &[&str])] = &[("mode", MODES), ("sessions", SESSIONS)];
    print(&completion_script(args.shell, super::command(), words))?;
    Ok(Exit::Fine)
}

/// Words for shells, of options that `corecast` has not or with other words.
const MODES: &[&str] = &["proxy", "direct", "both"];
const SESSIONS: &[&str] = &["per-subscriber", "per-executor"];

/// Prints or writes the man pages.
pub fn man(args: &ManArgs) -> anyhow::Result<Exit> {
    let mut command = super::command();
    command.build();
    let Some(folder) = &args.out else {
        print(&man_page(command, EXIT_STATUS)?)?;
        return Ok(Exit::Fine);
    };
    std::fs::create_dir_all(folder)?;
    let visible = command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set());
    for subcommand in visible.filter(|subcommand| subcommand.get_name() != "help") {
        let name = format!("corecast-bench-{}", subcommand.get_name());
        let subcommand = subcommand.clone().name(name.clone()).display_name(name.clone());
        write_file(&folder.join(format!("{name}.1")), &man_page(subcommand, EXIT_STATUS)?)?;
    }
    write_file(&folder.join("corecast-bench.1"), &man_page(command.clone(), EXIT_STATUS)?)?;
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_for_the_command_and_for_each_subcommand() {
        let folder = tempfile::tempdir().unwrap();
        man(&ManArgs { out: Some(folder.path().to_owned()) }).unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        let wanted = [
            "corecast-bench-agent.1",
            "corecast-bench-compare.1",
            "corecast-bench-completions.1",
            "corecast-bench-experiment.1",
            "corecast-bench-man.1",
            "corecast-bench-peers.1",
            "corecast-bench-report.1",
            "corecast-bench-run.1",
            "corecast-bench.1",
        ];
        assert_eq!(names, wanted);
        let run = std::fs::read_to_string(folder.path().join("corecast-bench-run.1")).unwrap();
        assert!(run.contains("subscribers") && run.contains("CORECAST_BENCH_RUN_RATE"), "{run}");
        assert!(run.contains(".SH \"EXAMPLES\"") && run.contains(".SH \"EXIT STATUS\""), "{run}");
    }
}
