//! A proof is of one answer, under one lease, on one chain: of anything else it is none.

mod private;

use super::{PROVE_CONTEXT_TOKENS, Prover, prover_profile};
use crate::{EngineError, Model};
use inferium_exact::{run, synthetic};
use inferium_types::{ChainId, Digest, JobId, JobInput, LeaseId, ModelTask, ProvingInput, VerificationMode, limits};
use inferium_zk::ProofFile;
use std::sync::Arc;

fn named<T>(new: impl Fn(Digest) -> T, name: &str) -> T {
    new(Digest::sha256(name.as_bytes()))
}

fn prover(chain: &str) -> Prover {
    Prover::new(synthetic("mlp-tiny").unwrap().unwrap().0, named(ChainId::new, chain)).unwrap()
}

fn input(hides: bool) -> ProvingInput {
    let tensor = synthetic("mlp-tiny").unwrap().unwrap().1;
    let tensor = tensor.into_iter().map(|element| i16::try_from(element).unwrap()).collect();
    ProvingInput { job: named(JobId::new, "job"), tensors: vec![tensor], seed: [7; 32], hides }
}

#[test]
fn a_proof_holds_for_its_answer_lease_and_chain_alone() {
    let (prover, input, lease) = (prover("chain"), input(false), named(LeaseId::new, "lease"));
    let proof = prover.prove(&input, lease).unwrap();
    let traced = prover.check(&input, lease, &proof).unwrap().unwrap();
    // Everybody who verifies has the same digest, and another proof has another.
    assert_eq!(prover.check(&input, lease, &proof).unwrap(), Some(traced));
    let file = ProofFile::from_bytes(&proof).unwrap();
    let (model, elements) = synthetic("mlp-tiny").unwrap().unwrap();
    assert_eq!(file.statement.output, run(&model, &elements).unwrap().output());
    assert_eq!(file.statement.task, *input.job.digest().as_bytes());
    let other = |change: &dyn Fn(&mut ProvingInput)| {
        let mut other = input.clone();
        change(&mut other);
        prover.check(&other, lease, &proof).unwrap()
    };
    assert_eq!(other(&|input| input.job = named(JobId::new, "other")), None);
    assert_eq!(other(&|input| input.seed[0] ^= 1), None);
    assert_eq!(other(&|input| input.hides = true), None);
    assert_eq!(other(&|input| input.tensors[0][0] ^= 1), None);
    assert_eq!(prover.check(&input, named(LeaseId::new, "other"), &proof).unwrap(), None);
    assert_eq!(self::prover("other").check(&input, lease, &proof).unwrap(), None);
    // Another model's proof, a byte of it, and no proof at all.
    let mut changed = proof.clone();
    let place = changed.len() / 2;
    changed[place] ^= 1;
    for bytes in [changed, proof[..place].to_vec(), Vec::new(), vec![0; limits::PROOF_SIZE_MAX + 1]] {
        assert_eq!(prover.check(&input, lease, &bytes).unwrap(), None);
    }
    let mut swapped = file;
    swapped.statement.output.swap(0, 1);
    assert_eq!(prover.check(&input, lease, &swapped.to_bytes().unwrap()).unwrap(), None);
}

#[test]
fn a_proof_that_hides_is_another_each_time_and_holds() {
    let (prover, input, lease) = (prover("chain"), input(true), named(LeaseId::new, "lease"));
    let proofs = [prover.prove(&input, lease).unwrap(), prover.prove(&input, lease).unwrap()];
    assert_ne!(proofs[0], proofs[1]);
    let traces = proofs.map(|proof| prover.check(&input, lease, &proof).unwrap().unwrap());
    assert_ne!(traces[0], traces[1]);
}

#[test]
fn inputs_that_the_model_does_not_read_are_refused() {
    let prover = prover("chain");
    assert_eq!(prover.read(&input(true)), Ok(limits::PROOF_TOKENS + 1));
    let lease = named(LeaseId::new, "lease");
    for change in [|tensor: &mut Vec<i16>| tensor.push(0), |tensor: &mut Vec<i16>| tensor[3] = 256] {
        let mut wrong = input(true);
        change(&mut wrong.tensors[0]);
        assert!(matches!(prover.read(&wrong), Err(EngineError::Tensor { .. })));
        assert!(matches!(prover.prove(&wrong, lease), Err(EngineError::Tensor { .. })));
    }
}

/// One proof of several inputs: of these, in this order, and of no others. Three are proved as four.
#[test]
fn a_proof_of_several_inputs_is_of_all_of_them() {
    let (prover, lease) = (prover("chain"), named(LeaseId::new, "lease"));
    assert_eq!(prover.inputs_max(), limits::PROOF_INPUTS_MAX);
    let one = input(true).tensors.remove(0);
    let tensors: Vec<Vec<i16>> =
        (0..3).map(|index| one.iter().map(|element| (element + index * 40) % 256).collect()).collect();
    let several = ProvingInput { tensors: tensors.clone(), ..input(true) };
    assert_eq!(prover.read(&several), Ok(limits::PROOF_TOKENS + 3));
    let proof = prover.prove(&several, lease).unwrap();
    assert!(prover.check(&several, lease, &proof).unwrap().is_some());
    let file = ProofFile::from_bytes(&proof).unwrap();
    let (model, _) = synthetic("mlp-tiny").unwrap().unwrap();
    let said = |tensor: &Vec<i16>| {
        let wide: Vec<i32> = tensor.iter().map(|element| i32::from(*element)).collect();
        run(&model, &wide).unwrap().output().to_vec()
    };
    let expected: Vec<i32> = tensors.iter().chain(&tensors[2..]).flat_map(said).collect();
    assert_eq!(file.statement.output, expected);
    let swapped =
        ProvingInput { tensors: vec![tensors[1].clone(), tensors[0].clone(), tensors[2].clone()], ..input(true) };
    let fewer = ProvingInput { tensors: tensors[..2].to_vec(), ..input(true) };
    for other in [swapped, fewer] {
        assert_eq!(prover.check(&other, lease, &proof).unwrap(), None);
    }
    for count in [0, limits::PROOF_INPUTS_MAX + 1] {
        let wrong = ProvingInput { tensors: vec![one.clone(); count], ..input(true) };
        assert!(matches!(prover.read(&wrong), Err(EngineError::Tensor { .. })));
    }
}

/// SPEC V10: the profile is the key's, so whoever has it has the model that is proved, and the version of the proof.
#[test]
fn the_profile_is_the_key_s() {
    let (one, other) = (prover("chain"), prover("other"));
    let profile = one.profile();
    assert!(profile.is_well_formed());
    assert_eq!((profile.task, profile.mode()), (ModelTask::Prove, VerificationMode::Zk));
    assert_eq!(profile.id(), other.profile().id(), "a chain is the statement's");
    assert_eq!(profile, prover_profile(one.verifying_key(), "unused"));
    let cnn = Prover::new(synthetic("cnn-tiny").unwrap().unwrap().0, named(ChainId::new, "chain")).unwrap();
    assert_ne!(cnn.profile().id(), profile.id());
    let served = Model::Prover(Arc::new(one));
    assert_eq!(served.context_tokens(), PROVE_CONTEXT_TOKENS);
    assert_eq!(served.read(&JobInput::Prove(input(true))).unwrap().tokens(), 4_097);
    assert!(matches!(
        served.read(&JobInput::Embed { texts: vec!["x".into()], tokens: vec![] }),
        Err(EngineError::Task { .. })
    ));
}
