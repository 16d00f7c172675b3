//! Showing what a challenge asks of a run (SPEC V11): the run is made again, as it was made, and opened piece by piece.

use crate::store::ChallengeRecord;
use inferium_chain::{GetError, LightClient, Sender};
use inferium_engine::{AuditDesk, Audited, Model};
use inferium_ledger::{Challenge, StateKey, Turn};
use inferium_types::{JobEvidence, TraceAsked, TraceShown, TransactionBody, part_salt};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
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
    /// What all challenges of this worker share.
    pub(crate) desk: Arc<Mutex<AuditDesk>>,
}

impl Shower {
    /// Shows what it is asked until the challenge is over.
    pub(crate) async fn run(self) {
        let ChallengeRecord { segment, challenger, .. } = self.record;
        loop {
            match self.try_once().await {
                Ok(true) => return self.desk.lock().await.forget(segment),
                Ok(false) => {}
                Err(reason) => warn!(%segment, %challenger, reason, "what a challenge asks is not shown yet"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Shows what is asked now, if anything is; true when nothing more will be.
    async fn try_once(&self) -> Result<bool, String> {
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
        let model = Audited::of(&self.model).ok_or("the model is none of integers")?;
        let shown = match item {
            None => {
                let leaves = self.desk.lock().await.leaves((segment, self.record.job), &model, &self.job).await;
                TraceShown::Leaves(leaves.map_err(|error| error.to_string())?)
            }
            Some(item) => self.shown(&model, item, asked).await?,
        };
        info!(%segment, %challenger, ?asked, "showing a run");
        let body = TransactionBody::ShowTrace { segment, challenger, shown };
        self.sender.send(body).await.map(|_| false).map_err(|error| format!("it was not taken: {error}"))
    }

    /// What is asked of the run of one input.
    async fn shown(&self, model: &Audited, item: u32, asked: TraceAsked) -> Result<TraceShown, String> {
        let index = usize::try_from(item).map_err(|_| "no such input")?;
        let said = self.job.output.said().get(index).copied().ok_or("no such input")?;
        let mut inputs = model.inputs(&self.job.payload.input).map_err(|error| error.to_string())?;
        let input = if index < inputs.len() { inputs.swap_remove(index) } else { return Err("no such input".into()) };
        let mut desk = self.desk.lock().await;
        let name = (self.record.segment, self.record.job, item);
        let audit = desk.audit(name, model, input).await.map_err(|error| error.to_string())?;
        let part = (part_salt(&self.job.output.salt, index), said);
        audit.shown(asked, part).ok_or_else(|| "the run has nothing of that kind".to_owned())
    }
}
