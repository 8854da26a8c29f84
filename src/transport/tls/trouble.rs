//! The words for handshakes that fail, at either end: the reason, and a remedy where there is one.

use std::io;
use std::time::Duration;

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, Error, InconsistentKeys, PeerIncompatible};

use super::certificate::roughly;
use crate::printable::printable;

/// The first bytes of the other end, as many as tell what it speaks.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct FirstBytes {
    bytes: [u8; 8],
    count: usize,
}

impl FirstBytes {
    pub(super) fn hear(&mut self, heard: &[u8]) {
        let taken = heard.len().min(self.bytes.len() - self.count);
        self.bytes[self.count..self.count + taken].copy_from_slice(&heard[..taken]);
        self.count += taken;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// True if they begin a record of TLS: a handshake or an alert, of any version.
    fn is_tls(&self) -> bool {
        matches!(self.bytes[..self.count], [0x15 | 0x16] | [0x15 | 0x16, 3, ..])
    }

    /// The words for an end that does not speak TLS: they show what it speaks instead.
    fn no_tls(&self) -> String {
        format!("it does not speak TLS: its first bytes are `{}`", printable(&self.bytes[..self.count]))
    }
}

/// The end of a handshake, as an error of the stream: `InvalidData`, since every other attempt would end alike, unless the
/// other end had a trouble of its own.
pub(super) fn at_client(error: &Error, first: FirstBytes) -> io::Error {
    let kind = match error {
        Error::AlertReceived(AlertDescription::InternalError | AlertDescription::UserCanceled) => {
            io::ErrorKind::ConnectionAborted
        }
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, client_words(error, first))
}

fn client_words(error: &Error, first: FirstBytes) -> String {
    use AlertDescription as Alert;
    match error {
        Error::InvalidMessage(_) if !first.is_tls() => {
            format!("{}; write tcp:// for a broker without TLS", first.no_tls())
        }
        Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
            "its certificate is another than the one with the fingerprint of --pin".to_owned()
        }
        // The latter of another authority with the name of one that is trusted.
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate is of an authority that is not trusted here; give the authority's certificate with --ca FILE"
                .to_owned()
        }
        Error::InvalidCertificate(error) => format!("its certificate {}", of_certificate(error)),
        Error::PeerIncompatible(_) | Error::AlertReceived(Alert::ProtocolVersion) => {
            "it does not speak TLS 1.3".to_owned()
        }
        Error::AlertReceived(Alert::CertificateRequired) => {
            "it wants a certificate of this client; give one with --cert FILE and --key FILE".to_owned()
        }
        Error::AlertReceived(
            alert @ (Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::UnsupportedCertificate
            | Alert::AccessDenied
            | Alert::DecryptError),
        ) => format!("it does not accept the certificate of this client: {}", of_alert(*alert)),
        Error::AlertReceived(alert) => format!("it has ended the handshake: {}", of_alert(*alert)),
        other => other.to_string(),
    }
}

/// The end of a handshake at a listener, or of a connection that was open, for its log.
pub(super) fn at_server(error: &Error, first: FirstBytes, is_open: bool) -> io::Error {
    let words = if is_open { error.to_string() } else { server_words(error, first) };
    io::Error::new(io::ErrorKind::InvalidData, words)
}

/// The same at the HTTP server, which other programs than ours read.
#[cfg(feature = "broker")]
pub(super) fn at_http_server(error: &Error, first: FirstBytes, is_open: bool) -> io::Error {
    match error {
        Error::InvalidMessage(_) if !is_open && !first.is_tls() => {
            let words = format!("{}; its readers write https://", first.no_tls());
            io::Error::new(io::ErrorKind::InvalidData, words)
        }
        other => at_server(other, first, is_open),
    }
}

fn server_words(error: &Error, first: FirstBytes) -> String {
    match error {
        Error::InvalidMessage(_) if !first.is_tls() => {
            format!("{}; a client of corecast connects to tls://", first.no_tls())
        }
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired
            // The hello of a client so old that it does not know it.
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired,
        ) => "the client does not offer TLS 1.3".to_owned(),
        Error::PeerIncompatible(_) => {
            "the client offers no cipher suite, key exchange or signature of TLS 1.3 that this listener has".to_owned()
        }
        Error::NoCertificatesPresented => {
            "the client has shown no certificate, which --tls-client-ca requires".to_owned()
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "the client's certificate is of an authority that --tls-client-ca does not have".to_owned()
        }
        Error::InvalidCertificate(error) => format!("the client's certificate {}", of_certificate(error)),
        Error::AlertReceived(alert) => {
            format!("the client does not accept the certificate of this listener: {}", of_alert(*alert))
        }
        other => other.to_string(),
    }
}

/// A sentence without its subject, which is a certificate.
fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::ExpiredContext { time, not_after } => {
            format!("has expired, {} ago", roughly(between(*not_after, *time)))
        }
        CertificateError::Expired => "has expired".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("is not valid yet: only in {}; is the clock right?", roughly(between(*time, *not_before)))
        }
        CertificateError::NotValidYet => "is not valid yet".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = match presented.is_empty() {
                true => "no host".to_owned(),
                false => presented.iter().map(|name| plain_name(name)).collect::<Vec<_>>().join(", "),
            };
            format!(
                "is not for the host {}; it is for {names}: write one of these, or have it made for this host too (`corecast cert server`)",
                host(expected)
            )
        }
        CertificateError::NotValidForName => "is for another host".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not for this end of a connection: that of a client is not for servers, and the other way round".to_owned()
        }
        CertificateError::BadEncoding => "cannot be read".to_owned(),
        other => format!("is not valid: {other}"),
    }
}

/// A name of a certificate, which the library shows with its kind around it: `DnsName("localhost")`.
fn plain_name(name: &str) -> &str {
    let inside = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inside.map_or(name, |inside| inside.trim_matches('"'))
}

fn host(name: &ServerName<'_>) -> String {
    name.to_str().into_owned()
}

fn between(early: UnixTime, late: UnixTime) -> Duration {
    Duration::from_secs(late.as_secs().saturating_sub(early.as_secs()))
}

fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => "it is of an authority that is not trusted there".to_owned(),
        AlertDescription::CertificateExpired => "it has expired, or is not valid yet".to_owned(),
        AlertDescription::CertificateRevoked => "it is revoked".to_owned(),
        AlertDescription::BadCertificate => "it is not valid, or for another host".to_owned(),
        AlertDescription::UnsupportedCertificate => "it is not for this end of a connection: that of a server is not for clients, and the other way round".to_owned(),
        other => format!("alert {other:?}"),
    }
}

/// An error of files, where no other end has part.
pub(super) fn in_a_file(error: &Error) -> String {
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "this key is not the one of the certificate".to_owned()
        }
        Error::InvalidCertificate(error) => format!("a certificate in it {}", of_certificate(error)),
        Error::General(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(bytes: &[u8]) -> FirstBytes {
        let mut first = FirstBytes::default();
        bytes.chunks(3).for_each(|chunk| first.hear(chunk));
        first
    }

    #[test]
    fn first_bytes_tell_what_the_other_end_speaks() {
        assert!(first(&[0x15, 3, 3, 0, 2]).is_tls() && first(&[0x16]).is_tls() && !first(b"GET /").is_tls());
        let error = Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        assert!(at_client(&error, first(b"CORECAST")).to_string().contains("`CORECAST`; write tcp://"));
        assert!(at_server(&error, first(b"GET / HTTP"), false).to_string().contains("`GET / HT`; a client"));
    }

    #[test]
    fn a_client_that_is_too_old_is_told_so_in_plain_words() {
        for old in [
            PeerIncompatible::Tls12NotOffered,
            PeerIncompatible::SignatureAlgorithmsExtensionRequired,
            PeerIncompatible::SupportedVersionsExtensionRequired,
        ] {
            let error = at_server(&Error::PeerIncompatible(old), FirstBytes::default(), false);
            assert_eq!(error.to_string(), "the client does not offer TLS 1.3");
        }
        let other = Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon);
        assert!(at_server(&other, FirstBytes::default(), false).to_string().contains("no cipher suite"));
    }

    #[test]
    fn a_trouble_of_the_other_end_is_tried_again() {
        let ended = |alert| at_client(&Error::AlertReceived(alert), FirstBytes::default()).kind();
        assert_eq!(ended(AlertDescription::InternalError), io::ErrorKind::ConnectionAborted);
        assert_eq!(ended(AlertDescription::UnknownCA), io::ErrorKind::InvalidData);
    }
}
