//! The record and the report: numbers for programs, words and pictures for people.

use inferium_sampling::{Bets, Detection, Inadmissible, Run, SequentialTest, confirm, detect};
use inferium_types::{Calibration, POSITION_KINDS, encode};
use plotters::prelude::*;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

/// What a calibration came to.
#[derive(Clone, Debug)]
pub struct CalibrationReport {
    /// The model's name.
    pub model: String,
    /// What was fitted.
    pub calibration: Calibration,
    /// How each control is met; also of an inadmissible profile.
    pub detections: Vec<Detection>,
    /// Why it can't be used, if so.
    pub refused: Option<Inadmissible>,
    /// Positions, share of flips, mean difference of log probabilities, mean error of sketches of each run.
    runs: Vec<(String, u64, f64, f64, f64)>,
}

/// Why the report was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file.
    #[error("{path}: {source}")]
    File {
        /// Which one.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A picture.
    #[error("the plot can't be drawn: {0}")]
    Plot(String),
}

impl CalibrationReport {
    /// Judges what was measured.
    #[must_use]
    pub fn new(model: String, calibration: Calibration, honest: &[Run], controls: &[Run]) -> Self {
        let (detections, refused) = match confirm(&calibration, honest, controls) {
            Ok(detections) => (detections, None),
            Err(reason) => (controls.iter().map(|control| detect(&calibration, control)).collect(), Some(reason)),
        };
        let runs = honest.iter().chain(controls).map(summary).collect();
        Self { model, calibration, detections, refused, runs }
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let calibration = &self.calibration;
        let shares = |shares: &[inferium_types::Ppm; POSITION_KINDS]| -> Vec<u32> {
            shares.iter().map(|share| share.get()).collect()
        };
        json!({
            "model": self.model,
            "admissible": self.refused.is_none(),
            "refused": self.refused.as_ref().map(ToString::to_string),
            "record": hex::encode(encode(calibration)),
            "corpus": calibration.corpus.to_string(),
            "honest_positions": calibration.positions,
            "flips_ppm": shares(&calibration.flips),
            "alternatives_ppm": calibration.alternatives.iter().map(shares).collect::<Vec<_>>(),
            "bad_margin_micro": calibration.bad_margin_micro,
            "bad_ppm": calibration.bad.get(),
            "bad_correlation_ppm": calibration.bad_correlation.get(),
            "logprob_clip_micro": calibration.logprob_clip_micro,
            "logprob_mean_ppm": calibration.logprob_mean.get(),
            "sketch_clip_micro": calibration.sketch_clip_micro,
            "sketch_mean_ppm": calibration.sketch_mean.get(),
            "sketch_gross_micro": calibration.sketch_gross_micro,
            "runs": self.runs.iter().map(|(name, positions, flips, logprob, sketch)| json!({
                "name": name, "positions": positions, "flips": flips, "logprob_difference": logprob, "sketch_error": sketch,
            })).collect::<Vec<_>>(),
            "controls": self.detections.iter().map(|d| json!({
                "name": d.name,
                "suspect_after_positions": d.suspect_after,
                "convicted_after_positions": d.convicted_after,
                "jobs_failed_alone": d.gross.0,
                "jobs_judged_alone": d.gross.1,
            })).collect::<Vec<_>>(),
        })
    }

    /// For people: Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = format!("# Calibration of {}\n\n", self.model);
        let verdict = match &self.refused {
            None => "**Admissible.** Honest work raises no suspicion, and every control is convicted.".to_owned(),
            Some(reason) => format!("**Not admissible**: {reason}."),
        };
        let _ = writeln!(
            text,
            "{verdict}\n\n{} honest positions. Half of the jobs fit, the other half confirm.\n",
            self.calibration.positions
        );
        text.push_str("| run | positions | flips | log probability, mean difference | sketch, mean error |\n| --- | ---: | ---: | ---: | ---: |\n");
        for (name, positions, flips, logprob, sketch) in &self.runs {
            let _ = writeln!(text, "| {name} | {positions} | {:.2} % | {logprob:.4} | {sketch:.4} |", flips * 100.0);
        }
        text.push_str(
            "\n| control | suspect after | convicted after | jobs that fail alone |\n| --- | ---: | ---: | ---: |\n",
        );
        for d in &self.detections {
            let after = |positions: Option<u64>| positions.map_or("never".to_owned(), |p| format!("{p} tokens"));
            let (suspect, convicted) = (after(d.suspect_after), after(d.convicted_after));
            let _ = writeln!(text, "| {} | {suspect} | {convicted} | {} of {} |", d.name, d.gross.0, d.gross.1);
        }
        text.push_str("\nPositions are counted in whole jobs.\n\n![Distributions](distributions.svg)\n\n![Detection](detection.svg)\n");
        text
    }
}

/// Writes `calibration.json`, `report.md`, `distributions.svg` and `detection.svg` into a folder.
///
/// # Errors
/// [`ReportError`].
pub fn write_report(
    report: &CalibrationReport,
    honest: &[Run],
    controls: &[Run],
    folder: &Path,
) -> Result<(), ReportError> {
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|source| ReportError::File { path: path.display().to_string(), source })
    };
    std::fs::create_dir_all(folder)
        .map_err(|source| ReportError::File { path: folder.display().to_string(), source })?;
    write("calibration.json", format!("{:#}\n", report.to_json()))?;
    write("report.md", report.to_markdown())?;
    distributions(honest, controls, &folder.join("distributions.svg")).map_err(|e| ReportError::Plot(e.to_string()))?;
    detection(&report.calibration, honest, controls, &folder.join("detection.svg"))
        .map_err(|e| ReportError::Plot(e.to_string()))
}

fn summary(run: &Run) -> (String, u64, f64, f64, f64) {
    let positions = run.jobs.iter().flat_map(|job| &job.positions);
    let count = positions.clone().count();
    let mean = |sum: f64, count: usize| if count == 0 { 0.0 } else { sum / count as f64 };
    let flips = positions.clone().filter(|position| !position.check.agrees()).count();
    let logprob: f64 = positions.map(|position| position.logprob_difference).sum();
    let errors: Vec<f64> = run.jobs.iter().flat_map(|job| job.sketch_errors.iter().copied()).collect();
    let sketch = mean(errors.iter().sum(), errors.len());
    (run.name.clone(), count as u64, mean(flips as f64, count), mean(logprob, count), sketch)
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Hues of neighbours are far apart; honest runs are black.
fn color(index: usize, honest: usize) -> RGBAColor {
    match index.checked_sub(honest) {
        None => BLACK.mix(0.7),
        Some(index) => HSLColor((index as f64 * 0.381_966).fract(), 0.8, 0.42).mix(1.0),
    }
}

/// A named line through points.
type Curve = (String, Vec<(f64, f64)>);

/// What a picture of [`Curve`]s says besides them.
struct Picture<'a> {
    caption: &'a str,
    /// Logarithmic.
    x: (&'a str, Range<f64>),
    y: (&'a str, Range<f64>),
    /// Heights to compare with.
    levels: &'a [f64],
}

/// Draws a curve for each run, the `honest` first ones in black.
fn draw(picture: Picture<'_>, curves: Vec<Curve>, honest: usize, path: &Path) -> Drawn {
    let Picture { caption, x: (x_name, x), y: (y_name, y), levels } = picture;
    let (first, last) = (x.start, x.end);
    let root = SVGBackend::new(path, (1_000, 560)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(caption, ("sans-serif", 20))
        .margin(15)
        .margin_right(250)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(x.log_scale(), y)?;
    chart.configure_mesh().x_desc(x_name).y_desc(y_name).draw()?;
    for level in levels {
        chart.draw_series(LineSeries::new([(first, *level), (last, *level)], RED.mix(0.5)))?;
    }
    for (index, (name, points)) in curves.into_iter().enumerate() {
        let style = color(index, honest).stroke_width(2);
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::Coordinate(770, 20))
        .border_style(BLACK.mix(0.2))
        .draw()?;
    root.present()?;
    Ok(())
}

/// Share of sketches with at most this error, for each run.
fn distributions(honest: &[Run], controls: &[Run], path: &Path) -> Drawn {
    const LEAST: f64 = 0.003;
    /// More points than these are no other picture.
    const POINTS: usize = 200;
    let curve = |run: &Run| {
        let mut errors: Vec<f64> = run.jobs.iter().flat_map(|job| job.sketch_errors.iter().copied()).collect();
        errors.sort_by(f64::total_cmp);
        let count = errors.len().max(1);
        let points = errors.iter().zip(1..).step_by(count.div_ceil(POINTS));
        let points = points.map(|(error, rank)| (error.max(LEAST), f64::from(rank) / count as f64));
        (run.name.clone(), points.collect())
    };
    let picture = Picture {
        caption: "Errors of sketches: share of all that are at most this large",
        x: ("relative error", LEAST..2.0),
        y: ("share", 0.0..1.0),
        levels: &[],
    };
    draw(picture, honest.iter().chain(controls).map(curve).collect(), honest.len(), path)
}

/// The sequential test's capital over the positions that were judged.
fn detection(calibration: &Calibration, honest: &[Run], controls: &[Run], path: &Path) -> Drawn {
    const LEAST: f64 = 1e-3;
    const MOST: f64 = 1e9;
    let bets = Bets::new(calibration);
    let curve = |run: &Run| {
        let mut test = SequentialTest::default();
        let mut positions = 0;
        let mut points = Vec::new();
        for job in run.jobs.iter().skip(1).step_by(2) {
            let statistics = job.statistics(calibration);
            positions += statistics.positions();
            test.judge(&bets, &statistics);
            points.push(((positions as f64).max(1.0), test.capital_log10(&bets).clamp(LEAST.log10(), MOST.log10())));
        }
        (run.name.clone(), points)
    };
    let curves: Vec<Curve> = honest.iter().chain(controls).map(curve).collect();
    let last = curves.iter().flat_map(|(_, points)| points.last()).fold(100.0_f64, |last, point| last.max(point.0));
    let picture = Picture {
        caption: "Evidence against a worker: suspect from 10², convicted from 10⁶",
        x: ("tokens judged", 20.0..last),
        y: ("log₁₀ of the evidence", LEAST.log10()..MOST.log10()),
        levels: &[2.0, 6.0],
    };
    draw(picture, curves, honest.len(), path)
}

#[cfg(test)]
mod tests;
