//! Evaluations: what a suite is, how answers are scored, and how scores become ranks (SPEC L1, L2).
//!
//! A [`Suite`] is questions, how they are put, and how answers are scored, named by a hash over all of it. A run of it leaves
//! [`Results`]: of each item the answer as it came, so that whoever reads them scores them again. A [`Summary`] is the fold of one
//! run, a [`Board`] the fold of many. [`fold_board`] is the fold that the network does for pay and checks by doing it again: there
//! receipts are checked too, against a key that it is given, and what was asked and answered is opened from them ([`bound()`]).
//!
//! It is *not* a client: nothing here asks a model, reads a file or a clock, or knows a network.
//!
//! # Invariants
//! - Same bytes in, same bytes out, on every machine. Scores are whole numbers of parts per million; intervals come from an integer
//!   square root. What arrives as floating point becomes whole numbers ([`nano`]), or is compared by IEEE-exact operations in a
//!   stated order (cosines).
//! - A score is never taken on trust: [`Results::check`] folds the stored answers anew and refuses what does not come out.
//! - Parsing is strict: unknown fields, repeated ids and empty lines are refused with their line.
//!
//! ```
//! use inferium_eval::{Suite, builtin};
//!
//! let suite: Suite = builtin("arithmetic").unwrap().unwrap();
//! // The same seed draws the same order everywhere.
//! assert_eq!(suite.order(7), suite.order(7));
//! assert_ne!(suite.order(7), suite.order(8));
//! ```
#![forbid(unsafe_code)]

mod answer;
mod board;
mod bound;
mod builtin;
mod compare;
mod fold;
mod interval;
mod item;
mod order;
mod results;
mod score;
mod suite;
mod summary;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use answer::{Answer, InvalidAnswer, nano};
pub use board::{Board, BoardRow};
pub use bound::{Bound, OpeningFault, bound};
pub use builtin::{BUILTIN, builtin};
pub use compare::{Comparison, Verdict, compare};
pub use fold::{
    BoardDocument, DocumentRow, Folded, LeftOut, NotABoard, ReceiptFault, Refused, board_suites, fold_board,
    suites_digest,
};
pub use interval::{Interval, PPM, wilson};
pub use item::{Item, Target};
pub use order::permutation;
pub use results::{InvalidResults, ItemRecord, Line, ReceiptRecord, Results, RunHead};
pub use score::{MetricName, score_all, score_item};
pub use suite::{InvalidSuite, Scorer, Suite, Take, Template};
pub use summary::{Score, Summary, summarise};
