use super::Evaluation;

#[test]
fn accuracies_have_their_interval() {
    let measured = Evaluation::Accuracy { correct: 90, lines: 100, loss: 0.25 };
    let share = measured.accuracy().unwrap();
    assert_eq!((share.mean, share.low / 1_000, share.high / 1_000), (900_000, 825, 944));
    assert_eq!(measured.in_words(), "accuracy 90.0 % (82.6 to 94.5), 90 of 100 lines, loss 0.2500");
    assert_eq!(measured.perplexity(), None);
}

#[test]
fn perplexity_is_e_to_the_loss() {
    let measured = Evaluation::Perplexity { tokens: 7, loss: 2.0 };
    assert!((measured.perplexity().unwrap() - 7.389_056).abs() < 1e-5);
    assert_eq!(measured.in_words(), "perplexity 7.39 over 7 tokens, loss 2.0000");
    assert_eq!(measured.accuracy(), None);
}

#[test]
fn json_holds_every_bit() {
    for measured in [
        Evaluation::Accuracy { correct: 1, lines: 3, loss: 0.1 + 0.2 },
        Evaluation::Perplexity { tokens: 9, loss: f64::from(1.1_f32) / 3.0 },
    ] {
        let text = serde_json::to_string(&measured).unwrap();
        assert_eq!(serde_json::from_str::<Evaluation>(&text).unwrap(), measured);
    }
    assert!(serde_json::from_str::<Evaluation>("{\"kind\": \"accuracy\", \"correct\": 1}").is_err());
}
