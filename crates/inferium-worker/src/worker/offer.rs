//! The standing offer: what the chain holds is made what the configuration says.

use super::{Core, WorkerError};
use inferium_chain::{GetError, LightClient, Sender};
use inferium_ledger::{Conduct, Meta, Node, Offer, Profile, StateKey};
use inferium_types::{NodeId, OfferTerms, ProfileId, Suspicion, TransactionBody};
use std::sync::Arc;
use tracing::{debug, info, warn};

impl Core {
    /// Makes the chain's offer ours, unless one such check is under way: none while no work is taken, also where an earlier check
    /// posted one just then.
    pub(super) fn check_offer(&self) {
        let Ok(permit) = Arc::clone(&self.offering).try_acquire_owned() else { return };
        let (chain, sender, me) = (self.chain.clone(), self.sender.clone(), self.me);
        let offers = self.offers();
        tokio::spawn(async move {
            for (profile, terms) in offers {
                if let Err(error) = post_offer(&chain, &sender, me, profile, terms).await {
                    debug!(%profile, %error, "the offer could not be checked");
                }
            }
            drop(permit);
        });
    }
}

/// Whether the chain holds an offer already, or need not hold it: one of no slots is none.
fn is_standing(standing: Option<&Offer>, terms: &OfferTerms) -> bool {
    standing.map_or(terms.slots == 0, |offer| offer.terms == *terms)
}

/// True when statistics barred the worker from the profile for ever: whatever it asks for there is refused, and costs a fee
/// (SPEC V7).
pub(super) async fn is_barred(chain: &LightClient, me: NodeId, profile: ProfileId) -> Result<bool, GetError> {
    let conduct: Option<Conduct> = chain.entry(&StateKey::Conduct((me, profile))).await?;
    Ok(conduct.is_some_and(|conduct| conduct.suspicion == Suspicion::Convicted))
}

/// Posts the offer when the chain knows the profile, the node may work, and no such offer stands.
async fn post_offer(
    chain: &LightClient,
    sender: &Sender,
    me: NodeId,
    profile: ProfileId,
    terms: OfferTerms,
) -> Result<(), WorkerError> {
    let known: Option<Profile> = chain.entry(&StateKey::Profile(profile)).await?;
    let node: Option<Node> = chain.entry(&StateKey::Node(me)).await?;
    let meta: Option<Meta> = chain.entry(&StateKey::Meta).await?;
    let standing: Option<Offer> = chain.entry(&StateKey::Offer((profile, me))).await?;
    let is_standing = is_standing(standing.as_ref(), &terms);
    let may_work = node.zip(meta).is_some_and(|(node, meta)| node.is_active(meta.epoch));
    if known.is_none() || is_standing || !may_work || is_barred(chain, me, profile).await? {
        return Ok(());
    }
    let sent = sender.send(TransactionBody::SetOffer { profile, terms }).await;
    let sent = sent.map_err(|error| WorkerError::Chain { reason: error.to_string() })?;
    match sent.failure {
        None => info!(%profile, slots = terms.slots, "offer posted"),
        Some(failure) => warn!(%profile, failure, "the offer was refused"),
    }
    Ok(())
}
