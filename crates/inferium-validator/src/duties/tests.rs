//! SPEC T6: what no worker would take is relayed to none, since the chain would hold it to the answer.
//! SPEC J2: evidence is taken by the member that it is sealed to, for its draw, and by no other.

use super::{Refused, check_can_be_done, open_evidence};
use crate::check::{InvalidEvidence, SegmentFacts};
use inferium_engine::{
    Comparison, Engine, EngineError, MockEmbedder, MockEmbedderOptions, MockEngine, MockOptions, Model, Unfit,
};
use inferium_seal::{SealError, SealingSecret, seal};
use inferium_types::{
    ChatMessage, Continuation, Digest, EngineClass, FinishReason, ImpossibleJob, JobId, JobLeaf, JobPayload,
    JobRequest, JobResult, JobTotals, LeaseId, NodeId, Ppm, ProfileId, SamplingParams, SealedEvidence, SecretKey,
    SegmentEvidence, SegmentTerms, TaskKind, Usage, VrfSecretKey, encode, limits, merkle_root, vrf_input,
    wire::RelayedRequest,
};
use std::sync::Arc;

const CONTEXT: u32 = 256;

fn engine() -> MockEngine {
    MockEngine::new(MockOptions::default())
}

fn relayed() -> RelayedRequest {
    let messages = vec![ChatMessage { role: "user".into(), content: "are you there?".into() }];
    let prompt = engine().render_chat(&messages).unwrap();
    let payload = JobPayload::chat([1; 32], messages, vec!["stop".into()]);
    let request = JobRequest {
        job: JobId::new(Digest::ZERO),
        lease: LeaseId::new(Digest::ZERO),
        sequence: 0,
        attempt: 0,
        input_commitment: payload.commitment(),
        prompt_tokens: u32::try_from(prompt.len()).unwrap(),
        tokens_max: 10,
        sampling: SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 },
        client_seed: None,
    };
    RelayedRequest { request, payload }
}

fn refusal(change: impl FnOnce(&mut RelayedRequest)) -> Option<Refused> {
    let mut relayed = relayed();
    change(&mut relayed);
    check_can_be_done(&relayed, (CONTEXT, Comparison::Equal), &Model::Chat(Arc::new(engine()))).err()
}

fn impossible(change: impl FnOnce(&mut RelayedRequest)) -> ImpossibleJob {
    match refusal(change) {
        Some(Refused::Impossible(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_that_a_worker_takes_is_relayed() {
    assert!(refusal(|_| {}).is_none());
    let room = CONTEXT - relayed().request.prompt_tokens;
    assert!(refusal(|relayed| relayed.request.tokens_max = room).is_none());
}

#[test]
fn a_request_that_every_worker_refuses_is_not() {
    assert_eq!(impossible(|relayed| relayed.request.tokens_max = 0), ImpossibleJob::NoTokens);
    let room = CONTEXT - relayed().request.prompt_tokens;
    let reason = impossible(|relayed| relayed.request.tokens_max = room + 1);
    assert_eq!(reason, ImpossibleJob::Context { tokens: u64::from(CONTEXT) + 1, context_tokens: CONTEXT });
    let reason = impossible(|relayed| relayed.request.sequence = limits::SEQUENCE_MAX + 1);
    assert_eq!(reason, ImpossibleJob::Sequence);
    assert_eq!(
        impossible(|relayed| relayed.payload = JobPayload::chat([1; 32], Vec::new(), vec![String::new()])),
        ImpossibleJob::StopString { size: 0 }
    );
    let size = limits::STOP_STRING_SIZE_MAX + 1;
    let reason = impossible(|relayed| relayed.payload = JobPayload::chat([1; 32], Vec::new(), vec!["x".repeat(size)]));
    assert_eq!(reason, ImpossibleJob::StopString { size });
}

#[test]
fn a_prompt_of_another_length_is_not_the_requests() {
    let claimed = relayed().request.prompt_tokens + 1;
    match refusal(|relayed| relayed.request.prompt_tokens = claimed) {
        Some(Refused::PromptTokens { found, claimed: named }) => {
            assert_eq!((u32::try_from(found), named), (Ok(claimed - 1), claimed));
        }
        other => panic!("{other:?}"),
    }
}

/// SPEC J8: of texts the request names the number, and only a model that embeds takes them.
#[test]
fn texts_are_relayed_in_their_number_to_models_that_embed() {
    let embedder = Model::Embedder(Arc::new(MockEmbedder::new(MockEmbedderOptions::default())));
    let payload = JobPayload::embed([1; 32], vec!["one".into(), "two".into()]);
    let tokens = embedder.read(&payload.input).unwrap().tokens();
    let refusal = |tokens_max, model: &Model| {
        let prompt_tokens = u32::try_from(tokens).unwrap();
        let request = JobRequest { tokens_max, prompt_tokens, ..relayed().request };
        let relayed = RelayedRequest { request, payload: payload.clone() };
        check_can_be_done(&relayed, (CONTEXT, Comparison::Equal), model).err()
    };
    assert!(refusal(2, &embedder).is_none());
    assert!(matches!(refusal(1, &embedder), Some(Refused::Parts { found: 2, claimed: 1 })));
    assert!(matches!(refusal(3, &embedder), Some(Refused::Parts { found: 2, claimed: 3 })));
    let chat = Model::Chat(Arc::new(engine()));
    assert!(matches!(refusal(2, &chat), Some(Refused::Prompt(EngineError::Task { does: "chat" }))));
}

/// SPEC J9: scores are compared to the bit, so that no worker within a tolerance is held to any.
#[test]
fn continuations_are_relayed_where_replay_is_equality() {
    let one = Continuation { prompt: vec![1], tokens: vec![2, 3] };
    let payload = JobPayload::score([1; 32], vec![one], 0);
    let model = Model::Chat(Arc::new(engine()));
    let refusal = |mode, tokens_max| {
        let request = JobRequest { tokens_max, prompt_tokens: 3, ..relayed().request };
        check_can_be_done(&RelayedRequest { request, payload: payload.clone() }, (CONTEXT, mode), &model).err()
    };
    assert!(refusal(Comparison::Equal, 1).is_none());
    assert!(matches!(refusal(Comparison::Equal, 2), Some(Refused::Parts { found: 1, claimed: 2 })));
    assert!(matches!(refusal(Comparison::Tolerant, 1), Some(Refused::Unfit(Unfit::Scores))));
}

fn member(byte: u8) -> NodeId {
    SecretKey::from_bytes([byte; 32]).unwrap().public_key()
}

/// A segment of one job that is not replayed.
fn segment() -> (SegmentFacts, SegmentEvidence) {
    let request = relayed().request;
    let result = JobResult {
        request: request.digest(),
        output_commitment: Digest::ZERO,
        evidence_root: Digest::ZERO,
        usage: Usage { prompt_tokens: request.prompt_tokens, completion_tokens: 1 },
        finish: FinishReason::EndOfText,
    };
    let (vrf, lease) = (VrfSecretKey::from_entropy([5; 32]).unwrap(), request.lease);
    let leaves = vec![JobLeaf { request, result }];
    let root = merkle_root(&[leaves[0].hash()]);
    let terms = SegmentTerms { lease, index: 0, totals: JobTotals::of(&leaves).unwrap(), root };
    let vrf_proof = vrf.prove(&vrf_input(&Digest::ZERO, lease));
    let facts = SegmentFacts {
        id: terms.id(),
        terms,
        vrf: vrf.public_key(),
        beacon: Digest::ZERO,
        seed: Digest::sha256(b"draw"),
        replay: Ppm::new(0),
        profile: ProfileId::new(Digest::ZERO),
        kind: TaskKind::Inference,
        known_wrong: None,
        engine: EngineClass::Canonical { build: Digest::ZERO, tier: "all".into() },
        run: None,
    };
    let evidence = SegmentEvidence { segment: facts.id, vrf_proof, leaves, jobs: Vec::new() };
    (facts, evidence)
}

/// What the first member says to evidence that a worker sealed and `change` changed on the way.
fn taken(bytes: &[u8], change: impl FnOnce(&mut SealedEvidence)) -> Result<SegmentEvidence, Refused> {
    let (facts, _) = segment();
    let secret = SealingSecret::generate(&mut rand::rng());
    let mut rng = rand::rng();
    let mut sealed = SealedEvidence {
        segment: facts.id,
        draw: facts.seed,
        member: member(1),
        sealed: seal(secret.public_key(), &evidence_for(member(1)), bytes, &mut rng).unwrap(),
    };
    change(&mut sealed);
    open_evidence(&member(1), &secret, &sealed, |id| (id == facts.id).then_some(facts.clone()))
}

fn evidence_for(member: NodeId) -> inferium_types::SealPurpose {
    let (facts, _) = segment();
    inferium_types::SealPurpose::Evidence { segment: facts.id, draw: facts.seed, member }
}

#[test]
fn evidence_that_is_sealed_to_the_member_is_taken() {
    let (_, evidence) = segment();
    assert_eq!(taken(&encode(&evidence), |_| ()).unwrap(), evidence);
}

#[test]
fn evidence_for_another_member_draw_or_segment_is_refused() {
    let (_, evidence) = segment();
    let bytes = encode(&evidence);
    let refused = |change: fn(&mut SealedEvidence)| taken(&bytes, change).unwrap_err();
    assert!(matches!(refused(|sealed| sealed.member = member(2)), Refused::Recipient { .. }));
    assert!(matches!(refused(|sealed| sealed.draw = Digest::ZERO), Refused::NoDuty));
    let other = |sealed: &mut SealedEvidence| sealed.segment = SegmentTerms { index: 1, ..segment().0.terms }.id();
    assert!(matches!(refused(other), Refused::NoDuty));
    // Sealed for another member, and passed on under this one's name.
    let renamed = |sealed: &mut SealedEvidence| {
        sealed.sealed = seal(sealed.sealed.key, &evidence_for(member(2)), b"evidence", &mut rand::rng()).unwrap();
    };
    assert!(matches!(refused(renamed), Refused::Seal(SealError::NotOpened)));
}

#[test]
fn evidence_that_does_not_open_says_whether_sealing_it_anew_helps() {
    let (_, evidence) = segment();
    let bytes = encode(&evidence);
    let refused = |change: fn(&mut SealedEvidence)| taken(&bytes, change).unwrap_err();
    // To the key of before a restart.
    let old = |sealed: &mut SealedEvidence| {
        sealed.sealed.key = SealingSecret::generate(&mut rand::rng()).public_key();
    };
    assert!(matches!(refused(old), Refused::Seal(SealError::UnknownKey)));
    let changes: [fn(&mut SealedEvidence); 4] = [
        |sealed| sealed.sealed.ciphertext[9] ^= 1,
        |sealed| sealed.sealed.ciphertext.truncate(20),
        |sealed| sealed.sealed.ciphertext.clear(),
        |sealed| sealed.sealed.encapsulated[9] ^= 1,
    ];
    for change in changes {
        assert!(matches!(refused(change), Refused::Seal(SealError::NotOpened)));
    }
}

/// What opens is checked as before: a seal says who may read, not what is true.
#[test]
fn sealed_evidence_is_still_evidence_of_what_the_chain_holds_only() {
    let (_, evidence) = segment();
    let mut trailing = encode(&evidence);
    trailing.push(0);
    assert!(matches!(taken(&trailing, |_| ()).unwrap_err(), Refused::Encoding(_)));
    assert!(matches!(taken(b"", |_| ()).unwrap_err(), Refused::Encoding(_)));
    let mut other = evidence;
    other.leaves[0].result.output_commitment = Digest::sha256(b"other");
    assert!(matches!(taken(&encode(&other), |_| ()).unwrap_err(), Refused::Evidence(InvalidEvidence::Root)));
}
