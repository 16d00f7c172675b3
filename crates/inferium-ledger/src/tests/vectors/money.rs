//! Accounts and operators (SPEC M, N), and how stake is moved by those who own it (M7).

use super::book::{Book, fee, purse, purse_for, with};
use crate::tests::support::*;
use inferium_types::{AccountId, Amount, TransactionBody};

pub(super) fn write(book: &mut Book) {
    let chain = Chain::ready(1);
    transfer(book, &chain);
    register_operator(book, &chain);
}

fn transfer(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("transfer");
    let pay = |to: AccountId, nano| TransactionBody::Transfer { to, amount: Amount::from_nano(nano) };
    let body = pay(id("x1"), 5);
    page.valid("some of the balance", "M3", chain, "x0", body.clone());
    let exact = purse_for(chain, "x0", &body, 100);
    page.valid("all that the fee leaves, to a new account", "M3", &exact, "x0", pay(id("nobody"), 100));
    page.valid("to oneself", "M3", &exact, "x0", pay(id("x0"), 100));
    page.doors(chain, "x0", &body);
    page.invalid("one nano-IFR more than the fee leaves", "M3", &exact, "x0", pay(id("x1"), 101), "insufficient");
    page.invalid("to oneself, one nano-IFR more", "M3", &exact, "x0", pay(id("x0"), 101), "insufficient");
    page.invalid("all there can be", "M1", chain, "x0", pay(id("x1"), u64::MAX), "insufficient");
    page.invalid("from an account that never was", "C9", chain, "nobody", body.clone(), "fee_unpayable");
    let free = with(chain, |state| {
        let parameters = &mut state.meta_mut().parameters;
        (parameters.fee_base, parameters.fee_per_byte) = (Amount::ZERO, Amount::ZERO);
    });
    page.invalid("from an account that never was, free", "M3", &free, "nobody", body.clone(), "insufficient");
    let short = purse_for(chain, "x0", &body, 0);
    page.invalid("one nano-IFR, when the fee took all", "M3", &short, "x0", pay(id("x1"), 1), "insufficient");
    page.invalid("all there can be, to oneself", "M1", chain, "x0", pay(id("x0"), u64::MAX), "insufficient");
    let rich = purse(chain, "x1", u64::MAX);
    page.invalid("past the end of amounts", "M1", &rich, "x0", pay(id("x1"), 1), "overflow");
    let last = with(&purse(chain, "x0", fee(chain, "x0", &body) + 5), |state| {
        state.accounts.get_mut(&id("x1")).unwrap().balance = Amount::from_nano(u64::MAX - 4);
    });
    page.invalid("one nano-IFR past the end of amounts", "M1", &last, "x0", body.clone(), "overflow");
    let spent = with(chain, |state| state.accounts.get_mut(&id("x0")).unwrap().nonce = u64::MAX);
    page.invalid("the last nonce of all", "M1", &spent, "x0", body.clone(), "overflow");
    let dear = with(chain, |state| state.meta_mut().parameters.fee_per_byte = Amount::from_nano(u64::MAX));
    page.invalid("a fee past the end of amounts", "M1", &dear, "x0", body.clone(), "overflow");
    let full = with(chain, |state| state.meta_mut().validator_pool = Amount::from_nano(u64::MAX));
    page.invalid("a pool of fees past the end of amounts", "M1", &full, "x0", body, "overflow");
}

fn register_operator(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("register_operator");
    let register = |nano| TransactionBody::RegisterOperator { bond: Amount::from_nano(nano) };
    let least = chain.parameters().operator_bond_min.nano();
    let body = register(least);
    let exact = purse_for(chain, "x0", &body, least);
    page.valid("the least bond, and nothing is left", "N6", &exact, "x0", body.clone());
    page.valid("more than the least bond", "N6", chain, "x0", register(least + 1));
    page.doors(chain, "x0", &body);
    page.invalid("one nano-IFR less than the least bond", "N6", chain, "x0", register(least - 1), "insufficient");
    page.invalid("no bond", "N6", chain, "x0", register(0), "insufficient");
    let short = purse_for(chain, "x0", &body, least - 1);
    page.invalid("one nano-IFR short of the bond", "N6", &short, "x0", body.clone(), "insufficient");
    page.invalid("an operator already", "N6", chain, &operator_of("w0"), body.clone(), "exists");
    let barred = with(chain, |state| state.operators.get_mut(&id(&operator_of("w0"))).unwrap().barred = true);
    page.invalid("a barred operator again", "S3", &barred, &operator_of("w0"), body, "exists");
    page.invalid("all there can be", "M1", chain, "x0", register(u64::MAX), "insufficient");
    page.invalid("an operator already, without a bond", "N6", chain, &operator_of("w0"), register(0), "exists");
}
