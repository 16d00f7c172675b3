//! Whether a transcript is one of the run that a chain knows (SPEC A2).

use crate::manifest::Manifest;
use crate::run::{Limits, Next, Run, RunEnd};
use inferium_types::{
    CallRecord, ChatMessage, Digest, JobAnswer, JobInput, JobLeaf, JobOutput, JobPayload, LeaseId, RunInput,
    RunTranscript, Shaping, limits, step_request, step_result,
};

/// What the chain says of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunFacts {
    /// Its lease.
    pub lease: LeaseId,
    /// SHA-256 of the manifest, as it was pinned.
    pub manifest: Digest,
    /// The limits, as they were pinned.
    pub limits: Limits,
    /// Salted commitment to what it is given.
    pub input: Digest,
}

/// What is wrong with a run; of all of it its host is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RunFault {
    /// Not the input that the run was opened with, or not of the pinned manifest.
    #[error("the input is not the run's")]
    Input,
    /// The public request is not the one that follows from the run.
    #[error("the request is not the run's")]
    Request,
    /// The tools can't be those of the manifest's servers.
    #[error("the tools are not ones of the manifest")]
    Tools,
    /// A call is not the one that comes next.
    #[error("call {0} is not the one that comes next")]
    Call(u32),
    /// The run does not end there, or with another answer.
    #[error("the answer is not the run's")]
    Answer,
    /// The result does not commit to the calls.
    #[error("the result does not hold the calls")]
    Result,
    /// More than a transcript may be.
    #[error("the transcript is too large")]
    Size,
}

/// A model call of a sound transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCall {
    /// Its place among the calls.
    pub index: u32,
    /// Request and result.
    pub leaf: JobLeaf,
    /// What it answered.
    pub output: JobOutput,
    salt: [u8; 32],
    /// Messages of the conversation that the model was given, and whether it could call anything.
    messages: usize,
    may_call: bool,
}

/// A sound transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its model calls: whether the model says that is not checked here.
    pub models: Vec<ModelCall>,
    /// Tokens of them.
    pub tokens: u64,
    /// The conversation of the last call, of which those of the others are beginnings.
    conversation: Vec<ChatMessage>,
    grammar: Option<String>,
}

impl Checked {
    /// What the model was given in a call: made when it is needed, since conversations grow with every call.
    #[must_use]
    pub fn payload(&self, call: &ModelCall) -> JobPayload {
        let messages = self.conversation.iter().take(call.messages).cloned().collect();
        let grammar = self.grammar.clone().filter(|_| call.may_call);
        JobPayload::chat(call.salt, messages, Shaping { grammar, ..Shaping::default() })
    }
}

/// Drives the run again by its transcript.
///
/// # Errors
/// [`RunFault`].
pub fn check(facts: &RunFacts, leaf: &JobLeaf, payload: &JobPayload, output: &JobOutput) -> Result<Checked, RunFault> {
    let JobInput::Run(input) = &payload.input else { return Err(RunFault::Input) };
    let manifest = manifest_of(facts, payload, input)?;
    if leaf.request != step_request(facts.lease, 0, &Digest::ZERO, &facts.input) {
        return Err(RunFault::Request);
    }
    let JobAnswer::Run(transcript) = &output.answer else { return Err(RunFault::Answer) };
    if borsh::object_length(transcript).is_ok_and(|size| size > limits::TRANSCRIPT_SIZE_MAX) {
        return Err(RunFault::Size);
    }
    let run = Run::new(facts.lease, &manifest, (input, payload.salt), facts.limits, &transcript.tools);
    let mut run = run.map_err(|_| RunFault::Tools)?;
    let (mut models, mut conversation, mut grammar) = (Vec::new(), Vec::new(), None);
    for (index, call) in (0u32..).zip(&transcript.calls) {
        let next = run.next();
        run.take(call).map_err(|_| RunFault::Call(index))?;
        if let (
            Next::Model { input: JobInput::Chat { messages, shaping }, .. },
            CallRecord::Model { leaf, salt, output },
        ) = (next, call)
        {
            let may_call = shaping.grammar.is_some();
            grammar = shaping.grammar.or(grammar);
            models.push(ModelCall {
                index,
                leaf: leaf.clone(),
                output: output.job_output(),
                salt: *salt,
                messages: messages.len(),
                may_call,
            });
            conversation = messages;
        }
    }
    if run.next() != Next::End(RunEnd::Answered(transcript.answer.clone())) {
        return Err(RunFault::Answer);
    }
    if leaf.result != step_result(&leaf.request, output.commitment(), &transcript.public(), true) {
        return Err(RunFault::Result);
    }
    Ok(Checked { models, tokens: run.tokens(), conversation, grammar })
}

/// What the runs are given that a run of this transcript hires, by the places of their orders among its calls.
///
/// The transcript is one that was checked, or that its reader was given by whoever it pays: what does not follow ends the list.
#[must_use]
pub fn hires(
    lease: LeaseId,
    payload: &JobPayload,
    limits: Limits,
    transcript: &RunTranscript,
) -> Vec<(u32, JobPayload)> {
    let JobInput::Run(input) = &payload.input else { return Vec::new() };
    let Ok(manifest) = Manifest::read(&input.manifest) else { return Vec::new() };
    let Ok(mut run) = Run::new(lease, &manifest, (input, payload.salt), limits, &transcript.tools) else {
        return Vec::new();
    };
    let mut hires = Vec::new();
    for (index, call) in (0u32..).zip(&transcript.calls) {
        let hired = run.hired();
        if run.take(call).is_err() {
            break;
        }
        hires.extend(hired.map(|payload| (index, payload)));
    }
    hires
}

fn manifest_of(facts: &RunFacts, payload: &JobPayload, input: &RunInput) -> Result<Manifest, RunFault> {
    let is_given = input.is_well_formed()
        && payload.commitment() == facts.input
        && Digest::sha256(input.manifest.as_bytes()) == facts.manifest;
    if !is_given {
        return Err(RunFault::Input);
    }
    Manifest::read(&input.manifest).map_err(|_| RunFault::Input)
}

#[cfg(test)]
mod tests;
