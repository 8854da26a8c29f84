//! Owns the description of where and how it was measured, and how to do it again.

use super::super::document::{Block, Section};
use super::super::source::Source;
use super::super::table::{Cell, Table};
use crate::measure::environment::Environment;
use crate::order::grouped;
use crate::record::HostRecord;
use crate::results::Entry;
use crate::unit::{Unit, count, counted};

/// The machine in full, the hosts if there were any, and the call.
pub(crate) fn sections(source: &Source, before: &[Source]) -> Vec<Section> {
    let environment = &source.results.environment;
    let mut blocks = match before.iter().find(|other| is_same(&other.results.environment, environment)) {
        Some(other) => vec![Block::Words(format!(
            "The machine, its limits and the build are those of {}, above.",
            other.name
        ))],
        None => vec![Block::Table(table("", environment))],
    };
    for host in hosts(&source.results.runs) {
        blocks.push(Block::Table(table(&about_host(host), &host.environment)));
    }
    let call = [
        Block::Words("What was typed, and the report of it:".into()),
        Block::Command(format!("{}\ncorecast-bench report {}", command_line(environment), source.name)),
    ];
    vec![Section::new("Environment", blocks), Section::new("How to reproduce", call.into())]
}

/// True if they differ in nothing but the call.
fn is_same(one: &Environment, other: &Environment) -> bool {
    Environment { command_line: Vec::new(), ..one.clone() }
        == Environment { command_line: Vec::new(), ..other.clone() }
}

/// Its name, and what its clock is known to show.
fn about_host(host: &HostRecord) -> String {
    let clock = match host.clock_error_us {
        Some(error_us) => {
            let (offset, error) = (Unit::Us.text(host.clock_offset_us.abs()), Unit::Us.text(error_us));
            let side = if host.clock_offset_us < 0.0 { "behind" } else { "ahead" };
            format!("its clock {offset} ± {error} {side}")
        }
        None => "the same clock".to_owned(),
    };
    format!("Host {}: {}, {clock}", host.name, counted(host.subscribers as usize, "subscriber"))
}

/// Each host of the runs, as the first of them found it.
fn hosts(runs: &[Entry]) -> Vec<&HostRecord> {
    let hosts = runs.iter().flat_map(|entry| &entry.record.hosts);
    grouped(hosts, |host| host.name.clone()).into_iter().map(|(_, alike)| alike[0]).collect()
}

fn table(title: &str, of: &Environment) -> Table {
    let mut table = Table::new(title, ["what", "value"], "");
    let mut row = |what: &str, value: String| table.row([Cell::text(what), Cell::text(value)]);
    let known = |value: Option<String>| value.unwrap_or_else(|| "unknown".into());
    row("processor", known(of.cpu_model.clone()));
    row("processors online", known(of.cpus_online.map(|cpus| cpus.to_string())));
    row("processors allowed (executors are pinned to these)", known(of.cpus_allowed.clone()));
    row("physical cores among them", known(of.physical_cores.map(|cores| cores.to_string())));
    row("memory", known(of.memory_bytes.map(|bytes| Unit::Bytes.text(bytes as f64))));
    row("kernel", known(of.kernel.clone()));
    let governor =
        of.governor.clone().unwrap_or_else(|| "none to be read, as on most virtual machines".into());
    row("frequency governor", governor);
    let limit = |limit: Option<u64>| limit.map_or_else(|| "unlimited".into(), count);
    let limits = of.limits;
    row("open files (soft / hard)", format!("{} / {}", limit(limits.nofile_soft), limit(limits.nofile_hard)));
    let locked = [limits.memlock_soft_bytes, limits.memlock_hard_bytes].map(limit);
    row("locked memory in bytes (soft / hard)", locked.join(" / "));
    row("version", of.version.clone());
    row("commit", of.git_commit.clone());
    row("build", of.build.clone());
    row("clock", of.clock.clone());
    row("command line", command_line(of));
    table
}

/// The call as it can be typed, with the command's bare name.
pub(crate) fn command_line(environment: &Environment) -> String {
    let mut words = environment.command_line.iter();
    let program =
        words.next().map_or("corecast-bench", |program| program.rsplit('/').next().unwrap_or(program));
    let quoted = words.map(|word| {
        let plain =
            !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c));
        if plain { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''")) }
    });
    std::iter::once(program.to_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_can_be_typed_again() {
        let words = ["/opt/x/corecast-bench", "run", "--assert", "lost==0 + it's"];
        let environment =
            Environment { command_line: words.map(str::to_owned).to_vec(), ..Environment::default() };
        assert_eq!(command_line(&environment), r"corecast-bench run --assert 'lost==0 + it'\''s'");
    }
}
