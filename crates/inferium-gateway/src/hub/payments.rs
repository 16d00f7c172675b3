//! Payments under way: recorded, sent, and waited for until a final block decides them.

use super::Hub;
use crate::store::{PaymentRecord, PaymentState, StoreError};
use inferium_types::{AccountId, Amount, Digest, SignedTransaction, TransactionId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};

/// Payments under way at most.
const PENDING_MAX: usize = 1_024;
/// Of one API key, and from one account: what its owner leaves undecided takes nobody else's room.
pub(crate) const PENDING_EACH_MAX: usize = 4;

/// What became of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Settled {
    Credited,
    /// A final block holds it, but it moved no money: why.
    Failed(String),
    /// No block will hold it, and it is forgotten: why.
    Refused(String),
}

/// Why a payment is not taken.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// The key showed it before, and a block decided it.
    Decided(PaymentState),
    /// Another key showed it before.
    Other,
    /// Too many are under way: of this key, from this account, or in all.
    Busy,
    Store(StoreError),
}

impl From<StoreError> for NotTaken {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A payment that no final block has decided.
#[derive(Debug)]
struct Pending {
    signed: SignedTransaction,
    payer: Digest,
    settled: watch::Sender<Option<Settled>>,
}

/// Which payments are under way, and who waits for them.
#[derive(Debug)]
pub(super) struct Payments {
    pending: Mutex<BTreeMap<TransactionId, Pending>>,
    /// Held while one is recorded, over the disk's time too: of two showings of one payment the second joins the first.
    recording: Mutex<()>,
    /// Those to be sent; no more than are under way.
    to_send: mpsc::UnboundedSender<TransactionId>,
    /// Height of the last block whose payments are settled.
    followed: watch::Sender<u64>,
}

impl Payments {
    /// Of these, which an earlier run left, and of those to come: what is to be sent.
    pub(super) fn new(
        earlier: Vec<(SignedTransaction, PaymentRecord)>,
    ) -> (Self, mpsc::UnboundedReceiver<TransactionId>) {
        let (to_send, queue) = mpsc::unbounded_channel();
        let payments =
            Self { pending: Mutex::default(), recording: Mutex::default(), to_send, followed: watch::Sender::new(0) };
        for (signed, record) in earlier {
            payments.begin(signed, record.payer);
        }
        (payments, queue)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TransactionId, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, signed: SignedTransaction, payer: Digest) -> watch::Receiver<Option<Settled>> {
        let (id, (settled, receiver)) = (signed.id(), watch::channel(None));
        self.lock().insert(id, Pending { signed, payer, settled });
        // Nobody sends any more only when the gateway stops.
        let _ = self.to_send.send(id);
        receiver
    }

    fn end(&self, id: TransactionId, settled: Settled) {
        if let Some(pending) = self.lock().remove(&id) {
            pending.settled.send_replace(Some(settled));
        }
    }

    /// Joins a payment that is under way, or finds room for another one.
    fn join(
        &self,
        id: TransactionId,
        from: AccountId,
        payer: Digest,
    ) -> Result<Option<watch::Receiver<Option<Settled>>>, NotTaken> {
        let pending = self.lock();
        if let Some(known) = pending.get(&id) {
            return if known.payer == payer { Ok(Some(known.settled.subscribe())) } else { Err(NotTaken::Other) };
        }
        let of_key = pending.values().filter(|other| other.payer == payer).count();
        let of_account = pending.values().filter(|other| other.signed.transaction.sender == from).count();
        if pending.len() >= PENDING_MAX || of_key.max(of_account) >= PENDING_EACH_MAX {
            return Err(NotTaken::Busy);
        }
        Ok(None)
    }
}

impl Hub {
    /// Records a payment as used, on disk, and hands it to who sends it; what is under way already for the same key is joined. Whoever drops this
    /// before its end stops none of it. The receiver learns what became of the payment.
    pub(crate) async fn record_payment(
        self: &Arc<Self>,
        signed: SignedTransaction,
        payer: Digest,
        amount: Amount,
    ) -> Result<watch::Receiver<Option<Settled>>, NotTaken> {
        self.disk(move |hub| {
            let _recording = hub.payments.recording.lock().unwrap_or_else(PoisonError::into_inner);
            match hub.payments.join(signed.id(), signed.transaction.sender, payer) {
                Ok(None) => {}
                Ok(Some(joined)) => return Ok(Ok(joined)),
                Err(reason) => return Ok(Err(reason)),
            }
            let record = PaymentRecord { payer, amount, state: PaymentState::Recorded };
            Ok(match hub.store.record_payment(&signed, &record)? {
                None => Ok(hub.payments.begin(signed, payer)),
                Some(known) if known.payer == payer => Err(NotTaken::Decided(known.state)),
                Some(_) => Err(NotTaken::Other),
            })
        })
        .await?
    }

    /// A payment under way, and what becomes of it.
    pub(crate) fn pending_payment(
        &self,
        id: TransactionId,
    ) -> Option<(SignedTransaction, watch::Receiver<Option<Settled>>)> {
        self.payments.lock().get(&id).map(|pending| (pending.signed.clone(), pending.settled.subscribe()))
    }

    /// Forgets a payment that no block will hold, unless one just did.
    pub(crate) async fn refuse_payment(self: &Arc<Self>, id: TransactionId, reason: String) -> Result<(), StoreError> {
        if self.disk(move |hub| hub.store.forget_payment(id)).await? {
            self.payments.end(id, Settled::Refused(reason));
        }
        Ok(())
    }

    /// Those of a block's transactions that are payments under way.
    pub(crate) fn payments_of(&self, transactions: &[TransactionId]) -> Vec<TransactionId> {
        let pending = self.payments.lock();
        if pending.is_empty() {
            return Vec::new();
        }
        transactions.iter().filter(|id| pending.contains_key(*id)).copied().collect()
    }

    /// Records what a final block did with a payment, and credits its key.
    pub(crate) async fn settle_payment(
        self: &Arc<Self>,
        id: TransactionId,
        failure: Option<String>,
    ) -> Result<(), StoreError> {
        let moved_money = failure.is_none();
        let credited = self.disk(move |hub| hub.store.settle_payment(id, moved_money)).await?;
        if let Some((payer, amount)) = credited {
            self.lock().budgets.credit(payer, amount);
        }
        self.payments.end(id, failure.map_or(Settled::Credited, Settled::Failed));
        Ok(())
    }

    /// Says that the payments of all blocks up to `height` are settled.
    pub(crate) fn payments_followed(&self, height: u64) {
        self.payments.followed.send_replace(height);
    }

    /// The height up to which payments are settled, and news of it.
    pub(crate) fn followed(&self) -> watch::Receiver<u64> {
        self.payments.followed.subscribe()
    }
}

#[cfg(test)]
mod tests;
