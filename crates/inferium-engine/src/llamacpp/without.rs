//! What builds without llama.cpp have in its place.

use super::Setup;
use super::text::TextJob;
use crate::scheduler::{Gauges, Job, Limits};
use crate::{EngineError, LoadError};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::JoinHandle;

/// Says that there is no llama.cpp.
pub(crate) fn start(_: Setup, _: Limits, _: Arc<Gauges>, _: Receiver<Job>) -> Result<JoinHandle<()>, LoadError> {
    Err(LoadError::WithoutLlamaCpp)
}

/// Says so as well, and answers nothing.
pub(super) fn answer_all(_: &Path, _: usize, jobs: &Receiver<TextJob>, started: &SyncSender<Result<(), LoadError>>) {
    drop(started.send(Err(LoadError::WithoutLlamaCpp)));
    while let Ok(TextJob { to, .. }) = jobs.recv() {
        drop(to.send(Err(EngineError::Stopped)));
    }
}
