//! What a run finds, and that it finds it again.

use super::*;

const ROOMY: Memory = Memory { fixed: 1 << 20, per_byte: 64 };

fn target(form: Form, memory: Memory) -> Target<'static> {
    Target { name: "a decoder", form, cases: 1_000, memory }
}

/// A length byte and as many bytes.
fn counted(bytes: &[u8]) -> Outcome {
    match bytes.split_first() {
        Some((len, rest)) if usize::from(*len) == rest.len() => Outcome::Encodes(bytes.to_vec()),
        _ => Outcome::Refused,
    }
}

fn samples() -> Vec<Vec<u8>> {
    vec![vec![3, 1, 2, 3], vec![0], (0..=100).rev().collect()]
}

#[test]
fn a_sound_decoder_stands_all_cases() {
    let tally = target(Form::Binary, ROOMY).run_from(1, 5_000, &samples(), counted).unwrap();
    assert_eq!(tally.cases, 5_000);
    assert!(tally.refused > 1_000 && tally.refused < 5_000, "{tally:?}");
}

#[test]
fn a_panic_is_found_and_its_seed_repeats_it() {
    // A length that the bytes don't have.
    let careless = |bytes: &[u8]| match bytes.first() {
        Some(len) => Outcome::Encodes([&bytes[..1], &bytes[1..=usize::from(*len)]].concat()),
        None => Outcome::Refused,
    };
    let finding = target(Form::Binary, ROOMY).run_from(1, 5_000, &samples()[..2], careless).unwrap_err();
    let again = target(Form::Binary, ROOMY).run_from(finding.seed(), 1, &samples()[..2], careless).unwrap_err();
    assert_eq!(again, finding);
    assert!(format!("{finding:?}").contains(&format!("INFERIUM_SEED={}", finding.seed())), "{finding}");
}

#[test]
fn a_second_encoding_is_found() {
    let lenient = |bytes: &[u8]| Outcome::Encodes(bytes.strip_suffix(b"\0").unwrap_or(bytes).to_vec());
    let finding = target(Form::Binary, ROOMY).run_from(1, 5_000, &samples(), lenient).unwrap_err();
    assert!(finding.what().contains("other bytes"), "{finding}");
}

#[test]
fn memory_for_a_claimed_length_is_found_and_the_bound_is_exact() {
    let trusting = |bytes: &[u8]| {
        let claimed = bytes.first_chunk().map_or(0, |len| u32::from_le_bytes(*len) as usize);
        let room: Vec<u8> = Vec::with_capacity(claimed);
        // Else the compiler leaves it out.
        let room = std::hint::black_box(room);
        if room.capacity() >= claimed { Outcome::Value } else { Outcome::Refused }
    };
    let sample = [vec![1, 0, 0, 0, 7]];
    let finding = target(Form::Binary, ROOMY).run_from(1, 5_000, &sample, trusting).unwrap_err();
    assert!(finding.what().contains("of memory"), "{finding}");
    let takes = |count: usize| {
        move |_: &[u8]| {
            if std::hint::black_box(vec![7u8; count]).len() == count { Outcome::Value } else { Outcome::Refused }
        }
    };
    let tight = target(Form::Binary, Memory { fixed: 1_000, per_byte: 0 });
    assert!(tight.run_from(1, 10, &sample, takes(1_000)).is_ok());
    assert!(tight.run_from(1, 10, &sample, takes(1_001)).is_err());
}

#[test]
fn damaged_text_is_often_still_text_of_the_same_kind() {
    let sample = br#"{"name": "x", "list": [1, 2.5, null], "flag": true}"#.to_vec();
    let balanced = |bytes: &[u8]| {
        let count = |wanted: u8| bytes.iter().filter(|byte| **byte == wanted).count();
        let is_text = std::str::from_utf8(bytes).is_ok() && count(b'{') == count(b'}') && count(b'[') == count(b']');
        if is_text { Outcome::Value } else { Outcome::Refused }
    };
    let tally = target(Form::Text, ROOMY).run_from(1, 2_000, &[sample], balanced).unwrap();
    assert!(tally.refused > 400 && tally.refused < 1_600, "{tally:?}");
}

#[test]
fn no_sample_is_a_case_too() {
    let tally = target(Form::Text, ROOMY).run_from(1, 100, &[Vec::new()], counted).unwrap();
    assert_eq!(tally.cases, 100);
    assert!(target(Form::Binary, ROOMY).run_from(1, 100, &[], counted).is_ok());
}
