//! Claims about requests that are sent again, over real HTTP, against a handler that counts.

use super::super::tests::{Served, listen as serve_router, serve};
use super::*;
use axum::Router;
use axum::routing::post;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Instant;
use tokio::sync::Notify;

/// What the handler does, and did.
#[derive(Debug, Default)]
struct Work {
    begun: AtomicUsize,
    /// Requests that ended before they were done.
    dropped: AtomicUsize,
    is_busy: AtomicBool,
    go_on: Notify,
}

/// Counts requests that are dropped.
struct Guard(Arc<Work>, bool);

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.1 {
            self.0.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Answers with its number; does besides what the body asks for.
async fn handler(work: Arc<Work>, body: String) -> Response {
    let number = work.begun.fetch_add(1, Ordering::SeqCst);
    let mut guard = Guard(Arc::clone(&work), false);
    if body.contains("wait") {
        work.go_on.notified().await;
    }
    guard.1 = true;
    assert!(!body.contains("panic"), "as asked");
    if body.contains("busy") || work.is_busy.load(Ordering::SeqCst) {
        return ApiError::Overloaded.into_response();
    }
    if !body.contains("stream") {
        return (StatusCode::OK, [("x-inferium-job", "7")], format!("answer {number}")).into_response();
    }
    let end = GoodEnd::default();
    if !body.contains("broken") {
        end.reached();
    }
    let chunks = (0..3).map(move |index| Ok::<_, std::convert::Infallible>(format!("data: {number}.{index}\n\n")));
    let mut response = Response::new(Body::from_stream(futures::stream::iter(chunks)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.extensions_mut().insert(end);
    response
}

struct Counted {
    served: Served,
    work: Arc<Work>,
    url: String,
}

async fn counted() -> Counted {
    let served = serve().await;
    let work = Arc::new(Work::default());
    let of_handler = Arc::clone(&work);
    let route = post(move |body: String| handler(of_handler, body));
    let router =
        Router::new().route("/", route.layer(axum::middleware::from_fn_with_state(served.state.clone(), once)));
    let url = serve_router(router).await;
    Counted { served, work, url }
}

impl Counted {
    fn ask(&self, headers: &[(&str, &str)], body: &str) -> reqwest::RequestBuilder {
        let request = self.served.client.post(&self.url).bearer_auth(&self.served.key).body(body.to_owned());
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    }

    /// Status, whether it is a replay, and body.
    async fn answer(&self, headers: &[(&str, &str)], body: &str) -> (u16, bool, String) {
        read(self.ask(headers, body).send().await.unwrap()).await
    }

    fn begun(&self) -> usize {
        self.work.begun.load(Ordering::SeqCst)
    }
}

async fn read(response: reqwest::Response) -> (u16, bool, String) {
    let is_replay = response.headers().get(REPLAYED).is_some_and(|value| value == "true");
    (response.status().as_u16(), is_replay, response.text().await.unwrap())
}

/// Waits for something that must come to be.
async fn until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came to be");
        tokio::task::yield_now().await;
    }
}

const NAME: (&str, &str) = ("idempotency-key", "a");
/// What SDKs send with a first attempt, and with the one after it.
const FIRST: (&str, &str) = ("x-stainless-retry-count", "0");
const AGAIN: (&str, &str) = ("x-stainless-retry-count", "1");

#[tokio::test]
async fn a_request_with_a_key_is_done_once_and_its_answer_given_again() {
    let counted = counted().await;
    assert_eq!(counted.answer(&[NAME], "hi").await, (200, false, "answer 0".into()));
    assert_eq!(counted.answer(&[NAME], "hi").await, (200, true, "answer 0".into()));
    let again = counted.ask(&[NAME], "hi").send().await.unwrap();
    assert_eq!(
        (&again.headers()["x-inferium-job"], &again.headers()["content-length"]),
        (&"7".parse().unwrap(), &"8".parse().unwrap())
    );
    assert_eq!(counted.answer(&[("idempotency-key", "b")], "hi").await, (200, false, "answer 1".into()));
    assert_eq!(counted.answer(&[], "hi").await, (200, false, "answer 2".into()));
    assert_eq!(counted.begun(), 3);
}

#[tokio::test]
async fn requests_with_one_key_at_a_time_are_one() {
    let counted = counted().await;
    let (first, second) = (counted.answer(&[NAME], "wait"), counted.answer(&[NAME], "wait"));
    let free = async {
        until(|| counted.begun() == 1).await;
        counted.work.go_on.notify_one();
    };
    let (first, second, ()) = tokio::join!(first, second, free);
    assert_eq!((&first.2, &second.2, counted.begun()), (&"answer 0".to_owned(), &"answer 0".to_owned(), 1));
    assert_ne!(first.1, second.1, "one of them is the repetition");
}

#[tokio::test]
async fn a_key_of_another_request_is_refused_and_one_that_is_none_too() {
    let counted = counted().await;
    counted.answer(&[NAME], "hi").await;
    let (status, _, body) = counted.answer(&[NAME], "ho").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &body["error"]["code"], &body["error"]["param"]),
        (400, &json!("idempotency_key_reused"), &Value::Null)
    );
    let long = "a".repeat(NAME_MAX + 1);
    for name in ["", &long] {
        let (status, _, body) = counted.answer(&[("idempotency-key", name)], "hi").await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["error"]["param"]), (400, &json!("idempotency-key")));
    }
    assert_eq!(counted.begun(), 1);
}

#[tokio::test]
async fn errors_are_not_kept() {
    let counted = counted().await;
    for _ in 0..2 {
        let (status, is_replay, _) = counted.answer(&[NAME], "busy").await;
        assert_eq!((status, is_replay), (429, false));
    }
    // What failed binds the key to nothing.
    assert_eq!(counted.answer(&[NAME], "hi").await, (200, false, "answer 2".into()));
}

#[tokio::test]
async fn who_has_no_key_of_an_account_learns_nothing_of_its_answers() {
    let counted = counted().await;
    counted.answer(&[NAME], "hi").await;
    for key in ["sk-inferium-nonsense", &crate::keys::ApiKey::from_entropy([9; 24]).reveal()] {
        let request = counted.served.client.post(&counted.url).bearer_auth(key).header(NAME.0, NAME.1).body("hi");
        assert_eq!(request.send().await.unwrap().status(), 401);
    }
}

#[tokio::test]
async fn events_are_given_again_as_they_were_unless_they_ended_badly() {
    let counted = counted().await;
    let whole = "data: 0.0\n\ndata: 0.1\n\ndata: 0.2\n\n".to_owned();
    assert_eq!(counted.answer(&[NAME], "stream").await, (200, false, whole.clone()));
    assert_eq!(counted.answer(&[NAME], "stream").await, (200, true, whole));
    for expected in [1, 2] {
        let (_, is_replay, body) = counted.answer(&[("idempotency-key", "b")], "broken stream").await;
        assert!(!is_replay && body.starts_with(&format!("data: {expected}.0")), "{body}");
    }
}

#[tokio::test]
async fn a_retry_of_an_sdk_takes_the_answer_of_the_attempt_whose_client_is_gone() {
    let counted = counted().await;
    // First attempts are requests of their own, however alike.
    assert_eq!(counted.answer(&[FIRST], "hi").await.2, "answer 0");
    assert_eq!(counted.answer(&[FIRST], "hi").await.2, "answer 1");
    // One whose client goes while it waits.
    let gone = tokio::spawn(counted.ask(&[FIRST], "wait").send());
    until(|| counted.begun() == 3).await;
    gone.abort();
    let _ = gone.await;
    let retry = counted.answer(&[AGAIN], "wait");
    let free = async {
        tokio::task::yield_now().await;
        counted.work.go_on.notify_one();
    };
    let (retried, ()) = tokio::join!(retry, free);
    assert_eq!((retried.2.as_str(), counted.begun()), ("answer 2", 3));
    assert!(retried.1);
    // The next retry of the same request takes the same answer; another body is another request.
    assert_eq!(counted.answer(&[("x-stainless-retry-count", "2")], "wait").await.2, "answer 2");
    assert_eq!(counted.answer(&[AGAIN], "ho").await.2, "answer 3");
}

#[tokio::test]
async fn who_waits_for_a_request_that_panics_is_told_so() {
    let counted = counted().await;
    for _ in 0..2 {
        let (status, is_replay, _) = counted.answer(&[NAME], "panic").await;
        assert_eq!((status, is_replay), (500, false));
    }
    assert_eq!(counted.begun(), 2);
}

/// A call that was refused is repeated, not answered with what another call with the same body got.
#[tokio::test]
async fn a_retry_after_a_refusal_begins_anew() {
    let counted = counted().await;
    assert_eq!(counted.answer(&[FIRST], "hi").await.2, "answer 0");
    counted.work.is_busy.store(true, Ordering::SeqCst);
    assert_eq!(counted.answer(&[FIRST], "hi").await.0, 429);
    assert_eq!(counted.answer(&[AGAIN], "hi").await.0, 429);
    counted.work.is_busy.store(false, Ordering::SeqCst);
    let second = counted.answer(&[("x-stainless-retry-count", "2")], "hi").await;
    assert_eq!(second, (200, false, "answer 3".into()));
    // Each refusal is the reason of one repetition; after that the broken connection of an attempt is.
    assert_eq!(counted.answer(&[AGAIN], "hi").await, (200, true, "answer 0".into()));
}

#[tokio::test]
async fn a_retry_joins_no_request_whose_client_still_listens() {
    let counted = counted().await;
    let listened = counted.answer(&[FIRST], "wait");
    let other = async {
        until(|| counted.begun() == 1).await;
        let retried = counted.answer(&[AGAIN], "wait");
        let free = async {
            until(|| counted.begun() == 2).await;
            counted.work.go_on.notify_waiters();
        };
        tokio::join!(retried, free).0
    };
    let (listened, other) = tokio::join!(listened, other);
    assert_eq!((listened.2.as_str(), other.2.as_str()), ("answer 0", "answer 1"));
}

#[tokio::test]
async fn what_nobody_listens_to_ends() {
    let counted = counted().await;
    let gone = tokio::spawn(counted.ask(&[FIRST], "wait").send());
    until(|| counted.begun() == 1).await;
    gone.abort();
    let _ = gone.await;
    until(|| counted.work.dropped.load(Ordering::SeqCst) == 1).await;
    // A retry after that begins anew.
    let retry = counted.answer(&[AGAIN], "wait");
    let free = async {
        until(|| counted.begun() == 2).await;
        counted.work.go_on.notify_one();
    };
    assert_eq!(tokio::join!(retry, free).0, (200, false, "answer 1".into()));
}

#[tokio::test]
async fn a_stream_goes_on_for_a_second_listener_when_the_first_one_goes() {
    let counted = counted().await;
    let first = tokio::spawn(counted.ask(&[NAME], "wait stream").send());
    until(|| counted.begun() == 1).await;
    first.abort();
    let _ = first.await;
    let second = counted.ask(&[NAME], "wait stream").send();
    let free = async {
        until(|| counted.begun() == 1).await;
        counted.work.go_on.notify_one();
    };
    let (second, ()) = tokio::join!(second, free);
    let events: Vec<_> = second.unwrap().bytes_stream().map(|chunk| chunk.unwrap()).collect().await;
    assert_eq!(String::from_utf8(events.concat()).unwrap().matches("data: 0.").count(), 3);
}
