//! Evidence gets to its members over failures of the chain's servers and of their own, within its time,
//! and is readable for them only.

use super::{Parcel, Undelivered, WINDOW, deliver};
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use inferium_chain::{GetError, SealingKeyError};
use inferium_seal::{SealError, SealingSecret};
use inferium_types::{Digest, SealedEvidence, SealingKeyProof, SecretKey, SegmentId, decode, encode};
use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

fn unread() -> Undelivered {
    GetError { reason: "nobody answers".into() }.into()
}

#[tokio::test(start_paused = true)]
async fn failures_that_pass_are_waited_out() {
    let (reads, posts) = (Cell::new(0), RefCell::new(Vec::new()));
    let find = || {
        reads.set(reads.get() + 1);
        let read = reads.get();
        async move { if read < 5 { Err(unread()) } else { Ok("http://member".to_owned()) } }
    };
    let send = |url: String| {
        posts.borrow_mut().push(url);
        let outcome = match posts.borrow().len() {
            1 => Err(Undelivered::Status(404)),
            2 => Err(Undelivered::Http("refused".into())),
            _ => Ok(()),
        };
        async move { outcome }
    };
    assert_eq!(deliver(Instant::now() + WINDOW, find, send).await, Ok(()));
    assert_eq!((reads.get(), posts.into_inner()), (5, vec!["http://member".to_owned(); 3]));
}

/// Reads and deliveries share one window, which ends with the failure that was met last.
#[tokio::test(start_paused = true)]
async fn time_for_it_ends() {
    let (began, until) = (Instant::now(), Instant::now() + WINDOW);
    let never = deliver(until, || async { Err(unread()) }, |_| async { Ok(()) }).await;
    assert_eq!(never, Err(unread()));
    let elapsed = began.elapsed();
    assert!(elapsed <= WINDOW && elapsed + Duration::from_secs(5) >= WINDOW, "{elapsed:?}");

    let began = Instant::now();
    let find = || async {
        tokio::time::sleep(WINDOW / 2).await;
        Ok(String::new())
    };
    let refused = deliver(began + WINDOW, find, |_| async { Err(Undelivered::Status(503)) }).await;
    assert_eq!(refused, Err(Undelivered::Status(503)));
    assert!(began.elapsed() <= WINDOW);
}

#[tokio::test(start_paused = true)]
async fn what_the_chain_says_is_not_asked_again() {
    let began = Instant::now();
    for gone in [|| Undelivered::Member, || Undelivered::Lease] {
        let outcome = deliver(began + WINDOW, || async { Err(gone()) }, |_| async { Ok(()) }).await;
        assert_eq!(outcome, Err(gone()));
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// A member's server that starts anew whenever it was asked for its key.
struct Member {
    key: SecretKey,
    /// How often it still does.
    restarts: Mutex<u32>,
    sealing: Mutex<SealingSecret>,
    /// What crossed the wire, and what it was.
    bodies: Mutex<Vec<Bytes>>,
    opened: Mutex<Vec<Vec<u8>>>,
}

async fn prove(State(member): State<Arc<Member>>, Path(nonce): Path<String>) -> Vec<u8> {
    let nonce = Digest::from_hex(&nonce).unwrap();
    let proof = SealingKeyProof::sign(member.sealing.lock().unwrap().public_key(), nonce.as_bytes(), &member.key);
    let mut restarts = member.restarts.lock().unwrap();
    if *restarts > 0 {
        *restarts -= 1;
        *member.sealing.lock().unwrap() = SealingSecret::generate(&mut rand::rng());
    }
    encode(&proof)
}

async fn take(State(member): State<Arc<Member>>, body: Bytes) -> StatusCode {
    let sealed: SealedEvidence = decode(&body).unwrap();
    member.bodies.lock().unwrap().push(body);
    match member.sealing.lock().unwrap().open(&sealed.purpose(), &sealed.sealed) {
        Ok(opened) => {
            member.opened.lock().unwrap().push(opened);
            StatusCode::ACCEPTED
        }
        Err(SealError::UnknownKey) => StatusCode::CONFLICT,
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

async fn serve(key: SecretKey, restarts: u32) -> (Arc<Member>, String) {
    let sealing = Mutex::new(SealingSecret::generate(&mut rand::rng()));
    let restarts = Mutex::new(restarts);
    let member = Arc::new(Member { key, restarts, sealing, bodies: Mutex::default(), opened: Mutex::default() });
    let router = Router::new()
        .route("/duty/v1/seal/{nonce}", get(prove))
        .route("/duty/v1/evidence", post(take))
        .with_state(Arc::clone(&member));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (member, url)
}

fn parcel(member: &SecretKey) -> Parcel {
    Parcel {
        http: reqwest::Client::new(),
        segment: SegmentId::new(Digest::sha256(b"segment")),
        draw: Digest::sha256(b"draw"),
        member: member.public_key(),
        evidence: Bytes::from_static(b"quixotic zephyrs"),
    }
}

fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes([byte; 32]).unwrap()
}

#[tokio::test]
async fn a_member_that_starts_anew_gets_evidence_that_is_sealed_to_its_new_key() {
    let (member, url) = serve(key(1), 2).await;
    let parcel = parcel(&key(1));
    let find = || async { Ok(url.clone()) };
    let sent = deliver(Instant::now() + WINDOW, find, |url| parcel.send(url)).await;
    assert_eq!(sent, Ok(()));
    assert_eq!(*member.opened.lock().unwrap(), [parcel.evidence.to_vec()]);
    let bodies = member.bodies.lock().unwrap();
    assert_eq!(bodies.len(), 3, "two were sealed to keys that were gone");
    let holds = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    for body in bodies.iter() {
        assert!(!holds(body, b"quixotic") && !holds(body, b"zephyrs"));
        assert!(holds(body, parcel.segment.digest().as_bytes()), "the same search finds the segment's name");
    }
}

/// Whoever has the member's address is not the member.
#[tokio::test]
async fn nothing_is_sent_to_who_does_not_prove_that_it_is_the_member() {
    let (other, url) = serve(key(2), 0).await;
    assert_eq!(parcel(&key(1)).send(url).await, Err(SealingKeyError::Proof.into()));
    assert!(other.bodies.lock().unwrap().is_empty());
}
