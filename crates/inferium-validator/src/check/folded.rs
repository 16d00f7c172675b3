//! Boards: folded again from the same files, and compared byte for byte (SPEC L2).

use super::{DrawnJob, Replayed};
use inferium_engine::Folded;
use inferium_types::{JobAnswer, JobFault, ReplayStatistics, board_leaf, merkle_root};

/// Compares what a worker says that its files fold to with what they `folded` to here.
///
/// Attested is what each file came to on the way, which is in no evidence.
pub(super) fn check(drawn: &DrawnJob<'_>, folded: Folded) -> Result<Replayed, JobFault> {
    let JobAnswer::Board(claimed) = &drawn.job.output.answer else { return Err(JobFault::Board) };
    if !drawn.is_whole(1) {
        return Err(JobFault::Finish);
    }
    let Folded { board, steps, .. } = folded;
    if *claimed != board || merkle_root(&[board_leaf(&board, &steps)]) != drawn.leaf.result.evidence_root {
        return Err(JobFault::Board);
    }
    Ok(Replayed { digests: steps, statistics: ReplayStatistics::default() })
}
