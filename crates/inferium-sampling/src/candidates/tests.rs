use super::{Candidate, best, clean, largest};
use proptest::prelude::*;

/// The definition, by a full sort.
fn largest_by_sorting(logits: &[f32], count: usize) -> Vec<Candidate> {
    let mut all: Vec<Candidate> =
        (0_u32..).zip(logits).map(|(token, &logit)| Candidate { token, logit: clean(logit) }).collect();
    all.sort_by(|a, b| b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token)));
    all.truncate(count);
    all
}

fn any_logit() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => -20.0_f32..20.0,
        // Few distinct values, so that ties are common.
        4 => (-3_i8..3).prop_map(f32::from),
        1 => prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.0]),
    ]
}

proptest! {
    #[test]
    fn partial_selection_equals_full_sort(
        logits in prop::collection::vec(any_logit(), 0..600),
        count in 0_usize..300,
    ) {
        prop_assert_eq!(largest(&logits, count), largest_by_sorting(&logits, count));
    }

    #[test]
    fn best_is_the_first_of_the_largest(logits in prop::collection::vec(any_logit(), 1..200)) {
        prop_assert_eq!(best(&logits), largest(&logits, 1)[0].token);
    }
}

#[test]
fn rising_and_falling_rows_are_cut_back_correctly() {
    let rising: Vec<f32> = (0..5000_u16).map(f32::from).collect();
    let falling: Vec<f32> = rising.iter().rev().copied().collect();
    for row in [rising, falling] {
        assert_eq!(largest(&row, 100), largest_by_sorting(&row, 100));
    }
}

#[test]
fn not_a_number_is_never_preferred() {
    assert_eq!(best(&[f32::NAN, -5.0, f32::NEG_INFINITY]), 1);
    assert_eq!(best(&[f32::NAN, f32::NAN]), 0);
    assert_eq!(best(&[]), 0);
    assert_eq!(best(&[f32::MAX, f32::INFINITY]), 0);
}
