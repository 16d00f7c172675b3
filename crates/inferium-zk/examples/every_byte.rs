//! Flips every byte of two proofs, one at a time, and says how many were accepted: none should be. Takes a long while.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "that is what it is for")]

use inferium_exact::{run, synthetic};
use inferium_zk::{Hiding, Proof, ProvingKey, Statement, verify};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::error::Error;

fn accepted(hiding: Hiding) -> Result<(usize, usize), Box<dyn Error>> {
    let (model, input) = synthetic("cnn-tiny")?.ok_or("no such model")?;
    let output = run(&model, &input)?.output().to_vec();
    let key = ProvingKey::new(model)?;
    let commitment = key.commit(&input, &[3; 32], hiding)?;
    let statement =
        Statement { input: *commitment.root(), output, task: [1; 32], chain: [2; 32], prover: [3; 32], hiding };
    let bytes = key.prove(commitment, &statement, &mut StdRng::seed_from_u64(1))?.as_bytes().to_vec();
    let mut accepted = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let mut damaged = bytes.clone();
        if let Some(damaged) = damaged.get_mut(index) {
            *damaged = byte ^ (1 << (index % 8));
        }
        accepted += usize::from(verify(key.verifying_key(), &statement, &Proof::from_bytes(damaged)).is_ok());
        if index % 10_000 == 0 {
            eprintln!("{index} of {} bytes", bytes.len());
        }
    }
    Ok((bytes.len(), accepted))
}

fn main() -> Result<(), Box<dyn Error>> {
    for (name, hiding) in [("plain", Hiding::Nothing), ("hiding", Hiding::Activations)] {
        let (bytes, accepted) = accepted(hiding)?;
        println!("{name}: {bytes} bytes flipped, {accepted} accepted");
        if accepted > 0 {
            return Err("a damaged proof was accepted".into());
        }
    }
    Ok(())
}
