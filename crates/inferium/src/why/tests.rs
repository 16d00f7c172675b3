//! Answers in words.

use super::in_words;
use serde_json::json;

#[test]
fn obstacles_stand_with_their_workers() {
    let answer = json!({
        "task": "t", "state": "open", "text": "it waits", "waited_ms": 5,
        "workers": [
            {"worker": "a", "eligible": false, "obstacles": [{"code": "price", "text": "it asks for more"}], "priority_ppm": 7},
            {"worker": "b", "eligible": true, "obstacles": [], "priority_ppm": 9},
        ],
    });
    let text = in_words(&answer);
    assert!(text.starts_with("it waits\n"), "{text}");
    assert!(text.contains("worker a: it asks for more (priority 7 ppm)"), "{text}");
    assert!(text.contains("worker b: may be drawn (priority 9 ppm)"), "{text}");
}

#[test]
fn what_replays_say_of_a_worker_stands_in_words() {
    let measured = json!([{"profile": "p", "suspicion": "suspect", "segments_judged": 3}]);
    let text = in_words(&json!({"node": "n", "text": "its work is suspect", "measured": measured}));
    assert!(text.contains("replays say        suspicion: suspect, after 3 segments of profile p"), "{text}");
    assert!(!text.contains("segments_judged"), "{text}");
}
