use super::*;
use proptest::prelude::*;

fn vector(seed: u32, size: usize) -> Vec<f32> {
    (0..size as u32).map(|at| (philox4x32_10([at, 0, 0, 0], [seed, 0])[0] as f32 / u32::MAX as f32) - 0.5).collect()
}

fn seed(first: u8) -> [u8; 32] {
    [first; 32]
}

#[test]
fn a_projection_is_the_signed_sum_that_its_bits_say() {
    let hidden = vector(1, 300);
    let projected = Projection::new(seed(9)).apply(&hidden);
    for (row, found) in projected.iter().enumerate() {
        let mut sum = 0.0;
        for (column, value) in hidden.iter().enumerate() {
            let block = philox4x32_10([row as u32, (column / 128) as u32, 0, 0], [0x0909_0909, 0x0909_0909]);
            let bit = block[column % 128 / 32] >> (column % 32) & 1;
            sum += f64::from(*value) * if bit == 1 { 1.0 } else { -1.0 };
        }
        assert!((f64::from(*found) - sum / 300_f64.sqrt()).abs() < 1e-5, "{row}");
    }
    assert_ne!(projected, Projection::new(seed(8)).apply(&hidden));
    assert_eq!(Projection::new(seed(9)).apply(&[]), [0.0; SKETCH_SIZE]);
}

#[test]
fn a_sketch_is_near_its_vector_and_far_from_others() {
    let (one, other) = (vector(1, 576), vector(2, 576));
    let projection = Projection::new(seed(3));
    let own = projection.apply(&one);
    assert!(sketch_error(&sketch(&own), &own) < 0.01, "rounding alone");
    // A hundredth of another vector mixed in moves it by about as much.
    let mixed: Vec<f32> = one.iter().zip(&other).map(|(one, other)| one + other * 0.1).collect();
    let error = sketch_error(&sketch(&projection.apply(&mixed)), &own);
    assert!((0.05..0.2).contains(&error), "{error}");
    assert!(sketch_error(&sketch(&projection.apply(&other)), &own) > 0.7);
    // Of a right vector, but under another projection.
    assert!(sketch_error(&sketch(&Projection::new(seed(4)).apply(&one)), &own) > 0.7);
}

#[test]
fn what_is_no_number_is_far_and_breaks_nothing() {
    let own = Projection::new(seed(3)).apply(&vector(1, 576));
    for scale in [0x7F80, 0x7FC0, 0xFFFF, 0xFF80, 0] {
        let error = sketch_error(&Sketch { scale, values: [1; 16] }, &own);
        assert!((0.99..=2.0).contains(&error), "{scale:x}: {error}");
    }
    assert_eq!(sketch_error(&Sketch { scale: 0, values: [0; 16] }, &[0.0; 16]), 2.0, "nothing proves nothing");
    assert_eq!(sketch(&[f32::NAN; 16]), Sketch { scale: 0, values: [0; 16] });
    let mut some = own;
    some[3] = f32::INFINITY;
    assert!(sketch_error(&sketch(&some), &own) < 2.0);
}

proptest! {
    #[test]
    fn rounding_stays_within_half_a_step(values in prop::array::uniform16(-1e6f32..1e6)) {
        let found = sketch(&values);
        let step = f32::from_bits(u32::from(found.scale) << 16);
        for (value, steps) in values.iter().zip(found.values) {
            prop_assert!((f32::from(steps) * step - value).abs() <= step * 0.501, "{value} {steps} {step}");
        }
    }
}

#[test]
fn four_positions_of_a_window_are_sketched_or_all() {
    for size in [0, 1, 3, 4, 5, 31, 32] {
        let positions = window_positions(seed(7), 5, size);
        assert!(positions.windows(2).all(|pair| pair[0] < pair[1]), "{size}: {positions:?}");
        assert!(positions.iter().all(|position| *position < size));
        assert_eq!(positions.len(), size.min(4));
    }
    assert_ne!(window_positions(seed(7), 5, 32), window_positions(seed(7), 6, 32));
    let many: Vec<usize> = (0..=255).flat_map(|number| window_positions(seed(number), 0, 32)).collect();
    for position in 0..32 {
        let count = many.iter().filter(|found| **found == position).count();
        assert!((12..=60).contains(&count), "{position}: {count} of 1024, 32 expected");
    }
}
