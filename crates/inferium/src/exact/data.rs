//! Inputs of integer models, as people have them: JSON, CSV, NumPy's files, bytes.

use crate::cli::Failure;
use crate::files;
use inferium_exact::Shape;
use serde_json::Value;
use std::path::Path;

/// Largest file of inputs that is read, in bytes.
const DATA_BYTES_MAX: u64 = 1 << 30;

/// What a model takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) shape: Shape,
    pub(crate) range: (i16, i16),
    /// Whether an input may be shorter.
    pub(crate) is_sequence: bool,
}

/// Reads all inputs of a file: each has as many numbers as the model takes, in the order channels, rows, columns.
pub(crate) fn read(path: &Path, terms: Terms) -> Result<Vec<Vec<i32>>, Failure> {
    let ending = path.extension().and_then(std::ffi::OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
    let parse: fn(&[u8], &mut Inputs) -> Result<(), String> = match ending.as_str() {
        "jsonl" | "ndjson" => json_lines,
        "json" => json,
        "csv" => csv,
        "npy" => npy,
        "u8" => |bytes, inputs| inputs.cut(bytes.iter().map(|byte| i64::from(*byte))),
        _ => {
            let name = path.display();
            return Err(Failure::usage(format!(
                "{name}: inputs are read from .jsonl, .json, .csv, .npy and .u8 files"
            )));
        }
    };
    if terms.is_sequence && !matches!(ending.as_str(), "jsonl" | "ndjson") {
        let name = path.display();
        return Err(Failure::usage(format!("{name}: sequences of differing length are read from .jsonl files")));
    }
    let bytes = files::read(path, DATA_BYTES_MAX)?;
    let mut inputs = Inputs { terms, all: Vec::new() };
    let refused = |reason: String| Failure::refused(format!("{}: {reason}", path.display()));
    parse(&bytes, &mut inputs).map_err(refused)?;
    if inputs.all.is_empty() { Err(refused("there is no input in it".to_owned())) } else { Ok(inputs.all) }
}

/// Inputs that were read so far.
struct Inputs {
    terms: Terms,
    all: Vec<Vec<i32>>,
}

impl Inputs {
    /// How many numbers an input has.
    fn length(&self) -> usize {
        usize::try_from(self.terms.shape.elements()).unwrap_or(usize::MAX)
    }

    fn expected(&self) -> String {
        let Shape { channels, height, width } = self.terms.shape;
        match (height, width) {
            _ if self.terms.is_sequence => format!("the model takes 1 to {}", self.terms.shape.elements()),
            (1, 1) => format!("the model takes {channels}"),
            _ => format!("the model takes {} ({channels} by {height} by {width})", self.terms.shape.elements()),
        }
    }

    /// Adds one input; `place` is where it stands.
    fn add(&mut self, place: &str, numbers: &[i64]) -> Result<(), String> {
        let is_short = self.terms.is_sequence && (1..self.length()).contains(&numbers.len());
        if numbers.len() != self.length() && !is_short {
            return Err(format!("{place}: {} numbers; {}", numbers.len(), self.expected()));
        }
        let (min, max) = self.terms.range;
        let in_range = |(at, number): (usize, &i64)| match i32::try_from(*number) {
            Ok(value) if (i32::from(min)..=i32::from(max)).contains(&value) => Ok(value),
            _ => Err(format!("{place}: number {} is {number}; the model takes {min} to {max}", at + 1)),
        };
        self.all.push(numbers.iter().enumerate().map(in_range).collect::<Result<_, _>>()?);
        Ok(())
    }

    /// Cuts a row of numbers into inputs.
    fn cut(&mut self, numbers: impl ExactSizeIterator<Item = i64>) -> Result<(), String> {
        let (count, length) = (numbers.len(), self.length().max(1));
        if count % length != 0 {
            return Err(format!("{count} numbers are no whole number of inputs; {} for each", self.expected()));
        }
        let mut one = Vec::with_capacity(length.min(count));
        for number in numbers {
            one.push(number);
            if one.len() == length {
                self.add(&format!("input {}", self.all.len()), &one)?;
                one.clear();
            }
        }
        Ok(())
    }
}

/// Lines that are not empty, with their places.
fn lines(bytes: &[u8]) -> Result<impl Iterator<Item = (String, &str)>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not a text in UTF-8".to_owned())?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    Ok(lines.map(|(at, line)| (format!("line {}", at + 1), line)))
}

/// A line for each input: an array of numbers, or of arrays of them.
fn json_lines(bytes: &[u8], inputs: &mut Inputs) -> Result<(), String> {
    for (place, line) in lines(bytes)? {
        let value: Value = serde_json::from_str(line).map_err(|error| format!("{place}: {error}"))?;
        let mut numbers = Vec::new();
        flatten(&value, &mut numbers).map_err(|reason| format!("{place}: {reason}"))?;
        inputs.add(&place, &numbers)?;
    }
    Ok(())
}

/// One document: an input, or an array of them.
fn json(bytes: &[u8], inputs: &mut Inputs) -> Result<(), String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let mut numbers = Vec::new();
    flatten(&value, &mut numbers)?;
    inputs.cut(numbers.into_iter())
}

fn flatten(value: &Value, numbers: &mut Vec<i64>) -> Result<(), String> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| flatten(item, numbers)),
        Value::Number(number) => {
            numbers.push(number.as_i64().ok_or_else(|| format!("{number} is no whole number"))?);
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Object(_) => {
            Err("an array of whole numbers is expected".to_owned())
        }
    }
}

/// A line for each input, numbers separated by commas. A first line without any number is a head.
fn csv(bytes: &[u8], inputs: &mut Inputs) -> Result<(), String> {
    for (at, (place, line)) in lines(bytes)?.enumerate() {
        let cells = || line.split(',').map(str::trim);
        if at == 0 && cells().all(|cell| cell.parse::<f64>().is_err()) {
            continue;
        }
        let number = |cell: &str| cell.parse::<i64>().map_err(|_| format!("{place}: {cell:?} is no whole number"));
        let numbers = cells().map(number).collect::<Result<Vec<_>, _>>()?;
        inputs.add(&place, &numbers)?;
    }
    Ok(())
}

/// NumPy's format, versions 1 to 3, of whole numbers in rows: the first axis counts inputs, or there is one.
fn npy(bytes: &[u8], inputs: &mut Inputs) -> Result<(), String> {
    let cut = || "not a NumPy file, or one that was cut".to_owned();
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or_else(cut)?;
    let (&[version, _], rest) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
    let (length, rest) = match version {
        1 => rest.split_first_chunk::<2>().map(|(length, rest)| (u32::from(u16::from_le_bytes(*length)), rest)),
        2 | 3 => rest.split_first_chunk::<4>().map(|(length, rest)| (u32::from_le_bytes(*length), rest)),
        _ => return Err(format!("a NumPy file of version {version}; 1 to 3 are read")),
    }
    .ok_or_else(cut)?;
    let (head, data) = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length)).ok_or_else(cut)?;
    let head = String::from_utf8_lossy(head);
    let after = |key: &str| head.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
    if after("fortran_order").is_none_or(|value| !value.starts_with("False")) {
        return Err("its numbers are in columns; save it with numpy.ascontiguousarray".to_owned());
    }
    let kind = after("descr").and_then(|value| value.split('\'').nth(1)).unwrap_or_default();
    let read: fn(&[u8]) -> Option<i64> = match kind {
        "|u1" => |bytes| Some(u8::from_le_bytes(bytes.try_into().ok()?).into()),
        "|i1" => |bytes| Some(i8::from_le_bytes(bytes.try_into().ok()?).into()),
        "<u2" => |bytes| Some(u16::from_le_bytes(bytes.try_into().ok()?).into()),
        "<i2" => |bytes| Some(i16::from_le_bytes(bytes.try_into().ok()?).into()),
        "<u4" => |bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?).into()),
        "<i4" => |bytes| Some(i32::from_le_bytes(bytes.try_into().ok()?).into()),
        "<i8" => |bytes| Some(i64::from_le_bytes(bytes.try_into().ok()?)),
        _ => return Err(format!("its numbers are of kind {kind:?}; whole numbers are read, as of numpy.int32")),
    };
    let width = kind.chars().last().and_then(|digit| digit.to_digit(10)).unwrap_or(1) as usize;
    let shape = after("shape").and_then(|value| value.strip_prefix('(')?.split_once(')')).ok_or_else(cut)?.0;
    let axes = shape.split(',').map(str::trim).filter(|axis| !axis.is_empty());
    let count = axes.map(|axis| axis.parse::<usize>().ok()).try_fold(1_usize, |all, axis| all.checked_mul(axis?));
    if count.and_then(|count| count.checked_mul(width)) != Some(data.len()) {
        return Err(cut());
    }
    inputs.cut(data.chunks_exact(width).map(|bytes| read(bytes).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests;
