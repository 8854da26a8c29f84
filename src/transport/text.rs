//! Owns the text forms of an endpoint: corecast's own, and those that users of libzmq, NATS, Redis and Prometheus are
//! used to. One that cannot work is an error that says what to write instead.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use super::endpoint::{ANY_HOST, DEFAULT_PORT, DEFAULT_PORT_TEXT, Endpoint};
use crate::printable::printable;

/// Parses an endpoint; the error says what is wrong with it, and what to write.
pub(super) fn parse(text: &str) -> Result<Endpoint, String> {
    // From a list with blanks after its commas, or from a line of a file.
    let text = text.trim();
    if text.is_empty() {
        return Err(format!(
            "it is empty, such as between two commas; write tcp://HOST:PORT, here tcp://localhost:{DEFAULT_PORT}"
        ));
    }
    // For an endpoint that can be shown, logged and sent as a line, wherever it came from.
    if !printable(text).is_plain() {
        return Err("it holds a character that cannot be seen; write tcp://HOST:PORT or uds://PATH".into());
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        return match scheme.to_ascii_lowercase().as_str() {
            "tcp" => tcp(rest),
            "tls" => tls(rest),
            "uds" | "ipc" | "unix" => path(rest),
            other => Err(other_scheme(other, rest)),
        };
    }
    if let Some(rest) = text.strip_prefix("unix:") {
        return path(rest);
    }
    if let Some(rest) = text.strip_prefix("//") {
        return Err(format!("it has no scheme; write tcp://{rest}, or uds:///{rest} for a socket file"));
    }
    if let Some((scheme, rest)) = text.split_once("//").filter(|(scheme, _)| SCHEMES.contains(scheme)) {
        return Err(format!("a colon stands behind the scheme; write {scheme}://{rest}"));
    }
    if let Some((scheme, rest)) = scheme_without_slashes(text) {
        return Err(format!("two slashes stand behind the scheme; write {scheme}://{rest}"));
    }
    if text.starts_with(['/', '.']) {
        return path(text);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "it is a port alone; write tcp://localhost:{text}, or tcp://*:{text} for every address of this host"
        ));
    }
    tcp(text)
}

fn tcp(text: &str) -> Result<Endpoint, String> {
    host_and_port("tcp", text).map(|(host, port)| Endpoint::Tcp { host, port })
}

/// `HOST:PORT`, or `HOST:PORT#FINGERPRINT`.
fn tls(text: &str) -> Result<Endpoint, String> {
    let (place, pin) = match text.split_once('#') {
        Some((place, pin)) => {
            let pin = pin.parse().map_err(|e| format!("behind the port: {e}"))?;
            (place, Some(Box::new(pin)))
        }
        None => (text, None),
    };
    host_and_port("tls", place).map(|(host, port)| Endpoint::Tls { host, port, pin })
}

/// `HOST:PORT`, as behind the scheme; either may be `*`, and the host may be left out, to listen.
fn host_and_port(scheme: &str, text: &str) -> Result<(String, u16), String> {
    let form = format!("write {scheme}://HOST:PORT");
    if text.contains(' ') {
        return Err(format!("it has a space in it; {form}"));
    }
    if text.contains(';') {
        return Err(format!("a source address is not taken; {form}"));
    }
    if let Some((_, host)) = text.rsplit_once('@') {
        return Err(format!(
            "user and password are not taken here: write {scheme}://{host}, and pass a token with --token-file or CORECAST_TOKEN"
        ));
    }
    let text = text.strip_suffix('/').unwrap_or(text);
    if text.contains(['/', '?', '#']) {
        return Err(format!("there is nothing behind the port; {form}"));
    }
    let Some((host, port)) = split_port(text) else {
        let host = if text.is_empty() { "HOST" } else { text.trim_end_matches(':') };
        return Err(format!("it has no port; {form}, here {scheme}://{host}:{DEFAULT_PORT}"));
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bare.is_none() && host.contains(':') {
        // The last number may be the port, or belong to the address.
        let meant = [(host, port), (text, DEFAULT_PORT_TEXT)];
        let meant = meant.iter().filter(|(host, _)| is_ipv6(host));
        let meant: Vec<String> = meant.map(|(host, port)| format!("{scheme}://[{host}]:{port}")).collect();
        let meant = if meant.is_empty() { format!("{scheme}://[ADDRESS]:PORT") } else { meant.join(" or ") };
        return Err(format!("an IPv6 address stands in brackets; write {meant}"));
    }
    let host = bare.unwrap_or(host);
    if host.contains(['[', ']']) || bare.is_some_and(str::is_empty) {
        return Err(format!("the host is no IPv6 address in brackets; write {scheme}://[ADDRESS]:PORT"));
    }
    let port = match port {
        "*" => 0,
        // A sign is read as a number, too.
        _ => Some(port)
            .filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|port| port.parse().ok())
            .ok_or_else(|| format!("the port is not a number up to 65535; {form}"))?,
    };
    let host = if host.is_empty() { ANY_HOST } else { host };
    Ok((host.to_owned(), port))
}

/// Host and port; `None` without a port: an IPv6 address in brackets has none by itself.
fn split_port(text: &str) -> Option<(&str, &str)> {
    if text.ends_with(']') { None } else { text.rsplit_once(':').filter(|(_, port)| !port.is_empty()) }
}

/// True for an IPv6 address, perhaps with its interface.
fn is_ipv6(text: &str) -> bool {
    let (address, scope) = text.split_once('%').unwrap_or((text, "-"));
    !scope.is_empty() && address.parse::<Ipv6Addr>().is_ok()
}

/// Schemes that are known without their slashes.
const SCHEMES: [&str; 4] = ["tcp", "tls", "uds", "ipc"];

/// One of our schemes without a slash or two, and the rest. `tcp:5555` is the port of a host with that name.
fn scheme_without_slashes(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':').filter(|(scheme, _)| SCHEMES.contains(scheme))?;
    let is_port = rest == "*" || rest.bytes().all(|byte| byte.is_ascii_digit());
    let rest = if ["tcp", "tls"].contains(&scheme) { rest.trim_start_matches('/') } else { rest };
    (!is_port).then_some((scheme, rest))
}

/// A path, or a name of the abstract namespace with an `@` before it.
fn path(text: &str) -> Result<Endpoint, String> {
    match text {
        "" | "@" => Err("the path is empty; write uds://PATH".into()),
        "*" => Err("a path of our choice would be known to nobody; write uds://PATH".into()),
        _ => Ok(Endpoint::Uds { path: PathBuf::from(text) }),
    }
}

/// The reason why a scheme is not accepted, and the same place as its user would write it here.
fn other_scheme(scheme: &str, rest: &str) -> String {
    let place = rest.rsplit('@').next().unwrap_or(rest).split(['/', '?', '#', ',']).next().unwrap_or(rest);
    let host = split_port(place).map_or(place, |(host, _)| host);
    let host = if host.is_empty() { "localhost" } else { host };
    let ours = match scheme {
        "inproc" => {
            return "two processes cannot meet over inproc://; write ipc://NAME or tcp://HOST:PORT"
                .to_owned();
        }
        "ssl" | "https" | "rediss" | "mqtts" | "wss" => "tls",
        _ => "tcp",
    };
    format!(
        "corecast does not speak {scheme}://; write {ours}://{host}:{DEFAULT_PORT}, or the port on which corecast listens"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PINNED: &str =
        "tls://10.0.0.7:1#sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn the_forms_of_other_programs_are_taken() {
        for (text, read) in [
            ("tcp://127.0.0.1:6680", "tcp://127.0.0.1:6680"),
            ("TCP://localhost:1/", "tcp://localhost:1"),
            ("localhost:9680", "tcp://localhost:9680"),
            ("broker.example.org:5555", "tcp://broker.example.org:5555"),
            ("0.0.0.0:6680", "tcp://0.0.0.0:6680"),
            ("[::]:6680", "tcp://[::]:6680"),
            ("tcp://[fe80::1%eth0]:1", "tcp://[fe80::1%eth0]:1"),
            ("tcp://*:5555", "tcp://*:5555"),
            ("tcp://*:*", "tcp://*:0"),
            ("tcp://127.0.0.1:*", "tcp://127.0.0.1:0"),
            (":9680", "tcp://*:9680"),
            ("tcp://:9680", "tcp://*:9680"),
            ("tls://broker.example.org:6680", "tls://broker.example.org:6680"),
            ("TLS://[::1]:1/", "tls://[::1]:1"),
            ("tls://*:*", "tls://*:0"),
            (PINNED, PINNED),
            ("ipc:///tmp/feed", "uds:///tmp/feed"),
            ("ipc://feed", "uds://feed"),
            ("ipc://@feed", "uds://@feed"),
            ("unix:///run/corecast.sock", "uds:///run/corecast.sock"),
            ("unix:/run/corecast.sock", "uds:///run/corecast.sock"),
            ("/run/corecast.sock", "uds:///run/corecast.sock"),
            ("./corecast.sock", "uds://./corecast.sock"),
            ("tcp:5555", "tcp://tcp:5555"),
            (" tcp://127.0.0.1:1 ", "tcp://127.0.0.1:1"),
            ("\tlocalhost:1\n", "tcp://localhost:1"),
            ("/run/my sockets/a", "uds:///run/my sockets/a"),
        ] {
            assert_eq!(parse(text).map(|endpoint| endpoint.to_string()).as_deref(), Ok(read), "{text}");
        }
    }

    #[test]
    fn what_cannot_work_says_what_to_write() {
        for (text, instead) in [
            ("", "it is empty, such as between two commas; write tcp://HOST:PORT"),
            ("  ", "it is empty"),
            ("tcp:127.0.0.1:1", "write tcp://127.0.0.1:1"),
            ("tcp:/127.0.0.1:1", "write tcp://127.0.0.1:1"),
            ("tcp//127.0.0.1:1", "a colon stands behind the scheme; write tcp://127.0.0.1:1"),
            ("uds:/run/a", "write uds:///run/a"),
            ("ipc:feed", "write ipc://feed"),
            ("//127.0.0.1:6680", "write tcp://127.0.0.1:6680, or uds:///127.0.0.1:6680"),
            ("tcp://:::5", "write tcp://[::]:5"),
            ("tcp://a:b:5", "write tcp://[ADDRESS]:PORT"),
            ("fe80::1%eth0", "tcp://[fe80::1%eth0]:6680"),
            ("9680", "write tcp://localhost:9680"),
            ("localhost", "write tcp://HOST:PORT, here tcp://localhost:6680"),
            ("tcp://a", "here tcp://a:6680"),
            ("tcp://a:", "here tcp://a:6680"),
            ("tcp://[::1]", "here tcp://[::1]:6680"),
            ("tcp://::1:6680", "write tcp://[::1]:6680"),
            ("::1", "tcp://[::1]:6680"),
            ("tcp://[]:1", "write tcp://[ADDRESS]:PORT"),
            ("tcp://a:70000", "a number up to 65535"),
            ("tcp://a:+1", "a number up to 65535"),
            ("a:http", "a number up to 65535"),
            ("tcp://a:1/topic", "write tcp://HOST:PORT"),
            ("tcp://user:secret@a:1", "write tcp://a:1"),
            ("tcp://eth0:5555;10.0.0.1:5555", "a source address is not taken"),
            ("nats://localhost:4222", "write tcp://localhost:6680"),
            ("nats://a:4222,nats://b:4222", "write tcp://a:6680"),
            ("redis://user:secret@cache/0", "write tcp://cache:6680"),
            ("rediss://cache:6379", "does not speak rediss://; write tls://cache:6680"),
            ("tls:127.0.0.1:1", "write tls://127.0.0.1:1"),
            ("tls://a", "here tls://a:6680"),
            ("tls://a:1#12", "behind the port: a fingerprint is sha256:"),
            ("tls://a:1#", "behind the port: a fingerprint is sha256:"),
            ("tls://::1:6680", "write tls://[::1]:6680"),
            ("tls://user:secret@a:1", "write tls://a:1"),
            ("mqtt://localhost", "write tcp://localhost:6680"),
            ("http://[::1]:9680/metrics", "write tcp://[::1]:6680"),
            ("inproc://feed", "write ipc://NAME"),
            ("udp://a:1", "write tcp://a:6680"),
            ("uds://", "write uds://PATH"),
            ("ipc://*", "write uds://PATH"),
            ("a b:1", "a space"),
        ] {
            let why = parse(text).expect_err(text);
            assert!(why.contains(instead), "{text}: {why}");
            assert!(!why.contains("secret"), "{why}");
        }
    }
}
