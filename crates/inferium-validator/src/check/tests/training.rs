//! SPEC X3: intervals are trained again, and every lie about them has its fault. Each is a cheat that saves its worker something.

use super::*;
use crate::check::trained::differing_step;
use inferium_engine::Trained;
use inferium_train::{
    BaseModel, Checkpoint, DataSet, DataTerms, HeadTrainer, Method, OptimiserTerms, Trainer, TrainingSpec, Vectors,
    announced, claimed, drawn, input, model,
};
use inferium_types::{TrainedInterval, TrainingInput};

const WIDTH: usize = 8;
const LINES: usize = 60;

fn text() -> String {
    let line = |number: usize| {
        let label = ["ant", "bee", "cat"][number % 3];
        format!("{{\"text\": \"line {number}\", \"label\": \"{label}\"}}\n")
    };
    (0..LINES).map(line).collect()
}

/// A vector for each line, drawn from `seed`.
fn vectors(seed: &[u8]) -> Vectors {
    let number = |place: usize| {
        let place = u64::try_from(place).unwrap();
        let drawn = Digest::of("number", &[seed, &place.to_be_bytes()]).draw(2_000);
        f32::from(u16::try_from(drawn).unwrap()) / 1_000.0 - 1.0
    };
    Vectors::new(WIDTH, (0..LINES * WIDTH).map(number).collect()).unwrap()
}

/// A run of two intervals of four steps.
struct Run {
    spec: TrainingSpec,
    vectors: Vectors,
}

impl Run {
    fn of(vectors: Vectors, learning_rate_nano: u32) -> Self {
        let data = DataSet::parse(&text()).unwrap();
        let width = u32::try_from(WIDTH).unwrap();
        let open = announced(TrainingSpec {
            method: Method::Head { labels: data.labels().unwrap(), width, vectors: vectors.root() },
            model: BaseModel { name: "mock".into(), weights_root: Digest::ZERO, tokenizer_hash: Digest::ZERO },
            engine: TrainingSpec::class(),
            data: DataTerms { root: data.root(), held_out: Ppm::new(200_000), measured_max: 100, examples: 1 },
            order: Digest::ZERO,
            seed: Digest::ZERO,
            optimiser: OptimiserTerms { learning_rate_nano, weight_decay_nano: 0, warmup_steps: 0 },
            batch: 4,
            steps: 8,
            interval: 4,
        });
        Self { spec: drawn(&open, &beacon(), &data).unwrap(), vectors }
    }

    fn honest() -> Self {
        Self::of(vectors(b"honest"), 20_000_000)
    }

    fn first(&self) -> Checkpoint {
        let data = DataSet::parse(&text()).unwrap();
        let trainer = HeadTrainer::new(self.spec.clone(), &data, self.vectors.clone()).unwrap();
        Checkpoint { spec: self.spec.digest(), record: None, state: trainer.initial() }
    }

    fn input(&self, at: &Checkpoint) -> TrainingInput {
        input(&self.spec, &text(), &self.vectors, Some(at))
    }

    /// Its second interval's start.
    async fn second(&self) -> Checkpoint {
        let first = self.first();
        claimed(&self.spec, &first, &trained(&self.input(&first)).await.interval).unwrap()
    }
}

async fn trained(input: &TrainingInput) -> Trained {
    model().train_aside(input).await.unwrap()
}

fn asked(sequence: u64, input: TrainingInput) -> (JobPayload, JobRequest) {
    let prompt_tokens = u32::try_from(model().read(&JobInput::Train(input.clone())).unwrap().tokens()).unwrap();
    let payload = JobPayload::train([1; 32], input);
    let request = JobRequest {
        job: JobId::new(Digest::of("job", &[&sequence.to_be_bytes()])),
        lease: lease(),
        sequence,
        attempt: 0,
        input_commitment: payload.commitment(),
        prompt_tokens,
        tokens_max: 1,
        sampling: SamplingParams::GREEDY,
        client_seed: None,
    };
    (payload, request)
}

fn job_of(sequence: u64, input: TrainingInput, Trained { interval, trace }: Trained) -> Job {
    let leaf = interval.leaf(&trace);
    bound(asked(sequence, input), JobAnswer::Intervals(vec![interval]), vec![leaf], FinishReason::EndOfText)
}

async fn vote_on(jobs: &[Job]) -> VerdictVote {
    let (mut facts, evidence) = segment(jobs, Ppm::ONE);
    facts.kind = TaskKind::Training;
    authenticate(&facts, &evidence).unwrap();
    check_segment(&facts, &evidence, &model()).await.unwrap()
}

async fn fault_of(job: Job) -> Option<JobFault> {
    let run = Run::honest();
    let input = run.input(&run.first());
    let honest = job_of(0, input.clone(), trained(&input).await);
    match vote_on(&[honest, job]).await {
        VerdictVote::Valid { .. } => None,
        VerdictVote::Invalid { job: 1, fault } => Some(fault),
        other => panic!("{other:?}"),
    }
}

/// The fault of claiming `change` of an honest second interval, with evidence made to fit; and the step that it is said to begin at.
async fn claiming(change: impl FnOnce(&mut Trained)) -> (Option<JobFault>, Option<u64>) {
    let run = Run::honest();
    let input = run.input(&run.second().await);
    let honest = trained(&input).await;
    let mut claim = honest.clone();
    change(&mut claim);
    let step = differing_step(&input, [&claim.interval, &honest.interval]);
    (fault_of(job_of(1, input, claim)).await, step)
}

#[tokio::test]
async fn honest_intervals_and_announcements_are_valid() {
    assert_eq!(claiming(|_| ()).await, (None, None));
    let run = Run::honest();
    let announcement = input(&announced(run.spec.clone()), &text(), &run.vectors, None);
    let done = trained(&announcement).await;
    assert_eq!(fault_of(job_of(1, announcement, done)).await, None);
}

/// Half of the steps are not taken: they are said to change nothing.
#[tokio::test]
async fn skipped_steps_are_found() {
    let (fault, step) = claiming(|claim| {
        for skipped in [1, 3] {
            claim.interval.steps[skipped] = claim.interval.steps[skipped - 1];
            claim.trace[skipped] = claim.trace[skipped - 1];
        }
    })
    .await;
    assert_eq!((fault, step), (Some(JobFault::Interval), Some(5)));
    let (fewer, _) = claiming(|claim| {
        claim.interval.steps.truncate(2);
        claim.trace.truncate(2);
    })
    .await;
    assert_eq!(fewer, Some(JobFault::Interval));
}

/// Other vectors than those that were sent, from the same start.
#[tokio::test]
async fn other_data_is_found() {
    let (run, other) = (Run::honest(), Run::of(vectors(b"cheaper"), 20_000_000));
    let input = run.input(&run.first());
    let cheap = trained(&other.input(&other.first())).await;
    let honest = trained(&input).await;
    assert_eq!(differing_step(&input, [&cheap.interval, &honest.interval]), Some(0));
    assert_eq!(fault_of(job_of(1, input, cheap)).await, Some(JobFault::Interval));
}

/// The smallest change of the rate: a billionth.
#[tokio::test]
async fn another_learning_rate_is_found() {
    let (run, other) = (Run::honest(), Run::of(vectors(b"honest"), 20_000_001));
    let first = run.first();
    let input = run.input(&first);
    // Order and seed are this run's, so that nothing but the rate is another.
    let spec = TrainingSpec { optimiser: other.spec.optimiser, ..run.spec.clone() };
    let at = Checkpoint { spec: spec.digest(), ..first };
    let other = Run { spec, vectors: run.vectors.clone() };
    let faster = trained(&other.input(&at)).await;
    let honest = trained(&input).await;
    assert_eq!(faster.interval.steps[0].loss_bits, honest.interval.steps[0].loss_bits);
    assert_eq!(fault_of(job_of(1, input, faster)).await, Some(JobFault::Interval));
}

/// A checkpoint of before, as what this interval came to.
#[tokio::test]
async fn a_copied_checkpoint_is_found() {
    let run = Run::honest();
    let before = trained(&run.input(&run.first())).await;
    let (fault, step) = claiming(|claim| *claim = before.clone()).await;
    assert_eq!((fault, step), (Some(JobFault::Interval), Some(4)));
    // With honest steps, and another end.
    let (fault, step) = claiming(|claim| claim.interval.state.clone_from(&before.interval.state)).await;
    assert_eq!((fault, step), (Some(JobFault::Interval), None));
    // Who has the interval from somebody else does not know what its steps came to on the way.
    let (fault, _) = claiming(|claim| claim.trace = claim.interval.steps.iter().map(|step| step.state).collect()).await;
    assert_eq!(fault, Some(JobFault::Interval));
}

/// One bit of one loss, in any step.
#[tokio::test]
async fn a_fabricated_loss_is_found() {
    for step in 0..4 {
        let place = usize::try_from(step).unwrap();
        let found = claiming(|claim| claim.interval.steps[place].loss_bits ^= 1).await;
        assert_eq!(found, (Some(JobFault::Interval), Some(4 + step)));
    }
}

#[tokio::test]
async fn another_count_end_or_answer_is_found() {
    let run = Run::honest();
    let input = run.input(&run.first());
    let done = trained(&input).await;
    let honest = || job_of(1, input.clone(), done.clone());
    let mut job = honest();
    job.leaf.request.prompt_tokens -= 1;
    job.recommit();
    assert_eq!(fault_of(job).await, Some(JobFault::Prompt));
    let mut job = honest();
    job.leaf.request.tokens_max = 2;
    job.recommit();
    assert_eq!(fault_of(job).await, Some(JobFault::Prompt));
    let mut job = honest();
    job.leaf.result.finish = FinishReason::Cancelled;
    assert_eq!(fault_of(job).await, Some(JobFault::Finish));
    let other = bound(asked(1, input.clone()), JobAnswer::Board("{}".into()), Vec::new(), FinishReason::EndOfText);
    assert_eq!(fault_of(other).await, Some(JobFault::Interval));
    let nothing = Trained { interval: TrainedInterval::default(), trace: Vec::new() };
    assert_eq!(fault_of(job_of(1, input, nothing)).await, Some(JobFault::Interval));
}

/// A start that its root does not bind is no honest work, whatever comes of it.
#[tokio::test]
async fn an_unbound_start_is_no_work() {
    let run = Run::honest();
    let second = run.second().await;
    let honest = run.input(&second);
    let done = trained(&honest).await;
    let mut job = job_of(1, honest, done);
    let JobInput::Train(input) = &mut job.evidence.payload.input else { panic!("training") };
    input.at.as_mut().unwrap().root = Digest::ZERO;
    job.recommit();
    assert_eq!(fault_of(job).await, Some(JobFault::Prompt));
}

/// SPEC V2: what is attested follows from the steps, and is in no evidence.
#[tokio::test]
async fn effort_is_what_steps_came_to() {
    let run = Run::honest();
    let input = run.input(&run.first());
    let done = trained(&input).await;
    let jobs = [job_of(0, input, done.clone())];
    let (facts, evidence) = segment(&jobs, Ppm::ONE);
    let leaves = Digest::of_value("inferium/effort-leaves/1", &evidence.leaves);
    let effort = VerdictVote::effort(facts.id, &facts.seed, &leaves, &done.trace);
    assert_eq!(vote_on(&jobs).await, VerdictVote::Valid { effort });
}
