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

/// Downloads `url` to `staged`, appending to what is there already.
pub(super) fn fetch(
    url: &str,
    staged: &Path,
    size_bytes: u64,
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
    for bytes in receiver {
        progress(Progress::Received { bytes, total_bytes: size_bytes });
    }
    worker.join().unwrap_or_else(|_| Err("the download's thread panicked".to_owned()))
}

async fn download(url: &str, staged: PathBuf, size_bytes: u64, progress: &mpsc::Sender<u64>) -> Result<(), String> {
    let client = reqwest::Client::builder()
        .connect_timeout(SILENCE_MAX)
        .read_timeout(SILENCE_MAX)
        .build()
        .map_err(|error| chain(&error))?;
    let there = std::fs::metadata(&staged).map_or(0, |metadata| metadata.len());
    if there == size_bytes && there > 0 {
        return Ok(());
    }
    let mut request = client.get(url);
    if there > 0 && there < size_bytes {
        request = request.header(RANGE, format!("bytes={there}-"));
    }
    let mut response = request.send().await.map_err(|error| chain(&error))?;
    let (mut file, mut bytes) = match response.status() {
        StatusCode::PARTIAL_CONTENT => (OpenOptions::new().append(true).open(&staged), there),
        status if status.is_success() => (File::create(&staged), 0),
        status => return Err(format!("the server answers {status}")),
    };
    let file = file.as_mut().map_err(|error| error.to_string())?;
    while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error))? {
        bytes += chunk.len() as u64;
        if bytes > size_bytes {
            return Err(format!("more than the expected {size_bytes} bytes"));
        }
        file.write_all(&chunk).map_err(|error| error.to_string())?;
        // An error means that nobody watches.
        let _ = progress.send(bytes);
    }
    if bytes < size_bytes {
        return Err(format!("the connection ended after {bytes} of {size_bytes} bytes"));
    }
    Ok(())
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
