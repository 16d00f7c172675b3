//! Receipts: proof that one job is final or settled, checked without a network (SPEC J5).

use crate::{
    Amount, Certificate, ChainId, Digest, Event, Header, InvalidCertificate, JobLeaf, MerklePath, NetworkKey,
    SegmentOutcome, limits,
};
use borsh::{BorshDeserialize, BorshSerialize};
use std::collections::BTreeSet;

/// Why a receipt proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReceipt {
    /// Not the canonical bytes of a receipt.
    #[error("encoding: {reason}")]
    Encoding {
        /// What is wrong.
        reason: String,
    },
    /// The result does not answer the request.
    #[error("job: the result does not answer the request")]
    Job,
    /// The request belongs to another lease.
    #[error("lease: the job belongs to another lease than the segment")]
    Lease,
    /// The job is not in the segment.
    #[error("job path: the job is not in the segment")]
    JobPath,
    /// The worker had planted the job (SPEC V5): it answers nobody.
    #[error("job: the worker planted it to test the committee; it answers nobody")]
    Planted,
    /// The outcome is not in the block.
    #[error("segment path: the segment's outcome is not under the block's receipts root")]
    SegmentPath,
    /// The headers do not form a chain.
    #[error("headers: header {index} is not the parent of the next one")]
    Headers {
        /// Position of the first that does not fit.
        index: usize,
    },
    /// The block is of another chain.
    #[error("chain: expected {expected}, found {found}")]
    Chain {
        /// The network key's.
        expected: String,
        /// The header's.
        found: String,
    },
    /// The group key did not certify the block.
    #[error("certificate: {0}")]
    Certificate(#[from] InvalidCertificate),
}

/// How far a receipt goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptStatus {
    /// Approved by the committee.
    Final,
    /// Past the challenge window, and paid.
    Settled,
}

impl ReceiptStatus {
    /// Its name in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Final => "final",
            Self::Settled => "settled",
        }
    }
}

/// Proof that one job is final or settled.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// Request and result.
    pub job: JobLeaf,
    /// From the job to the segment's root.
    pub job_path: MerklePath,
    /// What the chain decided about the segment.
    pub outcome: SegmentOutcome,
    /// From the outcome to the block's receipts root.
    pub outcome_path: MerklePath,
    /// The block's header, and its descendants up to the certified one.
    pub headers: Vec<Header>,
    /// Certificate of the last header.
    pub certificate: Certificate,
}

/// Certificates that hold, so that many receipts of few blocks cost few pairing checks. Each is known with its key and the block
/// that it certifies.
#[derive(Debug, Clone, Default)]
pub struct CheckedCertificates(BTreeSet<Digest>);

/// What a valid receipt shows: committed facts only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptFacts {
    /// Final or settled.
    pub status: ReceiptStatus,
    /// Request and result.
    pub job: JobLeaf,
    /// Worker, profile, approvers, price.
    pub outcome: SegmentOutcome,
    /// Fee of this job.
    pub fee: Amount,
    /// The chain.
    pub chain: ChainId,
    /// Height of the block that decided.
    pub height: u64,
    /// Its time; milliseconds.
    pub timestamp_ms: u64,
    /// Its digest.
    pub block: Digest,
}

impl Receipt {
    /// Decodes a receipt's canonical bytes.
    ///
    /// # Errors
    /// [`InvalidReceipt::Encoding`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidReceipt> {
        if bytes.len() > limits::RECEIPT_SIZE_MAX {
            return Err(InvalidReceipt::Encoding { reason: "too large".into() });
        }
        let receipt: Self = crate::decode(bytes).map_err(|e| InvalidReceipt::Encoding { reason: e.reason })?;
        if crate::encode(&receipt) != bytes {
            return Err(InvalidReceipt::Encoding { reason: "not canonical".into() });
        }
        Ok(receipt)
    }

    /// Checks the whole chain from job to group key.
    ///
    /// Cost: one pairing check and a few hashes. Needs nothing but `key`.
    ///
    /// # Errors
    /// [`InvalidReceipt`], one variant per check.
    pub fn verify(&self, key: &NetworkKey) -> Result<ReceiptFacts, InvalidReceipt> {
        self.verify_among(key, &mut CheckedCertificates::default())
    }

    /// [`Receipt::verify`] of one of many: a certificate that was checked before, with this key, is not checked again.
    ///
    /// # Errors
    /// [`InvalidReceipt`], one variant per check.
    pub fn verify_among(
        &self,
        key: &NetworkKey,
        checked: &mut CheckedCertificates,
    ) -> Result<ReceiptFacts, InvalidReceipt> {
        if !self.job.is_consistent() {
            return Err(InvalidReceipt::Job);
        }
        if self.job.request.lease != self.outcome.lease {
            return Err(InvalidReceipt::Lease);
        }
        if self.job_path.root(self.job.hash()) != Some(self.outcome.root) {
            return Err(InvalidReceipt::JobPath);
        }
        // SPEC V5: a planted job is nobody's answer.
        if self.outcome.planted.is_some_and(|job| u64::from(job) == self.job_path.index) {
            return Err(InvalidReceipt::Planted);
        }
        let (block, header) = self.check_headers(key, checked)?;
        let leaf = Event::SegmentApproved(self.outcome.clone()).hash();
        if self.outcome_path.root(leaf) != Some(header.receipts_root) {
            return Err(InvalidReceipt::SegmentPath);
        }
        let fee = self.outcome.price.fee(&self.job.result.usage).map_err(|_| InvalidReceipt::Job)?;
        Ok(ReceiptFacts {
            status: if self.outcome.settled { ReceiptStatus::Settled } else { ReceiptStatus::Final },
            job: self.job.clone(),
            outcome: self.outcome.clone(),
            fee,
            chain: header.chain,
            height: header.height,
            timestamp_ms: header.timestamp_ms,
            block,
        })
    }

    fn check_headers(
        &self,
        key: &NetworkKey,
        checked: &mut CheckedCertificates,
    ) -> Result<(Digest, &Header), InvalidReceipt> {
        let Some(first) = self.headers.first() else { return Err(InvalidReceipt::Headers { index: 0 }) };
        if self.headers.len() > limits::RECEIPT_HEADERS_MAX {
            return Err(InvalidReceipt::Headers { index: limits::RECEIPT_HEADERS_MAX });
        }
        let digests: Vec<Digest> = self.headers.iter().map(Header::digest).collect();
        for (index, (digest, next)) in digests.iter().zip(self.headers.iter().skip(1)).enumerate() {
            if next.parent != *digest {
                return Err(InvalidReceipt::Headers { index });
            }
        }
        if first.chain != key.chain {
            return Err(InvalidReceipt::Chain { expected: key.chain.to_string(), found: first.chain.to_string() });
        }
        let certified = digests.last().copied().unwrap_or(Digest::ZERO);
        let name = Digest::of_value("inferium/checked-certificate/1", &(key, certified, &self.certificate));
        if !checked.0.contains(&name) {
            self.certificate.verify(key.chain, &key.group, certified)?;
            checked.0.insert(name);
        }
        Ok((digests.first().copied().unwrap_or(Digest::ZERO), first))
    }
}
