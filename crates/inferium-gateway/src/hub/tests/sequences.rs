//! A sequence of a lease names one request under the gateway's signatures, whatever a worker does: SPEC J1, V5, S.

use super::*;
use inferium_types::{ForcedKind, ForcedOrder, JobRequest, Ppm, wire::Planting};
use std::sync::atomic::Ordering;

impl Stage {
    /// What the worker's VRF orders for segment `index`, planted at `sequence` before `others`.
    fn planting(&self, index: u32, sequence: u64) -> Planting {
        let proof = self.vrf.prove(&ForcedOrder::input(&Digest::sha256(b"beacon"), self.lease, index));
        let order = ForcedOrder::of(proof.output());
        let request = JobRequest {
            job: order.job(),
            lease: self.lease,
            sequence,
            attempt: 0,
            input_commitment: Digest::sha256(b"planted"),
            prompt_tokens: 5,
            tokens_max: 3,
            sampling: SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 },
            client_seed: None,
        };
        let is_wrong = order.kind(Ppm::ONE) == Some(ForcedKind::Wrong);
        let result = JobResult {
            request: request.digest(),
            output_commitment: Digest::ZERO,
            evidence_root: if is_wrong { order.wrong_root() } else { Digest::ZERO },
            usage: Usage { prompt_tokens: 5, completion_tokens: 3 },
            finish: FinishReason::Length,
        };
        Planting { proof, position: 0, leaf: JobLeaf { request, result } }
    }

    /// Asks for a signature over segment `index`: a job planted at `sequence`, and these.
    fn plant(&self, index: u32, sequence: u64, leaves: &[JobLeaf]) -> Result<SegmentTerms, SegmentRefusal> {
        self.hub.forced_share.store(1_000_000, Ordering::Relaxed);
        let planting = self.planting(index, sequence);
        let mut all = vec![planting.leaf.clone()];
        all.extend_from_slice(leaves);
        let jobs: Vec<JobId> = leaves.iter().map(|leaf| leaf.request.job).collect();
        let terms = self.segment(index, &all);
        let signature = terms.sign_as_worker(&self.worker);
        match self.hub.sign_segment(self.worker.public_key(), &terms, &jobs, &signature, Some(&planting)) {
            Ok(_) => Ok(terms),
            Err(NotSigned::Refused(refusal)) => Err(refusal),
            Err(NotSigned::Store(error)) => panic!("{error}"),
        }
    }

    async fn done(&self, name: &[u8]) -> JobLeaf {
        let mut handle = self.submit(name).await.unwrap();
        self.finish(&mut handle).await
    }

    /// The gateway has not been told what it used before, and begins at `sequence`.
    fn begin_at(&self, sequence: u64) {
        self.hub.lock().leases.get_mut(&self.lease).unwrap().next_sequence = sequence;
    }
}

/// SPEC V5: a worker plants in a gap, once, and never where a client's job is: running, finished, or signed for.
#[tokio::test]
async fn a_planted_job_takes_no_sequence_that_names_another() {
    let mut stage = stage(PLENTY);
    stage.begin_at(100);
    let first = stage.done(b"1").await;
    stage.begin_at(110);
    let second = stage.done(b"2").await;
    stage.begin_at(120);
    let running = stage.submit(b"3").await.unwrap();
    let taken = "the planted job's sequence names another job";
    for sequence in [100, 110, 120] {
        let refused = stage.plant(0, sequence, std::slice::from_ref(&first)).unwrap_err();
        assert_eq!(refused.reason, taken, "{sequence}");
    }
    stage.plant(0, 101, std::slice::from_ref(&first)).unwrap();
    let signed = "a sequence in it names a job that is signed for";
    for sequence in [100, 101] {
        let refused = stage.plant(1, sequence, std::slice::from_ref(&second)).unwrap_err();
        assert_eq!(refused.reason, signed, "{sequence}");
    }
    // Also by a gateway that was killed in between.
    stage.hub.end(running.job, &Ending::LeaseClosed);
    drop(running);
    stage.keep().await;
    let stage = stage.killed();
    stage.recover();
    for sequence in [100, 101, 110] {
        assert!(stage.plant(1, sequence, std::slice::from_ref(&second)).is_err(), "{sequence}");
    }
    stage.plant(1, 109, std::slice::from_ref(&second)).unwrap();
}

/// SPEC S: a worker that lies to a gateway which starts again about the sequences that it took gets a second request for
/// one of them, and no signature over it.
#[tokio::test]
async fn a_sequence_is_signed_for_once_over_restarts() {
    let mut stage = stage(PLENTY);
    stage.begin_at(100);
    let first = stage.done(b"1").await;
    stage.sign(&stage.segment(0, std::slice::from_ref(&first)), &[first.request.job]).unwrap();
    stage.keep().await;
    let stage = stage.killed();
    stage.recover();
    stage.begin_at(7);
    assert!(stage.ready_from(100));
    let second = stage.done(b"2").await;
    assert_eq!((first.request.sequence, second.request.sequence), (100, 100));
    assert_ne!(first.request.digest(), second.request.digest());
    let third = stage.done(b"3").await;
    let leaves = [second.clone(), third.clone()];
    let jobs = [second.request.job, third.request.job];
    let refused = stage.sign(&stage.segment(1, &leaves), &jobs).unwrap_err();
    assert_eq!(refused.undelivered, [second.request.job], "what it can be signed without");
    stage.sign(&stage.segment(1, std::slice::from_ref(&third)), &[third.request.job]).unwrap();
    assert_eq!(
        stage.hub.store.signed_sequence(stage.lease, 100).unwrap(),
        Some(first.request.job),
        "it names what it named"
    );
}

/// Nor twice in one segment, where nothing is signed for yet.
#[tokio::test]
async fn a_sequence_stands_in_a_segment_once() {
    let stage = stage(PLENTY);
    let mut leaves = Vec::new();
    for name in [b"1", b"2"] {
        stage.begin_at(100);
        leaves.push(stage.done(name).await);
    }
    let jobs = [leaves[0].request.job, leaves[1].request.job];
    assert_eq!(stage.sign(&stage.segment(0, &leaves), &jobs).unwrap_err().undelivered, jobs[1..]);
    stage.sign(&stage.segment(0, &leaves[..1]), &jobs[..1]).unwrap();
    assert!(stage.sign(&stage.segment(1, &leaves[1..]), &jobs[1..]).is_err());
    // The same sequence of another lease is another sequence.
    assert_eq!(stage.hub.store.signed_sequence(LeaseId::new(Digest::ZERO), 100).unwrap(), None);
}
