//! Bugs of a prover that a tired engineer might write: one look-up that is not made, one claim that is lost, one
//! challenge that is used twice. What is proved is true in all of them; each has to be found all the same.

use inferium_exact::Op;
use inferium_zk::adversary::{self, Crime, Edit, Part, Skip};
use inferium_zk::{Hiding, Proof, Stage, verify};
use serde_json::Value;

use super::tamper::{commit_crime, edit};
use super::{Case, case, in_order, rng};

/// The first split's rows: for each element the row of its upper part in the table, and its remainder.
fn rows(case: &Case) -> Vec<(usize, usize)> {
    let requantisation = |op: &Op| match op {
        Op::Requantise { shift, table } => Some((*shift, table.first)),
        _ => None,
    };
    let (shift, first) = case.key.model().nodes.get(2).and_then(|node| requantisation(&node.op)).unwrap();
    let half = 1 << (shift - 1);
    let row = |sum: &i32| {
        let hi = ((sum + half) >> shift) - first;
        (usize::try_from(hi).unwrap(), usize::try_from((sum + half) & ((1 << shift) - 1)).unwrap())
    };
    case.trace.values[2].iter().map(row).collect()
}

#[test]
fn a_look_up_that_is_not_made_is_found() {
    for hiding in [Hiding::Nothing, Hiding::Activations] {
        let case = case("mlp-tiny", hiding);
        for (at, (hi, lo)) in rows(&case).into_iter().enumerate().step_by(5) {
            for (part, books) in
                [(Part::Hi, edit(Part::Multiplicity, hi, -1)), (Part::Lo, edit(Part::RangeMultiplicity, lo, -1))]
            {
                let skip = Some(Skip { split: 0, part, at });
                // With books that do not balance, and with books that were put right, so that the sum is zero.
                for edits in [Vec::new(), vec![books]] {
                    let crime = Crime { edits, skip, ..Crime::default() };
                    assert!(commit_crime(&case, &crime).is_err(), "{crime:?}, {hiding:?}");
                }
            }
        }
        // What it is skipped for: a remainder out of its range, which moves the sum.
        let (_, lo) = rows(&case)[0];
        let edits: Vec<Edit> = vec![edit(Part::Lo, 0, 1 << 20), edit(Part::RangeMultiplicity, lo, -1)];
        let crime = Crime { edits, skip: Some(Skip { split: 0, part: Part::Lo, at: 0 }), ..Crime::default() };
        assert!(commit_crime(&case, &crime).is_err(), "{hiding:?}");
    }
}

/// What a proof says but for its openings, whose grinding ends at whatever a thread finds first.
fn said(proof: &Proof) -> Value {
    let mut value = serde_json::to_value(adversary::parts(proof).unwrap()).unwrap();
    let parts = value.as_object_mut().unwrap();
    assert!(parts.remove("openings").is_some() && parts.remove("mask").is_some());
    value
}

/// Commits a crime at each of these numbers; how many had the prover say something else than an honest one.
fn try_all(case: &Case, numbers: impl Iterator<Item = usize>, crime: impl Fn(usize) -> Crime) -> usize {
    let prove = |crime: &Crime| {
        let told = (&case.trace, &case.statement);
        adversary::prove(&case.key, case.commitment(), told, crime, &mut rng(4)).unwrap()
    };
    let honest = said(&prove(&Crime::default()));
    let mut tried = 0;
    for at in numbers {
        let proof = prove(&crime(at));
        // There is no such number, or nothing depends on it.
        if said(&proof) != honest {
            assert!(verify(case.key.verifying_key(), &case.statement, &proof).is_err(), "number {at}");
            tried += 1;
        }
    }
    tried
}

#[test]
fn a_claim_that_is_lost_is_found() {
    for (hiding, stride) in [(Hiding::Nothing, 1), (Hiding::Activations, 7)] {
        let case = case("mlp-tiny", hiding);
        let crime = |dropped| Crime { dropped: Some(dropped), ..Crime::default() };
        let tried = try_all(&case, (0..40).step_by(stride), crime);
        assert!(tried * stride >= 20, "{tried} claims were lost, {hiding:?}");
    }
}

#[test]
fn a_challenge_that_is_used_twice_is_found() {
    for (hiding, stride) in [(Hiding::Nothing, 5), (Hiding::Activations, 41)] {
        let case = case("mlp-tiny", hiding);
        let crime = |reused| Crime { reused: Some(reused), ..Crime::default() };
        let tried = try_all(&case, (1..240).step_by(stride), crime);
        assert!(tried * stride >= 120, "{tried} challenges were used twice, {hiding:?}");
    }
}

#[test]
fn every_stage_is_told_in_its_order() {
    for hiding in [Hiding::Nothing, Hiding::Activations] {
        let case = case("mlp-tiny", hiding);
        let mut told = Vec::new();
        let mut watch = |stage| told.push(stage);
        let prove = || case.key.prove_watched(case.commitment(), &case.statement, &mut rng(1), &mut watch);
        let watched = in_order(prove).unwrap();
        assert_eq!(said(&watched), said(&case.proof()), "watching changes nothing");
        let layers = (0..3).map(|index| Stage::Layer { index, count: 3 });
        let mut expected = vec![Stage::Run, Stage::Pads, Stage::Trace, Stage::Lookups];
        expected.extend(layers);
        expected.extend([Stage::Claims, Stage::Masks, Stage::Openings]);
        if hiding == Hiding::Nothing {
            expected.retain(|stage| !matches!(stage, Stage::Pads | Stage::Masks));
        }
        assert_eq!(told, expected);
    }
}
