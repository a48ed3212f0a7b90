//! What the requests of one connection share: counted once for all of them, so that a request touches no
//! counter that other connections touch.

use std::sync::Arc;

use super::access::Known;
use super::peers::Peer;
use super::state::App;

/// A connection, as its requests see it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) app: Arc<App>,
    /// Its other end.
    pub(super) peer: Peer,
    /// Whose token it showed last.
    pub(super) known: Known,
}

impl Connection {
    pub(super) fn new(app: Arc<App>, peer: Peer) -> Self {
        Self {
            app,
            peer,
            known: Known::default(),
        }
    }

    /// Of this process, for what it asks itself.
    pub(super) fn ourselves(app: Arc<App>) -> Self {
        Self::new(app, Peer::ourselves())
    }
}
