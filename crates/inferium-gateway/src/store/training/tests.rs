use super::{IntervalRow, PendingInterval, Progress, TRAININGS_MAX, TrainingRecord, TrainingState, UNDER_WAY_MAX};
use crate::store::GatewayStore;
use inferium_types::{Amount, Digest, JobId, SecretKey};

struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn open() -> (Folder, GatewayStore) {
    let path = std::env::temp_dir().join(format!("inferium-training-{:032x}", rand::random::<u128>()));
    let store = GatewayStore::open(&path, &SecretKey::from_bytes([1; 32]).unwrap()).unwrap();
    (Folder(path), store)
}

fn id(number: u64) -> Digest {
    Digest::of("run", &[&number.to_be_bytes()])
}

fn payer(number: u64) -> Digest {
    Digest::of("payer", &[&number.to_be_bytes()])
}

fn record(created_at_ms: u64, state: TrainingState) -> TrainingRecord {
    TrainingRecord {
        // Of each key two of these.
        payer: payer(created_at_ms / 2),
        created_at_ms,
        open: vec![1],
        lines: 2,
        state,
        announcement: None,
        drawn: None,
        spec: None,
        progress: Progress::default(),
        rejected: 0,
        waits: None,
        before: None,
        after: None,
    }
}

fn pending(number: u8) -> PendingInterval {
    let row = IntervalRow {
        job: JobId::new(Digest::of("job", &[&[number]])),
        root: Digest::of("root", &[&[number]]),
        losses: vec![number.into()],
        cost: Amount::from_nano(number.into()),
    };
    PendingInterval { row, checkpoint: vec![number] }
}

fn data() -> (String, Vec<u8>) {
    ("{}".to_owned(), vec![1, 2])
}

#[test]
fn an_interval_counts_once_it_is_approved_and_is_done_again_where_it_is_not() {
    let (_folder, store) = open();
    let run = id(1);
    assert!(store.put_training(run, &record(1, TrainingState::Announced), &data()).unwrap());
    assert_eq!(store.training_data(run).unwrap(), Some(data()));
    store.begin_training(run, (id(7), vec![9]), b"first", "{}").unwrap();
    let begun = store.training(run).unwrap().unwrap();
    assert_eq!((begun.state, begun.drawn, begun.spec), (TrainingState::Training, Some(id(7)), Some(vec![9])));
    store.put_pending(run, &pending(1)).unwrap();
    assert!(store.training_intervals(run).unwrap().is_empty());
    store.reject_pending(run).unwrap();
    assert_eq!((store.pending_interval(run).unwrap(), store.training(run).unwrap().unwrap().rejected), (None, 1));
    store.approve_pending(run, 0).unwrap();
    assert!(store.training_intervals(run).unwrap().is_empty(), "nothing is pending");
    for (index, number) in [(0, 2), (1, 3)] {
        store.put_pending(run, &pending(number)).unwrap();
        store.approve_pending(run, index).unwrap();
    }
    assert_eq!(store.training_intervals(run).unwrap(), [pending(2).row, pending(3).row]);
    let progress = store.training(run).unwrap().unwrap().progress;
    assert_eq!(progress, Progress { intervals: 2, cost: Amount::from_nano(5), last: Some((pending(3).row.root, 3)) });
    let checkpoint = |index| store.training_checkpoint(run, index).unwrap();
    assert_eq!([0, 1, 2, 3].map(checkpoint), [Some(b"first".to_vec()), Some(vec![2]), Some(vec![3]), None]);
}

#[test]
fn the_oldest_run_that_is_over_goes_and_none_that_is_not() {
    let (_folder, store) = open();
    for number in 0..u64::try_from(TRAININGS_MAX).unwrap() {
        let state = if number == 3 { TrainingState::Finished } else { TrainingState::Training };
        assert!(store.put_training(id(number), &record(number, state), &data()).unwrap());
    }
    store.begin_training(id(3), (id(7), vec![9]), b"first", "{}").unwrap();
    store.change_training(id(3), |record| record.state = TrainingState::Failed("why".into())).unwrap();
    assert!(store.put_training(id(100), &record(100, TrainingState::Announced), &data()).unwrap());
    assert_eq!((store.training(id(3)).unwrap(), store.training_data(id(3)).unwrap()), (None, None));
    assert_eq!(store.training_checkpoint(id(3), 0).unwrap(), None);
    assert!(!store.put_training(id(101), &record(101, TrainingState::Announced), &data()).unwrap());
    assert_eq!((store.training(id(101)).unwrap(), store.trainings().unwrap().len()), (None, TRAININGS_MAX));
}

#[test]
fn a_key_has_so_many_under_way_and_pushes_out_its_own_before_others() {
    let (_folder, store) = open();
    let most = u64::try_from(TRAININGS_MAX).unwrap();
    let of = |key: u64, number: u64, state| TrainingRecord { payer: payer(key), ..record(number, state) };
    for number in 0..u64::try_from(UNDER_WAY_MAX).unwrap() {
        assert!(store.put_training(id(number), &of(1, number, TrainingState::Training), &data()).unwrap());
    }
    let one_more = of(1, 50, TrainingState::Announced);
    assert!(!store.put_training(id(50), &one_more, &data()).unwrap());
    store.change_training(id(0), |record| record.state = TrainingState::Finished).unwrap();
    assert!(store.put_training(id(50), &one_more, &data()).unwrap());
    // All places are taken: two runs of the second key that are over, the older first, and many of the third.
    for (key, number) in (0..most - 5).map(|place| (if place < 2 { 2 } else { 3 }, 100 + place)) {
        assert!(store.put_training(id(number), &of(key, number, TrainingState::Finished), &data()).unwrap());
    }
    assert_eq!(store.trainings().unwrap().len(), TRAININGS_MAX);
    let is_there = |number| store.training(id(number)).unwrap().is_some();
    assert!(store.put_training(id(200), &of(2, 200, TrainingState::Training), &data()).unwrap());
    assert!(!is_there(100) && is_there(101) && is_there(102), "the second key's own, though older ones are there");
    assert!(store.put_training(id(201), &of(4, 201, TrainingState::Training), &data()).unwrap());
    assert!(is_there(0) && is_there(101) && !is_there(102), "of whoever has most, the oldest");
    assert_eq!(store.trainings().unwrap().len(), TRAININGS_MAX);
}
