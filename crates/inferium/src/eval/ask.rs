//! One item's requests to a server of OpenAI's API, and what its answers say.

use crate::admin::refusal;
use crate::cli::{Failure, ServerArgs};
use crate::keys::{rows, text};
use crate::run::{Server, server};
use inferium_eval::{Answer, Item, ItemRecord, Suite, Target, Template, nano, score_item};
use inferium_types::Digest;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Time to connect; an answer may take long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The seed of every request. Nothing is drawn at temperature 0; it is sent so that no server draws anyway.
const SEED: u64 = 1_234;
/// Tries of one request: servers that are busy say so.
const TRIES: u32 = 7;
/// The pause after the first try that failed, if the server names none; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(250);
/// A pause that a server names at most.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A server that is asked about one model.
pub(super) struct Asker {
    http: Client,
    server: Server,
    model: String,
    /// Makes the names of this run's requests, so that one that is sent again is not done and paid twice.
    nonce: u64,
    /// What the server says of the model.
    about: Value,
}

/// Sums over one item's requests.
#[derive(Default)]
struct Took {
    jobs: Vec<String>,
    openings: Vec<String>,
    prompt_tokens: u64,
    completion_tokens: u64,
    cost_nano: u64,
}

impl Asker {
    /// Looks the model up at the server.
    pub(super) async fn new(arguments: &ServerArgs, model: &str) -> Result<Self, Failure> {
        let server = server(arguments)?;
        let http = Client::builder().connect_timeout(CONNECT_TIMEOUT).build();
        let http = http.map_err(|error| Failure::failed(format!("cannot make an HTTP client: {error}")))?;
        let models = http.get(format!("{}/models", server.base)).bearer_auth(&server.key);
        let models = crate::admin::answer(models, &server.base).await?;
        let about = rows(&models).iter().find(|found| text(found, "id") == model).cloned();
        let about = about.ok_or_else(|| {
            let names: Vec<&str> = rows(&models).iter().map(|found| text(found, "id")).collect();
            Failure::refused(format!("{} has no model `{model}`; it has {}", server.base, names.join(", ")))
        })?;
        Ok(Self { http, server, model: model.to_owned(), nonce: rand::random(), about })
    }

    /// Refuses a model that can't do what the suite asks, if the server says what it can do.
    pub(super) fn check(&self, suite: &Suite) -> Result<(), Failure> {
        let wanted = match suite.template() {
            Template::Completion { .. } | Template::Chat { .. } => "chat",
            Template::Embedding {} => "embedding",
        };
        match self.said("task") {
            Some(task) if task != wanted => Err(Failure::refused(format!(
                "the suite `{}` is for models of the task `{wanted}`; `{}` is for `{task}`",
                suite.name(),
                self.model
            ))),
            _ => Ok(()),
        }
    }

    /// A field of what the server says of the model.
    pub(super) fn said(&self, field: &str) -> Option<String> {
        self.about.get(field).and_then(Value::as_str).map(str::to_owned)
    }

    /// Where receipts are.
    pub(super) fn base(&self) -> &str {
        &self.server.base
    }

    /// Asks about one item.
    pub(super) async fn ask(&self, suite: &Suite, item: &Item) -> Result<ItemRecord, Failure> {
        let began = Instant::now();
        let mut took = Took::default();
        let answer = match (suite.template(), &item.target) {
            (Template::Completion { delimiter, .. }, Target::Choice { choices, .. }) => {
                self.likelihoods(item, &suite.prompt(item), (delimiter, choices), &mut took).await?
            }
            (Template::Chat { system, tokens_max, stop, .. }, _) => {
                let mut messages: Vec<Value> =
                    system.iter().map(|text| json!({"role": "system", "content": text})).collect();
                messages.push(json!({"role": "user", "content": suite.prompt(item)}));
                let mut body = json!({"model": self.model, "messages": messages, "max_tokens": tokens_max,
                    "temperature": 0, "seed": SEED});
                if !stop.is_empty() {
                    body["stop"] = json!(stop);
                }
                let said = self.send("/chat/completions", item, &body, &mut took).await?;
                let said = said.pointer("/choices/0/message/content").and_then(Value::as_str);
                Answer::Text { text: said.ok_or_else(|| odd(item, "no text"))?.to_owned() }
            }
            (Template::Embedding {}, Target::Passage(passage)) => {
                let body = json!({"model": self.model, "input": [suite.prompt(item), passage],
                    "encoding_format": "base64"});
                let found = self.send("/embeddings", item, &body, &mut took).await?;
                let vector = |index: u64| {
                    let of = |row: &&Value| row.get("index").and_then(Value::as_u64) == Some(index);
                    let row = rows(&found).iter().find(of);
                    let vector = row.and_then(|row| row.get("embedding")).and_then(Value::as_str);
                    vector.map(str::to_owned).ok_or_else(|| odd(item, "not two vectors in base64"))
                };
                Answer::Vectors { input: vector(0)?, passage: vector(1)? }
            }
            (Template::Completion { .. } | Template::Embedding {}, _) => {
                return Err(Failure::failed(format!("item {}: it does not fit its suite", item.id)));
            }
        };
        let scores_ppm = score_item(suite, item, &answer).map_err(|error| odd(item, &error.to_string()))?;
        let Took { jobs, openings, prompt_tokens, completion_tokens, cost_nano } = took;
        // Some of them prove nothing of an item.
        let openings = if openings.len() == jobs.len() { openings } else { Vec::new() };
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let id = item.id.clone();
        Ok(ItemRecord {
            id,
            answer,
            scores_ppm,
            jobs,
            openings,
            prompt_tokens,
            completion_tokens,
            cost_nano,
            milliseconds,
        })
    }

    /// Of each choice its tokens' log probabilities after the prompt, added up: those of the whole text but for as many tokens as
    /// the prompt by itself has, which is how lm-eval tells them apart.
    async fn likelihoods(
        &self,
        item: &Item,
        prompt: &str,
        (delimiter, choices): (&str, &[String]),
        took: &mut Took,
    ) -> Result<Answer, Failure> {
        let root = self.server.base.strip_suffix("/v1").unwrap_or(&self.server.base);
        let body = json!({"model": self.model, "prompt": prompt, "add_special_tokens": false});
        let tokens = self.post(&format!("{root}/tokenize"), item, &body).await?;
        let before = tokens.get("tokens").and_then(Value::as_array).map(Vec::len);
        let before = before.ok_or_else(|| odd(item, "/tokenize without tokens"))?;
        let texts: Vec<String> = choices.iter().map(|choice| format!("{prompt}{delimiter}{choice}")).collect();
        let body = json!({"model": self.model, "prompt": texts, "max_tokens": 0, "echo": true, "logprobs": 0,
            "temperature": 0, "seed": SEED});
        let scored = self.send("/completions", item, &body, took).await?;
        let places = 0..u64::try_from(choices.len()).unwrap_or(u64::MAX);
        let sums = places.map(|place| {
            let of = |one: &&Value| one.get("index").and_then(Value::as_u64) == Some(place);
            let found = list(&scored, "/choices").iter().find(of);
            let logprobs = found.and_then(|one| one.pointer("/logprobs/token_logprobs")).and_then(Value::as_array);
            let logprobs = logprobs.and_then(|all| all.get(before..)).filter(|own| !own.is_empty());
            let logprobs = logprobs.ok_or_else(|| odd(item, "no log probabilities for a choice"))?;
            let numbers: Option<Vec<f64>> = logprobs.iter().map(Value::as_f64).collect();
            let numbers = numbers.ok_or_else(|| odd(item, "a token without a log probability"))?;
            nano(numbers).map_err(|error| odd(item, &error.to_string()))
        });
        Ok(Answer::Likelihoods { logprobs_nano: sums.collect::<Result<_, _>>()? })
    }

    /// Sends a request that is a job, and adds up what it took.
    async fn send(&self, path: &str, item: &Item, body: &Value, took: &mut Took) -> Result<Value, Failure> {
        let mut body = body.clone();
        // Servers that are no network know no such field, and some refuse what they don't know.
        if let (Some(fields), Some(_)) = (body.as_object_mut(), self.said("model_profile")) {
            fields.insert("opening".to_owned(), true.into());
        }
        let answer = self.post(&format!("{}{path}", self.server.base), item, &body).await?;
        let number = |field: &str| answer.pointer(&format!("/usage/{field}")).and_then(Value::as_u64).unwrap_or(0);
        took.prompt_tokens = took.prompt_tokens.saturating_add(number("prompt_tokens"));
        took.completion_tokens = took.completion_tokens.saturating_add(number("completion_tokens"));
        took.cost_nano = took.cost_nano.saturating_add(number("cost_nano"));
        for job in answer.get("inferium").into_iter().chain(list(&answer, "/inferium/jobs")) {
            let field = |name: &str| job.get(name).and_then(Value::as_str).map(str::to_owned);
            took.jobs.extend(field("job"));
            took.openings.extend(field("opening"));
        }
        Ok(answer)
    }

    /// Posts until there is an answer or a refusal: servers that are busy are asked again, after the pause that they name.
    async fn post(&self, url: &str, item: &Item, body: &Value) -> Result<Value, Failure> {
        let mut pause = PAUSE;
        let what = url.rsplit('/').next().unwrap_or_default();
        // A hash, since an item's id may be of any length and in any script, and a header may not.
        let parts = [&self.nonce.to_be_bytes(), item.id.as_bytes(), what.as_bytes()];
        let name = format!("eval-{}", Digest::of("inferium/eval-request/1", &parts));
        for attempt in 1.. {
            let request = self.http.post(url).bearer_auth(&self.server.key);
            let request = request.header("idempotency-key", &name);
            let sent = request.json(body).send().await;
            let (failure, named) = match sent {
                Err(error) => (Failure::network(format!("{url} does not answer: {error}")), None),
                Ok(response) if response.status().is_success() => match response.json().await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => (Failure::network(format!("the answer broke off: {error}")), None),
                },
                Ok(response) => {
                    let (is_final, named) = (is_final(&response), named_pause(&response));
                    let status = response.status().as_u16();
                    let body = response.json().await.unwrap_or_default();
                    if is_final {
                        return Err(refusal(status, &body));
                    }
                    (refusal(status, &body), named)
                }
            };
            if attempt >= TRIES {
                return Err(failure);
            }
            tokio::time::sleep(named.unwrap_or(pause).min(PAUSE_MAX)).await;
            pause *= 2;
        }
        Err(Failure::network(format!("{url} was not asked")))
    }
}

/// True when asking again would change nothing.
fn is_final(response: &Response) -> bool {
    let status = response.status();
    let says_so = response.headers().get("x-should-retry").is_some_and(|value| value == "false");
    says_so || !(status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS)
}

/// The pause that a server asks for.
fn named_pause(response: &Response) -> Option<Duration> {
    let number = |name: &str| response.headers().get(name)?.to_str().ok()?.parse::<u64>().ok();
    number("retry-after-ms").map(Duration::from_millis).or_else(|| number("retry-after").map(Duration::from_secs))
}

/// What stands in a list at a place of an answer.
fn list<'a>(answer: &'a Value, place: &str) -> &'a [Value] {
    answer.pointer(place).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn odd(item: &Item, what: &str) -> Failure {
    Failure::failed(format!("item {}: the server answered {what}", item.id))
}

#[cfg(test)]
mod tests;
