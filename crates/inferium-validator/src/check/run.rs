//! A run of an agent: driven again by its transcript, its model calls replayed (SPEC A2).

use super::Replayed;
use inferium_agent::{RunFacts, check as check_transcript};
use inferium_engine::{EngineError, Model, replay_seeded};
use inferium_types::{Digest, JobEvidence, JobFault, JobLeaf, ProfileId};

/// What the chain says of a run under judgement.
#[derive(Debug, Clone)]
pub struct RunDuty {
    /// As it was pinned.
    pub run: RunFacts,
    /// The agent's model.
    pub model: ProfileId,
}

/// Checks the one step of a run.
pub(super) async fn check(
    duty: &RunDuty,
    (leaf, job): (&JobLeaf, &JobEvidence),
    model: &Model,
) -> Result<Result<Replayed, JobFault>, EngineError> {
    let Ok(checked) = check_transcript(&duty.run, leaf, &job.payload, &job.output) else {
        return Ok(Err(JobFault::Run));
    };
    let Model::Chat(engine) = model else { return Err(EngineError::Task { does: model.task().name() }) };
    let mut replayed = Replayed::default();
    for call in &checked.models {
        // Each is a job of another lease, whose committee may not have looked at it. Its host answers for it.
        let payload = checked.payload(call);
        let said = (&call.leaf, &payload, &call.output);
        // Who judges is waited for by nobody who could tell.
        match replay_seeded(&**engine, said, Some(Digest::ZERO)).await? {
            Ok(digests) => replayed.digests.extend(digests),
            Err(_) => return Ok(Err(JobFault::ModelCall)),
        }
    }
    Ok(Ok(replayed))
}
