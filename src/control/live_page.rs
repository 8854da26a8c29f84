//! The live page: one HTML file in the binary, which reads the events of the API. It has no secrets, and loads nothing else.

use hyper::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY};
use hyper::{Response, StatusCode};

use super::page_body::{PageBody, response};

/// The page, with [`NONCE`] in place of a number of its own.
const PAGE: &str = include_str!("live_page.html");

/// The word in place of which a random number stands, so that a browser runs what is in the page and nothing else.
const NONCE: &str = "{{nonce}}";

/// Bytes of that number: nobody guesses it within one page.
const NONCE_BYTES: usize = 16;

/// The page, as an answer.
pub(super) fn answer() -> Response<PageBody> {
    let mut random = [0; NONCE_BYTES];
    if getrandom::fill(&mut random).is_err() {
        let text = "the kernel gives no random numbers\n";
        return response(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", text.into());
    }
    let nonce: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut response = response(StatusCode::OK, "text/html; charset=utf-8", PAGE.replace(NONCE, &nonce));
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    let headers = response.headers_mut();
    let policy = HeaderValue::from_str(&policy).expect("it is visible ASCII");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_runs_only_what_is_in_it() {
        let policies = [(); 2].map(|()| {
            let response = answer();
            assert_eq!(response.status(), StatusCode::OK);
            response.headers()[CONTENT_SECURITY_POLICY].to_str().expect("text").to_owned()
        });
        assert_ne!(policies[0], policies[1], "the number is another each time");
        assert!(policies.iter().all(|policy| policy.starts_with("default-src 'none'; script-src 'nonce-")));
        assert_eq!(
            PAGE.matches("<script").count() + PAGE.matches("<style").count(),
            PAGE.matches(NONCE).count()
        );
        for outside in ["http:", "https:", "src=", "innerHTML", "eval(", "onclick", "style=\""] {
            assert!(!PAGE.contains(outside), "{outside}");
        }
    }
}
