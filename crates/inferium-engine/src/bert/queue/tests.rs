use super::{Limits, Queue, Vectors};
use crate::{EngineError, TextVector, VectorReceiver};
use inferium_types::Digest;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

const LIMITS: Limits = Limits { active: 2, queued: 2, texts: 1 };

fn vector(first: u32) -> TextVector {
    TextVector { values: vec![first as f32], states: Digest::ZERO }
}

/// The first token of each text as its vector.
fn echo(texts: &[&[u32]]) -> Vectors {
    texts.iter().map(|text| Ok(vector(text[0]))).collect()
}

/// A queue that computes a step for every message that is sent, after it reported the step's texts.
fn stepped(limits: Limits) -> (Queue, SyncSender<()>, Receiver<Vec<u32>>) {
    let (go, wait) = sync_channel::<()>(1000);
    let (report, steps) = sync_channel(1000);
    let queue = Queue::start(limits, move |texts| {
        report.send(texts.iter().map(|text| text[0]).collect()).unwrap();
        // At the test's end the sender is gone, and what is left runs through.
        let _ = wait.recv();
        echo(texts)
    });
    (queue.unwrap(), go, steps)
}

fn texts(tokens: impl IntoIterator<Item = u32>) -> Vec<Vec<u32>> {
    tokens.into_iter().map(|token| vec![token]).collect()
}

fn collect(mut receiver: VectorReceiver) -> Vectors {
    std::iter::from_fn(|| receiver.blocking_recv()).collect()
}

#[test]
fn vectors_arrive_in_order_and_then_the_channel_closes() {
    for width in [1, 2, 3, 16] {
        let queue = Queue::start(Limits { texts: width, ..LIMITS }, echo).unwrap();
        let found = collect(queue.submit(texts(0..7)).unwrap());
        assert_eq!(found, (0..7).map(|token| Ok(vector(token))).collect::<Vec<_>>(), "{width} texts a step");
    }
}

#[test]
fn calls_take_turns_and_a_full_queue_is_busy() {
    let (queue, go, steps) = stepped(LIMITS);
    let long = queue.submit(texts(10..14)).unwrap();
    assert_eq!(steps.recv().unwrap(), [10]);
    let short = queue.submit(texts([20])).unwrap();
    let third = queue.submit(texts([30])).unwrap();
    assert_eq!(queue.submit(texts([40])).unwrap_err(), EngineError::Busy { queued: 2 });
    assert_eq!((queue.load().active, queue.load().queued), (1, 2));
    let order: Vec<u32> = (0..5)
        .map(|_| {
            go.send(()).unwrap();
            steps.recv().unwrap()[0]
        })
        .collect();
    go.send(()).unwrap();
    assert_eq!([long, short, third].map(|receiver| collect(receiver).len()), [4, 1, 1]);
    // Two share the thread: the third comes in when the second is done, and the long one holds up neither.
    let place = |token| order.iter().position(|&found| found == token).unwrap();
    assert!(place(20) < place(12) && place(30) < place(13), "{order:?}");
    // There is room again.
    let receiver = queue.submit(texts([50])).unwrap();
    go.send(()).unwrap();
    assert_eq!(collect(receiver), [Ok(vector(50))]);
}

#[test]
fn a_step_takes_texts_of_every_call_before_a_second_one() {
    let (queue, go, steps) = stepped(Limits { texts: 3, ..LIMITS });
    let first = queue.submit(texts(10..20)).unwrap();
    assert_eq!(steps.recv().unwrap(), [10, 11, 12]);
    let second = queue.submit(texts(20..22)).unwrap();
    go.send(()).unwrap();
    let mut step = steps.recv().unwrap();
    step.sort_unstable();
    assert!(step == [13, 14, 20] || step == [13, 20, 21], "{step:?}");
    drop(go);
    assert_eq!((collect(first).len(), collect(second).len()), (10, 2));
}

#[test]
fn a_dropped_receiver_cancels() {
    let (queue, go, steps) = stepped(LIMITS);
    let receiver = queue.submit(texts(0..1000)).unwrap();
    assert_eq!(steps.recv().unwrap(), [0]);
    drop(receiver);
    // Waits behind it, and is dropped before its turn.
    drop(queue.submit(texts(2000..3000)).unwrap());
    let next = queue.submit(texts([5000])).unwrap();
    go.send(()).unwrap();
    assert_eq!(steps.recv().unwrap(), [5000]);
    go.send(()).unwrap();
    assert_eq!(collect(next), [Ok(vector(5000))]);
}

#[test]
fn an_error_is_the_last_that_arrives() {
    let queue = Queue::start(Limits { texts: 4, ..LIMITS }, |texts| {
        texts.iter().map(|text| if text[0] == 1 { Err(EngineError::NotFinite) } else { Ok(vector(0)) }).collect()
    })
    .unwrap();
    assert_eq!(collect(queue.submit(texts(0..4)).unwrap()), [Ok(vector(0)), Err(EngineError::NotFinite)]);
    assert_eq!(collect(queue.submit(texts([7, 8])).unwrap()).len(), 2);
}

#[test]
fn a_panic_hangs_nobody() {
    let (go, wait) = sync_channel::<()>(1);
    let queue = Queue::start(LIMITS, move |_| {
        wait.recv().unwrap();
        panic!("on purpose")
    })
    .unwrap();
    let running = queue.submit(texts([1, 2])).unwrap();
    let waiting = queue.submit(texts([3])).unwrap();
    go.send(()).unwrap();
    assert_eq!(collect(running), [Err(EngineError::Stopped)]);
    assert_eq!(collect(waiting), [Err(EngineError::Stopped)]);
    while queue.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
        std::thread::yield_now();
    }
    for _ in 0..10 {
        assert_eq!(queue.submit(texts([4])).unwrap_err(), EngineError::Stopped);
    }
    assert_eq!(queue.load(), crate::EngineLoad::default());
}

#[test]
fn a_dropped_queue_tells_who_still_waits() {
    let (queue, go, steps) = stepped(LIMITS);
    let running = queue.submit(texts([1, 2, 3])).unwrap();
    assert_eq!(steps.recv().unwrap(), [1]);
    let waiting = queue.submit(texts([4])).unwrap();
    let dropping = std::thread::spawn(move || drop(queue));
    // The thread is within a step: the drop waits for the end of it.
    go.send(()).unwrap();
    drop(go);
    let running = collect(running);
    assert!(running.len() <= 3 && running.first() == Some(&Ok(vector(1))), "{running:?}");
    let _ = collect(waiting);
    dropping.join().unwrap();
}
