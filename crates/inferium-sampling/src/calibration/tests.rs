use super::*;
use crate::measures::PositionMeasures;
use crate::{Draw, PositionCheck, philox4x32_10};

/// A calibration of plausible figures.
pub(crate) fn calibration() -> Calibration {
    fit(Digest::ZERO, &[engine("honest", 1, HONEST)], &[engine("int4", 2, INT4)], &["int4"]).unwrap()
}

/// Scale of the noise of logits, error of sketches.
type Noise = (f64, f64);
const HONEST: Noise = (0.04, 0.02);
const OTHER: Noise = (0.045, 0.022);
const INT4: Noise = (0.8, 0.35);

struct Numbers(u32, u32);

impl Numbers {
    /// Uniform in (0, 1).
    fn uniform(&mut self) -> f64 {
        self.1 += 1;
        let [random, ..] = philox4x32_10([self.1, self.0, 0, 0], [3, 3]);
        (f64::from(random) + 0.5) / 4_294_967_296.0
    }

    fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (v * std::f64::consts::TAU).cos()
    }
}

/// 80 jobs of 100 positions: gaps as exponential as real ones, flips where the noise exceeds the gap.
fn engine(name: &str, seed: u32, (noise, error): Noise) -> Run {
    let mut numbers = Numbers(seed, 0);
    let mut job = || {
        let mut job = JobMeasures { is_covered: true, ..JobMeasures::default() };
        for index in 0..100_u32 {
            let gap = -2.0 * numbers.uniform().ln();
            let margin = (numbers.normal() * noise - gap).max(0.0);
            let check = PositionCheck {
                choice: 0,
                gap,
                margin,
                reach: margin,
                surprisal: numbers.normal(),
                variance: 1.0,
                draw: Draw::CERTAIN,
            };
            let logprob_difference = (numbers.normal() * noise).abs();
            job.positions.push(PositionMeasures { check, context_tokens: 50 + index, logprob_difference });
            if index % 8 == 0 {
                job.sketch_errors.push((error * (1.0 + numbers.normal() * 0.18)).max(0.0));
            }
        }
        job
    };
    Run { name: name.to_owned(), jobs: (0..80).map(|_| job()).collect() }
}

#[test]
fn what_separates_is_admitted_with_its_detection() {
    let honest = [engine("one", 1, HONEST), engine("other", 2, OTHER)];
    let controls = [engine("int8", 3, (0.12, 0.05)), engine("int4", 4, INT4)];
    let fitted = fit(Digest::ZERO, &honest, &controls, &["int8", "int4"]).unwrap();
    assert_eq!((fitted.positions, fitted.alternatives.len()), (16_000, 2));
    for shares in &fitted.alternatives {
        assert!(shares.iter().zip(&fitted.flips).all(|(share, honest)| share >= honest));
    }
    // Ceilings are above what was measured, and contexts that nobody had bound nothing.
    assert!(fitted.flips[0].get() > 100_000 && fitted.flips[5].get() < 20_000, "{:?}", fitted.flips);
    assert!(fitted.flips[6..].iter().all(|share| share.get() == 0));
    let detections = confirm(&fitted, &honest, &controls).unwrap();
    let [int8, int4] = &detections[..] else { panic!("{detections:?}") };
    assert!(int4.convicted_after <= Some(200) && int4.suspect_after <= int4.convicted_after, "{int4:?}");
    assert!(int8.convicted_after.is_some_and(|after| after <= 4_000), "{int8:?}");
    assert!(int4.gross.0 == int4.gross.1 && int4.gross.1 == 40, "each job by itself: {int4:?}");
}

#[test]
fn what_does_not_separate_is_refused_by_name() {
    let honest = [engine("one", 1, HONEST)];
    let twin = [engine("twin", 9, HONEST)];
    let fitted = fit(Digest::ZERO, &honest, &twin, &["twin"]).unwrap();
    let refused = confirm(&fitted, &honest, &twin).unwrap_err();
    assert_eq!(refused, Inadmissible::Control { name: "twin".into(), positions: 4_000 });
    // Honest engines that were not measured are not covered.
    let stranger = [engine("stranger", 5, (0.3, 0.2))];
    assert!(matches!(confirm(&fitted, &stranger, &[]), Err(Inadmissible::Honest { name, .. }) if name == "stranger"));
    let mut few = engine("few", 1, HONEST);
    few.jobs.truncate(19);
    let refused = fit(Digest::ZERO, &[few], &[], &[]).unwrap_err();
    assert_eq!(refused, Inadmissible::TooFew { found: 1_900 });
}

#[test]
fn the_worst_engine_sets_the_ceilings() {
    let (one, other) = (engine("one", 1, HONEST), engine("other", 2, (0.08, 0.04)));
    let alone = fit(Digest::ZERO, std::slice::from_ref(&other), &[], &[]).unwrap();
    let both = fit(Digest::ZERO, &[one, other], &[], &[]).unwrap();
    for (both, alone) in both.flips.iter().zip(&alone.flips) {
        assert!(both >= alone);
    }
    assert!(both.bad >= alone.bad || both.bad_margin_micro < alone.bad_margin_micro);
}

#[test]
fn empty_and_infinite_figures_break_nothing() {
    let mut broken = engine("broken", 1, HONEST);
    for job in &mut broken.jobs {
        job.sketch_errors.clear();
        job.positions[0].check.margin = f64::INFINITY;
        job.positions[0].logprob_difference = f64::NAN;
    }
    let fitted = fit(Digest::ZERO, std::slice::from_ref(&broken), &[], &["nobody"]).unwrap();
    assert_eq!((fitted.sketch_mean.get(), fitted.alternatives.len()), (0, 0));
    assert!(fitted.bad_margin_micro > 0 && fitted.logprob_clip_micro > 0);
    assert_eq!(detect(&fitted, &broken).name, "broken");
}
