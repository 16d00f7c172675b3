//! What ends a challenge without deciding it (SPEC V11), and courts that look at approvals again (SPEC V4).

use super::book::{Page, with};
use super::challenges::usual;
use super::forced::{approved, opened};
use crate::entries::Challenge;
use crate::tests::challenges::player::{Lie, Player};
use crate::tests::forced::Case;
use crate::tests::support::*;
use crate::{State, Turn};
use inferium_types::Amount;

/// A challenge of the planted job, and another one.
fn challenged(case: &Case, other: fn(Challenge) -> Challenge) -> Case {
    let mut case = approved(case);
    let template = {
        let mut player = usual(Player::approved("mlp-tiny", Lie::None));
        player.open();
        player.challenge().unwrap().clone()
    };
    let due_at_ms = case.chain.now_ms + 60_000;
    let (profile, bond) = (case.chain.profile(), Amount::from_nano(777));
    let challenge = Challenge { job: 1, profile, due_at_ms, bond, ..template };
    let key = |name: &str| (case.segment, id(name));
    case.chain = with(&case.chain, |state: &mut State| {
        state.set_challenge(key("x0"), Some(challenge.clone()));
        // By somebody whom the vector names: what goes on would not be shown otherwise.
        state.set_challenge(key("w0"), Some(other(challenge)));
    });
    case
}

/// What was planted by order is wrong on purpose: whoever challenges it was right, and so was its worker.
pub(super) fn of_planted_jobs(page: &mut Page<'_>, wrong: &Case, right: &Case) {
    let of_another = |challenge| Challenge { job: 2, ..challenge };
    let lost = |challenge| Challenge { turn: Turn::Over, bond: Amount::ZERO, ..challenge };
    opened(page, "challenges of a known-wrong job are moot", &challenged(wrong, of_another), Some(1));
    opened(page, "a lost challenge of it stays as long as the segment", &challenged(wrong, lost), Some(1));
    opened(page, "challenges of a known-right job go on", &challenged(right, of_another), Some(1));
}
