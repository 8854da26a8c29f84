//! The configuration of a broker: every option once. Checked before anything starts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use corecast_executors::{CoreSet, Idle, open_files_max};

use super::curve_server_key::{CurveServerKey, CurveServerKeyFile};
use super::engine_config::{ClusterName, EngineCredentials, EngineCredentialsFile, EngineUrl, check_cluster};
use crate::auth::{Permissions, TicketSigner, Users};
use crate::config::{Count, FilePath, List, OnOff, One, Optional, Plain, Size, Switch, TimeSpan};
use crate::error::{Error, Result};
use crate::fanout::{OverflowPolicy, QueueBounds};
use crate::limits::{
    EGRESS_BYTES_MAX_DEFAULT, EGRESS_FRAMES_MAX_DEFAULT, ENGINE_BUFFER_BYTES_DEFAULT, ENGINE_SERVERS_MAX,
    FRAME_BYTES_MAX_DEFAULT, FRAME_BYTES_MAX_LEAST, FRAME_BYTES_MAX_LIMIT, HEARTBEAT_DEFAULT, HEARTBEAT_MIN,
    KEEP_AGE_DEFAULT, KEEP_BYTES_DEFAULT, KEEP_BYTES_MIN, LEASE_DEFAULT, LEASE_MIN, MESSAGES_PER_TURN_MAX,
    READ_BYTES_PER_TURN, SESSIONS_PER_SHARD_MAX, SHARDS_MAX, TEXT_BYTES_MAX, TOPIC_BYTES_MAX, TURN_STEPS_MAX,
};
use crate::registry::{Mode, ModeRule, ModeRules};
use crate::shard::{Door, KeepList, KeepRule, PasswordsWaiting, Retention, ShardConfig, StrangerBounds};
use crate::topic::Filter;
use crate::transport::{ConnectConfig, Endpoint, ListenConfig};
use crate::wire::FRAME_BODY_BYTES_MIN;
use crate::zmtp::{Offers, Sides};

configuration! {
    /// Everything that can be chosen about a broker. Each field has a method of its name, to choose it in a chain:
    /// `BrokerConfig::default().shards(2).overflow(OverflowPolicy::Latest)`.
    #[derive(Clone, Debug)]
    #[non_exhaustive]
    pub struct BrokerConfig {
        /// Address to listen on: tcp://HOST:PORT or tls://HOST:PORT, with * as HOST for all addresses of this host, or
        /// uds://PATH; repeatable or comma-separated.
        listen (into): Vec<Endpoint> = vec![Endpoint::default()], option("listen", "URL", List<Plain>);

        /// Address for ZeroMQ clients, publishers and subscribers alike: tcp://HOST:PORT or ipc://PATH; repeatable or
        /// comma-separated.
        zmtp (into): Vec<Endpoint> = Vec::new(), option("zmtp", "URL", List<Plain>);

        /// Address for ZeroMQ publishers only, like the XSUB socket of a proxy.
        zmtp_xsub (into): Vec<Endpoint> = Vec::new(), option("zmtp-xsub", "URL", List<Plain>);

        /// Address for ZeroMQ subscribers only, like the XPUB socket of a proxy.
        zmtp_xpub (into): Vec<Endpoint> = Vec::new(), option("zmtp-xpub", "URL", List<Plain>);

        /// File with the secret key of CURVE for ZeroMQ sockets, of mode 0600; `corecast curve-keygen` makes one. Without users,
        /// only sockets that come by CURVE are accepted then.
        zmtp_curve_key (into): Option<CurveServerKey> = None, option("zmtp-curve-key", "FILE", Optional<CurveServerKeyFile>);

        /// The listeners at all of these; they have options of their own.
        listeners: ListenConfig = ListenConfig::default();

        /// The connections that it makes itself: to direct publishers, for ZeroMQ subscribers.
        connect: ConnectConfig = ConnectConfig::default();

        /// Pass every subscription on to ZeroMQ publishers, not only the first of each prefix (for last-value caches).
        zmtp_verbose: bool = false, option("zmtp-verbose", "", Switch);

        /// Topics of which ZeroMQ subscribers have the last message first, as far as --keep has it kept.
        zmtp_last (into): Vec<Filter> = Vec::new(), option("zmtp-last", "FILTER", List<Plain>);

        /// CPU cores to run on: all, physical, 0-3,8 or numa:0.
        cores: CoreSet = CoreSet::default(), option("cores", "SET", One<Plain>);

        /// Number of shards [default: one per core of the set].
        shards (into): Option<usize> = None, option("shards", "N", Optional<Count>);

        /// Behaviour of an idle shard: park, spin:MICROSECONDS before parking, or busy.
        idle: Idle = Idle::default(), option("idle", "POLICY", One<Plain>);

        /// Move sessions away from a shard whose core something else has for most of the time, and back later: on or off.
        rebalance: bool = true, option("rebalance", "on|off", One<OnOff>);

        /// Overflow policy for slow consumers: drop-oldest, drop-newest, latest, disconnect or block.
        overflow: OverflowPolicy = OverflowPolicy::default(), option("overflow", "POLICY", One<Plain>);

        /// Limit of each egress queue in bytes; every batch counts 144 bytes extra.
        egress_bytes_max: usize = EGRESS_BYTES_MAX_DEFAULT, option("egress-bytes", "BYTES", One<Size>);

        /// Limit of each egress queue in frames; one of several messages counts as so many.
        egress_frames_max: usize = EGRESS_FRAMES_MAX_DEFAULT, option("egress-frames", "N", One<Count>);

        /// Maximum frame size: topic, payload and about 40 bytes of overhead.
        frame_bytes_max: usize = FRAME_BYTES_MAX_DEFAULT, option("frame-bytes-max", "BYTES", One<Size>);

        /// Heartbeat interval: a session that stays silent for three of them is closed.
        heartbeat: Duration = HEARTBEAT_DEFAULT, option("heartbeat", "SECS", One<TimeSpan>);

        /// Mode of topics that no rule matches: proxy (through the broker) or direct (from publisher to subscriber).
        mode: Mode = Mode::default(), option("mode", "MODE", One<Plain>);

        /// Mode of the topics that match a filter, such as 'video.>=direct'; repeatable or comma-separated, the first
        /// match wins.
        mode_rules (into): Vec<(Filter, Mode)> = Vec::new(), option("mode-rule", "FILTER=MODE", List<ModeRule>);

        /// History to keep of the topics that match a filter: 'prices.>=last', 'chat.>=100' messages of each topic, or
        /// 'audit.>=5m,64MiB'; repeatable or comma-separated, the first match wins.
        keep (into): Vec<KeepRule> = Vec::new(), option("keep", "FILTER=WHAT", KeepList);

        /// Limit of all history together, in bytes of memory: the oldest is given up.
        keep_bytes: usize = KEEP_BYTES_DEFAULT, option("keep-bytes", "BYTES", One<Size>);

        /// Time for which history is kept by rules without a time.
        keep_age: Duration = KEEP_AGE_DEFAULT, option("keep-age", "TIME", One<TimeSpan>);

        /// Lease of a direct publisher: it is removed unless it renews within this time.
        lease: Duration = LEASE_DEFAULT, option("lease", "SECS", One<TimeSpan>);

        /// File of users, who may do what it says: `corecast user` makes it. Others have the rights of its user `anonymous`, and
        /// are not let in if there is none.
        users (into): Option<PathBuf> = None, option("users", "FILE", Optional<FilePath>);

        /// Accept listeners that other hosts reach without users, or without encryption.
        insecure: bool = false, option("insecure", "", Switch);

        /// Servers of an engine, which joins the brokers of several hosts: nats://HOST:PORT or tls://HOST:PORT; repeatable or
        /// comma-separated. The servers of one cluster stand together.
        engine (into): Vec<EngineUrl> = Vec::new(), option("engine", "URL", List<Plain>);

        /// Name of the cluster of brokers at the engine: brokers with the same name are one topic space.
        engine_cluster (into): String = "default".to_owned(), option("engine-cluster", "NAME", One<ClusterName>);

        /// File with the credentials for the engine, of mode 0600: a .creds file of NATS, or one with the lines user = "NAME" and
        /// password = "PASSWORD", or token = "TOKEN".
        engine_credentials (into): Option<EngineCredentials> = None, option("engine-credentials", "FILE", Optional<EngineCredentialsFile>);

        /// Topics that go over the engine, such as 'prices.>'; repeatable or comma-separated. All others stay on this host
        /// [default: all topics].
        engine_topics (into): Vec<Filter> = Vec::new(), option("engine-topics", "FILTER", List<Plain>);

        /// Limit of the messages that wait for the engine, in bytes; while it is away the oldest are dropped, and told as a gap.
        engine_buffer: usize = ENGINE_BUFFER_BYTES_DEFAULT, option("engine-buffer", "BYTES", One<Size>);

        /// Store what --keep has kept at the engine as well, which needs JetStream there, and load it at the start: history is there
        /// again when brokers, or all of them, have been killed.
        engine_history: bool = false, option("engine-history", "", Switch);

        /// tls:// servers of the engine: authorities to trust, a PEM file [default: those that this host trusts].
        engine_ca (into): Option<PathBuf> = None, option("engine-ca", "FILE", Optional<FilePath>);

        /// The rules of what peers may do where there is no file of users, until [`Broker::set_permissions`](crate::Broker::set_permissions) changes them.
        permissions: Permissions = Permissions::all();
    }
}

impl BrokerConfig {
    /// Checks what the types of the fields leave open.
    ///
    /// # Errors
    /// `Invalid`; it names the field ([`Error::field`]) and says what to change.
    pub fn validate(&self) -> Result<()> {
        if self.doors().next().is_none() {
            return Err(Error::of_field("listen", "no address is given, and a broker must listen somewhere"));
        }
        if let Some(shards) = self.shards
            && !(1..=SHARDS_MAX).contains(&shards)
        {
            return Err(Error::of_field(
                "shards",
                format!("{shards} is not a number from 1 to {SHARDS_MAX}"),
            ));
        }
        self.validate_tls()?;
        self.modes()?;
        self.retention()?;
        self.validate_sizes()?;
        self.validate_engine()?;
        for (field, time, least) in
            [("heartbeat", self.heartbeat, HEARTBEAT_MIN), ("lease", self.lease, LEASE_MIN)]
        {
            if time < least {
                let text = format!("{} is too short; at least {}", TimeSpan(time), TimeSpan(least));
                return Err(Error::of_field(field, text));
            }
        }
        Ok(())
    }

    /// Checks that whatever is to be encrypted can be.
    fn validate_tls(&self) -> Result<()> {
        let is_tls = |endpoint: &&Endpoint| endpoint.is_encrypted();
        for (field, endpoints) in
            [("zmtp", &self.zmtp), ("zmtp_xsub", &self.zmtp_xsub), ("zmtp_xpub", &self.zmtp_xpub)]
        {
            if let Some(endpoint) = endpoints.iter().find(is_tls) {
                return Err(Error::of_field(
                    field,
                    format!("{endpoint} is for --listen: ZeroMQ speaks no TLS"),
                ));
            }
        }
        match (self.listen.iter().find(is_tls), &self.listeners.tls) {
            (Some(endpoint), None) => Err(Error::of_field(
                "listen",
                format!(
                    "{endpoint} needs a certificate: --tls-cert FILE and --tls-key FILE; `corecast cert` makes them"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Checks that queues and frames fit each other.
    fn validate_sizes(&self) -> Result<()> {
        let longest = self.frame_bytes_max;
        if !(FRAME_BYTES_MAX_LEAST..=FRAME_BYTES_MAX_LIMIT).contains(&longest) {
            let text = format!(
                "{longest} is not from {FRAME_BYTES_MAX_LEAST} to {FRAME_BYTES_MAX_LIMIT} bytes: less does not take every \
                 filter, and more holds a shard for too long"
            );
            return Err(Error::of_field("frame_bytes_max", text));
        }
        let least = self.egress_bytes_least();
        if self.egress_bytes_max < least {
            let text = format!(
                "{} is too little: with frames of up to {longest} bytes a queue needs {least} to take the largest behind \
                 one that is leaving",
                self.egress_bytes_max
            );
            return Err(Error::of_field("egress_bytes_max", text));
        }
        if self.egress_frames_max < MESSAGES_PER_TURN_MAX {
            let text = format!(
                "{} is too little: {MESSAGES_PER_TURN_MAX} small messages may come in one read, and a queue that does not take \
                 them would deliver none",
                self.egress_frames_max
            );
            return Err(Error::of_field("egress_frames_max", text));
        }
        if self.keep_age.is_zero() {
            return Err(Error::of_field("keep_age", "nothing would be kept: a time is wanted, like 10m"));
        }
        Ok(())
    }

    /// Checks what is said of an engine.
    fn validate_engine(&self) -> Result<()> {
        if self.engine_history && self.keep.is_empty() {
            return Err(Error::of_field(
                "engine_history",
                "it is of no use without --keep, which says what is stored",
            ));
        }
        if !self.engine_history && self.keep.iter().any(|rule| rule.is_confirmed) {
            let text = "a rule is `confirmed` by what is stored: it is of no use without --engine-history";
            return Err(Error::of_field("keep", text));
        }
        let is_again =
            |(at, rule): (usize, &KeepRule)| self.keep[..at].iter().any(|first| first.filter == rule.filter);
        if self.engine_history
            && let Some((_, rule)) = self.keep.iter().enumerate().find(|rule| is_again(*rule))
        {
            let text = format!(
                "two rules are for {}: the first applies, and a store has the bounds of one",
                rule.filter.text()
            );
            return Err(Error::of_field("keep", text));
        }
        let crosses = |rule: &KeepRule| self.engine_topics.iter().any(|topics| topics.covers(&rule.filter));
        if !self.engine_topics.is_empty() && self.keep.iter().any(|rule| rule.is_confirmed && !crosses(rule))
        {
            let text = "a rule is `confirmed` by what is stored, and some of its topics may not go over the engine: see \
                        --engine-topics";
            return Err(Error::of_field("keep", text));
        }
        if self.engine.is_empty() {
            let of_no_use = [
                ("engine_history", self.engine_history),
                ("engine_credentials", self.engine_credentials.is_some()),
                ("engine_topics", !self.engine_topics.is_empty()),
                ("engine_ca", self.engine_ca.is_some()),
            ];
            return match of_no_use.iter().find(|(_, is_there)| *is_there) {
                Some((field, _)) => Err(Error::of_field(field, "it is of no use without --engine URL")),
                None => Ok(()),
            };
        }
        if !cfg!(feature = "nats") {
            return Err(Error::of_field("engine", "this program was built without the cargo feature `nats`"));
        }
        if self.engine.len() > ENGINE_SERVERS_MAX {
            let text = format!("{} servers are too many; at most {ENGINE_SERVERS_MAX}", self.engine.len());
            return Err(Error::of_field("engine", text));
        }
        check_cluster(&self.engine_cluster).map_err(|why| Error::of_field("engine_cluster", why))?;
        let (longest, least) = (self.frame_bytes_max, 2 * self.frame_bytes_max);
        if self.engine_buffer < least {
            let text = format!(
                "{} is too little: with frames of up to {longest} bytes it takes {least} to hold the largest behind one that \
                 is leaving",
                self.engine_buffer
            );
            return Err(Error::of_field("engine_buffer", text));
        }
        Ok(())
    }

    fn modes(&self) -> Result<ModeRules> {
        ModeRules::new(self.mode_rules.clone(), self.mode)
            .map_err(|e| Error::of_field("mode_rules", e.to_string()))
    }

    fn retention(&self) -> Result<Retention> {
        if self.keep_bytes < KEEP_BYTES_MIN {
            let text = format!("{} is too little: at least {}", self.keep_bytes, Size(KEEP_BYTES_MIN));
            return Err(Error::of_field("keep_bytes", text));
        }
        if self.keep.is_empty() && !self.zmtp_last.is_empty() {
            return Err(Error::of_field(
                "zmtp_last",
                "there is no last message without a rule of what to keep",
            ));
        }
        Retention::new(self.keep.clone(), self.keep_bytes, self.keep_age)
            .map_err(|e| Error::of_field("keep", e.to_string()))
    }

    /// Every listener, with what it is for, and the field that asks for it.
    pub(crate) fn doors(&self) -> impl Iterator<Item = (Door, &Endpoint, &'static str)> {
        [
            (Door::Native, &self.listen, "listen"),
            (Door::Zmtp(Sides::Both), &self.zmtp, "zmtp"),
            (Door::Zmtp(Sides::Publishers), &self.zmtp_xsub, "zmtp_xsub"),
            (Door::Zmtp(Sides::Subscribers), &self.zmtp_xpub, "zmtp_xpub"),
        ]
        .into_iter()
        .flat_map(|(door, endpoints, field)| endpoints.iter().map(move |endpoint| (door, endpoint, field)))
    }

    /// The rules to begin with: those of the file of users, if there is one.
    pub(super) fn first_permissions(&self) -> Result<Permissions> {
        match &self.users {
            Some(path) => users_of(path),
            None => Ok(self.permissions.clone()),
        }
    }

    /// A queue must take the largest frame and one batch of a turn, or some frames could never be delivered.
    fn egress_bytes_least(&self) -> usize {
        self.frame_bytes_max.max(READ_BYTES_PER_TURN) + READ_BYTES_PER_TURN
    }

    /// The mechanisms by which ZeroMQ sockets may come.
    fn zmtp_offers(&self, permissions: &Permissions) -> Offers {
        let pair = self.zmtp_curve_key.as_ref().map(CurveServerKey::pair);
        let has_users = permissions.users().is_some();
        Offers::default().null(pair.is_none() || has_users).plain(has_users).curve(pair)
    }

    pub(super) fn shard_config(&self, shards: usize, permissions: Permissions) -> Result<ShardConfig> {
        // The epoch only has to differ from that of the start before.
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64);
        let tickets = TicketSigner::fresh().map_err(|e| Error::io("cannot make a key to sign tickets", e))?;
        Ok(ShardConfig {
            shards,
            carriers: usize::from(!self.engine.is_empty()),
            carriers_meet: true,
            carriers_store: self.engine_history,
            bounds: QueueBounds { bytes_max: self.egress_bytes_max, frames_max: self.egress_frames_max },
            frame_bytes_max: self.frame_bytes_max,
            overflow: self.overflow,
            heartbeat: self.heartbeat,
            epoch,
            modes: Arc::new(self.modes()?),
            lease: self.lease,
            retention: self.retention()?,
            zmtp_offers: self.zmtp_offers(&permissions),
            permissions,
            tickets: tickets.map(Arc::new),
            sessions_max: SESSIONS_PER_SHARD_MAX,
            strangers: StrangerBounds::within(open_files_max(), shards),
            passwords_waiting: PasswordsWaiting::default(),
            direct: None,
            turn_steps_max: TURN_STEPS_MAX,
            // A session that moved would be another to those that confirm what it has said.
            moves: self.rebalance && !self.keep.iter().any(|rule| rule.is_confirmed),
            zmtp_publishers: !(self.zmtp.is_empty() && self.zmtp_xsub.is_empty()),
            zmtp_verbose: self.zmtp_verbose,
            zmtp_last: self.zmtp_last.clone().into(),
            zmtp_subscribers: !(self.zmtp.is_empty() && self.zmtp_xpub.is_empty()),
        })
    }
}

/// The rules of a file of users.
///
/// # Errors
/// As for [`Users::read`]: of the field `users`.
pub(super) fn users_of(path: &Path) -> Result<Permissions> {
    Users::read(path).map(Permissions::of_users).map_err(|e| Error::of_field("users", e.to_string()))
}

const _: () = assert!(TEXT_BYTES_MAX <= TOPIC_BYTES_MAX);
const _: () = assert!(FRAME_BODY_BYTES_MIN + TOPIC_BYTES_MAX <= FRAME_BYTES_MAX_LEAST);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Configuration;
    use crate::error::ErrorKind;
    use crate::limits::MODE_RULES_MAX;

    #[test]
    fn an_error_names_the_field_and_what_to_change() {
        BrokerConfig::default().validate().unwrap();
        BrokerConfig::default().frame_bytes_max(FRAME_BYTES_MAX_LEAST).validate().unwrap();
        let default = BrokerConfig::default;
        let tls: Endpoint = "tls://127.0.0.1:0".parse().unwrap();
        let engine: EngineUrl = "nats://127.0.0.1:4222".parse().unwrap();
        let rule = (Filter::parse("a").unwrap(), Mode::Direct);
        let wrong = [
            ("listen", default().listen([])),
            ("listen", default().listen([tls.clone()])),
            ("zmtp", default().zmtp([tls])),
            ("shards", default().shards(0)),
            ("shards", default().shards(SHARDS_MAX + 1)),
            ("egress_bytes_max", default().egress_bytes_max(1 << 20)),
            ("egress_frames_max", default().egress_frames_max(MESSAGES_PER_TURN_MAX - 1)),
            ("frame_bytes_max", default().frame_bytes_max(1 << 40)),
            ("frame_bytes_max", default().frame_bytes_max(FRAME_BYTES_MAX_LEAST - 1)),
            ("heartbeat", default().heartbeat(Duration::ZERO)),
            ("lease", default().lease(Duration::ZERO)),
            ("zmtp_last", default().zmtp_last([Filter::parse("a").unwrap()])),
            ("keep_bytes", default().keep_bytes(KEEP_BYTES_MIN - 1)),
            ("keep_age", default().keep_age(Duration::ZERO)),
            ("mode_rules", default().mode_rules(vec![rule; MODE_RULES_MAX + 1])),
            ("engine", default().engine(vec![engine.clone(); ENGINE_SERVERS_MAX + 1])),
            ("engine_ca", default().engine_ca(Some("ca.pem".into()))),
            ("engine_topics", default().engine_topics([Filter::parse("a").unwrap()])),
            ("engine_cluster", default().engine([engine.clone()]).engine_cluster("a.b")),
            ("engine_history", default().engine([engine.clone()]).engine_history(true)),
            ("engine_history", default().keep(["a=last".parse::<KeepRule>().unwrap()]).engine_history(true)),
            (
                "keep",
                default().engine([engine.clone()]).keep(["a=last,confirmed".parse::<KeepRule>().unwrap()]),
            ),
            (
                "keep",
                default()
                    .engine([engine.clone()])
                    .keep(["a=100", "b=1h", "a=last"].map(|rule| rule.parse::<KeepRule>().unwrap()))
                    .engine_history(true),
            ),
            ("engine_buffer", default().engine([engine]).engine_buffer(FRAME_BYTES_MAX_DEFAULT)),
        ];
        for (field, config) in wrong {
            let error = config.validate().unwrap_err();
            assert_eq!((error.kind(), error.field()), (ErrorKind::Invalid, Some(field)), "{error}");
            assert!(error.to_string().starts_with(&format!("{field}: ")), "{error}");
        }
    }

    #[test]
    fn every_option_has_a_name_and_a_default_that_can_be_set() {
        let mut keys = std::collections::BTreeSet::new();
        for option in BrokerConfig::OPTIONS {
            assert!(keys.insert(option.key), "--{} is there twice", option.key);
            let default = option.default_text();
            let texts: Vec<&str> = default.iter().map(String::as_str).collect();
            if !texts.is_empty() {
                (option.set)(&mut BrokerConfig::default(), &texts).expect(option.key);
            }
        }
    }
}
