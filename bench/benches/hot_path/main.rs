//! Micro-benchmarks of the hot path: what a message costs in pure code, without sockets, clocks or other threads.
//!
//! `cargo bench -p corecast-bench --bench hot_path` times every case; `scripts/perf-gate.sh` has the
//! same cases counted, instruction by instruction, for two commits; `cargo test` runs each once. A case is written
//! once, and `case` has the list.
//!
//! | file | owns |
//! |---|---|
//! | `case` | what a case is, and the list of them |
//! | `count` | a fixed number of iterations, for whoever counts instructions |
//! | `time` | the same by the clock |
//! | `rig` | a shard with clients that need no sockets, and what they say |
//! | `wire` | encoding frames; finding and checking them in what was read |
//! | `route` | from topics to routes, known ones and new ones |
//! | `egress` | a batch to the queues of an egress group, and a flush of them |
//! | `partial` | full reads to sessions each of which wants a part of them |
//! | `subscribe` | filters that one client asks for, the first and the last of very many |
//! | `publish` | a publisher's read to a subscriber, by anybody and by a user |
//! | `hop` | a publisher's read made a batch for another shard, and the link between the two |

mod case;
mod count;
mod egress;
mod hop;
mod partial;
mod publish;
mod rig;
mod route;
mod subscribe;
mod time;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["cases"] => count::list(),
        ["count", name, iterations] => count::run(name, iterations),
        // `cargo bench` says so, and passes on what is Criterion's: a filter, baselines.
        _ if words.contains(&"--bench") => time::run(),
        // `cargo test` has nothing to say that matters here.
        _ => count::once(),
    }
}
