//! API keys as requests meet them: who may spend, on what, until when.

use super::{Hub, Inner, NoLease};
use crate::clock::unix_ms;
use crate::store::{KeyRecord, KeyTerms, StoreError};
use inferium_types::{Amount, Digest, ProfileId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The budget of a key that has none.
pub(crate) const UNLIMITED: Amount = Amount::from_nano(u64::MAX);

/// A key as its owner and the gateway's operator see it: all but the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyView {
    pub(crate) hash: Digest,
    pub(crate) record: KeyRecord,
    /// What is neither spent nor reserved.
    pub(crate) left: Amount,
    pub(crate) terms: KeyTerms,
}

/// Why a key may not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyRefusal {
    Unknown,
    /// Since then; milliseconds since 1970.
    Expired(u64),
    Revoked,
}

/// Why no key was revoked.
#[derive(Debug)]
pub(crate) enum NotRevoked {
    Unknown,
    /// Several keys have this name; their ids.
    Ambiguous(Vec<String>),
    Store(StoreError),
}

/// What a key is called where its secret must not be: the beginning of its hash.
pub(crate) fn key_id(hash: Digest) -> String {
    format!("key-{}", hash.to_string().get(..12).unwrap_or_default())
}

impl Hub {
    /// Tells the names under which clients know the profiles that are served.
    pub(crate) fn name_models(&self, names: BTreeMap<ProfileId, String>) {
        self.lock().names = names;
    }

    /// The name of a profile, if it is served now.
    pub(crate) fn model_name(&self, profile: ProfileId) -> Option<String> {
        self.lock().names.get(&profile).cloned()
    }

    /// A key, if it may be used now.
    pub(crate) fn key(&self, hash: Digest) -> Result<KeyView, KeyRefusal> {
        let view = self.lock().budgets.view(hash).ok_or(KeyRefusal::Unknown)?;
        if view.terms.revoked_at_ms.is_some() {
            return Err(KeyRefusal::Revoked);
        }
        match view.terms.expires_at_ms {
            Some(expired) if expired <= unix_ms() => Err(KeyRefusal::Expired(expired)),
            _ => Ok(view),
        }
    }

    /// What a key may spend and did, if it is known.
    #[cfg(test)]
    pub(crate) fn budget(&self, hash: Digest) -> Option<KeyRecord> {
        self.lock().budgets.view(hash).map(|view| view.record)
    }

    /// Every key.
    pub(crate) fn keys(&self) -> Vec<KeyView> {
        self.lock().budgets.views()
    }

    /// Makes a new key known, on disk first.
    pub(crate) async fn create_key(
        self: &Arc<Self>,
        hash: Digest,
        budget: Amount,
        terms: KeyTerms,
    ) -> Result<KeyView, StoreError> {
        let kept = terms.clone();
        self.disk(move |hub| hub.store.create_key(hash, budget, &kept)).await?;
        let mut inner = self.lock();
        inner.limits.set(hash, terms.limits);
        inner.budgets.add(hash, KeyRecord { budget, spent: Amount::ZERO }, terms.clone());
        Ok(KeyView { hash, record: KeyRecord { budget, spent: Amount::ZERO }, left: budget, terms })
    }

    /// Lets a key begin nothing any more. What it began goes on: that was reserved, and workers are owed it.
    pub(crate) async fn revoke_key(self: &Arc<Self>, named: &str) -> Result<KeyView, NotRevoked> {
        let mut found: Vec<KeyView> = self.keys();
        found.retain(|view| key_id(view.hash) == named || (view.terms.name == named && !view.terms.name.is_empty()));
        if let Some(by_id) = found.iter().position(|view| key_id(view.hash) == named) {
            found = vec![found.swap_remove(by_id)];
        } else if found.iter().any(|view| view.terms.revoked_at_ms.is_none()) {
            // A name may be used anew once its key is revoked.
            found.retain(|view| view.terms.revoked_at_ms.is_none());
        }
        if found.len() > 1 {
            return Err(NotRevoked::Ambiguous(found.iter().map(|view| key_id(view.hash)).collect()));
        }
        let mut view = found.pop().ok_or(NotRevoked::Unknown)?;
        if view.terms.revoked_at_ms.is_none() {
            view.terms.revoked_at_ms = Some(unix_ms());
            let (hash, kept) = (view.hash, view.terms.clone());
            self.disk(move |hub| hub.store.put_key_terms(hash, &kept)).await.map_err(NotRevoked::Store)?;
            self.lock().budgets.set_terms(view.hash, view.terms.clone());
        }
        Ok(view)
    }
}

impl Inner {
    /// Checks that a payer may use a model: here, so that no way to ask for one goes round it.
    pub(super) fn check_model(&self, payer: Digest, profile: ProfileId) -> Result<(), NoLease> {
        let Some(allowed) = self.budgets.models(payer) else { return Ok(()) };
        let model = self.names.get(&profile).cloned().unwrap_or_else(|| profile.to_string());
        if allowed.contains(&model) { Ok(()) } else { Err(NoLease::NotAllowed { model, allowed: allowed.to_vec() }) }
    }
}
