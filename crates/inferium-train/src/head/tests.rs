//! The classifier: its gradient, what it learns, and what it refuses. The helpers are the other tests' as well.

use super::{HeadTrainer, InvalidHead};
use crate::data::InvalidDataSet;
use crate::{BaseModel, DataSet, DataTerms, Evaluation, Method, OptimiserTerms, Trainer, TrainingSpec, Vectors};
use inferium_types::{Digest, Ppm};

pub(crate) const WIDTH: usize = 24;

/// Lines of three labels.
pub(crate) fn data(lines: usize) -> DataSet {
    let text: String = (0..lines)
        .map(|line| {
            let label = ["ant", "bee", "cat"][line % 3];
            format!("{{\"text\": \"line {line} of {label}\", \"label\": \"{label}\"}}\n")
        })
        .collect();
    DataSet::parse(&text).unwrap()
}

/// A vector for each line: a direction of its label, and noise drawn from its text.
pub(crate) fn vectors(data: &DataSet) -> Vectors {
    let noise = |text: &str, place: usize| {
        let digest = Digest::of("noise", &[text.as_bytes(), &place.to_be_bytes()]);
        digest.draw(2_000) as f32 / 1_000.0 - 1.0
    };
    let vector = |line: &crate::Line| -> Vec<f32> {
        let label = line.label.as_deref().unwrap();
        (0..WIDTH).map(|place| noise(label, place) * 0.3 + noise(&line.text, place) * 0.2).collect()
    };
    Vectors::new(WIDTH, data.lines().iter().flat_map(vector).collect()).unwrap()
}

pub(crate) fn spec(data: &DataSet) -> TrainingSpec {
    let mut spec = TrainingSpec {
        method: Method::Head { labels: data.labels().unwrap(), width: WIDTH as u32, vectors: vectors(data).root() },
        model: BaseModel { name: "mock".into(), weights_root: Digest::ZERO, tokenizer_hash: Digest::ZERO },
        engine: TrainingSpec::class(),
        data: DataTerms { root: data.root(), held_out: Ppm::new(200_000), measured_max: 1_000, examples: 0 },
        order: Digest::of("order", &[]),
        seed: Digest::of("seed", &[]),
        optimiser: OptimiserTerms { learning_rate_nano: 20_000_000, weight_decay_nano: 10_000_000, warmup_steps: 3 },
        batch: 8,
        steps: 42,
        interval: 5,
    };
    spec.data.examples = data.split(&spec.order, spec.data.held_out).unwrap().training.len() as u64;
    spec
}

pub(crate) fn trainer() -> HeadTrainer {
    let data = data(90);
    HeadTrainer::new(spec(&data), &data, vectors(&data)).unwrap()
}

#[test]
fn the_gradient_is_the_slope_of_the_loss() {
    let trainer = trainer();
    let mut parameters = trainer.initial().parameters;
    let examples = [0, 3, 4, 9, 11];
    let (_, gradient) = trainer.gradient(&parameters, &examples).unwrap();
    for place in (0..parameters.len()).step_by(7).chain([parameters.len() - 1]) {
        let kept = parameters[place];
        let mut loss_at = |value: f32| {
            parameters[place] = value;
            f64::from(trainer.gradient(&parameters, &examples).unwrap().0)
        };
        let slope = (loss_at(kept + 1e-2) - loss_at(kept - 1e-2)) / 2e-2;
        parameters[place] = kept;
        assert!((slope - f64::from(gradient[place])).abs() < 1e-4, "{place}: {slope} and {}", gradient[place]);
    }
}

#[test]
fn it_learns_what_lines_it_never_saw_are() {
    let trainer = trainer();
    let share = |parameters: &[f32]| match trainer.evaluate(parameters, &mut |_, _| ()).unwrap() {
        measured @ Evaluation::Accuracy { correct, lines, .. } => (correct as f64 / lines as f64, measured.loss()),
        other @ Evaluation::Perplexity { .. } => panic!("measured {other:?}"),
    };
    let (mut state, mut order) = (trainer.initial(), crate::Order::new(trainer.spec()));
    let before = share(&state.parameters);
    while state.step < trainer.spec().steps {
        crate::step(&trainer, &mut order, &mut state).unwrap();
    }
    let after = share(&state.parameters);
    assert!(before.0 < 0.7 && after.0 > 0.9 && after.1 < before.1 / 2.0, "{before:?} to {after:?}");
}

#[test]
fn labels_that_are_equally_likely_are_not_told_apart() {
    let trainer = trainer();
    let zeros = vec![0.0; trainer.initial().parameters.len()];
    let measured = trainer.evaluate(&zeros, &mut |_, _| ()).unwrap();
    let Evaluation::Accuracy { correct, lines, .. } = measured else { panic!("not an accuracy") };
    let loss = measured.loss();
    assert!(correct == 0 && lines > 10 && (loss - 3.0_f64.ln()).abs() < 1e-6, "{correct} of {lines}, {loss}");
}

#[test]
fn what_does_not_belong_together_is_refused_by_name() {
    let data = data(90);
    let (good, all) = (spec(&data), vectors(&data));
    let other = self::data(91);
    let refused = HeadTrainer::new(good.clone(), &other, all.clone()).unwrap_err();
    assert_eq!(refused, InvalidHead::Data(InvalidDataSet::Root { expected: data.root(), found: other.root() }));
    let labels = vec!["ant".to_owned(), "bee".to_owned(), "dog".to_owned()];
    let bad =
        TrainingSpec { method: Method::Head { labels, width: WIDTH as u32, vectors: all.root() }, ..good.clone() };
    assert_eq!(HeadTrainer::new(bad, &data, all.clone()).unwrap_err(), InvalidHead::Labels);
    let mut bad = good.clone();
    bad.data.examples += 1;
    assert!(matches!(HeadTrainer::new(bad, &data, all.clone()).unwrap_err(), InvalidHead::Examples { .. }));
    let forged = vectors(&other);
    let refused = HeadTrainer::new(good.clone(), &data, forged.clone()).unwrap_err();
    assert_eq!(refused, InvalidHead::Vectors { expected: all.root(), found: forged.root() });
    let method = Method::Head { labels: data.labels().unwrap(), width: WIDTH as u32, vectors: forged.root() };
    let bad = TrainingSpec { method, ..good.clone() };
    let refused = HeadTrainer::new(bad, &data, forged).unwrap_err();
    assert_eq!(refused, InvalidHead::Shape { expected: [90, WIDTH], found: [91, WIDTH] });
    let bad = TrainingSpec { method: Method::Lora { rank: 1, alpha_milli: 1, layers: 1, sequence: 2 }, ..good };
    assert_eq!(HeadTrainer::new(bad, &data, all).unwrap_err(), InvalidHead::Method);
}
