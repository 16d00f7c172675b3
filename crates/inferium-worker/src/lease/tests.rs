//! Leases: what is taken, once; segments, one at a time and of bounded size.

use super::{Agreement, LeaseUse, LeaseWork, NotTaken, SEGMENT_SIZE_MAX, SIGNING_PATIENCE};
use crate::evidence;
use crate::job::FinishedJob;
use crate::job::JobContext;
use crate::job::tests::{context, done, job};
use crate::store::tests::{lease_record, path};
use crate::store::{LeaseRecord, SegmentRecord, WorkerStore};
use inferium_types::{
    ChatMessage, Digest, ImpossibleJob, JobAnswer, JobId, JobLeaf, JobPayload, JobRequest, JobTotals, Ppm, PublicKey,
    SecretKey, SegmentTerms, TaskKind, TaskTerms, Usage, VrfSecretKey, encode, limits, merkle_root,
};
use std::time::Duration;
use tokio::sync::watch;

fn work(finished: Vec<FinishedJob>) -> LeaseWork {
    let vrf = VrfSecretKey::from_entropy([5; 32]).unwrap();
    LeaseWork { finished, ..LeaseWork::new(lease_record(1), &vrf, 7, LeaseUse::default()) }
}

fn key() -> SecretKey {
    SecretKey::from_bytes([8; 32]).unwrap()
}

/// SPEC J3: one root over the leaves, the right totals, the worker's signature.
#[tokio::test]
async fn segment_holds_what_is_finished() {
    let mut finished = Vec::new();
    for sequence in 0..3 {
        finished.push(done(context(None), job(sequence)).await.0.unwrap());
    }
    let leaves: Vec<JobLeaf> = finished.iter().map(|job| job.leaf.clone()).collect();
    let mut work = work(finished);
    let segment: SegmentRecord = work.make_segment(&key()).unwrap();
    let hashes: Vec<Digest> = leaves.iter().map(JobLeaf::hash).collect();
    assert_eq!((segment.terms.lease, segment.terms.index), (work.record.lease, 7));
    assert_eq!(segment.terms.root, merkle_root(&hashes));
    assert_eq!(Some(segment.terms.totals), JobTotals::of(&leaves));
    assert!(segment.terms.signed_by_worker(&key().public_key(), &segment.worker_signature));
    assert_eq!((segment.leaves, segment.jobs.len(), segment.gateway_signature), (leaves, 3, None));
    assert_eq!((work.next_index, &work.agreement), (8, &Agreement::Proposed(segment.terms)));
    assert!(work.finished.is_empty());
}

#[tokio::test]
async fn segment_is_made_one_at_a_time_and_never_empty() {
    let finished = done(context(None), job(0)).await.0.unwrap();
    assert!(work(Vec::new()).make_segment(&key()).is_none());
    let terms = work(vec![finished.clone()]).make_segment(&key()).unwrap().terms;
    for agreement in [Agreement::Proposed(terms), Agreement::Committing(terms), Agreement::Resting] {
        let mut work = LeaseWork { agreement, ..work(vec![finished.clone()]) };
        assert!(work.make_segment(&key()).is_none());
        assert_eq!((work.finished.len(), work.next_index), (1, 7));
    }
}

#[tokio::test]
async fn segment_has_its_largest_size() {
    let mut finished = done(context(None), job(0)).await.0.unwrap();
    finished.leaf.result.usage = Usage { prompt_tokens: 1, completion_tokens: 1 };
    let mut work = work(vec![finished; limits::SEGMENT_JOBS_MAX + 1]);
    assert_eq!(work.make_segment(&key()).unwrap().leaves.len(), limits::SEGMENT_JOBS_MAX);
    assert_eq!(work.finished.len(), 1);
}

/// SPEC S, fraud: the disk refuses a second, different segment in the place of a signed one.
#[tokio::test]
async fn second_segment_in_one_place_is_never_kept() {
    let path = path("place");
    let first = done(context(None), job(0)).await.0.unwrap();
    let other = done(JobContext { vrf_output: Digest::ZERO, ..context(None) }, job(0)).await.0.unwrap();
    let standing = work(vec![first.clone()]).make_segment(&key()).unwrap();
    let conflicting = work(vec![other]).make_segment(&key()).unwrap();
    assert_eq!(standing.terms.id(), conflicting.terms.id());
    assert_ne!(standing.terms, conflicting.terms);
    for _ in 0..2 {
        let store = WorkerStore::open(&path, &key()).unwrap();
        store.put_segment(&standing).unwrap();
        assert!(store.put_segment(&conflicting).is_err());
        assert_eq!(store.segment(standing.terms.id()).unwrap(), Some(standing.clone()));
    }
    let store = WorkerStore::open(&path, &key()).unwrap();
    let agreed = SegmentRecord { gateway_signature: Some(standing.terms.sign_as_gateway(&key())), ..standing };
    store.put_segment(&agreed).unwrap();
    assert_eq!(store.segment_ids().unwrap(), [agreed.terms.id()]);
    assert_eq!(store.segment(agreed.terms.id()).unwrap(), Some(agreed));
    drop(store);
    std::fs::remove_file(path).unwrap();
}

fn vrf() -> VrfSecretKey {
    VrfSecretKey::from_entropy([5; 32]).unwrap()
}

fn gateway() -> PublicKey {
    lease_record(1).gateway
}

fn request(sequence: u64) -> (JobRequest, JobPayload) {
    let (request, payload) = job(sequence);
    (JobRequest { prompt_tokens: 1, ..request }, payload)
}

/// SPEC J1: over restarts too, since two results for one request are fraud.
#[test]
fn sequences_below_the_durable_limit_are_not_taken_after_a_restart() {
    let path = path("sequences");
    let limit = {
        let store = WorkerStore::open(&path, &key()).unwrap();
        let mut work = LeaseWork::new(lease_record(1), &vrf(), 0, LeaseUse::default());
        store.put_lease(&work.record).unwrap();
        for sequence in [0, 1, 5] {
            let (request, payload) = request(sequence);
            assert_eq!(work.check(gateway(), &request, &payload), Ok(()));
            if let Some(record) = work.take(sequence) {
                store.put_lease(record).unwrap();
            }
            assert_eq!(
                work.check(gateway(), &request, &payload),
                Err(NotTaken::Sequence { next: sequence + 1 }),
                "once within a run"
            );
        }
        work.record.sequence_limit
    };
    assert!(limit > 5);
    // Killed: what is left is on disk.
    let store = WorkerStore::open(&path, &key()).unwrap();
    let mut work = LeaseWork::new(store.leases().unwrap().remove(0), &vrf(), 0, LeaseUse::default());
    for sequence in [0, 5, 6, limit - 1] {
        let (request, payload) = request(sequence);
        assert_eq!(work.check(gateway(), &request, &payload), Err(NotTaken::Sequence { next: limit }), "{sequence}");
    }
    let (request, payload) = request(limit);
    assert_eq!(work.check(gateway(), &request, &payload), Ok(()));
    assert!(work.take(limit).is_some_and(|record| record.sequence_limit > limit), "a new limit is to be written");
    assert_eq!(work.take(limit + 1), None, "not every sequence costs a sync");
    drop(store);
    std::fs::remove_file(path).unwrap();
}

/// SPEC V12: a lease of one proof is for one, whether it came to anything or not, and over restarts.
#[test]
fn a_lease_of_one_proof_takes_one_job_whatever_becomes_of_it() {
    let terms = TaskTerms { kind: TaskKind::Validation, jobs_max: 1, ..lease_record(1).terms };
    let of_one = LeaseRecord { terms, ..lease_record(1) };
    let mut work = LeaseWork::new(of_one.clone(), &vrf(), 0, LeaseUse::default());
    let ((first, payload), (next, again)) = (request(70_000), request(70_001));
    assert_eq!(work.check(gateway(), &first, &payload), Ok(()));
    let taken = work.take(first.sequence).unwrap().clone();
    work.begin(&first, watch::channel(false).0);
    work.end(first.job, None);
    assert_eq!(work.check(gateway(), &next, &again), Err(NotTaken::Exhausted), "it failed");
    let restarted = LeaseWork::new(taken, &vrf(), 0, LeaseUse::default());
    let (later, payload) = request(200_000);
    assert_eq!(restarted.check(gateway(), &later, &payload), Err(NotTaken::Exhausted), "after a restart");
    // Of any other lease a job that failed costs nothing.
    for (kind, jobs_max) in [(TaskKind::Validation, 2), (TaskKind::Inference, 1)] {
        let other = LeaseRecord { terms: TaskTerms { kind, jobs_max, ..of_one.terms }, ..of_one.clone() };
        let mut work = LeaseWork::new(other, &vrf(), 0, LeaseUse::default());
        let _ = work.take(first.sequence);
        work.begin(&first, watch::channel(false).0);
        work.end(first.job, None);
        let (next, payload) = request(70_001);
        assert_eq!(work.check(gateway(), &next, &payload), Ok(()), "{kind:?}");
    }
}

#[test]
fn only_what_the_lease_pays_for_is_taken() {
    let mut work = work(Vec::new());
    let (small, payload) = request(0);
    assert_eq!(work.check(gateway(), &small, &payload), Ok(()));
    assert_eq!(work.check(key().public_key(), &small, &payload), Err(NotTaken::Gateway));
    let context = work.record.terms.context_tokens;
    let exact = JobRequest { tokens_max: context - 1, ..small };
    assert_eq!(work.check(gateway(), &exact, &payload), Ok(()));
    let large = JobRequest { tokens_max: context, ..small };
    let too_long = ImpossibleJob::Context { tokens: u64::from(context) + 1, context_tokens: context };
    assert_eq!(work.check(gateway(), &large, &payload), Err(too_long.into()));
    for sequence in 0..u64::from(work.record.terms.slots) * 2 {
        work.running.insert(job(sequence).0.job, watch::channel(false).0);
    }
    assert_eq!(work.check(gateway(), &small, &payload), Err(NotTaken::Busy));
    work.record.ended = true;
    assert_eq!(work.check(gateway(), &small, &payload), Err(NotTaken::Ended));
}

/// The limits themselves are tested where they stand: that the lease asks for them is what counts here.
#[test]
fn what_a_stranger_sends_is_bounded() {
    let work = work(Vec::new());
    let (request, payload) = request(0);
    let (count, size) = (limits::STOP_STRINGS_MAX, limits::STOP_STRING_SIZE_MAX);
    let most = JobPayload::chat([0; 32], Vec::new(), vec!["s".repeat(size); count]);
    assert_eq!(work.check(gateway(), &request, &most), Ok(()));
    let more = JobPayload::chat([0; 32], Vec::new(), vec!["s".into(); count + 1]);
    let refused = work.check(gateway(), &request, &more).unwrap_err();
    assert_eq!(refused, NotTaken::Impossible(ImpossibleJob::StopStrings { count: 5 }));
    assert_eq!(refused.to_string(), "5 stop strings; at most 4 are allowed");
    let message = ChatMessage { role: "user".into(), content: "m".repeat(limits::PAYLOAD_SIZE_MAX) };
    let large = JobPayload::chat([0; 32], vec![message], Vec::new());
    assert_eq!(work.check(gateway(), &request, &large), Err(ImpossibleJob::Size.into()));
    let empty = JobRequest { tokens_max: 0, ..request };
    assert_eq!(work.check(gateway(), &empty, &payload), Err(ImpossibleJob::NoTokens.into()));
}

/// SPEC J1, at its end: a gateway that names the highest sequence of all gets one result for it, not two.
#[test]
fn last_sequence_is_taken_once() {
    let path = path("last");
    let last = limits::SEQUENCE_MAX;
    let (request, payload) = request(last);
    let above = [last + 1, u64::MAX - 1, u64::MAX].map(|sequence| JobRequest { sequence, ..request.clone() });
    {
        let store = WorkerStore::open(&path, &key()).unwrap();
        let mut work = LeaseWork::new(lease_record(1), &vrf(), 0, LeaseUse::default());
        for request in &above {
            assert_eq!(work.check(gateway(), request, &payload), Err(ImpossibleJob::Sequence.into()));
        }
        assert_eq!(work.check(gateway(), &request, &payload), Ok(()));
        store.put_lease(work.take(last).unwrap()).unwrap();
        assert_eq!(work.check(gateway(), &request, &payload), Err(NotTaken::Sequence { next: last + 1 }));
    }
    let store = WorkerStore::open(&path, &key()).unwrap();
    let work = LeaseWork::new(store.leases().unwrap().remove(0), &vrf(), 0, LeaseUse::default());
    for request in above.iter().chain([&request]) {
        assert!(work.check(gateway(), request, &payload).is_err(), "{}", request.sequence);
    }
    drop(store);
    std::fs::remove_file(path).unwrap();
}

async fn finished(sequences: std::ops::Range<u64>) -> Vec<FinishedJob> {
    let mut finished = Vec::new();
    for sequence in sequences {
        finished.push(done(context(None), job(sequence)).await.0.unwrap());
    }
    finished
}

fn sequences(record: &SegmentRecord) -> Vec<u64> {
    record.leaves.iter().map(|leaf| leaf.request.sequence).collect()
}

/// SPEC J3: what the gateway did not get is taken out and the rest proposed again, in the same place; what finished
/// meanwhile comes after it.
#[tokio::test]
async fn refused_segment_is_proposed_again_without_what_was_not_delivered() {
    let mut work = work(finished(0..3).await);
    let refused = work.make_segment(&key()).unwrap();
    work.finished = finished(3..4).await;
    let undelivered = [job(1).0.job, JobId::new(Digest::ZERO)];
    let other = work.take_back(refused.clone(), &undelivered, &key()).unwrap();
    assert_eq!((other.terms.id(), sequences(&other)), (refused.terms.id(), vec![0, 2, 3]));
    assert_eq!(other.jobs.len(), 3);
    assert!(other.terms.signed_by_worker(&key().public_key(), &other.worker_signature));
    assert_eq!((work.next_index, &work.agreement), (8, &Agreement::Proposed(other.terms)));
    assert!(work.finished.is_empty() && !work.record.ended);
    // One result for each request all the same.
    for leaf in &other.leaves {
        assert!(refused.leaves.iter().all(|old| old.request != leaf.request || old == leaf));
    }
}

#[tokio::test]
async fn refused_segment_of_which_nothing_was_delivered_leaves_its_place_free() {
    let mut work = work(finished(0..2).await);
    let refused = work.make_segment(&key()).unwrap();
    let all: Vec<JobId> = refused.leaves.iter().map(|leaf| leaf.request.job).collect();
    assert_eq!(work.take_back(refused, &all, &key()), None);
    assert_eq!((work.next_index, &work.agreement, work.record.ended), (7, &Agreement::Idle, false));
    work.finished = finished(2..3).await;
    assert_eq!(work.make_segment(&key()).unwrap().terms.index, 7);
}

/// A gateway that refuses and names nothing that could be taken out would refuse for ever.
#[tokio::test]
async fn lease_ends_when_nothing_can_be_agreed_on() {
    for undelivered in [Vec::new(), vec![JobId::new(Digest::ZERO)]] {
        let mut work = work(finished(0..2).await);
        let refused = work.make_segment(&key()).unwrap();
        work.finished = finished(2..3).await;
        assert_eq!(work.take_back(refused, &undelivered, &key()), None);
        assert!(work.record.ended && work.is_done());
    }
}

/// A kill at any moment leaves the refused segment or the one in its place, never none of them.
#[tokio::test]
async fn kept_jobs_of_a_refused_segment_survive_a_kill() {
    let path = path("refused");
    let mut work = work(finished(0..2).await);
    let refused = work.make_segment(&key()).unwrap();
    let id = refused.terms.id();
    WorkerStore::open(&path, &key()).unwrap().put_segment(&refused).unwrap();
    let other = work.take_back(refused, &[job(0).0.job], &key()).unwrap();
    {
        let store = WorkerStore::open(&path, &key()).unwrap();
        assert_eq!(sequences(&store.segment(id).unwrap().unwrap()), [0, 1], "killed before the write");
        store.replace_segment(id, Some(&other)).unwrap();
    }
    {
        let store = WorkerStore::open(&path, &key()).unwrap();
        assert_eq!(store.segment(id).unwrap().as_ref(), Some(&other), "killed after it");
        let elsewhere = SegmentRecord { terms: SegmentTerms { index: 8, ..other.terms }, ..other.clone() };
        assert!(store.replace_segment(id, Some(&elsewhere)).is_err());
        let agreed = SegmentRecord { gateway_signature: Some(other.terms.sign_as_gateway(&key())), ..other };
        store.put_segment(&agreed).unwrap();
        assert!(store.replace_segment(id, None).is_err(), "what both signed stays");
        assert_eq!(store.segment(id).unwrap(), Some(agreed));
    }
    std::fs::remove_file(path).unwrap();
}

/// What validators would refuse is not paid: segments end by bytes, too, and every job drawn fits.
#[tokio::test]
async fn segment_has_its_largest_size_in_bytes() {
    let small = done(context(None), job(0)).await.0.unwrap();
    let size = |job: &FinishedJob| encode(&job.leaf).len() + encode(&job.evidence).len() + 4;
    let sized = |bytes: usize| {
        let mut job = small.clone();
        let more = "x".repeat(bytes - size(&job));
        let JobAnswer::Text { text, .. } = &mut job.evidence.output.answer else { panic!("no text") };
        text.push_str(&more);
        assert_eq!(size(&job), bytes);
        job
    };
    let quarter = SEGMENT_SIZE_MAX / 4;
    let exact: Vec<FinishedJob> = (0..4).map(|_| sized(quarter)).collect();
    let mut full = work(exact.clone());
    let record = full.make_segment(&key()).unwrap();
    assert_eq!(record.leaves.len(), 4, "exactly the limit is one segment");
    let all = evidence::assemble(&record, full.vrf_proof, &Digest::ZERO, Ppm::new(1_000_000), None);
    assert_eq!(all.jobs.len(), 4);
    assert!(evidence::to_bytes(&all).len() < limits::MESSAGE_SIZE_MAX / 2 + 1_024);

    let mut above = exact;
    above[3] = sized(quarter + 1);
    let mut two = work(above);
    assert_eq!(two.make_segment(&key()).unwrap().leaves.len(), 3, "one byte more is another segment");
    assert_eq!(two.finished.len(), 1);

    let mut alone = work(vec![sized(SEGMENT_SIZE_MAX + 1), small.clone()]);
    assert_eq!(alone.make_segment(&key()).unwrap().leaves.len(), 1, "a job is never stuck");
}

/// The chain takes no segment of several jobs that could not be replayed in time (SPEC J3).
#[tokio::test]
async fn segment_has_its_most_tokens() {
    let small = done(context(None), job(0)).await.0.unwrap();
    let sized = |tokens: u64| {
        let mut job = small.clone();
        let completion_tokens = job.leaf.result.usage.completion_tokens;
        job.leaf.result.usage.prompt_tokens = u32::try_from(tokens).unwrap() - completion_tokens;
        job
    };
    let half = limits::SEGMENT_TOKENS_MAX / 2;
    let mut full = work(vec![sized(half), sized(half), small.clone()]);
    assert_eq!(full.make_segment(&key()).unwrap().leaves.len(), 2, "exactly the limit is one segment");
    let mut above = work(vec![sized(half), sized(half + 1)]);
    assert_eq!(above.make_segment(&key()).unwrap().leaves.len(), 1, "one token more is another segment");
    let mut alone = work(vec![sized(limits::SEGMENT_TOKENS_MAX + 1), small.clone()]);
    assert_eq!(alone.make_segment(&key()).unwrap().leaves.len(), 1, "a job is never stuck");
}

/// SPEC T6: what is beyond the lease's jobs and tokens nobody pays for; what a job did not use is free again.
#[tokio::test]
async fn lease_takes_so_many_jobs_and_tokens() {
    let (first, payload) = request(0);
    let room = first.tokens();
    let mut record = lease_record(1);
    (record.terms.jobs_max, record.terms.tokens_max) = (2, room + 10);
    let mut work = LeaseWork::new(record.clone(), &vrf(), 0, LeaseUse::default());
    assert_eq!(work.check(gateway(), &first, &payload), Ok(()));
    work.begin(&first, watch::channel(false).0);
    let (second, payload) = request(1);
    assert_eq!(work.check(gateway(), &second, &payload), Err(NotTaken::Exhausted), "its tokens are reserved");
    let mut finished = done(context(None), job(0)).await.0.unwrap();
    finished.leaf.result.usage = Usage { prompt_tokens: 1, completion_tokens: 9 };
    work.end(first.job, Some(finished.clone()));
    assert_eq!(work.check(gateway(), &second, &payload), Ok(()), "ten were used, to the token");
    work.begin(&second, watch::channel(false).0);
    work.end(second.job, None);
    assert_eq!(work.check(gateway(), &second, &payload), Ok(()), "a job without a result costs nothing");
    work.begin(&second, watch::channel(false).0);
    finished.leaf.result.usage = Usage { prompt_tokens: 1, completion_tokens: 0 };
    work.end(second.job, Some(finished));
    let (third, payload) = request(2);
    assert_eq!(work.check(gateway(), &third, &payload), Err(NotTaken::Exhausted), "two jobs were two");
    // What the chain holds counts after a restart.
    let used = LeaseUse { jobs: 0, tokens: 11 };
    let work = LeaseWork::new(record, &vrf(), 0, used);
    assert_eq!(work.check(gateway(), &first, &payload), Err(NotTaken::Exhausted));
}

/// A gateway that signs nothing gets nothing more on credit.
#[tokio::test(start_paused = true)]
async fn gateway_that_does_not_sign_gets_no_more_work() {
    let finished = done(context(None), job(0)).await.0.unwrap();
    let mut work = work(vec![finished]);
    let (next, payload) = request(1);
    work.make_segment(&key()).unwrap();
    tokio::time::advance(SIGNING_PATIENCE).await;
    assert_eq!(work.check(gateway(), &next, &payload), Ok(()));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(work.check(gateway(), &next, &payload), Err(NotTaken::Unsigned));
    work.agreement = Agreement::Idle;
    assert_eq!(work.check(gateway(), &next, &payload), Ok(()));
}
