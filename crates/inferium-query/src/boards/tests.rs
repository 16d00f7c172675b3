//! Boards are the same for everyone who folds the same blocks, and say what the blocks say.

use super::{AGENTS_MAX, AgentRow, Board, Fold, Kind, NODES_MAX, PAYERS_MAX, Role, ValidatorRow, WorkerRow, command};
use crate::earnings::Source;
use inferium_types::{
    AgentId, Amount, ChainId, Digest, Event, GroupKey, Header, JobTotals, LeaseId, NetworkKey, NodeId, Ppm, Price,
    ProfileId, RejectReason, SegmentId, SegmentOutcome, SlashRule, SlashedNode, VerdictVote,
};
use std::slice::from_ref;

const VALIDATOR: u64 = 900;

fn network() -> NetworkKey {
    NetworkKey { chain: ChainId::new(Digest::ZERO), group: GroupKey::from_bytes([7; 96]) }
}

fn digest(number: u64) -> Digest {
    Digest::sha256(&number.to_be_bytes())
}

fn node(number: u64) -> NodeId {
    NodeId::from_bytes(*digest(number).as_bytes())
}

fn segment(number: u64) -> SegmentId {
    SegmentId::new(digest(number))
}

fn agent(number: u64) -> AgentId {
    AgentId::new(digest(number))
}

fn header(height: u64) -> Header {
    Header {
        chain: network().chain,
        height,
        timestamp_ms: height,
        parent: Digest::ZERO,
        state_root: Digest::ZERO,
        receipts_root: Digest::ZERO,
        body_root: Digest::ZERO,
        epoch: 0,
        view: height,
        parent_view: 0,
        proposer: node(VALIDATOR),
        operations_root: Digest::ZERO,
        operations_start: 0,
        operations_end: 0,
    }
}

/// One block after the other, each with its events.
fn fold(blocks: &[Vec<Event>]) -> Fold {
    let mut fold = Fold::default();
    for (height, events) in (1..).zip(blocks) {
        fold.take(&header(height), digest(height), events);
    }
    fold
}

fn outcome(number: u64, worker: u64, settled: bool) -> Event {
    Event::SegmentApproved(SegmentOutcome {
        segment: segment(number),
        lease: LeaseId::new(Digest::ZERO),
        worker: node(worker),
        gateway: node(700),
        profile: ProfileId::new(Digest::ZERO),
        root: Digest::ZERO,
        totals: JobTotals { jobs: 3, prompt_tokens: 20, completion_tokens: 10 },
        price: Price { prompt_token: Amount::ZERO, completion_token: Amount::ZERO },
        fee: Amount::from_nano(100),
        approvers: vec![node(VALIDATOR)],
        replayed: Ppm::ONE,
        planted: None,
        to_worker: Amount::from_nano(if settled { 80 } else { 0 }),
        to_each_approver: Amount::from_nano(if settled { 10 } else { 0 }),
        settled,
    })
}

fn approved(number: u64, worker: u64) -> Event {
    outcome(number, worker, false)
}

fn rejected(number: u64, worker: u64, reason: RejectReason) -> Event {
    let lease = LeaseId::new(Digest::ZERO);
    Event::SegmentRejected { segment: segment(number), lease, worker: node(worker), gateway: node(700), reason }
}

fn slashed(number: u64, of: u64, role: Role, rule: SlashRule, disqualified: bool) -> Event {
    Event::Slashed(SlashedNode {
        slash: number,
        node: node(of),
        role: role.name().into(),
        operator: node(800),
        rule,
        segment: None,
        job: None,
        amount: Amount::from_nano(7),
        releases_at_ms: 9,
        disqualified,
    })
}

fn verdict(number: u64, validator: u64) -> Event {
    Event::VerdictGiven {
        segment: segment(number),
        validator: node(validator),
        vote: VerdictVote::Valid { effort: Digest::ZERO },
    }
}

fn published(number: u64) -> Event {
    Event::AgentPublished {
        agent: agent(number),
        creator: node(600),
        name: format!("agent-{number}"),
        manifest: Digest::ZERO,
        price: Amount::from_nano(10),
    }
}

fn paid(number: u64, payer: u64, fee: u64) -> Event {
    Event::RunPaid {
        run: LeaseId::new(Digest::ZERO),
        segment: SegmentId::new(Digest::ZERO),
        agent: agent(number),
        host: node(1),
        creator: node(600),
        payer: node(payer),
        fee: Amount::from_nano(fee),
        to_host: Amount::from_nano(fee / 2),
        to_payer: Amount::ZERO,
        to_creator: Amount::from_nano(fee / 4),
        to_each_approver: Amount::ZERO,
        to_treasury: Amount::from_nano(fee / 4),
    }
}

fn worker(board: &Board<WorkerRow>, number: u64) -> &WorkerRow {
    board.rows.iter().find(|row| row.node == node(number).to_string()).unwrap()
}

fn validator(board: &Board<ValidatorRow>, number: u64) -> &ValidatorRow {
    board.rows.iter().find(|row| row.node == node(number).to_string()).unwrap()
}

/// Digests of all three boards.
fn digests(fold: &Fold) -> [Digest; 3] {
    let network = network();
    [fold.workers(&network).digest(), fold.validators(&network).digest(), fold.agents_board(&network).digest()]
}

#[test]
fn an_empty_chain_has_empty_boards() {
    let fold = Fold::default();
    let board = fold.workers(&network());
    assert_eq!((board.first, board.height, board.rows.len(), board.complete), (0, 0, 0, true));
    assert!(fold.validators(&network()).rows.is_empty() && fold.agents_board(&network()).rows.is_empty());
    assert_eq!(Board::parse(&board.encode()), Ok(board));
}

#[test]
fn work_that_held_is_counted_and_paid_for_once() {
    let fold = fold(&[vec![approved(1, 1), verdict(1, VALIDATOR)], vec![outcome(1, 1, true)], vec![]]);
    let (workers, validators) = (fold.workers(&network()), fold.validators(&network()));
    let row = worker(&workers, 1);
    assert_eq!((row.approved, row.jobs, row.tokens, row.rejected), (1, 3, 30, 0));
    assert_eq!((row.rank, row.verified_ppm, row.earned_nano, row.slashes), (Some(1), 1_000_000, 80, 0));
    let row = validator(&validators, VALIDATOR);
    assert_eq!((row.verdicts, row.proposed, row.earned_nano, row.rank), (1, 3, 10, Some(1)));
    assert_eq!((workers.first, workers.height), (1, 3));
    assert_eq!(workers.block, digest(3).to_string());
    assert_eq!(workers.rows.len() + validators.rows.len(), 2);
}

/// Nodes of the genesis, and those that registered before the first block, have no event of their registration.
#[test]
fn who_never_registered_is_what_it_was_seen_doing() {
    let fold = fold(&[vec![
        approved(1, 1),
        rejected(2, 2, RejectReason::Unopened),
        verdict(1, 901),
        slashed(0, 3, Role::Worker, SlashRule::DeadlineMissed, false),
        slashed(1, 4, Role::Gateway, SlashRule::DoubleSigning, true),
    ]]);
    let mut workers: Vec<String> = fold.workers(&network()).rows.into_iter().map(|row| row.node).collect();
    workers.sort();
    let mut expected: Vec<String> = [1, 2, 3].map(|number| node(number).to_string()).into();
    expected.sort();
    assert_eq!(workers, expected);
    assert_eq!(fold.validators(&network()).rows.len(), 2);
    assert_eq!(fold.node(&node(4)).unwrap().role, Some(Role::Gateway));
    assert!(fold.node(&node(99)).is_none());
}

#[test]
fn what_a_court_takes_back_did_not_hold() {
    let wrong = RejectReason::ProvenWrong { job: 0, fault: inferium_types::JobFault::Token };
    let fold = fold(&[vec![approved(1, 1), approved(2, 1)], vec![rejected(1, 1, wrong)]]);
    let workers = fold.workers(&network());
    let row = worker(&workers, 1);
    assert_eq!((row.approved, row.rejected, row.jobs, row.tokens, row.verified_ppm), (1, 1, 3, 30, 500_000));
}

#[test]
fn what_nobody_decided_is_nobodys_fault() {
    let fold = fold(&[vec![
        approved(1, 1),
        rejected(2, 1, RejectReason::Unresolved),
        rejected(3, 1, RejectReason::RunOver),
        rejected(4, 2, RejectReason::Unresolved),
    ]]);
    let workers = fold.workers(&network());
    let row = worker(&workers, 1);
    assert_eq!((row.undecided, row.rejected, row.verified_ppm), (2, 0, 1_000_000));
    let row = worker(&workers, 2);
    assert_eq!((row.rank, row.low_ppm, row.high_ppm), (None, 0, 1_000_000));
    assert_eq!(workers.rows[1].node, node(2).to_string());
}

#[test]
fn a_slashed_worker_is_ranked_below() {
    let mut events: Vec<Event> = (0..40).map(|number| approved(number, 1)).collect();
    events.extend((100..140).map(|number| approved(number, 2)));
    events.extend((200..210).map(|number| approved(number, 3)));
    let before = fold(from_ref(&events)).workers(&network());
    assert!(before.rows.iter().all(|row| row.rank == Some(1)), "within noise all are equal");
    // One has a slash, one is barred, and one has failed often: the last is surely worse than the first.
    events.push(slashed(0, 1, Role::Worker, SlashRule::DeadlineMissed, false));
    events.push(slashed(1, 2, Role::Worker, SlashRule::ConflictingResults, true));
    events.extend((300..320).map(|number| rejected(number, 3, RejectReason::Unavailable)));
    events.extend((400..402).map(|number| approved(number, 4)));
    let board = fold(from_ref(&events)).workers(&network());
    let order = |board: &Board<WorkerRow>| -> Vec<(String, Option<u64>)> {
        board.rows.iter().map(|row| (row.node.clone(), row.rank)).collect()
    };
    let expected = |ranks: &[(u64, u64)]| -> Vec<(String, Option<u64>)> {
        ranks.iter().map(|(number, rank)| (node(*number).to_string(), Some(*rank))).collect()
    };
    // A newcomer without a slash does not outrank who did more, though it is listed first.
    assert_eq!(order(&board), expected(&[(4, 1), (1, 1), (3, 2), (2, 4)]), "{board:?}");
    // One that did as much and has none does: a slash is proof, and no noise.
    events.extend((500..540).map(|number| approved(number, 5)));
    let board = fold(&[events]).workers(&network());
    assert_eq!(order(&board), expected(&[(5, 1), (4, 1), (1, 2), (3, 3), (2, 5)]), "{board:?}");
    let barred = worker(&board, 2);
    assert!(barred.barred && barred.slashes == 1 && barred.slashed_nano == 7);
}

#[test]
fn an_overturned_slash_is_forgotten_and_a_burned_one_is_not() {
    let bars = |number| slashed(number, 1, Role::Worker, SlashRule::ConflictingResults, true);
    let overturned = |slash| Event::SlashOverturned { slash, node: node(1), amount: Amount::from_nano(7) };
    let none = Amount::ZERO;
    let released = Event::SlashReleased {
        slash: 1,
        node: node(1),
        rule: SlashRule::ConflictingResults,
        burned: none,
        to_each_prover: none,
        to_harmed: none,
    };
    // The last is of a slash from before the first block.
    let events = vec![bars(0), bars(1), overturned(0), overturned(99)];
    let board = fold(from_ref(&events)).workers(&network());
    let row = worker(&board, 1);
    assert_eq!((row.slashes, row.overturned, row.slashed_nano, row.barred), (1, 1, 7, true));
    let board = fold(&[events.clone(), vec![overturned(1)]]).workers(&network());
    let row = worker(&board, 1);
    assert_eq!((row.slashes, row.overturned, row.slashed_nano, row.barred), (0, 2, 0, false));
    let board = fold(&[events, vec![released, overturned(1)]]).workers(&network());
    assert!(worker(&board, 1).barred);
}

#[test]
fn validators_are_ranked_by_duties_that_held() {
    let mut events: Vec<Event> = (0..30).flat_map(|number| [verdict(number, 901), verdict(number, 902)]).collect();
    events.extend((0..20).map(|number| slashed(number, 902, Role::Validator, SlashRule::WrongApproval, false)));
    events.push(slashed(50, 903, Role::Validator, SlashRule::MissedDuty, false));
    let board = fold(&[events]).validators(&network());
    let row = validator(&board, 902);
    assert_eq!((row.rank, row.share_ppm, row.slashes), (Some(2), 10 * 1_000_000 / 30, 20));
    assert_eq!((validator(&board, 901).rank, validator(&board, 903).share_ppm), (Some(1), 0));
    // It proposed the block, and was judged by nobody.
    assert_eq!(board.rows.last().unwrap().node, node(VALIDATOR).to_string());
    assert_eq!(board.rows.last().unwrap().rank, None);
}

#[test]
fn agents_are_ranked_by_what_was_paid_for_them() {
    let updated = Event::AgentUpdated {
        agent: agent(2),
        version: 3,
        manifest: Digest::ZERO,
        price: Amount::from_nano(99),
        widens_at_ms: None,
    };
    let retired = Event::AgentRetired { agent: agent(1), stop_spending: false };
    let fold = fold(&[vec![
        published(1),
        published(2),
        published(3),
        published(4),
        paid(1, 500, 100),
        paid(2, 500, 40),
        paid(2, 501, 40),
        paid(2, 501, 20),
        paid(3, 500, 400),
        paid(99, 500, 1_000),
        updated,
        retired,
    ]]);
    let rows = fold.agents_board(&network()).rows;
    let seen: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.rank, row.runs, row.payers)).collect();
    assert_eq!(
        seen,
        [("agent-3", Some(1), 1, 1), ("agent-2", Some(2), 3, 2), ("agent-1", Some(2), 1, 1), ("agent-4", None, 0, 0)]
    );
    let row = &rows[1];
    assert_eq!((row.version, row.price_nano, row.fees_nano, row.earned_nano), (3, 99, 100, 25));
    assert_eq!((rows[2].state.as_str(), rows[0].state.as_str()), ("retired", "active"));
}

/// Anybody can be a creator or a payer, so that neither fills the table of nodes.
#[test]
fn accounts_that_are_no_nodes_are_not_kept() {
    let events = vec![published(1), paid(1, 500, 100)];
    assert!(fold(from_ref(&events)).node(&node(600)).is_none());
    let fold = fold(&[vec![approved(1, 600)], events]);
    assert_eq!(fold.node(&node(600)).unwrap().earned[&Source::Agents].nano(), 25);
}

#[test]
fn every_event_that_counts_changes_a_digest_and_no_other_does() {
    let base = vec![
        approved(1, 1),
        verdict(1, VALIDATOR),
        published(1),
        slashed(0, 2, Role::Worker, SlashRule::DeadlineMissed, false),
    ];
    let (before, after) = (digests(&fold(from_ref(&base))), |event: Event| {
        let mut events = base.clone();
        events.push(event);
        digests(&fold(&[events]))
    });
    let counts = [
        approved(2, 1),
        outcome(1, 1, true),
        rejected(3, 1, RejectReason::Unopened),
        rejected(3, 1, RejectReason::Unresolved),
        verdict(2, VALIDATOR),
        slashed(1, 1, Role::Worker, SlashRule::WrongResult, false),
        slashed(1, VALIDATOR, Role::Validator, SlashRule::WrongApproval, true),
        Event::SlashOverturned { slash: 0, node: node(2), amount: Amount::from_nano(7) },
        Event::Rewarded { node: node(1), epoch: 1, fees: Amount::ZERO, emission: Amount::from_nano(1) },
        published(2),
        paid(1, 5, 100),
        Event::AgentRetired { agent: agent(1), stop_spending: true },
        Event::AgentClosed { agent: agent(1), creator: node(600), returned: Amount::ZERO },
    ];
    for event in counts {
        assert_ne!(after(event.clone()), before, "{event:?}");
    }
    let silent = Event::RevealsOpened { segment: segment(1), due_at_ms: 1 };
    assert_eq!(after(silent), before);
    assert_ne!(digests(&fold(&[base.clone(), vec![]])), before, "another height is another board");
}

/// The order of events counts only where the chain's own order does.
#[test]
fn the_same_counts_have_the_same_bytes_in_whatever_order_they_came() {
    let mut events: Vec<Event> = (0..50).map(|number| approved(number, number % 7)).collect();
    events.extend((0..9).flat_map(|number| [published(number), paid(number, number, 10)]));
    let forwards = fold(from_ref(&events));
    events.reverse();
    // An agent is published before it is paid.
    events.sort_by_key(|event| matches!(event, Event::RunPaid { .. }));
    assert_eq!(digests(&forwards), digests(&fold(&[events])));
}

#[test]
fn a_board_is_read_back_from_its_bytes_alone() {
    let fold = fold(&[vec![approved(1, 1), published(1), paid(1, 5, 100)]]);
    let board = fold.workers(&network());
    let text = board.encode();
    assert_eq!(Board::<WorkerRow>::parse(&text).unwrap(), board);
    let agents = fold.agents_board(&network());
    assert_eq!(Board::<AgentRow>::parse(&agents.encode()).unwrap(), agents);
    for other in [
        text.replace(':', ": "),
        text.replace("\"version\":1", "\"version\":2"),
        text.replace("\"version\":1", "\"version\":1,\"x\":1"),
        text[..text.len() - 1].to_owned(),
        String::new(),
    ] {
        assert!(Board::<WorkerRow>::parse(&other).is_err(), "{other}");
    }
    assert!(Board::<ValidatorRow>::parse(&text).is_err());
    // Whoever sorts its fields has its bytes.
    let sorted: std::collections::BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    let positions: Vec<usize> = sorted.keys().map(|key| text.find(&format!("\"{key}\":")).unwrap()).collect();
    assert!(positions.is_sorted(), "{text}");
}

#[test]
fn sums_stay_at_their_greatest_value() {
    let huge = |to: u64| Event::Rewarded {
        node: node(to),
        epoch: 1,
        fees: Amount::from_nano(u64::MAX),
        emission: Amount::from_nano(u64::MAX),
    };
    let Event::SegmentApproved(mut outcome) = approved(1, 1) else { unreachable!() };
    outcome.totals = JobTotals { jobs: u32::MAX, prompt_tokens: u64::MAX, completion_tokens: u64::MAX };
    let events = vec![
        Event::SegmentApproved(outcome.clone()),
        Event::SegmentApproved(SegmentOutcome { segment: segment(2), ..outcome }),
        huge(1),
        huge(1),
        published(1),
        paid(1, 5, u64::MAX),
        paid(1, 5, u64::MAX),
    ];
    let fold = fold(&[events]);
    let workers = fold.workers(&network());
    assert_eq!((worker(&workers, 1).tokens, worker(&workers, 1).earned_nano), (u64::MAX, u64::MAX));
    assert_eq!(fold.agents_board(&network()).rows[0].fees_nano, u64::MAX);
}

#[test]
fn memory_is_bounded_and_a_board_that_lacks_somebody_says_so() {
    let mut fold = Fold::default();
    let most = u64::try_from(NODES_MAX).unwrap();
    // The validator that approves them has a place, too.
    let last = VALIDATOR + most - 1;
    for number in VALIDATOR + 1..=last {
        fold.on_event(&approved(number, number));
    }
    assert!(fold.workers(&network()).complete);
    fold.on_event(&approved(last + 1, last + 1));
    fold.on_event(&approved(last + 2, last));
    let board = fold.workers(&network());
    assert_eq!((board.rows.len(), board.complete), (NODES_MAX - 1, false));
    assert_eq!(worker(&board, last).approved, 2, "those who came first stay");
    let agents = u64::try_from(AGENTS_MAX).unwrap();
    for number in 0..=agents {
        fold.on_event(&published(number));
    }
    let board = fold.agents_board(&network());
    assert_eq!((board.rows.len(), board.complete), (AGENTS_MAX, false));
    for payer in 0..1_000 {
        fold.on_event(&paid(1, payer, 1));
    }
    let payers = fold.agent(&agent(1)).unwrap().payers();
    assert_eq!(payers, u64::try_from(PAYERS_MAX).unwrap());
}

#[test]
fn a_gap_begins_a_new_board() {
    let mut fold = fold(&[vec![approved(1, 1)], vec![]]);
    fold.take(&header(4), digest(4), &[approved(2, 2)]);
    assert_eq!((fold.first(), fold.height()), (4, 4));
    assert!(fold.node(&node(1)).is_none());
    // A block that comes twice does not follow itself.
    fold.take(&header(4), digest(4), &[approved(2, 2)]);
    assert_eq!(fold.node(&node(2)).unwrap().approved, 1);
    fold.take(&header(u64::MAX), digest(4), &[]);
    fold.take(&header(u64::MAX), digest(4), &[]);
    assert_eq!(fold.first(), u64::MAX);
}

#[test]
fn the_command_names_all_that_a_board_follows_from() {
    let (network, digest) = (network(), digest(1));
    assert_eq!(
        command(Kind::Workers, (1, 57), &network, &digest),
        format!("inferium leaderboard workers --up-to 57 --network-key {network} --expect {digest}")
    );
    assert!(command(Kind::Agents, (9, 57), &network, &digest).contains("agents --from 9 --up-to 57 "));
    assert_eq!(Kind::ALL.map(Kind::name), ["workers", "validators", "agents"]);
}
