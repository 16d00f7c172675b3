//! Continuous batching on one thread: every step computes rows of all active sequences.
//!
//! A step takes first the next token of every running generation, so that streams stay smooth, then a bounded number of
//! rows of prompts and replays, of which each kind gets at least half if both wait. How rows are grouped cannot show in
//! the results of the canonical arithmetic (see [`crate::kernel`]). Without work the thread sleeps on its channel.

mod compute;
mod sequence;

use crate::EngineLoad;
use crate::llama::Row;
pub(crate) use compute::{Compute, Prefix};
use inferium_sampling::Adjustment;
pub(crate) use sequence::{Job, Sequence};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};

/// Bounds of the work in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Generations and scores that run at once.
    pub(crate) generations: usize,
    /// Replays and traces that run at once.
    pub(crate) replays: usize,
    /// Prompt and replay rows of a step while generations stream.
    pub(crate) rows_streaming: usize,
    /// Prompt and replay rows of a step otherwise.
    pub(crate) rows_idle: usize,
}

/// Figures shared with the callers.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    /// Jobs sent to the thread that are not active yet.
    pub(crate) queued: AtomicU32,
    active: AtomicU32,
    kv_reserved: AtomicU32,
    kv_total: AtomicU32,
    kv_kept: AtomicU32,
    reused: AtomicU64,
}

impl Gauges {
    pub(crate) fn load(&self) -> EngineLoad {
        EngineLoad {
            active: self.active.load(Ordering::Relaxed),
            queued: self.queued.load(Ordering::Relaxed),
            kv_tokens_total: self.kv_total.load(Ordering::Relaxed),
            kv_tokens_reserved: self.kv_reserved.load(Ordering::Relaxed),
            kv_tokens_kept: self.kv_kept.load(Ordering::Relaxed),
            tokens_reused: self.reused.load(Ordering::Relaxed),
        }
    }
}

/// The thread's state.
#[derive(Debug)]
pub(crate) struct Scheduler<C: Compute> {
    compute: C,
    limits: Limits,
    gauges: Arc<Gauges>,
    jobs: Receiver<Job>,
    /// In the order of arrival.
    waiting: VecDeque<Job>,
    active: Vec<Sequence<C::Room>>,
    /// Which sequence gets prompt or replay rows first; moves on every step.
    turn: usize,
}

impl<C: Compute> Scheduler<C> {
    pub(crate) fn new(compute: C, limits: Limits, gauges: Arc<Gauges>, jobs: Receiver<Job>) -> Self {
        gauges.kv_total.store(saturate(compute.tokens_total()), Ordering::Relaxed);
        Self { compute, limits, gauges, jobs, waiting: VecDeque::new(), active: Vec::new(), turn: 0 }
    }

    /// Works until the engine is dropped.
    pub(crate) fn run(mut self) {
        while self.receive() {
            self.drop_cancelled();
            self.admit();
            // Before a step hands anything out: who has a job's first token finds the job in the figures.
            self.publish();
            self.step();
            self.publish();
        }
        // Whoever still waits learns that the engine is gone by the closed channel.
    }

    /// Takes new jobs; blocks if there is nothing else to do. `false` when the engine is dropped.
    fn receive(&mut self) -> bool {
        if self.active.is_empty() && self.waiting.is_empty() {
            match self.jobs.recv() {
                Ok(job) => self.waiting.push_back(job),
                Err(_) => return false,
            }
        }
        loop {
            match self.jobs.try_recv() {
                Ok(job) => self.waiting.push_back(job),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn drop_cancelled(&mut self) {
        let before = self.waiting.len();
        self.waiting.retain(|job| !job.is_cancelled());
        self.unqueue(before - self.waiting.len());
        let compute = &mut self.compute;
        for sequence in self.active.extract_if(.., |sequence| sequence.is_cancelled()) {
            let (room, tokens) = sequence.into_room();
            compute.release(room, &tokens);
        }
    }

    /// Starts waiting jobs in the order of arrival. A kind whose places are all taken is skipped; a job that does not fit
    /// the cache is not, so that small jobs cannot starve a large one.
    fn admit(&mut self) {
        let mut places = [self.limits.generations, self.limits.replays];
        for sequence in &self.active {
            places[usize::from(!sequence.is_of_client())] -= 1;
        }
        let mut index = 0;
        while let Some(job) = self.waiting.get(index) {
            let place = &mut places[usize::from(!job.is_of_client())];
            if *place == 0 {
                index += 1;
                continue;
            }
            let Some((room, found)) = self.compute.reserve(job.tokens(), job.prefix()) else {
                break;
            };
            *place -= 1;
            self.gauges.reused.fetch_add(found as u64, Ordering::Relaxed);
            if let Some(job) = self.waiting.remove(index) {
                self.active.push(Sequence::new(job, room, found));
                self.unqueue(1);
            }
        }
    }

    fn unqueue(&self, count: usize) {
        self.gauges.queued.fetch_sub(saturate(count), Ordering::Relaxed);
    }

    /// Computes one batch and hands out its results.
    fn step(&mut self) {
        let rows = self.plan();
        if rows.is_empty() {
            return;
        }
        let mut rooms: Vec<_> = self.active.iter_mut().map(Sequence::cache_mut).collect();
        if let Err(error) = self.compute.run(&rows, &mut rooms) {
            // What the caches hold now is anyone's guess, so every sequence of the step ends.
            for sequence in self.active.drain(..) {
                self.compute.release(sequence.fail(error.clone()), &[]);
            }
            return;
        }
        let vocab = self.compute.vocab();
        for (row, cells) in self.compute.take_traced() {
            self.active[rows[row].sequence].note(rows[row].token, cells);
        }

        let adjustments = self.adjustments(&rows);
        // Sampling and hashing take as long as a small product, so they are spread over the threads as well.
        let logits = self.compute.logits().chunks_exact(vocab);
        let outputs = logits.zip(self.compute.hidden().chunks_exact(self.compute.width()));
        let mut wanted: Vec<_> =
            rows.iter().filter(|row| row.logits).zip(outputs).zip(&adjustments).map(|wanted| (wanted, None)).collect();
        let active = &self.active;
        let pool = self.compute.pool();
        pool.install(|| {
            pool.for_each_chunk(&mut wanted, 1, |_, wanted| {
                for (((row, (logits, hidden)), adjustment), output) in wanted {
                    let sequence = &active[row.sequence];
                    *output = Some(sequence.output(row.position, logits, hidden, adjustment.as_ref()));
                }
            });
        });
        let outputs: Vec<_> =
            wanted.into_iter().filter_map(|(((row, _), _), output)| Some((row.sequence, output?))).collect();
        for row in &rows {
            self.active[row.sequence].advance();
        }
        for (sequence, output) in outputs {
            self.active[sequence].take(output);
        }
        let compute = &mut self.compute;
        for sequence in self.active.extract_if(.., |sequence| sequence.is_finished()) {
            let (room, tokens) = sequence.finish();
            compute.release(room, &tokens);
        }
    }

    /// What bends the logits of each row that wants them. A grammar follows a sequence's tokens one by one; sequences follow theirs
    /// side by side.
    fn adjustments(&mut self, rows: &[Row]) -> Vec<Option<Adjustment>> {
        let wanted: Vec<&Row> = rows.iter().filter(|row| row.logits).collect();
        let mut shaped: Vec<_> = (0..)
            .zip(&mut self.active)
            .filter(|(_, sequence)| sequence.is_shaped())
            .map(|(index, sequence)| {
                let positions = wanted.iter().filter(|row| row.sequence == index).map(|row| row.position);
                (index, sequence, positions.collect::<Vec<_>>(), VecDeque::new())
            })
            .collect();
        if shaped.is_empty() {
            return wanted.iter().map(|_| None).collect();
        }
        let pool = self.compute.pool();
        pool.install(|| {
            pool.for_each_chunk(&mut shaped, 1, |_, shaped| {
                for (_, sequence, positions, adjustments) in shaped {
                    adjustments.extend(positions.iter().map(|position| sequence.adjustment(*position)));
                }
            });
        });
        let mut of_sequence: BTreeMap<usize, VecDeque<_>> =
            shaped.into_iter().map(|(index, .., adjustments)| (index, adjustments)).collect();
        let next = |row: &&Row| of_sequence.get_mut(&row.sequence).and_then(VecDeque::pop_front).flatten();
        wanted.iter().map(next).collect()
    }

    /// Chooses the rows of the next step.
    fn plan(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (index, sequence) in self.active.iter().enumerate() {
            if sequence.is_streaming() {
                rows.extend(sequence.rows(index, 1));
            }
        }
        let budget = if rows.is_empty() { self.limits.rows_idle } else { self.limits.rows_streaming };
        self.turn = self.turn.wrapping_add(1);
        let waits = |replay: bool| self.active.iter().any(|s| !s.is_streaming() && s.is_replay() == replay);
        let half = if waits(true) && waits(false) { budget / 2 } else { budget };
        for replay in [false, true] {
            let mut left = half;
            let count = self.active.len();
            for offset in 0..count {
                let index = (self.turn.wrapping_add(offset)) % count;
                let sequence = &self.active[index];
                if left > 0 && !sequence.is_streaming() && sequence.is_replay() == replay {
                    let before = rows.len();
                    rows.extend(sequence.rows(index, left));
                    left -= rows.len() - before;
                }
            }
        }
        rows
    }

    fn publish(&self) {
        self.gauges.active.store(saturate(self.active.len()), Ordering::Relaxed);
        self.gauges.kv_reserved.store(saturate(self.compute.tokens_reserved()), Ordering::Relaxed);
        self.gauges.kv_kept.store(saturate(self.compute.tokens_kept()), Ordering::Relaxed);
    }
}

fn saturate(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
