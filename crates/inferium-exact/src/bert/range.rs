//! How large a tensor's values get in calibration.

/// Buckets of magnitudes: sixteen to an octave, by the leading bits of the float.
const BUCKETS: usize = 1 << 12;

/// A histogram of magnitudes.
#[derive(Debug, Clone)]
pub(super) struct Range {
    counts: Vec<u64>,
    largest: f32,
}

impl Default for Range {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], largest: 0.0 }
    }
}

impl Range {
    pub(super) fn see(&mut self, values: &[f32]) {
        for value in values {
            let magnitude = value.abs();
            self.largest = self.largest.max(magnitude);
            if let Some(count) = self.counts.get_mut((magnitude.to_bits() >> 19) as usize) {
                *count += 1;
            }
        }
    }

    /// What all but this share of the values are below, to a sixteenth of an octave; never zero.
    pub(super) fn bound(&self, outliers: f64) -> f64 {
        let total: u64 = self.counts.iter().sum();
        let mut left = total as f64 * outliers;
        for (bucket, count) in self.counts.iter().enumerate().rev() {
            left -= *count as f64;
            if left < 0.0 {
                let above = u32::try_from(bucket + 1).map_or(f32::MAX, |bucket| f32::from_bits(bucket << 19));
                return f64::from(above.min(self.largest)).max(f64::MIN_POSITIVE);
            }
        }
        f64::from(self.largest).max(1e-9)
    }
}
