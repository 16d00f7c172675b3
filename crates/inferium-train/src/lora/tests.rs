//! Adapters of a small random decoder: gradients, sameness over threads and tiers, and what is refused.

use super::{InvalidLora, LoraTrainer};
use crate::trainer::uniform;
use crate::{DataSet, Evaluation, Method, Order, State, Trainer, TrainingSpec, head};
use inferium_engine::exact::Exact;
use inferium_engine::{DecoderLayer, DecoderShape, DecoderWeights, EngineError, Tier};
use inferium_types::Digest;

const VOCAB: usize = 40;

/// A decoder whose weights are drawn.
pub(crate) fn weights() -> DecoderWeights {
    let shape = DecoderShape {
        layers: 3,
        width: 24,
        hidden: 40,
        heads: 4,
        kv_heads: 2,
        head_size: 8,
        vocab: VOCAB,
        context: 64,
        rope_base: 10_000.0,
        norm_epsilon: 1e-5,
    };
    let draw = |name: &str, count: usize, bound: f32| -> Vec<f32> {
        uniform(&Digest::ZERO, name, count).into_iter().map(|number| number * bound).collect()
    };
    let layer = |index: usize| {
        let named = |part: &str, count: usize| draw(&format!("{index}/{part}"), count, 0.4);
        let norm = |part: &str| named(part, 24).into_iter().map(|number| 1.0 + number).collect();
        DecoderLayer {
            attention_norm: norm("attention_norm"),
            query: named("query", 32 * 24),
            key: named("key", 16 * 24),
            value: named("value", 16 * 24),
            attention_output: named("output", 24 * 32),
            ffn_norm: norm("ffn_norm"),
            gate: named("gate", 40 * 24),
            up: named("up", 40 * 24),
            down: named("down", 24 * 40),
        }
    };
    DecoderWeights {
        shape,
        embedding: draw("embedding", VOCAB * 24, 1.0),
        layers: (0..3).map(layer).collect(),
        output_norm: vec![1.0; 24],
        head: None,
    }
}

/// A token for each letter.
pub(crate) fn encode(text: &str) -> Result<Vec<u32>, EngineError> {
    Ok(text.bytes().map(|byte| u32::from(byte) % 39).collect())
}

pub(crate) fn data() -> DataSet {
    let lines = (0..40).map(|line| format!("{{\"text\": \"abcabc number {line} and so on\"}}\n"));
    DataSet::parse(&lines.collect::<String>()).unwrap()
}

pub(crate) fn spec(data: &DataSet) -> TrainingSpec {
    let mut spec = TrainingSpec {
        method: Method::Lora { rank: 2, alpha_milli: 4_000, layers: 2, sequence: 16 },
        ..head::tests::spec(&head::tests::data(90))
    };
    spec.data.root = data.root();
    spec.batch = 4;
    spec.steps = 8;
    spec.interval = 3;
    spec.optimiser.learning_rate_nano = 10_000_000;
    spec.data.examples = LoraTrainer::count(&spec, data, &encode, 39).unwrap();
    spec
}

fn with(exact: Exact, spec: TrainingSpec, data: &DataSet) -> Result<LoraTrainer, InvalidLora> {
    LoraTrainer::new(spec, data, weights(), &encode, 39, exact)
}

pub(crate) fn trainer() -> LoraTrainer {
    let data = data();
    with(Exact::new(1, None).unwrap(), spec(&data), &data).unwrap()
}

/// Parameters of which no part is zero.
fn somewhere(trainer: &LoraTrainer) -> Vec<f32> {
    let count = trainer.initial().parameters.len();
    uniform(&Digest::ZERO, "somewhere", count).into_iter().map(|number| number * 0.3).collect()
}

#[test]
fn the_gradient_is_the_slope_of_the_loss() {
    let trainer = trainer();
    let mut parameters = somewhere(&trainer);
    let examples = [0, 5, 9];
    let (_, gradient) = trainer.gradient(&parameters, &examples).unwrap();
    let largest = gradient.iter().fold(0.0_f32, |largest, slope| largest.max(slope.abs()));
    assert!(largest > 1e-2, "{largest}");
    for place in (0..parameters.len()).step_by(5) {
        let kept = parameters[place];
        let mut loss_at = |value: f32| {
            parameters[place] = value;
            f64::from(trainer.gradient(&parameters, &examples).unwrap().0)
        };
        let slope = (loss_at(kept + 1e-2) - loss_at(kept - 1e-2)) / 2e-2;
        parameters[place] = kept;
        assert!((slope - f64::from(gradient[place])).abs() < 3e-4, "{place}: {slope} and {}", gradient[place]);
    }
}

#[test]
fn every_tier_and_number_of_threads_gives_the_same_bits() {
    let data = data();
    let mut digests = Vec::new();
    for tier in Tier::available() {
        for threads in [1, 2, 3] {
            let trainer = with(Exact::new(threads, Some(tier)).unwrap(), spec(&data), &data).unwrap();
            let (mut state, mut order) = (trainer.initial(), Order::new(trainer.spec()));
            for _ in 0..3 {
                crate::step(&trainer, &mut order, &mut state).unwrap();
            }
            digests.push((state.digest(), tier, threads));
        }
    }
    assert!(digests.iter().all(|(digest, ..)| *digest == digests[0].0), "{digests:?}");
}

#[test]
fn it_learns_to_say_texts_it_never_saw() {
    let trainer = trainer();
    let (mut state, mut order) = (trainer.initial(), Order::new(trainer.spec()));
    let before = trainer.evaluate(&state.parameters, &mut |_, _| ()).unwrap();
    while state.step < 40 {
        crate::step(&trainer, &mut order, &mut state).unwrap();
    }
    let after = trainer.evaluate(&state.parameters, &mut |_, _| ()).unwrap();
    assert!(after.loss() < before.loss() - 0.3, "{before:?} to {after:?}");
    let Evaluation::Perplexity { tokens, .. } = after else { panic!("not a perplexity") };
    assert!(tokens > 50 && after.perplexity().unwrap() < before.perplexity().unwrap());
}

#[test]
fn adapters_change_nothing_before_the_first_step() {
    let trainer = trainer();
    let state = trainer.initial();
    let zeros = State::initial(vec![0.0; state.parameters.len()]);
    let measure = |state: &State| trainer.evaluate(&state.parameters, &mut |_, _| ()).unwrap();
    assert!(state != zeros);
    assert_eq!(measure(&state), measure(&zeros));
}

#[test]
fn long_texts_are_several_examples_and_a_rest_of_one_token_is_none() {
    let data = DataSet::parse("{\"text\": \"0123456789abcdef\"}\n{\"text\": \"0123456789abcdefg\"}\n").unwrap();
    let mut spec = spec(&self::data());
    spec.data.root = data.root();
    let counts: std::collections::BTreeSet<u64> = (0..64_u8)
        .filter_map(|draw| {
            let order = Digest::from([draw; 32]);
            // 16 letters and the end are 16 tokens and one; 17 letters and the end are 16 and two.
            LoraTrainer::count(&TrainingSpec { order, ..spec.clone() }, &data, &encode, 39).ok()
        })
        .collect();
    assert_eq!(counts, [1, 2].into());
}

#[test]
fn what_does_not_belong_together_is_refused_by_name() {
    let data = data();
    let good = spec(&data);
    let refused = |spec: TrainingSpec| with(Exact::new(1, None).unwrap(), spec, &data).unwrap_err();
    let lora = |layers, sequence| Method::Lora { rank: 2, alpha_milli: 4_000, layers, sequence };
    let bad = TrainingSpec { method: lora(4, 16), ..good.clone() };
    assert_eq!(refused(bad), InvalidLora::Model { what: "the number of adapted layers", asked: 4, most: 3 });
    let bad = TrainingSpec { method: lora(2, 65), ..good.clone() };
    assert_eq!(refused(bad), InvalidLora::Model { what: "the length of sequences", asked: 65, most: 64 });
    let mut bad = good.clone();
    bad.data.examples -= 1;
    let expected = bad.data.examples;
    assert_eq!(refused(bad), InvalidLora::Examples { expected, found: expected + 1 });
    let token = LoraTrainer::new(good, &data, weights(), &encode, 40, Exact::new(1, None).unwrap()).unwrap_err();
    assert_eq!(token, InvalidLora::Token { token: 40 });
}
