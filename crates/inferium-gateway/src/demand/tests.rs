//! One task at a time, whichever of the sender and the follower is first to see a block.

use super::Demand;
use inferium_types::{Digest, TaskId};

fn task() -> TaskId {
    TaskId::new(Digest::sha256(b"task"))
}

#[test]
fn no_second_task_while_the_first_is_in_a_block_that_was_not_followed_yet() {
    let mut demand = Demand::new(None);
    assert!(demand.take());
    assert!(!demand.take(), "one is on its way");
    demand.sent(Some(7));
    demand.followed(6);
    assert!(!demand.take(), "its event was not seen yet");
    demand.opened(task());
    demand.followed(7);
    assert!(!demand.take(), "it waits in the pool");
    demand.gone(task());
    assert!(demand.take());
}

#[test]
fn a_task_that_is_leased_in_its_own_block_is_followed_by_the_next() {
    // The follower may be through with the block before the sender says so.
    let mut demand = Demand::new(None);
    assert!(demand.take());
    demand.opened(task());
    demand.gone(task());
    demand.followed(7);
    assert!(!demand.take());
    demand.sent(Some(7));
    assert!(demand.take());
}

#[test]
fn a_task_that_was_refused_is_opened_again() {
    let mut demand = Demand::new(None);
    assert!(demand.take());
    demand.sent(None);
    assert!(demand.take());
}

#[test]
fn after_a_restart_the_blocks_up_to_the_head_are_followed_first() {
    let mut demand = Demand::new(Some(9));
    demand.followed(8);
    assert!(!demand.take());
    demand.opened(task());
    demand.followed(9);
    assert!(!demand.take(), "an earlier run had opened one");
    demand.gone(task());
    assert!(demand.take());
}
