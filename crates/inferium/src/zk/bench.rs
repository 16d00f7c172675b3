//! `inferium zk bench`: what proofs cost, of models whose weights are drawn: only their sizes matter.

use super::{Took, kind, peak_mb, round};
use crate::cli::{Failure, Hides, ZkBenchArgs};
use crate::output;
use crate::progress::{Step, print};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use inferium_exact::{run as run_model, synthetic};
use inferium_zk::{Hiding, ProveError, ProvingKey, Statement, verify};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use std::process::{Command, Stdio};

/// The models that figures are stated of.
const MODELS: [&str; 4] = ["mlp-109k", "lenet-5", "dense-4m", "cnn-264k"];

pub(super) fn run(arguments: &ZkBenchArgs) -> Result<(), Failure> {
    let names: Vec<&str> = match arguments.models.is_empty() {
        true => MODELS.to_vec(),
        false => arguments.models.iter().map(String::as_str).collect(),
    };
    let mut rows = Vec::with_capacity(names.len());
    for name in names {
        rows.push(if arguments.alone {
            measure(name, arguments)?
        } else {
            let step = Step::begin(&format!("{name}: {} proofs", arguments.proofs.saturating_add(1)));
            let row = apart(name, arguments)?;
            step.done();
            row
        });
    }
    if output::is_json() {
        return output::print_json(&Value::Array(rows));
    }
    print(&table(&rows))
}

/// Measures in a process of its own, so that the peak of memory is this model's alone.
fn apart(name: &str, arguments: &ZkBenchArgs) -> Result<Value, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::failed(format!("measuring {name}: {error}"));
    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    let hiding = match arguments.hiding {
        Hides::Activations => "activations",
        Hides::None => "none",
    };
    let measured = Command::new(program)
        .args(["zk", "bench", "--alone", "--output", "json", "--model", name, "--hiding", hiding])
        .args(["--proofs", &arguments.proofs.to_string()])
        .args(arguments.openings.map(|openings| format!("--openings={openings}")))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(&error))?;
    if !measured.status.success() {
        return Err(failed(&measured.status));
    }
    let rows: Vec<Value> = serde_json::from_slice(&measured.stdout).map_err(|error| failed(&error))?;
    rows.into_iter().next().ok_or_else(|| failed(&"it measured nothing"))
}

/// The shortest time of all proofs, and the mean of their processor time: what else runs on the machine makes the one longer and
/// hardly the other. The first proof is not counted: it fills tables of the commitment library.
fn measure(name: &str, arguments: &ZkBenchArgs) -> Result<Value, Failure> {
    let (hiding, proofs) = (Hiding::from(arguments.hiding), arguments.proofs);
    let failed = |error: &dyn std::fmt::Display| Failure::failed(format!("{name}: {error}"));
    let known = synthetic(name).map_err(|error| failed(&error))?;
    let (model, input) = known.ok_or_else(|| failed(&"there is no such model"))?;
    let output = run_model(&model, &input).map_err(|error| failed(&error))?.output().to_vec();
    let params = model.parameters();
    let key = match arguments.openings {
        None => ProvingKey::new(model),
        // More than are measured, so that none of them is refused.
        Some(openings) => ProvingKey::private(model, &rand::random(), openings.max(proofs.saturating_add(1)), 0),
    };
    let key = key.map_err(|error| failed(&error))?;
    let prove = || -> Result<_, ProveError> {
        let commitment = key.commit(&input, &rand::random(), hiding)?;
        let root = *commitment.root();
        let statement =
            Statement { input: root, output: output.clone(), task: [1; 32], chain: [2; 32], prover: [3; 32], hiding };
        let mut rng = StdRng::from_seed(rand::random());
        let (proof, took) = Took::of(|| key.prove(commitment, &statement, &mut rng));
        Ok((statement, proof?, took))
    };
    let (statement, proof, _) = prove().map_err(|error| failed(&error))?;
    let (mut wall, mut cpu) = (f64::MAX, Some(0.0));
    for _ in 0..proofs {
        let (_, _, took) = prove().map_err(|error| failed(&error))?;
        wall = wall.min(took.wall);
        cpu = cpu.zip(took.cpu).map(|(sum, one)| sum + one / f64::from(proofs));
    }
    let mut checked = f64::MAX;
    for _ in 0..proofs {
        let (verdict, took) = Took::of(|| verify(key.verifying_key(), &statement, &proof));
        verdict.map_err(|error| failed(&error))?;
        checked = checked.min(took.wall);
    }
    let mut row = json!({
        "model": name,
        "params": params,
        "prove_s": round(wall, 3),
        "prove_cpu_s": cpu.map(|cpu| round(cpu, 3)),
        "verify_ms": round(checked * 1e3, 2),
        "proof_bytes": proof.as_bytes().len(),
        "peak_rss_mb": peak_mb(),
        "hiding": hiding == Hiding::Activations,
    });
    // Of public weights there is no such number.
    if let (Some(fields), Some(openings)) = (row.as_object_mut(), key.verifying_key().openings()) {
        fields.insert("openings".to_owned(), openings.into());
    }
    Ok(row)
}

fn table(rows: &[Value]) -> String {
    let mut table = Table::new();
    let head = ["model", "parameters", "proof", "prove", "processor", "verify", "size", "peak memory"];
    table.load_style(UTF8_FULL_CONDENSED).set_header(head);
    for row in rows {
        let number = |name: &str| row.get(name).and_then(Value::as_f64);
        let with = |name: &str, decimals: usize, unit: &str| {
            number(name).map_or_else(|| "unknown".to_owned(), |value| format!("{value:.decimals$} {unit}"))
        };
        let is_hiding = row.get("hiding").and_then(Value::as_bool).unwrap_or_default();
        let size = number("proof_bytes").map_or(0.0, |bytes| bytes / 1e3);
        table.add_row([
            row.get("model").and_then(Value::as_str).unwrap_or_default().to_owned(),
            number("params").unwrap_or_default().to_string(),
            kind(if is_hiding { Hiding::Activations } else { Hiding::Nothing }).to_owned(),
            with("prove_s", 2, "s"),
            with("prove_cpu_s", 2, "s"),
            with("verify_ms", 1, "ms"),
            format!("{size:.0} kB"),
            with("peak_rss_mb", 0, "MB"),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests;
