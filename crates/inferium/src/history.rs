//! The chain's blocks from the first on, each verified: what happened, for those who ask later.

use crate::admin;
use crate::cli::Failure;
use indicatif::{ProgressBar, ProgressStyle};
use inferium_chain::{LightClient, VerifiedBlock};
use reqwest::StatusCode;

/// Looks at every final block up to now, with a bar while that takes long.
pub(crate) async fn scan(chain: &LightClient, look: impl FnMut(&VerifiedBlock)) -> Result<(), Failure> {
    scan_part(chain, (1, chain.height()), look).await
}

/// Looks at the final blocks from `first` to `last`, with a bar while that takes long.
pub(crate) async fn scan_part(
    chain: &LightClient,
    (first, last): (u64, u64),
    mut look: impl FnMut(&VerifiedBlock),
) -> Result<(), Failure> {
    let before = first.saturating_sub(1);
    let bar = ProgressBar::new(last.saturating_sub(before));
    let style = ProgressStyle::with_template("reading blocks [{bar:32}] {pos}/{len} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    let mut blocks = chain.subscribe_from(first);
    let mut seen = before;
    while seen < last {
        let Some(block) = blocks.recv().await else {
            return Err(Failure::network(format!("validators keep no block after {seen} of {last}")));
        };
        seen = block.header.height;
        bar.set_position(seen.saturating_sub(before));
        look(&block);
    }
    bar.finish_and_clear();
    Ok(())
}

/// The first block that a validator at one of `urls` says it keeps, of those up to the final block `last`. Validators keep all
/// blocks from some one on.
pub(crate) async fn first_kept(urls: &[String], last: u64) -> Result<u64, Failure> {
    let http = admin::client()?;
    if is_kept(&http, urls, 1).await? {
        return Ok(1);
    }
    let (mut lost, mut kept) = (1, last);
    while kept.saturating_sub(lost) > 1 {
        let middle = lost.midpoint(kept);
        if is_kept(&http, urls, middle).await? {
            kept = middle;
        } else {
            lost = middle;
        }
    }
    Ok(kept)
}

/// Whether a validator gives the block of this height. One that can't be reached may have it, so that counts for nothing.
async fn is_kept(http: &reqwest::Client, urls: &[String], height: u64) -> Result<bool, Failure> {
    let mut reason = None;
    for url in urls {
        let query = [("from", height), ("limit", 1)];
        match http.get(format!("{url}/rpc/v1/blocks")).query(&query).send().await {
            Ok(answer) if answer.status() == StatusCode::OK => return Ok(true),
            Ok(answer) if answer.status() == StatusCode::GONE => {}
            Ok(answer) => reason = Some(format!("{url} answers {}", answer.status())),
            Err(error) => reason = Some(format!("{url}: {error}")),
        }
    }
    let unknown = |reason| Failure::network(format!("nobody says whether block {height} is kept: {reason}"));
    reason.map_or(Ok(false), |reason| Err(unknown(reason)))
}

#[cfg(test)]
mod tests;
