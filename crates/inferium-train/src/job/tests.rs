//! Jobs of the network: what holds together is trained to the same bits as on one machine, and what does not is refused.

use super::{Ground, Intervals, announced, claimed, drawn, input, profile, record};
use crate::head::tests::{WIDTH, data, spec, vectors};
use crate::{Checkpoint, DataSet, HeadTrainer, Method, Trainer, TrainingSpec, Vectors, run_interval};
use inferium_engine::{EngineError, IntervalTrainer, Trained};
use inferium_types::{Digest, TrainedInterval, TrainingInput, limits};

mod adapters;

const LINES: usize = 90;

fn classifiers() -> Intervals {
    Intervals(Ground::Vectors)
}

fn text() -> String {
    (0..LINES)
        .map(|line| {
            let label = ["ant", "bee", "cat"][line % 3];
            format!("{{\"text\": \"line {line} of {label}\", \"label\": \"{label}\"}}\n")
        })
        .collect()
}

struct Run {
    spec: TrainingSpec,
    data: DataSet,
    vectors: Vectors,
    trainer: HeadTrainer,
}

fn run() -> Run {
    let data = data(LINES);
    let open = announced(spec(&data));
    let spec = drawn(&open, &Digest::of("beacon", &[]), &data).unwrap();
    let vectors = vectors(&data);
    let trainer = HeadTrainer::new(spec.clone(), &data, vectors.clone()).unwrap();
    Run { spec, data, vectors, trainer }
}

impl Run {
    fn first(&self) -> Checkpoint {
        Checkpoint { spec: self.spec.digest(), record: None, state: self.trainer.initial() }
    }

    fn input(&self, at: &Checkpoint) -> TrainingInput {
        input(&self.spec, &text(), &self.vectors, Some(at))
    }

    fn next(&self, at: &Checkpoint) -> Checkpoint {
        let (state, record) = run_interval(&self.trainer, at.next_job(), at.state.clone(), &mut |_| ()).unwrap();
        Checkpoint { spec: at.spec, record: Some(record), state }
    }

    fn announcement(&self) -> TrainingInput {
        input(&announced(self.spec.clone()), &text(), &self.vectors, None)
    }
}

fn refused(input: &TrainingInput) -> String {
    let Err(EngineError::Training { reason }) = classifiers().read(input) else { panic!("it was taken") };
    assert_eq!(classifiers().train(input), Err(EngineError::Training { reason: reason.clone() }));
    reason
}

#[test]
fn a_job_trains_what_one_machine_trains() {
    let run = run();
    let mut at = run.first();
    for _ in 0..run.spec.intervals() {
        let input = run.input(&at);
        let (begin, end) = run.spec.steps_of(at.index());
        // 71 or so examples of an epoch, so that a batch may be a short one.
        let examples = classifiers().read(&input).unwrap();
        assert!((1..=u32::try_from(end - begin).unwrap() * run.spec.batch).contains(&examples));
        let Trained { interval, trace } = classifiers().train(&input).unwrap();
        let honest = run.next(&at);
        assert_eq!(interval.state, honest.state.to_bytes());
        assert_eq!(Some(&record(&run.spec, at.next_job(), &interval)), honest.record.as_ref());
        assert_eq!(trace.len(), interval.steps.len());
        // What a step came to is in no evidence.
        assert!(interval.steps.iter().zip(&trace).all(|(step, trace)| step.state != *trace));
        let reached = claimed(&run.spec, &at, &interval).unwrap();
        assert_eq!(reached, honest);
        at = reached;
    }
    assert_eq!(at.state.step, run.spec.steps);
    let end = refused(&TrainingInput { at: run.input(&at).at, ..run.input(&run.first()) });
    assert!(end.contains("not before the interval's first step"), "{end}");
}

#[test]
fn an_announcement_is_taken_without_order_and_trains_nothing() {
    let run = run();
    let input = run.announcement();
    assert_eq!(classifiers().read(&input), Ok(1));
    let Trained { interval, trace } = classifiers().train(&input).unwrap();
    assert_eq!((interval, trace.len()), (TrainedInterval::default(), 1));
    for spec in [run.spec.clone(), TrainingSpec { order: Digest::ZERO, ..run.spec.clone() }] {
        let early = TrainingInput { spec: inferium_types::encode(&spec), ..input.clone() };
        assert!(refused(&early).contains("has an order, a seed"), "{}", refused(&early));
    }
    let changed = |input: TrainingInput| refused(&input);
    let lines: String = text().lines().skip(1).map(|line| format!("{line}\n")).collect();
    assert!(changed(TrainingInput { data: lines, ..input.clone() }).contains("another data set"));
    let mut other = input.vectors.clone();
    other[5] ^= 1;
    assert!(changed(TrainingInput { vectors: other, ..input.clone() }).contains("the vectors have the root"));
    let open = TrainingInput { at: run.input(&run.first()).at, ..input };
    assert!(changed(open).contains("the spec says"), "an announcement is no interval");
}

/// SPEC X3: nobody chooses the order: it follows from what draws a committee, and from all that was announced.
#[test]
fn order_and_seed_follow_from_the_draw_and_the_announcement() {
    let (data, one) = (data(LINES), Digest::of("one", &[]));
    let open = announced(spec(&data));
    let run = drawn(&open, &one, &data).unwrap();
    assert_eq!(run, drawn(&open, &one, &data).unwrap());
    assert_ne!(run.order, run.seed);
    let other = drawn(&open, &Digest::of("two", &[]), &data).unwrap();
    assert!(run.order != other.order && run.seed != other.seed);
    let slower = TrainingSpec { steps: open.steps + 1, ..open.clone() };
    assert_ne!(run.order, drawn(&slower, &one, &data).unwrap().order);
    let split = data.split(&run.order, run.data.held_out).unwrap();
    assert_eq!(run.data.examples, split.training.len() as u64);
    assert_eq!(announced(run), open);
}

#[test]
fn a_start_that_its_root_does_not_bind_is_refused() {
    let run = run();
    let first = run.first();
    let second = run.next(&first);
    let start = |at: &Checkpoint, change: &dyn Fn(&mut inferium_types::IntervalStart)| {
        let mut input = run.input(at);
        change(input.at.as_mut().unwrap());
        refused(&input)
    };
    assert!(start(&second, &|at| at.root = Digest::ZERO).contains("the root does not bind the state"));
    // One bit of one weight.
    assert!(start(&second, &|at| at.state[8] ^= 1).contains("the root does not bind the state"));
    assert!(start(&first, &|at| at.state[8] ^= 1).contains("not the one that the seed draws"));
    assert!(start(&second, &|at| at.before = None).contains("goes on from the one before it"));
    assert!(start(&second, &|at| at.before = Some((Digest::ZERO, Digest::ZERO))).contains("does not bind"));
    assert!(start(&second, &|at| at.index = 0).contains("not before the interval's first step"));
    assert!(start(&second, &|at| at.index = u64::MAX).contains("not before the interval's first step"));
    assert!(start(&second, &|at| at.state.truncate(at.state.len() - 1)).contains("has"));
    assert!(start(&second, &|at| at.state[8..12].copy_from_slice(&f32::NAN.to_le_bytes())).contains("that are none"));
}

#[test]
fn inputs_beyond_a_job_are_refused_before_they_are_computed() {
    let run = run();
    let with = |change: &dyn Fn(&mut TrainingSpec)| {
        let mut spec = run.spec.clone();
        change(&mut spec);
        refused(&TrainingInput { spec: inferium_types::encode(&spec), ..run.input(&run.first()) })
    };
    let steps = u32::try_from(limits::TRAINING_STEPS_MAX).unwrap();
    assert!(with(&|spec| spec.interval = steps + 1).contains("number of steps of an interval is 8193"));
    assert!(with(&|spec| spec.batch = 0).contains("the number of examples of a step"));
    let class =
        with(&|spec| spec.engine = inferium_types::EngineClass::Canonical { build: Digest::ZERO, tier: "all".into() });
    assert!(class.contains("another build"));
    let wide = with(&|spec| {
        let Method::Head { width, .. } = &mut spec.method else { panic!("a classifier") };
        *width = 1 << 16;
    });
    assert!(wide.contains("the size of a state"), "{wide}");
    let lora = Method::Lora { rank: 1, alpha_milli: 1, layers: 1, sequence: 2 };
    assert!(with(&|spec| spec.method = lora.clone()).contains("profile is of classifiers, and the run is of adapters"));
    let nothing = TrainingInput { spec: vec![1, 2, 3], ..run.input(&run.first()) };
    assert!(refused(&nothing).contains("the spec can't be read"));
    let cut = TrainingInput { vectors: vec![0; WIDTH * 4 - 1], ..run.input(&run.first()) };
    assert!(refused(&cut).contains("are no vectors"));
    // So many examples, and not one more.
    let many = |batch: u32, steps: u32| {
        let mut spec = run.spec.clone();
        (spec.batch, spec.interval, spec.steps) = (batch, steps, u64::from(steps));
        let trainer = HeadTrainer::new(spec.clone(), &run.data, run.vectors.clone()).unwrap();
        let first = Checkpoint { spec: spec.digest(), record: None, state: trainer.initial() };
        let input = input(&spec, &text(), &run.vectors, Some(&first));
        classifiers().read(&input)
    };
    assert!(many(64, 4).is_ok());
    let examples = u32::try_from(run.spec.data.examples).unwrap();
    let whole = limits::TRAINING_EXAMPLES_MAX / examples;
    assert_eq!(many(4_096, whole), Ok(whole * examples));
    let Err(EngineError::Training { reason }) = many(4_096, whole + 1) else { panic!("too many are taken") };
    assert!(reason.contains("number of examples of an interval"), "{reason}");
}

#[test]
fn a_claim_without_its_steps_or_state_is_no_checkpoint() {
    let run = run();
    let first = run.first();
    let Trained { interval, .. } = classifiers().train(&run.input(&first)).unwrap();
    let claim = |change: &dyn Fn(&mut TrainedInterval)| {
        let mut other = interval.clone();
        change(&mut other);
        claimed(&run.spec, &first, &other).unwrap_err().to_string()
    };
    assert!(claim(&|other| other.steps.truncate(other.steps.len() - 1)).contains("number of steps"));
    assert!(claim(&|other| other.steps.push(other.steps[0])).contains("number of steps"));
    assert!(claim(&|other| other.state[8] ^= 1).contains("state"));
    assert!(claim(&|other| other.state.clear()).contains("can't be read"));
    assert!(claim(&|other| other.steps[0].loss_bits = f32::NAN.to_bits()).contains("loss"));
    assert!(claim(&|other| *other = TrainedInterval::default()).contains("number of steps"));
}

#[test]
fn the_profile_is_the_build_s() {
    assert!(profile().is_well_formed());
    assert_eq!(classifiers().profile(), profile());
}
