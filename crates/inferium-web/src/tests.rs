//! What pages are made of, without a network: policy, forms, and the files in the binary.

use crate::{assets, index, layout, respond, story};
use axum::{
    body::to_bytes,
    extract::{Path, Request},
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse as _,
};
use inferium_types::{AgentId, Amount, Digest, Event, NodeId};
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeMap, sync::Arc};

#[test]
fn vendored_files_are_the_listed_ones() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("web/vendor");
    let list = std::fs::read_to_string(folder.join("VENDOR.toml")).unwrap();
    let field = |part: &str, name: &str| {
        let line = part.lines().find_map(|line| line.strip_prefix(&format!("{name} = \""))).unwrap();
        line.trim_end_matches('"').to_owned()
    };
    let parts: Vec<&str> = list.split("[[file]]").skip(1).collect();
    assert!(parts.len() > 20, "{}", parts.len());
    for part in parts {
        let (file, expected) = (field(part, "file"), field(part, "vendored"));
        let found = hex::encode(Sha256::digest(std::fs::read(folder.join(&file)).unwrap()));
        assert_eq!(found, expected, "{file}");
        assert!(!field(part, "licence").is_empty() && !field(part, "version").is_empty());
    }
}

#[tokio::test]
async fn files_are_sent_compressed_under_a_name_that_changes_with_them() {
    let address = assets::address("js/receipt.js");
    let path = address.strip_prefix("/assets/").unwrap().to_owned();
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT_ENCODING, "gzip, br".parse().unwrap());
    let response = assets::serve(Path(path.clone()), headers).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
    assert!(response.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    let plain = assets::serve(Path(path.clone()), HeaderMap::new()).await;
    let plain = to_bytes(plain.into_body(), usize::MAX).await.unwrap();
    assert!(String::from_utf8(plain.to_vec()).unwrap().contains("verifyReceipt"));
    for lost in ["000000000000/js/receipt.js", &format!("{path}x"), "js", "../Cargo.toml"] {
        let response = assets::serve(Path(lost.to_owned()), HeaderMap::new()).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{lost}");
    }
}

#[test]
fn comments_of_vendored_scripts_are_not_sent() {
    let script = "/**\n * Adds.\n */\nconst a = 1; // one\n// alone\n/* also */\n  const b = a * 2;\n";
    let sent = assets::without_comments(script.as_bytes().into());
    assert_eq!(String::from_utf8(sent.to_vec()).unwrap(), "const a = 1; // one\nconst b = a * 2;\n");
}

#[test]
fn every_answer_is_under_a_policy_without_exceptions() {
    let response = respond::with_policy("text".into_response());
    let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
}

#[test]
fn browsers_alone_get_a_page_for_an_address_that_nobody_has() {
    let asks = |path: &str, accept: &str| {
        let request = Request::get(path).header(header::ACCEPT, accept).body(axum::body::Body::empty()).unwrap();
        respond::is_for_a_page(&request)
    };
    assert!(asks("/nothing", "text/html,application/xhtml+xml"));
    assert!(!asks("/nothing", "*/*"));
    assert!(!asks("/v1/nothing", "text/html"));
    assert!(!asks("/health", "text/html"));
}

#[test]
fn endings_name_the_form_and_not_the_thing() {
    assert_eq!((respond::bare("12.json"), respond::bare("12.csv"), respond::bare("12")), ("12", "12", "12"));
}

#[test]
fn what_a_stranger_wrote_is_no_markup() {
    let event = Event::UrlChanged { node: NodeId::from_bytes([1; 32]), url: "<img src=x onerror=alert(1)>".into() };
    let html = story::event(&event, &Arc::new(BTreeMap::new())).into_string();
    assert!(!html.contains("<img") && html.contains("&lt;img"), "{html}");
    assert_eq!(story::kind(&event), "UrlChanged");
}

#[test]
fn events_of_agents_lead_to_their_pages() {
    let (agent, creator) = (AgentId::new(Digest::sha256(&[2])), NodeId::from_bytes([1; 32]));
    let name = "plain".to_owned();
    let event = Event::AgentPublished { agent, creator, name, manifest: Digest::ZERO, price: Amount::ZERO };
    let html = story::event(&event, &Arc::new(BTreeMap::new())).into_string();
    assert!(html.contains(&format!("href=\"/studios/{agent}\"")) && html.contains(">plain</a>"), "{html}");
    let event = Event::AgentRetired { agent, stop_spending: false };
    let html = story::event(&event, &Arc::new(BTreeMap::new())).into_string();
    assert!(html.contains(&format!("href=\"/studios/{agent}\"")), "{html}");
}

#[test]
fn numbers_read_as_people_write_them() {
    assert_eq!(layout::grouped(0), "0");
    assert_eq!(layout::grouped(1_234_567), "1\u{202f}234\u{202f}567");
    let html = layout::money(Amount::from_nano(1_500_000_000)).into_string();
    assert!(html.contains("title=\"1.5 IFR\""), "{html}");
    assert_eq!(index::spaced("ClosedByGateway"), "closed by gateway");
}
