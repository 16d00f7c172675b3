//! Agents, their runs, and what they spend (SPEC A).

use super::book::{Book, Page, near, purse_for, with};
use crate::tests::statistics::tolerance;
use crate::tests::studio::*;
use crate::tests::support::*;
use crate::{SegmentState, StateKey};
use inferium_types::{
    AgentId, AgentLimits, AgentSpend, AgentTerms, Amount, Digest, JobTotals, LeaseId, ProfileId, Recipients, RunCall,
    RunTerms, SegmentTerms, SpendOrder, SpendingPolicy, TransactionBody, VerdictVote, limits,
};

pub(super) fn write(book: &mut Book) {
    let mut chain = hosts_of(4, devnet(4));
    publish_agent(book, &chain);
    chain.ok("x0", publish("helper", agent_terms()));
    chain.ok("x3", TransactionBody::Transfer { to: helper().account(), amount: nano(1_000) });
    update_agent(book, &chain);
    retire_agent(book, &chain);
    open_run(book, &chain);
    run_steps(book, &chain);
    spend_as_agent(book, &chain);
    hire(book);
    run_end(book, &chain);
    run_over(book, &chain);
    run_cover(book, &chain);
    run_judges(book);
}

fn terms_with(change: impl FnOnce(&mut AgentTerms)) -> AgentTerms {
    let mut terms = agent_terms();
    change(&mut terms);
    terms
}

/// Fields out of their bounds, one at a time.
fn out_of_bounds(
    page: &mut Page<'_>,
    chain: &crate::tests::support::Chain,
    body: impl Fn(AgentTerms) -> TransactionBody,
) {
    let accounts = |count: u8| {
        let mut accounts: Vec<_> = (0..count).map(|index| agent("x0", &format!("a{index}")).account()).collect();
        accounts.sort();
        accounts
    };
    let mut swapped = accounts(2);
    swapped.reverse();
    let with_recipients = |accounts| terms_with(|terms| terms.policy.recipients = Recipients::Listed(accounts));
    let with_limits = |change: fn(&mut AgentLimits)| terms_with(|terms| change(&mut terms.limits));
    let cases = [
        ("no price", terms_with(|terms| terms.price = Amount::ZERO)),
        ("no steps", with_limits(|of| of.steps = 0)),
        ("one step too many", with_limits(|of| of.steps = limits::RUN_STEPS_MAX + 1)),
        ("no tokens", with_limits(|of| of.tokens = 0)),
        ("one token too many", with_limits(|of| of.tokens = limits::RUN_TOKENS_MAX + 1)),
        ("one tool call too many", with_limits(|of| of.tool_calls = limits::RUN_TOOL_CALLS_MAX + 1)),
        ("a millisecond too short", with_limits(|of| of.run_ms = 999)),
        ("a millisecond too long", with_limits(|of| of.run_ms = 86_400_001)),
        ("an empty list of recipients", with_recipients(Vec::new())),
        ("recipients out of order", with_recipients(swapped)),
        ("one recipient too many", with_recipients(accounts(33))),
    ];
    for (name, terms) in cases {
        page.invalid(name, "A1", chain, "x0", body(terms), "out_of_bounds");
    }
    let unknown = terms_with(|terms| terms.model = ProfileId::new(Digest::ZERO));
    page.invalid("a model that nobody declared", "A1", chain, "x0", body(unknown), "unknown");
    let hosts = terms_with(|terms| terms.model = host_profile());
    page.invalid("hosts for a model", "A1", chain, "x0", body(hosts), "profile");
    let mut tolerant = chain.clone();
    tolerant.ok("v0", TransactionBody::DeclareProfile { profile: tolerance() });
    let least = terms_with(|terms| {
        (terms.model, terms.policy.per_run) = (tolerance().id(), nano(1));
    });
    page.invalid("a nano-IFR to spend by a model of tolerance", "A1", &tolerant, "x0", body(least), "profile");
}

fn publish_agent(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("publish_agent");
    let body = publish("helper", agent_terms());
    let exact = purse_for(chain, "x0", &body, IFR);
    page.valid("with the deposit and nothing else", "A1", &exact, "x0", body.clone());
    let most = terms_with(|terms| {
        let mut accounts: Vec<_> = (0..32u8).map(|index| agent("x0", &format!("a{index}")).account()).collect();
        accounts.sort();
        terms.policy.recipients = Recipients::Listed(accounts);
        terms.limits = AgentLimits { steps: 64, tokens: limits::RUN_TOKENS_MAX, tool_calls: 256, run_ms: 86_400_000 };
    });
    page.valid("all that may be", "A1", chain, "x0", publish(&"a".repeat(40), most));
    let least = terms_with(|terms| {
        terms.policy = SpendingPolicy::NOTHING;
        terms.limits = AgentLimits { steps: 1, tokens: 1, tool_calls: 0, run_ms: 1_000 };
        terms.price = nano(1);
    });
    page.valid("the least that may be", "A1", chain, "x0", publish("7", least));
    page.doors(chain, "x0", &body);
    let short = purse_for(chain, "x0", &body, IFR - 1);
    page.invalid("one nano-IFR short of the deposit", "A1", &short, "x0", body.clone(), "insufficient");
    for name in ["", "-a", "a-", "A", "a_b", "a b", &"a".repeat(41)] {
        let body = publish(name, agent_terms());
        page.invalid(&format!("the name {name:?}"), "A1", chain, "x0", body, "out_of_bounds");
    }
    out_of_bounds(page, chain, |terms| publish("helper", terms));
    let mut taken = chain.clone();
    taken.ok("x0", body.clone());
    page.invalid("a name that its creator uses", "A1", &taken, "x0", body.clone(), "exists");
    page.valid("a name that somebody else uses", "A1", &taken, "x1", body);
    let mut tolerant = chain.clone();
    tolerant.ok("v0", TransactionBody::DeclareProfile { profile: tolerance() });
    let nothing = publish(
        "helper",
        terms_with(|terms| {
            (terms.model, terms.policy.per_run) = (tolerance().id(), nano(0));
        }),
    );
    page.invalid("a model of tolerance for who spends nothing", "A1", &tolerant, "x0", nothing, "profile");
    page.numbers("beside a model of tolerance", &tolerant, "x0", &publish("helper", agent_terms()));
}

fn update(terms: AgentTerms) -> TransactionBody {
    TransactionBody::UpdateAgent { agent: helper(), terms }
}

fn policy_with(change: impl FnOnce(&mut SpendingPolicy)) -> TransactionBody {
    update(terms_with(|terms| change(&mut terms.policy)))
}

fn update_agent(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("update_agent");
    let manifest = update(terms_with(|terms| terms.manifest = Digest::ZERO));
    let crossed = policy_with(|policy| {
        (policy.per_run, policy.per_day) = (nano(99), nano(251));
        policy.recipients = listed(&["x2", "x3"]);
    });
    let changes = [
        ("another manifest", manifest.clone()),
        ("another price", update(terms_with(|terms| terms.price = nano(7)))),
        ("other limits", update(terms_with(|terms| terms.limits.steps = 9))),
        ("a narrower policy", policy_with(|policy| policy.per_run = nano(99))),
        ("a policy that ends", policy_with(|policy| policy.expires_at_ms = 5)),
        ("nobody to pay", policy_with(|policy| policy.recipients = Recipients::Nobody)),
        ("one nano-IFR more a day", policy_with(|policy| policy.per_day = nano(251))),
        ("anybody to pay", policy_with(|policy| policy.recipients = Recipients::Anybody)),
        ("narrower and wider at once", crossed.clone()),
        ("all other recipients", policy_with(|policy| policy.recipients = listed(&["x3", "x4"]))),
    ];
    for (name, body) in &changes {
        page.valid(name, "A1", chain, "x0", body.clone());
        page.numbers(name, chain, "x0", body);
    }
    let mut waiting = chain.clone();
    waiting.ok("x0", crossed.clone());
    let from_ms = waiting.state.agent(&helper()).unwrap().widening.as_ref().unwrap().from_ms;
    let narrow = policy_with(|policy| {
        (policy.per_run, policy.recipients) = (nano(99), listed(&["x2"]));
    });
    page.valid("what waits is called off", "A1", &waiting, "x0", narrow);
    page.valid("what waits begins anew", "A1", &waiting, "x0", crossed.clone());
    let in_force = near(&waiting, from_ms);
    page.invalid("what waited is in force, and asked for again", "A1", &in_force, "x0", crossed, "wrong_state");
    let last = near(&waiting, from_ms - 1);
    let wide = near(&waiting, from_ms);
    page.valid(
        "a millisecond before the wider one is in force",
        "A1",
        &last,
        "x0",
        policy_with(|policy| policy.per_day = nano(252)),
    );
    page.valid("once the wider one is in force", "A1", &wide, "x0", policy_with(|policy| policy.per_day = nano(252)));
    for name in ["called off", "begins anew", "a millisecond before", "once in force"] {
        page.numbers(name, chain, "x0", &manifest);
    }
    page.doors(chain, "x0", &manifest);
    page.invalid("nothing changes", "A1", chain, "x0", update(agent_terms()), "wrong_state");
    page.invalid("by somebody else", "A1", chain, "x1", manifest.clone(), "not_allowed");
    let unknown = TransactionBody::UpdateAgent { agent: agent("x1", "helper"), terms: agent_terms() };
    page.invalid("an agent that is not there", "A1", chain, "x0", unknown, "unknown");
    out_of_bounds(page, chain, update);
    narrowed(page, chain, &manifest);
    let last = with(chain, |state| state.agents.get_mut(&helper()).unwrap().version = u32::MAX);
    page.invalid("the last version of all", "M1", &last, "x0", manifest, "overflow");
}

/// A policy that narrows, where nothing else may change.
fn narrowed(page: &mut Page<'_>, chain: &Chain, manifest: &TransactionBody) {
    let retired = with(chain, |state| state.agents.get_mut(&helper()).unwrap().retired = true);
    page.invalid("a retired one", "A1", &retired, "x0", manifest.clone(), "wrong_state");
    let wider = policy_with(|policy| policy.per_day = nano(251));
    page.invalid("a wider policy of a retired one", "A1", &retired, "x0", wider, "wrong_state");
    let narrower = policy_with(|policy| policy.per_day = nano(249));
    page.valid("a narrower policy of a retired one", "A1", &retired, "x0", narrower.clone());
    page.numbers("a retired one", &retired, "x0", &narrower);
    let shorter = with(chain, |state| state.meta_mut().parameters.lease_max_ms = 299_999);
    page.valid("narrower though runs may not last so long any more", "A1", &shorter, "x0", narrower.clone());
    page.numbers("runs may not last so long", &shorter, "x0", &narrower);
    page.invalid(
        "another manifest when runs may not last so long",
        "A1",
        &shorter,
        "x0",
        manifest.clone(),
        "out_of_bounds",
    );
    let twice = policy_with(|policy| policy.recipients = Recipients::Listed(vec![id("x1"), id("x1")]));
    page.invalid("a recipient twice, and nothing wider", "A1", &shorter, "x0", twice, "out_of_bounds");
}

fn retire_agent(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("retire_agent");
    let body = TransactionBody::RetireAgent { agent: helper(), stop_spending: false };
    page.valid("without runs: all that it has returns", "A1", chain, "x0", body.clone());
    let running = with(chain, |state| state.agents.get_mut(&helper()).unwrap().open_runs = 1);
    page.valid("with a run: it waits for that", "A1", &running, "x0", body.clone());
    page.doors(chain, "x0", &body);
    page.numbers("with a run", &running, "x0", &body);
    let stop = TransactionBody::RetireAgent { agent: helper(), stop_spending: true };
    let waiting = with(&running, |state| {
        let entry = state.agents.get_mut(&helper()).unwrap();
        entry.widening = Some(crate::Widening { policy: policy(), from_ms: u64::MAX });
    });
    page.valid("with a run, which spends nothing any more", "A1", &waiting, "x0", stop.clone());
    page.numbers("spends nothing any more", &waiting, "x0", &stop);
    page.invalid("by somebody else", "A1", chain, "x1", body.clone(), "not_allowed");
    let unknown = TransactionBody::RetireAgent { agent: AgentId::new(Digest::ZERO), stop_spending: false };
    page.invalid("an agent that is not there", "A1", chain, "x0", unknown, "unknown");
    let retired = with(&running, |state| state.agents.get_mut(&helper()).unwrap().retired = true);
    page.invalid("a second time", "A1", &retired, "x0", body, "wrong_state");
}

fn open_run(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("open_run");
    let open = |terms| TransactionBody::OpenRun { terms };
    let terms = run_terms(helper());
    let escrow = RUN_PRICE + 30_000;
    let exact = purse_for(chain, "g0", &open(terms), escrow);
    page.valid("hosted at once, for all that the gateway has", "A2", &exact, "g0", open(terms));
    let mut waits = chain.clone();
    waits.ok("w0", hosting(4, RUN_PRICE + 1));
    page.valid("for which hosts ask one nano-IFR more: it waits", "A2", &waits, "g0", open(terms));
    page.doors(chain, "g0", &open(terms));
    let short = purse_for(chain, "g0", &open(terms), escrow - 1);
    page.invalid("one nano-IFR short", "M4", &short, "g0", open(terms), "insufficient");
    for (name, stranger) in [("by its creator", "x0"), ("by a worker", "w0")] {
        page.invalid(name, "A2", chain, stranger, open(terms), "not_allowed");
    }
    let cheaper = terms_with(|terms| terms.price = nano(RUN_PRICE - 1)).version_digest();
    for (name, version) in [("no version", Digest::ZERO), ("the version of another price", cheaper)] {
        page.invalid(name, "A2", chain, "g0", open(RunTerms { version, ..terms }), "version");
    }
    let unknown = RunTerms { agent: agent("x1", "helper"), ..terms };
    page.invalid("an agent that is not there", "A2", chain, "g0", open(unknown), "unknown");
    let retired = with(chain, |state| state.agents.get_mut(&helper()).unwrap().retired = true);
    page.invalid("a retired agent", "A1", &retired, "g0", open(terms), "wrong_state");
    let undeclared = with(chain, |state| {
        state.profiles.remove(&host_profile());
    });
    page.invalid("nobody can judge runs", "A2", &undeclared, "g0", open(terms), "unknown");
    for open_ms in [0, 600_001] {
        let late = open(RunTerms { open_ms, ..terms });
        page.invalid(&format!("{open_ms} ms to wait"), "T3", chain, "g0", late, "out_of_bounds");
    }
    let paused = with(chain, |state| state.profiles.get_mut(&host_profile()).unwrap().listing = crate::Listing::Paused);
    page.invalid("hosts that are paused", "S5", &paused, "g0", open(terms), "profile_closed");
}

/// Steps, what they cost, and how they are judged and paid.
fn run_steps(book: &mut Book, chain: &Chain) {
    let mut chain = chain.clone();
    let run = crate::tests::studio::open_run(&mut chain, "g0", run_terms(helper()));
    let commit = |totals: JobTotals| {
        let terms = SegmentTerms { lease: run, index: 0, totals, root: Digest::ZERO };
        TransactionBody::CommitSegment { commitment: chain.sign(terms) }
    };
    let page = &mut book.page("run_steps");
    page.valid("steps without the answer", "A2", &chain, "w0", commit(totals(2, 0, 0)));
    page.valid("the answer ends the lease", "A2", &chain, "w0", commit(totals(1, 0, 1)));
    page.numbers("steps", &chain, "w0", &commit(totals(2, 0, 0)));
    page.invalid("two answers", "A2", &chain, "w0", commit(totals(2, 0, 2)), "out_of_bounds");
    page.invalid("prompt tokens", "A2", &chain, "w0", commit(totals(1, 1, 0)), "out_of_bounds");
    page.invalid("nine steps of eight", "A2", &chain, "w0", commit(totals(9, 0, 1)), "out_of_bounds");
    page.invalid("by the gateway", "J3", &chain, "g0", commit(totals(1, 0, 1)), "not_allowed");
    page.invalid("no steps", "J3", &chain, "w0", commit(totals(0, 0, 1)), "out_of_bounds");
    let answered = with(&chain, |state| {
        let lease = crate::Lease { tokens: 1, ..*state.lease(&run).unwrap() };
        state.set_lease(run, Some(lease));
    });
    page.invalid("after the answer", "A2", &answered, "w0", commit(totals(1, 0, 0)), "wrong_state");
    let over = with(&chain, |state| mark_over(state, run));
    page.invalid("of a run that is over", "A2", &over, "w0", commit(totals(1, 0, 0)), "wrong_state");

    let steps = commit_steps(&mut chain, run, &[&[pay("x1", 1)]], true);
    let segment = approve_steps(&mut chain, &steps);
    let crate::SegmentState::Final { settles_at_ms, .. } = chain.state.segment(&segment).unwrap().state else {
        panic!("final")
    };
    let about = [StateKey::Segment(segment), StateKey::Lease(run), StateKey::Run(run), StateKey::Agent(helper())];
    let page = &mut book.page("run_settlement");
    // As if the lease went on: one that drains asks every second whether it may close.
    let going_on = with(&chain, |state| {
        let lease = crate::Lease { state: crate::LeaseState::Active, ..*state.lease(&run).unwrap() };
        state.set_lease(run, Some(lease));
    });
    let paid = near(&going_on, settles_at_ms);
    page.timed("host, creator, committee and treasury", "M5", &paid, settles_at_ms, &about);
    let barred = with(&paid, |state| state.nodes.get_mut(&id("w0")).unwrap().disqualified = true);
    page.timed("a barred host's part returns to who paid", "M5", &barred, settles_at_ms, &about);
    let hired = with(&barred, |state| {
        let mut entry = state.run(&run).unwrap().clone();
        entry.hirer = Some(agent("x4", "hirer"));
        state.set_run(run, Some(entry));
    });
    page.timed("it returns to the account of the agent that hired", "M5", &hired, settles_at_ms, &about);
    let spends_nothing = with(&paid, |state| {
        let mut entry = state.run(&run).unwrap().clone();
        entry.policy = SpendingPolicy::NOTHING;
        state.set_run(run, Some(entry));
    });
    page.timed("of what may spend nothing", "A3", &spends_nothing, settles_at_ms, &about);
    let first = with(&paid, |state| {
        let mut entry = state.segment(&segment).unwrap().clone();
        entry.terms.index = 1;
        state.set_segment(segment, Some(entry));
    });
    page.timed("the one before it is not settled: it waits", "A2", &first, settles_at_ms, &about);
    let over = with(&paid, |state| mark_over(state, run));
    page.timed("of a run that is over nothing is paid", "A2", &over, settles_at_ms, &about);
}

fn mark_over(state: &mut crate::State, run: LeaseId) {
    let mut entry = state.run(&run).unwrap().clone();
    entry.over = true;
    state.set_run(run, Some(entry));
}

/// What rejects a segment of a run, what it costs, and what is left.
fn run_over(book: &mut Book, chain: &Chain) {
    let mut chain = chain.clone();
    let run = crate::tests::studio::open_run(&mut chain, "g0", run_terms(helper()));
    let segment = commit_steps(&mut chain, run, &[&[pay("x1", 1)]], true).terms().id();
    let drawn = chain.draw(segment);
    let mut widened = chain.clone();
    widened.vote(segment, &drawn, VerdictVote::Unavailable);
    let others = widened.silent_members(segment);
    let decided = |votes: [VerdictVote; 2]| {
        let mut chain = widened.clone();
        let votes: Vec<_> = others.iter().map(String::as_str).zip(votes).collect();
        let (sender, body) = chain.last_reveal(segment, &votes);
        (chain, sender, body)
    };
    let page = &mut book.page("run_over");
    let nothing = VerdictVote::Unavailable;
    let none = decided([nothing; 2]);
    let spent = with(&none.0, |state| {
        let mut entry = state.run(&run).unwrap().clone();
        entry.spent = nano(40);
        state.set_run(run, Some(entry));
    });
    for (name, chain, (_, sender, body)) in [
        ("no evidence: it costs what is at stake", &none.0, &none),
        ("no evidence: less what was spent", &spent, &none),
    ] {
        page.valid(name, "S6", chain, sender, body.clone());
        page.numbers(name, chain, sender, body);
    }
    for (name, votes) in [("evidence for one alone", [nothing, invalid()]), ("evidence for half", [invalid(); 2])] {
        let (chain, sender, body) = decided(votes);
        page.valid(name, "V3", &chain, &sender, body.clone());
        page.numbers(name, &chain, &sender, &body);
    }
    let (mut wrong, count) = (chain.clone(), drawn.len());
    wrong.vote(segment, &drawn, invalid());
    let others = wrong.silent_members(segment);
    let votes: Vec<_> = others.iter().map(|name| (name.as_str(), invalid())).collect();
    assert!(count < 4 && !votes.is_empty());
    let (sender, body) = wrong.last_reveal(segment, &votes);
    page.valid("wrong: its harm is what is at stake", "S2", &wrong, &sender, body.clone());
    page.numbers("wrong", &wrong, &sender, &body);
    // Nobody decides.
    let SegmentState::Judging { due_at_ms, .. } = widened.state.segment(&segment).unwrap().state else {
        panic!("judging")
    };
    let about = [StateKey::Segment(segment), StateKey::Lease(run), StateKey::Run(run)];
    // As if its lease went on, and longer.
    let widened = with(&near(&widened, due_at_ms), |state| {
        let (state_of, expires_at_ms) = (crate::LeaseState::Active, due_at_ms + 60_000);
        let lease = crate::Lease { state: state_of, expires_at_ms, ..*state.lease(&run).unwrap() };
        state.set_lease(run, Some(lease));
        state.meta_mut().height += 30;
    });
    page.timed("no decision: the run ends without a fault", "A2", &widened, due_at_ms, &about);
}

/// What a run puts at stake, from the grant to the end.
fn run_cover(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("run_cover");
    let open = TransactionBody::OpenRun { terms: run_terms(helper()) };
    let stake = |nano_of: u64| {
        with(chain, |state| {
            let mut node = state.node(&id("w0")).unwrap().clone();
            node.unsettled = Amount::from_nano(50 * IFR - nano_of);
            state.set_node(id("w0"), node);
        })
    };
    let cover = RUN_PRICE + 100;
    let exact = stake(cover);
    page.valid("just covered by its host's stake", "A2", &exact, "g0", open.clone());
    page.numbers("just covered", &exact, "g0", &open);
    let short = stake(cover - 1);
    page.valid("one nano-IFR short: it waits", "A2", &short, "g0", open.clone());
    page.numbers("one nano-IFR short", &short, "g0", &open);
}

/// Who judges a run.
fn run_judges(book: &mut Book) {
    let mut chain = hosts_of(7, feeless(7));
    chain.ok("x0", publish("helper", agent_terms()));
    let open = TransactionBody::OpenRun { terms: run_terms(helper()) };
    let page = &mut book.page("run_judges");
    let declared = |models: &[&str], hosting: &[&str]| {
        with(&chain, |state| {
            for (profile, names) in [(profile(), models), (host_profile(), hosting)] {
                let mut validators: Vec<_> = names.iter().map(|name| id(name)).collect();
                validators.sort();
                state.profiles.get_mut(&profile).unwrap().validators = validators;
            }
        })
    };
    let enough = declared(&["v0", "v1", "v2", "v3"], &["v1", "v2", "v3", "v4"]);
    page.valid("three operators declared both", "N4", &enough, "g0", open.clone());
    page.numbers("three operators", &enough, "g0", &open);
    let few = declared(&["v0", "v1", "v2", "v5"], &["v1", "v2", "v3", "v4"]);
    page.invalid("two operators declared both", "N4", &few, "g0", open.clone(), "profile_not_leasable");
    let strangers = declared(&["v0", "v1", "v2"], &["v3", "v4", "v5"]);
    page.invalid("nobody declared both", "N4", &strangers, "g0", open.clone(), "profile_not_leasable");
    for listing in [crate::Listing::Paused, crate::Listing::Delisted] {
        let closed = with(&chain, |state| state.profiles.get_mut(&profile()).unwrap().listing = listing);
        page.invalid(&format!("a model that is {listing:?}"), "S5", &closed, "g0", open.clone(), "profile_closed");
    }
    let mut drawing = declared(&["v0", "v1", "v2", "v3", "v4"], &["v1", "v2", "v3", "v4", "v5"]);
    let run = crate::tests::studio::open_run(&mut drawing, "g0", run_terms(helper()));
    let segment = commit_steps(&mut drawing, run, &[&[pay("x1", 1)]], false).terms().id();
    drawing.blocks(2);
    let seats = (0..6).map(|index| StateKey::Node(id(&format!("v{index}"))));
    let about: Vec<StateKey> = seats.chain([StateKey::Segment(segment), StateKey::Run(run)]).collect();
    page.drawn("its committee is of these alone", "A2", &drawing, &about);
    for height in 0..5u64 {
        let at = (drawing.state.height() + 2 + height, drawing.now_ms + 1_000);
        page.no_block(&format!("a block {height} too far"), "C1", &drawing, at, &[StateKey::Run(run)]);
    }
}

fn spend_as_agent(book: &mut Book, chain: &Chain) {
    let mut chain = chain.clone();
    let itself = SpendOrder::Pay { to: helper().account(), amount: nano(1) };
    let orders = [pay("x1", 100), pay("x1", 101), pay("x3", 1), itself, pay("x2", 0), pay("x2", 1), pay("x1", 1)];
    let (run, steps) = ordered(&mut chain, &orders);
    let page = &mut book.page("spend_as_agent");
    let good = spend(steps.cite(0, 2));
    page.valid("all that a run may, by its host", "A3", &chain, "w0", good.clone());
    page.valid("by its gateway", "A3", &chain, "g0", good.clone());
    page.doors(&chain, "w0", &good);
    let changed = |change: fn(&mut crate::Run)| {
        with(&chain, |state| {
            let mut entry = state.run(&run).unwrap().clone();
            change(&mut entry);
            state.set_run(run, Some(entry));
        })
    };
    let of_agent =
        |change: fn(&mut crate::Agent)| with(&chain, |state| change(state.agents.get_mut(&helper()).unwrap()));
    let last = changed(|run| run.policy.expires_at_ms = START_MS + 1_000_000_000);
    page.valid("before the policy ends", "A3", &last, "w0", good.clone());
    let yesterday = of_agent(|agent| agent.spent = (7, nano(250)));
    page.valid("what was spent another day counts no more", "A3", &yesterday, "w0", good.clone());
    page.numbers("another day", &yesterday, "w0", &good);
    for (name, stranger) in [("by its creator", "x0"), ("by another worker", "w1"), ("by the recipient", "x1")] {
        page.invalid(name, "A3", &chain, stranger, good.clone(), "not_allowed");
    }
    let refused = [
        ("one nano-IFR more than a run may", 3, "policy_cap"),
        ("to a stranger", 4, "policy"),
        ("to itself", 5, "out_of_bounds"),
        ("nothing", 6, "out_of_bounds"),
    ];
    for (name, call, error) in refused {
        page.invalid(name, "A3", &chain, "w0", spend(steps.cite(0, call)), error);
    }
    wrong_citations(page, &chain, &steps);
    let nowhere = AgentSpend { run: LeaseId::new(Digest::ZERO), ..steps.cite(0, 2) };
    page.invalid("of a run that is over", "A3", &chain, "w0", spend(nowhere), "unknown");
    let unsettled = changed(|run| run.settled.clear());
    page.invalid("of a segment that is not settled", "A3", &unsettled, "w0", good.clone(), "unknown");
    let over = changed(|run| run.over = true);
    page.invalid("of a run that is over, though it was settled", "A2", &over, "w0", good.clone(), "wrong_state");
    let again = changed(|run| run.cited = vec![(0, 0, 2)]);
    page.invalid("a second time", "A3", &again, "w0", good.clone(), "exists");
    let called = changed(|run| (run.limits.tool_calls, run.cited) = (1, vec![(0, 0, 1)]));
    page.invalid("one call more than the agent makes", "A3", &called, "w0", good.clone(), "out_of_bounds");
    let spent = changed(|run| run.spent = nano(1));
    page.invalid("one nano-IFR after another", "A3", &spent, "w0", good.clone(), "policy_cap");
    let ended = changed(|run| run.policy.expires_at_ms = START_MS);
    page.invalid("after the pinned policy ended", "A3", &ended, "w0", good.clone(), "policy");
    let narrowed = of_agent(|agent| agent.terms.policy.per_run = nano(99));
    page.invalid("more than the policy in force", "A3", &narrowed, "w0", good.clone(), "policy_cap");
    let revoked = of_agent(|agent| agent.terms.policy.recipients = Recipients::Nobody);
    page.invalid("to whom the policy in force has no more", "A3", &revoked, "w0", good.clone(), "policy");
    let today =
        with(&chain, |state| state.agents.get_mut(&helper()).unwrap().spent = (chain.now_ms / DAY_MS, nano(151)));
    page.invalid("one nano-IFR more than a day", "A3", &today, "w0", good.clone(), "policy_cap");
    let poor = with(&chain, |state| state.accounts.get_mut(&helper().account()).unwrap().balance = nano(99));
    page.invalid("one nano-IFR more than there is", "A3", &poor, "w0", good, "insufficient");
}

/// A change of a citation that makes it prove nothing.
type Lie = fn(&mut AgentSpend);

/// What the step did not order.
fn wrong_citations(page: &mut Page<'_>, chain: &Chain, steps: &Steps) {
    let lies: [(&str, Lie); 6] = [
        ("more than the order", |spend| spend.order = pay("x1", 99)),
        ("to another than the order's", |spend| spend.order = pay("x2", 100)),
        ("at another call", |spend| spend.call_path.index = 0),
        ("at another step", |spend| spend.step_path.count = 2),
        ("of a step that is nobody's", |spend| spend.step.result.output_commitment = Digest::ZERO),
        ("of a step that is nothing but the order", |spend| {
            spend.step.result.evidence_root = RunCall::Spend { order: spend.order }.hash();
        }),
    ];
    for (name, lie) in lies {
        let mut cited = steps.cite(0, 2);
        lie(&mut cited);
        page.invalid(name, "A3", chain, "w0", spend(cited), "evidence");
    }
}

fn hire(book: &mut Book) {
    let clerk = agent("x4", "clerk");
    let cost = RUN_PRICE + 30_000;
    let mut chain = hosts_of(4, devnet(4));
    let recipients = Recipients::Listed(vec![clerk.account()]);
    let policy = SpendingPolicy { per_run: nano(cost), per_day: nano(cost), recipients, ..policy() };
    chain.ok("x0", publish("helper", AgentTerms { policy, ..agent_terms() }));
    chain.ok("x4", publish("clerk", AgentTerms { policy: SpendingPolicy::NOTHING, ..agent_terms() }));
    chain.ok("x3", TransactionBody::Transfer { to: helper().account(), amount: nano(cost) });
    let order = SpendOrder::Hire { run: run_terms(clerk) };
    let stale = SpendOrder::Hire { run: RunTerms { version: Digest::ZERO, ..run_terms(clerk) } };
    let stranger = SpendOrder::Hire { run: run_terms(agent("x4", "other")) };
    let (run, steps) = ordered(&mut chain, &[order, stale, stranger]);
    let page = &mut book.page("hire");
    let good = spend(steps.cite(0, 2));
    page.valid("for all that the agent has and may spend", "A3", &chain, "w0", good.clone());
    page.doors(&chain, "w0", &good);
    let poor = with(&chain, |state| state.accounts.get_mut(&helper().account()).unwrap().balance = nano(cost - 1));
    page.invalid("one nano-IFR more than there is", "A3", &poor, "w0", good.clone(), "insufficient");
    let capped = with(&chain, |state| {
        let mut entry = state.run(&run).unwrap().clone();
        entry.policy.per_run = nano(cost - 1);
        state.set_run(run, Some(entry));
    });
    page.invalid("one nano-IFR more than the run may", "A3", &capped, "w0", good.clone(), "policy_cap");
    page.invalid("a version that is not there", "A3", &chain, "w0", spend(steps.cite(0, 3)), "version");
    page.invalid("an agent that is no recipient", "A3", &chain, "w0", spend(steps.cite(0, 4)), "policy");
    let retired = with(&chain, |state| state.agents.get_mut(&clerk).unwrap().retired = true);
    page.invalid("a retired agent", "A1", &retired, "w0", good.clone(), "wrong_state");
    let barred = with(&chain, |state| state.nodes.get_mut(&id("g0")).unwrap().disqualified = true);
    page.invalid("by a barred gateway", "S3", &barred, "w0", good.clone(), "disqualified");

    // Nobody hosts it.
    chain.ok("w0", hosting(0, HOST_PRICE));
    let events = chain.ok("w0", good);
    let hired = events
        .iter()
        .find_map(|event| if let inferium_types::Event::AgentSpent { hired, .. } = event { *hired } else { None });
    let (hired, (task, entry)) = (hired.unwrap(), chain.state.tasks().next().map(|(id, task)| (*id, *task)).unwrap());
    let about = [StateKey::Task(task), StateKey::Run(hired), StateKey::Agent(helper()), StateKey::Agent(clerk)];
    let page = &mut book.page("run_expiry");
    page.timed(
        "what it locked returns to the account that hired",
        "A3",
        &near(&chain, entry.expires_at_ms),
        entry.expires_at_ms,
        &about,
    );
    let retired = with(&chain, |state| {
        let entry = state.agents.get_mut(&clerk).unwrap();
        entry.retired = true;
    });
    page.timed(
        "a retired agent is closed with its last run",
        "A1",
        &near(&retired, entry.expires_at_ms),
        entry.expires_at_ms,
        &about,
    );
}

/// The end of a lease, and of what may be spent.
fn run_end(book: &mut Book, chain: &Chain) {
    let mut chain = chain.clone();
    let (run, _) = ordered(&mut chain, &[pay("x1", 1)]);
    let unspent = crate::tests::studio::open_run(&mut chain, "g0", run_terms(helper()));
    for lease in [run, unspent] {
        chain.ok("g0", TransactionBody::CloseLease { lease });
    }
    let page = &mut book.page("run_end");
    for (name, rule, lease) in
        [("nothing was settled: it is over", "A2", unspent), ("orders may be spent for a while", "A3", run)]
    {
        let crate::LeaseState::Draining { until_ms, .. } = chain.state.lease(&lease).unwrap().state else {
            panic!("draining")
        };
        let alone = with(&chain, |state| {
            let other = if lease == run { unspent } else { run };
            state.set_lease(other, None);
        });
        let about = [StateKey::Lease(lease), StateKey::Run(lease), StateKey::Agent(helper())];
        page.timed(name, rule, &near(&alone, until_ms), until_ms, &about);
    }
    let ends_at_ms = chain.now_ms + 60_000;
    let ending = with(&chain, |state| {
        for lease in [run, unspent] {
            state.set_lease(lease, None);
        }
        let mut entry = state.run(&run).unwrap().clone();
        entry.ends_at_ms = Some(ends_at_ms);
        state.set_run(run, Some(entry));
    });
    let about = [StateKey::Run(run), StateKey::Agent(helper())];
    page.timed("nothing can be spent any more", "A3", &near(&ending, ends_at_ms), ends_at_ms, &about);
}
