//! SPEC V8: whose replays are compared, what is believed of them, and how it is said.

use super::ask::Side;
use super::report::{agreed, bisected, in_words, stage_in_words, text_of, token_at};
use super::{Found, Judged, parties, search};
use crate::cli::Failure;
use axum::{Router, extract::Path, http::StatusCode, routing::get};
use inferium_types::{
    Digest, Event, JobFault, JobTotals, LeaseId, MerkleNode, MerkleTree, NodeId, Ppm, ProfileId, SecretKey, SegmentId,
    SignedTrace, TraceCell, TraceClaim, TraceShape, TraceStage, VerdictVote, encode, leaf_hash,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const SHAPE: TraceShape = TraceShape { prompt_tokens: 5, output_tokens: 4, layers: 3 };
const VALID: VerdictVote = VerdictVote::Valid { effort: Digest::ZERO };

const fn wrong(job: u32, fault: JobFault) -> VerdictVote {
    VerdictVote::Invalid { job, fault }
}

fn segment() -> SegmentId {
    SegmentId::new(Digest::sha256(b"segment"))
}

fn node(byte: u8) -> NodeId {
    NodeId::from_bytes([byte; 32])
}

fn committed(segment: SegmentId, jobs: u32) -> Event {
    let totals = JobTotals { jobs, ..JobTotals::default() };
    Event::SegmentCommitted { segment, lease: LeaseId::new(Digest::ZERO), totals }
}

fn drawn(seed: Digest) -> Event {
    let (worker, profile) = (node(9), ProfileId::new(Digest::ZERO));
    let (segment, members, replay) = (segment(), Vec::new(), Ppm::ONE);
    Event::CommitteeDrawn { segment, worker, profile, members, seed, replay, planted: None, due_at_ms: 0 }
}

fn given(byte: u8, vote: VerdictVote) -> Event {
    Event::VerdictGiven { segment: segment(), validator: node(byte), vote }
}

/// A segment of five jobs after these events.
fn judged(events: &[Event]) -> Judged {
    let mut judged = Judged::default();
    for event in [committed(segment(), 5)].iter().chain(events) {
        judged.on_event(segment(), event);
    }
    judged
}

fn refusal<T: std::fmt::Debug>(outcome: Result<T, Failure>) -> String {
    outcome.unwrap_err().to_string()
}

#[test]
fn the_newest_disagreement_is_looked_into_by_who_says_what() {
    let (first, court) = (Digest::sha256(b"first"), Digest::sha256(b"court"));
    let events = [drawn(first), given(1, VALID), given(2, wrong(3, JobFault::Logits)), drawn(first), given(3, VALID)];
    let quarrel = judged(&events).quarrel(segment(), None).unwrap().unwrap();
    assert_eq!((quarrel.seed, quarrel.job), (first, 3));
    let right = vec![(node(1), VALID), (node(3), VALID)];
    assert_eq!(quarrel.parties, [right, vec![(node(2), wrong(3, JobFault::Logits))]]);
    // A court in which all agree is newer, and has nothing to look into.
    let mut later = events.to_vec();
    later.extend([drawn(court), given(1, VALID), given(2, VALID)]);
    assert_eq!(judged(&later).quarrel(segment(), None).unwrap().unwrap().seed, first);
    later.push(given(4, wrong(0, JobFault::Token)));
    let quarrel = judged(&later).quarrel(segment(), Some(0)).unwrap().unwrap();
    assert_eq!((quarrel.seed, quarrel.job), (court, 0));
}

#[test]
fn two_who_find_the_same_job_wrong_for_other_reasons_are_two_sides() {
    let votes = [(1, wrong(2, JobFault::Token)), (2, wrong(2, JobFault::Logits)), (3, wrong(1, JobFault::Leaf))];
    let votes: BTreeMap<NodeId, VerdictVote> = votes.into_iter().map(|(byte, vote)| (node(byte), vote)).collect();
    let [one, other] = parties(&votes, 2);
    assert_eq!((one.len(), other.len()), (1, 1));
    assert_ne!(one[0].1, other[0].1);
}

/// SPEC J8: embeddings have no trace; that members disagree about them is said all the same.
#[test]
fn embeddings_are_not_said_to_be_agreed_on() {
    let seed = Digest::sha256(b"first");
    let votes = [given(1, VALID), given(2, wrong(3, JobFault::Embedding))];
    let disagree = judged(&[drawn(seed), votes[0].clone(), votes[1].clone()]);
    assert!(refusal(disagree.quarrel(segment(), None)).starts_with("verdicts disagree about the embeddings of job 3"));
    let alone = judged(&[drawn(seed), votes[1].clone()]);
    assert_eq!(alone.quarrel(segment(), None).unwrap(), None);
}

#[test]
fn agreement_is_no_failure() {
    let judged = judged(&[drawn(Digest::ZERO), given(1, VALID), given(2, VALID)]);
    assert_eq!(judged.quarrel(segment(), None).unwrap(), None);
    assert_eq!(judged.quarrel(segment(), Some(4)).unwrap(), None);
    let report = agreed(segment(), 2);
    assert_eq!(report["agree"], true);
    assert_eq!(text_of(&report), "nothing to bisect: no replays disagree in the 2 verdicts on this segment");
}

#[test]
fn bad_questions_get_a_clear_answer() {
    let mut other = Judged::default();
    other.on_event(segment(), &committed(SegmentId::new(Digest::ZERO), 1));
    assert!(refusal(other.quarrel(segment(), None)).starts_with("nobody knows a segment "));
    assert_eq!(refusal(judged(&[]).quarrel(segment(), None)), "no verdict about this segment is public yet");
    let events = [drawn(Digest::ZERO), given(1, VALID), given(2, wrong(4, JobFault::Logits))];
    assert!(judged(&events).quarrel(segment(), Some(4)).unwrap().is_some());
    let error = refusal(judged(&events).quarrel(segment(), Some(5)));
    assert_eq!(error, "the segment has 5 jobs, numbered from 0: there is no job 5");
    let error = refusal(judged(&events).quarrel(segment(), Some(3)));
    assert_eq!(error, "no verdicts disagree about job 3; they do about 4");
}

fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes([byte; 32]).unwrap()
}

fn cells() -> Vec<Digest> {
    (0..SHAPE.cells()).map(|index| leaf_hash(&index.to_be_bytes())).collect()
}

/// How a validator answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Honest,
    /// Is busy with something else at first.
    Busy,
    /// Shows other nodes than it signed for, at this height.
    Lying(u32),
    /// Signs with another key.
    Forging,
    /// Answers about another job.
    Elsewhere,
    /// Sends megabytes.
    Endless,
    /// Keeps nothing of it any more.
    Forgetful,
}

/// Serves the trace of these cells as job 0 of the segment.
async fn serve(byte: u8, shape: TraceShape, cells: Vec<Digest>, manner: Manner) -> String {
    let tree = Arc::new(MerkleTree::new(cells));
    let job = u32::from(manner == Manner::Elsewhere);
    let claim = TraceClaim { segment: segment(), draw: Digest::ZERO, job, shape, root: tree.root() };
    let signed = SignedTrace::sign(claim, &key(if manner == Manner::Forging { 99 } else { byte }));
    let asked = Arc::new(AtomicU32::new(0));
    let root = move || async move {
        if manner == Manner::Endless {
            return (StatusCode::OK, vec![0; 1 << 20]);
        }
        if manner == Manner::Forgetful {
            return (StatusCode::NOT_FOUND, br#"{"error":{"message":"this validator keeps nothing of it"}}"#.to_vec());
        }
        if manner == Manner::Busy && asked.fetch_add(1, Ordering::Relaxed) < 2 {
            return (StatusCode::TOO_MANY_REQUESTS, br#"{"error":{"message":"ask again"}}"#.to_vec());
        }
        (StatusCode::OK, encode(&signed))
    };
    let children = move |Path((_, _, _, height, index)): Path<(String, String, u32, u32, u64)>| async move {
        let Some(mut children) = tree.children(MerkleNode { height, index }) else {
            return (StatusCode::NOT_FOUND, br#"{"error":{"message":"no such node"}}"#.to_vec());
        };
        if manner == Manner::Lying(height) {
            children.swap(0, 1);
        }
        (StatusCode::OK, encode(&children))
    };
    let routes = Router::new()
        .route("/duty/v1/traces/{segment}/{draw}/{job}", get(root))
        .route("/duty/v1/traces/{segment}/{draw}/{job}/{height}/{index}", get(children));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

async fn side(byte: u8, cells: Vec<Digest>, manner: Manner) -> Result<Side, String> {
    let url = serve(byte, SHAPE, cells, manner).await;
    let vote = if byte == 1 { VALID } else { wrong(0, JobFault::Logits) };
    let about = (segment(), Digest::ZERO, 0);
    Side::open(about, key(byte).public_key(), &format!("validator-{byte}"), &url, vote).await
}

/// Two sides that differ from cell `index` on.
async fn sides(index: usize, manners: [Manner; 2]) -> [Side; 2] {
    let mut other = cells();
    for cell in &mut other[index..] {
        *cell = leaf_hash(cell.as_bytes());
    }
    [side(1, cells(), manners[0]).await.unwrap(), side(2, other, manners[1]).await.unwrap()]
}

#[tokio::test]
async fn a_difference_planted_at_any_cell_is_found_there_in_logarithmic_exchanges() {
    for index in (0..SHAPE.cells()).step_by(3).chain([SHAPE.cells() - 1]) {
        let sides = sides(index as usize, [Manner::Honest, Manner::Busy]).await;
        let (found, exchanges, paths) = search(&sides).await.unwrap();
        let cell = SHAPE.cell(index).unwrap();
        let digests = [cells()[index as usize], leaf_hash(cells()[index as usize].as_bytes())];
        assert_eq!(found, Found::Cell { index, cell, digests });
        assert!(exchanges <= 1 + MerkleNode::top(SHAPE.cells()).height, "{exchanges} for {}", SHAPE.cells());
        let report = bisected(&sides, found, exchanges, &paths);
        assert_eq!(report["position"], cell.position);
        assert_eq!(report["stage"], cell.stage.name());
        assert_eq!(report["layer"].as_u64(), cell.stage.layer().map(u64::from));
        assert_eq!(report["sides"][1]["digest"], digests[1].to_string());
        assert_eq!(report["sides"][0]["verdict"], "valid");
        assert_eq!(report["sides"][1]["verdict"], "invalid, job 0: logits");
        let text = in_words(&report);
        assert!(text.contains(&stage_in_words(cell.stage)) && text.contains(&token_at(&SHAPE, cell)), "{text}");
        assert!(text.contains(&format!("{exchanges} for {} digests", SHAPE.cells())), "{text}");
    }
}

#[tokio::test]
async fn equal_replays_and_other_sequences_are_told_apart() {
    let equal = [side(1, cells(), Manner::Honest).await.unwrap(), side(2, cells(), Manner::Honest).await.unwrap()];
    let (found, exchanges, paths) = search(&equal).await.unwrap();
    assert_eq!((found, exchanges), (Found::Nothing, 1));
    let text = in_words(&bisected(&equal, found, exchanges, &paths));
    assert!(text.contains("equal to the last bit") && !text.contains("digest there"), "{text}");
    let mut other = equal;
    other[1].signed.claim.shape.prompt_tokens += 1;
    let (found, exchanges, paths) = search(&other).await.unwrap();
    assert_eq!(found, Found::Shapes);
    let text = in_words(&bisected(&other, found, exchanges, &paths));
    assert!(text.contains("do not replay the same sequence") && text.contains("6 tokens of prompt"), "{text}");
}

#[tokio::test]
async fn who_shows_something_else_than_it_signed_is_named() {
    for height in 1..=MerkleNode::top(SHAPE.cells()).height {
        let lying = sides(0, [Manner::Honest, Manner::Lying(height)]).await;
        let error = refusal(search(&lying).await);
        assert!(error.starts_with("validator-2 shows what does not hash to what it signed"), "{error}");
    }
}

#[tokio::test]
async fn what_is_not_the_validators_own_word_on_this_job_is_not_taken() {
    for (manner, expected) in [
        (Manner::Forging, "not signed by it"),
        (Manner::Elsewhere, "about something else"),
        (Manner::Endless, "too large"),
        (Manner::Forgetful, "this validator keeps nothing of it"),
    ] {
        let error = side(1, cells(), manner).await.unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let about = (segment(), Digest::ZERO, 0);
    let unreachable = Side::open(about, node(1), "validator-1", "http://127.0.0.1:1", VALID).await;
    assert!(unreachable.is_err());
}

#[test]
fn places_are_named_from_the_sequences_parts() {
    let at = |position| token_at(&SHAPE, TraceCell { position, stage: TraceStage::Logits });
    assert_eq!(at(0), "token 0 of the prompt's 5");
    assert_eq!(at(4), "token 4 of the prompt's 5");
    assert_eq!(at(5), "token 0 of the answer's 4");
    assert_eq!(at(7), "token 2 of the answer's 4");
    assert_eq!(stage_in_words(TraceStage::KeysAndValues { layer: 15 }), "the keys and values that layer 15 stores");
}
