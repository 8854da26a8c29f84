//! `corecast-bench experiment`: which experiment, what is said about it, and the folder that its results go to.

use super::exit::{Exit, OrWrongUsage};
use super::output::{complain, complain_of_each, note, now, print, print_lines};
use super::run::{exit_of, exit_of_error, worse};
use crate::experiment::assertion::Asserted;
use crate::experiment::base::Base;
use crate::experiment::catalogue::{self, Experiment};
use crate::experiment::series::{Ended, Made, Series};
use crate::experiment::settings::Settings;
use crate::experiment::step::Step;
use crate::experiment::{descriptors, file};
use crate::interrupt::Interrupt;
use crate::measure::environment::Environment;
use crate::order::grouped;
use crate::record::RunRecord;
use crate::report::text;
use crate::results::{Kind, Results, ResultsFolder};
use anyhow::{Context, anyhow, bail};
use clap::Args;
use corecast::internals::telemetry::{self, LogFormat};
use corecast_executors::Topology;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  Which experiments there are, and what each asks
    corecast-bench experiment --list
  The ancestor's, in about a minute, and its report
    corecast-bench experiment canonical --quick --out results/canonical
    corecast-bench report results/canonical
  As the ancestor did it: 1,000 messages in each run
    corecast-bench experiment canonical --messages 1000 --sessions per-subscriber
  What a hundredth of slow subscribers costs the others
    corecast-bench experiment isolation --slow 1% --slow-delay 50ms --assert 'lost==0'
  From a file, whose keys are the names of these options:
    echo 'experiment = \"crossover\"
    subscribers = [1, 64]' > small.toml
    corecast-bench experiment ./small.toml --out results/small

Each run is in the folder as soon as it has ended; an interruption keeps what was measured, marked as incomplete. Exit
codes: 0 fine, 1 failed or interrupted, 2 wrong usage or a failed --assert, 3 an asked rate was not reached, 27 timed
out.";

/// Arguments of `corecast-bench experiment`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ExperimentArgs {
    /// Name of an experiment, or a file in TOML whose keys are these options
    #[arg(value_name = "NAME|FILE.toml", required_unless_present = "list")]
    pub experiment: Option<String>,
    /// List the experiments, and the question that each answers
    #[arg(long)]
    pub list: bool,
    /// Folder of the results [default: results/NAME-TIME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Condition on every run, such as 'lost==0', or on a figure of the whole, such as 'ratio.echo.busy <= 1.5'; may be
    /// given several times
    #[arg(long = "assert", value_name = "EXPR", help_heading = None::<&str>)]
    pub assertions: Vec<Asserted>,
    /// Log lines that go to stderr: error, warn, info, debug, trace, off, or by module (warn,corecast=debug)
    #[arg(long, value_name = "LEVEL", default_value = "warn", help_heading = None::<&str>)]
    pub log: String,
}

/// An experiment that can be carried out.
#[derive(Debug)]
struct Ready {
    experiment: &'static Experiment,
    quick: bool,
    steps: Vec<Step>,
    assertions: Vec<Asserted>,
}

/// Lists experiments, or carries one out.
pub fn execute(args: &ExperimentArgs) -> anyhow::Result<Exit> {
    if args.list {
        print(list().as_bytes())?;
        return Ok(Exit::Fine);
    }
    telemetry::install_logs(&args.log, LogFormat::Text).context("--log").or_wrong_usage()?;
    let ready = ready(args).or_wrong_usage()?;
    let interrupt = Interrupt::by_signal().context("cannot listen for signals")?;
    let guard = std::env::current_exe().context("cannot find this command's own file")?;
    let results = nothing_yet(&ready);
    let path = match &args.out {
        Some(path) => path.clone(),
        None => default_path(&results),
    };
    let folder = ResultsFolder::create(&path, results).or_wrong_usage()?;
    // Nobody reads it: no reason not to measure.
    let _ = writeln!(std::io::stderr(), "{}", announcement(&ready, &path));
    let series = Series {
        steps: &ready.steps,
        sum_up: ready.experiment.sum_up,
        guard: Some(&guard),
        interrupt: &interrupt,
    };
    let ended = series.carry_out(folder)?;
    tell(&ended, &path)?;
    Ok(worse(exit_of_series(&ended), check(&ready.assertions, &ended.results)))
}

/// Says what does not hold.
fn check(assertions: &[Asserted], results: &Results) -> Exit {
    complain_of_each(assertions.iter().flat_map(|asserted| asserted.check(&results.figures, &results.runs)))
}

fn list() -> String {
    catalogue::ALL
        .iter()
        .map(|experiment| format!("{:10} {}\n", experiment.name, experiment.question))
        .collect()
}

/// The runs that were asked for, all of them possible.
fn ready(args: &ExperimentArgs) -> anyhow::Result<Ready> {
    let word = args.experiment.as_deref().unwrap_or_default();
    let (name, settings, assertions) = if word.ends_with(".toml") {
        let said = file::read(Path::new(word))?;
        let assertions = args.assertions.iter().cloned().chain(said.assertions).collect();
        (said.experiment, args.settings.clone().or(said.settings), assertions)
    } else {
        (word.to_owned(), args.settings.clone(), args.assertions.clone())
    };
    let Some(experiment) = catalogue::find(&name) else {
        let names: Vec<&str> = catalogue::ALL.iter().map(|experiment| experiment.name).collect();
        bail!("there is no experiment `{name}`: there are {} (or a file, FILE.toml)", names.join(", "));
    };
    if let Some(option) = settings.said_among(experiment.chooses) {
        bail!("the experiment {name} chooses its {option} itself: leave --{option} out");
    }
    for asserted in &assertions {
        asserted.check_for(experiment)?;
    }
    if let (Some(_), None) = (settings.slow_delay, settings.slow)
        && experiment.name != catalogue::isolation::EXPERIMENT.name
    {
        bail!("--slow-delay says how slow, and --slow how many: say both");
    }
    let topology = Topology::detect().context("cannot find out which cores there are")?;
    if let Some(shards) = settings.shards.iter().flatten().find(|shards| **shards > topology.allowed().len())
    {
        bail!("--shards {shards} is more than the {} cores that there are", topology.allowed().len());
    }
    let (cores, cores_min) = (topology.allowed().len(), experiment.cores_min);
    if cores < cores_min {
        bail!(
            "the experiment {name} takes {cores_min} cores, one for each side, and this process may use {cores}: give it more (taskset, the cpuset of its container)"
        );
    }
    let quick = settings.quick;
    let base = Base::new(settings, &topology)?;
    let steps = (experiment.steps)(&base);
    for step in &steps {
        step.plan().check()?;
        // Before the first run, not after an hour of smaller ones.
        descriptors::ensure(step.plan())?;
    }
    Ok(Ready { experiment, quick, steps, assertions })
}

/// The line that says what follows and how long it takes: the full version of an experiment may take an hour.
fn announcement(ready: &Ready, path: &Path) -> String {
    let runs: u64 = ready.steps.iter().map(Step::runs).sum();
    let seconds = ready.steps.iter().map(Step::estimate).sum::<Duration>().as_secs_f64();
    let time = if seconds < 100.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) };
    format!("{}: {runs} runs, about {time}, into {}", ready.experiment.name, path.display())
}

fn nothing_yet(ready: &Ready) -> Results {
    let Experiment { name, question, .. } = ready.experiment;
    let mut results = Results::new(Kind::Experiment, name, question, Environment::read());
    results.quick = ready.quick;
    results.started_at = now();
    results.runs_planned = ready.steps.iter().map(Step::runs).sum();
    results
}

/// `results/canonical-20261125T031500Z`.
fn default_path(results: &Results) -> PathBuf {
    let to_the_second = results.started_at.split('.').next().unwrap_or_default();
    let time: String = to_the_second.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    Path::new("results").join(format!("{}-{time}Z", results.name))
}

/// The tables of what was measured, where the rest is, and what went wrong.
fn tell(ended: &Ended, path: &Path) -> anyhow::Result<()> {
    let mut text = String::new();
    for group in groups(&ended.results) {
        text.push_str(&text::render(&group));
        text.push('\n');
    }
    for (name, figure) in &ended.results.figures {
        text.push_str(&format!("{name} {figure}\n"));
    }
    let kept = ended.results.runs.len();
    text.push_str(&format!("{kept} runs in {0}: corecast-bench report {0}\n", path.display()));
    print_lines(&text)?;
    for failure in ended.made.iter().filter_map(|made| match made {
        Made::Failed { .. } => made.failure(),
        Made::Recorded { .. } => None,
    }) {
        complain(&anyhow!(failure));
    }
    if let Some(incomplete) = &ended.results.incomplete {
        // Nobody reads it: the folder says it too.
        note(&format!("incomplete: {incomplete}"));
    }
    Ok(())
}

/// Runs that differ in nothing but mode and count, in the order of their first ones.
fn groups(results: &Results) -> Vec<Vec<RunRecord>> {
    let key = |run: &RunRecord| {
        let topics = run.shared_topics().map(|topics| topics.to_string());
        let asked = (run.size_bytes, run.rate_hz.map(f64::to_bits), run.round, run.shards.len(), topics);
        let how = (
            run.overflow.clone(),
            run.idle.clone(),
            run.slow_subscribers,
            run.peer.clone(),
            run.reactor.clone(),
        );
        (run.sessions.clone(), how, asked)
    };
    let runs = results.runs.iter().map(|entry| entry.record.clone());
    grouped(runs, key).into_iter().map(|(_, group)| group).collect()
}

fn exit_of_series(ended: &Ended) -> Exit {
    let exits = ended.made.iter().map(|made| match made {
        Made::Recorded { ending, rate_reached } => exit_of(ending, *rate_reached),
        Made::Failed { error, .. } => exit_of_error(error),
    });
    let unfinished = if ended.results.incomplete.is_some() { Exit::Failed } else { Exit::Fine };
    exits.fold(unfinished, worse)
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use super::*;
    use clap::Parser;

    fn parse(words: &str) -> Result<ExperimentArgs, clap::Error> {
        let words = ["corecast-bench", "experiment"].into_iter().chain(words.split_whitespace());
        match Cli::try_parse_from(words)?.command {
            Command::Experiment(args) => Ok(*args),
            _ => unreachable!("the words begin with experiment"),
        }
    }

    #[track_caller]
    fn refused(words: &str, says: &str) {
        let error = match parse(words) {
            Ok(args) => format!("{:#}", ready(&args).unwrap_err()),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(says), "{words}: {error}");
    }

    #[test]
    fn options_say_more_than_the_file_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.toml");
        let text = "experiment = 'canonical'\nsubscribers = [3, 4]\nmode = 'direct'\nassert = 'lost==0'";
        std::fs::write(&path, text).unwrap();
        let words = format!("{} --subscribers 2 --sessions per-executor", path.display());
        let ready = ready(&parse(&words).unwrap()).unwrap();
        assert_eq!((ready.steps.len(), ready.assertions.len()), (1, 1));
        assert_eq!(ready.steps[0].plan().subscribers, 2);
        assert_eq!(ready.steps[0].plan().mode, corecast::Mode::Direct);
        let said = announcement(&ready, Path::new("out"));
        assert_eq!(said, "canonical: 1 runs, about 31 s, into out");
    }

    #[test]
    fn an_experiment_may_be_made_with_topics() {
        let words = "isolation --topics 100 --topics-per-subscriber 20 --topic-spread zipf --slow 10%";
        let ready = ready(&parse(words).unwrap()).unwrap();
        let topics = |step: &Step| step.plan().topics.map(|topics| topics.to_string());
        assert!(ready.steps.iter().all(|step| topics(step).as_deref() == Some("20 of 100 topics, zipf")));
        assert_eq!(ready.steps[1].plan().slow_subscribers(), 20);
    }

    #[test]
    fn what_is_wrong_is_refused_with_a_reason() {
        refused("", "NAME|FILE.toml");
        refused("canonicle", "there are canonical, crossover");
        refused("flood --rate 3", "chooses its rate itself");
        refused("crossover --mode direct", "leave --mode out");
        refused("scaling --shards 4000", "more than the");
        refused("canonical --subscribers 0", "above 0");
        refused("canonical --subscribers 99000000", "hard limit of this process");
        refused("canonical --size 8", "it takes 40");
        refused("echo --subscribers 2", "leave --subscribers out");
        refused("topics --topics 5", "leave --topics out");
        refused("subscribing --reactor epoll", "leave --reactor out");
        refused("canonical --reactor auto", "`io_uring` or `epoll`");
        refused("canonical --topics 10 --topics-per-subscriber 11", "11 different filters");
        refused("canonical --topic-spread zipf", "--topics <N>");
        refused("quiet --assert ratio.echo.busy<2", "which the experiment quiet has not");
        refused("canonical --slow-delay 50ms", "say both");
        refused("canonical --slow 9 --subscribers 9", "at least one must not be");
        refused("canonical --duration 1 --messages 1", "cannot be used with");
        refused("canonical --hosts /nowhere/hosts.toml", "/nowhere/hosts.toml");
        refused("/nowhere/e.toml", "/nowhere/e.toml");
    }

    #[test]
    fn the_list_says_what_each_asks() {
        let list = list();
        assert_eq!(list.lines().count(), catalogue::ALL.len());
        assert!(list.starts_with("canonical  How does the time"), "{list}");
    }

    #[test]
    fn results_have_a_folder_by_their_time() {
        let mut results = Results::new(Kind::Experiment, "idle", "?", Environment::default());
        results.started_at = "2026-11-25T03:15:00.123456789Z".into();
        assert_eq!(default_path(&results), Path::new("results/idle-20261125T031500Z"));
    }

    #[test]
    fn runs_that_differ_in_mode_and_count_stand_in_one_table() {
        let mut results = Results::new(Kind::Experiment, "idle", "?", Environment::default());
        for (sessions, subscribers) in [("a", 1), ("b", 1), ("a", 2)] {
            let record = RunRecord { sessions: sessions.into(), subscribers, ..RunRecord::default() };
            results.runs.push(crate::results::Entry { id: String::new(), record });
        }
        assert_eq!(groups(&results).iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    }
}
