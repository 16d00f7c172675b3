//! Challenges up to what is computed: opened, shown, asked (SPEC V11).

use super::book::{Book, Page, fee, purse, with};
use super::forced::thin;
use super::nodes::{barred, jailed, operator_barred};
use crate::entries::{Challenge, Hold, Planted, Segment, ShownSpan};
use crate::tests::challenges::player::{LONG, Lie, Player, SENTENCE, SMALL};
use crate::tests::support::*;
use crate::{Opening, SegmentState, Turn};
use inferium_exact::SUMS_MAX;
use inferium_types::{
    Amount, ChallengeTerms, Digest, EngineClass, FinishReason, ForcedKind, JobLeaf, MerklePath, Parameters, SegmentId,
    SlashRule, TraceAsked, TraceRoot, TraceShown, TransactionBody, Usage, evidence_leaf, merkle_root,
};

/// The bond; nano-IFR.
pub(super) const BOND: u64 = 10 * IFR;
/// One wrong value of a layer's sums.
pub(super) const WRONG: Lie = Lie::Value { tensor: 1, index: 2 };

pub(super) fn write(book: &mut Book) {
    open_challenge(book);
    show_trace(book);
    ask_trace(book);
}

/// With fees, and without accounts that have no part in it.
pub(super) fn usual(mut player: Player) -> Player {
    thin(&mut player.chain);
    let usual = Parameters::devnet(4);
    let parameters = &mut player.chain.state.meta_mut().parameters;
    (parameters.fee_base, parameters.fee_per_byte) = (usual.fee_base, usual.fee_per_byte);
    parameters.forced_share = usual.forced_share;
    player
}

pub(super) fn edited(player: &Player, change: impl FnOnce(&mut Challenge)) -> Chain {
    with(&player.chain, |state| {
        let key = (player.segment, id(&player.challenger));
        let mut entry = player.challenge().unwrap().clone();
        change(&mut entry);
        state.set_challenge(key, Some(entry));
    })
}

pub(super) fn about(player: &Player, change: impl FnOnce(&mut Segment)) -> Chain {
    with(&player.chain, |state| {
        let mut entry = state.segment(&player.segment).unwrap().clone();
        change(&mut entry);
        state.set_segment(player.segment, Some(entry));
    })
}

pub(super) fn nowhere() -> SegmentId {
    SegmentId::new(Digest::ZERO)
}

fn opens(terms: ChallengeTerms) -> TransactionBody {
    TransactionBody::OpenChallenge { terms: Box::new(terms) }
}

/// A segment of this one job, and what opens a challenge of it.
fn alone(player: &Player, change: impl FnOnce(&mut JobLeaf)) -> (Chain, TransactionBody) {
    let mut terms = player.terms();
    change(&mut terms.leaf);
    terms.path = MerklePath { index: 0, count: 1, siblings: Vec::new() };
    let root = merkle_root(&[terms.leaf.hash()]);
    (about(player, |segment| segment.terms.root = root), opens(terms))
}

/// A segment with this job at this place, the last of a tree.
/// A slash that is held.
pub(super) fn hold((name, rule, segment): (&str, SlashRule, Option<SegmentId>), taken_at_ms: u64) -> Hold {
    Hold {
        node: id(name),
        rule,
        segment,
        job: None,
        own: Amount::from_nano(1_000),
        delegated: Amount::ZERO,
        unbonding: Amount::ZERO,
        disqualified: false,
        provers: Vec::new(),
        harmed: None,
        harm: Amount::ZERO,
        taken_at_ms,
        releases_at_ms: u64::MAX,
    }
}

fn far(player: &Player, index: u64, siblings: usize) -> (Chain, TransactionBody) {
    let mut terms = player.terms();
    terms.path = MerklePath { index, count: index + 1, siblings: vec![Digest::of("side", &[]); siblings] };
    let root = terms.path.root(terms.leaf.hash()).unwrap();
    let chain = about(player, |segment| {
        segment.terms.root = root;
        let SegmentState::Final { approval, .. } = &mut segment.state else { panic!("final") };
        let job = u32::try_from(index).unwrap_or(0);
        approval.rejections.iter_mut().for_each(|(_, of)| *of = job);
    });
    (chain, opens(terms))
}

fn open_challenge(book: &mut Book) {
    let page = &mut book.page("open_challenge");
    let player = usual(Player::approved(SMALL, WRONG));
    let (challenger, body) = (player.challenger.as_str(), player.opening());
    page.valid(
        "a job of a final segment, by a member that was outvoted",
        "V11",
        &player.chain,
        challenger,
        body.clone(),
    );
    page.doors(&player.chain, challenger, &body);
    page.invalid("by who approved it", "V11", &player.chain, &player.approvers[0], body.clone(), "not_allowed");
    page.invalid("by who never judged it", "V11", &player.chain, &player.outsiders[4], body.clone(), "not_allowed");
    let other = about(&player, |segment| {
        let SegmentState::Final { approval, .. } = &mut segment.state else { panic!("final") };
        approval.rejections.iter_mut().for_each(|(_, job)| *job ^= 1);
    });
    page.invalid("by who found another job wrong", "V11", &other, challenger, body.clone(), "not_allowed");
    let enough = fee(&player.chain, challenger, &body) + BOND;
    page.valid("with the last nano-IFR", "V11", &purse(&player.chain, challenger, enough), challenger, body.clone());
    let poor = purse(&player.chain, challenger, enough - 1);
    page.invalid("one nano-IFR short of the bond", "V11", &poor, challenger, body.clone(), "insufficient");
    let sentence = usual(Player::approved(SENTENCE, Lie::None));
    page.valid("of a sentence encoder of integers", "V11", &sentence.chain, &sentence.challenger, sentence.opening());
    let floats = with(&sentence.chain, |state| {
        let profile = state.profiles.get_mut(&state.segment(&sentence.segment).unwrap().profile.clone()).unwrap();
        profile.profile.engine = EngineClass::Canonical { build: Digest::ZERO, tier: "exact".into() };
    });
    let opening = sentence.opening();
    page.invalid("of an encoder of floats", "V11", &floats, &sentence.challenger, opening, "wrong_state");
    let mut challenged = player.clone();
    challenged.open();
    let second = &player.outsiders[1];
    page.valid("beside another's", "V11", &challenged.chain, second, body.clone());
    page.numbers("beside another's", &challenged.chain, second, &body);
    let usage = player.terms().leaf.result.usage;
    let planted = |job, kind| {
        about(&player, |segment| segment.opening = Opening::Opened { planted: Some(Planted { job, kind, usage }) })
    };
    page.valid("beside a planted job", "V11", &planted(0, ForcedKind::Wrong), challenger, body.clone());
    let right = planted(player.job(), ForcedKind::Right);
    page.valid("a planted job that is right", "V11", &right, challenger, body.clone());
    let wrong = planted(player.job(), ForcedKind::Wrong);
    page.invalid("a planted job that is wrong", "V5", &wrong, challenger, body.clone(), "wrong_state");
    let (last, far_body) = far(&player, (1 << 32) - 1, 32);
    page.valid("the last job that has a number", "J3", &last, challenger, far_body);
    let (beyond, far_body) = far(&player, 1 << 32, 1);
    page.invalid("a job beyond all numbers", "J3", &beyond, challenger, far_body, "overflow");
    let jailed = jailed(&player.chain, challenger, 1);
    page.invalid("by a jailed validator", "S", &jailed, challenger, body.clone(), "jailed");
    page.invalid("by a barred one", "S3", &barred(&player.chain, challenger), challenger, body.clone(), "disqualified");
    let hand = operator_barred(&player.chain, challenger);
    page.valid("by one whose operator is barred otherwise", "S3", &hand, challenger, body.clone());
    who_and_when(page, &player, &challenged);
    which_job(page, &player);
}

fn who_and_when(page: &mut Page<'_>, player: &Player, challenged: &Player) {
    let (challenger, body) = (player.challenger.as_str(), player.opening());
    for (name, stranger) in [
        ("by the worker", "w0".to_owned()),
        ("by the gateway", "g0".into()),
        ("by a stranger", "x0".into()),
        ("by another worker", "w1".into()),
        ("by the worker's operator", operator_of("w0")),
    ] {
        page.invalid(name, "V11", &player.chain, &stranger, body.clone(), "not_allowed");
    }
    page.numbers("a job of a final segment", &player.chain, challenger, &body);
    page.invalid("a second one", "V11", &challenged.chain, challenger, body.clone(), "exists");
    let lost = edited(challenged, |challenge| challenge.turn = Turn::Over);
    page.invalid("after a lost one", "V11", &lost, challenger, body.clone(), "exists");
    let unknown = opens(ChallengeTerms { segment: nowhere(), ..player.terms() });
    page.invalid("of a segment that never was", "V11", &player.chain, challenger, unknown, "unknown");
    let judged = usual(Player::undecided(SMALL));
    let early = "wrong_state";
    page.invalid("while its committee judges", "V11", &judged.chain, &judged.challenger, judged.opening(), early);
    let mut disputed = player.clone();
    disputed.chain.ok("g0", TransactionBody::OpenDispute { segment: player.segment });
    page.invalid("while its court is drawn", "V11", &disputed.chain, challenger, body, early);
    disputed.chain.draw(disputed.segment);
    page.invalid("while its court judges", "V11", &disputed.chain, challenger, player.opening(), early);
    let chat = usual(Player::of_conversation());
    page.invalid("of a conversation", "V11", &chat.chain, &chat.challenger, chat.opening(), early);
}

fn which_job(page: &mut Page<'_>, player: &Player) {
    let challenger = player.challenger.as_str();
    let mut refuse = |name: &str, rule: &str, (chain, body): (Chain, TransactionBody)| {
        page.invalid(name, rule, &chain, challenger, body, "evidence");
    };
    let but = |change: fn(&mut ChallengeTerms)| {
        let mut terms = player.terms();
        change(&mut terms);
        (player.chain.clone(), opens(terms))
    };
    refuse("a path from another place", "J3", but(|terms| terms.path.index ^= 1));
    refuse("a path from outside of the tree", "J3", but(|terms| terms.path.index += 1));
    refuse("a path of a larger tree", "J3", but(|terms| terms.path.count += 1));
    refuse("a path of one step too many", "J3", but(|terms| terms.path.siblings.push(Digest::ZERO)));
    refuse("other evidence", "J3", but(|terms| terms.leaf.result.evidence_root = Digest::ZERO));
    refuse("another output", "J3", but(|terms| terms.leaf.result.output_commitment = Digest::ZERO));
    refuse("another input", "J3", but(|terms| terms.leaf.request.input_commitment = Digest::ZERO));
    refuse(
        "a job of another lease",
        "J3",
        alone(player, |leaf| {
            leaf.request.lease = inferium_types::LeaseId::new(Digest::ZERO);
            leaf.result.request = leaf.request.digest();
        }),
    );
    refuse("a result of another request", "J3", alone(player, |leaf| leaf.result.request = Digest::ZERO));
    let used = |leaf: &mut JobLeaf, prompt, completion| {
        leaf.result.usage = Usage { prompt_tokens: prompt, completion_tokens: completion };
    };
    refuse("a result of more tokens of the prompt", "J3", alone(player, |leaf| used(leaf, 11, 2)));
    refuse("a result of more than was asked for", "J3", alone(player, |leaf| used(leaf, 10, 3)));
    refuse(
        "a result that ends too early",
        "J3",
        alone(player, |leaf| {
            used(leaf, 10, 1);
            leaf.result.finish = FinishReason::Length;
        }),
    );
}

/// This is shown, and nothing that is only like it.
fn shows(page: &mut Page<'_>, name: &str, player: &Player, chain: &Chain, good: &TraceShown) {
    let body = |shown: TraceShown| player.showing(shown);
    page.valid(name, "V11", chain, "w0", body(good.clone()));
    let mut refuse = |what: &str, sender: &str, body: TransactionBody, error: &str| {
        page.invalid(&format!("{name}: {what}"), "V11", chain, sender, body, error);
    };
    refuse("by the challenger", &player.challenger, body(good.clone()), "not_allowed");
    refuse("by the gateway", "g0", body(good.clone()), "not_allowed");
    let (challenger, shown) = (id(&player.outsiders[1]), good.clone());
    let others = TransactionBody::ShowTrace { segment: player.segment, challenger, shown };
    refuse("to somebody else", "w0", others, "unknown");
    refuse("otherwise", "w0", body(altered(good)), "evidence");
    refuse("with more", "w0", body(longer(good)), "evidence");
    let other = match good {
        TraceShown::Sums(_) => TraceShown::Chunk(vec![1]),
        _ => TraceShown::Sums(vec![1]),
    };
    refuse("of another kind", "w0", body(other), "evidence");
}

fn altered(shown: &TraceShown) -> TraceShown {
    let mut shown = shown.clone();
    match &mut shown {
        TraceShown::Leaves(hashes) | TraceShown::Span(hashes) => hashes.reverse(),
        TraceShown::Run { trace, .. } => trace.values += 1,
        TraceShown::Chunk(values) | TraceShown::Sums(values) => *values.last_mut().unwrap() += 1,
    }
    shown
}

fn longer(shown: &TraceShown) -> TraceShown {
    let mut shown = shown.clone();
    match &mut shown {
        TraceShown::Leaves(hashes) | TraceShown::Span(hashes) => hashes.push(Digest::ZERO),
        TraceShown::Run { trace, .. } => trace.before = Digest::of("more", &[]),
        TraceShown::Chunk(values) | TraceShown::Sums(values) => values.push(0),
    }
    shown
}

fn show_trace(book: &mut Book) {
    let page = &mut book.page("show_trace");
    let mut player = usual(Player::approved(SMALL, WRONG));
    player.open();
    let now = |page: &mut Page<'_>, name: &str, player: &mut Player| {
        let answer = player.answer();
        shows(page, name, player, &player.chain, &answer);
        player.show();
    };
    page.doors(&player.chain, "w0", &player.showing(player.answer()));
    let opened = player.clone();
    now(page, "the leaves of the evidence", &mut player);
    let body = player.showing(TraceShown::Leaves(Vec::new()));
    page.invalid("what nobody asked for", "V11", &player.chain, "w0", body.clone(), "wrong_state");
    let lost = edited(&player, |challenge| challenge.turn = Turn::Over);
    page.invalid("when it is over", "V11", &lost, "w0", body, "wrong_state");
    player.ask(1);
    let asked = player.clone();
    now(page, "a run of one chunk, whose values are asked for", &mut player);
    now(page, "the values of a chunk", &mut player);
    player.ask(6);
    let sums = player.clone();
    now(page, "the sums of a value", &mut player);
    runs(page, &asked);
    let TraceShown::Sums(right) = sums.answer() else { panic!("sums") };
    let more = sums.showing(TraceShown::Sums([vec![7; 9], right.clone()].concat()));
    page.valid("sums of more tiles", "V11", &sums.chain, "w0", more);
    for (name, shown) in [("no sums", vec![]), ("too many sums", [vec![0; SUMS_MAX], right].concat())] {
        page.invalid(name, "V11", &sums.chain, "w0", sums.showing(TraceShown::Sums(shown)), "evidence");
    }
    nothing(page, &opened);
    let mut player = usual(Player::approved("cnn-tiny", WRONG));
    player.open();
    player.show();
    player.ask(1);
    now(page, "a run of two chunks, whose hashes are asked for", &mut player);
    now(page, "the hashes of two chunks", &mut player);
    player.ask(1);
    now(page, "the last chunk, which is shorter", &mut player);
    parts_of_parts(page);
}

/// A job of no inputs: nothing to be shown.
fn nothing(page: &mut Page<'_>, opened: &Player) {
    let none = edited(opened, |challenge| (challenge.items, challenge.evidence_root) = (0, Digest::ZERO));
    let no_leaves = TraceShown::Leaves(Vec::new());
    page.valid("no leaves of no inputs", "V11", &none, "w0", opened.showing(no_leaves));
    for (name, shown) in [
        ("a leaf of no inputs", TraceShown::Leaves(vec![Digest::ZERO])),
        ("all leaves of no inputs", opened.answer()),
        ("no values of no inputs", TraceShown::Chunk(Vec::new())),
        ("no sums of no inputs", TraceShown::Sums(Vec::new())),
        ("no hashes of no inputs", TraceShown::Span(Vec::new())),
    ] {
        page.invalid(name, "V11", &none, "w0", opened.showing(shown), "evidence");
    }
    // The root binds their number.
    let TraceShown::Leaves(leaves) = opened.answer() else { panic!("leaves") };
    let one = edited(opened, |challenge| challenge.items = 1);
    let body = opened.showing(TraceShown::Leaves(leaves[..1].to_vec()));
    page.invalid("one leaf of two", "V11", &one, "w0", body, "evidence");
}

/// Runs of any length, of which the evidence speaks so.
fn runs(page: &mut Page<'_>, asked: &Player) {
    let TraceShown::Run { salt, said, trace } = asked.answer() else { panic!("a run") };
    let other = TraceShown::Run { salt: Digest::ZERO, said, trace };
    page.invalid("a run by another salt", "V11", &asked.chain, "w0", asked.showing(other), "evidence");
    let of = |values: u64| {
        let trace = TraceRoot { values, ..trace };
        let chain = edited(asked, |challenge| challenge.leaves[1] = evidence_leaf(&salt, &said, &trace.digest()));
        (chain, TraceShown::Run { salt, said, trace })
    };
    for (name, values) in [
        ("a run of exactly one chunk", 256),
        ("a run of one value more", 257),
        ("a run of all values there are", u64::MAX),
    ] {
        let (chain, shown) = of(values);
        // One more is none at all.
        if values < u64::MAX {
            shows(page, name, asked, &chain, &shown);
        } else {
            page.valid(name, "V11", &chain, "w0", asked.showing(shown));
        }
    }
    let (chain, shown) = of(0);
    page.invalid("a run of no values", "V11", &chain, "w0", asked.showing(shown), "evidence");
    let beyond = edited(asked, |challenge| challenge.turn = Turn::Worker(TraceAsked::Run { item: 2 }));
    page.invalid("a run that has no leaf", "V11", &beyond, "w0", asked.showing(asked.answer()), "evidence");
}

/// Spans within spans; of the first one no more is kept than the hash that matters.
fn parts_of_parts(page: &mut Page<'_>) {
    let mut player = usual(Player::approved(LONG, Lie::Value { tensor: 1, index: 3 }));
    player.open();
    player.show();
    player.ask(1);
    player.show();
    player.show();
    player.ask(0);
    player.chain = edited(&player, |challenge| {
        challenge.run.as_mut().unwrap().spans[0].hashes.truncate(1);
    });
    let answer = player.answer();
    shows(page, "the hashes of a part's chunks", &player, &player.chain, &answer);
    player.show();
    player.ask(0);
    let answer = player.answer();
    shows(page, "a chunk of a part", &player, &player.chain, &answer);
}

/// This is asked, and nothing beyond it.
fn asks(page: &mut Page<'_>, name: &str, player: &Player, chain: &Chain, index: u64, count: u64) {
    page.valid(name, "V11", chain, &player.challenger, player.asking(index));
    let mut refuse = |what: &str, sender: &str, body: TransactionBody, error: &str| {
        page.invalid(&format!("{name}: {what}"), "V11", chain, sender, body, error);
    };
    refuse("one too far", &player.challenger, player.asking(count), "out_of_bounds");
    refuse("as far as numbers go", &player.challenger, player.asking(u64::MAX), "out_of_bounds");
    refuse("by the worker", "w0", player.asking(index), "unknown");
    refuse("by another validator", &player.outsiders[1], player.asking(index), "unknown");
    let elsewhere = TransactionBody::AskTrace { segment: nowhere(), index };
    refuse("of another segment", &player.challenger, elsewhere, "unknown");
}

fn ask_trace(book: &mut Book) {
    let page = &mut book.page("ask_trace");
    let mut player = usual(Player::approved(SMALL, WRONG));
    player.open();
    let early = "wrong_state";
    page.invalid("in the worker's turn", "V11", &player.chain, &player.challenger, player.asking(0), early);
    let lost = edited(&player, |challenge| challenge.turn = Turn::Over);
    page.invalid("when it is over", "V11", &lost, &player.challenger, player.asking(0), early);
    player.show();
    page.doors(&player.chain, &player.challenger, &player.asking(1));
    asks(page, "for the last run", &player, &player.chain, 1, 2);
    asks(page, "for the first run", &player, &player.chain, 0, 1 << 32);
    player.ask(1);
    player.show();
    player.show();
    let values = 10;
    asks(page, "for the sums of the first value that is computed", &player, &player.chain, 4, values);
    asks(page, "for the sums of the last value", &player, &player.chain, values - 1, values + 1);
    let refused = "out_of_bounds";
    for (name, index) in [("for the sums of an input", 3), ("for the sums of the first input", 0)] {
        page.invalid(name, "V11", &player.chain, &player.challenger, player.asking(index), refused);
    }
    player.ask(6);
    player.show();
    page.invalid("behind the sums", "V11", &player.chain, &player.challenger, player.asking(0), refused);
    let nothing = edited(&player, |challenge| {
        let run = challenge.run.as_mut().unwrap();
        (run.sums, run.chunk) = (None, None);
    });
    page.invalid("of a run without spans", "V11", &nothing, &player.challenger, player.asking(0), refused);
    let far = edited(&player, |challenge| {
        let run = challenge.run.as_mut().unwrap();
        (run.sums, run.trace.length) = (None, 257);
        run.chunk = Some((1, vec![5, 6]));
    });
    asks(page, "for the sums of a value of a later chunk", &player, &far, 1, 2);
    page.invalid("for an input of a later chunk", "V11", &far, &player.challenger, player.asking(0), refused);
    let of_span = |first, chunks| {
        edited(&player, |challenge| {
            let run = challenge.run.as_mut().unwrap();
            (run.sums, run.chunk) = (None, None);
            run.spans.push(ShownSpan { first, chunks, hashes: Vec::new() });
        })
    };
    asks(page, "for a chunk of a span", &player, &of_span(0, 1_024), 1_023, 1_024);
    asks(page, "for a part of a longer span", &player, &of_span(0, 1_025), 1, 513);
    asks(page, "for its last part, which is one chunk", &player, &of_span(2_048, 1_025), 512, 513);
    asks(page, "for the last part of all", &player, &of_span(0, 1 << 56), 1_023, 1_024);
    asks(page, "for the last part of one chunk more", &player, &of_span(0, (1 << 56) + 1), 512, 513);
}
