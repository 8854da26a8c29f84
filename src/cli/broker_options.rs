//! The options of `corecast broker`: from the command line, the environment and a config file, to a broker that can be started.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::config_file::ConfigFile;
use super::http_address::HttpAddress;
use super::live_files::LiveFiles;
use super::log_options::LogOptions;
use super::serving::Serving;
use super::settings::{InForce, Settings};
use super::{Failure, Sources};
use crate::broker::BrokerConfig;
use crate::control::{SendOff, check_http_exposure};
use crate::error::Error;
use crate::{Endpoint, ListenConfig, TlsServerFiles, Users};

#[derive(Args, Clone, Debug)]
pub(super) struct BrokerOptions {
    /// Config file, in TOML: options by their names. The environment and the command line take precedence.
    #[arg(long = "config", value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    pub(super) config: Settings<BrokerConfig>,

    #[command(flatten)]
    pub(super) listeners: Settings<ListenConfig>,

    #[command(flatten)]
    tls: Settings<TlsServerFiles>,

    #[command(flatten)]
    pub(super) serving: Settings<Serving>,

    /// As it was before a config file was read.
    #[arg(skip)]
    typed: Option<Box<AsTyped>>,
}

/// The options of a broker by its command line and its environment alone.
#[derive(Clone, Debug)]
pub(super) struct AsTyped {
    pub(super) options: BrokerOptions,
    pub(super) logs: Settings<LogOptions>,
    pub(super) sources: Sources,
}

impl BrokerOptions {
    /// Reads the config file, if one is named, and takes up what it says and nothing stronger does. The options of logs are
    /// those of the whole command.
    ///
    /// # Errors
    /// The file cannot be read, or something in it is wrong.
    pub(super) fn read_file(
        &mut self,
        logs: &mut Settings<LogOptions>,
        sources: &mut Sources,
    ) -> Result<(), Failure> {
        let Some(path) = &self.file else { return Ok(()) };
        let file = ConfigFile::read_named(path)?;
        let typed = AsTyped { options: self.clone(), logs: logs.clone(), sources: sources.clone() };
        self.typed = Some(Box::new(typed));
        self.take_up(&file, logs, sources)
    }

    fn take_up(
        &mut self,
        file: &ConfigFile,
        logs: &mut Settings<LogOptions>,
        sources: &mut Sources,
    ) -> Result<(), Failure> {
        let file = file.of_broker();
        self.config.fill(&file, sources)?;
        self.listeners.fill(&file, sources)?;
        self.tls.fill(&file, sources)?;
        self.serving.fill(&file, sources)?;
        logs.fill(&file, sources)
    }

    /// The file of the certificate of its listeners.
    pub(super) fn certificate(&self) -> Option<PathBuf> {
        self.tls.0.tls_cert.clone()
    }

    /// The same before a config file was read; none without one.
    pub(super) fn typed(&self) -> Option<Box<AsTyped>> {
        self.typed.clone()
    }

    /// The value of each option.
    pub(super) fn in_force(&self, logs: &Settings<LogOptions>) -> InForce {
        let mut values = InForce::default();
        self.config.note_in(&mut values);
        self.listeners.note_in(&mut values);
        self.tls.note_in(&mut values);
        self.serving.note_in(&mut values);
        logs.note_in(&mut values);
        values
    }

    /// The options of a config file, over defaults alone.
    pub(super) fn of_file(file: &ConfigFile) -> Result<BrokerOptions, Failure> {
        let mut options = BrokerOptions {
            file: None,
            config: Settings(BrokerConfig::default()),
            listeners: Settings(ListenConfig::default()),
            tls: Settings(TlsServerFiles::default()),
            serving: Settings(Serving::default()),
            typed: None,
        };
        options.take_up(file, &mut Settings(LogOptions::default()), &mut Sources::default())?;
        Ok(options)
    }

    /// The broker that these options ask for, as far as they can be checked before it starts.
    ///
    /// # Errors
    /// Options that are wrong together, or a certificate that cannot be read.
    pub(super) fn prepare(self) -> Result<Prepared, Error> {
        let certificate = self.tls.0;
        let Serving {
            drain_timeout,
            drain_to,
            drain_spread,
            metrics,
            http_token_file,
            engine_wait,
            core_dumps,
        } = self.serving.0;
        let send_off = SendOff::new(&drain_to, drain_spread);
        let send_off = send_off.map_err(|error| Error::of_field("drain_to", error.to_string()))?;
        let listeners = self.listeners.0.tls(certificate.read()?);
        let config = self.config.0.listeners(listeners);
        config.validate()?;
        check_that_all_is_of_use(&config, &metrics, http_token_file.is_some())?;
        check_that_addresses_differ(&config, &metrics)?;
        // A broker is ready when it has its history.
        let engine_wait = engine_wait || config.engine_history;
        if engine_wait && config.engine.is_empty() {
            return Err(Error::of_field("engine_wait", "it is of no use without --engine URL"));
        }
        let files = LiveFiles { users: config.users.clone(), certificate, http_token: http_token_file };
        Ok(Prepared { config, files, drain_timeout, send_off, metrics, engine_wait, core_dumps })
    }
}

/// A broker whose options have been checked.
pub(super) struct Prepared {
    pub(super) config: BrokerConfig,
    pub(super) files: LiveFiles,
    pub(super) drain_timeout: Duration,
    pub(super) send_off: SendOff,
    pub(super) metrics: Vec<HttpAddress>,
    pub(super) engine_wait: bool,
    pub(super) core_dumps: bool,
}

impl Prepared {
    /// Reads the other files that it names, as its start would.
    ///
    /// # Errors
    /// The first that cannot be read, or that something is wrong with.
    pub(super) fn read_files(&self) -> Result<(), Error> {
        if let Some(path) = &self.config.users {
            Users::read(path).map_err(|e| Error::of_field("users", e.to_string()))?;
        }
        self.files.read_http_token().map(drop)
    }

    /// Checks that what other hosts reach is protected, as its start would, as far as addresses tell who reaches it.
    ///
    /// # Errors
    /// The first listener that lacks protection.
    pub(super) fn check_exposure(&self) -> Result<(), Error> {
        if self.config.insecure {
            return Ok(());
        }
        self.config.check_exposure()?;
        let has_token = self.files.http_token.is_some();
        self.metrics.iter().try_for_each(|address| check_http_exposure(&address.0, has_token))
    }
}

/// Refuses options that would have no effect: whoever gives them means something else.
fn check_that_all_is_of_use(
    config: &BrokerConfig,
    metrics: &[HttpAddress],
    has_token: bool,
) -> Result<(), Error> {
    if has_token && metrics.is_empty() {
        return Err(Error::of_field("http_token_file", "it is of no use without --metrics ADDRESS"));
    }
    let is_encrypted = config.listen.iter().any(Endpoint::is_encrypted);
    let serves_https = metrics.iter().any(HttpAddress::is_encrypted);
    match &config.listeners.tls {
        Some(_) if !is_encrypted && !serves_https => Err(Error::of_field(
            "tls_cert",
            "it is of no use: no address to listen on is tls://HOST:PORT; write --listen tls://HOST:PORT",
        )),
        None if serves_https => Err(Error::of_field(
            "metrics",
            "https:// needs a certificate: --tls-cert FILE and --tls-key FILE; `corecast cert` makes them",
        )),
        _ => Ok(()),
    }
}

/// Refuses two listeners at one address: at the start, the second would find that another process has it.
fn check_that_addresses_differ(config: &BrokerConfig, metrics: &[HttpAddress]) -> Result<(), Error> {
    let doors = config.doors().map(|(_, endpoint, field)| (endpoint, field));
    let all: Vec<_> = doors.chain(metrics.iter().map(|address| (&address.0, "metrics"))).collect();
    for (at, (endpoint, field)) in all.iter().enumerate() {
        let Some((other, of)) = all[..at].iter().find(|(other, _)| is_one_place(endpoint, other)) else {
            continue;
        };
        let why = match (field == of, endpoint == other) {
            (true, true) => format!("{endpoint} is there twice"),
            (true, false) => format!("{other} takes the port of {endpoint} as well"),
            (false, _) => format!("{endpoint} is taken: --{} has {other}", of.replace('_', "-")),
        };
        return Err(Error::of_field(field, why));
    }
    Ok(())
}

/// True if only one socket can listen at both; port 0 is a free port each time.
fn is_one_place(one: &Endpoint, other: &Endpoint) -> bool {
    let place = |endpoint: &Endpoint| match endpoint {
        Endpoint::Tcp { host, port } | Endpoint::Tls { host, port, .. } => Some((host.clone(), *port)),
        Endpoint::Uds { .. } => None,
    };
    match (place(one), place(other)) {
        (Some((host, port)), Some((other, same))) => {
            port == same && port != 0 && (host == other || host == "*" || other == "*")
        }
        (None, None) => one == other,
        _ => false,
    }
}
