//! `inferium wallet pay-header`: pays what a gateway asks for with 402 (x402, version 2).

use super::sign;
use crate::cli::{Failure, SigningArgs};
use crate::output;
use crate::progress::print;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use inferium_types::{AccountId, Amount, ChainId, PublicKey, TransactionBody, encode};
use serde_json::{Value, json};

/// Hex digits of a chain's id in a network's name (CAIP-2).
const CHAIN_DIGITS: usize = 32;

/// What a gateway asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    /// As the gateway wrote it: it is sent back with the payment.
    accepted: Value,
    resource: Value,
    to: AccountId,
    amount: Amount,
    network: String,
}

/// Signs the transfer that `required` asks for, and prints the header that pays with it.
pub(super) async fn header(required: &str, signing: SigningArgs) -> Result<(), Failure> {
    let asked = read(required)?;
    let is_meant = |chain: ChainId| {
        let id = asked.network.strip_prefix("inferium:").filter(|id| id.len() == CHAIN_DIGITS);
        let other = || Failure::refused(format!("the gateway is of the network {}, not of this one", asked.network));
        if id.is_some_and(|id| chain.to_string().starts_with(id)) { Ok(()) } else { Err(other()) }
    };
    let signed = sign(signing, TransactionBody::Transfer { to: asked.to, amount: asked.amount }, is_meant).await?;
    let paid = json!({
        "x402Version": 2,
        "resource": asked.resource,
        "accepted": asked.accepted,
        "payload": {"transaction": BASE64.encode(encode(&signed))},
    });
    let value = BASE64.encode(paid.to_string());
    if output::is_json() {
        return output::print_json(&json!({
            "header": "PAYMENT-SIGNATURE",
            "value": value,
            "transaction": signed.id().to_string(),
            "amount_nano": asked.amount.nano(),
        }));
    }
    print(&value)
}

fn read(required: &str) -> Result<Asked, Failure> {
    let wrong =
        |why: &str| Failure::usage(format!("this is no `PAYMENT-REQUIRED` header of a gateway of Inferium: {why}"));
    let bytes = BASE64.decode(required.trim()).map_err(|_| wrong("it is not base64"))?;
    let found: Value = serde_json::from_slice(&bytes).map_err(|_| wrong("it holds no JSON"))?;
    if found.get("x402Version").and_then(Value::as_u64) != Some(2) {
        return Err(wrong("it is not of x402 version 2"));
    }
    let ways = found.get("accepts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |way: &Value, name: &str| way.get(name).and_then(Value::as_str).map(str::to_owned);
    let is_ours =
        |way: &&Value| text(way, "scheme").as_deref() == Some("exact") && text(way, "asset").as_deref() == Some("IFR");
    let way = ways.iter().find(is_ours).ok_or_else(|| wrong("it accepts no transfer of IFR"))?;
    let to = text(way, "payTo")
        .and_then(|to| PublicKey::from_hex(&to))
        .ok_or_else(|| wrong("it names no account to pay"))?;
    let nano = text(way, "amount").and_then(|nano| nano.parse().ok()).ok_or_else(|| wrong("it names no amount"))?;
    Ok(Asked {
        to,
        amount: Amount::from_nano(nano),
        network: text(way, "network").unwrap_or_default(),
        resource: found.get("resource").cloned().unwrap_or(Value::Null),
        accepted: way.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn required(change: impl FnOnce(&mut Value)) -> String {
        let mut asked = json!({
            "x402Version": 2,
            "resource": {"url": "/v1/completions"},
            "accepts": [{"scheme": "exact", "network": "inferium:00", "asset": "IFR", "amount": "12", "payTo": "01".repeat(32)}],
        });
        change(&mut asked);
        BASE64.encode(asked.to_string())
    }

    #[test]
    fn what_a_gateway_asks_for_is_read_and_anything_else_refused() {
        let asked = read(&required(|_| {})).unwrap();
        assert_eq!(
            (asked.amount, asked.to.to_string(), asked.network.as_str()),
            (Amount::from_nano(12), "01".repeat(32), "inferium:00")
        );
        let wrong: [fn(&mut Value); 5] = [
            |asked| asked["x402Version"] = json!(1),
            |asked| asked["accepts"] = json!([]),
            |asked| asked["accepts"][0]["asset"] = json!("USDC"),
            |asked| asked["accepts"][0]["payTo"] = json!("me"),
            |asked| asked["accepts"][0]["amount"] = json!("-1"),
        ];
        for change in wrong {
            assert!(read(&required(change)).is_err());
        }
        assert!(read("?").is_err() && read("").is_err());
    }
}
