//! Facts of a certificate that rustls does not tell: from when to when it is valid, for which names, and for which end of a
//! connection. What a peer shows is checked by rustls before.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{ExtendedKeyUsage, FromDer as _, GeneralName, X509Certificate};

use super::fingerprint::Fingerprint;
use super::pem;
use super::pin::fingerprint_of;
use crate::error::Result;

/// The validity, the names, the purposes and the fingerprint of a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CertificateFacts {
    pub(crate) begins_at: SystemTime,
    pub(crate) ends_at: SystemTime,
    /// Its subject alternative names: hosts, IP addresses, addresses of mail, URIs.
    pub(crate) names: Vec<String>,
    /// It may be shown by servers, and by clients: one without an extended key usage is for both.
    pub(crate) is_for_servers: bool,
    pub(crate) is_for_clients: bool,
    /// It is that of an authority, which no client takes for a server's unless it is pinned.
    pub(crate) is_authority: bool,
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
        let usage =
            parsed.extended_key_usage().map_err(|e| format!("its extended key usage cannot be read: {e}"))?;
        // As whoever checks it does: `anyExtendedKeyUsage` is neither.
        let is_for = |purpose: fn(&ExtendedKeyUsage<'_>) -> bool| {
            usage.as_ref().is_none_or(|usage| purpose(usage.value))
        };
        Ok(CertificateFacts {
            begins_at: at(validity.not_before.timestamp()),
            ends_at: at(validity.not_after.timestamp()),
            names: names.filter_map(text_of).collect(),
            is_for_servers: is_for(|usage| usage.server_auth),
            is_for_clients: is_for(|usage| usage.client_auth),
            is_authority: parsed.is_ca(),
            fingerprint: fingerprint_of(certificate),
        })
    }

    /// The reason why it is not valid at this time, if it is not.
    fn why_not_valid(&self, now: SystemTime) -> Option<String> {
        if let Ok(since) = now.duration_since(self.ends_at) {
            return Some(format!("it has expired, {} ago", roughly(since)));
        }
        let until = self.begins_at.duration_since(now).ok()?;
        (!until.is_zero())
            .then(|| format!("it is not valid yet: only in {}; is the clock right?", roughly(until)))
    }

    /// The reason why a server cannot show it now, if there is one.
    pub(crate) fn why_not_of_server(&self, now: SystemTime) -> Option<String> {
        let wrong_end = (!self.is_for_servers).then(|| {
            "it is not for servers, and clients would refuse it: its extended key usage lacks serverAuth"
                .to_owned()
        });
        self.why_not_valid(now).or(wrong_end)
    }

    /// The reason why a client cannot show it now, if there is one.
    pub(super) fn why_not_of_client(&self, now: SystemTime) -> Option<String> {
        let wrong_end = (!self.is_for_clients).then(|| {
            "it is not for clients, and brokers would refuse it: its extended key usage lacks clientAuth"
                .to_owned()
        });
        self.why_not_valid(now).or(wrong_end)
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

    fn facts() -> CertificateFacts {
        CertificateFacts {
            begins_at: at(1_000),
            ends_at: at(2_000),
            names: Vec::new(),
            is_for_servers: true,
            is_for_clients: true,
            is_authority: false,
            fingerprint: Fingerprint([0; 32]),
        }
    }

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
        let facts = facts();
        assert!(facts.why_not_valid(at(999)).is_some_and(|why| why.contains("not valid yet")));
        assert_eq!(facts.why_not_valid(at(1_000)), None);
        assert_eq!(facts.why_not_valid(at(1_999)), None);
        assert!(facts.why_not_valid(at(2_060)).is_some_and(|why| why.contains("has expired, 1 minute ago")));
    }

    #[test]
    fn a_certificate_is_for_the_ends_that_it_says_or_for_both() {
        use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};

        let of = |usages: &[ExtendedKeyUsagePurpose]| {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
            params.extended_key_usages = usages.to_vec();
            let made = params.self_signed(&key).expect("a certificate");
            let facts = CertificateFacts::of(made.der()).expect("it is one");
            let now = SystemTime::now();
            [facts.why_not_of_server(now), facts.why_not_of_client(now)].map(|why| why.is_none())
        };
        let (server, client) = (ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth);
        assert_eq!(of(&[]), [true, true]);
        assert_eq!(of(std::slice::from_ref(&server)), [true, false]);
        assert_eq!(of(std::slice::from_ref(&client)), [false, true]);
        assert_eq!(of(&[client, server]), [true, true]);
        assert_eq!(of(&[ExtendedKeyUsagePurpose::CodeSigning]), [false, false]);
        let ended = CertificateFacts { is_for_servers: false, ..facts() };
        assert!(ended.why_not_of_server(at(2_060)).is_some_and(|why| why.contains("has expired")));
    }
}
