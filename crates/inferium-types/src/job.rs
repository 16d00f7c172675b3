//! Jobs: request, result, the private payloads behind their commitments, and evidence (SPEC J).

use crate::{
    Amount, AmountOverflow, ClassifierInputs, Continuation, Digest, Embedding, FoldInput, JobId, LeaseId, Logits,
    MeasuredEvidence, Price, ProvingInput, RunInput, RunTranscript, SegmentId, Shaping, TokenScore, TrainedInterval,
    TrainingInput, VrfProof, leaf_hash, limits, score,
};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// One turn of a chat.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Text.
    pub content: String,
}

/// Says nothing of the text: it may end up in a log (SPEC J2).
impl fmt::Debug for ChatMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChatMessage({} bytes)", self.content.len())
    }
}

/// How the next token is chosen from logits; integers, so that every machine reads the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SamplingParams {
    /// Temperature in millionths; 0 is greedy.
    pub temperature_micro: u32,
    /// Nucleus in parts per million; 1,000,000 is off.
    pub top_p_ppm: u32,
    /// Candidates kept; 0 is off.
    pub top_k: u32,
}

impl SamplingParams {
    /// The likeliest token, always.
    pub const GREEDY: Self = Self { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 };
}

/// Tokens of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Usage {
    /// Tokens of the prompt; of results to fold, their items (SPEC L2); of an interval of training, the examples that its steps see (X3).
    pub prompt_tokens: u32,
    /// Tokens of the answer, the one that ends it included; of texts to embed, embeddings (SPEC J8), of continuations
    /// to score, those (J9), of results to fold the one board, and of training the one interval.
    pub completion_tokens: u32,
}

impl Usage {
    /// Tokens of prompt and answer.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        // Two `u32` fit into a `u64`.
        self.prompt_tokens as u64 + self.completion_tokens as u64
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum FinishReason {
    /// The model ended it.
    EndOfText,
    /// A stop string of the request appeared.
    StopString,
    /// The limit of tokens was reached.
    Length,
    /// The client left; the gateway says so by its signature over the segment.
    Cancelled,
}

impl FinishReason {
    /// Its name in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EndOfText => "end_of_text",
            Self::StopString => "stop_string",
            Self::Length => "length",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a gateway asks of a worker: all of it public, the text only by commitment (SPEC J1, J2).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct JobRequest {
    /// The job's name, the same over its attempts.
    pub job: JobId,
    /// The lease that pays.
    pub lease: LeaseId,
    /// Names the job in its lease: higher than those of all jobs before it, at most
    /// [`limits::SEQUENCE_MAX`]. A worker takes each once (SPEC J1).
    pub sequence: u64,
    /// 0 for the first try, 1 for the one retry (SPEC T6).
    pub attempt: u8,
    /// Salted commitment to the [`JobPayload`].
    pub input_commitment: Digest,
    /// Tokens of the prompt, which the fee is counted from.
    pub prompt_tokens: u32,
    /// Tokens of the answer at most; of texts to embed and of continuations to score, their number (SPEC J8, J9); of results to
    /// fold, and of an interval of training, one (L2, X3).
    pub tokens_max: u32,
    /// Sampling; unused and neutral where nothing is drawn.
    pub sampling: SamplingParams,
    /// The client's own seed, if it gave one (SPEC J7).
    pub client_seed: Option<u64>,
}

impl JobRequest {
    /// The request's digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_value("inferium/request/1", self)
    }

    /// Tokens of prompt and answer at most.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        // Two `u32` fit into a `u64`.
        self.prompt_tokens as u64 + self.tokens_max as u64
    }

    /// Checks that a worker could do this within `context_tokens`: no gateway may ask for more, and
    /// none is held to more by a claim (SPEC T6).
    ///
    /// # Errors
    /// [`ImpossibleJob`].
    pub const fn check(&self, context_tokens: u32) -> Result<(), ImpossibleJob> {
        if self.sequence > limits::SEQUENCE_MAX {
            return Err(ImpossibleJob::Sequence);
        }
        if self.prompt_tokens == 0 || self.tokens_max == 0 {
            return Err(ImpossibleJob::NoTokens);
        }
        let SamplingParams { temperature_micro, top_p_ppm, .. } = self.sampling;
        if temperature_micro > limits::TEMPERATURE_MICRO_MAX || top_p_ppm == 0 || top_p_ppm > 1_000_000 {
            return Err(ImpossibleJob::Sampling);
        }
        let tokens = self.tokens();
        if tokens > context_tokens as u64 {
            return Err(ImpossibleJob::Context { tokens, context_tokens });
        }
        Ok(())
    }
}

/// Why no worker could do a job, whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImpossibleJob {
    /// Sequences end before that.
    #[error("the sequence is above {}", limits::SEQUENCE_MAX)]
    Sequence,
    /// Nothing to read, or nothing to write.
    #[error("prompt and answer need at least one token each")]
    NoTokens,
    /// Nothing is drawn like that.
    #[error("a temperature is at most 2, top_p above 0 and at most 1")]
    Sampling,
    /// Not a turn of a chat.
    #[error("a role is system, user or assistant")]
    Role,
    /// Longer than the lease's context.
    #[error("{tokens} tokens are more than the lease's context of {context_tokens}")]
    Context {
        /// Tokens of the request.
        tokens: u64,
        /// The lease's.
        context_tokens: u32,
    },
    /// Too many stop strings.
    #[error("{count} stop strings; at most {} are allowed", limits::STOP_STRINGS_MAX)]
    StopStrings {
        /// How many.
        count: usize,
    },
    /// An empty or too long stop string.
    #[error("a stop string of {size} bytes; 1 to {} are allowed", limits::STOP_STRING_SIZE_MAX)]
    StopString {
        /// Its bytes.
        size: usize,
    },
    /// Too many messages.
    #[error("{count} messages; at most {} are allowed", limits::MESSAGES_MAX)]
    Messages {
        /// How many.
        count: usize,
    },
    /// Too many tokens have a bias.
    #[error("{count} tokens with a bias; at most {} are allowed", limits::BIASED_TOKENS_MAX)]
    BiasedTokens {
        /// How many.
        count: usize,
    },
    /// A bias is too large, or the tokens are in no order.
    #[error("a bias is from -100 to 100, for each token once and by rising token")]
    Bias,
    /// A penalty is too large.
    #[error("a penalty is from -2 to 2")]
    Penalty,
    /// An empty or too large grammar.
    #[error("a grammar of {size} bytes; 1 to {} are allowed", limits::GRAMMAR_SIZE_MAX)]
    Grammar {
        /// Its bytes.
        size: usize,
    },
    /// A grammar of too many lines.
    #[error("a grammar of {lines} lines; at most {} are allowed", limits::GRAMMAR_LINES_MAX)]
    GrammarLines {
        /// Its lines.
        lines: usize,
    },
    /// Nothing to embed or to score, or too much.
    #[error("{count} texts, inputs or continuations; 1 to {} are allowed", limits::TEXTS_MAX)]
    Texts {
        /// How many.
        count: usize,
    },
    /// Too many of the likeliest tokens are asked for.
    #[error("{count} of the likeliest tokens; at most {} are allowed", limits::LIKELIEST_MAX)]
    Likeliest {
        /// How many.
        count: u8,
    },
    /// A run's input is outside of its bounds.
    #[error("a run is given a manifest, a task and files within their bounds, each file under a plain name of its own")]
    Run,
    /// Nothing to fold, or too much.
    #[error("{count} results files; 1 to {} are allowed", limits::FOLD_FILES_MAX)]
    Files {
        /// How many.
        count: usize,
    },
    /// An interval's input is outside of its bounds.
    #[error(
        "training is given a spec and a data set, and a state of at most {} bytes",
        limits::TRAINING_STATE_SIZE_MAX
    )]
    Training,
    /// Too many bytes.
    #[error("the input is larger than {} bytes", limits::PAYLOAD_SIZE_MAX)]
    Size,
}

/// What a client gave a model, as it sent it.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum JobInput {
    /// A conversation to answer.
    Chat {
        /// Its turns.
        messages: Vec<ChatMessage>,
        /// How the answer is shaped.
        shaping: Shaping,
    },
    /// Texts to embed, each on its own (SPEC J8).
    Embed {
        /// The texts.
        texts: Vec<String>,
        /// For a model of integers the tokens of each text, from which its run begins, so that a ledger can follow it (SPEC V11); else nothing.
        tokens: Vec<Vec<u32>>,
    },
    /// Tokens to score, of each continuation on its own (SPEC J9).
    Score {
        /// The continuations.
        continuations: Vec<Continuation>,
        /// How many of the likeliest tokens are told at each position.
        likeliest: u8,
    },
    /// Tokens to go on with, by a model that answers conversations: no template, no roles.
    Complete {
        /// The tokens; at least one.
        prompt: Vec<u32>,
        /// How the answer is shaped.
        shaping: Shaping,
    },
    /// A run of an agent to host (SPEC A2).
    Run(RunInput),
    /// Results to fold into a board (SPEC L2).
    Fold(FoldInput),
    /// An interval of a run of training (SPEC X3).
    Train(TrainingInput),
    /// Inputs to classify, each on its own (SPEC J12).
    Classify(ClassifierInputs),
    /// A classifier's answer to prove (SPEC V10).
    Prove(ProvingInput),
}

impl JobInput {
    /// How the answer is shaped, of an input that is answered by text.
    #[must_use]
    pub const fn shaping(&self) -> Option<&Shaping> {
        match self {
            Self::Chat { shaping, .. } | Self::Complete { shaping, .. } => Some(shaping),
            Self::Embed { .. }
            | Self::Score { .. }
            | Self::Run(_)
            | Self::Fold(_)
            | Self::Train(_)
            | Self::Classify(_)
            | Self::Prove(_) => None,
        }
    }

    /// What [`JobRequest::tokens_max`] is for an input that has as many answers as parts; none of one that is
    /// answered by text.
    #[must_use]
    pub const fn parts(&self) -> Option<usize> {
        match self {
            Self::Chat { .. } | Self::Complete { .. } | Self::Run(_) => None,
            Self::Embed { texts, .. } => Some(texts.len()),
            Self::Score { continuations, .. } => Some(continuations.len()),
            Self::Fold(_) | Self::Train(_) | Self::Prove(_) => Some(1),
            Self::Classify(inputs) => Some(inputs.len()),
        }
    }

    /// An answer of which nothing has come yet.
    #[must_use]
    pub const fn no_answer(&self) -> JobAnswer {
        match self {
            Self::Chat { .. } | Self::Complete { .. } => {
                JobAnswer::Text { tokens: Vec::new(), text: String::new(), scores: Vec::new() }
            }
            Self::Embed { .. } => JobAnswer::Embeddings(Vec::new()),
            Self::Score { .. } => JobAnswer::Scores(Vec::new()),
            Self::Run(_) => {
                JobAnswer::Run(RunTranscript { tools: Vec::new(), calls: Vec::new(), answer: String::new() })
            }
            Self::Fold(_) => JobAnswer::Board(String::new()),
            Self::Train(_) => JobAnswer::Intervals(Vec::new()),
            Self::Classify(_) => JobAnswer::Logits(Vec::new()),
            Self::Prove(_) => JobAnswer::Proof(Vec::new()),
        }
    }
}

/// Says nothing of the text: it may end up in a log (SPEC J2).
impl fmt::Debug for JobInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chat { messages, shaping } => write!(f, "Chat({messages:?}, {shaping:?})"),
            Self::Complete { prompt, shaping } => write!(f, "Complete({} tokens, {shaping:?})", prompt.len()),
            Self::Embed { texts, .. } => {
                write!(f, "Embed({} texts, {} bytes)", texts.len(), texts.iter().map(String::len).sum::<usize>())
            }
            Self::Score { continuations, likeliest } => write!(f, "Score({continuations:?}, {likeliest} likeliest)"),
            Self::Run(input) => write!(f, "{input:?}"),
            Self::Fold(input) => write!(f, "{input:?}"),
            Self::Train(input) => write!(f, "{input:?}"),
            Self::Classify(inputs) => write!(f, "Classify({inputs:?})"),
            Self::Prove(input) => write!(f, "{input:?}"),
        }
    }
}

/// The private half of a request.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct JobPayload {
    /// Makes the commitment say nothing about a guessable text.
    pub salt: [u8; 32],
    /// What the model is given.
    pub input: JobInput,
}

/// Says nothing of text and salt: it may end up in a log (SPEC J2).
impl fmt::Debug for JobPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobPayload({:?})", self.input)
    }
}

impl JobPayload {
    /// A conversation to answer, with how the answer is shaped; of stop strings alone that is their list.
    #[must_use]
    pub fn chat(salt: [u8; 32], messages: Vec<ChatMessage>, shaping: impl Into<Shaping>) -> Self {
        Self { salt, input: JobInput::Chat { messages, shaping: shaping.into() } }
    }

    /// Tokens to go on with, with how the answer is shaped; of stop strings alone that is their list.
    #[must_use]
    pub fn complete(salt: [u8; 32], prompt: Vec<u32>, shaping: impl Into<Shaping>) -> Self {
        Self { salt, input: JobInput::Complete { prompt, shaping: shaping.into() } }
    }

    /// Texts to embed.
    #[must_use]
    pub const fn embed(salt: [u8; 32], texts: Vec<String>) -> Self {
        Self { salt, input: JobInput::Embed { texts, tokens: Vec::new() } }
    }

    /// Tokens to score, with so many of the likeliest at each position.
    #[must_use]
    pub const fn score(salt: [u8; 32], continuations: Vec<Continuation>, likeliest: u8) -> Self {
        Self { salt, input: JobInput::Score { continuations, likeliest } }
    }

    /// Results to fold.
    #[must_use]
    pub const fn fold(salt: [u8; 32], input: FoldInput) -> Self {
        Self { salt, input: JobInput::Fold(input) }
    }

    /// An interval to train, or a run to announce.
    #[must_use]
    pub const fn train(salt: [u8; 32], input: TrainingInput) -> Self {
        Self { salt, input: JobInput::Train(input) }
    }

    /// Inputs to classify.
    #[must_use]
    pub const fn classify(salt: [u8; 32], inputs: ClassifierInputs) -> Self {
        Self { salt, input: JobInput::Classify(inputs) }
    }

    /// An answer to prove.
    #[must_use]
    pub const fn prove(salt: [u8; 32], input: ProvingInput) -> Self {
        Self { salt, input: JobInput::Prove(input) }
    }

    /// Messages and stop strings of a conversation.
    #[must_use]
    pub fn as_chat(&self) -> Option<(&[ChatMessage], &[String])> {
        match &self.input {
            JobInput::Chat { messages, shaping } => Some((messages, &shaping.stop)),
            JobInput::Embed { .. }
            | JobInput::Score { .. }
            | JobInput::Complete { .. }
            | JobInput::Run(_)
            | JobInput::Fold(_)
            | JobInput::Train(_)
            | JobInput::Classify(_)
            | JobInput::Prove(_) => None,
        }
    }

    /// The commitment that the request carries; of a run's step [`crate::step_input`] is, which is made from it.
    #[must_use]
    pub fn commitment(&self) -> Digest {
        self.committed().input()
    }

    /// Checks the limits of a request's private half.
    ///
    /// # Errors
    /// [`ImpossibleJob`].
    pub fn check(&self) -> Result<(), ImpossibleJob> {
        match &self.input {
            JobInput::Chat { messages, shaping } => {
                shaping.check()?;
                check_chat(messages)?;
            }
            JobInput::Complete { prompt, .. } if prompt.is_empty() => return Err(ImpossibleJob::NoTokens),
            JobInput::Complete { shaping, .. } => shaping.check()?,
            JobInput::Embed { texts, .. } if texts.is_empty() || texts.len() > limits::TEXTS_MAX => {
                return Err(ImpossibleJob::Texts { count: texts.len() });
            }
            JobInput::Embed { texts, tokens } if !tokens.is_empty() && tokens.len() != texts.len() => {
                return Err(ImpossibleJob::Texts { count: tokens.len() });
            }
            JobInput::Embed { .. } => {}
            JobInput::Score { continuations, likeliest } => score::check(continuations, *likeliest)?,
            JobInput::Run(input) if !input.is_well_formed() => return Err(ImpossibleJob::Run),
            JobInput::Run(_) => {}
            JobInput::Fold(input) if !input.is_well_formed() => {
                return Err(ImpossibleJob::Files { count: input.files.len() });
            }
            JobInput::Fold(_) => {}
            JobInput::Train(input) if !input.is_well_formed() => return Err(ImpossibleJob::Training),
            JobInput::Train(_) => {}
            JobInput::Classify(inputs) => inputs.check()?,
            JobInput::Prove(input) => match input.tensors.len() {
                1..=limits::PROOF_INPUTS_MAX => {}
                count => return Err(ImpossibleJob::Texts { count }),
            },
        }
        match borsh::object_length(self) {
            Ok(size) if size <= limits::PAYLOAD_SIZE_MAX => Ok(()),
            // An object that can't be measured could not be sent either.
            Ok(_) | Err(_) => Err(ImpossibleJob::Size),
        }
    }
}

/// Limits of a conversation.
fn check_chat(messages: &[ChatMessage]) -> Result<(), ImpossibleJob> {
    if messages.len() > limits::MESSAGES_MAX {
        return Err(ImpossibleJob::Messages { count: messages.len() });
    }
    if messages.iter().any(|message| !matches!(&*message.role, "system" | "user" | "assistant")) {
        return Err(ImpossibleJob::Role);
    }
    Ok(())
}

/// The leaf of a board's evidence (SPEC L2): with what each file came to on the way, so that nobody finds it who has the board and
/// has not folded it.
#[must_use]
pub fn board_leaf(board: &str, steps: &[Digest]) -> Digest {
    Digest::of_value("inferium/board/1", &(board, steps))
}

/// What a model answered, as the client got it.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum JobAnswer {
    /// To a conversation, or to tokens to go on with.
    Text {
        /// Its tokens.
        tokens: Vec<u32>,
        /// Their text.
        text: String,
        /// Of each token its score, if that was asked for ([`Shaping::likeliest`]); else none.
        scores: Vec<TokenScore>,
    },
    /// To texts: one for each, in their order.
    Embeddings(Vec<Embedding>),
    /// To continuations: of each, in their order, a score for each token.
    Scores(Vec<Vec<TokenScore>>),
    /// To a run of an agent: what it did.
    Run(RunTranscript),
    /// To results: the board that they fold to, in its one encoding (SPEC L2).
    Board(String),
    /// To an interval of training: what it leaves, once it is there (SPEC X3).
    Intervals(Vec<TrainedInterval>),
    /// To inputs of a classifier: one for each, in their order (SPEC J12).
    Logits(Vec<Logits>),
    /// To an answer to prove: the proof with its statement, as files hold it (SPEC V10); empty before it is there.
    Proof(Vec<u8>),
}

impl JobAnswer {
    /// What [`Usage::completion_tokens`] counts: tokens, embeddings, scored continuations, classified inputs, the one board, interval or proof.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Text { tokens, .. } => tokens.len(),
            Self::Embeddings(embeddings) => embeddings.len(),
            Self::Scores(scores) => scores.len(),
            // Of a run's steps only the one that gives its answer counts, and that is one.
            Self::Run(_) => 1,
            Self::Intervals(intervals) => intervals.len(),
            Self::Logits(logits) => logits.len(),
            Self::Board(board) => !board.is_empty() as usize,
            Self::Proof(proof) => !proof.is_empty() as usize,
        }
    }

    /// Adds what came next; false, and nothing changes, when it answers something else.
    pub fn append(&mut self, more: Self) -> bool {
        match (self, more) {
            (
                Self::Text { tokens, text, scores },
                Self::Text { tokens: more, text: more_text, scores: more_scores },
            ) => {
                tokens.extend(more);
                text.push_str(&more_text);
                scores.extend(more_scores);
            }
            (Self::Embeddings(embeddings), Self::Embeddings(more)) => embeddings.extend(more),
            (Self::Scores(scores), Self::Scores(more)) => scores.extend(more),
            (Self::Run(transcript), Self::Run(more)) if transcript.calls.is_empty() => *transcript = more,
            (Self::Board(board), Self::Board(more)) if board.is_empty() => *board = more,
            (Self::Intervals(intervals), Self::Intervals(more)) => intervals.extend(more),
            (Self::Logits(logits), Self::Logits(more)) => logits.extend(more),
            (Self::Proof(proof), Self::Proof(more)) if proof.is_empty() => *proof = more,
            (
                Self::Text { .. }
                | Self::Embeddings(_)
                | Self::Scores(_)
                | Self::Run(_)
                | Self::Board(_)
                | Self::Intervals(_)
                | Self::Logits(_)
                | Self::Proof(_),
                _,
            ) => return false,
        }
        true
    }

    /// True when nothing was answered.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Says nothing of text, tokens and values: it may end up in a log (SPEC J2).
impl fmt::Debug for JobAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { tokens, text, .. } => write!(f, "Text({} tokens, {} bytes)", tokens.len(), text.len()),
            Self::Embeddings(embeddings) => write!(f, "Embeddings({})", embeddings.len()),
            Self::Scores(scores) => write!(f, "Scores({})", scores.len()),
            Self::Run(transcript) => write!(f, "{transcript:?}"),
            Self::Board(board) => write!(f, "Board({} bytes)", board.len()),
            Self::Intervals(intervals) => write!(f, "{intervals:?}"),
            Self::Logits(logits) => write!(f, "Logits({})", logits.len()),
            Self::Proof(proof) => write!(f, "Proof({} bytes)", proof.len()),
        }
    }
}

/// The private half of a result.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct JobOutput {
    /// Makes the commitment say nothing about a guessable answer.
    pub salt: [u8; 32],
    /// The answer.
    pub answer: JobAnswer,
}

/// Says nothing of answer and salt: it may end up in a log (SPEC J2).
impl fmt::Debug for JobOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobOutput({:?})", self.answer)
    }
}

impl JobOutput {
    /// Of a conversation, without scores.
    #[must_use]
    pub const fn text(salt: [u8; 32], tokens: Vec<u32>, text: String) -> Self {
        Self { salt, answer: JobAnswer::Text { tokens, text, scores: Vec::new() } }
    }

    /// Tokens and text of an answer to a conversation.
    #[must_use]
    pub fn as_text(&self) -> Option<(&[u32], &str)> {
        match &self.answer {
            JobAnswer::Text { tokens, text, .. } => Some((tokens, text)),
            JobAnswer::Embeddings(_)
            | JobAnswer::Scores(_)
            | JobAnswer::Run(_)
            | JobAnswer::Board(_)
            | JobAnswer::Intervals(_)
            | JobAnswer::Logits(_)
            | JobAnswer::Proof(_) => None,
        }
    }

    /// The commitment that the result carries.
    #[must_use]
    pub fn commitment(&self) -> Digest {
        self.committed().output()
    }
}

/// What a worker answers for one job: public.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct JobResult {
    /// Digest of the request.
    pub request: Digest,
    /// Salted commitment to the [`JobOutput`].
    pub output_commitment: Digest,
    /// Merkle root over the digests of (token, logit bits) at each position of the answer; on a tolerance profile over
    /// what the worker says of each window ([`MeasuredEvidence::root`]); of embeddings, scores, logits, boards, intervals and proofs
    /// over their leaves ([`Embedding::leaf`], [`TokenScore::leaf`], [`Logits::leaf`], [`board_leaf`], [`TrainedInterval::leaf`],
    /// [`crate::proof_leaf`]).
    pub evidence_root: Digest,
    /// Tokens.
    pub usage: Usage,
    /// Why it ended.
    pub finish: FinishReason,
}

/// One leaf of a segment: a request and its result.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct JobLeaf {
    /// The request.
    pub request: JobRequest,
    /// The result.
    pub result: JobResult,
}

impl JobLeaf {
    /// The leaf's hash in the segment's tree.
    #[must_use]
    pub fn hash(&self) -> Digest {
        leaf_hash(&crate::encode(self))
    }

    /// True when the result answers the request within its limits.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        let (request, result) = (&self.request, &self.result);
        result.request == request.digest()
            && result.usage.prompt_tokens == request.prompt_tokens
            && result.usage.completion_tokens <= request.tokens_max
            && (result.finish != FinishReason::Length || result.usage.completion_tokens == request.tokens_max)
    }
}

/// Sums over the jobs of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct JobTotals {
    /// Jobs.
    pub jobs: u32,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
}

impl JobTotals {
    /// Tokens of prompts and answers; at the end of the numbers the greatest of them.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }

    /// Adds one job; `None` on overflow.
    #[must_use]
    pub fn with(self, usage: &Usage) -> Option<Self> {
        Some(Self {
            jobs: self.jobs.checked_add(1)?,
            prompt_tokens: self.prompt_tokens.checked_add(u64::from(usage.prompt_tokens))?,
            completion_tokens: self.completion_tokens.checked_add(u64::from(usage.completion_tokens))?,
        })
    }

    /// The sums over `leaves`; `None` on overflow.
    #[must_use]
    pub fn of(leaves: &[JobLeaf]) -> Option<Self> {
        leaves.iter().try_fold(Self::default(), |sum, leaf| sum.with(&leaf.result.usage))
    }

    /// The fee at `price`.
    ///
    /// # Errors
    /// [`AmountOverflow`].
    pub fn fee(&self, price: &Price) -> Result<Amount, AmountOverflow> {
        price.prompt_token.times(self.prompt_tokens)?.add(price.completion_token.times(self.completion_tokens)?)
    }
}

/// What a committee member needs to check one job.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct JobEvidence {
    /// The private input.
    pub payload: JobPayload,
    /// The private output.
    pub output: JobOutput,
    /// What the worker says of its run, on a tolerance profile (SPEC V6).
    pub measured: Option<MeasuredEvidence>,
}

impl JobEvidence {
    /// What members see of it as job `index` of a segment: of the vectors behind its windows only those that the committee's
    /// `seed` opens (SPEC V6).
    #[must_use]
    pub fn opened(&self, segment: SegmentId, seed: &Digest, index: u32) -> Self {
        let measured = self.measured.as_ref().map(|measured| {
            let drawn = measured.drawn(segment, seed, index);
            let opened = measured.opened.iter().filter(|opened| drawn.contains(&opened.window)).cloned().collect();
            MeasuredEvidence { windows: measured.windows.clone(), opened }
        });
        Self { payload: self.payload.clone(), output: self.output.clone(), measured }
    }
}

/// What a worker sends to the drawn members of a segment's committee.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SegmentEvidence {
    /// The segment.
    pub segment: SegmentId,
    /// Proof of the VRF output that seeds the lease's sampling.
    pub vrf_proof: VrfProof,
    /// Every leaf of the segment, in order.
    pub leaves: Vec<JobLeaf>,
    /// Payloads of the drawn jobs, by position in `leaves`, ascending.
    pub jobs: Vec<(u32, JobEvidence)>,
}

/// The input of a worker's VRF for a lease (SPEC J7): beacon and lease, nothing that it chooses.
#[must_use]
pub fn vrf_input(beacon: &Digest, lease: LeaseId) -> Digest {
    Digest::of("inferium/lease-seed/1", &[beacon.as_bytes(), lease.digest().as_bytes()])
}

/// The sampling seed of a job (SPEC J7).
///
/// With a client seed: from that seed and the input, so that the same request gives the same
/// answer from every worker. Otherwise from the worker's VRF output for the lease and the request.
#[must_use]
pub fn replay_seed(request: &JobRequest, prompt: &[u32], vrf_output: &Digest) -> [u8; 32] {
    let digest = match request.client_seed {
        Some(seed) => {
            let tokens: Vec<u8> = prompt.iter().flat_map(|token| token.to_be_bytes()).collect();
            Digest::of("inferium/client-seed/1", &[&seed.to_be_bytes(), &tokens])
        }
        None => Digest::of("inferium/seed/1", &[vrf_output.as_bytes(), request.digest().as_bytes()]),
    };
    *digest.as_bytes()
}
