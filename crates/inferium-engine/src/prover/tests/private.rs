//! Private weights: who has the key verifies what only their owner proves (SPEC V12).

use super::super::{Prover, prover_profile};
use super::{input, named};
use crate::EngineError;
use inferium_exact::{run, synthetic};
use inferium_types::{ChainId, LeaseId, ModelTask, ProvingInput, VerificationMode};
use inferium_zk::{ProofFile, VerifyingKey, register};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// An owner that may count so often, how often it has, and who has the key alone.
fn parties(most: u32) -> (Prover, Arc<AtomicU32>, Prover) {
    let chain = named(ChainId::new, "chain");
    let counted = Arc::new(AtomicU32::new(0));
    let counting = Arc::clone(&counted);
    let spend = Box::new(move || match counting.fetch_add(1, Ordering::Relaxed) {
        before if before < most => Ok(()),
        _ => Err("the disk is full".to_owned()),
    });
    let model = synthetic("mlp-tiny").unwrap().unwrap().0;
    let owner = Prover::private(("mlp", model), (&[9; 32], 2, 0), spend, chain).unwrap();
    let key = VerifyingKey::from_bytes(&owner.verifying_key().to_bytes().unwrap()).unwrap();
    let verifier = Prover::verifier("mlp", key, chain).unwrap().unwrap();
    (owner, counted, verifier)
}

#[test]
fn who_has_the_key_verifies_and_can_t_prove() {
    let ((owner, counted, verifier), input, lease) = (parties(9), input(true), named(LeaseId::new, "lease"));
    let proof = owner.prove(&input, lease).unwrap();
    assert_eq!(counted.load(Ordering::Relaxed), 1);
    assert_eq!(owner.check(&input, lease, &proof).unwrap(), verifier.check(&input, lease, &proof).unwrap());
    assert!(verifier.check(&input, lease, &proof).unwrap().is_some());
    let (model, elements) = synthetic("mlp-tiny").unwrap().unwrap();
    let said = run(&model, &elements).unwrap().output().to_vec();
    assert_eq!(verifier.outputs(&input, &proof).unwrap(), Some(vec![said]));
    assert_eq!(verifier.check(&input, named(LeaseId::new, "other"), &proof).unwrap(), None);
    let other = ProvingInput { seed: [8; 32], ..input.clone() };
    assert_eq!(verifier.outputs(&other, &proof).unwrap(), None);
    // Another output than the one that is proved.
    let mut changed = ProofFile::from_bytes(&proof).unwrap();
    changed.statement.output[0] += 1;
    assert_eq!(verifier.outputs(&input, &changed.to_bytes().unwrap()).unwrap(), None);
    let failed = verifier.prove(&input, lease);
    assert!(matches!(failed, Err(EngineError::Failed { .. })), "{failed:?}");
    // By public weights of the same numbers it is no proof.
    let public = Prover::new(model, named(ChainId::new, "chain")).unwrap();
    assert_eq!(public.check(&input, lease, &proof).unwrap(), None);
    let of_public = public.prove(&input, lease).unwrap();
    assert_eq!(verifier.check(&input, lease, &of_public).unwrap(), None);
}

/// Three are proved as four, and of three is told.
#[test]
fn several_inputs_are_one_opening() {
    let ((owner, counted, verifier), lease) = (parties(9), named(LeaseId::new, "lease"));
    let one = input(true).tensors.remove(0);
    let tensors: Vec<Vec<i16>> =
        (0..3).map(|index| one.iter().map(|element| (element + index * 40) % 256).collect()).collect();
    let several = ProvingInput { tensors: tensors.clone(), ..input(true) };
    let proof = owner.prove(&several, lease).unwrap();
    assert_eq!(counted.load(Ordering::Relaxed), 1);
    let said = |tensor: &Vec<i16>| {
        let wide: Vec<i32> = tensor.iter().map(|element| i32::from(*element)).collect();
        run(&synthetic("mlp-tiny").unwrap().unwrap().0, &wide).unwrap().output().to_vec()
    };
    assert_eq!(verifier.outputs(&several, &proof).unwrap(), Some(tensors.iter().map(said).collect()));
    // A proof of the first of them alone says less than was asked for.
    let first = ProvingInput { tensors: tensors[..1].to_vec(), ..input(true) };
    let of_first = owner.prove(&first, lease).unwrap();
    assert_eq!(verifier.check(&several, lease, &of_first).unwrap(), None);
}

#[test]
fn nothing_is_opened_that_is_not_counted() {
    let ((owner, counted, _), input, lease) = (parties(1), input(true), named(LeaseId::new, "lease"));
    let left = owner.openings_left().unwrap();
    owner.prove(&input, lease).unwrap();
    let refused = owner.prove(&input, lease).unwrap_err();
    assert!(refused.to_string().contains("the disk is full"), "{refused}");
    assert_eq!((owner.openings_left(), counted.load(Ordering::Relaxed)), (Some(left - 1), 2));
    // What would not hide is refused before it is counted.
    let plain = ProvingInput { hides: false, ..input };
    assert!(matches!(owner.prove(&plain, lease), Err(EngineError::Tensor { .. })));
    assert_eq!(counted.load(Ordering::Relaxed), 2);
}

#[test]
fn the_profile_says_for_how_many_proofs_the_key_is() {
    let (owner, _, verifier) = parties(0);
    let profile = owner.profile();
    assert_eq!(profile, verifier.profile());
    assert!(profile.is_well_formed());
    let openings = owner.verifying_key().openings().unwrap();
    assert_eq!(profile.task, ModelTask::ProvePrivate { openings });
    assert_eq!((profile.mode(), profile.name.as_str()), (VerificationMode::Zk, "mlp"));
    assert_ne!(prover_profile(owner.verifying_key(), "other").id(), profile.id());
    let public = register(synthetic("mlp-tiny").unwrap().unwrap().0).unwrap();
    assert!(Prover::verifier("mlp", public, named(ChainId::new, "chain")).unwrap().is_none());
}
