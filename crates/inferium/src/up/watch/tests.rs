//! However a part of the process ends wrongly, the process hears of it.

use super::channel;
use tokio::task::JoinHandle;

#[tokio::test]
async fn a_panic_of_a_service_is_a_failure_of_the_process() {
    let (failing, failures) = channel();
    let broken: JoinHandle<Result<(), String>> = tokio::spawn(async { panic!("on purpose") });
    failing.watch("worker".into(), broken);
    let reason = failures.first().await;
    assert!(reason.starts_with("worker: ") && reason.contains("on purpose"), "{reason}");
}

#[tokio::test]
async fn an_error_is_a_failure_and_a_quiet_end_is_none() {
    let (failing, failures) = channel();
    let quiet = failing.watch("gateway".into(), tokio::spawn(async { Ok::<(), String>(()) }));
    quiet.await.unwrap();
    failing.watch("validator-1".into(), tokio::spawn(async { Err::<(), _>("the disk is full") }));
    assert_eq!(failures.first().await, "validator-1: the disk is full");
}
