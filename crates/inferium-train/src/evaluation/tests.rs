use super::{Evaluation, mean_nano};

#[test]
fn accuracies_have_their_interval() {
    let measured = Evaluation::Accuracy { correct: 90, lines: 100, loss_nano: 250_000_000 };
    let share = measured.accuracy().unwrap();
    assert_eq!((share.mean, share.low / 1_000, share.high / 1_000), (900_000, 825, 944));
    assert_eq!(measured.in_words(), "accuracy 90.0 % (82.6 to 94.5), 90 of 100 lines, loss 0.2500");
    assert_eq!(measured.perplexity(), None);
}

#[test]
fn perplexity_is_e_to_the_loss() {
    let measured = Evaluation::Perplexity { tokens: 7, loss_nano: 2_000_000_000 };
    assert!((measured.perplexity().unwrap() - 7.389_056).abs() < 1e-5);
    assert_eq!(measured.in_words(), "perplexity 7.39 over 7 tokens, loss 2.0000");
    assert_eq!(measured.accuracy(), None);
}

#[test]
fn means_are_whole_billionths() {
    assert_eq!(mean_nano(3.0, 2), 1_500_000_000);
    assert_eq!(mean_nano(1e-9, 3), 0);
    assert_eq!(mean_nano(2e-9, 3), 1);
    assert_eq!(mean_nano(1.0, 0), 0);
}

#[test]
fn a_loss_that_is_no_number_is_the_worst_and_not_the_best() {
    for sum in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(mean_nano(sum, 1), u64::MAX, "{sum}");
    }
    assert_eq!(mean_nano(f64::MAX, 1), u64::MAX);
    let worst = Evaluation::Perplexity { tokens: 7, loss_nano: mean_nano(f64::NAN, 7) };
    assert_eq!(worst.in_words(), "nothing: the loss is no finite number");
    assert_eq!(mean_nano(-1.0, 1), 0, "a finite one is rounded to what there is");
}

#[test]
fn json_is_read_as_it_was_written_and_strictly() {
    // Losses that a decimal of a float is read back from with another last bit.
    for loss_nano in (1_425_600_000..1_425_600_500).chain([0, u64::MAX]) {
        let measured = Evaluation::Accuracy { correct: 88, lines: 120, loss_nano };
        let text = serde_json::to_string(&measured).unwrap();
        assert_eq!(serde_json::from_str::<Evaluation>(&text).unwrap(), measured);
    }
    assert!(serde_json::from_str::<Evaluation>("{\"kind\": \"accuracy\", \"correct\": 1}").is_err());
    assert!(
        serde_json::from_str::<Evaluation>("{\"kind\": \"perplexity\", \"tokens\": 1, \"loss_nano\": 0.5}").is_err()
    );
}
