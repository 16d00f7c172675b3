//! One generation or replay.

use super::Prefix;
use crate::llama::Row;
use crate::measure::{Claim, measure};
use crate::score::{score, token_score};
use crate::shaper::Shaper;
use crate::trace::token_cell;
use crate::{EngineError, GenerateRequest, ReplayRequest, Score, ScoreRequest, Step, Trace, TraceRequest};
use inferium_sampling::{Adjustment, Sampler, position_digest};
use inferium_types::{Digest, SamplingParams, TraceShape};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// A request on its way to the thread.
#[derive(Debug)]
pub(crate) struct Job {
    /// What is fed: the prompt, for a replay with all but the last of the claimed tokens.
    tokens: Vec<u32>,
    prompt_len: usize,
    /// Output positions to compute at most.
    output_len: usize,
    sampler: Sampler,
    /// Bends logits; most answers have none.
    shaper: Option<Shaper>,
    /// How many of the likeliest tokens are told beside each token's score.
    likeliest: Option<u8>,
    measure: bool,
    /// Whose computed prompts it may begin with.
    prefix_scope: Option<Digest>,
    reply: Reply,
}

#[derive(Debug)]
enum Reply {
    Stream {
        to: mpsc::Sender<Result<Step, EngineError>>,
        eos: Arc<[u32]>,
    },
    Whole {
        to: oneshot::Sender<Result<Vec<Step>, EngineError>>,
        steps: Vec<Step>,
        /// The claimed token that is never fed.
        last: Option<u32>,
    },
    Scores {
        to: oneshot::Sender<Result<Vec<Score>, EngineError>>,
        scores: Vec<Score>,
        likeliest: u8,
        /// The scored token that is never fed.
        last: Option<u32>,
    },
    Trace {
        to: oneshot::Sender<Result<Trace, EngineError>>,
        shape: TraceShape,
        /// The cells of each position so far.
        positions: Vec<Vec<Digest>>,
        /// The claimed token that is never fed.
        last: Option<u32>,
    },
}

impl Job {
    pub(crate) fn generate(
        request: GenerateRequest,
        shaper: Option<Shaper>,
        eos: Arc<[u32]>,
        to: mpsc::Sender<Result<Step, EngineError>>,
    ) -> Self {
        Self {
            prompt_len: request.prompt.len(),
            tokens: request.prompt,
            output_len: request.max_tokens as usize,
            sampler: Sampler::new(request.sampling, request.seed),
            shaper,
            likeliest: request.shaping.likeliest,
            measure: request.measure,
            prefix_scope: request.prefix_scope,
            reply: Reply::Stream { to, eos },
        }
    }

    pub(crate) fn replay(
        request: ReplayRequest,
        shaper: Option<Shaper>,
        to: oneshot::Sender<Result<Vec<Step>, EngineError>>,
    ) -> Self {
        let (prompt_len, output) = (request.prompt.len(), request.output);
        Self {
            tokens: fed(request.prompt, &output),
            prompt_len,
            output_len: output.len(),
            sampler: Sampler::new(request.sampling, request.seed),
            shaper,
            likeliest: request.shaping.likeliest,
            measure: request.measure,
            prefix_scope: request.prefix_scope,
            reply: Reply::Whole { to, steps: Vec::with_capacity(output.len()), last: output.last().copied() },
        }
    }

    pub(crate) fn score(request: ScoreRequest, to: oneshot::Sender<Result<Vec<Score>, EngineError>>) -> Self {
        let ScoreRequest { prompt, tokens, likeliest } = request;
        let scores = Vec::with_capacity(tokens.len());
        Self {
            prompt_len: prompt.len(),
            tokens: fed(prompt, &tokens),
            output_len: tokens.len(),
            // It draws nothing.
            sampler: Sampler::new(SamplingParams::GREEDY, [0; 32]),
            shaper: None,
            likeliest: None,
            measure: false,
            prefix_scope: None,
            reply: Reply::Scores { to, scores, likeliest, last: tokens.last().copied() },
        }
    }

    pub(crate) fn trace(request: TraceRequest, layers: usize, to: oneshot::Sender<Result<Trace, EngineError>>) -> Self {
        let shape = request.shape(layers);
        let (prompt_len, output) = (request.prompt.len(), request.output);
        Self {
            tokens: fed(request.prompt, &output),
            prompt_len,
            output_len: output.len(),
            // It draws nothing.
            sampler: Sampler::new(SamplingParams::GREEDY, [0; 32]),
            shaper: None,
            likeliest: None,
            measure: false,
            prefix_scope: None,
            reply: Reply::Trace { to, shape, positions: Vec::new(), last: output.last().copied() },
        }
    }

    /// Tokens that the cache must hold at the end; the last output token is never fed.
    pub(crate) fn tokens(&self) -> usize {
        (self.prompt_len + self.output_len).saturating_sub(1).max(1)
    }

    /// What it could begin with: not the prompt's last token, after which the first output is drawn.
    pub(crate) fn prefix(&self) -> Option<Prefix<'_>> {
        self.prefix_scope.map(|scope| Prefix { scope, tokens: &self.tokens[..self.prompt_len - 1] })
    }

    pub(crate) fn is_replay(&self) -> bool {
        !matches!(self.reply, Reply::Stream { .. })
    }

    /// Whether a client waits for it: clients' jobs and replays have places of their own.
    pub(crate) fn is_of_client(&self) -> bool {
        matches!(self.reply, Reply::Stream { .. } | Reply::Scores { .. })
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        match &self.reply {
            Reply::Stream { to, .. } => to.is_closed(),
            Reply::Whole { to, .. } => to.is_closed(),
            Reply::Scores { to, .. } => to.is_closed(),
            Reply::Trace { to, .. } => to.is_closed(),
        }
    }

    fn is_trace(&self) -> bool {
        matches!(self.reply, Reply::Trace { .. })
    }
}

/// What a replay feeds: the prompt with all but the last of the claimed tokens.
fn fed(prompt: Vec<u32>, output: &[u32]) -> Vec<u32> {
    let mut tokens = prompt;
    if let Some((_, fed)) = output.split_last() {
        tokens.extend_from_slice(fed);
    }
    tokens
}

/// What comes of one output position.
#[derive(Debug)]
pub(crate) enum Output {
    /// Of a generation, a replay or a trace.
    Step(Step),
    /// Of tokens that are scored.
    Score(Score),
}

/// An active job, with its room in a cache.
#[derive(Debug)]
pub(crate) struct Sequence<R> {
    job: Job,
    cache: R,
    /// Tokens that have been computed; the next row's position.
    fed: usize,
    /// Output positions that have been computed.
    produced: usize,
    /// Output tokens that the shaper knows.
    shaped: usize,
    ended: bool,
}

impl<R> Sequence<R> {
    /// At its beginning, with room that holds the first `found` tokens already.
    pub(crate) fn new(job: Job, cache: R, found: usize) -> Self {
        Self { job, cache, fed: found, produced: 0, shaped: 0, ended: false }
    }

    pub(crate) fn is_replay(&self) -> bool {
        self.job.is_replay()
    }

    pub(crate) fn is_of_client(&self) -> bool {
        self.job.is_of_client()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.job.is_cancelled()
    }

    /// Whether the sequence produces its output token by token now.
    pub(crate) fn is_streaming(&self) -> bool {
        !self.is_replay() && self.fed >= self.job.prompt_len
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.ended
    }

    pub(crate) fn cache_mut(&mut self) -> &mut R {
        &mut self.cache
    }

    /// The room, and the tokens that have been computed.
    pub(crate) fn into_room(self) -> (R, Vec<u32>) {
        let mut tokens = self.job.tokens;
        tokens.truncate(self.fed);
        (self.cache, tokens)
    }

    /// The next rows of the sequence, at most `count`.
    pub(crate) fn rows(&self, sequence: usize, count: usize) -> impl Iterator<Item = Row> {
        let first_output = self.job.prompt_len - 1;
        self.job.tokens[self.fed..].iter().take(count).zip(self.fed..).map(move |(&token, position)| Row {
            sequence,
            token,
            position,
            logits: position >= first_output,
            traced: self.job.is_trace(),
        })
    }

    /// Whether something bends its logits.
    pub(crate) fn is_shaped(&self) -> bool {
        self.job.shaper.is_some()
    }

    /// What bends the logits of the output position that follows `position`. Positions are asked for as they rise.
    pub(crate) fn adjustment(&mut self, position: usize) -> Option<Adjustment> {
        let shaper = self.job.shaper.as_mut()?;
        let first = self.job.prompt_len + self.shaped;
        for &token in self.job.tokens.get(first..=position).unwrap_or_default() {
            shaper.push(token);
            self.shaped += 1;
        }
        Some(shaper.next())
    }

    /// What comes of the output position that follows `position`; `hidden` is what the logits were made from.
    pub(crate) fn output(
        &self,
        position: usize,
        logits: &[f32],
        hidden: &[f32],
        adjustment: Option<&Adjustment>,
    ) -> Output {
        match (&self.job.reply, self.claimed(position + 1)) {
            (Reply::Scores { likeliest, .. }, Some(token)) => Output::Score(score(logits, token, *likeliest)),
            _ => Output::Step(self.step(position, logits, hidden, adjustment)),
        }
    }

    fn step(&self, position: usize, logits: &[f32], hidden: &[f32], adjustment: Option<&Adjustment>) -> Step {
        let output_position = (position + 1 - self.job.prompt_len) as u64;
        let claimed = self.claimed(position + 1);
        let token = claimed.filter(|_| self.job.is_trace()).unwrap_or_else(|| match adjustment {
            Some(adjustment) => {
                let mut bent = logits.to_vec();
                adjustment.apply(&mut bent);
                self.job.sampler.choose(output_position, &bent)
            }
            None => self.job.sampler.choose(output_position, logits),
        });
        let measured = self.job.measure.then(|| {
            let claim = claimed.map_or(Claim::Own(token), Claim::Token);
            Arc::new(measure(&self.job.sampler, output_position, logits, claim, hidden))
        });
        let score = self.job.likeliest.map(|count| token_score(logits, claimed.unwrap_or(token), count));
        Step { token, digest: position_digest(token, logits), measured, score }
    }

    /// The token that a replay claims for a position of the sequence.
    fn claimed(&self, position: usize) -> Option<u32> {
        match &self.job.reply {
            Reply::Stream { .. } => None,
            Reply::Whole { last, .. } | Reply::Scores { last, .. } | Reply::Trace { last, .. } => {
                self.job.tokens.get(position).copied().or(*last)
            }
        }
    }

    /// Notes that one more token has been computed.
    pub(crate) fn advance(&mut self) {
        self.fed += 1;
    }

    /// Takes what was noted of the next position, from the embedding to the final norm.
    pub(crate) fn note(&mut self, token: u32, cells: Vec<Digest>) {
        if let Reply::Trace { positions, .. } = &mut self.job.reply {
            positions.push([vec![token_cell(token)], cells].concat());
        }
    }

    /// Takes what came of the next output position.
    pub(crate) fn take(&mut self, output: Output) {
        self.produced += 1;
        let full = self.produced >= self.job.output_len;
        match (&mut self.job.reply, output) {
            (Reply::Stream { to, eos }, Output::Step(step)) => {
                let token = step.token;
                // The channel has room for every step; an error means that the receiver is gone.
                let gone = to.try_send(Ok(step)).is_err();
                self.ended = full || gone || eos.contains(&token);
                if !self.ended {
                    self.job.tokens.push(token);
                }
            }
            (Reply::Whole { steps, .. }, Output::Step(step)) => {
                steps.push(step);
                self.ended = full;
            }
            (Reply::Scores { scores, .. }, Output::Score(score)) => {
                scores.push(score);
                self.ended = full;
            }
            (Reply::Trace { positions, .. }, Output::Step(step)) => {
                // Of several positions that were noted at once, the one that this step belongs to.
                let position = self.job.prompt_len + self.produced - 2;
                if let Some(cells) = positions.get_mut(position) {
                    cells.push(step.digest);
                }
                self.ended = full;
            }
            // Each reply is given what it takes.
            (Reply::Scores { .. }, Output::Step(_)) | (_, Output::Score(_)) => self.ended = true,
        }
    }

    /// Tells whoever waits that the engine failed, and gives the cache back.
    pub(crate) fn fail(self, error: EngineError) -> R {
        // An error means that nobody waits any more. A stream has room for one more step than it has got.
        match self.job.reply {
            Reply::Stream { to, .. } => drop(to.try_send(Err(error))),
            Reply::Whole { to, .. } => drop(to.send(Err(error))),
            Reply::Scores { to, .. } => drop(to.send(Err(error))),
            Reply::Trace { to, .. } => drop(to.send(Err(error))),
        }
        self.cache
    }

    /// Sends what is sent at the end; returns as [`Sequence::into_room`].
    pub(crate) fn finish(self) -> (R, Vec<u32>) {
        let Self { job: Job { mut tokens, reply, .. }, cache, fed, .. } = self;
        tokens.truncate(fed);
        // An error means that nobody waits any more.
        match reply {
            Reply::Stream { .. } => {}
            Reply::Whole { to, steps, .. } => drop(to.send(Ok(steps))),
            Reply::Scores { to, scores, .. } => drop(to.send(Ok(scores))),
            Reply::Trace { to, shape, positions, .. } => {
                drop(to.send(Ok(Trace { shape, cells: positions.concat() })));
            }
        }
        (cache, tokens)
    }
}
