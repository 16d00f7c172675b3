//! Mutational fuzzing of decoders, as ordinary tests on a stable compiler: valid samples are damaged, and every decoder must refuse
//! what comes of it, or read a value that encodes to the same bytes. It must never panic, and never take more memory than the bytes
//! at hand can ask for, whatever length they claim.
//!
//! ```
//! use inferium_fuzz::{Form, Memory, Outcome, Target};
//!
//! let target = Target { name: "a number", form: Form::Binary, cases: 100, memory: Memory { fixed: 64, per_byte: 1 } };
//! let tally = target.run(&[vec![1, 0, 0, 0]], |bytes| match bytes.try_into() {
//!     Ok(bytes) => Outcome::Encodes(u32::from_le_bytes(bytes).to_le_bytes().to_vec()),
//!     Err(_) => Outcome::Refused,
//! });
//! assert_eq!(tally.unwrap().cases, 100);
//! ```
//!
//! A test runs a bounded number of cases. `INFERIUM_FUZZ` sets how many each target runs instead. The seed is another one in each run,
//! and is printed when something is found: `INFERIUM_SEED` repeats it, at the first case.
//!
//! It is *not* coverage-guided, and sees only memory that the calling thread takes. Who links this crate has its allocator: it is
//! for tests alone.

#![forbid(unsafe_code)]

mod mutate;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::SystemTime;

/// Bytes of a finding that are shown.
const SHOWN_MAX: usize = 4_096;

/// What samples are, which decides how they are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Bytes, with lengths and numbers of any width among them.
    Binary,
    /// Text of words, strings, numbers and signs, as JSON is.
    Text,
}

/// Memory that a decoder may hold at a time, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Whatever it is given.
    pub fixed: usize,
    /// For each byte that it is given.
    pub per_byte: usize,
}

/// What a decoder made of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An error.
    Refused,
    /// A value, of a form that has several encodings of it.
    Value,
    /// A value with one encoding, which is this.
    Encodes(Vec<u8>),
}

/// A decoder under test.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it reads.
    pub form: Form,
    /// Cases of a run, unless `INFERIUM_FUZZ` says how many.
    pub cases: u64,
    /// What it may take.
    pub memory: Memory,
}

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Damaged samples.
    pub cases: u64,
    /// How many of them were refused; the others had a value.
    pub refused: u64,
}

/// A case that a decoder does not stand.
#[derive(Clone, PartialEq, Eq)]
pub struct Finding {
    target: String,
    seed: u64,
    what: String,
    input: Vec<u8>,
}

impl Finding {
    /// What the decoder did.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The seed that repeats it.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, seed, what, input } = self;
        let shown = &input[..input.len().min(SHOWN_MAX)];
        write!(f, "{target} {what}; INFERIUM_SEED={seed} repeats it. {} bytes: {}", input.len(), hex::encode(shown))
    }
}

/// As `Display`: tests unwrap.
impl fmt::Debug for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Finding {}

/// The most memory that a call holds at a time, in bytes, of what this thread takes.
pub fn memory_of(call: impl FnOnce()) -> usize {
    usize::try_from(allocation_counter::measure(call).bytes_max).unwrap_or(usize::MAX)
}

impl Target<'_> {
    /// Damages `samples` and lets `decode` read what comes of it.
    ///
    /// # Errors
    /// [`Finding`]: the first case where it panics, takes too much memory, or encodes to other bytes.
    pub fn run(&self, samples: &[Vec<u8>], decode: impl FnMut(&[u8]) -> Outcome) -> Result<Tally, Finding> {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
        let clock = || {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            since.as_nanos() as u64
        };
        let seed = number("INFERIUM_SEED").unwrap_or_else(clock);
        self.run_from(seed, number("INFERIUM_FUZZ").unwrap_or(self.cases), samples, decode)
    }

    /// As [`Target::run`], with a seed and a number of cases of one's own. Each case has a seed of its own: case `i` is the first
    /// one of `seed + i`.
    ///
    /// # Errors
    /// [`Finding`].
    pub fn run_from(
        &self,
        seed: u64,
        cases: u64,
        samples: &[Vec<u8>],
        mut decode: impl FnMut(&[u8]) -> Outcome,
    ) -> Result<Tally, Finding> {
        // What is lent on first use, tables for example, is no part of a case.
        if let Some(sample) = samples.first() {
            drop(catch_unwind(AssertUnwindSafe(|| decode(sample))));
        }
        let mut tally = Tally::default();
        for case in 0..cases {
            let seed = seed.wrapping_add(case);
            let input = mutate::mutate(&mut StdRng::seed_from_u64(seed), samples, self.form);
            match self.judge(&input, &mut decode) {
                Ok(is_refused) => tally.refused += u64::from(is_refused),
                Err(what) => return Err(Finding { target: self.name.to_owned(), seed, what, input }),
            }
            tally.cases += 1;
        }
        Ok(tally)
    }

    /// Whether the decoder refuses this input; an error says what it does that it must not.
    fn judge(&self, input: &[u8], decode: &mut impl FnMut(&[u8]) -> Outcome) -> Result<bool, String> {
        let mut outcome = None;
        let taken = memory_of(|| outcome = Some(catch_unwind(AssertUnwindSafe(|| decode(input)))));
        let outcome = outcome.and_then(Result::ok).ok_or("panics")?;
        let most = self.memory.fixed.saturating_add(input.len().saturating_mul(self.memory.per_byte));
        if taken > most {
            return Err(format!("takes {taken} bytes of memory, more than {most}"));
        }
        match outcome {
            Outcome::Refused => Ok(true),
            Outcome::Value => Ok(false),
            Outcome::Encodes(bytes) if bytes == input => Ok(false),
            Outcome::Encodes(bytes) => Err(format!("reads what encodes to other bytes: {}", hex::encode(bytes))),
        }
    }
}

#[cfg(test)]
mod tests;
