//! Tasks and leases (SPEC T, M4).

use super::book::{Book, Page, near, purse_for, with};
use super::nodes::{barred, declared_by, jailed, listed, operator_barred};
use crate::entries::{Lease, LeaseState, Listing, Offer, Task};
use crate::tests::support::*;
use crate::{StateKey, execute};
use inferium_types::{
    Amount, Digest, LeaseEnd, LeaseId, ModelProfile, ModelTask, OfferTerms, Ppm, Price, ProfileId, TaskId, TaskKind,
    TaskTerms, Tier, TransactionBody, VerificationMode,
};

const DAY_MS: u64 = 24 * 3_600_000;

pub(super) fn write(book: &mut Book) {
    let chain = Chain::ready(2);
    open_task(book, &chain);
    task_expiry(book, &chain);
    matching(book, &chain);
    close_lease(book, &chain);
    lease_end(book, &chain);
}

fn price(prompt: u64, completion: u64) -> Price {
    Price { prompt_token: Amount::from_nano(prompt), completion_token: Amount::from_nano(completion) }
}

fn open(terms: TaskTerms) -> TransactionBody {
    TransactionBody::OpenTask { terms }
}

fn open_task(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("open_task");
    let usual = task_terms();
    let body = open(usual);
    let transaction = chain.tx("g0", body.clone());
    let opened = execute(&chain.state, &chain.environment(), std::slice::from_ref(&transaction)).unwrap().state;
    let escrow = opened.task(&TaskId::new(transaction.id().digest())).unwrap().escrow.nano();
    let exact = purse_for(chain, "g0", &body, escrow);
    page.valid("with what it costs at most, and nothing is left", "M4", &exact, "g0", body.clone());
    let most = TaskTerms {
        jobs_max: 1_000_000,
        slots: 4_096,
        open_ms: 600_000,
        lease_ms: DAY_MS,
        price_max: price(0, 1),
        tokens_max: 1,
        ..usual
    };
    page.valid("the most of everything, for the least", "T1", chain, "g0", open(most));
    let least = TaskTerms {
        jobs_max: 1,
        open_ms: 1,
        lease_ms: 1,
        price_max: price(1, 0),
        tokens_max: 1,
        tier: Tier::Mid,
        ..usual
    };
    page.valid("the least of everything", "T1", chain, "g0", open(least));
    let embeds = embedding(chain);
    page.valid(
        "a tier Low, of an embedding profile",
        "T1",
        &embeds,
        "g0",
        open(TaskTerms { tier: Tier::Low, ..usual }),
    );
    page.valid(
        "a tier Mid, of an embedding profile",
        "T1",
        &embeds,
        "g0",
        open(TaskTerms { tier: Tier::Mid, ..usual }),
    );
    page.valid("a profile that a vote approved", "G1", &listed(chain, Listing::Approved), "g0", body.clone());
    page.doors(chain, "g0", &body);
    let short = purse_for(chain, "g0", &body, escrow - 1);
    page.invalid("one nano-IFR short of what it costs at most", "M4", &short, "g0", body.clone(), "insufficient");
    task_bounds(page, chain);
    let long = with(chain, |state| state.meta_mut().parameters.lease_max_ms = 30 * DAY_MS);
    let late = open(TaskTerms { lease_ms: DAY_MS + 1, ..usual });
    page.invalid("a lease longer than the kind's deadline", "T1", &long, "g0", late, "out_of_bounds");
    let dear = TaskTerms { price_max: price(u64::MAX, 1), tokens_max: 2, ..usual };
    page.invalid("a cost past the end of amounts", "M1", chain, "g0", open(dear), "overflow");
    let dear = TaskTerms { price_max: price(1, 1), tokens_max: u64::MAX, ..usual };
    page.invalid("a cost past the end by the reservation", "M1", chain, "g0", open(dear), "overflow");
    let other = open(TaskTerms { profile: ProfileId::new(Digest::ZERO), ..usual });
    page.invalid("a profile that nobody declared", "N4", chain, "g0", other, "unknown");
    for (name, listing) in [("a paused profile", Listing::Paused), ("a delisted profile", Listing::Delisted)] {
        page.invalid(name, "S5", &listed(chain, listing), "g0", body.clone(), "profile_closed");
    }
    let few = declared_by(chain, 2);
    page.invalid("a profile of two operators", "N4", &few, "g0", body.clone(), "profile_not_leasable");
    let high = open(TaskTerms { tier: Tier::High, ..usual });
    page.invalid("a tier that nobody measured", "T2", chain, "g0", high, "no_workers");
    let poor = with(chain, |state| state.nodes.get_mut(&id("g0")).unwrap().stake = Amount::from_nano(999_999_999_999));
    page.invalid("a gateway with one nano-IFR too little bond", "N5", &poor, "g0", body.clone(), "insufficient");
    page.invalid("a worker", "T3", chain, "w0", body.clone(), "not_allowed");
    page.invalid("a disqualified gateway", "S3", &barred(chain, "g0"), "g0", body.clone(), "disqualified");
    page.invalid("a gateway of a barred operator", "S3", &operator_barred(chain, "g0"), "g0", body, "disqualified");
}

/// The chain whose profile is an embedding model's.
pub(super) fn embedding(chain: &Chain) -> Chain {
    with(chain, |state| {
        state.profiles.get_mut(&profile()).unwrap().profile.task = ModelTask::Embed { width: 384 };
    })
}

/// Boards are folded on their profile, and nothing else is done there (SPEC L2).
fn boards(page: &mut Page<'_>, chain: &Chain) {
    let mut chain = chain.clone();
    let of_model = TaskTerms { kind: TaskKind::Leaderboard, tier: Tier::Low, ..task_terms() };
    page.invalid("a board of a model", "L2", &chain, "g0", open(of_model), "profile");
    chain.model = ModelProfile::folder();
    let usual = TaskTerms { profile: chain.model.id(), ..of_model };
    page.invalid("a board before anyone folds", "L2", &chain, "g0", open(usual), "profile");
    chain.declare_all();
    let hour = DAY_MS / 24;
    page.valid("a board, at tier Low, for an hour", "L2", &chain, "g0", open(TaskTerms { lease_ms: hour, ..usual }));
    let long = with(&chain, |state| state.meta_mut().parameters.lease_max_ms = DAY_MS);
    let late = TaskTerms { lease_ms: hour + 1, ..usual };
    page.invalid("a board a millisecond too long", "T1", &long, "g0", open(late), "out_of_bounds");
    for kind in [TaskKind::Inference, TaskKind::Batch, TaskKind::Training] {
        let name = format!("{} on the profile of boards", kind.policy().name);
        page.invalid(&name, "L2", &chain, "g0", open(TaskTerms { kind, tier: Tier::High, ..usual }), "profile");
    }
}

/// Intervals are trained on profiles of training, and nothing else is done there (SPEC X3).
fn training(page: &mut Page<'_>, chain: &Chain) {
    let mut chain = with(chain, |state| state.meta_mut().tiers = [0, 0, 1]);
    let of_model = TaskTerms { kind: TaskKind::Training, tier: Tier::High, ..task_terms() };
    page.invalid("training of a model's profile", "X3", &chain, "g0", open(of_model), "profile");
    chain.model = ModelProfile::trainer(Digest::sha256(b"arithmetic"));
    let usual = TaskTerms { profile: chain.model.id(), ..of_model };
    page.invalid("training before anyone judges it", "X3", &chain, "g0", open(usual), "profile");
    chain.declare_all();
    page.valid("training, at tier High", "X3", &chain, "g0", open(usual));
    let mid = TaskTerms { tier: Tier::Mid, ..usual };
    page.invalid("training, at tier Mid", "T1", &chain, "g0", open(mid), "out_of_bounds");
    for kind in [TaskKind::Inference, TaskKind::Batch] {
        let name = format!("{} on a profile of training", kind.policy().name);
        page.invalid(&name, "X3", &chain, "g0", open(TaskTerms { kind, ..usual }), "profile");
    }
}

/// Proofs are made on profiles of proofs, in their own mode, and nothing else is done there (SPEC V10).
fn proofs(page: &mut Page<'_>, chain: &Chain) {
    let mut chain = chain.clone();
    let of_model = TaskTerms { kind: TaskKind::Validation, ..task_terms() };
    page.invalid("proofs on a model's profile", "V10", &chain, "g0", open(of_model), "profile");
    chain.model = ModelProfile::prover(Digest::sha256(b"key"));
    let usual = TaskTerms { profile: chain.model.id(), mode: VerificationMode::Zk, tier: Tier::Low, ..of_model };
    page.invalid("proofs before anyone judges them", "V10", &chain, "g0", open(usual), "profile");
    chain.declare_all();
    page.valid("proofs, at tier Low", "V10", &chain, "g0", open(usual));
    page.valid("proofs, at tier Mid", "V10", &chain, "g0", open(TaskTerms { tier: Tier::Mid, ..usual }));
    for mode in [VerificationMode::Exact, VerificationMode::Sampled] {
        let name = format!("proofs, verified as {}", mode.name());
        page.invalid(&name, "T2", &chain, "g0", open(TaskTerms { mode, ..usual }), "mode");
    }
    for kind in [TaskKind::Inference, TaskKind::Batch, TaskKind::Training, TaskKind::Leaderboard] {
        let name = format!("{} on a profile of proofs", kind.policy().name);
        page.invalid(&name, "V10", &chain, "g0", open(TaskTerms { kind, tier: Tier::High, ..usual }), "profile");
    }
}

/// The chain with a profile of private weights, of whose openings so many are spent; and a task of it for one job.
fn private(chain: &Chain, openings: u32, spent: u32) -> (Chain, TaskTerms) {
    let mut chain = chain.clone();
    chain.model = ModelProfile::private("mlp", Digest::sha256(b"key"), openings);
    chain.declare_all();
    let id = chain.model.id();
    let chain = with(&chain, |state| state.profiles.get_mut(&id).unwrap().openings_spent = spent);
    let (mode, kind) = (VerificationMode::Zk, TaskKind::Validation);
    (chain, TaskTerms { profile: id, mode, kind, tier: Tier::Low, jobs_max: 1, ..task_terms() })
}

/// Private weights are opened for as many jobs as their profile says, and for no more (SPEC V12).
fn openings(page: &mut Page<'_>, chain: &Chain) {
    let (fresh, usual) = private(chain, 50, 0);
    let of = |jobs_max| open(TaskTerms { jobs_max, ..usual });
    page.valid("private weights, for one proof", "V12", &fresh, "g0", of(1));
    page.numbers("private weights", &fresh, "g0", &of(1));
    page.invalid("private weights, for two proofs", "V12", &fresh, "g0", of(2), "out_of_bounds");
    page.invalid("private weights, for all proofs", "V12", &fresh, "g0", of(50), "out_of_bounds");
    let (some, _) = private(chain, 50, 49);
    page.valid("private weights, for the last proof", "V12", &some, "g0", of(1));
    let (none, _) = private(chain, 50, 50);
    page.invalid("private weights that are spent", "V12", &none, "g0", of(1), "openings");
    page.invalid("private weights that are spent, for two proofs", "V12", &none, "g0", of(2), "out_of_bounds");
    let all = private(chain, u32::MAX, u32::MAX).0;
    let of_all = |jobs_max| open(TaskTerms { profile: all.model.id(), jobs_max, ..usual });
    page.invalid("private weights behind the very last proof", "V12", &all, "g0", of_all(1), "openings");
    for kind in [TaskKind::Inference, TaskKind::Batch, TaskKind::Training, TaskKind::Leaderboard] {
        let name = format!("{} by private weights", kind.policy().name);
        page.invalid(&name, "V12", &fresh, "g0", open(TaskTerms { kind, tier: Tier::High, ..usual }), "profile");
    }
    for mode in [VerificationMode::Exact, VerificationMode::Sampled] {
        let name = format!("private weights, verified as {}", mode.name());
        page.invalid(&name, "T2", &fresh, "g0", open(TaskTerms { mode, ..usual }), "mode");
    }
    page.invalid("private weights, for no proof", "T1", &fresh, "g0", of(0), "out_of_bounds");
    for (name, sender) in [("a worker", "w0"), ("a validator", "v0"), ("a stranger", "x0")] {
        let by = format!("private weights, by {name}");
        page.invalid(&by, "N5", &fresh, sender, of(1), "not_allowed");
    }
}

fn task_bounds(page: &mut Page<'_>, chain: &Chain) {
    let usual = task_terms();
    let run = TaskTerms { kind: TaskKind::Agent, ..usual };
    page.invalid("a run without its agent", "T1", chain, "g0", open(run), "no_agent");
    boards(page, chain);
    training(page, chain);
    proofs(page, chain);
    openings(page, chain);
    let benchmark = TaskTerms { kind: TaskKind::Benchmark, tier: Tier::High, ..usual };
    page.invalid("kind benchmark", "T1", chain, "g0", open(benchmark), "not_served");
    let replicated = TaskTerms { mode: VerificationMode::Replicated, ..usual };
    page.invalid("verification replicated", "T2", chain, "g0", open(replicated), "not_served");
    page.invalid("verification zk", "T2", chain, "g0", open(TaskTerms { mode: VerificationMode::Zk, ..usual }), "mode");
    let bounds = [
        ("a tier below the kind's", "T1", TaskTerms { tier: Tier::Low, ..usual }),
        ("no jobs", "T1", TaskTerms { jobs_max: 0, ..usual }),
        ("one job too many", "T1", TaskTerms { jobs_max: 1_000_001, ..usual }),
        ("no tokens", "T1", TaskTerms { tokens_max: 0, ..usual }),
        ("no slots", "T1", TaskTerms { slots: 0, ..usual }),
        ("one slot too many", "T1", TaskTerms { slots: 4_097, ..usual }),
        ("no time to wait", "T3", TaskTerms { open_ms: 0, ..usual }),
        ("a millisecond too long a wait", "T3", TaskTerms { open_ms: 600_001, ..usual }),
        ("a wait to the end of time", "T3", TaskTerms { open_ms: u64::MAX, ..usual }),
        ("a lease of no time", "T3", TaskTerms { lease_ms: 0, ..usual }),
        ("a millisecond too long a lease", "T3", TaskTerms { lease_ms: DAY_MS + 1, ..usual }),
        ("for nothing", "M4", TaskTerms { price_max: price(0, 0), ..usual }),
    ];
    for (name, rule, terms) in bounds {
        page.invalid(name, rule, chain, "g0", open(terms), "out_of_bounds");
    }
}

/// `g0`'s task is open, whatever offers there are.
fn waiting(chain: &Chain, terms: TaskTerms) -> (Chain, TaskId) {
    let id_of = TaskId::new(Digest::of("task", &[]));
    let now_ms = chain.now_ms;
    let changed = with(chain, |state| {
        let task = Task {
            requester: id("g0"),
            terms,
            escrow: Amount::from_nano(123_456),
            opened: (state.height(), 0),
            expires_at_ms: now_ms + terms.open_ms,
        };
        state.set_task(id_of, Some(task));
    });
    (changed, id_of)
}

fn task_expiry(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("task_expiry");
    let (chain, task) = waiting(chain, task_terms());
    let expires_at_ms = chain.state.task(&task).unwrap().expires_at_ms;
    page.timed("nobody took it", "T3", &near(&chain, expires_at_ms), expires_at_ms, &[StateKey::Task(task)]);
    let close = TransactionBody::CloseLease { lease: LeaseId::of_task(task) };
    page.invalid("closing the lease that it did not become", "T6", &chain, "g0", close, "unknown");
}

/// The chain with an offer that so many of a hundred draws passed over.
fn offering(chain: &Chain, name: &str, terms: OfferTerms, passed_over: u64) -> Chain {
    with(chain, |state| {
        state.profiles.get_mut(&profile()).unwrap().draws = [100; 3];
        state.offers.insert((profile(), id(name)), Offer { terms, slots_used: 0, waits_from: 100 - passed_over });
    })
}

/// A lease of private weights spends an opening, and where none is left there is none (SPEC V12).
fn openings_matched(page: &mut Page<'_>, chain: &Chain, offer: OfferTerms) {
    for (name, spent) in [
        ("private weights, at first", 0),
        ("private weights, the last opening", 49),
        ("private weights that are spent: it waits", 50),
    ] {
        let (chain, terms) = private(chain, 50, spent);
        let (waits, task) = waiting(&chain, TaskTerms { tier: Tier::Mid, ..terms });
        let key = (terms.profile, id("w0"));
        let offer = Offer { terms: offer, slots_used: 0, waits_from: 0 };
        let offered = with(&waits, |state| {
            state.offers.insert(key, offer);
        });
        let (node, capability) = (StateKey::Node(id("w0")), StateKey::Capability(id("w0")));
        let about = [StateKey::Task(task), StateKey::Offer(key), StateKey::Profile(terms.profile), node, capability];
        let show = if spent < 50 { Page::block } else { Page::idle };
        show(page, name, "V12", &offered, chain.now_ms + BLOCK_MS, &about);
        if spent < 50 {
            page.closed_doors(name, &barred(&offered, "w0"), chain.now_ms + BLOCK_MS, &about);
        }
    }
}

fn matching(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("matching");
    let mut chain = chain.clone();
    chain.blocks(4);
    let usual = OfferTerms { slots: 1, price: PRICE, context_tokens: 1_024, batches: true };
    let (idle, task) = waiting(&chain, task_terms());
    let (alone, both) = (offering(&idle, "w0", usual, 0), offering(&offering(&idle, "w0", usual, 0), "w1", usual, 0));
    let next_ms = chain.now_ms + BLOCK_MS;
    let about = |name: &str| {
        let node = id(name);
        [StateKey::Task(task), StateKey::Offer((profile(), node)), StateKey::Node(node), StateKey::Capability(node)]
    };
    page.block("the only worker that offers enough, to the last token", "T4", &alone, next_ms, &about("w0"));
    openings_matched(page, &chain, usual);
    page.block("a draw between two", "T5", &both, next_ms, &about("w0"));
    let half = with(&alone, |state| {
        let beacon_view = state.meta().beacon_view;
        let node = state.nodes.get_mut(&id("w0")).unwrap();
        (node.stake, node.beacon_from_view) = (Amount::from_ifr(500), beacon_view);
    });
    page.block("half of the least stake, registered just before the seed", "N1", &half, next_ms, &about("w0"));
    page.closed_doors("half of the least stake", &barred(&half, "w0"), next_ms, &about("w0"));
    let second = offering(&idle, "w0", OfferTerms { slots: 3, ..usual }, 0);
    let second = with(&second, |state| state.offers.get_mut(&(profile(), id("w0"))).unwrap().slots_used = 2);
    page.block("the last free slot", "T4", &second, next_ms, &about("w0"));
    page.closed_doors("the last free slot", &barred(&second, "w0"), next_ms, &about("w0"));
    batches(page, &chain, usual, next_ms);
    let overdue = offering(&both, "w1", usual, 6);
    page.block("who was passed over too often is next", "T5", &overdue, next_ms, &about("w1"));
    let high = with(&alone, |state| {
        let mut capability = state.capability(&id("w0")).unwrap().clone();
        capability.tier = Some(Tier::High);
        state.set_capability(id("w0"), capability);
    });
    let starving_ms = chain.now_ms + 3_000;
    page.block("a worker of a higher tier, when the task starves", "N3", &high, starving_ms, &about("w0"));
    page.idle("a worker of a higher tier, a millisecond before", "N3", &high, starving_ms - 1, &about("w0"));
    several(page, &idle, task, starving_ms);
    obstacles(page, &idle, task, next_ms);
    let full = with(&alone, |state| state.offers.get_mut(&(profile(), id("w0"))).unwrap().slots_used = 1);
    page.closed_doors("a draw", &full, next_ms, &about("w0"));
    page.closed_doors("a worker of a higher tier", &high, starving_ms, &about("w0"));
}

/// What nobody waits for: at a part of the price, and after what someone waits for.
fn batches(page: &mut Page<'_>, chain: &Chain, usual: OfferTerms, next_ms: u64) {
    let batch = TaskTerms { kind: TaskKind::Batch, ..task_terms() };
    let (idle, task) = waiting(chain, batch);
    let other = TaskId::new(Digest::of("other task", &[]));
    let both = with(&idle, |state| {
        let older = *state.task(&task).unwrap();
        let opened = (older.opened.0, 1);
        state.set_task(other, Some(Task { terms: task_terms(), opened, ..older }));
    });
    let about = [StateKey::Task(task), StateKey::Offer((profile(), id("w0")))];
    let unwilling = OfferTerms { batches: false, ..usual };
    let odd = OfferTerms { price: Price { prompt_token: Amount::from_nano(7), ..PRICE }, ..usual };
    let third = with(&offering(&idle, "w0", odd, 0), |state| {
        state.meta_mut().parameters.batch_price_share = Ppm::new(333_333);
    });
    for (name, rule, chain) in [
        ("a batch pays a part of the price", "M4", offering(&idle, "w0", usual, 0)),
        ("a batch pays a third of an odd price, rounded up", "M4", third),
        ("of two tasks the one that someone waits for", "T5", offering(&both, "w0", usual, 0)),
        ("an offer that takes no batches gets the other task", "T4", offering(&both, "w0", unwilling, 0)),
    ] {
        page.block(name, rule, &chain, next_ms, &about);
        page.closed_doors(name, &barred(&chain, "w0"), next_ms, &about);
    }
    page.idle("an offer that takes no batches", "T4", &offering(&idle, "w0", unwilling, 0), next_ms, &about);
}

/// Two workers of two tiers and a starving task: in which order they stand, and who waits for longer.
fn several(page: &mut Page<'_>, idle: &Chain, task: TaskId, starving_ms: u64) {
    let usual = OfferTerms { slots: 1, price: PRICE, context_tokens: 1_024, batches: true };
    let about = |name: &str| [StateKey::Task(task), StateKey::Offer((profile(), id(name)))];
    let tiered = |high: &str, draws| {
        with(&offering(&offering(idle, "w0", usual, 0), "w1", usual, 0), |state| {
            let mut capability = state.capability(&id(high)).unwrap().clone();
            capability.tier = Some(Tier::High);
            state.set_capability(id(high), capability);
            state.profiles.get_mut(&profile()).unwrap().draws = draws;
        })
    };
    for (name, chain) in [
        ("tiers are counted apart: the higher one waits for longer", tiered("w0", [100, 106, 107])),
        ("of two tiers that wait equally long the lower is next", tiered("w0", [100, 106, 106])),
        ("of two tiers that wait equally long the lower is next, whoever it is", tiered("w1", [100, 106, 106])),
        ("a draw between two tiers", tiered("w0", [100, 105, 105])),
        ("a draw between two tiers, the other way round", tiered("w1", [100, 105, 105])),
    ] {
        page.block(name, "T5", &chain, starving_ms, &about("w0"));
        page.closed_doors(name, &barred(&barred(&chain, "w0"), "w1"), starving_ms, &about("w0"));
    }
    let offered = |name: &str, terms| {
        let both = offering(&offering(idle, "w0", usual, 0), "w1", usual, 0);
        with(&both, |state| state.offers.get_mut(&(profile(), id(name))).unwrap().terms = terms)
    };
    let crossed = |high: &str| {
        with(&tiered(high, [100, 100, 100]), |state| {
            for name in ["w0", "w1"].into_iter().filter(|name| *name != high) {
                state.offers.get_mut(&(profile(), id(name))).unwrap().terms.context_tokens += 1;
            }
        })
    };
    for (name, chain) in [
        ("a draw: the lower tier stands first, whatever its context", crossed("w0")),
        ("a draw: the lower tier stands first, whatever its context, turned", crossed("w1")),
    ] {
        page.block(name, "T5", &chain, starving_ms, &about("w0"));
        page.closed_doors(name, &barred(&barred(&chain, "w0"), "w1"), starving_ms, &about("w0"));
    }
    let priced = |one: OfferTerms, other: OfferTerms| offering(&offering(idle, "w0", one, 0), "w1", other, 0);
    let cheap = |prompt, completion| OfferTerms { price: price(prompt, completion), ..usual };
    for (name, chain) in [
        ("a draw: the shorter context stands first", offered("w0", OfferTerms { context_tokens: 1_025, ..usual })),
        (
            "a draw: the shorter context stands first, turned",
            offered("w1", OfferTerms { context_tokens: 1_025, ..usual }),
        ),
        ("a draw: the cheaper answers stand first", offered("w0", cheap(1_000, 1_999))),
        ("a draw: the cheaper answers stand first, turned", offered("w1", cheap(1_000, 1_999))),
        ("a draw: the cheaper prompts stand first", offered("w0", cheap(999, 2_000))),
        ("a draw: the cheaper prompts stand first, turned", offered("w1", cheap(999, 2_000))),
        ("a draw: answers before prompts", priced(cheap(999, 2_000), cheap(1_000, 1_999))),
        ("a draw: answers before prompts, turned", priced(cheap(1_000, 1_999), cheap(999, 2_000))),
    ] {
        let next_ms = chain.now_ms + BLOCK_MS;
        page.block(name, "T5", &chain, next_ms, &about("w0"));
        page.closed_doors(name, &barred(&barred(&chain, "w0"), "w1"), next_ms, &about("w0"));
    }
}

/// What keeps a worker from a task that would be its own.
fn obstacles(page: &mut Page<'_>, idle: &Chain, task: TaskId, next_ms: u64) {
    let usual = OfferTerms { slots: 1, price: PRICE, context_tokens: 1_024, batches: true };
    let alone = offering(idle, "w0", usual, 0);
    let node = id("w0");
    let about =
        [StateKey::Task(task), StateKey::Offer((profile(), node)), StateKey::Node(node), StateKey::Capability(node)];
    let mut idle_for = |name: &str, rule: &str, chain: &Chain| page.idle(name, rule, chain, next_ms, &about);
    let dear = |prompt, completion| OfferTerms { price: price(prompt, completion), ..usual };
    idle_for("one nano-IFR too dear for prompts", "T5", &offering(idle, "w0", dear(1_001, 2_000), 0));
    idle_for("one nano-IFR too dear for answers", "T5", &offering(idle, "w0", dear(1_000, 2_001), 0));
    let short = OfferTerms { context_tokens: 1_023, ..usual };
    idle_for("a context of one token too few", "N3", &offering(idle, "w0", short, 0));
    let full = with(&alone, |state| state.offers.get_mut(&(profile(), id("w0"))).unwrap().slots_used = 1);
    idle_for("no slot is free", "T4", &full);
    let node = |change: fn(&mut crate::Node)| with(&alone, |state| change(state.nodes.get_mut(&id("w0")).unwrap()));
    idle_for(
        "half of the least stake, less one nano-IFR",
        "N1",
        &node(|node| node.stake = Amount::from_nano(499_999_999_999)),
    );
    idle_for("registered after the seed that would draw it", "N1", &node(|node| node.beacon_from_view = u64::MAX));
    let same = with(&alone, |state| {
        state.nodes.get_mut(&id("w0")).unwrap().operator = id(&operator_of("g0"));
    });
    idle_for("of the gateway's own operator", "N6", &same);
    idle_for("disqualified", "S3", &barred(&alone, "w0"));
    idle_for("of a barred operator", "S3", &operator_barred(&alone, "w0"));
    idle_for("jailed for this epoch", "S", &jailed(&alone, "w0", 1));
    let tier = |tier| {
        with(&alone, |state| {
            let mut capability = state.capability(&id("w0")).unwrap().clone();
            capability.tier = tier;
            state.set_capability(id("w0"), capability);
        })
    };
    idle_for("of a lower tier", "N3", &tier(Some(Tier::Low)));
    idle_for("not measured", "N2", &tier(None));
    page.idle(
        "an offer for another profile",
        "T4",
        &with(&alone, |state| {
            let offer = state.offers.remove(&(profile(), id("w0"))).unwrap();
            state.offers.insert((ProfileId::new(Digest::ZERO), id("w0")), offer);
        }),
        next_ms,
        &[StateKey::Task(task), StateKey::Offer((ProfileId::new(Digest::ZERO), id("w0")))],
    );
}

fn close_lease(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("close_lease");
    let mut chain = chain.clone();
    let lease = chain.lease();
    let body = TransactionBody::CloseLease { lease };
    page.valid("by the gateway", "T6", &chain, "g0", body.clone());
    page.valid("by the worker", "T6", &chain, "w0", body.clone());
    let drawn = |slots| {
        with(&chain, |state| {
            state.profiles.get_mut(&profile()).unwrap().draws = [11, 22, 33];
            state.offers.get_mut(&(profile(), id("w0"))).unwrap().terms.slots = slots;
        })
    };
    for (name, chain) in [
        ("of an offer with free slots, which waits on", drawn(2)),
        ("of a full one, which waits from now on", drawn(1)),
    ] {
        page.valid(name, "T5", &chain, "g0", body.clone());
        page.numbers(name, &chain, "g0", &body);
    }
    page.doors(&chain, "g0", &body);
    for (name, stranger) in [
        ("by another worker", "w1"),
        ("by a validator", "v0"),
        ("by a stranger", "x0"),
        ("by the worker's operator", &operator_of("w0")),
        ("by the gateway's operator", &operator_of("g0")),
    ] {
        page.invalid(name, "T6", &chain, stranger, body.clone(), "not_allowed");
    }
    let unknown = TransactionBody::CloseLease { lease: LeaseId::new(Digest::ZERO) };
    page.invalid("a lease that never was", "T6", &chain, "g0", unknown, "unknown");
    let mut closed = chain.clone();
    closed.ok("g0", body.clone());
    page.invalid("again", "T6", &closed, "g0", body.clone(), "wrong_state");
    page.invalid("when the other side did", "T6", &closed, "w0", body, "wrong_state");
}

fn lease_end(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("lease_end");
    let mut chain = chain.clone();
    let lease = chain.lease();
    let about = [StateKey::Lease(lease)];
    let expires_at_ms = chain.state.lease(&lease).unwrap().expires_at_ms;
    page.timed("its time is over", "T6", &near(&chain, expires_at_ms), expires_at_ms, &about);
    let until_ms = chain.now_ms + 20_000;
    let ended = |end, change: fn(&mut Lease)| {
        let draining = with(&chain, |state| {
            let mut old = *state.lease(&lease).unwrap();
            old.state = LeaseState::Draining { end, until_ms, commits_until_ms: until_ms };
            change(&mut old);
            state.set_lease(lease, Some(old));
            // A hundred blocks pay more than the least.
            state.meta_mut().height += 150;
        });
        near(&draining, until_ms)
    };
    page.timed(
        "closed by the gateway after many blocks",
        "M4",
        &ended(LeaseEnd::ClosedByGateway, |_| {}),
        until_ms,
        &about,
    );
    page.timed("closed by the worker", "M4", &ended(LeaseEnd::ClosedByWorker, |_| {}), until_ms, &about);
    page.timed(
        "a segment of it was wrong",
        "M4",
        &ended(LeaseEnd::Expired, |lease| lease.spoiled = true),
        until_ms,
        &about,
    );
    let poor = ended(LeaseEnd::Exhausted, |lease| lease.escrow = Amount::from_nano(7));
    page.timed("with less left than the reservation", "M4", &poor, until_ms, &about);
    let resumed = |before_ms| {
        let chain = ended(LeaseEnd::ClosedByGateway, |_| {});
        with(&chain, |state| state.meta_mut().resumed_at_ms = until_ms - before_ms)
    };
    page.timed("it takes segments anew after a pause", "C3", &resumed(9_999), until_ms, &about);
    page.timed("a pause that ended long enough before changes nothing", "C3", &resumed(10_000), until_ms, &about);
    let pending = ended(LeaseEnd::Expired, |lease| lease.segments_pending = 1);
    page.timed("a segment is still judged", "T6", &pending, until_ms, &about);
}
