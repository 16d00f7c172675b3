//! What the ledger computes itself (SPEC V11): each claim where it convicts, and where it does not.

use super::book::{Book, Page, with};
use super::challenges::{WRONG, about, edited, hold, nowhere, usual};
use crate::entries::{Challenge, Hold};
use crate::tests::challenges::player::{Lie, Player, SENTENCE, SMALL};
use crate::tests::support::*;
use crate::{SegmentState, Turn};
use inferium_types::{
    Amount, ClassifierInputs, Committed, CommittedKind, Digest, Embedding, JobAnswer, JobInput, JobOutput, JobPayload,
    Logits, ModelTask, OpenedChunk, OpenedInput, OpenedOutput, OpenedPiece, Ppm, Refutation, RefutedClaim, SlashRule,
    TransactionBody,
};

pub(super) fn write(book: &mut Book) {
    let page = &mut book.page("refute_trace");
    tiles(page);
    inputs_and_outputs(page);
    sentences(page);
    lengths(page);
    consequences(page);
    openings(page);
}

/// The challenge as far as to where it is refuted, and by what.
fn ready(name: &str, lie: Lie) -> (Player, RefutedClaim) {
    found(Player::approved(name, lie))
}

fn found(player: Player) -> (Player, RefutedClaim) {
    let mut player = usual(player);
    player.open();
    loop {
        match player.turn() {
            Some(Turn::Challenger) => match player.found() {
                Ok(index) => player.ask(index),
                Err(claim) => return (player, *claim),
            },
            _ => player.show(),
        }
    }
}

fn bare(player: &Player, claim: RefutedClaim) -> TransactionBody {
    let refutation = Box::new(Refutation { outline: Vec::new(), claim });
    TransactionBody::RefuteTrace { segment: player.segment, refutation }
}

/// It convicts, and nobody else's does, nor elsewhere.
fn refutes(page: &mut Page<'_>, name: &str, player: &Player, chain: &Chain, claim: RefutedClaim) {
    page.valid(name, "V11", chain, &player.challenger, player.refutation(claim));
    let mut refuse = |what: &str, sender: &str, body: TransactionBody| {
        page.invalid(&format!("{name}: {what}"), "V11", chain, sender, body, "unknown");
    };
    let claim = || bare(player, RefutedClaim::Length);
    refuse("by the worker", "w0", claim());
    refuse("by the gateway", "g0", claim());
    refuse("by a stranger", "x0", claim());
    refuse("by the worker's operator", &operator_of("w0"), claim());
    let refutation = Box::new(Refutation { outline: Vec::new(), claim: RefutedClaim::Length });
    let elsewhere = TransactionBody::RefuteTrace { segment: nowhere(), refutation };
    refuse("of another segment", &player.challenger, elsewhere);
}

fn refuse(page: &mut Page<'_>, name: &str, player: &Player, chain: &Chain, claim: RefutedClaim) {
    page.invalid(name, "V11", chain, &player.challenger, player.refutation(claim), "evidence");
}

fn tiles(page: &mut Page<'_>) {
    for (name, model, index) in [("a sum of products", SMALL, 2), ("a place at a convolution's border", "cnn-tiny", 0)]
    {
        let (player, claim) = ready(model, Lie::Value { tensor: 1, index });
        refutes(page, name, &player, &player.chain, claim.clone());
        let right = edited(&player, |challenge| {
            let (_, sums) = challenge.run.as_mut().unwrap().sums.as_mut().unwrap();
            *sums.last_mut().unwrap() -= 1;
        });
        refuse(page, &format!("{name}: which is right"), &player, &right, claim);
    }
    let (player, claim) = ready(SMALL, WRONG);
    page.doors(&player.chain, &player.challenger, &bare(&player, RefutedClaim::Length));
    let unseen = edited(&player, |challenge| challenge.run = None);
    let over = edited(&player, |challenge| challenge.turn = Turn::Over);
    for (name, chain) in [("before a run is shown", &unseen), ("when it is over", &over)] {
        let body = bare(&player, RefutedClaim::Length);
        page.invalid(name, "V11", chain, &player.challenger, body, "wrong_state");
    }
    let body = bare(&player, RefutedClaim::Length);
    page.invalid("by another validator", "V11", &player.chain, &player.outsiders[1], body, "unknown");
    let RefutedClaim::Tile { tile, chunks, pieces } = claim else { panic!("a tile") };
    let mut other = |name: &str, tile: u32, chunks: Vec<OpenedChunk>, pieces: Vec<OpenedPiece>, error: &str| {
        let claim = RefutedClaim::Tile { tile, chunks, pieces };
        page.invalid(name, "V11", &player.chain, &player.challenger, player.refutation(claim), error);
    };
    other("a tile that is not there", 1, chunks.clone(), pieces.clone(), "out_of_bounds");
    other("weights that are not opened", tile, chunks.clone(), Vec::new(), "evidence");
    let mut forged = pieces.clone();
    forged[0].bytes[0] ^= 1;
    other("other weights", tile, chunks.clone(), forged, "evidence");
    let mut moved = pieces.clone();
    moved[0].node = 1;
    other("weights of another node", tile, chunks, moved, "evidence");
    let honest = OpenedChunk { chunk: 0, values: player.honest_chunk(0), path: Vec::new() };
    other("values that were not shown", tile, vec![honest], pieces.clone(), "evidence");
    let far = OpenedChunk { chunk: 1, values: vec![1], path: Vec::new() };
    other("values beyond the end", tile, vec![far], pieces, "evidence");
    let tile = || RefutedClaim::Tile { tile: 0, chunks: Vec::new(), pieces: Vec::new() };
    let with_sums = |at, sums: &[i32]| {
        edited(&player, |challenge| challenge.run.as_mut().unwrap().sums = Some((at, sums.to_vec())))
    };
    refutes(page, "more sums than tiles", &player, &with_sums(6, &[1, 2]), tile());
    refuse(page, "sums of an input", &player, &with_sums(3, &[1, 2]), tile());
    refuse(page, "sums of what is not there", &player, &with_sums(10, &[1, 2]), tile());
    let none = edited(&player, |challenge| challenge.run.as_mut().unwrap().sums = None);
    page.invalid("no sums", "V11", &none, &player.challenger, player.refutation(tile()), "wrong_state");
}

fn inputs_and_outputs(page: &mut Page<'_>) {
    let (player, claim) = ready(SMALL, Lie::Input(3));
    refutes(page, "an element of the input", &player, &player.chain, claim);
    let of = |at, payload: &JobPayload| RefutedClaim::Input { at, opened: payload.open_part(1).unwrap() };
    refuse(page, "an element that is right", &player, &player.chain, of(2, &player.payload));
    refuse(page, "a value that is no input's", &player, &player.chain, of(4, &player.payload));
    refuse(page, "a value that is not shown", &player, &player.chain, of(10, &player.payload));
    let salted = JobPayload { salt: [9; 32], ..player.payload.clone() };
    refuse(page, "another payload", &player, &player.chain, of(3, &salted));
    let other = RefutedClaim::Input { at: 3, opened: player.payload.open_part(0).unwrap() };
    refuse(page, "another part of the input", &player, &player.chain, other);
    let OpenedInput::Part { salt, part, mut path } = player.opened_input() else { panic!("a part") };
    path.siblings[0] = Digest::ZERO;
    let moved = RefutedClaim::Input { at: 3, opened: OpenedInput::Part { salt, part, path } };
    refuse(page, "a part by another path", &player, &player.chain, moved);
    let tensors =
        |all| JobPayload { input: JobInput::Classify(ClassifierInputs::Tensors(all)), ..player.payload.clone() };
    let shorter = tensors(vec![vec![1; 12], vec![1; 3]]);
    let chain = edited(&player, |challenge| challenge.input = shorter.commitment());
    refutes(page, "a payload of shorter inputs", &player, &chain, of(3, &shorter));
    let more = tensors(vec![vec![1; 4]; 3]);
    let chain = edited(&player, |challenge| challenge.input = more.commitment());
    page.valid("a part of one input more", "V11", &chain, &player.challenger, player.refutation(of(3, &more)));
    for (name, model, lie) in [
        ("the answer is not what the trace ends with", SMALL, Lie::Answer),
        ("the answer is not what the evidence says", SMALL, Lie::Said),
        ("the answer, by a chunk under the root", "cnn-tiny", Lie::Answer),
    ] {
        let (mut player, mut claim) = ready(model, lie);
        let output = |player: &Player, chunks| RefutedClaim::Output { opened: player.opened_output(), chunks };
        if model == "cnn-tiny" {
            // The same by what was shown of its two chunks.
            let by_parts = player.refutation(claim);
            page.valid("the answer, by a chunk that was shown", "V11", &player.chain, &player.challenger, by_parts);
            let shown = player.chain.clone();
            player.chain = edited(&player, |challenge| challenge.run.as_mut().unwrap().spans.clear());
            let by_root = output(&player, player.last_chunks());
            let name = "the answer, by a path beyond what was shown";
            page.invalid(name, "V11", &shown, &player.challenger, player.refutation(by_root), "evidence");
            claim = output(&player, player.last_chunks());
        }
        refutes(page, name, &player, &player.chain, claim.clone());
        let RefutedClaim::Output { chunks, .. } = claim else { panic!("an output") };
        let salted = JobOutput { salt: [9; 32], ..player.output.clone() }.open_part(1).unwrap();
        let salted = RefutedClaim::Output { opened: salted, chunks: chunks.clone() };
        refuse(page, &format!("{name}: another output"), &player, &player.chain, salted);
        if model == "cnn-tiny" {
            let mut moved = chunks.clone();
            moved[0].path[0] = Digest::ZERO;
            let moved = output(&player, moved);
            refuse(page, &format!("{name}: by another path"), &player, &player.chain, moved);
            let mut lower = chunks.clone();
            lower[0].path.insert(0, Digest::ZERO);
            let lower = output(&player, lower);
            refuse(page, &format!("{name}: by a path from below the chunk"), &player, &player.chain, lower);
            let mut longer = chunks;
            longer[0].path.push(Digest::ZERO);
            let longer = output(&player, longer);
            refuse(page, &format!("{name}: by a longer path"), &player, &player.chain, longer);
        }
    }
    outputs(page);
    asides(page);
}

/// Parts that are not there, before any run is shown.
fn asides(page: &mut Page<'_>) {
    for (model, lie, name) in [
        (SMALL, Lie::Unanswered, "an input that was not answered"),
        (SMALL, Lie::Unasked, "an answer to no input"),
        (SMALL, Lie::OtherKind, "an answer of another kind"),
        (SENTENCE, Lie::Unanswered, "a text that was not answered"),
        (SENTENCE, Lie::Unasked, "a vector of no text"),
        (SENTENCE, Lie::OtherKind, "an answer that is no vectors"),
    ] {
        let (player, claim) = ready(model, lie);
        // The model's sizes are of no use here.
        page.valid(name, "V11", &player.chain, &player.challenger, bare(&player, claim.clone()));
        for other in ["w0", "g0", "x0", player.outsiders[1].as_str(), operator_of("w0").as_str()] {
            let what = format!("{name}: by {other}");
            page.invalid(&what, "V11", &player.chain, other, bare(&player, claim.clone()), "unknown");
        }
        // Whoever's turn it is.
        let mut first = usual(Player::approved(model, lie));
        first.open();
        refutes(page, &format!("{name}: at once"), &first, &first.chain, claim.clone());
        let over = edited(&player, |challenge| challenge.turn = Turn::Over);
        page.invalid(
            &format!("{name}: when it is over"),
            "V11",
            &over,
            &player.challenger,
            bare(&player, claim),
            "wrong_state",
        );
    }
    let (player, _) = ready(SMALL, WRONG);
    let mut aside = |name: &str, claim: RefutedClaim, convicts: Option<&Chain>| match convicts {
        Some(chain) => page.valid(name, "V11", chain, &player.challenger, bare(&player, claim)),
        None => page.invalid(name, "V11", &player.chain, &player.challenger, bare(&player, claim), "evidence"),
    };
    let of_input = |committed| RefutedClaim::Input { at: 0, opened: OpenedInput::Aside(committed) };
    let of_output = |committed| RefutedClaim::Output { opened: OpenedOutput::Aside(committed), chunks: Vec::new() };
    let (input, output) = (player.payload.committed(), player.output.committed());
    aside("as many inputs as were answered", of_input(input), None);
    aside("as many answers as inputs", of_output(output), None);
    aside("other inputs", of_input(Committed { parts: 3, ..input }), None);
    aside("other answers", of_output(Committed { kind: CommittedKind::Whole, ..output }), None);
    let texts = JobInput::Classify(ClassifierInputs::Texts(vec!["one".into(), "two".into()]));
    let texts = JobPayload { input: texts, ..player.payload.clone() };
    let chain = edited(&player, |challenge| challenge.input = texts.commitment());
    aside("texts for a model of tensors", of_input(texts.committed()), Some(&chain));
    // Nothing was asked, and nothing answered.
    let nothing = JobPayload::classify([1; 32], ClassifierInputs::Tensors(Vec::new()));
    let chain = edited(&player, |challenge| {
        challenge.items = 0;
        challenge.input = nothing.commitment();
    });
    let claim = bare(&player, of_input(nothing.committed()));
    page.invalid("no inputs, none of which was answered", "V11", &chain, &player.challenger, claim, "evidence");
    let of_texts = with(&player.chain, |state| {
        let profile = state.profiles.get_mut(&player.challenge().unwrap().profile).unwrap();
        let ModelTask::Classify { reads, .. } = &mut profile.profile.task else { panic!("a classifier") };
        *reads = inferium_types::ClassifierReads::Texts;
    });
    let claim = of_input(Committed { parts: 3, ..input });
    page.invalid("inputs of a model of texts", "V11", &of_texts, &player.challenger, bare(&player, claim), "evidence");
}

/// Outputs of another shape than the trace's end, which convict, and right ones.
fn outputs(page: &mut Page<'_>) {
    let (player, _) = ready(SMALL, Lie::Answer);
    let mut committed = |name: &str, convicts: bool, answer: JobAnswer, said: Option<Digest>| {
        let output = JobOutput { answer, ..player.output.clone() };
        let chain = edited(&player, |challenge| {
            challenge.output = output.commitment();
            let run = challenge.run.as_mut().unwrap();
            run.said = said.unwrap_or(run.said);
        });
        let claim = RefutedClaim::Output { opened: output.open_part(1).unwrap(), chunks: player.last_chunks() };
        match convicts {
            true => page.valid(name, "V11", &chain, &player.challenger, player.refutation(claim)),
            false => refuse(page, name, &player, &chain, claim),
        }
    };
    let JobAnswer::Logits(said) = player.output.answer.clone() else { panic!("logits") };
    let honest = Logits::new(player.honest_chunk(0)[7..].to_vec());
    let right = JobAnswer::Logits(vec![said[0].clone(), honest.clone()]);
    committed("the answer is right", false, right, Some(honest.digest()));
    let vectors = JobAnswer::Embeddings(vec![Embedding::new(&[1.0]); 2]);
    committed("a part of an answer of another kind", true, vectors, None);
    let more = JobAnswer::Logits(vec![said[0].clone(), honest.clone(), honest.clone()]);
    committed("a part of one answer more", true, more, Some(honest.digest()));
    let shorter = Logits::new(honest.values()[..2].to_vec());
    let digest = shorter.digest();
    committed("an answer of fewer classes", true, JobAnswer::Logits(vec![said[0].clone(), shorter]), Some(digest));
    let claim = RefutedClaim::Output { opened: player.opened_output(), chunks: Vec::new() };
    let unseen = edited(&player, |challenge| challenge.run.as_mut().unwrap().chunk = None);
    refuse(page, "last values that are not opened", &player, &unseen, claim);
}

/// Runs of sentence encoders: what the operations of sequences read, tokens, and vectors.
fn sentences(page: &mut Page<'_>) {
    let operations = [
        "embedding",
        "query",
        "key",
        "value",
        "score",
        "share",
        "mixture",
        "addition",
        "normalisation",
        "scaling",
        "sum",
    ];
    for (tensor, name) in (1..).zip(operations) {
        let (player, claim) = ready(SENTENCE, Lie::Value { tensor, index: 3 });
        let name = format!("a sentence's {name}");
        refutes(page, &name, &player, &player.chain, claim.clone());
        let right = edited(&player, |challenge| {
            let (_, sums) = challenge.run.as_mut().unwrap().sums.as_mut().unwrap();
            *sums.last_mut().unwrap() -= 1;
        });
        refuse(page, &format!("{name}: which is right"), &player, &right, claim);
    }
    for (name, lie) in [
        ("a token", Lie::Input(2)),
        ("a text that ends before", Lie::Cut(3)),
        ("a vector that is not what the trace ends with", Lie::Answer),
        ("a vector that is not what the evidence says", Lie::Said),
        ("something before tokens", Lie::Before),
    ] {
        let (player, claim) = ready(SENTENCE, lie);
        refutes(page, name, &player, &player.chain, claim);
    }
    let (player, _) = ready(SENTENCE, Lie::Input(2));
    let mut committed = |name: &str, is_other: bool, tokens: Vec<Vec<u32>>| {
        let input = JobInput::Embed { texts: vec!["one".into(), "two".into()], tokens };
        let payload = JobPayload { input, ..player.payload.clone() };
        let chain = edited(&player, |challenge| challenge.input = payload.commitment());
        let opened = payload.open_part(1).unwrap_or(OpenedInput::Aside(payload.committed()));
        let claim = RefutedClaim::Input { at: 0, opened };
        match is_other {
            true => page.valid(name, "V11", &chain, &player.challenger, player.refutation(claim)),
            false => refuse(page, name, &player, &chain, claim),
        }
    };
    let JobInput::Embed { tokens, .. } = &player.payload.input else { panic!("tokens") };
    let own = tokens[1].clone();
    committed("a token that is right", false, tokens.clone());
    committed("texts without tokens", true, Vec::new());
    committed("a text of one token more", true, vec![vec![1], [own.clone(), vec![0]].concat()]);
    let mut large = own;
    large[0] = u32::MAX;
    committed("a token that is no number of 31 bits", true, vec![vec![1], large.clone()]);
    // Not even of one that looks the same.
    large[0] = 1 << 31;
    let input = JobInput::Embed { texts: vec!["one".into(), "two".into()], tokens: vec![vec![1], large] };
    let payload = JobPayload { input, ..player.payload.clone() };
    let chain = edited(&player, |challenge| {
        challenge.input = payload.commitment();
        challenge.run.as_mut().unwrap().chunk.as_mut().unwrap().1[0] = i32::MIN;
    });
    let claim = RefutedClaim::Input { at: 0, opened: payload.open_part(1).unwrap() };
    page.valid("a token that no integer can be", "V11", &chain, &player.challenger, player.refutation(claim));
    vectors(page);
}

/// Answers of other shapes, and one of integers that have no direction.
fn vectors(page: &mut Page<'_>) {
    let (player, _) = ready(SENTENCE, Lie::Answer);
    let mut committed = |name: &str, convicts: bool, answer: JobAnswer, (said, ends): (Option<Digest>, Vec<i32>)| {
        let output = JobOutput { answer, ..player.output.clone() };
        // A trace of one chunk whose last values are these.
        let chain = edited(&player, |challenge| {
            challenge.output = output.commitment();
            let run = challenge.run.as_mut().unwrap();
            run.said = said.unwrap_or(run.said);
            let mut values = player.honest_chunk(0);
            let first = values.len() - ends.len();
            values[first..].copy_from_slice(&ends);
            run.chunk = Some((0, values));
        });
        let claim = RefutedClaim::Output { opened: output.open_part(1).unwrap(), chunks: Vec::new() };
        match convicts {
            true => page.valid(name, "V11", &chain, &player.challenger, player.refutation(claim)),
            false => refuse(page, name, &player, &chain, claim),
        }
    };
    let JobAnswer::Embeddings(said) = player.output.answer.clone() else { panic!("vectors") };
    let of = |integers: &[i32]| Embedding::new(&inferium_exact::direction(integers).unwrap());
    // Every rounding is one to the nearest: of large squares too.
    for (name, ends) in [
        ("small", vec![3, -4, 0, 12]),
        ("large", vec![i32::MAX, i32::MIN, 1, -2_000_000_001]),
        ("odd", vec![16_777_217, 33_554_435, -7, 999_999_937]),
    ] {
        let right = of(&ends);
        let answer = JobAnswer::Embeddings(vec![said[0].clone(), right.clone()]);
        let name = format!("a vector of {name} integers is right");
        committed(&name, false, answer, (Some(right.digest()), ends));
    }
    let zeros = Embedding::new(&[0.0; 4]);
    let answer = JobAnswer::Embeddings(vec![said[0].clone(), zeros.clone()]);
    committed("integers that have no direction", true, answer, (Some(zeros.digest()), vec![0; 4]));
    let shorter = of(&[3, -4, 0]);
    let answer = JobAnswer::Embeddings(vec![said[0].clone(), shorter.clone()]);
    committed("a vector of fewer values", true, answer, (Some(shorter.digest()), vec![3, -4, 0, 0]));
    let more = JobAnswer::Embeddings([said.as_slice(), &said[..1]].concat());
    committed("a part of one vector more", true, more, (None, vec![1; 4]));
    let logits = Logits::new(vec![1; 4]);
    let answer = JobAnswer::Logits(vec![logits.clone(), logits.clone()]);
    committed("numbers where vectors are", true, answer, (Some(logits.digest()), vec![1; 4]));
}

fn lengths(page: &mut Page<'_>) {
    for (name, lie) in [("a trace of one value less", Lie::Short), ("something before a tensor", Lie::Before)] {
        let (player, claim) = ready(SMALL, lie);
        refutes(page, name, &player, &player.chain, claim);
    }
    let (player, _) = ready(SMALL, WRONG);
    refuse(page, "a length that is right", &player, &player.chain, RefutedClaim::Length);
    let other = edited(&player, |challenge| challenge.run.as_mut().unwrap().trace.length = 5);
    // Whatever is claimed of it.
    let claim = RefutedClaim::Input { at: 0, opened: player.opened_input() };
    refutes(page, "an input of another length", &player, &other, claim);
    // Of texts there is something before.
    let (player, claim) = ready(SMALL, Lie::Before);
    let texts = with(&player.chain, |state| {
        let profile = state.profiles.get_mut(&player.challenge().unwrap().profile).unwrap();
        let ModelTask::Classify { reads, .. } = &mut profile.profile.task else { panic!("a classifier") };
        *reads = inferium_types::ClassifierReads::Texts;
    });
    refuse(page, "something before a text's vector", &player, &texts, claim);
}

/// What else a conviction does.
fn consequences(page: &mut Page<'_>) {
    let claim = RefutedClaim::Length;
    let (player, _) = ready(SMALL, Lie::Short);
    // Both approvers are barred: who was, and who was not to replay the job.
    let replaying = |parts| {
        about(&player, |segment| {
            let SegmentState::Final { approval, .. } = &mut segment.state else { panic!("final") };
            approval.replayed = Ppm::new(parts);
        })
    };
    let SegmentState::Final { approval, .. } = &player.chain.state.segment(&player.segment).unwrap().state else {
        panic!("final")
    };
    let is_drawn = |parts: &u32| player.segment.draws_job(&approval.seed, player.job(), Ppm::new(*parts));
    let first = (0..=1_000_000).find(is_drawn).unwrap();
    refutes(page, "approvers were just to replay it", &player, &replaying(first), claim.clone());
    refutes(page, "approvers were just not to replay it", &player, &replaying(first - 1), claim.clone());
    let mut second = player.clone();
    let opening = player.opening();
    second.chain.ok(&player.outsiders[1], opening);
    second.chain = with(&second.chain, |state| {
        let lost = Challenge { turn: Turn::Over, bond: Amount::ZERO, ..player.challenge().unwrap().clone() };
        state.set_challenge((player.segment, id(&player.outsiders[2])), Some(lost));
    });
    refutes(page, "others' challenges go with it", &second, &second.chain, claim.clone());
    let mut disputed = player.clone();
    disputed.chain.ok("g0", TransactionBody::OpenDispute { segment: player.segment });
    refutes(page, "while its court is drawn: the bond returns", &disputed, &disputed.chain, claim.clone());
    let court = disputed.chain.draw(disputed.segment);
    let votes: Vec<_> = court.iter().take(2).map(|name| (name.as_str(), valid())).collect();
    let all: Vec<_> = court.iter().skip(2).map(|name| (name.as_str(), unseen())).collect();
    disputed.chain.bind(disputed.segment, &[votes, all].concat());
    let reveals = disputed.chain.reveals(disputed.segment);
    disputed.chain.block(&reveals[..reveals.len() - 1]);
    let name = "while its court judges: who has approved it there pays too";
    refutes(page, name, &disputed, &disputed.chain, claim.clone());
    let mut own = Player::approved(SMALL, Lie::Short);
    own.challenger = own.approvers[0].clone();
    own.may_challenge(&own.challenger.clone());
    let (own, _) = found(own);
    refutes(page, "by who approved it, and gets no part", &own, &own.chain, claim.clone());
    let held = with(&player.chain, |state| {
        let hold =
            |name: &str, rule, segment| Hold { disqualified: true, ..hold((name, rule, segment), state_time(&player)) };
        let about = Some(player.segment);
        let others = [
            // Of each of two nodes another one bars it as well: only one of the two slashes is taken back.
            hold(&player.outsiders[1], SlashRule::WrongRejection, about),
            hold(&player.outsiders[1], SlashRule::MissedDuty, about),
            hold(&player.outsiders[2], SlashRule::WrongRejection, about),
            hold(&player.outsiders[2], SlashRule::WrongRejection, None),
            hold("x9", SlashRule::WrongRejection, about),
        ];
        for (number, hold) in (0..).zip(others) {
            if let Some(node) = state.nodes.get_mut(&hold.node) {
                (node.holds, node.faults_ms) = (node.holds + 1, vec![hold.taken_at_ms]);
                node.disqualified = true;
            }
            state.set_hold(number, Some(hold));
        }
        state.meta_mut().slashes = 5;
    });
    refutes(page, "who was outvoted gets it back", &player, &held, claim);
}

fn state_time(player: &Player) -> u64 {
    player.chain.now_ms - 1
}

/// Sizes that are not the model's.
fn openings(page: &mut Page<'_>) {
    let (player, _) = ready(SMALL, Lie::Short);
    let mut other = |name: &str, change: &dyn Fn(&mut Vec<OpenedPiece>)| {
        let mut outline = player.outline();
        change(&mut outline);
        let refutation = Box::new(Refutation { outline, claim: RefutedClaim::Length });
        let body = TransactionBody::RefuteTrace { segment: player.segment, refutation };
        page.invalid(name, "V11", &player.chain, &player.challenger, body, "evidence");
    };
    other("no sizes", &|outline| outline.clear());
    other("sizes without the header", &|outline| drop(outline.remove(0)));
    other("sizes in another order", &|outline| outline.swap(1, 2));
    other("sizes of one node less", &|outline| drop(outline.pop()));
    other("sizes of one node more", &|outline| outline.push(outline[2].clone()));
    other("sizes that are not the model's", &|outline| outline[2].bytes[4] ^= 1);
    other("the header of another model", &|outline| outline[0].bytes[2] ^= 1);
    other("sizes by another side", &|outline| outline[2].rises[0].is_left ^= true);
    other("sizes by a shorter way", &|outline| outline[1].rises.truncate(1));
    let renamed = with(&player.chain, |state| {
        let profile = state.profiles.get_mut(&player.challenge().unwrap().profile).unwrap();
        profile.profile.weights_root = Digest::ZERO;
    });
    refuse(page, "sizes of another profile's model", &player, &renamed, RefutedClaim::Length);
}
