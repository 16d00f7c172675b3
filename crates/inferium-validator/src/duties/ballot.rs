//! How a member says its vote: bound first, shown when all are (SPEC V2).

use crate::store::Judgement;
use inferium_ledger::{Ballot, Member, Phase};
use inferium_types::{Digest, SecretKey, TransactionBody, VerdictVote};
use tracing::warn;

const SALT_DOMAIN: &str = "inferium/verdict-salt/1";

/// The salt of this node's commitment about a judgement.
///
/// It follows from the key, so that nothing is lost by a crash between commitment and reveal, and
/// nobody else can try votes until one fits: only the hash of the signature is ever shown.
fn salt_of(key: &SecretKey, about: Judgement) -> Digest {
    let signature = key.sign(SALT_DOMAIN, &inferium_types::encode(&about));
    Digest::of_value(SALT_DOMAIN, &signature)
}

/// The transaction by which the member says its vote now; none while it has to wait, or has said all.
///
/// Who has a commitment on its way (`is_committing`) stays with it: an open vote behind it would be
/// refused, and hold up what follows.
pub(super) fn next_step(
    (members, phase): (&[Member], Phase),
    key: &SecretKey,
    about: Judgement,
    vote: VerdictVote,
    is_committing: bool,
) -> Option<TransactionBody> {
    let (node, (segment, seed)) = (key.public_key(), about);
    let member = members.iter().find(|member| member.validator == node)?;
    let salt = salt_of(key, about);
    let commitment = vote.commitment(segment, &seed, &node, &salt);
    match (member.ballot, phase) {
        (Ballot::Blank, Phase::Committing) => {
            let others_bound = members.iter().all(|other| other.validator == node || other.ballot.is_bound());
            Some(if others_bound && !is_committing {
                TransactionBody::SubmitVerdict { segment, vote, salt: None }
            } else {
                TransactionBody::CommitVerdict { segment, commitment }
            })
        }
        (Ballot::Committed { commitment: bound }, Phase::Revealing) if bound == commitment => {
            Some(TransactionBody::SubmitVerdict { segment, vote, salt: Some(salt) })
        }
        (Ballot::Committed { .. }, Phase::Revealing) => {
            warn!(validator = %node, %segment, "what the chain holds is not this node's commitment: it can't be shown");
            None
        }
        (Ballot::Blank | Ballot::Committed { .. } | Ballot::Given { .. }, _) => None,
    }
}

#[cfg(test)]
mod tests;
