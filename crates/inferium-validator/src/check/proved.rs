//! Proofs: verified, and not made again (SPEC V10).

use super::{DrawnJob, Replayed};
use inferium_engine::{EngineError, Model};
use inferium_types::{JobAnswer, JobFault, JobInput, ReplayStatistics, merkle_root, proof_leaf};

/// Verifies a proof: that it is of the answer that the job asks for, under the worker's lease on this chain, and holds.
///
/// Attested is what verifying came to, which is in no evidence.
pub(super) async fn check(drawn: &DrawnJob<'_>, model: &Model) -> Result<Result<Replayed, JobFault>, EngineError> {
    let JobInput::Prove(input) = &drawn.job.payload.input else { return Ok(Err(JobFault::Prompt)) };
    let JobAnswer::Proof(proof) = &drawn.job.output.answer else { return Ok(Err(JobFault::Proof)) };
    if !drawn.is_whole(1) {
        return Ok(Err(JobFault::Finish));
    }
    if merkle_root(&[proof_leaf(proof)]) != drawn.leaf.result.evidence_root {
        return Ok(Err(JobFault::Proof));
    }
    let (input, lease, proof) = (input.clone(), drawn.leaf.request.lease, proof.clone());
    let verified = model.prove_aside(move |prover| prover.check(&input, lease, &proof)).await?;
    Ok(verified
        .map(|digest| Replayed { digests: vec![digest], statistics: ReplayStatistics::default() })
        .ok_or(JobFault::Proof))
}
