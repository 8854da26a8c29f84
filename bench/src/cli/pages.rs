//! Owns the completion scripts and the man pages. Both come from the definition of the arguments, so they cannot
//! say anything else than `--help`.

use super::output::{print, write_file};
use super::{Cli, Exit};
use clap::{Args, CommandFactory};
use std::path::PathBuf;

/// Arguments of `corecast-bench completions`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// Which shell: bash, elvish, fish, powershell or zsh
    pub shell: clap_complete::Shell,
}

/// Arguments of `corecast-bench man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Write corecast-bench.1, corecast-bench-run.1… into this folder instead
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

/// Prints a completion script.
pub fn completions(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "corecast-bench", &mut script);
    print(&script)?;
    Ok(Exit::Fine)
}

/// Prints or writes the man pages.
pub fn man(args: &ManArgs) -> anyhow::Result<Exit> {
    let mut command = super::command();
    command.build();
    let Some(folder) = &args.out else {
        print(&page(command)?)?;
        return Ok(Exit::Fine);
    };
    std::fs::create_dir_all(folder)?;
    let visible = command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set());
    for subcommand in visible.filter(|subcommand| subcommand.get_name() != "help") {
        let name = format!("corecast-bench-{}", subcommand.get_name());
        // clap wants names that live as long as the process; the command ends after this.
        let subcommand = subcommand.clone().name(name.clone()).display_name(name.clone());
        write_file(&folder.join(format!("{name}.1")), &page(subcommand)?)?;
    }
    write_file(&folder.join("corecast-bench.1"), &page(command.clone())?)?;
    Ok(Exit::Fine)
}

fn page(command: clap::Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
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
    }
}
