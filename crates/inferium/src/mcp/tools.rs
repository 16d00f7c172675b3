//! What there is to call, and what each call does.

use super::Inner;
use crate::admin::answer;
use crate::cli::Failure;
use crate::keys::{rows, text};
use crate::receipt::{facts_json, get};
use crate::wallet::holdings;
use inferium_chain::Sender;
use inferium_gateway::verify_document;
use inferium_types::{AccountId, Amount, TransactionBody, TransactionId};
use rmcp::model::{Tool, ToolAnnotations};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Tokens of an answer, if the call doesn't say how many.
const TOKENS: u32 = 512;
/// Of one at most: what is set aside is money.
const TOKENS_MAX: u32 = 32_768;
/// Tokens that a model's template may put around what is asked, its own system message included.
const TEMPLATE_TOKENS: u64 = 512;
/// Pages of agents that are read at most, of a hundred each: an assistant reads all of them.
const AGENT_PAGES_MAX: u32 = 5;
/// How long a receipt is waited for; seconds. Final is soon, or not soon.
const RECEIPT_S: u64 = 60;

/// A call whose arguments were understood.
#[derive(Debug)]
pub(super) enum Call {
    Network,
    Models,
    Agents,
    Ask(Ask),
    RunAgent(RunAgent),
    Receipt(Receipt),
    Balance(Balance),
    Transaction(Standing),
    Transfer(Transfer),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    prompt: String,
    model: Option<String>,
    system: Option<String>,
    tokens_max: Option<u32>,
    temperature: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunAgent {
    agent: String,
    task: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Receipt {
    job: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Balance {
    account: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Standing {
    transaction: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sending {
    to: String,
    amount: String,
}

/// Money that is to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Transfer {
    to: AccountId,
    amount: Amount,
}

impl Transfer {
    pub(super) fn body(self) -> TransactionBody {
        TransactionBody::Transfer { to: self.to, amount: self.amount }
    }

    /// All that its owner agrees to; `bound` is what it takes from the account, its fee included.
    pub(super) fn identity(self, bound: Amount) -> String {
        format!("{} nano-IFR to {}, {} nano-IFR in all", self.amount.nano(), self.to, bound.nano())
    }
}

impl Call {
    /// # Errors
    /// In words, for whoever calls.
    pub(super) fn read(name: &str, arguments: Map<String, Value>, can_sign: bool) -> Result<Self, String> {
        match name {
            "network" => none(arguments).map(|()| Self::Network),
            "models" => none(arguments).map(|()| Self::Models),
            "agents" => none(arguments).map(|()| Self::Agents),
            "ask" => {
                let ask: Ask = read(arguments)?;
                match ask.tokens_max {
                    Some(0) => Err("`tokens_max` is at least 1".to_owned()),
                    Some(most) if most > TOKENS_MAX => Err(format!("`tokens_max` is at most {TOKENS_MAX}")),
                    _ => Ok(Self::Ask(ask)),
                }
            }
            "run_agent" => read(arguments).map(Self::RunAgent),
            "receipt" => read(arguments).map(Self::Receipt),
            "balance" => read(arguments).map(Self::Balance),
            "transaction" => read(arguments).map(Self::Transaction),
            "transfer" if can_sign => {
                let Sending { to, amount } = read(arguments)?;
                let to = crate::cli::parse_address(&to).map_err(|reason| format!("`to`: {reason}"))?;
                let amount = crate::cli::parse_payment(&amount).map_err(|reason| format!("`amount`: {reason}"))?;
                Ok(Self::Transfer(Transfer { to, amount }))
            }
            "transfer" => {
                Err("no account signs here: start `inferium mcp` with --as or with a wallet's --password-file"
                    .to_owned())
            }
            other => Err(format!("there is no tool {other:?}")),
        }
    }
}

fn read<T: DeserializeOwned>(arguments: Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(Value::Object(arguments)).map_err(|error| format!("arguments: {error}"))
}

fn none(arguments: Map<String, Value>) -> Result<(), String> {
    match arguments.keys().next() {
        None => Ok(()),
        Some(name) => Err(format!("arguments: unknown field `{name}`; there are none")),
    }
}

/// All tools; transfers if an account signs here.
pub(super) fn all(can_sign: bool) -> Vec<Tool> {
    let string = |about: &str| json!({"type": "string", "description": about});
    let reads = || ToolAnnotations::new().read_only(true).open_world(true);
    let spends = || ToolAnnotations::new().read_only(false).destructive(false).open_world(true);
    let mut tools = vec![
        tool(
            "network",
            "Which network this is, how high its chain is, and what may still be spent here.",
            &[],
            &json!({}),
            reads(),
        ),
        tool("models", "The models of the network, with prices of a token in IFR.", &[], &json!({}), reads()),
        tool(
            "agents",
            "The agents of the network, with the price of a run and what they are for.",
            &[],
            &json!({}),
            reads(),
        ),
        tool(
            "ask",
            "Asks a model of the network. The answer names its jobs, whose receipts prove that they were done and verified. Costs IFR.",
            &["prompt"],
            &json!({
                "prompt": string("the question"),
                "model": string("a name of `models` [default: the first that answers conversations]"),
                "system": string("how it should answer"),
                "tokens_max": {"type": "integer", "minimum": 1, "maximum": TOKENS_MAX, "description": format!("tokens of the answer at most [default: {TOKENS}]")},
                "temperature": {"type": "number", "minimum": 0, "maximum": 2},
            }),
            spends(),
        ),
        tool(
            "run_agent",
            "Has an agent of the network do something, and waits for its answer. Costs IFR: a price, and the tokens of its model.",
            &["agent", "task"],
            &json!({"agent": string("a name or an id of `agents`"), "task": string("what it is to do")}),
            spends(),
        ),
        tool(
            "receipt",
            "Gets a job's receipt once the network has decided about it, and verifies it here against the network's key.",
            &["job"],
            &json!({"job": string("64 hex digits, as `ask` tells them")}),
            reads(),
        ),
        tool(
            "balance",
            "What an account holds, proven against the network's key.",
            &[],
            &json!({"account": string("64 hex digits [default: the account that signs here]")}),
            reads(),
        ),
        tool(
            "transaction",
            "Whether a transaction is in a final block.",
            &["transaction"],
            &json!({"transaction": string("64 hex digits")}),
            reads(),
        ),
    ];
    if can_sign {
        tools.push(tool(
            "transfer",
            "Sends IFR from the account that signs here. The user is shown what will be signed, and asked.",
            &["to", "amount"],
            &json!({"to": string("the account, 64 hex digits"), "amount": string("IFR, as a decimal text like 0.5")}),
            ToolAnnotations::new().read_only(false).destructive(true).idempotent(false).open_world(true),
        ));
    }
    tools
}

fn tool(
    name: &'static str,
    about: &'static str,
    required: &[&str],
    properties: &Value,
    hints: ToolAnnotations,
) -> Tool {
    let schema =
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    let Value::Object(schema) = schema else { return Tool::new(name, about, Map::new()) };
    Tool::new(name, about, schema).with_annotations(hints)
}

type Told = Result<Map<String, Value>, Failure>;

fn told(value: Value) -> Told {
    match value {
        Value::Object(fields) => Ok(fields),
        other => Ok(Map::from_iter([("value".to_owned(), other)])),
    }
}

impl Inner {
    /// Whatever moves no money of an account.
    pub(super) async fn read_or_ask(&self, call: Call) -> Told {
        match call {
            Call::Network => told(json!({
                "network_key": self.network.to_string(),
                "height": self.chain.height(),
                "explorer": self.pages,
                "account": self.sender.as_ref().map(|sender| sender.account().to_string()),
                "spend_max": decimal(self.purse.most()),
                "spend_left": decimal(self.purse.left()),
            })),
            Call::Models => told(json!({"models": rows(&self.list("/models").await?)})),
            Call::Agents => self.agents().await,
            Call::Ask(ask) => self.ask(ask).await,
            Call::RunAgent(run) => self.run_agent(run).await,
            Call::Receipt(Receipt { job }) => self.receipt(&job).await,
            Call::Balance(Balance { account }) => self.balance(account).await,
            Call::Transaction(Standing { transaction }) => self.standing(&transaction).await,
            Call::Transfer(_) => Err(Failure::failed("a transfer is asked for first")),
        }
    }

    async fn list(&self, path: &str) -> Result<Value, Failure> {
        answer(self.api.http.get(format!("{}{path}", self.api.base)).bearer_auth(&self.api.key), &self.api.base).await
    }

    async fn agents(&self) -> Told {
        let mut agents = Vec::new();
        let mut path = "/agents".to_owned();
        for _ in 0..AGENT_PAGES_MAX {
            let page = self.list(&path).await?;
            agents.extend(rows(&page).iter().cloned());
            let after = page.get("last_id").and_then(Value::as_str).map(str::to_owned);
            match after {
                Some(after) if page.get("has_more").and_then(Value::as_bool) == Some(true) => {
                    path = format!("/agents?after={after}");
                }
                _ => return told(json!({"agents": agents})),
            }
        }
        told(json!({"agents": agents, "has_more": true}))
    }

    async fn ask(&self, ask: Ask) -> Told {
        let models = self.list("/models").await?;
        let model = model_of(rows(&models), ask.model.as_deref())?;
        let tokens = ask.tokens_max.unwrap_or(TOKENS);
        let bytes = ask.prompt.len().saturating_add(ask.system.as_deref().map_or(0, str::len));
        // No token is less than a byte.
        let bound = bound_of(&prices(model)?, u64::try_from(bytes).unwrap_or(u64::MAX), u64::from(tokens));
        let mut messages: Vec<Value> =
            ask.system.iter().map(|system| json!({"role": "system", "content": system})).collect();
        messages.push(json!({"role": "user", "content": ask.prompt}));
        let mut body = json!({"model": text(model, "id"), "messages": messages, "max_tokens": tokens});
        if let (Some(body), Some(temperature)) = (body.as_object_mut(), ask.temperature) {
            body.insert("temperature".to_owned(), temperature.into());
        }
        let answer = self.paid("/chat/completions", &body, bound, "/usage/cost_nano").await?;
        let field = |path: &str| answer.pointer(path).cloned().unwrap_or_default();
        told(json!({
            "answer": field("/choices/0/message/content"),
            "finish_reason": field("/choices/0/finish_reason"),
            "model": field("/model"),
            "usage": field("/usage"),
            "jobs": [field("/inferium/job")],
        }))
    }

    async fn run_agent(&self, run: RunAgent) -> Told {
        let name = run.agent.strip_prefix("studio/").unwrap_or(&run.agent);
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(Failure::usage(format!("{:?} is no agent's name or id", run.agent)));
        }
        let agent = self.list(&format!("/agents/{name}")).await?;
        let models = self.list("/models").await?;
        let model = model_of(rows(&models), Some(text(&agent, "model")))?;
        let number = |path: &str| agent.pointer(path).and_then(Value::as_u64);
        let (Some(price), Some(tokens)) = (number("/price_nano"), number("/limits/tokens")) else {
            return Err(Failure::failed("the server says neither what a run costs nor what it may use"));
        };
        let Prices { prompt, completion } = prices(model)?;
        let bound = price.saturating_add(tokens.saturating_mul(prompt.max(completion)));
        let body = json!({
            "agent": text(&agent, "id"), "input": run.task, "version": text(&agent, "version_digest"),
            "price_max": decimal(Amount::from_nano(price)),
        });
        told(self.paid("/runs", &body, Amount::from_nano(bound), "/cost_nano").await?)
    }

    /// Asks for what costs money of the API key's budget; what it cost stands at `cost` in the answer.
    async fn paid(&self, path: &str, body: &Value, bound: Amount, cost: &str) -> Result<Value, Failure> {
        let set_aside = self.purse.set_aside(bound)?;
        let request = self.api.http.post(format!("{}{path}", self.api.base)).bearer_auth(&self.api.key).json(body);
        let answered = answer(request, &self.api.base).await;
        match &answered {
            // Without a cost all that was set aside counts.
            Ok(body) => {
                if let Some(nano) = body.pointer(cost).and_then(Value::as_u64) {
                    set_aside.settle(Amount::from_nano(nano));
                }
            }
            Err(failure) if failure.is_refusal() => set_aside.settle(Amount::ZERO),
            // It may have cost something: all that was set aside counts.
            Err(_) => {}
        }
        answered
    }

    async fn receipt(&self, job: &str) -> Told {
        let document = get(job, &self.api.base, Duration::from_secs(RECEIPT_S)).await?;
        let facts = verify_document(document.as_bytes(), &self.network)
            .map_err(|error| Failure::refused(format!("the receipt does not hold: {error}")))?;
        told(facts_json(&facts))
    }

    async fn balance(&self, account: Option<String>) -> Told {
        let own = || self.sender.as_ref().map(Sender::account);
        let account = match account {
            Some(account) => {
                crate::cli::parse_address(&account).map_err(|why| Failure::usage(format!("`account`: {why}")))?
            }
            None => own().ok_or_else(|| Failure::usage("no account signs here: name one"))?,
        };
        let (balance, transactions) = holdings(&self.chain, account).await?;
        told(json!({
            "account": account.to_string(), "balance": decimal(balance), "balance_nano": balance.nano(), "transactions": transactions,
        }))
    }

    async fn standing(&self, transaction: &str) -> Told {
        if TransactionId::from_hex(transaction).is_none() {
            return Err(Failure::usage("a transaction is 64 hex digits"));
        }
        told(answer(self.api.http.get(format!("{}/api/v1/transactions/{transaction}", self.pages)), &self.pages).await?)
    }

    pub(super) async fn send(&self, sender: &Sender, transfer: Transfer, bound: Amount) -> Told {
        let set_aside = self.purse.set_aside(bound)?;
        match sender.send(transfer.body()).await {
            Ok(sent) => {
                if sent.failure.is_some() {
                    // It cost its fee, and moved nothing.
                    set_aside.settle(Amount::from_nano(bound.nano().saturating_sub(transfer.amount.nano())));
                }
                told(json!({
                    "transaction": sent.id.to_string(), "height": sent.block.header.height, "status": "final", "failed": sent.failure,
                    "to": transfer.to.to_string(), "amount": decimal(transfer.amount), "spend_left": decimal(self.purse.left()),
                }))
            }
            Err(error) => Err(Failure::failed(error.to_string())),
        }
    }
}

/// The model of a name, or the first that answers conversations.
fn model_of<'a>(models: &'a [Value], name: Option<&str>) -> Result<&'a Value, Failure> {
    let found = match name {
        Some(name) => models.iter().find(|model| text(model, "id") == name),
        None => models.iter().find(|model| answers_conversations(model)),
    };
    let names = || models.iter().map(|model| text(model, "id")).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| {
        Failure::refused(format!("there is no model {:?}; there are: {}", name.unwrap_or("for conversations"), names()))
    })
}

fn answers_conversations(model: &Value) -> bool {
    model.pointer("/capabilities/chat").and_then(Value::as_bool).unwrap_or(false)
}

/// Of a token at most, in nano-IFR.
struct Prices {
    prompt: u64,
    completion: u64,
}

fn prices(model: &Value) -> Result<Prices, Failure> {
    let price = |path: &str| {
        let price = model.pointer(path).and_then(Value::as_str).and_then(|price| price.parse::<Amount>().ok());
        price.map(Amount::nano)
    };
    // The lowest price is that of a worker which may be busy.
    match (price("/pricing/prompt_max"), price("/pricing/completion_max")) {
        (Some(prompt), Some(completion)) => Ok(Prices { prompt, completion }),
        _ => Err(Failure::refused(format!(
            "the server names no price of {:?} in IFR, so no limit could hold",
            text(model, "id")
        ))),
    }
}

fn bound_of(prices: &Prices, bytes: u64, tokens: u64) -> Amount {
    let prompt = bytes.saturating_add(TEMPLATE_TOKENS).saturating_mul(prices.prompt);
    Amount::from_nano(prompt.saturating_add(tokens.saturating_mul(prices.completion)))
}

/// Without the unit.
fn decimal(amount: Amount) -> String {
    amount.to_string().trim_end_matches(" IFR").to_owned()
}

#[cfg(test)]
mod tests;
