//! The corpus of the fuzz targets, run through them without a fuzzer: past findings stay covered. `scripts/fuzz.sh`
//! looks for more.

#[expect(unreachable_pub, reason = "it is a library to the fuzzer")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::path::PathBuf;

fn run(name: &str, target: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let entries = std::fs::read_dir(&folder).expect("there is a corpus");
    let mut inputs: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    inputs.sort_unstable();
    assert!(inputs.len() > 10, "{} inputs in {}", inputs.len(), folder.display());
    for input in inputs {
        target(&std::fs::read(&input).expect("a file"));
    }
}

#[test]
fn greeting() {
    run("greeting", targets::greeting);
}

#[test]
fn engine() {
    run("engine", targets::engine);
}

#[test]
fn frames() {
    run("frames", targets::frames);
}

#[test]
fn mechanisms() {
    run("mechanisms", targets::mechanisms);
}

#[test]
fn runs() {
    run("runs", targets::runs);
}

#[test]
fn ticket() {
    run("ticket", targets::ticket);
}

#[test]
fn session() {
    run("session", targets::session);
}

#[test]
fn tls() {
    run("tls", targets::tls);
}

#[test]
fn users() {
    run("users", targets::users);
}
