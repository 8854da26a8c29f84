//! The direct publishers that a session's broker names: those that it may name, those that were heard of, and the news of
//! them for whoever acts on it or looks at it. Pure; part of a session's state.

use std::mem;
use std::time::Duration;

use super::heard::Heard;
use super::named::Named;
use super::registry_feed::RegistryFeed;
use crate::client::listed::{DownReason, Listed};
use crate::ids::PublisherId;
use crate::registry::{DOWN_FORGOTTEN, DOWN_REVOKED, Registration};

/// A change among direct publishers, as the broker tells it.
pub(in crate::client) enum PublisherNews {
    Up(Registration),
    Down(PublisherId, u64),
    /// Gone, because its registration was taken back.
    Revoked(PublisherId, u64),
}

/// The meaning of a publisher's departure to subscribers.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Departure {
    /// They have heard of it before, or look at the registry alone.
    Known,
    /// It came and went while the session was away.
    Stranger,
    /// It stands for more publishers than the broker can tell of, the last of which left so long ago.
    Forgotten(Duration),
}

/// All that one session was told.
#[derive(Default)]
pub(in crate::client) struct Naming {
    /// By its rules the broker may have direct publishers to name.
    may_name: bool,
    /// The start of the broker that has welcomed the session last.
    broker: Option<u64>,
    /// The session was cut off from a broker that may have gone on without it, and no broker has welcomed it since.
    is_cut_off: bool,
    /// The direct publishers that it has named on this connection.
    named: Named,
    /// Those of the list under way.
    listed: Named,
    /// The direct publishers that it has told of, those that have left as well.
    heard: Heard,
    /// Changes among them that nobody has acted on yet.
    news: Vec<PublisherNews>,
    /// The feed of a session that views the registry: it takes the news, and nobody acts on them.
    feed: Option<RegistryFeed>,
}

impl Naming {
    /// A connection stands: nobody is named on it yet.
    pub(super) fn on_connected(&mut self) {
        self.may_name = false;
        self.named.clear();
        self.listed.clear();
    }

    /// The connection is lost in a way that does not say that the broker has ended.
    pub(super) fn on_cut_off(&mut self) {
        self.is_cut_off = true;
    }

    /// The broker welcomes the session. True if publishers may have come and gone unheard of which it cannot tell: they were at
    /// an earlier start of the broker, from which the session had been cut off.
    pub(super) fn on_welcome(&mut self, broker: u64) -> bool {
        let before = self.broker.replace(broker);
        let was_cut_off = mem::take(&mut self.is_cut_off);
        self.may_name && was_cut_off && before.is_some_and(|before| before != broker)
    }

    /// The broker says whether any topic goes direct by its rules, so that it may have publishers to name.
    pub(super) fn on_rules(&mut self, may_name: bool) {
        self.may_name = may_name;
    }

    /// From now on all that is named is for a view of the registry.
    pub(in crate::client) fn view_registry(&mut self) {
        self.feed = Some(RegistryFeed::default());
    }

    /// The feed of a session that views the registry.
    pub(in crate::client) fn feed(&mut self) -> Option<&mut RegistryFeed> {
        self.feed.as_mut()
    }

    /// The broker names a publisher: one of a list, with the rest of its lease, or one that is there.
    ///
    /// # Errors
    /// The reason why it may not.
    pub(super) fn on_up(
        &mut self,
        registration: Registration,
        lease_left: Option<Duration>,
    ) -> Result<(), String> {
        if self.feed.is_none() && !self.may_name {
            return Err("no topic of it goes direct".to_owned());
        }
        let named = if lease_left.is_some() { &mut self.listed } else { &mut self.named };
        named.up(&registration)?;
        match &mut self.feed {
            Some(feed) => feed.on_up(registration, lease_left),
            None => {
                self.heard.add(registration.publisher);
                self.news.push(PublisherNews::Up(registration));
            }
        }
        Ok(())
    }

    /// The broker says that a publisher has left.
    pub(super) fn on_down(&mut self, publisher: PublisherId, epoch: u64, reason: u8) -> Departure {
        self.named.down(publisher, epoch);
        if let Some(feed) = &mut self.feed {
            feed.on_down(publisher, epoch, DownReason::from_wire(reason));
            return Departure::Known;
        }
        if reason == DOWN_FORGOTTEN {
            return Departure::Forgotten(Duration::from_millis(epoch));
        }
        let is_stranger = self.heard.add(publisher);
        self.news.push(match reason {
            DOWN_REVOKED => PublisherNews::Revoked(publisher, epoch),
            _ => PublisherNews::Down(publisher, epoch),
        });
        if is_stranger { Departure::Stranger } else { Departure::Known }
    }

    /// A list has come whole. Returns it, if the session views the registry.
    pub(super) fn on_listed(&mut self) -> Option<Vec<Listed>> {
        self.listed.clear();
        self.feed.as_mut().map(RegistryFeed::on_listed)
    }

    /// Takes the news, to be acted on now.
    pub(super) fn take_news(&mut self) -> Vec<PublisherNews> {
        mem::take(&mut self.news)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rig::registration;
    use super::*;

    #[test]
    fn a_broker_names_publishers_only_where_topics_go_direct() {
        let mut naming = Naming::default();
        assert!(naming.on_up(registration(1), None).is_err());
        naming.on_rules(true);
        naming.on_up(registration(1), None).expect("its rules allow it");
        naming.on_connected();
        assert!(naming.on_up(registration(1), None).is_err(), "its rules are not known on this connection");
        naming.view_registry();
        naming.on_up(registration(2), None).expect("a view asks for all");
        assert_eq!(naming.take_news().len(), 1, "a view acts on nothing");
    }

    #[test]
    fn only_the_next_start_of_the_broker_cannot_tell_of_a_time_in_which_the_session_was_cut_off() {
        let cases =
            [(true, true, 2, true), (true, true, 1, false), (true, false, 2, false), (false, true, 2, false)];
        for (goes_direct, is_cut_off, next, unheard) in cases {
            let mut naming = Naming::default();
            naming.on_cut_off();
            naming.on_rules(goes_direct);
            assert!(!naming.on_welcome(1), "there was no broker before");
            if is_cut_off {
                naming.on_cut_off();
            }
            naming.on_connected();
            naming.on_rules(goes_direct);
            assert_eq!(naming.on_welcome(next), unheard, "{goes_direct} {is_cut_off} {next}");
            assert!(!naming.on_welcome(3), "it has not been cut off since");
        }
    }

    #[test]
    fn a_publisher_that_came_and_went_unheard_is_a_stranger_once() {
        let mut naming = Naming::default();
        naming.on_rules(true);
        naming.on_up(registration(1), None).expect("its rules allow it");
        assert_eq!(naming.on_down(PublisherId(1), 1, 1), Departure::Known);
        assert_eq!(naming.on_down(PublisherId(2), 1, 1), Departure::Stranger);
        assert_eq!(naming.on_down(PublisherId(2), 1, 1), Departure::Known);
        let forgotten = naming.on_down(PublisherId(0), 1_500, DOWN_FORGOTTEN);
        assert_eq!(forgotten, Departure::Forgotten(Duration::from_millis(1_500)));
        assert_eq!(naming.take_news().len(), 4, "what is forgotten is no news of one publisher");
        naming.view_registry();
        assert_eq!(naming.on_down(PublisherId(3), 1, 1), Departure::Known, "a view has no subscribers");
    }
}
