//! Planting: what is ordered is done, looks like its neighbours, and is wrong only in the one way.

use super::{Planting, first_words, plant};
use crate::job::FinishedJob;
use crate::job::tests::{
    classification_context, classification_job, context, done, embedding_context, embedding_job, is_classified,
    is_embedded, is_right, is_scored, job, scoring_job,
};
use crate::lease::{Agreement, LeaseUse, LeaseWork};
use crate::store::{LeaseRecord, tests::lease_record};
use inferium_types::{
    ChatMessage, ClassifierInputs, Digest, FORCED_ROOM, FORCED_TOKENS, ForcedKind, ForcedOrder, JobAnswer, JobInput,
    JobLeaf, JobPayload, LeaseId, Ppm, SecretKey, TaskTerms, VerificationMode, VrfSecretKey, merkle_root, part_salt,
};

const SHARE: Ppm = Ppm::ONE;

fn vrf() -> VrfSecretKey {
    VrfSecretKey::from_entropy([5; 32]).unwrap()
}

fn key() -> SecretKey {
    SecretKey::from_bytes([8; 32]).unwrap()
}

async fn finished(sequence: u64) -> FinishedJob {
    done(context(None), job(sequence)).await.0.unwrap()
}

/// A lease of which the VRF says `wanted` of the first segment, with these finished jobs.
async fn ordered(wanted: ForcedKind, sequences: &[u64]) -> LeaseWork {
    let room = 8 * FORCED_TOKENS * u64::from(FORCED_ROOM);
    let terms = TaskTerms { jobs_max: 8 * FORCED_ROOM, tokens_max: room, ..lease_record(1).terms };
    for byte in 0..100 {
        let record = LeaseRecord { terms, ..lease_record(byte) };
        let input = ForcedOrder::input(&record.beacon, record.lease, 0);
        if ForcedOrder::of(vrf().prove(&input).output()).kind(SHARE) == Some(wanted) {
            let mut work = LeaseWork::new(record, &vrf(), 0, LeaseUse::default());
            for sequence in sequences {
                work.take(*sequence);
                let mut job = finished(*sequence).await;
                job.leaf.request.lease = work.record.lease;
                work.finished.push(job);
            }
            return work;
        }
    }
    panic!("no lease with such an order")
}

async fn planted(planting: Planting, lease: LeaseId) -> FinishedJob {
    plant(context(None), lease, planting).await.unwrap()
}

/// Within a tolerance no replay says for certain that a job is wrong.
#[tokio::test]
async fn nothing_is_planted_where_replay_is_no_equality() {
    let mut work = ordered(ForcedKind::Wrong, &[3, 7]).await;
    work.record.terms.mode = VerificationMode::Sampled;
    assert!(work.begin_planting(SHARE).is_none());
    assert_eq!(work.make_segment(&key()).unwrap().leaves.len(), 2);
}

#[tokio::test]
async fn an_ordered_job_is_in_the_segment_before_it_is_proposed() {
    for kind in [ForcedKind::Wrong, ForcedKind::Right] {
        let mut work = ordered(kind, &[3, 7]).await;
        let planting = work.begin_planting(SHARE).unwrap();
        assert_eq!((planting.kind, &work.agreement), (kind, &Agreement::Planting));
        assert!(work.begin_planting(SHARE).is_none(), "once");
        assert!(work.make_segment(&key()).is_none(), "not before it is done");
        let job = planted(planting, work.record.lease).await;
        work.plant(Some(job));
        assert!(work.begin_planting(SHARE).is_none());
        let segment = work.make_segment(&key()).unwrap();
        let order = ForcedOrder::of(segment.forced_proof.unwrap().output());
        let position = usize::try_from(segment.planted.unwrap()).unwrap();
        let leaf = &segment.leaves[position];
        assert_eq!((segment.leaves.len(), segment.jobs.len()), (3, 3));
        assert!(order.is_met_by(kind, leaf) && leaf.is_consistent());
        assert_eq!(leaf.request.lease, work.record.lease);
        assert!(leaf.result.usage.tokens() <= FORCED_TOKENS);
        assert!([0, 1, 2, 4, 5, 6].contains(&leaf.request.sequence), "{}", leaf.request.sequence);
        let hashes: Vec<Digest> = segment.leaves.iter().map(JobLeaf::hash).collect();
        assert_eq!(segment.terms.root, merkle_root(&hashes));
    }
}

/// Nothing but a whole replay tells a known-wrong job from a right one.
#[tokio::test]
async fn a_wrong_job_is_right_but_for_its_evidence_root() {
    for (kind, is_wrong) in [(ForcedKind::Wrong, true), (ForcedKind::Right, false)] {
        let mut work = ordered(kind, &[3]).await;
        let planting = work.begin_planting(SHARE).unwrap();
        let order = planting.order;
        let again = planted(planting.clone(), work.record.lease).await;
        let mut job = planted(planting, work.record.lease).await;
        assert_eq!(job.leaf, again.leaf, "the same whenever it is done");
        assert_eq!(is_right(&job).await, !is_wrong);
        assert_eq!(job.leaf.result.evidence_root == order.wrong_root(), is_wrong);
        if is_wrong {
            let right = planted(Planting { kind: ForcedKind::Right, ..ordered_again(&order).await }, work.record.lease);
            job.leaf.result.evidence_root = right.await.leaf.result.evidence_root;
            assert!(is_right(&job).await);
        }
    }
}

async fn ordered_again(order: &ForcedOrder) -> Planting {
    let mut work = ordered(ForcedKind::Wrong, &[3]).await;
    let planting = work.begin_planting(SHARE).unwrap();
    assert_eq!(planting.order, *order);
    planting
}

#[tokio::test]
async fn nothing_is_planted_without_order_or_room() {
    assert!(ordered(ForcedKind::Wrong, &[3]).await.begin_planting(Ppm::new(0)).is_none());
    assert!(ordered(ForcedKind::Wrong, &[]).await.begin_planting(SHARE).is_none(), "no job to look like");
    let mut small = ordered(ForcedKind::Wrong, &[3]).await;
    small.record.terms.jobs_max -= 1;
    assert!(small.begin_planting(SHARE).is_none());
    let mut busy = ordered(ForcedKind::Wrong, &[3]).await;
    busy.agreement = Agreement::Resting;
    assert!(busy.begin_planting(SHARE).is_none());
}

#[tokio::test]
async fn a_segment_goes_without_what_could_not_be_done() {
    let mut work = ordered(ForcedKind::Wrong, &[3]).await;
    work.begin_planting(SHARE).unwrap();
    work.plant(None);
    assert!(work.begin_planting(SHARE).is_none(), "not again");
    let segment = work.make_segment(&key()).unwrap();
    assert_eq!((segment.planted, segment.leaves.len()), (None, 1));
}

/// SPEC J3: what the gateway refused is proposed again, with the same planted job.
#[tokio::test]
async fn a_planted_job_stays_in_a_segment_that_is_made_again() {
    let mut work = ordered(ForcedKind::Wrong, &[3, 7]).await;
    let planting = work.begin_planting(SHARE).unwrap();
    let job = planted(planting, work.record.lease).await;
    work.plant(Some(job));
    let first = work.make_segment(&key()).unwrap();
    let lost = first.leaves.iter().find(|leaf| leaf.request.sequence == 7).unwrap().request.job;
    let second = work.take_back(first.clone(), &[lost], &key()).unwrap();
    assert_eq!((second.terms.index, second.leaves.len()), (0, 2));
    let of = |segment: &crate::store::SegmentRecord| {
        segment.leaves[usize::try_from(segment.planted.unwrap()).unwrap()].clone()
    };
    assert_eq!(of(&first), of(&second));
}

#[tokio::test]
async fn a_long_conversation_is_cut_to_size() {
    let mut work = ordered(ForcedKind::Right, &[3]).await;
    let mut planting = work.begin_planting(SHARE).unwrap();
    let long = |words: usize| ChatMessage { role: "user".into(), content: "word ".repeat(words) };
    for messages in [
        vec![long(3_000)],
        vec![long(3_000), long(2)],
        vec![long(10), long(3_000)],
        vec![ChatMessage { role: "user".into(), content: "x".repeat(20_000) }],
    ] {
        planting.template.evidence.payload = JobPayload::chat([0; 32], messages, Vec::new());
        let job = planted(planting.clone(), work.record.lease).await;
        assert!(job.leaf.result.usage.tokens() <= FORCED_TOKENS);
        assert!(!job.evidence.payload.as_chat().unwrap().0.last().unwrap().content.is_empty());
        assert!(is_right(&job).await);
    }
}

/// Of continuations to score, one that a neighbour has, after the end of what stood before it.
#[tokio::test]
async fn a_planted_continuation_is_a_neighbours() {
    let mut work = ordered(ForcedKind::Right, &[3]).await;
    let mut planting = work.begin_planting(SHARE).unwrap();
    let long = "a word and ".repeat(50);
    let texts = [("Is it?", "yes"), (long.as_str(), "no"), ("x", long.as_str())];
    for kind in [ForcedKind::Right, ForcedKind::Wrong] {
        planting.kind = kind;
        planting.template.evidence.payload = scoring_job(&texts).1;
        let job = plant(context(None), work.record.lease, planting.clone()).await.unwrap();
        let JobInput::Score { continuations, likeliest: 2 } = &job.evidence.payload.input else { panic!("no scores") };
        assert_eq!((continuations.len(), job.leaf.request.tokens_max), (1, 1));
        let text =
            |tokens: &[u32]| tokens.iter().map(|byte| char::from(u8::try_from(*byte).unwrap())).collect::<String>();
        let (prompt, tokens) = (text(&continuations[0].prompt), text(&continuations[0].tokens));
        assert!(
            texts.iter().any(|(of, after)| of.ends_with(&prompt) && after.starts_with(&tokens)),
            "{prompt}|{tokens}"
        );
        assert!(!prompt.is_empty() && !tokens.is_empty() && job.leaf.result.usage.tokens() <= FORCED_TOKENS);
        assert_eq!(is_scored(&job).await, kind == ForcedKind::Right);
        assert_eq!(job.leaf.result.evidence_root == planting.order.wrong_root(), kind == ForcedKind::Wrong);
    }
}

/// Of texts to embed, one that a neighbour has, cut short.
#[tokio::test]
async fn a_planted_text_is_a_neighbours() {
    let mut work = ordered(ForcedKind::Right, &[3]).await;
    let mut planting = work.begin_planting(SHARE).unwrap();
    let long = format!("{}!", "word ".repeat(45));
    let texts = ["one", long.as_str(), "x"];
    planting.template.evidence.payload = embedding_job(&texts).1;
    let job = plant(embedding_context(None), work.record.lease, planting.clone()).await.unwrap();
    let JobInput::Embed { texts: planted, .. } = &job.evidence.payload.input else { panic!("no texts") };
    assert_eq!((planted.len(), job.leaf.request.tokens_max), (1, 1));
    assert!(texts.iter().any(|text| text.starts_with(&*planted[0])) && !planted[0].is_empty());
    assert!(job.leaf.result.usage.tokens() <= FORCED_TOKENS && is_embedded(&job).await);
    // A known-wrong one is wrong in its root alone, and whoever has the vectors, but did not compute them, can't tell.
    let wrong = Planting { kind: ForcedKind::Wrong, template: job.clone(), ..planting };
    let order = wrong.order;
    let wrong = plant(embedding_context(None), work.record.lease, wrong).await.unwrap();
    assert!(wrong.leaf.result.evidence_root == order.wrong_root() && !is_embedded(&wrong).await);
    let JobAnswer::Embeddings(embeddings) = &job.evidence.output.answer else { panic!("no embeddings") };
    let salt = part_salt(&job.evidence.output.salt, 0);
    for guess in [Digest::ZERO, Digest::sha256(b"states")] {
        let leaves: Vec<Digest> = embeddings.iter().map(|embedding| embedding.leaf(&salt, &guess)).collect();
        assert_ne!(merkle_root(&leaves), job.leaf.result.evidence_root, "a right one is no different");
    }
}

#[test]
fn words_are_counted_to_their_end() {
    for (count, expected) in [(1, "  one"), (2, "  one\ntwo"), (3, "  one\ntwo  thrée "), (9, "  one\ntwo  thrée ")] {
        let text = "  one\ntwo  thrée ";
        let found = first_words(text, count);
        assert_eq!(found.trim_end(), expected.trim_end(), "{count}");
    }
    assert_eq!(first_words("", 1), "");
}

/// Of tensors to classify, one that a neighbour has, whose end is its first element.
#[tokio::test]
async fn a_planted_tensor_is_a_neighbours() {
    let mut work = ordered(ForcedKind::Right, &[3]).await;
    let mut planting = work.begin_planting(SHARE).unwrap();
    let (_, payload) = classification_job();
    let JobInput::Classify(ClassifierInputs::Tensors(tensors)) = payload.input.clone() else { panic!("no tensors") };
    planting.template.evidence.payload = payload;
    let job = plant(classification_context(None), work.record.lease, planting.clone()).await.unwrap();
    let JobInput::Classify(ClassifierInputs::Tensors(planted)) = &job.evidence.payload.input else {
        panic!("no tensors")
    };
    assert_eq!((planted.len(), job.leaf.request.tokens_max), (1, 1));
    let kept = |of: &[i16]| of.iter().zip(&planted[0]).take_while(|(one, other)| one == other).count();
    assert!(tensors.iter().any(|of| of.len() == planted[0].len() && 2 * kept(of) >= of.len()));
    assert!(job.leaf.result.usage.tokens() <= FORCED_TOKENS && is_classified(&job).await);
    let wrong = Planting { kind: ForcedKind::Wrong, template: job.clone(), ..planting };
    let order = wrong.order;
    let wrong = plant(classification_context(None), work.record.lease, wrong).await.unwrap();
    assert!(wrong.leaf.result.evidence_root == order.wrong_root() && !is_classified(&wrong).await);
}
