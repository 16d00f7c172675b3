//! The runs: who answers how, and what a validator's replay measures of it.

use crate::corpus::{Corpus, Question};
use borsh::{BorshDeserialize, BorshSerialize};
use inferium_engine::{
    Arithmetic, Deviation, Engine, EngineError, GenerateRequest, LlamaEngine, LoadError, LoadOptions, Measured,
    ReplayRequest, Step, WeakCache, WeakFormat,
};
use inferium_sampling::{
    Draw, Fingerprint, Inadmissible, InvalidWindows, JobMeasures, PositionCheck, PositionMeasures, ReplayedPosition,
    Run, compare, covers, fit,
};
use inferium_types::{Calibration, Digest, MeasuredEvidence, Shaping};
use std::path::Path;

#[cfg(test)]
mod tests;

/// Cheats whose flips of tokens the calibration bets on, mildest first.
const ALTERNATIVES: [&str; 6] =
    ["temperature-0.8-for-0.7", "fp8-cache", "no-system-prompt", "temperature-1.0-for-0.7", "int4-weights", "own-seed"];

/// What a worker does that is not what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Control {
    /// Nothing but its engine's deviation, if any.
    #[default]
    EngineOnly,
    /// Leaves the system prompt out.
    DropsSystemPrompt,
    /// Draws at this temperature, in millionths, what is to be drawn at 0.7: all of its questions are.
    Temperature(u32),
    /// Draws with a seed of its own.
    OwnSeed,
    /// Answers several times with seeds of its own, and hands in the longest answer.
    BestOf(u8),
    /// Hands in the log probabilities of the true model's prefill over its own tokens.
    ForgesLogprobs,
    /// Hands in sketches of another position.
    ForgesSketches,
}

/// One run's engine and behaviour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// How the engine departs from the canonical one.
    pub deviation: Deviation,
    /// Whose arithmetic it computes with.
    pub arithmetic: Arithmetic,
    /// Threads of the engine.
    pub threads: usize,
    /// Answers at once.
    pub batch: usize,
    /// What the worker does.
    pub control: Control,
}

impl Setting {
    fn new(name: &'static str, deviation: Deviation, control: Control) -> Self {
        Self { name, deviation, arithmetic: Arithmetic::Canonical, threads: 2, batch: 4, control }
    }
}

fn stock() -> Deviation {
    Deviation { batch_dependent: true, ..Deviation::default() }
}

/// Honest engines: bits that are equal, and bits that can't be. Those of llama.cpp are among them when it is built in, on one
/// thread: two of its threads wait for each other busily, and a calibration runs beside other work.
#[must_use]
pub fn honest_settings() -> Vec<Setting> {
    let honest = |name, deviation, threads, batch| Setting {
        threads,
        batch,
        ..Setting::new(name, deviation, Control::EngineOnly)
    };
    let mut settings = vec![
        honest("canonical", Deviation::default(), 2, 4),
        honest("stock-1-thread-alone", stock(), 1, 1),
        honest("stock-2-threads-batch-4", stock(), 2, 4),
        honest("stock-2-threads-batch-8", stock(), 2, 8),
    ];
    if Arithmetic::LlamaCpp.is_built_in() {
        let llamacpp =
            |name, batch| Setting { arithmetic: Arithmetic::LlamaCpp, ..honest(name, Deviation::default(), 1, batch) };
        settings.extend([llamacpp("llamacpp-alone", 1), llamacpp("llamacpp-batch-4", 4)]);
    }
    settings
}

/// The cheats that a calibration must tell from honest work.
#[must_use]
pub fn controls() -> Vec<Setting> {
    let engine = |name, deviation: Deviation| {
        Setting::new(name, Deviation { batch_dependent: true, ..deviation }, Control::EngineOnly)
    };
    let behaviour = |name, control| Setting::new(name, stock(), control);
    let plain = Deviation::default;
    vec![
        engine("w8a8-rows", Deviation { weights: Some(WeakFormat::Q8Rows), coarse_activations: true, ..plain() }),
        engine("fp8-cache", Deviation { cache: Some(WeakCache::Fp8), ..plain() }),
        engine("int4-cache", Deviation { cache: Some(WeakCache::Int4), ..plain() }),
        engine("int4-weights", Deviation { weights: Some(WeakFormat::Q4_0), ..plain() }),
        engine("two-layers-less", Deviation { skipped_layers: 2, ..plain() }),
        behaviour("no-system-prompt", Control::DropsSystemPrompt),
        behaviour("temperature-0.8-for-0.7", Control::Temperature(800_000)),
        behaviour("temperature-1.0-for-0.7", Control::Temperature(1_000_000)),
        behaviour("own-seed", Control::OwnSeed),
        behaviour("best-of-4", Control::BestOf(4)),
        Setting {
            control: Control::ForgesLogprobs,
            ..engine("int4-weights-forged-logprobs", Deviation { weights: Some(WeakFormat::Q4_0), ..plain() })
        },
        behaviour("forged-sketches", Control::ForgesSketches),
    ]
}

/// How far a calibration has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The run.
    pub run: &'a str,
    /// Runs before it, and in all.
    pub runs: (usize, usize),
    /// Jobs of this run that are done, and all of them.
    pub jobs: (u32, u32),
}

/// Why a calibration ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// The model can't be loaded.
    #[error("{0}")]
    Load(#[from] LoadError),
    /// The engine refused a job.
    #[error("{0}")]
    Engine(#[from] EngineError),
    /// A finished run can't be written or read.
    #[error("{path}: {reason}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Too little was measured.
    #[error("{0}")]
    Inadmissible(#[from] Inadmissible),
    /// An answer's figures contradict themselves: a mistake of ours.
    #[error("{0}")]
    Windows(#[from] InvalidWindows),
}

/// Measures all runs and fits a calibration. Runs that `folder` holds already are not repeated.
///
/// Returns the calibration, the honest runs and the controls; whether it is admissible is for
/// [`inferium_sampling::confirm`] to say. Takes about a minute for 5,000 tokens of each run.
///
/// # Errors
/// [`CalibrationError`].
pub fn calibrate(
    model: &Path,
    corpus: Corpus,
    folder: &Path,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<(Calibration, Vec<Run>, Vec<Run>), CalibrationError> {
    let canonical = LlamaEngine::load(model, LoadOptions { threads: 2, ..LoadOptions::default() })?;
    // What was measured with other code, another model, other questions or other engines is no use.
    let info = canonical.model();
    let mut of = vec![corpus.digest(), info.weights_root, info.engine_build];
    if Arithmetic::LlamaCpp.is_built_in() {
        of.push(Arithmetic::LlamaCpp.build());
    }
    let parts: Vec<&[u8]> = of.iter().map(|digest| digest.as_bytes().as_slice()).collect();
    let digest = Digest::of("inferium/calibration/1", &parts);
    let folder = folder.join(format!("runs-{}", &digest.to_string()[..12]));
    std::fs::create_dir_all(&folder).map_err(|error| file_error(&folder, &error))?;

    let (honest, controls) = (honest_settings(), controls());
    let all = honest.len() + controls.len();
    let mut runs = Vec::with_capacity(all);
    for (index, setting) in honest.iter().chain(&controls).enumerate() {
        let path = folder.join(format!("{}.run", setting.name));
        let jobs = match read_run(&path)? {
            Some(jobs) => jobs,
            None => {
                let mut tell = |done| {
                    progress(Progress { run: setting.name, runs: (index, all), jobs: (done, corpus.jobs) });
                };
                let jobs = measure_run(&canonical, model, corpus, setting, &mut tell)?;
                write_run(&path, &jobs)?;
                jobs
            }
        };
        runs.push(Run { name: setting.name.to_owned(), jobs });
    }
    let cheats = runs.split_off(honest.len());
    Ok((fit(digest, &runs, &cheats, &ALTERNATIVES)?, runs, cheats))
}

/// Lets a worker of this setting answer the corpus, and replays its answers.
fn measure_run(
    canonical: &LlamaEngine,
    model: &Path,
    corpus: Corpus,
    setting: &Setting,
    tell: &mut dyn FnMut(u32),
) -> Result<Vec<JobMeasures>, CalibrationError> {
    let options = LoadOptions {
        threads: setting.threads,
        deviation: setting.deviation.clone(),
        arithmetic: setting.arithmetic,
        ..LoadOptions::default()
    };
    let worker = LlamaEngine::load(model, options)?;
    let mut jobs = Vec::with_capacity(corpus.jobs as usize);
    let indexes: Vec<u32> = (0..corpus.jobs).collect();
    for batch in indexes.chunks(setting.batch.max(1)) {
        let questions: Vec<Question> = batch.iter().map(|index| question(corpus, setting, *index)).collect();
        for (question, claimed) in questions.iter().zip(answer(&worker, corpus, setting, &questions)?) {
            jobs.push(judge(canonical, setting, question, &claimed)?);
            tell(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
        }
    }
    Ok(jobs)
}

/// What is asked in a run: the corpus, but of a cheat with temperatures only what it can cheat with.
fn question(corpus: Corpus, setting: &Setting, index: u32) -> Question {
    match setting.control {
        Control::Temperature(_) => corpus.question_at_070(index),
        _ => corpus.question(index),
    }
}

/// The worker's answers, as it hands them in.
fn answer(
    worker: &LlamaEngine,
    corpus: Corpus,
    setting: &Setting,
    questions: &[Question],
) -> Result<Vec<Vec<Step>>, CalibrationError> {
    let tries: u8 = match setting.control {
        Control::BestOf(tries) => tries.max(1),
        _ => 1,
    };
    let mut best: Vec<Vec<Step>> = vec![Vec::new(); questions.len()];
    for attempt in 0..tries {
        let streams = questions
            .iter()
            .map(|question| worker.generate(request(worker, corpus, setting, question, attempt)?))
            .collect::<Result<Vec<_>, EngineError>>()?;
        for (mut stream, best) in streams.into_iter().zip(&mut best) {
            let mut steps = Vec::new();
            while let Some(step) = stream.blocking_recv() {
                steps.push(step?);
            }
            if steps.len() > best.len() {
                *best = steps;
            }
        }
    }
    Ok(best)
}

/// What the worker asks of its engine.
fn request(
    worker: &LlamaEngine,
    corpus: Corpus,
    setting: &Setting,
    question: &Question,
    attempt: u8,
) -> Result<GenerateRequest, EngineError> {
    let mut messages = question.messages.clone();
    let (mut sampling, mut seed) = (question.sampling, question.seed);
    match setting.control {
        Control::DropsSystemPrompt => messages.retain(|message| message.role != "system"),
        Control::Temperature(micro) => sampling.temperature_micro = micro,
        Control::OwnSeed | Control::BestOf(_) => {
            seed = *Digest::of("inferium/calibration-own-seed/1", &[&seed, &[attempt]]).as_bytes();
        }
        _ => {}
    }
    let prompt = worker.render_chat(&messages)?;
    Ok(GenerateRequest {
        prompt,
        max_tokens: corpus.tokens_max,
        sampling,
        seed,
        shaping: Shaping::default(),
        prefix_scope: None,
        measure: true,
    })
}

/// Replays an answer as a validator does, and compares with what the worker shows of it.
fn judge(
    canonical: &LlamaEngine,
    setting: &Setting,
    question: &Question,
    claimed: &[Step],
) -> Result<JobMeasures, CalibrationError> {
    let prompt = canonical.render_chat(&question.messages)?;
    let prompt_tokens = u32::try_from(prompt.len()).unwrap_or(u32::MAX);
    let output = claimed.iter().map(|step| step.token).collect();
    let request = ReplayRequest {
        prompt,
        output,
        sampling: question.sampling,
        seed: question.seed,
        shaping: Shaping::default(),
        prefix_scope: None,
        measure: true,
    };
    let own = canonical.replay(request)?.blocking_recv().map_err(|_| EngineError::Stopped)??;
    let measured: Vec<&Measured> = own.iter().filter_map(|step| step.measured.as_deref()).collect();
    let evidence = show(setting, question, claimed, &measured);
    let replayed: Vec<ReplayedPosition<'_>> = measured
        .iter()
        .filter_map(|own| Some(ReplayedPosition { check: own.check?, logprob: own.logprob, hidden: &own.hidden }))
        .collect();
    let fresh = *Digest::of("inferium/calibration-fresh/1", &[&question.seed]).as_bytes();
    let measures = compare(question.seed, fresh, &evidence, &replayed, prompt_tokens)?;
    Ok(JobMeasures { is_covered: covers(&question.sampling), ..measures })
}

/// What the worker shows of its run. Half of its windows are opened, as in short answers.
fn show(setting: &Setting, question: &Question, claimed: &[Step], truth: &[&Measured]) -> MeasuredEvidence {
    let mut fingerprint = Fingerprint::new(question.seed);
    for (index, step) in claimed.iter().enumerate() {
        let Some(own) = step.measured.as_deref() else { continue };
        let logprob = match setting.control {
            Control::ForgesLogprobs => truth.get(index).map_or(own.logprob, |truth| truth.logprob),
            _ => own.logprob,
        };
        let state = match setting.control {
            Control::ForgesSketches => claimed.get(index + 1).and_then(|next| next.measured.as_deref()).unwrap_or(own),
            _ => own,
        };
        fingerprint.push(logprob, &state.hidden);
    }
    let mut evidence = fingerprint.finish();
    evidence.opened.retain(|opened| opened.window % 2 == 1);
    evidence
}

type KeptPosition = ([f64; 5], u32, u32);

/// A job as it is kept: gap, margin, surprisal, variance, difference and context of each position, then sketch errors.
#[derive(BorshSerialize, BorshDeserialize)]
struct KeptJob {
    positions: Vec<KeptPosition>,
    sketch_errors: Vec<f64>,
}

fn file_error(path: &Path, reason: &dyn std::fmt::Display) -> CalibrationError {
    CalibrationError::File { path: path.display().to_string(), reason: reason.to_string() }
}

fn write_run(path: &Path, jobs: &[JobMeasures]) -> Result<(), CalibrationError> {
    let kept: Vec<KeptJob> = jobs
        .iter()
        .map(|job| KeptJob {
            positions: job
                .positions
                .iter()
                .map(|PositionMeasures { check: c, context_tokens, logprob_difference }| {
                    ([c.gap, c.margin, c.surprisal, c.variance, *logprob_difference], c.choice, *context_tokens)
                })
                .collect(),
            sketch_errors: job.sketch_errors.clone(),
        })
        .collect();
    let bytes = borsh::to_vec(&kept).map_err(|error| file_error(path, &error))?;
    // Whole or not at all: a run that was cut short must not look finished.
    let partial = path.with_extension("partial");
    std::fs::write(&partial, bytes)
        .and_then(|()| std::fs::rename(&partial, path))
        .map_err(|error| file_error(path, &error))
}

fn read_run(path: &Path) -> Result<Option<Vec<JobMeasures>>, CalibrationError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file_error(path, &error)),
    };
    let kept: Vec<KeptJob> = borsh::from_slice(&bytes).map_err(|error| file_error(path, &error))?;
    let position = |([gap, margin, surprisal, variance, logprob_difference], choice, context_tokens): KeptPosition| {
        PositionMeasures {
            // How far a token reaches is for ends of answers, and draws are for foreign profiles: no run keeps either.
            check: PositionCheck { choice, gap, margin, reach: margin, surprisal, variance, draw: Draw::CERTAIN },
            context_tokens,
            logprob_difference,
        }
    };
    Ok(Some(
        kept.into_iter()
            .map(|job| JobMeasures {
                positions: job.positions.into_iter().map(position).collect(),
                sketch_errors: job.sketch_errors,
                is_covered: true,
            })
            .collect(),
    ))
}
