//! The chain's blocks from the first on, each verified: what happened, for those who ask later.

use crate::cli::Failure;
use indicatif::{ProgressBar, ProgressStyle};
use inferium_chain::{LightClient, VerifiedBlock};

/// Looks at every final block up to now, with a bar while that takes long.
pub(crate) async fn scan(chain: &LightClient, mut look: impl FnMut(&VerifiedBlock)) -> Result<(), Failure> {
    let head = chain.height();
    let bar = ProgressBar::new(head);
    let style = ProgressStyle::with_template("reading blocks [{bar:32}] {pos}/{len} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    let mut blocks = chain.subscribe_from(1);
    let mut seen = 0;
    while seen < head {
        let Some(block) = blocks.recv().await else {
            return Err(Failure::network(format!("validators keep no block after {seen} of {head}")));
        };
        seen = block.header.height;
        bar.set_position(seen);
        look(&block);
    }
    bar.finish_and_clear();
    Ok(())
}
