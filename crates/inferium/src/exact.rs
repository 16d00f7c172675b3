//! `inferium exact`: integer models from float weights, what they are, and what they answer.
//!
//! What a model is and computes is `inferium-exact`'s; here are files and words.

pub(crate) mod data;
mod encoder;

use crate::cli::{CompileArgs, ExactCommand, Failure};
use crate::progress::{Step, print};
use crate::{files, output};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use data::Terms;
use inferium_exact::{
    ACCUMULATOR_MAX, CONTRACT_VERSION, Engine, FILE_BYTES_MAX, FloatModel, Interval, Model, OnnxOptions, Op, Shape,
    argmax, compile, decode, encode, intervals, model_id, read_onnx, read_safetensors,
};
use inferium_types::Digest;
use serde_json::{Value, json};
use std::path::Path;

/// Largest file of float weights that is read, in bytes: the largest matrix of the contract, and as much again.
const WEIGHTS_BYTES_MAX: u64 = 1 << 30;
/// Logits of a row that a table shows.
const SHOWN: usize = 16;

pub(crate) fn run(command: ExactCommand) -> Result<(), Failure> {
    match command {
        ExactCommand::Compile(arguments) if encoder::is_named(&arguments.weights) => encoder::make(&arguments),
        ExactCommand::Compile(arguments) => make(&arguments),
        ExactCommand::Show { model } => show(&model, &load(&model)?),
        ExactCommand::Run { model, input } => answer(&load(&model)?, &input),
    }
}

/// Reads a model, which has passed the gate then.
pub(crate) fn load(path: &Path) -> Result<Model, Failure> {
    let bytes = files::read(path, FILE_BYTES_MAX as u64)?;
    decode(&bytes).map_err(|error| refused(path, &error))
}

/// What a model takes.
pub(crate) fn terms(model: &Model) -> Terms {
    Terms { shape: model.input, range: (model.input_min, model.input_max), is_sequence: model.is_sequence() }
}

pub(crate) fn id(model: &Model) -> Digest {
    Digest::from(model_id(model))
}

pub(crate) fn refused(path: &Path, reason: &dyn std::fmt::Display) -> Failure {
    Failure::refused(format!("{}: {}", path.display(), visible(&reason.to_string())))
}

/// What others wrote, without what a terminal would obey.
pub(crate) fn visible(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter }).collect()
}

fn make(arguments: &CompileArgs) -> Result<(), Failure> {
    let CompileArgs { weights, calibration, out, force, .. } = arguments;
    files::check_free(out, *force)?;
    let float = read_weights(arguments)?;
    let inputs = data::read(calibration, Terms { shape: float.input, range: float.input_range, is_sequence: false })?;
    let step = Step::begin(&format!("compiles with {} inputs", inputs.len()));
    let model = compile(&float, &inputs).map_err(|error| refused(weights, &error))?;
    let bytes = encode(&model).map_err(|error| refused(weights, &error))?;
    step.done();
    files::write(out, &bytes, *force)?;
    show(out, &model)
}

/// Of an ONNX file, or else of a safetensors file.
fn read_weights(arguments: &CompileArgs) -> Result<FloatModel, Failure> {
    let CompileArgs { weights, name, input_range, input_scale, .. } = arguments;
    let stem = weights.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let (name, bytes) = (name.as_ref().unwrap_or(&stem), files::read(weights, WEIGHTS_BYTES_MAX)?);
    if weights.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("onnx")) {
        let options = OnnxOptions { input_range: *input_range, input_scale: *input_scale };
        return read_onnx(name, &bytes, options).map_err(|error| refused(weights, &error));
    }
    if input_range.is_some() || input_scale.is_some() {
        return Err(refused(weights, &"a safetensors file says range and scale of its inputs in its metadata"));
    }
    read_safetensors(name, &bytes).map_err(|error| refused(weights, &error))
}

fn show(path: &Path, model: &Model) -> Result<(), Failure> {
    let wrong = |error| refused(path, &error);
    let (shapes, reach) = (model.shapes().map_err(wrong)?, intervals(model).map_err(wrong)?);
    let bytes = path.metadata().map_or(0, |metadata| metadata.len());
    let (tightest, least) = tightest(&reach);
    if output::is_json() {
        let rows: Vec<Value> = rows(model, &shapes, &reach).iter().map(Row::json).collect();
        let document = json!({
            "file": path,
            "name": model.name,
            "id": id(model).to_string(),
            "contract": CONTRACT_VERSION,
            "bytes": bytes,
            "parameters": model.parameters(),
            "input": {"shape": axes(model.input), "min": model.input_min, "max": model.input_max},
            "output": shapes.last().copied().map(axes),
            "headroom_bits": least,
            "nodes": rows,
        });
        return output::print_json_or(&document, &rows);
    }
    let Shape { channels, height, width } = model.input;
    let mut lines = vec![
        format!("name        {}", visible(&model.name)),
        format!("id          {}", id(model)),
        format!("file        {}, {bytes} bytes, contract version {CONTRACT_VERSION}", path.display()),
        format!("input       {channels} × {height} × {width}, from {} to {}", model.input_min, model.input_max),
        format!("parameters  {}", model.parameters()),
    ];
    if let Some(least) = least {
        lines.push(format!("headroom    {least:.1} bits between value {tightest} and the bound of {ACCUMULATOR_MAX}"));
    }
    let mut table = Table::new();
    let head = ["value", "of", "operation", "shape", "parameters", "from", "to", "headroom"];
    table.load_style(UTF8_FULL_CONDENSED).set_header(head);
    for row in rows(model, &shapes, &reach) {
        table.add_row(row.words());
    }
    lines.push(table.to_string());
    print(&lines.join("\n"))
}

/// The value that gets nearest to the bound, and how many bits are between; nothing where all are zero.
fn tightest(reach: &[Interval]) -> (usize, Option<f64>) {
    let bits = reach.iter().enumerate().filter_map(|(value, interval)| Some((value, headroom(*interval)?)));
    bits.min_by(|a, b| a.1.total_cmp(&b.1)).map_or((0, None), |(value, bits)| (value, Some(bits)))
}

/// How often an interval could double before it left the contract's range: the logarithm to base 2, in bits.
fn headroom(interval: Interval) -> Option<f64> {
    let reach = interval.max.max(interval.min.saturating_neg());
    #[expect(clippy::cast_precision_loss, reason = "both are below 2^30")]
    let bits = (ACCUMULATOR_MAX as f64 / reach as f64).log2();
    (reach > 0).then_some(bits)
}

/// An operation and its result.
struct Row {
    value: usize,
    of: u32,
    kind: &'static str,
    details: String,
    shape: Shape,
    parameters: u64,
    reach: Interval,
}

fn rows(model: &Model, shapes: &[Shape], reach: &[Interval]) -> Vec<Row> {
    let results = shapes.iter().zip(reach).skip(1);
    let row = |(at, (node, (shape, reach))): (usize, (&inferium_exact::Node, (&Shape, &Interval)))| {
        let (kind, details, parameters) = describe(&node.op);
        Row { value: at + 1, of: node.input, kind, details, shape: *shape, parameters, reach: *reach }
    };
    model.nodes.iter().zip(results).enumerate().map(row).collect()
}

/// An operation's name, its settings, and how many weights or biases it has.
fn describe(op: &Op) -> (&'static str, String, u64) {
    match op {
        Op::Dense { weights, .. } => ("dense", String::new(), weights.len() as u64),
        Op::Conv2d { kernel, padding, weights, .. } => {
            ("convolution", format!("{kernel}×{kernel}, padding {padding}"), weights.len() as u64)
        }
        Op::SumPool { size } => ("sum pooling", format!("{size}×{size}"), 0),
        Op::Affine { biases, .. } => ("affine", String::new(), biases.len() as u64),
        Op::Requantise { shift, table } => {
            ("requantisation", format!("shift {shift}, table of {}", table.values.len()), 0)
        }
        Op::Flatten => ("flatten", String::new(), 0),
        Op::Embedding { tokens, positions, .. } => {
            ("embedding", String::new(), tokens.len() as u64 + positions.len() as u64)
        }
        Op::Scores { heads, keys } => ("scores", format!("{heads} heads, with {keys}"), 0),
        Op::Softmax { shift, bits, exponentials } => {
            ("softmax", format!("shift {shift}, {bits} bits, table of {}", exponentials.len()), 0)
        }
        Op::Mix { values } => ("mixture", format!("with {values}"), 0),
        Op::Add { other } => ("sum", format!("with {other}"), 0),
        Op::Normalise { is_centred, epsilon, shift } => {
            ("normalisation", format!("centred {is_centred}, epsilon {epsilon}, shift {shift}"), 0)
        }
        Op::Scale { gains, biases } => ("scale", String::new(), gains.len() as u64 + biases.len() as u64),
        Op::SumPositions => ("sum of positions", String::new(), 0),
    }
}

impl Row {
    fn words(&self) -> [String; 8] {
        let Shape { channels, height, width } = self.shape;
        let shape =
            if self.shape.area() == 1 { channels.to_string() } else { format!("{channels}×{height}×{width}") };
        let of = if self.of == 0 { "input".to_owned() } else { self.of.to_string() };
        let parameters = if self.parameters == 0 { String::new() } else { self.parameters.to_string() };
        let bits = headroom(self.reach).map_or_else(String::new, |bits| format!("{bits:.1} bits"));
        let operation = format!("{} {}", self.kind, self.details);
        let (min, max) = (self.reach.min.to_string(), self.reach.max.to_string());
        [self.value.to_string(), of, operation.trim_end().to_owned(), shape, parameters, min, max, bits]
    }

    fn json(&self) -> Value {
        json!({
            "value": self.value,
            "of": self.of,
            "op": self.kind,
            "details": self.details,
            "shape": axes(self.shape),
            "parameters": self.parameters,
            "min": self.reach.min,
            "max": self.reach.max,
            "headroom_bits": headroom(self.reach),
        })
    }
}

fn axes(shape: Shape) -> [u32; 3] {
    [shape.channels, shape.height, shape.width]
}

fn answer(model: &Model, input: &Path) -> Result<(), Failure> {
    let inputs = data::read(input, terms(model))?;
    let failed = |error: &dyn std::fmt::Display| refused(input, error);
    let engine = Engine::new(model).map_err(|error| failed(&error))?;
    let logits = inputs.iter().map(|input| engine.infer(input)).collect::<Result<Vec<_>, _>>();
    let logits = logits.map_err(|error| failed(&error))?;
    if output::is_json() {
        let row =
            |(index, logits): (usize, &Vec<i32>)| json!({"index": index, "label": argmax(logits), "logits": logits});
        let rows: Vec<Value> = logits.iter().enumerate().map(row).collect();
        return output::print_json(&json!({"model": id(model).to_string(), "name": model.name, "data": rows}));
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(["input", "label", "logits"]);
    for (index, logits) in logits.iter().enumerate() {
        table.add_row([index.to_string(), argmax(logits).to_string(), in_words(logits)]);
    }
    print(&table.to_string())
}

/// A model's outputs, the first of them where there are many.
pub(crate) fn in_words(outputs: &[i32]) -> String {
    let shown: Vec<String> = outputs.iter().take(SHOWN).map(i32::to_string).collect();
    let more = if outputs.len() > SHOWN { format!(" … ({} in all)", outputs.len()) } else { String::new() };
    format!("{}{more}", shown.join(" "))
}

#[cfg(test)]
mod tests;
