use super::*;
use crate::{Bets, Sampler, SequentialTest, Suspicion};
use inferium_types::{Ppm, SamplingParams};

const TIGHT: ForeignBounds = ForeignBounds { drift: Ppm::new(0), margin_micro: 1_000_000, outside: Ppm::new(10_000) };

/// Uneven logits, another row each time.
fn row(number: u32) -> Vec<f32> {
    (0..64u32).map(|token| libm::sinf((number * 64 + token) as f32 * 12.989_8) * 4.0).collect()
}

fn sampler(temperature_micro: u32, seed: u8) -> Sampler {
    Sampler::new(SamplingParams { temperature_micro, top_p_ppm: 950_000, top_k: 40 }, [seed; 32])
}

/// What a verifier makes of answers whose tokens `draw` chose, for so many jobs of 100 positions.
fn conduct(bounds: &ForeignBounds, jobs: u32, asked: &Sampler, draw: impl Fn(u64, &[f32]) -> u32) -> SequentialTest {
    let bets = Bets::foreign(bounds);
    let mut test = SequentialTest::default();
    for job in 0..jobs {
        let check = |at: u32| {
            let logits = row(job * 100 + at);
            asked.check(u64::from(at), &logits, draw(u64::from(job * 100 + at), &logits))
        };
        let checks: Vec<PositionCheck> = (0..100).map(check).collect();
        test.judge(&bets, &draw_statistics(&checks, bounds));
    }
    test
}

fn suspicion(bounds: &ForeignBounds, jobs: u32, asked: &Sampler, draw: impl Fn(u64, &[f32]) -> u32) -> Suspicion {
    conduct(bounds, jobs, asked, draw).suspicion(&Bets::foreign(bounds))
}

/// The whole point: no seed and no calibration, and yet each bet is fair, exactly.
#[test]
fn bets_on_draws_have_an_expectation_of_one() {
    for temperature_micro in [200_000, 700_000, 1_000_000, 2_000_000] {
        let sampler = sampler(temperature_micro, 1);
        let logits = row(7);
        let mut expectations = [0.0; TEMPERS.len()];
        let mut mass = 0.0;
        for token in 0..64 {
            let check = sampler.check(0, &logits, token);
            if check.draw.beyond > 0.0 {
                continue;
            }
            let p = check.draw.logprob.exp();
            mass += p;
            for ((sum, temper), log_sum) in expectations.iter_mut().zip(TEMPERS).zip(check.draw.sums) {
                *sum += p * (-f64::from(temper) / 16.0 * check.draw.logprob - log_sum).exp();
            }
        }
        assert!((mass - 1.0).abs() < 1e-9, "{mass}");
        assert!(expectations.iter().all(|of| (of - 1.0).abs() < 1e-9), "{expectations:?}");
    }
}

/// What a client may ask for, on an honest server whose logits are off by up to a tenth: no low temperature makes of near-equal
/// logits what no honest draw gives.
#[test]
fn honest_servers_are_not_suspect_at_any_temperature() {
    let noise = |at: u64, token: usize| libm::sinf((at * 64 + token as u64) as f32 * 78.233) * 0.1;
    for temperature_micro in
        [0, 1, 1_000, 10_000, 50_000, 100_000, 149_999, 150_000, 200_000, 700_000, 1_000_000, 2_000_000]
    {
        let sampling = SamplingParams { temperature_micro, top_p_ppm: 1_000_000, top_k: 0 };
        let [asked, drawn] = [1, 2].map(|seed| Sampler::new(sampling, [seed; 32]));
        let honest = |at: u64, logits: &[f32]| {
            let own: Vec<f32> = logits.iter().enumerate().map(|(token, logit)| logit + noise(at, token)).collect();
            drawn.choose(at, &own)
        };
        assert_eq!(suspicion(&ForeignBounds::USUAL, 60, &asked, honest), Suspicion::None, "{temperature_micro}");
    }
    // A cold one for a warm one is still seen there, and so is a warm one for a cold one.
    let at = |temperature_micro, seed| {
        Sampler::new(SamplingParams { temperature_micro, top_p_ppm: 1_000_000, top_k: 0 }, [seed; 32])
    };
    let warm = at(1_000_000, 2);
    let found = suspicion(&ForeignBounds::USUAL, 10, &at(100_000, 1), |at, logits| warm.choose(at, logits));
    assert_eq!(found, Suspicion::Convicted);
}

#[test]
fn powers_of_probabilities_are_what_they_say() {
    let probabilities = [0.5, 0.25, 0.2, 0.05];
    let sums = tempered_sums(probabilities.into_iter());
    for (sum, temper) in sums.iter().zip(TEMPERS) {
        let exact: f64 = probabilities.iter().map(|p: &f64| p.powf(1.0 - f64::from(temper) / 16.0)).sum();
        assert!((sum - exact.ln()).abs() < 1e-12, "{temper}");
    }
    assert_eq!(tempered_sums(std::iter::once(1.0)), [0.0; TEMPERS.len()], "what is certain tells nothing");
}

#[test]
fn honest_servers_with_seeds_of_their_own_stay_clear() {
    for temperature_micro in [0, 300_000, 700_000, 1_000_000] {
        let asked = sampler(temperature_micro, 1);
        for seed in 2..6 {
            let own = sampler(temperature_micro, seed);
            let honest = |at: u64, logits: &[f32]| own.choose(at, logits);
            assert_eq!(suspicion(&ForeignBounds::USUAL, 60, &asked, honest), Suspicion::None, "{temperature_micro}");
            assert_eq!(suspicion(&TIGHT, 60, &asked, honest), Suspicion::None, "{temperature_micro}");
        }
    }
}

/// Other kernels, 8-bit weights: logits that are off by a tenth at random.
#[test]
fn honest_noise_is_within_the_usual_bounds() {
    for temperature_micro in [0, 700_000] {
        let (asked, own) = (sampler(temperature_micro, 1), sampler(temperature_micro, 2));
        let noisy = |at: u64, logits: &[f32]| {
            let off = |(token, logit): (usize, &f32)| logit + 0.1 * libm::sinf((at * 77) as f32 + token as f32 * 5.3);
            own.choose(at, &logits.iter().enumerate().map(off).collect::<Vec<f32>>())
        };
        assert_eq!(suspicion(&ForeignBounds::USUAL, 60, &asked, noisy), Suspicion::None, "{temperature_micro}");
    }
}

#[test]
fn cheats_are_convicted_whatever_their_seed() {
    let (asked, greedy) = (sampler(700_000, 1), sampler(0, 1));
    let usual = |jobs, draw: &dyn Fn(u64, &[f32]) -> u32| suspicion(&ForeignBounds::USUAL, jobs, &asked, draw);
    let (hot, cold) = (sampler(1_000_000, 2), sampler(400_000, 3));
    assert_eq!(usual(20, &|at, logits| hot.choose(at, logits)), Suspicion::Convicted, "too warm");
    assert_eq!(usual(20, &|at, logits| cold.choose(at, logits)), Suspicion::Convicted, "too cold");
    assert_eq!(usual(20, &|at, logits| greedy.choose(at, logits)), Suspicion::Convicted, "always the likeliest");
    assert_eq!(usual(1, &|at, _| (at % 64) as u32), Suspicion::Convicted, "canned text, in one job");
    // At temperature zero only what the truncation leaves out tells anything.
    let canned = |at: u64, _: &[f32]| (at % 64) as u32;
    assert_eq!(suspicion(&ForeignBounds::USUAL, 1, &greedy, canned), Suspicion::Convicted);
    let mostly_honest =
        |at: u64, logits: &[f32]| if at.is_multiple_of(8) { canned(at, logits) } else { greedy.choose(at, logits) };
    assert_eq!(
        suspicion(&ForeignBounds::USUAL, 12, &greedy, mostly_honest),
        Suspicion::Convicted,
        "one token in eight"
    );
}

/// SPEC V9: at the margin a token counts as kept, beyond it as outside.
#[test]
fn a_token_is_outside_beyond_the_margin() {
    let greedy = sampler(0, 0);
    let outside = |second: f32| {
        let check = greedy.check(0, &[2.0, second], 1);
        draw_statistics(&[check], &ForeignBounds::USUAL).draws.outside
    };
    assert_eq!([outside(2.0), outside(1.0), outside(0.999)], [0, 0, 1]);
    let warm = Sampler::new(SamplingParams { temperature_micro: 500_000, top_p_ppm: 1_000_000, top_k: 2 }, [0; 32]);
    let outside = |claimed: u32, third: f32| {
        let check = warm.check(0, &[3.0, 2.0, third], claimed);
        draw_statistics(&[check], &ForeignBounds::USUAL).draws.outside
    };
    assert_eq!([outside(0, 0.0), outside(1, 0.0), outside(2, 1.0), outside(2, 0.999)], [0, 0, 0, 1]);
    assert_eq!(outside(9, 0.0), 1, "no token at all");
    assert_eq!(draw_statistics(&[greedy.check(0, &[], 3)], &TIGHT).draws.outside, 1, "no logits at all");
}

/// What is paid for honest noise: a twentieth of a standard deviation, for each side and each bet.
#[test]
fn every_bet_pays_for_honest_noise() {
    let check = sampler(700_000, 1).check(0, &row(3), 5);
    let bets = |bounds: &ForeignBounds| draw_statistics(&[check], bounds).draws.bets;
    let (free, paid) = (bets(&TIGHT), bets(&ForeignBounds::USUAL));
    for ((free, paid), temper) in free.into_iter().zip(paid).zip(TEMPERS) {
        let cost = (free - paid) as f64 / LOG_ONE;
        let expected = f64::from(temper).abs() / 16.0 * 0.05 * check.variance.sqrt() * std::f64::consts::LOG2_E;
        assert!((cost - expected).abs() < 1e-6, "{temper}: {cost} instead of {expected}");
    }
}

#[test]
fn nothing_was_measured_of_no_tokens_and_damaged_logits_are_numbers() {
    let nothing = draw_statistics(&[], &ForeignBounds::USUAL);
    assert_eq!(nothing, ReplayStatistics::default());
    for logits in [vec![f32::NAN; 8], vec![f32::INFINITY; 8], vec![f32::NEG_INFINITY, 1.0], vec![f32::MAX, f32::MIN]] {
        for claimed in [0, 1, 99] {
            let check = sampler(1_000_000, 1).check(0, &logits, claimed);
            let found = draw_statistics(&[check], &ForeignBounds::USUAL);
            assert_eq!(found.draws.positions, 1);
            assert!(found.is_well_formed(), "{logits:?}");
        }
    }
}
