//! Forced errors: SPEC V5, C3; and evidence of equivocation: SPEC S.

use super::support::*;
use crate::{Opening, Rejection, SegmentState, Stage};
use inferium_types::{
    Amount, ConsensusVote, Digest, Event, FORCED_ROOM, FORCED_TOKENS, FinishReason, ForcedKind, ForcedOrder, JobFault,
    JobId, JobLeaf, JobRequest, JobResult, JobTotals, LeaseId, NodeId, OPENINGS_MAX, Parameters, PlantedJob, Ppm,
    RejectReason, SamplingParams, SegmentId, SegmentOpening, SegmentTerms, SlashRule, TaskTerms, TransactionBody,
    Usage, VerdictVote, VoteSubject, merkle_path, merkle_root,
};

const USAGE: Usage = Usage { prompt_tokens: 10, completion_tokens: 5 };
/// Of the job above; nano-IFR.
const JOB_FEE: u64 = 1_000 * 10 + 2_000 * 5;

/// A segment of four jobs of which the second one is planted, unless `plants` is false.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) chain: Chain,
    pub(super) lease: LeaseId,
    pub(super) segment: SegmentId,
    pub(super) order: ForcedOrder,
    leaves: Vec<JobLeaf>,
}

pub(super) fn ordered(share: u32, wanted: Option<ForcedKind>) -> Case {
    case(share, wanted, true, &task_terms())
}

pub(super) fn case(share: u32, wanted: Option<ForcedKind>, plants: bool, terms: &TaskTerms) -> Case {
    case_after(share, wanted, plants, terms, (0, 0))
}

/// Opens leases until the VRF of `w0` says `wanted` of the first segment of one, which has had so many jobs and tokens.
fn case_after(
    share: u32,
    wanted: Option<ForcedKind>,
    plants: bool,
    terms: &TaskTerms,
    (jobs, tokens): (u32, u64),
) -> Case {
    let parameters = Parameters { forced_share: Ppm::new(share), ..feeless(4) };
    let mut chain = Chain::with(9, parameters).furnished(1);
    chain.ok("w0", offer(64));
    // The treasury has something for jackpots.
    chain.state.meta_mut().treasury = Amount::from_ifr(1_000);
    let pool = chain.state.meta().reward_pool.sub(Amount::from_ifr(1_000)).unwrap();
    chain.state.meta_mut().reward_pool = pool;
    chain.state.audit().unwrap();
    for _ in 0..100 {
        let (_, lease) = chain.open("g0", *terms);
        let beacon = chain.state.lease(&lease).unwrap().beacon;
        let proof = vrf("w0").prove(&ForcedOrder::input(&beacon, lease, 0));
        let order = ForcedOrder::of(proof.output());
        if order.kind(Ppm::new(share)) == wanted {
            let mut leaves: Vec<JobLeaf> = (0..4).map(|index| leaf(lease, index)).collect();
            if let Some(kind) = wanted.filter(|_| plants) {
                leaves[1].request.job = order.job();
                leaves[1].result.request = leaves[1].request.digest();
                if kind == ForcedKind::Wrong {
                    leaves[1].result.evidence_root = order.wrong_root();
                }
            }
            let mut entry = *chain.state.lease(&lease).unwrap();
            (entry.jobs, entry.tokens) = (jobs, tokens);
            chain.state.set_lease(lease, Some(entry));
            let segment = commit(&mut chain, lease, &leaves);
            return Case { chain, lease, segment, order, leaves };
        }
        chain.ok("g0", TransactionBody::CloseLease { lease });
        // What it pays for its slots is paid before anything is counted.
        let drained_ms = chain.now_ms + chain.parameters().lease_drain_ms;
        chain.wait_until(drained_ms);
    }
    panic!("no lease with such an order");
}

fn leaf(lease: LeaseId, index: u64) -> JobLeaf {
    let request = JobRequest {
        job: JobId::new(Digest::of("test-job", &[&index.to_be_bytes()])),
        lease,
        sequence: index,
        attempt: 0,
        input_commitment: Digest::ZERO,
        prompt_tokens: USAGE.prompt_tokens,
        tokens_max: USAGE.completion_tokens,
        sampling: SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 },
        client_seed: None,
    };
    let result = JobResult {
        request: request.digest(),
        output_commitment: Digest::ZERO,
        evidence_root: Digest::of("test-evidence", &[&index.to_be_bytes()]),
        usage: USAGE,
        finish: FinishReason::Length,
    };
    JobLeaf { request, result }
}

fn hashes(leaves: &[JobLeaf]) -> Vec<Digest> {
    leaves.iter().map(JobLeaf::hash).collect()
}

fn commit(chain: &mut Chain, lease: LeaseId, leaves: &[JobLeaf]) -> SegmentId {
    let totals = JobTotals::of(leaves).unwrap();
    let index = chain.state.lease(&lease).unwrap().segments;
    let commitment = chain.sign(SegmentTerms { lease, index, totals, root: merkle_root(&hashes(leaves)) });
    chain.ok("w0", TransactionBody::CommitSegment { commitment });
    commitment.terms.id()
}

pub(super) fn wrong(job: u32) -> VerdictVote {
    VerdictVote::Invalid { job, fault: JobFault::Logits }
}

impl Case {
    pub(super) fn opening(&self, job: Option<usize>) -> SegmentOpening {
        let beacon = self.chain.state.lease(&self.lease).unwrap().beacon;
        let proof = vrf("w0").prove(&ForcedOrder::input(&beacon, self.lease, 0));
        let planted = job.map(|job| PlantedJob {
            leaf: self.leaves[job].clone(),
            path: merkle_path(&hashes(&self.leaves), job).unwrap(),
        });
        SegmentOpening { segment: self.segment, proof, planted }
    }

    pub(super) fn open(&mut self, job: Option<usize>) -> Vec<Event> {
        let opening = self.opening(job);
        self.chain.ok("w0", opens([opening]))
    }

    fn refuses(&self, sender: &str, opening: SegmentOpening, expected: &Rejection) {
        self.chain.fails(sender, opens([opening]), expected);
    }

    fn state(&self) -> SegmentState {
        self.chain.state.segment(&self.segment).unwrap().state.clone()
    }

    /// Whoever has not voted does so until the segment is decided.
    pub(super) fn vote_all(&mut self, vote: VerdictVote) {
        self.chain.vote_rest(self.segment, vote);
    }

    pub(super) fn approve(&mut self) -> Vec<String> {
        let members = self.chain.draw(self.segment);
        self.chain.vote(self.segment, &members, valid());
        assert!(matches!(self.state(), SegmentState::Final { .. }));
        members
    }

    fn slashed(&self) -> Vec<(String, SlashRule, bool)> {
        let slash = |event: &Event| match event {
            Event::Slashed(slash) => Some((self.chain.name(&slash.node), slash.rule, slash.disqualified)),
            _ => None,
        };
        self.chain.history.iter().filter_map(slash).collect()
    }

    fn settled(&self) -> Option<inferium_types::SegmentOutcome> {
        self.chain.history.iter().find_map(|event| match event {
            Event::SegmentApproved(outcome) if outcome.settled && outcome.segment == self.segment => {
                Some(outcome.clone())
            }
            _ => None,
        })
    }

    fn rejected(&self) -> Option<RejectReason> {
        self.chain.history.iter().find_map(|event| match event {
            Event::SegmentRejected { segment, reason, .. } if *segment == self.segment => Some(*reason),
            _ => None,
        })
    }
}

pub(super) fn opens<const N: usize>(openings: [SegmentOpening; N]) -> TransactionBody {
    TransactionBody::OpenSegments { openings: openings.to_vec() }
}

fn planted(events: &[Event]) -> Option<(u32, ForcedKind, Vec<NodeId>, u64)> {
    events.iter().find_map(|event| match event {
        Event::ForcedErrorOpened { job, kind, caught, jackpot, .. } => {
            Some((*job, *kind, caught.clone(), jackpot.nano()))
        }
        _ => None,
    })
}

/// SPEC V5: whoever attested the replay of a known-wrong job loses everything and its seat, and the
/// rest of the segment is judged anew.
#[test]
fn blind_approval_of_a_planted_job_costs_everything() {
    let mut case = ordered(1_000_000, Some(ForcedKind::Wrong));
    let blind = case.approve();
    let worker = case.chain.balance("w0");
    let unsettled = case.chain.state.node(&id("w0")).unwrap().unsettled.nano();
    let events = case.open(Some(1));
    assert_eq!(planted(&events), Some((1, ForcedKind::Wrong, Vec::new(), 0)));
    let mut expected: Vec<_> = blind.iter().map(|name| (name.clone(), SlashRule::WrongApproval, true)).collect();
    let mut found = case.slashed();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    for name in &blind {
        assert_eq!(case.chain.stake(name), 0, "{name}");
        assert!(case.chain.state.operator(&id(&operator_of(name))).unwrap().barred);
    }
    for (_, hold) in case.chain.state.holds() {
        assert_eq!((hold.provers.len(), hold.harmed), (0, None), "nobody gains by planting");
    }
    assert!(matches!(case.state(), SegmentState::AwaitingSeed { .. }));
    assert_eq!(case.chain.state.node(&id("w0")).unwrap().unsettled.nano(), unsettled - JOB_FEE);

    let members = case.chain.draw(case.segment);
    assert!(members.iter().all(|name| !blind.contains(name)), "a new committee");
    assert!(case.chain.history.iter().any(|event| matches!(event, Event::CommitteeDrawn { planted: Some(1), .. })));
    // The planted job is no reason any more; another one is.
    let again = verdict(case.segment, wrong(1));
    let mut bound = case.chain.clone();
    bound.bind(case.segment, &[(&members[1], valid())]);
    bound.fails(&members[0], again, &Rejection::OutOfBounds { field: "job" });
    case.chain.vote(case.segment, &members, valid());
    let SegmentState::Final { settles_at_ms, .. } = case.state() else { panic!("final") };
    case.chain.wait_until(settles_at_ms);
    let outcome = case.settled().unwrap();
    assert_eq!((outcome.planted, outcome.fee.nano()), (Some(1), 3 * JOB_FEE), "nobody pays for it");
    assert_eq!(outcome.totals.jobs, 4, "as it was signed");
    assert_eq!(case.chain.balance("w0") - worker, 3 * JOB_FEE / 10 * 8);
    assert_eq!(case.chain.record("w0").0, 3, "three jobs of clients");
    assert!(case.chain.state.node(&id("w0")).unwrap().unsettled.is_zero());
    let lease = case.chain.state.lease(&case.lease).unwrap();
    assert_eq!((lease.jobs, lease.tokens, lease.reserved), (3, 45, Amount::ZERO));
}

/// SPEC V5: who finds it gets a capped jackpot; the worker, who planted it, loses nothing; a member
/// that approved beside it loses all.
#[test]
fn catching_a_planted_job_pays() {
    let mut case = ordered(1_000_000, Some(ForcedKind::Wrong));
    let members = case.chain.draw(case.segment);
    assert_eq!(members.len(), 2);
    let treasury = case.chain.state.meta().treasury.nano();
    let before = case.chain.balance(&members[1]);
    let events = case.chain.cast(case.segment, &[(&members[0], valid()), (&members[1], wrong(1))]);
    let until_ms = case.chain.now_ms + case.chain.parameters().forced_open_ms;
    assert!(events.contains(&Event::OpeningAsked { segment: case.segment, worker: id("w0"), until_ms }));
    let SegmentState::Judging { stage: Stage::Committee, .. } = case.state() else { panic!("the doubt waits") };
    let events = case.open(Some(1));
    // Of one segment in one: what the treasury's share of it is.
    let jackpot = 4 * JOB_FEE / 25;
    assert_eq!(planted(&events), Some((1, ForcedKind::Wrong, vec![id(&members[1])], jackpot)));
    assert_eq!(case.chain.balance(&members[1]) - before, jackpot);
    assert_eq!(treasury - case.chain.state.meta().treasury.nano(), jackpot);
    assert_eq!(case.slashed(), [(members[0].clone(), SlashRule::WrongApproval, true)]);
    assert_eq!(case.chain.stake("w0"), 1_000 * IFR);
    let members = case.chain.draw(case.segment);
    case.chain.vote(case.segment, &members, valid());
    let SegmentState::Final { settles_at_ms, .. } = case.state() else { panic!("final") };
    case.chain.wait_until(settles_at_ms);
    assert_eq!(case.settled().unwrap().planted, Some(1));
}

#[test]
fn a_jackpot_is_capped_and_shared() {
    // In one segment of five: five times the treasury's share; then by the parameter, then by a part of the treasury.
    for (cap, treasury, expected) in
        [(IFR, 1_000 * IFR, 5 * 4 * JOB_FEE / 25), (1_000, 1_000 * IFR, 1_000), (IFR, 500_000, 500)]
    {
        let mut case = ordered(200_000, Some(ForcedKind::Wrong));
        let meta = case.chain.state.meta_mut();
        meta.parameters.forced_jackpot_max = Amount::from_nano(cap);
        let all = meta.reward_pool.add(meta.treasury).unwrap();
        meta.treasury = Amount::from_nano(treasury);
        meta.reward_pool = all.sub(meta.treasury).unwrap();
        let members = case.chain.draw(case.segment);
        case.chain.vote(case.segment, &members, wrong(1));
        let events = case.open(Some(1));
        let (_, _, caught, jackpot) = planted(&events).unwrap();
        assert_eq!((caught.len(), jackpot), (2, expected / 2), "each of two");
        assert!(case.slashed().is_empty());
    }
}

/// SPEC V5: a known-right job is a job like any other, except that nobody pays for it.
#[test]
fn a_known_right_job_changes_no_verdict() {
    let mut case = ordered(1_000_000, Some(ForcedKind::Right));
    case.approve();
    let events = case.open(Some(1));
    assert_eq!(planted(&events), Some((1, ForcedKind::Right, Vec::new(), 0)));
    assert!(case.slashed().is_empty());
    let SegmentState::Final { settles_at_ms, .. } = case.state() else { panic!("still final") };
    case.chain.wait_until(settles_at_ms);
    let outcome = case.settled().unwrap();
    assert_eq!((outcome.planted, outcome.fee.nano()), (Some(1), 3 * JOB_FEE));

    // Who rejects it is found out by all the others, as with any job.
    let mut case = ordered(1_000_000, Some(ForcedKind::Right));
    let members = case.chain.draw(case.segment);
    case.chain.cast(case.segment, &[(&members[0], wrong(1)), (&members[1], valid())]);
    case.open(Some(1));
    let SegmentState::Judging { stage: Stage::Widened, .. } = case.state() else { panic!("the doubt goes on") };
    case.vote_all(valid());
    assert_eq!(case.slashed(), [(members[0].clone(), SlashRule::WrongRejection, false)]);
}

/// SPEC V5: what the beacon did not draw nobody attested to have replayed.
#[test]
fn a_planted_job_that_was_not_drawn_costs_no_one_anything() {
    let mut case = ordered(1_000_000, Some(ForcedKind::Wrong));
    case.approve();
    let mut entry = case.chain.state.segment(&case.segment).unwrap().clone();
    let SegmentState::Final { approval, .. } = &mut entry.state else { panic!("final") };
    approval.replayed = Ppm::new(0);
    case.chain.state.set_segment(case.segment, Some(entry));
    let events = case.open(Some(1));
    assert_eq!(planted(&events), Some((1, ForcedKind::Wrong, Vec::new(), 0)));
    assert!(case.slashed().is_empty());
    assert!(matches!(case.state(), SegmentState::Final { .. }));
}

#[test]
fn an_unordered_segment_is_opened_without_a_job_and_paid_whole() {
    let mut case = ordered(200_000, None);
    case.approve();
    case.open(None);
    assert_eq!(case.chain.state.segment(&case.segment).unwrap().opening, Opening::Opened { planted: None });
    let SegmentState::Final { settles_at_ms, .. } = case.state() else { panic!("final") };
    case.chain.wait_until(settles_at_ms);
    let outcome = case.settled().unwrap();
    assert_eq!((outcome.planted, outcome.fee.nano()), (None, 4 * JOB_FEE));
}

/// A real wrong job is no planted one: after the answer, the doubt goes its way.
#[test]
fn a_doubt_goes_on_after_an_answer_that_explains_nothing() {
    let mut case = ordered(200_000, None);
    let members = case.chain.draw(case.segment);
    case.chain.vote(case.segment, &members, wrong(2));
    assert!(matches!(case.state(), SegmentState::Judging { stage: Stage::Committee, .. }));
    case.open(None);
    assert!(matches!(case.state(), SegmentState::Judging { stage: Stage::Widened, .. }), "at once");
    case.vote_all(wrong(2));
    assert_eq!(case.rejected(), Some(RejectReason::ProvenWrong { job: 2, fault: JobFault::Logits }));
    assert_eq!(case.slashed(), [("w0".to_owned(), SlashRule::WrongResult, false)]);
}

/// SPEC V5: a worker that does not answer only gains its time, to the millisecond and to the block.
#[test]
fn a_doubt_goes_on_when_the_worker_does_not_answer() {
    let mut case = ordered(1_000_000, Some(ForcedKind::Wrong));
    let members = case.chain.draw(case.segment);
    case.chain.vote(case.segment, &members, wrong(1));
    let Opening::Asked { until_ms, .. } = case.chain.state.segment(&case.segment).unwrap().opening else {
        panic!("asked")
    };
    assert_eq!(until_ms, case.chain.now_ms + case.chain.parameters().forced_open_ms);
    let is_open = |chain: &Chain| {
        let state = &chain.state.segment(&case.segment).unwrap().state;
        assert!(matches!(state, SegmentState::Judging { stage: Stage::Committee | Stage::Widened, .. }), "{state:?}");
        matches!(state, SegmentState::Judging { stage: Stage::Committee, .. })
    };
    let last = case.chain.state.height() + case.chain.parameters().reveal_blocks;
    // Blocks that are far apart.
    let mut slow = case.chain.clone();
    slow.block_at(until_ms + 1_000);
    while slow.state.height() < last {
        assert!(is_open(&slow), "at {} of {last}", slow.state.height());
        slow.block_at(slow.now_ms + 1);
    }
    assert!(!is_open(&slow));
    // Blocks that are near each other.
    while case.chain.state.height() < last {
        case.chain.block_at(case.chain.now_ms + 1);
    }
    case.chain.block_at(until_ms - 1);
    assert!(is_open(&case.chain));
    case.chain.block_at(until_ms);
    assert!(!is_open(&case.chain));
    // It may still say so before the verdict.
    let mut late = Case { chain: case.chain.clone(), leaves: case.leaves.clone(), ..case };
    late.open(Some(1));
    assert!(matches!(late.state(), SegmentState::AwaitingSeed { .. }));
    assert!(late.slashed().is_empty());
    // Otherwise what is wrong is wrong.
    case.vote_all(wrong(1));
    assert_eq!(case.slashed(), [("w0".to_owned(), SlashRule::WrongResult, false)]);
}

/// SPEC C3: time in which the chain stood still is nobody's.
#[test]
fn the_time_to_answer_begins_anew_after_a_pause() {
    let mut case = ordered(1_000_000, Some(ForcedKind::Wrong));
    let members = case.chain.draw(case.segment);
    case.chain.vote(case.segment, &members, wrong(1));
    let pause_ms = case.chain.parameters().pause_ms;
    let open_ms = case.chain.parameters().forced_open_ms;
    let resumed_ms = case.chain.now_ms + pause_ms + open_ms;
    case.chain.block_at(resumed_ms);
    for _ in 0..case.chain.parameters().reveal_blocks {
        case.chain.block_at(case.chain.now_ms + 1);
    }
    assert!(matches!(case.state(), SegmentState::Judging { stage: Stage::Committee, .. }));
    case.chain.block_at(resumed_ms + open_ms - 1);
    assert!(matches!(case.state(), SegmentState::Judging { stage: Stage::Committee, .. }));
    case.chain.block_at(resumed_ms + open_ms);
    assert!(matches!(case.state(), SegmentState::Judging { stage: Stage::Widened, .. }));
}

/// SPEC V5: what is not opened is not paid: the worker has a challenge window for it, to the millisecond.
#[test]
fn an_unopened_segment_is_not_paid() {
    let mut case = ordered(200_000, None);
    case.approve();
    let SegmentState::Final { settles_at_ms, .. } = case.state() else { panic!("final") };
    let window_ms = case.chain.parameters().challenge_ms;
    let asked = case.chain.block_at(settles_at_ms);
    let until_ms = settles_at_ms + window_ms;
    assert!(asked.contains(&Event::OpeningAsked { segment: case.segment, worker: id("w0"), until_ms }));
    assert_eq!(case.settled(), None);
    let mut late = Case { chain: case.chain.clone(), leaves: case.leaves.clone(), ..case };
    case.chain.block_at(until_ms - 1);
    case.open(None);
    assert_eq!(case.settled().map(|outcome| outcome.fee.nano()), Some(4 * JOB_FEE), "in the same block");

    let gateway = late.chain.state.lease(&late.lease).unwrap().escrow;
    late.chain.block_at(until_ms);
    assert_eq!(late.rejected(), Some(RejectReason::Unopened));
    let lease = late.chain.state.lease(&late.lease).unwrap();
    assert_eq!((lease.reserved, lease.escrow, lease.spoiled), (Amount::ZERO, gateway, true));
    assert!(late.slashed().is_empty(), "who is down loses its pay, and its record");
    assert_eq!(late.chain.record("w0").2, 1);
    late.refuses(
        "w0",
        SegmentOpening { proof: vrf("w0").prove(&Digest::ZERO), segment: late.segment, planted: None },
        &Rejection::Unknown { what: "segment" },
    );
}

/// SPEC V5: with room in the lease an order must be met; without, it need not.
#[test]
fn an_ordered_job_may_be_missing_only_where_there_is_no_room() {
    let missing = Rejection::Evidence { why: "the ordered job is missing" };
    let (jobs, room) = (8 * FORCED_ROOM, FORCED_TOKENS * u64::from(FORCED_ROOM));
    let four = 4 * USAGE.tokens();
    // Jobs and tokens of the lease, and what was committed before.
    for (jobs_max, tokens_max, (jobs_before, tokens_before), has_room) in [
        (jobs, 8 * room, (0, 0), true),
        (jobs - 1, 8 * room, (0, 0), false),
        (jobs, 8 * room - 1, (0, 0), false),
        (jobs, 8 * room, (jobs - FORCED_ROOM - 4, 7 * room - four), true),
        (jobs, 8 * room, (jobs - FORCED_ROOM - 3, 0), false),
        (jobs, 8 * room, (0, 7 * room - four + 1), false),
    ] {
        let terms = TaskTerms { jobs_max, tokens_max, context_tokens: 100, ..task_terms() };
        for kind in [ForcedKind::Wrong, ForcedKind::Right] {
            let mut case = case_after(1_000_000, Some(kind), false, &terms, (jobs_before, tokens_before));
            case.approve();
            let opening = case.opening(None);
            if has_room {
                case.refuses("w0", opening, &missing);
            } else {
                case.open(None);
            }
        }
    }
}

#[test]
fn an_opening_is_the_orders_own() {
    let mut case = ordered(1_000_000, Some(ForcedKind::Wrong));
    let opening = case.opening(Some(1));
    let early = Rejection::WrongState { what: "an opening before the verdict" };
    case.refuses("w0", opening.clone(), &early);
    let members = case.chain.draw(case.segment);
    case.refuses("w0", opening.clone(), &early);
    case.chain.vote(case.segment, &members[..1], valid());
    case.refuses("w0", opening.clone(), &early);
    case.chain.vote(case.segment, &members[1..], valid());

    for stranger in ["x0", "v0", "w1", "g0"] {
        case.refuses(stranger, opening.clone(), &Rejection::NotAllowed { expected: "the segment's worker" });
    }
    let evidence = |why| Rejection::Evidence { why };
    case.refuses("w0", case.opening(Some(0)), &evidence("the job is not the ordered one"));
    let mut moved = case.opening(Some(1));
    moved.planted.as_mut().unwrap().path.index = 2;
    case.refuses("w0", moved, &evidence("the job is not in the segment"));
    let mut edited = case.opening(Some(1));
    edited.planted.as_mut().unwrap().leaf.result.usage.completion_tokens = 4;
    case.refuses("w0", edited, &evidence("the job is not in the segment"));
    case.refuses("w0", case.opening(None), &evidence("the ordered job is missing"));
    let unknown = SegmentOpening { segment: SegmentId::of_lease(case.lease, 7), ..opening.clone() };
    case.refuses("w0", unknown, &Rejection::Unknown { what: "segment" });
    let bounds = Rejection::OutOfBounds { field: "openings" };
    case.chain.fails("w0", opens([]), &bounds);
    let many = vec![opening.clone(); OPENINGS_MAX + 1];
    case.chain.fails("w0", TransactionBody::OpenSegments { openings: many }, &bounds);
    // Twice in one transaction: neither.
    case.chain.fails("w0", opens([opening.clone(), opening.clone()]), &Rejection::Exists { what: "opening" });
    case.chain.ok("w0", opens([opening.clone()]));
    case.refuses("w0", opening, &Rejection::Exists { what: "opening" });
}

/// SPEC S, fraud: who signs a proof that is not its own is barred; what else it opened stays closed.
#[test]
fn a_forged_proof_bars_the_worker() {
    let mut case = ordered(200_000, None);
    case.approve();
    // Another input, or another key: proofs whose output orders nothing, so that nothing else is wrong.
    let orders_nothing =
        |proof: &inferium_types::VrfProof| ForcedOrder::of(proof.output()).kind(Ppm::new(200_000)).is_none();
    let inputs = (0u8..).map(|byte| Digest::sha256(&[byte]));
    let elsewhere = inputs.clone().map(|input| vrf("w0").prove(&input)).find(orders_nothing).unwrap();
    let others = inputs.map(|input| vrf("w1").prove(&input)).find(orders_nothing).unwrap();
    for proof in [elsewhere, others] {
        let mut chain = case.chain.clone();
        chain.ok("w0", opens([SegmentOpening { segment: case.segment, proof, planted: None }]));
        let (_, hold) = chain.state.holds().last().unwrap();
        assert_eq!((hold.rule, hold.disqualified), (SlashRule::ForgedProof, true));
        assert_eq!((hold.segment, hold.provers.len(), hold.harmed), (Some(case.segment), 0, None));
        assert_eq!(chain.stake("w0"), 0);
        assert!(chain.state.segment(&case.segment).unwrap().opening.owed().is_some());
    }
    // The worker's own is none.
    case.open(None);
    assert!(case.slashed().is_empty());
}

/// SPEC V5: a job that no order named is not planted, whatever it looks like.
#[test]
fn no_job_is_planted_without_an_order() {
    let mut case = ordered(200_000, None);
    case.approve();
    case.refuses("w0", case.opening(Some(1)), &Rejection::Evidence { why: "no job was ordered" });
    assert_eq!(case.order.kind(Ppm::new(200_000)), None);
}

#[test]
fn where_nothing_is_ordered_nothing_is_opened() {
    let parameters = Parameters { forced_share: Ppm::new(0), ..feeless(4) };
    let mut chain = Chain::with(9, parameters).furnished(1);
    let lease = chain.lease();
    let leaves = [leaf(lease, 0)];
    let segment = commit(&mut chain, lease, &leaves);
    let members = chain.draw(segment);
    chain.vote(segment, &members, valid());
    let opening = SegmentOpening { segment, proof: vrf("w0").prove(&Digest::ZERO), planted: None };
    chain.fails("w0", opens([opening]), &Rejection::WrongState { what: "opening a segment that owes no order" });
    let SegmentState::Final { settles_at_ms, .. } = chain.state.segment(&segment).unwrap().state else {
        panic!("final")
    };
    chain.wait_until(settles_at_ms);
    assert!(chain.state.segment(&segment).is_none());
}

/// SPEC V4, V5: a court finds a planted job, too; who doubted gets the bond back.
#[test]
fn a_dispute_about_a_planted_job_ends_with_its_opening() {
    let mut case = ordered(1_000_000, Some(ForcedKind::Wrong));
    let blind = case.approve();
    case.chain.ok("x9", TransactionBody::Transfer { to: id("g0"), amount: Amount::from_ifr(100) });
    let before = case.chain.balance("g0");
    case.chain.ok("g0", TransactionBody::OpenDispute { segment: case.segment });
    case.refuses("w0", case.opening(Some(1)), &Rejection::WrongState { what: "an opening before the verdict" });
    let court = case.chain.draw(case.segment);
    let honest: Vec<String> = court.iter().filter(|name| !blind.contains(name)).cloned().collect();
    let vote = |name: &String| if honest.contains(name) { wrong(1) } else { VerdictVote::Unavailable };
    let votes: Vec<_> = court.iter().map(|name| (name.as_str(), vote(name))).collect();
    case.chain.cast(case.segment, &votes);
    assert!(case.chain.state.segment(&case.segment).unwrap().opening.is_asked());
    let events = case.open(Some(1));
    assert_eq!(planted(&events).unwrap().2.len(), honest.len());
    assert_eq!(case.chain.balance("g0"), before);
    // Their approval is no better for the doubt, whatever they say in court.
    let mut expected: Vec<_> = blind.iter().map(|name| (name.clone(), SlashRule::WrongApproval, true)).collect();
    let mut found = case.slashed();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    let entry = case.chain.state.segment(&case.segment).unwrap();
    assert_eq!((entry.dispute.is_none(), entry.disputed), (true, true));
}

/// SPEC V4, V5: who approved what it was not drawn to replay keeps its stake when a court finds it, and
/// gets its part when it is one of the court; who approves it in court does not.
#[test]
fn a_court_has_its_own_draw_of_a_planted_job() {
    for (replayed, is_barred) in [(Ppm::new(0), false), (Ppm::ONE, true)] {
        let mut case = ordered(1_000_000, Some(ForcedKind::Wrong));
        let first = case.approve();
        let mut entry = case.chain.state.segment(&case.segment).unwrap().clone();
        let SegmentState::Final { approval, .. } = &mut entry.state else { panic!("final") };
        approval.replayed = replayed;
        case.chain.state.set_segment(case.segment, Some(entry));
        case.chain.ok("x9", TransactionBody::Transfer { to: id("g0"), amount: Amount::from_ifr(100) });
        case.chain.ok("g0", TransactionBody::OpenDispute { segment: case.segment });
        let court = case.chain.draw(case.segment);
        let lazy = court.iter().find(|name| !first.contains(name)).unwrap().clone();
        let vote = |name: &String| if *name == lazy { valid() } else { wrong(1) };
        let votes: Vec<_> = court.iter().map(|name| (name.as_str(), vote(name))).collect();
        case.chain.cast(case.segment, &votes);
        let events = case.open(Some(1));
        let mut barred = vec![lazy];
        barred.extend(first.iter().filter(|_| is_barred).cloned());
        barred.sort();
        let mut slashed: Vec<String> = case.slashed().into_iter().map(|(name, _, _)| name).collect();
        slashed.sort();
        assert_eq!(slashed, barred, "{replayed:?}");
        let mut caught: Vec<NodeId> = court.iter().filter(|name| !barred.contains(name)).map(|name| id(name)).collect();
        caught.sort();
        assert_eq!(planted(&events).unwrap().2, caught, "{replayed:?}");
    }
}

// Equivocation: SPEC S.

pub(super) fn block(parent_view: u64, name: &str) -> VoteSubject {
    VoteSubject::Notarize { parent_view, block: Digest::sha256(name.as_bytes()) }
}

pub(super) fn final_block(name: &str) -> VoteSubject {
    VoteSubject::Finalize { parent_view: 4, block: Digest::sha256(name.as_bytes()) }
}

pub(super) fn equivocation(validator: &str, first: ConsensusVote, second: ConsensusVote) -> TransactionBody {
    TransactionBody::ProveEquivocation { validator: id(validator), first, second }
}

#[test]
fn contradicting_consensus_votes_cost_everything() {
    let pairs = [
        (block(4, "a"), block(4, "b")),
        (final_block("a"), final_block("b")),
        (VoteSubject::Nullify, final_block("a")),
    ];
    for (one, other) in pairs {
        let mut chain = Chain::ready(1);
        let of = chain.state.meta().chain;
        let vote = |subject| ConsensusVote::sign(of, 0, 5, subject, &key("v2"));
        chain.ok("x0", equivocation("v2", vote(one), vote(other)));
        assert_eq!(chain.stake("v2"), 0);
        let (_, hold) = chain.state.holds().last().unwrap();
        assert_eq!((hold.rule, hold.disqualified), (SlashRule::Equivocation, true));
        assert_eq!((hold.provers.as_slice(), hold.harmed), ([id("x0")].as_slice(), None));
        chain.fails("x1", equivocation("v2", vote(one), vote(other)), &Rejection::Disqualified);
    }
}

#[test]
fn equivocation_needs_two_votes_of_one_validator_that_contradict_each_other() {
    let mut chain = Chain::ready(1);
    let of = chain.state.meta().chain;
    let vote = |view, subject| ConsensusVote::sign(of, 0, view, subject, &key("v2"));
    let (one, other) = (vote(5, block(4, "a")), vote(5, block(4, "b")));
    let agree = Rejection::Evidence { why: "the votes do not contradict each other" };
    chain.fails("x0", equivocation("v2", one, one), &agree);
    chain.fails("x0", equivocation("v2", one, vote(6, block(4, "b"))), &agree);
    chain.fails("x0", equivocation("v2", one, vote(5, VoteSubject::Nullify)), &agree);
    chain.fails("x0", equivocation("v2", one, vote(5, final_block("b"))), &agree);
    let unsigned = Rejection::Evidence { why: "the validator did not sign both" };
    chain.fails("x0", equivocation("v1", one, other), &unsigned);
    let foreign = ConsensusVote::sign(of, 0, 5, block(4, "b"), &key("v1"));
    chain.fails("x0", equivocation("v2", one, foreign), &unsigned);
    chain.fails("x0", equivocation("v2", foreign, one), &unsigned);
    for name in ["w0", "g0", "x0"] {
        chain.fails("x0", equivocation(name, one, other), &Rejection::Unknown { what: "validator" });
    }
    chain.ok("x0", equivocation("v2", one, other));
}
