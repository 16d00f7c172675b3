//! Claims about what happens between a request and a lease, with a worker played by the test.

mod attempts;
mod batches;
mod boards;
mod books;
mod embeddings;
mod endings;
mod parts;
mod runs;
mod scores;
mod sequences;

use super::segments::SegmentRefusal;
use super::*;
use crate::store::LeaseRecord;
use inferium_types::{
    Amount, ChatMessage, FinishReason, ImpossibleJob, JobLeaf, JobOutput, JobPayload, JobProof, JobResult, JobTotals,
    ModelTask, Price, ProfileId, SamplingParams, SegmentTerms, Signature, TaskId, TaskKind, TaskTerms, TransactionId,
    Usage, VerificationMode, VrfSecretKey, limits, merkle_path, merkle_root, vrf_input, wire::GatewayMessage,
};
use std::time::Duration;
use tokio::sync::watch;

const SLOTS: u32 = 2;
const SOON: Duration = Duration::from_millis(20);

/// A piece of an answer.
pub(super) fn piece(tokens: &[u32], text: &str) -> TextPiece {
    TextPiece { text: text.to_owned(), tokens: tokens.to_vec(), scores: Vec::new() }
}

struct Stage {
    hub: Arc<Hub>,
    claims: mpsc::UnboundedReceiver<Claim>,
    unsigned: Option<mpsc::Receiver<UnsignedRecord>>,
    worker: SecretKey,
    vrf: VrfSecretKey,
    lease: LeaseId,
    outbox: mpsc::Sender<GatewayMessage>,
    inbox: mpsc::Receiver<GatewayMessage>,
    payer: Digest,
    profile: ProfileId,
    folder: Folder,
}

impl Hub {
    /// What a key may still spend: neither spent nor reserved for what runs, or waits for its segment.
    pub(crate) fn left(&self, payer: Digest) -> Amount {
        self.lock().budgets.left(payer)
    }
}

fn key() -> SecretKey {
    SecretKey::from_bytes([1; 32]).unwrap()
}

/// A folder that goes with the test.
struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn stage(budget: Amount) -> Stage {
    let folder = Folder(std::env::temp_dir().join(format!("inferium-hub-{:032x}", rand::random::<u128>())));
    std::fs::create_dir_all(&folder.0).unwrap();
    let store = GatewayStore::open(&folder.0.join("gateway.redb"), &key()).unwrap();
    let payer = Digest::sha256(b"payer");
    store.ensure_key(payer, budget).unwrap();
    let stage = stage_over(store, folder);
    let record = lease_record(stage.lease, stage.profile, stage.worker.public_key());
    stage.hub.store.put_lease(&record).unwrap();
    stage.hub.add_leases(vec![(record, stage.vrf.public_key(), LeaseUse::default())]);
    assert!(stage.ready());
    stage
}

/// A gateway over what is in the store; its leases are not read from the chain yet.
fn stage_over(store: GatewayStore, folder: Folder) -> Stage {
    let worker = SecretKey::from_bytes([2; 32]).unwrap();
    let vrf = VrfSecretKey::from_entropy([3; 32]).unwrap();
    let (hub, Outlets { claims, unsigned, .. }) = Hub::new(key(), store).unwrap();
    let profile = ProfileId::new(Digest::sha256(b"profile"));
    let lease = LeaseId::of_task(TaskId::new(TransactionId::new(Digest::sha256(b"task")).digest()));
    let (outbox, inbox) = mpsc::channel(64);
    let payer = Digest::sha256(b"payer");
    Stage { hub, claims, unsigned: Some(unsigned), worker, vrf, lease, outbox, inbox, payer, profile, folder }
}

impl Stage {
    /// The worker says that it is ready; true when the lease is open then.
    fn ready(&self) -> bool {
        self.ready_from(0)
    }

    fn ready_from(&self, sequence: u64) -> bool {
        let proof = self.vrf.prove(&vrf_input(&Digest::sha256(b"beacon"), self.lease));
        self.hub.lease_ready(self.worker.public_key(), self.lease, &proof, sequence, &self.outbox);
        self.is_open()
    }

    fn is_open(&self) -> bool {
        self.hub.open_leases(self.profile, TaskKind::Inference).0 == 1
    }

    fn spec(&self, tokens_max: u32) -> JobSpec {
        let messages = vec![ChatMessage { role: "user".into(), content: "hello".into() }];
        let payload = JobPayload::chat([4; 32], messages, Vec::new());
        JobSpec {
            profile: self.profile,
            kind: TaskKind::Inference,
            task: ModelTask::Chat,
            input_commitment: payload.commitment(),
            payload: Arc::new(payload),
            prompt_tokens: 5,
            tokens_max,
            sampling: SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 },
            client_seed: None,
            preferences: Preferences::default(),
            ticket: Ticket::default(),
            is_witnessed: false,
            payer: self.payer,
        }
    }

    async fn submit(&self, name: &[u8]) -> Result<JobHandle, NoLease> {
        let job = JobId::new(Digest::sha256(name));
        self.hub.submit(&self.spec(3), job, 0, None, SOON).await
    }

    /// The worker's answer "abc" to a job.
    fn answer(&self, handle: &JobHandle) -> JobResult {
        let output = JobOutput::text([5; 32], vec![97, 98, 99], "abc".into());
        self.hub.delta(self.worker.public_key(), handle.job, piece(&[97, 98, 99], "abc"));
        JobResult {
            request: handle.request.digest(),
            output_commitment: output.commitment(),
            evidence_root: Digest::ZERO,
            usage: Usage { prompt_tokens: 5, completion_tokens: 3 },
            finish: FinishReason::Length,
        }
    }

    async fn finish(&self, handle: &mut JobHandle) -> JobLeaf {
        let result = self.answer(handle);
        self.hub.finished(self.worker.public_key(), handle.job, result.clone(), [5; 32]).await;
        assert!(matches!(handle.next().await, Some(JobEvent::Text(piece)) if piece.text == "abc"));
        assert!(matches!(handle.next().await, Some(JobEvent::Done { .. })));
        JobLeaf { request: handle.request.clone(), result }
    }

    fn segment(&self, index: u32, leaves: &[JobLeaf]) -> SegmentTerms {
        let hashes: Vec<Digest> = leaves.iter().map(JobLeaf::hash).collect();
        SegmentTerms { lease: self.lease, index, totals: JobTotals::of(leaves).unwrap(), root: merkle_root(&hashes) }
    }

    fn sign(&self, terms: &SegmentTerms, jobs: &[JobId]) -> Result<Signature, SegmentRefusal> {
        let signature = terms.sign_as_worker(&self.worker);
        self.hub.sign_segment(self.worker.public_key(), terms, jobs, &signature, None).map_err(
            |refused| match refused {
                NotSigned::Refused(refusal) => refusal,
                NotSigned::Store(error) => panic!("{error}"),
            },
        )
    }

    /// What the budget has left, as the hub has it.
    fn left(&self) -> u64 {
        self.hub.left(self.payer).nano()
    }

    fn reserved(&self) -> u64 {
        self.hub.lock().budgets.reserved(self.payer)
    }

    fn is_running(&self, job: JobId) -> bool {
        self.hub.lock().running.contains_key(&job)
    }
}

const PLENTY: Amount = Amount::from_ifr(1);

#[tokio::test]
async fn a_job_reaches_the_worker_and_its_answer_the_client() {
    let mut stage = stage(PLENTY);
    let mut handle = stage.submit(b"job").await.unwrap();
    let Some(GatewayMessage::Job { request, .. }) = stage.inbox.recv().await else { panic!("no job") };
    assert_eq!(request, handle.request);
    stage.finish(&mut handle).await;
}

#[tokio::test]
async fn a_worker_that_goes_away_ends_the_answer_with_a_failure() {
    let stage = stage(PLENTY);
    let mut handle = stage.submit(b"job").await.unwrap();
    stage.answer(&handle);
    stage.hub.session_lost(stage.worker.public_key(), &stage.outbox);
    assert!(matches!(handle.next().await, Some(JobEvent::Text(_))));
    assert!(matches!(handle.next().await, Some(JobEvent::Failed { .. })));
    assert!(stage.hub.has_failed(handle.job));
    assert!(matches!(stage.submit(b"next").await, Err(NoLease::NoWorker)));
    assert!(stage.ready(), "the same lease serves again when its worker is back");
    assert!(stage.submit(b"again").await.is_ok());
}

#[tokio::test]
async fn a_full_lease_is_busy_until_a_job_ends() {
    let stage = stage(PLENTY);
    let mut first = stage.submit(b"1").await.unwrap();
    let _second = stage.submit(b"2").await.unwrap();
    assert!(matches!(stage.submit(b"3").await, Err(NoLease::Busy)));
    stage.finish(&mut first).await;
    assert!(stage.submit(b"3").await.is_ok());
}

#[tokio::test]
async fn a_request_waits_for_room_and_takes_it_when_it_comes() {
    let stage = stage(PLENTY);
    let mut first = stage.submit(b"1").await.unwrap();
    let _second = stage.submit(b"2").await.unwrap();
    let (hub, spec) = (Arc::clone(&stage.hub), stage.spec(3));
    let patient = tokio::spawn(async move {
        hub.submit(&spec, JobId::new(Digest::sha256(b"3")), 0, None, Duration::from_secs(30)).await
    });
    stage.finish(&mut first).await;
    assert!(patient.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_budget_covers_exactly_what_it_holds() {
    // One request of 5 + 3 tokens may cost 35 at most.
    let enough = stage(Amount::from_nano(35));
    let handle = enough.submit(b"job").await.unwrap();
    let second = enough.submit(b"second").await;
    assert!(matches!(second, Err(NoLease::Budget { cost, left }) if cost.nano() == 35 && left.is_zero()));
    enough.hub.end(handle.job, &Ending::Refused("gone".into()));
    assert!(enough.submit(b"third").await.is_ok(), "a failed job gives back what was reserved for it");
    let short = stage(Amount::from_nano(34));
    assert!(matches!(short.submit(b"job").await, Err(NoLease::Budget { .. })));
}

#[tokio::test]
async fn more_tokens_than_the_measured_context_are_refused() {
    let stage = stage(PLENTY);
    let job = JobId::new(Digest::sha256(b"job"));
    assert!(stage.hub.submit(&stage.spec(95), job, 0, None, SOON).await.is_ok());
    let over = stage.hub.submit(&stage.spec(96), job, 0, None, SOON).await;
    assert!(matches!(over, Err(NoLease::Impossible(ImpossibleJob::Context { tokens: 101, context_tokens: 100 }))));
}

#[tokio::test]
async fn a_result_that_is_not_what_the_client_got_is_not_taken() {
    let lies: [fn(&mut JobResult); 5] = [
        |result| result.output_commitment = Digest::ZERO,
        |result| result.request = Digest::ZERO,
        |result| result.usage.completion_tokens = 2,
        |result| result.usage.prompt_tokens = 6,
        |result| result.usage.completion_tokens = 4,
    ];
    for lie in lies {
        let stage = stage(PLENTY);
        let mut handle = stage.submit(b"job").await.unwrap();
        let mut result = stage.answer(&handle);
        lie(&mut result);
        stage.hub.finished(stage.worker.public_key(), handle.job, result, [5; 32]).await;
        assert!(matches!(handle.next().await, Some(JobEvent::Text(_))));
        assert!(matches!(handle.next().await, Some(JobEvent::Failed { .. })));
    }
}

#[tokio::test]
async fn a_worker_can_send_no_more_tokens_than_were_asked_for() {
    let stage = stage(PLENTY);
    let mut handle = stage.submit(b"job").await.unwrap();
    stage.hub.delta(stage.worker.public_key(), handle.job, piece(&[1, 2, 3, 4], "abcd"));
    assert!(matches!(handle.next().await, Some(JobEvent::Failed { .. })));
}

#[tokio::test]
async fn no_other_worker_speaks_for_a_job() {
    let stage = stage(PLENTY);
    let handle = stage.submit(b"job").await.unwrap();
    let stranger = SecretKey::from_bytes([9; 32]).unwrap().public_key();
    stage.hub.delta(stranger, handle.job, piece(&[1], "x"));
    stage.hub.refused(stranger, handle.job, "no");
    assert!(stage.is_running(handle.job));
    stage.hub.session_lost(stage.worker.public_key(), &stage.outbox);
    let (wrong, right) = (Digest::ZERO, vrf_input(&Digest::sha256(b"beacon"), stage.lease));
    for (worker, input) in [(stage.worker.public_key(), wrong), (stranger, right)] {
        stage.hub.lease_ready(worker, stage.lease, &stage.vrf.prove(&input), 0, &stage.outbox);
        assert!(!stage.is_open());
    }
    assert!(stage.ready());
}

/// SPEC J1: a sequence names one request for ever, and a worker may have taken some that this run knows nothing of.
#[tokio::test]
async fn sequences_go_on_from_where_the_worker_is_and_end() {
    let stage = stage(PLENTY);
    let next = async |name: &[u8]| {
        let handle = stage.submit(name).await.unwrap();
        stage.hub.end(handle.job, &Ending::Refused("full".into()));
        handle.request.sequence
    };
    let first = next(b"1").await;
    assert!(first < limits::SEQUENCE_MAX / 32);
    assert!(stage.ready_from(0));
    // SPEC V5: with gaps, so that a planted job has a place.
    let second = next(b"2").await;
    assert!((first + 1..=first + 4).contains(&second), "a lower one changes nothing");
    assert!(stage.ready_from(limits::SEQUENCE_MAX));
    assert_eq!(next(b"3").await, limits::SEQUENCE_MAX);
    assert!(matches!(stage.submit(b"4").await, Err(NoLease::NoWorker)), "there is no sequence after the last");
    assert!(!stage.ready_from(u64::MAX));
}

/// What a worker must refuse is not sent to it.
#[tokio::test]
async fn impossible_jobs_reach_no_worker() {
    let mut stage = stage(PLENTY);
    let job = JobId::new(Digest::sha256(b"job"));
    for spec in [stage.spec(0), JobSpec { prompt_tokens: 0, ..stage.spec(3) }] {
        let refused = stage.hub.submit(&spec, job, 0, None, SOON).await;
        assert!(matches!(refused, Err(NoLease::Impossible(ImpossibleJob::NoTokens))));
        assert_eq!(spec.check(100), Err(ImpossibleJob::NoTokens));
    }
    assert_eq!((stage.spec(95).check(100).is_ok(), stage.spec(96).check(100).is_ok()), (true, false));
    assert!(stage.inbox.try_recv().is_err());
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_job() {
    let mut stage = stage(PLENTY);
    let handle = stage.submit(b"job").await.unwrap();
    let job = handle.job;
    assert!(matches!(stage.inbox.recv().await, Some(GatewayMessage::Job { .. })));
    drop(handle);
    assert_eq!(stage.inbox.recv().await, Some(GatewayMessage::Cancel { job }));
}

#[tokio::test]
async fn a_segment_of_delivered_results_is_signed_once_and_charged_once() {
    let stage = stage(PLENTY);
    let mut handle = stage.submit(b"job").await.unwrap();
    let leaf = stage.finish(&mut handle).await;
    let terms = stage.segment(0, std::slice::from_ref(&leaf));
    let signature = stage.sign(&terms, &[handle.job]).unwrap();
    assert!(terms.signed_by_gateway(&stage.hub.node(), &signature));
    assert_eq!(stage.sign(&terms, &[handle.job]), Ok(signature), "asked again, the same answer");
    assert_eq!(stage.hub.budget(stage.payer).unwrap().spent.nano(), 35);
    // The leaf stands in the segment as a receipt will show it.
    let path = merkle_path(&[leaf.hash()], 0).unwrap();
    let worker_signature = terms.sign_as_worker(&stage.worker);
    assert!(JobProof { terms, worker_signature, leaf, path }.proves(&stage.worker.public_key()));
}

#[tokio::test]
async fn a_segment_with_anything_else_in_it_is_refused() {
    let stage = stage(PLENTY);
    let mut handle = stage.submit(b"job").await.unwrap();
    let leaf = stage.finish(&mut handle).await;
    let job = handle.job;
    let terms = stage.segment(0, std::slice::from_ref(&leaf));
    let stranger = JobId::new(Digest::sha256(b"stranger"));
    assert_eq!(stage.sign(&terms, &[job, stranger]).unwrap_err().undelivered, [stranger]);
    assert!(stage.sign(&terms, &[job, job]).is_err(), "a job twice");
    let mut dearer = terms;
    dearer.totals.completion_tokens += 1;
    assert!(stage.sign(&dearer, &[job]).is_err(), "other totals");
    let mut other = terms;
    other.root = Digest::ZERO;
    assert!(stage.sign(&other, &[job]).is_err(), "another root");
    let forged =
        stage.hub.sign_segment(stage.worker.public_key(), &terms, &[job], &Signature::from_bytes([0; 64]), None);
    assert!(forged.is_err(), "no signature of the worker's");
    assert!(stage.sign(&terms, &[job]).is_ok());
    assert!(stage.sign(&other, &[job]).is_err(), "another segment in its place");
}

#[tokio::test]
async fn a_closed_lease_fails_what_no_segment_holds_and_frees_its_budget() {
    let stage = stage(Amount::from_nano(35));
    let mut handle = stage.submit(b"job").await.unwrap();
    stage.finish(&mut handle).await;
    assert!(stage.hub.is_known(handle.job));
    stage.hub.close_lease(stage.lease).unwrap();
    assert!(!stage.hub.is_known(handle.job) && stage.hub.has_failed(handle.job));
    assert_eq!((stage.reserved(), stage.left()), (0, 35));
}

#[tokio::test]
async fn a_worker_may_not_say_that_an_answer_was_cancelled_when_it_was_not() {
    let stage = stage(PLENTY);
    let mut handle = stage.submit(b"job").await.unwrap();
    let mut result = stage.answer(&handle);
    result.finish = FinishReason::Cancelled;
    stage.hub.finished(stage.worker.public_key(), handle.job, result.clone(), [5; 32]).await;
    assert!(matches!(handle.next().await, Some(JobEvent::Text(_))));
    assert!(matches!(handle.next().await, Some(JobEvent::Failed { .. })));

    let handle = stage.submit(b"other").await.unwrap();
    let mut result = stage.answer(&handle);
    result.finish = FinishReason::Cancelled;
    let job = handle.job;
    drop(handle);
    stage.hub.finished(stage.worker.public_key(), job, result, [5; 32]).await;
    assert!(stage.hub.is_known(job), "the client left, so the worker is right");
}

#[tokio::test]
async fn a_worker_that_is_ready_before_its_lease_is_known_serves_it_all_the_same() {
    let stage = stage(PLENTY);
    let record = lease_record(stage.lease, stage.profile, stage.worker.public_key());
    stage.hub.close_lease(stage.lease).unwrap();
    assert!(!stage.ready(), "not known yet");
    stage.hub.add_leases(vec![(record, stage.vrf.public_key(), LeaseUse::default())]);
    assert!(stage.submit(b"job").await.is_ok());
}

fn lease_record(lease: LeaseId, profile: ProfileId, worker: NodeId) -> LeaseRecord {
    let price = Price { prompt_token: Amount::from_nano(1), completion_token: Amount::from_nano(10) };
    let terms = TaskTerms {
        kind: TaskKind::Inference,
        mode: VerificationMode::Exact,
        tier: inferium_types::Tier::Mid,
        profile,
        price_max: price,
        jobs_max: 10,
        tokens_max: 1_000,
        slots: SLOTS,
        context_tokens: 100,
        open_ms: 1,
        lease_ms: 1,
    };
    let beacon = Digest::sha256(b"beacon");
    LeaseRecord { lease, worker, terms, price, beacon, expires_at_ms: 0 }
}
