//! Hiring: a run that orders a run of another agent (SPEC A3).
//!
//! A manifest carries whom its agent may hire as a whole: id, version and manifest. So whoever drives a run, its host and those who
//! check it alike, makes the same order of the same call, without asking anybody.

use crate::manifest::Manifest;
use inferium_types::{
    AccountId, AgentId, Digest, JobInput, JobPayload, LeaseId, Recipients, RunInput, RunTerms, SpendOrder,
    SpendingPolicy, limits,
};
use serde::Deserialize;
use serde_json::Value;

/// The tool that hires.
pub(crate) const HIRE: &str = "hire";
/// How long a hired run waits for a host; milliseconds.
const OPEN_MS: u64 = 60_000;
/// Bytes of an agent's summary that the model is told.
const SUMMARY_MAX: usize = 256;
/// Agents that a manifest may hire at most.
pub(crate) const HIRES_MAX: usize = 8;

/// Another agent that runs may hire, as it was when the manifest was written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hire {
    /// Its id; 64 hex digits.
    agent: String,
    /// Its version's digest; 64 hex digits. When the chain has another one by then, the order is refused.
    version: String,
    /// Its manifest, byte for byte.
    manifest: String,
}

/// Whom a manifest may hire, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hired<'a> {
    /// The agent.
    pub agent: AgentId,
    /// Its version.
    pub version: Digest,
    /// Its manifest.
    pub manifest: &'a str,
}

impl Hire {
    /// Its parts; `None` unless both ids are 64 hex digits.
    #[must_use]
    pub fn read(&self) -> Option<Hired<'_>> {
        let (agent, version) = (AgentId::from_hex(&self.agent)?, Digest::from_hex(&self.version)?);
        Some(Hired { agent, version, manifest: &self.manifest })
    }

    /// What is wrong with it, for an agent that may spend as `policy` says.
    pub(crate) fn fault(&self, policy: &SpendingPolicy) -> Option<String> {
        let Some(hired) = self.read() else {
            return Some("`agent` and `version` are 64 hex digits each".to_owned());
        };
        if self.manifest.len() > limits::MANIFEST_SIZE_MAX {
            return Some(format!(
                "`manifest` has {} bytes; at most {} are allowed",
                self.manifest.len(),
                limits::MANIFEST_SIZE_MAX
            ));
        }
        let manifest = match Manifest::form(&self.manifest) {
            Ok(manifest) => manifest,
            Err(error) => return Some(format!("`manifest`: {error}")),
        };
        let price = match manifest.price() {
            Ok(price) => price,
            Err(error) => return Some(format!("`manifest`: {error}")),
        };
        if price > policy.run_max() {
            return Some(format!("a run of it costs {price}, and `spending` allows {} in one run", policy.run_max()));
        }
        let is_recipient = |account: AccountId| match &policy.recipients {
            Recipients::Anybody => true,
            Recipients::Listed(listed) => listed.contains(&account),
            Recipients::Nobody => false,
        };
        (!is_recipient(hired.agent.account()))
            .then(|| format!("`spending.recipients` has to list \"agent:{}\"", hired.agent))
    }

    /// One line of what it does, for the model.
    pub(crate) fn summary(&self) -> String {
        let mut summary = Manifest::form(&self.manifest).map(|manifest| manifest.summary).unwrap_or_default();
        summary.truncate(summary.floor_char_boundary(SUMMARY_MAX));
        summary
    }
}

/// What a call of the hiring tool asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// As the manifest calls it.
    pub(crate) name: String,
    /// What it is to do.
    pub(crate) task: String,
}

impl Ask {
    /// Reads a call's arguments; why they can't be followed, if they can't.
    pub(crate) fn read(manifest: &Manifest, arguments: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(arguments).map_err(|_| "the arguments are no JSON object".to_owned())?;
        let text = |name: &str| value.get(name).and_then(Value::as_str).ok_or_else(|| format!("`{name}` is missing"));
        let (name, task) = (text("agent")?.to_owned(), text("task")?.to_owned());
        if !manifest.hire.contains_key(&name) {
            let known: Vec<&str> = manifest.hire.keys().map(String::as_str).collect();
            return Err(format!("`agent` is one of {}", known.join(", ")));
        }
        if task.len() > limits::RUN_TASK_SIZE_MAX {
            return Err(format!("`task` has {} bytes; at most {} are allowed", task.len(), limits::RUN_TASK_SIZE_MAX));
        }
        Ok(Self { name, task })
    }

    /// What the hired run is given. Its salt follows from that of the run which hires, so that who is not given that one learns
    /// nothing from the order's commitment; and from the place of the call, so that two calls are two runs.
    pub(crate) fn payload(
        &self,
        manifest: &Manifest,
        (lease, call): (LeaseId, u32),
        salt: &[u8; 32],
    ) -> Option<JobPayload> {
        let hired = manifest.hire.get(&self.name)?.read()?;
        let input = RunInput { manifest: hired.manifest.to_owned(), task: self.task.clone(), files: Vec::new() };
        let salt = Digest::of("inferium/hire-salt/1", &[salt, lease.digest().as_bytes(), &call.to_be_bytes()]);
        Some(JobPayload { salt: *salt.as_bytes(), input: JobInput::Run(input) })
    }

    /// The order that the ledger is given.
    pub(crate) fn order(&self, manifest: &Manifest, payload: &JobPayload) -> Option<SpendOrder> {
        let Hired { agent, version, .. } = manifest.hire.get(&self.name)?.read()?;
        let run = RunTerms { agent, version, input: payload.commitment(), open_ms: OPEN_MS };
        Some(SpendOrder::Hire { run })
    }
}

#[cfg(test)]
mod tests;
