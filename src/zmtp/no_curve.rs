//! Stands in the place of `curve` where nobody is a CURVE server, that is without the feature `broker`: there are no keys, so
//! nothing here is ever called, and a client is built without the crates of the ciphers.

use std::io::IoSlice;
use std::sync::Arc;

use super::claim::Progress;
use crate::wire::{Partial, WireError};

/// The pair of a server: there is none.
#[derive(Debug)]
pub enum NoKeyPair {}

/// A handshake: there is none.
#[derive(Debug)]
pub enum NoHandshake {}

/// A channel: there is none.
#[derive(Debug)]
pub enum NoChannel {}

impl NoHandshake {
    pub(super) fn new(server: Arc<NoKeyPair>) -> Self {
        match *server {}
    }

    pub(super) fn take(&mut self, _: &[u8]) -> Result<Progress, WireError> {
        match *self {}
    }

    pub(super) fn end(&self, _: &str) -> (Vec<u8>, NoChannel) {
        match *self {}
    }
}

impl NoChannel {
    pub(super) fn open(&mut self, _: &[u8], _: usize) -> (usize, Option<WireError>) {
        match *self {}
    }

    pub(super) fn take_opened(&mut self) -> Vec<u8> {
        match *self {}
    }

    pub(super) fn put_back(&mut self, _: Vec<u8>) {
        match *self {}
    }

    pub(super) fn opened(&self) -> &[u8] {
        match *self {}
    }

    pub(super) fn partial(&self, _: &[u8]) -> Partial {
        match *self {}
    }

    pub(crate) fn send<E>(
        &mut self,
        _: &[IoSlice<'_>],
        _: &mut Vec<u8>,
        _: impl FnMut(&[IoSlice<'_>]) -> Result<Option<usize>, E>,
    ) -> Result<(usize, Option<usize>), E> {
        match *self {}
    }
}
