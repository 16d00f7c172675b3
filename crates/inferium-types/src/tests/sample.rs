//! Seeded values of every type that is sent, stored or hashed.

use crate::wire::{
    GatewayMessage, ModelAnswer, Planting, RelayFetch, RelayedRequest, RunSecret, SessionHello, WorkerMessage,
};
use crate::*;

/// A deterministic source of values: a counter under SHA-256.
pub(super) struct Gen {
    seed: u64,
    counter: u64,
}

impl Gen {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, counter: 0 }
    }

    pub(super) fn digest(&mut self) -> Digest {
        self.counter += 1;
        Digest::of("inferium/test-sample/1", &[&self.seed.to_be_bytes(), &self.counter.to_be_bytes()])
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.digest().draw(bound)
    }

    pub(super) fn next<T: Sample>(&mut self) -> T {
        T::sample(self)
    }
}

pub(super) trait Sample: Sized {
    fn sample(g: &mut Gen) -> Self;
}

/// Numbers of all sizes, the extremes among them.
fn number(g: &mut Gen) -> u64 {
    match g.below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => g.below(256),
        _ => g.digest().to_u64() >> g.below(64),
    }
}

macro_rules! sample_numbers {
    ($($type:ty),+) => {$(
        impl Sample for $type {
            fn sample(g: &mut Gen) -> Self {
                let bytes = number(g).to_le_bytes();
                Self::from_le_bytes(bytes[..size_of::<Self>()].try_into().unwrap())
            }
        }
    )+};
}
sample_numbers!(u8, u16, u32, u64, i8, i16, i32, i64);

impl Sample for bool {
    fn sample(g: &mut Gen) -> Self {
        g.below(2) == 1
    }
}

impl Sample for String {
    fn sample(g: &mut Gen) -> Self {
        const LETTERS: [char; 8] = ['a', 'Z', '0', ' ', '\n', 'ß', '語', '🙂'];
        (0..g.below(6)).map(|_| LETTERS[usize::try_from(g.below(8)).unwrap()]).collect()
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(g: &mut Gen) -> Self {
        (0..g.below(4)).map(|_| g.next()).collect()
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(g: &mut Gen) -> Self {
        (g.below(3) > 0).then(|| g.next())
    }
}

impl<A: Sample, B: Sample> Sample for (A, B) {
    fn sample(g: &mut Gen) -> Self {
        (g.next(), g.next())
    }
}

impl<A: Sample, B: Sample, C: Sample> Sample for (A, B, C) {
    fn sample(g: &mut Gen) -> Self {
        (g.next(), g.next(), g.next())
    }
}

impl<T: Sample, E: Sample> Sample for Result<T, E> {
    fn sample(g: &mut Gen) -> Self {
        if g.next() { Ok(g.next()) } else { Err(g.next()) }
    }
}

impl<T: Sample> Sample for Box<T> {
    fn sample(g: &mut Gen) -> Self {
        Self::new(g.next())
    }
}

impl<T: Sample, const N: usize> Sample for [T; N] {
    fn sample(g: &mut Gen) -> Self {
        std::array::from_fn(|_| g.next())
    }
}

impl Sample for Digest {
    fn sample(g: &mut Gen) -> Self {
        g.digest()
    }
}

impl Sample for Amount {
    fn sample(g: &mut Gen) -> Self {
        Self::from_nano(number(g))
    }
}

impl Sample for Logits {
    fn sample(g: &mut Gen) -> Self {
        Self::new(g.next())
    }
}

impl Sample for Embedding {
    fn sample(g: &mut Gen) -> Self {
        let bits: Vec<u32> = g.next();
        Self::new(&bits.into_iter().map(f32::from_bits).collect::<Vec<_>>())
    }
}

impl Sample for TokenScore {
    fn sample(g: &mut Gen) -> Self {
        let (logprob, likeliest): (u32, Vec<u32>) = (g.next(), g.next());
        let likeliest: Vec<(u32, f32)> = likeliest.into_iter().map(|one| (one, f32::from_bits(!one))).collect();
        Self::new(f32::from_bits(logprob), &likeliest)
    }
}

impl Sample for Ppm {
    fn sample(g: &mut Gen) -> Self {
        Self::new(u32::try_from(g.below(1_000_001)).unwrap())
    }
}

macro_rules! sample_ids {
    ($($name:ident),+) => {$(
        impl Sample for $name {
            fn sample(g: &mut Gen) -> Self {
                Self::new(g.digest())
            }
        }
    )+};
}
sample_ids!(ChainId, TransactionId, TaskId, LeaseId, SegmentId, ProfileId, JobId, StallId, AgentId);

macro_rules! sample_bytes {
    ($($name:ident),+) => {$(
        impl Sample for $name {
            fn sample(g: &mut Gen) -> Self {
                Self::from_bytes(g.next())
            }
        }
    )+};
}
sample_bytes!(PublicKey, Signature, GroupKey, VrfPublicKey, VrfProof, SealingKey);

macro_rules! sample_structs {
    ($($name:ident { $($field:ident),+ $(,)? })+) => {$(
        impl Sample for $name {
            fn sample(g: &mut Gen) -> Self {
                Self { $($field: g.next()),+ }
            }
        }
    )+};
}

sample_structs! {
    ChatMessage { role, content }
    SamplingParams { temperature_micro, top_p_ppm, top_k }
    Usage { prompt_tokens, completion_tokens }
    Continuation { prompt, tokens }
    JobRequest {
        job, lease, sequence, attempt, input_commitment, prompt_tokens, tokens_max, sampling, client_seed,
    }
    JobPayload { salt, input }
    JobOutput { salt, answer }
    JobOpening { payload, output }
    JobResult { request, output_commitment, evidence_root, usage, finish }
    JobLeaf { request, result }
    JobTotals { jobs, prompt_tokens, completion_tokens }
    JobEvidence { payload, output, measured }
    MeasuredEvidence { windows, opened }
    MeasuredWindow { logprobs, sketches, hidden }
    OpenedWindow { window, hidden }
    Sketch { scale, values }
    KindCount { positions, flips }
    ClippedSum { count, sum_ppm, bets }
    DrawCount { positions, outside, bets }
    ForeignBounds { drift, margin_micro, outside }
    ReplayStatistics { kinds, bad, logprobs, sketches, surprisal_micro, variance_micro, draws }
    Calibration {
        corpus, positions, flips, alternatives, bad_margin_micro, bad, bad_correlation, logprob_clip_micro, logprob_mean,
        sketch_clip_micro, sketch_mean, sketch_gross_micro
    }
    SegmentEvidence { segment, vrf_proof, leaves, jobs }
    MerklePath { index, count, siblings }
    Header {
        chain, height, timestamp_ms, parent, state_root, receipts_root, body_root, epoch, view, parent_view, proposer,
        operations_root, operations_start, operations_end,
    }
    Certificate { epoch, view, parent_view, signature }
    SeedSignature { view, signature }
    NetworkKey { chain, group }
    ModelProfile { name, task, weights_root, tokenizer_hash, template_hash, engine, sampler_version, eos_tokens }
    Price { prompt_token, completion_token }
    OfferTerms { slots, price, context_tokens, batches }
    TaskTerms {
        kind, mode, tier, profile, price_max, jobs_max, tokens_max, slots, context_tokens, open_ms, lease_ms,
    }
    SegmentTerms { lease, index, totals, root }
    SegmentCommitment { terms, worker_signature, gateway_signature }
    JobProof { terms, worker_signature, leaf, path }
    SignedTotals { terms, gateway_signature }
    RequestProof { terms, gateway_signature, leaf, path }
    PlantedJob { leaf, path }
    SegmentOpening { segment, proof, planted }
    ConsensusVote { epoch, view, subject, signature }
    Planting { proof, position, leaf }
    Accelerator { name, memory_mib }
    CapabilityReport { tier, cpu, features, cores, memory_mib, accelerators }
    ParameterChange { name, value }
    ProposalTerms { title, description, action }
    VoteTally { yes, no, abstain, veto }
    Transaction { chain, sender, nonce, body }
    SignedTransaction { transaction, signature }
    SlashedNode { slash, node, role, operator, rule, segment, job, amount, releases_at_ms, disqualified }
    SegmentOutcome {
        segment, lease, worker, gateway, profile, root, totals, price, fee, approvers, replayed, planted, to_worker,
        to_each_approver, settled,
    }
    Receipt { job, job_path, outcome, outcome_path, headers, certificate }
    SessionHello { worker, worker_nonce, worker_key, gateway, gateway_nonce, gateway_key }
    Sealed { key, encapsulated, ciphertext }
    SealedEvidence { segment, draw, member, sealed }
    SealingKeyProof { key, signature }
    TraceShape { prompt_tokens, output_tokens, layers }
    TraceClaim { segment, draw, job, shape, root }
    SignedTrace { claim, signature }
    RelayFetch { key, signature }
    RelayedRequest { request, payload }
    Parameters {
        fee_base, fee_per_byte, operator_bond_min, worker_stake_min, validator_stake_min, gateway_bond_min,
        profile_operators_min, reservation_per_block, reservation_min, task_open_max_ms, lease_max_ms,
        lease_drain_ms, starving_ms, draw_delay_views, committee_two_from, committee_three_from, escalation_max,
        court_size, dispute_bond, verdict_ms, verdict_token_ms, verdict_blocks, reveal_ms, reveal_blocks,
        challenge_ms, suspicion_ms, forced_share,
        forced_open_ms, forced_jackpot_max, stall_answer_ms,
        stall_token_ms, stall_certify_ms, stall_relays, epoch_ms, slash_hold_ms, slash_deadline, slash_missed_duty,
        slash_wrong_result, slash_wrong_again, slash_wrong_rejection, slash_rejection_again, slash_statistics,
        foreign_price_share, batch_price_share, foreign_replay_min, slash_provers_share, slash_harmed_share, profile_slash_max, newcomer_jobs, newcomer_tokens, replay_min, record_half_life_ms,
        fee_share_worker, fee_share_committee, fee_share_validators, emission_halving_ms, emission_share_workers,
        emission_fee_max, delegation_min, self_bond_min, unbond_ms, unsettled_max, tier_mid_score, tier_high_score,
        assessment_ms, assessment_items_max, assessment_price, assessment_share, assessment_call_ms,
        proposal_deposit, voting_ms, timelock_ms, quorum, pass_share, veto_share, supermajority, treasury_spend_max,
        queue_work_max, pause_ms, agent_deposit, run_share_host, run_share_creator, run_share_committee, run_spend_ms,
    }
    AgentLimits { steps, tokens, tool_calls, run_ms }
    SpendingPolicy { per_run, per_day, recipients, expires_at_ms }
    AgentTerms { manifest, model, price, limits, policy }
    RunTerms { agent, version, input, open_ms }
    AgentSpend { run, segment, step, step_path, order, call_path }
    RunFile { name, bytes }
    RunInput { manifest, task, files }
    RunTool { name, description, parameters }
    FoldInput { network, files }
    TraceRoot { before, length, values, root }
    ChallengeTerms { segment, leaf, path }
    ModelRise { sibling, is_left }
    OpenedPiece { node, part, piece, bytes, rises }
    OpenedChunk { chunk, values, path }
    Refutation { outline, claim }
    Committed { kind, parts, root }
    TrainingInput { spec, data, vectors, at }
    ProvingInput { job, tensors, seed, hides }
    IntervalStart { index, root, before, state }
    TrainedStep { loss_bits, state }
    TrainedInterval { steps, state }
    RunTranscript { tools, calls, answer }
    ModelOutput { salt, tokens, text }
    ModelAnswer { leaf, output }
    RunSecret { name, value }
    Shaping { stop, bias, presence_penalty_micro, frequency_penalty_micro, grammar, likeliest }
    GenesisNode { node, operator, stake, url }
    Genesis { name, timestamp_ms, group, sharing, parameters, accounts, operators, validators }
}

macro_rules! sample_enums {
    ($($name:ident { $($variant:ident { $($field:tt),* $(,)? })+ })+) => {$(
        impl Sample for $name {
            fn sample(g: &mut Gen) -> Self {
                let variants: &[fn(&mut Gen) -> Self] = &[$(|_g| Self::$variant { $($field: _g.next()),* }),+];
                let index = g.below(u64::try_from(variants.len()).unwrap());
                variants[usize::try_from(index).unwrap()](g)
            }
        }
    )+};
}

sample_enums! {
    JobInput { Chat { messages, shaping } Embed { texts, tokens } Score { continuations, likeliest } Complete { prompt, shaping } Run { 0 } Fold { 0 } Train { 0 } Classify { 0 } Prove { 0 } }
    ClassifierInputs { Texts { 0 } Tensors { 0 } }
    ClassifierReads { Texts {} Tensors { elements, least, most } }
    JobAnswer { Text { tokens, text, scores } Embeddings { 0 } Scores { 0 } Run { 0 } Board { 0 } Intervals { 0 } Logits { 0 } Proof { 0 } }
    CallRecord { Model { leaf, salt, output } Tool { name, arguments, response, failed, salt } Spend { order } }
    ModelTask { Chat {} Embed { width } Host {} Fold {} Train {} Classify { reads, classes } Prove {} ProvePrivate { openings } }
    Recipients { Nobody {} Listed { 0 } Anybody {} }
    SpendOrder { Pay { to, amount } Hire { run } }
    RunCall { Model { leaf } Tool { request, response } Spend { order } }
    FinishReason { EndOfText {} StopString {} Length {} Cancelled {} }
    EngineClass { Canonical { build, tier } Tolerance { verifier, calibration } Foreign { verifier, bounds } }
    Tier { Low {} Mid {} High {} }
    TaskKind { Inference {} Benchmark {} Agent {} Validation {} Training {} Leaderboard {} Batch {} }
    VerificationMode { Exact {} Sampled {} Replicated {} Zk {} }
    VoteChoice { Yes {} No {} Abstain {} Veto {} }
    ProposalOutcome { Passed {} NoQuorum {} Failed {} Vetoed {} Executed {} Void {} }
    ProposalAction {
        ChangeParameters { changes }
        SpendTreasury { to, amount }
        ApproveProfile { profile }
        DelistProfile { profile }
        Restitute { slash }
        RemoveValidator { validator }
        Upgrade { height, version }
        Text {}
    }
    NodeRole { Worker { vrf } Validator { url } Gateway { url } }
    JobFault {
        Leaf {} Prompt {} Text {} Finish {} Token {} Logits {} Windows {} GrossTokens {} GrossSketches {}
        Embedding {} Score {} Run {} ModelCall {} Board {} Interval {} Classification {} Proof {}
    }
    VerdictVote { Valid { effort } Invalid { job, fault } Unavailable {} Measured { effort, statistics } }
    TransactionBody {
        Transfer { to, amount }
        RegisterOperator { bond }
        RegisterNode { role, operator, operator_signature, stake }
        SetUrl { url }
        DeclareProfile { profile }
        SetOffer { profile, terms }
        OpenTask { terms }
        CloseLease { lease }
        CommitSegment { commitment }
        OpenSegments { openings }
        CommitVerdict { segment, commitment }
        SubmitVerdict { segment, vote, salt }
        ReportStall { request }
        CertifyDelivery { stall }
        AnswerStall { stall, result }
        ProveConflict { worker, first, second }
        ProveDoubleSigning { gateway, first, second }
        ProveDoubleRequest { gateway, first, second }
        ProveEquivocation { validator, first, second }
        Bond { node, amount }
        Unbond { node, amount }
        SetCommission { commission }
        OpenAssessment { profile, report }
        OpenDispute { segment }
        Propose { proposal }
        Vote { proposal, choice }
        PublishAgent { name, terms }
        UpdateAgent { agent, terms }
        RetireAgent { agent, stop_spending }
        OpenRun { terms }
        SpendAsAgent { spend }
        OpenChallenge { terms }
        ShowTrace { segment, challenger, shown }
        AskTrace { segment, index }
        RefuteTrace { segment, refutation }
    }
    TraceAsked { Leaves {} Run { item } Span { first, chunks } Chunk { chunk } Sums { at } }
    TraceShown { Leaves { 0 } Run { salt, said, trace } Span { 0 } Chunk { 0 } Sums { 0 } }
    ChallengeEnd { Refuted {} Withheld {} Abandoned {} Moot {} }
    RefutedClaim { Length {} Tile { tile, chunks, pieces } Input { at, opened } Output { opened, chunks } }
    CommittedKind { Whole {} Tensors {} Tokens {} Logits {} Vectors {} }
    InputPart { Tensor { 0 } Tokens { text, tokens } }
    OpenedInput { Aside { 0 } Part { salt, part, path } }
    OpenedOutput { Aside { 0 } Part { kind, salt, said, path } }
    LeaseEnd { Exhausted {} Expired {} ClosedByGateway {} ClosedByWorker {} Fault {} Undecided {} }
    RejectReason { ProvenWrong { job, fault } Unresolved {} Unavailable {} Unopened {} Statistics {} RunOver {} }
    SlashRule {
        DeadlineMissed {} WrongResult {} ConflictingResults {} WrongApproval {} WrongRejection {} MissedDuty {}
        DoubleSigning {} Equivocation {} ForgedProof {} EvidenceWithheld {} DoubleRequest {} Statistics {}
        FalseReplay {}
    }
    Suspicion { None {} Suspect {} Convicted {} }
    ForcedKind { Wrong {} Right {} }
    SealPurpose {
        WorkerMessages { session }
        GatewayMessages { session }
        Evidence { segment, draw, member }
        Lodged { stall, relay }
        Fetched { stall, worker }
    }
    VoteSubject { Notarize { parent_view, block } Nullify {} Finalize { parent_view, block } }
    Event {
        NodeRegistered { node, role, operator }
        UrlChanged { node, url }
        ProfileDeclared { profile, validator }
        TaskOpened { task, requester, profile }
        TaskExpired { task, requester }
        LeaseGranted { lease, task, worker, gateway, terms, price, beacon, expires_at_ms }
        LeaseEnded { lease, worker, gateway, end }
        LeaseClosed { lease, worker, gateway, refund }
        SegmentCommitted { segment, lease, totals }
        CommitteeDrawn { segment, worker, profile, members, seed, replay, planted, due_at_ms }
        RevealsOpened { segment, due_at_ms }
        VerdictGiven { segment, validator, vote }
        OpeningAsked { segment, worker, until_ms }
        ForcedErrorOpened { segment, worker, job, kind, caught, jackpot }
        SegmentApproved { 0 }
        SegmentRejected { segment, lease, worker, gateway, reason }
        StallReported { stall, lease, worker, request, relays }
        StallCertified { stall, worker, relays, due_at_ms }
        StallAnswered { stall, gateway }
        Slashed { 0 }
        TransactionFailed { transaction, reason }
        SlashReleased { slash, node, rule, burned, to_each_prover, to_harmed }
        SlashOverturned { slash, node, amount }
        ProfilePaused { profile }
        Bonded { node, account, amount }
        Unbonding { unbonding, node, account, amount, matures_at_ms }
        Unbonded { unbonding, node, account, amount }
        Rewarded { node, epoch, fees, emission }
        CapabilityMeasured { worker, profile, score, tier }
        AssessmentCalled { worker, due_at_ms }
        TierLost { worker }
        DisputeOpened { segment, challenger, bond }
        DisputeClosed { segment, challenger, upheld, returned }
        ProposalOpened { proposal, proposer, closes_at_ms }
        Voted { proposal, voter, choice }
        ProposalClosed { proposal, outcome, tally }
        SuspicionChanged { worker, profile, suspicion, judged }
        AgentPublished { agent, creator, name, manifest, price }
        AgentUpdated { agent, version, manifest, price, widens_at_ms }
        AgentRetired { agent, stop_spending }
        AgentClosed { agent, creator, returned }
        RunOpened { run, task, agent, version, payer, input, escrow }
        RunPaid {
            run, segment, agent, host, creator, payer, fee, to_host, to_payer, to_creator, to_each_approver, to_treasury,
        }
        AgentSpent { run, agent, citation, to, amount, hired }
        ChallengeOpened { segment, challenger, worker, job, bond }
        TraceAsked { segment, challenger, worker, job, item, asked, due_at_ms }
        TraceShown { segment, challenger, shown, due_at_ms }
        ChallengeClosed { segment, challenger, end, returned }
    }
    WorkerMessage {
        Hello { worker, nonce, key }
        Prove { encapsulated, signature }
        LeaseReady { lease, vrf_proof, sequence_from }
        Delta { job, tokens, text, scores }
        Embeddings { job, embeddings }
        Scores { job, scores }
        Finished { job, result, output_salt }
        CallModel { step, call, payload, sampling, tokens_max }
        CalledTool { step, tool, took_ms, failed }
        Transcript { step, transcript }
        Refused { job, reason }
        Segment { terms, jobs, signature, planted }
        Board { job, board }
        Logits { job, logits }
        Trained { job, interval }
        Proof { job, proof }
    }
    GatewayMessage {
        Hello { gateway, nonce, key, encapsulated, signature }
        Welcome {}
        Job { request, payload }
        Secrets { step, secrets }
        ModelCalled { step, call, outcome }
        Cancel { job }
        SegmentSigned { lease, index, signature }
        SegmentRefused { lease, index, undelivered, reason }
    }
}

/// Calls a macro with every type that is sent, stored or hashed.
macro_rules! for_each_type {
    ($visit:ident) => {
        $visit!(
            Amount,
            Ppm,
            Digest,
            ChainId,
            TransactionId,
            TaskId,
            LeaseId,
            SegmentId,
            ProfileId,
            JobId,
            StallId,
            PublicKey,
            Signature,
            GroupKey,
            VrfPublicKey,
            VrfProof,
            SealingKey,
            SealPurpose,
            Sealed,
            SealedEvidence,
            SealingKeyProof,
            TraceShape,
            TraceClaim,
            SignedTrace,
            ChatMessage,
            SamplingParams,
            Usage,
            FinishReason,
            JobRequest,
            JobInput,
            JobPayload,
            Embedding,
            ClassifierInputs,
            Logits,
            Continuation,
            TokenScore,
            JobAnswer,
            JobOutput,
            Committed,
            InputPart,
            OpenedInput,
            OpenedOutput,
            JobOpening,
            JobResult,
            JobLeaf,
            JobTotals,
            JobEvidence,
            MeasuredEvidence,
            MeasuredWindow,
            OpenedWindow,
            ReplayStatistics,
            DrawCount,
            ForeignBounds,
            Calibration,
            SegmentEvidence,
            MerklePath,
            Header,
            Certificate,
            SeedSignature,
            NetworkKey,
            EngineClass,
            ModelTask,
            ModelProfile,
            Price,
            NodeRole,
            OfferTerms,
            TaskKind,
            VerificationMode,
            TaskTerms,
            Tier,
            Accelerator,
            CapabilityReport,
            ParameterChange,
            ProposalAction,
            ProposalTerms,
            ProposalOutcome,
            VoteChoice,
            VoteTally,
            SignedTotals,
            SegmentTerms,
            SegmentCommitment,
            PlantedJob,
            SegmentOpening,
            ForcedKind,
            Planting,
            VoteSubject,
            ConsensusVote,
            JobFault,
            VerdictVote,
            JobProof,
            RequestProof,
            TransactionBody,
            Transaction,
            SignedTransaction,
            LeaseEnd,
            RejectReason,
            SlashRule,
            Suspicion,
            SlashedNode,
            SegmentOutcome,
            Event,
            Receipt,
            SessionHello,
            WorkerMessage,
            GatewayMessage,
            RelayFetch,
            RelayedRequest,
            Parameters,
            AgentId,
            Recipients,
            AgentTerms,
            RunTerms,
            SpendOrder,
            RunCall,
            RunInput,
            RunTool,
            FoldInput,
            TraceRoot,
            ChallengeTerms,
            TraceAsked,
            TraceShown,
            ChallengeEnd,
            Refutation,
            ProvingInput,
            TrainingInput,
            TrainedInterval,
            CallRecord,
            ModelOutput,
            RunTranscript,
            ModelAnswer,
            AgentSpend,
            GenesisNode,
            Genesis
        );
    };
}
pub(super) use for_each_type;
