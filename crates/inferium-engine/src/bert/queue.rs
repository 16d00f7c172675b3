//! A thread that embeds, and the queue before it.
//!
//! Calls share the thread in turns, text by text, so that a call of a thousand texts does not hold up one of one. A step takes
//! as many texts as there are threads.

use crate::{EngineError, EngineLoad, TextVector, VectorReceiver};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread::JoinHandle;
use tokio::sync::mpsc::Sender;

#[cfg(test)]
mod tests;

/// Bounds of the work in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Calls that share the thread.
    pub(crate) active: usize,
    /// Calls that may wait; more are refused.
    pub(crate) queued: u32,
    /// Texts of a step.
    pub(crate) texts: usize,
}

/// The results of a step's texts, in their order.
pub(crate) type Vectors = Vec<Result<TextVector, EngineError>>;

/// The callers' end. Dropping it ends the thread after the current step.
#[derive(Debug)]
pub(crate) struct Queue {
    gauges: Arc<Gauges>,
    limits: Limits,
    /// `None` only while being dropped.
    calls: Option<mpsc::Sender<Call>>,
    thread: Option<JoinHandle<()>>,
}

impl Queue {
    /// Starts the thread, which calls `compute` with the texts of each step.
    pub(crate) fn start(
        limits: Limits,
        compute: impl FnMut(&[&[u32]]) -> Vectors + Send + 'static,
    ) -> Result<Self, io::Error> {
        let gauges = Arc::new(Gauges::default());
        let (calls, receiver) = mpsc::channel();
        let thread = Thread { limits, calls: receiver, waiting: VecDeque::new(), active: Vec::new(), turn: 0, compute };
        let thread = std::thread::Builder::new().name("inferium-embedder".to_owned()).spawn(move || thread.run())?;
        Ok(Self { gauges, limits, calls: Some(calls), thread: Some(thread) })
    }

    /// Hands texts to the thread, if there is room; at least one.
    pub(crate) fn submit(&self, texts: Vec<Vec<u32>>) -> Result<VectorReceiver, EngineError> {
        let place = Place::take(&self.gauges, self.limits.queued)?;
        // One place for every text, so that the thread never waits for a slow reader.
        let (to, receiver) = tokio::sync::mpsc::channel(texts.len().max(1));
        let call = Call { texts, next: 0, to, place };
        let sent = self.calls.as_ref().is_some_and(|calls| calls.send(call).is_ok());
        if sent { Ok(receiver) } else { Err(EngineError::Stopped) }
    }

    pub(crate) fn load(&self) -> EngineLoad {
        EngineLoad {
            active: self.gauges.active.load(Ordering::Relaxed),
            queued: self.gauges.queued.load(Ordering::Relaxed),
            ..EngineLoad::default()
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        drop(self.calls.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported where it happened; nothing is left to do here.
            let _ = thread.join();
        }
    }
}

#[derive(Debug, Default)]
struct Gauges {
    queued: AtomicU32,
    active: AtomicU32,
}

/// A call's place in the figures, for as long as the call lives.
#[derive(Debug)]
struct Place {
    gauges: Arc<Gauges>,
    is_active: bool,
}

impl Place {
    fn take(gauges: &Arc<Gauges>, most: u32) -> Result<Self, EngineError> {
        gauges
            .queued
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < most).then_some(count + 1))
            .map_err(|queued| EngineError::Busy { queued })?;
        Ok(Self { gauges: Arc::clone(gauges), is_active: false })
    }

    fn activate(&mut self) {
        self.is_active = true;
        self.gauges.active.fetch_add(1, Ordering::Relaxed);
        self.gauges.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let gauge = if self.is_active { &self.gauges.active } else { &self.gauges.queued };
        gauge.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The texts of a call.
#[derive(Debug)]
struct Call {
    texts: Vec<Vec<u32>>,
    /// The text whose vector comes next.
    next: usize,
    to: Sender<Result<TextVector, EngineError>>,
    place: Place,
}

impl Call {
    fn is_done(&self) -> bool {
        self.next == self.texts.len() || self.to.is_closed()
    }

    /// Sends the next result; an error is the last.
    fn deliver(&mut self, result: Result<TextVector, EngineError>) {
        self.next = if result.is_ok() { self.next + 1 } else { self.texts.len() };
        // There is a place for every text; a receiver that is gone shows in `is_done`.
        let _ = self.to.try_send(result);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_done() {
            // The engine ends, or a panic ended its thread: whoever waits shall not take this for the last vector.
            self.deliver(Err(EngineError::Stopped));
        }
    }
}

/// The thread's state.
struct Thread<F> {
    limits: Limits,
    calls: Receiver<Call>,
    /// In the order of arrival.
    waiting: VecDeque<Call>,
    active: Vec<Call>,
    /// Which call goes first; moves on every step.
    turn: usize,
    compute: F,
}

impl<F: FnMut(&[&[u32]]) -> Vectors> Thread<F> {
    /// Works until the queue is dropped.
    fn run(mut self) {
        while self.receive() {
            self.active.retain(|call| !call.is_done());
            self.waiting.retain(|call| !call.is_done());
            while self.active.len() < self.limits.active
                && let Some(mut call) = self.waiting.pop_front()
            {
                call.place.activate();
                self.active.push(call);
            }
            self.step();
        }
    }

    /// Takes new calls; blocks if there is nothing else to do. `false` when the queue is dropped.
    fn receive(&mut self) -> bool {
        if self.active.is_empty() && self.waiting.is_empty() {
            match self.calls.recv() {
                Ok(call) => self.waiting.push_back(call),
                Err(_) => return false,
            }
        }
        loop {
            match self.calls.try_recv() {
                Ok(call) => self.waiting.push_back(call),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn step(&mut self) {
        let plan = self.plan();
        let texts: Vec<&[u32]> = plan.iter().map(|&(call, text)| self.active[call].texts[text].as_slice()).collect();
        if texts.is_empty() {
            return;
        }
        let vectors = (self.compute)(&texts);
        for ((call, _), vector) in plan.into_iter().zip(vectors) {
            // After an error the rest of the call counts for nothing.
            if !self.active[call].is_done() {
                self.active[call].deliver(vector);
            }
        }
        self.active.retain(|call| !call.is_done());
    }

    /// The texts of the next step, as call and text: one of each call, beginning with the one whose turn it is, and then
    /// again, as long as there is room.
    fn plan(&mut self) -> Vec<(usize, usize)> {
        let count = self.active.len();
        let most = self.active.iter().map(|call| call.texts.len() - call.next).max().unwrap_or(0);
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn;
        let calls = |round: usize| (0..count).map(move |offset| (first.wrapping_add(offset) % count, round));
        (0..most)
            .flat_map(calls)
            .map(|(call, round)| (call, self.active[call].next + round))
            .filter(|&(call, text)| text < self.active[call].texts.len())
            .take(self.limits.texts)
            .collect()
    }
}
