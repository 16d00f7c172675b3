//! Disputes: a bonded doubt about an approved segment, judged by a court (SPEC V4).
//!
//! The segment goes back to where its committee was drawn, with a court instead; the judging
//! itself is `verdicts.rs`. Here is what it costs whom.

use crate::Rejection;
use crate::entries::{Dispute, Node, Segment, SegmentState};
use crate::execute::Block;
use crate::verdicts::rejections;
use inferium_types::{Amount, Event, NodeId, SegmentId};

impl Block {
    /// SPEC V4: the gateway, or any validator, once per segment and before it is settled.
    pub(crate) fn open_dispute(&mut self, sender: NodeId, id: SegmentId) -> Result<(), Rejection> {
        let mut segment = self.state.segments.get(&id).cloned().ok_or(Rejection::Unknown { what: "segment" })?;
        let SegmentState::Final { approval, settles_at_ms, .. } = &segment.state else {
            return Err(Rejection::WrongState { what: "a dispute about a segment that is not final" });
        };
        if segment.disputed {
            return Err(Rejection::Exists { what: "dispute" });
        }
        // Of a capability task the worker is its own gateway: nobody doubts itself.
        if sender != segment.gateway || sender == segment.worker {
            self.active_node(sender, "the segment's gateway or a validator", Node::is_validator)?;
        }
        let bond = self.state.meta().parameters.dispute_bond;
        let (approval, settles_at_ms) = (approval.clone(), *settles_at_ms);
        self.state.debit(sender, bond)?;
        segment.dispute = Some(Dispute { challenger: sender, bond, approval, settles_at_ms });
        segment.disputed = true;
        segment.state = self.awaiting_seed();
        self.state.set_segment(id, Some(segment));
        self.events.push(Event::DisputeOpened { segment: id, challenger: sender, bond });
        Ok(())
    }

    /// The court found nothing wrong: half of the bond is the worker's, half the court's.
    pub(crate) fn dismiss_dispute(&mut self, id: SegmentId, segment: Segment, court: &[NodeId]) {
        let Some(dispute) = self.stand(id, segment.clone()) else { return };
        let part = dispute.bond.split(2).split(u64::try_from(court.len()).unwrap_or(u64::MAX));
        let mut left = dispute.bond;
        for member in court {
            if let Ok(rest) = left.sub(part) {
                left = rest;
                if segment.counts_duties() {
                    self.count_duty(*member);
                }
                self.pay_validator(*member, part);
            }
        }
        self.state.pay(segment.worker, left);
        let returned = Amount::ZERO;
        self.events.push(Event::DisputeClosed { segment: id, challenger: dispute.challenger, upheld: false, returned });
    }

    /// There is no decision: nobody loses anything, and what was approved stands.
    pub(crate) fn drop_dispute(&mut self, id: SegmentId, segment: Segment) {
        let Some(dispute) = self.stand(id, segment) else { return };
        self.return_bond(id, &dispute, false);
    }

    /// The segment was wrong, and is gone: the bond goes back.
    pub(crate) fn uphold_dispute(&mut self, id: SegmentId, segment: &Segment) {
        if let Some(dispute) = &segment.dispute {
            self.return_bond(id, dispute, true);
        }
    }

    pub(crate) fn return_bond(&mut self, id: SegmentId, dispute: &Dispute, upheld: bool) {
        self.state.pay(dispute.challenger, dispute.bond);
        let Dispute { challenger, bond, .. } = *dispute;
        self.events.push(Event::DisputeClosed { segment: id, challenger, upheld, returned: bond });
    }

    /// Takes the dispute off the segment, which is final again as it was.
    fn stand(&mut self, id: SegmentId, mut segment: Segment) -> Option<Dispute> {
        let mut dispute = segment.dispute.take()?;
        let mut settles_at_ms = dispute.settles_at_ms.max(self.now_ms.saturating_add(1));
        if let SegmentState::Judging { members, seed, replay, .. } = &segment.state {
            // Who was outvoted now may challenge it as who was before, by what it found last (SPEC V11), and has time for that.
            let outvoted = rejections(id, members, seed, *replay);
            if !outvoted.is_empty() {
                settles_at_ms =
                    settles_at_ms.max(self.now_ms.saturating_add(self.state.meta().parameters.challenge_ms));
            }
            let known = &mut dispute.approval.rejections;
            known.retain(|(member, _)| outvoted.iter().all(|(again, _)| again != member));
            known.extend(outvoted);
            known.sort_unstable();
        }
        segment.state = SegmentState::Final { approval: dispute.approval.clone(), settles_at_ms, held_until_ms: None };
        self.state.set_segment(id, Some(segment));
        Some(dispute)
    }
}
