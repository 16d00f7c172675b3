//! Downloads over HTTP that continue where an earlier one ended.

use super::Progress;
use reqwest::StatusCode;
use reqwest::header::RANGE;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

/// A server that says nothing for so long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Downloads `url` to `staged`, appending to what is there already. Without an expected size the server's word is taken:
/// the caller has a checksum.
pub(super) fn fetch(
    url: &str,
    staged: &Path,
    size_bytes: Option<u64>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), String> {
    let (sender, receiver) = mpsc::channel();
    let (url, staged) = (url.to_owned(), staged.to_path_buf());
    // A thread of its own, so that this also works when called from within a tokio runtime.
    let worker = std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        runtime.block_on(download(&url, staged, size_bytes, &sender))
    });
    for (bytes, total_bytes) in receiver {
        progress(Progress::Received { bytes, total_bytes });
    }
    worker.join().unwrap_or_else(|_| Err("the download's thread panicked".to_owned()))
}

async fn download(
    url: &str,
    staged: PathBuf,
    size_bytes: Option<u64>,
    progress: &mpsc::Sender<(u64, u64)>,
) -> Result<(), String> {
    let client = reqwest::Client::builder()
        .connect_timeout(SILENCE_MAX)
        .read_timeout(SILENCE_MAX)
        .build()
        .map_err(|error| chain(&error))?;
    let there = std::fs::metadata(&staged).map_or(0, |metadata| metadata.len());
    if there > 0 && Some(there) == size_bytes {
        return Ok(());
    }
    let mut request = client.get(url);
    if there > 0 && size_bytes.is_none_or(|size| there < size) {
        request = request.header(RANGE, format!("bytes={there}-"));
    }
    let mut response = request.send().await.map_err(|error| chain(&error))?;
    let (mut file, mut bytes) = match response.status() {
        // Nothing follows what is there: it was whole.
        StatusCode::RANGE_NOT_SATISFIABLE if size_bytes.is_none() => return Ok(()),
        StatusCode::PARTIAL_CONTENT => (OpenOptions::new().append(true).open(&staged), there),
        status if status.is_success() => (File::create(&staged), 0),
        status => return Err(format!("the server answers {status}")),
    };
    let file = file.as_mut().map_err(|error| error.to_string())?;
    let size_bytes = size_bytes.or_else(|| response.content_length().map(|rest| bytes.saturating_add(rest)));
    while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error))? {
        bytes += chunk.len() as u64;
        if let Some(size) = size_bytes.filter(|size| bytes > *size) {
            return Err(format!("more than the expected {size} bytes"));
        }
        file.write_all(&chunk).map_err(|error| error.to_string())?;
        // An error means that nobody watches.
        let _ = progress.send((bytes, size_bytes.unwrap_or(bytes)));
    }
    match size_bytes.filter(|size| bytes < *size) {
        Some(size) => Err(format!("the connection ended after {bytes} of {size} bytes")),
        None => Ok(()),
    }
}

/// An error with its causes: the outermost alone says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
