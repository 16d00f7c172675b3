//! What a bisection found, as JSON and in words.

use super::Found;
use super::ask::Side;
use inferium_types::{Digest, SegmentId, TraceCell, TraceShape, TraceStage, VerdictVote, encode};
use serde_json::{Value, json};

/// The report when no verdicts disagree.
pub(super) fn agreed(segment: SegmentId, verdicts: usize) -> Value {
    let text = format!("nothing to bisect: no replays disagree in the {verdicts} verdicts on this segment");
    json!({"segment": segment.to_string(), "agree": true, "verdicts": verdicts, "text": text})
}

/// The report of a search between two sides.
pub(super) fn bisected(sides: &[Side; 2], found: Found, exchanges: u32, paths: &[Vec<Digest>; 2]) -> Value {
    let claim = &sides[0].signed.claim;
    let digests = match found {
        Found::Cell { digests, .. } => digests.map(Some),
        Found::Nothing | Found::Shapes => [None, None],
    };
    let shown: Vec<Value> = sides
        .iter()
        .zip(digests)
        .zip(paths)
        .map(|((side, digest), path)| {
            let claim = &side.signed.claim;
            json!({
                "validator": side.validator.to_string(),
                "name": side.name,
                "verdict": verdict(&side.vote),
                "prompt_tokens": claim.shape.prompt_tokens,
                "output_tokens": claim.shape.output_tokens,
                "layers": claim.shape.layers,
                "root": claim.root.to_string(),
                "digest": digest.map(|digest| digest.to_string()),
                "path": path.iter().map(Digest::to_string).collect::<Vec<_>>(),
                "signed": hex::encode(encode(&side.signed)),
            })
        })
        .collect();
    let mut report = json!({
        "segment": claim.segment.to_string(),
        "agree": false,
        "draw": claim.draw.to_string(),
        "job": claim.job,
        "found": match found {
            Found::Nothing => "nothing",
            Found::Shapes => "shapes",
            Found::Cell { .. } => "cell",
        },
        "text": sentence(sides, found),
        "exchanges": exchanges,
        "cells": claim.shape.cells(),
        "sides": shown,
    });
    if let (Found::Cell { index, cell, .. }, Some(fields)) = (found, report.as_object_mut()) {
        fields.insert("cell".into(), index.into());
        fields.insert("position".into(), cell.position.into());
        fields.insert("stage".into(), cell.stage.name().into());
        fields.insert("layer".into(), cell.stage.layer().into());
    }
    report
}

fn verdict(vote: &VerdictVote) -> String {
    match vote {
        VerdictVote::Valid { .. } | VerdictVote::Measured { .. } => "valid".to_owned(),
        VerdictVote::Invalid { job, fault } => format!("invalid, job {job}: {fault:?}").to_lowercase(),
        VerdictVote::Unavailable => "no evidence".to_owned(),
    }
}

fn sentence(sides: &[Side; 2], found: Found) -> String {
    let (first, second) = (&sides[0], &sides[1]);
    let job = first.signed.claim.job;
    let who = format!("{} and {}", first.name, second.name);
    match found {
        Found::Nothing => format!(
            "the replays of job {job} by {who} are equal to the last bit: one of their verdicts does not follow from its replay"
        ),
        Found::Shapes => format!("{who} do not replay the same sequence, or the same model, as job {job}"),
        Found::Cell { cell, .. } => format!(
            "the replays of job {job} by {who} first differ at position {} ({}): {}",
            cell.position,
            token_at(&first.signed.claim.shape, cell),
            stage_in_words(cell.stage),
        ),
    }
}

/// Which token stands at a position.
pub(super) fn token_at(shape: &TraceShape, cell: TraceCell) -> String {
    match cell.position.checked_sub(shape.prompt_tokens) {
        None => format!("token {} of the prompt's {}", cell.position, shape.prompt_tokens),
        Some(token) => format!("token {token} of the answer's {}", shape.output_tokens),
    }
}

pub(super) fn stage_in_words(stage: TraceStage) -> String {
    match stage {
        TraceStage::Token => "the token itself, before anything is computed".to_owned(),
        TraceStage::Embedding => "the embedding of the token".to_owned(),
        TraceStage::KeysAndValues { layer } => format!("the keys and values that layer {layer} stores"),
        TraceStage::Attention { layer } => format!("the residual stream after the attention of layer {layer}"),
        TraceStage::FeedForward { layer } => {
            format!("the residual stream after the feed-forward part of layer {layer}")
        }
        TraceStage::FinalNorm => "the input of the language-model head, after the last norm".to_owned(),
        TraceStage::Logits => "the logits that the next token is drawn from".to_owned(),
    }
}

/// A report's sentence.
pub(super) fn text_of(report: &Value) -> String {
    report.get("text").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The sentence, then what stands behind it.
pub(super) fn in_words(report: &Value) -> String {
    let field = |of: &Value, name: &str| match of.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(value) if !value.is_null() => value.to_string(),
        _ => String::new(),
    };
    let mut lines = vec![text_of(report)];
    if report.get("found").and_then(Value::as_str) == Some("cell") {
        lines.push("  everything before that, in the order of computation, is equal".to_owned());
    }
    lines.push(format!("  exchanges          {} for {} digests", field(report, "exchanges"), field(report, "cells")));
    lines.push(format!("  segment            {}", field(report, "segment")));
    for side in report.get("sides").and_then(Value::as_array).into_iter().flatten() {
        lines.push(format!("  {} ({})", field(side, "name"), field(side, "validator")));
        lines.push(format!("    verdict          {}", field(side, "verdict")));
        lines.push(format!(
            "    replayed         {} tokens of prompt, {} of answer, {} layers",
            field(side, "prompt_tokens"),
            field(side, "output_tokens"),
            field(side, "layers")
        ));
        lines.push(format!("    signed root      {}", field(side, "root")));
        let digest = field(side, "digest");
        if !digest.is_empty() {
            lines.push(format!("    digest there     {digest}"));
        }
    }
    lines.join("\n")
}
