//! Transactions in words.

use super::key;
use crate::{describe, takes};
use inferium_types::{
    Accelerator, AccountId, AgentId, AgentLimits, AgentSpend, AgentTerms, Amount, CapabilityReport, ChainId,
    ChallengeTerms, ClassifierInputs, Digest, EngineClass, FinishReason, ForeignBounds, JobAnswer, JobFault, JobId,
    JobLeaf, JobOutput, JobPayload, JobProof, JobRequest, JobResult, JobTotals, LeaseId, Logits, MerklePath,
    ModelProfile, ModelTask, NodeRole, OfferTerms, OpenedInput, OpenedOutput, ParameterChange, Ppm, Price, ProfileId,
    ProposalAction, ProposalTerms, Recipients, Refutation, RefutedClaim, RequestProof, RunTerms, SamplingParams,
    SegmentCommitment, SegmentId, SegmentTerms, Signature, SignedTotals, SpendOrder, SpendingPolicy, StallId, TaskKind,
    TaskTerms, Tier, TraceRoot, TraceShown, Transaction, TransactionBody, Usage, VerdictVote, VerificationMode,
    VoteChoice, VrfPublicKey,
};

const OTHER: AccountId = AccountId::from_bytes([0xab; 32]);
const FEE: Amount = Amount::from_nano(12_340);

fn digest(text: &str) -> Digest {
    Digest::of("test", &[text.as_bytes()])
}

fn transaction(body: TransactionBody) -> Transaction {
    Transaction { chain: ChainId::new(digest("chain")), sender: key().public_key(), nonce: 41, body }
}

fn shown(body: TransactionBody) -> String {
    describe(&transaction(body), FEE).to_string()
}

fn request() -> JobRequest {
    JobRequest {
        job: JobId::new(digest("job")),
        lease: LeaseId::new(digest("lease")),
        sequence: 5,
        attempt: 1,
        input_commitment: digest("input"),
        prompt_tokens: 11,
        tokens_max: 22,
        sampling: SamplingParams { temperature_micro: 1, top_p_ppm: 2, top_k: 3 },
        client_seed: Some(99),
    }
}

fn result() -> JobResult {
    JobResult {
        request: request().digest(),
        output_commitment: digest("output"),
        evidence_root: digest("evidence"),
        usage: Usage { prompt_tokens: 11, completion_tokens: 17 },
        finish: FinishReason::EndOfText,
    }
}

fn terms() -> SegmentTerms {
    SegmentTerms {
        lease: LeaseId::new(digest("lease")),
        index: 6,
        totals: JobTotals { jobs: 7, prompt_tokens: 8, completion_tokens: 9 },
        root: digest("root"),
    }
}

#[test]
fn a_transfer_says_all_that_is_signed() {
    let amount = Amount::from_nano(1_500_000_000);
    let text = shown(TransactionBody::Transfer { to: OTHER, amount });
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "Send 1.5 IFR to another account");
    let expected = [
        ("to", OTHER.to_string()),
        ("amount", "1.5 IFR".into()),
        ("from", key().public_key().to_string()),
        ("fee", "0.00001234 IFR".into()),
        ("nonce", "41".into()),
        ("chain", digest("chain").to_string()),
    ];
    assert_eq!(lines.len(), expected.len() + 1);
    for (line, (name, value)) in lines[1..].iter().zip(expected) {
        assert_eq!(line.split_whitespace().next(), Some(name));
        assert!(line.ends_with(&format!("  {value}")), "{line}");
    }
}

fn offer(profile: ProfileId, terms: OfferTerms) -> TransactionBody {
    TransactionBody::SetOffer { profile, terms }
}

fn a_model() -> ModelProfile {
    ModelProfile {
        name: "a model".into(),
        task: ModelTask::Chat,
        weights_root: digest("weights"),
        tokenizer_hash: digest("tokenizer"),
        template_hash: digest("template"),
        engine: EngineClass::Canonical { build: digest("build"), tier: "avx2".into() },
        sampler_version: 1,
        eos_tokens: vec![1, 2],
    }
}

#[test]
fn every_kind_of_transaction_has_its_words() {
    let proof = JobProof {
        terms: terms(),
        worker_signature: Signature::from_bytes([1; 64]),
        leaf: JobLeaf { request: request(), result: result() },
        path: MerklePath { index: 0, count: 1, siblings: Vec::new() },
    };
    let price = Price { prompt_token: Amount::from_nano(1), completion_token: Amount::from_nano(2) };
    let profile = ProfileId::new(digest("profile"));
    let model = a_model();
    let task = TaskTerms {
        kind: TaskKind::Inference,
        mode: VerificationMode::Exact,
        tier: Tier::Mid,
        profile,
        price_max: price,
        jobs_max: 3,
        tokens_max: 400,
        slots: 2,
        context_tokens: 2_048,
        open_ms: 5_000,
        lease_ms: 60_000,
    };
    let commitment = SegmentCommitment {
        terms: terms(),
        worker_signature: Signature::from_bytes([1; 64]),
        gateway_signature: Signature::from_bytes([2; 64]),
    };
    let offer = |slots| offer(profile, OfferTerms { slots, price, context_tokens: 2_048, batches: slots > 0 });
    let stall = StallId::new(digest("stall"));
    let segment = SegmentId::new(digest("segment"));
    let operator_signature = Signature::from_bytes([3; 64]);
    let stake = Amount::from_ifr(500);
    let vrf = VrfPublicKey::from_bytes([4; 96]);
    let cases: Vec<(TransactionBody, Vec<String>)> = vec![
        (TransactionBody::RegisterOperator { bond: Amount::from_ifr(100) }, vec!["100 IFR".into()]),
        (
            TransactionBody::RegisterNode {
                role: NodeRole::Worker { vrf },
                operator: OTHER,
                operator_signature,
                stake,
            },
            vec!["worker".into(), "500 IFR".into(), OTHER.to_string(), vrf.to_string()],
        ),
        (
            TransactionBody::RegisterNode {
                role: NodeRole::Gateway { url: "http://g".into() },
                operator: OTHER,
                operator_signature,
                stake,
            },
            vec!["gateway".into(), "http://g".into()],
        ),
        (TransactionBody::SetUrl { url: "http://new".into() }, vec!["http://new".into()]),
        (
            TransactionBody::DeclareProfile { profile: model.clone() },
            vec![model.id().to_string(), "a model".into(), digest("weights").to_string(), "[1, 2]".into()],
        ),
        (
            offer(4),
            vec![
                profile.to_string(),
                "0.000000001 IFR a prompt token".into(),
                "2048 tokens".into(),
                "their part".into(),
            ],
        ),
        (offer(0), vec!["Withdraw".into()]),
        (TransactionBody::OpenTask { terms: task }, vec![profile.to_string(), "400".into(), "60000 ms".into()]),
        (TransactionBody::CloseLease { lease: terms().lease }, vec![terms().lease.to_string()]),
        (TransactionBody::CommitSegment { commitment }, vec!["7 finished jobs".into(), terms().root.to_string()]),
        (TransactionBody::ReportStall { request: request() }, vec![request().job.to_string(), "99".into()]),
        (TransactionBody::CertifyDelivery { stall }, vec![stall.to_string()]),
        (TransactionBody::AnswerStall { stall, result: result() }, vec![stall.to_string(), "17 tokens".into()]),
        (
            TransactionBody::ProveConflict { worker: OTHER, first: proof.clone(), second: proof },
            vec![OTHER.to_string(), "first".into(), "second".into(), request().job.to_string()],
        ),
    ];
    let cases = cases
        .into_iter()
        .chain(verdicts(segment))
        .chain(economy(profile, segment))
        .chain(proposals(&model))
        .chain(agents())
        .chain(challenges(segment));
    for (body, facts) in cases {
        let text = shown(body);
        for fact in facts {
            assert!(text.contains(&fact), "{fact} is missing in:\n{text}");
        }
        for common in [key().public_key().to_string(), FEE.to_string(), digest("chain").to_string()] {
            assert!(text.contains(&common), "{common} is missing in:\n{text}");
        }
    }
}

#[test]
fn a_foreign_profile_says_its_bounds() {
    let profile = ModelProfile {
        name: "a model".into(),
        task: ModelTask::Chat,
        weights_root: digest("weights"),
        tokenizer_hash: digest("tokenizer"),
        template_hash: digest("template"),
        engine: EngineClass::Foreign { verifier: digest("build"), bounds: ForeignBounds::USUAL },
        sampler_version: 1,
        eos_tokens: vec![1],
    };
    let text = shown(TransactionBody::DeclareProfile { profile });
    for fact in ["foreign, verified by build", "50000 ppm", "10000 ppm", "1000000 millionths"] {
        assert!(text.contains(fact), "{fact} is missing in:\n{text}");
    }
}

/// Bound, open, and shown.
fn verdicts(segment: SegmentId) -> Vec<(TransactionBody, Vec<String>)> {
    let invalid = VerdictVote::Invalid { job: 4, fault: JobFault::Token };
    let (commitment, salt) = (digest("commitment"), digest("salt"));
    let submit = |vote, salt| TransactionBody::SubmitVerdict { segment, vote, salt };
    vec![
        (
            TransactionBody::CommitVerdict { segment, commitment },
            vec![segment.to_string(), commitment.to_string(), "Commit to a verdict".into()],
        ),
        (submit(invalid, None), vec!["invalid: job 4".into(), segment.to_string()]),
        (submit(VerdictVote::Unavailable, Some(salt)), vec!["no usable evidence".into(), salt.to_string()]),
    ]
}

/// What the economy adds: stake, measures, disputes, votes.
fn economy(profile: ProfileId, segment: SegmentId) -> Vec<(TransactionBody, Vec<String>)> {
    let report = CapabilityReport {
        tier: Tier::High,
        cpu: "fast one".into(),
        features: vec!["avx2".into(), "fma".into()],
        cores: 3,
        memory_mib: 5,
        accelerators: vec![Accelerator { name: "card".into(), memory_mib: 9 }],
    };
    let totals = SignedTotals { terms: terms(), gateway_signature: Signature::from_bytes([2; 64]) };
    let asked = RequestProof {
        terms: terms(),
        gateway_signature: Signature::from_bytes([2; 64]),
        leaf: JobLeaf { request: request(), result: result() },
        path: MerklePath { index: 0, count: 1, siblings: Vec::new() },
    };
    vec![
        (
            TransactionBody::ProveDoubleRequest { gateway: OTHER, first: asked.clone(), second: asked },
            vec![OTHER.to_string(), "first".into(), "second".into(), request().digest().to_string()],
        ),
        (
            TransactionBody::ProveDoubleSigning { gateway: OTHER, first: totals, second: totals },
            vec![OTHER.to_string(), "first".into(), "second".into(), terms().root.to_string()],
        ),
        (TransactionBody::Bond { node: OTHER, amount: Amount::from_ifr(7) }, vec![OTHER.to_string(), "7 IFR".into()]),
        (TransactionBody::Unbond { node: OTHER, amount: Amount::from_ifr(8) }, vec![OTHER.to_string(), "8 IFR".into()]),
        (TransactionBody::SetCommission { commission: Ppm::new(52_500) }, vec!["5.2500 %".into()]),
        (
            TransactionBody::OpenAssessment { profile, report },
            vec![profile.to_string(), "fast one".into(), "avx2, fma".into(), "card (9 MiB)".into(), "high".into()],
        ),
        (TransactionBody::OpenDispute { segment }, vec![segment.to_string(), "bond".into()]),
        (TransactionBody::Vote { proposal: 12, choice: VoteChoice::Veto }, vec!["12".into(), "veto".into()]),
    ]
}

/// What is signed about agents.
fn agents() -> Vec<(TransactionBody, Vec<String>)> {
    let limits = AgentLimits { steps: 9, tokens: 88_000, tool_calls: 31, run_ms: 70_500 };
    let policy = SpendingPolicy {
        per_run: Amount::from_ifr(4),
        per_day: Amount::from_ifr(40),
        recipients: Recipients::Listed(vec![OTHER]),
        expires_at_ms: 1_234_567,
    };
    let (manifest, model) = (Digest::sha256(b"manifest"), ProfileId::new(Digest::sha256(b"model")));
    let terms = AgentTerms { manifest, model, price: Amount::from_ifr(6), limits, policy: policy.clone() };
    let facts: Vec<String> = [
        manifest.to_string(),
        model.to_string(),
        "6 IFR".into(),
        "9 steps, 88000 tokens, 31 tool calls, 70500 ms".into(),
        "4 IFR a run, 40 IFR a day, until 1234567 ms".into(),
        OTHER.to_string(),
    ]
    .into();
    let named = |name: &str| [vec![name.to_owned()], facts.clone()].concat();
    let agent = AgentId::of_creator(&OTHER, "helper");
    let input = Digest::sha256(b"input");
    let version = Digest::sha256(b"version");
    let run = RunTerms { agent, version, input, open_ms: 4_321 };
    let opened = vec![agent.to_string(), version.to_string(), input.to_string(), "4321 ms".into()];
    let spend = |order| {
        let path = |index| MerklePath { index, count: 60, siblings: Vec::new() };
        let (run, step) = (LeaseId::new(input), JobLeaf { request: request(), result: result() });
        let spend = AgentSpend { run, segment: 3, step, step_path: path(51), order, call_path: path(52) };
        TransactionBody::SpendAsAgent { spend: Box::new(spend) }
    };
    let cited: Vec<String> = vec![input.to_string(), "segment 3, step 51, call 52".into(), request().job.to_string()];
    let nothing = SpendingPolicy { recipients: Recipients::Nobody, ..policy };
    let nothing = AgentTerms { policy: nothing, ..terms };
    let anybody = SpendingPolicy { recipients: Recipients::Anybody, expires_at_ms: u64::MAX, ..policy };
    let anybody = AgentTerms { policy: anybody, ..terms };
    vec![
        (TransactionBody::PublishAgent { name: "helper".into(), terms: terms.clone() }, named("helper")),
        (TransactionBody::UpdateAgent { agent, terms }, named(&agent.to_string())),
        (TransactionBody::UpdateAgent { agent, terms: nothing }, vec![agent.to_string(), "nothing".into()]),
        (TransactionBody::UpdateAgent { agent, terms: anybody }, vec!["anybody".into(), "for ever".into()]),
        (
            TransactionBody::RetireAgent { agent, stop_spending: false },
            vec![agent.to_string(), "as its policy says".into()],
        ),
        (TransactionBody::RetireAgent { agent, stop_spending: true }, vec!["money".into(), "nothing any more".into()]),
        (TransactionBody::OpenRun { terms: run }, opened.clone()),
        (
            spend(SpendOrder::Pay { to: OTHER, amount: Amount::from_ifr(2) }),
            [cited.clone(), vec![OTHER.to_string(), "2 IFR".into()]].concat(),
        ),
        (spend(SpendOrder::Hire { run }), [cited, opened].concat()),
    ]
}

/// What is shown is counted: nobody reads hashes and values.
fn challenges(segment: SegmentId) -> Vec<(TransactionBody, Vec<String>)> {
    let of = |more: &[&str]| std::iter::once(segment.to_string()).chain(more.iter().map(|&text| text.into())).collect();
    let path = MerklePath { index: 17, count: 60, siblings: Vec::new() };
    let terms = ChallengeTerms { segment, leaf: JobLeaf { request: request(), result: result() }, path };
    let show = |shown| TransactionBody::ShowTrace { segment, challenger: OTHER, shown };
    let refute = |claim| {
        let refutation = Box::new(Refutation { outline: Vec::new(), claim });
        TransactionBody::RefuteTrace { segment, refutation }
    };
    let trace = TraceRoot { before: Digest::ZERO, length: 12, values: 4_242, root: digest("root") };
    let run = TraceShown::Run { salt: digest("salt"), said: digest("said"), trace };
    let answer = JobAnswer::Logits(vec![Logits::new(vec![1, 2]); 2]);
    let output = JobOutput { salt: [1; 32], answer };
    let payload = JobPayload::classify([1; 32], ClassifierInputs::Tensors(vec![vec![1; 4]; 3]));
    let input = |at, opened| refute(RefutedClaim::Input { at, opened });
    let answer = |opened| refute(RefutedClaim::Output { opened, chunks: Vec::new() });
    vec![
        (TransactionBody::OpenChallenge { terms: Box::new(terms) }, of(&["bond", "17", &request().job.to_string()])),
        (TransactionBody::AskTrace { segment, index: 4_711 }, of(&["challenged", "4711"])),
        (show(TraceShown::Leaves(vec![Digest::ZERO; 9])), of(&["9 leaves", &OTHER.to_string()])),
        (show(run), of(&["4242 values", &digest("root").to_string()])),
        (show(TraceShown::Span(vec![Digest::ZERO; 7])), of(&["7 hashes"])),
        (show(TraceShown::Chunk(vec![1; 256])), of(&["256 values", "by everyone"])),
        (show(TraceShown::Sums(vec![1; 13])), of(&["13 partial sums", "by everyone"])),
        (refute(RefutedClaim::Length), of(&["number of values"])),
        (refute(RefutedClaim::Tile { tile: 77, chunks: Vec::new(), pieces: Vec::new() }), of(&["tile 77"])),
        (input(55, payload.open_part(1).unwrap()), of(&["value 55", "one input"])),
        (input(0, OpenedInput::Aside(payload.committed())), of(&["3 tensors", "none"])),
        (answer(output.open_part(1).unwrap()), of(&["answer", "by everyone"])),
        (answer(OpenedOutput::Aside(output.committed())), of(&["2 lists of numbers", "none"])),
    ]
}

/// Every kind of proposal, with what a signer must read.
fn proposals(model: &ModelProfile) -> Vec<(TransactionBody, Vec<String>)> {
    let changes = vec![ParameterChange { name: "epoch_ms".into(), value: 77 }];
    let actions = [
        (ProposalAction::ChangeParameters { changes }, "epoch_ms = 77".to_owned()),
        (ProposalAction::SpendTreasury { to: OTHER, amount: Amount::from_ifr(3) }, "3 IFR".into()),
        (ProposalAction::ApproveProfile { profile: model.clone() }, model.id().to_string()),
        (ProposalAction::DelistProfile { profile: model.id() }, model.id().to_string()),
        (ProposalAction::Restitute { slash: 41 }, "41".into()),
        (ProposalAction::RemoveValidator { validator: OTHER }, OTHER.to_string()),
        (ProposalAction::Upgrade { height: 990, version: 2 }, "990".into()),
        (ProposalAction::Text, "text".into()),
    ];
    let body = |action| {
        let proposal = ProposalTerms { title: "a title".into(), description: "its reason".into(), action };
        TransactionBody::Propose { proposal }
    };
    let facts = |fact| vec!["a title".into(), "its reason".into(), "deposit".into(), fact];
    actions.into_iter().map(|(action, fact)| (body(action), facts(fact))).collect()
}

#[test]
fn a_strangers_text_can_forge_no_line() {
    let text = shown(TransactionBody::SetUrl { url: "http://a\n  fee  0 IFR\u{1b}[2K\u{202e}x".into() });
    assert_eq!(text.lines().count(), 6);
    assert!(text.chars().all(|c| c == '\n' || c.is_ascii_graphic() || c == ' '), "{text:?}");
}

#[test]
fn what_leaves_the_balance_is_known_where_the_body_says_it() {
    let amount = Amount::from_ifr(3);
    assert_eq!(takes(&TransactionBody::Transfer { to: OTHER, amount }), amount);
    assert_eq!(takes(&TransactionBody::RegisterOperator { bond: amount }), amount);
    assert_eq!(takes(&TransactionBody::SetUrl { url: String::new() }), Amount::ZERO);
}
