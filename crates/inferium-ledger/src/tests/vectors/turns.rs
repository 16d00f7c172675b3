//! Challenges that time ends, and pay that waits for them (SPEC V11, C3).

use super::book::{Book, near, with};
use super::challenges::{WRONG, about, edited, hold, usual};
use crate::entries::Challenge;
use crate::tests::challenges::player::{Lie, Player, SMALL};
use crate::tests::support::*;
use crate::{SegmentState, StateKey, Turn};
use inferium_types::{Amount, Ppm, SlashRule, TransactionBody};

pub(super) fn write(book: &mut Book) {
    withheld(book);
    abandoned(book);
    settlement(book);
}

fn keys(player: &Player) -> [StateKey; 3] {
    [
        StateKey::Challenge((player.segment, id(&player.challenger))),
        StateKey::Segment(player.segment),
        StateKey::Node(id("w0")),
    ]
}

/// The chain just before its turn is over, when enough blocks have been made.
fn late(player: &Player) -> Chain {
    let (due_ms, height) = (player.due_ms(), player.challenge().unwrap().due_at_height);
    with(&near(&player.chain, due_ms), |state| state.meta_mut().height = height)
}

fn withheld(book: &mut Book) {
    let page = &mut book.page("withheld_trace");
    let mut player = usual(Player::approved(SMALL, WRONG));
    player.open();
    let (due_ms, keys) = (player.due_ms(), keys(&player));
    let late = late(&player);
    page.timed("nothing is shown: as if there were no evidence", "V11", &late, due_ms, &keys);
    let at = |height| with(&late, |state| state.meta_mut().height = height);
    let due_at_height = player.challenge().unwrap().due_at_height;
    page.timed("at the last block of its turn", "C3", &at(due_at_height - 1), due_ms, &keys);
    page.timed("a turn is also a number of blocks", "C3", &at(due_at_height - 2), due_ms, &keys);
    let resumed = |before_ms| with(&late, |state| state.meta_mut().resumed_at_ms = due_ms - before_ms);
    page.timed("its turn begins anew after a pause", "C3", &resumed(9_999), due_ms, &keys);
    page.timed("a pause that ended all of its turn before changes nothing", "C3", &resumed(10_000), due_ms, &keys);
    let replaying = |replayed| {
        with(&late, |state| {
            let mut segment = state.segment(&player.segment).unwrap().clone();
            let SegmentState::Final { approval, .. } = &mut segment.state else { panic!("final") };
            approval.replayed = Ppm::new(replayed);
            state.set_segment(player.segment, Some(segment));
        })
    };
    page.timed("what is seldom replayed costs more", "S", &replaying(10_000), due_ms, &keys);
    // Who was outvoted is made whole, and nobody for anything else.
    let held = with(&late, |state| {
        let of = |rule, segment| hold((&player.outsiders[1], rule, segment), 7);
        let about = Some(player.segment);
        let all = [
            of(SlashRule::WrongRejection, about),
            of(SlashRule::WrongRejection, None),
            of(SlashRule::MissedDuty, about),
        ];
        for (number, hold) in (0..).zip(all) {
            let node = state.nodes.get_mut(&hold.node).unwrap();
            node.holds += 1;
            state.set_hold(number, Some(hold));
        }
        state.meta_mut().slashes = 3;
    });
    let mut named = keys.to_vec();
    named.extend([StateKey::Hold(0), StateKey::Hold(1), StateKey::Hold(2), StateKey::Node(id(&player.outsiders[1]))]);
    page.timed("who was outvoted gets back what that cost", "V11", &held, due_ms, &named);
    let mut second = player.clone();
    second.chain.ok(&player.outsiders[1], player.opening());
    second.chain = with(&second.chain, |state| {
        let key = (player.segment, id(&player.outsiders[1]));
        let lost =
            Challenge { turn: Turn::Over, bond: Amount::ZERO, ..state.challenge(&key.0, &key.1).unwrap().clone() };
        let other = id(&player.outsiders[2]);
        state.set_challenge((player.segment, other), Some(lost));
    });
    page.timed("others' go with it", "V11", &self::late(&second), due_ms, &keys);
    let mut disputed = player;
    disputed.chain.ok("g0", TransactionBody::OpenDispute { segment: disputed.segment });
    page.timed("while its court is drawn", "V11", &self::late(&disputed), due_ms, &keys);
    disputed.chain.draw(disputed.segment);
    let sold = about(&disputed, |segment| {
        let SegmentState::Judging { replay, .. } = &mut segment.state else { panic!("judging") };
        *replay = Ppm::new(10_000);
    });
    disputed.chain = sold;
    page.timed("while its court judges: the least share counts", "V11", &self::late(&disputed), due_ms, &keys);
}

fn abandoned(book: &mut Book) {
    let page = &mut book.page("abandoned_challenge");
    let mut player = usual(Player::approved(SMALL, Lie::None));
    player.open();
    player.show();
    player.ask(1);
    player.show();
    player.show();
    let (due_ms, keys) = (player.due_ms(), keys(&player));
    let late = late(&player);
    page.timed("half of the bond is the worker's", "V11", &late, due_ms, &keys);
    let odd = |bond| {
        let mut odd = player.clone();
        odd.chain = edited(&player, |challenge| challenge.bond = Amount::from_nano(bond));
        self::late(&odd)
    };
    page.timed("of an odd bond the treasury has more", "V11", &odd(7), due_ms, &keys);
    let resumed = |before_ms| with(&late, |state| state.meta_mut().resumed_at_ms = due_ms - before_ms);
    page.timed("its turn begins anew after a pause", "C3", &resumed(9_999), due_ms, &keys);
    let height = player.challenge().unwrap().due_at_height;
    let early = with(&late, |state| state.meta_mut().height = height - 2);
    page.timed("a turn is also a number of blocks", "C3", &early, due_ms, &keys);
}

fn settlement(book: &mut Book) {
    let page = &mut book.page("challenged_pay");
    let mut player = usual(Player::approved(SMALL, Lie::None));
    let SegmentState::Final { settles_at_ms, .. } = player.chain.state.segment(&player.segment).unwrap().state else {
        panic!("final")
    };
    let mut lost = player.clone();
    player.chain = near(&player.chain, settles_at_ms - 2 * BLOCK_MS);
    player.open();
    let keys = keys(&player);
    page.timed("it waits until after the turn", "V11", &player.chain, settles_at_ms, &keys);
    let mut second = player.clone();
    second.chain = with(&player.chain, |state| {
        let of = |index: usize| (player.segment, id(&player.outsiders[index]));
        let usual = state.challenge(&of(0).0, &of(0).1).unwrap().clone();
        let later = Challenge { due_at_ms: usual.due_at_ms + 5_000, ..usual.clone() };
        state.set_challenge(of(1), Some(later));
        let lost = Challenge { due_at_ms: usual.due_at_ms + 9_000, turn: Turn::Over, bond: Amount::ZERO, ..usual };
        state.set_challenge(of(2), Some(lost));
    });
    page.timed("until after the last of the turns that go on", "V11", &second.chain, settles_at_ms, &keys);
    lost.open();
    lost.chain = edited(&lost, |challenge| {
        (challenge.turn, challenge.bond) = (Turn::Over, Amount::ZERO);
    });
    let due = near(&lost.chain, settles_at_ms);
    page.timed("it does not wait for a lost one, which goes with it", "V11", &due, settles_at_ms, &keys);
    // A turn that is renewed in the same block, and one that is over in it.
    let due_ms = player.due_ms();
    let waits = |settles_at_ms| {
        let chain = about(&player, |segment| {
            let SegmentState::Final { settles_at_ms: at_ms, .. } = &mut segment.state else { panic!("final") };
            *at_ms = settles_at_ms;
        });
        let height = player.challenge().unwrap().due_at_height;
        with(&near(&chain, due_ms), |state| state.meta_mut().height = height)
    };
    page.timed("the segment's time comes first: it waits once more", "V11", &waits(due_ms), due_ms, &keys);
}
