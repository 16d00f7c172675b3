//! Transactions of duties on their way to the chain.

use super::Shared;
use inferium_ledger::State;
use inferium_types::{Transaction, TransactionBody};
use std::collections::BTreeMap;
use tracing::debug;

/// Blocks after which a duty that is still open on the chain is sent again.
const RESEND_BLOCKS: u64 = 20;

/// What was sent, and when: sent again only if the chain still waits for it.
#[derive(Default)]
pub(super) struct Sent {
    at: BTreeMap<Vec<u8>, u64>,
    next_nonce: u64,
    stuck_since: u64,
}

impl Sent {
    /// True when what has this key was sent lately.
    pub(super) fn is_on_its_way(&self, key: &[u8], height: u64) -> bool {
        self.at.get(key).is_some_and(|at| height < at.saturating_add(RESEND_BLOCKS))
    }

    /// Sends a transaction unless it is on its way already.
    pub(super) fn send(&mut self, shared: &Shared, state: &State, key: &[u8], body: TransactionBody) {
        let height = state.height();
        if self.is_on_its_way(key, height) {
            return;
        }
        self.at.retain(|_, at| height < at.saturating_add(RESEND_BLOCKS));
        let on_chain = state.next_nonce(&shared.node);
        if on_chain >= self.next_nonce {
            self.next_nonce = on_chain;
            self.stuck_since = height;
        } else if height >= self.stuck_since.saturating_add(RESEND_BLOCKS) {
            // Something before it was dropped: begin again where the chain is.
            self.next_nonce = on_chain;
            self.stuck_since = height;
        }
        let transaction = Transaction { chain: state.meta().chain, sender: shared.node, nonce: self.next_nonce, body };
        match shared.chain.submit(transaction.sign(&shared.key)) {
            Ok(_) => {
                self.next_nonce = self.next_nonce.saturating_add(1);
                self.at.insert(key.to_vec(), height);
            }
            Err(error) => debug!(validator = %shared.node, %error, "a duty's transaction was not taken"),
        }
    }
}
