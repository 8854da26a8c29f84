//! A real broker with a ZeroMQ door on a socket file, and peers that come through it.
#![allow(dead_code, reason = "not every test file asks for all of it")]

use std::path::PathBuf;

use tempfile::TempDir;

use super::broker_process::{BrokerProcess, Transport};
use super::zmtp_peer::{Said, ZmtpPeer};

/// A broker with a door.
pub(crate) struct Door {
    pub(crate) broker: BrokerProcess,
    pub(crate) path: PathBuf,
    _folder: TempDir,
}

impl Door {
    pub(crate) fn open(args: &[&str]) -> Door {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("zmtp.sock");
        let url = format!("ipc://{}", path.display());
        let broker = BrokerProcess::start(Transport::Tcp, &[&["--zmtp", &url], args].concat());
        Door { broker, path, _folder: folder }
    }

    pub(crate) fn peer(&self, kind: &str) -> ZmtpPeer {
        ZmtpPeer::open(&self.path, kind)
    }

    /// A subscriber of everything with this prefix, and a publisher that knows of it.
    pub(crate) fn pair(&self, prefix: &[u8]) -> (ZmtpPeer, ZmtpPeer) {
        let mut subscriber = self.peer("SUB");
        subscriber.subscribe(prefix);
        let mut publisher = self.peer("XPUB");
        let told = Said::Command("SUBSCRIBE".into(), prefix.to_vec());
        while publisher.hear() != told {}
        (subscriber, publisher)
    }

    /// Waits for more than three heartbeats of 100 ms, by the broker's own time.
    pub(crate) fn many_heartbeats(&self) {
        let until = self.broker.page().sum("corecast_ticks_total") + 2 * 60;
        self.broker.until(|page| page.sum("corecast_ticks_total") > until);
    }
}
