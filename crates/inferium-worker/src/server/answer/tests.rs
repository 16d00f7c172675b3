use super::*;
use inferium_engine::{
    EngineError, EngineLoad, GenerateRequest, MockEngine, MockOptions, ModelInfo, ReplayReceiver, ReplayRequest,
    ScoreReceiver, ScoreRequest, StepReceiver, TraceReceiver, TraceRequest,
};
use inferium_types::ChatMessage;
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
    let older =
        json!({"logprobs": {"content": [{"token": "token_id:17", "logprob": -1e300}, {"token": "token_id:5"}]}});
    assert_eq!(ids_of(&older), Ok(Some(vec![17, 5])));
    let both = json!({"token_ids": [1], "logprobs": {"content": [{"token": "token_id:5"}]}});
    assert_eq!(ids_of(&both), Ok(Some(vec![1])), "the field that is made for it");
    for none in [
        json!({}),
        json!({"token_ids": null, "logprobs": null}),
        json!({"token_ids": []}),
        json!({"logprobs": {"content": []}}),
        json!({"logprobs": {"content": [{"token": "hello"}]}}),
        json!({"logprobs": {"content": [{"token": "token:17"}]}}),
        // llama-server: of a character that is several tokens the last one's id only.
        json!({"logprobs": {"content": [{"id": 5, "token": "a", "logprob": -0.5}, {"id": 6, "token": "ü"}]}}),
    ] {
        assert_eq!(ids_of(&none), Ok(None), "{none}");
    }
    let broken = Err(ServerError::Broken { what: "a token id that is no number" });
    for damaged in [
        json!({"token_ids": [1, "2"]}),
        json!({"token_ids": [-1]}),
        json!({"token_ids": [1.5]}),
        json!({"logprobs": {"content": [{"token": "token_id:1"}, {"token": "b"}]}}),
        json!({"logprobs": {"content": [{"token": "token_id:1"}, {"token": "token_id:x"}]}}),
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

fn said(text: &str) -> String {
    json!({"choices": [{"delta": {"content": text}}]}).to_string()
}

/// The tokens of a text that comes letter by letter, and the most that waited.
fn letters(engine: &dyn Engine, text: &str) -> (Vec<u32>, usize) {
    let mut reader = Reader::new(false, engine);
    let mut most = 0;
    for letter in text.chars() {
        reader.event(&said(letter.encode_utf8(&mut [0; 4]))).unwrap();
        most = most.max(reader.text.len());
    }
    reader.event(&end("stop").to_string()).unwrap();
    (tokens(reader.ready.make_contiguous()), most)
}

/// Texts that have no place where a word ends.
fn endless() -> Vec<String> {
    let mixed = "one two".to_owned() + &"三\u{1f600}四".repeat(50) + " and on";
    let parts =
        ["中文没有空格。", "0123456789", "\n", " ", "antidisestablishmentarianism", "\n- a\n", "é", "\u{1f600}"];
    parts.iter().map(|part| part.repeat(200)).chain([mixed]).collect()
}

#[test]
fn text_without_spaces_does_not_wait_for_its_end() {
    for text in endless() {
        let (found, most) = letters(&engine(), &text);
        assert_eq!(found, bytes(&text), "{text}");
        assert!(most <= WORD_MAX, "{most} bytes waited: {text}");
        // In larger pieces, too, and in one.
        for size in [7, 64, text.len()] {
            let letters: Vec<char> = text.chars().collect();
            let mut chunks: Vec<Value> = letters
                .chunks(size)
                .map(|part| json!({"choices": [{"delta": {"content": part.iter().collect::<String>()}}]}))
                .collect();
            chunks.push(end("stop"));
            assert_eq!(tokens(&read(false, &chunks).unwrap()), bytes(&text), "{size}");
        }
    }
    // A word that ended is no reason for what follows it to wait.
    let long = "x".repeat(200);
    let found = read(false, &[json!({"choices": [{"delta": {"content": format!("one {long}")}}]})]).unwrap();
    assert_eq!(found, [Piece::Tokens(bytes("one")), Piece::Tokens(bytes(&format!(" {}", &long[8..])))]);
}

#[test]
fn what_waits_stays_short_however_long_the_answer_is() {
    let engine = engine();
    let mut reader = Reader::new(false, &engine);
    let half = said(&"x".repeat(TEXT_MAX / 2));
    for _ in 0..3 {
        reader.event(&half).unwrap();
        assert_eq!(reader.text.len(), WAITING_TOKENS);
    }
}

/// Its tokens are pairs of bytes, so that they end inside of characters.
#[derive(Debug)]
struct Pairs {
    mock: MockEngine,
    bytes: Vec<[u8; 2]>,
    /// Begins with one byte: then none of its tokens ends where a character of two bytes does.
    is_shifted: bool,
    /// Writes something else.
    is_lossy: bool,
}

fn pairs() -> Pairs {
    Pairs { mock: engine(), bytes: (0..=u16::MAX).map(u16::to_be_bytes).collect(), is_shifted: false, is_lossy: false }
}

impl Engine for Pairs {
    fn special(&self, _: u32) -> Option<&str> {
        None
    }

    fn tokenizer(&self) -> inferium_engine::TokenizerInfo {
        inferium_engine::TokenizerInfo::default()
    }

    fn check_shaping(&self, _: &inferium_types::Shaping) -> Result<(), EngineError> {
        Ok(())
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let (first, rest) = text.as_bytes().split_at(usize::from(self.is_shifted && !text.is_empty()));
        let single = |byte: u8| 0x1_0000 + u32::from(byte);
        let of = |part: &[u8]| match part {
            [one, two] => u32::from(u16::from_be_bytes([*one, *two])),
            part => single(part[0]),
        };
        let first = first.iter().copied().map(single);
        let lossy = |token: u32| if self.is_lossy { 0 } else { token };
        Ok(first.chain(rest.chunks(2).map(of)).map(lossy).collect())
    }

    fn token_bytes(&self, token: u32) -> &[u8] {
        match self.bytes.get(token as usize) {
            Some(pair) => pair,
            None => self.mock.token_bytes(token - 0x1_0000),
        }
    }

    fn model(&self) -> &ModelInfo {
        self.mock.model()
    }

    fn generate(&self, request: GenerateRequest) -> Result<StepReceiver, EngineError> {
        self.mock.generate(request)
    }

    fn replay(&self, request: ReplayRequest) -> Result<ReplayReceiver, EngineError> {
        self.mock.replay(request)
    }

    fn trace(&self, request: TraceRequest) -> Result<TraceReceiver, EngineError> {
        self.mock.trace(request)
    }

    fn score(&self, request: ScoreRequest) -> Result<ScoreReceiver, EngineError> {
        self.mock.score(request)
    }

    fn render_chat(&self, messages: &[ChatMessage]) -> Result<Vec<u32>, EngineError> {
        self.mock.render_chat(messages)
    }

    fn spells_special(&self, messages: &[ChatMessage]) -> bool {
        self.mock.spells_special(messages)
    }

    fn load(&self) -> EngineLoad {
        self.mock.load()
    }
}

#[test]
fn tokens_that_end_inside_of_characters_wait_for_the_rest() {
    for is_shifted in [false, true] {
        let engine = Pairs { is_shifted, ..pairs() };
        for text in endless() {
            let (found, most) = letters(&engine, &text);
            assert_eq!(engine.decode(&found), text);
            // Where no token ends with a character, which no tokenizer does to a text: it is read all the same, much at once.
            let never = is_shifted && text.starts_with(['é', '\u{1f600}']);
            let limit = if never { UNREAD_MAX } else { 2 * WORD_MAX };
            assert!(most <= limit, "{is_shifted}, {most} bytes waited: {text}");
        }
        let long = "é".repeat(10_000);
        let (found, most) = letters(&engine, &long);
        assert_eq!((engine.decode(&found), most <= UNREAD_MAX), (long, true));
    }
}

#[test]
fn text_that_the_tokenizer_cannot_write_is_refused() {
    let engine = Pairs { is_lossy: true, ..pairs() };
    let mut reader = Reader::new(false, &engine);
    assert_eq!(reader.event(&said(&"x".repeat(WORD_MAX + 1))), Ok(()), "nothing is handed out");
    assert_eq!(reader.ready.len(), 0);
    assert_eq!(reader.event(&said(&"x".repeat(UNREAD_MAX))), Err(ServerError::Unwritable));
    let mut reader = Reader::new(false, &engine);
    reader.event(&said("x")).unwrap();
    assert_eq!(reader.event(&end("stop").to_string()), Err(ServerError::Unwritable));
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
    let mut reader = Reader::new(true, &engine);
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
    let logprobs = json!({"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [{"token": "token_id:97", "logprob": -0.5}]}}]});
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
