//! Training that can be checked by running parts of it again (SPEC X1, X2).
//!
//! A [`TrainingSpec`] fixes everything that decides a result: base model, data set, order, seed, optimiser, steps, interval. Its digest
//! names the run. A [`Trainer`] turns weights and examples into a loss and a gradient; [`step()`] and [`run_interval`] do the rest, the
//! same for every kind: [`HeadTrainer`] trains a classifier on the vectors of an embedding model, [`LoraTrainer`] low-rank adapters of a
//! decoder. Both compute with plain IEEE operations in a stated order, so one [`State`] follows from another with the same bits on
//! every machine, tier and number of threads that runs the same build.
//!
//! # An interval is a job
//! - *Input* ([`IntervalJob`]): the spec's digest, the root that the interval starts from, its index. Spec, data set and start state
//!   are fetched by what those name: the root binds the start state's digest, the spec the data set's root.
//! - *Output* ([`IntervalRecord`]): for each step the loss and the digest of the state after it. Its root is the next interval's start:
//!   `root_0 = H(spec, first state)`, `root_k = H(spec, root_{k−1}, k−1, Merkle root over the steps, end state)`.
//! - *Check* ([`verify_interval`]): the job again, from the start state; every record must be equal. Who disagrees is bisected to
//!   a step ([`bisect`]), which anybody decides by taking that step alone ([`rule`]).
//! - *Which are checked* ([`Audit`], [`draw`]): drawn from a beacon that follows the last root.
//!
//! So a chain has to carry these two values, the roots and a draw; nothing here changes for it. What a classifier is trained on, the
//! [`Vectors`] that the base model makes of the texts, is under a root in the spec: it is checked by a draw as well, and an interval's
//! job needs no model.
//!
//! What a network's job carries of them, and how it is read, is the module `job` (SPEC X3): there a whole interval is run again by
//! every committee, so that nothing has to be drawn.
//!
//! It is *not* a client of a network, and knows no clock. Files are touched by [`RunFolder`] alone. Whether a data set is any good, or its
//! held-out part like what the model will meet, it can't say.
//!
//! # Invariants
//! - Equal spec, data set and base model give equal roots, on every machine; a run that was interrupted and resumed gives the same
//!   roots as one that was not.
//! - Nothing is trusted that is read: a checkpoint of another run, another shape or with a changed byte is refused by name.
//! - A step that leads to numbers that are none ends the run; it is never committed to.
#![forbid(unsafe_code)]

mod adamw;
pub mod audit;
mod checkpoint;
mod data;
mod evaluation;
mod export;
mod folder;
mod head;
mod job;
mod lora;
mod order;
mod record;
mod spec;
mod state;
mod trainer;
mod vectors;
mod verify;

pub use audit::{Audit, draw};
pub use checkpoint::{Checkpoint, InvalidCheckpoint};
pub use data::{DataSet, InvalidDataSet, Line, Split};
pub use evaluation::Evaluation;
pub use folder::{FolderError, FolderLock, Kept, RunFolder};
pub use head::{HeadTrainer, InvalidHead};
pub use job::{
    ADAPTER_MEASURED_MAX, ADAPTER_TOKENS_MAX, Ground, InvalidInterval, announced, claimed, drawn, input, model,
    profile, record,
};
pub use lora::{AdapterBase, Encode, InvalidLora, LoraTrainer, adapter_changes};
pub use order::Order;
pub use record::{IntervalJob, IntervalRecord, StepRecord, first_root};
pub use spec::{BaseModel, DataTerms, InvalidSpec, Method, OptimiserTerms, TrainingSpec};
pub use state::{InvalidState, State, TensorShape};
pub use trainer::{TrainError, Trainer, run_interval, step};
pub use vectors::{InvalidVectors, Vectors};
pub use verify::{
    Bisection, Difference, LossBits, Mismatch, Ruling, bisect, check_end, check_first, check_record, rule,
    verify_interval,
};

#[cfg(test)]
mod tests;
