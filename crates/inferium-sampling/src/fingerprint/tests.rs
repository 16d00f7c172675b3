use super::*;
use crate::Draw;
use crate::gross::ends_wrongly;
use inferium_types::{Calibration, POSITION_KINDS, Ppm};

const SEED: [u8; 32] = [7; 32];
const FRESH: [u8; 32] = [9; 32];
const WIDTH: usize = 48;

fn state(position: usize) -> Vec<f32> {
    (0..WIDTH).map(|i| libm::sinf((position * WIDTH + i) as f32) * (1.0 + i as f32)).collect()
}

fn logprob(position: usize) -> f64 {
    -(position as f64) / 10.0
}

const AGREES: PositionCheck =
    PositionCheck { choice: 1, gap: 1.0, margin: 0.0, reach: 0.0, surprisal: 0.0, variance: 0.0, draw: Draw::CERTAIN };

fn shown(tokens: usize) -> MeasuredEvidence {
    let mut fingerprint = Fingerprint::new(SEED);
    for position in 0..tokens {
        fingerprint.push(logprob(position), &state(position));
    }
    fingerprint.finish()
}

fn check(evidence: &MeasuredEvidence, tokens: usize) -> Result<JobMeasures, InvalidWindows> {
    let states: Vec<Vec<f32>> = (0..tokens).map(state).collect();
    let replayed: Vec<ReplayedPosition<'_>> = states
        .iter()
        .enumerate()
        .map(|(position, hidden)| ReplayedPosition { check: AGREES, logprob: logprob(position), hidden })
        .collect();
    compare(SEED, FRESH, evidence, &replayed, 100)
}

#[test]
fn equal_runs_differ_by_rounding_only() {
    for tokens in [0, 1, 4, 31, 32, 33, 100] {
        let evidence = shown(tokens);
        assert_eq!(evidence.windows.len(), tokens.div_ceil(32));
        assert_eq!(evidence.opened.len(), evidence.windows.len(), "a worker keeps all");
        for (window, opened) in evidence.windows.iter().zip(&evidence.opened) {
            assert_eq!(window.hidden, opened.digest());
        }
        let measures = check(&evidence, tokens).unwrap();
        assert_eq!(measures.positions.len(), tokens);
        for (position, measured) in measures.positions.iter().enumerate() {
            assert!(measured.logprob_difference <= 0.5 / LOGPROB_STEPS, "{position}");
            assert_eq!(measured.context_tokens, 100 + position as u32);
        }
        let rest = tokens % 32;
        assert_eq!(measures.sketch_errors.len(), tokens / 32 * 4 + rest.min(4));
        assert!(measures.sketch_errors.iter().all(|error| *error < 0.03), "{:?}", measures.sketch_errors);
        // What is not opened is measured as well.
        let closed = MeasuredEvidence { opened: Vec::new(), ..evidence };
        let measures = check(&closed, tokens).unwrap();
        assert!(measures.sketch_errors.iter().all(|error| *error < 0.03));
    }
}

#[test]
fn forged_sketches_are_caught_where_they_are_opened_and_forged_states_everywhere() {
    // Sketches of the true states over other states: perfect until a window is opened.
    let (truth, mut forged) = (shown(64), shown(64));
    for opened in &mut forged.opened {
        opened.hidden.reverse();
    }
    for (window, opened) in forged.windows.iter_mut().zip(&forged.opened) {
        window.hidden = opened.digest();
    }
    assert_eq!(check(&forged, 64).unwrap_err(), InvalidWindows::Sketch { window: 0 });
    forged.opened.clear();
    assert_eq!(check(&forged, 64).unwrap(), check(&MeasuredEvidence { opened: Vec::new(), ..truth }, 64).unwrap());

    // Other states with their own sketches.
    let mut other = Fingerprint::new(SEED);
    for position in 0..64 {
        other.push(logprob(position), &state(position + 1));
    }
    let measures = check(&other.finish(), 64).unwrap();
    assert!(measures.sketch_errors.iter().all(|error| *error > 0.5), "{:?}", measures.sketch_errors);
}

#[test]
fn windows_that_contradict_themselves_are_refused() {
    let refused = |change: &dyn Fn(&mut MeasuredEvidence)| {
        let mut evidence = shown(40);
        change(&mut evidence);
        check(&evidence, 40).unwrap_err()
    };
    assert_eq!(refused(&|e| e.windows.truncate(1)), InvalidWindows::Count { expected: 2, found: 1 });
    let again = |e: &mut MeasuredEvidence| e.windows.push(e.windows[0].clone());
    assert_eq!(refused(&again), InvalidWindows::Count { expected: 2, found: 3 });
    assert_eq!(refused(&|e| e.windows[1].logprobs.truncate(7)), InvalidWindows::Shape { window: 1 });
    assert_eq!(refused(&|e| e.windows[0].logprobs.push(0)), InvalidWindows::Shape { window: 0 });
    assert_eq!(refused(&|e| e.windows[0].sketches.truncate(3)), InvalidWindows::Shape { window: 0 });
    assert_eq!(refused(&|e| e.windows[1].logprobs[3] = 1), InvalidWindows::Probability { window: 1 });
    assert_eq!(refused(&|e| e.opened[0].hidden.truncate(4 * WIDTH - 1)), InvalidWindows::Width { window: 0 });
    assert_eq!(refused(&|e| e.opened[1].hidden.push(0)), InvalidWindows::Width { window: 1 });
    assert_eq!(refused(&|e| e.windows[1].sketches[0].values[5] ^= 1), InvalidWindows::Sketch { window: 1 });
    assert_eq!(refused(&|e| e.windows[1].sketches[2].scale += 1), InvalidWindows::Sketch { window: 1 });
    // One step in a vector is enough, if it is enough for the sketch.
    assert_eq!(refused(&|e| e.opened[0].hidden[9] ^= 0x80), InvalidWindows::Sketch { window: 0 });
    // At the boundary: a certain token.
    let mut certain = shown(40);
    certain.windows[1].logprobs[3] = 0;
    assert!(check(&certain, 40).is_ok());
}

#[test]
fn what_is_no_number_never_panics_and_never_helps() {
    let mut fingerprint = Fingerprint::new(SEED);
    for (position, value) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-45, f32::MAX].into_iter().enumerate() {
        fingerprint.push(f64::NAN, &[value; WIDTH]);
        fingerprint.push(f64::INFINITY, &state(position));
        fingerprint.push(f64::NEG_INFINITY, &state(position));
    }
    let evidence = fingerprint.finish();
    assert_eq!(evidence.windows[0].logprobs[..3], [i16::MIN, 0, i16::MIN]);
    let measures = check(&evidence, 15).unwrap();
    assert!(measures.sketch_errors.iter().all(|error| error.is_finite()));
    assert!(measures.positions[0].logprob_difference > 100.0);
}

#[test]
fn bfloat16_rounds_to_even_and_keeps_what_it_holds() {
    for (value, expected) in [
        (1.0_f32, 0x3F80),
        (-2.5, 0xC020),
        (f32::from_bits(0x3F80_8000), 0x3F80),
        (f32::from_bits(0x3F81_8000), 0x3F82),
        (f32::from_bits(0x3F80_8001), 0x3F81),
        (f32::MAX, 0x7F80),
        (f32::INFINITY, 0x7F80),
        (f32::NEG_INFINITY, 0xFF80),
    ] {
        assert_eq!(to_bf16(value), expected, "{value}");
    }
    assert!(from_bf16(to_bf16(f32::NAN)).is_nan());
    for upper in 0..=u16::MAX {
        let value = from_bf16(upper);
        assert!(value.is_nan() || to_bf16(value) == upper, "{upper:#06x}");
    }
}

#[test]
fn an_end_is_wrong_only_far_beyond_near_ties() {
    let calibration = Calibration {
        corpus: Digest::ZERO,
        positions: 0,
        flips: [Ppm::new(0); POSITION_KINDS],
        alternatives: Vec::new(),
        bad_margin_micro: 200_000,
        bad: Ppm::new(0),
        bad_correlation: Ppm::new(0),
        logprob_clip_micro: 1,
        logprob_mean: Ppm::new(0),
        sketch_clip_micro: 1,
        sketch_mean: Ppm::new(0),
        sketch_gross_micro: 1,
    };
    const END: u32 = 2;
    let wrong = |choice, claimed, reach| {
        // Whether the truncation left it out says nothing: an honest engine's may just have kept it.
        let margin = if reach > 0.0 { f64::INFINITY } else { 0.0 };
        let check = PositionCheck { choice, margin, reach, ..AGREES };
        ends_wrongly(&calibration, &check, claimed, |token| token == END)
    };
    assert!(!wrong(END, END, 0.0), "the end is the verifier's own");
    assert!(!wrong(5, 6, 50.0), "two tokens that end nothing are counted, not judged");
    // Cut short, and gone on: up to ten times the margin of 0.2 it may be noise.
    for (choice, claimed) in [(5, END), (END, 5)] {
        assert!(!wrong(choice, claimed, 2.0));
        assert!(wrong(choice, claimed, 2.000_001));
    }
}
