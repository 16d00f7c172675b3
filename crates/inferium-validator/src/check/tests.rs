//! The judgement: honest work is valid, and each lie has its fault. Each lie is the smallest one:
//! everything but it is made consistent again.

mod boards;
mod classifications;
mod embeddings;
mod foreign;
mod runs;
mod scores;
mod shaped;
mod tolerance;
mod training;

use super::{InvalidEvidence, SegmentFacts, authenticate, check_segment};
use inferium_engine::{Answer, Engine, GenerateRequest, MockEngine, MockOptions, Model, ReplayRequest};
use inferium_sampling::Fingerprint;
use inferium_types::{
    ChatMessage, Digest, EngineClass, FinishReason, JobAnswer, JobEvidence, JobFault, JobId, JobInput, JobLeaf,
    JobOutput, JobPayload, JobRequest, JobResult, JobTotals, LeaseId, MeasuredEvidence, ModelTask, Ppm, ProfileId,
    SamplingParams, SegmentEvidence, SegmentTerms, Shaping, TaskKind, Usage, VerdictVote, VrfSecretKey,
    assessment_payload, assessment_request, merkle_root, replay_seed, vrf_input,
};
use std::sync::Arc;

/// Of every output here.
const SALT: [u8; 32] = [2; 32];

fn engine_of(flavour: u64) -> MockEngine {
    MockEngine::new(MockOptions { flavour, ..MockOptions::default() })
}

fn model_of(flavour: u64) -> Model {
    Model::Chat(Arc::new(engine_of(flavour)))
}

fn lease() -> LeaseId {
    LeaseId::new(Digest::sha256(b"lease"))
}

fn beacon() -> Digest {
    Digest::sha256(b"beacon")
}

fn vrf() -> VrfSecretKey {
    VrfSecretKey::from_entropy([5; 32]).unwrap()
}

fn vrf_output() -> Digest {
    vrf().prove(&vrf_input(&beacon(), lease())).output()
}

/// A job to do, and how its worker does it.
#[derive(Clone)]
struct Plan {
    sequence: u64,
    text: &'static str,
    stop: Vec<String>,
    tokens_max: u32,
    temperature_micro: u32,
    client_seed: Option<u64>,
    cancel_after: Option<usize>,
    flavour: u64,
    own_seed: bool,
    /// On a tolerance profile: how far the worker's engine is off.
    noise_milli: Option<u16>,
}

const fn plan(sequence: u64) -> Plan {
    Plan {
        sequence,
        text: "tell me something",
        stop: Vec::new(),
        tokens_max: 12,
        temperature_micro: 1_000_000,
        client_seed: None,
        cancel_after: None,
        flavour: 0,
        own_seed: false,
        noise_milli: None,
    }
}

#[derive(Clone)]
struct Job {
    leaf: JobLeaf,
    evidence: JobEvidence,
    digests: Vec<Digest>,
}

impl Job {
    /// After a change of request or output: every commitment is right again.
    fn recommit(&mut self) {
        self.leaf.request.input_commitment = self.evidence.payload.commitment();
        self.leaf.result.request = self.leaf.request.digest();
        self.leaf.result.output_commitment = self.evidence.output.commitment();
        self.leaf.result.usage.prompt_tokens = self.leaf.request.prompt_tokens;
    }

    /// Changes the answer's tokens, and makes its text fit.
    fn write(&mut self, change: impl FnOnce(&mut Vec<u32>)) {
        let JobAnswer::Text { tokens, text, .. } = &mut self.evidence.output.answer else { panic!("no text") };
        change(tokens);
        *text = engine_of(0).decode(tokens);
    }

    /// The answer's text, to be changed.
    fn text(&mut self) -> &mut String {
        let JobAnswer::Text { text, .. } = &mut self.evidence.output.answer else { panic!("no text") };
        text
    }

    /// Cuts the answer and makes counts, text and evidence fit.
    fn cut(&mut self, size: usize, finish: FinishReason) {
        self.digests.truncate(size);
        self.write(|tokens| tokens.truncate(size));
        self.leaf.result.evidence_root = merkle_root(&self.digests);
        self.leaf.result.usage.completion_tokens = u32::try_from(size).unwrap();
        self.leaf.result.finish = finish;
        self.recommit();
    }
}

async fn work(plan: Plan) -> Job {
    let options = MockOptions { noise_milli: plan.noise_milli.unwrap_or(0), ..MockOptions::default() };
    let engine = MockEngine::new(MockOptions { flavour: plan.flavour, ..options });
    let messages = vec![ChatMessage { role: "user".into(), content: plan.text.into() }];
    let payload = JobPayload::chat([1; 32], messages, plan.stop.clone());
    let prompt = engine.render_chat(payload.as_chat().unwrap().0).unwrap();
    let request = JobRequest {
        job: JobId::new(Digest::of("job", &[&plan.sequence.to_be_bytes()])),
        lease: lease(),
        sequence: plan.sequence,
        attempt: 0,
        input_commitment: payload.commitment(),
        prompt_tokens: u32::try_from(prompt.len()).unwrap(),
        tokens_max: plan.tokens_max,
        sampling: SamplingParams { temperature_micro: plan.temperature_micro, top_p_ppm: 1_000_000, top_k: 0 },
        client_seed: plan.client_seed,
    };
    answer(engine, payload, request, &plan).await
}

/// The tokens that an input is read as.
fn prompt_of(engine: &MockEngine, payload: &JobPayload) -> Vec<u32> {
    match &payload.input {
        JobInput::Chat { messages, .. } => engine.render_chat(messages).unwrap(),
        JobInput::Complete { prompt, .. } => prompt.clone(),
        other => panic!("no text: {other:?}"),
    }
}

/// Does a request, honestly but for the plan.
async fn answer(engine: MockEngine, payload: JobPayload, request: JobRequest, plan: &Plan) -> Job {
    let prompt = prompt_of(&engine, &payload);
    let shaping = payload.input.shaping().unwrap().clone();
    let mut seed = replay_seed(&request, &prompt, &vrf_output());
    let mut fingerprint = plan.noise_milli.map(|_| Fingerprint::new(seed));
    if plan.own_seed {
        seed[0] ^= 1;
    }
    let generation = GenerateRequest {
        prompt,
        max_tokens: request.tokens_max,
        sampling: request.sampling,
        seed,
        shaping: shaping.clone(),
        prefix_scope: None,
        measure: fingerprint.is_some(),
    };
    let mut steps = engine.generate(generation).unwrap();
    let mut answer = Answer::new(&shaping.stop, request.tokens_max);
    let (mut digests, mut scores) = (Vec::new(), Vec::new());
    while answer.finish().is_none() {
        if plan.cancel_after == Some(digests.len()) {
            answer.cancel();
            break;
        }
        let step = steps.recv().await.unwrap().unwrap();
        digests.push(step.digest);
        scores.extend(step.score);
        if let (Some(fingerprint), Some(measured)) = (&mut fingerprint, &step.measured) {
            fingerprint.push(measured.logprob, &measured.hidden);
        }
        answer.push(&engine, step.token);
    }
    let measured = fingerprint.map(Fingerprint::finish);
    let text = JobAnswer::Text { tokens: answer.tokens().to_vec(), text: answer.text().to_owned(), scores };
    let output = JobOutput { salt: SALT, answer: text };
    let result = JobResult {
        request: request.digest(),
        output_commitment: output.commitment(),
        evidence_root: measured.as_ref().map_or_else(|| merkle_root(&digests), MeasuredEvidence::root),
        usage: Usage { prompt_tokens: request.prompt_tokens, completion_tokens: u32::try_from(digests.len()).unwrap() },
        finish: answer.finish().unwrap(),
    };
    Job { leaf: JobLeaf { request, result }, evidence: JobEvidence { payload, output, measured }, digests }
}

/// The segment over these jobs, as its worker commits it, all of them or a share drawn.
fn segment(jobs: &[Job], replay: Ppm) -> (SegmentFacts, SegmentEvidence) {
    let leaves: Vec<JobLeaf> = jobs.iter().map(|job| job.leaf.clone()).collect();
    let hashes: Vec<Digest> = leaves.iter().map(JobLeaf::hash).collect();
    let terms =
        SegmentTerms { lease: lease(), index: 0, totals: JobTotals::of(&leaves).unwrap(), root: merkle_root(&hashes) };
    let facts = SegmentFacts {
        id: terms.id(),
        terms,
        vrf: vrf().public_key(),
        beacon: beacon(),
        seed: Digest::sha256(b"committee"),
        replay,
        profile: ProfileId::new(Digest::ZERO),
        kind: TaskKind::Inference,
        known_wrong: None,
        engine: EngineClass::Canonical { build: Digest::ZERO, tier: "all".into() },
        run: None,
    };
    let drawn = (0u32..)
        .zip(jobs)
        .filter(|(index, _)| facts.id.draws_job(&facts.seed, *index, replay) && facts.known_wrong != Some(*index))
        .map(|(index, job)| (index, job.evidence.opened(facts.id, &facts.seed, index)))
        .collect();
    let vrf_proof = vrf().prove(&vrf_input(&beacon(), lease()));
    let evidence = SegmentEvidence { segment: facts.id, vrf_proof, leaves, jobs: drawn };
    (facts, evidence)
}

/// The job of this answer and the leaves of its evidence, with everything that binds them.
fn bound(
    (payload, request): (JobPayload, JobRequest),
    answer: JobAnswer,
    digests: Vec<Digest>,
    finish: FinishReason,
) -> Job {
    let completion_tokens = u32::try_from(answer.len()).unwrap();
    let output = JobOutput { salt: SALT, answer };
    let result = JobResult {
        request: request.digest(),
        output_commitment: output.commitment(),
        evidence_root: merkle_root(&digests),
        usage: Usage { prompt_tokens: request.prompt_tokens, completion_tokens },
        finish,
    };
    Job { leaf: JobLeaf { request, result }, evidence: JobEvidence { payload, output, measured: None }, digests }
}

/// The digests of a job's positions, by an engine of one's own.
async fn replay(job: &Job) -> Vec<Digest> {
    let prompt = engine_of(0).render_chat(job.evidence.payload.as_chat().unwrap().0).unwrap();
    let seed = replay_seed(&job.leaf.request, &prompt, &vrf_output());
    let output = job.evidence.output.as_text().unwrap().0.to_vec();
    let request = ReplayRequest {
        prompt,
        output,
        sampling: job.leaf.request.sampling,
        seed,
        shaping: Shaping::default(),
        prefix_scope: None,
        measure: false,
    };
    let steps = engine_of(0).replay(request).unwrap().await.unwrap().unwrap();
    steps.iter().map(|step| step.digest).collect()
}

async fn vote(facts: &SegmentFacts, evidence: &SegmentEvidence) -> VerdictVote {
    authenticate(facts, evidence).unwrap();
    check_segment(facts, evidence, &model_of(0)).await.unwrap()
}

async fn judge(jobs: &[Job]) -> VerdictVote {
    let (facts, evidence) = segment(jobs, Ppm::ONE);
    vote(&facts, &evidence).await
}

/// The fault that is found in the second of two jobs.
async fn fault_of(job: Job) -> Option<JobFault> {
    match judge(&[work(plan(0)).await, job]).await {
        VerdictVote::Valid { .. } => None,
        VerdictVote::Invalid { job: 1, fault } => Some(fault),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn honest_segment_is_valid() {
    let plans = [
        plan(0),
        Plan { temperature_micro: 0, ..plan(1) },
        Plan { client_seed: Some(42), ..plan(2) },
        Plan { tokens_max: 1, ..plan(3) },
        Plan { tokens_max: 200, stop: vec!["e".into(), "a".into()], ..plan(4) },
        Plan { cancel_after: Some(0), ..plan(5) },
        Plan { cancel_after: Some(1), ..plan(6) },
        Plan { cancel_after: Some(5), stop: vec!["zzzz".into()], ..plan(7) },
    ];
    let mut jobs = Vec::new();
    for plan in plans {
        jobs.push(work(plan).await);
    }
    assert_eq!(jobs[4].leaf.result.finish, FinishReason::StopString);
    assert_eq!(jobs[5].leaf.result.finish, FinishReason::Cancelled);
    assert!(matches!(judge(&jobs).await, VerdictVote::Valid { .. }));
}

#[tokio::test]
async fn edited_text_is_found() {
    let mut job = work(plan(1)).await;
    job.text().push('!');
    job.recommit();
    assert_eq!(fault_of(job).await, Some(JobFault::Text));
}

#[tokio::test]
async fn truncated_answer_is_found() {
    for finish in [FinishReason::EndOfText, FinishReason::StopString] {
        let mut job = work(plan(1)).await;
        job.cut(4, finish);
        assert_eq!(fault_of(job).await, Some(JobFault::Finish));
    }
    let mut job = work(plan(1)).await;
    job.cut(4, FinishReason::Length);
    assert_eq!(fault_of(job).await, Some(JobFault::Leaf), "a length end at less than the length");
}

#[tokio::test]
async fn own_seed_is_found() {
    assert_eq!(fault_of(work(Plan { own_seed: true, ..plan(1) }).await).await, Some(JobFault::Token));
}

#[tokio::test]
async fn wrong_weights_are_found() {
    for temperature_micro in [0, 1_000_000] {
        let job = work(Plan { flavour: 1, temperature_micro, ..plan(1) }).await;
        assert_eq!(fault_of(job).await, Some(JobFault::Token));
    }
}

/// The right tokens with other logits: a worker that copied the answer and computed nothing.
#[tokio::test]
async fn copied_tokens_without_the_logits_are_found() {
    let mut job = work(plan(1)).await;
    job.digests[11] = Digest::ZERO;
    job.leaf.result.evidence_root = merkle_root(&job.digests);
    assert_eq!(fault_of(job).await, Some(JobFault::Logits));
}

#[tokio::test]
async fn one_changed_token_is_found_wherever_it_is() {
    for position in 0..12 {
        let mut job = work(plan(1)).await;
        job.write(|tokens| {
            let token = &mut tokens[position];
            *token = if *token == u32::from(b'q') { u32::from(b'r') } else { u32::from(b'q') };
        });
        job.recommit();
        assert_eq!(fault_of(job).await, Some(JobFault::Token), "{position}");
    }
}

#[tokio::test]
async fn token_outside_the_vocabulary_is_a_fault_not_a_failure() {
    for token in [258, u32::MAX] {
        let mut job = work(plan(1)).await;
        job.write(|tokens| tokens[3] = token);
        job.recommit();
        assert_eq!(fault_of(job).await, Some(JobFault::Token));
    }
}

#[tokio::test]
async fn wrong_count_of_prompt_tokens_is_found() {
    for change in [1u32, u32::MAX] {
        let mut job = work(Plan { client_seed: Some(1), ..plan(1) }).await;
        job.leaf.request.prompt_tokens = job.leaf.request.prompt_tokens.wrapping_add(change);
        job.recommit();
        assert_eq!(fault_of(job).await, Some(JobFault::Prompt));
    }
}

#[tokio::test]
async fn billing_for_more_or_fewer_tokens_is_found() {
    let honest = work(Plan { tokens_max: 200, stop: vec!["e".into()], ..plan(1) }).await;
    let tokens = honest.leaf.result.usage.completion_tokens;
    assert_eq!(honest.leaf.result.finish, FinishReason::StopString);
    for (count, expected) in
        [(tokens - 1, JobFault::Finish), (tokens + 1, JobFault::Finish), (200, JobFault::Finish), (201, JobFault::Leaf)]
    {
        let mut job = work(Plan { tokens_max: 200, stop: vec!["e".into()], ..plan(1) }).await;
        job.leaf.result.usage.completion_tokens = count;
        assert_eq!(fault_of(job).await, Some(expected), "{count} for {tokens}");
    }
}

#[tokio::test]
async fn tokens_after_the_end_are_found() {
    let mut job = work(Plan { tokens_max: 200, stop: vec!["e".into()], ..plan(1) }).await;
    let JobAnswer::Text { tokens, .. } = &mut job.evidence.output.answer else { panic!("no text") };
    tokens.push(u32::from(b'x'));
    job.digests.push(Digest::ZERO);
    job.leaf.result.usage.completion_tokens += 1;
    job.leaf.result.evidence_root = merkle_root(&job.digests);
    job.recommit();
    assert_eq!(fault_of(job).await, Some(JobFault::Finish));
}

#[tokio::test]
async fn ignored_stop_string_is_found() {
    let mut job = work(plan(1)).await;
    let letter = job.text().chars().nth(3).unwrap();
    let (messages, _) = job.evidence.payload.as_chat().unwrap();
    job.evidence.payload = JobPayload::chat([1; 32], messages.to_vec(), vec![letter.to_string()]);
    job.recommit();
    assert!(matches!(fault_of(job).await, Some(JobFault::Finish | JobFault::Token)));
}

/// A cancelled job is checked like any other.
#[tokio::test]
async fn cancellation_hides_nothing() {
    let cancelled = |after| work(Plan { cancel_after: Some(after), ..plan(1) });
    let mut job = cancelled(0).await;
    job.leaf.result.evidence_root = Digest::sha256(b"something");
    assert_eq!(fault_of(job).await, Some(JobFault::Logits));
    let mut job = cancelled(0).await;
    *job.text() = "text from nowhere".into();
    job.recommit();
    assert_eq!(fault_of(job).await, Some(JobFault::Text));
    let mut job = cancelled(3).await;
    job.write(|tokens| tokens[1] ^= 1);
    job.recommit();
    assert_eq!(fault_of(job).await, Some(JobFault::Token));
    // The answer had ended by itself.
    let mut job = work(plan(1)).await;
    job.leaf.result.finish = FinishReason::Cancelled;
    assert_eq!(fault_of(job).await, Some(JobFault::Finish));
}

#[tokio::test]
async fn leaves_that_contradict_themselves_are_found() {
    let mut twice = work(plan(0)).await;
    twice.leaf.request.job = JobId::new(Digest::ZERO);
    twice.recommit();
    assert_eq!(fault_of(twice).await, Some(JobFault::Leaf), "two jobs with one sequence");
    let mut elsewhere = work(plan(1)).await;
    elsewhere.leaf.request.lease = LeaseId::new(Digest::ZERO);
    elsewhere.recommit();
    assert_eq!(fault_of(elsewhere).await, Some(JobFault::Leaf), "a job of another lease");
    let mut other = work(plan(1)).await;
    other.leaf.result.request = Digest::ZERO;
    assert_eq!(fault_of(other).await, Some(JobFault::Leaf), "a result of another request");
}

#[tokio::test]
async fn wrong_totals_are_found() {
    for edit in 0..4 {
        let (mut facts, evidence) = segment(&[work(plan(0)).await, work(plan(1)).await], Ppm::ONE);
        let totals = &mut facts.terms.totals;
        match edit {
            0 => totals.jobs += 1,
            1 => totals.prompt_tokens += 1,
            2 => totals.completion_tokens += 1,
            _ => totals.completion_tokens -= 1,
        }
        assert_eq!(vote(&facts, &evidence).await, VerdictVote::Invalid { job: 0, fault: JobFault::Leaf });
    }
}

/// Bytes that are not the segment's own convict no one: they are refused before.
#[tokio::test]
async fn evidence_of_something_else_is_refused() {
    let jobs = [work(plan(0)).await, work(plan(1)).await, work(plan(2)).await];
    let (facts, good) = segment(&jobs, Ppm::ONE);
    let check = |edit: &dyn Fn(&mut SegmentFacts, &mut SegmentEvidence)| {
        let (mut facts, mut evidence) = (facts.clone(), good.clone());
        edit(&mut facts, &mut evidence);
        authenticate(&facts, &evidence)
    };
    assert_eq!(check(&|_, _| ()), Ok(()));
    let root = Err(InvalidEvidence::Root);
    let other = SegmentTerms { index: 1, ..facts.terms }.id();
    assert_eq!(check(&|_, evidence| evidence.segment = other), root);
    assert_eq!(check(&|_, evidence| evidence.leaves[1].result.usage.completion_tokens += 1), root);
    assert_eq!(check(&|_, evidence| evidence.leaves.truncate(2)), root);
    assert_eq!(check(&|_, evidence| evidence.leaves.clear()), root);
    assert_eq!(check(&|_, evidence| evidence.leaves.swap(0, 1)), root);
    let vrf_refused = Err(InvalidEvidence::Vrf);
    let stranger = VrfSecretKey::from_entropy([6; 32]).unwrap();
    let input = vrf_input(&beacon(), lease());
    assert_eq!(check(&|_, evidence| evidence.vrf_proof = stranger.prove(&input)), vrf_refused);
    assert_eq!(check(&|_, evidence| evidence.vrf_proof = vrf().prove(&Digest::ZERO)), vrf_refused);
    assert_eq!(check(&|facts, _| facts.beacon = Digest::ZERO), vrf_refused);
    let jobs_refused = Err(InvalidEvidence::Jobs);
    assert_eq!(check(&|_, evidence| drop(evidence.jobs.pop())), jobs_refused);
    assert_eq!(check(&|_, evidence| drop(evidence.jobs.remove(0))), jobs_refused);
    assert_eq!(check(&|_, evidence| evidence.jobs.swap(0, 1)), jobs_refused);
    assert_eq!(check(&|_, evidence| evidence.jobs.push(evidence.jobs[0].clone())), jobs_refused);
    assert_eq!(check(&|_, evidence| evidence.jobs[2].0 = 3), jobs_refused);
    let input_refused = Err(InvalidEvidence::Input { job: 1 });
    assert_eq!(check(&|_, evidence| evidence.jobs[1].1.payload.salt[0] ^= 1), input_refused);
    assert_eq!(check(&|_, evidence| evidence.jobs[1].1.payload.salt[0] ^= 1), input_refused);
    let output_refused = Err(InvalidEvidence::Output { job: 2 });
    assert_eq!(check(&|_, evidence| evidence.jobs[2].1.output.salt[0] ^= 1), output_refused);
    assert_eq!(
        check(&|_, evidence| evidence.jobs[2].1.output.answer = JobAnswer::Embeddings(Vec::new())),
        output_refused
    );
}

/// SPEC R3, J2: only drawn payloads are shown, and only drawn jobs are replayed.
#[tokio::test]
async fn only_drawn_jobs_are_shown_and_replayed() {
    let half = Ppm::new(500_000);
    let mut jobs = Vec::new();
    for sequence in 0..12 {
        jobs.push(work(plan(sequence)).await);
    }
    let (facts, evidence) = segment(&jobs, half);
    let drawn: Vec<u32> = evidence.jobs.iter().map(|(index, _)| *index).collect();
    assert!((1..12).contains(&drawn.len()), "{drawn:?}");
    assert!(matches!(vote(&facts, &evidence).await, VerdictVote::Valid { .. }));
    let left_out = (0u32..12).find(|index| !drawn.contains(index)).unwrap();
    let mut more = evidence.clone();
    more.jobs.push((left_out, jobs[usize::try_from(left_out).unwrap()].evidence.clone()));
    more.jobs.sort_by_key(|(index, _)| *index);
    assert_eq!(authenticate(&facts, &more), Err(InvalidEvidence::Jobs));
    for (index, is_found) in [(drawn[0], true), (left_out, false)] {
        let position = usize::try_from(index).unwrap();
        let mut lying = Vec::new();
        for sequence in 0..12 {
            lying.push(work(plan(sequence)).await);
        }
        lying[position].text().push('!');
        lying[position].recommit();
        let (facts, evidence) = segment(&lying, half);
        let vote = vote(&facts, &evidence).await;
        assert_eq!(vote == VerdictVote::Invalid { job: index, fault: JobFault::Text }, is_found, "{vote:?}");
    }
}

/// SPEC V2: whoever replays has the same effort. It binds every replayed position and the draw, and what it is made from is
/// in no evidence.
#[tokio::test]
async fn effort_follows_from_the_replay_and_from_nothing_else() {
    let effort =
        async |(facts, evidence): (SegmentFacts, SegmentEvidence)| match check_segment(&facts, &evidence, &model_of(0))
            .await
        {
            Ok(VerdictVote::Valid { effort }) => effort,
            other => panic!("{other:?}"),
        };
    let jobs = [work(plan(0)).await, work(plan(1)).await];
    let whole = effort(segment(&jobs, Ppm::ONE)).await;
    assert_eq!(effort(segment(&jobs, Ppm::ONE)).await, whole);
    assert_ne!(effort(segment(&jobs[..1], Ppm::ONE)).await, whole);
    let (mut facts, evidence) = segment(&jobs, Ppm::ONE);
    facts.seed = Digest::sha256(b"another draw");
    assert_ne!(effort((facts.clone(), evidence)).await, whole);
    // Positions one by one, as an engine finds them.
    let mut replayed = Vec::new();
    for job in &jobs {
        replayed.extend(replay(job).await);
    }
    let (facts, evidence) = segment(&jobs, Ppm::ONE);
    let leaves = Digest::of_value("inferium/effort-leaves/1", &evidence.leaves);
    assert_eq!(VerdictVote::effort(facts.id, &facts.seed, &leaves, &replayed), whole);
    // Where nothing is drawn it takes the leaves, which the chain does not hold.
    let none = effort(segment(&jobs, Ppm::new(0))).await;
    assert_eq!(VerdictVote::effort(facts.id, &facts.seed, &leaves, &[]), none);
    let others = [work(plan(0)).await, work(Plan { text: "something else", ..plan(1) }).await];
    assert_ne!(effort(segment(&others, Ppm::new(0))).await, none);
}

/// A failure of our own engine is no verdict.
#[tokio::test]
async fn failing_engine_convicts_no_one() {
    let (facts, evidence) = segment(&[work(plan(0)).await], Ppm::ONE);
    for options in [
        MockOptions { max_active: 0, ..MockOptions::default() },
        MockOptions { context_tokens: 4, ..MockOptions::default() },
    ] {
        let broken = Model::Chat(Arc::new(MockEngine::new(options)));
        assert!(check_segment(&facts, &evidence, &broken).await.is_err());
    }
}

/// The jobs of a capability task, each made from the one before it; `lie` may change each once it
/// is done.
async fn assess(count: u32, lie: impl Fn(u32, &mut Job)) -> Vec<Job> {
    let (mut jobs, mut last): (Vec<Job>, _) = (Vec::new(), Digest::ZERO);
    for index in 0..count {
        let payload = assessment_payload(ModelTask::Chat, &beacon(), lease(), index, &last);
        let prompt_tokens =
            u32::try_from(engine_of(0).render_chat(payload.as_chat().unwrap().0).unwrap().len()).unwrap();
        let request = assessment_request(lease(), index, &payload, prompt_tokens);
        let mut job = answer(engine_of(0), payload, request, &plan(0)).await;
        lie(index, &mut job);
        last = job.leaf.hash();
        jobs.push(job);
    }
    jobs
}

async fn judge_assessment(jobs: &[Job]) -> VerdictVote {
    let (facts, evidence) = segment(jobs, Ppm::ONE);
    vote(&SegmentFacts { kind: TaskKind::Benchmark, ..facts }, &evidence).await
}

/// SPEC N2: every job is the beacon's, and made from the result before it.
#[tokio::test]
async fn honest_capability_task_is_valid() {
    for count in [1, 5] {
        assert!(matches!(judge_assessment(&assess(count, |_, _| {}).await).await, VerdictVote::Valid { .. }));
    }
}

#[tokio::test]
async fn capability_task_with_any_lie_is_invalid() {
    let fault = |fault| VerdictVote::Invalid { job: 1, fault };
    let dearer = assess(3, |index, job| {
        if index == 1 {
            job.leaf.request.prompt_tokens += 1;
            job.recommit();
        }
    });
    assert_eq!(judge_assessment(&dearer.await).await, fault(JobFault::Prompt));
    let shorter = assess(3, |index, job| {
        if index == 1 {
            job.leaf.request.tokens_max = 1;
            job.cut(1, FinishReason::Length);
        }
    });
    assert_eq!(judge_assessment(&shorter.await).await, fault(JobFault::Leaf));
    let cancelled = assess(3, |index, job| {
        if index == 1 {
            job.cut(1, FinishReason::Cancelled);
        }
    });
    assert_eq!(judge_assessment(&cancelled.await).await, fault(JobFault::Leaf));
    // Jobs in another order were not made from one another.
    let mut swapped = assess(3, |_, _| {}).await;
    swapped.swap(1, 2);
    assert_eq!(judge_assessment(&swapped).await, fault(JobFault::Leaf));
    // A task that began after its first job did not begin where the beacon said.
    let VerdictVote::Invalid { job: 0, .. } = judge_assessment(&assess(3, |_, _| {}).await[1..]).await else {
        panic!("a task without its beginning is invalid")
    };
}
