//! A proof is of one answer, under one lease, on one chain: of anything else it is none.

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
    ProvingInput { job: named(JobId::new, "job"), tensor, seed: [7; 32], hides }
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
    assert_eq!(other(&|input| input.tensor[0] ^= 1), None);
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
        change(&mut wrong.tensor);
        assert!(matches!(prover.read(&wrong), Err(EngineError::Tensor { .. })));
        assert!(matches!(prover.prove(&wrong, lease), Err(EngineError::Tensor { .. })));
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
    assert_eq!(profile, prover_profile(one.verifying_key()));
    let cnn = Prover::new(synthetic("cnn-tiny").unwrap().unwrap().0, named(ChainId::new, "chain")).unwrap();
    assert_ne!(cnn.profile().id(), profile.id());
    let served = Model::Prover(Arc::new(one));
    assert_eq!(served.context_tokens(), PROVE_CONTEXT_TOKENS);
    assert_eq!(served.read(&JobInput::Prove(input(true))).unwrap().tokens(), 4_097);
    assert!(matches!(served.read(&JobInput::Embed { texts: vec!["x".into()] }), Err(EngineError::Task { .. })));
}
