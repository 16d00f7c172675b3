//! Finished runs with receipts that hold, for tests of whoever folds boards: the key that certifies them is the test's own.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "tests alone have it: what does not hold shall end them"
)]

use crate::{
    Answer, Item, ItemRecord, Line, ReceiptRecord, Results, RunHead, Suite, Target, Template, builtin, score_item,
    summarise,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::bls12381::primitives::{group::Private, ops, variant::MinSig};
use inferium_types::{
    Amount, Certificate, ChainId, ChatMessage, Digest, Event, FinishReason, GroupKey, Header, JobId, JobLeaf,
    JobOpening, JobOutput, JobPayload, JobRequest, JobResult, JobTotals, LeaseId, NetworkKey, Ppm, Price, ProfileId,
    PublicKey, Receipt, SamplingParams, SegmentId, SegmentOutcome, Usage, encode, merkle_path, merkle_root,
};

const PRICE: Price = Price { prompt_token: Amount::from_nano(5), completion_token: Amount::from_nano(6) };

/// Of an answer to an item of `arithmetic`.
const TOKENS_MAX: u32 = 24;

fn secret() -> Private {
    Private::decode(Copying(&[7u8; 32][..])).unwrap()
}

/// The key that receipts of [`final_run`] hold under.
#[must_use]
pub fn network() -> NetworkKey {
    let mut group = [0; 96];
    group.copy_from_slice(&ops::compute_public::<MinSig>(&secret()).encode());
    NetworkKey { chain: ChainId::new(Digest::sha256(b"chain")), group: GroupKey::from_bytes(group) }
}

/// The profile that a model of [`final_run`] has.
#[must_use]
pub fn profile(model: &str) -> ProfileId {
    ProfileId::new(Digest::sha256(model.as_bytes()))
}

fn leaf(lease: LeaseId, name: &str, opening: &JobOpening) -> JobLeaf {
    let request = JobRequest {
        job: JobId::new(Digest::sha256(name.as_bytes())),
        lease,
        sequence: 0,
        attempt: 0,
        input_commitment: opening.payload.commitment(),
        prompt_tokens: 3,
        tokens_max: TOKENS_MAX,
        sampling: SamplingParams::GREEDY,
        client_seed: None,
    };
    let result = JobResult {
        request: request.digest(),
        output_commitment: opening.output.commitment(),
        evidence_root: Digest::sha256(b"evidence"),
        usage: Usage { prompt_tokens: 3, completion_tokens: 4 },
        finish: FinishReason::EndOfText,
    };
    JobLeaf { request, result }
}

/// What a chat suite asks of this item, answered by `text`.
#[must_use]
pub fn opening(suite: &Suite, item: &Item, text: &str) -> JobOpening {
    let (system, stop) = match suite.template() {
        Template::Chat { system, stop, .. } => (system.clone(), stop.clone()),
        Template::Completion { .. } | Template::Embedding {} => (None, Vec::new()),
    };
    let message = |role: &str, content: String| ChatMessage { role: role.to_owned(), content };
    let mut messages: Vec<ChatMessage> = system.into_iter().map(|system| message("system", system)).collect();
    messages.push(message("user", suite.prompt(item)));
    JobOpening {
        payload: JobPayload::chat([8; 32], messages, stop),
        output: JobOutput::text([9; 32], vec![1, 2, 3, 4], text.to_owned()),
    }
}

/// Receipts of these jobs, which are one segment.
fn receipts(lease: LeaseId, leaves: &[JobLeaf], profile: ProfileId) -> Vec<Receipt> {
    let key = network();
    let hashes: Vec<Digest> = leaves.iter().map(JobLeaf::hash).collect();
    let totals = JobTotals::of(leaves).unwrap();
    let outcome = SegmentOutcome {
        segment: SegmentId::of_lease(lease, 0),
        lease,
        worker: PublicKey::from_bytes([1; 32]),
        gateway: PublicKey::from_bytes([2; 32]),
        profile,
        root: merkle_root(&hashes),
        totals,
        price: PRICE,
        fee: totals.fee(&PRICE).unwrap(),
        approvers: vec![PublicKey::from_bytes([3; 32])],
        replayed: Ppm::ONE,
        planted: None,
        to_worker: Amount::ZERO,
        to_each_approver: Amount::ZERO,
        settled: false,
    };
    let event = Event::SegmentApproved(outcome.clone());
    let header = Header {
        chain: key.chain,
        height: 9,
        timestamp_ms: 1_234,
        parent: Digest::ZERO,
        state_root: Digest::ZERO,
        receipts_root: Event::root(std::slice::from_ref(&event)),
        body_root: Digest::ZERO,
        epoch: 0,
        view: 11,
        parent_view: 10,
        proposer: PublicKey::from_bytes([3; 32]),
        operations_root: Digest::ZERO,
        operations_start: 0,
        operations_end: 0,
    };
    let message = [&[0u8, 11, 10], header.digest().as_bytes().as_slice()].concat();
    let namespace = [key.consensus_namespace().as_slice(), b"_FINALIZE"].concat();
    let mut signature = [0; 48];
    signature.copy_from_slice(&ops::sign_message::<MinSig>(&secret(), &namespace, &message).encode());
    let certificate = Certificate { epoch: 0, view: 11, parent_view: 10, signature };
    let receipt = |(index, job): (usize, &JobLeaf)| Receipt {
        job: job.clone(),
        job_path: merkle_path(&hashes, index).unwrap(),
        outcome: outcome.clone(),
        outcome_path: merkle_path(&[event.hash()], 0).unwrap(),
        headers: vec![header.clone()],
        certificate,
    };
    leaves.iter().enumerate().map(receipt).collect()
}

/// A whole run of the suite `arithmetic` by a model that is wrong at every `wrong`th item, each item with its receipt. Runs of
/// other models or seeds have other jobs.
#[must_use]
pub fn final_run(model: &str, seed: u64, wrong: usize) -> Results {
    let suite = builtin("arithmetic").unwrap().unwrap();
    let head = RunHead {
        version: 1,
        suite: suite.name().to_owned(),
        suite_id: suite.id().to_string(),
        model: model.to_owned(),
        weights_root: Some(Digest::sha256(model.as_bytes()).to_string()),
        model_profile: Some(profile(model).to_string()),
        verification: Some("exact".to_owned()),
        seed,
        items: suite.items().len() as u64,
        command: format!("inferium eval run arithmetic {model} --seed {seed}"),
    };
    let mut results = Results::begin(head);
    let lease = LeaseId::new(Digest::sha256(format!("{model} {seed}").as_bytes()));
    let order = suite.order(seed);
    let said = |place: usize| match &suite.items()[order[place]].target {
        Target::Text(text) if wrong == 0 || !place.is_multiple_of(wrong) => text.clone(),
        _ => "none".to_owned(),
    };
    let openings: Vec<JobOpening> =
        (0..order.len()).map(|place| opening(&suite, &suite.items()[order[place]], &said(place))).collect();
    let leaves: Vec<JobLeaf> = openings
        .iter()
        .enumerate()
        .map(|(place, opening)| leaf(lease, &format!("{model} {seed} {place}"), opening))
        .collect();
    let proofs = receipts(lease, &leaves, profile(model));
    for (place, index) in order.iter().enumerate() {
        let item = &suite.items()[*index];
        let answer = Answer::Text { text: said(place) };
        let leaf = &leaves[place];
        let usage = leaf.result.usage;
        let job = leaf.request.job.to_string();
        results.items.push(ItemRecord {
            id: item.id.clone(),
            scores_ppm: score_item(&suite, item, &answer).unwrap(),
            answer,
            jobs: vec![job.clone()],
            openings: vec![STANDARD.encode(encode(&openings[place]))],
            prompt_tokens: usage.prompt_tokens.into(),
            completion_tokens: usage.completion_tokens.into(),
            cost_nano: PRICE.fee(&usage).unwrap().nano(),
            milliseconds: 30,
        });
        results.receipts.insert(job, serde_json::json!({ "proof": hex::encode(encode(&proofs[place])) }));
    }
    sealed(results)
}

/// With the summary that these items and receipts come to.
#[must_use]
pub fn sealed(mut results: Results) -> Results {
    let suite = builtin(&results.head.suite).unwrap().unwrap();
    results.summary = Some(summarise(&suite, &results).unwrap());
    results
}

/// The file of a run.
#[must_use]
pub fn file(results: &Results) -> String {
    let mut lines = vec![Line::Run(Box::new(results.head.clone()))];
    lines.extend(results.items.iter().cloned().map(Line::Item));
    let receipt = |(job, document): (&String, &serde_json::Value)| {
        Line::Receipt(ReceiptRecord { job: job.clone(), document: document.clone() })
    };
    lines.extend(results.receipts.iter().map(receipt));
    lines.extend(results.summary.clone().map(Line::Summary));
    lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect()
}
