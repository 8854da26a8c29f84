//! The findings of `corecast doctor` on files of a broker: its config file, users, certificate, and key of CURVE.

use std::path::Path;
use std::time::{Duration, SystemTime};

use corecast_executors::{Finding, Level};

use super::Failure;
use super::broker_options::BrokerOptions;
use super::config_command::check_file;
use super::config_file::ConfigFile;
use crate::Users;
use crate::auth::ANONYMOUS;
use crate::broker::CurveServerKey;
use crate::transport::CertificateFacts;

/// Validity that a certificate should have left: time for people to notice.
const CERTIFICATE_LEFT_MIN: Duration = Duration::from_secs(30 * 86_400);

const RENEW: &str =
    "make another, such as with `corecast cert server`, and have the broker read it: `corecast reload`";

const USERS_FIX: &str = "mend that, then `corecast user check`: a broker does not start with such a file, and a running one \
     goes on with the users it has";

const CONFIG_FIX: &str = "mend that, then `corecast config check`: a broker does not start with such a file, and a running one \
     changes nothing";

/// A finding; it has the fix unless all is well.
pub(super) fn finding(name: &'static str, level: Level, found: String, fix: &str) -> Finding {
    let fix = (level != Level::Ok).then(|| fix.to_owned());
    Finding { name, level, found, fix }
}

/// The findings on a config file, one for each fault; and the options of a broker with it, if it is well.
pub(super) fn config(path: &Path) -> (Vec<Finding>, Option<BrokerOptions>) {
    match read_config(path) {
        Ok((count, options)) => {
            let plural = if count == 1 { "" } else { "s" };
            let found =
                format!("{}: {count} option{plural}, and the files that it names are well", path.display());
            (vec![finding("config", Level::Ok, found, "")], Some(options))
        }
        Err(failure) => {
            let of_fault = |fault: &String| finding("config", Level::Error, fault.clone(), CONFIG_FIX);
            (failure.texts().iter().map(of_fault).collect(), None)
        }
    }
}

/// The number of options of a file that is well, and a broker with them.
fn read_config(path: &Path) -> Result<(usize, BrokerOptions), Failure> {
    let file = ConfigFile::read(path)?;
    check_file(&file)?;
    Ok((file.values().len(), BrokerOptions::of_file(&file)?))
}

/// The finding on a certificate: whether clients would take it, and for how long.
pub(super) fn certificate(path: &Path) -> Finding {
    let finding = |level, found, fix| finding("certificate", level, found, fix);
    let facts = match CertificateFacts::read("tls_cert", path) {
        Ok(facts) => facts,
        Err(error) => {
            return finding(
                Level::Error,
                error.without_field().to_string(),
                "name a PEM file of a certificate",
            );
        }
    };
    let now = SystemTime::now();
    if let Some(why) = facts.why_not_of_server(now) {
        return finding(Level::Error, format!("{}: {why}", path.display()), RENEW);
    }
    // A broker takes these, for clients that know their fingerprint.
    let only_pinned = match (facts.is_authority, facts.names.is_empty()) {
        (true, _) => Some("it is that of an authority"),
        (false, true) => Some("it is for no host"),
        (false, false) => None,
    };
    if let Some(why) = only_pinned {
        let found = format!("{}: {why}, so that only clients with --pin take it", path.display());
        return finding(Level::Warning, found, RENEW);
    }
    let left = facts.ends_at.duration_since(now).unwrap_or_default();
    let level = if left < CERTIFICATE_LEFT_MIN { Level::Warning } else { Level::Ok };
    let names = facts.names.join(", ");
    finding(level, format!("valid for {} more days, for {names}", left.as_secs() / 86_400), RENEW)
}

/// The finding on a file of users: whether a broker would take it.
pub(super) fn users(path: &Path) -> Finding {
    match Users::read(path) {
        Err(error) => finding("users", Level::Error, error.to_string(), USERS_FIX),
        Ok(users) => {
            let count = users.iter().count();
            let plural = if count == 1 { "" } else { "s" };
            let open = if users.get(ANONYMOUS).is_some() { ", anonymous among them" } else { "" };
            finding("users", Level::Ok, format!("{count} user{plural}{open}"), "")
        }
    }
}

/// The finding on a secret key of CURVE: whether a broker would take it, and the public key that clients need.
pub(super) fn curve_key(path: &Path) -> Finding {
    match CurveServerKey::read(path) {
        Err(error) => {
            let fix = "a broker would not take this file: `corecast curve-keygen` makes one";
            finding("curve key", Level::Error, error.to_string(), fix)
        }
        Ok(key) => is_public(&key),
    }
}

/// The finding on a key that has been read.
pub(super) fn is_public(key: &CurveServerKey) -> Finding {
    finding("curve key", Level::Ok, format!("its public key is {}", key.public()), "")
}
