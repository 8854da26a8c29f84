//! The possible next steps. Each step is one action of one party; the seed decides which.

use crate::client::Client;
use crate::fault::Fault;
use crate::oracle::REASON_PUBLISHER;
use crate::plan::{PAYLOAD_BYTES_MAX, RUN_MESSAGES, TOPICS};
use crate::pumps::Connection;
use crate::rules::Part;
use crate::violation::Checked;
use crate::world::{CLIENTS_MAX, World};
use corecast::OverflowPolicy;
use corecast::internals::ids::ShardId;
use corecast::internals::shard::{Door, Moving};
use corecast::internals::wire::run::{RunBytes, RunMessage};
use corecast::internals::wire::{Features, Frame};

impl World {
    /// The publishers and the first subscribers are there, and their subscriptions are in force.
    pub(crate) fn begin(&mut self) -> Checked {
        for _ in 0..self.plan.publishers {
            self.connect_publisher();
        }
        for _ in 0..self.plan.subscribers {
            let Some(client) = self.connect() else { continue };
            if self.starts(client) {
                continue;
            }
            for _ in 0..self.rng.usize(1..4) {
                self.subscribe(client);
            }
        }
        self.rest()
    }

    /// One thing happens.
    pub(crate) fn step(&mut self) -> Checked {
        self.oracle.ledger.step += 1;
        self.rules_step();
        self.moves_step();
        match self.rng.u32(0..1_000) {
            0..250 => self.publish(),
            250..450 => self.somebody_is_read(),
            450..600 => self.some_link_is_drained(),
            600..700 => {
                let shard = self.any_shard();
                self.settle_turn(shard);
            }
            700..900 => self.somebody_reads()?,
            900..930 => self.tick(),
            // Not all requests are answered once a drain has begun.
            930..934 if !self.oracle.draining => self.rest()?,
            934..936 if !self.plan.calm => self.stranger(),
            936..948 => self.ask()?,
            948..951 => self.come_or_go(),
            // Where there is history, more of them come.
            951..960 if self.plan.has_history => self.come_or_go(),
            951..1_000 if self.rng.u32(0..49) < self.plan.stalls => {
                if let Some(client) = self.any_client() {
                    self.clients[client].stalled ^= true;
                }
            }
            _ => {}
        }
        for shard in 0..self.hosts.len() {
            self.audit(shard)?;
        }
        Ok(())
    }

    /// The rules change, or some shard does a turn to follow them; mostly neither.
    fn rules_step(&mut self) {
        let rng = &mut self.rules_rng;
        if self.oracle.rules.are_followed() {
            if !self.plan.calm && rng.u32(0..1_000) < self.plan.rule_changes {
                self.oracle.rules.change(rng, self.oracle.ledger.step);
            }
        } else if rng.u8(0..8) == 0 {
            let shard = rng.usize(..self.hosts.len());
            self.follow_rules(shard);
        }
    }

    /// Some sessions begin to move to another shard, or one goes on with its move; mostly neither.
    fn moves_step(&mut self) {
        let (rng, shards) = (&mut self.moves_rng, self.hosts.len());
        if rng.u32(0..1_000) < self.plan.moves && shards > 1 {
            let from = rng.usize(..shards);
            let to = (from + rng.usize(1..shards)) % shards;
            let to = ShardId(u16::try_from(to).expect("few shards"));
            Moving::of(&mut self.hosts[from].shard).begin(to);
        }
        if rng.u8(0..4) == 0 && !self.connections.is_empty() {
            let client = rng.usize(..self.connections.len());
            self.go_on_moving(client);
        }
    }

    /// One turn of a shard that follows new rules. `false`: it follows the last ones.
    pub(crate) fn follow_rules(&mut self, shard: usize) -> bool {
        let Some(permissions) = self.oracle.rules.next_for(shard) else { return false };
        if self.fault.strikes(Fault::IgnoreRules) || self.hosts[shard].shard.on_permissions(&permissions) {
            self.oracle.rules.follows(shard, self.oracle.ledger.step);
        }
        true
    }

    /// Stops one shard after the other, while everything goes on.
    pub(crate) fn drain(&mut self) -> Checked {
        self.oracle.draining = true;
        let mut order: Vec<usize> = (0..self.hosts.len()).collect();
        self.rng.shuffle(&mut order);
        for shard in order {
            self.hosts[shard].draining = true;
            self.hosts[shard].shard.on_drain();
            for _ in 0..self.rng.u32(0..200) {
                self.step()?;
            }
        }
        Ok(())
    }

    /// Everybody says nothing more.
    pub(crate) fn everybody_leaves(&mut self) {
        for client in 0..self.clients.len() {
            self.leave(client);
        }
    }

    fn leave(&mut self, client: usize) {
        self.clients[client].has_left = true;
        self.oracle.ledger.sessions[client].left = true;
    }

    fn any_shard(&mut self) -> usize {
        self.rng.usize(..self.hosts.len())
    }

    fn any_client(&mut self) -> Option<usize> {
        let there: Vec<usize> = (0..self.clients.len()).filter(|c| !self.connections[*c].has_ended).collect();
        self.rng.choice(there)
    }

    /// A client that may still say something, and breaks no rule.
    pub(crate) fn any_speaker(&mut self) -> Option<usize> {
        let client = self.any_client()?;
        let book = &self.oracle.ledger.sessions[client];
        let speaks = !self.clients[client].has_left && book.expects.is_none() && book.closed.is_none();
        speaks.then_some(client)
    }

    /// A pump settles after its turn; now and then another turn comes first.
    fn settle_soon(&mut self, shard: usize) {
        if self.rng.u8(0..10) > 0 {
            self.settle_turn(shard);
        }
    }

    fn somebody_is_read(&mut self) {
        let Some(client) = self.any_client() else { return };
        let bytes = self.rng.usize(1..=self.plan.read_bytes);
        self.read_turn(client, bytes);
        self.settle_soon(self.connections[client].shard);
    }

    fn some_link_is_drained(&mut self) {
        let (from, to) = (self.any_shard(), self.any_shard());
        self.link_room(from, to);
        let items = self.rng.usize(1..20);
        self.drain_link(from, to, items);
        self.settle_soon(to);
    }

    fn somebody_reads(&mut self) -> Checked {
        let Some(client) = self.any_client().filter(|client| !self.clients[*client].stalled) else {
            return Ok(());
        };
        let bytes = self.rng.usize(1..2_000);
        self.client_reads(client, bytes)?;
        self.writable(client);
        self.settle_soon(self.connections[client].shard);
        Ok(())
    }

    /// A client connects and says greeting and hello.
    pub(crate) fn connect(&mut self) -> Option<usize> {
        let client = self.accept(Part::Subscriber)?;
        let policy = self.plan.draw_policy(&mut self.rng);
        self.clients[client].greet(policy);
        Some(client)
    }

    /// A client that has just come starts with history; false: it does not.
    fn starts(&mut self, client: usize) -> bool {
        let starts = self.plan.has_history && self.history_rng.u8(0..8) > 0;
        if starts {
            self.start(client);
        }
        starts
    }

    fn connect_publisher(&mut self) {
        let Some(client) = self.accept(Part::Publisher) else { return };
        let asked = self.plan.draw_policy(&mut self.rng);
        let policy = OverflowPolicy::from_wire(asked).unwrap_or(self.plan.config.overflow);
        // A publisher that is thrown out in the middle of a read would have some of it taken, and some not.
        let throws_out = policy == OverflowPolicy::Disconnect;
        let asked = if throws_out { OverflowPolicy::DropOldest.to_wire() } else { asked };
        self.clients[client].greet(asked);
        self.clients[client].publishes = true;
    }

    /// Accepts a connection that has sent nothing yet.
    pub(crate) fn accept(&mut self, part: Part) -> Option<usize> {
        let shard = self.any_shard();
        let (who, identity, token) = self.oracle.rules.introduce(part, &mut self.rules_rng);
        let Some(session) = self.hosts[shard].shard.on_open(Door::Native, identity) else {
            assert!(self.hosts[shard].draining, "only a shard that stops takes nobody");
            return None;
        };
        let client = self.clients.len();
        // Peers of version 1 stand beside those that take runs.
        let features = [Features::NONE, Features::OURS][self.rng.usize(..2)];
        self.clients.push(Client::offering(features).showing(token));
        self.connections.push(Connection::new(shard, session));
        self.by_session.insert((shard, session), client);
        self.oracle.ledger.open(who);
        Some(client)
    }

    fn publish(&mut self) {
        let Some(client) = self.any_speaker().filter(|client| self.clients[*client].publishes) else {
            return;
        };
        for _ in 0..self.rng.usize(1..8) {
            self.say_message(client);
        }
    }

    /// A client says a message, on a topic of its own or of all.
    pub(crate) fn say_message(&mut self, publisher: usize) {
        let topic = self.rng.usize(..TOPICS.len());
        if !self.oracle.ledger.owns(publisher, topic) {
            return;
        }
        if self.plan.tells_gaps && self.rng.u8(0..20) == 0 {
            return self.say_gap(publisher, topic);
        }
        if self.rng.u8(0..4) == 0 {
            return self.say_run(publisher, topic);
        }
        let payload = self.any_payload();
        let client = &mut self.clients[publisher];
        let sequence = client.next_sequence();
        client.say(&Frame::Message {
            topic: TOPICS[topic].as_bytes(),
            payload: &payload,
            publisher: publisher as u64 + 1,
            sequence,
            sent_at_ns: sequence * 3,
        });
        self.oracle.ledger.said(publisher, topic, &payload, client.said);
    }

    fn any_payload(&mut self) -> Vec<u8> {
        let bytes = self.rng.usize(0..PAYLOAD_BYTES_MAX);
        std::iter::repeat_with(|| self.rng.u8(..)).take(bytes).collect()
    }

    /// A client says several messages in one frame.
    fn say_run(&mut self, publisher: usize, topic: usize) {
        let payloads: Vec<_> = (0..self.rng.usize(2..=RUN_MESSAGES)).map(|_| self.any_payload()).collect();
        let client = &mut self.clients[publisher];
        let mut run = RunBytes::default();
        for (after_ns, payload) in (0..).step_by(3).zip(&payloads) {
            run.push(RunMessage { payload, after_ns });
        }
        let sequence = client.next_sequence();
        client.say(&Frame::Run {
            topic: TOPICS[topic].as_bytes(),
            messages: run.messages(),
            publisher: publisher as u64 + 1,
            sequence,
            sent_at_ns: sequence * 3,
        });
        (1..payloads.len()).for_each(|_| _ = client.next_sequence());
        for payload in &payloads {
            self.oracle.ledger.said(publisher, topic, payload, client.said);
        }
    }

    /// A publisher says that some of its messages got lost before.
    fn say_gap(&mut self, publisher: usize, topic: usize) {
        let missed = self.rng.u64(1..5);
        let client = &mut self.clients[publisher];
        client.say(&Frame::Gap { topic: TOPICS[topic].as_bytes(), missed, reason: REASON_PUBLISHER });
        self.oracle.ledger.said_gap(publisher, topic, missed, client.said);
    }

    /// Somebody comes, and if nobody is to be missed, somebody goes.
    fn come_or_go(&mut self) {
        let there = self.connections.iter().filter(|connection| !connection.has_ended).count();
        if there < CLIENTS_MAX && self.rng.bool() {
            if self.rng.u8(0..4) == 0 {
                return self.connect_publisher();
            }
            if let Some(client) = self.connect()
                && !self.starts(client)
            {
                self.subscribe(client);
            }
            return;
        }
        let Some(client) = self.any_speaker().filter(|_| !self.plan.calm) else { return };
        if self.rng.bool() || self.connections[client].moves {
            self.leave(client);
        } else {
            self.end(client, true);
        }
    }
}
