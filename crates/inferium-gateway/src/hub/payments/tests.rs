//! Claims about payments under way: who joins one, who has no room, and what a kill leaves.

use super::*;
use crate::hub::Outlets;
use crate::store::GatewayStore;
use inferium_types::{ChainId, SecretKey, Transaction, TransactionBody};
use std::path::{Path, PathBuf};

fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes([byte; 32]).unwrap()
}

fn payer(byte: u8) -> Digest {
    Digest::from([byte; 32])
}

fn transfer(from: &SecretKey, nonce: u64) -> SignedTransaction {
    let body = TransactionBody::Transfer { to: key(1).public_key(), amount: Amount::from_nano(10) };
    Transaction { chain: ChainId::new(Digest::ZERO), sender: from.public_key(), nonce, body }.sign(from)
}

fn open(path: &Path) -> (Arc<Hub>, Outlets) {
    let store = GatewayStore::open(path, &key(1)).unwrap();
    store.ensure_key(payer(1), Amount::from_nano(1)).unwrap();
    Hub::new(key(1), store).unwrap()
}

fn scratch() -> PathBuf {
    std::env::temp_dir().join(format!("inferium-payments-{:032x}", rand::random::<u128>()))
}

const TEN: Amount = Amount::from_nano(10);

#[tokio::test]
async fn one_that_is_under_way_is_joined_by_its_key_and_refused_to_another() {
    let path = scratch();
    let (hub, mut outlets) = open(&path);
    let signed = transfer(&key(2), 0);
    let first = hub.record_payment(signed.clone(), payer(1), TEN).await.unwrap();
    let joined = hub.record_payment(signed.clone(), payer(1), TEN).await.unwrap();
    assert!(matches!(hub.record_payment(signed.clone(), payer(2), TEN).await, Err(NotTaken::Other)));
    assert_eq!(outlets.payments.try_recv(), Ok(signed.id()));
    assert!(outlets.payments.try_recv().is_err(), "it is sent by one");
    hub.settle_payment(signed.id(), None).await.unwrap();
    assert_eq!((first.borrow().clone(), joined.borrow().clone()), (Some(Settled::Credited), Some(Settled::Credited)));
    assert_eq!(hub.left(payer(1)), Amount::from_nano(11));
    let again = hub.record_payment(signed.clone(), payer(1), TEN).await;
    assert!(matches!(again, Err(NotTaken::Decided(PaymentState::Credited))));
    assert!(matches!(hub.record_payment(signed, payer(2), TEN).await, Err(NotTaken::Other)));
    let failed = transfer(&key(2), 1);
    let waiting = hub.record_payment(failed.clone(), payer(1), TEN).await.unwrap();
    hub.settle_payment(failed.id(), Some("no money".into())).await.unwrap();
    assert_eq!(*waiting.borrow(), Some(Settled::Failed("no money".into())));
    let again = hub.record_payment(failed, payer(1), TEN).await;
    assert!(matches!(again, Err(NotTaken::Decided(PaymentState::Failed))));
    assert_eq!(hub.left(payer(1)), Amount::from_nano(11));
    let _ = std::fs::remove_file(&path);
}

#[tokio::test]
async fn neither_a_key_nor_an_account_takes_the_room_of_others() {
    let path = scratch();
    let (hub, _outlets) = open(&path);
    let mut first = None;
    for nonce in 0..PENDING_EACH_MAX as u64 {
        let signed = transfer(&key(2), nonce);
        first.get_or_insert(signed.id());
        hub.record_payment(signed, payer(1), TEN).await.unwrap();
    }
    let of_key = hub.record_payment(transfer(&key(3), 0), payer(1), TEN).await;
    let of_account = hub.record_payment(transfer(&key(2), 9), payer(2), TEN).await;
    assert!(matches!((of_key, of_account), (Err(NotTaken::Busy), Err(NotTaken::Busy))));
    assert_eq!(hub.store.payments_count(), PENDING_EACH_MAX as u64, "what is not taken leaves nothing");
    hub.record_payment(transfer(&key(3), 0), payer(2), TEN).await.unwrap();
    // One that is decided makes room.
    hub.refuse_payment(first.unwrap(), "gone".into()).await.unwrap();
    hub.record_payment(transfer(&key(4), 0), payer(1), TEN).await.unwrap();
    let _ = std::fs::remove_file(&path);
}

#[tokio::test]
async fn what_a_kill_left_undecided_is_joined_and_sent_and_credited_once_by_the_next_run() {
    let path = scratch();
    let signed = transfer(&key(2), 0);
    let id = signed.id();
    let earlier = open(&path);
    let waiting = earlier.0.record_payment(signed.clone(), payer(1), TEN).await.unwrap();
    drop((waiting, earlier));
    let (hub, mut outlets) = open(&path);
    assert_eq!(outlets.payments.try_recv(), Ok(id));
    assert_eq!(hub.payments_of(&[transfer(&key(2), 1).id(), id]), [id]);
    let joined = hub.record_payment(signed, payer(1), TEN).await.unwrap();
    for _ in 0..2 {
        hub.settle_payment(id, None).await.unwrap();
        assert_eq!((hub.left(payer(1)), hub.payments_of(&[id])), (Amount::from_nano(11), vec![]));
    }
    assert_eq!(*joined.borrow(), Some(Settled::Credited));
    // One that a block decided is not forgotten any more.
    hub.refuse_payment(id, "late".into()).await.unwrap();
    assert_eq!(hub.store.payments_count(), 1);
    let _ = std::fs::remove_file(&path);
}
