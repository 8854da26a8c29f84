//! Input of a session that waits for its next turn. Owned by the session.

use std::collections::VecDeque;

use super::postponed::Postponed;
use crate::fanout::Batch;
use crate::wire::WireError;

/// Input of a session that was read and has not been done, in order.
#[derive(Default, Debug)]
pub(super) struct Rest {
    pub(super) batches: VecDeque<Batch>,
    /// Everything else that a ZeroMQ session has said. Those who publish do not subscribe, so that nothing overtakes a message.
    pub(super) postponed: Postponed,
    /// The bytes behind it that are no frame: the session ends with that.
    pub(super) error: Option<WireError>,
}
