use super::{BOARDS_MAX, BoardRecord, SPARED_MAX};
use crate::store::GatewayStore;
use inferium_types::{
    ChainId, Digest, FoldInput, GroupKey, JobAnswer, JobId, JobOutput, JobPayload, NetworkKey, SecretKey,
};
use std::collections::BTreeSet;

fn record(number: u64, suite: &[u8]) -> (BoardRecord, JobPayload) {
    let network = NetworkKey { chain: ChainId::new(Digest::ZERO), group: GroupKey::from_bytes([0; 96]) };
    let payload = JobPayload::fold([1; 32], FoldInput { network, files: vec![number.to_string()] });
    let record = BoardRecord {
        job: JobId::new(Digest::sha256(&number.to_be_bytes())),
        suite: Digest::sha256(suite),
        name: None,
        created_at_ms: number,
        output: JobOutput { salt: [2; 32], answer: JobAnswer::Board("{}".into()) },
    };
    (record, payload)
}

/// The oldest go, of this suite alone, and the one that is shown stays however old it is.
#[test]
fn boards_are_kept_while_there_is_room() {
    let path = std::env::temp_dir().join(format!("inferium-boards-{:032x}", rand::random::<u128>()));
    let store = GatewayStore::open(&path, &SecretKey::from_bytes([1; 32]).unwrap()).unwrap();
    let none = BTreeSet::new();
    let (other, inputs) = record(0, b"other");
    store.put_board(&other, &inputs, &none).unwrap();
    let most = u64::try_from(BOARDS_MAX).unwrap();
    for number in 1..=most {
        let (board, payload) = record(number, b"suite");
        store.put_board(&board, &payload, &none).unwrap();
    }
    let (first, inputs) = record(1, b"suite");
    assert_eq!(store.boards_of(first.suite).unwrap().len(), BOARDS_MAX);
    assert_eq!(store.board(first.job).unwrap(), Some(first.clone()));
    assert_eq!(store.board_inputs(first.job).unwrap(), Some(inputs));
    let spared = BTreeSet::from([first.job]);
    for number in most + 1..most + 4 {
        let (board, payload) = record(number, b"suite");
        store.put_board(&board, &payload, &spared).unwrap();
    }
    let kept: Vec<u64> = store.boards_of(first.suite).unwrap().iter().map(|board| board.created_at_ms).collect();
    assert_eq!(kept.first(), Some(&1), "{kept:?}");
    assert!(kept.is_sorted() && kept.last() == Some(&(most + 3)) && !kept.contains(&2), "{kept:?}");
    let (gone, _) = record(2, b"suite");
    assert_eq!((store.board(gone.job).unwrap(), store.board_inputs(gone.job).unwrap()), (None, None));
    assert_eq!(store.boards_of(other.suite).unwrap(), [other]);
    // However many are undecided, there is an end.
    for number in most + 4..most + 4 + u64::try_from(SPARED_MAX).unwrap() {
        let (board, payload) = record(number, b"suite");
        let all = store.boards_of(board.suite).unwrap().iter().map(|board| board.job).collect();
        store.put_board(&board, &payload, &all).unwrap();
    }
    let kept: Vec<u64> = store.boards_of(first.suite).unwrap().iter().map(|board| board.created_at_ms).collect();
    assert_eq!(kept.len(), SPARED_MAX);
    assert!(kept.is_sorted() && kept.last() == Some(&(most + 3 + u64::try_from(SPARED_MAX).unwrap())), "{kept:?}");
    drop(store);
    let _ = std::fs::remove_file(&path);
}
