//! How a vector is made: the ledger decides a case on a whole network, and everything that the
//! decision does not depend on is taken away, so that what is left decides the same.

use super::json::{Json, View};
use super::views::{MetaField, entry_view, meta_fields, neutral, operation_view, parameters_view};
use crate::entries::Meta;
use crate::execute::Block;
use crate::tests::support::{BLOCK_MS, Chain, fee_of, id, key};
use crate::{BlockEnvironment, InvalidBlock, State, StateKey, execute, state_key};
use inferium_types::{Amount, Event, Transaction, TransactionBody, VerifiedTransaction, decode, encode};
use std::collections::{BTreeMap, BTreeSet};

/// Fields that every block sets, so that they are its own and not what it decided.
const OF_BLOCK: [&str; 3] = ["height", "view", "timestamp_ms"];

/// All files, by name.
#[derive(Default)]
pub(super) struct Book {
    files: BTreeMap<String, Vec<Json>>,
}

/// The vectors of one file.
pub(super) struct Page<'a> {
    vectors: &'a mut Vec<Json>,
}

impl Book {
    pub(super) fn page(&mut self, name: &str) -> Page<'_> {
        let vectors = self.files.entry(name.to_owned()).or_default();
        assert!(vectors.is_empty(), "{name} is written twice");
        Page { vectors }
    }

    /// The documents, by file name.
    pub(super) fn documents(self) -> BTreeMap<String, String> {
        let document = |vectors| Json::object([("vectors", Json::List(vectors))]).document();
        self.files.into_iter().map(|(name, vectors)| (format!("{name}.json"), document(vectors))).collect()
    }
}

/// A state as it is stored, the meta entry apart.
#[derive(Clone)]
struct World {
    meta: Meta,
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What came of a step.
#[derive(PartialEq)]
struct Outcome {
    error: Option<Json>,
    changed: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    meta: Vec<(&'static str, Json)>,
}

impl World {
    fn of(state: &State) -> Self {
        let meta_key = state_key(&StateKey::Meta);
        let entries = state.entries().into_iter().filter(|(key, _)| *key != meta_key).collect();
        Self { meta: state.meta().clone(), entries }
    }

    fn state(&self) -> State {
        let meta = (state_key(&StateKey::Meta), encode(&self.meta));
        State::from_entries(self.entries.clone().into_iter().chain([meta])).unwrap()
    }

    fn run(&self, environment: &BlockEnvironment, transaction: Option<&VerifiedTransaction>) -> Outcome {
        let before = self.state();
        let executed = match execute(&before, environment, transaction.map_or(&[], std::slice::from_ref)) {
            Ok(executed) => executed,
            Err(error) => {
                let error = match error {
                    InvalidBlock::Transaction { rejection, .. } => rejection.view(),
                    of_block => of_block.view(),
                };
                return Outcome { error: Some(error), changed: Vec::new(), meta: Vec::new() };
            }
        };
        let meta_key = state_key(&StateKey::Meta);
        let changed =
            State::changes(&before, &executed.state).into_iter().filter(|(key, _)| *key != meta_key).collect();
        let failed = executed.events.iter().any(|event| matches!(event, Event::TransactionFailed { .. }));
        let error = transaction.filter(|_| failed).map(|transaction| {
            let charged = charge(before.clone(), transaction);
            Block::refusal(&charged, environment, transaction).unwrap().view()
        });
        Outcome { error, changed, meta: meta_changes(before.meta(), executed.state.meta()) }
    }

    /// Takes away what the outcome does not depend on, but for what `stays`.
    fn reduce(&mut self, stays: impl Fn(&[u8]) -> bool, expected: &Outcome, run: impl Fn(&Self) -> Outcome) {
        // A missing operator counts as a barred one: that is never what a vector is about, so that
        // those of the nodes that are left stay too.
        let (operators, others): (Vec<Vec<u8>>, Vec<Vec<u8>>) = self
            .entries
            .keys()
            .filter(|key| !stays(key))
            .cloned()
            .partition(|key| matches!(decode(key), Ok(StateKey::Operator(_))));
        let mut take = |keys: Vec<Vec<u8>>| {
            for key in keys {
                let value = self.entries.remove(&key).unwrap();
                if run(self) != *expected {
                    self.entries.insert(key, value);
                }
            }
            self.state().nodes().map(|(_, node)| state_key(&StateKey::Operator(node.operator))).collect()
        };
        let answering: BTreeSet<Vec<u8>> = take(others);
        take(operators.into_iter().filter(|key| !answering.contains(key)).collect());
        assert!(run(self) == *expected, "what is left decides otherwise");
    }

    /// The fields of the meta entry that the outcome depends on.
    fn meta_view(
        &mut self,
        neutral: &Meta,
        always: &[&str],
        expected: &Outcome,
        run: impl Fn(&Self) -> Outcome,
    ) -> Vec<(&'static str, Json)> {
        let mut fields = Vec::new();
        for MetaField { name, view, reset, beside } in meta_fields() {
            if always.contains(&name) {
                fields.push((name, view(&self.meta)));
                continue;
            }
            if OF_BLOCK.contains(&name) {
                continue;
            }
            let mut without = self.clone();
            reset(&mut without.meta, neutral);
            let others = beside(&self.meta).into_iter().map(|meta| Self { meta, entries: self.entries.clone() });
            if run(&without) != *expected || others.into_iter().any(|other| run(&other) != *expected) {
                fields.push((name, view(&self.meta)));
            } else {
                *self = without;
            }
        }
        let parameters = parameters_view(&self.meta.parameters);
        if parameters != Json::Object(Vec::new()) {
            fields.push(("parameters", parameters));
        }
        fields
    }
}

/// The state in which a transaction's body is judged: fee and nonce are gone.
fn charge(mut state: State, transaction: &VerifiedTransaction) -> State {
    let fee = state.fee(transaction).unwrap();
    let sender = transaction.transaction().sender;
    let mut account = state.account(&sender);
    account.balance = account.balance.sub(fee).unwrap();
    account.nonce += 1;
    state.accounts.insert(sender, account);
    let meta = state.meta_mut();
    meta.validator_pool = meta.validator_pool.add(fee).unwrap();
    state
}

fn meta_changes(before: &Meta, after: &Meta) -> Vec<(&'static str, Json)> {
    let fields = meta_fields();
    let changed = fields.iter().filter(|one| !OF_BLOCK.contains(&one.name) && (one.view)(before) != (one.view)(after));
    let mut changed: Vec<_> = changed.map(|one| (one.name, (one.view)(after))).collect();
    if before.parameters != after.parameters {
        changed.push(("parameters", parameters_view(&after.parameters)));
    }
    changed
}

/// Tables of entries, then the meta entry's fields.
fn tables<'a>(
    entries: impl Iterator<Item = (&'a Vec<u8>, Option<&'a Vec<u8>>)>,
    meta: Vec<(&'static str, Json)>,
) -> Json {
    let mut tables: Vec<(&str, Json)> = Vec::new();
    for (key, value) in entries {
        let (table, name, view) = entry_view(key, value.map(Vec::as_slice)).unwrap();
        match tables.last_mut() {
            Some((last, Json::Object(fields))) if *last == table => fields.push((name, view)),
            _ => tables.push((table, Json::object([(name, view)]))),
        }
    }
    if !meta.is_empty() {
        tables.push(("meta", Json::object(meta)));
    }
    Json::object(tables)
}

/// Every id that a document names.
fn ids(json: &Json, found: &mut BTreeSet<String>) {
    match json {
        Json::Text(text) if text.len() == 64 => {
            found.insert(text.clone());
        }
        Json::List(items) => items.iter().for_each(|item| ids(item, found)),
        Json::Object(fields) => fields.iter().for_each(|(_, value)| ids(value, found)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => {}
    }
}

fn kind(error: &Json) -> &str {
    match error {
        Json::Object(fields) => match &fields[0].1 {
            Json::Text(kind) => kind,
            _ => panic!("{error:?}"),
        },
        _ => panic!("{error:?}"),
    }
}

impl Page<'_> {
    /// The ledger does what the transaction asks for.
    pub(super) fn valid(&mut self, name: &str, rule: &str, chain: &Chain, sender: &str, body: TransactionBody) {
        self.add(name, rule, chain, &chain.tx(sender, body), None);
    }

    /// The ledger refuses it, with an error of this kind.
    pub(super) fn invalid(
        &mut self,
        name: &str,
        rule: &str,
        chain: &Chain,
        sender: &str,
        body: TransactionBody,
        error: &str,
    ) {
        self.add(name, rule, chain, &chain.tx(sender, body), Some(error));
    }

    /// What holds of every transaction: nonces are used in order, once, and fees are paid first.
    pub(super) fn doors(&mut self, chain: &Chain, sender: &str, body: &TransactionBody) {
        let chain = &with(chain, |state| {
            let account = crate::entries::Account { nonce: 3, ..state.account(&id(sender)) };
            state.accounts.insert(id(sender), account);
        });
        let next = chain.state.next_nonce(&id(sender));
        let numbered = |nonce| {
            let id = chain.state.meta().chain;
            let transaction = Transaction { chain: id, sender: key(sender).public_key(), nonce, body: body.clone() };
            transaction.sign(&key(sender)).verify(id).unwrap()
        };
        self.add("a nonce that is used", "M3", chain, &numbered(next - 1), Some("nonce_too_low"));
        self.add("a nonce ahead by one", "M3", chain, &numbered(next + 1), Some("nonce_too_high"));
        let transaction = numbered(next);
        if !crate::money::is_duty(body) {
            let fee = fee_of(chain.parameters(), &transaction).nano();
            let poor = purse(chain, sender, fee - 1);
            self.add("one nano-IFR short of the fee", "C9", &poor, &transaction, Some("fee_unpayable"));
        }
    }

    /// No other nonce than the next one will do, for what would have its effect with that.
    pub(super) fn numbers(&mut self, name: &str, chain: &Chain, sender: &str, body: &TransactionBody) {
        let chain = &with(chain, |state| {
            let account = crate::entries::Account { nonce: 300, ..state.account(&id(sender)) };
            state.accounts.insert(id(sender), account);
        });
        let chain_id = chain.state.meta().chain;
        for nonce in [0, 299, 301, 556, u64::MAX] {
            let transaction = Transaction { chain: chain_id, sender: id(sender), nonce, body: body.clone() };
            let transaction = transaction.sign(&key(sender)).verify(chain_id).unwrap();
            let error = if nonce < 300 { "nonce_too_low" } else { "nonce_too_high" };
            self.add(&format!("{name}: with nonce {nonce} for 300"), "M3", chain, &transaction, Some(error));
        }
    }

    fn add(&mut self, name: &str, rule: &str, chain: &Chain, transaction: &VerifiedTransaction, error: Option<&str>) {
        let mut environment = chain.environment();
        let mut begun = execute(&chain.state, &environment, &[]).unwrap().state;
        let operation = operation_view(&begun, transaction);
        // The transaction is the first of a block that has nothing else to do.
        let meta = begun.meta_mut();
        meta.height -= 1;
        meta.timestamp_ms -= 1;
        environment.seeds.clear();
        let mut world = World::of(&begun);
        let nothing = world.run(&environment, None);
        assert!(nothing.changed.is_empty() && nothing.meta.is_empty(), "{name}: the block does something by itself");
        let run = |world: &World| world.run(&environment, Some(transaction));
        let outcome = run(&world);
        assert_eq!(outcome.error.as_ref().map(kind), error, "{name}: {:?}", outcome.error);
        let mut named = BTreeSet::new();
        ids(&operation, &mut named);
        let stays = |key: &[u8]| {
            let (_, name, _) = entry_view(key, None).unwrap();
            let mut parts = name.split('/').filter(|part| part.len() == 64).peekable();
            parts.peek().is_some() && parts.all(|part| named.contains(part))
        };
        world.reduce(stays, &outcome, run);
        let neutral = neutral(&world.meta, environment.timestamp_ms);
        let meta = world.meta_view(&neutral, &[], &outcome, run);
        let place = Json::object([
            ("height", environment.height.view()),
            ("view", environment.view.view()),
            ("timestamp_ms", environment.timestamp_ms.view()),
        ]);
        self.write(name, rule, &world, meta, &outcome, [("environment", place), ("operation", operation)]);
    }

    /// A block at this time without transactions does something by itself; `about` is what the
    /// vector has to show of the state.
    pub(super) fn block(&mut self, name: &str, rule: &str, chain: &Chain, timestamp_ms: u64, about: &[StateKey]) {
        let outcome = self.add_block(name, rule, chain, &at(chain, timestamp_ms), about);
        assert!(outcome.error.is_none(), "{name}: {:?}", outcome.error);
        assert!(!outcome.changed.is_empty() || !outcome.meta.is_empty(), "{name}: nothing happens");
    }

    /// A block at this time does nothing yet, or no more.
    pub(super) fn idle(&mut self, name: &str, rule: &str, chain: &Chain, timestamp_ms: u64, about: &[StateKey]) {
        let outcome = self.add_block(name, rule, chain, &at(chain, timestamp_ms), about);
        assert!(outcome.error.is_none() && outcome.changed.is_empty() && outcome.meta.is_empty(), "{name}");
    }

    /// Like [`Page::block`], with the seeds of past views.
    pub(super) fn drawn(&mut self, name: &str, rule: &str, chain: &Chain, about: &[StateKey]) {
        let mut environment = chain.environment();
        // The one that decides; what a block draws does not depend on the ones before.
        let last = environment.seeds.pop();
        environment.seeds = last.into_iter().collect();
        let outcome = self.add_block(name, rule, chain, &environment, about);
        assert!(outcome.error.is_none() && !outcome.changed.is_empty(), "{name}");
    }

    /// No honest proposer makes this block, whatever is due in it.
    pub(super) fn no_block(&mut self, name: &str, rule: &str, chain: &Chain, block: (u64, u64), about: &[StateKey]) {
        let mut environment = at(chain, block.1);
        environment.height = block.0;
        let outcome = self.add_block(name, rule, chain, &environment, about);
        assert!(outcome.error.is_some(), "{name}");
    }

    /// What keeps a block from doing something: it comes too early, or is no block of this chain.
    pub(super) fn closed_doors(&mut self, name: &str, chain: &Chain, at_ms: u64, about: &[StateKey]) {
        let (height, now_ms) = (chain.state.height() + 1, chain.now_ms);
        self.idle(&format!("{name}: one millisecond early"), "C3", chain, at_ms - 1, about);
        self.no_block(&format!("{name}: at the height of the parent"), "C1", chain, (height - 1, at_ms), about);
        self.no_block(&format!("{name}: at a height too far"), "C1", chain, (height + 1, at_ms), about);
        self.no_block(&format!("{name}: at the time of the parent"), "C3", chain, (height, now_ms), about);
        let newer = with(chain, |state| state.meta_mut().upgrade = Some((height, crate::PROTOCOL_VERSION + 1)));
        self.no_block(&format!("{name}: by a protocol that is not known"), "G1", &newer, (height, at_ms), about);
    }

    /// A block at this time does it, and nothing else does.
    pub(super) fn timed(&mut self, name: &str, rule: &str, chain: &Chain, at_ms: u64, about: &[StateKey]) {
        let near = near(chain, at_ms);
        self.block(name, rule, &near, at_ms, about);
        self.closed_doors(name, &near, at_ms, about);
    }

    fn add_block(
        &mut self,
        name: &str,
        rule: &str,
        chain: &Chain,
        environment: &BlockEnvironment,
        about: &[StateKey],
    ) -> Outcome {
        let mut world = World::of(&chain.state);
        let run = |world: &World| world.run(environment, None);
        let outcome = run(&world);
        let about: BTreeSet<Vec<u8>> = about.iter().map(state_key).collect();
        assert!(about.iter().all(|key| world.entries.contains_key(key)), "{name}: no such entry");
        world.reduce(|key| about.contains(key), &outcome, run);
        let neutral = neutral(&world.meta, environment.timestamp_ms);
        let meta = world.meta_view(&neutral, &["height", "timestamp_ms"], &outcome, run);
        let seeds = environment.seeds.iter().map(|seed| {
            let signature: String = seed.signature.iter().map(|byte| format!("{byte:02x}")).collect();
            Json::object([("view", seed.view.view()), ("signature", Json::Text(signature))])
        });
        let operation = Json::object([
            ("kind", Json::text("block")),
            ("height", environment.height.view()),
            ("view", environment.view.view()),
            ("timestamp_ms", environment.timestamp_ms.view()),
            ("seeds", Json::List(seeds.collect())),
        ]);
        self.write(name, rule, &world, meta, &outcome, [("operation", operation)]);
        outcome
    }

    fn write<const N: usize>(
        &mut self,
        name: &str,
        rule: &str,
        world: &World,
        meta: Vec<(&'static str, Json)>,
        outcome: &Outcome,
        step: [(&str, Json); N],
    ) {
        let pre = tables(world.entries.iter().map(|(key, value)| (key, Some(value))), meta);
        let changed = outcome.changed.iter().map(|(key, value)| (key, value.as_ref()));
        let post = tables(changed, outcome.meta.clone());
        let start = [("name", Json::text(name)), ("rule", Json::text(rule)), ("pre", pre)];
        let end = outcome.error.clone().map(|error| ("error", error)).into_iter().chain([("post", post)]);
        self.vectors.push(Json::object(start.into_iter().chain(step).chain(end)));
    }
}

fn at(chain: &Chain, timestamp_ms: u64) -> BlockEnvironment {
    BlockEnvironment { timestamp_ms, seeds: Vec::new(), ..chain.environment() }
}

/// The chain a block before this time, without blocks in between: less than a pause, whose end
/// would move the windows that are open.
pub(super) fn near(chain: &Chain, at_ms: u64) -> Chain {
    let before_ms = at_ms - BLOCK_MS;
    if before_ms <= chain.now_ms {
        return chain.clone();
    }
    let mut near = with(chain, |state| {
        let meta = state.meta_mut();
        let passed = (before_ms - meta.epoch_started_ms) / meta.parameters.epoch_ms;
        meta.timestamp_ms = before_ms;
        meta.epoch += passed;
        meta.epoch_started_ms += passed * meta.parameters.epoch_ms;
        if passed > 0 {
            // What ended epochs emit was paid meanwhile.
            let works: Vec<_> = state.epoch_works.keys().copied().collect();
            for work in works {
                state.epoch_works.remove(&work);
            }
        }
    });
    near.now_ms = before_ms;
    near
}

/// The chain with something else in its state.
pub(super) fn with(chain: &Chain, change: impl FnOnce(&mut State)) -> Chain {
    let mut chain = chain.clone();
    change(&mut chain.state);
    chain
}

/// The chain with so much in the account of this name.
pub(super) fn purse(chain: &Chain, name: &str, nano: u64) -> Chain {
    with(chain, |state| {
        let mut account = state.account(&id(name));
        account.balance = Amount::from_nano(nano);
        state.accounts.insert(id(name), account);
    })
}

/// The fee of this transaction; nano-IFR.
pub(super) fn fee(chain: &Chain, sender: &str, body: &TransactionBody) -> u64 {
    fee_of(chain.parameters(), &chain.tx(sender, body.clone())).nano()
}

/// The chain in which the sender has the fee of this transaction, and `nano` more.
pub(super) fn purse_for(chain: &Chain, sender: &str, body: &TransactionBody, nano: u64) -> Chain {
    purse(chain, sender, fee(chain, sender, body) + nano)
}
