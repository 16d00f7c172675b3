//! Claims about payments: what is taken, what is refused and why, and that each is taken once.

use super::*;
use inferium_types::{PublicKey, SecretKey, Transaction, encode};

fn chain(byte: u8) -> ChainId {
    ChainId::new(Digest::from([byte; 32]))
}

fn gateway() -> AccountId {
    SecretKey::from_bytes([1; 32]).unwrap().public_key()
}

fn client() -> SecretKey {
    SecretKey::from_bytes([2; 32]).unwrap()
}

fn transaction() -> Transaction {
    let body = TransactionBody::Transfer { to: gateway(), amount: Amount::from_nano(7) };
    Transaction { chain: chain(1), sender: client().public_key(), nonce: 0, body }
}

/// What a client sends, with a change to it.
fn shown(signed: &SignedTransaction, change: impl FnOnce(&mut Value)) -> HeaderValue {
    let mut value = json!({
        "x402Version": 2,
        "accepted": {
            "scheme": "exact", "network": network(chain(1)), "asset": "IFR", "amount": "7", "payTo": gateway().to_string(),
        },
        "payload": {"transaction": BASE64.encode(encode(signed))},
    });
    change(&mut value);
    HeaderValue::from_str(&BASE64.encode(value.to_string())).unwrap()
}

fn code(refused: &Refused) -> String {
    refused.error.body()["error"]["code"].as_str().unwrap().to_owned()
}

#[test]
fn a_transfer_to_the_gateway_is_a_payment() {
    let signed = transaction().sign(&client());
    let payment = read(chain(1), gateway(), &shown(&signed, |_| {})).unwrap();
    let expected = Payment { id: signed.id(), from: client().public_key(), amount: Amount::from_nano(7), signed };
    assert_eq!(payment, expected);
}

#[test]
fn whatever_is_said_wrongly_of_a_payment_it_is_refused() {
    let signed = transaction().sign(&client());
    let wrong: [fn(&mut Value); 6] = [
        |shown| shown["x402Version"] = json!(1),
        |shown| shown["accepted"]["scheme"] = json!("upto"),
        |shown| shown["accepted"]["asset"] = json!("USDC"),
        |shown| shown["accepted"]["network"] = json!(network(chain(2))),
        |shown| shown["accepted"]["payTo"] = json!("0".repeat(64)),
        |shown| shown["accepted"]["amount"] = json!("8"),
    ];
    for change in wrong {
        let refused = read(chain(1), gateway(), &shown(&signed, change)).unwrap_err();
        assert_eq!(code(&refused), "payment_invalid");
    }
}

#[test]
fn a_transaction_that_does_not_pay_the_gateway_is_refused() {
    let of = |change: &dyn Fn(&mut Transaction)| {
        let mut transaction = transaction();
        change(&mut transaction);
        transaction.sign(&client())
    };
    let other = PublicKey::from_bytes([3; 32]);
    let wrong: [&dyn Fn(&mut Transaction); 4] = [
        &|transaction| transaction.chain = chain(2),
        &|transaction| transaction.body = TransactionBody::Transfer { to: other, amount: Amount::from_nano(7) },
        &|transaction| transaction.body = TransactionBody::Transfer { to: gateway(), amount: Amount::from_nano(6) },
        &|transaction| transaction.body = TransactionBody::Bond { node: gateway(), amount: Amount::from_nano(7) },
    ];
    for change in wrong {
        assert_eq!(code(&read(chain(1), gateway(), &shown(&of(change), |_| {})).unwrap_err()), "payment_invalid");
    }
    let nothing =
        of(&|transaction| transaction.body = TransactionBody::Transfer { to: gateway(), amount: Amount::ZERO });
    let refused = read(chain(1), gateway(), &shown(&nothing, |shown| shown["accepted"]["amount"] = json!("0")));
    assert_eq!(code(&refused.unwrap_err()), "payment_invalid");
    let mut forged = transaction().sign(&client());
    forged.transaction.nonce = 1;
    let refused = read(chain(1), gateway(), &shown(&forged, |_| {})).unwrap_err();
    assert_eq!((code(&refused), refused.offered), ("payment_invalid".into(), Some(Amount::from_nano(7))));
}

#[test]
fn what_is_no_payment_at_all_is_a_bad_request_by_the_name_of_its_header() {
    let signed = transaction().sign(&client());
    let cases = [
        HeaderValue::from_static("?"),
        HeaderValue::from_static("e30="),
        shown(&signed, |shown| shown["payload"]["transaction"] = json!("?")),
        shown(&signed, |shown| shown["payload"]["transaction"] = json!("AAAA")),
        shown(&signed, |shown| shown["accepted"] = json!({})),
    ];
    for case in cases {
        let refused = read(chain(1), gateway(), &case).unwrap_err();
        assert_eq!(refused.error.clone().into_response().status(), 400, "{case:?}");
        assert_eq!(refused.error.body()["error"]["param"], "payment-signature");
    }
}

#[test]
fn a_damaged_payment_is_refused_or_still_the_one_that_was_signed() {
    use inferium_fuzz::{Form, Memory, Outcome, Target};
    let signed = transaction().sign(&client());
    let whole = read(chain(1), gateway(), &shown(&signed, |_| {})).unwrap();
    let sample = BASE64.decode(shown(&signed, |_| {}).as_bytes()).unwrap();
    // The codec reads byte strings of a transaction a mebibyte at a time.
    let memory = Memory { fixed: 1_200_000, per_byte: 256 };
    let target = Target { name: "a payment", form: Form::Text, cases: 20_000, memory };
    let tally = target.run(&[sample], |bytes| {
        let header = HeaderValue::from_str(&BASE64.encode(bytes)).unwrap();
        match read(chain(1), gateway(), &header) {
            Ok(payment) => {
                assert_eq!(payment, whole);
                Outcome::Value
            }
            Err(_) => Outcome::Refused,
        }
    });
    let tally = tally.unwrap();
    assert!(tally.refused > tally.cases / 4, "{tally:?}");
}
