use super::*;
use inferium_types::SamplingParams;
use proptest::prelude::*;

fn params(temperature_micro: u32, top_p_ppm: u32, top_k: u32) -> SamplingParams {
    SamplingParams { temperature_micro, top_p_ppm, top_k }
}

fn seed(number: u32) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    seed
}

const ROW: [f32; 6] = [2.0, 1.5, 1.0, 0.0, -1.0, -30.0];

#[test]
fn without_noise_margins_are_differences_of_logits() {
    let sampler = Sampler::new(params(0, 1_000_000, 0), seed(0));
    let check = sampler.check(0, &ROW, 0);
    assert_eq!((check.choice, check.gap, check.margin), (0, 0.5, 0.0));
    assert!(check.agrees());
    let check = sampler.check(0, &ROW, 2);
    assert_eq!((check.choice, check.gap, check.margin), (0, 0.5, 1.0));
    assert!(!check.agrees());
    assert_eq!(sampler.check(0, &ROW, 6).margin, f64::INFINITY, "no token at all");
    assert_eq!(sampler.check(0, &[], 0).margin, f64::INFINITY);
    assert_eq!(sampler.check(0, &[1.0], 0).gap, f64::INFINITY, "no second choice");
    // Of equal logits the lower id: the other one is behind by nothing, and still another one.
    let tie = sampler.check(0, &[1.0, 1.0], 1);
    assert!(!tie.agrees() && tie.margin < 1e-300 && tie.gap == 0.0);
}

#[test]
fn a_token_at_the_edge_of_the_truncation_is_judged_as_if_inside() {
    // Two candidates are kept; two more are at the edge.
    let sampler = Sampler::new(params(1_000_000, 1_000_000, 2), seed(1));
    let checks: Vec<f64> = (0..6).map(|token| sampler.check(0, &ROW, token).margin).collect();
    assert!(checks[..4].iter().all(|margin| margin.is_finite()), "{checks:?}");
    assert!(checks[4..].iter().all(|margin| margin.is_infinite()), "{checks:?}");
    // By mass: 0.5 keeps the first; 0.51 would reach no further, two more are always looked at.
    let sampler = Sampler::new(params(1_000_000, 400_000, 0), seed(1));
    let checks: Vec<f64> = (0..6).map(|token| sampler.check(0, &ROW, token).margin).collect();
    assert!(checks[..3].iter().all(|margin| margin.is_finite()), "{checks:?}");
    assert!(checks[3..].iter().all(|margin| margin.is_infinite()), "{checks:?}");
}

#[test]
fn surprisal_is_fair_to_honest_draws_and_tells_a_wrong_temperature() {
    let honest = params(700_000, 950_000, 0);
    let mut sums = [(0.0, 0.0); 2];
    for number in 0..20_000 {
        let verifier = Sampler::new(honest, seed(number));
        let hot = Sampler::new(params(1_000_000, 950_000, 0), seed(number));
        for (sum, token) in sums.iter_mut().zip([verifier.choose(0, &ROW), hot.choose(0, &ROW)]) {
            let check = verifier.check(0, &ROW, token);
            sum.0 += check.surprisal;
            sum.1 += check.variance;
        }
    }
    let [fair, hot] = sums.map(|(surprisal, variance)| surprisal / f64::sqrt(variance));
    assert!(fair.abs() < 4.0, "{fair}");
    assert!(hot > 20.0, "{hot}");
}

#[test]
fn sums_of_exponentials_are_near_the_exact_ones() {
    let row: Vec<f32> =
        (0..50_000_u32).map(|at| ((at.wrapping_mul(2_654_435_761) >> 16) as f32) / 2_000.0 - 16.0).collect();
    for row in [&row[..], &row[..17], &row[..1], &[f32::MAX, 0.0], &[f32::NAN, 1.0, f32::NEG_INFINITY]] {
        let max = row.iter().fold(f32::MIN, |max, &logit| max.max(candidates::clean(logit)));
        let exact: f64 = row.iter().map(|&logit| f64::exp(f64::from(candidates::clean(logit)) - f64::from(max))).sum();
        let exact = f64::from(max) + exact.ln();
        assert!((log_sum_exp(row) - exact).abs() < 1e-5 * exact.abs().max(1.0), "{} {exact}", log_sum_exp(row));
    }
}

/// What verifiers measure is compared for equality, so its bits are pinned: another order of adding up, or a fused
/// product, would show here.
#[test]
fn figures_that_verifiers_compare_have_pinned_bits() {
    let mut seed = 1_u32;
    let row: Vec<f32> = (0..49_152)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / 524_288.0 - 16.0
        })
        .collect();
    let sampling = SamplingParams { temperature_micro: 700_000, top_p_ppm: 950_000, top_k: 50 };
    let check = Sampler::new(sampling, [3; 32]).check(5, &row, 11);
    let figures = [log_sum_exp(&row), check.gap, check.surprisal, check.variance].map(f64::to_le_bytes).concat();
    let projected = crate::Projection::new([4; 32]).apply(&row[..576]).map(f32::to_le_bytes).concat();
    let digest = inferium_types::Digest::sha256(&[figures, projected].concat());
    assert_eq!(digest.to_string(), "30e2fb0ffb807845c4615c3b70dbef518d07cc92522e9df88412c7685ee40d9e");
}

proptest! {
    #[test]
    fn the_choice_is_the_samplers(
        logits in prop::collection::vec(-8.0f32..8.0, 1..200),
        temperature in prop::sample::select(vec![0u32, 100_000, 700_000, 1_000_000, 2_000_000]),
        top_p in prop::sample::select(vec![1u32, 500_000, 950_000, 1_000_000]),
        top_k in prop::sample::select(vec![0u32, 1, 2, 50]),
        number in any::<u32>(),
        position in any::<u64>(),
        claimed in 0u32..220,
    ) {
        let sampler = Sampler::new(params(temperature, top_p, top_k), seed(number));
        let choice = sampler.choose(position, &logits);
        let check = sampler.check(position, &logits, claimed);
        prop_assert_eq!(check.choice, choice);
        prop_assert_eq!(check.agrees(), claimed == choice);
        prop_assert!(check.gap >= 0.0 && check.margin >= 0.0 && check.variance >= 0.0);
        prop_assert!(check.surprisal.is_finite() && check.variance.is_finite());
    }
}
