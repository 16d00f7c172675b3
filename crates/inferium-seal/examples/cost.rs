//! What sealing costs: `cargo run --release -p inferium-seal --example cost`.

#![expect(clippy::print_stdout, reason = "a measurement that a person reads")]

use inferium_seal::{SealError, SealingSecret, SessionOpener, SessionSealer, StorageKey, seal};
use inferium_types::{Digest, SealPurpose, SecretKey, StallId};
use std::time::Instant;

fn measure(what: &str, rounds: u32, mut work: impl FnMut() -> Result<(), SealError>) -> Result<(), SealError> {
    let began = Instant::now();
    for _ in 0..rounds {
        work()?;
    }
    println!("{what}: {:.2} µs", began.elapsed().as_secs_f64() * 1e6 / f64::from(rounds));
    Ok(())
}

fn main() -> Result<(), SealError> {
    let mut rng = rand::rng();
    let node = SecretKey::from_bytes([1; 32]).map_err(|_| SealError::InvalidKey)?;
    let purpose = SealPurpose::Lodged { stall: StallId::new(Digest::ZERO), relay: node.public_key() };
    let (worker, gateway) = (SealingSecret::generate(&mut rng), SealingSecret::generate(&mut rng));
    measure("a key", 2_000, || {
        SealingSecret::generate(&mut rng);
        Ok(())
    })?;
    measure("a direction of a session, both ends", 2_000, || {
        let (encapsulated, _) = SessionSealer::new(&worker, &gateway.public_key(), &purpose, &mut rng)?;
        SessionOpener::new(&gateway, &worker.public_key(), &encapsulated, &purpose).map(drop)
    })?;
    let (encapsulated, mut sealer) = SessionSealer::new(&worker, &gateway.public_key(), &purpose, &mut rng)?;
    let mut opener = SessionOpener::new(&gateway, &worker.public_key(), &encapsulated, &purpose)?;
    for (what, size) in [("a token of a stream", 55), ("a message of 4 KiB", 4_096), ("a message of 1 MiB", 1 << 20)] {
        let message = vec![7; size];
        let rounds = if size < 10_000 { 200_000 } else { 200 };
        measure(&format!("{what}, sealed and opened"), rounds, || {
            let frame = sealer.seal(message.clone())?;
            opener.open(&frame).map(drop)
        })?;
    }
    for (what, size) in [("evidence of 4 KiB", 4_096), ("evidence of 1 MiB", 1 << 20)] {
        let message = vec![7; size];
        measure(&format!("{what}, sealed and opened"), 200, || {
            let sealed = seal(gateway.public_key(), &purpose, &message, &mut rng)?;
            gateway.open(&purpose, &sealed).map(drop)
        })?;
    }
    let key = StorageKey::derive(&node, "example");
    let value = vec![7; 4_096];
    measure("a stored value of 4 KiB, sealed and opened", 20_000, || {
        let stored = key.seal(b"place", &value, rand::random())?;
        key.open(b"place", &stored).map(drop)
    })
}
