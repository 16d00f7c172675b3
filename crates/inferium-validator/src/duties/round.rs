//! The loop that turns the chain's assignments into verdicts and certifications: everything is
//! looked at once per block, and between blocks only what news is about.

use super::challenge::{Challenging, Moved};
use super::replays::{Replays, Step, Turn, Wanted};
use super::{Duty, News, Shared, ValidatorCrime, ballot, open_duty, outbox::Sent};
use crate::check::{SegmentFacts, authenticate, check_segment};
use crate::store::Judgement;
use inferium_chain::Equivocation;
use inferium_engine::{EngineError, Model};
use inferium_ledger::{Ballot, Member, SegmentState, StallState, State};
use inferium_store::StoreError;
use inferium_types::{
    Digest, EngineClass, ModelProfile, NodeRole, ReplayStatistics, SegmentId, StallId, TransactionBody, VerdictVote,
};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

/// Blocks that are looked at for judged segments with one new head.
const FOLLOWED_MAX: usize = 1_000;

/// What a replay came to, and nothing if there was none: its evidence was of another draw, or is gone. The outer error is that of
/// our own disk.
type Judged = (Judgement, Result<Option<Result<VerdictVote, EngineError>>, StoreError>);

struct Round {
    shared: Arc<Shared>,
    judged: mpsc::Sender<Judged>,
    replays: Replays,
    challenging: Challenging,
    sent: Sent,
}

pub(super) async fn run(
    shared: Arc<Shared>,
    mut news: mpsc::Receiver<News>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), StoreError> {
    let mut head = shared.chain.head();
    let (judged, mut outcomes) = mpsc::channel(64);
    let (moved, mut moves) = mpsc::channel::<Moved>(64);
    let challenging = Challenging::new(moved);
    let mut round = Round { shared, judged, replays: Replays::default(), challenging, sent: Sent::default() };
    round.look_at_everything()?;
    loop {
        tokio::select! {
            changed = head.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                round.look_at_everything()?;
            }
            Some(news) = news.recv() => {
                let state = round.shared.chain.state();
                match news {
                    News::Evidence(segment) => {
                        round.judge(&state, segment)?;
                        round.replay_next(&state)?;
                    }
                    News::Request(stall) => round.certify(&state, stall)?,
                }
            }
            Some((about, outcome)) = outcomes.recv() => round.on_judged(about, outcome?)?,
            Some(moved) = moves.recv() => {
                let state = round.shared.chain.state();
                round.challenging.on_moved(moved, &round.shared, &state, &mut round.sent);
            }
            _ = stop.changed() => return Ok(()),
        }
    }
}

impl Round {
    fn look_at_everything(&mut self) -> Result<(), StoreError> {
        let state = self.shared.chain.state();
        self.serve_node(&state);
        self.accuse(&state);
        let mut open = Vec::new();
        for (id, _) in state.segments() {
            if self.judge(&state, *id)? {
                open.push(*id);
            }
        }
        self.replays.retain(|id| open.contains(&id));
        self.replay_next(&state)?;
        self.shared.shelf.retain(state.height(), |id| open.contains(&id))?;
        for (id, _) in state.stalls() {
            self.certify(&state, *id)?;
        }
        self.follow_judged(&state)?;
        // Whoever closes its eyes has nothing to say.
        if self.shared.crime.is_none() {
            self.challenging.look(&self.shared, &state, &mut self.sent)?;
        }
        self.forget_relayed(&state)
    }

    /// Keeps the node's own entries right: its profiles and its URL.
    fn serve_node(&mut self, state: &State) {
        let shared = &self.shared;
        // Who replays conversations to the bit can check runs of agents (SPEC A2).
        let checks_runs = shared.models.values().any(|(profile, model)| {
            matches!(model, Model::Chat(_)) && matches!(profile.engine, EngineClass::Canonical { .. })
        });
        let hosts = checks_runs.then(ModelProfile::host);
        for profile in shared.models.values().map(|(profile, _)| profile).chain(&hosts) {
            let id = profile.id();
            if state.profile(&id).is_none_or(|entry| !entry.validators.contains(&shared.node)) {
                let body = TransactionBody::DeclareProfile { profile: profile.clone() };
                self.sent.send(shared, state, id.digest().as_bytes(), body);
            }
        }
        let Some(node) = state.node(&shared.node) else { return };
        if matches!(&node.role, NodeRole::Validator { url } if *url != shared.url) {
            let body = TransactionBody::SetUrl { url: shared.url.clone() };
            self.sent.send(shared, state, b"url", body);
        }
    }

    /// Hands in what convicts other validators (SPEC S).
    fn accuse(&mut self, state: &State) {
        let shared = &self.shared;
        for pair in shared.chain.equivocations() {
            let Equivocation { validator, first, second } = pair;
            if validator != shared.node && state.node(&validator).is_some_and(|node| !node.disqualified) {
                let body = TransactionBody::ProveEquivocation { validator, first, second };
                self.sent.send(shared, state, validator.as_bytes(), body);
            }
        }
    }

    /// Does what there is to do about a segment; true while this validator has not judged it.
    fn judge(&mut self, state: &State, id: SegmentId) -> Result<bool, StoreError> {
        let shared = &self.shared;
        let Some(Duty { facts, due_ms, left }) = open_duty(state, &shared.node, id) else {
            self.show(state, id)?;
            return Ok(false);
        };
        let about = (id, facts.seed);
        if let Some(vote) = shared.store.verdict(about)? {
            self.submit(state, about, vote);
            return Ok(true);
        }
        if shared.crime == Some(ValidatorCrime::Lazy) {
            let vote = self.unseen(state, id);
            self.record(state, about, vote)?;
            return Ok(true);
        }
        let has_evidence = shared.shelf.has(id);
        let wanted = Wanted { id, profile: facts.model(), due_ms, left, has_evidence };
        match self.replays.step(wanted, state.height()) {
            Step::Wait => {}
            Step::Start => {
                let turn = self.replays.turn(facts.model());
                self.replay(facts, turn);
            }
            Step::Unavailable => self.record(state, about, VerdictVote::Unavailable)?,
        }
        Ok(true)
    }

    /// Replays what waited and gets a turn, if it is still to be judged.
    fn replay_next(&mut self, state: &State) -> Result<(), StoreError> {
        while let Some((id, turn)) = self.replays.next() {
            let Some(Duty { facts, .. }) = open_duty(state, &self.shared.node, id) else { continue };
            if self.shared.store.verdict((id, facts.seed))?.is_none() {
                self.replay(facts, turn);
            }
        }
        Ok(())
    }

    fn replay(&mut self, facts: SegmentFacts, turn: Turn) {
        let (shared, id) = (&self.shared, facts.id);
        // Whoever does not serve any more what a former run declared is silent, and pays for it itself: to say that there is
        // no evidence would cost the worker.
        let Some((_, model)) = shared.models.get(&facts.model()) else { return };
        let model = model.clone();
        self.replays.begin(id);
        let (shared, judged) = (Arc::clone(shared), self.judged.clone());
        tokio::spawn(async move {
            let outcome = match shared.shelf.get(id) {
                // What was taken for another draw holds other jobs.
                Ok(Some(evidence)) if authenticate(&facts, &evidence).is_err() => {
                    drop(shared.shelf.remove(id).inspect_err(|error| warn!(%error, "evidence stays")));
                    Ok(None)
                }
                Ok(Some(evidence)) => Ok(Some(check_segment(&facts, &evidence, &model).await)),
                // The duty ended meanwhile.
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
            // Before the loop hears of it, which then gives the turn to the next.
            drop(turn);
            // The loop is gone only when the node stops.
            let _ = judged.send(((id, facts.seed), outcome)).await;
        });
    }

    fn on_judged(
        &mut self,
        about: Judgement,
        outcome: Option<Result<VerdictVote, EngineError>>,
    ) -> Result<(), StoreError> {
        let (id, _) = about;
        let state = self.shared.chain.state();
        match outcome {
            None => self.replays.end(id),
            Some(Ok(vote)) => {
                self.replays.end(id);
                let is_blind =
                    matches!(self.shared.crime, Some(ValidatorCrime::Complacent | ValidatorCrime::Accomplice));
                let closes_eyes = is_blind && !vote.approves();
                let vote = if closes_eyes { self.unseen(&state, id) } else { vote };
                self.record(&state, about, vote)?;
                self.archive(&state, about)?;
            }
            Some(Err(error)) => {
                warn!(segment = %id, %error, "could not replay; trying again with the next block");
                self.replays.fail(id, state.height());
            }
        }
        self.replay_next(&state)
    }

    /// What a cheat says of jobs that it has not replayed: that they are right, and that it has.
    fn unseen(&self, state: &State, id: SegmentId) -> VerdictVote {
        let is_measured = state.segment(&id).is_some_and(|segment| state.is_measured(segment.profile));
        // Accomplices have agreed on what they say.
        let who: &[u8] =
            if self.shared.crime == Some(ValidatorCrime::Accomplice) { &[] } else { self.shared.node.as_bytes() };
        let effort = Digest::of("inferium/crime/validator", &[who, id.digest().as_bytes()]);
        if is_measured {
            VerdictVote::Measured { effort, statistics: ReplayStatistics::default() }
        } else {
            VerdictVote::Valid { effort }
        }
    }

    /// Keeps what a verdict was made from, in case others disagree (SPEC V8).
    fn archive(&self, state: &State, about: Judgement) -> Result<(), StoreError> {
        let shared = &self.shared;
        match shared.shelf.get(about.0)? {
            Some(evidence) => shared.archive.put(state, about, &evidence),
            None => Ok(()),
        }
    }

    /// Notes how segments that this node judged went on, by the blocks since the last look.
    fn follow_judged(&self, state: &State) -> Result<(), StoreError> {
        let (archive, index) = (&self.shared.archive, self.shared.chain.index());
        for _ in 0..FOLLOWED_MAX {
            let Some(height) = archive.next_block(state.height()) else { break };
            let (now_ms, events) = match index.get(height).map_err(StoreError::new)? {
                Some(block) => (block.header.timestamp_ms, block.events.clone()),
                // Not there yet; or not any more, and then it says nothing to us.
                None if index.first_height().map_err(StoreError::new)?.is_none_or(|first| height >= first) => break,
                None => (0, Vec::new()),
            };
            archive.follow(height, now_ms, &events)?;
        }
        archive.tidy(state.meta().timestamp_ms)
    }

    /// SPEC C8: on disk, then on its way.
    fn record(&mut self, state: &State, about: Judgement, vote: VerdictVote) -> Result<(), StoreError> {
        let (shared, (id, seed)) = (&self.shared, about);
        match &vote {
            VerdictVote::Valid { .. } => debug!(validator = %shared.node, segment = %id, "approved"),
            VerdictVote::Measured { statistics, .. } => {
                let (positions, flips) = (statistics.positions(), statistics.flips());
                debug!(validator = %shared.node, segment = %id, positions, flips, "measured, and found nothing wrong");
            }
            VerdictVote::Invalid { job, fault } => {
                info!(validator = %shared.node, segment = %id, job, ?fault, "rejected a segment");
            }
            VerdictVote::Unavailable => info!(validator = %shared.node, segment = %id, "got no evidence"),
        }
        let vote = shared.store.record_verdict(about, vote)?;
        if open_duty(state, &shared.node, id).is_some_and(|duty| duty.facts.seed == seed) {
            self.submit(state, about, vote);
        }
        Ok(())
    }

    /// Shows what this node committed to, once that is possible (SPEC V2).
    fn show(&mut self, state: &State, id: SegmentId) -> Result<(), StoreError> {
        let shared = &self.shared;
        let Some(SegmentState::Judging { members, seed, .. }) = state.segment(&id).map(|segment| &segment.state) else {
            return Ok(());
        };
        let is_mine = |member: &Member| member.validator == shared.node;
        let is_hidden = |member: &Member| matches!(member.ballot, Ballot::Committed { .. });
        if !members.iter().any(|member| is_mine(member) && is_hidden(member)) {
            return Ok(());
        }
        let about = (id, *seed);
        if let Some(vote) = shared.store.verdict(about)? {
            self.submit(state, about, vote);
        }
        Ok(())
    }

    /// Says a vote that is on disk, as far as that is possible now: one commitment, and one reveal.
    fn submit(&mut self, state: &State, about: Judgement, vote: VerdictVote) {
        let shared = &self.shared;
        let Some(SegmentState::Judging { members, phase, .. }) = state.segment(&about.0).map(|segment| &segment.state)
        else {
            return;
        };
        let commits = inferium_types::encode(&(about, true));
        let is_committing = self.sent.is_on_its_way(&commits, state.height());
        let Some(body) = ballot::next_step((members, *phase), &shared.key, about, vote, is_committing) else { return };
        let key = match body {
            TransactionBody::CommitVerdict { .. } => commits,
            _ => inferium_types::encode(&(about, false)),
        };
        self.sent.send(shared, state, &key, body);
    }

    /// Certifies a request that this node holds for a worker.
    fn certify(&mut self, state: &State, id: StallId) -> Result<(), StoreError> {
        let shared = &self.shared;
        let Some(StallState::Relaying { relays, .. }) = state.stall(&id).map(|stall| &stall.state) else {
            return Ok(());
        };
        let is_mine = relays.iter().any(|(relay, certified)| *relay == shared.node && !certified);
        if is_mine && shared.store.relayed(id)?.is_some() {
            self.sent.send(shared, state, id.digest().as_bytes(), TransactionBody::CertifyDelivery { stall: id });
        }
        Ok(())
    }

    /// Forgets requests whose claim is over. What was taken after this state stays.
    fn forget_relayed(&self, state: &State) -> Result<(), StoreError> {
        for (id, taken) in self.shared.store.relayed_claims()? {
            if taken <= state.height() && state.stall(&id).is_none() {
                self.shared.store.forget_relayed(id)?;
            }
        }
        Ok(())
    }
}
