//! Owns peers whose subscribers are their own clients, in a swarm of Python: the ancestor's way, our own package beside it,
//! and Zenoh, whose protocol none of our raw sockets speaks. Their latencies go through the same statistics as ours. Only
//! the paced run: a flood would measure Python.

use super::name::{PeerName, System};
use super::outcome::{Label, label};
use super::plan::{Contest, Measured, Turn};
use super::start;
use crate::experiment::outcome::sum_up;
use crate::experiment::watch::Ending;
use crate::measure::interest::Interest;
use crate::measure::oracle::Oracle;
use crate::measure::payload::{PublisherIndex, Stamp};
use crate::measure::process::{Usage, usage_of};
use crate::measure::workload::{TopicChoice, Workload};
use crate::process::child::{Process, Program};
use crate::process::error::StartError;
use crate::process::program::{find_package, find_pyzmq, find_zenoh};
use crate::process::server::Server;
use crate::progress::{Position, Progress};
use crate::results::Deliveries;
use crate::swarm::reports::Sent;
use crate::swarm::schedule::messages_in;
use crate::swarm::topics::Topics;
use corecast::Endpoint;
use corecast_executors::{MonotonicNs, pause, spawn_plain};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SWARM: &str = include_str!("../../python/swarm.py");
const ANCESTOR: &str = include_str!("../../python/ancestor.py");
const ZENOH: &str = include_str!("../../python/zenoh_router.py");
const PACKAGE: &str = include_str!("../../python/corecast_package.py");
/// Interval between two looks at a run.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The plan of the script.
#[derive(Serialize)]
struct ScriptPlan {
    /// The broker's address, of our own package.
    broker: Option<String>,
    sessions: String,
    reactor: String,
    processes: usize,
    size: usize,
    rate: f64,
    topics: Vec<String>,
    /// The topics of each publisher's messages.
    sends: Vec<Vec<u32>>,
    /// The topics of each subscriber.
    wants: Vec<Vec<u32>>,
    filters: Vec<Vec<String>>,
}

/// The script's first line, once all subscribers receive.
#[derive(Deserialize)]
struct Ready {
    fan_out_pid: u32,
    rss_before_bytes: u64,
    version: String,
}

/// The script's line once all is sent.
#[derive(Deserialize)]
struct Done {
    #[serde(flatten)]
    sent: Sent,
    last_arrival_ns: u64,
}

/// The clients of a peer: a Python that has them, its script, their name in records, and the word before the plan.
type OwnClients = (PathBuf, &'static str, &'static str, Option<&'static str>);

fn clients_of(system: System) -> Result<OwnClients, StartError> {
    Ok(match system {
        System::Zenoh => (find_zenoh()?, ZENOH, "zenoh", None),
        System::CorecastPython => (find_package()?, PACKAGE, "python", None),
        System::PyzmqProxy => (find_pyzmq()?, ANCESTOR, "pyzmq", Some("proxy")),
        _ => (find_pyzmq()?, ANCESTOR, "pyzmq", Some("direct")),
    })
}

/// Starts a script with this plan. Their files are in the folder.
fn start_script(
    (python, script, _, first): OwnClients,
    plan: &ScriptPlan,
    folder: &Path,
    guard: Option<&Path>,
) -> std::io::Result<Process> {
    let (file, plan_file) = (folder.join("peer.py"), folder.join("plan.json"));
    let plan = serde_json::to_string(plan)?;
    for (path, text) in [(&file, script), (&folder.join("swarm.py"), SWARM), (&plan_file, &plan)] {
        std::fs::write(path, text)?;
    }
    let mut args = vec![file.into_os_string()];
    args.extend(first.map(Into::into));
    args.push(plan_file.into_os_string());
    Process::start(&Program { name: "it", file: python, args, stdin: true, stdout: true }, guard)
}

/// Measures it.
pub(super) fn measure(turn: &Turn<'_>, progress: &mut Progress) -> Measured {
    let Turn { name, round, contest: plan, guard, .. } = *turn;
    let failed = |why: String| StartError::Failed { program: name.to_string(), why };
    progress.phase("starting, connecting");
    let own = clients_of(name.system)?;
    let clients = own.2;
    // The script of any other starts what fans out itself.
    let broker = (name.system == System::CorecastPython).then(|| start::server(turn)).transpose()?;
    let empty = broker.as_ref().and_then(|broker| broker.usage().ok().flatten());
    let folder = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
    let script_plan = script_plan(plan, name, broker.as_ref());
    let process = start_script(own, &script_plan, folder.path(), guard);
    let mut process = process.map_err(|error| failed(error.to_string()))?;
    let line = process.first_line().map_err(|error| failed(error.to_string()))?;
    let ready: Ready = serde_json::from_str(&line).map_err(|_| failed(format!("it says `{line}`")))?;
    let (pid, empty_rss_bytes) = match &broker {
        Some(broker) => (broker.pid, empty.map(|usage| usage.rss_bytes)),
        None => (Some(ready.fan_out_pid), Some(ready.rss_before_bytes)),
    };
    let before = pid.and_then(|pid| usage_of(pid).ok());
    let rss = before.zip(empty_rss_bytes).map(|(usage, empty_rss_bytes)| {
        (usage.rss_bytes as f64 - empty_rss_bytes as f64) / plan.run.subscribers as f64
    });
    progress.phase("sending");
    let answer = run(process, turn, pid, progress).map_err(failed)?;
    let workload = plan.run.workload();
    let (deliveries, sent) =
        read(&answer.text, &workload, plan.run.subscribers, &script_plan.sends).map_err(failed)?;
    let missing = deliveries.totals.lost;
    let ending = match missing {
        0 => Ending::Complete,
        missing => Ending::Failed(format!("{missing} deliveries are missing")),
    };
    // The sockets of other systems are their own business.
    let own = Endpoint::Tcp { host: "127.0.0.1".into(), port: 0 };
    let endpoint = broker.as_ref().map_or(own, |broker| broker.subscribe_at.clone());
    let mut run = sum_up(&plan.plan_of(name, endpoint), sent, deliveries, ending);
    let about = Label { name, round, clients, rss_per_subscriber_bytes: rss };
    label(&about, before.zip(answer.usage), &mut run.record);
    run.record.reactor = broker.map(|_| plan.run.reactor.to_string());
    let note = format!("own clients, in Python: a process for each of {} cores", plan.threads);
    run.record.notes.push(note);
    Ok((Some(ready.version), vec![run]))
}

/// The script's output after the order to go.
struct Answer {
    text: String,
    usage: Option<Usage>,
}

/// Lets it go and reads all that it says.
fn run(
    mut process: Process,
    turn: &Turn<'_>,
    pid: Option<u32>,
    progress: &mut Progress,
) -> Result<Answer, String> {
    let (mut stdin, mut stdout) = process.pipes().ok_or("its pipes are not there")?;
    writeln!(stdin, "go").map_err(|error| format!("it takes no orders: {error}"))?;
    let reader = spawn_plain("swarm-stdout", move || {
        let (mut first, mut rest) = (String::new(), String::new());
        let read = stdout.read_line(&mut first).and_then(|_| {
            // The figures are there: what the fan-out cost is read before it ends.
            let usage = pid.and_then(|pid| usage_of(pid).ok());
            drop(stdin);
            std::io::Read::read_to_string(&mut stdout, &mut rest).map(|_| usage)
        });
        read.map(|usage| Answer { text: first + &rest, usage })
    });
    let reader = reader.map_err(|error| error.to_string())?;
    let (began, duration) = (Instant::now(), turn.contest.duration());
    while !reader.is_finished() {
        pause(LOOK_EVERY);
        if turn.interrupt.is_set() {
            process.end();
        }
        let done = (began.elapsed().as_secs_f64() / duration.as_secs_f64()).min(1.0);
        let left = duration.checked_sub(began.elapsed());
        progress.update(&Position { done, left, ..Position::default() });
    }
    let Ok(answer) = reader.join() else { return Err("its stdout cannot be read".into()) };
    let answer = answer.map_err(|error| error.to_string())?;
    match answer.text.is_empty() {
        true => Err(process.failure().unwrap_or_else(|| "it says nothing of what it measured".into())),
        false => Ok(answer),
    }
}

/// The same messages and the same interest as those of everybody else.
fn script_plan(plan: &Contest, name: PeerName, broker: Option<&Server>) -> ScriptPlan {
    let workload = plan.run.workload();
    let (separator, any) = match name.system {
        System::Zenoh => ('/', "*"),
        System::CorecastPython => ('.', "*"),
        _ => ('.', ""),
    };
    let topics = Topics::of_peers(workload, separator);
    let choice = TopicChoice::new(&workload);
    let messages = messages_in(plan.duration(), plan.rate_hz());
    let sends = |publisher: usize| {
        (0..messages).map(|sequence| choice.topic(PublisherIndex(publisher as u32), sequence)).collect()
    };
    let written = |subscriber| topics.filter_names(subscriber).iter().map(|name| name.written(any)).collect();
    ScriptPlan {
        broker: broker.map(|broker| broker.subscribe_at.to_string()),
        sessions: plan.sessions_of(name).to_string(),
        reactor: plan.run.reactor.to_string(),
        processes: plan.threads,
        size: plan.run.size_bytes,
        rate: plan.rate_hz(),
        topics: topics.names().collect(),
        sends: (0..workload.publishers).map(sends).collect(),
        wants: (0..plan.run.subscribers).map(|subscriber| workload.wanted_by(subscriber)).collect(),
        filters: (0..plan.run.subscribers).map(written).collect(),
    }
}

/// For each message the topic, and its number among its publisher's messages on it.
fn numbered(sends: &[u32]) -> Vec<(u32, u64)> {
    let mut counts: HashMap<u32, u64> = HashMap::new();
    let numbered = sends.iter().map(|topic| {
        let count = counts.entry(*topic).or_default();
        *count += 1;
        (*topic, *count - 1)
    });
    numbered.collect()
}

/// A line of JSON, then `subscriber,publisher,id,latency in ns`. `sends` has the topic of each message of each publisher.
fn read(
    text: &str,
    workload: &Workload,
    subscribers: usize,
    sends: &[Vec<u32>],
) -> Result<(Deliveries, Sent), String> {
    let (first, rows) = text.split_once('\n').unwrap_or((text, ""));
    let done: Done = serde_json::from_str(first).map_err(|_| format!("it says `{first}`"))?;
    let messages: Vec<Vec<(u32, u64)>> = sends.iter().map(|sends| numbered(sends)).collect();
    let mut oracle = Oracle::new(*workload, Interest::of(workload, 0..subscribers));
    let mut deliveries = Deliveries::new(workload.publishers);
    for row in rows.lines() {
        let wrong = || format!("it says `{row}`");
        let mut numbers = row.split(',').map(|number| number.parse::<u64>().ok());
        let mut next = || numbers.next().flatten().ok_or_else(wrong);
        let (subscriber, publisher, sequence, latency_ns) = (next()? as usize, next()?, next()?, next()?);
        let of_publisher = messages.get(publisher as usize).filter(|_| subscriber < subscribers);
        let (topic, number) =
            *of_publisher.and_then(|messages| messages.get(sequence as usize)).ok_or_else(wrong)?;
        let publisher = PublisherIndex(publisher as u32);
        let stamp = Stamp { publisher, sequence, intended: MonotonicNs(0), topic, number };
        if oracle.arrived(subscriber, &stamp) {
            deliveries.latencies.record_ns(latency_ns);
            deliveries.spread.record(publisher, sequence, latency_ns);
        }
    }
    let sent: Vec<u64> = sends.iter().map(|sends| sends.len() as u64).collect();
    deliveries.totals = oracle.totals(&workload.sent_on(&sent));
    deliveries.last_arrival = (done.last_arrival_ns > 0).then_some(MonotonicNs(done.last_arrival_ns));
    Ok((deliveries, done.sent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::workload::tests::shared;

    const DONE: &str =
        r#"{"sent": 2, "intended": 2, "late": 0, "started_ns": 1000, "last_arrival_ns": 3000}"#;

    #[test]
    fn its_deliveries_are_accounted_for_as_ours_are() {
        let text = format!("{DONE}\n0,0,0,500\n0,0,1,700\n1,0,1,900\n1,0,1,900\n");
        let (deliveries, sent) = read(&text, &Workload::own(1), 2, &[vec![0, 0]]).unwrap();
        let totals = deliveries.totals;
        assert_eq!((totals.expected, totals.delivered, totals.lost, totals.duplicated), (4, 3, 1, 1));
        assert_eq!((sent.sent, deliveries.latencies.len()), (2, 3));
        let (first, last) = deliveries.spread.distributions();
        assert_eq!((first.len(), last.len()), (2, 2));
    }

    #[test]
    fn a_delivery_counts_on_its_topic() {
        let workload = shared(2, 3, 1);
        let sends: Vec<Vec<u32>> = (0..2)
            .map(|publisher| {
                let choice = TopicChoice::new(&workload);
                (0..9).map(|sequence| choice.topic(PublisherIndex(publisher), sequence)).collect()
            })
            .collect();
        let wanted = workload.wanted_by(0)[0];
        let rows = sends.iter().enumerate().flat_map(|(publisher, sends)| {
            let of_topic = sends.iter().enumerate().filter(|(_, topic)| **topic == wanted);
            of_topic.map(move |(sequence, _)| format!("0,{publisher},{sequence},5\n"))
        });
        let rows: Vec<String> = rows.collect();
        let (deliveries, _) = read(&format!("{DONE}\n{}", rows.concat()), &workload, 1, &sends).unwrap();
        let totals = deliveries.totals;
        assert_eq!((totals.delivered, totals.expected), (rows.len() as u64, rows.len() as u64));
        assert_eq!((totals.lost, totals.reordered, totals.misdelivered), (0, 0, 0));
        let other = sends[0].iter().position(|topic| *topic != wanted).unwrap();
        let (deliveries, _) = read(&format!("{DONE}\n0,0,{other},5\n"), &workload, 1, &sends).unwrap();
        assert_eq!(deliveries.totals.misdelivered, 1);
    }

    #[test]
    fn what_is_no_measurement_is_said() {
        for (text, says) in [
            ("Traceback", "it says `Traceback`"),
            (&format!("{DONE}\n0,0,x,1")[..], "it says `0,0,x,1`"),
            (&format!("{DONE}\n9,0,0,1")[..], "it says `9,0,0,1`"),
            (&format!("{DONE}\n0,0,2,1")[..], "it says `0,0,2,1`"),
            (&format!("{DONE}\n0,1,0,1")[..], "it says `0,1,0,1`"),
        ] {
            let Err(error) = read(text, &Workload::own(1), 2, &[vec![0, 0]]) else {
                panic!("{text} was read")
            };
            assert_eq!(error, says);
        }
    }
}
