use super::Tokenizer;
use crate::LoadError;

const FILE: &str = r###"{
    "truncation": {"max_length": 3}, "padding": {"strategy": {"Fixed": 128}},
    "added_tokens": [{"id": 1, "special": true, "content": "[CLS]"}],
    "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
        "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]}, "[SEP]": {"id": "[SEP]", "ids": [2], "tokens": ["[SEP]"]}}},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 6,
        "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[": 3, "]": 4, "cls": 5, "ab": 6, "##ab": 7, "##c": 8, "漢": 9}}}"###;

fn build(from: &str, to: &str) -> Result<Tokenizer, LoadError> {
    assert!(FILE.contains(from), "nothing to replace");
    Tokenizer::new(
        serde_json::from_str(&FILE.replace(from, to)).map_err(|error| LoadError::unsupported(error.to_string()))?,
    )
}

fn tokenizer() -> Tokenizer {
    build("Fixed", "Fixed").unwrap()
}

#[test]
fn words_become_the_longest_pieces_between_the_special_tokens() {
    let tokenizer = tokenizer();
    assert_eq!((tokenizer.vocab_size(), tokenizer.around()), (10, 2));
    for (text, expected) in [
        ("", &[1, 2][..]),
        (" \n\t", &[1, 2]),
        ("AB", &[1, 6, 2]),
        ("äBábc\u{0} cAB", &[1, 6, 7, 8, 0, 2]),
        ("ababc ab", &[1, 6, 7, 8, 6, 2]),
        ("abd", &[1, 0, 2]),
        ("漢漢", &[1, 9, 9, 2]),
        // Six characters are the most that a word may have.
        ("ababab", &[1, 6, 7, 7, 2]),
        ("abababc", &[1, 0, 2]),
        // Nothing is cut off or filled up, whatever the file says.
        ("ab ab ab ab", &[1, 6, 6, 6, 6, 2]),
    ] {
        assert_eq!(tokenizer.encode(text).unwrap(), expected, "{text:?}");
    }
}

#[test]
fn the_spelling_of_a_special_token_is_text() {
    assert_eq!(tokenizer().encode("[CLS]").unwrap(), [1, 3, 5, 4, 2]);
}

#[test]
fn whatever_changes_tokens_changes_the_hash() {
    let hash = tokenizer().hash();
    for (from, to) in [
        ("\"clean_text\": true", "\"clean_text\": false"),
        ("\"handle_chinese_chars\": true", "\"handle_chinese_chars\": false"),
        ("\"strip_accents\": null", "\"strip_accents\": false"),
        ("\"lowercase\": true", "\"lowercase\": false"),
        ("\"max_input_chars_per_word\": 6", "\"max_input_chars_per_word\": 7"),
        ("\"continuing_subword_prefix\": \"##\"", "\"continuing_subword_prefix\": \"#\""),
        ("\"unk_token\": \"[UNK]\"", "\"unk_token\": \"ab\""),
        ("\"漢\"", "\"字\""),
        ("\"cls\": 5, \"ab\": 6", "\"cls\": 6, \"ab\": 5"),
        ("\"ids\": [2]", "\"ids\": [2, 2]"),
        ("\"ids\": [1]", "\"ids\": [0]"),
    ] {
        assert_ne!(build(from, to).unwrap().hash(), hash, "{to}");
    }
    for (from, to) in [("\"Fixed\": 128", "\"Fixed\": 64"), ("\"strip_accents\": null", "\"strip_accents\": true")] {
        assert_eq!(build(from, to).unwrap().hash(), hash, "{to}");
    }
}

#[test]
fn what_is_not_served_is_refused_by_name() {
    for (from, to, reason) in [
        ("\"type\": \"WordPiece\"", "\"type\": \"Unigram\"", "WordPiece"),
        ("\"type\": \"BertPreTokenizer\"", "\"type\": \"Whitespace\"", "Whitespace"),
        ("\"type\": \"BertNormalizer\"", "\"type\": \"NFKC\"", "NFKC"),
        ("\"type\": \"TemplateProcessing\"", "\"type\": \"RobertaProcessing\"", "RobertaProcessing"),
        ("\"漢\": 9", "\"漢\": 11", "0, 1, 2"),
        ("\"漢\": 9", "\"漢\": 8", "0, 1, 2"),
        ("\"unk_token\": \"[UNK]\"", "\"unk_token\": \"<unk>\"", "<unk>"),
        ("\"ids\": [2]", "\"ids\": [10]", "not in the vocabulary"),
        ("{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, ", "", "0 times"),
        ("{\"Sequence\": {\"id\": \"A\"", "{\"Sequence\": {\"id\": \"B\"", "`B`"),
        ("{\"SpecialToken\": {\"id\": \"[SEP]\"", "{\"SpecialToken\": {\"id\": \"[END]\"", "[END]"),
        ("\"unk_token\": \"[UNK]\", ", "", "unk_token"),
    ] {
        let error = build(from, to).unwrap_err().to_string();
        assert!(error.contains(reason), "{to}: {error}");
    }
}
