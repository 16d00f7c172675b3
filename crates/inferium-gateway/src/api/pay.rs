//! Paying for a request (x402, version 2): what is asked for, and what is shown for it.
//!
//! A 402 says beside its `error` what the request can cost at most and where to pay that. The client signs a transfer of so much, sends the
//! request again with it in `payment-signature`, and the gateway sends the transfer to the chain; once a final block holds it, the key has that
//! much more to spend, and the request is answered. A transfer is taken once, for one key, for ever; what the request did not cost is the key's.

use super::ApiState;
use super::error::ApiError;
use crate::hub::{NotTaken, PENDING_EACH_MAX, Settled};
use crate::store::PaymentState;
use axum::Json;
use axum::extract::{OriginalUri, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use inferium_types::{AccountId, Amount, ChainId, Digest, SignedTransaction, TransactionBody, TransactionId, decode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) const PAYMENT_REQUIRED: HeaderName = HeaderName::from_static("payment-required");
pub(super) const PAYMENT_SIGNATURE: HeaderName = HeaderName::from_static("payment-signature");
pub(super) const PAYMENT_RESPONSE: HeaderName = HeaderName::from_static("payment-response");

const VERSION: u64 = 2;
const SCHEME: &str = "exact";
const ASSET: &str = "IFR";
/// How long a client may take to pay, and a payment to become final; seconds.
const PATIENCE_S: u64 = 60;
/// Hex digits of a chain's id that its name among all networks has room for (CAIP-2).
const CHAIN_DIGITS: usize = 32;

/// In an error's extensions: what would have been enough.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due(pub(super) Amount);

/// Where to pay.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payee {
    pub(super) chain: ChainId,
    pub(super) account: AccountId,
}

fn network(chain: ChainId) -> String {
    format!("inferium:{}", chain.to_string().get(..CHAIN_DIGITS).unwrap_or_default())
}

/// What a client sends in `payment-signature`, decoded.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(rename = "x402Version")]
    version: u64,
    accepted: Accepted,
    payload: Payload,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    scheme: String,
    network: String,
    asset: String,
    amount: String,
    pay_to: String,
}

#[derive(Debug, Deserialize)]
struct Payload {
    /// Base64 of a signed transaction.
    transaction: String,
}

/// A payment that is what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Payment {
    signed: SignedTransaction,
    id: TransactionId,
    from: AccountId,
    amount: Amount,
}

/// Why a payment is not taken.
#[derive(Debug)]
struct Refused {
    error: ApiError,
    /// What it was meant to pay.
    offered: Option<Amount>,
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self { error, offered: None }
    }
}

/// Takes a payment if one is shown, and asks for one if the request needs it.
pub(super) async fn pay(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let Some(payee) = state.payee else { return next.run(request).await };
    let url =
        request.extensions().get::<OriginalUri>().map_or_else(|| request.uri().to_string(), |uri| uri.0.to_string());
    let shown = request.headers().get(PAYMENT_SIGNATURE).filter(|shown| !shown.is_empty()).cloned();
    let taken = match shown {
        None => None,
        Some(shown) => match take(&state, &payee, request.headers(), &shown).await {
            Ok(payment) => Some(payment),
            Err(Refused { error, offered }) => {
                let told = json!({"success": false, "errorReason": error.to_string(), "transaction": "", "network": network(payee.chain)});
                let mut response = error.clone().into_response();
                if let (StatusCode::PAYMENT_REQUIRED, Some(offered)) = (response.status(), offered) {
                    response = ask(&payee, &error, &url, offered);
                }
                return with_header(response, PAYMENT_RESPONSE, &told);
            }
        },
    };
    let mut response = next.run(request).await;
    if let Some((Due(amount), error)) = response.extensions_mut().remove::<(Due, ApiError)>() {
        response = ask(&payee, &error, &url, amount);
    }
    let Some(payment) = taken else { return response };
    let told = json!({
        "success": true,
        "transaction": payment.id.to_string(),
        "network": network(payee.chain),
        "payer": payment.from.to_string(),
    });
    with_header(response, PAYMENT_RESPONSE, &told)
}

/// An error of the status 402 with what x402 says of it.
fn ask(payee: &Payee, error: &ApiError, url: &str, amount: Amount) -> Response {
    let required = json!({
        "x402Version": VERSION,
        "error": error.to_string(),
        "resource": {"url": url, "description": "Work of Inferium's workers", "mimeType": "application/json"},
        "accepts": [{
            "scheme": SCHEME,
            "network": network(payee.chain),
            "asset": ASSET,
            "amount": amount.nano().to_string(),
            "payTo": payee.account.to_string(),
            "maxTimeoutSeconds": PATIENCE_S,
            "extra": {"chain": payee.chain.to_string(), "unit": "nano-IFR"},
        }],
    });
    let mut body = error.body();
    if let (Some(body), Some(required)) = (body.as_object_mut(), required.as_object()) {
        // The object `error` is OpenAI's; x402's text stands in its message and in the header.
        body.extend(
            required.iter().filter(|(name, _)| *name != "error").map(|(name, value)| (name.clone(), value.clone())),
        );
    }
    with_header((StatusCode::PAYMENT_REQUIRED, Json(body)).into_response(), PAYMENT_REQUIRED, &required)
}

fn with_header(mut response: Response, name: HeaderName, value: &Value) -> Response {
    if let Ok(value) = HeaderValue::from_str(&BASE64.encode(value.to_string())) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Checks a payment, records it, and waits until it is credited.
async fn take(state: &ApiState, payee: &Payee, headers: &HeaderMap, shown: &HeaderValue) -> Result<Payment, Refused> {
    let payer: Digest = state.payer(headers)?;
    let payment = read(payee.chain, payee.account, shown)?;
    let refused = |code: &'static str, message: String| Refused {
        error: ApiError::Payment { code, message },
        offered: Some(payment.amount),
    };
    let receiver = state.hub.record_payment(payment.signed.clone(), payer, payment.amount).await;
    let mut settled = receiver.map_err(|reason| match not_taken(reason) {
        Ok((code, message)) => refused(code, message),
        Err(error) => error.into(),
    })?;
    let end = tokio::time::timeout(Duration::from_secs(PATIENCE_S), settled.wait_for(Option::is_some)).await;
    let end = end.ok().and_then(|end| end.ok().and_then(|end| end.clone()));
    match end {
        Some(Settled::Credited) => Ok(payment),
        Some(Settled::Failed(reason)) => {
            Err(refused("payment_failed", format!("this payment moved no money: {reason}")))
        }
        Some(Settled::Refused(reason)) => Err(refused("payment_refused", reason)),
        None => {
            let message = format!(
                "this payment is in no final block after {PATIENCE_S} s; the gateway goes on sending it, and credits it once: show it again to wait for it"
            );
            Err(refused("payment_pending", message))
        }
    }
}

/// Code and message for a payment that is not taken.
fn not_taken(reason: NotTaken) -> Result<(&'static str, String), ApiError> {
    let (code, message) = match reason {
        NotTaken::Decided(PaymentState::Failed) => {
            ("payment_failed", "this payment was shown before, and moved no money".to_owned())
        }
        NotTaken::Decided(PaymentState::Credited | PaymentState::Recorded) => (
            "payment_used",
            "this payment was credited to this API key before; it is good once, and need not be shown again".to_owned(),
        ),
        NotTaken::Other => (
            "payment_used",
            "this payment was shown with another API key before; it is good for that one alone".to_owned(),
        ),
        NotTaken::Busy => (
            "payment_limit",
            format!(
                "{PENDING_EACH_MAX} payments of an API key, and {PENDING_EACH_MAX} from an account, may be undecided at once, and a gateway takes only so many: \
                 show this one again once a block holds those before it"
            ),
        ),
        NotTaken::Store(error) => return Err(error.into()),
    };
    Ok((code, message))
}

/// Reads a payment, and checks that it is one to this gateway.
fn read(chain: ChainId, payee: AccountId, shown: &HeaderValue) -> Result<Payment, Refused> {
    let malformed = |message: &str| ApiError::invalid("payment-signature", format!("`payment-signature` {message}"));
    let bytes = BASE64.decode(shown.as_bytes()).map_err(|_| malformed("must be base64 of JSON"))?;
    let shown: Shown =
        serde_json::from_slice(&bytes).map_err(|error| malformed(&format!("is not understood: {error}")))?;
    let bytes =
        BASE64.decode(&shown.payload.transaction).map_err(|_| malformed("holds a `transaction` that is not base64"))?;
    let signed: SignedTransaction =
        decode(&bytes).map_err(|_| malformed("holds a `transaction` that is no signed transaction"))?;
    let offered = shown.accepted.amount.parse().ok().map(Amount::from_nano);
    let refused = |message: &str| Refused {
        error: ApiError::Payment { code: "payment_invalid", message: format!("this payment is not taken: {message}") },
        offered,
    };
    let Accepted { scheme, network: of, asset, pay_to, .. } = &shown.accepted;
    if shown.version != VERSION || scheme != SCHEME || asset != ASSET {
        return Err(refused("it is not of x402 version 2, scheme `exact`, asset `IFR`"));
    }
    if *of != network(chain) || signed.transaction.chain != chain {
        return Err(refused("it is of another network"));
    }
    let TransactionBody::Transfer { to, amount } = signed.transaction.body else {
        return Err(refused("its transaction is no transfer"));
    };
    if to != payee || *pay_to != payee.to_string() {
        return Err(refused("it does not pay this gateway"));
    }
    if offered != Some(amount) || amount.is_zero() {
        return Err(refused("its transfer is not of the amount that it says"));
    }
    let from = signed.transaction.sender;
    let verified = signed.verify(chain).map_err(|_| refused("its signature is wrong"))?;
    Ok(Payment { id: verified.id(), from, amount, signed: verified.signed().clone() })
}

#[cfg(test)]
mod tests;
