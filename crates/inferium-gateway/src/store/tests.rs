//! Budgets and records: what was signed is paid for once, what was rejected comes back once.

use super::{
    GatewayStore, KeyLimits, KeyRecord, KeyTerms, LeaseRecord, PaymentRecord, PaymentState, REVIEWS_MAX, ReviewRecord,
    SegmentRecord, SegmentStatus, SlashState, UnsignedRecord,
};
use inferium_types::{
    AccountId, AgentId, Amount, ChainId, Digest, FinishReason, JobId, JobLeaf, JobRequest, JobResult, JobTotals,
    LeaseId, Price, ProfileId, PublicKey, RejectReason, SamplingParams, SecretKey, SegmentId, SegmentTerms, SlashRule,
    SlashedNode, TaskId, TaskKind, TaskTerms, Transaction, TransactionBody, Usage, VerificationMode, merkle_root,
};
use std::path::PathBuf;

fn key() -> SecretKey {
    SecretKey::from_bytes([1; 32]).unwrap()
}

/// A store in a file of its own, which goes with it.
struct Scratch {
    path: PathBuf,
    store: Option<GatewayStore>,
}

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("inferium-gateway-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let store = Some(GatewayStore::open(&path, &key()).unwrap());
        Self { path, store }
    }

    fn store(&self) -> &GatewayStore {
        self.store.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(GatewayStore::open(&self.path, &key()).unwrap());
    }

    fn spent(&self, key: u8) -> u64 {
        self.key(key).map_or(0, |record| record.spent.nano())
    }

    fn key(&self, key: u8) -> Option<KeyRecord> {
        let keys = self.store().keys().unwrap();
        keys.into_iter().find(|(found, _)| *found == hash(key)).map(|(_, record)| record)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.store = None;
        let _ = std::fs::remove_file(&self.path);
    }
}

fn hash(key: u8) -> Digest {
    Digest::from([key; 32])
}

pub(crate) fn lease(byte: u8) -> LeaseId {
    LeaseId::new(hash(byte))
}

fn job(segment: u32, position: u8) -> JobId {
    JobId::new(Digest::of("job", &[&segment.to_be_bytes(), &[position]]))
}

/// Segment `index` of lease 1, its jobs paid for by these keys.
pub(crate) fn segment(index: u32, payers: &[(u8, u64)]) -> SegmentRecord {
    let leaves: Vec<JobLeaf> = (0u8..)
        .zip(payers)
        .map(|(position, _)| {
            let request = JobRequest {
                job: job(index, position),
                lease: lease(1),
                sequence: u64::from(position),
                attempt: 0,
                input_commitment: Digest::ZERO,
                prompt_tokens: 1,
                tokens_max: 2,
                sampling: SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 },
                client_seed: None,
            };
            let result = JobResult {
                request: request.digest(),
                output_commitment: Digest::ZERO,
                evidence_root: Digest::ZERO,
                usage: Usage { prompt_tokens: 1, completion_tokens: 2 },
                finish: FinishReason::Length,
            };
            JobLeaf { request, result }
        })
        .collect();
    let hashes: Vec<Digest> = leaves.iter().map(JobLeaf::hash).collect();
    let totals = JobTotals::of(&leaves).unwrap();
    let terms = SegmentTerms { lease: lease(1), index, totals, root: merkle_root(&hashes) };
    SegmentRecord {
        terms,
        signature: terms.sign_as_gateway(&SecretKey::from_bytes([8; 32]).unwrap()),
        leaves,
        planted: None,
        payers: payers.iter().map(|(key, nano)| (hash(*key), Amount::from_nano(*nano))).collect(),
        status: SegmentStatus::Provisional,
    }
}

const REJECTED: SegmentStatus = SegmentStatus::Rejected(RejectReason::Unresolved);

#[test]
fn signed_segment_is_paid_by_its_payers() {
    let mut scratch = Scratch::new("paid");
    scratch.store().ensure_key(hash(1), Amount::from_nano(1_000)).unwrap();
    scratch.store().put_segment(&segment(0, &[(1, 10), (2, 20), (1, 5)])).unwrap();
    scratch.store().put_segment(&segment(1, &[(1, 100)])).unwrap();
    scratch.reopen();
    assert_eq!((scratch.spent(1), scratch.spent(2), scratch.spent(3)), (115, 20, 0));
    assert_eq!(scratch.key(1).unwrap().budget, Amount::from_nano(1_000));
}

#[test]
fn rejected_segment_comes_back_once() {
    let mut scratch = Scratch::new("back");
    let (first, second) = (segment(0, &[(1, 10), (2, 20)]), segment(1, &[(1, 7)]));
    scratch.store().put_segment(&first).unwrap();
    scratch.store().put_segment(&second).unwrap();
    for time in 0..3 {
        let refunds = scratch.store().decide_segment(first.terms.id(), REJECTED).unwrap();
        assert_eq!(refunds, if time == 0 { first.payers.clone() } else { Vec::new() });
        assert_eq!((scratch.spent(1), scratch.spent(2)), (7, 0));
        scratch.reopen();
    }
    assert_eq!(scratch.store().segment(first.terms.id()).unwrap().unwrap().status, REJECTED);
}

#[test]
fn decision_about_an_unknown_segment_is_none() {
    let scratch = Scratch::new("unknown");
    assert!(scratch.store().decide_segment(SegmentId::new(hash(9)), REJECTED).unwrap().is_empty());
    assert_eq!(scratch.store().segment(SegmentId::new(hash(9))).unwrap(), None);
    assert_eq!(scratch.store().job(job(0, 0)).unwrap(), None);
}

/// SPEC S: never two segments in one place, and the second leaves no trace.
#[test]
fn second_segment_in_one_place_changes_nothing() {
    let mut scratch = Scratch::new("place");
    let first = segment(0, &[(1, 10)]);
    scratch.store().put_segment(&first).unwrap();
    assert!(scratch.store().put_segment(&first).is_err());
    assert!(scratch.store().put_segment(&segment(0, &[(2, 30), (1, 50)])).is_err());
    scratch.reopen();
    assert_eq!((scratch.spent(1), scratch.spent(2)), (10, 0));
    assert_eq!(scratch.store().segment(first.terms.id()).unwrap(), Some(first));
    assert_eq!(scratch.store().job(job(0, 1)).unwrap(), None);
}

/// All or nothing: a cost that no number holds keeps the whole segment out.
#[test]
fn segment_whose_cost_overflows_is_not_kept() {
    let scratch = Scratch::new("overflow");
    let whole = segment(0, &[(2, 5), (1, u64::MAX), (1, 1)]);
    assert!(scratch.store().put_segment(&whole).is_err());
    assert_eq!((scratch.spent(1), scratch.spent(2)), (0, 0));
    assert_eq!(scratch.store().segment(whole.terms.id()).unwrap(), None);
    assert_eq!(scratch.store().job(job(0, 0)).unwrap(), None);
}

#[test]
fn jobs_are_found_by_name() {
    let scratch = Scratch::new("jobs");
    let record = segment(3, &[(1, 1), (1, 1), (1, 1)]);
    scratch.store().put_segment(&record).unwrap();
    for position in 0u8..3 {
        let found = scratch.store().job(job(3, position)).unwrap();
        assert_eq!(found, Some((record.terms.id(), u32::from(position))));
    }
}

#[test]
fn key_keeps_what_it_spent_when_its_budget_changes() {
    let scratch = Scratch::new("budget");
    scratch.store().put_segment(&segment(0, &[(1, 10)])).unwrap();
    scratch.store().ensure_key(hash(1), Amount::from_nano(50)).unwrap();
    let expected = KeyRecord { budget: Amount::from_nano(50), spent: Amount::from_nano(10) };
    assert_eq!(scratch.key(1), Some(expected));
    assert_eq!(scratch.key(2), None);
}

/// What a closed lease never committed costs nothing; what was decided stays.
#[test]
fn closed_lease_returns_what_was_never_committed() {
    let scratch = Scratch::new("closed");
    let (decided, open) = (segment(0, &[(1, 10)]), segment(1, &[(1, 5)]));
    scratch.store().put_segment(&decided).unwrap();
    scratch.store().decide_segment(decided.terms.id(), REJECTED).unwrap();
    scratch.store().put_segment(&open).unwrap();
    assert_eq!(scratch.spent(1), 5);
    for time in 0..2 {
        let refunds = scratch.store().close_lease(lease(1), &[]).unwrap();
        assert_eq!(refunds, if time == 0 { open.payers.clone() } else { Vec::new() });
        assert_eq!(scratch.spent(1), 0);
        let status = |record: &SegmentRecord| scratch.store().segment(record.terms.id()).unwrap().unwrap().status;
        assert_eq!((status(&open), status(&decided)), (SegmentStatus::Uncommitted, REJECTED));
    }
}

pub(crate) fn lease_record(byte: u8) -> LeaseRecord {
    let price = Price { prompt_token: Amount::from_nano(1), completion_token: Amount::from_nano(2) };
    LeaseRecord {
        lease: lease(byte),
        worker: PublicKey::from_bytes([9; 32]),
        terms: TaskTerms {
            kind: TaskKind::Inference,
            mode: VerificationMode::Exact,
            tier: inferium_types::Tier::Mid,
            profile: ProfileId::new(Digest::ZERO),
            price_max: price,
            jobs_max: 10,
            tokens_max: 1_000,
            slots: 1,
            context_tokens: 512,
            open_ms: 1,
            lease_ms: 1,
        },
        price,
        beacon: Digest::ZERO,
        expires_at_ms: 77,
    }
}

fn slash(number: u64) -> SlashedNode {
    SlashedNode {
        slash: number,
        node: PublicKey::from_bytes([1; 32]),
        role: "worker".into(),
        operator: AccountId::from_bytes([2; 32]),
        rule: SlashRule::WrongResult,
        segment: None,
        job: None,
        amount: Amount::from_nano(5),
        releases_at_ms: 9,
        disqualified: false,
    }
}

#[test]
fn records_survive_reopening() {
    let mut scratch = Scratch::new("records");
    let store = scratch.store();
    assert_eq!(store.cursor().unwrap(), None);
    store.set_cursor(41).unwrap();
    for byte in 1..=3 {
        store.put_lease(&lease_record(byte)).unwrap();
        store.put_task(TaskId::new(hash(byte))).unwrap();
    }
    store.close_lease(lease(2), &[]).unwrap();
    store.remove_task(TaskId::new(hash(1))).unwrap();
    scratch.reopen();
    let store = scratch.store();
    assert_eq!(store.cursor().unwrap(), Some(41));
    assert_eq!(store.leases().unwrap(), [lease_record(1), lease_record(3)]);
    assert_eq!(store.tasks().unwrap(), [TaskId::new(hash(2)), TaskId::new(hash(3))]);
}

#[test]
fn slashes_come_in_pages_newest_first() {
    let mut scratch = Scratch::new("pages");
    for number in 1..=5 {
        scratch.store().put_slash(&slash(number), number * 10).unwrap();
    }
    scratch.reopen();
    let page = |before, count| -> Vec<u64> {
        scratch.store().slashes(before, count).unwrap().into_iter().map(|(number, _)| number).collect()
    };
    assert_eq!(page(None, 2), [5, 4]);
    assert_eq!(page(Some(4), 2), [3, 2]);
    assert_eq!(page(Some(2), 2), [1]);
}

#[test]
fn a_slash_ends_once_and_stays_ended() {
    let scratch = Scratch::new("release");
    let store = scratch.store();
    for number in 1..=3 {
        store.put_slash(&slash(number), 1).unwrap();
    }
    let states = || -> Vec<&str> {
        store.slashes(None, 10).unwrap().into_iter().map(|(_, record)| record.state.name()).collect()
    };
    store.end_slash(2, SlashState::Burned).unwrap();
    store.end_slash(3, SlashState::Overturned).unwrap();
    store.end_slash(4, SlashState::Burned).unwrap();
    assert_eq!(states(), ["overturned", "burned", "held"]);
    store.put_slash(&slash(2), 1).unwrap();
    assert_eq!(states(), ["overturned", "burned", "held"], "its block seen again holds it no more");
}

pub(crate) fn unsigned(record: &SegmentRecord) -> Vec<UnsignedRecord> {
    let paid = record.leaves.iter().zip(&record.payers);
    paid.map(|(leaf, (payer, cost))| UnsignedRecord { leaf: leaf.clone(), payer: *payer, cost: *cost }).collect()
}

#[test]
fn an_unsigned_job_stays_until_its_segment_is_signed() {
    let mut scratch = Scratch::new("unsigned");
    scratch.store().put_lease(&lease_record(1)).unwrap();
    let (first, second) = (segment(0, &[(1, 10), (2, 20)]), segment(1, &[(1, 5)]));
    scratch.store().put_unsigned(&unsigned(&first)).unwrap();
    scratch.reopen();
    assert_eq!(scratch.store().unsigned().unwrap().len(), 2);
    scratch.store().put_segment(&first).unwrap();
    assert_eq!(scratch.store().unsigned().unwrap(), []);
    // The write of a job may come after its segment was signed.
    scratch.store().put_segment(&second).unwrap();
    scratch.store().put_unsigned(&unsigned(&second)).unwrap();
    scratch.reopen();
    assert_eq!(scratch.store().unsigned().unwrap(), []);
}

#[test]
fn a_closed_lease_leaves_no_unsigned_job() {
    let scratch = Scratch::new("unsigned-closed");
    let store = scratch.store();
    store.put_lease(&lease_record(1)).unwrap();
    let records = unsigned(&segment(0, &[(1, 10), (2, 20)]));
    store.put_unsigned(&records[..1]).unwrap();
    store.close_lease(lease(1), &[records[0].leaf.request.job]).unwrap();
    store.put_unsigned(&records[1..]).unwrap();
    assert_eq!(store.unsigned().unwrap(), []);
}

/// Usage is what was signed for; what came back costs nothing, once, also when its lease is forgotten by then.
#[test]
fn usage_counts_what_was_signed_and_what_came_back() {
    let mut scratch = Scratch::new("usage");
    scratch.store().put_lease(&lease_record(1)).unwrap();
    let (kept, free) = (segment(0, &[(1, 10), (2, 20)]), segment(1, &[(1, 7), (1, 5)]));
    scratch.store().put_segment(&kept).unwrap();
    scratch.store().put_segment(&free).unwrap();
    scratch.store().close_lease(lease(9), &[]).unwrap();
    for _ in 0..2 {
        scratch.store().decide_segment(free.terms.id(), REJECTED).unwrap();
        scratch.reopen();
    }
    let rows = scratch.store().usage(None).unwrap();
    let shown: Vec<_> =
        rows.iter().map(|row| (row.payer, row.usage.jobs, row.usage.free_jobs, row.usage.cost.nano())).collect();
    assert_eq!(shown, [(hash(1), 3, 2, 10), (hash(2), 1, 0, 20)]);
    assert_eq!((rows[0].usage.prompt_tokens, rows[0].usage.completion_tokens), (3, 6));
    assert_eq!(scratch.store().usage(Some(hash(2))).unwrap(), rows[1..]);
    assert_eq!(scratch.spent(1), 10, "what rows cost is what budgets paid");
}

/// Keys of before terms were kept have none, and go on as they were.
#[test]
fn a_key_without_terms_has_no_restrictions() {
    let mut scratch = Scratch::new("terms");
    scratch.store().ensure_key(hash(1), Amount::from_nano(5)).unwrap();
    let terms = KeyTerms { name: "new".into(), models: Some(vec!["a".into()]), ..KeyTerms::default() };
    scratch.store().create_key(hash(2), Amount::from_nano(6), &terms).unwrap();
    scratch.reopen();
    assert_eq!(scratch.store().key_terms().unwrap(), [(hash(2), terms.clone())]);
    assert_eq!(scratch.key(1).map(|key| key.budget), Some(Amount::from_nano(5)));
    assert_eq!((KeyTerms::default().allows("b"), terms.allows("a"), terms.allows("b")), (true, true, false));
}

#[test]
fn limits_of_a_key_survive_reopening_and_its_revocation() {
    let mut scratch = Scratch::new("limits");
    let limits = KeyLimits { requests: Some(3), tokens: None };
    let terms = KeyTerms { name: "a".into(), limits, ..KeyTerms::default() };
    scratch.store().create_key(hash(1), Amount::from_nano(1), &terms).unwrap();
    scratch.store().put_key_terms(hash(1), &KeyTerms { revoked_at_ms: Some(1), ..terms.clone() }).unwrap();
    scratch.reopen();
    let found = scratch.store().key_terms().unwrap();
    assert_eq!(found, [(hash(1), KeyTerms { revoked_at_ms: Some(1), ..terms })]);
}

#[test]
fn a_payment_is_recorded_once_and_credited_once_over_restarts() {
    let mut scratch = Scratch::new("payments");
    let transfer = |nonce| {
        let body = TransactionBody::Transfer { to: key().public_key(), amount: Amount::from_nano(10) };
        Transaction { chain: ChainId::new(hash(9)), sender: key().public_key(), nonce, body }.sign(&key())
    };
    let (signed, other) = (transfer(0), transfer(1));
    let (id, other_id) = (signed.id(), other.id());
    let record = PaymentRecord { payer: hash(1), amount: Amount::from_nano(10), state: PaymentState::Recorded };
    scratch.store().ensure_key(hash(1), Amount::from_nano(5)).unwrap();
    assert_eq!(scratch.store().record_payment(&signed, &record).unwrap(), None);
    scratch.reopen();
    assert_eq!(scratch.store().record_payment(&signed, &record).unwrap(), Some(record), "it is known after a restart");
    assert_eq!(scratch.store().pending_payments().unwrap(), [(signed.clone(), record)]);
    assert_eq!(scratch.store().settle_payment(id, true).unwrap(), Some((hash(1), Amount::from_nano(10))));
    scratch.reopen();
    assert_eq!(scratch.store().settle_payment(id, true).unwrap(), None, "the block may be met again");
    assert_eq!(scratch.key(1).map(|key| key.budget), Some(Amount::from_nano(15)));
    // What the configuration says of a key's budget is without what was paid.
    scratch.store().ensure_key(hash(1), Amount::from_nano(6)).unwrap();
    assert_eq!(scratch.key(1).map(|key| key.budget), Some(Amount::from_nano(16)));
    // What failed, or was refused, credits nothing; what was credited is not forgotten.
    assert_eq!(scratch.store().record_payment(&other, &record).unwrap(), None);
    assert_eq!(scratch.store().settle_payment(other_id, false).unwrap(), None);
    assert_eq!(scratch.store().settle_payment(other_id, true).unwrap(), None);
    assert!(!scratch.store().forget_payment(id).unwrap() && !scratch.store().forget_payment(other_id).unwrap());
    let credited = PaymentRecord { state: PaymentState::Credited, ..record };
    assert_eq!(scratch.store().record_payment(&signed, &record).unwrap(), Some(credited));
    assert_eq!(scratch.store().pending_payments().unwrap(), []);
    assert_eq!(scratch.key(1).map(|key| key.budget), Some(Amount::from_nano(16)));
    // One that no block will hold leaves nothing.
    let third = transfer(2);
    assert_eq!(scratch.store().record_payment(&third, &record).unwrap(), None);
    assert!(scratch.store().forget_payment(third.id()).unwrap());
    assert_eq!((scratch.store().pending_payments().unwrap(), scratch.store().payments_count()), (vec![], 2));
    // An unlimited budget stays one.
    scratch.store().ensure_key(hash(1), Amount::from_nano(u64::MAX)).unwrap();
    assert_eq!(scratch.key(1).map(|key| key.budget), Some(Amount::from_nano(u64::MAX)));
}

#[test]
fn an_agent_has_one_review_of_each_run_and_the_oldest_goes() {
    let scratch = Scratch::new("reviews");
    let store = scratch.store();
    let agent = |byte: u8| AgentId::new(Digest::from([byte; 32]));
    let run = |number: usize| LeaseId::new(Digest::of("run", &[&number.to_le_bytes()]));
    let review = |rating, at_ms| ReviewRecord {
        payer: hash(1),
        rating,
        text: "good".to_owned(),
        at_ms,
        job: JobId::new(Digest::ZERO),
        version: 1,
    };
    store.put_review(agent(1), run(0), review(5, 10)).unwrap();
    // The second one takes its place, in time as well.
    assert_eq!(store.put_review(agent(1), run(0), review(1, 20)).unwrap(), review(1, 10));
    store.put_review(agent(2), run(1), review(3, 10)).unwrap();
    assert_eq!(store.reviews(agent(1)).unwrap(), [(run(0), review(1, 10))]);
    assert_eq!(store.reviews(agent(2)).unwrap(), [(run(1), review(3, 10))]);
    assert!(!store.remove_review(run(0), hash(2)).unwrap(), "somebody else's");
    assert!(!store.remove_review(run(2), hash(1)).unwrap(), "none");
    assert!(store.remove_review(run(0), hash(1)).unwrap() && !store.remove_review(run(0), hash(1)).unwrap());
    assert!(store.reviews(agent(1)).unwrap().is_empty() && store.reviews(agent(2)).unwrap().len() == 1);

    for number in 0..=REVIEWS_MAX {
        // The oldest is the last by name or not: what counts is when it was said.
        let at_ms = u64::try_from(number).unwrap();
        store.put_review(agent(3), run(number + 10), review(2, at_ms)).unwrap();
    }
    let kept = store.reviews(agent(3)).unwrap();
    assert_eq!(kept.len(), REVIEWS_MAX);
    let has = |number| kept.iter().any(|(of, _)| *of == run(number));
    assert!(!has(10) && has(11) && has(10 + REVIEWS_MAX));
}
