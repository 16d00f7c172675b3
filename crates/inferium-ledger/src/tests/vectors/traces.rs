//! How challenges, what is shown of a run, and what refutes it stand in a vector.

use super::json::{Json, View, snake, views};
use crate::entries::{Challenge, ShownRun, ShownSpan, Turn};
use inferium_types::{
    ClassifierInputs, Embedding, JobAnswer, JobInput, JobOutput, JobPayload, Logits, ModelRise, OpenedChunk,
    OpenedPiece, Refutation, RefutedClaim, TraceAsked, TraceRoot, TraceShown,
};

views! {
    struct Challenge {
        worker, profile, bond, job, items, tokens, input, output, evidence_root, leaves, run, turn, due_at_ms, due_at_height,
    }
    struct ShownRun { item, said, trace, spans, chunk, sums }
    struct ShownSpan { first, chunks, hashes }
    struct TraceRoot { before, length, values, root }
    struct OpenedChunk { chunk, values, path }
    struct Refutation { outline, claim }
}

views! {
    enum TraceAsked { Leaves, Run { item }, Span { first, chunks }, Chunk { chunk }, Sums { at } }
    enum RefutedClaim { Length, Tile { tile, chunks, pieces }, Input { at, payload }, Output { output, chunks } }
}

impl View for Turn {
    fn view(&self) -> Json {
        match self {
            Self::Worker(asked) => Json::object([("kind", Json::text("worker")), ("asked", asked.view())]),
            Self::Challenger => Json::object([("kind", Json::text("challenger"))]),
            Self::Over => Json::object([("kind", Json::text("over"))]),
        }
    }
}

impl View for TraceShown {
    fn view(&self) -> Json {
        let (kind, fields) = match self {
            Self::Leaves(leaves) => ("leaves", vec![("leaves", leaves.view())]),
            Self::Run { said, trace } => ("run", vec![("said", said.view()), ("trace", trace.view())]),
            Self::Span(hashes) => ("span", vec![("hashes", hashes.view())]),
            Self::Chunk(values) => ("chunk", vec![("values", values.view())]),
            Self::Sums(sums) => ("sums", vec![("sums", sums.view())]),
        };
        Json::object([("kind", Json::text(kind))].into_iter().chain(fields))
    }
}

impl View for OpenedPiece {
    fn view(&self) -> Json {
        let Self { node, part, piece, bytes, rises } = self;
        let bytes: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Json::object([
            ("node", node.view()),
            ("part", part.view()),
            ("piece", piece.view()),
            ("bytes", Json::Text(bytes)),
            ("rises", rises.view()),
        ])
    }
}

/// A pair: there are many of them.
impl View for ModelRise {
    fn view(&self) -> Json {
        let Self { sibling, is_left } = self;
        (*sibling, *is_left).view()
    }
}

/// What a request commits to, as far as a ledger reads it; that it does is a fact.
impl View for JobPayload {
    fn view(&self) -> Json {
        let tensors = match &self.input {
            JobInput::Classify(ClassifierInputs::Tensors(tensors)) => {
                let wide = |tensor: &Vec<i16>| tensor.iter().map(|value| i32::from(*value)).collect::<Vec<_>>();
                Some(tensors.iter().map(wide).collect::<Vec<_>>())
            }
            _ => None,
        };
        let tokens = match &self.input {
            JobInput::Embed { tokens, .. } => Some(tokens.clone()),
            _ => None,
        };
        Json::object([("commitment", self.commitment().view()), ("tensors", tensors.view()), ("tokens", tokens.view())])
    }
}

/// What a result commits to, in the same way.
impl View for JobOutput {
    fn view(&self) -> Json {
        let logits = match &self.answer {
            JobAnswer::Logits(logits) => Some(logits.clone()),
            _ => None,
        };
        let vectors = match &self.answer {
            JobAnswer::Embeddings(vectors) => Some(vectors.clone()),
            _ => None,
        };
        Json::object([("commitment", self.commitment().view()), ("logits", logits.view()), ("vectors", vectors.view())])
    }
}

/// The bits of each value.
impl View for Embedding {
    fn view(&self) -> Json {
        let bits: Vec<u32> = self.values().map(f32::to_bits).collect();
        Json::object([("digest", self.digest().view()), ("bits", bits.view())])
    }
}

impl View for Logits {
    fn view(&self) -> Json {
        Json::object([("digest", self.digest().view()), ("values", self.values().to_vec().view())])
    }
}
