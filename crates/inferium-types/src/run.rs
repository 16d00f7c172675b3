//! The private half of an agent's run: what it is given, and what it did (SPEC A2).
//!
//! Both travel as halves of a job: [`RunInput`] inside of its payload, [`RunTranscript`] as its answer. The chain has only
//! commitments to them.

use crate::{Digest, JobAnswer, JobLeaf, JobOutput, LeaseId, RunCall, SpendOrder, limits};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// A file that a run is given: it lies in the folder that its tools see.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RunFile {
    /// One name, no path ([`is_file_name`]).
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// True for a name that a file of a run may have: 1 to 128 bytes, no separator, no control character, no dot in front.
#[must_use]
pub fn is_file_name(name: &str) -> bool {
    let fits = !name.is_empty() && name.len() <= limits::NAME_SIZE_MAX && !name.starts_with('.');
    fits && !name.chars().any(|letter| matches!(letter, '/' | '\\') || letter.is_control())
}

/// Says nothing of what is in it: it may end up in a log (SPEC J2).
impl fmt::Debug for RunFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunFile({} bytes)", self.bytes.len())
    }
}

/// What a run is given.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RunInput {
    /// The manifest, byte for byte as its hash was published.
    pub manifest: String,
    /// What the agent is to do.
    pub task: String,
    /// Files, by ascending name.
    pub files: Vec<RunFile>,
}

impl RunInput {
    /// True within the maxima, with files by ascending name.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let size = self.files.iter().fold(0usize, |sum, file| sum.saturating_add(file.bytes.len()));
        self.manifest.len() <= limits::MANIFEST_SIZE_MAX
            && self.task.len() <= limits::RUN_TASK_SIZE_MAX
            && self.files.len() <= limits::RUN_FILES_MAX
            && size <= limits::RUN_FILES_SIZE_MAX
            && self.files.iter().all(|file| is_file_name(&file.name))
            && self.files.is_sorted_by(|one, next| one.name < next.name)
    }
}

/// Says nothing of task and files: it may end up in a log (SPEC J2).
impl fmt::Debug for RunInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunInput({} bytes of task, {} files)", self.task.len(), self.files.len())
    }
}

/// A tool as the run's host found it: the model is told of it, so whoever checks the run must know it.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RunTool {
    /// `server__tool`.
    pub name: String,
    /// In words, for the model.
    pub description: String,
    /// JSON schema of its arguments, as text.
    pub parameters: String,
}

/// Says nothing of it but the name.
impl fmt::Debug for RunTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunTool({})", self.name)
    }
}

/// What a model answered in a run. Not a [`JobOutput`], which may hold a run: what a stranger sends must not nest.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ModelOutput {
    /// Of the result's commitment to it.
    pub salt: [u8; 32],
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Their text.
    pub text: String,
}

impl ModelOutput {
    /// Of a job's output; `None` unless that is plain text.
    #[must_use]
    pub fn of(output: &JobOutput) -> Option<Self> {
        match &output.answer {
            JobAnswer::Text { tokens, text, scores } if scores.is_empty() => {
                Some(Self { salt: output.salt, tokens: tokens.clone(), text: text.clone() })
            }
            JobAnswer::Text { .. }
            | JobAnswer::Embeddings(_)
            | JobAnswer::Logits(_)
            | JobAnswer::Scores(_)
            | JobAnswer::Run(_)
            | JobAnswer::Board(_)
            | JobAnswer::Intervals(_)
            | JobAnswer::Proof(_) => None,
        }
    }

    /// The private half of the job's result.
    #[must_use]
    pub fn job_output(&self) -> JobOutput {
        JobOutput::text(self.salt, self.tokens.clone(), self.text.clone())
    }
}

/// Says nothing of text and salt: it may end up in a log (SPEC J2).
impl fmt::Debug for ModelOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelOutput({} tokens, {} bytes)", self.tokens.len(), self.text.len())
    }
}

/// A call as it was made, with the private halves behind its [`RunCall`].
#[expect(clippy::large_enum_variant, reason = "a run has few, and what they hold is on the heap")]
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum CallRecord {
    /// A job that the model did. What it was given follows from the calls before.
    Model {
        /// Request and result.
        leaf: JobLeaf,
        /// Of the request's commitment to its input.
        salt: [u8; 32],
        /// The answer, with its own salt.
        output: ModelOutput,
    },
    /// A tool.
    Tool {
        /// Its name.
        name: String,
        /// A JSON object, as text.
        arguments: String,
        /// What came back, in words when it failed.
        response: String,
        /// True when it failed.
        failed: bool,
        /// Of the commitments to what it was asked and what it gave.
        salt: [u8; 32],
    },
    /// An order to spend.
    Spend {
        /// What.
        order: SpendOrder,
    },
}

impl CallRecord {
    /// What its step's tree holds of it.
    #[must_use]
    pub fn public(&self) -> RunCall {
        match self {
            Self::Model { leaf, .. } => RunCall::Model { leaf: leaf.hash() },
            Self::Tool { name, arguments, response, failed, salt } => RunCall::Tool {
                request: Digest::of_value("inferium/tool-request/1", &(salt, name, arguments)),
                response: Digest::of_value("inferium/tool-response/1", &(salt, response, failed)),
            },
            Self::Spend { order } => RunCall::Spend { order: *order },
        }
    }
}

/// Says nothing of texts: it may end up in a log (SPEC J2).
impl fmt::Debug for CallRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model { leaf, .. } => write!(f, "Model({:?})", leaf.request.job),
            Self::Tool { name, failed, .. } => write!(f, "Tool({name}, failed: {failed})"),
            Self::Spend { order } => write!(f, "Spend({order:?})"),
        }
    }
}

/// What a run did.
#[derive(Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RunTranscript {
    /// The tools that it had.
    pub tools: Vec<RunTool>,
    /// Its calls, in their order.
    pub calls: Vec<CallRecord>,
    /// What it answered.
    pub answer: String,
}

impl RunTranscript {
    /// The leaves of its step's tree.
    #[must_use]
    pub fn public(&self) -> Vec<RunCall> {
        self.calls.iter().map(CallRecord::public).collect()
    }
}

/// Says nothing of texts: it may end up in a log (SPEC J2).
impl fmt::Debug for RunTranscript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunTranscript({:?}, {} bytes of answer)", self.calls, self.answer.len())
    }
}

/// The commitment in the request of step `index` of a run: to what the run is given, and to the step before.
#[must_use]
pub fn step_input(run: LeaseId, index: u32, before: &Digest, input: &Digest) -> Digest {
    Digest::of(
        "inferium/step-input/1",
        &[run.digest().as_bytes(), &index.to_be_bytes(), before.as_bytes(), input.as_bytes()],
    )
}
