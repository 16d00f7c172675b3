//! How large a tensor's values get in calibration.

/// The largest magnitude seen.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Range(f32);

impl Range {
    pub(super) fn see(&mut self, values: &[f32]) {
        self.0 = values.iter().fold(self.0, |largest, value| largest.max(value.abs()));
    }

    /// What all values were within; never zero.
    pub(super) fn bound(self) -> f64 {
        f64::from(self.0).max(1e-9)
    }
}
