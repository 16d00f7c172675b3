//! One validator against a worker and everyone who approved it: SPEC V11.

pub(super) mod player;

use super::support::*;
use crate::{Rejection, Runs, SegmentState, Turn, runs_of};
use inferium_exact::{Model, synthetic};
use inferium_types::{
    Amount, ChallengeEnd, ClassifierInputs, Digest, EngineClass, Event, JobPayload, NodeId, OpenedInput, OpenedOutput,
    OpenedPiece, RefutedClaim, RejectReason, SegmentId, SlashRule, TraceAsked, TraceRoot, TraceShown, TransactionBody,
};
use player::{Lie, Player};

const BOND: u64 = 10 * IFR;

fn play(model: &str, lie: Lie) -> (Player, Vec<Event>) {
    let mut player = Player::new(model, lie);
    player.open();
    let events = player.play_out();
    (player, events)
}

fn closed(player: &Player, end: ChallengeEnd, returned: u64) -> Event {
    let (challenger, returned) = (id(&player.challenger), Amount::from_nano(returned));
    Event::ChallengeClosed { segment: player.segment, challenger, end, returned }
}

fn slashed(chain: &Chain) -> Vec<(NodeId, SlashRule)> {
    let of = |event: &Event| match event {
        Event::Slashed(slash) => Some((slash.node, slash.rule)),
        _ => None,
    };
    chain.history.iter().filter_map(of).collect()
}

/// The worker is convicted, and whoever attested a replay of the job.
fn assert_convicted(player: &Player, events: &[Event]) {
    assert!(events.contains(&closed(player, ChallengeEnd::Refuted, BOND)), "{events:?}");
    let reason = RejectReason::ProvenWrong { job: player.job(), fault: player.fault() };
    let is_rejected = |event: &Event| matches!(event, Event::SegmentRejected { segment, reason: found, .. } if *segment == player.segment && *found == reason);
    assert!(events.iter().any(is_rejected), "{events:?}");
    let mut expected: Vec<(NodeId, SlashRule)> =
        player.approvers.iter().map(|name| (id(name), SlashRule::WrongApproval)).collect();
    expected.sort();
    let mut found = slashed(&player.chain);
    assert_eq!(found.pop(), Some((id("w0"), SlashRule::WrongResult)));
    // It was taken for wrong, and then not.
    assert_eq!(found.remove(0), (id(&player.challenger), SlashRule::WrongRejection));
    found.sort();
    assert_eq!(found, expected);
    assert!(player.chain.state.challenge(&player.segment, &id(&player.challenger)).is_none());
    assert_eq!(player.chain.balance(&player.challenger), player.purse_before);
}

#[test]
fn wrong_value_of_any_kind_ends_in_its_tile() {
    // Of tensors 1, 2, 3: sums of products, affine values, table values; of images also blocks and flattened ones.
    for (model, tensors) in [("mlp-109k", 7..=8), ("mlp-tiny", 1..=3), ("cnn-tiny", 1..=8)] {
        for tensor in tensors {
            for index in [0, 2] {
                let (player, events) = play(model, Lie::Value { tensor, index });
                assert_convicted(&player, &events);
            }
        }
    }
}

#[test]
fn other_weights_are_found_where_they_act_first() {
    let (player, events) = play("mlp-109k", Lie::Weights);
    assert_convicted(&player, &events);
    // 784 operands are 13 tiles, of which one was opened.
    let sums = player.chain.history.iter().filter_map(|event| match event {
        Event::TraceShown { shown: TraceShown::Sums(sums), .. } => Some(sums.len()),
        _ => None,
    });
    assert_eq!(sums.collect::<Vec<_>>(), [13]);
}

/// SPEC J8, V11: of a sentence encoder every operation, the tokens that it was given, and the vector that its integers make.
#[test]
fn runs_of_sentence_encoders_are_followed_from_tokens_to_vectors() {
    for tensor in 1..=11 {
        for index in [0, 3] {
            let (player, events) = play(player::SENTENCE, Lie::Value { tensor, index });
            assert_convicted(&player, &events);
        }
    }
    let parts = [Lie::Unanswered, Lie::Unasked, Lie::OtherKind];
    let runs = [Lie::Input(2), Lie::Cut(3), Lie::Cut(1), Lie::Answer, Lie::Said, Lie::Short, Lie::Long, Lie::Before];
    for lie in runs.into_iter().chain(parts) {
        let (player, events) = play(player::SENTENCE, lie);
        assert_convicted(&player, &events);
    }
}

#[test]
fn honest_vectors_can_not_be_refuted() {
    let mut player = Player::new(player::SENTENCE, Lie::None);
    player.open();
    player.show();
    player.ask(player.item.into());
    player.show();
    let refuse = |player: &Player, claim: RefutedClaim, why: &'static str| {
        player.chain.fails(&player.challenger, player.refutation(claim), &Rejection::Evidence { why });
    };
    let output = |player: &Player, chunks| RefutedClaim::Output { opened: player.opened_output(), chunks };
    refuse(&player, output(&player, player.last_chunks()), "the answer is what the trace ends with");
    refuse(&player, output(&player, Vec::new()), "a last value is not opened");
    let input = |payload: &JobPayload, at| RefutedClaim::Input { at, opened: payload.open_part(1).unwrap() };
    refuse(&player, input(&player.payload, 0), "the value is not shown");
    player.show();
    for at in 0..4 {
        refuse(&player, input(&player.payload, at), "the value is the input's");
    }
    refuse(&player, input(&player.payload, 4), "the value is not the input's");
    let tensors = JobPayload::classify([1; 32], ClassifierInputs::Tensors(vec![vec![0; 4]; 2]));
    refuse(&player, input(&tensors, 0), "the request commits to another input");
    refuse(&player, RefutedClaim::Length, "the model computes so many values");
}

/// Vectors of floats are no runs of integers, whatever their model is called.
#[test]
fn only_encoders_of_integers_are_challenged() {
    for build in [Digest::ZERO, Digest::from(inferium_exact::direction_build())] {
        let mut player = Player::new(player::SENTENCE, Lie::None);
        let key = player.chain.profile();
        let entry = player.chain.state.profiles.get_mut(&key).unwrap();
        entry.profile.engine = EngineClass::Canonical { build, tier: "exact".into() };
        let expected = if build == Digest::ZERO { None } else { Some(Runs::Tokens) };
        assert_eq!(runs_of(&entry.profile), expected);
        if expected.is_none() {
            let refused = Rejection::WrongState { what: "a challenge of a run that is not of integers" };
            player.chain.fails(&player.challenger, player.opening(), &refused);
        } else {
            player.open();
        }
    }
}

#[test]
fn trace_of_many_chunks_takes_one_more_look() {
    let (player, events) = play(player::LONG, Lie::Value { tensor: 16, index: 9_000 });
    assert_convicted(&player, &events);
    let asked = player.chain.history.iter().filter_map(|event| match event {
        Event::TraceAsked { asked: TraceAsked::Span { chunks, .. }, .. } => Some(*chunks),
        _ => None,
    });
    assert_eq!(asked.collect::<Vec<_>>(), [1_084, 2]);
}

#[test]
fn wrong_inputs_answers_and_lengths_are_refuted_too() {
    let parts = [Lie::Unanswered, Lie::Unasked, Lie::OtherKind];
    for lie in [Lie::Input(3), Lie::Answer, Lie::Said, Lie::Short, Lie::Long, Lie::Before].into_iter().chain(parts) {
        let (player, events) = play("mlp-tiny", lie);
        assert_convicted(&player, &events);
    }
}

/// The court approved it against one; who was outvoted gets back what that cost.
#[test]
fn outvoted_member_is_made_whole() {
    let mut player = Player::new("mlp-tiny", Lie::Value { tensor: 1, index: 0 });
    let stake = player.chain.stake(&player.challenger);
    assert!(stake < player.stake_before, "its rejection was taken for a wrong one");
    player.open();
    let events = player.play_out();
    assert!(events.contains(&closed(&player, ChallengeEnd::Refuted, BOND)));
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::SlashOverturned { node, .. } if *node == id(&player.challenger)))
    );
    assert_eq!(player.chain.stake(&player.challenger), player.stake_before);
    let approvals = slashed(&player.chain).into_iter().filter(|(_, rule)| *rule == SlashRule::WrongApproval);
    assert_eq!(approvals.count(), player.approvers.len());
}

/// Approvers attested the jobs that were drawn, and no other.
#[test]
fn who_did_not_replay_the_job_attested_nothing_of_it() {
    let mut player = Player::unreplayed("mlp-tiny", Lie::Value { tensor: 1, index: 0 });
    player.open();
    player.play_out();
    assert_eq!(slashed(&player.chain), [(id("w0"), SlashRule::WrongResult)]);
}

#[test]
fn honest_worker_can_not_be_refuted() {
    let mut player = Player::new("mlp-tiny", Lie::None);
    player.open();
    player.show(); // leaves
    player.ask(player.item.into());
    player.show(); // the run
    let refuse = |player: &Player, claim: RefutedClaim, why: &'static str| {
        player.chain.fails(&player.challenger, player.refutation(claim), &Rejection::Evidence { why });
    };
    refuse(&player, RefutedClaim::Length, "the model computes so many values");
    let output = |player: &Player, chunks| RefutedClaim::Output { opened: player.opened_output(), chunks };
    let chunks = player.last_chunks();
    refuse(&player, output(&player, chunks), "the answer is what the trace ends with");
    refuse(&player, output(&player, Vec::new()), "a last value is not opened");
    let mut other = player.output.clone();
    other.salt[0] ^= 1;
    let chunks = player.last_chunks();
    let opened = other.open_part(1).unwrap();
    refuse(&player, RefutedClaim::Output { opened, chunks }, "the result commits to another output");
    let (opened, chunks) = (player.output.open_part(0).unwrap(), player.last_chunks());
    refuse(&player, RefutedClaim::Output { opened, chunks }, "it is another part of the output");
    let opened = OpenedOutput::Aside(player.output.committed());
    refuse(&player, RefutedClaim::Output { opened, chunks: Vec::new() }, "each part was answered");
    let opened = OpenedInput::Aside(player.payload.committed());
    refuse(&player, RefutedClaim::Input { at: 0, opened }, "each part was answered");
    player.show(); // the one chunk
    let opened = player.payload.open_part(0).unwrap();
    refuse(&player, RefutedClaim::Input { at: 0, opened }, "it is another part of the input");
    let input = |player: &Player, at| RefutedClaim::Input { at, opened: player.opened_input() };
    refuse(&player, input(&player, 0), "the value is the input's");
    refuse(&player, input(&player, 12), "the value is not the input's");
    refuse(&player, input(&player, 1_000), "the value is not shown");
    // 12 inputs, and then 10 sums.
    player.ask(14);
    player.show(); // sums
    for withheld in 0..2 {
        let (chunks, mut pieces) = player.opened(14, 0);
        if withheld == 1 {
            pieces.clear();
        }
        let why = if withheld == 1 { "an operand is not opened" } else { "the tile is right" };
        refuse(&player, RefutedClaim::Tile { tile: 0, chunks, pieces }, why);
    }
    let beyond = RefutedClaim::Tile { tile: 1, chunks: Vec::new(), pieces: Vec::new() };
    let expected = Rejection::OutOfBounds { field: "tile" };
    player.chain.fails(&player.challenger, player.refutation(beyond), &expected);
    // It gives up, and pays.
    let (worker, treasury) = (player.chain.balance("w0"), player.chain.state.meta().treasury);
    let due_ms = player.due_ms();
    player.chain.wait_until(due_ms - 1);
    assert!(player.turn() == Some(Turn::Challenger));
    player.chain.wait_until(due_ms);
    assert_eq!(player.turn(), Some(Turn::Over));
    assert_eq!(player.chain.balance("w0") - worker, BOND / 2);
    assert_eq!(player.chain.state.meta().treasury.nano() - treasury.nano(), BOND / 2);
    assert!(player.chain.history.contains(&closed(&player, ChallengeEnd::Abandoned, 0)));
    // Once is enough.
    player.chain.fails(&player.challenger, player.opening(), &Rejection::Exists { what: "challenge" });
    let unknown = player.refutation(RefutedClaim::Length);
    let expected = Rejection::WrongState { what: "a refutation of what is over" };
    player.chain.fails(&player.challenger, unknown, &expected);
    // What it held up is paid, and nothing of it stays.
    player.settle();
    assert!(player.chain.state.challenge(&player.segment, &id(&player.challenger)).is_none());
}

#[test]
fn false_openings_are_refused() {
    let mut player = Player::new("mlp-tiny", Lie::Value { tensor: 1, index: 2 });
    player.open();
    player.show();
    player.ask(player.item.into());
    player.show();
    player.show();
    player.ask(14);
    player.show();
    let (chunks, pieces) = player.opened(14, 0);
    let good = RefutedClaim::Tile { tile: 0, chunks, pieces };
    let refuse = |claim: RefutedClaim, why: &'static str| {
        player.chain.fails(&player.challenger, player.refutation(claim), &Rejection::Evidence { why });
    };
    let RefutedClaim::Tile { tile, chunks, pieces } = good.clone() else { panic!("a tile") };
    // Other weights: whoever could bring them could convict anyone.
    let mut forged = pieces.clone();
    forged[0].bytes[0] ^= 1;
    refuse(RefutedClaim::Tile { tile, chunks: chunks.clone(), pieces: forged }, "a piece is not the model's");
    let mut moved = pieces.clone();
    moved[0].part += 1;
    refuse(RefutedClaim::Tile { tile, chunks, pieces: moved }, "a piece is not the model's");
    let values = player.honest_chunk(0);
    let foreign = inferium_types::OpenedChunk { chunk: 0, values, path: Vec::new() };
    refuse(RefutedClaim::Tile { tile, chunks: vec![foreign], pieces }, "a chunk is not the trace's");
    // Another outline.
    let refuse_outline = |change: &dyn Fn(&mut Vec<OpenedPiece>), why: &'static str| {
        let mut outline = player.outline();
        change(&mut outline);
        let refutation = Box::new(inferium_types::Refutation { outline, claim: good.clone() });
        let body = TransactionBody::RefuteTrace { segment: player.segment, refutation };
        player.chain.fails(&player.challenger, body, &Rejection::Evidence { why });
    };
    refuse_outline(&|outline| outline.clear(), "the model's header is missing");
    refuse_outline(&|outline| outline.swap(1, 2), "the model's sizes are out of order");
    refuse_outline(&|outline| outline[2].bytes[0] ^= 1, "a piece is not the model's");
    refuse_outline(&|outline| outline[2].rises[0].is_left ^= true, "a piece is not the model's");
    refuse_outline(&|outline| drop(outline.pop()), "the model's sizes are not whole");
    // The very claim.
    let body = player.refutation(good);
    player.chain.ok(&player.challenger.clone(), body);
    assert_eq!(slashed(&player.chain).last(), Some(&(id("w0"), SlashRule::WrongResult)));
}

#[test]
fn only_what_was_asked_is_shown() {
    let mut player = Player::new("mlp-tiny", Lie::Value { tensor: 1, index: 2 });
    player.open();
    let not_it = Rejection::Evidence { why: "it is not what was asked for" };
    let refuse = |player: &Player, shown: TraceShown| player.chain.fails("w0", player.showing(shown), &not_it);
    let TraceShown::Leaves(leaves) = player.answer() else { panic!("leaves") };
    refuse(&player, TraceShown::Chunk(vec![1]));
    refuse(&player, TraceShown::Leaves(Vec::new()));
    refuse(&player, TraceShown::Leaves(leaves[1..].to_vec()));
    refuse(&player, TraceShown::Leaves(leaves.iter().rev().copied().collect()));
    let strangers = player.showing(TraceShown::Leaves(leaves));
    player.chain.fails("g0", strangers, &Rejection::NotAllowed { expected: "the challenged worker" });
    let out_of_turn = Rejection::WrongState { what: "asking out of turn" };
    player.chain.fails(&player.challenger, player.asking(0), &out_of_turn);
    player.show();
    let unasked = Rejection::WrongState { what: "showing what nobody asked for" };
    player.chain.fails("w0", player.showing(TraceShown::Leaves(Vec::new())), &unasked);
    let beyond = Rejection::OutOfBounds { field: "index" };
    player.chain.fails(&player.challenger, player.asking(2), &beyond);
    player.ask(player.item.into());
    let TraceShown::Run { salt, said, trace } = player.answer() else { panic!("a run") };
    refuse(&player, TraceShown::Run { salt, said, trace: TraceRoot { values: trace.values + 1, ..trace } });
    refuse(&player, TraceShown::Run { salt, said: Digest::ZERO, trace });
    refuse(&player, TraceShown::Run { salt: Digest::ZERO, said, trace });
    player.show();
    let TraceShown::Chunk(values) = player.answer() else { panic!("a chunk") };
    let mut other = values.clone();
    other[5] += 1;
    refuse(&player, TraceShown::Chunk(other));
    refuse(&player, TraceShown::Chunk(values[1..].to_vec()));
    player.show();
    player.chain.fails(&player.challenger, player.asking(values.len() as u64), &beyond);
    player.ask(14);
    let TraceShown::Sums(sums) = player.answer() else { panic!("sums") };
    refuse(&player, TraceShown::Sums(Vec::new()));
    refuse(&player, TraceShown::Sums(vec![sums[0] + 1]));
    refuse(&player, TraceShown::Sums(vec![sums[0]; inferium_exact::SUMS_MAX + 1]));
    player.show();
    player.chain.fails(&player.challenger, player.asking(0), &beyond);
}

/// Nobody computes the input: who could ask for its sums would convict any worker by what it can't show.
#[test]
fn sums_of_the_input_can_not_be_asked_for() {
    let mut player = Player::new("mlp-tiny", Lie::None);
    player.open();
    player.show();
    player.ask(player.item.into());
    player.show();
    player.show();
    for index in [0, 11] {
        let beyond = Rejection::OutOfBounds { field: "index" };
        player.chain.fails(&player.challenger, player.asking(index), &beyond);
    }
    player.ask(12);
    player.show();
}

/// As in a dispute: who attested what it then refutes pays for it, and gets no part of anyone's stake.
#[test]
fn approver_that_challenges_itself_is_no_prover() {
    let mut player = Player::approved("mlp-tiny", Lie::Value { tensor: 1, index: 2 });
    player.challenger = player.approvers[0].clone();
    player.may_challenge(&player.challenger.clone());
    player.open();
    player.play_out();
    assert!(player.chain.state.node(&id(&player.challenger)).unwrap().disqualified);
    assert_eq!(player.chain.state.holds().count(), player.approvers.len() + 1);
    assert!(player.chain.state.holds().all(|(_, hold)| hold.provers.is_empty()));
}

/// Sums are what the worker says when it is asked: of one that computed right and then lies, nobody who approved it pays.
#[test]
fn false_sums_of_an_honest_run_are_the_worker_s_own() {
    // The first output's sum, of 13 tiles; and an affine value, which has one.
    for (at, false_sums) in [(784, 13), (784, 2), (784 + 128, 2)] {
        let mut player = Player::new("mlp-109k", Lie::None);
        player.open();
        player.show();
        player.ask(player.item.into());
        player.show();
        player.show();
        player.ask(at / 256);
        player.show();
        player.ask(at % 256);
        let TraceShown::Sums(sums) = player.answer() else { panic!("sums") };
        let mut shown = vec![7; false_sums];
        *shown.last_mut().unwrap() = *sums.last().unwrap();
        let body = player.showing(TraceShown::Sums(shown));
        player.chain.ok("w0", body);
        let (chunks, pieces) = player.opened_all(at);
        let body = player.refutation(RefutedClaim::Tile { tile: 0, chunks, pieces });
        player.chain.ok(&player.challenger.clone(), body);
        let rejected = (id(&player.challenger), SlashRule::WrongRejection);
        assert_eq!(slashed(&player.chain), [rejected, (id("w0"), SlashRule::WrongResult)]);
    }
}

/// One tile convicts the worker; that the value is wrong, whatever its sums, takes all of its operands.
#[test]
fn who_approved_pays_for_what_is_shown_whole() {
    let mut player = Player::new("mlp-109k", Lie::Weights);
    player.reach_sums();
    player.show();
    let Some((at, sums)) = player.challenge().unwrap().run.as_ref().unwrap().sums.clone() else { panic!("sums") };
    let own = player.sums(at);
    let tile = own.iter().zip(&sums).position(|(own, shown)| own != shown).unwrap().try_into().unwrap();
    let (chunks, pieces) = player.opened(at, tile);
    let body = player.refutation(RefutedClaim::Tile { tile, chunks, pieces });
    player.chain.ok(&player.challenger.clone(), body);
    let rejected = (id(&player.challenger), SlashRule::WrongRejection);
    assert_eq!(slashed(&player.chain), [rejected, (id("w0"), SlashRule::WrongResult)]);
}

/// SPEC V5: what was planted can't be shown, and while a court is drawn and looks its worker may not say that it was.
#[test]
fn turn_of_who_may_not_open_does_not_end() {
    let mut player = Player::approved("mlp-tiny", Lie::None);
    player.open();
    player.chain.ok("g0", TransactionBody::OpenDispute { segment: player.segment });
    let mut entry = player.chain.state.segment(&player.segment).unwrap().clone();
    entry.opening = crate::Opening::Closed(crate::OwedOrder { share: inferium_types::Ppm::ONE, has_room: true });
    player.chain.state.set_segment(player.segment, Some(entry));
    let due_ms = player.due_ms();
    let mut free = player.clone_chain();
    player.chain.blocks(2);
    player.chain.wait_until(due_ms);
    assert!(matches!(player.turn(), Some(Turn::Worker(_))) && player.due_ms() > due_ms);
    // Without anything that is owed it is over.
    let mut entry = free.state.segment(&player.segment).unwrap().clone();
    entry.opening = crate::Opening::NotOwed;
    free.state.set_segment(player.segment, Some(entry));
    free.blocks(2);
    free.wait_until(due_ms);
    assert!(free.state.challenge(&player.segment, &id(&player.challenger)).is_none());
}

/// Who is challenged and opens nothing is not let off with that.
#[test]
fn segment_that_is_not_opened_waits_for_its_challenge() {
    let mut player = Player::approved("mlp-tiny", Lie::Weights);
    player.open();
    let until_ms = player.chain.now_ms + 2_000;
    let mut entry = player.chain.state.segment(&player.segment).unwrap().clone();
    let order = crate::OwedOrder { share: inferium_types::Ppm::ONE, has_room: true };
    entry.opening = crate::Opening::Asked { order, until_ms };
    player.chain.state.set_segment(player.segment, Some(entry));
    player.chain.wait_until(until_ms);
    player.chain.block(&[]);
    assert!(player.chain.state.segment(&player.segment).is_some());
    player.play_out();
    assert_eq!(slashed(&player.chain).last(), Some(&(id("w0"), SlashRule::WrongResult)));
}

/// More or fewer sums than the value has tiles are a lie as well.
#[test]
fn sums_of_another_number_convict() {
    let mut player = Player::new("mlp-tiny", Lie::Value { tensor: 1, index: 2 });
    player.reach_sums();
    let TraceShown::Sums(sums) = player.answer() else { panic!("sums") };
    let padded = player.showing(TraceShown::Sums(vec![0, sums[0]]));
    player.chain.ok("w0", padded);
    let claim = RefutedClaim::Tile { tile: 0, chunks: Vec::new(), pieces: Vec::new() };
    let body = player.refutation(claim);
    let events = player.chain.ok(&player.challenger.clone(), body);
    assert!(events.contains(&closed(&player, ChallengeEnd::Refuted, BOND)));
}

#[test]
fn worker_that_shows_nothing_is_out_of_time_to_the_millisecond() {
    let mut player = Player::new("mlp-tiny", Lie::Weights);
    player.open();
    let due_ms = player.due_ms();
    let is_open =
        |chain: &Chain, player: &Player| chain.state.challenge(&player.segment, &id(&player.challenger)).is_some();
    // SPEC C3: a window is a least number of blocks, too.
    let mut hasty = player.clone_chain();
    hasty.wait_until(due_ms);
    assert!(is_open(&hasty, &player));
    let mut late = player.clone_chain();
    late.blocks(2);
    late.wait_until(due_ms - 1);
    assert!(is_open(&late, &player));
    player.chain.wait_until(due_ms - 1);
    player.show();
    assert_eq!(player.turn(), Some(Turn::Challenger));
    late.wait_until(due_ms);
    assert!(!is_open(&late, &player));
    assert!(late.history.contains(&closed(&player, ChallengeEnd::Withheld, BOND)));
    let is_unavailable = |event: &Event| matches!(event, Event::SegmentRejected { segment, reason: RejectReason::Unavailable, .. } if *segment == player.segment);
    assert!(late.history.iter().any(is_unavailable));
    assert_eq!(slashed(&late).last(), Some(&(id("w0"), SlashRule::EvidenceWithheld)));
    assert_eq!(late.record("w0").2, 1, "a fault on record");
    assert_eq!(late.stake(&player.challenger), player.stake_before, "it did not reject what is right");
}

#[test]
fn time_begins_anew_after_a_pause() {
    let mut player = Player::new("mlp-tiny", Lie::Weights);
    player.open();
    let due_ms = player.due_ms();
    player.chain.block_at(due_ms + 60_000);
    assert!(matches!(player.turn(), Some(Turn::Worker(_))));
    assert!(player.due_ms() > due_ms + 60_000);
}

#[test]
fn pay_waits_for_a_challenge() {
    let mut player = Player::new("mlp-tiny", Lie::None);
    let SegmentState::Final { settles_at_ms, .. } = player.chain.state.segment(&player.segment).unwrap().state else {
        panic!("final")
    };
    player.chain.wait_until(settles_at_ms - 1);
    player.open();
    player.chain.blocks(3);
    assert!(player.chain.state.segment(&player.segment).is_some());
    let due_ms = player.due_ms();
    assert!(due_ms > settles_at_ms);
    player.show();
    player.settle();
}

#[test]
fn only_members_that_were_outvoted_challenge_final_runs_of_integers() {
    let player = Player::new("mlp-tiny", Lie::None);
    let expected = Rejection::NotAllowed { expected: "a validator" };
    for stranger in ["g0", "w0", "x0"] {
        player.chain.fails(stranger, player.opening(), &expected);
    }
    // Who approved it is not to have anything of it shown; nor is who found another job wrong.
    let expected = Rejection::NotAllowed { expected: "a member that found this job wrong" };
    player.chain.fails(&player.approvers[0], player.opening(), &expected);
    player.chain.fails(
        &player.challenger,
        TransactionBody::OpenChallenge { terms: Box::new(player.other_terms()) },
        &expected,
    );
    let mut terms = player.terms();
    terms.segment = SegmentId::new(Digest::ZERO);
    let body = |terms| TransactionBody::OpenChallenge { terms: Box::new(terms) };
    player.chain.fails(&player.challenger, body(terms), &Rejection::Unknown { what: "segment" });
    let not_in = Rejection::Evidence { why: "the job is not in the segment" };
    let mut terms = player.terms();
    terms.leaf.result.evidence_root = Digest::ZERO;
    player.chain.fails(&player.challenger, body(terms), &not_in);
    let mut terms = player.terms();
    terms.path.index ^= 1;
    player.chain.fails(&player.challenger, body(terms), &not_in);
    let early = Player::undecided("mlp-tiny");
    let expected = Rejection::WrongState { what: "a challenge of a segment that is not final" };
    early.chain.fails(&early.challenger, early.opening(), &expected);
    let chat = Player::of_conversation();
    let expected = Rejection::WrongState { what: "a challenge of a run that is not of integers" };
    chat.chain.fails(&chat.challenger, chat.opening(), &expected);
}

/// Of several challengers each goes its own way; the first that refutes ends it for all.
#[test]
fn challengers_do_not_wait_for_each_other() {
    let mut player = Player::twice_outvoted("mlp-tiny", Lie::Weights);
    let second = player.dissenters[1].clone();
    player.open();
    let opening = player.opening();
    player.chain.ok(&second, opening);
    let before = player.chain.balance(&second);
    player.play_out();
    assert_eq!(player.chain.balance(&second) - before, BOND);
    let moot = (id(&second), ChallengeEnd::Moot);
    let ends = player.chain.history.iter().filter_map(|event| match event {
        Event::ChallengeClosed { challenger, end, .. } => Some((*challenger, *end)),
        _ => None,
    });
    assert!(ends.collect::<Vec<_>>().contains(&moot));
}

/// A dispute may be opened meanwhile, and goes with the segment.
#[test]
fn dispute_and_challenge_do_not_hinder_each_other() {
    let mut player = Player::new("mlp-tiny", Lie::Weights);
    player.open();
    let before = player.chain.balance("g0");
    player.chain.ok("g0", TransactionBody::OpenDispute { segment: player.segment });
    let events = player.play_out();
    let upheld = |event: &Event| matches!(event, Event::DisputeClosed { segment, upheld: true, .. } if *segment == player.segment);
    assert!(events.iter().any(upheld), "{events:?}");
    assert!(player.chain.balance("g0") >= before - 1);
}

#[test]
fn model_that_is_played_is_the_profile_s() {
    let (model, _) = synthetic("mlp-tiny").unwrap().unwrap();
    let player = Player::new("mlp-tiny", Lie::None);
    let id = |model: &Model| Digest::from(inferium_exact::model_id(model));
    assert_eq!(player.chain.model.weights_root, id(&model));
}

/// What was planted by order is wrong on purpose: whoever challenges it was right, and so was its worker.
#[test]
fn challenge_of_a_planted_job_is_moot() {
    use super::forced::ordered;
    use inferium_types::ForcedKind;
    let mut case = ordered(200_000, Some(ForcedKind::Wrong));
    let approvers = case.chain.draw(case.segment);
    case.chain.vote(case.segment, &approvers, valid());
    assert!(matches!(case.chain.state.segment(&case.segment).unwrap().state, SegmentState::Final { .. }));
    // The profile of this case has no run that could be challenged: the entry is what is looked at.
    let challenger = id("v8");
    let mut player = Player::new("mlp-tiny", Lie::None);
    player.open();
    let mut entry = player.challenge().unwrap().clone();
    entry.job = 1;
    entry.bond = Amount::from_nano(BOND);
    entry.due_at_ms = case.chain.now_ms + 60_000;
    let balance = case.chain.balance("v8");
    case.chain.state.debit(challenger, entry.bond).unwrap();
    case.chain.state.set_challenge((case.segment, challenger), Some(entry.clone()));
    // Another's, about another job, goes on.
    let other = crate::entries::Challenge { job: 2, ..entry };
    case.chain.state.debit(id("v7"), other.bond).unwrap();
    case.chain.state.set_challenge((case.segment, id("v7")), Some(other));
    case.chain.ok("w0", TransactionBody::OpenSegments { openings: vec![case.opening(Some(1))] });
    assert_eq!(case.chain.balance("v8"), balance);
    assert!(case.chain.state.challenge(&case.segment, &challenger).is_none());
    assert!(case.chain.state.challenge(&case.segment, &id("v7")).is_some());
}
