//! The subscriptions at the engine: a cover of what is wanted here, in which none is within another. Owned by the interest of this
//! broker.
//!
//! Filters that are within another cost nothing at the engine, and messages come once. Two that only overlap bring some
//! messages twice, which positions see. A change is made before what it replaces is ended, so nothing is missed between.

use ahash::AHashMap;

use super::EngineOrder;
use super::subject::{Subjects, Wide};
use crate::slack::give_back;
use crate::topic::Filter;

/// Subjects that are wanted.
#[derive(Default)]
pub(super) struct Cover {
    wanted: AHashMap<Filter, Wanted>,
    /// The patterns among those that are subscribed to: only these have others within them.
    wild: Vec<Filter>,
    /// Filters that may match topics which are no subjects, and the subscription for these.
    odd: Wanted,
    /// Subscriptions so far.
    numbers: u32,
}

/// One subject.
#[derive(Default)]
struct Wanted {
    /// Filters that want it.
    asking: u32,
    /// The subscription to it; `None`: it is within another.
    number: Option<u32>,
}

impl Cover {
    /// Adds what a filter needs. Returns what to do at the engine.
    pub(super) fn add(&mut self, wide: &Wide, subjects: &Subjects) -> Vec<EngineOrder> {
        let mut orders = Vec::new();
        if wide.has_odd {
            self.odd.asking += 1;
            if self.odd.asking == 1 {
                orders.push(subscribe(&mut self.odd, &mut self.numbers, subjects.odd()));
            }
        }
        let Some(filter) = &wide.filter else { return orders };
        let wanted = self.wanted.entry(filter.clone()).or_default();
        wanted.asking += 1;
        if wanted.asking == 1 && !self.wild.iter().any(|wild| wild.covers(filter)) {
            self.subscribe(filter, subjects, &mut orders);
            self.end_those_within(filter, &mut orders);
        }
        orders
    }

    /// Takes away what a filter needed. Returns what to do at the engine.
    pub(super) fn remove(&mut self, wide: &Wide, subjects: &Subjects) -> Vec<EngineOrder> {
        let mut orders = Vec::new();
        if let Some(filter) = &wide.filter
            && let Some(wanted) = self.wanted.get_mut(filter)
        {
            wanted.asking -= 1;
            if wanted.asking == 0 {
                let number = wanted.number;
                self.wanted.remove(filter);
                give_back(&mut self.wanted);
                if number.is_some() {
                    self.wild.retain(|wild| wild != filter);
                    self.begin_those_within(filter, subjects, &mut orders);
                }
                orders.extend(number.map(|number| EngineOrder::Unsubscribe { number }));
            }
        }
        if wide.has_odd {
            self.odd.asking -= 1;
            if self.odd.asking == 0 {
                let number = self.odd.number.take();
                orders.extend(number.map(|number| EngineOrder::Unsubscribe { number }));
            }
        }
        orders
    }

    fn subscribe(&mut self, filter: &Filter, subjects: &Subjects, orders: &mut Vec<EngineOrder>) {
        let wanted = self.wanted.get_mut(filter).expect("it is wanted");
        orders.push(subscribe(wanted, &mut self.numbers, subjects.of_wide(filter)));
        if matches!(filter, Filter::Pattern(_)) {
            self.wild.push(filter.clone());
        }
    }

    /// Ends the subscriptions that a new one makes needless.
    fn end_those_within(&mut self, filter: &Filter, orders: &mut Vec<EngineOrder>) {
        if !matches!(filter, Filter::Pattern(_)) {
            return;
        }
        for (other, wanted) in &mut self.wanted {
            if wanted.number.is_some() && other != filter && filter.covers(other) {
                let number = wanted.number.take().expect("it was just seen");
                orders.push(EngineOrder::Unsubscribe { number });
            }
        }
        self.wild.retain(|wild| wild == filter || !filter.covers(wild));
    }

    /// Begins the subscriptions that one which ends made needless.
    fn begin_those_within(&mut self, filter: &Filter, subjects: &Subjects, orders: &mut Vec<EngineOrder>) {
        if !matches!(filter, Filter::Pattern(_)) {
            return;
        }
        let bare = self.wanted.iter().filter(|(other, wanted)| {
            wanted.number.is_none()
                && filter.covers(other)
                && !self.wild.iter().any(|wild| wild.covers(other))
        });
        let bare: Vec<Filter> = bare.map(|(other, _)| other.clone()).collect();
        let patterns: Vec<&Filter> =
            bare.iter().filter(|other| matches!(other, Filter::Pattern(_))).collect();
        for other in &bare {
            if !patterns.iter().any(|pattern| *pattern != other && pattern.covers(other)) {
                self.subscribe(other, subjects, orders);
            }
        }
    }

    /// Subscribes to all of it, on a new connection.
    pub(super) fn restate(&mut self, subjects: &Subjects) -> Vec<EngineOrder> {
        let mut orders = Vec::new();
        for (filter, wanted) in &mut self.wanted {
            if wanted.number.is_some() {
                orders.push(subscribe(wanted, &mut self.numbers, subjects.of_wide(filter)));
            }
        }
        if self.odd.asking > 0 {
            orders.push(subscribe(&mut self.odd, &mut self.numbers, subjects.odd()));
        }
        orders
    }

    /// A number for a subscription that is no part of the cover.
    pub(super) fn next_number(&mut self) -> u32 {
        self.numbers = self.numbers.wrapping_add(1);
        self.numbers
    }
}

fn subscribe(wanted: &mut Wanted, numbers: &mut u32, subject: String) -> EngineOrder {
    *numbers = numbers.wrapping_add(1);
    wanted.number = Some(*numbers);
    EngineOrder::Subscribe { number: *numbers, subject }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::subject::widen;
    use super::*;

    fn filter(text: &str) -> Filter {
        Filter::parse(text).unwrap()
    }

    /// The subscriptions in force, which the orders are carried out on one by one; `check` looks after each.
    fn carry_out(
        orders: Vec<EngineOrder>,
        there: &mut BTreeMap<u32, String>,
        mut check: impl FnMut(&BTreeMap<u32, String>),
    ) {
        for order in orders {
            match order {
                EngineOrder::Subscribe { number, subject } => assert_eq!(there.insert(number, subject), None),
                EngineOrder::Unsubscribe { number } => assert!(there.remove(&number).is_some()),
                other => unreachable!("{other:?}"),
            }
            check(there);
        }
    }

    #[test]
    fn a_filter_within_another_costs_nothing() {
        let (mut cover, subjects) = (Cover::default(), Subjects::new("c"));
        let mut there = BTreeMap::new();
        let mut change = |text: &str, wanted: bool| {
            let wide = widen(&filter(text));
            let orders = if wanted { cover.add(&wide, &subjects) } else { cover.remove(&wide, &subjects) };
            let count = orders.len();
            carry_out(orders, &mut there, |_| ());
            let mut now: Vec<_> = there.values().map(|subject| subject.replace("cc.c.", "")).collect();
            now.sort_unstable();
            (count, now.join(" "))
        };
        assert_eq!(change("a.b", true), (1, "t.a.b".into()));
        assert_eq!(change("a.b", true), (0, "t.a.b".into()));
        assert_eq!(change("a.*", true).1, "odd t.a.*");
        assert_eq!(change("a.c", true).0, 0);
        assert_eq!(change("a.>", true).1, "odd t.a.>");
        assert_eq!(change("a.>", false).1, "odd t.a.*");
        assert_eq!(change("a.*", false).1, "t.a.b t.a.c".to_owned());
        assert_eq!(change("a.b", false).0, 0);
        assert_eq!(change("a.b", false).1, "t.a.c");
        assert_eq!(change("a.c", false).1, "");
    }

    #[test]
    fn at_no_time_is_anything_wanted_uncovered_nor_a_subscription_within_another() {
        let names = [">", "a.>", "a.*", "*.b", "a.b", "a.c", "b", "*", "a.*.c", "a.b.c", "*.*.c"];
        for seed in 0..300 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut cover, subjects) = (Cover::default(), Subjects::new("c"));
            let mut there = BTreeMap::new();
            let mut wanted: Vec<Filter> = Vec::new();
            for _ in 0..60 {
                let one = filter(names[rng.usize(..names.len())]);
                // One that was just added need not be there before all is done; one that leaves, not from the start on.
                let is_added = wanted.is_empty() || rng.bool();
                let (orders, steady) = if is_added {
                    let steady = wanted.clone();
                    wanted.push(one.clone());
                    (cover.add(&widen(&one), &subjects), steady)
                } else {
                    let one = wanted.swap_remove(rng.usize(..wanted.len()));
                    (cover.remove(&widen(&one), &subjects), wanted.clone())
                };
                let filters = |there: &BTreeMap<u32, String>| -> Vec<Filter> {
                    there.values().filter_map(|subject| subject.strip_prefix("cc.c.t.")).map(filter).collect()
                };
                carry_out(orders, &mut there, |there| {
                    for one in &steady {
                        assert!(filters(there).iter().any(|other| other.covers(one)), "{seed}: {one}");
                    }
                });
                let now = filters(&there);
                for one in &wanted {
                    assert!(now.iter().any(|other| other.covers(one)), "{seed}: {one}");
                }
                for one in &now {
                    assert!(now.iter().all(|other| other == one || !other.covers(one)), "{seed}: {one}");
                    assert!(wanted.contains(one));
                }
            }
        }
    }
}
