//! SPEC V6: where engines can't agree bit by bit, honest noise passes, gross faults and contradictions do not, and evidence
//! that is not the worker's own convicts no one.

use super::*;
use inferium_types::{Calibration, LOGPROB_STEPS, OPENED_WINDOWS, POSITION_KINDS, ReplayStatistics};

/// What mocks that are off by 20 thousandths show at most, with room.
pub(super) fn calibration() -> Calibration {
    Calibration {
        corpus: Digest::ZERO,
        positions: 0,
        flips: [Ppm::new(30_000); POSITION_KINDS],
        alternatives: vec![[Ppm::new(300_000); POSITION_KINDS]],
        bad_margin_micro: 50_000,
        bad: Ppm::new(3_000),
        bad_correlation: Ppm::new(1_000),
        logprob_clip_micro: 200_000,
        logprob_mean: Ppm::new(200_000),
        sketch_clip_micro: 200_000,
        sketch_mean: Ppm::new(200_000),
        sketch_gross_micro: 300_000,
    }
}

fn noisy(sequence: u64) -> Plan {
    Plan { tokens_max: 100, noise_milli: Some(20), ..plan(sequence) }
}

pub(super) fn drawn(jobs: &[Job]) -> (SegmentFacts, SegmentEvidence) {
    let (facts, evidence) = segment(jobs, Ppm::ONE);
    let engine = EngineClass::Tolerance { verifier: Digest::ZERO, calibration: calibration() };
    (SegmentFacts { engine, ..facts }, evidence)
}

async fn measured(jobs: &[Job]) -> VerdictVote {
    let (facts, evidence) = drawn(jobs);
    vote(&facts, &evidence).await
}

fn statistics(vote: &VerdictVote) -> ReplayStatistics {
    *vote.statistics().unwrap_or_else(|| panic!("{vote:?}"))
}

fn fault(vote: VerdictVote) -> (u32, JobFault) {
    match vote {
        VerdictVote::Invalid { job, fault } => (job, fault),
        other => panic!("{other:?}"),
    }
}

/// After a change of what is shown: the root binds it.
fn bind(mut job: Job) -> Job {
    job.leaf.result.evidence_root = job.evidence.measured.as_ref().unwrap().root();
    job
}

#[tokio::test]
async fn honest_noise_is_measured_and_nothing_is_wrong_with_it() {
    let plans = [
        noisy(0),
        Plan { temperature_micro: 0, ..noisy(1) },
        Plan { client_seed: Some(42), tokens_max: 33, ..noisy(2) },
        Plan { cancel_after: Some(0), ..noisy(3) },
        Plan { cancel_after: Some(5), ..noisy(4) },
        Plan { tokens_max: 1, ..noisy(5) },
    ];
    let mut jobs = Vec::new();
    for plan in plans {
        jobs.push(work(plan).await);
    }
    let vote = measured(&jobs).await;
    let found = statistics(&vote);
    assert!(found.is_well_formed());
    assert_eq!(found.positions(), 100 + 100 + 33 + 5 + 1);
    assert_eq!(found.sketches.count, 16 + 16 + 5 + 4 + 1);
    let means = [found.logprobs.mean_ppm().unwrap(), found.sketches.mean_ppm().unwrap()];
    assert!(means.iter().all(|mean| (1..200_000).contains(mean)), "{means:?}");

    // Whoever replays on the canonical engine measures the same to the bit, and has the same effort.
    let (facts, evidence) = drawn(&jobs);
    let other = check_segment(&facts, &evidence, &model_of(0)).await.unwrap();
    assert_eq!(other, vote);

    // Canonical work is honest work.
    let exact = measured(&[work(Plan { noise_milli: Some(0), ..noisy(0) }).await]).await;
    assert_eq!((statistics(&exact).flips(), statistics(&exact).bad), (0, 0));
}

#[tokio::test]
async fn gross_faults_of_one_job_are_found() {
    let other_seed = work(Plan { own_seed: true, ..noisy(1) }).await;
    assert_eq!(fault(measured(&[work(noisy(0)).await, other_seed]).await), (1, JobFault::GrossTokens));
    let other_weights = work(Plan { flavour: 1, temperature_micro: 0, ..noisy(0) }).await;
    assert_eq!(fault(measured(&[other_weights]).await), (0, JobFault::GrossTokens));

    // The right tokens over other hidden states.
    let mut states = work(noisy(0)).await;
    let prompt = engine_of(0).render_chat(states.evidence.payload.as_chat().unwrap().0).unwrap();
    let mut fingerprint = Fingerprint::new(replay_seed(&states.leaf.request, &prompt, &vrf_output()));
    for logprob in states.evidence.measured.iter().flat_map(|shown| &shown.windows).flat_map(|window| &window.logprobs)
    {
        fingerprint.push(f64::from(*logprob) / LOGPROB_STEPS, &[100.0; 32]);
    }
    states.evidence.measured = Some(fingerprint.finish());
    assert_eq!(fault(measured(&[bind(states)]).await), (0, JobFault::GrossSketches));
}

#[tokio::test]
async fn checks_without_noise_are_as_exact_as_ever() {
    let mut edited = work(noisy(0)).await;
    edited.text().push('!');
    edited.recommit();
    assert_eq!(fault(measured(&[edited]).await), (0, JobFault::Text));

    let mut unknown = work(noisy(0)).await;
    unknown.write(|tokens| tokens[3] = 99_999);
    unknown.recommit();
    assert_eq!(fault(measured(&[unknown]).await), (0, JobFault::Token));
}

/// An answer that was cut short: its end-of-text is no near-tie.
#[tokio::test]
async fn an_end_that_the_model_did_not_make_is_found() {
    const END: u32 = 257;
    let mut job = work(noisy(0)).await;
    job.write(|tokens| {
        tokens.truncate(9);
        tokens.push(END);
    });
    job.leaf.result.usage.completion_tokens = 10;
    job.leaf.result.finish = FinishReason::EndOfText;
    let measured_part = work(Plan { tokens_max: 10, ..noisy(0) }).await.evidence.measured;
    job.evidence.measured = measured_part;
    job.recommit();
    assert_eq!(fault(measured(&[bind(job)]).await), (0, JobFault::Finish));
}

#[tokio::test]
async fn windows_that_contradict_themselves_are_found() {
    let change = async |change: &dyn Fn(&mut MeasuredEvidence)| {
        let mut job = work(noisy(0)).await;
        change(job.evidence.measured.as_mut().unwrap());
        fault(measured(&[bind(job)]).await)
    };
    assert_eq!(change(&|shown| shown.windows.truncate(3)).await, (0, JobFault::Windows));
    assert_eq!(change(&|shown| shown.windows[0].logprobs[5] = 1).await, (0, JobFault::Windows));
    let shorter = |shown: &mut MeasuredEvidence| shown.windows[2].logprobs.truncate(31);
    assert_eq!(change(&shorter).await, (0, JobFault::Windows));
    // Sketches over vectors that they are not of: found where they are opened.
    let forged = |shown: &mut MeasuredEvidence| {
        for window in &mut shown.windows {
            window.sketches[0].values[0] = window.sketches[0].values[0].wrapping_add(40);
        }
    };
    assert_eq!(change(&forged).await, (0, JobFault::Windows));
}

/// Anyone can send bytes: only the worker's own, and just those that the draw opens, say anything about it.
#[tokio::test]
async fn evidence_that_is_not_bound_or_not_drawn_is_refused() {
    let job = work(Plan { tokens_max: 200, ..noisy(0) }).await;
    let (facts, evidence) = drawn(std::slice::from_ref(&job));
    authenticate(&facts, &evidence).unwrap();
    let opened = evidence.jobs[0].1.measured.as_ref().unwrap().opened.clone();
    assert_eq!(opened.len(), OPENED_WINDOWS);
    let refused = |change: &dyn Fn(&mut JobEvidence)| {
        let mut evidence = evidence.clone();
        change(&mut evidence.jobs[0].1);
        authenticate(&facts, &evidence).unwrap_err()
    };
    let changes: [&dyn Fn(&mut JobEvidence); 7] = [
        &|shown| shown.measured = None,
        &|shown| shown.measured.as_mut().unwrap().windows[0].logprobs[0] -= 1,
        &|shown| shown.measured.as_mut().unwrap().windows[1].sketches[0].scale += 1,
        &|shown| shown.measured.as_mut().unwrap().opened[0].hidden[0] ^= 1,
        &|shown| shown.measured.as_mut().unwrap().opened.truncate(1),
        &|shown| shown.measured.as_mut().unwrap().opened.reverse(),
        // All windows, also those that the draw leaves closed.
        &|shown| shown.measured = job.evidence.measured.clone(),
    ];
    for change in changes {
        assert_eq!(refused(change), InvalidEvidence::Windows { job: 0 });
    }
    // Where replay is equality nothing of a run is shown.
    let (exact, evidence) = segment(&[work(plan(0)).await], Ppm::ONE);
    let mut more = evidence.clone();
    more.jobs[0].1.measured = Some(MeasuredEvidence::default());
    assert_eq!(authenticate(&exact, &more).unwrap_err(), InvalidEvidence::Windows { job: 0 });
    authenticate(&exact, &evidence).unwrap();
}
