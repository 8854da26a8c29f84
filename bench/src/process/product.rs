//! Owns the servers that read a configuration file: the program of each edition, its configuration, the same that
//! `scripts/peers.sh` uses, and its start.

use super::certificate::{CERTIFICATE_FILE, KEY_FILE, ServerCertificate};
use super::child::{Process, Program};
use super::error::{StartError, failed};
use super::program::{find, version_of};
use super::server::Server;
use super::transport::Transport;
use corecast::Endpoint;
use std::ffi::OsString;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use tempfile::TempDir;

const REDIS_CONF: &str = include_str!("../../peers/redis.conf");
const NATS_CONF: &str = include_str!("../../peers/nats.conf");
const MOSQUITTO_CONF: &str = include_str!("../../peers/mosquitto.conf");

/// Tries to start a server whose port somebody took between the choice and its start.
const PORT_TRIES_MAX: usize = 3;
/// The words of a redis-server that knows no TLS when it is to speak it.
const WITHOUT_TLS: &str = "Failed finding TLS support";

/// A server that says nothing when it serves, and reads a configuration file.
#[derive(Debug)]
pub struct Product {
    /// Name of its file.
    pub program: &'static str,
    /// Flag with which it states its version.
    pub version_flag: &'static str,
    /// Arguments before the configuration file.
    before: &'static [&'static str],
    /// Arguments behind it.
    behind: &'static [&'static str],
    conf: &'static str,
    /// The lines that say where it listens, with which certificate; none for an endpoint that it has not.
    listen: fn(&Endpoint) -> Option<String>,
}

/// nats-server, as the system has it.
pub const NATS: Product = Product {
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
/// The newer nats-server that `scripts/peers.sh` gets.
pub const NATS_PINNED: Product = Product { program: "nats-server-2.15", ..NATS };
/// redis-server, as the system has it.
pub const REDIS: Product = Product {
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
/// The newer redis-server that `scripts/peers.sh` gets.
pub const REDIS_PINNED: Product = Product { program: "redis-server-8.2", ..REDIS };
/// The same with four I/O threads.
pub const REDIS_PINNED_IO4: Product = Product { behind: &["--io-threads", "4"], ..REDIS_PINNED };
/// mosquitto.
pub const MOSQUITTO: Product = Product {
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
    /// Starts it at a port that nobody has, or with a socket in its own folder, and waits until it serves. `more` is lines of
    /// its configuration.
    pub fn start(
        &self,
        transport: Transport,
        more: &str,
        guard: Option<&Path>,
    ) -> Result<Server, StartError> {
        let file = find(self.program)?;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.serve((transport, more), &file, guard) {
                Ok(mut server) => {
                    server.version = version_of(&file, self.version_flag);
                    return Ok(server);
                }
                Err(StartError::Failed { why, .. })
                    if tries < PORT_TRIES_MAX && why.to_lowercase().contains("in use") => {}
                Err(StartError::Failed { program, why })
                    if transport == Transport::Tls && why.contains(WITHOUT_TLS) =>
                {
                    return Err(StartError::Unsupported(format!("this {program} was built without TLS")));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn serve(
        &self,
        (transport, more): (Transport, &str),
        file: &Path,
        guard: Option<&Path>,
    ) -> Result<Server, StartError> {
        let wrong = |error: std::io::Error| failed(self.program, error);
        let folder = folder()?;
        let (endpoint, certificate) =
            listen(transport, (folder.path(), "peer.sock"), free_port().map_err(wrong)?)?;
        let path = folder.path().join("peer.conf");
        write(&path, &(self.configuration(&endpoint, folder.path()) + more))?;
        let mut args: Vec<OsString> = self.before.iter().map(Into::into).collect();
        args.push(path.into());
        args.extend(self.behind.iter().map(Into::into));
        let served = Program { name: "it", file: file.to_owned(), args, stdin: false, stdout: false };
        let mut process = Process::start(&served, guard).map_err(wrong)?;
        // It says nothing when it serves: it does when it takes connections.
        let serves = || match &endpoint {
            Endpoint::Uds { path } => UnixStream::connect(path).is_ok(),
            Endpoint::Tcp { host, port } | Endpoint::Tls { host, port, .. } => {
                TcpStream::connect((host.as_str(), *port)).is_ok()
            }
            _ => false,
        };
        process.wait_until(serves).map_err(|why| failed(self.program, why))?;
        trusted(Server::started(process, endpoint, Some(folder)), certificate)
    }

    /// The configuration with its placeholders filled in.
    fn configuration(&self, endpoint: &Endpoint, folder: &Path) -> String {
        let root = nix::unistd::Uid::effective().is_root();
        let user = if root { "user root" } else { "# not started by root: it stays who it is" };
        let listen =
            (self.listen)(endpoint).unwrap_or_else(|| format!("# this server cannot listen at {endpoint}"));
        let conf = self.conf.replace("@LISTEN@", &listen);
        conf.replace("@USER@", user).replace("@DIR@", &folder.display().to_string())
    }
}

/// The endpoint of a server on this host: at this port, or with a socket of this name in its folder. With TLS its
/// certificate is there.
pub(crate) fn listen(
    transport: Transport,
    (folder, socket): (&Path, &str),
    port: u16,
) -> Result<(Endpoint, Option<ServerCertificate>), StartError> {
    let host = "127.0.0.1".to_owned();
    Ok(match transport {
        Transport::Tcp => (Endpoint::Tcp { host, port }, None),
        Transport::Tls => {
            let certificate = ServerCertificate::make(folder);
            let certificate = certificate.map_err(|error| failed("a certificate", error))?;
            (Endpoint::Tls { host, port, pin: None }, Some(certificate))
        }
        Transport::Uds => (Endpoint::Uds { path: folder.join(socket) }, None),
    })
}

/// The server, with trust in its certificate if it has one.
pub(crate) fn trusted(
    mut server: Server,
    certificate: Option<ServerCertificate>,
) -> Result<Server, StartError> {
    let trust = certificate.map(|certificate| certificate.trust()).transpose();
    server.trust = trust.map_err(|error| failed("a certificate", error))?;
    Ok(server)
}

/// A folder for the files of a server.
pub(crate) fn folder() -> Result<TempDir, StartError> {
    let folder = tempfile::Builder::new().prefix("corecast-bench-").tempdir();
    folder.map_err(|error| failed("a server", format!("cannot make a folder for it: {error}")))
}

/// Writes a file of a server.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), StartError> {
    std::fs::write(path, text)
        .map_err(|error| failed("a server", format!("cannot write {}: {error}", path.display())))
}

/// A port that nobody has now.
pub(crate) fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
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
