//! `corecast curve-keygen`: makes a pair of CURVE keys for ZeroMQ.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::new_file::write_new;
use super::output::Format;
use super::{Exit, Failure};
use crate::zmtp::curve::{KeyPair, public_text, secret_text};

const EXAMPLES: &str = "\
Examples:
  corecast curve-keygen broker                     # writes broker.key and broker.key_secret
  corecast broker --zmtp tcp://127.0.0.1:5555 --zmtp-curve-key broker.key_secret

It prints the public key. Both files are certificates as pyzmq's zmq.auth and CZMQ read them. Clients need the public key of \
the broker and a pair of their own; NAME.key_secret is for its owner alone (mode 0600).";

/// Make a pair of CURVE keys, for ZeroMQ clients or for the broker they connect to.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct CurveKeygenArgs {
    /// Path of the files, without their endings .key and .key_secret, which must not exist yet.
    name: PathBuf,

    /// Output format: text for the public key alone, or json for an object with it and the paths of the files.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn run(args: CurveKeygenArgs) -> Result<Exit, Failure> {
    let pair = KeyPair::generate();
    let (public, secret) = (with_ending(&args.name, ".key"), with_ending(&args.name, ".key_secret"));
    write_new(&secret, 0o600, secret_text(&pair).as_bytes())?;
    if let Err(failure) = write_new(&public, 0o644, public_text(&pair).as_bytes()) {
        // Half of a pair would be in the way of the next attempt.
        let _ = fs::remove_file(&secret);
        return Err(failure);
    }
    let facts = json!({
        "public_key": pair.public().to_string(),
        "public_key_file": public.display().to_string(),
        "secret_key_file": secret.display().to_string(),
    });
    args.output.print(|| format!("{}\n", pair.public()), &facts)?;
    Ok(Exit::Fine)
}

fn with_ending(name: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(name);
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::zmtp::curve::parse;

    #[test]
    fn keys_are_written_once_and_the_secret_one_for_its_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let name = folder.path().join("broker.of.ours");
        let make = || run(CurveKeygenArgs { name: name.clone(), output: Format::Json });
        assert_eq!(make(), Ok(Exit::Fine));
        let mut files: Vec<_> = fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("a file").path())
            .collect();
        files.sort();
        let [public, secret] = &files[..] else { unreachable!("two files: {files:?}") };
        assert!(public.ends_with("broker.of.ours.key") && secret.ends_with("broker.of.ours.key_secret"));
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(secret), 0o600);
        let text = fs::read_to_string(secret).expect("text");
        let pair = parse(&text).expect("a pair");
        let shown = fs::read_to_string(public).expect("text");
        assert!(shown.contains(&pair.public().to_string()) && parse(&shown).is_err());
        assert!(make().is_err(), "nothing is overwritten");
        assert_eq!(fs::read_to_string(secret).expect("text"), text);
        fs::remove_file(secret).expect("removed");
        assert!(make().is_err() && !secret.exists(), "nor half of a pair left");
    }
}
