//! Challenges: one validator against a worker, before a ledger that computes one tile itself (SPEC V11).
//!
//! The challenger knows the run; the ledger knows the model's id and what the worker shows. What the worker shows narrows the difference down, until
//! what it rests on can be opened: that is checked in `challenges/refute.rs`.

use crate::Rejection;
use crate::entries::{Approval, Challenge, Node, Opening, Segment, SegmentState, ShownRun, ShownSpan, Turn};
use crate::execute::Block;
use crate::state::{Due, State};
use crate::verdicts::voters;
use inferium_exact::{SUMS_MAX, Span, direction_build};
use inferium_types::{
    Amount, ChallengeEnd, ChallengeTerms, ClassifierReads, Digest, EngineClass, Event, JobFault, ModelProfile,
    ModelTask, NodeId, Ppm, RejectReason, SegmentId, SlashRule, TraceAsked, TraceRoot, TraceShown, VerdictVote,
    evidence_leaf, merkle_root,
};

mod refute;

/// What each run of a model of integers is of (SPEC J8, J12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// Tensors, which the job holds.
    Tensors,
    /// Texts that became vectors of floats first: what the integers begin with no ledger computes.
    Texts,
    /// Tokens of texts, which the job holds.
    Tokens,
}

/// What can be challenged on a profile (SPEC V11): nothing where runs are not of integers.
#[must_use]
pub fn runs_of(profile: &ModelProfile) -> Option<Runs> {
    match (&profile.task, &profile.engine) {
        (ModelTask::Classify { reads: ClassifierReads::Tensors { .. }, .. }, _) => Some(Runs::Tensors),
        (ModelTask::Classify { reads: ClassifierReads::Texts, .. }, _) => Some(Runs::Texts),
        (ModelTask::Embed { .. }, EngineClass::Canonical { build, .. })
            if *build == Digest::from(direction_build()) =>
        {
            Some(Runs::Tokens)
        }
        _ => None,
    }
}

/// Names a challenge: there is one of each challenger about a segment.
pub(crate) type ChallengeKey = (SegmentId, NodeId);

impl State {
    /// A challenge that is open, or was lost while its segment is not settled.
    #[must_use]
    pub fn challenge(&self, segment: &SegmentId, challenger: &NodeId) -> Option<&Challenge> {
        self.challenges.get(&(*segment, *challenger))
    }

    /// All challenges about a segment.
    pub(crate) fn challenges_of(&self, segment: SegmentId) -> Vec<(ChallengeKey, Challenge)> {
        let first = (segment, NodeId::from_bytes([0; 32]));
        let about = self.challenges.range(first..).take_while(|((of, _), _)| *of == segment);
        about.map(|(key, challenge)| (*key, challenge.clone())).collect()
    }

    /// The only way to change a challenge: its place in the queue follows it.
    pub(crate) fn set_challenge(&mut self, key: ChallengeKey, challenge: Option<Challenge>) {
        let new = challenge.as_ref().and_then(challenge_due);
        let old = match challenge {
            Some(challenge) => self.challenges.insert(key, challenge),
            None => self.challenges.remove(&key),
        };
        self.requeue(Due::Challenge(key), old.as_deref().and_then(challenge_due), new);
    }
}

/// When something happens to it by itself; milliseconds.
pub(crate) fn challenge_due(challenge: &Challenge) -> Option<u64> {
    challenge.is_open().then_some(challenge.due_at_ms)
}

pub(crate) fn span_of(trace: &TraceRoot) -> Span {
    exact_root(trace).whole()
}

/// As the arithmetic of traces knows it.
pub(crate) const fn exact_root(trace: &TraceRoot) -> inferium_exact::TraceRoot {
    inferium_exact::TraceRoot { length: trace.length, values: trace.values, hash: *trace.root.as_bytes() }
}

fn raw(hashes: &[Digest]) -> Vec<[u8; 32]> {
    hashes.iter().map(|hash| *hash.as_bytes()).collect()
}

impl Block {
    /// SPEC V11: a member that was outvoted, once about the job that it found wrong. It was given what the worker will have to show a part of; nobody else
    /// is to have that shown.
    pub(crate) fn open_challenge(&mut self, sender: NodeId, terms: &ChallengeTerms) -> Result<(), Rejection> {
        self.active_node(sender, "a validator", Node::is_validator)?;
        let ChallengeTerms { segment: id, leaf, path } = terms;
        let segment = self.state.segments.get(id).ok_or(Rejection::Unknown { what: "segment" })?;
        let SegmentState::Final { approval, .. } = &segment.state else {
            return Err(Rejection::WrongState { what: "a challenge of a segment that is not final" });
        };
        let profile =
            self.state.profiles.get(&segment.profile).ok_or(Rejection::Unknown { what: "the segment's profile" })?;
        if runs_of(&profile.profile).is_none() {
            return Err(Rejection::WrongState { what: "a challenge of a run that is not of integers" });
        }
        if self.state.challenges.contains_key(&(*id, sender)) {
            return Err(Rejection::Exists { what: "challenge" });
        }
        let is_in = path.root(leaf.hash()) == Some(segment.terms.root) && leaf.request.lease == segment.terms.lease;
        if !is_in || !leaf.is_consistent() {
            return Err(Rejection::Evidence { why: "the job is not in the segment" });
        }
        let job = u32::try_from(path.index).map_err(|_| Rejection::Overflow)?;
        if !approval.rejections.contains(&(sender, job)) {
            return Err(Rejection::NotAllowed { expected: "a member that found this job wrong" });
        }
        // What was planted by order is wrong on purpose.
        if segment.opening.known_wrong() == Some(job) {
            return Err(Rejection::WrongState { what: "a challenge of a planted job" });
        }
        let (worker, profile, bond) = (segment.worker, segment.profile, self.state.meta().parameters.dispute_bond);
        self.state.debit(sender, bond)?;
        let mut challenge = Challenge {
            worker,
            profile,
            bond,
            job,
            items: leaf.result.usage.completion_tokens,
            tokens: leaf.result.usage.tokens(),
            input: leaf.request.input_commitment,
            output: leaf.result.output_commitment,
            evidence_root: leaf.result.evidence_root,
            leaves: Vec::new(),
            run: None,
            turn: Turn::Challenger,
            due_at_ms: 0,
            due_at_height: 0,
        };
        self.events.push(Event::ChallengeOpened { segment: *id, challenger: sender, worker, job, bond });
        self.ask((*id, sender), &mut challenge, TraceAsked::Leaves);
        self.state.set_challenge((*id, sender), Some(challenge));
        Ok(())
    }

    /// The worker's turn begins.
    fn ask(&mut self, (segment, challenger): ChallengeKey, challenge: &mut Challenge, asked: TraceAsked) {
        challenge.turn = Turn::Worker(asked);
        self.restart(challenge);
        self.events.push(Event::TraceAsked {
            segment,
            challenger,
            worker: challenge.worker,
            job: challenge.job,
            item: challenge.run.as_ref().map_or(0, |run| run.item),
            asked,
            due_at_ms: challenge.due_at_ms,
        });
    }

    /// Whoever's turn it is has a whole window.
    fn restart(&self, challenge: &mut Challenge) {
        let parameters = &self.state.meta().parameters;
        challenge.due_at_ms = self.now_ms.saturating_add(challenge.window_ms(parameters));
        challenge.due_at_height = self.height.saturating_add(parameters.draw_delay_views);
    }

    /// SPEC V11: the worker shows what it was asked, and nothing else.
    pub(crate) fn show_trace(
        &mut self,
        sender: NodeId,
        key: ChallengeKey,
        shown: &TraceShown,
    ) -> Result<(), Rejection> {
        let mut challenge = self.state.challenges.get(&key).cloned().ok_or(Rejection::Unknown { what: "challenge" })?;
        if challenge.worker != sender {
            return Err(Rejection::NotAllowed { expected: "the challenged worker" });
        }
        let Turn::Worker(asked) = challenge.turn else {
            return Err(Rejection::WrongState { what: "showing what nobody asked for" });
        };
        accept(&mut challenge, asked, shown).ok_or(Rejection::Evidence { why: "it is not what was asked for" })?;
        challenge.turn = Turn::Challenger;
        self.restart(&mut challenge);
        let due_at_ms = challenge.due_at_ms;
        self.events.push(Event::TraceShown { segment: key.0, challenger: key.1, shown: shown.clone(), due_at_ms });
        // Of a run there is one thing to look at first: no need to ask.
        if let Some(run) = challenge.run.as_ref().filter(|_| matches!(shown, TraceShown::Run { .. })) {
            let whole = within(span_of(&run.trace));
            self.ask(key, &mut challenge, whole);
        }
        self.state.set_challenge(key, Some(challenge));
        Ok(())
    }

    /// SPEC V11: the challenger looks closer.
    pub(crate) fn ask_trace(&mut self, sender: NodeId, segment: SegmentId, index: u64) -> Result<(), Rejection> {
        let key = (segment, sender);
        let mut challenge = self.state.challenges.get(&key).cloned().ok_or(Rejection::Unknown { what: "challenge" })?;
        if challenge.turn != Turn::Challenger {
            return Err(Rejection::WrongState { what: "asking out of turn" });
        }
        let asked = next(&challenge, index).ok_or(Rejection::OutOfBounds { field: "index" })?;
        self.ask(key, &mut challenge, asked);
        self.state.set_challenge(key, Some(challenge));
        Ok(())
    }

    /// A turn that nobody took.
    pub(crate) fn advance_challenge(&mut self, key: ChallengeKey) {
        let Some(mut challenge) = self.state.challenges.get(&key).cloned() else { return };
        let meta = self.state.meta();
        // SPEC V5: what was planted by order can't be shown, and while judges look its worker may not say so.
        let is_mute = self.state.segments.get(&key.0).is_some_and(|segment| {
            segment.opening.owed().is_some() && !matches!(segment.state, SegmentState::Final { .. })
        });
        if is_mute && matches!(challenge.turn, Turn::Worker(_)) {
            self.restart(&mut challenge);
            self.state.set_challenge(key, Some(challenge));
            return;
        }
        // SPEC C3: nobody could do anything while the chain stood still.
        let renewed_ms = meta.renewed_ms(challenge.window_ms(&meta.parameters));
        let renewed_ms = Some(renewed_ms).filter(|at_ms| challenge.due_at_ms < *at_ms);
        let early_ms = (self.height < challenge.due_at_height).then(|| self.now_ms.saturating_add(1));
        if let Some(later_ms) = renewed_ms.or(early_ms) {
            challenge.due_at_ms = later_ms;
            self.state.set_challenge(key, Some(challenge));
            return;
        }
        match challenge.turn {
            Turn::Worker(_) => self.withheld(key, &challenge),
            Turn::Challenger => self.abandoned(key, challenge),
            Turn::Over => {}
        }
    }

    /// What is not shown is as good as no evidence (SPEC V3, S6).
    fn withheld(&mut self, key: ChallengeKey, challenge: &Challenge) {
        let Some(segment) = self.state.segments.get(&key.0).cloned() else { return };
        self.close(key, challenge, ChallengeEnd::Withheld);
        let replayed = approvals(&segment).iter().map(|approval| approval.replayed).min().unwrap_or(Ppm::ONE);
        self.record_fault(segment.worker, segment.profile);
        self.reject(key.0, &segment, RejectReason::Unavailable);
        self.uphold_dispute(key.0, &segment);
        self.undo_rejections(key.0);
        self.slash_withheld(&segment, key.0, replayed);
    }

    /// Whoever was outvoted did not reject what is right, as things stand now.
    fn undo_rejections(&mut self, id: SegmentId) {
        let holds = self.state.holds.iter();
        let about = holds.filter(|(_, hold)| hold.segment == Some(id) && hold.rule == SlashRule::WrongRejection);
        let undone: Vec<u64> = about.map(|(number, _)| *number).collect();
        for number in undone {
            // It fails for what does not exist alone.
            let _ = self.restitute(number);
        }
    }

    /// Half of the bond is the worker's, half the treasury's.
    fn abandoned(&mut self, (segment, challenger): ChallengeKey, challenge: Challenge) {
        let Challenge { bond, worker, .. } = challenge;
        let half = bond.split(2);
        self.state.pay(worker, half);
        let meta = self.state.meta_mut();
        let rest = bond.sub(half).unwrap_or(Amount::ZERO);
        meta.treasury = meta.treasury.add(rest).unwrap_or(meta.treasury);
        // It stays as long as its segment, so that nobody has two.
        let over = Challenge { bond: Amount::ZERO, leaves: Vec::new(), run: None, turn: Turn::Over, ..challenge };
        self.state.set_challenge((segment, challenger), Some(over));
        let (end, returned) = (ChallengeEnd::Abandoned, Amount::ZERO);
        self.events.push(Event::ChallengeClosed { segment, challenger, end, returned });
    }

    /// The bond returns.
    fn close(&mut self, key: ChallengeKey, challenge: &Challenge, end: ChallengeEnd) {
        let returned = challenge.bond;
        self.state.pay(key.1, returned);
        self.state.set_challenge(key, None);
        self.events.push(Event::ChallengeClosed { segment: key.0, challenger: key.1, end, returned });
    }

    /// The segment is gone, and what was said about it.
    pub(crate) fn end_challenges(&mut self, id: SegmentId) {
        for (key, challenge) in self.state.challenges_of(id) {
            match challenge.is_open() {
                true => self.close(key, &challenge, ChallengeEnd::Moot),
                false => self.state.set_challenge(key, None),
            }
        }
    }

    /// A planted job is wrong by order, and whoever found that was right.
    pub(crate) fn end_challenges_of_job(&mut self, id: SegmentId, job: u32) {
        for (key, challenge) in self.state.challenges_of(id) {
            if challenge.job == job && challenge.is_open() {
                self.close(key, &challenge, ChallengeEnd::Moot);
            }
        }
    }

    /// True while pay waits for a challenge: then until after its turn.
    pub(crate) fn awaits_challenge(&mut self, id: SegmentId, segment: &Segment) -> bool {
        let open = self.state.challenges_of(id).into_iter().filter_map(|(_, challenge)| challenge_due(&challenge));
        let Some(due_at_ms) = open.max() else { return false };
        let mut segment = segment.clone();
        let SegmentState::Final { settles_at_ms, held_until_ms, .. } = &mut segment.state else { return false };
        // A turn that is over in this block is handled in it or a later one.
        let later_ms = due_at_ms.max(self.now_ms).saturating_add(1);
        (*settles_at_ms, *held_until_ms) = (later_ms, None);
        if let Opening::Asked { until_ms, .. } = &mut segment.opening {
            *until_ms = later_ms;
        }
        self.state.set_segment(id, Some(segment));
        true
    }

    /// The ledger has computed it: the worker was wrong, and so was everyone who attested a replay of this job.
    /// These only where what is wrong was in the evidence (`is_bound`).
    pub(crate) fn uphold_challenge(&mut self, key: ChallengeKey, challenge: &Challenge, is_bound: bool) {
        let (id, challenger) = key;
        let Some(segment) = self.state.segments.get(&id).cloned() else { return };
        self.close(key, challenge, ChallengeEnd::Refuted);
        let approvals = approvals(&segment);
        let attested = approvals.iter().filter(|_| is_bound);
        let attested = attested.flat_map(|approval| approval.attested(id, challenge.job));
        let mut approvers: Vec<NodeId> = attested.copied().collect();
        approvers.sort_unstable();
        approvers.dedup();
        let runs = self.state.profiles.get(&challenge.profile).and_then(|entry| runs_of(&entry.profile));
        let fault = if runs == Some(Runs::Tokens) { JobFault::Embedding } else { JobFault::Classification };
        let reason = RejectReason::ProvenWrong { job: challenge.job, fault };
        self.reject(id, &segment, reason);
        self.uphold_dispute(id, &segment);
        self.undo_rejections(id);
        self.convict_refuted(&segment, id, &approvers, challenger);
    }
}

/// All approvals that a segment rests on or rested on.
fn approvals(segment: &Segment) -> Vec<Approval> {
    let mut all = Vec::new();
    match &segment.state {
        SegmentState::AwaitingSeed { .. } => {}
        SegmentState::Final { approval, .. } => all.push(approval.clone()),
        SegmentState::Judging { members, seed, replay, .. } => {
            let approvers = voters(members, VerdictVote::approves);
            all.push(Approval { approvers, seed: *seed, replayed: *replay, rejections: Vec::new() });
        }
    }
    all.extend(segment.dispute.iter().map(|dispute| dispute.approval.clone()));
    all
}

/// What is asked of a span: its parts, or the values of one chunk.
const fn within(span: Span) -> TraceAsked {
    match span.chunks {
        1 => TraceAsked::Chunk { chunk: span.first },
        _ => TraceAsked::Span { first: span.first, chunks: span.chunks },
    }
}

/// Takes what was shown; `None` when it is not what was asked for, or does not hash to what was shown before.
fn accept(challenge: &mut Challenge, asked: TraceAsked, shown: &TraceShown) -> Option<()> {
    match (asked, shown) {
        (TraceAsked::Leaves, TraceShown::Leaves(leaves)) => {
            let is_whole = u32::try_from(leaves.len()).ok()? == challenge.items;
            (is_whole && merkle_root(leaves) == challenge.evidence_root).then_some(())?;
            challenge.leaves.clone_from(leaves);
        }
        (TraceAsked::Run { item }, TraceShown::Run { salt, said, trace }) => {
            let leaf = challenge.leaves.get(usize::try_from(item).ok()?)?;
            (*leaf == evidence_leaf(salt, said, &trace.digest()) && trace.values > 0).then_some(())?;
            let (said, trace) = (*said, *trace);
            challenge.run = Some(ShownRun { item, said, trace, spans: Vec::new(), chunk: None, sums: None });
        }
        (TraceAsked::Span { first, chunks }, TraceShown::Span(hashes)) => {
            let run = challenge.run.as_mut()?;
            let span = Span { first, chunks };
            let hash = shown_hash(run, span)?;
            exact_root(&run.trace).shows(span, hash.as_bytes(), &raw(hashes)).then_some(())?;
            run.spans.push(ShownSpan { first, chunks, hashes: hashes.clone() });
        }
        (TraceAsked::Chunk { chunk }, TraceShown::Chunk(values)) => {
            let run = challenge.run.as_mut()?;
            let hash = shown_hash(run, Span { first: chunk, chunks: 1 })?;
            exact_root(&run.trace).shows_chunk(chunk, hash.as_bytes(), values).then_some(())?;
            run.chunk = Some((chunk, values.clone()));
        }
        (TraceAsked::Sums { at }, TraceShown::Sums(sums)) => {
            let run = challenge.run.as_mut()?;
            let value = shown_value(run, at)?;
            (sums.len() <= SUMS_MAX && sums.last() == Some(&value)).then_some(())?;
            run.sums = Some((at, sums.clone()));
        }
        _ => return None,
    }
    Some(())
}

/// The hash of a span, if it is the whole or a part of one that was shown.
fn shown_hash(run: &ShownRun, span: Span) -> Option<Digest> {
    if span == span_of(&run.trace) {
        return Some(run.trace.root);
    }
    run.spans.iter().rev().find_map(|shown| {
        let of = Span { first: shown.first, chunks: shown.chunks };
        let index = of.part_of(span.first)?;
        let hash = shown.hashes.get(usize::try_from(index).ok()?)?;
        (of.part(index) == Some(span)).then_some(*hash)
    })
}

/// The value at this place, if the chunk that was shown has it.
fn shown_value(run: &ShownRun, at: u64) -> Option<i32> {
    let (chunk, values) = run.chunk.as_ref()?;
    let start = chunk.checked_mul(u64::try_from(inferium_exact::TRACE_CHUNK).ok()?)?;
    values.get(usize::try_from(at.checked_sub(start)?).ok()?).copied()
}

/// What the challenger asks for by an index into what was shown last.
fn next(challenge: &Challenge, index: u64) -> Option<TraceAsked> {
    let Some(run) = &challenge.run else {
        let item = u32::try_from(index).ok()?;
        return (item < challenge.items).then_some(TraceAsked::Run { item });
    };
    match (&run.sums, &run.chunk, run.spans.last()) {
        (Some(_), _, _) => None,
        (None, Some((chunk, values)), _) => {
            let place = usize::try_from(index).ok()?;
            let start = chunk.checked_mul(u64::try_from(inferium_exact::TRACE_CHUNK).ok()?)?;
            let at = start.checked_add(index)?;
            // Nobody computes the input, which stands first: no worker has sums of it, and who asks for them would
            // convict any.
            let is_computed = at >= u64::from(run.trace.length);
            (place < values.len() && is_computed).then_some(TraceAsked::Sums { at })
        }
        (None, None, Some(span)) => Span { first: span.first, chunks: span.chunks }.part(index).map(within),
        (None, None, None) => None,
    }
}
