//! That whatever a transaction wrote can be taken back.

use crate::execute::Block;
use crate::{BlockEnvironment, State};
use inferium_types::VerifiedTransaction;

/// SPEC M3: whatever a transaction wrote when it failed, or was applied, can be taken back, what is
/// derived included.
pub(super) fn check(parent: &State, environment: &BlockEnvironment, transactions: &[VerifiedTransaction]) {
    let mut block = Block::begin(parent, environment).unwrap();
    for transaction in transactions {
        let before = block.state.clone();
        block.state.mark();
        let _ = block.apply(transaction);
        block.state.take_back();
        assert_eq!(block.state, before, "{transaction:?}");
        block.include(transaction).unwrap();
    }
}
