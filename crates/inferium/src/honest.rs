//! `inferium profile honest`: honest engines answer by the thousand, and a validator's own judgement rejects none of it.
//!
//! Segments go through all settings in turns: threads, jobs at once, instruction sets, and both classes. What is judged is what a
//! worker's job makes (`inferium-worker`), by what a validator votes on (`inferium-validator`): by equality where engines are
//! canonical; within a calibration's tolerance, and then by the sequential test of all jobs of one worker, where they add up in
//! another order, or are llama.cpp in programs that have it.

use crate::cli::{Failure, ModelsDir};
use crate::home::{calibration_dir, models_dir};
use crate::output;
use crate::progress::{PartsBar, print};
use clap::Args;
use futures::future::try_join_all;
use inferium_calibration::{Corpus, clopper_pearson, known_calibration};
use inferium_engine::source::ModelKind;
use inferium_engine::{Arithmetic, Deviation, Engine as _, LlamaEngine, LoadOptions, Model, Tier};
use inferium_sampling::{Bets, SequentialTest};
use inferium_types::{
    Calibration, Digest, EngineClass, JobId, JobLeaf, JobPayload, JobRequest, JobTotals, LeaseId, Ppm, ProfileId,
    ReplayStatistics, SegmentEvidence, SegmentTerms, Suspicion, TaskKind, VerdictVote, VerificationMode, VrfSecretKey,
    decode, encode, merkle_root, vrf_input,
};
use inferium_validator::{SegmentFacts, authenticate, check_segment};
use inferium_worker::{FinishedJob, answer_honestly};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

#[cfg(test)]
mod tests;

/// Jobs at once, at most: as many as an engine takes.
const BATCH_MAX: u32 = 8;
/// Threads of an engine, at most.
const THREADS_MAX: usize = 2;

/// `inferium profile honest`.
#[derive(Debug, Args)]
pub(crate) struct HonestArgs {
    /// The model; it needs a calibration that comes with this program.
    #[arg(default_value = crate::model::DEFAULT)]
    name: String,
    /// Jobs in all.
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    jobs: u32,
    /// Tokens of an answer at most.
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2_048))]
    tokens: u32,
    /// Where finished jobs are kept [default: a folder beside the models].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    models: ModelsDir,
}

/// What a worker computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Computes {
    /// Canonically, judged by equality.
    Canonically,
    /// In another order, judged within a tolerance.
    InAnotherOrder,
    /// With llama.cpp, judged within a tolerance.
    WithLlamaCpp,
}

impl Computes {
    /// Those that this program has.
    const fn all(with_llamacpp: bool) -> &'static [Self] {
        match with_llamacpp {
            true => &[Self::Canonically, Self::InAnotherOrder, Self::WithLlamaCpp],
            false => &[Self::Canonically, Self::InAnotherOrder],
        }
    }
}

/// How a segment's worker runs, from the segment's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Setting {
    computes: Computes,
    threads: usize,
    tier: Tier,
    /// Jobs at once, which are one segment.
    batch: u32,
}

impl Setting {
    /// Settings in turns: the batch first, then what computes, the threads and the instructions.
    fn of(segment: u32, computes: &[Computes], tiers: &[Tier]) -> Self {
        let mut turn = usize::try_from(segment / BATCH_MAX).unwrap_or(0);
        let mut take = |count: usize| {
            let (before, count) = (turn, count.max(1));
            turn = before / count;
            before % count
        };
        let computes = computes.get(take(computes.len())).copied().unwrap_or(Computes::Canonically);
        let threads = [1, THREADS_MAX].get(take(2)).copied().unwrap_or(1);
        let tier = tiers.get(take(tiers.len()));
        Self { computes, threads, tier: tier.copied().unwrap_or(Tier::Scalar), batch: segment % BATCH_MAX + 1 }
    }

    const fn is_tolerance(&self) -> bool {
        !matches!(self.computes, Computes::Canonically)
    }

    fn engine(&self, calibration: &Calibration) -> EngineClass {
        if self.is_tolerance() {
            EngineClass::Tolerance { verifier: Digest::ZERO, calibration: calibration.clone() }
        } else {
            EngineClass::Canonical { build: Digest::ZERO, tier: String::new() }
        }
    }

    const fn mode(&self) -> VerificationMode {
        if self.is_tolerance() { VerificationMode::Sampled } else { VerificationMode::Exact }
    }

    fn load(&self, path: &Path) -> Result<Model, Failure> {
        let plain = LoadOptions { threads: self.threads, max_batch: BATCH_MAX, ..LoadOptions::default() };
        let options = match self.computes {
            Computes::Canonically => LoadOptions { tier: Some(self.tier), ..plain },
            Computes::InAnotherOrder => LoadOptions {
                tier: Some(self.tier),
                deviation: Deviation { batch_dependent: true, ..Deviation::default() },
                ..plain
            },
            // Its instructions are those that it was compiled for.
            Computes::WithLlamaCpp => LoadOptions { arithmetic: Arithmetic::LlamaCpp, ..plain },
        };
        let engine = LlamaEngine::load(path, options).map_err(|error| Failure::failed(error.to_string()))?;
        Ok(Model::Chat(Arc::new(engine)))
    }
}

/// The instructions to try: all that this processor has but the portable ones, unless there are no others.
fn tiers() -> Vec<Tier> {
    let fast: Vec<Tier> = Tier::available().into_iter().filter(|tier| *tier != Tier::Scalar).collect();
    if fast.is_empty() { vec![Tier::Scalar] } else { fast }
}

/// A judged segment, as it is kept: a line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Judged {
    segment: u32,
    setting: String,
    is_tolerance: bool,
    jobs: u32,
    tokens: u64,
    /// Why it was rejected: the job and its fault.
    rejected: Option<String>,
    /// What was measured, encoded, in hex.
    statistics: Option<String>,
    milliseconds: u64,
}

/// Segments that are done, in a file that grows.
struct Kept {
    file: File,
    done: Vec<Judged>,
}

impl Kept {
    fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::failed(format!("{}: {error}", path.display()));
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(&error)),
        };
        // A line that was cut off is of a segment that is not done.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let done: Vec<Judged> =
            whole.lines().map(serde_json::from_str).collect::<Result<_, _>>().map_err(|error| failed(&error))?;
        if (0..).zip(&done).any(|(expected, judged): (u32, _)| judged.segment != expected) {
            return Err(failed(&"segments are missing; start anew in another folder"));
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(|error| failed(&error))?;
        file.set_len(whole.len() as u64).map_err(|error| failed(&error))?;
        Ok(Self { file, done })
    }

    fn add(&mut self, judged: Judged) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::failed(format!("finished jobs can't be kept: {error}"));
        let line = serde_json::to_string(&judged).map_err(|error| failed(&error))?;
        writeln!(self.file, "{line}").map_err(|error| failed(&error))?;
        self.done.push(judged);
        Ok(())
    }

    fn jobs(&self) -> u32 {
        self.done.iter().map(|judged| judged.jobs).sum()
    }
}

/// What is the same for all segments.
struct Bench {
    path: PathBuf,
    validator: Model,
    /// Of the build and the model: lines of others are no use.
    identity: Digest,
    calibration: Calibration,
    tokens: u32,
    computes: &'static [Computes],
    tiers: Vec<Tier>,
}

pub(crate) async fn run(arguments: HonestArgs) -> Result<(), Failure> {
    let (name, path) = crate::model::pull(&arguments.name, ModelKind::Chat, &models_dir(arguments.models.dir))?;
    let calibration = known_calibration(&name)
        .ok_or_else(|| Failure::usage(format!("no calibration of {name} comes with this program")))?;
    let engine =
        LlamaEngine::load(&path, LoadOptions::default()).map_err(|error| Failure::failed(error.to_string()))?;
    let (info, tiers) = (engine.model(), tiers());
    let computes = Computes::all(Arithmetic::LlamaCpp.is_built_in());
    let settings = format!("{} {tiers:?} {computes:?} {:?}", arguments.tokens, encode(&calibration));
    let identity = [info.weights_root.as_bytes().as_slice(), info.engine_build.as_bytes(), settings.as_bytes()];
    let identity = Digest::of("inferium/honest-jobs/1", &identity);
    let bench = Bench {
        path,
        validator: Model::Chat(Arc::new(engine)),
        identity,
        calibration,
        tokens: arguments.tokens,
        computes,
        tiers,
    };
    let folder = calibration_dir(arguments.out, &name);
    fs::create_dir_all(&folder).map_err(|error| Failure::failed(format!("{}: {error}", folder.display())))?;
    let file = folder.join(format!("honest-{}.jsonl", &identity.to_string()[..12]));
    let mut kept = Kept::open(&file)?;
    bench.go_on(&mut kept, arguments.jobs).await?;
    report(&bench.calibration, &kept.done, output::is_json())
}

impl Bench {
    /// Judges segment after segment until there are as many jobs.
    async fn go_on(&self, kept: &mut Kept, jobs: u32) -> Result<(), Failure> {
        let mut bar = PartsBar::new();
        let mut worker: Option<(Setting, Model)> = None;
        while kept.jobs() < jobs {
            bar.update("honest jobs", (0, 1), (kept.jobs().into(), jobs.into()));
            let segment = u32::try_from(kept.done.len()).unwrap_or(u32::MAX);
            let setting = Setting::of(segment, self.computes, &self.tiers);
            // An engine takes any batch.
            let engine_of = |setting: Setting| Setting { batch: 0, ..setting };
            let model = match &worker {
                Some((loaded, model)) if *loaded == engine_of(setting) => model.clone(),
                _ => {
                    let model = setting.load(&self.path)?;
                    worker = Some((engine_of(setting), model.clone()));
                    model
                }
            };
            let first = kept.jobs();
            kept.add(self.judge(segment, first, setting, &model).await?)?;
        }
        bar.done();
        Ok(())
    }

    /// One segment: its jobs at once, then a validator's vote on all of them.
    async fn judge(&self, segment: u32, first: u32, setting: Setting, worker: &Model) -> Result<Judged, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::failed(format!("segment {segment}: {error}"));
        let began = Instant::now();
        let number = segment.to_be_bytes();
        let of = |what: &str| Digest::of(what, &[self.identity.as_bytes(), &number]);
        let (lease, beacon) = (LeaseId::new(of("inferium/honest-lease/1")), of("inferium/honest-beacon/1"));
        let vrf = VrfSecretKey::from_entropy(*self.identity.as_bytes()).map_err(|error| failed(&error))?;
        let proof = vrf.prove(&vrf_input(&beacon, lease));
        let done = try_join_all((0..setting.batch).map(|index| {
            let payload = self.payload(first + index);
            let request = self.request(lease, first + index, &payload);
            let (worker, vrf_output) = (worker.clone(), proof.output());
            async move {
                answer_honestly(worker, setting.mode(), vrf_output, request?, payload).await.map_err(|e| failed(&e))
            }
        }))
        .await?;
        let leaves: Vec<JobLeaf> = done.iter().map(|job: &FinishedJob| job.leaf.clone()).collect();
        let root = merkle_root(&leaves.iter().map(JobLeaf::hash).collect::<Vec<_>>());
        let totals = JobTotals::of(&leaves).ok_or_else(|| failed(&"its totals overflow"))?;
        let terms = SegmentTerms { lease, index: 0, totals, root };
        let facts = SegmentFacts {
            id: terms.id(),
            terms,
            vrf: vrf.public_key(),
            beacon,
            seed: of("inferium/honest-draw/1"),
            replay: Ppm::ONE,
            profile: ProfileId::new(self.identity),
            kind: TaskKind::Inference,
            known_wrong: None,
            engine: setting.engine(&self.calibration),
            run: None,
        };
        let opened = (0..).zip(&done).map(|(index, job)| (index, job.evidence.opened(facts.id, &facts.seed, index)));
        let evidence = SegmentEvidence { segment: facts.id, vrf_proof: proof, leaves, jobs: opened.collect() };
        let vote = match authenticate(&facts, &evidence) {
            Ok(()) => check_segment(&facts, &evidence, &self.validator).await.map_err(|error| failed(&error))?,
            Err(error) => return Err(failed(&error)),
        };
        let Setting { threads, tier, batch, .. } = setting;
        let how = match setting.computes {
            Computes::WithLlamaCpp => "llama.cpp".to_owned(),
            Computes::Canonically | Computes::InAnotherOrder => tier.to_string(),
        };
        Ok(Judged {
            segment,
            setting: format!("{threads} threads, {how}, {batch} at once"),
            is_tolerance: setting.is_tolerance(),
            jobs: batch,
            tokens: totals.completion_tokens,
            rejected: match vote {
                VerdictVote::Invalid { job, fault } => Some(format!("job {job}: {fault:?}")),
                _ => None,
            },
            statistics: vote.statistics().map(|statistics| hex::encode(encode(statistics))),
            milliseconds: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// What job `number` asks: the calibration's questions, each time in other words.
    fn payload(&self, number: u32) -> JobPayload {
        let mut messages = Corpus { jobs: 1, tokens_max: self.tokens }.question(number).messages;
        if let Some(last) = messages.last_mut() {
            last.content.push_str(&format!(" ({number})"));
        }
        let salt = Digest::of("inferium/honest-salt/1", &[self.identity.as_bytes(), &number.to_be_bytes()]);
        JobPayload::chat(*salt.as_bytes(), messages, Vec::new())
    }

    fn request(&self, lease: LeaseId, number: u32, payload: &JobPayload) -> Result<JobRequest, Failure> {
        let prompt = self.validator.read(&payload.input).map_err(|error| Failure::failed(error.to_string()))?;
        Ok(JobRequest {
            job: JobId::new(Digest::of("inferium/honest-job/1", &[self.identity.as_bytes(), &number.to_be_bytes()])),
            lease,
            sequence: number.into(),
            attempt: 0,
            input_commitment: payload.commitment(),
            prompt_tokens: u32::try_from(prompt.tokens()).unwrap_or(u32::MAX),
            tokens_max: self.tokens,
            sampling: Corpus { jobs: 1, tokens_max: self.tokens }.question(number).sampling,
            client_seed: None,
        })
    }
}

/// All judged segments of one class, in sum.
#[derive(Debug, Clone, Default, PartialEq)]
struct Figures {
    jobs: u64,
    tokens: u64,
    /// Segments with a job that was rejected, and why.
    rejected: Vec<String>,
    settings: BTreeMap<String, u64>,
    milliseconds: u64,
    /// Of a tolerance profile: the worst that the test of one worker with all these jobs ever said, and its highest capital.
    worst: Option<(Suspicion, f64)>,
}

fn figures(calibration: &Calibration, done: &[Judged], is_tolerance: bool) -> Result<Figures, Failure> {
    let mut figures = Figures::default();
    let bets = Bets::new(calibration);
    let mut test = SequentialTest::default();
    for judged in done.iter().filter(|judged| judged.is_tolerance == is_tolerance) {
        figures.jobs += u64::from(judged.jobs);
        figures.tokens += judged.tokens;
        figures.milliseconds += judged.milliseconds;
        *figures.settings.entry(judged.setting.clone()).or_default() += u64::from(judged.jobs);
        if let Some(reason) = &judged.rejected {
            figures.rejected.push(format!("segment {}, {}: {reason}", judged.segment, judged.setting));
        }
        if let Some(text) = &judged.statistics {
            let damaged =
                |error: &dyn std::fmt::Display| Failure::failed(format!("segment {}: {error}", judged.segment));
            let bytes = hex::decode(text).map_err(|error| damaged(&error))?;
            let statistics: ReplayStatistics = decode(&bytes).map_err(|error| damaged(&error))?;
            test.judge(&bets, &statistics);
            let (now, capital) = (test.suspicion(&bets), test.capital_log10(&bets));
            let (worst, highest) = figures.worst.unwrap_or((now, capital));
            figures.worst = Some((worst.max(now), highest.max(capital)));
        }
    }
    Ok(figures)
}

/// Prints the figures; an error when anything honest was rejected or suspected.
fn report(calibration: &Calibration, done: &[Judged], is_json: bool) -> Result<(), Failure> {
    let classes = [("canonical", figures(calibration, done, false)?), ("tolerance", figures(calibration, done, true)?)];
    if is_json {
        let classes = classes.iter().map(|(class, figures)| {
            let Figures { jobs, tokens, rejected, settings, milliseconds, worst } = figures;
            json!({
                "class": class, "jobs": jobs, "tokens": tokens, "rejected_segments": rejected, "settings": settings,
                "rejection_interval_95": clopper_pearson(rejected.len() as u64, *jobs), "milliseconds": milliseconds,
                "suspicion": worst.map(|(suspicion, _)| suspicion.name()),
                "capital_log10_max": worst.map(|(_, capital)| capital),
            })
        });
        output::print_json(&json!({"classes": classes.collect::<Vec<_>>()}))?;
    } else {
        for (class, figures) in &classes {
            let Figures { jobs, tokens, rejected, settings, milliseconds, worst } = figures;
            let [_, most] = clopper_pearson(rejected.len() as u64, *jobs);
            print(&format!(
                "{class}: {jobs} jobs, {tokens} tokens, {} settings: {} rejected (at most 1 in {:.0} at 95 %), {:.0} ms a job",
                settings.len(),
                rejected.len(),
                1.0 / most,
                *milliseconds as f64 / (*jobs).max(1) as f64,
            ))?;
            if let Some((suspicion, capital)) = worst {
                print(&format!(
                    "  all as one worker: suspicion {}, capital at most 10^{capital:.2}",
                    suspicion.name()
                ))?;
            }
            rejected.iter().try_for_each(|reason| print(&format!("  {reason}")))?;
        }
    }
    let is_suspected = |figures: &Figures| figures.worst.is_some_and(|(suspicion, _)| suspicion > Suspicion::None);
    if classes.iter().any(|(_, figures)| !figures.rejected.is_empty() || is_suspected(figures)) {
        return Err(Failure::refused("honest work was rejected or suspected"));
    }
    Ok(())
}
