//! No damaged bytes bring a decoder down, make it take memory that they can't fill, or give one value two encodings.

use super::sample::{Gen, Sample, for_each_type};
use crate::wire::{GatewayMessage, ModelAnswer, Planting, RelayFetch, RelayedRequest, SessionHello, WorkerMessage};
use crate::*;
use borsh::{BorshDeserialize, BorshSerialize};
use inferium_fuzz::{Form, Memory, Outcome, Target};

/// Bytes are read a mebibyte at a time; the smallest encoding of an item of a list is far smaller than the item.
const MEMORY: Memory = Memory { fixed: 1_200_000, per_byte: 512 };
const SAMPLES: u64 = 16;

fn outcome<T: BorshSerialize + BorshDeserialize>(bytes: &[u8]) -> Outcome {
    match decode::<T>(bytes) {
        Ok(value) => Outcome::Encodes(encode(&value)),
        Err(_) => Outcome::Refused,
    }
}

fn fuzz_type<T: Sample + BorshSerialize + BorshDeserialize>() {
    let samples: Vec<Vec<u8>> = (0..SAMPLES).map(|seed| encode(&Gen::new(seed).next::<T>())).collect();
    let target = Target { name: std::any::type_name::<T>(), form: Form::Binary, cases: 2_000, memory: MEMORY };
    let tally = target.run(&samples, outcome::<T>).unwrap();
    assert!(tally.cases > 0);
}

#[test]
fn damaged_values_of_every_type_are_refused_or_canonical() {
    macro_rules! fuzz_all {
        ($($type:ty),+) => { $(fuzz_type::<$type>();)+ };
    }
    for_each_type!(fuzz_all);
}

#[test]
fn damaged_receipts_are_refused_or_canonical() {
    let receipts: Vec<Vec<u8>> = (0..SAMPLES).map(|seed| encode(&Gen::new(seed).next::<Receipt>())).collect();
    let target = Target { name: "a receipt of a file", form: Form::Binary, cases: 5_000, memory: MEMORY };
    let read = |bytes: &[u8]| match Receipt::from_bytes(bytes) {
        Ok(receipt) => Outcome::Encodes(encode(&receipt)),
        Err(_) => Outcome::Refused,
    };
    assert!(target.run(&receipts, read).unwrap().refused > 0);
}

/// A list of the greatest length that can be claimed, in as few bytes as can claim it.
#[test]
fn a_claimed_length_of_four_gigabytes_takes_no_memory() {
    fn check<T: BorshSerialize + BorshDeserialize>(before: usize) {
        let mut bytes = vec![0; before];
        bytes.extend(u32::MAX.to_le_bytes());
        bytes.resize(before + 100, 0);
        let mut refused = false;
        let taken = inferium_fuzz::memory_of(|| refused = decode::<T>(&bytes).is_err());
        assert!(refused && taken <= MEMORY.fixed, "{}: {taken} bytes", std::any::type_name::<T>());
    }
    check::<Vec<u8>>(0);
    check::<String>(0);
    check::<Vec<Digest>>(0);
    check::<Vec<ChatMessage>>(0);
    check::<Vec<Transaction>>(0);
    check::<Vec<Event>>(0);
    check::<Vec<JobEvidence>>(0);
    check::<Vec<Vec<Vec<u64>>>>(0);
    check::<Embedding>(0);
    check::<Logits>(0);
    check::<Vec<Vec<i16>>>(0);
    check::<Vec<Vec<TokenScore>>>(0);
    check::<Continuation>(0);
    check::<MerklePath>(8);
    check::<Sealed>(64);
    check::<Calibration>(32 + 8 + 4 * POSITION_KINDS);
}
