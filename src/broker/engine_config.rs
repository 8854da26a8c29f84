//! The forms of the options of an engine: addresses of its servers, the name of the cluster, the file of its credentials.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use toml::de::DeTable;
use zeroize::Zeroizing;

use crate::auth::read_secret_file;
use crate::config::Form;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{ENGINE_CLUSTER_BYTES_MAX, ENGINE_CREDENTIALS_BYTES_MAX};
use crate::printable::printable;

/// The port of NATS, where an address has none.
const NATS_PORT: u16 = 4222;

/// The address of a server of an engine: `nats://HOST:PORT`, or `tls://HOST:PORT`, which is encrypted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct EngineUrl {
    host: String,
    port: u16,
    is_encrypted: bool,
}

impl EngineUrl {
    /// True for `tls://`.
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }
}

impl FromStr for EngineUrl {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let form = "write nats://HOST:PORT, or tls://HOST:PORT";
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| format!("`{}` is no address: {form}", printable(text)))?;
        if rest.contains('@') {
            // The rest may be a secret.
            return Err("an address has no user and no password, which everybody on the host could read: put them into the \
                        file of --engine-credentials"
                .to_owned());
        }
        let is_encrypted = match scheme {
            "nats" => false,
            "tls" => true,
            other => return Err(format!("`{}://` is no scheme of an engine: {form}", printable(other))),
        };
        let wrong = |why: &str| format!("`{}` {why}: {form}", printable(text));
        let (host, port) = host_and_port(rest.strip_suffix('/').unwrap_or(rest));
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let is_v6 = |host: &str| host.parse::<std::net::Ipv6Addr>().is_ok();
        if host.is_empty() || !(host.chars().all(is_name) || is_v6(host)) {
            return Err(wrong("names no host"));
        }
        let port = match port {
            None => NATS_PORT,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| wrong("has no port from 1 to 65535"))?,
        };
        Ok(EngineUrl { host: host.to_owned(), port, is_encrypted })
    }
}

/// Divides `HOST`, `HOST:PORT`, `[V6]` or `[V6]:PORT`.
fn host_and_port(text: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => ("", None),
        };
    }
    match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    }
}

impl fmt::Display for EngineUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_encrypted { "tls" } else { "nats" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// The form of the name of a cluster: a level of a subject.
#[derive(Debug)]
pub(crate) struct ClusterName;

impl Form<String> for ClusterName {
    fn read(text: &str) -> std::result::Result<String, String> {
        check_cluster(text).map(|()| text.to_owned())
    }

    fn write(name: &String) -> String {
        name.clone()
    }
}

/// Checks the name of a cluster.
///
/// # Errors
/// A sentence that says what to write instead.
pub(super) fn check_cluster(name: &str) -> std::result::Result<(), String> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=ENGINE_CLUSTER_BYTES_MAX).contains(&name.len()) && name.chars().all(is_good) {
        return Ok(());
    }
    Err(format!("write 1 to {ENGINE_CLUSTER_BYTES_MAX} letters, digits, - or _"))
}

/// A file with the credentials of brokers at an engine: one of NATS (`.creds`), or one of TOML with `user` and `password`, or
/// with `token`. It is read at each connection, so that one that was replaced is followed without a restart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EngineCredentials {
    path: PathBuf,
}

/// The secret of such a file.
pub(super) enum EngineSecret {
    /// A file of NATS: a token that the account has signed, and the key that signs what the server asks.
    Creds(Zeroizing<String>),
    /// A name and a password.
    Password { user: String, password: Zeroizing<String> },
    /// A token.
    Token(Zeroizing<String>),
}

impl EngineCredentials {
    /// The credentials in this file, which only its owner may write, and only its group may read besides.
    ///
    /// # Errors
    /// `Io` if it cannot be read; `Invalid` if too many may read it, or if it is of neither form.
    pub fn read(path: impl AsRef<Path>) -> Result<EngineCredentials> {
        let credentials = EngineCredentials { path: path.as_ref().to_owned() };
        credentials.secret()?;
        Ok(credentials)
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// As for [`EngineCredentials::read`].
    pub(super) fn secret(&self) -> Result<EngineSecret> {
        let bytes = read_secret_file(&self.path, "the file of credentials", ENGINE_CREDENTIALS_BYTES_MAX)?;
        let shown = self.path.to_string_lossy();
        let invalid = |why: &str| Error::new(ErrorKind::Invalid, format!("{} {why}", printable(&*shown)));
        let text = std::str::from_utf8(&bytes).map_err(|_| invalid("is no text"))?;
        if text.contains("-----BEGIN NATS USER JWT-----") {
            if !text.contains("-----BEGIN USER NKEY SEED-----") {
                return Err(invalid("has a token of NATS, but not the key that belongs to it"));
            }
            return Ok(EngineSecret::Creds(Zeroizing::new(text.to_owned())));
        }
        // What the parser says may show a part of the file.
        let table = DeTable::parse(text).map_err(|_| invalid(FORMS))?;
        let entry = |key: &str| table.get_ref().get(key).and_then(|value| value.get_ref().as_str());
        let secret = |text: &str| Zeroizing::new(text.to_owned());
        match (entry("user"), entry("password"), entry("token"), table.get_ref().len()) {
            (Some(user), Some(password), None, 2) if !user.is_empty() => {
                Ok(EngineSecret::Password { user: user.to_owned(), password: secret(password) })
            }
            (None, None, Some(token), 1) if !token.is_empty() => Ok(EngineSecret::Token(secret(token))),
            _ => Err(invalid(FORMS)),
        }
    }
}

/// The end of a sentence about a file that is of neither form.
const FORMS: &str = "is neither a .creds file of NATS, nor has it the lines user = \"…\" and password = \"…\", or token = \"…\"";

/// The form of the path of such a file.
#[derive(Debug)]
pub(crate) struct EngineCredentialsFile;

impl Form<EngineCredentials> for EngineCredentialsFile {
    fn read(text: &str) -> std::result::Result<EngineCredentials, String> {
        EngineCredentials::read(text).map_err(|e| e.to_string())
    }

    fn write(credentials: &EngineCredentials) -> String {
        credentials.path.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for (text, shown) in [
            ("nats://a:4222", "nats://a:4222"),
            ("nats://a", "nats://a:4222"),
            ("nats://a/", "nats://a:4222"),
            ("tls://10.0.0.1:1", "tls://10.0.0.1:1"),
            ("nats://[::1]:5", "nats://[::1]:5"),
            ("nats://[::1]", "nats://[::1]:4222"),
        ] {
            let url: EngineUrl = text.parse().expect(text);
            assert_eq!(url.to_string(), shown);
            assert_eq!(shown.parse(), Ok(url));
        }
    }

    #[test]
    fn an_address_that_is_wrong_is_told_and_a_password_is_not_shown() {
        for (text, part) in [
            ("a:4222", "no address"),
            ("redis://a", "`redis://` is no scheme"),
            ("nats://", "names no host"),
            ("nats://:4222", "names no host"),
            ("nats://a b:1", "names no host"),
            ("nats://[::1", "names no host"),
            ("nats://[::1]5", "names no host"),
            ("nats://a:0", "no port"),
            ("nats://a:65536", "no port"),
            ("nats://a:1/x", "no port"),
            ("nats://me:sesame@a:1", "--engine-credentials"),
            ("wss://me:sesame@a:1", "--engine-credentials"),
        ] {
            let error = text.parse::<EngineUrl>().expect_err(text);
            assert!(error.contains(part) && !error.contains("sesame"), "{text}: {error}");
        }
    }

    #[test]
    fn the_name_of_a_cluster_is_one_level_of_a_subject() {
        for (name, is_good) in [
            ("default", true),
            ("a-1_B", true),
            ("", false),
            ("a.b", false),
            ("a b", false),
            ("*", false),
            (">", false),
        ] {
            assert_eq!(ClusterName::read(name).is_ok(), is_good, "{name}");
        }
        assert!(ClusterName::read(&"x".repeat(ENGINE_CLUSTER_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn credentials_are_of_one_of_three_forms_and_errors_do_not_show_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("engine");
        let read = |text: &str, mode: u32| {
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            EngineCredentials::read(&path)?.secret()
        };
        let creds = "-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n-----BEGIN USER NKEY SEED-----\ny\n";
        assert!(matches!(read(creds, 0o600), Ok(EngineSecret::Creds(_))));
        match read("user = \"broker\"\npassword = \"sesame\"\n", 0o640).expect("a password") {
            EngineSecret::Password { user, password } => {
                assert_eq!((&*user, &**password), ("broker", "sesame"))
            }
            _ => unreachable!("it is a password"),
        }
        assert!(
            matches!(read("token = \"sesame\"", 0o600), Ok(EngineSecret::Token(token)) if *token == "sesame")
        );
        let half = creds.split("-----BEGIN USER").next().expect("a half");
        for (text, mode) in [
            ("token = \"sesame\"", 0o644),
            ("", 0o600),
            ("sesame", 0o600),
            ("token = sesame", 0o600),
            ("token = \"\"", 0o600),
            ("user = \"sesame\"", 0o600),
            ("token = \"sesame\"\nuser = \"b\"", 0o600),
            (half, 0o600),
        ] {
            let error = read(text, mode).err().expect("it is wrong").to_string();
            assert!(error.contains("engine") && !error.contains("sesame"), "{error}");
        }
    }
}
