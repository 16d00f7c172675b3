//! The messages of ONNX files that are read, with the fields that are, and how many parts a file may have.

use prost::bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost::{DecodeError, Message};

/// Parts of a file at most: nodes, their attributes, inputs and outputs, tensors, and single numbers of lists that are no weights. A part takes up to
/// 300 bytes in memory and as few as two in the file, so their number is bounded before any is made.
const PARTS_MAX: usize = 1 << 12;

/// A file.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ModelProto {
    #[prost(message, optional, tag = "7")]
    pub(crate) graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub(crate) opset_import: Vec<OperatorSet>,
    #[prost(message, repeated, tag = "14")]
    pub(crate) metadata_props: Vec<Property>,
}

/// Which version of the operators of a domain.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OperatorSet {
    #[prost(string, tag = "1")]
    pub(crate) domain: String,
    #[prost(int64, tag = "2")]
    pub(crate) version: i64,
}

/// What a file says of itself.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Property {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    pub(crate) output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub(crate) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(crate) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
    #[prost(string, tag = "4")]
    pub(crate) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) attribute: Vec<Attribute>,
    #[prost(string, tag = "7")]
    pub(crate) domain: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Attribute {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(float, tag = "2")]
    pub(crate) f: f32,
    #[prost(int64, tag = "3")]
    pub(crate) i: i64,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) s: Bytes,
    #[prost(message, optional, tag = "5")]
    pub(crate) t: Option<TensorProto>,
    #[prost(int64, repeated, tag = "8")]
    pub(crate) ints: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub(crate) dims: Vec<i64>,
    /// 1 is 32-bit floats, 7 is 64-bit integers.
    #[prost(int32, tag = "2")]
    pub(crate) data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub(crate) float_data: Vec<f32>,
    #[prost(int64, repeated, tag = "7")]
    pub(crate) int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub(crate) name: String,
    #[prost(bytes = "bytes", tag = "9")]
    pub(crate) raw_data: Bytes,
    /// 1 is another file.
    #[prost(int32, tag = "14")]
    pub(crate) data_location: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueInfo {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) tensor_type: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorType {
    #[prost(message, optional, tag = "2")]
    pub(crate) shape: Option<TensorShape>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorShape {
    #[prost(message, repeated, tag = "1")]
    pub(crate) dim: Vec<Dimension>,
}

/// A number, or a name for one that is not fixed.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Dimension {
    #[prost(int64, optional, tag = "1")]
    pub(crate) dim_value: Option<i64>,
}

/// What a field of a message is, as far as its parts are counted.
enum Part {
    /// A message with such fields, or a text, which has none.
    One(&'static [(u32, Part)]),
    /// Numbers, which may be packed into one stretch: at most one for each byte.
    Numbers,
}

const TENSOR: &[(u32, Part)] = &[(1, Part::Numbers), (7, Part::Numbers)];
const SHAPE: &[(u32, Part)] = &[(1, Part::One(&[]))];
const VALUE: &[(u32, Part)] = &[(2, Part::One(&[(1, Part::One(&[(2, Part::One(SHAPE))]))]))];
const ATTRIBUTE: &[(u32, Part)] = &[(5, Part::One(TENSOR)), (8, Part::Numbers)];
const NODE: &[(u32, Part)] = &[(1, Part::One(&[])), (2, Part::One(&[])), (5, Part::One(ATTRIBUTE))];
const GRAPH: &[(u32, Part)] =
    &[(1, Part::One(NODE)), (5, Part::One(TENSOR)), (11, Part::One(VALUE)), (12, Part::One(VALUE))];
const MODEL: &[(u32, Part)] = &[(7, Part::One(GRAPH)), (8, Part::One(&[])), (14, Part::One(&[]))];

/// Why bytes are no file of this kind.
#[derive(Debug)]
pub(crate) enum Damage {
    /// They are not the messages.
    Codec(DecodeError),
    /// There are too many parts.
    Parts,
}

impl From<DecodeError> for Damage {
    fn from(error: DecodeError) -> Self {
        Self::Codec(error)
    }
}

/// Takes the parts of a message from what is left for them.
fn count(mut bytes: &[u8], fields: &[(u32, Part)], left: &mut usize) -> Result<(), Damage> {
    while bytes.has_remaining() {
        let (tag, wire) = decode_key(&mut bytes)?;
        let part = fields.iter().find(|(of, _)| *of == tag).map(|(_, part)| part);
        let Some(part) = part else {
            skip_field(wire, tag, &mut bytes, DecodeContext::default())?;
            continue;
        };
        let mut parts = 1;
        if wire == WireType::LengthDelimited {
            let length = decode_varint(&mut bytes)?;
            let length = usize::try_from(length).ok().filter(|length| *length <= bytes.len());
            // The reading proper says what is wrong with a length beyond the end.
            let Some((inner, rest)) = bytes.split_at_checked(length.unwrap_or(bytes.len())) else { return Ok(()) };
            match part {
                Part::One([]) => {}
                Part::One(fields) => count(inner, fields, left)?,
                Part::Numbers => parts = inner.len(),
            }
            bytes = rest;
        } else {
            skip_field(wire, tag, &mut bytes, DecodeContext::default())?;
        }
        *left = left.checked_sub(parts).ok_or(Damage::Parts)?;
    }
    Ok(())
}

/// The file of these bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<ModelProto, Damage> {
    let mut left = PARTS_MAX;
    count(bytes, MODEL, &mut left)?;
    // Weights stay in this copy until they are read as numbers.
    Ok(ModelProto::decode(Bytes::copy_from_slice(bytes))?)
}
