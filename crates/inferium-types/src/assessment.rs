//! Jobs of capability tasks: set by the beacon, each made from the result before it (SPEC N2).

use crate::{
    ChatMessage, ClassifierInputs, ClassifierReads, Digest, JobId, JobPayload, JobRequest, LeaseId, ModelTask,
    SamplingParams,
};

/// Tokens of the answer of each job of a capability task (SPEC N2); an embedding model embeds one text, and a classifier has one
/// input.
pub const ASSESSMENT_TOKENS: u32 = 16;

/// The private half of job `index` of a capability task (SPEC N2): set by the beacon and the result
/// before it, so that no job can begin before the last has ended, on however many machines.
///
/// `last` is the [`crate::JobLeaf::hash`] of the job before; zero for the first.
#[must_use]
pub fn assessment_payload(task: ModelTask, beacon: &Digest, lease: LeaseId, index: u32, last: &Digest) -> JobPayload {
    let item = Digest::of(
        "inferium/assessment-item/1",
        &[beacon.as_bytes(), lease.digest().as_bytes(), &index.to_be_bytes(), last.as_bytes()],
    );
    let content = format!("Go on with these numbers: {}", hex::encode(item.as_bytes()));
    let salt = *item.as_bytes();
    match task {
        // Nothing is measured on the profiles of hosts, of boards, of training and of proofs (SPEC A2, L2, X3, V10).
        ModelTask::Chat
        | ModelTask::Host
        | ModelTask::Fold
        | ModelTask::Train
        | ModelTask::Prove
        | ModelTask::ProvePrivate { .. } => {
            JobPayload::chat(salt, vec![ChatMessage { role: "user".to_owned(), content }], Vec::new())
        }
        ModelTask::Embed { .. } => JobPayload::embed(salt, vec![content]),
        ModelTask::Classify { reads: ClassifierReads::Texts, .. } => {
            JobPayload::classify(salt, ClassifierInputs::Texts(vec![content]))
        }
        ModelTask::Classify { reads: ClassifierReads::Tensors { elements, least, most }, .. } => {
            let tensor = drawn_tensor(&item, elements, (least, most));
            JobPayload::classify(salt, ClassifierInputs::Tensors(vec![tensor]))
        }
    }
}

/// Elements from `least` to `most`, by the bytes of BLAKE3 as long as they are needed.
fn drawn_tensor(item: &Digest, elements: u32, (least, most): (i16, i16)) -> Vec<i16> {
    let range = i32::from(most).saturating_sub(least.into()).saturating_add(1).max(1);
    let element = |index: u32| {
        let drawn = Digest::of("inferium/assessment-element/1", &[item.as_bytes(), &index.to_be_bytes()]);
        let [first, second, ..] = *drawn.as_bytes();
        let offset = i32::from(u16::from_be_bytes([first, second])) % range;
        i16::try_from(i32::from(least).saturating_add(offset)).unwrap_or(most)
    };
    (0..elements).map(element).collect()
}

/// The public half: all of it follows from the private one, which has `prompt_tokens` tokens.
#[must_use]
pub fn assessment_request(lease: LeaseId, index: u32, payload: &JobPayload, prompt_tokens: u32) -> JobRequest {
    JobRequest {
        job: JobId::new(Digest::of("inferium/assessment-job/1", &[lease.digest().as_bytes(), &index.to_be_bytes()])),
        lease,
        sequence: u64::from(index),
        attempt: 0,
        input_commitment: payload.commitment(),
        prompt_tokens,
        tokens_max: match payload.input.parts() {
            None => ASSESSMENT_TOKENS,
            Some(parts) => u32::try_from(parts).unwrap_or(u32::MAX),
        },
        sampling: SamplingParams::GREEDY,
        client_seed: None,
    }
}
