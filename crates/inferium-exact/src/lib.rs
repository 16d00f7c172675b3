//! Bit-exact integer models: what they are, what they compute, and how float weights become one.
//!
//! A model here is a list of integer operations whose every intermediate value is known, before it runs, to fit
//! [`ACCUMULATOR_MAX`]. Integer addition is associative, so any order of sums, any number of threads and any
//! instruction set gives the same bytes; and the bound is below half of the prime 2³¹ − 2²⁴ + 1, so an equation that
//! holds in that field holds in the integers too. That second property is what `inferium-zk` proves inference by.
//!
//! The contract, with what each operation means, is `docs/exact.md`; its version is [`CONTRACT_VERSION`].
//!
//! # Parts
//! - [`Model`], [`Node`], [`Op`]: the graph. [`Model::check`] is the gate: shapes agree, sizes are bounded, intervals fit.
//! - [`run`]: the interpreter that defines the answer, with the whole [`Trace`]. [`Engine`], [`infer`]: the fast path, equal to it in every
//!   instruction set ([`Tier`]).
//! - [`encode`], [`decode`]: the one encoding (`.ifx`). [`model_id`]: the Merkle root over weights and tables.
//! - [`FloatModel`], [`compile`]: float weights and calibration inputs to a model; [`read_safetensors`], [`read_onnx`] read the weights.
//!   [`read_bert`], [`compile_bert`]: the same of encoders of text, whose models take sequences of token ids of any length up to
//!   their longest. Floats exist nowhere else but in [`direction`].
//! - [`TraceRoot`], [`Recorded`]: a commitment to a run that is opened piece by piece. [`Outline`], [`Layout`],
//!   [`ModelTree`]: one tile of a run
//!   computed again from what was opened, by somebody who knows the model's id only.
//!
//! # Invariants
//! - Pure: no IO, clock, entropy, threads. A hostile file is an error, never a panic or an allocation beyond its size's bound.
//! - After [`compile`] and [`compile_bert`] no float is read, and only [`direction`] makes some; two machines that hold one model and one input hold one output.
//!
//! ```
//! use inferium_exact::{Model, Node, Op, Shape, run};
//!
//! let dense = Op::Dense { outputs: 1, weights: vec![3, -2] };
//! let affine = Op::Affine { mantissas: vec![], biases: vec![10] };
//! let nodes = vec![Node { op: dense, input: 0 }, Node { op: affine, input: 1 }];
//! let model = Model { name: "two".into(), input: Shape::vector(2), input_min: 0, input_max: 255, nodes };
//! assert_eq!(run(&model, &[5, 1]).unwrap().output(), [23]);
//! ```
#![deny(unsafe_code)]

mod audit;
mod bert;
mod codec;
mod compile;
mod direction;
mod interval;
mod kernel;
mod model;
mod onnx;
mod root;
mod run;
mod sequence;
mod sizes;
mod synthetic;
mod weights;

pub use audit::{
    Layout, ModelTree, Operands, Outline, Recorded, Rise, SHOWN_MAX, SUMS_MAX, Span, TILE, TRACE_CHUNK, TRACE_CONTEXT,
    TraceRoot, climb_to_id,
};
pub use bert::{BertConfig, FloatBert, compile_bert, read_bert};
pub use codec::{DecodeError, FILE_BYTES_MAX, decode, encode};
pub use compile::{CompileError, FloatLayer, FloatModel, compile};
pub use direction::{direction, direction_build};
pub use interval::{Interval, intervals};
pub use kernel::{Engine, Tier, TierError, infer};
pub use model::{
    ACCUMULATOR_MAX, CONTRACT_VERSION, ELEMENTS_MAX, Model, ModelError, NODES_MAX, Node, Op, SEQUENCE_VALUES_MAX,
    SHIFT_MAX, Shape, TABLE_BITS_MAX, Table, VALUES_MAX,
};
pub use onnx::{OnnxError, OnnxOptions, read_onnx};
pub use root::{MODEL_ID_CONTEXT, MODEL_PIECE, model_id};
pub use run::{RunError, Trace, argmax, run};
pub use synthetic::{SYNTHETIC_NAMES, synthetic};
pub use weights::{WeightsError, read_safetensors};
