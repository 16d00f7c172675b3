//! Scripts and styles inside the binary, compressed once, under a name that changes with them.

use axum::{
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use rust_embed::RustEmbed;
use sha2::{Digest as _, Sha256};
use std::{borrow::Cow, collections::BTreeMap, io::Write as _, sync::OnceLock};

#[derive(RustEmbed)]
#[folder = "web/"]
struct Files;

/// One file as it is sent.
struct Asset {
    content_type: &'static str,
    plain: Cow<'static, [u8]>,
    compressed: Vec<u8>,
}

/// All files, and the name that stands for their contents.
struct Assets {
    version: String,
    files: BTreeMap<String, OnceLock<Asset>>,
}

fn assets() -> &'static Assets {
    static ASSETS: OnceLock<Assets> = OnceLock::new();
    ASSETS.get_or_init(|| {
        let mut hash = Sha256::new();
        let mut files = BTreeMap::new();
        for name in Files::iter() {
            if let Some(file) = Files::get(&name) {
                hash.update(name.as_bytes());
                hash.update(file.metadata.sha256_hash());
                files.insert(name.into_owned(), OnceLock::new());
            }
        }
        let version = hex::encode(hash.finalize()).chars().take(12).collect();
        Assets { version, files }
    })
}

/// The address of a file; it may be kept for ever.
pub(crate) fn address(name: &str) -> String {
    format!("/assets/{}/{name}", assets().version)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

/// A script without lines that are comments alone: in vendored ones they are more than half of what would be sent.
/// The files in the repository keep them.
pub(crate) fn without_comments(script: Cow<'static, [u8]>) -> Cow<'static, [u8]> {
    let Ok(text) = std::str::from_utf8(&script) else { return script };
    let (mut kept, mut is_comment) = (String::with_capacity(text.len()), false);
    for line in text.lines() {
        let bare = line.trim();
        if !is_comment && bare.starts_with("/*") && !bare.contains("*/") {
            is_comment = true;
        } else if is_comment {
            is_comment = !bare.ends_with("*/");
        } else if !(bare.starts_with("//") || bare.starts_with("/*") && bare.ends_with("*/")) {
            kept.push_str(line.trim_start());
            kept.push('\n');
        }
    }
    Cow::Owned(kept.into_bytes())
}

fn load(name: &str) -> Option<&'static Asset> {
    let cell = assets().files.get(name)?;
    Some(cell.get_or_init(|| {
        let plain = Files::get(name).map_or(Cow::Borrowed(&[][..]), |file| file.data);
        let plain = if name.starts_with("vendor/noble") { without_comments(plain) } else { plain };
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Writing to memory does not fail; if it did, the plain file is sent.
        let compressed = encoder.write_all(&plain).and_then(|()| encoder.finish()).unwrap_or_default();
        Asset { content_type: content_type(name), plain, compressed }
    }))
}

/// `/assets/{version}/{name}`.
pub(crate) async fn serve(Path(path): Path<String>, headers: HeaderMap) -> Response {
    let Some((version, name)) = path.split_once('/') else { return StatusCode::NOT_FOUND.into_response() };
    if version != assets().version {
        return StatusCode::NOT_FOUND.into_response();
    }
    let Some(asset) = load(name) else { return StatusCode::NOT_FOUND.into_response() };
    let accepts = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let common = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::VARY, "accept-encoding"),
    ];
    if accepts.contains("gzip") && !asset.compressed.is_empty() {
        return (common, [(header::CONTENT_ENCODING, "gzip")], asset.compressed.as_slice()).into_response();
    }
    match &asset.plain {
        Cow::Borrowed(bytes) => (common, *bytes).into_response(),
        Cow::Owned(bytes) => (common, bytes.clone()).into_response(),
    }
}
