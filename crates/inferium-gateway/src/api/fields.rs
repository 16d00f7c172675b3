//! Fields of JSON bodies, each read whole or refused by its name.

use super::error::ApiError;
use serde_json::{Map, Value};

pub(super) fn string(name: &str, value: &Value) -> Result<String, ApiError> {
    text(name, value).map(str::to_owned)
}

pub(super) fn text<'a>(name: &str, value: &'a Value) -> Result<&'a str, ApiError> {
    value.as_str().ok_or_else(|| ApiError::invalid(name, format!("`{name}` must be a string")))
}

pub(super) fn boolean(name: &str, value: &Value) -> Result<bool, ApiError> {
    value.as_bool().ok_or_else(|| ApiError::invalid(name, format!("`{name}` must be true or false")))
}

pub(super) fn array<'a>(name: &str, value: &'a Value) -> Result<&'a [Value], ApiError> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| ApiError::invalid(name, format!("`{name}` must be a list")))
}

pub(super) fn fields<'a>(name: &str, value: &'a Value) -> Result<&'a Map<String, Value>, ApiError> {
    value.as_object().ok_or_else(|| ApiError::invalid(name, format!("`{name}` must be an object")))
}

pub(super) fn strings(name: &str, value: &Value) -> Result<Vec<String>, ApiError> {
    let bad = || ApiError::invalid(name, format!("`{name}` must be a list of strings"));
    array(name, value)?.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(bad)).collect()
}

pub(super) fn positive(name: &str, value: &Value) -> Result<u32, ApiError> {
    whole(value)
        .filter(|number| *number > 0)
        .ok_or_else(|| ApiError::invalid(name, format!("`{name}` must be a whole number of at least 1")))
}

/// A whole number within bounds.
pub(super) fn within(name: &str, value: &Value, least: u32, most: u32) -> Result<u32, ApiError> {
    whole(value)
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| ApiError::invalid(name, format!("`{name}` must be a whole number from {least} to {most}")))
}

/// A whole number, however it is written: to JSON 3.0 is one as well as 3.
pub(super) fn integer(value: &Value) -> Option<i128> {
    /// From there on not every whole number has a float of its own.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let plain = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    plain.or_else(|| {
        let number = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= EXACT_MAX)?;
        format!("{number:.0}").parse().ok()
    })
}

fn whole(value: &Value) -> Option<u32> {
    integer(value).and_then(|number| u32::try_from(number).ok())
}

/// A decimal number in millionths, within bounds.
pub(super) fn scaled(name: &str, value: &Value, least: f64, most: f64) -> Result<i32, ApiError> {
    let bounds = || ApiError::invalid(name, format!("`{name}` must be a number from {least} to {most}"));
    let number = value.as_f64().filter(|number| (least..=most).contains(number)).ok_or_else(bounds)?;
    // Bounded, so the rounded value fits. Zero has no sign here, whatever the client wrote.
    format!("{:.0}", number * 1e6 + 0.0).parse().map_err(|_| bounds())
}

/// As [`scaled`], of numbers that are not below zero.
pub(super) fn scaled_up(name: &str, value: &Value, most: f64) -> Result<u32, ApiError> {
    scaled(name, value, 0.0, most).map(i32::unsigned_abs)
}

/// Tokens of a prompt; of which there are none, that is said where they are tokenised.
pub(super) fn tokens(name: &str, value: &[Value]) -> Result<Vec<u32>, ApiError> {
    let bad = || ApiError::invalid(name, format!("`{name}` must hold tokens: whole numbers that are not below 0"));
    value.iter().map(|token| whole(token).ok_or_else(bad)).collect()
}
