//! A model of any family that llama.cpp reads, text in and text out.

use crate::engine::spawn;
use crate::{EngineError, LoadError};
use inferium_types::{ChatMessage, SamplingParams};
use std::path::Path;
use std::sync::mpsc::{self, sync_channel};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// What a [`TextModel`] is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextRequest {
    /// The conversation to answer.
    pub messages: Vec<ChatMessage>,
    /// The most tokens to draw, in the model's own tokenizer.
    pub max_tokens: u32,
    /// How to draw.
    pub sampling: SamplingParams,
    /// The sampling seed.
    pub seed: [u8; 32],
}

/// An answer on its way.
#[derive(Debug)]
#[cfg_attr(not(feature = "llamacpp"), expect(dead_code, reason = "nothing is answered"))]
pub(super) struct TextJob {
    pub(super) request: TextRequest,
    pub(super) to: oneshot::Sender<Result<String, EngineError>>,
}

/// A model with a tokenizer and a template of its own, which nothing but its text leaves: for workers that answer with another
/// model than they promised. Answers one request after the other.
///
/// Only with the feature `llamacpp`.
#[derive(Debug)]
pub struct TextModel {
    /// `None` only while being dropped.
    jobs: Option<mpsc::Sender<TextJob>>,
    thread: Option<JoinHandle<()>>,
}

impl TextModel {
    /// Loads a GGUF file and starts the model's thread; `threads` compute, at least one.
    ///
    /// # Errors
    /// [`LoadError::WithoutLlamaCpp`], or what llama.cpp refuses.
    pub fn load(path: &Path, threads: usize) -> Result<Self, LoadError> {
        if !path.is_file() {
            return Err(LoadError::Open { path: path.to_path_buf(), reason: "no such file".to_owned() });
        }
        let (jobs, receiver) = mpsc::channel();
        let (started, loaded) = sync_channel(1);
        let path = path.to_path_buf();
        let thread = spawn(move || super::answer_all(&path, threads.max(1), &receiver, &started))?;
        match loaded.recv() {
            Ok(Ok(())) => Ok(Self { jobs: Some(jobs), thread: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(LoadError::Threads { reason: "the model's thread has ended".to_owned() }),
        }
    }

    /// Asks for an answer; dropping the receiver cancels.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] if the thread is gone. The answer itself can be [`EngineError::TooLong`] or
    /// [`EngineError::Failed`].
    pub fn answer(&self, request: TextRequest) -> Result<oneshot::Receiver<Result<String, EngineError>>, EngineError> {
        let (to, receiver) = oneshot::channel();
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(TextJob { request, to }).is_ok());
        if sent { Ok(receiver) } else { Err(EngineError::Stopped) }
    }
}

impl Drop for TextModel {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported where it happened; nothing is left to do here.
            let _ = thread.join();
        }
    }
}
