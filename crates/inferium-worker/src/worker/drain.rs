//! Stopping without loss: what was signed is judged and opened before the worker goes.
//!
//! A worker that just goes leaves segments whose evidence nobody gets, and pays for them (SPEC S6).

use super::{Core, Own, Proving, Training, WorkerError};
use crate::lease::LeaseWork;
use inferium_engine::{Audited, FOLD_CONTEXT_TOKENS, PROVE_CONTEXT_TOKENS, TRAIN_CONTEXT_TOKENS};
use inferium_types::{Amount, Duty, LeaseId, ModelProfile, OfferTerms, Price, ProfileId, SegmentId, TransactionBody};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, info};

/// Wait before the offer is withdrawn once more.
const WITHDRAW_AGAIN: Duration = Duration::from_secs(1);

/// How far segments of a worker that wants to go have come.
#[derive(Debug, Default)]
pub(super) struct Drain {
    /// It takes nothing new.
    pub(super) begun: bool,
    /// It goes once all is done.
    pub(super) leaves: bool,
    /// How often it began to take nothing new.
    begins: u32,
    /// The block that withdrew its offer: until then, a lease may be granted.
    withdrawn: Option<u64>,
    /// Segments with a verdict that is not paid yet.
    judged: BTreeSet<SegmentId>,
    /// Segments that were opened, or owe no opening.
    opened: BTreeSet<SegmentId>,
}

impl Drain {
    /// The offer is withdrawn since this block, for what began as number `begin`.
    pub(super) const fn on_withdrawn(&mut self, begin: u32, height: u64) {
        // It may have taken work since, and offered again.
        if begin == self.begins {
            self.withdrawn = Some(height);
        }
    }

    pub(super) fn on_judged(&mut self, segment: SegmentId) {
        self.judged.insert(segment);
    }

    pub(super) fn on_opened(&mut self, segments: impl IntoIterator<Item = SegmentId>) {
        self.opened.extend(segments);
    }

    /// It is paid or rejected.
    pub(super) fn on_over(&mut self, segment: SegmentId) {
        self.judged.remove(&segment);
        self.opened.remove(&segment);
    }
}

impl Core {
    /// Does as its operator wants it.
    pub(super) fn on_duty(&mut self, duty: Duty) -> Result<(), WorkerError> {
        self.drain.leaves |= duty == Duty::Draining;
        match duty {
            Duty::Working if self.drain.begun => {
                info!("taking work again");
                self.drain.begun = false;
                self.check_offer();
                Ok(())
            }
            Duty::Paused | Duty::Draining if !self.drain.begun => self.begin_drain(),
            Duty::Working | Duty::Paused | Duty::Draining => Ok(()),
        }
    }

    /// Takes nothing new, and ends what there is.
    fn begin_drain(&mut self) -> Result<(), WorkerError> {
        info!("no new work; what was signed is being judged");
        self.drain.begun = true;
        self.drain.begins = self.drain.begins.saturating_add(1);
        self.drain.withdrawn = None;
        self.withdraw();
        self.close_again();
        for due in self.unopened.values_mut() {
            due.due_ms = 0;
        }
        self.open_segments()
    }

    /// Withdraws the offer, and tries again until the chain has an answer.
    fn withdraw(&self) {
        let (sender, own, begin) = (self.sender.clone(), self.own_tx.clone(), self.drain.begins);
        let offering = Arc::clone(&self.offering);
        let mut offers = self.offers();
        tokio::spawn(async move {
            // An offer that is being posted just now comes before this, not after it.
            let _permit = offering.acquire_owned().await;
            let mut withdrawn = 0;
            while let Some((profile, terms)) = offers.last().copied() {
                match sender.send(TransactionBody::SetOffer { profile, terms }).await {
                    // Who may not change an offer gets no lease for it either.
                    Ok(sent) => {
                        withdrawn = withdrawn.max(sent.block.header.height);
                        offers.pop();
                        continue;
                    }
                    Err(error) => debug!(%error, "the offer could not be withdrawn yet"),
                }
                tokio::select! {
                    () = tokio::time::sleep(WITHDRAW_AGAIN) => {}
                    () = own.closed() => return,
                }
            }
            let _ = own.send(Own::Withdrawn(begin, withdrawn)).await;
        });
    }

    /// What it offers now: its model, and hosting, folding, training and proving if it does.
    pub(super) fn offers(&self) -> Vec<(ProfileId, OfferTerms)> {
        let hosting = self.config.hosting.as_ref().map(|hosting| {
            let price = Price { prompt_token: Amount::ZERO, completion_token: hosting.price_min };
            let terms = OfferTerms { slots: hosting.slots, price, context_tokens: 0, batches: false };
            (ModelProfile::host().id(), terms)
        });
        let boards = self.config.boards.map(|boards| {
            let price = Price { prompt_token: boards.item_price, completion_token: Amount::ZERO };
            let terms = OfferTerms { slots: boards.slots, price, context_tokens: FOLD_CONTEXT_TOKENS, batches: false };
            (ModelProfile::folder().id(), terms)
        });
        let training = self.config.training.iter().flat_map(|Training { slots, price, grounds }| {
            let (slots, price, context_tokens) = (*slots, *price, TRAIN_CONTEXT_TOKENS);
            let terms = OfferTerms { slots, price, context_tokens, batches: false };
            grounds.iter().map(move |ground| (ground.profile().id(), terms))
        });
        let own = (self.config.profile, self.config.offer);
        let proving = self.config.proving.as_ref().map(|Proving { slots, token_price, prover }| {
            let price = Price { prompt_token: *token_price, completion_token: Amount::ZERO };
            // Of private weights no more than they may be opened yet.
            let slots = prover.openings_left().map_or(*slots, |left| left.min(*slots));
            let context_tokens = PROVE_CONTEXT_TOKENS;
            (prover.profile().id(), OfferTerms { slots, price, context_tokens, batches: false })
        });
        let offers = std::iter::once(own).chain(hosting).chain(boards).chain(training).chain(proving);
        let slots = |terms: OfferTerms| if self.drain.begun { 0 } else { terms.slots };
        offers.map(|(profile, terms)| (profile, OfferTerms { slots: slots(terms), ..terms })).collect()
    }

    /// Closes what is still open while nothing is taken: an earlier try may not have come through.
    pub(super) fn close_again(&self) {
        if self.drain.begun {
            self.open_leases().into_iter().for_each(|lease| self.close(lease));
        }
    }

    fn open_leases(&self) -> Vec<LeaseId> {
        self.leases.values().filter(|work| !work.record.ended).map(|work| work.record.lease).collect()
    }

    pub(super) fn close(&self, lease: LeaseId) {
        self.send(TransactionBody::CloseLease { lease });
    }

    fn send(&self, body: TransactionBody) {
        let sender = self.sender.clone();
        tokio::spawn(async move {
            if let Err(error) = sender.send(body).await {
                debug!(%error, "on the way out");
            }
        });
    }

    /// Whether nothing is lost by going now.
    pub(super) fn is_drained(&self) -> Result<bool, WorkerError> {
        if !self.drain.leaves || self.drain.withdrawn.is_none_or(|height| self.followed < height) {
            return Ok(false);
        }
        if !self.showing.is_empty() || !self.leases.values().all(LeaseWork::is_done) {
            return Ok(false);
        }
        let owes = self.parameters.forced_share.get() > 0;
        // A run of integers may be challenged until it is settled, and is then gone from here (SPEC V11).
        let is_challengeable = Audited::of(&self.model).is_some();
        let is_over = |id: &SegmentId| {
            !is_challengeable && self.drain.judged.contains(id) && (!owes || self.drain.opened.contains(id))
        };
        Ok(self.store.segment_ids()?.iter().all(is_over))
    }
}
