//! Showing what a challenge asks of a run (SPEC V11): the run is made again, as it was made, and opened piece by piece.

use crate::store::ChallengeRecord;
use inferium_chain::{GetError, LightClient, Sender};
use inferium_engine::{Audit, Audited, AuditedInput, Model};
use inferium_ledger::{Challenge, StateKey, Turn};
use inferium_types::{Digest, JobEvidence, TraceAsked, TraceShown, TransactionBody, evidence_leaf};
use std::time::Duration;
use tracing::{info, warn};

/// Wait before the chain is asked again whose turn it is.
const AGAIN: Duration = Duration::from_millis(500);

/// One challenge that this worker has to stand.
pub(crate) struct Shower {
    pub(crate) record: ChallengeRecord,
    /// The job, as it was done.
    pub(crate) job: JobEvidence,
    pub(crate) model: Model,
    pub(crate) chain: LightClient,
    pub(crate) sender: Sender,
}

/// What the worker computed and said of the input that is looked into.
struct Run {
    item: u32,
    audit: Audit,
    said: Digest,
}

impl Shower {
    /// Shows what it is asked until the challenge is over.
    pub(crate) async fn run(self) {
        let ChallengeRecord { segment, challenger, .. } = self.record;
        let mut run = None;
        loop {
            match self.try_once(&mut run).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(reason) => warn!(%segment, %challenger, reason, "what a challenge asks is not shown yet"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Shows what is asked now, if anything is; true when nothing more will be.
    async fn try_once(&self, run: &mut Option<Run>) -> Result<bool, String> {
        let unread = |error: GetError| format!("the challenge can't be read: {error}");
        let ChallengeRecord { segment, challenger, .. } = self.record;
        let key = StateKey::Challenge((segment, challenger));
        let Some(challenge) = self.chain.entry::<Challenge>(&key).await.map_err(unread)? else { return Ok(true) };
        let asked = match challenge.turn {
            Turn::Worker(asked) => asked,
            Turn::Challenger => return Ok(false),
            Turn::Over => return Ok(true),
        };
        let item = match asked {
            TraceAsked::Run { item } => Some(item),
            _ => challenge.run.as_ref().map(|run| run.item),
        };
        let shown = match item {
            None => TraceShown::Leaves(self.leaves().await?),
            Some(item) => {
                if run.as_ref().is_none_or(|run| run.item != item) {
                    *run = Some(self.of(item).await?);
                }
                let run = run.as_ref().ok_or("the run is gone")?;
                run.audit.shown(asked, run.said).ok_or("the run has nothing of that kind")?
            }
        };
        info!(%segment, %challenger, ?asked, "showing a run");
        let body = TransactionBody::ShowTrace { segment, challenger, shown };
        self.sender.send(body).await.map(|_| false).map_err(|error| format!("it was not taken: {error}"))
    }

    /// The leaves of the job's evidence, one for each input.
    async fn leaves(&self) -> Result<Vec<Digest>, String> {
        let said = Audited::said(&self.job.output.answer);
        let (model, inputs) = self.inputs()?;
        if said.len() != inputs.len() {
            return Err("not every input has an answer".into());
        }
        let mut leaves = Vec::new();
        // Read once, and run without keeping what each computes.
        for (input, said) in inputs.into_iter().zip(said) {
            let [_, run] = model.run(input).await.map_err(|error| error.to_string())?;
            leaves.push(evidence_leaf(&said, &run));
        }
        Ok(leaves)
    }

    async fn of(&self, item: u32) -> Result<Run, String> {
        let index = usize::try_from(item).map_err(|_| "no such input")?;
        let said = Audited::said(&self.job.output.answer).get(index).copied().ok_or("no such input")?;
        let (model, mut inputs) = self.inputs()?;
        let input = if index < inputs.len() { inputs.swap_remove(index) } else { return Err("no such input".into()) };
        let audit = model.audit(input).await.map_err(|error| error.to_string())?;
        Ok(Run { item, audit, said })
    }

    fn inputs(&self) -> Result<(Audited, Vec<AuditedInput>), String> {
        let model = Audited::of(&self.model).ok_or("the model is none of integers")?;
        let inputs = model.inputs(&self.job.payload.input).map_err(|error| error.to_string())?;
        Ok((model, inputs))
    }
}
