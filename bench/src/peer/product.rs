//! Owns the servers that read a configuration file: the program of each edition, and its configuration, the same that
//! `scripts/peers.sh` uses.

use super::name::System;
use crate::process::certificate::{CERTIFICATE_FILE, KEY_FILE};
use corecast::Endpoint;
use std::path::Path;

const REDIS_CONF: &str = include_str!("../../peers/redis.conf");
const NATS_CONF: &str = include_str!("../../peers/nats.conf");
const MOSQUITTO_CONF: &str = include_str!("../../peers/mosquitto.conf");

/// A server that says nothing when it serves, and reads a configuration file.
#[derive(Debug)]
pub(super) struct Product {
    /// Name of its file.
    pub program: &'static str,
    /// Flag with which it states its version.
    pub version_flag: &'static str,
    /// Arguments before the configuration file.
    pub before: &'static [&'static str],
    /// Arguments behind it.
    pub behind: &'static [&'static str],
    conf: &'static str,
    /// The lines that say where it listens, with which certificate; none for an endpoint that it has not.
    listen: fn(&Endpoint) -> Option<String>,
}

const NATS: Product = Product {
    program: "nats-server",
    version_flag: "--version",
    before: &["-c"],
    behind: &[],
    conf: NATS_CONF,
    listen: |endpoint| match endpoint {
        Endpoint::Tcp { host, port } => Some(format!("listen: \"{host}:{port}\"")),
        // Everybody comes at once, and shall have the time that it takes.
        Endpoint::Tls { host, port, .. } => Some(format!(
            "listen: \"{host}:{port}\"\ntls {{\n  cert_file: \"@DIR@/{CERTIFICATE_FILE}\"\n  key_file: \"@DIR@/{KEY_FILE}\"\n  \
             timeout: 60\n}}"
        )),
        _ => None,
    },
};
const NATS_PINNED: Product = Product { program: "nats-server-2.15", ..NATS };
const REDIS: Product = Product {
    program: "redis-server",
    version_flag: "--version",
    before: &[],
    behind: &[],
    conf: REDIS_CONF,
    listen: |endpoint| match endpoint {
        Endpoint::Tcp { host, port } => Some(format!("bind {host}\nport {port}")),
        Endpoint::Tls { host, port, .. } => Some(format!(
            "bind {host}\nport 0\ntls-port {port}\ntls-cert-file @DIR@/{CERTIFICATE_FILE}\ntls-key-file @DIR@/{KEY_FILE}\n\
             tls-auth-clients no"
        )),
        Endpoint::Uds { path } => Some(format!("port 0\nunixsocket {}", path.display())),
        _ => None,
    },
};
const REDIS_PINNED: Product = Product { program: "redis-server-8.2", ..REDIS };
const REDIS_PINNED_IO4: Product = Product { behind: &["--io-threads", "4"], ..REDIS_PINNED };
const MOSQUITTO: Product = Product {
    program: "mosquitto",
    version_flag: "-h",
    before: &["-c"],
    behind: &[],
    conf: MOSQUITTO_CONF,
    listen: |endpoint| match endpoint {
        Endpoint::Tcp { host, port } => Some(format!("listener {port} {host}")),
        Endpoint::Tls { host, port, .. } => Some(format!(
            "listener {port} {host}\ncertfile @DIR@/{CERTIFICATE_FILE}\nkeyfile @DIR@/{KEY_FILE}"
        )),
        Endpoint::Uds { path } => Some(format!("listener 0 {}", path.display())),
        _ => None,
    },
};

impl Product {
    /// The server of this system, if it is one that reads a configuration file.
    pub(super) fn of(system: System) -> Option<&'static Product> {
        Some(match system {
            System::Nats => &NATS,
            System::NatsPinned => &NATS_PINNED,
            System::Redis => &REDIS,
            System::RedisPinned => &REDIS_PINNED,
            System::RedisPinnedIo4 => &REDIS_PINNED_IO4,
            System::Mosquitto => &MOSQUITTO,
            _ => return None,
        })
    }

    /// The configuration with its placeholders filled in.
    pub(super) fn configuration(&self, endpoint: &Endpoint, folder: &Path) -> String {
        let root = nix::unistd::Uid::effective().is_root();
        let user = if root { "user root" } else { "# not started by root: it stays who it is" };
        let listen =
            (self.listen)(endpoint).unwrap_or_else(|| format!("# this server cannot listen at {endpoint}"));
        let conf = self.conf.replace("@LISTEN@", &listen);
        conf.replace("@USER@", user).replace("@DIR@", &folder.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_placeholder_is_left_in_a_configuration() {
        let endpoints = [
            Endpoint::Tcp { host: "127.0.0.1".into(), port: 7 },
            Endpoint::Tls { host: "127.0.0.1".into(), port: 7, pin: None },
            Endpoint::Uds { path: "/tmp/x.sock".into() },
        ];
        for product in [REDIS, NATS, MOSQUITTO] {
            let program = product.program;
            for endpoint in &endpoints {
                let filled = product.configuration(endpoint, Path::new("/tmp/d"));
                let lines = filled.lines().filter(|line| !line.starts_with('#'));
                assert!(lines.clone().all(|line| !line.contains('@')), "{program}");
                let wanted = match endpoint {
                    Endpoint::Tcp { .. } => "7",
                    Endpoint::Tls { .. } => "/tmp/d/server.pem",
                    Endpoint::Uds { .. } if program == "nats-server" => "",
                    _ => "/tmp/x.sock",
                };
                assert!(lines.into_iter().any(|line| line.contains(wanted)), "{program}: {filled}");
            }
        }
    }
}
