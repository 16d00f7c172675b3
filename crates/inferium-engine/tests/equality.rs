//! The promise of the canonical engine, on the real model: every way to compute a position gives the same bits.
//!
//! 1,200 positions are generated once (6 prompts, 200 tokens each, sampled at temperature 0.8), one stream at a time on one
//! thread. Everything else must repeat their steps, digests of all logits included.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod common;

use common::engine;
use inferium_engine::{
    Deviation, Engine, GenerateRequest, LlamaEngine, LoadOptions, ReplayRequest, Score, ScoreRequest, Step, Tier,
    WeakFormat,
};
use inferium_types::{ChatMessage, Digest, SamplingParams, Shaping};
use std::sync::OnceLock;

const TOKENS: u32 = 200;
const SAMPLING: SamplingParams = SamplingParams { temperature_micro: 800_000, top_p_ppm: 950_000, top_k: 0 };

const QUESTIONS: [&str; 6] = [
    "Write a long story about a lighthouse keeper and a whale.",
    "Explain how a compiler works, step by step, in great detail.",
    "List thirty cities with one sentence about each.",
    "Tell the history of the potato in Europe.",
    "Write a long poem about winter, the sea and old ships.",
    "Describe in detail how to build a wooden boat.",
];

struct Reference {
    requests: Vec<GenerateRequest>,
    steps: Vec<Vec<Step>>,
}

fn one_thread() -> LoadOptions {
    LoadOptions { threads: 1, ..LoadOptions::default() }
}

fn collect(engine: &LlamaEngine, request: &GenerateRequest) -> Vec<Step> {
    let mut receiver = engine.generate(request.clone()).unwrap();
    std::iter::from_fn(|| receiver.blocking_recv()).map(Result::unwrap).collect()
}

fn claim(request: &GenerateRequest, steps: &[Step]) -> ReplayRequest {
    ReplayRequest {
        prompt: request.prompt.clone(),
        output: steps.iter().map(|step| step.token).collect(),
        sampling: request.sampling,
        seed: request.seed,
        shaping: Shaping::default(),
        prefix_scope: None,
        measure: false,
    }
}

fn reference() -> &'static Reference {
    static REFERENCE: OnceLock<Reference> = OnceLock::new();
    REFERENCE.get_or_init(|| {
        let engine = engine(one_thread());
        let requests: Vec<GenerateRequest> = (0_u8..)
            .zip(QUESTIONS)
            .map(|(index, question)| {
                let message = ChatMessage { role: "user".into(), content: question.into() };
                let prompt = engine.render_chat(&[message]).unwrap();
                GenerateRequest {
                    prompt,
                    max_tokens: TOKENS,
                    sampling: SAMPLING,
                    seed: [index; 32],
                    shaping: Shaping::default(),
                    prefix_scope: None,
                    measure: false,
                }
            })
            .collect();
        let steps: Vec<Vec<Step>> = requests.iter().map(|request| collect(&engine, request)).collect();
        let count: usize = steps.iter().map(Vec::len).sum();
        assert!(count >= 1000, "only {count} positions");
        Reference { requests, steps }
    })
}

fn assert_replays_equal(options: LoadOptions, count: usize) {
    let label = format!("{options:?}");
    let engine = engine(options);
    let reference = reference();
    let replays: Vec<_> = reference
        .requests
        .iter()
        .zip(&reference.steps)
        .take(count)
        .map(|(request, steps)| engine.replay(claim(request, steps)).unwrap())
        .collect();
    for (replay, steps) in replays.into_iter().zip(&reference.steps) {
        assert_eq!(&replay.blocking_recv().unwrap().unwrap(), steps, "{label}");
    }
}

#[test]
fn replay_in_chunks_of_any_size_equals_generation() {
    for chunk_rows in [2, 7, 512] {
        assert_replays_equal(LoadOptions { chunk_rows, ..one_thread() }, 6);
    }
}

#[test]
fn two_threads_equal_one() {
    assert_replays_equal(LoadOptions { threads: 2, ..LoadOptions::default() }, 6);
}

/// All tiers, all positions: the portable one takes the longest, about 20 s.
#[test]
fn every_tier_gives_the_same_bits() {
    for tier in Tier::available() {
        assert_replays_equal(LoadOptions { tier: Some(tier), threads: 2, ..LoadOptions::default() }, 6);
    }
}

/// SPEC J9: scores of an answer have the digests of its generation, on every tier, in chunks and beside each other; a greedy
/// answer is the likeliest at each of its positions.
#[test]
fn scores_have_the_bits_of_the_generation() {
    let reference = reference();
    let mut all = Vec::new();
    for tier in Tier::available() {
        let engine = engine(LoadOptions { tier: Some(tier), threads: 2, chunk_rows: 33, ..LoadOptions::default() });
        let scores = reference.requests.iter().zip(&reference.steps).take(3).map(|(request, steps)| {
            let tokens = steps.iter().map(|step| step.token).collect();
            engine.score(ScoreRequest { prompt: request.prompt.clone(), tokens, likeliest: 3 }).unwrap()
        });
        let scores: Vec<Vec<Score>> =
            scores.collect::<Vec<_>>().into_iter().map(|scores| scores.blocking_recv().unwrap().unwrap()).collect();
        for (scores, steps) in scores.iter().zip(&reference.steps) {
            assert_eq!(scores.len(), steps.len());
            for (score, step) in scores.iter().zip(steps) {
                assert_eq!(score.digest, step.digest);
                let likeliest: Vec<(u32, f32)> = score.score.likeliest().collect();
                assert!(likeliest.is_sorted_by(|a, b| a.1 >= b.1) && score.score.logprob() <= likeliest[0].1);
                let beside = likeliest.iter().find(|(token, _)| *token == step.token);
                assert!(beside.is_none_or(|(_, logprob)| *logprob == score.score.logprob()));
            }
        }
        all.push(scores);
    }
    assert!(all.iter().all(|scores| *scores == all[0]));
}

/// Generations, late comers, replays and cancelled requests in the same steps.
#[test]
fn a_busy_mixed_batch_equals_single_streams() {
    let reference = reference();
    let engine = engine(LoadOptions { threads: 2, max_batch: 8, ..LoadOptions::default() });
    let cancelled: Vec<_> =
        reference.requests.iter().take(2).map(|request| engine.generate(request.clone()).unwrap()).collect();
    let streams: Vec<_> = reference.requests.iter().map(|request| engine.generate(request.clone()).unwrap()).collect();
    let replays: Vec<_> = reference
        .requests
        .iter()
        .zip(&reference.steps)
        .map(|(request, steps)| engine.replay(claim(request, steps)).unwrap())
        .collect();
    drop(cancelled);
    for (index, mut stream) in streams.into_iter().enumerate() {
        let found: Vec<Step> = std::iter::from_fn(|| stream.blocking_recv()).map(Result::unwrap).collect();
        assert_eq!(found, reference.steps[index], "stream {index}");
    }
    for (replay, steps) in replays.into_iter().zip(&reference.steps) {
        assert_eq!(&replay.blocking_recv().unwrap().unwrap(), steps);
    }
}

/// Whatever a sequence finds computed: the same prompt again, a conversation's next turn, a replay, another token midway, while
/// others compute beside it.
#[test]
fn a_prefix_that_is_reused_gives_the_same_bits() {
    let reference = reference();
    let engine = engine(LoadOptions { threads: 2, kv_tokens: 16_384, ..LoadOptions::default() });
    let scoped = |request: &GenerateRequest, scope: u8| GenerateRequest {
        prefix_scope: Some(Digest::sha256(&[scope])),
        ..request.clone()
    };
    let all = |scope: u8| {
        let streams: Vec<_> =
            reference.requests.iter().map(|request| engine.generate(scoped(request, scope)).unwrap()).collect();
        for (index, mut stream) in streams.into_iter().enumerate() {
            let found: Vec<Step> = std::iter::from_fn(|| stream.blocking_recv()).map(Result::unwrap).collect();
            assert_eq!(found, reference.steps[index], "stream {index}");
        }
        engine.load().tokens_reused
    };
    assert_eq!(all(1), 0, "the beginnings that all have in common are shared once they are computed");
    let again = all(1);
    assert!(again > 0);
    assert_eq!(all(2), again, "another's are not found");

    // The first answer, taken as part of the prompt.
    let (request, steps) = (&reference.requests[0], &reference.steps[0]);
    let before = engine.load().tokens_reused;
    let turn = |scope| {
        let mut next = GenerateRequest { prefix_scope: scope, max_tokens: 20, ..request.clone() };
        next.prompt.extend(steps.iter().map(|step| step.token));
        next.prompt.extend([260, 261, 262]);
        collect(&engine, &next)
    };
    let found = turn(Some(Digest::sha256(&[1])));
    let reused = engine.load().tokens_reused - before;
    assert!(reused as usize > request.prompt.len(), "{reused} tokens");
    assert_eq!(found, turn(None));

    // A replay of a lie begins with what the truth left, and one of the truth with what the lie left.
    let mut lie = claim(request, steps);
    lie.output[50] = (lie.output[50] + 1) % engine.model().vocab_size;
    let mut replays = Vec::new();
    for prefix_scope in [None, Some(Digest::sha256(&[1]))] {
        let replay = engine.replay(ReplayRequest { prefix_scope, ..lie.clone() }).unwrap();
        replays.push(replay.blocking_recv().unwrap().unwrap());
    }
    assert_eq!(replays[0], replays[1]);
    let truth = ReplayRequest { prefix_scope: Some(Digest::sha256(&[1])), ..claim(request, steps) };
    assert_eq!(&engine.replay(truth).unwrap().blocking_recv().unwrap().unwrap(), steps);
}

#[test]
fn a_changed_token_is_replaced_and_the_rest_differs() {
    let reference = reference();
    let engine = engine(one_thread());
    let mut replay = claim(&reference.requests[0], &reference.steps[0]);
    replay.output[50] = (replay.output[50] + 1) % engine.model().vocab_size;
    let found = engine.replay(replay).unwrap().blocking_recv().unwrap().unwrap();
    assert_eq!(found[..=50], reference.steps[0][..=50]);
    assert!(found[51..].iter().zip(&reference.steps[0][51..]).all(|(a, b)| a.digest != b.digest));
}

#[test]
fn weaker_weights_are_found_at_every_position() {
    let reference = reference();
    let honest = engine(one_thread());
    let cheat = engine(LoadOptions {
        deviation: Deviation { weights: Some(WeakFormat::Q4_0), ..Deviation::default() },
        ..one_thread()
    });
    assert_ne!(cheat.model().weights_root, honest.model().weights_root);
    let found =
        cheat.replay(claim(&reference.requests[0], &reference.steps[0])).unwrap().blocking_recv().unwrap().unwrap();
    assert!(found.iter().zip(&reference.steps[0]).all(|(a, b)| a.digest != b.digest));
    let same = found.iter().zip(&reference.steps[0]).filter(|(a, b)| a.token == b.token).count();
    assert!(same > 20, "the cheat should at least be plausible, not nonsense: {same} of {} tokens agree", found.len());
}
