//! Programs without TLS: its options are there, and whoever uses one is told.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::files::{TlsClientFiles, TlsServerFiles};
use super::fingerprint::Fingerprint;
use crate::error::{Error, ErrorKind, Result};

/// The end that listens, which nothing makes.
#[derive(PartialEq, Eq, Hash, Debug)]
pub(super) enum NoServerSide {}

impl NoServerSide {
    pub(super) fn read(_cert: &Path, _files: &TlsServerFiles) -> Result<Self> {
        Err(not_built())
    }

    pub(super) fn self_made() -> Result<Self> {
        Err(not_built())
    }

    pub(super) fn expires_at(&self) -> SystemTime {
        match *self {}
    }

    pub(super) fn names(&self) -> &[String] {
        match *self {}
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        match *self {}
    }

    pub(super) fn end(&self) -> Infallible {
        match *self {}
    }
}

/// The end that connects, which nothing makes.
#[derive(PartialEq, Eq, Hash, Debug)]
pub(super) enum NoClientSide {}

impl NoClientSide {
    pub(super) fn read(_files: &TlsClientFiles) -> Result<Self> {
        Err(not_built())
    }

    pub(super) async fn of_system() -> Result<Arc<Self>> {
        Err(not_built())
    }

    pub(super) fn end(&self, _host: &str) -> Result<Infallible> {
        match *self {}
    }
}

fn not_built() -> Error {
    let text = "this program is built without TLS; build it with the feature `tls` of corecast";
    Error::new(ErrorKind::Invalid, text)
}
