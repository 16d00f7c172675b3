//! Boards as tables, and what is refused.

use super::{AGENTS, VALIDATORS, WORKERS, is_expected};
use inferium_query::boards::Fold;
use inferium_types::{AccountId, AgentId, Amount, ChainId, Digest, Event, GroupKey, NetworkKey, NodeId};
use inferium_types::{SlashRule, SlashedNode};

fn network() -> NetworkKey {
    NetworkKey { chain: ChainId::new(Digest::ZERO), group: GroupKey::from_bytes([7; 96]) }
}

fn slashed(role: &str) -> Event {
    Event::Slashed(SlashedNode {
        slash: 0,
        node: NodeId::from_bytes([1; 32]),
        role: role.into(),
        operator: AccountId::from_bytes([2; 32]),
        rule: SlashRule::WrongResult,
        segment: None,
        job: None,
        amount: Amount::from_ifr(7),
        releases_at_ms: 9,
        disqualified: true,
    })
}

#[test]
fn a_row_says_what_was_never_judged_and_what_was_slashed() {
    let mut fold = Fold::default();
    fold.on_event(&slashed("worker"));
    let row = (WORKERS.row)(&fold.workers(&network()).rows[0]);
    assert_eq!((row[0].as_str(), row[2].as_str(), row[3].as_str()), ("-", "-", "0 of 0"));
    assert!(row[6].starts_with("1: 7 IFR") && row[6].ends_with(", barred"), "{row:?}");
    let mut fold = Fold::default();
    fold.on_event(&slashed("validator"));
    let row = (VALIDATORS.row)(&fold.validators(&network()).rows[0]);
    assert_eq!((row[0].as_str(), row[2].as_str()), ("1", "0.0 % (0.0 to 79.3)"));
}

#[test]
fn an_agent_is_named_with_its_id() {
    let mut fold = Fold::default();
    let (agent, creator) = (AgentId::new(Digest::ZERO), NodeId::from_bytes([9; 32]));
    let (name, price) = ("plain".to_owned(), Amount::from_ifr(1));
    fold.on_event(&Event::AgentPublished { agent, creator, name, manifest: Digest::ZERO, price });
    let row = (AGENTS.row)(&fold.agents_board(&network()).rows[0]);
    assert_eq!((row[1].clone(), row[4].as_str()), (format!("plain\n{agent}"), "1 IFR"));
}

#[test]
fn another_digest_is_refused_by_name() {
    let board = Fold::default().workers(&network());
    let digest = board.digest();
    assert!(is_expected(&board, &digest, None).is_ok() && is_expected(&board, &digest, Some(digest)).is_ok());
    let failure = is_expected(&board, &digest, Some(Digest::ZERO)).unwrap_err();
    assert!(failure.is_refusal(), "{failure}");
    let said = failure.to_string();
    assert!(said.contains(&digest.to_string()) && said.contains(&Digest::ZERO.to_string()), "{said}");
}
