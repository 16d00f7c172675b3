//! Intervals of adapters: on a decoder that everybody has, and on no other.

use super::super::{ADAPTER_DATA_MAX, Ground, Intervals, announced, input, profile};
use crate::lora::{BaseParts, tests as lora};
use crate::{AdapterBase, BaseModel, Checkpoint, DataSet, LoraTrainer, Method, TrainingSpec, claimed, run_interval};
use inferium_engine::exact::Exact;
use inferium_engine::{EngineError, IntervalTrainer};
use inferium_types::{Digest, TrainingInput};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn model() -> BaseModel {
    BaseModel { name: "tiny".into(), weights_root: Digest::sha256(b"weights"), tokenizer_hash: Digest::ZERO }
}

/// The small decoder, with an end and a shape of this file's own.
fn parts(model: BaseModel, reads: &Arc<AtomicUsize>, fails_from: usize) -> BaseParts {
    let reads = Arc::clone(reads);
    BaseParts {
        model,
        shape: lora::weights().shape,
        encode: Box::new(lora::encode),
        end: 39,
        fetch: Box::new(move || match reads.fetch_add(1, Ordering::Relaxed) {
            read if read < fails_from => Ok(lora::weights()),
            _ => Err("the file is gone".to_owned()),
        }),
        threads: 1,
    }
}

/// A base of the small decoder that counts how often its weights are read, and fails from a number of times on.
fn base_that(model: BaseModel, reads: &Arc<AtomicUsize>, fails_from: usize) -> Arc<AdapterBase> {
    Arc::new(AdapterBase::of(parts(model, reads, fails_from)))
}

fn base() -> Arc<AdapterBase> {
    base_that(model(), &Arc::default(), usize::MAX)
}

fn text() -> String {
    (0..40).map(|line| format!("{{\"text\": \"abcabc number {line} and so on\"}}\n")).collect()
}

struct Run {
    ground: Ground,
    spec: TrainingSpec,
    data: DataSet,
}

fn run() -> Run {
    let (ground, data) = (Ground::Decoder(base()), lora::data());
    let mut open = announced(TrainingSpec { model: model(), ..lora::spec(&data) });
    open.data.measured_max = 100;
    let spec = ground.drawn(&open, &Digest::of("beacon", &[]), &data).unwrap();
    Run { ground, spec, data }
}

impl Run {
    fn first(&self) -> Checkpoint {
        let trainer = self.ground.trainer(self.spec.clone(), &self.data, &[]).unwrap();
        Checkpoint { spec: self.spec.digest(), record: None, state: trainer.initial() }
    }

    fn input(&self, at: &Checkpoint) -> TrainingInput {
        input(&self.spec, &text(), None, Some(at))
    }

    fn refused(&self, change: &dyn Fn(&mut TrainingSpec)) -> String {
        let mut spec = self.spec.clone();
        change(&mut spec);
        reason(&self.ground, &TrainingInput { spec: inferium_types::encode(&spec), ..self.input(&self.first()) })
    }
}

fn reason(ground: &Ground, input: &TrainingInput) -> String {
    let Err(EngineError::Training { reason }) = Intervals(ground.clone()).read(input) else { panic!("it was taken") };
    reason
}

#[test]
fn a_job_trains_what_one_machine_trains_and_counts_tokens() {
    let run = run();
    let exact = Exact::new(2, None).unwrap();
    let own = LoraTrainer::new(run.spec.clone(), &run.data, lora::weights(), &lora::encode, 39, exact).unwrap();
    let intervals = Intervals(run.ground.clone());
    let mut at = run.first();
    for _ in 0..run.spec.intervals() {
        let input = run.input(&at);
        let (begin, end) = run.spec.steps_of(at.index());
        let tokens = u64::from(intervals.read(&input).unwrap());
        let examples = (end - begin) * u64::from(run.spec.batch);
        assert!((examples * 2..=examples * 16).contains(&tokens), "{tokens} tokens of {examples} examples");
        let trained = intervals.train(&input).unwrap();
        let (state, record) = run_interval(&own, at.next_job(), at.state.clone(), &mut |_| ()).unwrap();
        assert_eq!(trained.interval.state, state.to_bytes());
        at = claimed(&run.spec, &at, &trained.interval).unwrap();
        assert_eq!(at, Checkpoint { spec: at.spec, record: Some(record), state });
    }
    assert_eq!(at.state.step, run.spec.steps);
}

#[test]
fn an_announcement_has_no_order_and_no_vectors() {
    let run = run();
    let intervals = Intervals(run.ground.clone());
    let open = input(&announced(run.spec.clone()), &text(), None, None);
    assert_eq!(intervals.read(&open), Ok(1));
    assert_eq!(intervals.train(&open).unwrap().trace.len(), 1);
    let drawn = TrainingInput { spec: inferium_types::encode(&run.spec), ..open.clone() };
    assert!(reason(&run.ground, &drawn).contains("has an order, a seed"));
    let more = TrainingInput { vectors: vec![0; 4], ..open };
    assert!(reason(&run.ground, &more).contains("on texts alone"));
    let more = TrainingInput { vectors: vec![0; 4], ..run.input(&run.first()) };
    assert!(reason(&run.ground, &more).contains("on texts alone"));
}

/// SPEC X3: whoever judges has the very decoder, and the profile says which.
#[test]
fn each_decoder_has_a_profile_and_takes_its_own_runs_alone() {
    let run = run();
    let own = run.ground.profile();
    assert!(own.is_well_formed());
    assert_ne!(own.id(), profile().id());
    for other in [
        BaseModel { weights_root: Digest::ZERO, ..model() },
        BaseModel { tokenizer_hash: Digest::sha256(b"other"), ..model() },
    ] {
        let ground = Ground::Decoder(base_that(other, &Arc::default(), usize::MAX));
        assert_ne!(ground.profile().id(), own.id());
        let why = reason(&ground, &run.input(&run.first()));
        assert!(why.contains("other weights or another tokenizer"), "{why}");
    }
    // What a file says beside its tensors is computed with too: another end, other angles or norms, another room.
    let changes: [fn(&mut BaseParts); 4] = [
        |parts| parts.end = 38,
        |parts| parts.shape.rope_base = 10_001.0,
        |parts| parts.shape.norm_epsilon = 1e-6,
        |parts| parts.shape.context = 65,
    ];
    for change in changes {
        let mut parts = parts(model(), &Arc::default(), usize::MAX);
        change(&mut parts);
        assert_ne!(Ground::Decoder(Arc::new(AdapterBase::of(parts))).profile().id(), own.id());
    }
    // Its name is how people call it.
    let renamed = Ground::Decoder(base_that(BaseModel { name: "x".into(), ..model() }, &Arc::default(), usize::MAX));
    assert_eq!(renamed.profile().id(), own.id());
    assert!(run.ground.takes(&run.spec) && !Ground::Vectors.takes(&run.spec));
    let elsewhere = BaseModel { weights_root: Digest::ZERO, ..model() };
    assert!(!run.ground.takes(&TrainingSpec { model: elsewhere, ..run.spec.clone() }));
    let head = Ground::Vectors;
    assert!(reason(&head, &run.input(&run.first())).contains("profile is of classifiers"));
    let classifier = |spec: &mut TrainingSpec| {
        spec.method = Method::Head { labels: vec!["a".into(), "b".into()], width: 2, vectors: Digest::ZERO };
    };
    assert!(run.refused(&classifier).contains("profile is of adapters, and the run is of a classifier"));
}

#[test]
fn what_is_beyond_a_job_or_the_decoder_is_refused() {
    let run = run();
    let lora = |rank, layers, sequence| Method::Lora { rank, alpha_milli: 4_000, layers, sequence };
    let with = |method: Method| run.refused(&move |spec: &mut TrainingSpec| spec.method = method.clone());
    assert!(with(lora(2, 4, 16)).contains("adapted layers 4 is more than the model's 3"), "{}", with(lora(2, 4, 16)));
    assert!(with(lora(2, 2, 65)).contains("length of sequences 65 is more than the model's 64"));
    assert!(with(lora(0, 2, 16)).contains("rank"));
    let step = run.refused(&|spec| spec.batch = 129);
    assert!(step.contains("tokens of a step is 2064"), "{step}");
    let measured = run.refused(&|spec| spec.data.measured_max = 257);
    assert!(measured.contains("held-out lines to measure is 257"), "{measured}");
    let other = TrainingInput { data: text() + "{\"text\": \"x\"}\n", ..run.input(&run.first()) };
    assert!(reason(&run.ground, &other).contains("another data set"));
    let line = format!("{{\"text\": \"{}\"}}\n", "a".repeat(1_000));
    let long = line.repeat(usize::try_from(ADAPTER_DATA_MAX).unwrap() / line.len() + 1);
    assert!(
        reason(&run.ground, &TrainingInput { data: long, ..run.input(&run.first()) }).contains("size of the data set")
    );
    let start = |change: &dyn Fn(&mut inferium_types::IntervalStart)| {
        let mut input = run.input(&run.first());
        change(input.at.as_mut().unwrap());
        reason(&run.ground, &input)
    };
    assert!(start(&|at| at.state[8] ^= 1).contains("not the one that the seed draws"));
    assert!(start(&|at| at.state.truncate(8)).contains("has"));
}

/// A judge without its weights says so, and finds nobody guilty.
#[test]
fn weights_that_are_gone_are_this_machine_s_fault() {
    let run = run();
    let reads = Arc::default();
    let ground = Ground::Decoder(base_that(model(), &reads, 0));
    let intervals = Intervals(ground);
    let input = run.input(&run.first());
    assert!(intervals.read(&input).is_ok(), "what a run is can be read without them");
    assert_eq!(reads.load(Ordering::Relaxed), 0);
    let Err(EngineError::Failed { reason }) = intervals.train(&input) else { panic!("it trained without weights") };
    assert!(reason.contains("the file is gone"), "{reason}");
}

#[test]
fn weights_are_read_once_for_all_runs_of_as_many_layers() {
    let (run, reads) = (run(), Arc::default());
    let intervals = Intervals(Ground::Decoder(base_that(model(), &reads, usize::MAX)));
    let input = run.input(&run.first());
    let first = intervals.train(&input).unwrap();
    assert_eq!(intervals.train(&input).unwrap(), first);
    assert_eq!(reads.load(Ordering::Relaxed), 1);
}
