//! What comes next, and what is refused to come next.

use super::*;
use inferium_types::{
    AccountId, AgentId, Digest, JobLeaf, JobRequest, JobResult, ModelOutput, RunFile, SecretKey, Usage,
};

/// Of what runs are given.
const SALT: [u8; 32] = [6; 32];

/// A manifest with one server of tools, and `more` in it.
fn manifest(more: &str) -> Manifest {
    let text = format!(
        "name = \"helper\"\nmodel = \"mock\"\nprice = \"0.01\"\nsystem_prompt = \"Be brief.\"\n{more}\n\
         [tools.docs]\nbuiltin = \"documents\"\n[limits]\nsteps = 3\ntokens = 1000\ntool_calls = 2\nseconds = 60\n"
    );
    Manifest::read(&text).unwrap()
}

fn limits() -> Limits {
    Limits { steps: 3, tokens: 1_000, tool_calls: 2, run_ms: 60_000 }
}

fn lease() -> LeaseId {
    LeaseId::new(Digest::sha256(b"a lease"))
}

fn input(task: &str) -> RunInput {
    let files = vec![RunFile { name: "a.txt".into(), bytes: b"A".to_vec() }];
    RunInput { manifest: String::new(), task: task.into(), files }
}

fn tools() -> Vec<RunTool> {
    vec![RunTool {
        name: "docs__search".into(),
        description: "Searches.".into(),
        parameters: r#"{"type":"object","properties":{"query":{"type":"string"}},"required":["query"]}"#.into(),
    }]
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
        client_seed: Some(call_seed(job)),
    };
    let output = ModelOutput { salt: [8; 32], tokens: vec![1, 2, 3], text: text.into() };
    let result = JobResult {
        request: request.digest(),
        output_commitment: output.job_output().commitment(),
        evidence_root: Digest::ZERO,
        usage: Usage { prompt_tokens: 100, completion_tokens: 3 },
        finish: inferium_types::FinishReason::EndOfText,
    };
    CallRecord::Model { leaf: JobLeaf { request, result }, salt: payload.salt, output }
}

fn called(name: &str, arguments: &str, response: &str) -> CallRecord {
    CallRecord::Tool {
        name: name.into(),
        arguments: arguments.into(),
        response: response.into(),
        failed: false,
        salt: [9; 32],
    }
}

fn conversation(run: &Run<'_>) -> (Vec<ChatMessage>, bool) {
    let Next::Model { input: JobInput::Chat { messages, shaping }, .. } = run.next() else { panic!("no model call") };
    (messages, shaping.grammar.is_some())
}

#[test]
fn a_model_that_answers_ends_the_run() {
    let (manifest, input) = (manifest(""), input("Why?"));
    let mut run = Run::new(lease(), &manifest, (&input, SALT), limits(), &[]).unwrap();
    let (messages, has_grammar) = conversation(&run);
    let said_first: Vec<(&str, &str)> = messages.iter().map(|one| (one.role.as_str(), one.content.as_str())).collect();
    assert_eq!(said_first, [("system", "Be brief."), ("user", "Why?")]);
    assert!(!has_grammar, "there is nothing to call");
    run.take(&said(&run, " Because. ")).unwrap();
    assert_eq!(run.next(), Next::End(RunEnd::Answered("Because.".into())));
    assert_eq!((run.turns(), run.tokens()), (1, 103));
    assert_eq!(run.take(&called("docs__search", "{}", "")), Err(WrongCall::Other), "it is over");
}

#[test]
fn tools_are_called_until_the_last_turn() {
    let (manifest, input) = (manifest(""), input("Find it."));
    let mut run = Run::new(lease(), &manifest, (&input, SALT), limits(), &tools()).unwrap();
    let (messages, has_grammar) = conversation(&run);
    assert!(has_grammar && messages[0].content.contains("docs__search"));
    let arguments = r#"{"query": "it"}"#;
    run.take(&said(&run, &form::written("docs__search", arguments))).unwrap();
    assert_eq!(run.next(), Next::Tool { name: "docs__search".into(), arguments: arguments.into() });
    for wrong in [called("docs__read", arguments, "x"), called("docs__search", "{}", "x")] {
        assert_eq!(run.take(&wrong), Err(WrongCall::Other));
    }
    run.take(&called("docs__search", arguments, "found")).unwrap();
    let (messages, has_grammar) = conversation(&run);
    assert!(has_grammar, "two of three turns are left");
    assert_eq!(messages.last().unwrap().content, form::response("found"));
    run.take(&said(&run, &form::written("docs__search", arguments))).unwrap();
    run.take(&called("docs__search", arguments, "again")).unwrap();
    let (_, has_grammar) = conversation(&run);
    assert!(!has_grammar, "the last turn is for the answer");
    run.take(&said(&run, "There.")).unwrap();
    assert_eq!(run.next(), Next::End(RunEnd::Answered("There.".into())));
}

#[test]
fn what_is_prepared_comes_first_and_is_told() {
    let more = "[[prepare]]\ntool = \"docs__search\"\narguments = { query = \"about {task}\", k = 2 }\n";
    let (manifest, input) = (manifest(more), input("bees"));
    let mut run = Run::new(lease(), &manifest, (&input, SALT), limits(), &tools()).unwrap();
    let arguments = r#"{"k":2,"query":"about bees"}"#;
    assert_eq!(run.next(), Next::Tool { name: "docs__search".into(), arguments: arguments.into() });
    run.take(&called("docs__search", arguments, "They fly.")).unwrap();
    let (messages, _) = conversation(&run);
    let user = &messages[1].content;
    assert!(user.starts_with("docs__search:\n<tool_response>\nThey fly.\n</tool_response>") && user.ends_with("bees"));
}

#[test]
fn a_call_that_was_cut_off_is_told_to_the_model() {
    let (manifest, input) = (manifest(""), input("Find it."));
    let mut run = Run::new(lease(), &manifest, (&input, SALT), limits(), &tools()).unwrap();
    run.take(&said(&run, "<tool_call>\n{\"name\": \"docs__search\", \"arguments\": {\"query\": \"i")).unwrap();
    let (messages, _) = conversation(&run);
    assert!(messages.last().unwrap().content.contains("longer than an answer may be"));
}

#[test]
fn a_long_response_is_shown_in_part_and_kept_whole() {
    let more = "[[prepare]]\ntool = \"docs__search\"\n";
    let (manifest, input) = (manifest(more), input("x"));
    for (size, is_cut) in [(SHOWN_MAX, false), (SHOWN_MAX + 1, true)] {
        let mut run = Run::new(lease(), &manifest, (&input, SALT), limits(), &tools()).unwrap();
        run.take(&called("docs__search", "{}", &format!("{}é", "x".repeat(size - 2)))).unwrap();
        let (messages, _) = conversation(&run);
        assert_eq!(messages[1].content.contains("(cut here)"), is_cut, "{size}");
    }
}

#[test]
fn a_model_s_job_is_the_one_that_follows() {
    let (manifest, input) = (manifest(""), input("Why?"));
    let run = Run::new(lease(), &manifest, (&input, SALT), limits(), &[]).unwrap();
    let sound = said(&run, "So.");
    let changed = |change: &dyn Fn(&mut JobLeaf, &mut ModelOutput)| {
        let CallRecord::Model { mut leaf, salt, mut output } = sound.clone() else { panic!("not the model's") };
        change(&mut leaf, &mut output);
        let mut run = Run::new(lease(), &manifest, (&input, SALT), limits(), &[]).unwrap();
        run.take(&CallRecord::Model { leaf, salt, output })
    };
    assert_eq!(changed(&|_, _| {}), Ok(()));
    let rebound = |leaf: &mut JobLeaf| leaf.result.request = leaf.request.digest();
    for (what, change) in [
        ("job", &(|leaf: &mut JobLeaf| leaf.request.job = JobId::of_call(lease(), 0, 1)) as &dyn Fn(&mut JobLeaf)),
        ("input", &|leaf| leaf.request.input_commitment = Digest::ZERO),
        ("sampling", &|leaf| leaf.request.sampling.temperature_micro = 1),
        ("seed", &|leaf| leaf.request.client_seed = None),
        ("tokens_max", &|leaf| leaf.request.tokens_max += 1),
    ] {
        let outcome = changed(&|leaf, _| {
            change(leaf);
            rebound(leaf);
        });
        assert_eq!(outcome, Err(WrongCall::Request), "{what}");
    }
    assert_eq!(changed(&|_, output| output.salt = [0; 32]), Err(WrongCall::Result));
    assert_eq!(changed(&|leaf, _| leaf.result.request = Digest::ZERO), Err(WrongCall::Result));
    assert_eq!(changed(&|leaf, _| leaf.result.usage.completion_tokens = 2), Err(WrongCall::Result));
    let cancelled = |leaf: &mut JobLeaf, _: &mut ModelOutput| leaf.result.finish = FinishReason::Cancelled;
    assert_eq!(changed(&cancelled), Err(WrongCall::Result));
    let silent = |leaf: &mut JobLeaf, output: &mut ModelOutput| {
        output.tokens.clear();
        leaf.result.output_commitment = output.job_output().commitment();
        leaf.result.usage.completion_tokens = 0;
    };
    assert_eq!(changed(&silent), Err(WrongCall::Result));
    let many = |leaf: &mut JobLeaf, tokens| {
        leaf.request.prompt_tokens = tokens;
        leaf.result.usage.prompt_tokens = tokens;
        rebound(leaf);
    };
    assert_eq!(changed(&|leaf, _| many(leaf, 997)), Ok(()), "exactly what the run has");
    assert_eq!(changed(&|leaf, _| many(leaf, 998)), Err(WrongCall::Tokens));
}

#[test]
fn a_run_without_tokens_ends() {
    let (manifest, input) = (manifest(""), input("Why?"));
    let few = Limits { tokens: 103, ..limits() };
    let mut run = Run::new(lease(), &manifest, (&input, SALT), few, &tools()).unwrap();
    run.take(&said(&run, &form::written("docs__search", "{}"))).unwrap();
    run.take(&called("docs__search", "{}", "x")).unwrap();
    assert_eq!(run.next(), Next::End(RunEnd::OutOfTokens { used: 103 }));
}

#[test]
fn tools_are_those_of_the_manifest_s_servers() {
    let (manifest, input) = (manifest(""), input("x"));
    let with = |tools: &[RunTool]| Run::new(lease(), &manifest, (&input, SALT), limits(), tools).map(|_| ());
    assert_eq!(with(&tools()), Ok(()));
    let named = |name: &str| RunTool { name: name.into(), ..tools().remove(0) };
    for name in ["other__search", "docs_search", "docs__sea rch", &format!("docs__{}", "x".repeat(60))] {
        assert_eq!(with(&[named(name)]), Err(WrongTool::Name(name.to_owned())));
    }
    assert_eq!(with(&[named("docs__b"), named("docs__a")]), Err(WrongTool::Order));
    assert_eq!(with(&[named("docs__a"), named("docs__a")]), Err(WrongTool::Order));
    let bad = RunTool { parameters: "[]".into(), ..tools().remove(0) };
    assert_eq!(with(&[bad]), Err(WrongTool::Schema("docs__search".into())));
    let many: Vec<RunTool> = (0..=TOOLS_MAX).map(|n| named(&format!("docs__{n:04}"))).collect();
    assert_eq!(with(&many[..TOOLS_MAX]), Ok(()));
    assert_eq!(with(&many), Err(WrongTool::Count(TOOLS_MAX + 1)));
}

#[test]
fn an_agent_that_may_spend_orders_payments() {
    let to: AccountId = SecretKey::from_bytes([7; 32]).unwrap().public_key();
    let agent = AgentId::new(Digest::sha256(b"an agent"));
    let more = "[spending]\nper_run = \"1\"\nper_day = \"1\"\nrecipients = [\"anybody\"]\n";
    let (manifest, input) = (manifest(more), input("Pay."));
    let start = || Run::new(lease(), &manifest, (&input, SALT), limits(), &[]).unwrap();
    for (text, account) in [(to.to_string(), to), (format!("agent:{agent}"), agent.account())] {
        let mut run = start();
        let arguments = format!("{{\"to\": \"{text}\", \"amount\": \"0.5\"}}");
        run.take(&said(&run, &form::written(PAY, &arguments))).unwrap();
        let order = SpendOrder::Pay { to: account, amount: Amount::from_nano(500_000_000) };
        assert_eq!(run.next(), Next::Spend(order));
        let other = SpendOrder::Pay { to: account, amount: Amount::from_nano(500_000_001) };
        assert_eq!(run.take(&CallRecord::Spend { order: other }), Err(WrongCall::Other));
        run.take(&CallRecord::Spend { order }).unwrap();
        assert!(conversation(&run).0.last().unwrap().content.contains("Ordered."));
    }
    for arguments in
        ["{\"to\": \"x\", \"amount\": \"1\"}", "{\"amount\": \"1\"}", "{\"to\": \"agent:1\", \"amount\": \"0\"}"]
    {
        let mut run = start();
        run.take(&said(&run, &form::written(PAY, arguments))).unwrap();
        assert!(conversation(&run).0.last().unwrap().content.contains("Error: "), "{arguments}");
    }
    // Without a policy that lets it, it is not even told of the tool.
    let plain = super::tests::manifest("");
    assert!(!plain.may_pay());
}

#[test]
fn a_standing_order_is_given_by_every_run() {
    let to: AccountId = SecretKey::from_bytes([7; 32]).unwrap().public_key();
    let spending = "[spending]\nper_run = \"1\"\nper_day = \"1\"\nrecipients = [\"anybody\"]\n";
    let standing = format!("[[prepare]]\ntool = \"pay\"\narguments = {{ to = \"{to}\", amount = \"0.25\" }}\n");
    let (manifest, input) = (manifest(&format!("{standing}{spending}")), input("Do it."));
    let mut run = Run::new(lease(), &manifest, (&input, SALT), limits(), &[]).unwrap();
    let order = SpendOrder::Pay { to, amount: Amount::from_nano(250_000_000) };
    assert_eq!(run.next(), Next::Spend(order));
    run.take(&CallRecord::Spend { order }).unwrap();
    let (messages, _) = conversation(&run);
    assert!(messages[1].content.starts_with("pay:\n<tool_response>\nOrdered."));
    let read = |text: &str| {
        let whole = format!(
            "name = \"a\"\nmodel = \"m\"\nprice = \"1\"\nsystem_prompt = \"x\"\n{text}[limits]\nsteps = 1\ntokens = 1\ntool_calls = 1\nseconds = 1\n"
        );
        Manifest::read(&whole)
    };
    assert!(read(&format!("{standing}{spending}")).is_ok());
    assert!(read(&standing).unwrap_err().contains("allows something"));
    let wrong = standing.replace("0.25", "{task}");
    assert!(read(&format!("{wrong}{spending}")).unwrap_err().contains("`amount`"));
}

/// Whatever a model writes where no call is allowed, it is its answer.
#[test]
fn limits_hold_whatever_a_model_writes() {
    let (manifest, input) = (manifest(""), input("Find it."));
    let call = form::written("docs__search", "{}");
    let one_step = Limits { steps: 1, ..limits() };
    let mut run = Run::new(lease(), &manifest, (&input, SALT), one_step, &tools()).unwrap();
    run.take(&said(&run, &call)).unwrap();
    assert_eq!(run.next(), Next::End(RunEnd::Answered(call)));
    let no_tools = Limits { tool_calls: 0, ..limits() };
    let mut run = Run::new(lease(), &manifest, (&input, SALT), no_tools, &tools()).unwrap();
    run.take(&said(&run, "<tool_call>\n{\"name\": \"docs")).unwrap();
    assert!(matches!(run.next(), Next::End(RunEnd::Answered(_))));
    // Nor does it pay where nothing may be spent, or call what is not there.
    for other in [form::written(PAY, "{}"), form::written("docs__delete", "{}")] {
        let mut run = Run::new(lease(), &manifest, (&input, SALT), limits(), &tools()).unwrap();
        run.take(&said(&run, &other)).unwrap();
        assert_eq!(run.next(), Next::End(RunEnd::Answered(other)));
    }
}

#[test]
fn what_is_prepared_has_a_size_with_the_task_in_it() {
    let more = format!("[[prepare]]\ntool = \"docs__search\"\narguments = {{ query = \"{}\" }}\n", "{task}".repeat(8));
    let manifest = manifest(&more);
    let rest = "{task}".len() * 8;
    let most = (FILLED_MAX - rest) / 8;
    for (size, fits) in [(most, true), (most + 1, false)] {
        let input = input(&"x".repeat(size));
        let run = Run::new(lease(), &manifest, (&input, SALT), limits(), &tools()).unwrap();
        assert_eq!(run.next() != Next::End(RunEnd::TooLong), fits, "{size}");
    }
}

#[test]
fn tools_have_a_size() {
    let (manifest, input) = (manifest(""), input("x"));
    let with = |size: usize| {
        let tool = RunTool { description: "x".repeat(size - 2), parameters: "{}".into(), ..tools().remove(0) };
        Run::new(lease(), &manifest, (&input, SALT), limits(), &[tool]).map(|_| ())
    };
    assert_eq!((with(TOOLS_SIZE_MAX), with(TOOLS_SIZE_MAX + 1)), (Ok(()), Err(WrongTool::Size)));
    let properties: Vec<String> = (0..4_000).map(|n| format!("\"property-{n}\": {{\"type\": \"string\"}}")).collect();
    let parameters = format!("{{\"type\": \"object\", \"properties\": {{{}}}}}", properties.join(","));
    let tool = RunTool { parameters, ..tools().remove(0) };
    assert_eq!(Run::new(lease(), &manifest, (&input, SALT), limits(), &[tool]).map(|_| ()), Err(WrongTool::Size));
}
