//! Owns what a running broker does when it is asked to reload: it reads its config file again, takes up what can change while it
//! runs, and names what cannot. Then it reads the files that its options name.

use std::fmt::Write as _;

use super::broker_options::{AsTyped, BrokerOptions};
use super::config_file::grammar;
use super::live_files::{LiveFiles, Reloaded};
use super::log_options::LogOptions;
use super::settings::{InForce, Settings};
use super::{Failure, Sources};
use crate::broker::Broker;
use crate::config::file::written;
use crate::control::HttpRenewal;
use crate::telemetry::{count_reload, set_log_level};

/// The options of a running broker.
pub(super) struct LiveConfig {
    /// As its command line and its environment say; none without a config file.
    typed: Option<Box<AsTyped>>,
    in_force: InForce,
    files: LiveFiles,
    /// The level of the logs where no option chooses one.
    level_default: &'static str,
}

/// Options that name the files of which a running broker takes another in the place of the one it had.
const FILES: [&str; 3] = ["users", "tls-cert", "http-token-file"];

/// Options that go with `tls-cert`.
const OF_CERTIFICATE: [&str; 3] = ["tls-key", CLIENT_AUTHORITY, "tls-clients"];

/// The option by which clients have to show certificates.
const CLIENT_AUTHORITY: &str = "tls-client-ca";

const LOG_LEVEL: &str = "log-level";

impl LiveConfig {
    pub(super) fn new(
        options: &BrokerOptions,
        logs: &Settings<LogOptions>,
        files: LiveFiles,
        level_default: &'static str,
    ) -> Self {
        LiveConfig { typed: options.typed(), in_force: options.in_force(logs), files, level_default }
    }

    /// True if there is something to read again.
    pub(super) fn can_reload(&self) -> bool {
        self.typed.is_some() || self.files.are_there()
    }

    /// Reads everything again. What is at fault anywhere changes nothing. The outcome is logged and counted.
    pub(super) fn reload(&mut self, broker: &Broker, http: &[HttpRenewal]) -> Reloaded {
        let outcome = self.follow(broker, http);
        match &outcome {
            Ok(done) => done.lines().for_each(|line| tracing::info!("{line}")),
            Err(fault) => fault.lines().for_each(|line| tracing::error!("{line}")),
        }
        outcome
    }

    fn follow(&mut self, broker: &Broker, http: &[HttpRenewal]) -> Reloaded {
        let Some(typed) = &self.typed else {
            let done = self.files.follow(broker, http)?;
            return Ok(match done.as_str() {
                "" => "there is nothing to read again: the broker has neither --config, nor --users, nor --tls-cert, nor \
                       --http-token-file\n"
                    .to_owned(),
                _ => done,
            });
        };
        let next = Next::read(typed).map_err(|failure| {
            count_reload(false);
            format!("the config file is not followed, and nothing changes\n{failure}")
        })?;
        let changes = Changes::between(&self.in_force, &next.in_force);
        let files = changes.files(&self.files, &next.files);
        let done = files.follow(broker, http)?;
        self.files = files;
        if changes.live.contains(&LOG_LEVEL) {
            let level = next.in_force.get(LOG_LEVEL).first().map_or(self.level_default, String::as_str);
            set_log_level(level).map_err(|error| format!("{error}\n"))?;
        }
        let told = changes.told(&self.in_force, &next);
        for key in changes.live {
            self.in_force.copy(key, &next.in_force);
        }
        Ok(told + &done)
    }
}

/// The options as the command line, the environment and the file say them now.
struct Next {
    in_force: InForce,
    files: LiveFiles,
    sources: Sources,
}

impl Next {
    /// # Errors
    /// Whatever would keep a broker from starting.
    fn read(typed: &AsTyped) -> Result<Next, Failure> {
        let AsTyped { mut options, mut logs, mut sources } = typed.clone();
        options.read_file(&mut logs, &mut sources)?;
        let in_force = options.in_force(&logs);
        match options.prepare() {
            Ok(prepared) => Ok(Next { in_force, files: prepared.files, sources }),
            Err(error) => Err(Failure::from(error).name_source(&sources)),
        }
    }
}

/// The options that have another value than before.
struct Changes {
    /// Those that a running broker takes up.
    live: Vec<&'static str>,
    /// Those that need a restart.
    restart: Vec<&'static str>,
}

impl Changes {
    fn between(before: &InForce, now: &InForce) -> Changes {
        let differs = |key: &str| before.get(key) != now.get(key);
        let stays_set = |key: &str| !before.get(key).is_empty() && !now.get(key).is_empty();
        // A file that has lost a line, half-written perhaps, must not let in whoever shows no certificate.
        let keeps_authority = before.get(CLIENT_AUTHORITY).is_empty() || stays_set(CLIENT_AUTHORITY);
        let is_live = |key: &str| match key {
            LOG_LEVEL => true,
            "tls-cert" => stays_set(key) && keeps_authority,
            key if OF_CERTIFICATE.contains(&key) => stays_set("tls-cert") && keeps_authority,
            key => FILES.contains(&key) && stays_set(key),
        };
        let grammar = grammar();
        let keys = grammar.section(None).into_iter().flat_map(|section| &section.keys);
        let changed = keys.map(|key| key.key).filter(|key| differs(key));
        let (live, restart) = changed.partition(|key| is_live(key));
        Changes { live, restart }
    }

    /// The files to follow: new ones where they take the place of old ones.
    fn files(&self, before: &LiveFiles, now: &LiveFiles) -> LiveFiles {
        let is_live = |key: &&str| self.live.contains(key);
        let has_certificate = ["tls-cert"].iter().chain(&OF_CERTIFICATE).any(is_live);
        LiveFiles {
            users: if is_live(&"users") { &now.users } else { &before.users }.clone(),
            certificate: if has_certificate { &now.certificate } else { &before.certificate }.clone(),
            http_token: if is_live(&"http-token-file") { &now.http_token } else { &before.http_token }
                .clone(),
        }
    }

    /// Lines for people.
    fn told(&self, before: &InForce, next: &Next) -> String {
        let grammar = grammar();
        let Some(section) = grammar.section(None) else { return String::new() };
        let line = |key: &str, values: &InForce| {
            section.get(key).map_or_else(String::new, |key| written(key, values.get(key.key)))
        };
        let mut told = match (&self.live[..], &self.restart[..]) {
            ([], []) => "the config file is read again, and changes nothing\n".to_owned(),
            _ => String::new(),
        };
        for key in &self.live {
            let _ =
                writeln!(told, "the config file is read again: {} from now on", line(key, &next.in_force));
        }
        for key in &self.restart {
            let source = section.get(key).and_then(|key| next.sources.unseen(key.field));
            let source = source.map(|source| format!(" ({source})")).unwrap_or_default();
            let (old, new) = (line(key, before), line(key, &next.in_force));
            let _ = writeln!(told, "only a restart takes up {new}{source}: until then it is {old}");
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_force(values: &[(&'static str, &str)]) -> InForce {
        values.iter().fold(InForce::default(), |all, (key, value)| all.with(key, value))
    }

    #[test]
    fn a_file_without_the_authority_of_clients_changes_nothing_about_certificates() {
        let before = in_force(&[("tls-cert", "a.pem"), ("tls-key", "a.key"), ("tls-client-ca", "ca.pem")]);
        for now in [
            &[("tls-cert", "b.pem"), ("tls-key", "b.key")][..],
            &[("tls-cert", "a.pem"), ("tls-key", "a.key")],
        ] {
            let changes = Changes::between(&before, &in_force(now));
            assert_eq!(changes.live, [""; 0], "{now:?}");
            assert!(changes.restart.contains(&"tls-client-ca"));
        }
        let other = in_force(&[("tls-cert", "b.pem"), ("tls-key", "b.key"), ("tls-client-ca", "ca2.pem")]);
        assert_eq!(Changes::between(&before, &other).restart, [""; 0]);
        let without = in_force(&[("tls-cert", "a.pem"), ("tls-key", "a.key")]);
        assert_eq!(Changes::between(&without, &before).live, ["tls-client-ca"], "it may be added");
    }
}
