//! The engine's own threads.

use rayon::prelude::*;

/// A fixed number of threads that share the work of one step.
///
/// How work is cut never shows in results: every piece is computed by the same arithmetic, alone.
#[derive(Debug)]
pub(crate) struct Pool {
    threads: usize,
    /// `None` for one thread: the caller does the work.
    pool: Option<rayon::ThreadPool>,
}

impl Pool {
    /// Starts the threads; at least one.
    pub(crate) fn new(threads: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        let threads = threads.max(1);
        let pool = if threads == 1 {
            None
        } else {
            let name = |index| format!("inferium-compute-{index}");
            Some(rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build()?)
        };
        Ok(Self { threads, pool })
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` on one of the pool's threads, so that the loops inside need no hand-over of their own.
    pub(crate) fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            None => work(),
            Some(pool) => pool.install(work),
        }
    }

    /// Calls `work(index, chunk)` for each chunk of `items`, in parallel. Must be called inside [`Self::install`].
    pub(crate) fn for_each_chunk<T: Send>(&self, items: &mut [T], size: usize, work: impl Fn(usize, &mut [T]) + Sync) {
        if self.pool.is_none() || items.len() <= size {
            for (index, chunk) in items.chunks_mut(size).enumerate() {
                work(index, chunk);
            }
            return;
        }
        items.par_chunks_mut(size).enumerate().for_each(|(index, chunk)| work(index, chunk));
    }
}
