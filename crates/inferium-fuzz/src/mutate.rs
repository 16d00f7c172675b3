//! How samples are damaged.

use crate::Form;
use rand::RngExt as _;
use rand::rngs::StdRng;
use std::ops::Range;

/// Changes of one sample at most.
const CHANGES_MAX: u32 = 6;
/// Bytes that one change adds at most.
const ADDED_MAX: usize = 64;
/// Bytes where parsers go wrong.
const BYTES: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\\', 0xc3];
/// Words that JSON parsers go wrong at, valid and not.
const WORDS: [&str; 30] = [
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    "0",
    "-0",
    "-1",
    "1",
    "0.5",
    "1e999",
    "-1e999",
    "5e-324",
    "1e-400",
    "NaN",
    "Infinity",
    "4294967295",
    "4294967296",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "0.30000000000000004",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"zz\"",
    "[[[[[[[[",
    "{\"a\":",
    ",",
    "\u{feff}",
];

/// A sample, damaged.
pub(crate) fn mutate(rng: &mut StdRng, samples: &[Vec<u8>], form: Form) -> Vec<u8> {
    let mut bytes = pick(rng, samples).cloned().unwrap_or_default();
    for _ in 0..rng.random_range(1..=CHANGES_MAX) {
        match form {
            Form::Text if rng.random_range(0..3) > 0 => change_words(rng, &mut bytes),
            _ => change_bytes(rng, &mut bytes, samples),
        }
    }
    bytes
}

fn pick<'a, T>(rng: &mut StdRng, from: &'a [T]) -> Option<&'a T> {
    (!from.is_empty()).then(|| &from[rng.random_range(0..from.len())])
}

/// A range within `len`, mostly a short one.
fn part(rng: &mut StdRng, len: usize) -> Range<usize> {
    let start = rng.random_range(0..=len);
    let most = if rng.random_bool(0.8) { (len - start).min(ADDED_MAX) } else { len - start };
    start..start + rng.random_range(0..=most)
}

fn change_bytes(rng: &mut StdRng, bytes: &mut Vec<u8>, samples: &[Vec<u8>]) {
    let len = bytes.len();
    match rng.random_range(0..10) {
        0 | 1 if len > 0 => bytes[rng.random_range(0..len)] ^= 1 << rng.random_range(0..8),
        2 if len > 0 => bytes[rng.random_range(0..len)] = pick(rng, &BYTES).copied().unwrap_or_default(),
        3 => bytes.truncate(rng.random_range(0..=len)),
        4 => {
            // The beginning of one sample, the end of another.
            bytes.truncate(rng.random_range(0..=len));
            if let Some(other) = pick(rng, samples) {
                bytes.extend(&other[rng.random_range(0..=other.len())..]);
            }
        }
        5 => overwrite_number(rng, bytes),
        6 => {
            let copied = part(rng, len);
            let copied = bytes[copied].to_vec();
            let at = rng.random_range(0..=len);
            bytes.splice(at..at, copied);
        }
        7 => drop(bytes.drain(part(rng, len))),
        8 => swap_parts(rng, bytes),
        _ => {
            let added: Vec<u8> = (0..rng.random_range(1..16)).map(|_| rng.random()).collect();
            let at = rng.random_range(0..=len);
            bytes.splice(at..at, added);
        }
    }
}

/// Writes a number of any width over what is there: a length that is too large, a sum that overflows, no number at all.
fn overwrite_number(rng: &mut StdRng, bytes: &mut [u8]) {
    let width = [2, 4, 8][rng.random_range(0..3)];
    if bytes.len() < width {
        return;
    }
    let at = rng.random_range(0..=bytes.len() - width);
    let numbers = [
        0,
        1,
        bytes.len() as u64,
        0xff,
        0xffff,
        1 << 20,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        1 << 32,
        1 << 62,
        u64::MAX >> 1,
        u64::MAX,
        f32::NAN.to_bits().into(),
        f32::INFINITY.to_bits().into(),
        f64::NAN.to_bits(),
        f64::MAX.to_bits(),
    ];
    let number = numbers[rng.random_range(0..numbers.len())];
    let number = number.wrapping_add(rng.random_range(0..3)).wrapping_sub(1);
    let little = number.to_le_bytes();
    bytes[at..at + width].copy_from_slice(&little[..width]);
    if rng.random_bool(0.3) {
        bytes[at..at + width].reverse();
    }
}

fn swap_parts(rng: &mut StdRng, bytes: &mut [u8]) {
    let middle = rng.random_range(0..=bytes.len());
    let (first, second) = bytes.split_at_mut(middle);
    let (a, b) = (part(rng, first.len()), part(rng, second.len()));
    let len = a.len().min(b.len());
    first[a.start..a.start + len].swap_with_slice(&mut second[b.start..b.start + len]);
}

fn change_words(rng: &mut StdRng, bytes: &mut Vec<u8>) {
    let words = words(bytes);
    let Some(word) = pick(rng, &words).cloned() else { return };
    match rng.random_range(0..5) {
        0 => drop(bytes.drain(word)),
        1 => {
            let copied = bytes[word.clone()].to_vec();
            bytes.splice(word.end..word.end, copied);
        }
        2 => {
            if let Some(other) = pick(rng, &words) {
                let other = bytes[other.clone()].to_vec();
                bytes.splice(word, other);
            }
        }
        _ => {
            let new = pick(rng, &WORDS).copied().unwrap_or_default();
            bytes.splice(word, new.bytes());
        }
    }
}

/// Where the strings, the numbers and names, and the signs of a text are.
fn words(bytes: &[u8]) -> Vec<Range<usize>> {
    let is_in_word = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte) || byte >= 0x80;
    let mut words = Vec::new();
    let mut start = 0;
    while let Some(first) = bytes.get(start) {
        let rest = &bytes[start + 1..];
        let more = match first {
            b'"' => rest.iter().position(|byte| *byte == b'"').map_or(rest.len(), |end| end + 1),
            first if is_in_word(*first) => rest.iter().position(|byte| !is_in_word(*byte)).unwrap_or(rest.len()),
            _ => 0,
        };
        words.push(start..start + 1 + more);
        start += 1 + more;
    }
    words
}
