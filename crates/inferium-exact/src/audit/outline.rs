//! A model's sizes, read from the leaves of its id.

use crate::model::{CONTRACT_VERSION, Model, NODES_MAX, Shape};
use crate::sizes::{Graph, Sizes, Step};

use super::Layout;

/// A model's sizes without its numbers: all that says where the values of a run stand and what each is computed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    graph: Graph,
}

impl Outline {
    /// Of a model. One whose shapes do not fit has an outline too, and no [`Layout`].
    #[must_use]
    pub fn of(model: &Model) -> Self {
        Self { graph: Graph::of(model) }
    }

    /// From the bytes of the model id's leaves: the header (name, input, number of nodes), then the sizes of each
    /// node in order. None when they are not of one model of the contract, as far as sizes tell.
    #[must_use]
    pub fn read(header: &[u8], sizes: &[&[u8]]) -> Option<Self> {
        let (version, rest) = header.split_first_chunk()?;
        let (channels, rest) = rest.split_first_chunk()?;
        let (height, rest) = rest.split_first_chunk()?;
        let (width, rest) = rest.split_first_chunk()?;
        let (min, rest) = rest.split_first_chunk()?;
        let (max, rest) = rest.split_first_chunk()?;
        let (nodes, name) = rest.split_first_chunk()?;
        let is_sound = u16::from_le_bytes(*version) == CONTRACT_VERSION
            && u64::from_le_bytes(*nodes) == sizes.len() as u64
            && sizes.len() <= NODES_MAX
            && name.len() <= 64
            && std::str::from_utf8(name).is_ok();
        if !is_sound {
            return None;
        }
        let [channels, height, width] = [channels, height, width].map(|size| u32::from_le_bytes(*size));
        let graph = Graph {
            input: Shape { channels, height, width },
            input_min: i16::from_le_bytes(*min),
            input_max: i16::from_le_bytes(*max),
            steps: sizes.iter().map(|bytes| step(bytes)).collect::<Option<_>>()?,
        };
        graph.shapes_at(width, |_| Ok(())).ok()?;
        Some(Self { graph })
    }

    /// How many nodes the model has.
    #[must_use]
    pub fn nodes(&self) -> u32 {
        u32::try_from(self.graph.steps.len()).unwrap_or(u32::MAX)
    }

    /// Bytes of one number of this part of a node, with parts from 1 as in the model's id: 1 (mantissas), 2 or 4
    /// (biases). None when the operation has no such part.
    #[must_use]
    pub fn width(&self, node: u32, part: u32) -> Option<usize> {
        let step = self.graph.steps.get(node as usize)?;
        step.sizes.widths().get((part as usize).checked_sub(1)?).copied()
    }

    /// Where the values of a run are, for inputs of so many elements. None for a length that the model does not take
    /// (of models that are no sequences it has one legal value), and when one value has more than [`super::SUMS_MAX`]
    /// tiles.
    #[must_use]
    pub fn laid_out(&self, length: u32) -> Option<Layout> {
        let graph = &self.graph;
        let is_whole = u64::from(length) == graph.input.elements();
        let width = match graph.is_sequence() {
            true => length,
            false => is_whole.then_some(graph.input.width)?,
        };
        Layout::new(graph.steps.clone(), &graph.shapes_at(width, |_| Ok(())).ok()?)
    }
}

/// A node's sizes, and then its input.
fn step(bytes: &[u8]) -> Option<Step> {
    // The longest have a kind, four sizes and the input; longer ones are not even copied.
    let (words, []) = bytes.as_chunks() else { return None };
    if words.len() > 6 {
        return None;
    }
    let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let (input, sizes) = words.split_last()?;
    Some(Step { sizes: Sizes::read(sizes)?, input: *input })
}
