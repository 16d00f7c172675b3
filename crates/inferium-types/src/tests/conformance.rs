//! Every encoding is pinned: `vectors/conformance.toml` holds, per type, one digest over the
//! encodings of seeded values. A change of it breaks the wire, the disk or a hash.

use super::sample::{Gen, Sample, for_each_type};
use crate::wire::{GatewayMessage, ModelAnswer, Planting, RelayFetch, RelayedRequest, SessionHello, WorkerMessage};
use crate::*;
use borsh::BorshSerialize;
use std::collections::BTreeMap;

const SAMPLES: u64 = 64;
const VECTORS: &str = include_str!("../../vectors/conformance.toml");

fn digest_of<T: Sample + BorshSerialize>() -> String {
    let encodings: Vec<Vec<u8>> = (0..SAMPLES).map(|seed| encode(&Gen::new(seed).next::<T>())).collect();
    let parts: Vec<&[u8]> = encodings.iter().map(Vec::as_slice).collect();
    Digest::of("inferium/conformance/1", &parts).to_string()
}

/// Lines `Name = "digest"`; the rest is comments.
fn vectors() -> BTreeMap<&'static str, &'static str> {
    VECTORS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(" = ").map(|(name, digest)| (name, digest.trim_matches('"'))).unwrap())
        .collect()
}

#[test]
fn every_encoding_is_as_committed() {
    let mut found = BTreeMap::new();
    macro_rules! compute {
        ($($type:ident),+) => { $(found.insert(stringify!($type), digest_of::<$type>());)+ };
    }
    for_each_type!(compute);
    let lines: Vec<String> = found.iter().map(|(name, digest)| format!("{name} = \"{digest}\"")).collect();
    let expected = vectors();
    assert_eq!(
        found.iter().map(|(name, digest)| (*name, digest.as_str())).collect::<BTreeMap<_, _>>(),
        expected,
        "encodings changed; the file would be:\n{}",
        lines.join("\n")
    );
}
