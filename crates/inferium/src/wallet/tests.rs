//! What is said of a transaction's end.

use super::{Facts, outcome, unsent};
use inferium_chain::SendError;
use inferium_types::{
    Amount, ChainId, Digest, SecretKey, SignedTransaction, Transaction, TransactionBody, TransactionId,
};
use std::process::ExitCode;

fn signed() -> SignedTransaction {
    let key = SecretKey::from_bytes([1; 32]).unwrap();
    let body = TransactionBody::Transfer { to: key.public_key(), amount: Amount::ZERO };
    Transaction { chain: ChainId::new(Digest::of("test", &[])), sender: key.public_key(), nonce: 0, body }.sign(&key)
}

#[test]
fn a_final_transaction_says_where_and_a_failed_one_why() {
    let id = TransactionId::new(Digest::of("test", &[]));
    let done = outcome(id, 7, None, None).unwrap();
    assert!(done.contains(&id.to_string()) && done.contains("block 7"), "{done}");
    let facts = Facts::from_iter([("creator".to_owned(), "somebody".into())]);
    let json: serde_json::Value = serde_json::from_str(&outcome(id, 7, None, Some(facts)).unwrap()).unwrap();
    assert_eq!((json["height"].as_u64(), json["status"].as_str()), (Some(7), Some("final")));
    assert_eq!((json["creator"].as_str(), json["transaction"].as_str()), (Some("somebody"), Some(&*id.to_string())));
    for json in [None, Some(Facts::new())] {
        let failure = outcome(id, 7, Some("1 IFR needed, 0 IFR available"), json).unwrap_err();
        assert_eq!(failure.code(), ExitCode::from(1));
        assert!(failure.to_string().contains("1 IFR needed") && failure.to_string().contains("cost its fee"));
    }
}

#[test]
fn each_way_to_miss_a_block_has_its_exit_code() {
    let reason = || "why".to_owned();
    let cases = [
        (SendError::Refused { code: "nonce_too_low".into(), message: reason() }, 4),
        (SendError::Unreachable { reason: reason() }, 3),
        (SendError::Dropped { reason: reason() }, 1),
        (SendError::NonceUsed { nonce: 3 }, 4),
        (SendError::Timeout, 1),
        (SendError::Ended, 1),
    ];
    let id = signed().id().to_string();
    for (error, code) in cases {
        let failure = unsent(&signed(), error.clone());
        assert_eq!(failure.code(), ExitCode::from(code), "{error}");
        assert!(failure.to_string().contains(&id), "{failure}");
    }
}
