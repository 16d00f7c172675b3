//! The judgement of a segment: exact checks and replay (SPEC V, J4).

mod classified;
mod embedded;
mod folded;
mod foreign;
mod measured;
mod proved;
mod run;
mod scored;
mod trained;

pub(crate) use run::RunDuty;

use inferium_engine::{Audited, Engine, EngineError, Model, Prompt, ReplayRequest, check_answer, compare};
use inferium_types::{
    Digest, EngineClass, FinishReason, JobAnswer, JobEvidence, JobFault, JobInput, JobLeaf, JobPayload, JobTotals, Ppm,
    ProfileId, ReplayStatistics, SegmentEvidence, SegmentId, SegmentTerms, TaskKind, VerdictVote, VrfPublicKey,
    assessment_payload, assessment_request, merkle_root, replay_seed, step_input, vrf_input,
};
use std::collections::BTreeSet;

/// What the chain says about a segment under judgement.
#[derive(Debug, Clone)]
pub struct SegmentFacts {
    /// Its name.
    pub id: SegmentId,
    /// As both sides signed it.
    pub terms: SegmentTerms,
    /// The worker's VRF key.
    pub vrf: VrfPublicKey,
    /// The lease's beacon.
    pub beacon: Digest,
    /// Draws the jobs to replay.
    pub seed: Digest,
    /// Share of jobs to replay.
    pub replay: Ppm,
    /// Profile of the lease.
    pub profile: ProfileId,
    /// Kind of the lease's task.
    pub kind: TaskKind,
    /// A planted job that is known to be wrong, and not judged again (SPEC V5).
    pub known_wrong: Option<u32>,
    /// How results of the profile are compared.
    pub engine: EngineClass,
    /// Of a run of an agent.
    pub run: Option<RunDuty>,
}

impl SegmentFacts {
    /// The profile whose model it takes to judge: of a run the agent's.
    #[must_use]
    pub fn model(&self) -> ProfileId {
        self.run.as_ref().map_or(self.profile, |run| run.model)
    }

    /// What a payload's request commits to.
    fn commitment(&self, payload: &JobPayload) -> Digest {
        let commitment = payload.commitment();
        match &self.run {
            Some(run) => step_input(run.run.lease, 0, &Digest::ZERO, &commitment),
            None => commitment,
        }
    }
}

/// Evidence that is not the segment's: whoever sent it, it says nothing about the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvidence {
    /// The leaves don't hash to the committed root.
    #[error("the leaves are not the committed ones")]
    Root,
    /// The VRF proof is not the worker's for this lease.
    #[error("the VRF proof is not the worker's for this lease")]
    Vrf,
    /// A drawn job is missing, or there is one that was not drawn.
    #[error("the jobs are not the drawn ones")]
    Jobs,
    /// A payload is not what its request commits to.
    #[error("job {job}: the input is not the committed one")]
    Input {
        /// Position in the segment.
        job: u32,
    },
    /// An output is not what its result commits to.
    #[error("job {job}: the output is not the committed one")]
    Output {
        /// Position in the segment.
        job: u32,
    },
    /// What is shown of the run is not what its result commits to, or not what the draw opens.
    #[error("job {job}: the windows are not the committed and drawn ones")]
    Windows {
        /// Position in the segment.
        job: u32,
    },
}

/// Checks that evidence is the segment's own: every byte of it is bound by what the chain holds.
///
/// # Errors
/// [`InvalidEvidence`]. It convicts no one: anyone can send such bytes.
pub fn authenticate(facts: &SegmentFacts, evidence: &SegmentEvidence) -> Result<(), InvalidEvidence> {
    let leaves: Vec<Digest> = evidence.leaves.iter().map(JobLeaf::hash).collect();
    if evidence.segment != facts.id || merkle_root(&leaves) != facts.terms.root {
        return Err(InvalidEvidence::Root);
    }
    let input = vrf_input(&facts.beacon, facts.terms.lease);
    if facts.vrf.verify(&input, &evidence.vrf_proof).is_none() {
        return Err(InvalidEvidence::Vrf);
    }
    let drawn = (0u32..).zip(&evidence.leaves).filter(|(index, _)| {
        facts.id.draws_job(&facts.seed, *index, facts.replay) && facts.known_wrong != Some(*index)
    });
    let mut given = evidence.jobs.iter();
    for (index, leaf) in drawn {
        let Some((position, job)) = given.next() else { return Err(InvalidEvidence::Jobs) };
        if *position != index {
            return Err(InvalidEvidence::Jobs);
        }
        if facts.commitment(&job.payload) != leaf.request.input_commitment {
            return Err(InvalidEvidence::Input { job: index });
        }
        if job.output.commitment() != leaf.result.output_commitment {
            return Err(InvalidEvidence::Output { job: index });
        }
        if !shows_its_windows(facts, leaf, job, index) {
            return Err(InvalidEvidence::Windows { job: index });
        }
    }
    if given.next().is_some() {
        return Err(InvalidEvidence::Jobs);
    }
    Ok(())
}

/// True when what is shown of a run is what the result binds and the draw opens: nothing but on tolerance profiles.
fn shows_its_windows(facts: &SegmentFacts, leaf: &JobLeaf, job: &JobEvidence, index: u32) -> bool {
    match (facts.engine.calibration(), &job.measured) {
        (None, measured) => measured.is_none(),
        (Some(_), None) => false,
        (Some(_), Some(measured)) => {
            measured.root() == leaf.result.evidence_root
                && measured.opens(&measured.drawn(facts.id, &facts.seed, index))
        }
    }
}

/// Judges authentic evidence: counts and billing of every job, replay of the drawn ones.
///
/// # Errors
/// [`EngineError`] when our own engine could not replay: no verdict follows from that.
pub async fn check_segment(
    facts: &SegmentFacts,
    evidence: &SegmentEvidence,
    model: &Model,
) -> Result<VerdictVote, EngineError> {
    let mut wrong = check_leaves(facts, &evidence.leaves);
    if wrong.is_none() && facts.kind == TaskKind::Benchmark {
        wrong = check_assessment(facts, &evidence.leaves, model)?;
    }
    // A run of integers that is wrong can be challenged, if it is what the vote names (SPEC V11): no other job hides it.
    let is_audited = Audited::of(model).is_some();
    if let Some((job, fault)) = wrong.filter(|_| !is_audited) {
        return Ok(VerdictVote::Invalid { job, fault });
    }
    let mut failed = None;
    let vrf_output = evidence.vrf_proof.output();
    let mut positions = Vec::new();
    let mut statistics = ReplayStatistics::default();
    for (index, job) in &evidence.jobs {
        let Some(leaf) = usize::try_from(*index).ok().and_then(|i| evidence.leaves.get(i)) else { continue };
        let drawn = DrawnJob { facts, index: *index, leaf, job, vrf_output: &vrf_output };
        match check_job(&drawn, model).await {
            Ok(Ok(replayed)) => {
                positions.extend(replayed.digests);
                statistics = statistics.with(&replayed.statistics);
            }
            Ok(Err(fault)) if !is_audited || drawn.can_be_challenged(fault) => {
                return Ok(VerdictVote::Invalid { job: *index, fault });
            }
            Ok(Err(fault)) => wrong = wrong.or(Some((*index, fault))),
            Err(error) if is_audited => failed = failed.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    if let Some((job, fault)) = wrong {
        return Ok(VerdictVote::Invalid { job, fault });
    }
    if let Some(error) = failed {
        return Err(error);
    }
    // All leaves are in the evidence and nowhere else: where nothing was drawn, who has not seen that knows no effort.
    let leaves = Digest::of_value("inferium/effort-leaves/1", &evidence.leaves);
    let effort = VerdictVote::effort(facts.id, &facts.seed, &leaves, &positions);
    Ok(if facts.engine.is_measured() {
        VerdictVote::Measured { effort, statistics }
    } else {
        VerdictVote::Valid { effort }
    })
}

/// One job to replay.
struct DrawnJob<'a> {
    facts: &'a SegmentFacts,
    /// Position in the segment.
    index: u32,
    leaf: &'a JobLeaf,
    job: &'a JobEvidence,
    vrf_output: &'a Digest,
}

impl DrawnJob<'_> {
    /// True when the answer has one part for each of `parts`: all or nothing, since some of them are worth nothing to whoever
    /// asked.
    fn is_whole(&self, parts: usize) -> bool {
        self.has_all(parts) && self.leaf.result.finish == FinishReason::EndOfText
    }

    fn has_all(&self, parts: usize) -> bool {
        let counted = self.leaf.result.usage.completion_tokens;
        self.job.output.answer.len() == parts && u32::try_from(parts) == Ok(counted)
    }

    /// Whether a challenge of such a fault can be opened: of a run that is wrong, by a leaf that says what was asked (SPEC V11).
    fn can_be_challenged(&self, fault: JobFault) -> bool {
        matches!(fault, JobFault::Classification | JobFault::Embedding)
            && self.leaf.is_consistent()
            && self.leaf.request.lease == self.facts.terms.lease
    }

    /// What is wrong without a look at any run of integers: input or answer of another kind than the model's, or not one of each.
    fn wrong_parts(&self, model: &Model) -> Option<JobFault> {
        let fault = if let Model::Classifier(_) = model { JobFault::Classification } else { JobFault::Embedding };
        let (input, output) = (self.job.payload.committed(), self.job.output.committed());
        let takes = Audited::of(model)?.takes([&input, &output], self.leaf.result.usage.completion_tokens);
        (takes != [true, true]).then_some(fault)
    }
}

/// What a replay found, of a job without fault.
#[derive(Default)]
struct Replayed {
    /// Of every position, by our own logits.
    digests: Vec<Digest>,
    /// Of a profile that is measured.
    statistics: ReplayStatistics,
}

/// What holds for every leaf, replayed or not.
fn check_leaves(facts: &SegmentFacts, leaves: &[JobLeaf]) -> Option<(u32, JobFault)> {
    let mut seen = BTreeSet::new();
    for (index, leaf) in (0u32..).zip(leaves) {
        let is_new = seen.insert(leaf.request.sequence);
        if !leaf.is_consistent() || leaf.request.lease != facts.terms.lease || !is_new {
            return Some((index, JobFault::Leaf));
        }
    }
    (JobTotals::of(leaves) != Some(facts.terms.totals)).then_some((0, JobFault::Leaf))
}

/// A capability task's requests are the beacon's, each made from the result before it (SPEC N2).
/// Its totals decide the tier, so every prompt is counted again, replayed or not.
fn check_assessment(
    facts: &SegmentFacts,
    leaves: &[JobLeaf],
    model: &Model,
) -> Result<Option<(u32, JobFault)>, EngineError> {
    let mut last = Digest::ZERO;
    for (index, leaf) in (0u32..).zip(leaves) {
        let lease = facts.terms.lease;
        let mut payload = assessment_payload(model.task(), &facts.beacon, lease, index, &last);
        model.fill_tokens(&mut payload.input)?;
        let prompt = model.read(&payload.input)?;
        let Ok(prompt_tokens) = u32::try_from(prompt.tokens()) else { return Ok(Some((index, JobFault::Prompt))) };
        if leaf.request.prompt_tokens != prompt_tokens {
            return Ok(Some((index, JobFault::Prompt)));
        }
        // Nobody is there to leave.
        let is_whole = leaf.result.finish != FinishReason::Cancelled;
        if !is_whole || leaf.request != assessment_request(lease, index, &payload, prompt_tokens) {
            return Ok(Some((index, JobFault::Leaf)));
        }
        last = leaf.hash();
    }
    Ok(None)
}

/// Exact checks and replay of one job.
async fn check_job(drawn: &DrawnJob<'_>, model: &Model) -> Result<Result<Replayed, JobFault>, EngineError> {
    if let Some(duty) = &drawn.facts.run {
        return run::check(duty, (drawn.leaf, drawn.job), model).await;
    }
    if let Some(fault) = drawn.wrong_parts(model) {
        return Ok(Err(fault));
    }
    // No honest worker takes what is beyond these limits.
    if drawn.job.payload.check().is_err() {
        return Ok(Err(JobFault::Prompt));
    }
    let prompt = match model.read_aside(&drawn.job.payload.input).await {
        Ok(prompt) => prompt,
        // How much of a conversation fits is this engine's own affair.
        Err(error @ EngineError::TooLong { .. })
            if matches!(drawn.job.payload.input, JobInput::Score { .. } | JobInput::Complete { .. }) =>
        {
            return Err(error);
        }
        // The model does not read it: no honest worker serves such an input.
        Err(
            EngineError::Text { .. }
            | EngineError::Task { .. }
            | EngineError::TooLong { .. }
            | EngineError::EmptyPrompt
            | EngineError::Grammar { .. }
            | EngineError::Board { .. }
            | EngineError::Training { .. }
            | EngineError::Tensor { .. }
            | EngineError::UnknownToken { .. },
        ) => return Ok(Err(JobFault::Prompt)),
        Err(error) => return Err(error),
    };
    if u32::try_from(prompt.tokens()) != Ok(drawn.leaf.request.prompt_tokens) {
        return Ok(Err(JobFault::Prompt));
    }
    if let Some(parts) = drawn.job.payload.input.parts()
        && u32::try_from(parts) != Ok(drawn.leaf.request.tokens_max)
    {
        return Ok(Err(JobFault::Prompt));
    }
    match (model, prompt) {
        (Model::Chat(engine), Prompt::Text(prompt)) => check_text(drawn, &**engine, prompt).await,
        (Model::Chat(engine), Prompt::Scores(requests)) => scored::check(drawn, &**engine, requests).await,
        (Model::Embedder(embedder), Prompt::Texts(texts)) => embedded::check(drawn, &**embedder, texts).await,
        (Model::Classifier(classifier), Prompt::Inputs(inputs)) => classified::check(drawn, classifier, inputs).await,
        (Model::Folder(_), Prompt::Board(board)) => Ok(folded::check(drawn, board)),
        (Model::Trainer(_), Prompt::Interval(_)) => trained::check(drawn, model).await,
        (Model::Prover(_), Prompt::Answer(_)) => proved::check(drawn, model).await,
        // A model reads only what it can do something with.
        (model, _) => Err(EngineError::Task { does: model.task().name() }),
    }
}

/// The answer to a conversation: exact checks, then its replay.
async fn check_text(
    drawn: &DrawnJob<'_>,
    engine: &dyn Engine,
    prompt: Vec<u32>,
) -> Result<Result<Replayed, JobFault>, EngineError> {
    let DrawnJob { facts, leaf, job, .. } = drawn;
    let (request, result) = (&leaf.request, &leaf.result);
    let JobAnswer::Text { tokens, text, scores } = &job.output.answer else { return Ok(Err(JobFault::Text)) };
    let Some(shaping) = job.payload.input.shaping() else { return Ok(Err(JobFault::Prompt)) };
    if let Err(fault) = check_answer(leaf, &shaping.stop, (tokens, text), engine) {
        return Ok(Err(fault));
    }
    if scores.len() != shaping.likeliest.map_or(0, |_| tokens.len()) {
        return Ok(Err(JobFault::Score));
    }
    if tokens.is_empty() {
        let is_empty = result.evidence_root == merkle_root(&[]);
        return Ok(if is_empty { Ok(Replayed::default()) } else { Err(JobFault::Logits) });
    }
    if tokens.iter().any(|token| *token >= engine.model().vocab_size) {
        return Ok(Err(JobFault::Token));
    }
    let seed = replay_seed(request, &prompt, drawn.vrf_output);
    // Where nothing is compared to the bit, no honest worker takes such a job.
    if facts.engine.is_measured() && (!shaping.is_plain() || shaping.likeliest.is_some()) {
        return Ok(Err(JobFault::Prompt));
    }
    let replay = engine.replay(ReplayRequest {
        prompt,
        output: tokens.clone(),
        sampling: request.sampling,
        seed,
        shaping: shaping.clone(),
        // Who judges is waited for by nobody who could tell.
        prefix_scope: Some(Digest::ZERO),
        measure: facts.engine.is_measured(),
    })?;
    let steps = replay.await.map_err(|_| EngineError::Stopped)??;
    match &facts.engine {
        EngineClass::Canonical { .. } => Ok(compare(leaf, tokens, scores, &steps)
            .map(|digests| Replayed { digests, statistics: ReplayStatistics::default() })),
        EngineClass::Tolerance { calibration, .. } => {
            measured::within(drawn, calibration, seed, (tokens, &steps), engine.model())
        }
        EngineClass::Foreign { bounds, .. } => foreign::draws(drawn, bounds, tokens, &steps),
    }
}

#[cfg(test)]
mod tests;
