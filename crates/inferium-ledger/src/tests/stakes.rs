//! What is at stake in a run: who answers for it with what, who judges it, and how it is over (SPEC A2, V1, S6).

use super::statistics::tolerance;
use super::studio::*;
use super::support::*;
use crate::{LeaseState, Listing, Obstacle, Rejection, SegmentState};
use inferium_types::{
    AgentTerms, Amount, Digest, Event, JobTotals, LeaseEnd, LeaseId, ModelProfile, NodeId, Parameters, ProposalAction,
    ProposalTerms, RejectReason, RunTerms, SegmentId, SegmentTerms, SlashRule, SlashedNode, SpendingPolicy, TaskId,
    TransactionBody, VerdictVote,
};

/// What a worker's stake of 1,000 IFR covers.
const COVER: u64 = 50 * IFR;

/// [`policy`], for so much a run.
fn up_to(per_run: u64) -> SpendingPolicy {
    SpendingPolicy { per_run: nano(per_run), per_day: nano(per_run), ..policy() }
}

/// [`helper`] with this policy and ten IFR, on a chain with so many validators; transactions cost nothing.
fn studio_with(validators: u32, policy: SpendingPolicy) -> Chain {
    // Windows are short, so that runs outlive them.
    let mut chain = hosts_of(validators, Parameters { verdict_token_ms: 0, ..feeless(validators) });
    chain.ok("x0", publish("helper", AgentTerms { policy, ..agent_terms() }));
    chain.ok("x3", TransactionBody::Transfer { to: helper().account(), amount: Amount::from_ifr(10) });
    chain
}

fn open(chain: &mut Chain) -> LeaseId {
    open_run(chain, "g0", run_terms(helper()))
}

fn unsettled(chain: &Chain, worker: &str) -> u64 {
    chain.state.node(&id(worker)).unwrap().unsettled.nano()
}

/// Takes away what these validators declared of a profile.
fn undeclare(chain: &mut Chain, profile: inferium_types::ProfileId, names: &[&str]) {
    let gone: Vec<NodeId> = names.iter().map(|name| id(name)).collect();
    chain.state.profiles.get_mut(&profile).unwrap().validators.retain(|id| !gone.contains(id));
}

fn slashes_of(chain: &Chain, name: &str) -> Vec<SlashedNode> {
    let of = |event: &Event| match event {
        Event::Slashed(slash) if slash.node == id(name) => Some(slash.clone()),
        _ => None,
    };
    chain.history.iter().filter_map(of).collect()
}

fn rejected(chain: &Chain, segment: SegmentId) -> Option<RejectReason> {
    chain.history.iter().find_map(|event| match event {
        Event::SegmentRejected { segment: of, reason, .. } if *of == segment => Some(*reason),
        _ => None,
    })
}

const OVER: Rejection = Rejection::WrongState { what: "a spend of a run that is over" };

// Who judges.

/// SPEC A2: who could declare a profile of hosts of its own would choose who judges its runs.
#[test]
fn no_other_profile_of_hosts_is_declared_or_approved() {
    let mut chain = Chain::with(4, feeless(4)).furnished(1);
    let own = ModelProfile { name: "mine".to_owned(), ..ModelProfile::host() };
    let declare = |profile: &ModelProfile| TransactionBody::DeclareProfile { profile: profile.clone() };
    chain.fails("v0", declare(&own), &Rejection::OutOfBounds { field: "profile" });
    let action = ProposalAction::ApproveProfile { profile: own.clone() };
    let proposal = ProposalTerms { title: "ours".to_owned(), description: String::new(), action };
    let before = chain.state.proposals().count();
    let transaction = chain.tx("x0", TransactionBody::Propose { proposal });
    chain.block(&[transaction]);
    assert_eq!((chain.state.proposals().count(), chain.state.profile(&own.id())), (before, None));
    chain.ok("v0", declare(&ModelProfile::host()));
}

/// SPEC A2, N4: a run needs as many operators that can judge its steps *and* replay its model's calls, to be opened ...
#[test]
fn run_needs_operators_that_declared_hosts_and_model() {
    let mut chain = studio_with(6, policy());
    let open = TransactionBody::OpenRun { terms: run_terms(helper()) };
    // Five declared each, four both; then three; then two.
    undeclare(&mut chain, profile(), &["v0"]);
    undeclare(&mut chain, host_profile(), &["v1"]);
    chain.clone().ok("g0", open.clone());
    undeclare(&mut chain, profile(), &["v2"]);
    chain.clone().ok("g0", open.clone());
    undeclare(&mut chain, host_profile(), &["v3"]);
    chain.fails("g0", open, &Rejection::ProfileNotLeasable { found: 2, needed: 3 });
}

/// ... and nobody else judges it: in committees, all eligible, and courts.
#[test]
fn only_who_declared_hosts_and_model_judges_a_run() {
    let mut chain = studio_with(9, up_to(IFR));
    undeclare(&mut chain, profile(), &["v0", "v1"]);
    undeclare(&mut chain, host_profile(), &["v2", "v3"]);
    let judges = ["v4", "v5", "v6", "v7", "v8"];
    let all_judges = |members: &[String]| members.iter().all(|member| judges.contains(&member.as_str()));
    for world in 0..20 {
        let mut chain = chain.clone();
        chain.world = format!("world {world}");
        let run = open(&mut chain);
        let steps = commit_steps(&mut chain, run, &[&[pay("x1", 1)]], false);
        let segment = steps.terms().id();
        let drawn = chain.draw(segment);
        assert!(drawn.len() == 3 && all_judges(&drawn), "{drawn:?}");
        chain.vote(segment, &drawn[..1], VerdictVote::Unavailable);
        chain.vote(segment, &drawn[1..], valid());
        let widened = chain.committee(segment);
        assert!(widened.len() == 5 && all_judges(&widened), "{widened:?}");
        chain.vote_rest(segment, valid());
        chain.ok("g0", TransactionBody::OpenDispute { segment });
        let court = chain.draw(segment);
        assert!(court.len() == 5 && all_judges(&court), "{court:?}");
    }
}

/// SPEC S5, G1: of a model that is paused or delisted no run is opened either.
#[test]
fn run_of_a_closed_model_is_refused() {
    let chain = studio();
    for (listing, name) in [(Listing::Paused, "paused"), (Listing::Delisted, "delisted")] {
        for of in [profile(), host_profile()] {
            let mut chain = chain.clone();
            chain.state.profiles.get_mut(&of).unwrap().listing = listing;
            let open = TransactionBody::OpenRun { terms: run_terms(helper()) };
            chain.fails("g0", open, &Rejection::ProfileClosed { listing: name });
        }
    }
}

/// SPEC A1, A2: what can't be replayed to equality is no agent's model, whether it may spend or not.
#[test]
fn agent_calls_a_canonical_model() {
    let mut chain = hosts();
    chain.ok("v0", TransactionBody::DeclareProfile { profile: tolerance() });
    let on = |model, policy| AgentTerms { model, policy, ..agent_terms() };
    let refused = Rejection::Profile { expected: "of conversations, and canonical" };
    let (measured, canonical) = (tolerance().id(), profile());
    for (name, may) in [("a", policy()), ("b", up_to(1))] {
        chain.fails("x0", publish(name, on(measured, may.clone())), &refused);
        chain.clone().ok("x0", publish(name, on(canonical, may)));
    }
    chain.fails("x0", publish("a", on(measured, SpendingPolicy::NOTHING)), &refused);
    chain.ok("x0", publish("helper", on(canonical, SpendingPolicy::NOTHING)));
    let update = |terms| TransactionBody::UpdateAgent { agent: helper(), terms };
    chain.fails("x0", update(on(measured, SpendingPolicy::NOTHING)), &refused);
    chain.ok("x0", update(on(canonical, up_to(1))));
}

/// SPEC A2, V3: members have the time to replay all calls that the run may have, however little the segment counts.
#[test]
fn window_is_as_long_as_the_pinned_tokens_take() {
    let mut chain = studio();
    let run = open(&mut chain);
    // What is pinned counts, and not what the creator says later.
    let mut terms = agent_terms();
    terms.limits.tokens = 1;
    chain.ok("x0", TransactionBody::UpdateAgent { agent: helper(), terms });
    let steps = commit_steps(&mut chain, run, &[&[]], false);
    let segment = steps.terms().id();
    chain.draw(segment);
    let parameters = chain.parameters();
    let window_ms = parameters.verdict_ms + agent_terms().limits.tokens * parameters.verdict_token_ms;
    let entry = chain.state.segment(&segment).unwrap();
    assert_eq!(entry.replay_tokens, agent_terms().limits.tokens);
    assert_eq!(entry.verdict_due_ms(chain.state.meta()), Some(chain.now_ms + window_ms));
}

// What its host answers for.

/// SPEC A2, V4, T8: a host whose stake leaves no room for what is at stake is not matched, and is told why.
#[test]
fn host_is_matched_if_its_stake_covers_what_is_at_stake() {
    let exact = COVER - RUN_PRICE;
    let mut chain = studio_with(4, up_to(exact));
    let run = open(&mut chain);
    assert_eq!(chain.state.lease(&run).unwrap().worker, id("w0"));
    assert_eq!(unsettled(&chain, "w0"), COVER);
    // One nano-IFR more is too much, for it alone: who has more stake hosts it.
    let mut chain = studio_with(4, up_to(exact + 1));
    let run = open(&mut chain);
    let task = chain.state.tasks().next().map(|(id, _)| *id).unwrap();
    assert_eq!(LeaseId::of_task(task), run);
    let why = |chain: &Chain, task: &TaskId| chain.state.why_task(task).unwrap()[0].obstacles.clone();
    let obstacle = Obstacle::Cover { left: nano(COVER), needed: nano(COVER + 1) };
    assert_eq!(why(&chain, &task), [obstacle]);
    assert_eq!((obstacle.name(), unsettled(&chain, "w0")), ("cover", 0));
    let more = TransactionBody::Bond { node: id("w0"), amount: nano(20) };
    chain.ok(&operator_of("w0"), more);
    assert_eq!(chain.state.lease(&run).map(|lease| lease.worker), Some(id("w0")));
    assert_eq!(unsettled(&chain, "w0"), COVER + 1);
}

/// SPEC A2: what is covered is taken once for each run, in one block as in several, and is free again when its lease is closed.
#[test]
fn cover_is_taken_by_each_run_and_comes_back() {
    let half = COVER / 2 - RUN_PRICE;
    let mut chain = studio_with(4, up_to(half));
    let transactions: Vec<_> = (0..3)
        .map(|ahead| chain.tx_after("g0", ahead, TransactionBody::OpenRun { terms: run_terms(helper()) }))
        .collect();
    chain.block(&transactions);
    let leases: Vec<LeaseId> = chain.state.leases().map(|(id, _)| *id).collect();
    assert_eq!((leases.len(), unsettled(&chain, "w0")), (2, COVER));
    // Segments take no more of it, and give none back.
    let steps = commit_steps(&mut chain, leases[0], &[&[pay("x1", 1)]], false);
    assert_eq!(unsettled(&chain, "w0"), COVER);
    let segment = approve_steps(&mut chain, &steps);
    settle(&mut chain, segment);
    assert_eq!(unsettled(&chain, "w0"), COVER);
    // Nor does it leave whole while it answers for one.
    let leave = TransactionBody::Unbond { node: id("w0"), amount: Amount::from_ifr(1_000) };
    let needed = chain.parameters().worker_stake_min;
    chain.fails(&operator_of("w0"), leave, &Rejection::Insufficient { needed, available: Amount::ZERO });
    chain.ok("g0", TransactionBody::CloseLease { lease: leases[0] });
    chain.wait_until(chain.now_ms + chain.parameters().lease_drain_ms);
    // The third one had waited for that, unless its time was over.
    let open = chain.state.leases().count();
    assert_eq!(unsettled(&chain, "w0"), u64::try_from(open).unwrap() * COVER / 2);
    for lease in chain.state.leases().map(|(id, _)| *id).collect::<Vec<_>>() {
        chain.ok("g0", TransactionBody::CloseLease { lease });
    }
    chain.wait_until(chain.now_ms + 2 * chain.parameters().lease_drain_ms);
    assert_eq!((chain.state.leases().count(), unsettled(&chain, "w0")), (0, 0));
}

/// SPEC S6: evidence kept back costs all that the run could still move, so that no draw of a committee is worth trying for.
#[test]
fn withheld_evidence_of_a_run_costs_what_is_at_stake() {
    let withhold = |spent: u64| {
        let mut chain = studio_with(4, up_to(5 * IFR));
        let run = open(&mut chain);
        if spent > 0 {
            let steps = settled(&mut chain, run, &[&[pay("x1", spent)]], false);
            chain.ok("w0", spend(steps.cite(0, 2)));
        }
        let stake = chain.stake("w0");
        let segment = commit_steps(&mut chain, run, &[&[pay("x1", 1)]], false).terms().id();
        chain.draw(segment);
        chain.vote_rest(segment, VerdictVote::Unavailable);
        assert_eq!(rejected(&chain, segment), Some(RejectReason::Unavailable));
        let slash = slashes_of(&chain, "w0").pop().unwrap();
        assert_eq!(slash.rule, SlashRule::EvidenceWithheld);
        assert_eq!(stake - chain.stake("w0"), slash.amount.nano());
        let (_, hold) = chain.state.holds().last().unwrap();
        assert_eq!((hold.provers.len(), hold.harmed), (0, None), "nobody gains by it");
        slash.amount.nano()
    };
    assert_eq!(withhold(0), 5 * IFR + RUN_PRICE);
    assert_eq!(withhold(2 * IFR), 3 * IFR + RUN_PRICE);
}

/// SPEC S2: what a wrong step could have moved is the harm, not the fee that it does not have.
#[test]
fn harm_of_a_wrong_step_is_what_is_at_stake() {
    let mut chain = studio_with(4, up_to(5 * IFR));
    let run = open(&mut chain);
    let segment = commit_steps(&mut chain, run, &[&[pay("x1", 1)]], false).terms().id();
    chain.draw(segment);
    chain.vote_rest(segment, invalid());
    let (_, hold) = chain.state.holds().last().unwrap();
    let harm = nano(5 * IFR + RUN_PRICE);
    assert_eq!((hold.rule, hold.harmed, hold.harm), (SlashRule::WrongResult, Some(id("g0")), harm));
}

// How a run is over.

/// Votes that reject the segment of a run, one way or another.
fn reject(chain: &mut Chain, segment: SegmentId, reason: RejectReason) {
    let drawn = chain.draw(segment);
    match reason {
        RejectReason::ProvenWrong { .. } => chain.vote_rest(segment, invalid()),
        RejectReason::Unavailable => chain.vote_rest(segment, VerdictVote::Unavailable),
        _ => {
            // Everyone is silent.
            chain.vote(segment, &drawn[..1], VerdictVote::Unavailable);
            while chain.state.segment(&segment).is_some() {
                chain.blocks(1);
            }
        }
    }
}

const WRONG: RejectReason = RejectReason::ProvenWrong { job: 0, fault: inferium_types::JobFault::Token };

/// SPEC A2: with the first segment that is rejected a run is over at once: nothing more of it is committed or spent, orders
/// of settled steps included, and what is left returns.
#[test]
fn run_is_over_with_the_first_segment_that_is_rejected() {
    for reason in [WRONG, RejectReason::Unavailable, RejectReason::Unresolved] {
        let mut chain = studio_with(4, policy());
        let before = chain.balance("g0");
        let run = open(&mut chain);
        let steps = settled(&mut chain, run, &[&[pay("x1", 1), pay("x1", 2)]], false);
        chain.ok("w0", spend(steps.cite(0, 2)));
        let segment = commit_steps(&mut chain, run, &[&[pay("x1", 3)]], false).terms().id();
        // Until it is decided what was settled may be spent.
        chain.clone().ok("w0", spend(steps.cite(0, 3)));
        reject(&mut chain, segment, reason);
        assert_eq!(rejected(&chain, segment), Some(reason));
        assert!(run_of(&chain, run).over);
        for sender in ["w0", "g0"] {
            chain.fails(sender, spend(steps.cite(0, 3)), &OVER);
        }
        let undecided = reason == RejectReason::Unresolved;
        let end = if undecided { LeaseEnd::Undecided } else { LeaseEnd::Fault };
        let ended =
            |event: &Event| matches!(event, Event::LeaseEnded { lease, end: of, .. } if *lease == run && *of == end);
        assert!(chain.history.iter().any(ended), "{reason:?}");
        let totals = JobTotals { jobs: 1, prompt_tokens: 0, completion_tokens: 1 };
        let terms = SegmentTerms { lease: run, index: 2, totals, root: Digest::ZERO };
        let body = TransactionBody::CommitSegment { commitment: chain.sign(terms) };
        chain.fails("w0", body, &Rejection::WrongState { what: "a segment of a run that is over" });
        chain.wait_until(chain.now_ms + chain.parameters().lease_drain_ms + BLOCK_MS);
        assert_eq!((chain.state.run(&run), chain.state.lease(&run)), (None, None));
        assert_eq!(chain.state.agent(&helper()).unwrap().open_runs, 0);
        // The reservation is the host's if nobody says that the fault is.
        let cost = before - chain.balance("g0");
        assert_eq!(undecided, (10_000..=30_000).contains(&cost), "{reason:?}: {cost}");
        assert_eq!(cost == 0, !undecided);
        assert_eq!(slashes_of(&chain, "w0").is_empty(), undecided);
        assert_eq!(unsettled(&chain, "w0"), 0);
    }
}

/// SPEC A2: a later segment is paid and spent only when those before it are settled.
#[test]
fn segments_of_a_run_are_settled_in_their_order() {
    let mut chain = studio_with(4, policy());
    let run = open(&mut chain);
    let first = commit_steps(&mut chain, run, &[&[pay("x1", 1)]], false);
    let second = commit_steps(&mut chain, run, &[&[pay("x1", 2)]], true);
    let last = approve_steps(&mut chain, &second);
    let slow = SegmentId::of_lease(run, 0);
    let SegmentState::Final { settles_at_ms, .. } = chain.state.segment(&last).unwrap().state else { panic!("final") };
    let members = chain.committee(slow);
    // The first is judged late, within its time.
    chain.wait_until(settles_at_ms + 5_000);
    let host = chain.balance("w0");
    assert_eq!(run_of(&chain, run).settled, []);
    assert!(chain.state.why_segment(&last).unwrap().contains("before it"), "{:?}", chain.state.why_segment(&last));
    let unknown = Rejection::Unknown { what: "settled segment of the run" };
    chain.fails("w0", spend(second.cite(0, 2)), &unknown);
    chain.vote(slow, &members, valid());
    settle(&mut chain, slow);
    chain.wait_until(chain.now_ms + 2_000);
    assert_eq!(run_of(&chain, run).settled, [first.root(), second.root()]);
    assert!(chain.balance("w0") >= host + 600_001);
    chain.ok("w0", spend(second.cite(0, 2)));
    chain.ok("w0", spend(first.cite(0, 2)));
}

/// SPEC A2: nothing after a rejected segment is paid or spent, be it judged already, under way, or disputed; a wrong one is
/// convicted all the same.
#[test]
fn nothing_after_a_rejected_segment_is_settled() {
    let started = || {
        let mut chain = studio_with(4, policy());
        let run = open(&mut chain);
        commit_steps(&mut chain, run, &[&[pay("x1", 1)]], false);
        let answer = commit_steps(&mut chain, run, &[&[pay("x1", 2)]], true);
        let ids = [0, 1].map(|index| SegmentId::of_lease(run, index));
        (chain, run, answer, ids)
    };
    let unpaid = |mut chain: Chain, run: LeaseId, answer: &Steps, last: SegmentId| {
        let before = (chain.balance("w0"), chain.balance("x0"));
        chain.fails("w0", spend(answer.cite(0, 2)), &OVER);
        chain.wait_until(chain.now_ms + chain.parameters().challenge_ms + chain.parameters().lease_drain_ms + 5_000);
        assert_eq!(rejected(&chain, last), Some(RejectReason::RunOver));
        assert_eq!((chain.state.run(&run), chain.state.lease(&run)), (None, None));
        assert!(chain.balance("w0") <= before.0 && chain.balance("x0") == before.1, "nobody was paid");
        assert!(!chain.history.iter().any(|event| matches!(event, Event::RunPaid { .. })));
        assert_eq!((funds(&chain, helper()), unsettled(&chain, "w0")), (10 * IFR, 0));
    };
    // It is final, or disputed and dismissed, when the one before it is rejected ...
    for is_disputed in [false, true] {
        let (mut chain, run, answer, [first, last]) = started();
        approve_steps(&mut chain, &answer);
        if is_disputed {
            chain.ok("v0", TransactionBody::OpenDispute { segment: last });
            chain.draw(last);
        }
        reject(&mut chain, first, RejectReason::Unavailable);
        if is_disputed {
            chain.vote_rest(last, valid());
        }
        unpaid(chain, run, &answer, last);
    }
    // ... or still judged.
    let (mut chain, run, answer, [first, last]) = started();
    chain.draw(last);
    reject(&mut chain, first, RejectReason::Unavailable);
    let mut wrong = chain.clone();
    chain.vote_rest(last, valid());
    unpaid(chain, run, &answer, last);
    wrong.vote_rest(last, invalid());
    let rules: Vec<SlashRule> = slashes_of(&wrong, "w0").iter().map(|slash| slash.rule).collect();
    assert_eq!(rules, [SlashRule::EvidenceWithheld, SlashRule::WrongResult]);
}

/// SPEC A2: the answer is the last step of all.
#[test]
fn no_segment_comes_after_the_answer() {
    let mut chain = studio();
    let run = open(&mut chain);
    commit_steps(&mut chain, run, &[&[]], true);
    assert!(matches!(chain.state.lease(&run).unwrap().state, LeaseState::Draining { end: LeaseEnd::Exhausted, .. }));
    let totals = JobTotals { jobs: 1, prompt_tokens: 0, completion_tokens: 0 };
    let terms = SegmentTerms { lease: run, index: 1, totals, root: Digest::ZERO };
    let body = TransactionBody::CommitSegment { commitment: chain.sign(terms) };
    chain.fails("w0", body, &Rejection::WrongState { what: "a segment after the run's answer" });
}

// What it counts for.

/// SPEC A4: verdicts about steps that nobody pays for count for no emission, in a committee or in a court.
#[test]
fn verdicts_about_steps_without_a_fee_count_no_duty() {
    let duties = |chain: &Chain| -> u64 {
        let epoch = chain.state.meta().epoch;
        chain.state.epoch_works.iter().filter(|((of, _), _)| *of == epoch).map(|(_, work)| work.duties).sum()
    };
    for (answers, counted) in [(false, false), (true, true)] {
        let parameters = Parameters { epoch_ms: 3_600_000, ..feeless(4) };
        let mut chain = hosts_of(4, parameters);
        chain.ok("x0", publish("helper", agent_terms()));
        let run = open(&mut chain);
        let steps = commit_steps(&mut chain, run, &[&[]], answers);
        let segment = approve_steps(&mut chain, &steps);
        let of_committee = duties(&chain);
        assert_eq!(of_committee > 0, counted);
        chain.ok("g0", TransactionBody::OpenDispute { segment });
        chain.draw(segment);
        chain.vote_rest(segment, valid());
        assert_eq!(duties(&chain) > of_committee, counted);
    }
}

/// SPEC A1: what is retired and published anew passes for the same only if it is.
#[test]
fn republished_agent_is_another_unless_it_is_the_same() {
    let mut chain = studio();
    let seen = run_terms(helper());
    chain.ok("x0", TransactionBody::RetireAgent { agent: helper(), stop_spending: false });
    let mut same = chain.clone();
    same.ok("x0", publish("helper", AgentTerms { policy: SpendingPolicy::NOTHING, ..agent_terms() }));
    open_run(&mut same, "g0", seen);
    // Its number is 1 as well, and its price another.
    let dearer = AgentTerms { price: nano(RUN_PRICE + 1), ..agent_terms() };
    let expected = dearer.version_digest();
    chain.ok("x0", publish("helper", dearer));
    assert_eq!(chain.state.agent(&helper()).unwrap().version, 1);
    let refused = Rejection::Version { expected, found: seen.version };
    chain.fails("g0", TransactionBody::OpenRun { terms: seen }, &refused);
    open_run(&mut chain, "g0", RunTerms { version: expected, ..seen });
}
