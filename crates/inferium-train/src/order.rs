//! Which examples a step sees: a permutation for each epoch, drawn from the run's order.

use crate::TrainingSpec;
use inferium_eval::permutation;
use inferium_types::Digest;

#[cfg(test)]
mod tests;

/// The order of a run's examples; keeps the permutation of the epoch that was asked for last.
#[derive(Debug, Clone)]
pub struct Order {
    order: Digest,
    examples: usize,
    batch: usize,
    epoch: Option<(u64, Vec<usize>)>,
}

impl Order {
    /// The order of a run.
    #[must_use]
    pub fn new(spec: &TrainingSpec) -> Self {
        let examples = usize::try_from(spec.data.examples).unwrap_or(usize::MAX);
        Self { order: spec.order, examples, batch: spec.batch as usize, epoch: None }
    }

    /// Steps in which every example is seen once; the last one of an epoch may see fewer than a whole batch.
    #[must_use]
    pub fn steps_per_epoch(examples: u64, batch: u32) -> u64 {
        examples.div_ceil(u64::from(batch.max(1))).max(1)
    }

    /// The examples of step `step`, from 0, by number; never empty.
    pub fn batch(&mut self, step: u64) -> Vec<usize> {
        let per_epoch = Self::steps_per_epoch(self.examples as u64, u32::try_from(self.batch).unwrap_or(u32::MAX));
        let (epoch, place) = (step / per_epoch, step % per_epoch);
        if self.epoch.as_ref().is_none_or(|(kept, _)| *kept != epoch) {
            let seed = Digest::of("inferium/training-epoch/1", &[self.order.as_bytes(), &epoch.to_be_bytes()]);
            self.epoch = Some((epoch, permutation(&seed, self.examples)));
        }
        let drawn = self.epoch.as_ref().map_or(&[][..], |(_, drawn)| drawn);
        let first = usize::try_from(place).unwrap_or(usize::MAX).saturating_mul(self.batch);
        drawn.iter().skip(first).take(self.batch).copied().collect()
    }
}
