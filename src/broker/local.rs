//! The other way in: a direct publisher's own messages. To the shard it is a session without a connection, so all that
//! holds for publishers holds for it.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use corecast_executors::{Inbox, Link, ShardContext, Wake, end_turn, link, spawn_local};

use super::flush::settle;
use super::local_port::LocalPort;
use super::runtime::Runtime;
use super::{ExecutorConfig, Item, Listener, body};
use crate::auth::{Identity, Permissions};
use crate::shard::Door;
use crate::telemetry::Pulse;
use crate::wire::split;

/// The first shard of a direct publisher, in the executor of its publisher.
pub(crate) struct LocalHost {
    runtime: Rc<Runtime>,
    port: Rc<LocalPort>,
    /// By shard; the first is this one's own.
    commands: Vec<Link<Item>>,
    stopped: Rc<Wake>,
}

impl LocalHost {
    /// Starts the shard and accepts on these listeners. `commands` lead to every shard, `context` is the first's.
    pub(crate) fn start(
        context: ShardContext<Item>,
        commands: Vec<Link<Item>>,
        config: &ExecutorConfig,
        listeners: Vec<Listener>,
    ) -> LocalHost {
        let (runtime, inbox) = body::begin(context, config, Pulse::default());
        let session = runtime.shard.borrow_mut().on_open(Door::Local, Identity::Own);
        let session = session.expect("the local API is always let in");
        let port = Rc::new(LocalPort::new(session));
        runtime.set_local(Rc::clone(&port));
        let stopped = Rc::new(Wake::new());
        spawn_local(serve(Rc::clone(&runtime), inbox, Rc::clone(&stopped))).detach();
        let host = LocalHost { runtime, port, commands, stopped };
        host.tell(0, Item::Listen { listeners });
        host
    }

    fn tell(&self, shard: usize, item: Item) {
        // A shard that has ended needs no telling; its commands are never many.
        let _ = self.commands[shard].try_send(item);
    }

    /// Gives these rules to every shard, which makes them its own turn by turn.
    pub(crate) async fn follow(&self, permissions: &Permissions) {
        for shard in &self.commands {
            // Nobody waits until they are in force.
            let (followed, _) = link(1);
            let item = Item::Permissions { permissions: permissions.clone(), followed };
            // A shard that has ended has no sessions.
            let _ = shard.send(item).await;
        }
    }

    /// Takes whole frames, and waits while a `block` queue or a link is full. One task at a time may wait.
    pub(crate) async fn take(&self, frames: Vec<u8>) {
        self.ask(frames).await;
        while self.runtime.shard.borrow().sessions().is_held(self.port.session()) {
            self.port.resume().await;
        }
    }

    /// Takes whole frames that ask something: whoever is held may ask all the same.
    pub(crate) async fn ask(&self, frames: Vec<u8>) {
        let bytes = Bytes::from(frames);
        let mut spans = Vec::new();
        let found = split(&bytes, usize::MAX, &mut spans);
        assert!(found.error.is_none() && found.whole_bytes == bytes.len(), "own frames are whole");
        self.runtime.stir();
        self.runtime.shard.borrow_mut().on_frames(self.port.session(), &bytes, &spans);
        settle(&self.runtime).await;
        while self.runtime.shard.borrow().sessions().is_behind(self.port.session()) {
            end_turn().await;
            self.runtime.shard.borrow_mut().go_on(self.port.session());
            settle(&self.runtime).await;
        }
    }

    /// Waits for answers to such frames, and gives them.
    pub(crate) async fn answers(&self) -> Bytes {
        self.port.answers().await
    }

    /// Lets go who waits for answers.
    pub(crate) fn stop_answers(&self) {
        self.port.stop_answers();
    }

    /// Sends what was taken, for so long at the most, tells every subscriber, and ends.
    pub(crate) async fn end(&self, drain: Duration) {
        // Gone first, or the shard would wait for it to leave.
        let _ = self.runtime.shard.borrow_mut().on_closed(self.port.session(), None);
        // Whoever is held would wait for ever.
        self.port.resumed(self.port.session());
        for shard in 0..self.commands.len() {
            let (report, _) = link(1);
            self.tell(shard, Item::Drain { time: drain, report });
        }
        self.stopped.wait().await;
    }
}

async fn serve(runtime: Rc<Runtime>, commands: Inbox<Item>, stopped: Rc<Wake>) {
    body::serve(runtime, commands).await;
    stopped.raise();
}
