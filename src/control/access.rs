//! The rule of who may read the pages of an HTTP server, and who may have files read again. Pure, but for the reading of a
//! token.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use hyper::header::{AUTHORIZATION, HOST, HeaderMap};
use nix::unistd::Uid;

use crate::auth::{Secret, checked_token, read_token_file};
use crate::error::Result;
use crate::transport::ControlPeer;

/// The scheme of an `Authorization` header that shows a token.
const SCHEME: &[u8] = b"bearer ";

/// The token that readers of an HTTP server have to show. Compared in constant time, and never displayed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpToken(Secret);

impl HttpToken {
    /// A token with this text, without the white space around it.
    ///
    /// # Errors
    /// `Invalid` if it is empty, too long, or has other characters than visible ones of ASCII.
    pub fn new(text: &str) -> Result<HttpToken> {
        checked_token(text.as_bytes()).map(HttpToken)
    }

    /// The token in a file, which only its owner may write, and only its group may read besides.
    ///
    /// # Errors
    /// `Io` if it cannot be read; `Invalid` if too many may, or if it has no token.
    pub fn read(path: &Path) -> Result<HttpToken> {
        read_token_file(path).map(HttpToken)
    }

    /// True if a request shows it.
    fn is_shown(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(AUTHORIZATION) else { return false };
        let Some((scheme, shown)) = value.as_bytes().split_at_checked(SCHEME.len()) else { return false };
        scheme.eq_ignore_ascii_case(SCHEME) && Secret::new(shown.trim_ascii()) == self.0
    }
}

/// The part that a peer may play.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HttpRole {
    /// It reads the pages, and has files read again.
    Operator,
    /// It reads the pages.
    Anybody,
}

/// The part of a peer that sends a request with these headers. An operator shows the token, or comes by a Unix socket as root or
/// as the user of this process. Anybody reads where there is no token. `None`: it has to show the token.
pub(super) fn role_of(token: Option<&HttpToken>, headers: &HeaderMap, peer: ControlPeer) -> Option<HttpRole> {
    let own = Uid::effective().as_raw();
    match (peer, token) {
        (ControlPeer::Local(Some(uid)), _) if uid == 0 || uid == own => Some(HttpRole::Operator),
        (_, Some(token)) => token.is_shown(headers).then_some(HttpRole::Operator),
        (_, None) => Some(HttpRole::Anybody),
    }
}

/// True if a request is for a server by another name than an address or `localhost`. A page of any site can make a browser send
/// such a request, and read the answer, once the name of the site leads to this host.
pub(super) fn is_for_a_name(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return false };
    let Ok(host) = host.to_str() else { return true };
    let is_address = host.parse::<IpAddr>().is_ok() || host.parse::<SocketAddr>().is_ok();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let without_brackets = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_bracketed = without_brackets.is_some_and(|inner| inner.parse::<IpAddr>().is_ok());
    !is_address && !is_bracketed && name.parse::<IpAddr>().is_err() && !name.eq_ignore_ascii_case("localhost")
}

/// The protection that a server lacks which other hosts reach, and the way out; `None`: it lacks none.
pub(super) fn lack(has_token: bool, is_encrypted: bool) -> Option<(&'static str, &'static str)> {
    match (has_token, is_encrypted) {
        (true, true) => None,
        (false, _) => Some((
            "everybody who reaches it may read its pages",
            "have them show a token, by --http-token-file FILE, listen on 127.0.0.1 or a Unix socket",
        )),
        (true, false) => Some((
            "the token and the pages can be read on their way",
            "write https://HOST:PORT, listen on 127.0.0.1 or a Unix socket",
        )),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn shown(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(value).expect("a header"));
        headers
    }

    #[test]
    fn whoever_shows_the_token_is_an_operator_and_others_read_where_there_is_none() {
        let token = HttpToken::new("sesame\n").expect("a token");
        let (there, nothing) = (ControlPeer::Remote(([192, 0, 2, 1], 1).into()), HeaderMap::new());
        let of = |headers: &HeaderMap| role_of(Some(&token), headers, there);
        for value in ["Bearer sesame", "bearer sesame", "BEARER  sesame "] {
            assert_eq!(of(&shown(value)), Some(HttpRole::Operator), "{value}");
        }
        for value in ["", "Bearer", "Bearer ", "Bearer sesam", "Bearer sesame2", "Basic sesame", "sesame"] {
            assert_eq!(of(&shown(value)), None, "{value}");
        }
        assert_eq!(of(&nothing), None);
        assert_eq!(role_of(None, &nothing, there), Some(HttpRole::Anybody));
        assert_eq!(role_of(None, &shown("Bearer sesame"), there), Some(HttpRole::Anybody));
    }

    #[test]
    fn at_a_unix_socket_the_kernel_tells_who_is_an_operator() {
        let token = HttpToken::new("sesame").expect("a token");
        let (own, nothing) = (Uid::effective().as_raw(), HeaderMap::new());
        let of = |uid, token| role_of(token, &nothing, ControlPeer::Local(uid));
        for token in [None, Some(&token)] {
            assert_eq!(of(Some(own), token), Some(HttpRole::Operator));
            assert_eq!(of(Some(0), token), Some(HttpRole::Operator));
        }
        for uid in [None, Some(own + 1)] {
            assert_eq!(of(uid, None), Some(HttpRole::Anybody));
            assert_eq!(of(uid, Some(&token)), None);
        }
    }

    #[test]
    fn names_other_than_localhost_may_be_those_of_any_site() {
        let of = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(host).expect("a header"));
            is_for_a_name(&headers)
        };
        for own in
            ["127.0.0.1", "127.0.0.1:9680", "[::1]", "[::1]:9680", "::1", "localhost", "LocalHost:9680"]
        {
            assert!(!of(own), "{own}");
        }
        for name in
            ["example.org", "example.org:9680", "localhost.example.org", "127.0.0.1.example.org", "", "[::1"]
        {
            assert!(of(name), "{name}");
        }
        assert!(!is_for_a_name(&HeaderMap::new()), "browsers say it");
    }

    #[test]
    fn a_token_is_not_displayed() {
        assert!(!format!("{:?}", HttpToken::new("sesame")).contains("sesame"));
    }
}
