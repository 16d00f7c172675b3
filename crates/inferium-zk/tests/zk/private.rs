//! Weights that proofs hide, for a number of proofs.

use super::{Case, SEED, case, rng};
use inferium_exact::{run, synthetic};
use inferium_zk::{Hiding, Proof, ProveError, ProvingKey, Statement, VerifyError, VerifyingKey, adversary, verify};

const MODEL: &str = "mlp-tiny";
const SECRET: [u8; 32] = [7; 32];
/// As many as the shortest commitment hides.
const OPENINGS: u32 = 6;

fn private(secret: [u8; 32], spent: u32) -> Case {
    let (model, input) = synthetic(MODEL).unwrap().unwrap();
    let trace = run(&model, &input).unwrap();
    let key = ProvingKey::private(model, &secret, 2, spent).unwrap();
    let input_root = *key.commit(&input, &SEED, Hiding::Activations).unwrap().root();
    let statement = Statement {
        input: input_root,
        output: trace.output().to_vec(),
        task: [1; 32],
        chain: [2; 32],
        prover: [3; 32],
        hiding: Hiding::Activations,
    };
    Case { key, input, trace, statement }
}

#[test]
fn a_proof_by_private_weights_holds_and_its_key_is_all_there_is_of_them() {
    let case = private(SECRET, 0);
    let key = case.key.verifying_key();
    let proof = case.proof();
    verify(key, &case.statement, &proof).unwrap();
    let read = VerifyingKey::from_bytes(&key.to_bytes().unwrap()).unwrap();
    assert_eq!((read.id(), read.model(), read.openings()), (key.id(), key.model(), key.openings()));
    verify(&read, &case.statement, &proof).unwrap();
    // Whoever has no weights commits to an input as well.
    let commitment = read.commit_batch(&[&case.input], &SEED, Hiding::Activations).unwrap();
    assert_eq!(*commitment.root(), case.statement.input);
    assert!(read.commit_batch(&[&case.input[1..]], &SEED, Hiding::Activations).is_err());
    assert_eq!(key.openings(), Some(OPENINGS));
    let blank = key.blank_model().unwrap();
    assert_eq!((blank.input, blank.nodes.len()), (case.key.model().input, case.key.model().nodes.len()));
    assert!(!adversary::is_about(key, case.key.model()), "its id is not one of its weights");
}

#[test]
fn the_same_secret_makes_the_same_key_and_another_one_another() {
    let (key, again, other) = (private(SECRET, 0), private(SECRET, 2), private([8; 32], 0));
    let of = |case: &Case| (case.key.verifying_key().id(), *case.key.verifying_key().weights());
    assert_eq!(of(&key), of(&again));
    assert_ne!(of(&key).1, of(&other).1);
    assert_ne!(of(&key).0, of(&other).0);
    // The proof of one is none of the other, nor of the public key; and theirs are none of it.
    let public = case(MODEL, Hiding::Activations);
    let (proof, of_public) = (key.proof(), public.proof());
    assert!(verify(other.key.verifying_key(), &key.statement, &proof).is_err());
    assert!(verify(public.key.verifying_key(), &public.statement, &proof).is_err());
    assert!(verify(key.key.verifying_key(), &key.statement, &of_public).is_err());
    verify(public.key.verifying_key(), &public.statement, &of_public).unwrap();
}

#[test]
fn a_key_makes_as_many_proofs_as_it_hides_its_weights_for() {
    let case = private(SECRET, OPENINGS - 2);
    assert_eq!(case.key.openings_left(), Some(2));
    let (first, second) = (case.proof(), case.proof());
    assert_eq!(case.key.openings_left(), Some(0));
    let prove = |case: &Case| case.key.prove(case.commitment(), &case.statement, &mut rng(1));
    assert!(matches!(prove(&case), Err(ProveError::Openings)));
    for proof in [first, second] {
        verify(case.key.verifying_key(), &case.statement, &proof).unwrap();
    }
    // What was spent elsewhere is spent, and more than all as well.
    assert!(matches!(prove(&private(SECRET, OPENINGS)), Err(ProveError::Openings)));
    assert!(matches!(prove(&private(SECRET, u32::MAX)), Err(ProveError::Openings)));
    assert_eq!(self::case(MODEL, Hiding::Activations).key.openings_left(), None);
}

#[test]
fn nothing_succinct_is_proved_or_verified_of_private_weights() {
    let mut case = private(SECRET, 0);
    let proof = case.proof();
    case.statement.hiding = Hiding::Nothing;
    case.statement.input = *case.commitment().root();
    let refused = case.key.prove(case.commitment(), &case.statement, &mut rng(1));
    assert!(matches!(refused, Err(ProveError::Statement(_))), "{refused:?}");
    assert_eq!(case.key.openings_left(), Some(OPENINGS - 1), "and none is spent by it");
    assert_eq!(verify(case.key.verifying_key(), &case.statement, &proof), Err(VerifyError::Statement));
}

#[test]
fn a_false_proof_by_private_weights_is_rejected() {
    let case = private(SECRET, 0);
    let (key, proof) = (case.key.verifying_key(), case.proof());
    for change in [
        |statement: &mut Statement| statement.output[0] += 1,
        |statement: &mut Statement| statement.task[0] ^= 1,
        |statement: &mut Statement| statement.input[0] ^= 1,
    ] {
        let mut statement = case.statement.clone();
        change(&mut statement);
        assert!(verify(key, &statement, &proof).is_err());
    }
    let bytes = proof.as_bytes();
    // Of every part, the opening of the weights among them.
    for at in (0..bytes.len()).step_by(bytes.len() / 61) {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        assert!(verify(key, &case.statement, &Proof::from_bytes(changed)).is_err(), "byte {at}");
    }
}

#[test]
fn a_key_is_refused_that_no_commitment_is_like() {
    let (model, _) = synthetic(MODEL).unwrap().unwrap();
    let refused = ProvingKey::private(model, &SECRET, u32::MAX, 0);
    assert!(matches!(refused, Err(ProveError::Unsupported(_))));
    let key = private(SECRET, 0).key.verifying_key().to_bytes().unwrap();
    // The last byte is the blinding: none, and more than there is.
    for blinding in [0, 9, u8::MAX] {
        let changed: Vec<u8> = key[..key.len() - 1].iter().copied().chain([blinding]).collect();
        assert!(VerifyingKey::from_bytes(&changed).is_err(), "{blinding}");
    }
}

/// What all openings together show says nothing: leaves and evaluations are independent as functionals of the random
/// elements, up to the last opening; and are not any more some openings later.
#[test]
fn openings_within_the_budget_are_independent_of_the_weights() {
    for (variables, blinding) in [(15, 1), (16, 2)] {
        let most = adversary::private_openings(variables, blinding).unwrap() as usize;
        assert!(most > 2, "{most}");
        for seed in 0..3 {
            assert_eq!(adversary::are_independent(variables, blinding, most, &mut rng(seed)), Some(true));
        }
        assert_eq!(adversary::are_independent(variables, blinding, most + 1 + most / 20, &mut rng(9)), Some(false));
    }
}
