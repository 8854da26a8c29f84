//! The way from topics to routes: a batch in which every message is of another topic comes to a shard that knows many
//! filters. One session wants them all, so that little but routing is measured.

use corecast::internals::carrier::LinkItem;
use corecast::{Filter, QueueBounds};

use crate::case::Measured;
use crate::rig::{FAR, NEAR, Rig, batch_of, filter, push_message};

/// Messages in the batch, each of a topic of its own.
pub(crate) const TOPICS: u64 = 64;

pub(crate) fn cached() -> Box<dyn Measured> {
    Box::new(Routing::new(false))
}

pub(crate) fn uncached() -> Box<dyn Measured> {
    Box::new(Routing::new(true))
}

struct Routing {
    rig: Rig,
    batch: LinkItem,
    next: Option<LinkItem>,
    /// A filter that comes and goes, so that routes are forgotten.
    aside: Option<Filter>,
    is_wanted: bool,
}

impl Routing {
    fn new(forget: bool) -> Self {
        let mut rig = Rig::new(FAR, QueueBounds::default());
        rig.open_subscriber(">");
        // 7 filters for each topic: its own, wider ones, and some that only look like it.
        for topic in 0..TOPICS {
            for wanted in [
                format!("prices.p{topic}.usd"),
                format!("prices.p{topic}.*"),
                format!("prices.p{topic}.>"),
                format!("prices.*.c{topic}"),
                format!("prices.p{topic}.usd.spot"),
                format!("orders.p{topic}.usd"),
                format!("*.p{topic}.eur"),
            ] {
                rig.interest(NEAR, &filter(&wanted), true);
            }
        }
        let mut bytes = Vec::new();
        (0..TOPICS).for_each(|topic| push_message(&format!("prices.p{topic}.usd"), b"1.0", 1, &mut bytes));
        let aside = forget.then(|| filter("aside"));
        Routing { rig, batch: batch_of(&bytes), next: None, aside, is_wanted: false }
    }
}

impl Measured for Routing {
    fn restore(&mut self) {
        self.rig.flush();
        if let Some(aside) = &self.aside {
            self.is_wanted = !self.is_wanted;
            self.rig.interest(NEAR, aside, self.is_wanted);
        }
        self.next = Some(self.batch.clone());
    }

    fn run(&mut self) {
        if let Some(batch) = self.next.take() {
            self.rig.shard.on_link(NEAR, batch);
        }
    }
}
