//! Calibrations as they are kept and passed on: the `calibration.json` that a calibration writes.

use inferium_types::{ALTERNATIVES_MAX, Calibration, decode};
use serde::Deserialize;

/// Calibrations that come with this crate, by the model's name; `inferium profile calibrate` made them.
const KNOWN: &[(&str, &str)] = &[("smollm2-135m-instruct", include_str!("../records/smollm2-135m-instruct.json"))];

/// What of the file matters here: the rest is for people.
#[derive(Deserialize)]
struct File {
    admissible: bool,
    refused: Option<String>,
    /// The encoded [`Calibration`], in hex.
    record: String,
}

/// Why a calibration can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRecord {
    /// No such file as a calibration writes.
    #[error("not a calibration: {reason}")]
    Format {
        /// Why.
        reason: String,
    },
    /// What was measured says that verdicts by statistics can't be had.
    #[error("the profile was found not admissible: {reason}")]
    NotAdmissible {
        /// Why.
        reason: String,
    },
}

/// Reads a `calibration.json`.
///
/// # Errors
/// [`InvalidRecord`].
pub fn read_calibration(text: &str) -> Result<Calibration, InvalidRecord> {
    let format = |reason: String| InvalidRecord::Format { reason };
    let file: File = serde_json::from_str(text).map_err(|error| format(error.to_string()))?;
    if !file.admissible {
        return Err(InvalidRecord::NotAdmissible { reason: file.refused.unwrap_or_default() });
    }
    let bytes = hex::decode(&file.record).map_err(|error| format(error.to_string()))?;
    let calibration: Calibration = decode(&bytes).map_err(|error| format(error.to_string()))?;
    if calibration.alternatives.len() > ALTERNATIVES_MAX {
        return Err(format(format!("{} alternatives; at most {ALTERNATIVES_MAX}", calibration.alternatives.len())));
    }
    Ok(calibration)
}

/// The calibration that comes with this crate for a model.
#[must_use]
pub fn known_calibration(model: &str) -> Option<Calibration> {
    let (_, text) = KNOWN.iter().find(|(name, _)| *name == model)?;
    read_calibration(text).ok()
}

#[cfg(test)]
mod tests;
