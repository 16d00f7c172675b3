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
