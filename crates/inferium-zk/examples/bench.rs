//! Measures proofs of the models that figures are stated of. `--json` prints an array; names of models choose some.
//!
//! `cargo run --release -p inferium-zk --example bench -- --json [--plain] [MODEL…]`

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that fails has to stop")]
#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::time::Instant;

use inferium_exact::{run, synthetic};
use inferium_zk::{Hiding, ProvingKey, Statement, verify};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Seconds of processor time of this process, user and system.
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn peak_mb() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// The peak counts from here on, where the kernel lets it.
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn measure(name: &str, hiding: Hiding) -> serde_json::Value {
    const RUNS: u32 = 5;
    let (model, input) = synthetic(name).unwrap().unwrap();
    let output = run(&model, &input).unwrap().output().to_vec();
    let params = model.parameters();
    let key = ProvingKey::new(model).unwrap();
    reset_peak();
    let (mut wall, mut proof_of, mut statement_of) = (f64::MAX, None, None);
    // The first proof warms tables of the commitment library; the mean of processor time is over the others.
    let mut busy = 0.0;
    for run in 0..=RUNS {
        let seed = [u8::try_from(run).unwrap_or(0); 32];
        let commitment = key.commit(&input, &seed, hiding).unwrap();
        let statement = Statement {
            input: *commitment.root(),
            output: output.clone(),
            task: [1; 32],
            chain: [2; 32],
            prover: [3; 32],
            hiding,
        };
        let (begin, begin_cpu) = (Instant::now(), cpu());
        let proof = key.prove(commitment, &statement, &mut StdRng::seed_from_u64(run.into())).unwrap();
        if run > 0 {
            wall = wall.min(begin.elapsed().as_secs_f64());
            busy += (cpu() - begin_cpu) / f64::from(RUNS);
        }
        (proof_of, statement_of) = (Some(proof), Some(statement));
    }
    let (proof, statement) = (proof_of.unwrap(), statement_of.unwrap());
    let mut verify_ms = f64::MAX;
    for _ in 0..RUNS {
        let begin = Instant::now();
        verify(key.verifying_key(), &statement, &proof).unwrap();
        verify_ms = verify_ms.min(begin.elapsed().as_secs_f64() * 1e3);
    }
    let round = |value: f64, digits: f64| (value * digits).round() / digits;
    serde_json::json!({
        "model": name,
        "params": params,
        "prove_s": round(wall, 1e3),
        "prove_cpu_s": round(busy, 1e3),
        "verify_ms": round(verify_ms, 1e2),
        "proof_bytes": proof.as_bytes().len(),
        "peak_rss_mb": round(peak_mb(), 1e1),
        "hiding": hiding == Hiding::Activations,
    })
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let hiding = if arguments.iter().any(|word| word == "--plain") { Hiding::Nothing } else { Hiding::Activations };
    let chosen: Vec<&str> = arguments.iter().map(String::as_str).filter(|word| !word.starts_with("--")).collect();
    let all = ["mlp-109k", "lenet-5", "dense-4m", "cnn-264k"];
    let names = if chosen.is_empty() { all.to_vec() } else { chosen };
    let rows: Vec<serde_json::Value> = names.iter().map(|name| measure(name, hiding)).collect();
    if arguments.iter().any(|word| word == "--json") {
        println!("{}", serde_json::to_string_pretty(&rows).unwrap());
    } else {
        rows.iter().for_each(|row| println!("{row}"));
    }
}
