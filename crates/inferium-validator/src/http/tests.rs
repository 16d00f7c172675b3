//! Who sent something learns whose fault it is.

use super::{apart, decode, judgement};
use crate::duties::Refused;
use axum::{http::StatusCode, response::IntoResponse};
use inferium_seal::SealError;
use inferium_types::PublicKey;

fn status(refused: Refused) -> StatusCode {
    refused.into_response().status()
}

#[tokio::test]
async fn a_failure_of_the_validator_is_not_the_senders() {
    let refused = apart(|| panic!("on purpose")).await.unwrap_err();
    assert_eq!(status(refused), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(apart(|| Err(Refused::NoDuty)).await.map_err(status), Err(StatusCode::NOT_FOUND));
}

#[test]
fn what_is_wrong_with_a_request_is_told_apart() {
    let encoding = decode::<u64>(&[]).map_err(Refused::from).unwrap_err();
    assert_eq!(encoding.to_string().split(':').next(), Some("not decodable"));
    assert_eq!(status(encoding), StatusCode::BAD_REQUEST);
    assert_eq!(status(Refused::TooLarge { size: 1 << 30 }), StatusCode::PAYLOAD_TOO_LARGE);
    let miscounted = Refused::PromptTokens { found: 2, claimed: 3 };
    assert_eq!(miscounted.to_string(), "the prompt has 2 tokens, not 3");
    assert_eq!(status(miscounted), StatusCode::BAD_REQUEST);
}

#[test]
fn a_judgement_is_named_by_segment_and_draw() {
    let (name, other) = ("0a".repeat(32), "0b".repeat(32));
    let (segment, draw) = judgement(&name, &other).unwrap();
    assert_eq!((segment.to_string(), draw.to_string()), (name.clone(), other.clone()));
    for (segment, draw) in [(&name[2..], other.as_str()), (&name, "draw"), ("", ""), (&format!("{name}00"), &other)] {
        let refused = judgement(segment, draw).unwrap_err();
        assert_eq!(refused.to_string(), "segment and draw are 64 hexadecimal digits each");
        assert_eq!(status(refused), StatusCode::BAD_REQUEST);
    }
}

#[test]
fn what_can_be_sealed_anew_is_told_from_what_can_not() {
    let unknown = Refused::from(SealError::UnknownKey);
    assert_eq!(unknown.to_string(), "sealed to another key than this process has");
    assert_eq!(status(unknown), StatusCode::CONFLICT);
    let not_opened = Refused::from(SealError::NotOpened);
    assert_eq!(not_opened.to_string(), "the sealed bytes don't open");
    assert_eq!(status(not_opened), StatusCode::BAD_REQUEST);
    assert_eq!(status(Refused::Recipient { member: PublicKey::from_bytes([1; 32]) }), StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(status(Refused::Nonce), StatusCode::BAD_REQUEST);
}
