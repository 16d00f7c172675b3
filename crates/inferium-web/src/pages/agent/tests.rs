//! How a price splits, and whose words are shown.

use super::{Words, exact, split};
use inferium_types::{Amount, Digest, Parameters};
use serde_json::json;

#[test]
fn the_parts_of_a_price_are_the_price_and_fractions_the_treasurys() {
    for nano in [0, 1, 7, 10_000_000, 999_999_999, u64::MAX] {
        let parts = split(Amount::from_nano(nano), &Parameters::mainnet());
        assert_eq!(parts.iter().map(|part| u128::from(part.amount.nano())).sum::<u128>(), u128::from(nano));
        assert_eq!(parts.iter().map(|part| part.share.get()).sum::<u32>(), 1_000_000);
    }
    let parts = split(Amount::from_nano(10_000_001), &Parameters::mainnet());
    let parts = parts.map(|part| (part.name, part.amount.nano()));
    let expected = [("host", 6_000_000), ("creator", 2_500_000), ("committee", 1_000_000), ("treasury", 500_001)];
    assert_eq!(parts, expected);
}

#[test]
fn words_count_when_their_hash_is_the_chains() {
    let agent = json!({"manifest": "name = \"x\"", "summary": "Sums.", "tools": ["table", 1], "secrets": ["TOKEN"]});
    let words = Words::of(&agent, &Digest::sha256(b"name = \"x\"")).unwrap();
    assert_eq!(
        (words.summary.as_str(), words.tools, words.secrets),
        ("Sums.", vec!["table".to_owned()], vec!["TOKEN".to_owned()])
    );
    assert!(Words::of(&agent, &Digest::sha256(b"name = \"y\"")).is_none());
    assert!(Words::of(&json!({}), &Digest::ZERO).is_none());
}

#[test]
fn amounts_are_shown_to_the_last_digit() {
    let html = exact(Amount::from_nano(1_000_000_007)).into_string();
    assert!(html.contains("1.000000007 ") && html.contains("data-nano=\"1000000007\""), "{html}");
}
