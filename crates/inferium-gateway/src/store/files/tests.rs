use super::*;
use crate::clock::unix_ms;
use inferium_types::SecretKey;

struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn open() -> (Folder, GatewayStore) {
    let path = std::env::temp_dir().join(format!("inferium-files-{:032x}", rand::random::<u128>()));
    let store = GatewayStore::open(&path, &SecretKey::from_bytes([1; 32]).unwrap()).unwrap();
    (Folder(path), store)
}

fn digest(name: &str) -> Digest {
    Digest::sha256(name.as_bytes())
}

fn batch(input: Digest) -> BatchRecord {
    BatchRecord {
        input,
        endpoint: Endpoint::Chat,
        metadata: Vec::new(),
        status: BatchStatus::InProgress,
        created_at_ms: 1,
        expires_at_ms: u64::MAX,
        in_progress_at_ms: Some(2),
        cancelling_at_ms: None,
        ended_at_ms: None,
        total: 600,
        completed: 0,
        failed: 0,
        output_size: 0,
        errors_size: 0,
        cost: Amount::ZERO,
        output: None,
        errors: None,
        faults: Vec::new(),
        named: None,
    }
}

/// Keeps a batch; its id.
fn put_batch(store: &GatewayStore, owner: Digest, input: Digest) -> Digest {
    match store.put_batch(owner, batch(input), Repetition::default()).unwrap() {
        Made::New(id, _) => id,
        other => panic!("{other:?}"),
    }
}

/// Keeps a file of three bytes; its id.
fn put_file(store: &GatewayStore, owner: Digest, expires_at_ms: u64) -> Digest {
    match store.put_file(owner, uploaded(expires_at_ms), &b"abc".to_vec(), Repetition::default()).unwrap() {
        Made::New(id, _) => id,
        other => panic!("{other:?}"),
    }
}

fn kept(store: &GatewayStore, owner: Digest) -> (u32, u64, u32, u32) {
    let Kept { files, bytes, batches, open } = store.store.get(KEPT, &owner).unwrap().unwrap_or_default();
    (files, bytes, batches, open)
}

fn uploaded(expires_at_ms: u64) -> FileRecord {
    let (name, content) = ("a.jsonl".to_owned(), FileContent::Uploaded);
    FileRecord { name, size: 3, created_at_ms: 1, expires_at_ms, content, digest: digest("abc"), named: None }
}

fn line(text: &str, is_error: bool) -> LineRecord {
    LineRecord { is_error, text: text.to_owned() }
}

fn completed(expires_at_ms: u64) -> BatchEnd {
    BatchEnd { status: BatchStatus::Completed, faults: Vec::new(), now_ms: 7, expires_at_ms }
}

#[test]
fn a_line_keeps_its_first_result_and_is_counted_once() {
    let (_folder, store) = open();
    let owner = digest("owner");
    let id = put_batch(&store, owner, digest("input"));
    let cost = Amount::from_nano(5);
    store.put_lines(owner, id, &[(3, line("first", false), cost)]).unwrap();
    store.put_lines(owner, id, &[(3, line("second", false), cost), (9, line("no", true), Amount::ZERO)]).unwrap();
    let record = store.batch(owner, id).unwrap().unwrap();
    assert_eq!((record.completed, record.failed, record.cost), (1, 1, cost));
    assert_eq!((record.output_size, record.errors_size), (6, 3));
    assert_eq!(store.lines(id, 0).unwrap(), [(3, line("first", false)), (9, line("no", true))]);
    assert_eq!(store.lines_done(id).unwrap(), [3, 9].into());
}

#[test]
fn lines_are_read_page_by_page_and_never_those_of_another_batch() {
    let (_folder, store) = open();
    let owner = digest("owner");
    let [id, other] = [(), ()].map(|()| put_batch(&store, owner, digest("input")));
    let many: Vec<_> = (0..600).map(|number| (number, line("x", number % 2 == 0), Amount::ZERO)).collect();
    store.put_lines(owner, id, &many).unwrap();
    store.put_lines(owner, other, &many[..1]).unwrap();
    assert_eq!(store.lines(id, 0).unwrap().len(), PAGE);
    assert_eq!(store.lines_done(id).unwrap().len(), 600);
    assert_eq!(store.lines_done(other).unwrap(), [0].into());
}

#[test]
fn files_of_a_key_are_its_own_and_what_is_in_them_goes_with_them() {
    let (_folder, store) = open();
    let (owner, other) = (digest("owner"), digest("other"));
    let file = put_file(&store, owner, u64::MAX);
    assert_eq!(store.files(other).unwrap(), []);
    assert_eq!(store.file(other, file).unwrap(), None);
    assert_eq!(store.content(file).unwrap(), Some(b"abc".to_vec()));
    let id = put_batch(&store, owner, file);
    assert_eq!(kept(&store, owner), (1, 3, 1, 1));
    let lines = [(0, line("yes", false), Amount::ZERO), (1, line("no", true), Amount::ZERO)];
    store.put_lines(owner, id, &lines).unwrap();
    let record = store.end_batch(owner, id, &completed(u64::MAX)).unwrap().unwrap();
    assert_eq!(store.files(owner).unwrap().len(), 3);
    // Answers count, each with its end of line; the batch is done.
    assert_eq!(kept(&store, owner), (3, 3 + 4 + 3, 1, 0));
    store.remove_file(owner, record.output.unwrap()).unwrap();
    assert_eq!(store.lines(id, 0).unwrap(), [(1, line("no", true))]);
    store.remove_file(owner, record.errors.unwrap()).unwrap();
    store.remove_file(owner, file).unwrap();
    // Nothing is counted down twice.
    store.remove_file(owner, file).unwrap();
    assert_eq!(store.lines(id, 0).unwrap(), []);
    assert_eq!((store.files(owner).unwrap(), store.content(file).unwrap()), (Vec::new(), None));
    assert_eq!(kept(&store, owner), (0, 0, 1, 0));
}

#[test]
fn what_has_expired_is_forgotten_but_not_under_a_batch_at_work() {
    let (_folder, store) = open();
    let owner = digest("owner");
    let [used, _] = [(), ()].map(|()| put_file(&store, owner, 10));
    let id = put_batch(&store, owner, used);
    store.put_lines(owner, id, &[(0, line("yes", false), Amount::ZERO)]).unwrap();
    assert_eq!(store.batches_to_do().unwrap(), [(owner, id)]);
    store.remove_expired_files(11, 0).unwrap();
    assert_eq!(store.files(owner).unwrap(), [(used, uploaded(10))]);
    store.end_batch(owner, id, &completed(20)).unwrap();
    assert_eq!(store.batches_to_do().unwrap(), []);
    store.remove_expired_files(unix_ms(), 8).unwrap();
    assert_eq!((store.files(owner).unwrap(), store.batches(owner).unwrap()), (Vec::new(), Vec::new()));
    assert_eq!(store.lines(id, 0).unwrap(), []);
    assert_eq!(kept(&store, owner), (0, 0, 0, 0));
}

#[test]
fn a_key_has_no_more_than_it_may() {
    let (_folder, store) = open();
    let owner = digest("owner");
    let mut whole = uploaded(u64::MAX);
    whole.size = BYTES_MAX - 3;
    let put = |record: &FileRecord| store.put_file(owner, record.clone(), &Vec::new(), Repetition::default()).unwrap();
    assert!(matches!(put(&whole), Made::New(..)));
    let id = put_batch(&store, owner, digest("input"));
    assert!(store.has_room(owner).unwrap());
    // To the last byte, and not one more.
    let put_line = |number, text: &str| store.put_lines(owner, id, &[(number, line(text, false), Amount::ZERO)]);
    assert!(put_line(0, "y").unwrap() && !put_line(1, "").unwrap());
    assert!(!store.has_room(owner).unwrap() && store.has_room(digest("other")).unwrap());
    assert_eq!(put(&uploaded(u64::MAX)), Made::Full);
    (1..OPEN_MAX).for_each(|_| assert_ne!(put_batch(&store, owner, digest("input")), id));
    let next = || store.put_batch(owner, batch(digest("input")), Repetition::default()).unwrap();
    assert_eq!(next(), Made::Full);
    store.end_batch(owner, id, &completed(20)).unwrap();
    store.end_batch(owner, id, &completed(20)).unwrap();
    assert!(matches!(next(), Made::New(..)) && next() == Made::Full);
}

#[test]
fn files_are_counted_to_the_last() {
    let (_folder, store) = open();
    let owner = digest("owner");
    let ids: Vec<_> = (0..FILES_MAX).map(|_| put_file(&store, owner, 10)).collect();
    let put = || store.put_file(owner, uploaded(10), &b"abc".to_vec(), Repetition::default()).unwrap();
    assert_eq!(put(), Made::Full);
    store.remove_file(owner, ids[0]).unwrap();
    assert!(matches!(put(), Made::New(..)) && put() == Made::Full);
}

#[test]
fn what_is_asked_for_again_is_not_made_again() {
    let (_folder, store) = open();
    let owner = digest("owner");
    let named = |name: &str| Repetition { named: Some(digest(name)), is_retry: false };
    let retry = Repetition { named: None, is_retry: true };
    let put = |content: &str, at_ms: u64, repetition: Repetition| {
        let record =
            FileRecord { digest: digest(content), named: repetition.named, created_at_ms: at_ms, ..uploaded(u64::MAX) };
        store.put_file(owner, record, &content.as_bytes().to_vec(), repetition).unwrap()
    };
    let Made::New(first, _) = put("a", 1, Repetition::default()) else { panic!("it is new") };
    // Who does not say that it repeats gets a file of its own; a retry gets the newest that is the same.
    let Made::New(second, _) = put("a", 2, Repetition::default()) else { panic!("nothing says that it is the same") };
    assert_ne!(first, second);
    assert!(matches!(put("a", 2 + RETRIED_MS - 1, retry), Made::Known(id, _) if id == second));
    assert!(matches!(put("b", 3, retry), Made::New(..)), "the first try had not come");
    assert!(matches!(put("a", 2 + RETRIED_MS, retry), Made::New(..)), "that was too long ago");
    let Made::New(third, _) = put("c", 5, named("x")) else { panic!("it is new") };
    assert!(matches!(put("c", 6, named("x")), Made::Known(id, _) if id == third));
    assert_eq!(put("d", 6, named("x")), Made::OtherThanNamed);
    assert!(matches!(put("d", 6, named("y")), Made::New(..)));
    let ask = |input: &str| {
        let record = BatchRecord { named: Some(digest("z")), ..batch(digest(input)) };
        store.put_batch(owner, record, named("z")).unwrap()
    };
    let Made::New(id, _) = ask("input") else { panic!("it is new") };
    assert!(matches!(ask("input"), Made::Known(known, _) if known == id));
    assert_eq!(ask("other"), Made::OtherThanNamed);
    let again = || store.put_batch(owner, batch(digest("input")), retry).unwrap();
    assert!(matches!(again(), Made::Known(known, _) if known == id));
    store.end_batch(owner, id, &completed(20)).unwrap();
    assert!(matches!(again(), Made::New(..)), "whoever asks for one that is over wants another one");
    assert!(matches!(ask("input"), Made::Known(known, _) if known == id), "a name is a name");
}

#[test]
fn a_page_has_no_more_bytes_than_it_may_unless_one_line_alone_does() {
    let (_folder, store) = open();
    let owner = digest("owner");
    let id = put_batch(&store, owner, digest("input"));
    let half = "x".repeat(PAGE_BYTES / 2);
    let lines: Vec<_> = (0..3).map(|number| (number, line(&half, false), Amount::ZERO)).collect();
    store.put_lines(owner, id, &lines).unwrap();
    store.put_lines(owner, id, &[(3, line(&"y".repeat(PAGE_BYTES + 1), false), Amount::ZERO)]).unwrap();
    let sizes = |from| store.lines(id, from).unwrap().into_iter().map(|(number, _)| number).collect::<Vec<_>>();
    assert_eq!([sizes(0), sizes(2), sizes(3), sizes(4)], [vec![0, 1], vec![2], vec![3], vec![]]);
}

#[test]
fn a_batch_that_has_ended_does_not_change() {
    let (_folder, store) = open();
    let owner = digest("owner");
    let id = put_batch(&store, owner, digest("input"));
    let cancel = || store.change_batch(owner, id, |batch| batch.status = BatchStatus::Cancelling).unwrap().unwrap();
    assert_eq!(cancel().status, BatchStatus::Cancelling);
    store.end_batch(owner, id, &completed(20)).unwrap();
    assert_eq!(cancel().status, BatchStatus::Completed);
}
