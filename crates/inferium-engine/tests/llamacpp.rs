//! llama.cpp on the real model. `cargo test --release -p inferium-engine --features llamacpp --test llamacpp`; without the feature, that
//! its absence is said.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod common;

use common::model_path;
use inferium_engine::{Arithmetic, LlamaEngine, LoadError, LoadOptions, TextModel};

fn options() -> LoadOptions {
    LoadOptions { arithmetic: Arithmetic::LlamaCpp, threads: 1, ..LoadOptions::default() }
}

#[cfg(not(feature = "llamacpp"))]
#[test]
fn a_program_without_it_says_how_to_build_one_with_it() {
    assert!(Arithmetic::Canonical.is_built_in() && !Arithmetic::LlamaCpp.is_built_in());
    let error = LlamaEngine::load(&model_path(), options()).unwrap_err();
    assert_eq!(error, LoadError::WithoutLlamaCpp);
    assert!(error.to_string().contains("--features llamacpp"), "{error}");
    assert_eq!(TextModel::load(&model_path(), 1).unwrap_err(), LoadError::WithoutLlamaCpp);
}

#[cfg(feature = "llamacpp")]
mod built_in {
    use super::*;
    use common::engine;
    use inferium_engine::{
        Deviation, Engine, EngineError, GenerateRequest, Measured, ReplayRequest, Step, TextRequest, Tier, TraceRequest,
    };
    use inferium_sampling::{Projection, sketch, sketch_error};
    use inferium_types::{ChatMessage, SamplingParams, Shaping};

    const TOKENS: u32 = 100;
    const SAMPLING: SamplingParams = SamplingParams { temperature_micro: 700_000, top_p_ppm: 1_000_000, top_k: 50 };
    const QUESTIONS: [&str; 3] =
        ["Tell the history of the potato in Europe.", "How does a compiler work?", "Write a story about a whale."];

    fn messages(question: &str) -> Vec<ChatMessage> {
        vec![ChatMessage { role: "user".into(), content: question.into() }]
    }

    fn request(engine: &LlamaEngine, number: u8) -> GenerateRequest {
        let prompt = engine.render_chat(&messages(QUESTIONS[usize::from(number)])).unwrap();
        GenerateRequest {
            prompt,
            max_tokens: TOKENS,
            sampling: SAMPLING,
            seed: [number; 32],
            shaping: Shaping::default(),
            prefix_scope: None,
            measure: true,
        }
    }

    fn generate(engine: &LlamaEngine, request: GenerateRequest) -> Vec<Step> {
        let mut receiver = engine.generate(request).unwrap();
        std::iter::from_fn(|| receiver.blocking_recv()).map(Result::unwrap).collect()
    }

    fn replay(engine: &LlamaEngine, request: &GenerateRequest, steps: &[Step]) -> Vec<Step> {
        let GenerateRequest { prompt, sampling, seed, measure, .. } = request.clone();
        let output = steps.iter().map(|step| step.token).collect();
        let receiver = engine
            .replay(ReplayRequest {
                prompt,
                output,
                sampling,
                seed,
                shaping: Shaping::default(),
                prefix_scope: None,
                measure,
            })
            .unwrap();
        receiver.blocking_recv().unwrap().unwrap()
    }

    fn measured(step: &Step) -> &Measured {
        step.measured.as_ref().unwrap()
    }

    /// Means over all positions: tokens that differ, differences of log probabilities, errors of sketches; then the largest
    /// difference of log probabilities.
    fn noise(worker: &LlamaEngine, verifier: &LlamaEngine) -> [f64; 4] {
        let projection = Projection::new([9; 32]);
        let (mut positions, [mut flips, mut logprob, mut error, mut largest]) = (0.0, [0.0; 4]);
        for number in 0..3 {
            let request = request(worker, number);
            let claimed = generate(worker, request.clone());
            for (claimed, own) in claimed.iter().zip(&replay(verifier, &request, &claimed)) {
                let (theirs, own) = (measured(claimed), measured(own));
                positions += 1.0;
                flips += f64::from(u8::from(!own.check.unwrap().agrees()));
                let difference = (theirs.logprob - own.logprob).abs();
                logprob += difference;
                largest = f64::max(largest, difference);
                error += sketch_error(&sketch(&projection.apply(&theirs.hidden)), &projection.apply(&own.hidden));
            }
        }
        assert!(positions >= 200.0);
        [flips / positions, logprob / positions, error / positions, largest]
    }

    #[test]
    fn its_prefill_is_its_decode_within_the_noise_of_rounding() {
        let worker = engine(options());
        let [flips, logprob, error, largest] = noise(&worker, &worker);
        assert!(
            flips < 0.08 && logprob < 0.06 && error < 0.06 && largest < 1.0,
            "{:?}",
            (flips, logprob, error, largest)
        );
    }

    #[test]
    fn the_canonical_engine_finds_it_honest_and_never_equal() {
        let (worker, canonical) = (engine(options()), engine(LoadOptions::default()));
        let (theirs, ours) = (worker.model(), canonical.model());
        assert_eq!((theirs.tokenizer_hash, theirs.template_hash), (ours.tokenizer_hash, ours.template_hash));
        assert_eq!((&theirs.eos_tokens, theirs.weights_root), (&ours.eos_tokens, ours.weights_root));
        assert_ne!(theirs.engine_build, ours.engine_build);
        let [flips, logprob, error, _] = noise(&worker, &canonical);
        assert!(logprob > 0.001 && error > 0.005, "another arithmetic: {:?}", (flips, logprob, error));
        assert!(flips < 0.08 && logprob < 0.08 && error < 0.08, "{:?}", (flips, logprob, error));
    }

    #[test]
    fn sequences_of_a_batch_do_not_mix() {
        let worker = engine(options());
        let alone: Vec<Vec<Step>> = (0..3).map(|number| generate(&worker, request(&worker, number))).collect();
        let streams: Vec<_> = (0..3).map(|number| worker.generate(request(&worker, number)).unwrap()).collect();
        for (number, (mut stream, alone)) in (0..).zip(streams.into_iter().zip(&alone)) {
            let together: Vec<Step> = std::iter::from_fn(|| stream.blocking_recv()).map(Result::unwrap).collect();
            // Noise may turn a token somewhere; another sequence's tokens would be others from the start.
            let same = together.iter().zip(alone).take_while(|(one, other)| one.token == other.token).count();
            assert!(same >= 3, "{number}: only {same} tokens are the same");
        }
    }

    #[test]
    fn a_cancelled_generation_makes_room_for_the_next() {
        let worker = engine(LoadOptions { max_batch: 1, ..options() });
        let mut first = worker.generate(GenerateRequest { max_tokens: 1_500, ..request(&worker, 0) }).unwrap();
        first.blocking_recv().unwrap().unwrap();
        drop(first);
        // There is one place, which the first would hold for many seconds.
        let steps = generate(&worker, GenerateRequest { max_tokens: 4, ..request(&worker, 1) });
        assert_eq!(steps.len(), 4);
    }

    #[test]
    fn what_can_never_run_is_refused() {
        let worker = engine(LoadOptions { kv_tokens: 256, ..options() });
        let prompt = request(&worker, 0).prompt;
        let room = 256 - u32::try_from(prompt.len()).unwrap();
        let of = |max_tokens| GenerateRequest { max_tokens, ..request(&worker, 0) };
        let refused = worker.generate(of(room + 1)).unwrap_err();
        assert!(matches!(refused, EngineError::TooLong { tokens: 257, context_tokens: 256 }), "{refused}");
        assert!(!generate(&worker, of(room)).is_empty(), "the boundary");
        let trace = TraceRequest { prompt, output: vec![1] };
        assert_eq!(worker.trace(trace).err(), Some(EngineError::Untraceable));
    }

    #[test]
    fn settings_that_it_does_not_have_and_damaged_files_are_refused() {
        let path = model_path();
        let coarse = Deviation { batch_dependent: true, ..Deviation::default() };
        for wrong in
            [LoadOptions { deviation: coarse, ..options() }, LoadOptions { tier: Some(Tier::Scalar), ..options() }]
        {
            assert!(matches!(LlamaEngine::load(&path, wrong), Err(LoadError::Unsupported { .. })));
        }
        let small = LoadOptions { kv_tokens: 1, ..options() };
        assert_eq!(LlamaEngine::load(&path, small).unwrap_err(), LoadError::CacheTooSmall { kv_tokens: 1 });

        let folder = std::env::temp_dir().join(format!("inferium-llamacpp-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        // Metadata are whole, tensors are not.
        let cut = folder.join("cut.gguf");
        std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
        assert!(matches!(LlamaEngine::load(&cut, options()), Err(LoadError::File { .. })));
        assert!(matches!(TextModel::load(&cut, 1), Err(LoadError::LlamaCpp { .. })));
        let text = folder.join("text.gguf");
        std::fs::write(&text, "GGUF it is not").unwrap();
        assert!(matches!(LlamaEngine::load(&text, options()), Err(LoadError::File { .. })));
        assert!(matches!(TextModel::load(&text, 1), Err(LoadError::LlamaCpp { .. })));
        let missing = folder.join("missing.gguf");
        assert!(matches!(LlamaEngine::load(&missing, options()), Err(LoadError::Open { .. })));
        assert!(matches!(TextModel::load(&missing, 1), Err(LoadError::Open { .. })));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_text_model_answers_by_its_seed_and_within_its_context() {
        let model = TextModel::load(&model_path(), 1).unwrap();
        let ask = |seed: u8, max_tokens| {
            let request =
                TextRequest { messages: messages(QUESTIONS[2]), max_tokens, sampling: SAMPLING, seed: [seed; 32] };
            model.answer(request).unwrap().blocking_recv().unwrap()
        };
        let answer = ask(1, 20).unwrap();
        assert!(answer.split_whitespace().count() > 5, "{answer}");
        assert_eq!(ask(1, 20).unwrap(), answer);
        assert_ne!(ask(2, 20).unwrap(), answer);
        assert!(matches!(ask(1, 4_096), Err(EngineError::TooLong { context_tokens: 4_096, .. })));
        assert_eq!(ask(1, 0), Err(EngineError::EmptyPrompt));
        // Whoever goes away is not waited for.
        drop(model.answer(TextRequest {
            messages: messages(QUESTIONS[0]),
            max_tokens: 4_000,
            sampling: SAMPLING,
            seed: [3; 32],
        }));
        assert_eq!(ask(1, 20).unwrap(), answer);
    }
}
