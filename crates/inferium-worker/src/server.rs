//! A server behind the worker that speaks OpenAI's chat API: vLLM, llama-server, a hosted one (SPEC V9).
//!
//! The worker renders, counts and ends as every worker does; the server is asked for tokens only. Servers that return the ids of
//! what they drew are taken at these ids; the text of others is read with the model's own tokenizer, word by word.
//!
//! Nothing that a server answers to a job is repeated in errors: it may quote the prompt (SPEC J2).

mod answer;
mod events;

pub(crate) use answer::{Piece, Pieces};

use inferium_engine::{Engine, EngineError};
use inferium_types::{ChatMessage, SamplingParams};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

#[cfg(test)]
pub(crate) mod tests;

/// Time to reach the server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence of a server, before its first token and between two.
const SILENCE: Duration = Duration::from_secs(120);
/// What is read of an answer that is no stream; bytes.
const BODY_MAX: usize = 1 << 20;
/// What is shown of an error that a server gave before there were any jobs; characters.
const SHOWN: usize = 300;
/// Candidates that the canonical sampler keeps: no honest server of the class draws from more.
const CANDIDATES: u32 = 1_024;
/// Without ids the server may count otherwise than the tokenizer: it is asked for so many tokens more, and a share of this.
const SLACK_TOKENS: u32 = 8;
const SLACK_PART: u32 = 8;
/// What a new server is asked, once.
const PROBE: &str = "Say hello.";

/// Where a server is, and how it is asked.
#[derive(Clone)]
pub struct ServerConfig {
    /// Where its API begins: `http://127.0.0.1:8000/v1`, or without the `/v1`.
    pub url: String,
    /// The name that the server has for the model; `None`: the first that it lists.
    pub model: Option<String>,
    /// Sent as a bearer token.
    pub key: Option<String>,
    /// Longest silence before the first token and between two.
    pub silence: Duration,
}

impl ServerConfig {
    /// A server at `url`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), model: None, key: None, silence: SILENCE }
    }
}

/// Without the key.
impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, model, silence, .. } = self;
        f.debug_struct("ServerConfig")
            .field("url", url)
            .field("model", model)
            .field("silence", silence)
            .finish_non_exhaustive()
    }
}

/// Why a server gave no answer, or none that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// It can't be reached, or the connection broke.
    #[error("the server can't be reached: {reason}")]
    Unreachable {
        /// Why; no part of a text.
        reason: String,
    },
    /// It said nothing for too long.
    #[error("the server said nothing for {} s", .after.as_secs_f32())]
    Silent {
        /// For how long.
        after: Duration,
    },
    /// It refused.
    #[error("the server refused with status {status}{shown}")]
    Refused {
        /// HTTP's status.
        status: u16,
        /// What it said, of a request without any client's text; else nothing.
        shown: String,
    },
    /// What it sent is not what the API says.
    #[error("the server's answer is broken: {what}")]
    Broken {
        /// What is wrong.
        what: &'static str,
    },
    /// The stream ended before the answer did.
    #[error("the server's answer stopped in the middle")]
    Truncated,
    /// Its answer ended at a limit below the one that was asked for.
    #[error("the server stopped after {found} tokens of {wanted}, at a limit of its own")]
    Short {
        /// Tokens that came.
        found: usize,
        /// That were asked for.
        wanted: u32,
    },
    /// It ended the answer for a reason that no model has.
    #[error("the server ended the answer otherwise than by its end or its length")]
    Ended,
    /// An id that the model does not have.
    #[error("the server drew token {token}, the model has {vocab_size}: it serves another model")]
    UnknownToken {
        /// The id.
        token: u64,
        /// How many there are.
        vocab_size: u32,
    },
    /// Ids and text are different.
    #[error("the server's token ids do not spell its text: it has another tokenizer")]
    OtherText,
    /// The tokenizer does not give the server's text back.
    #[error("the model's tokenizer can't write the server's text")]
    Unwritable,
    /// The prompt is another one there.
    #[error(
        "the server reads {found} prompt tokens where the model's template gives {expected}: its template or its model is another"
    )]
    OtherPrompt {
        /// Its count.
        found: u64,
        /// Ours.
        expected: usize,
    },
    /// It answers, but only if it may draw from the whole vocabulary.
    #[error(
        "the server does not take `top_k`: it draws from the whole vocabulary where verifiers keep the {CANDIDATES} likeliest tokens, so that honest work would look like a cheat's"
    )]
    TopK,
    /// It lists no model.
    #[error("the server lists no model; name one")]
    NoModel,
    /// Our own tokenizer or template failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<reqwest::Error> for ServerError {
    fn from(error: reqwest::Error) -> Self {
        // An error of the client's own names the address at most.
        let reason = if error.is_connect() { "nothing answers there" } else { "the connection broke" };
        Self::Unreachable { reason: reason.to_owned() }
    }
}

/// What a server takes beside the parameters that all must take, most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// vLLM's and llama.cpp's: all that they would else do to the distribution is turned off, and the ids of tokens.
    Ids,
    /// `top_k` only.
    TopK,
}

/// A server that was found to answer.
#[derive(Debug)]
pub struct Server {
    http: reqwest::Client,
    config: ServerConfig,
    /// Without a stroke at its end.
    base: String,
    model: String,
    dialect: Dialect,
    /// Whether it returned ids when it was tried.
    has_ids: bool,
}

/// One question.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) messages: &'a [ChatMessage],
    /// As the model's own template counts them.
    pub(crate) prompt_tokens: usize,
    pub(crate) sampling: SamplingParams,
    pub(crate) tokens_max: u32,
}

impl Server {
    /// Finds out what the server at an address can, by one question that is nobody's. `engine` reads and writes text.
    ///
    /// # Errors
    /// [`ServerError`]: it is not there, refuses, can't cut the distribution, or reads the question otherwise than the model
    /// does.
    pub async fn connect(config: ServerConfig, engine: &dyn Engine) -> Result<Self, ServerError> {
        // Prompts and the key go where the operator said, and nowhere else.
        let redirects = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).redirect(redirects).build()?;
        let base = config.url.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        let mut server = Self { http, base, model: String::new(), dialect: Dialect::Ids, has_ids: false, config };
        server.model = match server.config.model.clone() {
            Some(model) => model,
            None => server.first_model().await?,
        };
        let messages = [ChatMessage { role: "user".to_owned(), content: PROBE.to_owned() }];
        let sampling = SamplingParams::GREEDY;
        let prompt_tokens = engine.render_chat(&messages)?.len();
        let question = Question { messages: &messages, prompt_tokens, sampling, tokens_max: 1 };
        for dialect in [Dialect::Ids, Dialect::TopK] {
            server.dialect = dialect;
            match server.probe(&server.body(&question, 0, false), prompt_tokens).await {
                // What it does not know it may refuse by any of these.
                Err(ServerError::Refused { status: 400 | 404 | 422, .. }) => {}
                found => {
                    server.has_ids = found?;
                    return Ok(server);
                }
            }
        }
        // Is it `top_k` that it refuses, or everything?
        let mut plain = server.body(&question, 0, false);
        if let Some(fields) = plain.as_object_mut() {
            fields.remove("top_k");
        }
        server.probe(&plain, prompt_tokens).await.and(Err(ServerError::TopK))
    }

    /// What the server calls the model.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Whether it says which tokens it drew; else its text is read with the model's tokenizer.
    #[must_use]
    pub const fn has_ids(&self) -> bool {
        self.has_ids
    }

    /// Asks a question; the answer comes in pieces. Dropping them ends the request.
    pub(crate) async fn ask<'a>(
        &'a self,
        question: &Question<'_>,
        engine: &'a dyn Engine,
    ) -> Result<Pieces<'a>, ServerError> {
        let response = self.post(&self.body(question, self.slack(question, engine), true)).await?;
        if !response.status().is_success() {
            return Err(ServerError::Refused { status: response.status().as_u16(), shown: String::new() });
        }
        Ok(Pieces::new(response, self.config.silence, self.has_ids, engine))
    }

    async fn post(&self, body: &Value) -> Result<reqwest::Response, ServerError> {
        let request = self.http.post(format!("{}/v1/chat/completions", self.base)).json(body);
        self.in_time(self.signed(request).send()).await?.map_err(ServerError::from)
    }

    fn signed(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.config.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, ServerError> {
        let after = self.config.silence;
        tokio::time::timeout(after, work).await.map_err(|_| ServerError::Silent { after })
    }

    /// Tokens that a server without ids is asked for beside those that are wanted: what is too much is cut.
    fn slack(&self, question: &Question<'_>, engine: &dyn Engine) -> u32 {
        if self.has_ids {
            return 0;
        }
        let taken = u32::try_from(question.prompt_tokens).unwrap_or(u32::MAX).saturating_add(question.tokens_max);
        let room = engine.model().context_tokens.saturating_sub(taken);
        SLACK_TOKENS.saturating_add(question.tokens_max / SLACK_PART).min(room)
    }

    /// The request's body, of a stream or of the one answer that tries the server.
    fn body(&self, question: &Question<'_>, slack: u32, is_stream: bool) -> Value {
        let Question { messages, sampling, tokens_max, .. } = question;
        let messages: Vec<Value> =
            messages.iter().map(|message| json!({"role": message.role, "content": message.content})).collect();
        let top_k = if sampling.top_k == 0 { CANDIDATES } else { sampling.top_k.min(CANDIDATES) };
        // Never the client's seed nor the operator's: who could draw the same again could repeat an unlikely answer until the
        // worker is convicted. Some servers have a sign or 32 bits only.
        let seed = rand::random::<u32>() >> 1;
        let mut body = json!({
            "model": self.model,
            "messages": messages,
            "stream": is_stream,
            "temperature": f64::from(sampling.temperature_micro) / 1e6,
            "top_p": f64::from(sampling.top_p_ppm) / 1e6,
            "top_k": top_k,
            "seed": seed,
            "max_tokens": tokens_max.saturating_add(slack),
        });
        if let (Dialect::Ids, Some(fields)) = (self.dialect, body.as_object_mut()) {
            // llama.cpp cuts before the temperature and has a least share, vLLM takes penalties from the model's files, if
            // nobody asks.
            let more = json!({
                "min_p": 0.0, "repeat_penalty": 1.0, "repetition_penalty": 1.0, "presence_penalty": 0,
                "frequency_penalty": 0, "samplers": ["temperature", "top_k", "top_p"],
                "logprobs": true, "return_token_ids": true, "return_tokens_as_token_ids": true,
            });
            fields.extend(more.as_object().cloned().unwrap_or_default());
        }
        body
    }

    async fn first_model(&self) -> Result<String, ServerError> {
        let request = self.http.get(format!("{}/v1/models", self.base));
        let response = self.in_time(self.signed(request).send()).await??;
        let list = self.read(response).await?;
        let first = list.pointer("/data/0/id").and_then(Value::as_str);
        first.map(str::to_owned).ok_or(ServerError::NoModel)
    }

    /// Tries a request: the prompt must be as long as ours. Whether ids come.
    async fn probe(&self, body: &Value, expected: usize) -> Result<bool, ServerError> {
        let response = self.post(body).await?;
        let answer = self.read(response).await?;
        let choice = answer.pointer("/choices/0").ok_or(ServerError::Broken { what: "no choice" })?;
        match answer.pointer("/usage/prompt_tokens").and_then(Value::as_u64) {
            Some(found) if usize::try_from(found) != Ok(expected) => {
                return Err(ServerError::OtherPrompt { found, expected });
            }
            _ => {}
        }
        Ok(answer::ids_of(choice)?.is_some())
    }

    /// A whole answer that is no stream, and no client's.
    async fn read(&self, mut response: reqwest::Response) -> Result<Value, ServerError> {
        let status = response.status();
        let mut body = Vec::new();
        while let Some(bytes) = self.in_time(response.chunk()).await?? {
            if body.len().saturating_add(bytes.len()) > BODY_MAX {
                return Err(ServerError::Broken { what: "an answer without end" });
            }
            body.extend_from_slice(&bytes);
        }
        if !status.is_success() {
            let said: String = String::from_utf8_lossy(&body).chars().filter(|c| !c.is_control()).take(SHOWN).collect();
            return Err(ServerError::Refused { status: status.as_u16(), shown: format!(": {said}") });
        }
        serde_json::from_slice(&body).map_err(|_| ServerError::Broken { what: "no JSON" })
    }
}
