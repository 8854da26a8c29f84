//! Tickets, by which a broker lets a subscriber in at a direct publisher: their content, and their form in bytes. Pure.

use std::fmt;

use super::rights::Scope;
use super::ticket_key::{SIGNATURE_BYTES, TicketKey, TicketSigner};
use crate::ids::PublisherId;
use crate::limits::{TICKET_BYTES_MAX, USER_NAME_BYTES_MAX};
use crate::topic::Filter;

/// The version of the form.
const VERSION: u8 = 1;

/// Bytes of a ticket beside its holder, its filters and its signature.
const FIXED_BYTES: usize = 1 + 3 * size_of::<u64>() + 2;

/// Bytes of a filter beside its text: its kind and its length.
const FILTER_BYTES: usize = 1 + size_of::<u16>();

/// The number in the place of a scope: all topics, or those of the filters that follow.
const ALL: u8 = 0;
const FILTERS: u8 = 1;

/// The word of a broker to one of its direct publishers: who shows this may subscribe to these topics there, until then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ticket {
    /// The only publisher that it is for.
    pub(crate) publisher: PublisherId,
    /// The number of the broker's rules by which it was given.
    pub(crate) epoch: u64,
    /// Its end, by the broker's clock of tickets.
    pub(crate) ends_ms: u64,
    /// The user that it is for, for logs.
    pub(crate) holder: Box<str>,
    /// The topics.
    pub(crate) scope: Scope,
}

/// The reason for which a ticket is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TicketFault {
    /// It has not the form of a ticket.
    Malformed,
    /// The broker of this publisher has not signed it, or somebody has changed it.
    Unsigned,
    /// It is for another publisher.
    OtherPublisher,
    /// Its time is over.
    Ended,
    /// The rules by which it was given are no longer those of the broker.
    Void,
}

impl fmt::Display for TicketFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TicketFault::Malformed => "is none",
            TicketFault::Unsigned => "is not signed by the broker of this publisher",
            TicketFault::OtherPublisher => "is for another publisher",
            TicketFault::Ended => "has ended, and no other was shown",
            TicketFault::Void => "is void since the rules of the broker have changed",
        })
    }
}

impl Ticket {
    /// The signed bytes. Filters for which there is no room, the longest, are left out: nobody is let in by more than was
    /// signed.
    pub(crate) fn sign(&self, signer: &TicketSigner) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.holder.len() + SIGNATURE_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.publisher.0.to_le_bytes());
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        bytes.extend_from_slice(&self.ends_ms.to_le_bytes());
        bytes.push(u8::try_from(self.holder.len()).expect("names of users are short"));
        bytes.extend_from_slice(self.holder.as_bytes());
        match &self.scope {
            Scope::All => bytes.push(ALL),
            Scope::Of(filters) => {
                bytes.push(FILTERS);
                let mut filters: Vec<&Filter> = filters.filters().iter().collect();
                filters.sort_by_key(|filter| filter.as_bytes().len());
                for filter in filters {
                    let text = filter.as_bytes();
                    if bytes.len() + FILTER_BYTES + text.len() + SIGNATURE_BYTES > TICKET_BYTES_MAX {
                        break;
                    }
                    bytes.push(filter.wire_kind());
                    bytes.extend_from_slice(
                        &u16::try_from(text.len()).expect("a filter is short").to_le_bytes(),
                    );
                    bytes.extend_from_slice(text);
                }
            }
        }
        signer.seal(bytes)
    }

    /// Reads a ticket that has this signer. What is not signed is not looked at.
    pub(crate) fn check(bytes: &[u8], key: &TicketKey) -> Result<Ticket, TicketFault> {
        if bytes.len() > TICKET_BYTES_MAX {
            return Err(TicketFault::Malformed);
        }
        let body = key.open(bytes).ok_or(TicketFault::Unsigned)?;
        Ticket::read(body).ok_or(TicketFault::Malformed)
    }

    fn read(mut body: &[u8]) -> Option<Ticket> {
        let rest = &mut body;
        if take::<1>(rest)? != [VERSION] {
            return None;
        }
        let publisher = PublisherId(u64::from_le_bytes(take(rest)?));
        let epoch = u64::from_le_bytes(take(rest)?);
        let ends_ms = u64::from_le_bytes(take(rest)?);
        let [holder_bytes] = take(rest)?;
        let holder = rest.split_off(..usize::from(holder_bytes))?;
        let holder: Box<str> = std::str::from_utf8(holder).ok()?.into();
        if holder.len() > USER_NAME_BYTES_MAX {
            return None;
        }
        let scope = match take(rest)? {
            [ALL] if rest.is_empty() => Scope::All,
            [FILTERS] => {
                let mut filters = Vec::new();
                while !rest.is_empty() {
                    let [kind] = take(rest)?;
                    let length = u16::from_le_bytes(take(rest)?);
                    let text = rest.split_off(..usize::from(length))?;
                    filters.push(Filter::from_wire(kind, text).ok()?);
                }
                Scope::of(filters)
            }
            _ => return None,
        };
        Some(Ticket { publisher, epoch, ends_ms, holder, scope })
    }
}

/// The next bytes, which are taken.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*taken)
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        let filters = ["a.>", "b"].map(|text| Filter::parse(text).expect("a filter"));
        let scope =
            Scope::of([filters[0].clone(), filters[1].clone(), Filter::prefix(b"c").expect("a prefix")]);
        Ticket { publisher: PublisherId(7), epoch: 3, ends_ms: 60_000, holder: "desk".into(), scope }
    }

    fn signer() -> TicketSigner {
        TicketSigner::fresh().expect("random bytes").expect("it can sign")
    }

    #[test]
    fn a_ticket_reads_back_for_whoever_has_the_key() {
        let signer = signer();
        let all = Ticket { scope: Scope::All, holder: "".into(), ..ticket() };
        for ticket in [ticket(), all, Ticket { scope: Scope::of([]), ..ticket() }] {
            assert_eq!(Ticket::check(&ticket.sign(&signer), &signer.key()), Ok(ticket));
        }
    }

    #[test]
    fn a_ticket_that_is_cut_or_altered_or_of_another_signer_is_none() {
        let signer = signer();
        let (good, key) = (ticket().sign(&signer), signer.key());
        for length in 0..good.len() {
            assert!(Ticket::check(&good[..length], &key).is_err(), "{length} bytes");
        }
        for at in 0..good.len() {
            let mut altered = good.clone();
            altered[at] ^= 1;
            assert_eq!(Ticket::check(&altered, &key), Err(TicketFault::Unsigned), "byte {at}");
        }
        let longer = [&good[..], &[0]].concat();
        assert_eq!(Ticket::check(&longer, &key), Err(TicketFault::Unsigned));
        assert_eq!(Ticket::check(&vec![0; TICKET_BYTES_MAX + 1], &key), Err(TicketFault::Malformed));
        assert_eq!(Ticket::check(&good, &self::signer().key()), Err(TicketFault::Unsigned));
    }

    #[test]
    fn what_is_signed_and_no_ticket_is_none() {
        let signer = signer();
        let sign = |body: &[u8]| signer.seal(body.to_vec());
        let good = ticket().sign(&signer);
        let body = &good[..good.len() - SIGNATURE_BYTES];
        let version_2 = [&[2], &body[1..]].concat();
        let long_name = [&body[..25], &[255], &body[26..]].concat();
        let all_with_more = [&body[..30], &[ALL, 1]].concat();
        let unknown_scope = [&body[..30], &[2]].concat();
        let no_filter = [body, &[9, 1, 0, b'a']].concat();
        for wrong in
            [&[][..], &body[..20], &version_2, &long_name, &all_with_more, &unknown_scope, &no_filter]
        {
            assert_eq!(Ticket::check(&sign(wrong), &signer.key()), Err(TicketFault::Malformed), "{wrong:?}");
        }
    }

    #[test]
    fn a_ticket_has_the_filters_that_it_has_room_for_and_is_never_wider() {
        let many: Vec<Filter> =
            (0..1_000).map(|n| Filter::parse(&format!("many.{n:03}")).expect("a filter")).collect();
        let signer = signer();
        let signed = Ticket { scope: Scope::of(many.clone()), ..ticket() }.sign(&signer);
        assert!(signed.len() <= TICKET_BYTES_MAX && signed.len() > TICKET_BYTES_MAX / 2);
        let read = Ticket::check(&signed, &signer.key()).expect("a ticket");
        let Scope::Of(there) = &read.scope else { panic!("not all topics") };
        assert!(there.filters().len() > 100 && there.filters().iter().all(|filter| many.contains(filter)));
    }
}
