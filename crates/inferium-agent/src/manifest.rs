//! An agent's manifest: one file in TOML, of which the chain has the hash (SPEC A1).
//!
//! It is read strictly: a key that nobody knows, a value of another form, or one out of its bounds is an error that names
//! it, since what is misspelt in it would be missing in every run.

use crate::hire::{Ask, HIRE, HIRES_MAX, Hire};
use crate::run::{PAY, order};
use inferium_types::{
    AccountId, AgentLimits, AgentTerms, Amount, Digest, ProfileId, Recipients, SamplingParams, SpendOrder,
    SpendingPolicy, is_agent_name, limits,
};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Manifests to begin with, by what they are for.
const TEMPLATES: [(&str, &str); 4] = [
    ("plain", include_str!("templates/plain.toml")),
    ("research", include_str!("templates/research.toml")),
    ("analyst", include_str!("templates/analyst.toml")),
    ("watcher", include_str!("templates/watcher.toml")),
];

/// A manifest as it was read.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The agent's name.
    pub name: String,
    /// Model: a name, or a profile's 64 hex digits.
    pub model: String,
    /// IFR for a run, in decimal.
    price: String,
    /// One line for catalogues.
    #[serde(default)]
    pub summary: String,
    /// What people read before they run it.
    #[serde(default)]
    pub readme: String,
    /// What the model is told first.
    pub system_prompt: String,
    /// Tokens of one answer of the model at most.
    #[serde(default)]
    answer_tokens: Option<u32>,
    /// From 0, always the likeliest token, to 2.
    #[serde(default)]
    temperature: Option<f64>,
    limits: Limits,
    #[serde(default)]
    spending: Spending,
    /// Servers of tools, by name.
    #[serde(default)]
    pub tools: BTreeMap<String, Server>,
    /// What is called before the model is asked, in this order.
    #[serde(default)]
    pub prepare: Vec<Prepare>,
    /// Names of secrets that the servers of tools are given; never the secrets.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Other agents that its runs may hire, by the names that the model knows them by.
    #[serde(default)]
    pub hire: BTreeMap<String, Hire>,
}

/// A tool that is called before the model is asked, so that it has the result from the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prepare {
    /// `server__tool`, or `pay` or `hire`: a standing order, which every run of the agent gives.
    pub tool: String,
    /// Its arguments; in their texts `{task}` stands for what the run is to do.
    #[serde(default = "no_arguments")]
    pub arguments: serde_json::Value,
}

impl Prepare {
    /// The payment that it is a standing order for, if it is one.
    pub(crate) fn order(&self) -> Option<SpendOrder> {
        (self.tool == PAY).then(|| order(&self.arguments.to_string()).ok()).flatten()
    }
}

fn no_arguments() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}

/// True for a name that a secret may have: a variable that no loader, shell or interpreter makes anything of.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let ends = ["TOKEN", "KEY", "SECRET", "PASSWORD"];
    let is_end = |end: &str| name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('_'));
    name.len() <= 64
        && name.bytes().all(is_letter)
        && name.starts_with(|letter: char| letter.is_ascii_uppercase())
        && ends.into_iter().any(is_end)
}

/// Tokens of one answer, where the manifest does not say.
const ANSWER_TOKENS: u32 = 512;
/// Tools that a manifest prepares at most.
const PREPARED_MAX: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    steps: u32,
    tokens: u64,
    tool_calls: u32,
    seconds: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spending {
    #[serde(default)]
    per_run: Option<String>,
    #[serde(default)]
    per_day: Option<String>,
    /// Addresses, agents' ids as `agent:ID`, or `anybody` alone.
    #[serde(default)]
    recipients: Vec<String>,
    #[serde(default)]
    expires: Option<toml::value::Datetime>,
}

/// A server of tools: one that comes with this software, a program of the host, or an address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    #[serde(default)]
    builtin: Option<String>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    url: Option<String>,
}

/// How a server of tools is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launch<'a> {
    /// It comes with this software.
    Builtin(&'a str),
    /// A program on the host, with its arguments.
    Command(&'a [String]),
    /// An address.
    Url(&'a str),
}

impl Server {
    /// How it is reached; `None` unless the manifest says exactly one way.
    #[must_use]
    pub fn launch(&self) -> Option<Launch<'_>> {
        match (&self.builtin, self.command.as_slice(), &self.url) {
            (Some(name), [], None) => Some(Launch::Builtin(name)),
            (None, [_, ..], None) => Some(Launch::Command(&self.command)),
            (None, [], Some(url)) => Some(Launch::Url(url)),
            _ => None,
        }
    }
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// In words, with the line where the form is wrong, else with the key.
    pub fn read(text: &str) -> Result<Self, String> {
        let manifest = Self::form(text)?;
        if !is_agent_name(&manifest.name) {
            return Err(format!(
                "`name` is 1 to {} of a-z, 0-9 and -, no hyphen at an end; not {:?}",
                limits::AGENT_NAME_SIZE_MAX,
                manifest.name
            ));
        }
        for (name, server) in &manifest.tools {
            if !is_agent_name(name) {
                return Err(format!("`tools.{name}`: a server's name is a-z, 0-9 and -"));
            }
            if server.launch().is_none() {
                return Err(format!("`tools.{name}` has one of `builtin`, `command` and `url`"));
            }
        }
        manifest.check_hired()?;
        manifest.check_prepared()?;
        if manifest.answer_tokens == Some(0) {
            return Err("`answer_tokens` must be above zero".to_owned());
        }
        if manifest.temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
            return Err("`temperature` is from 0 to 2".to_owned());
        }
        if let Some(secret) = manifest.secrets.iter().find(|name| !is_secret_name(name)) {
            return Err(format!(
                "`secrets` holds names, never values: capitals, digits and _, and TOKEN, KEY, SECRET or PASSWORD at the end; not {secret:?}"
            ));
        }
        // What the chain would refuse is said here, before anything is signed.
        manifest.terms(Digest::ZERO, ProfileId::new(Digest::ZERO))?;
        Ok(manifest)
    }

    /// A manifest as it is written, with nothing but its form checked.
    pub(crate) fn form(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
    }

    fn check_hired(&self) -> Result<(), String> {
        if self.hire.len() > HIRES_MAX {
            return Err(format!("{} agents are to be hired; at most {HIRES_MAX} are allowed", self.hire.len()));
        }
        let policy = self.spending.policy()?;
        for (name, hire) in &self.hire {
            if !is_agent_name(name) {
                return Err(format!("`hire.{name}`: a name is a-z, 0-9 and -"));
            }
            if let Some(fault) = hire.fault(&policy) {
                return Err(format!("`hire.{name}`: {fault}"));
            }
        }
        Ok(())
    }

    fn check_prepared(&self) -> Result<(), String> {
        if self.prepare.len() > PREPARED_MAX {
            return Err(format!("{} tools are prepared; at most {PREPARED_MAX} are allowed", self.prepare.len()));
        }
        if u32::try_from(self.prepare.len()).is_ok_and(|count| count > self.limits.tool_calls) {
            return Err("`prepare` calls more tools than `limits.tool_calls` allows".to_owned());
        }
        for prepare in &self.prepare {
            if prepare.tool == PAY {
                order(&prepare.arguments.to_string()).map_err(|reason| format!("`prepare`: `{PAY}`: {reason}"))?;
                if !self.may_pay() {
                    return Err(format!("`prepare`: `{PAY}` needs `spending` that allows something"));
                }
                continue;
            }
            if prepare.tool == HIRE {
                Ask::read(self, &prepare.arguments.to_string())
                    .map_err(|reason| format!("`prepare`: `{HIRE}`: {reason}"))?;
                continue;
            }
            let is_there = prepare.tool.split_once("__").is_some_and(|(server, _)| self.tools.contains_key(server));
            if !is_there {
                return Err(format!("`prepare`: {:?} is no SERVER__TOOL of a server in `tools`", prepare.tool));
            }
            if !prepare.arguments.is_object() {
                return Err(format!("`prepare`: the arguments of {} are no table", prepare.tool));
            }
        }
        Ok(())
    }

    /// Tokens of one answer of the model at most.
    #[must_use]
    pub fn answer_tokens(&self) -> u32 {
        self.answer_tokens.unwrap_or(ANSWER_TOKENS)
    }

    /// How the model draws.
    #[must_use]
    pub fn sampling(&self) -> SamplingParams {
        // From 0 to 2, by `read`.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most two million")]
        let temperature_micro = (self.temperature.unwrap_or(0.0) * 1e6).round() as u32;
        SamplingParams { temperature_micro, ..SamplingParams::GREEDY }
    }

    /// Of a run; above zero only once it was read.
    pub(crate) fn price(&self) -> Result<Amount, String> {
        amount("price", &self.price)
    }

    /// True when its policy lets it spend.
    #[must_use]
    pub fn may_pay(&self) -> bool {
        self.spending.policy().is_ok_and(|policy| !policy.run_max().is_zero())
    }

    /// What is published of it: `digest` of the file, `model` as the chain names it.
    ///
    /// # Errors
    /// Which key is out of its bounds.
    pub fn terms(&self, digest: Digest, model: ProfileId) -> Result<AgentTerms, String> {
        let Limits { steps, tokens, tool_calls, seconds } = self.limits;
        let run_ms = seconds.saturating_mul(1_000);
        let limits = AgentLimits { steps, tokens, tool_calls, run_ms };
        let price = self.price()?;
        let terms = AgentTerms { manifest: digest, model, price, limits, policy: self.spending.policy()? };
        match terms.out_of_bounds() {
            None => Ok(terms),
            Some("price") => Err("`price` must be above zero".to_owned()),
            Some("limits") => Err(format!(
                "`limits`: 1 to {} steps, 1 to {} tokens, at most {} tool_calls, and a second at least",
                limits::RUN_STEPS_MAX,
                limits::RUN_TOKENS_MAX,
                limits::RUN_TOOL_CALLS_MAX
            )),
            Some(field) => Err(format!("`spending.{field}`: at most {} are listed", limits::RECIPIENTS_MAX)),
        }
    }

    /// Names of manifests to begin with: `plain` has every key explained, the others are agents that are of use as they are.
    pub fn templates() -> impl Iterator<Item = &'static str> {
        TEMPLATES.iter().map(|(template, _)| *template)
    }

    /// A manifest to begin with, which can be published as it is; `None` if there is no such template.
    #[must_use]
    pub fn template(template: &str, name: &str, model: &str) -> Option<String> {
        let (_, text) = TEMPLATES.iter().find(|(known, _)| *known == template)?;
        Some(text.replace("{name}", name).replace("{model}", &model.escape_default().to_string()))
    }
}

impl Spending {
    fn policy(&self) -> Result<SpendingPolicy, String> {
        let cap = |key: &str, text: &Option<String>| {
            text.as_ref().map_or(Ok(Amount::ZERO), |text| amount(&format!("spending.{key}"), text))
        };
        let expires_at_ms = self.expires.as_ref().map_or(Ok(u64::MAX), unix_ms)?;
        Ok(SpendingPolicy {
            per_run: cap("per_run", &self.per_run)?,
            per_day: cap("per_day", &self.per_day)?,
            recipients: self.recipients()?,
            expires_at_ms,
        })
    }

    fn recipients(&self) -> Result<Recipients, String> {
        if self.recipients == ["anybody"] {
            return Ok(Recipients::Anybody);
        }
        let account = |text: &String| {
            recipient(text).ok_or_else(|| {
                format!("`spending.recipients`: {text:?} is no address, no agent:ID, and \"anybody\" stands alone")
            })
        };
        let mut accounts = self.recipients.iter().map(account).collect::<Result<Vec<_>, _>>()?;
        accounts.sort();
        accounts.dedup();
        Ok(if accounts.is_empty() { Recipients::Nobody } else { Recipients::Listed(accounts) })
    }
}

/// An account by its hex digits, or by the id of the agent that it is.
pub(crate) fn recipient(text: &str) -> Option<AccountId> {
    let agent = text.strip_prefix("agent:").and_then(inferium_types::AgentId::from_hex);
    let account = || AccountId::from_hex(text).filter(AccountId::is_valid);
    agent.map(|agent| agent.account()).or_else(account)
}

fn amount(key: &str, text: &str) -> Result<Amount, String> {
    text.parse().map_err(|error| format!("`{key}`: {error}"))
}

/// A time with a zone; milliseconds since 1970.
fn unix_ms(at: &toml::value::Datetime) -> Result<u64, String> {
    let expected = || "`spending.expires` is a date and time in UTC, such as 2027-01-31T12:00:00Z".to_owned();
    let (Some(date), Some(clock), Some(toml::value::Offset::Z)) = (at.date, at.time, at.offset) else {
        return Err(expected());
    };
    let month = time::Month::try_from(date.month).map_err(|_| expected())?;
    let date = time::Date::from_calendar_date(date.year.into(), month, date.day).map_err(|_| expected())?;
    let clock = time::Time::from_hms(clock.hour, clock.minute, clock.second.unwrap_or(0)).map_err(|_| expected())?;
    let seconds = time::PrimitiveDateTime::new(date, clock).assume_utc().unix_timestamp();
    u64::try_from(seconds).map(|seconds| seconds.saturating_mul(1_000)).map_err(|_| expected())
}

#[cfg(test)]
mod tests;
