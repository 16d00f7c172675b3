use super::{Head, angles, dot, norm, rope};

#[test]
fn a_token_looks_at_itself_and_before_alone() {
    let numbers = |shift: usize| -> Vec<f32> { (0..24).map(|i| ((i * 7 + shift) % 11) as f32 / 5.0 - 1.0).collect() };
    let (queries, keys, mut values) = (numbers(1), numbers(2), numbers(3));
    let attend = |values: &[f32]| Head { queries: &queries, keys: &keys, values, size: 8 }.attend();
    let (answers, weights) = attend(&values);
    assert_eq!(weights[..3], [1.0, 0.0, 0.0]);
    assert!((weights[3] + weights[4] - 1.0).abs() < 1e-6 && weights[5] == 0.0);
    values[16..].fill(9.0);
    let (changed, _) = attend(&values);
    assert_eq!(answers[..16], changed[..16]);
    assert_ne!(answers[16..], changed[16..]);
}

#[test]
fn a_rotation_is_undone_by_its_back() {
    let angles = angles(3, 8, 10_000.0);
    let row: Vec<f32> = (0_u8..16).map(|i| f32::from(i) / 7.0).collect();
    let mut turned = row.clone();
    rope(&mut turned, &angles[8..], 1.0);
    assert_ne!(turned, row);
    rope(&mut turned, &angles[8..], -1.0);
    assert!(turned.iter().zip(&row).all(|(a, b)| (a - b).abs() < 1e-5), "{turned:?}");
}

#[test]
fn sums_have_the_order_that_is_written() {
    let numbers: Vec<f32> = (0_u8..19).map(|i| f32::from(i) * 0.37 - 3.0).collect();
    let mut lanes = [0.0_f32; 16];
    for (lane, x) in lanes.iter_mut().zip(&numbers) {
        *lane += x * x;
    }
    let mut expected = lanes.iter().fold(0.0_f32, |sum, lane| sum + lane);
    for x in &numbers[16..] {
        expected += x * x;
    }
    assert_eq!(dot(&numbers, &numbers).to_bits(), expected.to_bits());
}

#[test]
fn a_normed_row_has_the_mean_square_one() {
    let (rows, inverses) = norm(&[3.0, 4.0, 0.0, 0.0], &[1.0; 4], 0.0);
    assert!((dot(&rows, &rows) / 4.0 - 1.0).abs() < 1e-6);
    assert!((inverses[0] - 0.4).abs() < 1e-6);
}
