use super::*;
use commonware_glue::stateful::db::{ManagedDb as _, Unmerkleized as _};
use commonware_runtime::{Runner as _, Supervisor as _, deterministic};
use commonware_utils::NZU16;

type Context = deterministic::Context;

async fn open(context: &Context, label: &'static str) -> Databases<Context> {
    let cache = CacheRef::new(NZU16!(4_096), NZUsize!(64));
    <Databases<Context> as DatabaseSet<Context>>::init(context.child(label), config("test", cache), None).await
}

async fn apply(databases: &Databases<Context>, changes: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
    let batch = DatabaseSet::<Context>::new_batches(databases).await;
    let sealed = write_changes::<Context>(batch, changes).merkleize().await.unwrap();
    DatabaseSet::<Context>::apply(databases, sealed).await;
    assert!(DatabaseSet::<Context>::finalize(databases).await.durable().await);
}

fn put(key: &str, value: &str) -> (Vec<u8>, Option<Vec<u8>>) {
    (key.into(), Some(value.into()))
}

#[test]
fn values_and_their_absence_can_be_proven_and_nothing_else() {
    deterministic::Runner::default().start(|context| async move {
        let databases = open(&context, "db").await;
        for block in 0..20u32 {
            let changes = (0..10u32).map(|i| put(&format!("key {block} {i}"), &format!("value {i}"))).collect();
            apply(&databases, changes).await;
        }
        apply(&databases, vec![("key 3 3".into(), None), put("key 4 4", "new")]).await;
        let database = databases.read().await;
        let root = root::<Context>(&database);
        for (key, expected) in [("key 0 0", Some("value 0")), ("key 4 4", Some("new")), ("key 3 3", None), ("no", None)]
        {
            let (value, proof) = prove::<Context>(&database, key.as_bytes()).await.unwrap();
            let expected: Option<&[u8]> = expected.map(str::as_bytes);
            assert_eq!(value.as_deref(), expected, "{key}");
            assert!(verify(root, key.as_bytes(), expected, &proof), "{key}");
            assert!(!verify(Digest::ZERO, key.as_bytes(), expected, &proof));
            assert!(!verify(root, b"key 0 1", expected, &proof));
            assert!(!verify(root, key.as_bytes(), Some(b"other"), &proof));
            if expected.is_some() {
                assert!(!verify(root, key.as_bytes(), None, &proof));
            }
            for position in 0..proof.len() {
                let mut altered = proof.clone();
                altered[position] ^= 1;
                assert!(!verify(root, key.as_bytes(), expected, &altered), "{key}, byte {position}");
            }
            assert!(!verify(root, key.as_bytes(), expected, &proof[1..]));
        }
        // Proofs of an earlier state do not hold under a later root.
        let (value, proof) = prove::<Context>(&database, b"key 5 5").await.unwrap();
        drop(database);
        apply(&databases, vec![put("key 5 5", "later")]).await;
        let later = super::root::<Context>(&*databases.read().await);
        assert!(!verify(later, b"key 5 5", value.as_deref(), &proof));
    });
}

#[test]
fn all_entries_come_back_and_an_empty_store_proves_absence() {
    deterministic::Runner::default().start(|context| async move {
        let databases = open(&context, "db").await;
        {
            let database = databases.read().await;
            assert!(entries::<Context>(&database).await.unwrap().is_empty());
            let (value, proof) = prove::<Context>(&database, b"any").await.unwrap();
            assert_eq!(value, None);
            assert!(verify(root::<Context>(&database), b"any", None, &proof));
        }
        apply(&databases, vec![put("a", "1"), put("b", ""), put("", "3")]).await;
        apply(&databases, vec![put("a", "2"), ("b".into(), None)]).await;
        let mut found = entries::<Context>(&*databases.read().await).await.unwrap();
        found.sort();
        assert_eq!(found, [(Vec::new(), b"3".to_vec()), (b"a".to_vec(), b"2".to_vec())]);
        let target = databases.read().await.sync_target();
        drop(databases);
        let again = open(&context, "again").await;
        assert_eq!(again.read().await.sync_target(), target);
    });
}

#[test]
#[should_panic(expected = "larger than the store's")]
fn an_entry_that_could_not_be_read_again_is_not_written() {
    deterministic::Runner::default().start(|context| async move {
        let databases = open(&context, "db").await;
        apply(&databases, vec![put("key", &"x".repeat(ENTRY_SIZE_MAX))]).await;
    });
}
