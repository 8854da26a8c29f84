//! Facts of a certificate that rustls does not tell: from when to when it is valid, and for which names. What a peer shows
//! is checked by rustls before.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::fingerprint::Fingerprint;
use super::pem;
use super::pin::fingerprint_of;
use crate::error::Result;

/// The validity, the names and the fingerprint of a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CertificateFacts {
    pub(crate) begins_at: SystemTime,
    pub(crate) ends_at: SystemTime,
    /// Its subject alternative names: hosts, IP addresses, addresses of mail, URIs.
    pub(crate) names: Vec<String>,
    pub(crate) fingerprint: Fingerprint,
}

impl CertificateFacts {
    /// Those of the first certificate of a PEM file.
    ///
    /// # Errors
    /// `Invalid`, with the field.
    pub(crate) fn read(field: &'static str, path: &Path) -> Result<Self> {
        let chain = pem::certificates(field, path)?;
        CertificateFacts::of(&chain[0]).map_err(|why| pem::wrong(field, path, why))
    }

    /// Reads a certificate; the error says what is wrong with it.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> std::result::Result<Self, String> {
        let (rest, parsed) =
            X509Certificate::from_der(certificate).map_err(|e| format!("it is no certificate: {e}"))?;
        if !rest.is_empty() {
            return Err("something is behind the certificate".to_owned());
        }
        let validity = parsed.validity();
        let names =
            parsed.subject_alternative_name().map_err(|e| format!("its names cannot be read: {e}"))?;
        let names = names.iter().flat_map(|extension| &extension.value.general_names);
        Ok(CertificateFacts {
            begins_at: at(validity.not_before.timestamp()),
            ends_at: at(validity.not_after.timestamp()),
            names: names.filter_map(text_of).collect(),
            fingerprint: fingerprint_of(certificate),
        })
    }

    /// The reason why it is not valid at this time, if it is not.
    pub(crate) fn why_not_valid(&self, now: SystemTime) -> Option<String> {
        if let Ok(since) = now.duration_since(self.ends_at) {
            return Some(format!("it has expired, {} ago", roughly(since)));
        }
        let until = self.begins_at.duration_since(now).ok()?;
        (!until.is_zero())
            .then(|| format!("it is not valid yet: only in {}; is the clock right?", roughly(until)))
    }
}

fn at(unix_s: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(unix_s).unwrap_or(0))
}

fn text_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
            Some((*text).to_owned())
        }
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}

/// A time for people, in its largest unit.
pub(super) fn roughly(time: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let s = time.as_secs();
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| s >= *unit).unwrap_or((1, "second"));
    let count = s / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_largest_unit() {
        for (s, text) in
            [(0, "0 seconds"), (1, "1 second"), (119, "1 minute"), (7_200, "2 hours"), (86_400, "1 day")]
        {
            assert_eq!(roughly(Duration::from_secs(s)), text);
        }
    }

    #[test]
    fn a_certificate_is_valid_from_its_first_second_until_its_last() {
        let fingerprint = Fingerprint([0; 32]);
        let facts =
            CertificateFacts { begins_at: at(1_000), ends_at: at(2_000), names: Vec::new(), fingerprint };
        assert!(facts.why_not_valid(at(999)).is_some_and(|why| why.contains("not valid yet")));
        assert_eq!(facts.why_not_valid(at(1_000)), None);
        assert_eq!(facts.why_not_valid(at(1_999)), None);
        assert!(facts.why_not_valid(at(2_060)).is_some_and(|why| why.contains("has expired, 1 minute ago")));
    }
}
