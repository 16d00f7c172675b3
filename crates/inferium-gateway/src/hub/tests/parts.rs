//! What tests of answers in parts share (SPEC J8, J9).

use super::*;
use inferium_types::JobAnswer;

impl Stage {
    /// The worker's result: this answer, as it committed to it.
    pub(super) async fn answered(&self, handle: &JobHandle, answer: JobAnswer, finish: FinishReason) {
        let completion_tokens = u32::try_from(answer.len()).unwrap();
        let output = JobOutput { salt: [5; 32], answer };
        let result = JobResult {
            request: handle.request.digest(),
            output_commitment: output.commitment(),
            evidence_root: Digest::ZERO,
            usage: Usage { prompt_tokens: handle.request.prompt_tokens, completion_tokens },
            finish,
        };
        self.hub.finished(self.worker.public_key(), handle.job, result, [5; 32]).await;
    }
}

/// Why the job failed, whatever of it came before.
pub(super) async fn failure(handle: &mut JobHandle) -> String {
    loop {
        match handle.next().await {
            Some(JobEvent::Failed { reason }) => return reason,
            Some(JobEvent::Parts(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}
