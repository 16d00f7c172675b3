//! Transactions: what accounts and nodes ask of the ledger.

use crate::{
    AccountId, AgentId, AgentSpend, AgentTerms, Amount, CapabilityReport, ChainId, ChallengeTerms, ConsensusVote,
    Digest, JobLeaf, JobRequest, JobResult, JobTotals, LeaseId, MerklePath, ModelProfile, NodeId, OfferTerms, Ppm,
    ProfileId, ProposalTerms, Refutation, ReplayStatistics, RunTerms, SecretKey, SegmentId, SegmentOpening, Signature,
    StallId, TaskTerms, TraceShown, TransactionId, VoteChoice, VrfPublicKey,
};
use borsh::{BorshDeserialize, BorshSerialize};

const TRANSACTION_DOMAIN: &str = "inferium/transaction/1";
const OPERATOR_DOMAIN: &str = "inferium/operator/1";
const SEGMENT_WORKER_DOMAIN: &str = "inferium/segment-worker/1";
const SEGMENT_GATEWAY_DOMAIN: &str = "inferium/segment-gateway/1";
const VERDICT_COMMITMENT_DOMAIN: &str = "inferium/verdict-commit/1";

/// A transaction whose signature is not its sender's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSignature {
    /// Signed for another chain.
    #[error("the transaction is for another chain")]
    Chain,
    /// Not the sender's signature.
    #[error("the signature is not the sender's")]
    Signature,
}

/// What kind of node.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum NodeRole {
    /// Executes jobs.
    Worker {
        /// Seeds its sampling.
        vrf: VrfPublicKey,
    },
    /// Holds a seat in consensus and checks results.
    Validator {
        /// Where workers lodge evidence and light clients ask.
        url: String,
    },
    /// Speaks HTTP to clients and pays for them.
    Gateway {
        /// Where workers connect to.
        url: String,
    },
}

impl NodeRole {
    /// The role's name in words and JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Worker { .. } => "worker",
            Self::Validator { .. } => "validator",
            Self::Gateway { .. } => "gateway",
        }
    }
}

/// A segment as both sides sign it (SPEC J3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SegmentTerms {
    /// The lease.
    pub lease: LeaseId,
    /// Position among the lease's segments, from 0 without gaps.
    pub index: u32,
    /// Sums over its jobs.
    pub totals: JobTotals,
    /// Merkle root over its [`JobLeaf`]s.
    pub root: Digest,
}

impl SegmentTerms {
    /// The segment's name.
    #[must_use]
    pub fn id(&self) -> SegmentId {
        SegmentId::of_lease(self.lease, self.index)
    }

    /// The worker's signature: evidence of its results wherever it turns up.
    #[must_use]
    pub fn sign_as_worker(&self, key: &SecretKey) -> Signature {
        key.sign(SEGMENT_WORKER_DOMAIN, &crate::encode(self))
    }

    /// The gateway's signature: it got these results and agrees to the totals.
    #[must_use]
    pub fn sign_as_gateway(&self, key: &SecretKey) -> Signature {
        key.sign(SEGMENT_GATEWAY_DOMAIN, &crate::encode(self))
    }

    /// Checks the worker's signature.
    #[must_use]
    pub fn signed_by_worker(&self, worker: &NodeId, signature: &Signature) -> bool {
        worker.verify(SEGMENT_WORKER_DOMAIN, &crate::encode(self), signature)
    }

    /// Checks the gateway's signature.
    #[must_use]
    pub fn signed_by_gateway(&self, gateway: &NodeId, signature: &Signature) -> bool {
        gateway.verify(SEGMENT_GATEWAY_DOMAIN, &crate::encode(self), signature)
    }
}

/// A segment with both signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SegmentCommitment {
    /// What is committed.
    pub terms: SegmentTerms,
    /// By the worker.
    pub worker_signature: Signature,
    /// By the gateway.
    pub gateway_signature: Signature,
}

/// A segment's sums as a gateway signed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedTotals {
    /// What is signed.
    pub terms: SegmentTerms,
    /// By the gateway.
    pub gateway_signature: Signature,
}

/// What a check found wrong with a job. Public: it tells nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum JobFault {
    /// The leaves don't give the committed root or totals, or a leaf contradicts itself.
    Leaf,
    /// The request's count of prompt tokens is not the template's.
    Prompt,
    /// The text is not the tokens' text.
    Text,
    /// The answer does not end as the result says.
    Finish,
    /// The canonical sampler chooses another token.
    Token,
    /// The logits differ.
    Logits,
    /// On a tolerance profile: what the worker says of its run contradicts itself, or is not there (SPEC V6).
    Windows,
    /// On a tolerance profile: more tokens that the model would not have drawn than honest engines have once in a million jobs.
    GrossTokens,
    /// On a tolerance profile: hidden states that are not the model's.
    GrossSketches,
    /// An embedding is not the one that the model gives the text, or there is not one for each text (SPEC J8).
    Embedding,
    /// A score is not what the model's logits say, or there is not one for each token (SPEC J9).
    Score,
    /// A run's transcript does not follow from what it was given, or not from its rules (SPEC A2).
    Run,
    /// A model call that a run cites is not what the model says (SPEC A2).
    ModelCall,
    /// A board is not what its files fold to (SPEC L2).
    Board,
    /// An interval of training is not what its steps come to (SPEC X3).
    Interval,
    /// What a classifier says of an input is not what its model computes, or there is not one for each (SPEC J12).
    Classification,
    /// A proof is not one of the answer that it is asked for, or does not hold (SPEC V10).
    Proof,
}

/// A validator's signed judgement of a segment (SPEC V).
#[expect(clippy::large_enum_variant, reason = "votes are few, and copied instead of shared")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum VerdictVote {
    /// Every check passed; the drawn jobs were replayed.
    Valid {
        /// The replay that the member attests ([`VerdictVote::effort`]).
        effort: Digest,
    },
    /// A check failed.
    Invalid {
        /// Position of the job in the segment.
        job: u32,
        /// Which check.
        fault: JobFault,
    },
    /// The worker sent no usable evidence in time.
    Unavailable,
    /// On a tolerance profile: every check of a single job passed, and this is what the replays measured (SPEC V6).
    Measured {
        /// As of [`Valid`](Self::Valid).
        effort: Digest,
        /// The sum over the drawn jobs.
        statistics: ReplayStatistics,
    },
}

impl VerdictVote {
    /// Proof that a segment's evidence was read, and the jobs which a draw's `seed` chose were replayed: over a digest of all
    /// its leaves, and what each position of these jobs was computed to, `replayed` in the order of the jobs (SPEC V2).
    ///
    /// It can't be known before the draw, nor without the replay; and whoever made the replay has the same.
    #[must_use]
    pub fn effort(segment: SegmentId, seed: &Digest, leaves: &Digest, replayed: &[Digest]) -> Digest {
        let positions: Vec<u8> = replayed.iter().flat_map(|digest| *digest.as_bytes()).collect();
        let segment = segment.digest();
        Digest::of("inferium/effort/1", &[segment.as_bytes(), seed.as_bytes(), leaves.as_bytes(), &positions])
    }

    /// True for a vote that finds nothing wrong with any job.
    #[must_use]
    pub const fn approves(&self) -> bool {
        match self {
            Self::Valid { .. } | Self::Measured { .. } => true,
            Self::Invalid { .. } | Self::Unavailable => false,
        }
    }

    /// What was measured, of a vote on a tolerance profile.
    #[must_use]
    pub const fn statistics(&self) -> Option<&ReplayStatistics> {
        match self {
            Self::Measured { statistics, .. } => Some(statistics),
            Self::Valid { .. } | Self::Invalid { .. } | Self::Unavailable => None,
        }
    }

    /// What a member commits to before anyone may see its vote (SPEC V2).
    ///
    /// The salt hides which of the few possible votes it is; the names of segment, draw and member
    /// make it worthless anywhere else, and to anyone else.
    #[must_use]
    pub fn commitment(&self, segment: SegmentId, seed: &Digest, validator: &NodeId, salt: &Digest) -> Digest {
        Digest::of(
            VERDICT_COMMITMENT_DOMAIN,
            &[
                segment.digest().as_bytes(),
                seed.as_bytes(),
                validator.as_bytes(),
                &crate::encode(self),
                salt.as_bytes(),
            ],
        )
    }
}

/// A worker's signed result for one request: a leaf of a segment that it signed.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct JobProof {
    /// The segment.
    pub terms: SegmentTerms,
    /// The worker's signature over it.
    pub worker_signature: Signature,
    /// The leaf.
    pub leaf: JobLeaf,
    /// Path from the leaf to the segment's root.
    pub path: MerklePath,
}

impl JobProof {
    /// True when `worker` signed a segment that holds the leaf.
    #[must_use]
    pub fn proves(&self, worker: &NodeId) -> bool {
        self.path.root(self.leaf.hash()) == Some(self.terms.root)
            && self.terms.signed_by_worker(worker, &self.worker_signature)
    }
}

/// A request that a gateway signed for: a leaf of a segment that it signed.
///
/// Only its signature over the segment counts. It signs a root that it made itself of its own requests,
/// and of a job that the worker planted (SPEC V5) only where no other has that sequence; so no worker can
/// bring two requests of one sequence under its signatures.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RequestProof {
    /// The segment.
    pub terms: SegmentTerms,
    /// The gateway's signature over it.
    pub gateway_signature: Signature,
    /// The leaf.
    pub leaf: JobLeaf,
    /// Path from the leaf to the segment's root.
    pub path: MerklePath,
}

impl RequestProof {
    /// True when `gateway` signed a segment of the request's lease that holds the leaf.
    #[must_use]
    pub fn proves(&self, gateway: &NodeId) -> bool {
        self.leaf.request.lease == self.terms.lease
            && self.path.root(self.leaf.hash()) == Some(self.terms.root)
            && self.terms.signed_by_gateway(gateway, &self.gateway_signature)
    }
}

/// What a transaction does.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum TransactionBody {
    /// Moves money to another account.
    Transfer {
        /// Receiver.
        to: AccountId,
        /// How much.
        amount: Amount,
    },
    /// Makes the sender an operator.
    RegisterOperator {
        /// Locked while it operates.
        bond: Amount,
    },
    /// Makes the sender a node.
    RegisterNode {
        /// Role.
        role: NodeRole,
        /// Its operator.
        operator: AccountId,
        /// The operator's signature (see [`Transaction::operator_message`]).
        operator_signature: Signature,
        /// Stake, or a gateway's bond.
        stake: Amount,
    },
    /// Changes the public URL of the sending validator or gateway.
    SetUrl {
        /// The new one.
        url: String,
    },
    /// The sending validator can replay this profile in its class (SPEC N4).
    DeclareProfile {
        /// The profile.
        profile: ModelProfile,
    },
    /// The sending worker's standing offer (SPEC T4).
    SetOffer {
        /// Profile.
        profile: ProfileId,
        /// Terms.
        terms: OfferTerms,
    },
    /// Opens a task; its cost at most is locked (SPEC M4).
    OpenTask {
        /// Terms.
        terms: TaskTerms,
    },
    /// Ends a lease; either side may.
    CloseLease {
        /// The lease.
        lease: LeaseId,
    },
    /// Commits finished jobs; either side may send it.
    CommitSegment {
        /// The segment, signed by both.
        commitment: SegmentCommitment,
    },
    /// Opens segments after their verdict: what the worker's VRF ordered, and what it planted
    /// (SPEC V5).
    OpenSegments {
        /// At most [`crate::OPENINGS_MAX`].
        openings: Vec<SegmentOpening>,
    },
    /// Binds a drawn member to its verdict before it can see another's (SPEC V2).
    CommitVerdict {
        /// The segment.
        segment: SegmentId,
        /// See [`VerdictVote::commitment`].
        commitment: Digest,
    },
    /// A drawn member's verdict: what it had committed to, or an open one (SPEC V2).
    SubmitVerdict {
        /// The segment.
        segment: SegmentId,
        /// Judgement.
        vote: VerdictVote,
        /// The salt of the commitment that this reveals; none for an open vote.
        salt: Option<Digest>,
    },
    /// The gateway says that a request got no answer (SPEC T6).
    ReportStall {
        /// The request.
        request: JobRequest,
    },
    /// A drawn relay holds the request for the worker.
    CertifyDelivery {
        /// The claim.
        stall: StallId,
    },
    /// The worker answers a certified request.
    AnswerStall {
        /// The claim.
        stall: StallId,
        /// The result of the request that the relays hold.
        result: JobResult,
    },
    /// Two results of one worker for one request (SPEC S, fraud).
    ProveConflict {
        /// Who signed both.
        worker: NodeId,
        /// One.
        first: JobProof,
        /// The other.
        second: JobProof,
    },
    /// Two sums that one gateway signed for one segment (SPEC S).
    ProveDoubleSigning {
        /// Who signed both.
        gateway: NodeId,
        /// One.
        first: SignedTotals,
        /// The other.
        second: SignedTotals,
    },
    /// Two requests for one sequence of a lease, in segments that one gateway signed (SPEC S).
    ProveDoubleRequest {
        /// Who signed both.
        gateway: NodeId,
        /// One.
        first: RequestProof,
        /// The other.
        second: RequestProof,
    },
    /// Two consensus votes that contradict each other (SPEC S).
    ProveEquivocation {
        /// Who signed both.
        validator: NodeId,
        /// One.
        first: ConsensusVote,
        /// The other.
        second: ConsensusVote,
    },
    /// Adds stake: to the sender's own node, or to one that it operates, or as a delegation to a
    /// validator (SPEC M7).
    Bond {
        /// Which node.
        node: NodeId,
        /// How much.
        amount: Amount,
    },
    /// Takes own or delegated stake back, after the unbonding time (SPEC M7).
    Unbond {
        /// Which node.
        node: NodeId,
        /// How much.
        amount: Amount,
    },
    /// What the sending validator keeps of its delegators' rewards (SPEC M7).
    SetCommission {
        /// Share of the rewards.
        commission: Ppm,
    },
    /// The sending worker asks for its capability task, and pays for it (SPEC N2).
    OpenAssessment {
        /// Profile that it is measured with.
        profile: ProfileId,
        /// What it says of its machine.
        report: CapabilityReport,
    },
    /// A party or a member of the committee doubts an approved segment; locks the bond (SPEC V4).
    OpenDispute {
        /// The segment.
        segment: SegmentId,
    },
    /// Puts something to the vote; locks the deposit (SPEC G).
    Propose {
        /// What.
        proposal: ProposalTerms,
    },
    /// Votes with the sender's stake; the last vote counts (SPEC G2).
    Vote {
        /// Number of the proposal.
        proposal: u64,
        /// What the sender says.
        choice: VoteChoice,
    },
    /// Publishes an agent; locks the deposit (SPEC A1).
    PublishAgent {
        /// Its name, one of the sender's own ([`crate::is_agent_name`]).
        name: String,
        /// What it is.
        terms: AgentTerms,
    },
    /// Changes an agent of the sender's. What narrows its policy is in force at once, what widens it an epoch later.
    UpdateAgent {
        /// Which.
        agent: AgentId,
        /// All of it as it is to be.
        terms: AgentTerms,
    },
    /// Ends an agent of the sender's: no new runs; with the last one its money goes to the sender.
    RetireAgent {
        /// Which.
        agent: AgentId,
        /// True when it spends nothing any more, in runs that are under way either.
        stop_spending: bool,
    },
    /// The sending gateway opens a run of an agent; its cost at most is locked (SPEC A2).
    OpenRun {
        /// Which, and how.
        terms: RunTerms,
    },
    /// The host or gateway of a run has the ledger do what a settled step of it ordered (SPEC A3).
    SpendAsAgent {
        /// The order, with its proof.
        spend: Box<AgentSpend>,
    },
    /// A validator says that a job of an approved segment was computed wrong; locks the bond (SPEC V11).
    OpenChallenge {
        /// Which job.
        terms: Box<ChallengeTerms>,
    },
    /// The challenged worker shows what it was asked.
    ShowTrace {
        /// The segment.
        segment: SegmentId,
        /// Who challenged it.
        challenger: NodeId,
        /// What was asked.
        shown: TraceShown,
    },
    /// The challenger says what it wants to see of what was shown.
    AskTrace {
        /// The segment.
        segment: SegmentId,
        /// Of leaves, parts of a span or values of a chunk, which.
        index: u64,
    },
    /// The challenger shows what is wrong, and the ledger computes it.
    RefuteTrace {
        /// The segment.
        segment: SegmentId,
        /// What is wrong.
        refutation: Box<Refutation>,
    },
}

impl TransactionBody {
    /// Bytes that a transaction with such a body has at most.
    #[must_use]
    pub const fn size_max(&self) -> usize {
        match self {
            Self::RefuteTrace { .. } => crate::limits::REFUTATION_SIZE_MAX,
            _ => crate::limits::TRANSACTION_SIZE_MAX,
        }
    }
}

/// A transaction before it is signed.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Transaction {
    /// The chain it is for.
    pub chain: ChainId,
    /// Who pays and signs.
    pub sender: AccountId,
    /// The sender's transactions so far.
    pub nonce: u64,
    /// What it does.
    pub body: TransactionBody,
}

impl Transaction {
    /// Signs with the sender's key.
    #[must_use]
    pub fn sign(self, key: &SecretKey) -> SignedTransaction {
        let signature = key.sign(TRANSACTION_DOMAIN, &crate::encode(&self));
        SignedTransaction { transaction: self, signature }
    }

    /// What an operator signs to take responsibility for a node.
    #[must_use]
    pub fn operator_message(chain: ChainId, node: &NodeId, role: &NodeRole) -> Vec<u8> {
        crate::encode(&(chain, *node, role.name().to_owned()))
    }

    /// The operator's signature for `node`.
    #[must_use]
    pub fn sign_as_operator(chain: ChainId, node: &NodeId, role: &NodeRole, key: &SecretKey) -> Signature {
        key.sign(OPERATOR_DOMAIN, &Self::operator_message(chain, node, role))
    }

    /// Checks an operator's signature for `node`.
    #[must_use]
    pub fn signed_by_operator(
        chain: ChainId,
        node: &NodeId,
        role: &NodeRole,
        operator: &AccountId,
        signature: &Signature,
    ) -> bool {
        operator.verify(OPERATOR_DOMAIN, &Self::operator_message(chain, node, role), signature)
    }
}

/// A signed transaction, as it travels.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedTransaction {
    /// What is signed.
    pub transaction: Transaction,
    /// The sender's signature.
    pub signature: Signature,
}

impl SignedTransaction {
    /// The transaction's name.
    #[must_use]
    pub fn id(&self) -> TransactionId {
        TransactionId::new(Digest::of_value("inferium/signed-transaction/1", self))
    }

    /// Checks chain and signature.
    ///
    /// # Errors
    /// [`InvalidSignature`].
    pub fn verify(self, chain: ChainId) -> Result<VerifiedTransaction, InvalidSignature> {
        if self.transaction.chain != chain {
            return Err(InvalidSignature::Chain);
        }
        let message = crate::encode(&self.transaction);
        if !self.transaction.sender.verify(TRANSACTION_DOMAIN, &message, &self.signature) {
            return Err(InvalidSignature::Signature);
        }
        let size = crate::encode(&self).len();
        Ok(VerifiedTransaction { id: self.id(), size, signed: self })
    }
}

/// A transaction whose signature was checked; the ledger takes no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedTransaction {
    id: TransactionId,
    size: usize,
    signed: SignedTransaction,
}

impl VerifiedTransaction {
    /// The transaction's name.
    #[must_use]
    pub const fn id(&self) -> TransactionId {
        self.id
    }

    /// Bytes on the wire.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// What was signed.
    #[must_use]
    pub const fn transaction(&self) -> &Transaction {
        &self.signed.transaction
    }

    /// With its signature.
    #[must_use]
    pub const fn signed(&self) -> &SignedTransaction {
        &self.signed
    }
}
