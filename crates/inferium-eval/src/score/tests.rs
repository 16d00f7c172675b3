use super::{score_all, score_item, unfenced};
use crate::{Answer, InvalidAnswer, PPM, Suite, nano};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn suite(template: &str, scorer: &str, items: &[&str]) -> Suite {
    let definition =
        format!("name = \"test\"\nversion = 1\nabout = \".\"\n[template]\n{template}\n[scorer]\n{scorer}\n");
    Suite::parse(&definition, &items.join("\n")).unwrap()
}

fn chat(scorer: &str, item: &str) -> Suite {
    suite("kind = \"chat\"\nprompt = \"{input}\"\ntokens_max = 9", scorer, &[item])
}

fn text_score(suite: &Suite, text: &str) -> u32 {
    let answer = Answer::Text { text: text.to_owned() };
    score_item(suite, &suite.items()[0], &answer).unwrap().unwrap()[0]
}

fn choice(length_normalised: bool) -> Suite {
    suite(
        "kind = \"completion\"\nprompt = \"{input}\"\ndelimiter = \" \"",
        &format!("kind = \"choice\"\nlength_normalised = {length_normalised}"),
        &["{\"id\": \"a\", \"input\": \"x\", \"choices\": [\"one\", \"a long one\", \"two\"], \"answer\": 1}"],
    )
}

fn likely(suite: &Suite, logprobs: [i64; 3]) -> Vec<u32> {
    let answer = Answer::Likelihoods { logprobs_nano: logprobs.to_vec() };
    score_item(suite, &suite.items()[0], &answer).unwrap().unwrap()
}

#[test]
fn the_likeliest_choice_counts_as_a_sum_and_by_character() {
    // By the sum the first is likelier, by character the second.
    assert_eq!(likely(&choice(false), [-5, -6, -9]), [0, PPM]);
    assert_eq!(likely(&choice(true), [-5, -6, -9]), [PPM, 0]);
    assert_eq!(likely(&choice(false), [-6, -5, -9]), [PPM, PPM]);
    // Of equals the first: by the sum, and by character (-3/3 and -10/10).
    assert_eq!(likely(&choice(false), [-5, -5, -9]), [0, PPM]);
    assert_eq!(likely(&choice(false), [-3, -10, -9]), [0, 0]);
    assert_eq!(likely(&choice(false), [i64::MIN, 0, i64::MIN]), [PPM, PPM]);
}

#[test]
fn answers_that_can_be_no_answer_are_refused() {
    let suite = choice(false);
    let item = &suite.items()[0];
    let score = |answer| score_item(&suite, item, &answer);
    let error = InvalidAnswer::Choices { expected: 3, found: 2 };
    assert_eq!(score(Answer::Likelihoods { logprobs_nano: vec![-1, -2] }), Err(error));
    assert_eq!(score(Answer::Likelihoods { logprobs_nano: vec![-1, 1, -2] }), Err(InvalidAnswer::LogProbability));
    assert_eq!(score(Answer::Text { text: "one".into() }), Err(InvalidAnswer::Kind));
}

#[test]
fn log_probabilities_become_whole_numbers() {
    assert_eq!(nano([]), Ok(0));
    assert_eq!(nano([-0.0, -1.5, -0.000_000_000_6]), Ok(-1_500_000_001));
    for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1, -9.1e6] {
        assert_eq!(nano([-1.0, wrong]), Err(InvalidAnswer::LogProbability), "{wrong}");
    }
}

#[test]
fn exact_answers_are_compared_after_the_documented_normalisation() {
    let item = "{\"id\": \"a\", \"input\": \"x\", \"answer\": \"-7\"}";
    let last = chat("kind = \"exact\"\npattern = \"-?[0-9]+\"\ntake = \"last\"", item);
    let first = chat("kind = \"exact\"\npattern = \"-?[0-9]+\"", item);
    for (text, by_first, by_last) in
        [("-7", 1, 1), (" 3 and -7.", 0, 1), ("-7, not 8", 1, 0), ("none", 0, 0), ("", 0, 0)]
    {
        assert_eq!((text_score(&first, text), text_score(&last, text)), (by_first * PPM, by_last * PPM), "{text}");
    }
    let group = chat("kind = \"exact\"\npattern = \"is (.+)[.]\"", item);
    assert_eq!((text_score(&group, "it is  -7 ."), text_score(&group, "-7")), (PPM, 0));
    let word = "{\"id\": \"a\", \"input\": \"x\", \"answer\": \"Yes\"}";
    let (strict, loose) = (chat("kind = \"exact\"", word), chat("kind = \"exact\"\nignore_case = true", word));
    assert_eq!((text_score(&strict, " Yes\n"), text_score(&strict, "yes"), text_score(&loose, "yES")), (PPM, 0, PPM));
}

#[test]
fn json_has_to_parse_and_to_fit() {
    let item = "{\"id\": \"a\", \"input\": \"x\", \"schema\": {\"type\": \"object\", \"properties\": {\"n\": {\"const\": 4}}, \"required\": [\"n\"], \"additionalProperties\": false}}";
    let suite = chat("kind = \"json\"", item);
    for right in ["{\"n\": 4}", " {\"n\":4.0}\n", "```json\n{\"n\": 4}\n```", "```\n{\"n\": 4}\n``` and more"] {
        assert_eq!(text_score(&suite, right), PPM, "{right}");
    }
    for wrong in [
        "{\"n\": 5}",
        "{}",
        "{\"n\": 4, \"m\": 1}",
        "{\"n\": 4",
        "n: 4",
        "",
        "Here: {\"n\": 4}",
        "```{\"n\": 4}```",
        "[4]",
    ] {
        assert_eq!(text_score(&suite, wrong), 0, "{wrong}");
    }
    assert_eq!(unfenced("```json\nnever closed"), "never closed");
}

fn vectors(input: &[f32], passage: &[f32]) -> Answer {
    let text =
        |values: &[f32]| STANDARD.encode(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
    Answer::Vectors { input: text(input), passage: text(passage) }
}

fn retrieval() -> Suite {
    let items = ["a", "b", "c"].map(|id| format!("{{\"id\": \"{id}\", \"input\": \"x\", \"passage\": \"y\"}}"));
    suite("kind = \"embedding\"", "kind = \"retrieval\"", &items.each_ref().map(String::as_str))
}

fn found(answers: &[Answer]) -> Result<Vec<Vec<u32>>, (usize, InvalidAnswer)> {
    let answers: BTreeMap<usize, &Answer> = answers.iter().enumerate().collect();
    score_all(&retrieval(), &answers).map(|scores| scores.into_values().collect())
}

#[test]
fn passages_are_found_by_their_angle_alone() {
    let answers = [
        vectors(&[1.0, 0.0], &[9.0, 0.0]),
        // Nearer to the first passage, then to its own.
        vectors(&[0.9, 0.3], &[0.5, 0.5]),
        // Of no direction: all are equally near, so the first is taken.
        vectors(&[0.0, 0.0], &[0.0, 1.0]),
    ];
    assert_eq!(found(&answers), Ok(vec![vec![PPM, PPM], vec![0, 500_000], vec![0, 333_333]]));
    let suite = retrieval();
    assert_eq!(score_item(&suite, &suite.items()[0], &answers[0]), Ok(None));
}

#[test]
fn vectors_that_are_none_are_refused() {
    let good = vectors(&[1.0, 0.0], &[1.0, 0.0]);
    for wrong in [
        vectors(&[1.0], &[1.0]),
        vectors(&[1.0, 0.0], &[1.0]),
        vectors(&[f32::NAN, 0.0], &[1.0, 0.0]),
        vectors(&[], &[]),
        Answer::Vectors { input: "AAA=".into(), passage: "AAAAAAAAAAA=".into() },
        Answer::Vectors { input: "?".into(), passage: "AAAAAAAAAAA=".into() },
    ] {
        assert_eq!(found(&[good.clone(), wrong.clone()]), Err((1, InvalidAnswer::Vector)), "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn retrieval_does_not_depend_on_lengths(values in proptest::collection::vec(-1.0_f32..1.0, 12), power in 0_i32..12) {
        let scaled: Vec<f32> = values.iter().map(|value| value * 2.0_f32.powi(power)).collect();
        let answers = |passages: &[f32]| -> Vec<Answer> {
            (0..3).map(|i| vectors(&values[2 * i..2 * i + 2], &passages[6 + 2 * i..8 + 2 * i])).collect()
        };
        prop_assert_eq!(found(&answers(&values)), found(&answers(&scaled)));
    }

    #[test]
    fn no_text_brings_a_scorer_down(text: String) {
        let json = chat("kind = \"json\"", "{\"id\": \"a\", \"input\": \"x\", \"schema\": {}}");
        let exact = chat("kind = \"exact\"\npattern = \"[a-z]+\"", "{\"id\": \"a\", \"input\": \"x\", \"answer\": \"b\"}");
        prop_assert!(text_score(&json, &text) <= PPM && text_score(&exact, &text) <= PPM);
    }
}
