//! The worker's sessions: one per gateway that it holds leases of, at the gateway's present URL.

use crate::session::{self, SessionEvent, SessionId};
use inferium_types::{NodeId, SecretKey, wire::WorkerMessage};
use std::collections::BTreeMap;
use tokio::sync::{mpsc, oneshot};

struct Session {
    id: SessionId,
    url: String,
    /// The session ends when this goes; before the outbox does, which alone would mean a break.
    _stop: oneshot::Sender<()>,
    /// Messages for the gateway, while the session is open.
    outbox: Option<mpsc::Sender<WorkerMessage>>,
}

/// Sessions under way; they end with it.
pub(crate) struct Sessions {
    key: SecretKey,
    events: mpsc::Sender<(SessionId, SessionEvent)>,
    kept: BTreeMap<NodeId, Session>,
    next_number: u64,
}

impl Sessions {
    /// None yet; what becomes of them is told to `events`.
    pub(crate) fn new(key: SecretKey, events: mpsc::Sender<(SessionId, SessionEvent)>) -> Self {
        Self { key, events, kept: BTreeMap::new(), next_number: 0 }
    }

    /// Keeps a session with the gateway at `url`; true when that ended one at another URL.
    pub(crate) fn keep(&mut self, gateway: NodeId, url: String) -> bool {
        if self.kept.get(&gateway).is_some_and(|session| session.url == url) {
            return false;
        }
        let id = SessionId { gateway, number: self.next_number };
        self.next_number = self.next_number.saturating_add(1);
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(session::keep(self.key.clone(), id, url.clone(), self.events.clone(), stopped));
        self.kept.insert(gateway, Session { id, url, _stop: stop, outbox: None }).is_some()
    }

    /// Ends the session with a gateway.
    pub(crate) fn end(&mut self, gateway: NodeId) {
        self.kept.remove(&gateway);
    }

    /// True when there is a session with the gateway, open or being opened.
    pub(crate) fn has(&self, gateway: NodeId) -> bool {
        self.kept.contains_key(&gateway)
    }

    /// False for a session that was ended: what it still says is out of date.
    pub(crate) fn is_current(&self, id: SessionId) -> bool {
        self.kept.get(&id.gateway).is_some_and(|session| session.id == id)
    }

    /// The session is open, or lost.
    pub(crate) fn set_outbox(&mut self, gateway: NodeId, outbox: Option<mpsc::Sender<WorkerMessage>>) {
        if let Some(session) = self.kept.get_mut(&gateway) {
            session.outbox = outbox;
        }
    }

    /// Where messages for a gateway go, while its session is open.
    pub(crate) fn outbox(&self, gateway: NodeId) -> Option<&mpsc::Sender<WorkerMessage>> {
        self.kept.get(&gateway)?.outbox.as_ref()
    }
}

#[cfg(test)]
mod tests;
