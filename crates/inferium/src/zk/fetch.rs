//! `inferium zk fetch`: a proof that a network made of an answer, with what was proved, how long it took and what stays hidden.

use super::{document, in_lines};
use crate::cli::{Failure, FetchArgs};
use crate::keys::text;
use crate::progress::{Step, print};
use crate::remote::Remote;
use crate::{files, output};
use inferium_types::{Digest, JobId, limits, proof_leaf};
use inferium_zk::ProofFile;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Pause between two questions how far it is.
const POLL: Duration = Duration::from_millis(300);

pub(super) fn run(arguments: &FetchArgs) -> Result<(), Failure> {
    let FetchArgs { job, out, force, timeout, server } = arguments;
    if JobId::from_hex(job).is_none() {
        return Err(Failure::usage(format!("{job:?} is not a job: expected 64 hex digits")));
    }
    files::check_free(out, *force)?;
    let remote = Remote::of(server)?;
    let shown = wait(&remote, job, Duration::from_secs(*timeout))?;
    let bytes = remote.file(&format!("proofs/{job}/file"), limits::PROOF_SIZE_MAX)?;
    let refused = |error: &dyn std::fmt::Display| Failure::refused(format!("the proof: {error}"));
    let file = ProofFile::from_bytes(&bytes).map_err(|error| refused(&error))?;
    if Digest::from(file.statement.task).to_string() != job.to_lowercase() {
        return Err(refused(&"it is of another job"));
    }
    // The digest is what the chain has of it.
    if text(&shown, "digest") != proof_leaf(&bytes).to_string() {
        return Err(refused(&"it is not the one that the gateway names"));
    }
    files::write(out, &bytes, *force)?;
    // The last one is proved again until they are a power of two.
    let inputs = shown.get("inputs").and_then(Value::as_u64).and_then(|inputs| usize::try_from(inputs).ok());
    let inputs = inputs.map(usize::next_power_of_two);
    if output::is_json() {
        let mut told = document(&file, inputs);
        for name in [
            "job",
            "status",
            "hides",
            "proof_job",
            "digest",
            "size",
            "took_ms",
            "cost",
            "cost_nano",
            "seed",
            "receipt_url",
        ] {
            told[name] = shown.get(name).cloned().unwrap_or(Value::Null);
        }
        told["file"] = json!(out.display().to_string());
        return output::print_json(&told);
    }
    let number = |name: &str| shown.get(name).and_then(Value::as_u64).unwrap_or(0);
    let took_ms = number("took_ms");
    let mut lines = vec![
        format!(
            "proof       {}, {} bytes, proved in {}.{:03} s for {} IFR",
            text(&shown, "status"),
            bytes.len(),
            took_ms / 1_000,
            took_ms % 1_000,
            text(&shown, "cost"),
        ),
        format!("of job      {job}"),
        format!("by job      {}, whose receipt has this proof's digest", text(&shown, "proof_job")),
    ];
    let are_weights = text(&shown, "hides") == "activations_and_weights";
    lines.extend(in_lines(&file, Some(text(&shown, "model")), inputs.map(|inputs| (inputs, are_weights))));
    lines.push(format!("opened by   the input with the seed {}", text(&shown, "seed")));
    lines.push(format!("written to  {}", out.display()));
    print(&lines.join("\n"))
}

/// Waits until a committee has verified it.
fn wait(remote: &Remote, job: &str, timeout: Duration) -> Result<Value, Failure> {
    let deadline = Instant::now() + timeout;
    let step = Step::begin("proved by a worker, verified by a committee");
    loop {
        let shown = remote.get(&format!("proofs/{job}"))?;
        match text(&shown, "status") {
            "final" | "settled" => {
                step.done();
                return Ok(shown);
            }
            // A court found it wrong; it was final once.
            "rejected" => return Err(Failure::failed("the proof was found wrong, and is none")),
            "failed" => return Err(Failure::failed(format!("the proof was given up: {}", text(&shown, "error")))),
            status if Instant::now() >= deadline => {
                let waits = text(&shown, "waits");
                let waits = if waits.is_empty() { String::new() } else { format!(", and waits for {waits}") };
                return Err(Failure::network(format!("the proof is {status} after {} s{waits}", timeout.as_secs())));
            }
            _ => std::thread::sleep(POLL),
        }
    }
}
