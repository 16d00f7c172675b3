//! Texts, limits and identity of the real model.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod common;

use common::engine;
use inferium_engine::{Engine, EngineError, GenerateRequest, LoadOptions, TextStream};
use inferium_types::{ChatMessage, SamplingParams, Shaping};

const GREEDY: SamplingParams = SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 };

fn message(role: &str, content: &str) -> ChatMessage {
    ChatMessage { role: role.into(), content: content.into() }
}

#[test]
fn tokens_are_pinned_and_text_round_trips() {
    let engine = engine(LoadOptions { threads: 1, ..LoadOptions::default() });
    let probes: [(&str, &[u32]); 8] = [
        ("Hello world", &[19556, 905]),
        (" leading space", &[2899, 1898]),
        ("In 2024, 1234567 users", &[788, 216, 34, 32, 34, 36, 28, 216, 33, 34, 35, 36, 37, 38, 39, 3629]),
        ("naïve café — “quotes”", &[3546, 46494, 37366, 1841, 619, 385, 2346, 573]),
        (
            "漢字 кириллица العربية",
            &[
                177, 137, 112, 36518, 31338, 7872, 46879, 12681, 35420, 32233, 6511, 27819, 34966, 20602, 31462, 23339,
                43463,
            ],
        ),
        (
            "🦀🚀 emoji 👩‍👩‍👧",
            &[
                10813, 116, 218, 10813, 244, 218, 649, 33777, 15107, 235, 119, 321, 231, 10813, 235, 119, 321, 231,
                10813, 235, 117,
            ],
        ),
        ("line\n\n  indented\ttab   ", &[1311, 8866, 641, 6574, 197, 15999, 333]),
        ("<|im_end|>", &[44, 108, 306, 79, 486, 108, 46]),
    ];
    for (text, expected) in probes {
        let tokens = engine.encode(text).unwrap();
        assert_eq!(engine.decode(&tokens), text);
        let mut stream = TextStream::new();
        let mut pieces: String = tokens.iter().map(|&token| stream.push(&engine, token)).collect();
        pieces.push_str(&stream.finish());
        assert_eq!(pieces, text);
        assert_eq!(tokens, expected, "{text}");
    }
}

#[test]
fn chats_are_pinned() {
    let engine = engine(LoadOptions { threads: 1, ..LoadOptions::default() });
    let tokens = engine.render_chat(&[message("system", "Be brief."), message("user", "Hi <|im_end|>")]).unwrap();
    // The user's spelling of a special token is text: the two 2s are the template's.
    assert_eq!(
        tokens,
        [
            1, 9690, 198, 6077, 5453, 30, 2, 198, 1, 4093, 198, 26843, 2067, 108, 306, 79, 486, 108, 46, 2, 198, 1,
            520, 9531, 198
        ]
    );
}

#[test]
fn a_greeting_is_answered() {
    let engine = engine(LoadOptions::default());
    let prompt = engine.render_chat(&[message("user", "Hi")]).unwrap();
    let request = GenerateRequest {
        prompt,
        max_tokens: 30,
        sampling: GREEDY,
        seed: [0; 32],
        shaping: Shaping::default(),
        prefix_scope: None,
        measure: false,
    };
    let mut receiver = engine.generate(request).unwrap();
    let steps: Vec<_> = std::iter::from_fn(|| receiver.blocking_recv()).map(Result::unwrap).collect();
    // Pins every bit of the arithmetic: a change here is a new version of it.
    assert_eq!(
        steps.last().unwrap().digest.to_string(),
        "404ad8b9c3c233451cd900c7cef63d4a2dbe16ddb2b82be1f141c965a4d0f53f"
    );
    let tokens: Vec<u32> = steps.iter().map(|step| step.token).collect();
    assert_eq!(engine.decode(&tokens), "Hello! How can I assist you today?");
    assert!(engine.model().is_eos(*tokens.last().unwrap()));
}

#[test]
fn identity_does_not_depend_on_threads() {
    let a = engine(LoadOptions { threads: 1, ..LoadOptions::default() });
    let b = engine(LoadOptions { threads: 2, ..LoadOptions::default() });
    assert_eq!(a.model(), b.model());
    assert_eq!(a.model().weights_root.to_string(), "143a64e361ea52050a30a7c1088a68a937cecefa3dca942071ace8f1ced9bd93");
}

#[test]
fn limits_are_kept_and_cancelled_work_frees_its_room() {
    let engine = engine(LoadOptions { kv_tokens: 256, max_batch: 1, max_queue: 2, ..LoadOptions::default() });
    assert_eq!(engine.model().context_tokens, 256);
    let request = |max_tokens| GenerateRequest {
        prompt: vec![100; 8],
        max_tokens,
        sampling: GREEDY,
        seed: [0; 32],
        shaping: Shaping::default(),
        prefix_scope: None,
        measure: false,
    };
    assert!(matches!(engine.generate(request(249)), Err(EngineError::TooLong { tokens: 257, context_tokens: 256 })));
    let unknown = GenerateRequest { prompt: vec![49_152], ..request(1) };
    assert!(matches!(engine.generate(unknown), Err(EngineError::UnknownToken { .. })));
    assert_eq!(engine.generate(request(0)).unwrap_err(), EngineError::EmptyPrompt);

    let mut running = engine.generate(request(248)).unwrap();
    running.blocking_recv().unwrap().unwrap();
    let waiting: Vec<_> = (0..2).map(|_| engine.generate(request(4)).unwrap()).collect();
    assert!(matches!(engine.generate(request(4)), Err(EngineError::Busy { queued: 2 })));
    assert_eq!(engine.load().kv_tokens_reserved, 256);
    drop(running);
    for mut receiver in waiting {
        let mut count = 0;
        while let Some(step) = receiver.blocking_recv() {
            step.unwrap();
            count += 1;
        }
        assert!(count > 0);
    }
}
