//! Measures one proof of several inputs: for each size of a batch the best of a few runs.
//!
//! `cargo run --profile ci -p inferium-zk --example batch [-- MODEL…]`

#![expect(clippy::print_stdout, reason = "that is what it is for")]
#![expect(clippy::disallowed_types, reason = "it measures time")]

use inferium_exact::{Model, Trace, run, synthetic};
use inferium_zk::{Hiding, ProvingKey, Statement, verify};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::error::Error;
use std::time::{Duration, Instant};

const SIZES: [i32; 4] = [1, 4, 16, 32];
const RUNS: u64 = 5;

/// So many inputs, all different.
fn inputs(model: &Model, own: &[i32], count: i32) -> Vec<Vec<i32>> {
    let (least, range) = (i32::from(model.input_min), i32::from(model.input_max) - i32::from(model.input_min) + 1);
    let other = |item: i32| own.iter().map(|value| (value - least + item * 37) % range + least).collect();
    (0..count).map(other).collect()
}

fn measure(name: &str, hiding: Hiding) -> Result<(), Box<dyn Error>> {
    let (model, own) = synthetic(name)?.ok_or("no such model")?;
    let key = ProvingKey::new(model)?;
    for size in SIZES {
        let inputs = inputs(key.model(), &own, size);
        let traces = inputs.iter().map(|input| run(key.model(), input)).collect::<Result<Vec<_>, _>>()?;
        let output: Vec<i32> = traces.iter().flat_map(Trace::output).copied().collect();
        let (mut proved, mut verified, mut bytes) = (Duration::MAX, Duration::MAX, 0);
        for seed in 0..RUNS {
            let begin = Instant::now();
            let commitment = key.commit_batch(&inputs, &[3; 32], hiding)?;
            let (input, output) = (*commitment.root(), output.clone());
            let statement = Statement { input, output, task: [1; 32], chain: [2; 32], prover: [3; 32], hiding };
            let proof = key.prove(commitment, &statement, &mut StdRng::seed_from_u64(seed))?;
            proved = proved.min(begin.elapsed());
            bytes = proof.as_bytes().len();
            let begin = Instant::now();
            verify(key.verifying_key(), &statement, &proof)?;
            verified = verified.min(begin.elapsed());
        }
        let (prove, verify) = (proved.as_secs_f64(), verified.as_secs_f64() * 1e3);
        let each = f64::from(size);
        println!(
            "{name:<9} {hiding:<12?} {size:>2} inputs: prove {prove:.3} s ({:.4} s each), \
             verify {verify:.1} ms ({:.2} ms each), {bytes} bytes",
            prove / each,
            verify / each
        );
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let names = if names.is_empty() { vec!["mlp-109k".into(), "lenet-5".into()] } else { names };
    for name in &names {
        for hiding in [Hiding::Activations, Hiding::Nothing] {
            measure(name, hiding)?;
        }
    }
    Ok(())
}
