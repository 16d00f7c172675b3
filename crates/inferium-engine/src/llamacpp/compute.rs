//! The scheduler's rows through llama.cpp.

use super::Setup;
use crate::engine::spawn;
use crate::llama::Row;
use crate::pool::Pool;
use crate::scheduler::{Compute, Gauges, Job, Limits, Prefix, Scheduler};
use crate::{EngineError, LoadError};
use inferium_types::Digest;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{LlamaContextParams, LlamaPoolingType};
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::{LogOptions, send_logs_to_tracing};
use std::fmt::Display;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;

/// The library may be set up once in a process. It says nothing of its own, since what it logs are its figures, by the hundred lines.
static BACKEND: LazyLock<Result<LlamaBackend, String>> = LazyLock::new(|| {
    send_logs_to_tracing(LogOptions::default().with_logs_enabled(false));
    LlamaBackend::init().map_err(|error| error.to_string())
});

pub(super) fn refused(reason: impl Display) -> LoadError {
    LoadError::LlamaCpp { reason: reason.to_string() }
}

pub(super) fn failed(reason: impl Display) -> EngineError {
    EngineError::Failed { reason: reason.to_string() }
}

/// The library, if this machine can run it.
pub(super) fn backend() -> Result<&'static LlamaBackend, LoadError> {
    // It is compiled for these and does not look whether they are there.
    #[cfg(target_arch = "x86_64")]
    if !(is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("bmi2"))
    {
        return Err(refused("this processor lacks AVX2, FMA, F16C or BMI2"));
    }
    BACKEND.as_ref().map_err(refused)
}

/// Opens a model file, and keeps nothing of it open.
pub(super) fn open(backend: &LlamaBackend, path: &Path) -> Result<LlamaModel, LoadError> {
    LlamaModel::load_from_file(backend, path, &LlamaModelParams::default().with_use_mmap(false)).map_err(refused)
}

/// Starts the engine's thread, which owns the model, and waits until it is loaded.
pub(crate) fn start(
    setup: Setup,
    limits: Limits,
    gauges: Arc<Gauges>,
    jobs: Receiver<Job>,
) -> Result<JoinHandle<()>, LoadError> {
    let (started, loaded) = sync_channel(1);
    let thread = spawn(move || work(setup, limits, gauges, jobs, &started))?;
    match loaded.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(LoadError::Threads { reason: "the engine's thread has ended".to_owned() }),
    }
}

fn work(
    mut setup: Setup,
    limits: Limits,
    gauges: Arc<Gauges>,
    jobs: Receiver<Job>,
    started: &SyncSender<Result<(), LoadError>>,
) {
    // Whoever waits for the outcome waits until it is there, so it can always be sent.
    let opened = backend().and_then(|backend| {
        let served = setup.file.write_served()?;
        Ok((backend, open(backend, served.path())?))
    });
    let (backend, model) = match opened {
        Ok(opened) => opened,
        Err(error) => return drop(started.send(Err(error))),
    };
    match LlamaCpp::new(backend, &model, &setup, limits) {
        Ok(compute) => {
            drop(started.send(Ok(())));
            Scheduler::new(compute, limits, gauges, jobs).run();
        }
        Err(error) => drop(started.send(Err(error))),
    }
}

/// A context of llama.cpp and what it last computed.
#[derive(Debug)]
struct LlamaCpp<'model> {
    context: LlamaContext<'model>,
    batch: LlamaBatch<'static>,
    pool: Pool,
    tokens_total: usize,
    tokens_reserved: usize,
    /// Names of sequences that are not in use.
    free: Vec<i32>,
    logits: Vec<f32>,
    hidden: Vec<f32>,
    vocab: usize,
    width: usize,
}

/// A sequence of the context.
#[derive(Debug)]
struct Room {
    id: i32,
    tokens: usize,
}

impl<'model> LlamaCpp<'model> {
    fn new(
        backend: &LlamaBackend,
        model: &'model LlamaModel,
        setup: &Setup,
        limits: Limits,
    ) -> Result<Self, LoadError> {
        let found = (usize::try_from(model.n_vocab()), usize::try_from(model.n_embd_out()));
        if found != (Ok(setup.vocab), Ok(setup.width)) {
            return Err(refused(format!(
                "it reads {found:?} tokens and numbers of a state, not {} and {}",
                setup.vocab, setup.width
            )));
        }
        let sequences = limits.generations + limits.replays;
        // One row of each stream, and what a step takes besides.
        let rows_max = limits.generations + limits.rows_idle.max(limits.rows_streaming);
        let threads = i32::try_from(setup.threads).map_err(refused)?;
        let rows = u32::try_from(rows_max).map_err(refused)?;
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(setup.kv_tokens))
            .with_n_batch(rows)
            .with_n_ubatch(rows)
            .with_n_seq_max(u32::try_from(sequences).map_err(refused)?)
            // Sequences share the cache's tokens, as reservations do.
            .with_kv_unified(true)
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            // The input of the head for every row, which makes every row an output.
            .with_embeddings(true)
            .with_pooling_type(LlamaPoolingType::None);
        let context = model.new_context(backend, params).map_err(refused)?;
        Ok(Self {
            context,
            batch: LlamaBatch::new(rows_max, 1),
            pool: Pool::new(setup.threads).map_err(|error| LoadError::Threads { reason: error.to_string() })?,
            tokens_total: setup.kv_tokens as usize,
            tokens_reserved: 0,
            free: (0..i32::try_from(sequences).map_err(refused)?).rev().collect(),
            logits: Vec::new(),
            hidden: Vec::new(),
            vocab: setup.vocab,
            width: setup.width,
        })
    }
}

impl Compute for LlamaCpp<'_> {
    type Room = Room;

    fn tokens_total(&self) -> usize {
        self.tokens_total
    }

    fn tokens_reserved(&self) -> usize {
        self.tokens_reserved
    }

    fn tokens_kept(&self) -> usize {
        // What one sequence computed is another's only where bits are equal.
        0
    }

    fn reserve(&mut self, tokens: usize, _prefix: Option<Prefix<'_>>) -> Option<(Room, usize)> {
        if tokens > self.tokens_total - self.tokens_reserved {
            return None;
        }
        let id = self.free.pop()?;
        self.tokens_reserved += tokens;
        Some((Room { id, tokens }, 0))
    }

    fn release(&mut self, room: Room, _tokens: &[u32]) {
        self.tokens_reserved -= room.tokens;
        // To remove a whole sequence can't fail, says the library.
        drop(self.context.clear_kv_cache_seq(u32::try_from(room.id).ok(), None, None));
        self.free.push(room.id);
    }

    fn run(&mut self, rows: &[Row], rooms: &mut [&mut Room]) -> Result<(), EngineError> {
        self.logits.clear();
        self.hidden.clear();
        self.batch.clear();
        for row in rows {
            let token = LlamaToken(i32::try_from(row.token).map_err(failed)?);
            let position = i32::try_from(row.position).map_err(failed)?;
            self.batch.add(token, position, &[rooms[row.sequence].id], true).map_err(failed)?;
        }
        self.context.decode(&mut self.batch).map_err(failed)?;
        for (index, _) in (0..).zip(rows).filter(|(_, row)| row.logits) {
            self.logits.extend_from_slice(self.context.get_logits_ith(index));
            self.hidden.extend_from_slice(self.context.embeddings_ith(index).map_err(failed)?);
        }
        Ok(())
    }

    fn logits(&self) -> &[f32] {
        &self.logits
    }

    fn hidden(&self) -> &[f32] {
        &self.hidden
    }

    fn take_traced(&mut self) -> Vec<(usize, Vec<Digest>)> {
        Vec::new()
    }

    fn vocab(&self) -> usize {
        self.vocab
    }

    fn width(&self) -> usize {
        self.width
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }
}
