//! The alignment is found wherever it stands, and what can't be followed is left to the library.

use super::refuse_alignment_of_nothing;
use std::io::{Cursor, Seek as _};

/// A string or a list's length in front of what follows, of 32 bits in the first version.
fn counted(version: u32, count: usize, rest: &[u8]) -> Vec<u8> {
    let size = if version == 1 { 4 } else { 8 };
    [&(count as u64).to_le_bytes()[..size], rest].concat()
}

fn entry(version: u32, key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [counted(version, key.len(), key.as_bytes()), kind.to_le_bytes().to_vec(), value.to_vec()].concat()
}

fn header(version: u32, entries: &[Vec<u8>]) -> Vec<u8> {
    let counts = [counted(version, 0, &[]), counted(version, entries.len(), &[])].concat();
    [b"GGUF".to_vec(), version.to_le_bytes().to_vec(), counts, entries.concat()].concat()
}

fn is_refused(bytes: Vec<u8>) -> bool {
    let mut file = Cursor::new(bytes);
    let refused = refuse_alignment_of_nothing(&mut file).is_err();
    assert_eq!(file.stream_position().unwrap(), 0);
    refused
}

#[test]
fn zero_is_refused_in_every_version_and_type_and_behind_any_value() {
    for version in [1, 2, 3] {
        let list = [9_u32.to_le_bytes().to_vec(), counted(version, 2, &[])].concat();
        let texts = [8_u32.to_le_bytes().to_vec(), counted(version, 1, &counted(version, 2, b"ab"))].concat();
        let before = [
            entry(version, "a text", 8, &counted(version, 3, b"xyz")),
            entry(version, "a list of lists", 9, &[list, texts.clone(), texts].concat()),
            // As long as the key, and another one.
            entry(version, "general.alignmenT", 4, &[0; 4]),
            entry(version, "a number", 12, &[7; 8]),
        ];
        for (kind, size) in [(0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (5, 4)] {
            for (last, expected) in [(0, true), (1, false)] {
                let mut value = vec![0; size];
                value[size - 1] = last;
                let aligned = entry(version, "general.alignment", kind, &value);
                let entries = [&before[..], &[aligned, entry(version, "after", 0, &[1])]].concat();
                assert_eq!(is_refused(header(version, &entries)), expected, "{version} {kind} {last}");
            }
        }
    }
}

#[test]
fn what_can_t_be_followed_is_left_to_the_library() {
    let whole = header(3, &[entry(3, "a", 4, &[1; 4]), entry(3, "general.alignment", 4, &[0; 4])]);
    assert!(is_refused(whole.clone()));
    for size in 0..whole.len() {
        assert!(!is_refused(whole[..size].to_vec()), "cut to {size}");
    }
    // Lists too deep, of unknown types, and lengths beyond the file.
    let deep = [9_u32.to_le_bytes().to_vec(), counted(3, 1, &[])].concat().repeat(10_000);
    for (kind, value) in [(9, deep), (99, vec![0; 8]), (8, u64::MAX.to_le_bytes().to_vec())] {
        assert!(!is_refused(header(3, &[entry(3, "a", kind, &value), entry(3, "general.alignment", 4, &[0; 4])])));
    }
}
