//! Claims about payments on their way: by a chain that answers what a script says, with real books on disk.

use super::*;
use crate::hub::{Outlets, PENDING_EACH_MAX};
use crate::store::GatewayStore;
use inferium_types::{Amount, ChainId, Digest, SecretKey, Transaction, TransactionBody};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// What a validator answers to one sending.
type Answer = Result<(), PostError>;

/// Answers by a script, whose last line goes on for ever.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    used_at: Arc<Mutex<Option<u64>>>,
    sent: Arc<Mutex<Vec<TransactionId>>>,
    news: Arc<tokio::sync::Notify>,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Answer>, used_at: Option<u64>) -> Self {
        let script = Self::default();
        script.answers.lock().unwrap().extend(answers);
        *script.used_at.lock().unwrap() = used_at;
        script
    }

    /// Waits until so many sendings were answered.
    async fn sent(&self, count: usize) -> Vec<TransactionId> {
        loop {
            let news = self.news.notified();
            let sent = self.sent.lock().unwrap().clone();
            if sent.len() >= count {
                return sent;
            }
            news.await;
        }
    }
}

impl Chain for Script {
    async fn submit(&self, signed: &SignedTransaction) -> Result<TransactionId, PostError> {
        self.sent.lock().unwrap().push(signed.id());
        self.news.notify_one();
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        answer.unwrap().map(|()| signed.id())
    }

    async fn nonce_used_at(&self, _: &SignedTransaction) -> Result<Option<u64>, GetError> {
        Ok(*self.used_at.lock().unwrap())
    }
}

fn refused(code: &str, is_unanimous: bool) -> Answer {
    Err(PostError::Refused { code: code.into(), message: "no".into(), is_unanimous })
}

fn unreachable() -> Answer {
    Err(PostError::Unreachable { reason: "nobody is there".into() })
}

fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes([byte; 32]).unwrap()
}

fn payer() -> Digest {
    Digest::from([1; 32])
}

fn transfer(nonce: u64, nano: u64) -> SignedTransaction {
    let body = TransactionBody::Transfer { to: key(1).public_key(), amount: Amount::from_nano(nano) };
    Transaction { chain: ChainId::new(Digest::ZERO), sender: key(2).public_key(), nonce, body }.sign(&key(2))
}

fn scratch() -> PathBuf {
    std::env::temp_dir().join(format!("inferium-settle-{:032x}", rand::random::<u128>()))
}

fn open(path: &Path) -> (Arc<Hub>, Outlets) {
    let store = GatewayStore::open(path, &key(1)).unwrap();
    store.ensure_key(payer(), Amount::from_nano(1)).unwrap();
    Hub::new(key(1), store).unwrap()
}

async fn record(hub: &Arc<Hub>, signed: &SignedTransaction) -> watch::Receiver<Option<Settled>> {
    hub.record_payment(signed.clone(), payer(), Amount::from_nano(10)).await.unwrap()
}

async fn end(mut settled: watch::Receiver<Option<Settled>>) -> Settled {
    settled.wait_for(Option::is_some).await.unwrap().clone().unwrap()
}

#[tokio::test]
async fn payments_with_a_nonce_that_is_used_are_forgotten_however_many_are_shown() {
    let path = scratch();
    let (hub, outlets) = open(&path);
    hub.payments_followed(7);
    let settling = tokio::spawn(settle(
        Arc::clone(&hub),
        Script::new([refused("nonce_too_low", true)], Some(7)),
        outlets.payments,
    ));
    for nano in 1..=300 {
        let settled = record(&hub, &transfer(0, nano)).await;
        assert!(matches!(end(settled).await, Settled::Refused(reason) if reason.contains("nonce is used")));
    }
    assert_eq!(hub.store.payments_count(), 0);
    settling.abort();
    let _ = std::fs::remove_file(&path);
}

#[tokio::test]
async fn one_whose_block_is_on_its_way_is_credited_and_not_forgotten() {
    let path = scratch();
    let (hub, outlets) = open(&path);
    hub.payments_followed(6);
    let script = Script::new([refused("nonce_too_low", true)], Some(7));
    let settling = tokio::spawn(settle(Arc::clone(&hub), script.clone(), outlets.payments));
    let signed = transfer(0, 10);
    let settled = record(&hub, &signed).await;
    script.sent(1).await;
    // As the chain's follower does: what a block holds is settled before the block counts as followed.
    hub.settle_payment(signed.id(), None).await.unwrap();
    hub.payments_followed(7);
    assert_eq!(end(settled).await, Settled::Credited);
    assert_eq!(hub.left(payer()), Amount::from_nano(11));
    settling.abort();
    let _ = std::fs::remove_file(&path);
}

#[tokio::test(start_paused = true)]
async fn only_what_all_validators_refuse_for_good_is_forgotten() {
    for code in ["fee_unpayable", "nonce_occupied", "nonce_too_high", "rejected", "signature", "too_large"] {
        let path = scratch();
        let (hub, outlets) = open(&path);
        // Some may hold it, or nobody could be asked; then it is certain.
        let answers = [refused(code, false), unreachable(), Ok(()), refused(code, true)];
        let script = Script::new(answers, None);
        let settling = tokio::spawn(settle(Arc::clone(&hub), script.clone(), outlets.payments));
        let signed = transfer(0, 10);
        let settled = record(&hub, &signed).await;
        assert_eq!(script.sent(3).await, [signed.id(); 3]);
        assert_eq!((settled.borrow().clone(), hub.store.payments_count()), (None, 1), "{code}");
        assert_eq!(end(settled).await, Settled::Refused("validators refuse this payment: no".into()), "{code}");
        assert_eq!((script.sent(4).await.len(), hub.store.payments_count()), (4, 0), "{code}");
        // It is not used up.
        record(&hub, &signed).await;
        settling.abort();
        let _ = std::fs::remove_file(&path);
    }
}

#[tokio::test(start_paused = true)]
async fn what_says_nothing_of_the_payment_keeps_it() {
    for code in ["full", "unavailable", "storage", "502", "nonce_too_low"] {
        let path = scratch();
        let (hub, outlets) = open(&path);
        let script = Script::new([refused(code, true)], None);
        let settling = tokio::spawn(settle(Arc::clone(&hub), script.clone(), outlets.payments));
        let signed = transfer(0, 10);
        let settled = record(&hub, &signed).await;
        assert_eq!(script.sent(5).await.len(), 5);
        assert_eq!((settled.borrow().clone(), hub.store.payments_count()), (None, 1), "{code}");
        hub.settle_payment(signed.id(), None).await.unwrap();
        assert_eq!(end(settled).await, Settled::Credited, "{code}");
        settling.abort();
        let _ = std::fs::remove_file(&path);
    }
}

/// A run of the gateway, whose end waits for the threads that hold its store.
fn a_run<T>(of: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(of)
}

/// The client goes the moment its payment is on its way to the disk, and the gateway is killed before it is sent.
#[test]
fn one_that_was_recorded_and_never_sent_is_sent_by_the_next_run_and_credited_once() {
    let path = scratch();
    let signed = transfer(0, 10);
    a_run(async {
        let (hub, mut outlets) = open(&path);
        let mut recording = Box::pin(hub.record_payment(signed.clone(), payer(), Amount::from_nano(10)));
        assert!(futures::poll!(&mut recording).is_pending());
        drop(recording);
        assert_eq!(outlets.payments.recv().await, Some(signed.id()), "it goes on without its client");
    });
    a_run(async {
        let (hub, outlets) = open(&path);
        let script = Script::new([unreachable(), Ok(())], None);
        let settling = tokio::spawn(settle(Arc::clone(&hub), script.clone(), outlets.payments));
        assert_eq!(script.sent(2).await, [signed.id(); 2], "sent again while validators can't be reached");
        let joined = record(&hub, &signed).await;
        for _ in 0..2 {
            hub.settle_payment(signed.id(), None).await.unwrap();
        }
        assert_eq!(end(joined).await, Settled::Credited);
        assert_eq!(hub.left(payer()), Amount::from_nano(11));
        settling.abort();
    });
    let _ = std::fs::remove_file(&path);
}

#[tokio::test(start_paused = true)]
async fn one_with_a_nonce_ahead_ends_when_another_transaction_has_used_it() {
    let path = scratch();
    let (hub, outlets) = open(&path);
    let script = Script::new([Ok(()), refused("nonce_too_low", true)], Some(9));
    let settling = tokio::spawn(settle(Arc::clone(&hub), script.clone(), outlets.payments));
    let pending: Vec<_> = (100..100 + PENDING_EACH_MAX as u64).map(|nonce| transfer(nonce, 10)).collect();
    let mut settled = Vec::new();
    for signed in &pending {
        settled.push(record(&hub, signed).await);
    }
    script.sent(2 * PENDING_EACH_MAX).await;
    assert_eq!(hub.store.payments_count(), PENDING_EACH_MAX as u64, "until that block was followed");
    hub.payments_followed(9);
    for settled in settled {
        assert!(matches!(end(settled).await, Settled::Refused(_)));
    }
    assert_eq!(hub.store.payments_count(), 0);
    settling.abort();
    let _ = std::fs::remove_file(&path);
}
