//! The wallet's page, and what it asks of the network: an account's state, and to hand a transaction on.
//!
//! No secret comes here: the page makes, seals and opens keys, and signs.

use super::Page;
use crate::WebState;
use crate::layout::Section;
use crate::respond::Form;
use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use inferium_chain::{PostError, TransactionStatus};
use inferium_ledger::{Account, Meta, StateKey, fee_of};
use inferium_types::{
    AccountId, Amount, Event, Signature, SignedTransaction, Transaction, TransactionBody, TransactionId, limits,
};
use maud::html;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) async fn page(State(state): State<WebState>, form: Form) -> Response {
    let html = html! {
        h1 { "Wallet" }
        p.lead { "Your key is made here, sealed under your password, and kept by this browser alone. What you sign, you read first." }
        div #wallet data-chain=(state.chain.network_key().chain) {
            div.doors #closed {
              section.card {
                h2 #closed-title { "Open a wallet" }
                div.tabs role="tablist" aria-label="How to open it" {
                    button type="button" role="tab" data-way="open" aria-selected="true" { "Keystore" }
                    button type="button" role="tab" data-way="new" aria-selected="false" { "New wallet" }
                }
                form #open-form {
                    label { span { "Keystore file" } input #keystore-file type="file" accept="application/json,.json"; }
                    p.note #kept-note {}
                    label { span { "Password" } input #open-password type="password" autocomplete="current-password" required; }
                    button.primary type="submit" { "Open" }
                }
                form #new-form hidden {
                    p { "The same file as " code { "inferium wallet" } " makes: argon2id and XChaCha20-Poly1305. Without words to write down: keep the file and its password, nothing else brings the key back." }
                    label { span { "Password, 12 characters or more" } input #new-password type="password" autocomplete="new-password" minlength="12" required; }
                    label { span { "The same again" } input #again-password type="password" autocomplete="new-password" minlength="12" required; }
                    button.primary type="submit" { "Make a key" }
                }
                p.busy #wallet-busy role="status" {}
              }
              aside {
                h2 { "What it does" }
                dl.points {
                    div { dt { "Stays here" } dd { "No server sees your key or its password. The file is the command line's, too: " code { "inferium wallet" } " opens it, and this page opens its." } }
                    div { dt { "Tells you first" } dd { "Each transaction is shown in words, field by field, before it is signed. What you read is what is signed, to the byte." } }
                    div { dt { "Does what the chain can" } dd { "Send money, stake on a node and take stake back, vote, and " a href="/governance" { "propose" } "." } }
                }
              }
            }
            section #opened hidden {
                div.figures { div.figure { span.name { "Balance" } strong #balance { "…" } } div.figure { span.name { "Transactions sent" } strong #nonce { "…" } } }
                p.row { code #address {} button type="button" #save { "Download keystore" } button type="button" #lock { "Lock" } a #account-link href="/explorer" { "In the explorer" } }
                form.card #make {
                    h2 { "Make a transaction" }
                    label { span { "What" } select #kind {
                        option value="transfer" { "Send money" } option value="bond" { "Stake on a node" } option value="unbond" { "Take stake back" } option value="vote" { "Vote on a proposal" } option value="propose" { "Make a proposal" }
                    } }
                    label data-for="propose" hidden { span { "Title" } input #title maxlength="200" autocomplete="off"; }
                    label data-for="propose" hidden { span { "Why" } textarea #why rows="3" {} }
                    label data-for="propose" hidden { span { "What it does" } select #action {
                        option value="parameters" { "Changes parameters" } option value="spend" { "Pays from the treasury" } option value="text" { "Says something" }
                    } }
                    label data-for="propose-parameters" hidden { span { "New values, one in a line" } textarea #changes rows="3" spellcheck="false" placeholder="starving_ms = 5000" {} }
                    label data-for="transfer propose-spend" { span { "To (address)" } input #to spellcheck="false" autocomplete="off"; }
                    label data-for="bond unbond" hidden { span { "Node (address)" } input #node spellcheck="false" autocomplete="off"; }
                    label data-for="transfer bond unbond propose-spend" { span { "Amount, IFR" } input #amount inputmode="decimal" autocomplete="off"; }
                    label data-for="vote" hidden { span { "Proposal" } input #proposal inputmode="numeric" autocomplete="off"; }
                    label data-for="vote" hidden { span { "Choice" } select #choice { option { "yes" } option { "no" } option { "abstain" } option { "veto" } } }
                    button.primary type="submit" { "Review" }
                }
            }
            p.error #wallet-error role="alert" {}
            p.done #wallet-done role="status" {}
        }
        dialog #review aria-labelledby="review-title" {
            h2 #review-title { "You are about to sign" }
            p.lead #review-words {}
            dl.words #review-fields {}
            details { summary { "The bytes that are signed" } pre #review-bytes tabindex="0" {} }
            div.row { button type="button" data-close="" { "Don't sign" } button.primary type="button" #sign { "Sign and send" } }
        }
    };
    let json = json!({"chain": state.chain.network_key().chain.to_string(), "submit": "/api/v1/transactions", "account": "/api/v1/accounts/{address}"});
    let mut page = Page::new("Wallet", Section::Wallet, html, json);
    page.scripts = &["js/wallet.js"];
    state.send(form, Ok(page))
}

fn refused(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(json!({"error": {"code": code, "message": message}}))).into_response()
}

/// `GET /api/v1/accounts/{address}?size=N`: balance, nonce, and what a signed transaction of so many bytes costs, of a
/// transfer without `size`; all proven.
pub(super) async fn account(
    State(state): State<WebState>,
    Path(id): Path<String>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Response {
    let size = query.map(|Query(asked)| asked.get("size").map(|size| size.parse::<usize>()).transpose());
    let Ok(Ok(size)) = size else {
        return refused(StatusCode::BAD_REQUEST, "invalid_value", "`size` is the bytes of a signed transaction");
    };
    let Some(id) = AccountId::from_hex(&id) else {
        return refused(StatusCode::NOT_FOUND, "not_found", "an address is 64 hex digits");
    };
    match read(&state, id, size).await {
        Ok(body) => Json(body).into_response(),
        Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable", &error),
    }
}

async fn read(state: &WebState, id: AccountId, size: Option<usize>) -> Result<Value, String> {
    let account: Account =
        state.chain.entry(&StateKey::Account(id)).await.map_err(|e| e.to_string())?.unwrap_or_default();
    let meta: Option<Meta> = state.chain.entry(&StateKey::Meta).await.map_err(|e| e.to_string())?;
    let meta = meta.ok_or("the chain has no state")?;
    // Every kind that the page makes is paid for by its size.
    let body = TransactionBody::Transfer { to: id, amount: Amount::ZERO };
    let transaction = Transaction { chain: state.chain.network_key().chain, sender: id, nonce: account.nonce, body };
    let signed = SignedTransaction { transaction, signature: Signature::from_bytes([0; 64]) };
    let size = size.unwrap_or_else(|| inferium_types::encode(&signed).len()).min(limits::TRANSACTION_SIZE_MAX);
    let fee = fee_of(&signed.transaction.body, size, &meta.parameters).map_err(|e| e.to_string())?;
    // As text: not every client's numbers are that long.
    Ok(json!({
        "address": id.to_string(), "balance_nano": account.balance.nano().to_string(), "nonce": account.nonce.to_string(),
        "fee_nano": fee.nano().to_string(), "proposal_deposit_nano": meta.parameters.proposal_deposit.nano().to_string(), "height": meta.height,
    }))
}

/// `POST /api/v1/transactions`: the signed transaction's bytes. Answers when a validator took it or refused.
pub(super) async fn submit(State(state): State<WebState>, body: Bytes) -> Response {
    if body.len() > limits::TRANSACTION_SIZE_MAX {
        return refused(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the transaction is too large");
    }
    let signed: SignedTransaction = match inferium_types::decode(&body) {
        Ok(signed) => signed,
        Err(error) => return refused(StatusCode::BAD_REQUEST, "encoding", &error.to_string()),
    };
    match state.chain.submit(&signed).await {
        Ok(id) => {
            let status = match state.chain.status(id).await {
                TransactionStatus::Rejected { reason } => return refused(StatusCode::BAD_REQUEST, "dropped", &reason),
                TransactionStatus::Waiting | TransactionStatus::Unknown => "waiting",
            };
            (StatusCode::ACCEPTED, Json(json!({"transaction": id.to_string(), "status": status}))).into_response()
        }
        Err(PostError::Refused { code, message, .. }) => refused(StatusCode::BAD_REQUEST, &code, &message),
        Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable", &error.to_string()),
    }
}

/// `GET /api/v1/transactions/{id}`: `final` with its block, or what validators say of it.
pub(super) async fn standing(State(state): State<WebState>, Path(id): Path<String>) -> Response {
    let Some(name) = TransactionId::from_hex(&id) else {
        return refused(StatusCode::NOT_FOUND, "not_found", "a transaction's name is 64 hex digits");
    };
    let found = state.index.read().transaction(&name).map(|(block, _)| std::sync::Arc::clone(block));
    if let Some(block) = found {
        let failed = block.events.iter().find_map(|event| match event {
            Event::TransactionFailed { transaction, reason } if *transaction == name => Some(reason.clone()),
            _ => None,
        });
        let body = json!({"transaction": id, "status": "final", "height": block.header.height, "failed": failed});
        return Json(body).into_response();
    }
    Json(match state.chain.status(name).await {
        TransactionStatus::Waiting => json!({"transaction": id, "status": "waiting"}),
        TransactionStatus::Rejected { reason } => json!({"transaction": id, "status": "rejected", "reason": reason}),
        TransactionStatus::Unknown => json!({"transaction": id, "status": "unknown"}),
    })
    .into_response()
}
