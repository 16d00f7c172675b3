//! Opening segments after their verdict: what the VRF had ordered, and what was planted (SPEC V5).

use super::{Core, Own, WorkerError};
use crate::store::SegmentRecord;
use inferium_chain::LightClient;
use inferium_ledger::{Meta, Segment, SegmentState, StateKey};
use inferium_types::{
    Digest, JobLeaf, OPENINGS_MAX, Parameters, PlantedJob, SegmentId, SegmentOpening, TransactionBody, merkle_path,
};
use tracing::{debug, warn};

/// Part of the challenge window after which a final segment is opened: what is final until then goes
/// into one transaction.
const WINDOW_PART: u64 = 2;
/// How long after a failure what the chain asked for is tried again: its worker's stake may be at risk.
const ASKED_AGAIN_MS: u64 = 1_000;

/// When a segment is to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DueOpening {
    /// At the latest; milliseconds.
    pub(super) due_ms: u64,
    /// The chain asks for it: it waits for no other, and no other can keep it.
    pub(super) is_asked: bool,
}

impl Core {
    /// A segment is final: its opening is due some time before it is paid.
    pub(super) fn open_later(&mut self, segment: SegmentId) {
        if self.parameters.forced_share.get() > 0 {
            let later_ms = self.now_ms.saturating_add(self.parameters.challenge_ms / WINDOW_PART);
            let due_ms = if self.drain.begun { 0 } else { later_ms };
            self.unopened.entry(segment).or_insert(DueOpening { due_ms, is_asked: false });
        }
    }

    /// The chain asks: a member found something wrong, or the segment would be paid by now.
    pub(super) fn open_now(&mut self, segment: SegmentId) {
        self.unopened.insert(segment, DueOpening { due_ms: 0, is_asked: true });
    }

    /// What a former run left.
    pub(super) fn recover_opening(&mut self, id: SegmentId, segment: &Segment) {
        let is_final = matches!(segment.state, SegmentState::Final { .. });
        if segment.opening.owed().is_some() && (is_final || segment.opening.is_asked()) {
            self.open_now(id);
        }
        if is_final {
            self.drain.on_judged(id);
        }
        if segment.opening.owed().is_none() {
            self.drain.on_opened([id]);
        }
    }

    /// Opens each segment that the chain asks for by itself; of the others, once one is due, everything that may be opened
    /// in one transaction.
    pub(super) fn open_segments(&mut self) -> Result<(), WorkerError> {
        let now_ms = self.now_ms;
        let (asked, others): (Vec<_>, Vec<_>) = self.unopened.iter().partition(|(_, due)| due.is_asked);
        let is_due = others.len() >= OPENINGS_MAX || others.iter().any(|(_, due)| due.due_ms <= now_ms);
        let asked: Vec<SegmentId> =
            asked.into_iter().filter(|(_, due)| due.due_ms <= now_ms).map(|(id, _)| *id).collect();
        let others: Vec<SegmentId> =
            others.into_iter().filter(|_| is_due).map(|(id, _)| *id).take(OPENINGS_MAX).collect();
        for id in asked {
            self.open_together(&[id], true)?;
        }
        self.open_together(&others, false)
    }

    fn open_together(&mut self, segments: &[SegmentId], is_asked: bool) -> Result<(), WorkerError> {
        let mut openings = Vec::new();
        for id in segments {
            self.unopened.remove(id);
            match self.store.segment(*id)?.as_ref().and_then(opening) {
                Some(opening) => openings.push(opening),
                None => self.drain.on_opened([*id]),
            }
        }
        if openings.is_empty() {
            return Ok(());
        }
        let (sender, own) = (self.sender.clone(), self.own_tx.clone());
        tokio::spawn(async move {
            let all: Vec<SegmentId> = openings.iter().map(|opening| opening.segment).collect();
            let Err(error) = sender.send(TransactionBody::OpenSegments { openings: openings.clone() }).await else {
                let _ = own.send(Own::Opened(all)).await;
                return;
            };
            debug!(%error, "segments not opened together");
            if all.len() == 1 {
                let _ = own.send(Own::Unopened(all, is_asked)).await;
                return;
            }
            // One that can't be opened, as one that was rejected meanwhile, must not keep the others.
            let (mut left, mut opened) = (Vec::new(), Vec::new());
            for opening in openings {
                let segment = opening.segment;
                if let Err(error) = sender.send(TransactionBody::OpenSegments { openings: vec![opening] }).await {
                    debug!(%segment, %error, "segment not opened");
                    left.push(segment);
                } else {
                    opened.push(segment);
                }
            }
            let _ = own.send(Own::Opened(opened)).await;
            let _ = own.send(Own::Unopened(left, is_asked)).await;
        });
        Ok(())
    }

    /// Tries again, while there is something to open.
    pub(super) fn on_unopened(&mut self, segments: &[SegmentId], is_asked: bool) -> Result<(), WorkerError> {
        for segment in segments {
            if self.store.segment(*segment)?.is_none() {
                continue;
            }
            if is_asked {
                let due_ms = self.now_ms.saturating_add(ASKED_AGAIN_MS);
                self.unopened.entry(*segment).or_insert(DueOpening { due_ms, is_asked });
            } else {
                self.open_later(*segment);
            }
        }
        Ok(())
    }

    /// Governance changed something: how much is planted may be among it.
    pub(super) fn refresh_parameters(&self) {
        let (chain, own) = (self.chain.clone(), self.own_tx.clone());
        tokio::spawn(async move {
            match read_parameters(&chain).await {
                Ok(Some(parameters)) => {
                    let _ = own.send(Own::Parameters(Box::new(parameters))).await;
                }
                Ok(None) => {}
                Err(error) => warn!(%error, "could not read the parameters in force"),
            }
        });
    }
}

pub(super) async fn read_parameters(chain: &LightClient) -> Result<Option<Parameters>, inferium_chain::GetError> {
    Ok(chain.entry::<Meta>(&StateKey::Meta).await?.map(|meta| meta.parameters))
}

/// `None` for a segment that owes none: a capability task's.
fn opening(record: &SegmentRecord) -> Option<SegmentOpening> {
    let planted = match record.planted {
        Some(position) => {
            let index = usize::try_from(position).ok()?;
            let hashes: Vec<Digest> = record.leaves.iter().map(JobLeaf::hash).collect();
            Some(PlantedJob { leaf: record.leaves.get(index)?.clone(), path: merkle_path(&hashes, index)? })
        }
        None => None,
    };
    Some(SegmentOpening { segment: record.terms.id(), proof: record.forced_proof?, planted })
}
