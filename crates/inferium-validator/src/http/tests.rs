//! Who sent something learns whose fault it is.

use super::{apart, decode};
use crate::duties::Refused;
use axum::{http::StatusCode, response::IntoResponse};

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
