//! How challenges, what is shown of a run, and what refutes it stand in a vector.

use super::json::{Json, View, snake, views};
use crate::entries::{Challenge, ShownRun, ShownSpan, Turn};
use inferium_types::{
    Committed, CommittedKind, InputPart, ModelRise, OpenedChunk, OpenedInput, OpenedOutput, OpenedPiece, Refutation,
    RefutedClaim, TraceAsked, TraceRoot, TraceShown,
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
    struct Committed { kind, parts, root }
}

views! {
    enum TraceAsked { Leaves, Run { item }, Span { first, chunks }, Chunk { chunk }, Sums { at } }
    enum RefutedClaim { Length, Tile { tile, chunks, pieces }, Input { at, opened }, Output { opened, chunks } }
}

views! {
    words CommittedKind { Whole, Tensors, Tokens, Logits, Vectors }
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
            Self::Run { salt, said, trace } => {
                ("run", vec![("salt", salt.view()), ("said", said.view()), ("trace", trace.view())])
            }
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

impl View for OpenedInput {
    fn view(&self) -> Json {
        match self {
            Self::Aside(committed) => Json::object([("kind", Json::text("aside")), ("committed", committed.view())]),
            Self::Part { salt, part, path } => Json::object([
                ("kind", Json::text("part")),
                ("salt", salt.view()),
                ("part", part.view()),
                ("path", path.view()),
            ]),
        }
    }
}

impl View for InputPart {
    fn view(&self) -> Json {
        match self {
            Self::Tensor(elements) => {
                let wide: Vec<i32> = elements.iter().map(|element| i32::from(*element)).collect();
                Json::object([("kind", Json::text("tensor")), ("elements", wide.view())])
            }
            Self::Tokens { text, tokens } => {
                Json::object([("kind", Json::text("tokens")), ("text", text.view()), ("tokens", tokens.view())])
            }
        }
    }
}

impl View for OpenedOutput {
    fn view(&self) -> Json {
        match self {
            Self::Aside(committed) => Json::object([("kind", Json::text("aside")), ("committed", committed.view())]),
            Self::Part { kind, salt, said, path } => Json::object([
                ("kind", Json::text("part")),
                ("of", kind.view()),
                ("salt", salt.view()),
                ("said", said.view()),
                ("path", path.view()),
            ]),
        }
    }
}
