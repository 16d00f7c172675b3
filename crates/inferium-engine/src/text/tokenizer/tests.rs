use super::{Piece, Tokenizer, pre_tokenizer};

/// Bytes as single tokens, one merge, two special tokens of which one is the beginning of the other.
pub(crate) fn tiny() -> Tokenizer {
    let mut spellings: Vec<String> = super::byte_of_char().into_keys().map(String::from).collect();
    spellings.extend(["he", "<|a|>", "<|a|>b"].map(String::from));
    let mut types = vec![1; spellings.len()];
    types[257..].fill(3);
    Tokenizer::new(spellings, &types, &["h e".to_owned()], "smollm").unwrap()
}

#[test]
fn special_spellings_in_plain_text_stay_text() {
    let tokenizer = tiny();
    let tokens = tokenizer.encode("he<|a|>").unwrap();
    assert_eq!(tokens[0], 256);
    assert!(tokens.iter().all(|&token| token < 257));
    let bytes: Vec<u8> = tokens.iter().flat_map(|&token| tokenizer.token_bytes(token).to_vec()).collect();
    assert_eq!(bytes, b"he<|a|>");
}

#[test]
fn the_longest_special_spelling_counts() {
    let pieces = tiny().split_special("x<|a|>b<|a|>").iter().map(|piece| format!("{piece:?}")).collect::<Vec<_>>();
    assert_eq!(pieces, [Piece::Text("x"), Piece::Special(258), Piece::Special(257)].map(|piece| format!("{piece:?}")));
}

#[test]
fn special_and_unknown_tokens_have_no_bytes() {
    let tokenizer = tiny();
    assert!(tokenizer.token_bytes(257).is_empty());
    assert!(tokenizer.token_bytes(1_000_000).is_empty());
    assert!(tokenizer.encode("").unwrap().is_empty());
}

#[test]
fn unknown_pre_tokenizers_are_refused() {
    for known in ["smollm", "default", "gpt-2", "llama-bpe", "qwen2"] {
        assert!(pre_tokenizer(known).is_ok(), "{known}");
    }
    assert!(pre_tokenizer("something-new").is_err());
}
