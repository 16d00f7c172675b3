use super::{PROOFS_MAX, PROOFS_UNDER_WAY_MAX, ProofJob, ProofRecord, ProofState};
use crate::store::GatewayStore;
use inferium_types::{Amount, Digest, JobId, ProfileId, ProvingInput, SecretKey};

struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn open() -> (Folder, GatewayStore) {
    let path = std::env::temp_dir().join(format!("inferium-proofs-{:032x}", rand::random::<u128>()));
    let store = GatewayStore::open(&path, &SecretKey::from_bytes([1; 32]).unwrap()).unwrap();
    (Folder(path), store)
}

fn job(number: u64) -> JobId {
    JobId::new(Digest::of("job", &[&number.to_be_bytes()]))
}

fn payer(number: u64) -> Digest {
    Digest::of("payer", &[&number.to_be_bytes()])
}

fn record(number: u64, state: ProofState) -> ProofRecord {
    ProofRecord {
        // Of each key two of these.
        payer: payer(number / 2),
        created_at_ms: number,
        model: "digits".into(),
        prover: ProfileId::new(Digest::ZERO),
        input: ProvingInput { job: job(number), tensors: vec![vec![1]], seed: [0; 32], hides: true },
        inputs: 1,
        state,
        rejected: 0,
        waits: Some("a worker".into()),
    }
}

fn proof_job(number: u64) -> ProofJob {
    ProofJob { job: job(number + 1_000), took_ms: 5, cost: Amount::from_nano(7), size: 2, digest: Digest::ZERO }
}

#[test]
fn a_proof_is_claimed_and_approved_or_made_again() {
    let (_folder, store) = open();
    assert!(store.put_proof(&record(1, ProofState::Queued)).unwrap());
    assert_eq!((store.proofs_under_way(payer(0)).unwrap(), store.proofs_under_way(payer(1)).unwrap()), (1, 0));
    store.claim_proof(job(1), proof_job(1), &vec![1, 2]).unwrap();
    let claimed = store.proof(job(1)).unwrap().unwrap();
    assert_eq!((claimed.state.job(), claimed.waits), (Some(&proof_job(1)), None));
    assert_eq!(store.proved(job(1)).unwrap(), Some(vec![1, 2]));
    store.reject_proof(job(1), [9; 32]).unwrap();
    let again = store.proof(job(1)).unwrap().unwrap();
    assert_eq!((again.state, again.rejected), (ProofState::Queued, 1));
    assert_eq!(again.input.seed, [9; 32], "a commitment is for one proof");
    assert_eq!(store.proved(job(1)).unwrap(), None, "what no committee approved is not shown to anybody");
    store.claim_proof(job(1), proof_job(1), &vec![3]).unwrap();
    store.end_proof(job(1), ProofState::Approved(proof_job(1))).unwrap();
    let over = store.proof(job(1)).unwrap().unwrap();
    assert!(over.state.is_over() && over.input.tensors.is_empty(), "what was asked is forgotten");
    assert_eq!(store.proved(job(1)).unwrap(), Some(vec![3]));
    assert_eq!(store.proofs_under_way(payer(0)).unwrap(), 0);
    // What is not there is not made up.
    store.claim_proof(job(9), proof_job(9), &vec![1]).unwrap();
    store.reject_proof(job(9), [9; 32]).unwrap();
    assert_eq!((store.proof(job(9)).unwrap(), store.proved(job(9)).unwrap()), (None, None));
}

/// Nobody pushes out what others wait for, and of what is over the own goes first.
#[test]
fn there_is_room_for_so_many() {
    let (_folder, store) = open();
    let most = u64::try_from(PROOFS_MAX).unwrap();
    for number in 0..most {
        assert!(store.put_proof(&record(number, ProofState::Queued)).unwrap());
    }
    assert!(!store.put_proof(&record(most, ProofState::Queued)).unwrap());
    for over in [4, 10] {
        store.claim_proof(job(over), proof_job(over), &vec![1]).unwrap();
        store.change_proof(job(over), |record| record.state = ProofState::Approved(proof_job(over))).unwrap();
    }
    let own = ProofRecord { payer: payer(5), ..record(most, ProofState::Queued) };
    assert!(store.put_proof(&own).unwrap());
    assert_eq!((store.proof(job(10)).unwrap(), store.proved(job(10)).unwrap()), (None, None), "its own went");
    assert!(store.put_proof(&record(most + 1, ProofState::Queued)).unwrap());
    assert_eq!(store.proof(job(4)).unwrap(), None);
    assert!(!store.put_proof(&record(most + 2, ProofState::Queued)).unwrap());
}

/// One key has so many under way, however they come.
#[test]
fn a_key_has_so_many_under_way() {
    let (_folder, store) = open();
    let of_one = |number: u64| ProofRecord { payer: payer(0), ..record(number, ProofState::Queued) };
    for number in 0..u64::try_from(PROOFS_UNDER_WAY_MAX).unwrap() {
        assert!(store.put_proof(&of_one(number)).unwrap());
    }
    assert!(!store.put_proof(&of_one(99)).unwrap());
    store.change_proof(job(3), |record| record.state = ProofState::Failed("why".into())).unwrap();
    assert!(store.put_proof(&of_one(99)).unwrap());
}
