//! Calibration of tolerance profiles: measures honest engines and cheats on the real model, fits what a verdict by statistics
//! needs, and says whether such verdicts can be had at all.
//!
//! Every *run* is one engine with one setting that answers the corpus; the canonical engine then replays its answers as a
//! validator would. Honest runs differ from the canonical engine by the order in which they add up. *Controls* are cheats: weaker
//! weights, activations or caches, layers or prompts left out, other temperatures, seeds of the worker's own, forged figures.
//!
//! It is not the verdict: that is `inferium-sampling`, which validators and the ledger share.
//!
//! [`NullWorker`] simulates honest workers at a calibration's ceilings, and says how often the sequential test accuses one.
//!
//! # Invariants
//! - Runs depend on the corpus, the model and the setting only; finished ones are kept in a folder and not repeated.
//! - Thresholds are fitted to one half of the jobs and confirmed on the other.

mod corpus;
mod nulls;
mod record;
mod report;
mod runs;

pub use corpus::{Corpus, Question};
pub use nulls::{Means, NullWorker, Tally, clopper_pearson};
pub use record::{InvalidRecord, known_calibration, read_calibration};
pub use report::{CalibrationReport, ReportError, write_report};
pub use runs::{CalibrationError, Control, Progress, Setting, calibrate, controls, honest_settings};
