//! Proofs of answers: what is to be proved, and what came of it (SPEC V10).

use super::{GatewayStore, StoreError, makes_room};
use borsh::{BorshDeserialize, BorshSerialize};
use inferium_store::Table;
use inferium_types::{Amount, Digest, JobId, ProfileId, ProvingInput};

/// By the job whose answer is proved.
const PROOFS: Table<JobId, ProofRecord> = Table::new("proofs");
/// The proofs themselves, with their statements; up to two megabytes each.
const PROVED: Table<JobId, Vec<u8>> = Table::new("proofs-proved");

/// Proofs that are kept; the oldest that is over goes.
pub(crate) const PROOFS_MAX: usize = 256;
/// Proofs of a key under way at most.
pub(crate) const PROOFS_UNDER_WAY_MAX: usize = 16;

/// Where a proof stands.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum ProofState {
    /// No worker has proved it.
    Queued,
    /// A worker has, and its committee has not decided.
    Claimed(ProofJob),
    /// Verified by its committee.
    Approved(ProofJob),
    /// Why it was given up.
    Failed(String),
}

/// The job that proved it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct ProofJob {
    pub(crate) job: JobId,
    /// From the request to a worker to its answer; milliseconds.
    pub(crate) took_ms: u64,
    pub(crate) cost: Amount,
    /// Of the proof.
    pub(crate) size: u64,
    /// [`inferium_types::proof_leaf`]: what the chain has of it.
    pub(crate) digest: Digest,
}

impl ProofState {
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self, Self::Approved(_) | Self::Failed(_))
    }

    pub(crate) const fn job(&self) -> Option<&ProofJob> {
        match self {
            Self::Claimed(job) | Self::Approved(job) => Some(job),
            Self::Queued | Self::Failed(_) => None,
        }
    }
}

/// An answer that is to be proved.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct ProofRecord {
    /// Who pays, and may have the proof.
    pub(crate) payer: Digest,
    pub(crate) created_at_ms: u64,
    /// The classifier's name.
    pub(crate) model: String,
    /// The profile of proofs about it.
    pub(crate) prover: ProfileId,
    pub(crate) input: ProvingInput,
    /// Inputs that it is of.
    pub(crate) inputs: u32,
    pub(crate) state: ProofState,
    /// Proofs that no committee approved.
    pub(crate) rejected: u32,
    /// What has to come before it goes on, in words.
    pub(crate) waits: Option<String>,
}

impl GatewayStore {
    /// How many proofs of a key are under way.
    pub(crate) fn proofs_under_way(&self, payer: Digest) -> Result<usize, StoreError> {
        let all = self.proofs()?;
        Ok(all.iter().filter(|(_, record)| record.payer == payer && !record.state.is_over()).count())
    }

    /// Keeps what is to be proved; false where there is no room, or the key has too many under way.
    pub(crate) fn put_proof(&self, record: &ProofRecord) -> Result<bool, StoreError> {
        let kept = self.proofs()?;
        let under_way = kept.iter().filter(|(_, of)| of.payer == record.payer && !of.state.is_over()).count();
        if under_way >= PROOFS_UNDER_WAY_MAX {
            return Ok(false);
        }
        if kept.len() >= PROOFS_MAX {
            let all = kept.iter().map(|(id, of)| (*id, of.payer, of.state.is_over(), of.created_at_ms)).collect();
            let Some(goes) = makes_room(all, record.payer) else { return Ok(false) };
            self.store.write(|tx| {
                tx.remove(PROVED, &goes)?;
                tx.remove(PROOFS, &goes)
            })?;
        }
        self.store.put(PROOFS, &record.input.job, record)?;
        Ok(true)
    }

    pub(crate) fn proofs(&self) -> Result<Vec<(JobId, ProofRecord)>, StoreError> {
        self.store.all(PROOFS)
    }

    pub(crate) fn proof(&self, job: JobId) -> Result<Option<ProofRecord>, StoreError> {
        self.store.get(PROOFS, &job)
    }

    /// The proof with its statement, as files hold it.
    pub(crate) fn proved(&self, job: JobId) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(PROVED, &job)
    }

    /// Changes a record that there is.
    pub(crate) fn change_proof(&self, job: JobId, change: impl FnOnce(&mut ProofRecord)) -> Result<(), StoreError> {
        self.store.write(|tx| {
            let Some(mut record) = tx.get(PROOFS, &job)? else { return Ok(()) };
            change(&mut record);
            tx.put(PROOFS, &job, &record)
        })
    }

    /// It is over: approved, or given up. What was proved is forgotten, since nothing is made of it again (SPEC J2).
    pub(crate) fn end_proof(&self, job: JobId, state: ProofState) -> Result<(), StoreError> {
        self.change_proof(job, |record| {
            (record.state, record.waits) = (state, None);
            record.input.tensors = Vec::new();
        })
    }

    /// Keeps what a worker claims before anybody relies on it.
    pub(crate) fn claim_proof(&self, job: JobId, claimed: ProofJob, proof: &Vec<u8>) -> Result<(), StoreError> {
        self.store.write(|tx| {
            let Some(mut record) = tx.get(PROOFS, &job)? else { return Ok(()) };
            (record.state, record.waits) = (ProofState::Claimed(claimed), None);
            tx.put(PROVED, &job, proof)?;
            tx.put(PROOFS, &job, &record)
        })
    }

    /// The committee does not approve it, or a worker failed: it is proved again, with another seed. A commitment is for one proof.
    pub(crate) fn reject_proof(&self, job: JobId, seed: [u8; 32]) -> Result<(), StoreError> {
        self.store.write(|tx| {
            let Some(mut record) = tx.get(PROOFS, &job)? else { return Ok(()) };
            record.state = ProofState::Queued;
            record.input.seed = seed;
            record.rejected = record.rejected.saturating_add(1);
            tx.remove(PROVED, &job)?;
            tx.put(PROOFS, &job, &record)
        })
    }
}

#[cfg(test)]
mod tests;
