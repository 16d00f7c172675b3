//! `inferium receipt`: get one, and check one offline.

use crate::cli::{Failure, ReceiptCommand};
use crate::output;
use crate::progress::{print, say};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use inferium_engine::prover_profile;
use inferium_gateway::verify_document;
use inferium_types::{
    ChatMessage, ClassifierInputs, Digest, FinishReason, JobAnswer, JobId, JobInput, JobLeaf, JobOpening, Logits,
    NetworkKey, ReceiptFacts, decode, merkle_root, proof_leaf,
};
use inferium_zk::{FILE_BYTES_MAX, ProofFile};
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Pause between two questions whether a receipt is final.
const POLL: Duration = Duration::from_millis(100);

pub(crate) async fn run(command: ReceiptCommand) -> Result<(), Failure> {
    match command {
        ReceiptCommand::Get { job, url, out, timeout } => {
            let document = get(&job, &url, Duration::from_secs(timeout)).await?;
            match out {
                Some(path) => {
                    std::fs::write(&path, &document)
                        .map_err(|e| Failure::failed(format!("cannot write {}: {e}", path.display())))?;
                    say(&format!("receipt written to {}", path.display()));
                    Ok(())
                }
                None => print(&document),
            }
        }
        ReceiptCommand::Verify { file, network_key, answer, proof, task, model, key } => {
            let proof = proof.map(|proof| Proof { proof, task, model, key });
            verify(&file, &network_key, (answer.as_deref(), proof.as_ref()))
        }
    }
}

/// Asks until the receipt is final; its document.
pub(crate) async fn get(job: &str, url: &str, timeout: Duration) -> Result<String, Failure> {
    if JobId::from_hex(job).is_none() {
        return Err(Failure::usage(format!("{job:?} is not a job: expected 64 hex digits")));
    }
    let address = format!("{}/v1/receipts/{job}", url.trim_end_matches('/').trim_end_matches("/v1"));
    let client = reqwest::Client::new();
    let deadline = tokio::time::Instant::now() + timeout;
    loop {
        let response = client
            .get(&address)
            .timeout(Duration::from_secs(10))
            .send()
            .await
            .map_err(|e| Failure::network(format!("the gateway at {url} did not answer: {e}")))?;
        let status = response.status();
        let text = response.text().await.map_err(|e| Failure::network(e.to_string()))?;
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        let state = value.get("status").and_then(Value::as_str).unwrap_or_default();
        match (status.as_u16(), state) {
            (200, "final" | "settled") => return Ok(text),
            (200, _) => {
                let reason = value.get("reason").and_then(Value::as_str).unwrap_or("it was not done");
                return Err(Failure::refused(format!("job {job} has no receipt, it is {state}: {reason}")));
            }
            (202, _) if tokio::time::Instant::now() < deadline => tokio::time::sleep(POLL).await,
            (202, _) => {
                return Err(Failure::network(format!("job {job} is still provisional after {} s", timeout.as_secs())));
            }
            (404, _) => return Err(Failure::refused(format!("the gateway knows no job {job}"))),
            _ => return Err(Failure::network(format!("the gateway answered {status}: {text}"))),
        }
    }
}

/// A proof, and what it is checked with.
struct Proof {
    proof: PathBuf,
    /// The job whose answer it has to be of.
    task: Option<String>,
    model: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Proof {
    /// Checks that it holds, is on the receipt's chain, and is the very one that the receipt's job made; and of how many inputs it is.
    fn check(&self, facts: &ReceiptFacts) -> Result<(Option<(usize, bool)>, ProofFile), Failure> {
        let bytes = crate::files::read(&self.proof, FILE_BYTES_MAX as u64)?;
        let wrong = |why: &str| Err(Failure::refused(format!("{}: {why}", self.proof.display())));
        if merkle_root(&[proof_leaf(&bytes)]) != facts.job.result.evidence_root {
            return wrong("it is not the proof that the receipt's job made");
        }
        let (key, _) = crate::zk::key_of(self.model.as_deref(), self.key.as_deref())?;
        // Private weights have the name of their key's file in networks.
        let name = self.key.as_deref().map(crate::zk::name_of).unwrap_or_default();
        if prover_profile(&key, &name).id() != facts.outcome.profile {
            return wrong("the receipt's job proves what another model says, or by other rules");
        }
        let file = ProofFile::from_bytes(&bytes)
            .map_err(|error| Failure::refused(format!("{}: {error}", self.proof.display())))?;
        let statement = &file.statement;
        let is_bound = statement.chain == *facts.chain.digest().as_bytes()
            && statement.prover == *facts.job.request.lease.digest().as_bytes();
        if !is_bound {
            return wrong("it is of another chain, or was made under another lease");
        }
        let task = Digest::from(statement.task).to_string();
        if let Some(wanted) = self.task.as_ref().filter(|wanted| wanted.to_lowercase() != task) {
            return wrong(&format!("it is of the answer of job {task}, not {wanted}"));
        }
        match inferium_zk::verify(&key, statement, &file.proof) {
            Ok(()) => Ok((crate::zk::known(&key, statement), file)),
            Err(error) => wrong(&format!("rejected: {error}")),
        }
    }
}

fn verify(file: &Path, network_key: &str, (answer, proof): (Option<&Path>, Option<&Proof>)) -> Result<(), Failure> {
    let key: NetworkKey = network_key.parse().map_err(|e| Failure::usage(format!("{e}")))?;
    let bytes = read(file)?;
    let facts = verify_document(&bytes, &key)
        .map_err(|error| Failure::refused(format!("the receipt does not hold: {error}")))?;
    let opened = answer.map(|file| opened(&read(file)?, &facts.job)).transpose()?;
    let proved = proof.map(|proof| proof.check(&facts)).transpose()?;
    if output::is_json() {
        let mut document = facts_json(&facts);
        if let (Some(fields), Some(opening)) = (document.as_object_mut(), &opened) {
            let (asked, answered) = in_words(opening);
            fields.insert("asked".to_owned(), asked.into());
            fields.insert("answered".to_owned(), answered.into());
        }
        if let (Some(fields), Some((known, proved))) = (document.as_object_mut(), &proved) {
            fields.insert("proof".to_owned(), crate::zk::document(proved, known.map(|(inputs, _)| inputs)));
        }
        return output::print_json(&document);
    }
    print(&facts_in_words(&facts))?;
    if let Some((known, proved)) = &proved {
        print("  proved, as the evidence root says:")?;
        for line in crate::zk::in_lines(proved, None, *known) {
            print(&format!("    {line}"))?;
        }
    }
    let Some(opening) = &opened else { return Ok(()) };
    let (asked, answered) = in_words(opening);
    let indented = |text: &str| text.replace('\n', "\n    ");
    print(&format!("  asked, as the input commitment says:\n    {}", indented(&asked)))?;
    print(&format!("  answered, as the output commitment says:\n    {}", indented(&answered)))
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).map(drop)
    } else {
        std::fs::read(file).map(|read| bytes = read)
    };
    read.map_err(|e| Failure::failed(format!("cannot read {}: {e}", file.display())))?;
    Ok(bytes)
}

/// The opening of this job in an answer of the API.
fn opened(answer: &[u8], job: &JobLeaf) -> Result<JobOpening, Failure> {
    let answer: Value =
        serde_json::from_slice(answer).map_err(|error| Failure::refused(format!("the answer is no JSON: {error}")))?;
    let text = opening_of(&answer, &job.request.job.to_string()).ok_or_else(|| {
        Failure::refused("the answer has no opening of this job: it has to be asked for, with \"opening\": true")
    })?;
    let bytes = STANDARD.decode(text).ok();
    let opening: Option<JobOpening> = bytes.and_then(|bytes| decode(&bytes).ok());
    let opening = opening.ok_or_else(|| Failure::refused("the opening in the answer does not decode"))?;
    match opening.opens(job) {
        true => Ok(opening),
        false => Err(Failure::refused("the opening in the answer is not what the receipt's job commits to")),
    }
}

fn opening_of<'a>(value: &'a Value, job: &str) -> Option<&'a str> {
    match value {
        Value::Object(fields) => {
            let field = |name: &str| fields.get(name).and_then(Value::as_str);
            let own = field("opening").filter(|_| field("job") == Some(job));
            own.or_else(|| fields.values().find_map(|value| opening_of(value, job)))
        }
        Value::Array(items) => items.iter().find_map(|value| opening_of(value, job)),
        _ => None,
    }
}

/// What was asked and answered; what is no text by its kind and number.
fn in_words(opening: &JobOpening) -> (String, String) {
    let asked = match &opening.payload.input {
        JobInput::Chat { messages, .. } => {
            let line = |message: &ChatMessage| format!("{}: {}", message.role, message.content);
            messages.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        JobInput::Embed { texts, .. } => texts.join("\n"),
        JobInput::Complete { prompt, .. } => format!("to go on behind {} tokens", prompt.len()),
        JobInput::Score { continuations, .. } => format!("how likely {} continuations are", continuations.len()),
        JobInput::Run(input) => input.task.clone(),
        JobInput::Fold(input) => format!("a board of {} files", input.files.len()),
        JobInput::Train(input) => format!("{input:?}"),
        JobInput::Prove(input) => format!("a proof of what job {} was answered", input.job),
        JobInput::Classify(ClassifierInputs::Texts(texts)) => texts.join("\n"),
        JobInput::Classify(ClassifierInputs::Tensors(tensors)) => format!("the classes of {} tensors", tensors.len()),
    };
    let answered = match &opening.output.answer {
        JobAnswer::Text { text, .. } => text.clone(),
        JobAnswer::Embeddings(all) => format!("{} vectors", all.len()),
        JobAnswer::Scores(all) => format!("{} lists of scores", all.len()),
        JobAnswer::Run(run) => run.answer.clone(),
        JobAnswer::Board(board) => board.clone(),
        JobAnswer::Intervals(intervals) => format!("{} intervals", intervals.len()),
        JobAnswer::Proof(proof) => format!("a proof of {} bytes", proof.len()),
        JobAnswer::Logits(all) => {
            let class = |logits: &Logits| format!("class {} of {}", logits.label(), logits.values().len());
            all.iter().map(class).collect::<Vec<_>>().join("\n")
        }
    };
    (asked, answered)
}

/// A receipt's facts for programs.
pub(crate) fn facts_json(facts: &ReceiptFacts) -> Value {
    let (job, outcome) = (&facts.job, &facts.outcome);
    json!({
        "valid": true,
        "status": facts.status.name(),
        "job": job.request.job.to_string(),
        "model_profile": outcome.profile.to_string(),
        "worker": outcome.worker.to_string(),
        "gateway": outcome.gateway.to_string(),
        "input_commitment": job.request.input_commitment.to_string(),
        "output_commitment": job.result.output_commitment.to_string(),
        "prompt_tokens": job.result.usage.prompt_tokens,
        "completion_tokens": job.result.usage.completion_tokens,
        "fee_nano": facts.fee.nano(),
        "approved_by": outcome.approvers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "height": facts.height,
        "block": facts.block.to_string(),
        "timestamp_ms": facts.timestamp_ms,
    })
}

fn facts_in_words(facts: &ReceiptFacts) -> String {
    let (job, outcome) = (&facts.job, &facts.outcome);
    let finish = match job.result.finish {
        FinishReason::EndOfText => "the model ended it",
        FinishReason::StopString => "a stop string of the request ended it",
        FinishReason::Length => "it reached the limit of tokens",
        FinishReason::Cancelled => "the client left",
    };
    let seed =
        job.request.client_seed.map_or_else(|| "the worker's VRF".into(), |seed| format!("the client's seed {seed}"));
    let approvers: Vec<String> = outcome.approvers.iter().map(|id| format!("                     {id}")).collect();
    [
        format!("valid: this job is {} on chain {}", facts.status.name(), facts.chain),
        format!("  job                {} (attempt {})", job.request.job, job.request.attempt),
        format!("  model profile      {}", outcome.profile),
        format!("  worker             {}", outcome.worker),
        format!("  gateway            {}", outcome.gateway),
        format!("  input commitment   {}", job.request.input_commitment),
        format!("  output commitment  {}", job.result.output_commitment),
        format!("  evidence root      {}", job.result.evidence_root),
        format!(
            "  usage              {} tokens of prompt, {} of answer; {finish}",
            job.result.usage.prompt_tokens, job.result.usage.completion_tokens
        ),
        format!(
            "  sampling           temperature {}, top_p {}, top_k {}, seeded by {seed}",
            millionths(job.request.sampling.temperature_micro),
            millionths(job.request.sampling.top_p_ppm),
            job.request.sampling.top_k
        ),
        format!("  fee                {}", facts.fee),
        format!(
            "  block              {} at height {}, {} ms since 1970",
            facts.block, facts.height, facts.timestamp_ms
        ),
        format!(
            "  approved by        {} validators, who replayed {} % of the segment's jobs:",
            outcome.approvers.len(),
            outcome.replayed.get() / 10_000
        ),
        approvers.join("\n"),
    ]
    .join("\n")
}

fn millionths(number: u32) -> String {
    let text = format!("{}.{:06}", number / 1_000_000, number % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
