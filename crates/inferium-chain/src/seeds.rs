//! Beacon seeds that this node knows.
//!
//! Certificates of notarised, skipped and finalised views all carry the group's signature over
//! the view. The engine verifies them before it reports them; blocks' seeds are verified again by
//! every validator, so what is kept here need not be trusted.

use crate::keys::{EngineDigest, signature_bytes};
use crate::scheme::{GroupCertificate, Scheme};
use commonware_actor::Feedback;
use commonware_consensus::{Reporter, simplex::types::Activity};
use inferium_types::SeedSignature;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Seeds kept: enough for every draw that waits, which the ledger bounds by time.
const SEEDS_MAX: usize = 16_384;

/// A bounded map from view to seed, shared by the engine's reporter and the proposer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seeds {
    by_view: Arc<Mutex<BTreeMap<u64, [u8; 48]>>>,
}

impl Seeds {
    /// Remembers the seed of `view`; the oldest goes when there are too many.
    pub(crate) fn insert(&self, view: u64, signature: [u8; 48]) {
        let mut map = self.by_view.lock().unwrap_or_else(PoisonError::into_inner);
        map.insert(view, signature);
        if map.len() > SEEDS_MAX {
            map.pop_first();
        }
    }

    /// Remembers what a verified certificate of `view` holds.
    pub(crate) fn insert_certificate(&self, view: u64, certificate: &GroupCertificate) {
        if let Some(pair) = certificate.get() {
            self.insert(view, signature_bytes(&pair.seed_signature));
        }
    }

    /// The seeds for a block of `view` whose parent is of `parent_view`: the views between, and
    /// those of `wanted` that are known. Ascending, below `view`, at most `count_max`, wanted ones
    /// first.
    pub(crate) fn for_block(
        &self,
        parent_view: u64,
        view: u64,
        wanted: &[u64],
        count_max: usize,
    ) -> Vec<SeedSignature> {
        let map = self.by_view.lock().unwrap_or_else(PoisonError::into_inner);
        let mut chosen = BTreeMap::new();
        for wanted in wanted.iter().filter(|wanted| **wanted < view) {
            if let (Some(signature), true) = (map.get(wanted), chosen.len() < count_max) {
                chosen.insert(*wanted, *signature);
            }
        }
        // The newest first: a long gap must not push out the seed that matching uses (SPEC C4).
        for (between, signature) in map.range(parent_view..view).rev() {
            if chosen.len() < count_max {
                chosen.insert(*between, *signature);
            }
        }
        chosen.into_iter().map(|(view, signature)| SeedSignature { view, signature }).collect()
    }
}

impl Reporter for Seeds {
    type Activity = Activity<Scheme, EngineDigest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        match &activity {
            Activity::Notarization(notarization) | Activity::Certification(notarization) => {
                self.insert_certificate(notarization.proposal.round.view().get(), &notarization.certificate);
            }
            Activity::Nullification(nullification) => {
                self.insert_certificate(nullification.round.view().get(), &nullification.certificate);
            }
            Activity::Finalization(finalization) => {
                self.insert_certificate(finalization.proposal.round.view().get(), &finalization.certificate);
            }
            Activity::Notarize(_)
            | Activity::Nullify(_)
            | Activity::Finalize(_)
            | Activity::ConflictingNotarize(_)
            | Activity::ConflictingFinalize(_)
            | Activity::NullifyFinalize(_) => {}
        }
        Feedback::Ok
    }
}

#[cfg(test)]
mod tests;
