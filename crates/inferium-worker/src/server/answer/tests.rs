use super::*;
use inferium_engine::{MockEngine, MockOptions};
use serde_json::json;

fn engine() -> MockEngine {
    MockEngine::new(MockOptions::default())
}

/// All pieces of a stream of chunks, or what is wrong with it.
fn read(has_ids: bool, chunks: &[Value]) -> Result<Vec<Piece>, ServerError> {
    let engine = engine();
    let mut reader = Reader::new(has_ids, &engine);
    for chunk in chunks {
        reader.event(&chunk.to_string())?;
    }
    Ok(reader.ready.into_iter().collect())
}

fn chunk(content: &str, ids: &[u64]) -> Value {
    json!({"choices": [{"delta": {"content": content}, "token_ids": ids, "finish_reason": null}]})
}

fn end(reason: &str) -> Value {
    json!({"choices": [{"delta": {}, "finish_reason": reason}]})
}

fn bytes(text: &str) -> Vec<u32> {
    text.bytes().map(u32::from).collect()
}

/// All tokens in one.
fn tokens(pieces: &[Piece]) -> Vec<u32> {
    let of = |piece: &Piece| if let Piece::Tokens(tokens) = piece { tokens.clone() } else { Vec::new() };
    pieces.iter().flat_map(of).collect()
}

#[test]
fn ids_are_taken_as_they_come() {
    let role = json!({"choices": [{"delta": {"role": "assistant", "content": ""}, "token_ids": []}]});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 3}});
    let found = read(true, &[role, chunk("H", &[72]), chunk("i", &[105, 257]), end("stop"), usage]).unwrap();
    assert_eq!(found, [Piece::Tokens(vec![72]), Piece::Tokens(vec![105, 257]), Piece::Ended]);
    // A part of a character has no text yet.
    let split = [chunk("", &[0xc3]), chunk("ü", &[0xbc]), end("length")];
    assert_eq!(read(true, &split).unwrap(), [Piece::Tokens(vec![0xc3]), Piece::Tokens(vec![0xbc]), Piece::Length]);
    // Where a server replaced what is no text, its ids alone count.
    let broken = [chunk("a", &[97]), chunk("\u{fffd}b", &[0xff, 98]), end("stop")];
    assert_eq!(tokens(&read(true, &broken).unwrap()), [97, 0xff, 98]);
}

#[test]
fn ids_are_found_wherever_servers_put_them() {
    let llama_cpp =
        json!({"logprobs": {"content": [{"id": 5, "token": "a", "logprob": -0.5}, {"id": 6, "token": "b"}]}});
    assert_eq!(ids_of(&llama_cpp), Ok(Some(vec![5, 6])));
    let older = json!({"logprobs": {"content": [{"token": "token:17", "logprob": -1e300}]}});
    assert_eq!(ids_of(&older), Ok(Some(vec![17])));
    let both = json!({"token_ids": [1], "logprobs": {"content": [{"id": 5}]}});
    assert_eq!(ids_of(&both), Ok(Some(vec![1])), "the field that is made for it");
    for none in [
        json!({}),
        json!({"token_ids": null, "logprobs": null}),
        json!({"token_ids": []}),
        json!({"logprobs": {"content": []}}),
        json!({"logprobs": {"content": [{"token": "hello"}]}}),
    ] {
        assert_eq!(ids_of(&none), Ok(None), "{none}");
    }
    let broken = Err(ServerError::Broken { what: "a token id that is no number" });
    for damaged in [
        json!({"token_ids": [1, "2"]}),
        json!({"token_ids": [-1]}),
        json!({"token_ids": [1.5]}),
        json!({"logprobs": {"content": [{"id": 1}, {"token": "b"}]}}),
        json!({"logprobs": {"content": [{"id": 1}, {"token": "token:x"}]}}),
    ] {
        assert_eq!(ids_of(&damaged), broken, "{damaged}");
    }
}

#[test]
fn ids_of_another_model_are_refused() {
    let unknown = |token| Err(ServerError::UnknownToken { token, vocab_size: 258 });
    assert_eq!(read(true, &[chunk("H", &[72]), chunk("x", &[258])]), unknown(258));
    assert_eq!(read(true, &[chunk("x", &[u64::MAX])]), unknown(u64::MAX));
    // The last of the vocabulary is none.
    assert_eq!(read(true, &[chunk("", &[257])]).unwrap(), [Piece::Tokens(vec![257])]);
    // Ids that spell something else, at once or at the end.
    assert_eq!(read(true, &[chunk("Hello", &[72, 105])]), Err(ServerError::OtherText));
    assert_eq!(read(true, &[chunk("", &[72]), chunk("J", &[105])]), Err(ServerError::OtherText));
    assert_eq!(
        read(true, &[chunk("Hi there", &[72, 105]), end("stop")]),
        Err(ServerError::OtherText),
        "text without ids"
    );
}

#[test]
fn text_is_read_word_by_word_and_every_way_to_cut_it_gives_the_same_text() {
    let text = "It is  a\nlong, long way. Ünd so";
    for size in 1..text.chars().count() {
        let letters: Vec<char> = text.chars().collect();
        let mut chunks: Vec<Value> = letters
            .chunks(size)
            .map(|part| json!({"choices": [{"delta": {"content": part.iter().collect::<String>()}}]}))
            .collect();
        chunks.push(end("stop"));
        let found = read(false, &chunks).unwrap();
        assert_eq!(tokens(&found), bytes(text), "{size}");
        assert_eq!(found.last(), Some(&Piece::Ended));
    }
    let early = [json!({"choices": [{"delta": {"content": "one two thr"}}]})];
    assert_eq!(read(false, &early).unwrap(), [Piece::Tokens(bytes("one two"))], "the last word may go on");
    let spaces = [json!({"choices": [{"delta": {"content": "one  two "}}]})];
    assert_eq!(read(false, &spaces).unwrap(), [], "two spaces may be one token");
}

#[test]
fn what_is_no_answer_has_an_error() {
    let engine = engine();
    let one = |data: &str| Reader::new(true, &engine).event(data);
    let broken = |what| Err(ServerError::Broken { what });
    assert_eq!(one("{"), broken("no JSON"));
    // What Python's encoder writes of a figure that is no number.
    assert_eq!(one(r#"{"choices": [{"logprobs": {"content": [{"id": 1, "logprob": NaN}]}}]}"#), broken("no JSON"));
    assert_eq!(one("[]"), broken("no choices"));
    assert_eq!(one(r#"{"choices": 3}"#), broken("no choices"));
    assert_eq!(one(r#"{"choices": [{"delta": {"content": 3}}]}"#), broken("content that is no text"));
    assert_eq!(one(r#"{"error": {"message": "out of memory"}}"#), broken("an error in place of the answer"));
    assert_eq!(one("[DONE]"), Err(ServerError::Truncated));
    assert_eq!(one(&end("tool_calls").to_string()), Err(ServerError::Ended));
    assert_eq!(one(r#"{"choices": [{"finish_reason": 1}]}"#), Err(ServerError::Ended));
    assert_eq!(one(r#"{"choices": [{}], "error": null}"#), Ok(()), "nothing is no error");
    // After its end nothing counts.
    let mut over = Reader::new(true, &engine);
    over.event(&end("stop").to_string()).unwrap();
    assert_eq!(over.event("[DONE]"), Ok(()));
    assert_eq!(over.ready.len(), 1);
}

#[test]
fn an_answer_has_an_end() {
    let engine = engine();
    let mut reader = Reader::new(false, &engine);
    let half = json!({"choices": [{"delta": {"content": "x".repeat(TEXT_MAX / 2)}}]}).to_string();
    assert_eq!(reader.event(&half), Ok(()));
    assert_eq!(reader.event(&half), Ok(()));
    let more = json!({"choices": [{"delta": {"content": "x"}}]}).to_string();
    assert_eq!(reader.event(&more), Err(ServerError::Broken { what: "an answer without end" }));
}

/// Whatever a server sends: an error, or tokens of the vocabulary that spell a text.
#[test]
fn damaged_streams_are_refused_or_tokens_of_the_model() {
    use inferium_fuzz::{Form, Memory, Outcome, Target};
    let engine = engine();
    let stream =
        |chunks: &[Value]| chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect::<String>().into_bytes();
    let logprobs = json!({"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [{"token": "token:97", "logprob": -0.5}]}}]});
    let samples = [
        stream(&[chunk("H", &[72]), chunk("i", &[105, 257]), end("stop")]),
        stream(&[logprobs, json!({"choices": [], "usage": {"prompt_tokens": 3}}), end("length")]),
        stream(&[json!({"choices": [{"delta": {"content": "one two  three. "}}]}), end("stop")]),
    ];
    // A value of JSON is larger than its text.
    let memory = Memory { fixed: 64 * 1024, per_byte: 512 };
    let target = Target { name: "a server's stream", form: Form::Text, cases: 10_000, memory };
    for has_ids in [true, false] {
        let tally = target.run(&samples, |bytes| {
            let (mut events, mut reader) = (Events::default(), Reader::new(has_ids, &engine));
            let read = events.push(bytes).and_then(|ended| ended.iter().try_for_each(|data| reader.event(data)));
            let pieces: Vec<Piece> = reader.ready.into_iter().collect();
            assert!(tokens(&pieces).iter().all(|token| *token < 258), "{pieces:?}");
            assert!(pieces.iter().filter(|piece| !matches!(piece, Piece::Tokens(_))).count() <= 1, "{pieces:?}");
            if read.is_ok() { Outcome::Value } else { Outcome::Refused }
        });
        assert!(tally.unwrap().refused > 0);
    }
}
