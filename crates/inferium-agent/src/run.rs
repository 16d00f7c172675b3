//! What a run does next.

use crate::form::{self, Function, Otherwise, Said};
use crate::hire::{Ask, HIRE};
use crate::manifest::{Manifest, recipient};
use inferium_types::{
    AgentLimits, Amount, CallRecord, ChatMessage, Digest, FinishReason, JobId, JobInput, JobPayload, LeaseId, RunInput,
    RunTool, SamplingParams, Shaping, SpendOrder, limits,
};
use serde_json::{Value, json};

/// Bytes of a tool's response that the model is shown; the transcript has all of it.
const SHOWN_MAX: usize = 16 * 1024;
/// Tools that a run has at most, and bytes of what the model is told of all of them.
const TOOLS_MAX: usize = 128;
const TOOLS_SIZE_MAX: usize = 64 * 1024;
/// Bytes of the arguments of what the manifest prepares, with the task filled in.
const FILLED_MAX: usize = 64 * 1024;
/// The tool that orders a payment. Not a server's: those have two underscores in their names.
pub(crate) const PAY: &str = "pay";

/// What a run may use up; [`AgentLimits`] without its time, which no transcript shows.
pub type Limits = AgentLimits;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A tool is called.
    Tool {
        /// `server__tool`.
        name: String,
        /// A JSON object, as text.
        arguments: String,
    },
    /// The model is asked: a job of this name.
    Model {
        /// Its name ([`JobId::of_call`]).
        job: JobId,
        /// What it is given.
        input: JobInput,
        /// How it draws.
        sampling: SamplingParams,
        /// Tokens of its answer at most.
        tokens_max: u32,
    },
    /// The ledger is ordered to spend.
    Spend(SpendOrder),
    /// Nothing: the run is over.
    End(RunEnd),
}

/// How a run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// With an answer.
    Answered(String),
    /// What it prepares is too long with the task in it.
    TooLong,
    /// It has no tokens left to answer with.
    OutOfTokens {
        /// What its model calls took.
        used: u64,
    },
}

/// A call that does not come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrongCall {
    /// Another kind of call, or another tool, order or job, or none at all.
    #[error("another call comes next")]
    Other,
    /// The model was given, or asked, something else.
    #[error("the model's job is not the one that follows from the calls before")]
    Request,
    /// The job's result does not answer its request, or its output is another.
    #[error("the model's answer is not what its result commits to")]
    Result,
    /// More tokens than the run has.
    #[error("the model calls take more tokens than the run has")]
    Tokens,
}

/// A tool that can't be told to a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongTool {
    /// Too many.
    #[error("{0} tools; at most {TOOLS_MAX} are allowed")]
    Count(usize),
    /// Not `server__tool` of a server in the manifest.
    #[error("{0:?} is no tool of a server that the manifest names")]
    Name(String),
    /// More is told of them than a model reads, or than a grammar may be.
    #[error("the tools are told of in more than {TOOLS_SIZE_MAX} bytes, or by too large a grammar")]
    Size,
    /// Twice, or in another order than by name.
    #[error("tools stand by ascending name, each once")]
    Order,
    /// No JSON schema.
    #[error("the parameters of {0:?} are no schema of an object")]
    Schema(String),
}

/// A run, as far as it has come.
#[derive(Debug)]
pub struct Run<'a> {
    lease: LeaseId,
    manifest: &'a Manifest,
    input: &'a RunInput,
    /// Of what the run is given: what it hires others for is salted by it.
    salt: [u8; 32],
    limits: Limits,
    functions: Vec<Function>,
    messages: Vec<ChatMessage>,
    /// Results of what the manifest prepares.
    prepared: Vec<String>,
    /// The call that the model's last answer asks for.
    pending: Option<Pending>,
    answer: Option<String>,
    calls: u32,
    turns: u32,
    tool_calls: u32,
    tokens: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pending {
    Tool { name: String, arguments: String },
    Pay(SpendOrder),
    Hire(Ask),
}

impl<'a> Run<'a> {
    /// A run at its beginning, with what it is given under which salt, and the tools that were found.
    ///
    /// # Errors
    /// [`WrongTool`].
    pub fn new(
        lease: LeaseId,
        manifest: &'a Manifest,
        (input, salt): (&'a RunInput, [u8; 32]),
        limits: Limits,
        tools: &[RunTool],
    ) -> Result<Self, WrongTool> {
        if tools.len() > TOOLS_MAX {
            return Err(WrongTool::Count(tools.len()));
        }
        if !tools.is_sorted_by(|one, next| one.name < next.name) {
            return Err(WrongTool::Order);
        }
        let mut functions = tools.iter().map(|tool| function(manifest, tool)).collect::<Result<Vec<_>, _>>()?;
        if manifest.may_pay() {
            functions.push(pay());
        }
        if !manifest.hire.is_empty() {
            functions.push(hire(manifest));
        }
        let told = tools.iter().map(|tool| tool.description.len().saturating_add(tool.parameters.len()));
        let grammar =
            if functions.is_empty() { String::new() } else { form::grammar(&functions, Otherwise::Text, false) };
        let is_told = told.fold(0, usize::saturating_add) <= TOOLS_SIZE_MAX;
        let is_read = grammar.len() <= limits::GRAMMAR_SIZE_MAX && grammar.lines().count() <= limits::GRAMMAR_LINES_MAX;
        if !is_told || !is_read {
            return Err(WrongTool::Size);
        }
        Ok(Self {
            lease,
            manifest,
            input,
            salt,
            limits,
            functions,
            messages: Vec::new(),
            prepared: Vec::new(),
            pending: None,
            answer: None,
            calls: 0,
            turns: 0,
            tool_calls: 0,
            tokens: 0,
        })
    }

    /// What comes next.
    #[must_use]
    pub fn next(&self) -> Next {
        if let Some(prepare) = self.manifest.prepare.get(self.prepared.len()) {
            // A standing order is the manifest's own words, and was read with it.
            if let Some(order) = prepare.order() {
                return Next::Spend(order);
            }
            if filled_size(&prepare.arguments, &self.input.task) > FILLED_MAX {
                return Next::End(RunEnd::TooLong);
            }
            let arguments = filled(&prepare.arguments, &self.input.task).to_string();
            if prepare.tool == HIRE {
                // Only the task that was filled in can be too long: the rest was read with the manifest.
                let order = Ask::read(self.manifest, &arguments).ok().and_then(|ask| self.hires(&ask));
                return order.map_or(Next::End(RunEnd::TooLong), |(order, _)| Next::Spend(order));
            }
            return Next::Tool { name: prepare.tool.clone(), arguments };
        }
        match (&self.pending, &self.answer) {
            (Some(Pending::Tool { name, arguments }), _) => {
                Next::Tool { name: name.clone(), arguments: arguments.clone() }
            }
            (Some(Pending::Pay(order)), _) => Next::Spend(*order),
            (Some(Pending::Hire(ask)), _) => {
                // The manifest was read, so it names whom it hires.
                self.hires(ask).map_or(Next::End(RunEnd::TooLong), |(order, _)| Next::Spend(order))
            }
            (None, Some(answer)) => Next::End(RunEnd::Answered(answer.clone())),
            (None, None) => self.ask(),
        }
    }

    /// What the run is given that comes next, when an order to hire does.
    #[must_use]
    pub fn hired(&self) -> Option<JobPayload> {
        let ask = match (self.manifest.prepare.get(self.prepared.len()), &self.pending) {
            (Some(prepare), _) if prepare.tool == HIRE => {
                Ask::read(self.manifest, &filled(&prepare.arguments, &self.input.task).to_string()).ok()?
            }
            (None, Some(Pending::Hire(ask))) => ask.clone(),
            _ => return None,
        };
        self.hires(&ask).map(|(_, payload)| payload)
    }

    fn hires(&self, ask: &Ask) -> Option<(SpendOrder, JobPayload)> {
        let payload = ask.payload(self.manifest, (self.lease, self.calls), &self.salt)?;
        Some((ask.order(self.manifest, &payload)?, payload))
    }

    /// Tokens of the model calls so far.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Model calls so far.
    #[must_use]
    pub const fn turns(&self) -> u32 {
        self.turns
    }

    /// Goes on by a call that was made.
    ///
    /// # Errors
    /// [`WrongCall`], and nothing changes.
    pub fn take(&mut self, call: &CallRecord) -> Result<(), WrongCall> {
        match (self.next(), call) {
            (
                Next::Tool { name, arguments },
                CallRecord::Tool { name: called, arguments: given, response, failed, .. },
            ) if name == *called && arguments == *given => {
                self.tool_calls = self.tool_calls.saturating_add(1);
                self.responded(&shown(response, *failed));
            }
            (Next::Spend(order), CallRecord::Spend { order: ordered }) if order == *ordered => {
                self.tool_calls = self.tool_calls.saturating_add(1);
                self.responded(match order {
                    SpendOrder::Pay { .. } => "Ordered. It is paid when this run has been checked.",
                    SpendOrder::Hire { .. } => {
                        "Hired. It begins when this run has been checked, and its answer is kept with this run."
                    }
                });
            }
            (Next::Model { job, input, sampling, tokens_max }, CallRecord::Model { leaf, salt, output }) => {
                let request = &leaf.request;
                let payload = JobPayload { salt: *salt, input };
                let is_asked = request.job == job
                    && request.input_commitment == payload.commitment()
                    && request.sampling == sampling
                    && request.tokens_max <= tokens_max
                    && request.client_seed == Some(call_seed(job));
                if !is_asked || payload.check().is_err() {
                    return Err(WrongCall::Request);
                }
                let is_counted = u32::try_from(output.tokens.len()) == Ok(leaf.result.usage.completion_tokens);
                let is_bound = leaf.result.output_commitment == output.job_output().commitment();
                // Nobody leaves in the middle of a run, and a model that says nothing was not asked.
                let is_whole = leaf.result.finish != FinishReason::Cancelled && !output.tokens.is_empty();
                if !leaf.is_consistent() || !is_counted || !is_bound || !is_whole {
                    return Err(WrongCall::Result);
                }
                let tokens = self.tokens.saturating_add(leaf.result.usage.tokens());
                if tokens > self.limits.tokens {
                    return Err(WrongCall::Tokens);
                }
                if let JobInput::Chat { messages, .. } = payload.input {
                    self.messages = messages;
                }
                let may_call = self.may_call();
                self.tokens = tokens;
                self.turns = self.turns.saturating_add(1);
                self.said(&output.text, may_call);
            }
            _ => return Err(WrongCall::Other),
        }
        self.calls = self.calls.saturating_add(1);
        Ok(())
    }

    /// True while the model may call something: not in the last turn, which is for the answer.
    fn may_call(&self) -> bool {
        !self.functions.is_empty()
            && self.turns.saturating_add(1) < self.limits.steps
            && self.tool_calls < self.limits.tool_calls
    }

    fn ask(&self) -> Next {
        let left = self.limits.tokens.saturating_sub(self.tokens);
        let tokens_max = u32::try_from(left).unwrap_or(u32::MAX).min(self.manifest.answer_tokens());
        if tokens_max == 0 {
            return Next::End(RunEnd::OutOfTokens { used: self.tokens });
        }
        let messages = if self.messages.is_empty() { self.opening() } else { self.messages.clone() };
        let grammar = self.may_call().then(|| form::grammar(&self.functions, Otherwise::Text, false));
        let input = JobInput::Chat { messages, shaping: Shaping { grammar, ..Shaping::default() } };
        let job = JobId::of_call(self.lease, 0, self.calls);
        Next::Model { job, input, sampling: self.manifest.sampling(), tokens_max }
    }

    /// How the conversation begins.
    fn opening(&self) -> Vec<ChatMessage> {
        let mut system = self.manifest.system_prompt.trim().to_owned();
        if self.may_call() {
            system = format!("{system}\n\n{}", form::instructions(&self.functions));
        }
        let mut user = String::new();
        for (prepare, result) in self.manifest.prepare.iter().zip(&self.prepared) {
            user.push_str(&format!("{}:\n{}\n\n", prepare.tool, form::response(result)));
        }
        user.push_str(&self.input.task);
        vec![message("system", system), message("user", user)]
    }

    fn responded(&mut self, text: &str) {
        if self.prepared.len() < self.manifest.prepare.len() {
            self.prepared.push(text.to_owned());
        } else {
            self.pending = None;
            self.messages.push(message("user", form::response(text)));
        }
    }

    /// Takes what the model said.
    fn said(&mut self, text: &str, may_call: bool) {
        let said = form::read(text);
        let is_known = |name: &str| self.functions.iter().any(|function| function.name == name);
        // Where no call is allowed none is made, whatever a model writes.
        let said = match said {
            Said::Call(name, _) if !may_call || !is_known(name) => Said::Text(text),
            Said::CutOff if !may_call => Said::Text(text),
            said => said,
        };
        match said {
            Said::Text(answer) => self.answer = Some(answer.trim().to_owned()),
            Said::CutOff => {
                self.messages.push(message("assistant", text.to_owned()));
                self.messages
                    .push(message("user", form::response("Error: the call was longer than an answer may be.")));
            }
            Said::Call(name, arguments) => {
                self.messages.push(message("assistant", form::written(name, arguments)));
                let pending = match name {
                    PAY => order(arguments).map(Pending::Pay),
                    HIRE => Ask::read(self.manifest, arguments).map(Pending::Hire),
                    name => Ok(Pending::Tool { name: name.to_owned(), arguments: arguments.to_owned() }),
                };
                match pending {
                    Ok(pending) => self.pending = Some(pending),
                    Err(error) => self.messages.push(message("user", form::response(&format!("Error: {error}")))),
                }
            }
        }
    }
}

/// The seed of a model call ([`inferium_types::JobRequest::client_seed`]): whoever replays the run draws as its model did, without
/// knowing whose worker that was.
#[must_use]
pub fn call_seed(job: JobId) -> u64 {
    Digest::of("inferium/call-seed/1", &[job.digest().as_bytes()]).to_u64()
}

fn message(role: &str, content: String) -> ChatMessage {
    ChatMessage { role: role.to_owned(), content }
}

fn function(manifest: &Manifest, tool: &RunTool) -> Result<Function, WrongTool> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let is_named = tool.name.len() <= 64
        && tool.name.bytes().all(is_plain)
        && tool.name.split_once("__").is_some_and(|(server, _)| manifest.tools.contains_key(server));
    if !is_named {
        return Err(WrongTool::Name(tool.name.clone()));
    }
    let wrong = || WrongTool::Schema(tool.name.clone());
    let parameters: Value = serde_json::from_str(&tool.parameters).map_err(|_| wrong())?;
    if !parameters.is_object() {
        return Err(wrong());
    }
    Function::new(&tool.name, &json!(tool.description), &parameters, false).map_err(|_| wrong())
}

/// The tool that orders a payment.
fn pay() -> Function {
    let parameters = json!({
        "type": "object",
        "properties": {
            "to": {"type": "string", "description": "64 hex digits of an account, or agent:ID"},
            "amount": {"type": "string", "description": "IFR, such as 0.5"},
        },
        "required": ["to", "amount"],
        "additionalProperties": false,
    });
    own_tool(PAY, "Pays somebody from this agent's account, within what it may spend.", parameters)
}

/// The tool that hires another agent.
fn hire(manifest: &Manifest) -> Function {
    let names: Vec<&String> = manifest.hire.keys().collect();
    let parameters = json!({
        "type": "object",
        "properties": {
            "agent": {"type": "string", "enum": names},
            "task": {"type": "string", "description": "what it is to do; it knows nothing of this conversation"},
        },
        "required": ["agent", "task"],
        "additionalProperties": false,
    });
    let mut description = "Hires another agent, paid from this agent's account. It begins after this run.".to_owned();
    for (name, hire) in &manifest.hire {
        description.push_str(&format!(" {name}: {}", hire.summary()));
    }
    own_tool(HIRE, &description, parameters)
}

fn own_tool(name: &str, description: &str, parameters: Value) -> Function {
    let rule = form::rule(parameters.clone()).unwrap_or_default();
    let told =
        json!({"type": "function", "function": {"name": name, "description": description, "parameters": parameters}});
    Function { name: name.to_owned(), told, rule }
}

/// What the model orders, or why it can't be.
pub(crate) fn order(arguments: &str) -> Result<SpendOrder, String> {
    let value: Value = serde_json::from_str(arguments).map_err(|_| "the arguments are no JSON object".to_owned())?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).ok_or_else(|| format!("`{name}` is missing"));
    let to = recipient(text("to")?).ok_or_else(|| "`to` is no account, and no agent:ID".to_owned())?;
    let amount: Amount = text("amount")?.parse().map_err(|error| format!("`amount`: {error}"))?;
    if amount.is_zero() {
        return Err("`amount` must be above zero".to_owned());
    }
    Ok(SpendOrder::Pay { to, amount })
}

/// Bytes of the texts in a value of arguments, with `{task}` filled in.
fn filled_size(value: &Value, task: &str) -> usize {
    match value {
        Value::String(text) => text.matches("{task}").count().saturating_mul(task.len()).saturating_add(text.len()),
        Value::Array(items) => items.iter().map(|item| filled_size(item, task)).fold(0, usize::saturating_add),
        Value::Object(list) => list.values().map(|item| filled_size(item, task)).fold(0, usize::saturating_add),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// A value of arguments, with `{task}` filled in.
fn filled(value: &Value, task: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("{task}", task)),
        Value::Array(items) => items.iter().map(|item| filled(item, task)).collect(),
        Value::Object(list) => {
            Value::Object(list.iter().map(|(name, value)| (name.clone(), filled(value, task))).collect())
        }
        other => other.clone(),
    }
}

/// What the model is shown of a response.
fn shown(response: &str, failed: bool) -> String {
    let end = response.floor_char_boundary(SHOWN_MAX);
    let text = response.get(..end).unwrap_or_default();
    let cut = if end < response.len() { "\n(cut here)" } else { "" };
    if failed { format!("Error: {text}{cut}") } else { format!("{text}{cut}") }
}

const _: () = assert!(limits::RUN_STEPS_MAX > 0);

#[cfg(test)]
mod tests;
