//! Figures that the kernel counts for the process, read when somebody asks for the page: never by a shard.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

/// The unit of times in /proc, in hertz: the same on each architecture that Linux has but Alpha.
const USER_HZ: f64 = 100.0;

/// The number of open descriptors.
pub(super) fn open_files() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    // Since Linux 6.2 the size of the folder is their number; before that it is 0. Listing them takes a descriptor itself.
    match fs::metadata(FOLDER).ok()?.size() {
        0 => Some(fs::read_dir(FOLDER).ok()?.count() as u64 - 1),
        files => Some(files),
    }
}

/// The memory that is really there.
pub(super) fn resident_bytes() -> Option<u64> {
    status_bytes("VmRSS:")
}

/// The memory that the process has asked for.
pub(super) fn virtual_bytes() -> Option<u64> {
    status_bytes("VmSize:")
}

fn status_bytes(name: &str) -> Option<u64> {
    parse_status_kib(&fs::read_to_string("/proc/self/status").ok()?, name).map(|kib| 1024 * kib)
}

/// The CPU time of all threads so far, in seconds.
pub(super) fn cpu_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    Some((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
}

/// The start of the process, in seconds of Unix time. It is read once: a clock that is set later does not move it.
pub(super) fn started_at_unix_s() -> Option<f64> {
    static STARTED_AT: OnceLock<Option<f64>> = OnceLock::new();
    *STARTED_AT.get_or_init(|| {
        let ticks = parse_start_ticks(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let booted_at = parse_boot_time(&fs::read_to_string("/proc/stat").ok()?)?;
        Some(booted_at as f64 + ticks as f64 / USER_HZ)
    })
}

/// A line of memory in /proc/PID/status, see proc_pid_status(5).
fn parse_status_kib(status: &str, name: &str) -> Option<u64> {
    let amount = status.lines().find_map(|line| line.strip_prefix(name))?;
    amount.trim().strip_suffix(" kB")?.parse().ok()
}

/// Field 22 of /proc/PID/stat, see proc_pid_stat(5). Field 2, the name in brackets, may have spaces and brackets itself.
fn parse_start_ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

/// The time of the boot in /proc/stat, in seconds of Unix time, see proc_stat(5).
fn parse_boot_time(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn fields_are_found_whatever_the_name_of_the_process_is() {
        let fields: Vec<String> = (3..=52).map(|field| (field * 10).to_string()).collect();
        let stat = format!("7 (a) b (c d) {}\n", fields.join(" "));
        assert_eq!(parse_start_ticks(&stat), Some(220));
        assert_eq!(parse_start_ticks("7 (a) 1 2"), None);
        assert_eq!(parse_boot_time("cpu  1 2\nbtime 1700000000\nprocesses 3\n"), Some(1_700_000_000));
        assert_eq!(parse_status_kib("VmHWM:\t    99 kB\nVmRSS:\t   25 kB\n", "VmRSS:"), Some(25));
        assert_eq!(parse_status_kib("VmHWM:\t    99 kB\n", "VmRSS:"), None);
    }

    #[test]
    fn the_kernel_gives_figures_of_this_process() {
        // Other tests open and close files meanwhile: these are more than they hold.
        let held: Vec<File> = (0..300).map(|_| File::open("/dev/null").expect("it is there")).collect();
        let open = open_files().expect("it is counted");
        assert!((held.len() as u64..5_000).contains(&open), "{open}");
        let resident = resident_bytes().expect("it is counted");
        assert!((1 << 20..1 << 36).contains(&resident), "{resident}");
        assert!(virtual_bytes().expect("it is counted") > resident);
        let before = cpu_seconds().expect("it is counted");
        while cpu_seconds().expect("it is counted") <= before {}
        assert!((0.0..36_000.0).contains(&before), "{before}");
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs_f64();
        let age_s = now_s - started_at_unix_s().expect("it is counted");
        assert!((-2.0..3_600.0).contains(&age_s), "{age_s}");
    }
}
