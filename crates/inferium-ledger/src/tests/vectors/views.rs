//! How entries, operations and refusals stand in a vector.

use super::json::{Json, View, snake, views};
use crate::entries::*;
use crate::{InvalidBlock, Rejection, State, StateKey};
use inferium_sampling::SequentialTest;
use inferium_types::{
    Accelerator, AgentLimits, AgentSpend, AgentTerms, Calibration, CapabilityReport, ChallengeTerms, ClassifierReads,
    ClippedSum, ConsensusVote, Digest, DrawCount, EngineClass, FinishReason, ForcedKind, ForcedOrder, ForeignBounds,
    InvalidParameter, JobFault, JobLeaf, JobProof, JobRequest, JobResult, JobTotals, KindCount, LeaseEnd, MerklePath,
    ModelProfile, ModelTask, NodeRole, OfferTerms, PARAMETERS, ParameterChange, Parameters, PlantedJob, Price,
    ProposalAction, ProposalOutcome, ProposalTerms, Recipients, ReplayStatistics, RequestProof, RunTerms,
    SamplingParams, SegmentOpening, SegmentTerms, SignedTotals, SlashRule, SpendOrder, SpendingPolicy, Suspicion,
    TaskKind, TaskTerms, Tier, Transaction, TransactionBody, Usage, VerdictVote, VerificationMode, VerifiedTransaction,
    VoteChoice, VoteSubject, VoteTally, VrfPublicKey, decode, encode,
};

views! {
    struct Account { balance, nonce }
    struct Operator { bond, barred }
    struct Pool { tokens, shares }
    struct Node {
        role, operator, stake, active_from_epoch, beacon_from_view, faults_ms, unsettled, disqualified, removed,
        delegated, unbonding, commission, commission_before, holds, fresh, fresh_shares,
    }
    struct Profile { profile, validators, listing, slashed, draws, openings_spent }
    struct ModelProfile { name, task, weights_root, tokenizer_hash, template_hash, engine, sampler_version, eos_tokens }
    struct Price { prompt_token, completion_token }
    struct OfferTerms { slots, price, context_tokens, batches }
    struct Offer { terms, slots_used, waits_from }
    struct TaskTerms {
        kind, mode, tier, profile, price_max, jobs_max, tokens_max, slots, context_tokens, open_ms, lease_ms,
    }
    struct Task { requester, terms, escrow, opened, expires_at_ms }
    struct Lease {
        task, worker, gateway, terms, price, beacon, escrow, reserved, jobs, tokens, segments, segments_pending,
        spoiled, granted_height, granted_ms, segment_height, expires_at_ms, state,
    }
    struct Approval { approvers, seed, replayed, rejections }
    struct Dispute { challenger, bond, approval, settles_at_ms }
    struct Member { validator, ballot }
    struct JobTotals { jobs, prompt_tokens, completion_tokens }
    struct SegmentTerms { lease, index, totals, root }
    struct Segment {
        terms, worker, gateway, profile, price, fee, kind, elapsed_ms, replay_tokens, dispute, disputed, opening,
        state,
    }
    struct Stall { lease, worker, gateway, request, tokens, job, state }
    struct Hold {
        node, rule, segment, job, own, delegated, unbonding, disqualified, provers, harmed, harm, taken_at_ms,
        releases_at_ms,
    }
    struct Record { jobs_micro, tokens_micro, failures_micro, updated_ms }
    struct Delegation { shares, fresh }
    struct Unbonding { node, account, shares, matures_at_ms, waited }
    struct EpochWork { fees, weight, duties }
    struct EpochReward { workers, validators, weight, duties }
    struct Accelerator { name, memory_mib }
    struct CapabilityReport { tier, cpu, features, cores, memory_mib, accelerators }
    struct Capability { report, profile, lease, score, tier, measured_at_ms, call_due_ms, draw_at_ms }
    struct VoteTally { yes, no, abstain, veto }
    struct ParameterChange { name, value }
    struct ProposalTerms { title, description, action }
    struct Proposal { terms, proposer, deposit, snapshot_epoch, state }
    struct SamplingParams { temperature_micro, top_p_ppm, top_k }
    struct JobRequest {
        job, lease, sequence, attempt, input_commitment, prompt_tokens, tokens_max, sampling, client_seed,
    }
    struct Usage { prompt_tokens, completion_tokens }
    struct JobResult { request, output_commitment, evidence_root, usage, finish }
    struct JobLeaf { request, result }
    struct MerklePath { index, count, siblings }
    struct OwedOrder { share, has_room }
    struct Planted { job, kind, usage }
    struct PlantedJob { leaf, path }
    struct KindCount { positions, flips }
    struct ClippedSum { count, sum_ppm, bets }
    struct DrawCount { positions, outside, bets }
    struct ForeignBounds { drift, margin_micro, outside }
    struct ReplayStatistics { kinds, bad, logprobs, sketches, surprisal_micro, variance_micro, draws }
    struct Calibration {
        corpus, positions, flips, alternatives, bad_margin_micro, bad, bad_correlation, logprob_clip_micro,
        logprob_mean, sketch_clip_micro, sketch_mean, sketch_gross_micro,
    }
    struct Conduct { test, suspicion, slash }
    struct AgentLimits { steps, tokens, tool_calls, run_ms }
    struct SpendingPolicy { per_run, per_day, recipients, expires_at_ms }
    struct AgentTerms { manifest, model, price, limits, policy }
    struct Widening { policy, from_ms }
    struct AgentEarnings { runs, fees, hosts, creator, committees, treasury, refunded }
    struct Agent { creator, name, deposit, version, terms, widening, retired, open_runs, spent, earned }
    struct Run {
        agent, version, manifest, model, limits, policy, price, input, gateway, hirer, host, spent, settled, cited, over,
        ends_at_ms,
    }
    struct RunTerms { agent, version, input, open_ms }
    struct AgentSpend { run, segment, step, step_path, order, call_path }
}

views! {
    words Listing { Declared, Approved, Paused, Delisted }
    words TaskKind { Inference, Benchmark, Agent, Validation, Training, Leaderboard, Batch }
    words VerificationMode { Exact, Sampled, Replicated, Zk }
    words Tier { Low, Mid, High }
    words LeaseEnd { Exhausted, Expired, ClosedByGateway, ClosedByWorker, Fault, Undecided }
    words Stage { Committee, Widened, Court, FullCourt }
    words Phase { Committing, Revealing, Closed }
    words JobFault { Leaf, Prompt, Text, Finish, Token, Logits, Windows, GrossTokens, GrossSketches, Embedding, Score, Run, ModelCall, Board, Interval, Classification, Proof }
    words Suspicion { None, Suspect, Convicted }
    words FinishReason { EndOfText, StopString, Length, Cancelled }
    words VoteChoice { Yes, No, Abstain, Veto }
    words ProposalOutcome { Passed, NoQuorum, Failed, Vetoed, Executed, Void }
    words ForcedKind { Wrong, Right }
    words SlashRule {
        DeadlineMissed, WrongResult, ConflictingResults, WrongApproval, WrongRejection, MissedDuty, DoubleSigning,
        Equivocation, ForgedProof, EvidenceWithheld, DoubleRequest, Statistics, FalseReplay,
    }
}

views! {
    enum NodeRole { Worker { vrf }, Validator { url }, Gateway { url } }
    enum ModelTask { Chat, Embed { width }, Host, Fold, Train, Classify { reads, classes }, Prove, ProvePrivate { openings } }
    enum ClassifierReads { Texts, Tensors { elements, least, most } }
    enum SpendOrder { Pay { to, amount }, Hire { run } }
    enum EngineClass { Canonical { build, tier }, Tolerance { verifier, calibration }, Foreign { verifier, bounds } }
    enum LeaseState { Active, Draining { end, until_ms, commits_until_ms } }
    enum Ballot { Blank, Committed { commitment }, Given { vote } }
    enum VerdictVote { Valid { effort }, Invalid { job, fault }, Unavailable, Measured { effort, statistics } }
    enum SegmentState {
        AwaitingSeed { view, until_ms },
        Judging { members, stage, phase, seed, replay, due_at_ms, due_at_height },
        Final { approval, settles_at_ms, held_until_ms },
    }
    enum VoteSubject { Notarize { parent_view, block }, Nullify, Finalize { parent_view, block } }
    enum StallState {
        AwaitingSeed { view, until_ms },
        Relaying { relays, until_ms },
        Certified { due_at_ms, due_at_height },
    }
    enum ProposalState {
        Voting { closes_at_ms },
        Counting { after, tally, validators, at_ms },
        Passed { tally, executes_at_ms },
        Ended { outcome, tally, until_ms },
    }
    enum ProposalAction {
        ChangeParameters { changes },
        SpendTreasury { to, amount },
        ApproveProfile { profile },
        DelistProfile { profile },
        Restitute { slash },
        RemoveValidator { validator },
        Upgrade { height, version },
        Text,
    }
    enum InvalidParameter {
        Unknown { name },
        OutOfBounds { name, min, max, found },
        Together { why },
    }
    enum InvalidBlock {
        Height { expected, found },
        Timestamp { parent, found },
        Transaction { index, rejection },
        TooLarge,
        Upgrade { needed, known },
    }
}

impl View for Rejection {
    fn view(&self) -> Json {
        macro_rules! view {
            ($($variant:ident $({ $($field:ident),* })?),* $(,)?) => {
                match self {
                    $(Self::$variant $({ $($field),* })? => Json::object([
                        ("kind", Json::Text(snake(stringify!($variant)))),
                        $($((stringify!($field), $field.view())),*)?
                    ]),)*
                    Self::Parameter(found) => {
                        Json::object([("kind", Json::text("parameter")), ("why", found.view())])
                    }
                }
            };
        }
        view! {
            NonceTooLow { expected, found },
            NonceTooHigh { expected, found },
            FeeUnpayable { fee, balance },
            TooLarge { found, limit },
            Insufficient { needed, available },
            Overflow,
            Unknown { what },
            NotAllowed { expected },
            Exists { what },
            Disqualified,
            Jailed { until },
            Signature { whose },
            OutOfBounds { field },
            WrongState { what },
            ProfileNotLeasable { found, needed },
            UnsettledLimit { found, limit },
            NotServed { what },
            NoWorkers { tier },
            ProfileClosed { listing },
            Openings { left, needed },
            Commitment,
            Mode { expected, found },
            VoteForm { expected },
            BarredFromProfile,
            Evidence { why },
            NoAgent,
            Profile { expected },
            Version { expected, found },
            Policy { what },
            PolicyCap { cap, limit, found },
        }
    }
}

impl View for Recipients {
    fn view(&self) -> Json {
        match self {
            Self::Nobody => Json::object([("kind", Json::text("nobody"))]),
            Self::Listed(accounts) => Json::object([("kind", Json::text("listed")), ("accounts", accounts.view())]),
            Self::Anybody => Json::object([("kind", Json::text("anybody"))]),
        }
    }
}

impl View for Opening {
    fn view(&self) -> Json {
        let (kind, fields) = match self {
            Self::NotOwed => ("not_owed", vec![]),
            Self::Closed(order) => ("closed", vec![("order", order.view())]),
            Self::Asked { order, until_ms } => ("asked", vec![("order", order.view()), ("until_ms", until_ms.view())]),
            Self::Late(order) => ("late", vec![("order", order.view())]),
            Self::Opened { planted } => ("opened", vec![("planted", planted.view())]),
        };
        Json::object([("kind", Json::text(kind))].into_iter().chain(fields))
    }
}

/// The capital of each bet, in units of 2^-64.
impl View for SequentialTest {
    fn view(&self) -> Json {
        type Capitals = (u64, [u128; 6], [u128; 8], [u128; 8], [u128; 8], [u128; 2]);
        let (steps, flips, logprobs, sketches, draws, outside): Capitals = decode(&encode(self)).unwrap();
        Json::object([
            ("steps", steps.view()),
            ("flips", flips.view()),
            ("logprobs", logprobs.view()),
            ("sketches", sketches.view()),
            ("draws", draws.view()),
            ("outside", outside.view()),
        ])
    }
}

impl View for Fresh {
    fn view(&self) -> Json {
        self.0.view()
    }
}

impl View for VrfPublicKey {
    fn view(&self) -> Json {
        Json::Text(self.to_string())
    }
}

/// Parameters that are not a devnet's (vectors/parameters.json).
pub(super) fn parameters_view(parameters: &Parameters) -> Json {
    let usual = Parameters::devnet(4);
    let others = PARAMETERS.iter().filter(|rule| rule.value(parameters) != rule.value(&usual));
    Json::object(others.map(|rule| (rule.name, rule.value(parameters).view())))
}

/// A field of [`Meta`].
pub(super) struct MetaField {
    pub(super) name: &'static str,
    pub(super) view: fn(&Meta) -> Json,
    /// Takes it from another one: what a vector means that does not show it.
    pub(super) reset: fn(&mut Meta, &Meta),
    /// The same with this field one more, or one less: a limit shows there only.
    pub(super) beside: fn(&Meta) -> Vec<Meta>,
}

/// Values just beside one; none of what has no order.
trait Beside: Sized {
    fn beside(&self) -> Vec<Self> {
        Vec::new()
    }
}

impl Beside for u64 {
    fn beside(&self) -> Vec<Self> {
        [self.checked_sub(1), self.checked_add(1)].into_iter().flatten().collect()
    }
}

impl Beside for inferium_types::Amount {
    fn beside(&self) -> Vec<Self> {
        self.nano().beside().into_iter().map(Self::from_nano).collect()
    }
}

impl Beside for (u64, inferium_types::Amount) {
    fn beside(&self) -> Vec<Self> {
        self.1.beside().into_iter().map(|amount| (self.0, amount)).collect()
    }
}

impl Beside for u32 {}
impl Beside for Digest {}
impl Beside for (inferium_types::Amount, u64) {}
impl Beside for Option<u64> {}
impl Beside for Option<(u64, u32)> {}
impl<const N: usize> Beside for [u32; N] {}

/// The fields that a vector may hold. Chain and the place of matching are none of its business:
/// the first is in signatures only, the second depends on how a block's budget is spent.
pub(super) fn meta_fields() -> Vec<MetaField> {
    macro_rules! fields {
        ($($field:ident),* $(,)?) => {{
            // All of them are named, here or below.
            let _ = |meta: Meta| {
                let Meta { $($field: _,)* chain: _, match_from: _, parameters: _ } = meta;
            };
            vec![$(MetaField {
                name: stringify!($field),
                view: |meta| meta.$field.view(),
                reset: |meta, neutral| meta.$field.clone_from(&neutral.$field),
                beside: |meta| {
                    let others = meta.$field.beside().into_iter();
                    others.map(|$field| Meta { $field, ..meta.clone() }).collect()
                },
            }),*]
        }};
    }
    fields! {
        height, view, timestamp_ms, resumed_at_ms, epoch, epoch_started_ms, beacon, beacon_view, reward_pool, treasury,
        validator_pool, burned, slashes, slashes_overturned, emission_from, bonded, unbondings, proposals, spent,
        removed_epoch, protocol, upgrade, tiers, speeds,
    }
}

/// What a vector's meta is where it says nothing: nothing, in an epoch that has just begun.
pub(super) fn neutral(meta: &Meta, now_ms: u64) -> Meta {
    let mut neutral = State::genesis(&inferium_types::Genesis {
        name: String::new(),
        timestamp_ms: now_ms,
        group: inferium_types::GroupKey::from_bytes([0; 96]),
        sharing: Vec::new(),
        parameters: meta.parameters.clone(),
        accounts: Vec::new(),
        operators: Vec::new(),
        validators: Vec::new(),
    })
    .meta()
    .clone();
    neutral.reward_pool = inferium_types::Amount::ZERO;
    neutral.emission_from = (neutral.reward_pool, 0);
    neutral.beacon = Digest::ZERO;
    neutral
}

/// An entry of the store as table, key and value; `None` for the one [`Meta`].
pub(super) fn entry_view(key: &[u8], value: Option<&[u8]>) -> Option<(&'static str, String, Json)> {
    macro_rules! entry {
        ($table:literal, $key:expr, $type:ty) => {
            Some(($table, $key, value.map_or(Json::Null, |bytes| decode::<$type>(bytes).unwrap().view())))
        };
    }
    match decode(key).unwrap() {
        StateKey::Meta => None,
        StateKey::Account(id) => entry!("accounts", id.to_string(), Account),
        StateKey::Operator(id) => entry!("operators", id.to_string(), Operator),
        StateKey::Node(id) => entry!("nodes", id.to_string(), Node),
        StateKey::Profile(id) => entry!("profiles", id.to_string(), Profile),
        StateKey::Offer((profile, worker)) => entry!("offers", format!("{profile}/{worker}"), Offer),
        StateKey::Task(id) => entry!("tasks", id.to_string(), Task),
        StateKey::Lease(id) => entry!("leases", id.to_string(), Lease),
        StateKey::Segment(id) => entry!("segments", id.to_string(), Segment),
        StateKey::Stall(id) => entry!("stalls", id.to_string(), Stall),
        StateKey::Hold(id) => entry!("holds", id.to_string(), Hold),
        StateKey::Record((worker, profile)) => entry!("records", format!("{worker}/{profile}"), Record),
        StateKey::Delegation((account, node)) => entry!("delegations", format!("{account}/{node}"), Delegation),
        StateKey::Unbonding(id) => entry!("unbondings", id.to_string(), Unbonding),
        StateKey::EpochWork((epoch, node)) => entry!("epoch_works", format!("{epoch}/{node}"), EpochWork),
        StateKey::EpochReward(epoch) => entry!("epoch_rewards", epoch.to_string(), EpochReward),
        StateKey::Capability(id) => entry!("capabilities", id.to_string(), Capability),
        StateKey::Proposal(id) => entry!("proposals", id.to_string(), Proposal),
        StateKey::Vote((proposal, voter)) => entry!("votes", format!("{proposal}/{voter}"), VoteChoice),
        StateKey::Conduct((worker, profile)) => entry!("conducts", format!("{worker}/{profile}"), Conduct),
        StateKey::Agent(id) => entry!("agents", id.to_string(), Agent),
        StateKey::Run(id) => entry!("runs", id.to_string(), Run),
        StateKey::Challenge((segment, challenger)) => {
            entry!("challenges", format!("{segment}/{challenger}"), Challenge)
        }
    }
}

fn proof_view(proof: &JobProof, worker: &inferium_types::NodeId) -> Json {
    let JobProof { terms, worker_signature, leaf, path } = proof;
    Json::object([
        ("terms", terms.view()),
        ("signed_by_worker", terms.signed_by_worker(worker, worker_signature).view()),
        ("leaf", leaf.view()),
        ("path", path.view()),
    ])
}

fn request_view(proof: &RequestProof, gateway: &inferium_types::NodeId) -> Json {
    let RequestProof { terms, gateway_signature, leaf, path } = proof;
    Json::object([
        ("terms", terms.view()),
        ("signed_by_gateway", terms.signed_by_gateway(gateway, gateway_signature).view()),
        ("leaf", leaf.view()),
        ("path", path.view()),
    ])
}

fn totals_view(totals: &SignedTotals, gateway: &inferium_types::NodeId) -> Json {
    let SignedTotals { terms, gateway_signature } = totals;
    Json::object([
        ("terms", terms.view()),
        ("signed_by_gateway", terms.signed_by_gateway(gateway, gateway_signature).view()),
    ])
}

fn vote_view(vote: &ConsensusVote, state: &State, validator: &inferium_types::NodeId) -> Json {
    let ConsensusVote { epoch, view, subject, signature: _ } = vote;
    Json::object([
        ("epoch", epoch.view()),
        ("view", view.view()),
        ("subject", subject.view()),
        ("signed_by_validator", vote.signed_by(state.meta().chain, validator).view()),
    ])
}

/// An opening: the output that its proof claims, and the input over which that is the worker's.
fn opening_view(opening: &SegmentOpening, state: &State) -> Json {
    let SegmentOpening { segment, proof, planted } = opening;
    let proven_input = state.segment(segment).and_then(|entry| {
        let lease = state.lease(&entry.terms.lease)?;
        let NodeRole::Worker { vrf } = &state.node(&entry.worker)?.role else { return None };
        let input = ForcedOrder::input(&lease.beacon, entry.terms.lease, entry.terms.index);
        vrf.verify(&input, proof).map(|_| input)
    });
    Json::object([
        ("segment", segment.view()),
        ("output", proof.output().view()),
        ("proven_input", proven_input.view()),
        ("planted", planted.view()),
    ])
}

/// A transaction: who sent it, its size, its name where something is named after it, and its body;
/// signatures as the facts that they are.
pub(super) fn operation_view(state: &State, transaction: &VerifiedTransaction) -> Json {
    let Transaction { chain: _, sender, nonce, body } = transaction.transaction();
    let size = u64::try_from(transaction.size()).unwrap();
    let mut all = vec![("sender", sender.view()), ("nonce", nonce.view()), ("size", size.view())];
    if matches!(
        body,
        TransactionBody::OpenTask { .. }
            | TransactionBody::OpenAssessment { .. }
            | TransactionBody::OpenRun { .. }
            | TransactionBody::SpendAsAgent { .. }
    ) {
        all.push(("id", transaction.id().digest().view()));
    }
    let (kind, fields) = body_view(state, transaction.transaction());
    Json::object([("kind", Json::text(kind))].into_iter().chain(all).chain(fields))
}

fn all_openings(openings: &[SegmentOpening], state: &State) -> Json {
    Json::List(openings.iter().map(|opening| opening_view(opening, state)).collect())
}

fn body_view(state: &State, transaction: &Transaction) -> (&'static str, Vec<(&'static str, Json)>) {
    let Transaction { chain, sender, body, .. } = transaction;
    macro_rules! body {
        ($name:literal $(, $field:ident)*) => {
            ($name, vec![$((stringify!($field), $field.view())),*])
        };
    }
    match body {
        TransactionBody::Transfer { to, amount } => body!("transfer", to, amount),
        TransactionBody::RegisterOperator { bond } => body!("register_operator", bond),
        TransactionBody::RegisterNode { role, operator, operator_signature: signed, stake } => {
            let signed_by_operator = Transaction::signed_by_operator(*chain, sender, role, operator, signed);
            body!("register_node", role, operator, signed_by_operator, stake)
        }
        TransactionBody::SetUrl { url } => body!("set_url", url),
        TransactionBody::DeclareProfile { profile } => body!("declare_profile", profile),
        TransactionBody::SetOffer { profile, terms } => body!("set_offer", profile, terms),
        TransactionBody::OpenTask { terms } => body!("open_task", terms),
        TransactionBody::CloseLease { lease } => body!("close_lease", lease),
        TransactionBody::CommitSegment { commitment } => {
            let inferium_types::SegmentCommitment { terms, worker_signature: worker, gateway_signature: gateway } =
                commitment;
            let lease = state.lease(&terms.lease);
            let signed_by_worker = lease.is_some_and(|lease| terms.signed_by_worker(&lease.worker, worker));
            let signed_by_gateway = lease.is_some_and(|lease| terms.signed_by_gateway(&lease.gateway, gateway));
            body!("commit_segment", terms, signed_by_worker, signed_by_gateway)
        }
        TransactionBody::CommitVerdict { segment, commitment } => body!("commit_verdict", segment, commitment),
        TransactionBody::SubmitVerdict { segment, vote, salt } => body!("submit_verdict", segment, vote, salt),
        TransactionBody::ReportStall { request } => body!("report_stall", request),
        TransactionBody::CertifyDelivery { stall } => body!("certify_delivery", stall),
        TransactionBody::AnswerStall { stall, result } => body!("answer_stall", stall, result),
        TransactionBody::ProveConflict { worker, first, second } => {
            let (first, second) = (proof_view(first, worker), proof_view(second, worker));
            ("prove_conflict", vec![("worker", worker.view()), ("first", first), ("second", second)])
        }
        TransactionBody::ProveDoubleSigning { gateway, first, second } => {
            let (first, second) = (totals_view(first, gateway), totals_view(second, gateway));
            ("prove_double_signing", vec![("gateway", gateway.view()), ("first", first), ("second", second)])
        }
        TransactionBody::ProveDoubleRequest { gateway, first, second } => {
            let (first, second) = (request_view(first, gateway), request_view(second, gateway));
            ("prove_double_request", vec![("gateway", gateway.view()), ("first", first), ("second", second)])
        }
        TransactionBody::OpenSegments { openings } => {
            ("open_segments", vec![("openings", all_openings(openings, state))])
        }
        TransactionBody::ProveEquivocation { validator, first, second } => {
            let (first, second) = (vote_view(first, state, validator), vote_view(second, state, validator));
            ("prove_equivocation", vec![("validator", validator.view()), ("first", first), ("second", second)])
        }
        TransactionBody::Bond { node, amount } => body!("bond", node, amount),
        TransactionBody::Unbond { node, amount } => body!("unbond", node, amount),
        TransactionBody::SetCommission { commission } => body!("set_commission", commission),
        TransactionBody::OpenAssessment { profile, report } => body!("open_assessment", profile, report),
        TransactionBody::OpenDispute { segment } => body!("open_dispute", segment),
        TransactionBody::Propose { proposal } => body!("propose", proposal),
        TransactionBody::Vote { proposal, choice } => body!("vote", proposal, choice),
        TransactionBody::PublishAgent { name, terms } => body!("publish_agent", name, terms),
        TransactionBody::UpdateAgent { agent, terms } => body!("update_agent", agent, terms),
        TransactionBody::RetireAgent { agent, stop_spending } => body!("retire_agent", agent, stop_spending),
        TransactionBody::OpenRun { terms } => body!("open_run", terms),
        TransactionBody::SpendAsAgent { spend } => body!("spend_as_agent", spend),
        TransactionBody::OpenChallenge { terms } => {
            let ChallengeTerms { segment, leaf, path } = &**terms;
            body!("open_challenge", segment, leaf, path)
        }
        TransactionBody::ShowTrace { segment, challenger, shown } => body!("show_trace", segment, challenger, shown),
        TransactionBody::AskTrace { segment, index } => body!("ask_trace", segment, index),
        TransactionBody::RefuteTrace { segment, refutation } => body!("refute_trace", segment, refutation),
    }
}
