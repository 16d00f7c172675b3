//! What is signed about challenged jobs, in words (SPEC V11). Hashes and values that are shown are counted: no one reads them.

use super::Description;
use inferium_types::{
    ChallengeTerms, Committed, CommittedKind, NodeId, OpenedInput, OpenedOutput, Refutation, RefutedClaim, SegmentId,
    TraceShown,
};

pub(super) fn opened(terms: &ChallengeTerms) -> Description {
    let ChallengeTerms { segment, leaf, path } = terms;
    Description::new("Challenge one job of an approved segment before the ledger, and lock the bond of a dispute")
        .with("segment", segment)
        .with("position", path.index)
        .with("job", leaf.request.job)
        .with("evidence root", leaf.result.evidence_root)
}

pub(super) fn shown(segment: &SegmentId, challenger: &NodeId, shown: &TraceShown) -> Description {
    let what = match shown {
        TraceShown::Leaves(leaves) => format!("{} leaves of the evidence", leaves.len()),
        TraceShown::Run { trace, .. } => format!("a run of {} values under {}", trace.values, trace.root),
        TraceShown::Span(hashes) => format!("{} hashes", hashes.len()),
        TraceShown::Chunk(values) => format!("{} values, readable by everyone", values.len()),
        TraceShown::Sums(sums) => format!("{} partial sums, readable by everyone", sums.len()),
    };
    Description::new("Show what a challenge asks of a run")
        .with("segment", segment)
        .with("challenger", challenger)
        .with("shows", what)
}

pub(super) fn asked(segment: &SegmentId, index: u64) -> Description {
    Description::new("Ask a challenged worker for more of its run").with("segment", segment).with("index", index)
}

pub(super) fn refuted(segment: &SegmentId, refutation: &Refutation) -> Description {
    let claim = match &refutation.claim {
        RefutedClaim::Length => "it has another number of values than the model computes".to_owned(),
        RefutedClaim::Tile { tile, chunks, .. } => {
            format!("tile {tile} is wrong; {} chunks of values are opened, readable by everyone", chunks.len())
        }
        RefutedClaim::Input { opened: OpenedInput::Aside(input), .. } => {
            format!("{} is no input of this model with as many answers; none is opened", words(input))
        }
        RefutedClaim::Output { opened: OpenedOutput::Aside(output), .. } => {
            format!("{} is no answer of this model to each input; none is opened", words(output))
        }
        RefutedClaim::Input { at, opened: OpenedInput::Part { .. } } => {
            format!("value {at} is not the input's; this one input is opened, readable by everyone")
        }
        RefutedClaim::Output { chunks, .. } => {
            let chunks = chunks.len();
            format!("it ends in another answer; {chunks} chunks of last values are opened, readable by everyone")
        }
    };
    Description::new("Have the ledger compute what is wrong in a challenged run")
        .with("segment", segment)
        .with("claim", claim)
}

/// What is committed to.
fn words(committed: &Committed) -> String {
    let kind = match committed.kind {
        CommittedKind::Whole => return "something without parts".to_owned(),
        CommittedKind::Tensors => "tensors",
        CommittedKind::Tokens => "texts with tokens",
        CommittedKind::Logits => "lists of numbers",
        CommittedKind::Vectors => "vectors",
    };
    format!("a list of {} {kind}", committed.parts)
}
