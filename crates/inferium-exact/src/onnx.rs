//! Float weights from an ONNX file whose graph is a chain of the contract's layers.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::compile::{FloatLayer, FloatModel};
use crate::model::Shape;
use proto::{Attribute, Damage, NodeProto, TensorProto};

mod proto;

/// Letters of a file's names that an error repeats.
const SHOWN: usize = 64;

/// What an ONNX file does not say of its input unless its metadata (`metadata_props`) has `input_range` (`min,max`) and `input_scale`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OnnxOptions {
    /// Smallest and largest input element.
    pub input_range: Option<(i16, i16)>,
    /// What an input of 1 stands for.
    pub input_scale: Option<f32>,
}

/// Why a file holds no float model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OnnxError {
    /// Not an ONNX file.
    #[error("not an ONNX file: {0}")]
    File(String),
    /// More parts than are read.
    #[error("more nodes, attributes and tensors than are read")]
    Parts,
    /// Something of the graph as a whole.
    #[error("graph: {0}")]
    Graph(String),
    /// A node that is not one of the contract's layers.
    #[error("{op} `{node}`: {reason}")]
    Node {
        /// Its operator.
        op: String,
        /// Its name, or that of its result if it has none.
        node: String,
        /// What about it.
        reason: String,
    },
    /// Neither the file nor the caller says it, or both do and differ.
    #[error("`{0}` is {1}")]
    Terms(&'static str, &'static str),
}

/// Reads a float model: a chain of `Conv`, `Gemm`, `MatMul` with or without `Add`, `Relu`, `AveragePool`, `Flatten`, `Reshape` to a
/// vector, and `Identity`. Anything else is refused by its name. The first axis of the input is the batch; memory is a small multiple of the bytes given,
/// and three MiB.
///
/// # Errors
/// [`OnnxError`]; never a panic.
pub fn read_onnx(name: &str, bytes: &[u8], options: OnnxOptions) -> Result<FloatModel, OnnxError> {
    let file = proto::decode(bytes).map_err(|damage| match damage {
        Damage::Codec(error) => OnnxError::File(error.to_string()),
        Damage::Parts => OnnxError::Parts,
    })?;
    let said = |key: &str| file.metadata_props.iter().find(|one| one.key == key).map(|one| one.value.as_str());
    let (range, scale) = terms(said("input_range"), said("input_scale"), options)?;
    let is_own = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let version = file.opset_import.iter().find(|set| is_own(&set.domain)).map_or(0, |set| set.version);
    // Before version 7 sums were broadcast in another way.
    if version < 7 {
        return Err(OnnxError::Graph(format!("operator set {version}; 7 and later are read")));
    }
    let graph = file.graph.ok_or_else(|| OnnxError::File("it has no graph".to_owned()))?;
    let tensors: BTreeMap<String, TensorProto> =
        graph.initializer.into_iter().map(|mut tensor| (std::mem::take(&mut tensor.name), tensor)).collect();
    let inputs: Vec<_> = graph.input.iter().filter(|input| !tensors.contains_key(&input.name)).collect();
    let ([input], [output]) = (inputs.as_slice(), graph.output.as_slice()) else {
        let found = (inputs.len(), graph.output.len());
        return Err(OnnxError::Graph(format!("{} inputs and {} outputs; one of each is read", found.0, found.1)));
    };
    let tensor_type = input.r#type.as_ref().and_then(|one| one.tensor_type.as_ref());
    let dims = tensor_type.and_then(|one| one.shape.as_ref()).map(|shape| shape.dim.as_slice()).unwrap_or_default();
    let sides: Option<Vec<u32>> = dims.iter().skip(1).map(|dim| u32::try_from(dim.dim_value?).ok()).collect();
    let (shape, rank) = match sides.as_deref() {
        Some(&[length]) => (Shape::vector(length), 2),
        Some(&[channels, height, width]) => (Shape { channels, height, width }, 4),
        _ => {
            return Err(OnnxError::Graph(
                "the input is not batch × length or batch × channels × height × width".into(),
            ));
        }
    };
    let mut chain =
        Chain { tensors, at: input.name.clone(), shape, is_vector: rank == 2, layers: Vec::new(), open: false };
    for mut node in graph.node {
        chain.add(&mut node).map_err(|reason| {
            let named = if node.name.is_empty() { node.output.first() } else { Some(&node.name) };
            OnnxError::Node {
                op: short(&node.op_type),
                node: named.map(|name| short(name)).unwrap_or_default(),
                reason,
            }
        })?;
    }
    if chain.at != output.name {
        let (result, end) = (short(&output.name), short(&chain.at));
        return Err(OnnxError::Graph(format!("the output is `{result}`, and the chain ends in `{end}`")));
    }
    Ok(FloatModel { name: name.to_owned(), input: shape, input_range: range, input_scale: scale, layers: chain.layers })
}

fn short(name: &str) -> String {
    name.chars().take(SHOWN).collect()
}

/// Range and scale, of the file or of the caller.
fn terms(range: Option<&str>, scale: Option<&str>, options: OnnxOptions) -> Result<((i16, i16), f32), OnnxError> {
    let unreadable = "not what it should be in the file's metadata";
    let pair = |text: &str| {
        let (min, max) = text.split_once(',')?;
        Some((min.trim().parse().ok()?, max.trim().parse().ok()?))
    };
    let range = range.map(|text| pair(text).ok_or(OnnxError::Terms("input_range", unreadable))).transpose()?;
    let scale = scale.map(|text| text.trim().parse().map_err(|_| OnnxError::Terms("input_scale", unreadable)));
    let range = agreed("input_range", range, options.input_range)?;
    let scale: f32 = agreed("input_scale", scale.transpose()?, options.input_scale)?;
    match scale.is_finite() && scale > 0.0 {
        true => Ok((range, scale)),
        false => Err(OnnxError::Terms("input_scale", "no number above zero")),
    }
}

fn agreed<T: PartialEq>(what: &'static str, file: Option<T>, caller: Option<T>) -> Result<T, OnnxError> {
    match (file, caller) {
        (Some(file), Some(caller)) if file != caller => {
            Err(OnnxError::Terms(what, "another one in the file's metadata"))
        }
        (Some(one), _) | (None, Some(one)) => Ok(one),
        (None, None) => Err(OnnxError::Terms(what, "neither in the file's metadata nor given")),
    }
}

/// The layers so far.
struct Chain {
    /// Those that no node has read yet: each is read once, so that layers hold no more than the file.
    tensors: BTreeMap<String, TensorProto>,
    /// Name of the last result.
    at: String,
    shape: Shape,
    is_vector: bool,
    layers: Vec<FloatLayer>,
    /// The last node is a product whose biases may follow.
    open: bool,
}

/// Why a node is refused.
type Refusal = String;

impl Chain {
    fn add(&mut self, node: &mut NodeProto) -> Result<(), Refusal> {
        if !node.domain.is_empty() && node.domain != "ai.onnx" {
            return Err(format!("operators of `{}` are not read", short(&node.domain)));
        }
        let [output] = node.output.as_slice() else { return Err("it has not one result".into()) };
        let output = output.clone();
        if node.op_type == "Constant" {
            let value = node.attribute.iter_mut().find(|one| one.name == "value").and_then(|one| one.t.take());
            self.tensors.insert(output, value.ok_or("only a `value` is read")?);
            return Ok(());
        }
        let is_biases_first = node.op_type == "Add" && node.input.get(1) == Some(&self.at);
        if is_biases_first {
            node.input.swap(0, 1);
        }
        if node.input.first() != Some(&self.at) {
            let read = node.input.first().map(|name| short(name)).unwrap_or_default();
            return Err(format!(
                "it reads `{read}`, and the result before it is `{}`: chains are read",
                short(&self.at)
            ));
        }
        let was_open = std::mem::take(&mut self.open);
        match node.op_type.as_str() {
            "Conv" => self.conv(node)?,
            "Gemm" => self.gemm(node)?,
            "MatMul" => self.product(node)?,
            "Add" if was_open => self.biases(node)?,
            "Add" => return Err("a sum is read behind MatMul alone, as its biases".into()),
            "Relu" => match self.layers.last() {
                Some(FloatLayer::Dense { .. } | FloatLayer::Conv2d { .. }) => self.layers.push(FloatLayer::Relu),
                _ => return Err("a rectifier stands behind a layer of weights".into()),
            },
            "AveragePool" => self.pool(node)?,
            "Flatten" => {
                let axis = int(node, "axis")?.unwrap_or(1);
                if axis != 1 && axis != if self.is_vector { -1 } else { -3 } {
                    return Err(format!("axis {axis}; all but the batch become one"));
                }
                self.flatten()?;
            }
            "Reshape" => self.reshape(node)?,
            "Identity" => {
                self.open = was_open;
                known(node, &[])?;
            }
            "Softmax" | "LogSoftmax" => return Err("not in the contract: an integer model ends in logits".into()),
            _ => return Err("not in the contract".into()),
        }
        self.at = output;
        Ok(())
    }

    fn tensor(&mut self, name: Option<&String>) -> Result<TensorProto, Refusal> {
        let name = name.ok_or("an input is missing")?;
        let missing = || format!("`{}` is no tensor of the file, or was read before", short(name));
        self.tensors.remove(name).ok_or_else(missing)
    }

    /// Floats of a tensor, and its sides.
    fn floats(&mut self, name: Option<&String>) -> Result<(Vec<f32>, Vec<usize>), Refusal> {
        let TensorProto { dims, data_type, float_data, raw_data, data_location, .. } = self.tensor(name)?;
        if data_type != 1 || data_location != 0 {
            return Err("its weights are not 32-bit floats in this file".into());
        }
        let sides: Option<Vec<usize>> = dims.iter().map(|side| usize::try_from(*side).ok()).collect();
        let sides = sides.ok_or("a negative side of its weights")?;
        let count = sides.iter().try_fold(1_usize, |count, side| count.checked_mul(*side));
        let floats: Vec<f32> = match raw_data.is_empty() {
            true => float_data,
            false if raw_data.len() % 4 != 0 => return Err("its weights are no whole number of floats".into()),
            false => {
                let four = raw_data.chunks_exact(4).filter_map(|bytes| bytes.try_into().ok());
                four.map(f32::from_le_bytes).collect()
            }
        };
        if count != Some(floats.len()) || floats.is_empty() {
            return Err(format!("{} weights in a tensor of {sides:?}", floats.len()));
        }
        Ok((floats, sides))
    }

    fn conv(&mut self, node: &NodeProto) -> Result<(), Refusal> {
        known(node, &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"])?;
        let (weights, sides) = self.floats(node.input.get(1))?;
        let &[outputs, channels, kernel, width] = sides.as_slice() else {
            return Err("windows of two sides are read".into());
        };
        if kernel != width {
            return Err(format!("windows of {kernel} × {width}; square ones are in the contract"));
        }
        window(node, kernel)?;
        if let Some(group) = int(node, "group")?.filter(|group| *group != 1) {
            return Err(format!("group {group} is not in the contract"));
        }
        all_ones(node, "strides")?;
        let padding = padding(node)?;
        if self.is_vector || channels != self.shape.channels as usize {
            return Err(format!("{channels} channels of weights for an input of {}", self.words()));
        }
        let biases = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(_) => self.floats(node.input.get(2))?.0,
            None => vec![0.0; outputs],
        };
        if biases.len() != outputs {
            return Err(format!("{} biases for {outputs} outputs", biases.len()));
        }
        let (kernel, narrow) = (u32::try_from(kernel).ok(), u32::try_from(outputs).ok());
        let (kernel, outputs) = kernel.zip(narrow).ok_or("too large")?;
        let side = |side: u32| {
            side.checked_add(padding.checked_mul(2)?)?.checked_add(1)?.checked_sub(kernel).filter(|side| *side > 0)
        };
        let (height, width) =
            side(self.shape.height).zip(side(self.shape.width)).ok_or("its window is larger than the input")?;
        self.shape = Shape { channels: outputs, height, width };
        self.layers.push(FloatLayer::Conv2d { kernel, padding, weights, biases });
        Ok(())
    }

    fn gemm(&mut self, node: &NodeProto) -> Result<(), Refusal> {
        known(node, &["alpha", "beta", "transA", "transB"])?;
        for name in ["alpha", "beta"] {
            if let Some(one) = attribute(node, name).filter(|one| one.f.to_bits() != 1_f32.to_bits()) {
                return Err(format!("{name} {} is not in the contract", one.f));
            }
        }
        if int(node, "transA")?.unwrap_or(0) != 0 {
            return Err("transA is not in the contract".into());
        }
        let is_transposed = int(node, "transB")?.unwrap_or(0) != 0;
        self.dense(node, is_transposed)?;
        self.open = false;
        match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => self.set_biases(name),
            None => Ok(()),
        }
    }

    fn product(&mut self, node: &NodeProto) -> Result<(), Refusal> {
        known(node, &[])?;
        self.dense(node, false)
    }

    /// Weights row by row, of which a file has the columns unless it says that they are transposed.
    fn dense(&mut self, node: &NodeProto, is_transposed: bool) -> Result<(), Refusal> {
        let (floats, sides) = self.floats(node.input.get(1))?;
        let &[first, second] = sides.as_slice() else { return Err("its weights are no matrix".into()) };
        let (inputs, outputs) = if is_transposed { (second, first) } else { (first, second) };
        if !self.is_vector || inputs != self.shape.channels as usize {
            return Err(format!("a matrix for {inputs} values, and an input of {}", self.words()));
        }
        let weights = match is_transposed {
            true => floats,
            false => (0..outputs).flat_map(|row| floats.iter().skip(row).step_by(outputs).copied()).collect(),
        };
        self.shape = Shape::vector(u32::try_from(outputs).map_err(|_| "too large")?);
        self.layers.push(FloatLayer::Dense { weights, biases: vec![0.0; outputs] });
        self.open = true;
        Ok(())
    }

    fn biases(&mut self, node: &NodeProto) -> Result<(), Refusal> {
        known(node, &[])?;
        let name = node.input.get(1).ok_or("an input is missing")?;
        self.set_biases(name)
    }

    fn set_biases(&mut self, name: &String) -> Result<(), Refusal> {
        let (floats, sides) = self.floats(Some(name))?;
        let Some(FloatLayer::Dense { biases, .. }) = self.layers.last_mut() else {
            return Err("biases without a product".into());
        };
        if floats.len() != biases.len() || sides.last() != Some(&floats.len()) {
            return Err(format!("biases of {sides:?} for {} outputs", biases.len()));
        }
        *biases = floats;
        Ok(())
    }

    fn pool(&mut self, node: &NodeProto) -> Result<(), Refusal> {
        known(node, &["auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"])?;
        let &[size, width] = ints(node, "kernel_shape") else { return Err("blocks of two sides are read".into()) };
        let strides = ints(node, "strides");
        if size != width || strides != [size, size] {
            let found = if strides.is_empty() { &[1, 1] } else { strides };
            return Err(format!(
                "blocks of {size} × {width} with strides {found:?}; square ones side by side are in the contract"
            ));
        }
        if padding(node)? != 0 {
            return Err("pads are not in the contract".into());
        }
        let size =
            u32::try_from(size).ok().filter(|size| (2..=16).contains(size)).ok_or("blocks of 2 to 16 are read")?;
        let Shape { channels, height, width } = self.shape;
        if self.is_vector || height < size || width < size {
            return Err(format!("blocks of {size} on an input of {}", self.words()));
        }
        if int(node, "ceil_mode")?.unwrap_or(0) != 0 && (height % size != 0 || width % size != 0) {
            return Err("ceil_mode with blocks that are not full".into());
        }
        self.shape = Shape { channels, height: height / size, width: width / size };
        self.layers.push(FloatLayer::AveragePool(size));
        Ok(())
    }

    fn flatten(&mut self) -> Result<(), Refusal> {
        if !self.is_vector {
            self.shape = Shape::vector(u32::try_from(self.shape.elements()).map_err(|_| "too long for a vector")?);
            self.is_vector = true;
            self.layers.push(FloatLayer::Flatten);
        }
        Ok(())
    }

    fn reshape(&mut self, node: &NodeProto) -> Result<(), Refusal> {
        known(node, &["allowzero"])?;
        let TensorProto { data_type, int64_data, raw_data, data_location, .. } = self.tensor(node.input.get(1))?;
        if data_type != 7 || data_location != 0 {
            return Err("its shape is not of 64-bit integers in this file".into());
        }
        let raw = raw_data.chunks_exact(8).filter_map(|bytes| bytes.try_into().ok()).map(i64::from_le_bytes);
        let sides: Vec<i64> = int64_data.into_iter().chain(raw).take(9).collect();
        let length = i64::try_from(self.shape.elements()).map_err(|_| "too long for a vector")?;
        if int(node, "allowzero")?.unwrap_or(0) != 0 && sides.contains(&0) {
            return Err("to nothing, which allowzero makes of a zero".into());
        }
        // The batch as it is, whatever it is, or one.
        match sides.as_slice() {
            [0 | 1, last] if *last == -1 || *last == length => self.flatten(),
            [-1, last] if *last == length => self.flatten(),
            _ => Err(format!("to {sides:?}; to the batch and {length} is in the contract")),
        }
    }

    fn words(&self) -> String {
        let Shape { channels, height, width } = self.shape;
        if self.is_vector { channels.to_string() } else { format!("{channels} × {height} × {width}") }
    }
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a Attribute> {
    node.attribute.iter().find(|one| one.name == name)
}

/// Whether a node has no attribute but these: another may change what it computes.
fn known(node: &NodeProto, names: &[&str]) -> Result<(), Refusal> {
    match node.attribute.iter().find(|one| !names.contains(&one.name.as_str())) {
        Some(other) => Err(format!("the attribute `{}` is not read", short(&other.name))),
        None => Ok(()),
    }
}

fn int(node: &NodeProto, name: &str) -> Result<Option<i64>, Refusal> {
    match attribute(node, name) {
        Some(one) if !one.ints.is_empty() => Err(format!("{name} is a list")),
        found => Ok(found.map(|one| one.i)),
    }
}

fn ints<'a>(node: &'a NodeProto, name: &str) -> &'a [i64] {
    attribute(node, name).map(|one| one.ints.as_slice()).unwrap_or_default()
}

/// Whether strides or dilations are the ones that the contract has.
fn all_ones(node: &NodeProto, name: &str) -> Result<(), Refusal> {
    match ints(node, name) {
        found if found.iter().any(|one| *one != 1) => Err(format!("{name} {} are not in the contract", words(found))),
        _ => Ok(()),
    }
}

fn words(numbers: &[i64]) -> String {
    numbers.iter().take(8).map(i64::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether what a node says of its window is that of its weights.
fn window(node: &NodeProto, kernel: usize) -> Result<(), Refusal> {
    let said = ints(node, "kernel_shape");
    match said.iter().all(|side| usize::try_from(*side) == Ok(kernel)) && (said.is_empty() || said.len() == 2) {
        true => Ok(()),
        false => Err(format!("kernel_shape {} for weights of {kernel} × {kernel}", words(said))),
    }
}

/// Zeros around, the same on all sides; dilations have to be 1 besides.
fn padding(node: &NodeProto) -> Result<u32, Refusal> {
    all_ones(node, "dilations")?;
    match attribute(node, "auto_pad").map(|one| one.s.as_ref()) {
        None | Some(b"" | b"NOTSET") => {}
        Some(b"VALID") if ints(node, "pads").is_empty() => {}
        Some(b"VALID") => return Err("auto_pad VALID beside pads".into()),
        Some(_) => return Err("of auto_pad only NOTSET and VALID are read; write pads".into()),
    }
    match ints(node, "pads") {
        [] => Ok(0),
        pads @ [first, ..] if pads.len() == 4 && pads.iter().all(|pad| pad == first) => {
            u32::try_from(*first).map_err(|_| format!("pads {} are not in the contract", words(pads)))
        }
        pads => Err(format!("pads {}; the same on four sides is in the contract", words(pads))),
    }
}

#[cfg(test)]
mod tests;
