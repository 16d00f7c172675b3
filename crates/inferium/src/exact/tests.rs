use super::{headroom, in_words, rows, tightest, visible};
use inferium_exact::{ACCUMULATOR_MAX, Interval, intervals, synthetic};

#[test]
fn headroom_is_how_often_a_value_could_double() {
    let of = |min, max| headroom(Interval { min, max });
    assert_eq!(of(0, ACCUMULATOR_MAX), Some(0.0));
    assert_eq!(of(-ACCUMULATOR_MAX / 2, 7), Some(1.0));
    assert_eq!(of(0, 0), None);
    let all = [Interval { min: 0, max: 0 }, Interval { min: -9, max: 1 }, Interval { min: 0, max: 3 }];
    assert_eq!(tightest(&all).0, 1);
    assert_eq!(tightest(&all[..1]), (0, None));
}

#[test]
fn every_parameter_is_in_one_row() {
    for name in ["mlp-tiny", "cnn-tiny"] {
        let (model, _) = synthetic(name).unwrap().unwrap();
        let rows = rows(&model, &model.shapes().unwrap(), &intervals(&model).unwrap());
        assert_eq!(rows.len(), model.nodes.len());
        assert_eq!(rows.iter().map(|row| row.parameters).sum::<u64>(), model.parameters());
        assert!(rows.iter().all(|row| headroom(row.reach).is_none_or(|bits| bits >= 0.0)));
    }
}

#[test]
fn many_outputs_are_shortened() {
    assert_eq!(in_words(&[1, -2]), "1 -2");
    assert!(in_words(&[7; 20]).ends_with("7 … (20 in all)"));
}

#[test]
fn a_name_moves_no_cursor() {
    assert_eq!(visible("mlp ü\u{1b}[2J\n\u{9b}"), "mlp ü\u{fffd}[2J\u{fffd}\u{fffd}");
}
