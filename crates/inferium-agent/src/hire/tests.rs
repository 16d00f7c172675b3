//! SPEC A3: whom a manifest may hire, and what follows from a call that hires.

use super::*;
use crate::check::hires;
use crate::run::{Limits, Next, Run, RunEnd};
use inferium_types::{CallRecord, FinishReason, JobLeaf, JobRequest, JobResult, ModelOutput, RunTranscript, Usage};

const CLERK: &str = "name = \"clerk\"\nmodel = \"mock\"\nprice = \"0.02\"\nsummary = \"Files things.\"\n\
    system_prompt = \"File it.\"\n[limits]\nsteps = 1\ntokens = 100\ntool_calls = 0\nseconds = 10\n";
const SALT: [u8; 32] = [6; 32];

fn clerk() -> AgentId {
    AgentId::new(Digest::sha256(b"clerk"))
}

fn version() -> Digest {
    Digest::sha256(b"its version")
}

/// A manifest that hires the clerk; `spending`, `clerk` and `more` are its parts.
fn text(spending: &str, clerk: &str, more: &str) -> String {
    format!(
        "name = \"boss\"\nmodel = \"mock\"\nprice = \"0.01\"\nsystem_prompt = \"Delegate.\"\n\
         [limits]\nsteps = 3\ntokens = 1000\ntool_calls = 2\nseconds = 60\n\
         [spending]\n{spending}\n{clerk}\n{more}"
    )
}

fn hire_table(manifest: &str) -> String {
    format!("[hire.clerk]\nagent = \"{}\"\nversion = \"{}\"\nmanifest = '''\n{manifest}'''\n", clerk(), version())
}

fn spending() -> String {
    format!("per_run = \"0.05\"\nper_day = \"1\"\nrecipients = [\"agent:{}\"]", clerk())
}

fn boss(more: &str) -> Manifest {
    Manifest::read(&text(&spending(), &hire_table(CLERK), more)).unwrap()
}

fn lease() -> LeaseId {
    LeaseId::new(Digest::sha256(b"a lease"))
}

fn limits() -> Limits {
    Limits { steps: 3, tokens: 1_000, tool_calls: 2, run_ms: 60_000 }
}

fn input(task: &str) -> RunInput {
    RunInput { manifest: String::new(), task: task.into(), files: Vec::new() }
}

fn refused(spending: &str, clerk: &str, more: &str) -> String {
    Manifest::read(&text(spending, clerk, more)).unwrap_err()
}

/// What a model that says `text` makes of the next call.
fn said(run: &Run<'_>, text: &str) -> CallRecord {
    let Next::Model { job, input, sampling, tokens_max } = run.next() else { panic!("{:?}", run.next()) };
    let payload = JobPayload { salt: [7; 32], input };
    let request = JobRequest {
        job,
        lease: LeaseId::new(Digest::sha256(b"another lease")),
        sequence: 5,
        attempt: 0,
        input_commitment: payload.commitment(),
        prompt_tokens: 100,
        tokens_max,
        sampling,
        client_seed: Some(crate::run::call_seed(job)),
    };
    let output = ModelOutput { salt: [8; 32], tokens: vec![1, 2, 3], text: text.into() };
    let result = JobResult {
        request: request.digest(),
        output_commitment: output.job_output().commitment(),
        evidence_root: Digest::ZERO,
        usage: Usage { prompt_tokens: 100, completion_tokens: 3 },
        finish: FinishReason::EndOfText,
    };
    CallRecord::Model { leaf: JobLeaf { request, result }, salt: payload.salt, output }
}

fn call(agent: &str, task: &str) -> String {
    crate::form::written(HIRE, &serde_json::json!({"agent": agent, "task": task}).to_string())
}

#[test]
fn a_manifest_names_whom_it_may_hire_whole_and_what_it_may_pay_covers_that() {
    assert_eq!(boss("").hire["clerk"].read().unwrap().agent, clerk());
    let at_the_price = spending().replace("0.05", "0.02");
    assert!(Manifest::read(&text(&at_the_price, &hire_table(CLERK), "")).is_ok(), "exactly its price");
    let below = refused(&spending().replace("0.05", "0.01999"), &hire_table(CLERK), "");
    assert!(below.contains("costs 0.02 IFR, and `spending` allows 0.01999 IFR"), "{below}");
    let stranger = refused("per_run = \"1\"\nper_day = \"1\"", &hire_table(CLERK), "");
    assert!(stranger.contains("costs 0.02 IFR, and `spending` allows 0 IFR"), "{stranger}");
    let other = format!("per_run = \"1\"\nper_day = \"1\"\nrecipients = [\"agent:{}\"]", version());
    let other = refused(&other, &hire_table(CLERK), "");
    assert!(
        other.contains(&format!("`hire.clerk`: `spending.recipients` has to list \"agent:{}\"", clerk())),
        "{other}"
    );
    let anybody = "per_run = \"1\"\nper_day = \"1\"\nrecipients = [\"anybody\"]";
    assert!(Manifest::read(&text(anybody, &hire_table(CLERK), "")).is_ok());
}

#[test]
fn what_is_misspelt_in_whom_it_hires_is_named() {
    let short = hire_table(CLERK).replace(&clerk().to_string(), "ab");
    assert!(refused(&spending(), &short, "").contains("`hire.clerk`: `agent` and `version` are 64 hex digits each"));
    let no_manifest = refused(&spending(), &hire_table("name = 1\n"), "");
    assert!(no_manifest.contains("`hire.clerk`: `manifest`: "), "{no_manifest}");
    let named = refused(&spending(), &hire_table(CLERK).replace("hire.clerk", "hire.The_Clerk"), "");
    assert!(named.contains("`hire.The_Clerk`: a name is a-z, 0-9 and -"), "{named}");
    let unknown = refused(&spending(), &hire_table(CLERK).replace("version =", "verson ="), "");
    assert!(unknown.contains("verson"), "{unknown}");
    let many: String =
        (0..=HIRES_MAX).map(|index| hire_table(CLERK).replace("hire.clerk", &format!("hire.clerk-{index}"))).collect();
    assert!(refused(&spending(), &many, "").contains("9 agents are to be hired; at most 8 are allowed"));
}

#[test]
fn a_standing_order_hires_for_the_task_in_every_run() {
    let prepare = "[[prepare]]\ntool = \"hire\"\narguments = { agent = \"clerk\", task = \"File: {task}\" }\n";
    let manifest = boss(prepare);
    let letter = input("a letter");
    let run = Run::new(lease(), &manifest, (&letter, SALT), limits(), &[]).unwrap();
    let Next::Spend(SpendOrder::Hire { run: terms }) = run.next() else { panic!("{:?}", run.next()) };
    let payload = run.hired().unwrap();
    assert_eq!((terms.agent, terms.version, terms.input), (clerk(), version(), payload.commitment()));
    let JobInput::Run(given) = &payload.input else { panic!("no run") };
    assert_eq!((given.task.as_str(), given.manifest.trim(), given.files.len()), ("File: a letter", CLERK.trim(), 0));
    let stranger = refused(&spending(), &hire_table(CLERK), &prepare.replace("\"clerk\"", "\"cook\""));
    assert!(stranger.contains("`prepare`: `hire`: `agent` is one of clerk"), "{stranger}");
    let long = input(&"x".repeat(limits::RUN_TASK_SIZE_MAX));
    let run = Run::new(lease(), &manifest, (&long, SALT), limits(), &[]).unwrap();
    assert_eq!(
        (run.next(), run.hired()),
        (Next::End(RunEnd::TooLong), None),
        "six bytes too many, with what stands before"
    );
}

#[test]
fn a_call_that_hires_is_an_order_with_a_commitment_of_its_own() {
    let manifest = boss("");
    let input = input("Delegate this.");
    let mut run = Run::new(lease(), &manifest, (&input, SALT), limits(), &[]).unwrap();
    let Next::Model { input: JobInput::Chat { messages, .. }, .. } = run.next() else { panic!("no model call") };
    assert!(messages[0].content.contains("clerk: Files things."), "{}", messages[0].content);
    assert_eq!(run.hired(), None);
    let mut calls = Vec::new();
    let mut inputs = Vec::new();
    for _ in 0..2 {
        let asked = said(&run, &call("clerk", "Count to three."));
        run.take(&asked).unwrap();
        let Next::Spend(order @ SpendOrder::Hire { run: terms }) = run.next() else { panic!("{:?}", run.next()) };
        assert_eq!(Some(terms.input), run.hired().map(|payload| payload.commitment()));
        inputs.push(terms.input);
        let spend = CallRecord::Spend { order };
        run.take(&spend).unwrap();
        calls.extend([asked, spend]);
    }
    assert_ne!(inputs[0], inputs[1], "the same words, and another run");
    let answer = said(&run, "Both are on their way.");
    run.take(&answer).unwrap();
    calls.push(answer);
    assert_eq!(run.next(), Next::End(RunEnd::Answered("Both are on their way.".to_owned())));

    // Whoever has the transcript has what the hired runs are given.
    let whole = text(&spending(), &hire_table(CLERK), "");
    let payload = JobPayload { salt: SALT, input: JobInput::Run(RunInput { manifest: whole, ..input }) };
    let transcript = RunTranscript { tools: Vec::new(), calls, answer: String::new() };
    let found = hires(lease(), &payload, limits(), &transcript);
    let found: Vec<_> = found.iter().map(|(index, payload)| (*index, payload.commitment())).collect();
    assert_eq!(found, [(1, inputs[0]), (3, inputs[1])]);
    let other_salt = JobPayload { salt: [9; 32], ..payload };
    assert_eq!(
        hires(lease(), &other_salt, limits(), &transcript),
        [],
        "under another salt the first order does not follow"
    );
}

#[test]
fn an_order_to_hire_somebody_else_or_for_another_task_does_not_follow() {
    let manifest = boss("");
    let input = input("Delegate this.");
    let mut run = Run::new(lease(), &manifest, (&input, SALT), limits(), &[]).unwrap();
    run.take(&said(&run, &call("clerk", "Count to three."))).unwrap();
    let Next::Spend(SpendOrder::Hire { run: terms }) = run.next() else { panic!("{:?}", run.next()) };
    let other = |run: RunTerms| CallRecord::Spend { order: SpendOrder::Hire { run } };
    for wrong in [
        RunTerms { agent: AgentId::new(version()), ..terms },
        RunTerms { version: Digest::ZERO, ..terms },
        RunTerms { input: Digest::ZERO, ..terms },
        RunTerms { open_ms: OPEN_MS + 1, ..terms },
    ] {
        assert!(run.take(&other(wrong)).is_err(), "{wrong:?}");
    }
    run.take(&other(terms)).unwrap();
}

#[test]
fn a_model_that_hires_nobody_known_is_told_so() {
    let manifest = boss("");
    let input = input("Delegate this.");
    let mut run = Run::new(lease(), &manifest, (&input, SALT), limits(), &[]).unwrap();
    run.take(&said(&run, &call("cook", "Soup."))).unwrap();
    let Next::Model { input: JobInput::Chat { messages, .. }, .. } = run.next() else { panic!("{:?}", run.next()) };
    assert!(messages.last().unwrap().content.contains("Error: `agent` is one of clerk"));
}
