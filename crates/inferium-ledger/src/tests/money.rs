//! Transfers, fees, nonces, block limits, epochs: SPEC M2, M3, C3, C5, C9.

use super::support::*;
use crate::{InvalidBlock, Rejection, admit, assemble, execute};
use inferium_types::{Amount, Event, LeaseId, NodeId, TransactionBody, VerifiedTransaction, limits};

fn transfer(to: &str, nano: u64) -> TransactionBody {
    TransactionBody::Transfer { to: id(to), amount: Amount::from_nano(nano) }
}

#[test]
fn transfer_moves_everything_but_the_fee_and_not_one_nano_more() {
    let mut chain = Chain::new();
    let fee = fee_of(chain.parameters(), &chain.tx("x0", transfer("x1", 1))).nano();
    let all = PURSE.nano() - fee;
    let available = Amount::from_nano(all);
    let needed = Amount::from_nano(all + 1);
    chain.fails("x0", transfer("x1", all + 1), &Rejection::Insufficient { needed, available });
    chain.ok("x0", transfer("x1", all));
    assert_eq!(chain.balance("x0"), 0);
    assert_eq!(chain.balance("x1"), PURSE.nano() + all);
    assert_eq!(chain.state.meta().validator_pool.nano(), fee);
}

#[test]
fn transfer_to_oneself_costs_the_fee_only() {
    let mut chain = Chain::new();
    let fee = fee_of(chain.parameters(), &chain.tx("x0", transfer("x0", 5))).nano();
    chain.ok("x0", transfer("x0", 5));
    assert_eq!(chain.balance("x0"), PURSE.nano() - fee);
}

/// SPEC C9: the fee grows with the size, byte by byte.
#[test]
fn fee_counts_every_byte() {
    let chain = Chain::ready(1);
    let url = |size: usize| TransactionBody::SetUrl { url: format!("http://{}", "a".repeat(size)) };
    let (short, long) = (chain.tx("g0", url(10)), chain.tx("g0", url(17)));
    let parameters = chain.parameters();
    assert_eq!(long.size() - short.size(), 7);
    assert_eq!(chain.state.fee(&short).unwrap(), fee_of(parameters, &short));
    let difference = chain.state.fee(&long).unwrap().sub(chain.state.fee(&short).unwrap()).unwrap();
    assert_eq!(difference, parameters.fee_per_byte.times(7).unwrap());
}

#[test]
fn nonces_are_used_in_order_without_gaps() {
    let mut chain = Chain::new();
    chain.ok("x0", transfer("x1", 1));
    let used = {
        let old = Chain::new();
        old.tx("x0", transfer("x1", 2))
    };
    let ahead = chain.tx_after("x0", 1, transfer("x1", 3));
    let environment = chain.environment();
    let refused = |transaction: &VerifiedTransaction| {
        execute(&chain.state, &environment, std::slice::from_ref(transaction)).map(|_| ()).unwrap_err()
    };
    let low = Rejection::NonceTooLow { expected: 1, found: 0 };
    let high = Rejection::NonceTooHigh { expected: 1, found: 2 };
    assert_eq!(refused(&used), InvalidBlock::Transaction { index: 0, rejection: low.clone() });
    assert_eq!(refused(&ahead), InvalidBlock::Transaction { index: 0, rejection: high });
    assert_eq!(admit(&chain.state, &used), Err(low));
    // A mempool keeps what is a little ahead.
    assert_eq!(admit(&chain.state, &ahead), Ok(()));
    assert_eq!(admit(&chain.state, &chain.tx_after("x0", 256, transfer("x1", 3))), Ok(()));
    assert_eq!(
        admit(&chain.state, &chain.tx_after("x0", 257, transfer("x1", 3))),
        Err(Rejection::NonceTooHigh { expected: 1, found: 258 })
    );
    let first = chain.tx("x0", transfer("x1", 4));
    let events = chain.block(&[first, ahead]);
    assert_eq!(events, []);
    assert_eq!(chain.state.next_nonce(&id("x0")), 3);
}

#[test]
fn fee_that_cannot_be_paid_keeps_a_transaction_out() {
    let mut chain = Chain::new();
    let fee = fee_of(chain.parameters(), &chain.tx("x0", transfer("x1", 1))).nano();
    chain.ok("x0", transfer("x1", PURSE.nano() - fee - (fee - 1)));
    let poor = chain.tx("x0", transfer("x1", 0));
    let rejection = Rejection::FeeUnpayable { fee: Amount::from_nano(fee), balance: Amount::from_nano(fee - 1) };
    assert_eq!(admit(&chain.state, &poor), Err(rejection.clone()));
    let environment = chain.environment();
    let refused = execute(&chain.state, &environment, std::slice::from_ref(&poor)).map(|_| ());
    assert_eq!(refused, Err(InvalidBlock::Transaction { index: 0, rejection }));
    chain.ok("x2", transfer("x0", 1));
    chain.ok("x0", transfer("x1", 0));
    assert_eq!(chain.balance("x0"), 0);
}

#[test]
fn transaction_has_its_largest_size() {
    let chain = Chain::ready(1);
    let url = |size: usize| TransactionBody::SetUrl { url: "a".repeat(size) };
    let overhead = chain.tx("g0", url(0)).size();
    let largest = chain.tx("g0", url(limits::TRANSACTION_SIZE_MAX - overhead));
    let larger = chain.tx("g0", url(limits::TRANSACTION_SIZE_MAX - overhead + 1));
    assert_eq!(admit(&chain.state, &largest), Ok(()));
    let rejection = Rejection::TooLarge { found: larger.size(), limit: limits::TRANSACTION_SIZE_MAX };
    assert_eq!(admit(&chain.state, &larger), Err(rejection.clone()));
    let refused = execute(&chain.state, &chain.environment(), &[larger]).map(|_| ());
    assert_eq!(refused, Err(InvalidBlock::Transaction { index: 0, rejection }));
}

/// SPEC C9: duties are free, but only nodes have any.
#[test]
fn strangers_cannot_fill_a_mempool_with_duties() {
    let chain = Chain::ready(1);
    let duty =
        || TransactionBody::CertifyDelivery { stall: inferium_types::StallId::new(inferium_types::Digest::ZERO) };
    assert_eq!(admit(&chain.state, &chain.tx("x0", duty())), Err(Rejection::NotAllowed { expected: "a node" }));
    assert_eq!(admit(&chain.state, &chain.tx("v0", duty())), Ok(()));
}

/// SPEC M3: a failed transaction between others leaves no trace but fee and nonce.
#[test]
fn failed_transaction_leaves_its_neighbours_alone() {
    let mut chain = Chain::new();
    let first = chain.tx("x0", transfer("x1", 7));
    let failing =
        chain.tx_after("x0", 1, TransactionBody::CloseLease { lease: LeaseId::new(inferium_types::Digest::ZERO) });
    let last = chain.tx_after("x0", 2, transfer("x1", 9));
    let fees: u64 = [&first, &failing, &last].iter().map(|t| fee_of(chain.parameters(), t).nano()).sum();
    let reason = Rejection::Unknown { what: "lease" }.to_string();
    let expected = Event::TransactionFailed { transaction: failing.id(), reason };
    assert_eq!(chain.block(&[first, failing, last]), [expected]);
    assert_eq!(chain.balance("x1"), PURSE.nano() + 16);
    assert_eq!(chain.balance("x0"), PURSE.nano() - 16 - fees);
}

/// SPEC C3: equal and earlier times are refused, one millisecond later is enough.
#[test]
fn block_is_later_than_its_parent() {
    let mut chain = Chain::new();
    chain.block(&[]);
    let parent = chain.now_ms;
    for found in [parent, parent - 1, 0] {
        let mut environment = chain.environment();
        environment.timestamp_ms = found;
        let refused = execute(&chain.state, &environment, &[]).map(|_| ());
        assert_eq!(refused, Err(InvalidBlock::Timestamp { parent, found }));
        let refused = assemble(&chain.state, &environment, Vec::new()).map(|_| ());
        assert_eq!(refused, Err(InvalidBlock::Timestamp { parent, found }));
    }
    chain.block_at(parent + 1);
    assert_eq!(chain.state.meta().timestamp_ms, parent + 1);
}

#[test]
fn block_has_the_next_height() {
    let mut chain = Chain::new();
    chain.blocks(3);
    for found in [0, 3, 5] {
        let mut environment = chain.environment();
        environment.height = found;
        let refused = execute(&chain.state, &environment, &[]).map(|_| ());
        assert_eq!(refused, Err(InvalidBlock::Height { expected: 4, found }));
    }
    chain.blocks(1);
    assert_eq!(chain.state.height(), 4);
}

#[test]
fn block_holds_so_many_transactions_and_no_more() {
    let chain = Chain::new();
    let candidates: Vec<VerifiedTransaction> = (0..=u64::try_from(limits::BLOCK_TRANSACTIONS_MAX).unwrap())
        .map(|ahead| chain.tx_after("x0", ahead, transfer("x1", 1)))
        .collect();
    let environment = chain.environment();
    let assembled = assemble(&chain.state, &environment, candidates.clone()).unwrap();
    assert_eq!(assembled.transactions.len(), limits::BLOCK_TRANSACTIONS_MAX);
    assert!(execute(&chain.state, &environment, &assembled.transactions).is_ok());
    let refused = execute(&chain.state, &environment, &candidates).map(|_| ());
    assert_eq!(refused, Err(InvalidBlock::TooLarge));
}

#[test]
fn block_holds_so_many_bytes_and_no_more() {
    let chain = Chain::ready(1);
    let url = "a".repeat(limits::TRANSACTION_SIZE_MAX - 1_000);
    let candidates: Vec<VerifiedTransaction> =
        (0..20).map(|ahead| chain.tx_after("g0", ahead, TransactionBody::SetUrl { url: url.clone() })).collect();
    let environment = chain.environment();
    let assembled = assemble(&chain.state, &environment, candidates.clone()).unwrap();
    let size = |of: &[VerifiedTransaction]| of.iter().map(VerifiedTransaction::size).sum::<usize>();
    let taken = assembled.transactions.len();
    assert!(size(&assembled.transactions) <= limits::BLOCK_TRANSACTIONS_SIZE_MAX);
    assert!(size(&candidates[..=taken]) > limits::BLOCK_TRANSACTIONS_SIZE_MAX);
    assert!(execute(&chain.state, &environment, &assembled.transactions).is_ok());
    let refused = execute(&chain.state, &environment, &candidates[..=taken]).map(|_| ());
    assert_eq!(refused, Err(InvalidBlock::TooLarge));
}

/// SPEC C5: an epoch turns when its time is over, not a millisecond before.
#[test]
fn epoch_turns_exactly_when_its_time_is_over() {
    let mut chain = Chain::new();
    let end = START_MS + chain.parameters().epoch_ms;
    chain.block_at(end - 1);
    assert_eq!(chain.state.meta().epoch, 0);
    chain.block_at(end);
    assert_eq!(chain.state.meta().epoch, 1);
    assert_eq!(chain.state.meta().epoch_started_ms, end);
}

/// SPEC M5, C9: what validators earned in common is shared equally; the rest stays in the pool.
#[test]
fn epoch_shares_the_pool_among_validators() {
    let mut chain = Chain::new();
    for nano in 1..4 {
        chain.ok("x0", transfer("x1", nano));
    }
    let pool = chain.state.meta().validator_pool.nano();
    let before: Vec<u64> = (0..4).map(|index| chain.balance(&format!("v{index}"))).collect();
    let end = START_MS + chain.parameters().epoch_ms;
    chain.block_at(end);
    for (index, old) in before.iter().enumerate() {
        assert_eq!(chain.balance(&format!("v{index}")), old + pool / 4);
    }
    assert_eq!(chain.state.meta().validator_pool.nano(), pool % 4);
}

/// SPEC S, C5: a removed validator has no part in the pool.
#[test]
fn disqualified_validator_gets_nothing_of_the_pool() {
    let mut chain = Chain::new();
    chain.ok("x0", transfer("x1", 1));
    let out: NodeId = id("v0");
    let mut node = chain.state.node(&out).unwrap().clone();
    node.disqualified = true;
    chain.state.nodes.insert(out, node);
    let pool = chain.state.meta().validator_pool.nano();
    let before = (chain.balance("v0"), chain.balance("v1"));
    chain.block_at(START_MS + chain.parameters().epoch_ms);
    assert_eq!(chain.balance("v0"), before.0);
    assert_eq!(chain.balance("v1"), before.1 + pool / 3);
}

#[test]
fn audit_finds_money_from_nowhere_and_debts_without_cover() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    chain.commit(lease, totals(1, 10, 10));
    assert_eq!(chain.state.audit(), Ok(()));
    let mut richer = chain.state.clone();
    richer.credit(id("x0"), Amount::from_nano(1)).unwrap();
    assert!(richer.audit().unwrap_err().contains("supply"));
    let mut poorer = chain.state.clone();
    poorer.debit(id("x0"), Amount::from_nano(1)).unwrap();
    assert!(poorer.audit().is_err());
    let mut owing = chain.state.clone();
    let mut entry = *owing.lease(&lease).unwrap();
    entry.reserved = entry.escrow.add(Amount::from_nano(1)).unwrap();
    owing.set_lease(lease, Some(entry));
    assert!(owing.audit().unwrap_err().contains("owes"));
    assert!(crate::State::empty().audit().is_err());
}
