//! Nodes, profiles, offers and measurement (SPEC N, T4).

use super::book::{Book, Page, purse_for, with};
use crate::entries::{LeaseState, Listing, Offer};
use crate::execute;
use crate::tests::statistics::tolerance;
use crate::tests::support::*;
use inferium_types::{
    Accelerator, Amount, CapabilityReport, Digest, EngineClass, LeaseId, ModelProfile, ModelTask, NodeRole, OfferTerms,
    Price, ProfileId, TaskId, Tier, TransactionBody,
};

pub(super) fn write(book: &mut Book) {
    let chain = Chain::ready(1);
    register_node(book, &chain);
    set_url(book, &chain);
    declare_profile(book);
    set_offer(book, &chain);
    open_assessment(book, &chain);
}

/// The chain in which this node is disqualified.
pub(super) fn barred(chain: &Chain, name: &str) -> Chain {
    with(chain, |state| state.nodes.get_mut(&id(name)).unwrap().disqualified = true)
}

/// The chain in which this node's operator is barred, by another node of its.
pub(super) fn operator_barred(chain: &Chain, name: &str) -> Chain {
    with(chain, |state| state.operators.get_mut(&id(&operator_of(name))).unwrap().barred = true)
}

/// The chain in which this node is jailed for so many epochs from the next one on.
pub(super) fn jailed(chain: &Chain, name: &str, epochs: u64) -> Chain {
    with(chain, |state| {
        let until = state.meta().epoch + epochs;
        state.nodes.get_mut(&id(name)).unwrap().active_from_epoch = until;
    })
}

/// The chain in which the usual profile stands so.
pub(super) fn listed(chain: &Chain, listing: Listing) -> Chain {
    with(chain, |state| state.profiles.get_mut(&profile()).unwrap().listing = listing)
}

/// The chain in which only `count` validators declared the usual profile.
pub(super) fn declared_by(chain: &Chain, count: usize) -> Chain {
    with(chain, |state| state.profiles.get_mut(&profile()).unwrap().validators.truncate(count))
}

fn url(size: usize) -> String {
    format!("https://{}", "a".repeat(size - 8))
}

fn register_node(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("register_node");
    let least = chain.parameters().worker_stake_min.nano();
    let operator = operator_of("w0");
    let worker = |nano| chain.registration("x0", &operator, worker_role("x0"), Amount::from_nano(nano));
    let gateway =
        |url: String| chain.registration("x0", &operator, NodeRole::Gateway { url }, Amount::from_nano(least));
    let exact = purse_for(chain, "x0", &worker(least), least);
    page.valid("a worker with the least stake, and nothing is left", "N1", &exact, "x0", worker(least));
    page.valid("a gateway with the longest URL", "N5", chain, "x0", gateway(url(256)));
    page.doors(chain, "x0", &worker(least));
    page.invalid("a worker with one nano-IFR less", "N1", chain, "x0", worker(least - 1), "insufficient");
    page.invalid("a worker without stake", "N1", chain, "x0", worker(0), "insufficient");
    let short = purse_for(chain, "x0", &worker(least), least - 1);
    page.invalid("one nano-IFR short of the stake", "N1", &short, "x0", worker(least), "insufficient");
    page.invalid("a gateway with a URL too long", "N5", chain, "x0", gateway(url(257)), "out_of_bounds");
    page.invalid("a gateway without a scheme", "N5", chain, "x0", gateway("gateway.example".into()), "out_of_bounds");
    let small = chain.registration("x0", &operator, gateway_role(), Amount::from_nano(least - 1));
    page.invalid("a gateway with one nano-IFR less", "N5", chain, "x0", small, "insufficient");
    let validator = chain.registration("x0", &operator, validator_role(), Amount::from_ifr(50_000));
    page.invalid("a validator after the genesis", "C5", chain, "x0", validator, "not_allowed");
    let unknown = chain.registration("x0", "x1", worker_role("x0"), Amount::from_nano(least));
    page.invalid("an operator that never registered", "N6", chain, "x0", unknown, "unknown");
    let another = chain.registration("x0", &operator_of("g0"), worker_role("x0"), Amount::from_nano(least));
    let TransactionBody::RegisterNode { role, operator_signature, stake, .. } = another else { unreachable!() };
    let forged = TransactionBody::RegisterNode { role, operator: id(&operator), operator_signature, stake };
    page.invalid("signed by another operator", "N6", chain, "x0", forged, "signature");
    let TransactionBody::RegisterNode { operator_signature, .. } = gateway(url(20)) else { unreachable!() };
    let other_role = TransactionBody::RegisterNode {
        role: worker_role("x0"),
        operator: id(&operator),
        operator_signature,
        stake: Amount::from_nano(least),
    };
    page.invalid("signed for another role", "N6", chain, "x0", other_role, "signature");
    page.invalid("under a barred operator", "S3", &operator_barred(chain, "w0"), "x0", worker(least), "disqualified");
    let again = |name: &str| chain.registration(name, &operator_of(name), gateway_role(), Amount::from_nano(least));
    page.invalid("a key that is a node already", "N1", chain, "w0", again("w0"), "exists");
    page.invalid("a key that was disqualified", "S3", &barred(chain, "g0"), "g0", again("g0"), "disqualified");
}

fn set_url(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("set_url");
    let set = |url: &str| TransactionBody::SetUrl { url: url.into() };
    let body = set("https://elsewhere.example:8443/path");
    page.valid("a gateway moves", "N5", chain, "g0", body.clone());
    page.valid("a validator moves to the longest URL", "N5", chain, "v0", set(&url(256)));
    page.doors(chain, "g0", &body);
    page.invalid("a URL of one byte too many", "N5", chain, "g0", set(&url(257)), "out_of_bounds");
    page.invalid("bytes count, not letters", "N5", chain, "g0", set(&format!("{}é", url(255))), "out_of_bounds");
    page.invalid("no URL", "N5", chain, "g0", set(""), "out_of_bounds");
    page.invalid("another scheme", "N5", chain, "g0", set("ftp://elsewhere.example"), "out_of_bounds");
    page.invalid("a scheme in capitals", "N5", chain, "g0", set("HTTPS://elsewhere.example"), "out_of_bounds");
    page.invalid("a space before", "N5", chain, "g0", set(" https://elsewhere.example"), "out_of_bounds");
    page.invalid("a worker", "N1", chain, "w0", body.clone(), "not_allowed");
    page.invalid("no node", "N5", chain, "x0", body, "unknown");
    page.invalid("no node, and no URL", "N5", chain, "x0", set("x"), "out_of_bounds");
}

fn declare_boards(page: &mut Page<'_>, chain: &Chain) {
    let boards = |name: &str| {
        let profile = ModelProfile { name: name.to_owned(), ..ModelProfile::folder() };
        TransactionBody::DeclareProfile { profile }
    };
    page.valid("the profile of boards", "L2", chain, "v0", boards("boards"));
    page.invalid("another profile of boards", "L2", chain, "v0", boards("board"), "out_of_bounds");
    let build = |digest| EngineClass::Canonical { build: digest, tier: "any".into() };
    let rules = ModelProfile { engine: build(Digest::sha256(b"other rules")), ..ModelProfile::folder() };
    page.invalid(
        "boards by other rules",
        "L2",
        chain,
        "v0",
        TransactionBody::DeclareProfile { profile: rules },
        "out_of_bounds",
    );
    for (name, sender) in [("a worker", "w0"), ("a gateway", "g0"), ("a stranger", "x0")] {
        page.invalid(&format!("boards, by {name}"), "L2", chain, sender, boards("boards"), "not_allowed");
    }
}

/// Of training there is a profile for each arithmetic, of proofs one for each verifier's key, and no other (SPEC X3, V10).
fn declare_builds(
    page: &mut Page<'_>,
    chain: &Chain,
    (what, rule): (&str, &'static str),
    profile: fn(Digest) -> ModelProfile,
) {
    let declare = |profile| TransactionBody::DeclareProfile { profile };
    let one = profile(Digest::sha256(b"one"));
    let by = |how: &str| format!("{what} {how}");
    let by_one = if what == "training" { "by an arithmetic" } else { "by a key" };
    page.valid(&by(by_one), rule, chain, "v0", declare(one.clone()));
    page.valid(&by("by another"), rule, chain, "v0", declare(profile(Digest::sha256(b"other"))));
    let named = ModelProfile { name: "train".into(), ..one.clone() };
    page.invalid(&by("under another name"), rule, chain, "v0", declare(named), "out_of_bounds");
    let with_weights = ModelProfile { weights_root: Digest::sha256(b"weights"), ..one.clone() };
    page.invalid(&by("with weights"), rule, chain, "v0", declare(with_weights), "out_of_bounds");
    let with_tokenizer = ModelProfile { tokenizer_hash: Digest::sha256(b"words"), ..one.clone() };
    page.invalid(&by("with a tokenizer"), rule, chain, "v0", declare(with_tokenizer), "out_of_bounds");
    let with_template = ModelProfile { template_hash: Digest::sha256(b"template"), ..one.clone() };
    page.invalid(&by("with a template"), rule, chain, "v0", declare(with_template), "out_of_bounds");
    let within = ModelProfile { engine: tolerance().engine, ..one.clone() };
    page.invalid(&by("within a tolerance"), rule, chain, "v0", declare(within), "out_of_bounds");
    for (name, sender) in [("a worker", "w0"), ("a gateway", "g0"), ("a stranger", "x0")] {
        page.invalid(&format!("{what}, by {name}"), "N4", chain, sender, declare(one.clone()), "not_allowed");
    }
    let mut declared = chain.clone();
    declared.ok("v0", declare(one.clone()));
    page.invalid(&format!("{what}, again"), "N4", &declared, "v0", declare(one.clone()), "exists");
    page.invalid(&format!("{what}, by who is barred"), "S3", &barred(chain, "v0"), "v0", declare(one), "disqualified");
}

/// Private weights: whatever their name and number of openings (SPEC V12).
fn declare_private(page: &mut Page<'_>, chain: &Chain) {
    let declare = |profile| TransactionBody::DeclareProfile { profile };
    let one = ModelProfile::private("mlp", Digest::sha256(b"one"), 50);
    page.valid("private weights", "V12", chain, "v0", declare(one.clone()));
    let again = ModelProfile::private("mlp", Digest::sha256(b"one"), 1);
    page.valid("private weights, for one opening", "V12", chain, "v0", declare(again));
    let none = ModelProfile::private("mlp", Digest::sha256(b"one"), 0);
    page.invalid("private weights that are never opened", "V12", chain, "v0", declare(none), "out_of_bounds");
    let with_weights = ModelProfile { weights_root: Digest::sha256(b"weights"), ..one.clone() };
    page.invalid("private weights with a root of weights", "V12", chain, "v0", declare(with_weights), "out_of_bounds");
    let within = ModelProfile { engine: tolerance().engine, ..one.clone() };
    page.invalid("private weights within a tolerance", "V12", chain, "v0", declare(within), "out_of_bounds");
    let drawn = ModelProfile { sampler_version: 1, ..one.clone() };
    page.invalid("private weights that draw", "V12", chain, "v0", declare(drawn), "out_of_bounds");
    let named = ModelProfile { name: "n".repeat(129), ..one.clone() };
    page.invalid("private weights of a name too long", "N4", chain, "v0", declare(named), "out_of_bounds");
    let with_template = ModelProfile { template_hash: Digest::sha256(b"template"), ..one.clone() };
    page.invalid("private weights with a template", "V12", chain, "v0", declare(with_template), "out_of_bounds");
    let unnamed = ModelProfile { name: String::new(), ..one.clone() };
    page.invalid("private weights without a name", "V12", chain, "v0", declare(unnamed), "out_of_bounds");
    for (name, sender) in [("a worker", "w0"), ("a gateway", "g0"), ("a stranger", "x0")] {
        let by = format!("private weights, by {name}");
        page.invalid(&by, "N4", chain, sender, declare(one.clone()), "not_allowed");
    }
}

fn declare_profile(book: &mut Book) {
    let page = &mut book.page("declare_profile");
    let mut chain = Chain::new().furnished(1);
    chain.block(&[]);
    let named = |name: String| TransactionBody::DeclareProfile { profile: ModelProfile { name, ..model("other") } };
    let body = named("other".into());
    page.valid("the first of a profile, with the longest name", "N4", &chain, "v0", named("n".repeat(128)));
    let hosts = |name: &str| {
        let profile = ModelProfile { name: name.to_owned(), ..ModelProfile::host() };
        TransactionBody::DeclareProfile { profile }
    };
    page.valid("the profile of hosts", "A2", &chain, "v0", hosts("agents"));
    page.numbers("the profile of hosts", &chain, "v0", &hosts("agents"));
    page.invalid("another profile of hosts", "A2", &chain, "v0", hosts("agent"), "out_of_bounds");
    declare_boards(page, &chain);
    declare_builds(page, &chain, ("training", "X3"), ModelProfile::trainer);
    declare_builds(page, &chain, ("proofs", "V10"), ModelProfile::prover);
    declare_private(page, &chain);
    let mut second = chain.clone();
    second.ok("v0", body.clone());
    page.valid("the second of a profile", "N4", &second, "v1", body.clone());
    page.doors(&chain, "v0", &body);
    page.invalid("again", "N4", &second, "v0", body.clone(), "exists");
    page.invalid("a name of one byte too many", "N4", &chain, "v0", named("n".repeat(129)), "out_of_bounds");
    page.invalid("no name", "N4", &chain, "v0", named(String::new()), "out_of_bounds");
    let embeds = |width, engine| {
        let profile = ModelProfile { task: ModelTask::Embed { width }, engine, ..model("other") };
        TransactionBody::DeclareProfile { profile }
    };
    let exact = model("other").engine;
    page.valid("vectors of one value", "J8", &chain, "v0", embeds(1, exact.clone()));
    page.valid("vectors of the most values", "J8", &chain, "v0", embeds(4_096, exact.clone()));
    page.invalid("vectors of nothing", "J8", &chain, "v0", embeds(0, exact.clone()), "out_of_bounds");
    page.invalid("vectors of one value too many", "J8", &chain, "v0", embeds(4_097, exact), "out_of_bounds");
    let vectors = embeds(384, model("other").engine);
    for (name, sender) in [("a worker", "w0"), ("a gateway", "g0"), ("a stranger", "x0")] {
        page.invalid(&format!("vectors, by {name}"), "J8", &chain, sender, vectors.clone(), "not_allowed");
    }
    let mut declared = chain.clone();
    declared.ok("v0", vectors.clone());
    page.invalid("vectors, again", "J8", &declared, "v0", vectors.clone(), "exists");
    page.invalid("vectors, by who is barred", "J8", &barred(&chain, "v0"), "v0", vectors, "disqualified");
    let most = embeds(u32::MAX, model("other").engine);
    page.invalid("vectors without end", "J8", &chain, "v0", most, "out_of_bounds");
    let within = tolerance().engine;
    page.invalid("vectors within a tolerance", "J8", &chain, "v0", embeds(1, within), "out_of_bounds");
    page.invalid("a worker", "N4", &chain, "w0", body.clone(), "not_allowed");
    page.invalid("a gateway", "N4", &chain, "g0", body.clone(), "not_allowed");
    page.invalid("a stranger", "N4", &chain, "x0", body.clone(), "not_allowed");
    page.invalid("a disqualified validator", "S3", &barred(&chain, "v0"), "v0", body.clone(), "disqualified");
    page.invalid(
        "a validator that may work from the next epoch on",
        "C5",
        &jailed(&chain, "v0", 1),
        "v0",
        body,
        "jailed",
    );
}

fn terms(slots: u32, prompt: u64, completion: u64) -> OfferTerms {
    let price = Price { prompt_token: Amount::from_nano(prompt), completion_token: Amount::from_nano(completion) };
    OfferTerms { slots, price, context_tokens: 4_096, batches: true }
}

fn set_offer(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("set_offer");
    let set = |terms| TransactionBody::SetOffer { profile: profile(), terms };
    let body = set(terms(1, 1_000, 2_000));
    page.valid("the most slots, prompts for nothing", "T4", chain, "w0", set(terms(4_096, 0, 1)));
    let mut offered = chain.clone();
    offered.ok("w0", body.clone());
    page.valid("withdrawn", "T4", &offered, "w0", set(terms(0, 1, 1)));
    let mut used = chain.clone();
    used.lease();
    page.valid("withdrawn while a lease holds a slot", "T4", &used, "w0", set(terms(0, 1, 1)));
    let waiting = |slots, slots_used, waits_from| {
        with(chain, |state| {
            state.profiles.get_mut(&profile()).unwrap().draws = [11, 22, 33];
            let terms = OfferTerms { slots, price: PRICE, context_tokens: 4_096, batches: true };
            state.offers.insert((profile(), id("w0")), Offer { terms, slots_used, waits_from });
        })
    };
    for (name, chain) in [
        ("one that waits goes on waiting", waiting(2, 1, 5)),
        ("one that was full waits from now on", waiting(2, 2, 5)),
    ] {
        page.valid(name, "T5", &chain, "w0", set(terms(3, 1, 1)));
        page.numbers(name, &chain, "w0", &set(terms(3, 1, 1)));
    }
    page.doors(chain, "w0", &body);
    page.invalid("one slot too many", "T4", chain, "w0", set(terms(4_097, 1, 1)), "out_of_bounds");
    page.invalid("all slots there can be", "T4", chain, "w0", set(terms(u32::MAX, 1, 1)), "out_of_bounds");
    page.invalid("for nothing", "M4", chain, "w0", set(terms(1, 0, 0)), "out_of_bounds");
    page.invalid("withdrawn, for nothing", "M4", &offered, "w0", set(terms(0, 0, 0)), "out_of_bounds");
    let unknown = TransactionBody::SetOffer { profile: ProfileId::new(Digest::ZERO), terms: terms(1, 1, 1) };
    page.invalid("a profile that nobody declared", "N4", chain, "w0", unknown, "unknown");
    page.invalid("a gateway", "T4", chain, "g0", body.clone(), "not_allowed");
    page.invalid("a validator", "T4", chain, "v0", body.clone(), "not_allowed");
    page.invalid("a stranger", "T4", chain, "x0", body.clone(), "not_allowed");
    page.invalid("a disqualified worker", "S3", &barred(chain, "w0"), "w0", body.clone(), "disqualified");
    let other = operator_barred(chain, "w0");
    page.invalid("a worker of a barred operator", "S3", &other, "w0", body.clone(), "disqualified");
    page.invalid("a worker jailed for this epoch", "S", &jailed(chain, "w0", 1), "w0", body.clone(), "jailed");
    page.invalid("a worker jailed for this epoch and the next", "S", &jailed(chain, "w0", 2), "w0", body, "jailed");
}

fn open_assessment(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("open_assessment");
    let ask = |report| TransactionBody::OpenAssessment { profile: profile(), report };
    let good = report(Tier::High);
    let body = ask(good.clone());
    let transaction = chain.tx("w0", body.clone());
    let opened = execute(&chain.state, &chain.environment(), std::slice::from_ref(&transaction)).unwrap().state;
    let lease = LeaseId::of_task(TaskId::new(transaction.id().digest()));
    let escrow = opened.lease(&lease).unwrap().escrow.nano();
    let exact = purse_for(chain, "w0", &body, escrow);
    page.valid("a worker that was measured before, with what it costs at most", "N2", &exact, "w0", body.clone());
    let unmeasured = with(chain, |state| drop(state.capabilities.remove(&id("w0"))));
    page.valid("a worker that never was measured", "N2", &unmeasured, "w0", body.clone());
    let mut running = chain.clone();
    running.block(&[transaction]);
    let over = with(&running, |state| {
        let mut lease_over = *state.lease(&lease).unwrap();
        let end = inferium_types::LeaseEnd::Exhausted;
        lease_over.state = LeaseState::Draining { end, until_ms: u64::MAX, commits_until_ms: u64::MAX };
        state.set_lease(lease, Some(lease_over));
    });
    page.valid("again, when the last one takes no more jobs", "N2", &over, "w0", body.clone());
    page.doors(chain, "w0", &body);
    page.invalid("while one is running", "N2", &running, "w0", body.clone(), "wrong_state");
    let pending = with(&over, |state| {
        let judged = crate::Lease { segments_pending: 1, ..*state.lease(&lease).unwrap() };
        state.set_lease(lease, Some(judged));
    });
    page.invalid("while the last one is being judged", "N2", &pending, "w0", body.clone(), "wrong_state");
    let short = purse_for(chain, "w0", &body, escrow - 1);
    page.invalid("one nano-IFR short of what it costs at most", "N2", &short, "w0", body.clone(), "insufficient");
    let reports = [
        ("a processor's name of one byte too many", CapabilityReport { cpu: "c".repeat(129), ..good.clone() }),
        ("one feature too many", CapabilityReport { features: vec![String::new(); 33], ..good.clone() }),
        ("a feature of one byte too many", CapabilityReport { features: vec!["f".repeat(129)], ..good.clone() }),
        (
            "an accelerator's name of one byte too many",
            CapabilityReport { accelerators: vec![Accelerator { name: "a".repeat(129), memory_mib: 1 }], ..good },
        ),
    ];
    for (name, report) in reports {
        page.invalid(name, "N2", chain, "w0", ask(report), "out_of_bounds");
    }
    let nothing = TransactionBody::OpenAssessment { profile: ProfileId::new(Digest::ZERO), report: report(Tier::Mid) };
    page.invalid("a profile that nobody declared", "N4", chain, "w0", nothing, "unknown");
    let paused = listed(chain, Listing::Paused);
    page.invalid("a paused profile", "S5", &paused, "w0", body.clone(), "profile_closed");
    let few = declared_by(chain, 2);
    page.invalid("a profile of two operators", "N4", &few, "w0", body.clone(), "profile_not_leasable");
    page.invalid("a gateway", "N2", chain, "g0", body.clone(), "not_allowed");
    page.invalid("a jailed worker", "S", &jailed(chain, "w0", 1), "w0", body.clone(), "jailed");
    page.invalid("a disqualified worker", "S3", &barred(chain, "w0"), "w0", body.clone(), "disqualified");
    page.invalid("a worker of a barred operator", "S3", &operator_barred(chain, "w0"), "w0", body, "disqualified");
}
