use super::{
    erf, exp, f16_to_f32, f32_to_f16, f32_to_f16_flushed, gelu, layer_norm, rms_norm, rope, round_half_even_i32,
    sum_lanes, swiglu, unit,
};
use crate::kernel::matmul::tests::numbers;
use crate::kernel::{Kernel, Tier};

#[test]
fn exp_is_near_the_exact_one() {
    for step in -8700..=8800 {
        let x = step as f32 / 100.0;
        let exact = libm::exp(f64::from(x));
        let error = (f64::from(exp(x)) - exact).abs() / exact;
        assert!(error < 2e-7, "exp({x}) is off by {error:e}");
    }
    assert_eq!(exp(0.0), 1.0);
    assert_eq!(exp(-1000.0), exp(-87.0));
    assert_eq!(exp(f32::NAN), exp(-87.0));
    assert!(exp(1000.0).is_finite());
}

/// Pins bits: a change here is a change of the arithmetic's version.
#[test]
fn exp_has_its_pinned_bits() {
    let pinned = numbers(7, 4096).iter().fold(0_u32, |hash, x| hash.rotate_left(5) ^ exp(x * 20.0).to_bits());
    for tier in Tier::available() {
        let kernel = Kernel::new(tier).unwrap();
        let mut out = numbers(7, 4096);
        kernel.run(
            #[inline(always)]
            || out.iter_mut().for_each(|x| *x = exp(*x * 20.0)),
        );
        assert_eq!(out.iter().fold(0_u32, |hash, x| hash.rotate_left(5) ^ x.to_bits()), pinned);
    }
    assert_eq!(pinned, 3_741_077_632);
}

#[test]
fn erf_and_gelu_are_near_the_exact_ones() {
    for step in -60_000..=60_000 {
        let x = step as f32 / 10_000.0;
        let exact = libm::erf(f64::from(x));
        assert!((f64::from(erf(x)) - exact).abs() < 5e-7, "erf({x}) is {} and not {exact}", erf(x));
        let mut found = [x];
        gelu(&mut found);
        let exact = f64::from(x) * 0.5 * (1.0 + libm::erf(f64::from(x) / std::f64::consts::SQRT_2));
        let error = (f64::from(found[0]) - exact).abs();
        assert!(error < 1e-7 + 2.5e-7 * f64::from(x.abs()), "gelu({x}) is {} and not {exact}", found[0]);
    }
    assert_eq!(erf(0.0), 0.0);
    for x in [4.0, 100.0, f32::INFINITY] {
        assert_eq!((erf(x), erf(-x)), (erf(4.0), -erf(4.0)));
    }
    assert_eq!(erf(f32::NAN), erf(-4.0));
    let mut ends = [-1e30, 1e30];
    gelu(&mut ends);
    assert!(ends[0].abs() <= 1e30 * 5e-7 && (ends[1] - 1e30).abs() <= 1e30 * 5e-7, "{ends:?}");
}

/// Pins bits: a change here is a change of the encoders' arithmetic.
#[test]
fn functions_of_encoders_have_their_pinned_bits_on_every_tier() {
    let (x, w, b) = (numbers(1, 384), numbers(2, 384), numbers(3, 384));
    for tier in Tier::available() {
        let kernel = Kernel::new(tier).unwrap();
        let (mut normed, mut active, mut one) = (x.clone(), x.iter().map(|x| x * 6.0).collect::<Vec<_>>(), x.clone());
        kernel.run(
            #[inline(always)]
            || {
                layer_norm(&mut normed, &w, &b, 1e-12);
                gelu(&mut active);
                unit(&mut one).unwrap();
            },
        );
        let hash = |row: &[f32]| row.iter().fold(0_u32, |hash, x| hash.rotate_left(5) ^ x.to_bits());
        assert_eq!([hash(&normed), hash(&active), hash(&one)], [98_873_357, 4_019_144_584, 949_261_170], "{tier}");
    }
}

#[test]
fn layer_norm_is_near_the_textbook() {
    let (x, w, b) = (numbers(4, 64), numbers(5, 64), numbers(6, 64));
    let mut found = x.clone();
    layer_norm(&mut found, &w, &b, 1e-5);
    let exact: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let mean = exact.iter().sum::<f64>() / 64.0;
    let variance = exact.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 64.0;
    for ((found, x), (w, b)) in found.iter().zip(&exact).zip(w.iter().zip(&b)) {
        let exact = (x - mean) / (variance + 1e-5).sqrt() * f64::from(*w) + f64::from(*b);
        assert!((f64::from(*found) - exact).abs() < 2e-6);
    }
}

#[test]
fn a_row_without_a_length_has_no_direction() {
    let mut row = [3.0_f32; 16];
    assert_eq!(unit(&mut row), Some(()));
    assert_eq!(row, [0.25; 16]);
    assert_eq!(unit(&mut [0.0; 16]), None);
    assert_eq!(unit(&mut [f32::NAN; 16]), None);
    // The squares leave the range of floats.
    assert_eq!(unit(&mut [1e30; 16]), None);
    assert_eq!(unit(&mut [1e-30; 16]), None);
}

#[test]
fn every_half_survives_the_round_trip() {
    for half in 0..=u16::MAX {
        // Infinities and NaN are no values of ours.
        if half & 0x7C00 != 0x7C00 {
            assert_eq!(f32_to_f16(f16_to_f32(half)), half, "{half:04x}");
        }
    }
}

#[test]
fn halves_round_to_nearest_even_and_saturate() {
    assert_eq!(f32_to_f16(1.0), 0x3C00);
    let ulp = f32::EPSILON * 8192.0;
    assert_eq!(f32_to_f16(1.0 + ulp / 2.0), 0x3C00);
    assert_eq!(f32_to_f16(1.0 + ulp * 1.5), 0x3C02);
    assert_eq!(f32_to_f16(65_504.0), 0x7BFF);
    assert_eq!(f32_to_f16(1e9), 0x7BFF);
    assert_eq!(f32_to_f16(f32::NEG_INFINITY), 0xFBFF);
    assert_eq!(f32_to_f16(2.0_f32.powi(-24)), 1);
    assert_eq!(f32_to_f16(2.0_f32.powi(-25)), 0);
    assert_eq!(f32_to_f16_flushed(-2.0_f32.powi(-15)), 0);
    assert_eq!(f32_to_f16_flushed(2.0_f32.powi(-14)), 0x0400);
}

#[test]
fn row_functions_give_the_same_bits_on_every_tier() {
    let (x, w) = (numbers(1, 576), numbers(2, 576));
    let run = |tier| {
        let kernel = Kernel::new(tier).unwrap();
        let (mut norm, mut gate) = (vec![0.0; 576], x.clone());
        kernel.run(
            #[inline(always)]
            || {
                rms_norm(&x, &w, 1e-5, &mut norm);
                swiglu(&mut gate, &w);
            },
        );
        norm.iter().chain(&gate).map(|y| y.to_bits()).collect::<Vec<_>>()
    };
    for tier in Tier::available() {
        assert_eq!(run(tier), run(Tier::Scalar));
    }
}

#[test]
fn sums_add_halves() {
    let mut lanes = [0.0; 16];
    // 2²⁴ + 1 is no float: the order shows.
    lanes[0] = 16_777_216.0;
    lanes[8] = 1.0;
    lanes[1] = 1.0;
    assert_eq!(sum_lanes(lanes), 16_777_216.0);
    lanes[8] = 0.0;
    lanes[9] = 1.0;
    assert_eq!(sum_lanes(lanes), 16_777_218.0);
}

#[test]
fn rotation_keeps_lengths_and_rounding_is_half_to_even() {
    let mut row = vec![3.0, 4.0, 1.0, 0.0];
    rope(&mut row, &[(0.0, 1.0)]);
    assert_eq!(row, [-4.0, 3.0, 0.0, 1.0]);
    assert_eq!([0.5, 1.5, 2.5, -0.5, -1.5].map(round_half_even_i32), [0, 2, 2, 0, -2]);
}
