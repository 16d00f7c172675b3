//! `inferium profile`: calibration of tolerance profiles, and what honest engines come to.

use crate::cli::{Failure, ProfileCommand};
use crate::home::{calibration_dir, models_dir};
use crate::output;
use crate::progress::{PartsBar, print, say};
use inferium_calibration::{CalibrationReport, Corpus, calibrate, write_report};
use inferium_engine::source::ModelKind;

pub(crate) fn run(command: ProfileCommand) -> Result<(), Failure> {
    let (name, jobs, tokens, out, models) = match command {
        ProfileCommand::Calibrate { name, jobs, tokens, out, models } => (name, jobs, tokens, out, models),
        ProfileCommand::Honest(arguments) => return crate::run(crate::honest::run(arguments)),
    };
    let (name, path) = crate::model::pull(&name, ModelKind::Chat, &models_dir(models.dir))?;
    let folder = calibration_dir(out, &name);
    let mut bar = PartsBar::new();
    let corpus = Corpus { jobs, tokens_max: tokens };
    let (calibration, honest, controls) = calibrate(&path, corpus, &folder, |progress| {
        bar.update(progress.run, progress.runs, (progress.jobs.0.into(), progress.jobs.1.into()));
    })
    .map_err(|error| Failure::failed(error.to_string()))?;
    bar.done();
    let report = CalibrationReport::new(name, calibration, &honest, &controls);
    write_report(&report, &honest, &controls, &folder).map_err(|error| Failure::failed(error.to_string()))?;
    if output::is_json() {
        output::print_json(&report.to_json())?;
    } else {
        print(&report.to_markdown())?;
    }
    say(&format!("report: {}", folder.join("report.md").display()));
    match &report.refused {
        None => Ok(()),
        Some(reason) => Err(Failure::refused(format!("the profile is not admissible: {reason}"))),
    }
}
