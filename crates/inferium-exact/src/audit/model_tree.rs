//! The tree behind a model's id, whose leaves are shown one by one.

use crate::model::Model;
use crate::root::{HEADER, Place, above, each_leaf, leaf, pair};

/// The tree behind a model's id. It holds the model's bytes a second time.
#[derive(Debug, Clone)]
pub struct ModelTree {
    /// In the tree's order, which is that of the places behind the header's.
    leaves: Vec<(Place, Vec<u8>)>,
    /// Hashes of the leaves, then of each level above them; the last one is the id.
    levels: Vec<Vec<[u8; 32]>>,
}

/// One step of a leaf's way to the id. Where a hash rises as it is there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rise {
    /// The hash that it is paired with.
    pub sibling: [u8; 32],
    /// Whether the sibling is the left one.
    pub is_left: bool,
}

impl ModelTree {
    /// The tree of this model.
    #[must_use]
    pub fn new(model: &Model) -> Self {
        let (mut leaves, mut hashes) = (Vec::new(), Vec::new());
        each_leaf(model, |place, bytes| {
            leaves.push((place, bytes.to_vec()));
            hashes.push(leaf(place, bytes));
        });
        let mut levels = vec![hashes];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            levels.push(above(level));
        }
        Self { leaves, levels }
    }

    /// The model's id, as [`crate::model_id`].
    #[must_use]
    pub fn id(&self) -> [u8; 32] {
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or_default()
    }

    /// Bytes of a leaf and its way to the id, from below upwards. The header is `(u32::MAX, 0, 0)`, sizes of a node
    /// are `(node, 0, 0)`, and pieces of 16 KiB ([`crate::MODEL_PIECE`]) of its numbers `(node, part, piece)`, with
    /// parts from 1. None where there is no such leaf.
    #[must_use]
    pub fn open(&self, node: u32, part: u32, piece: u32) -> Option<(Vec<u8>, Vec<Rise>)> {
        let place = (node, part, piece);
        let mut index = match place {
            HEADER => 0,
            _ => self.leaves.get(1..)?.binary_search_by_key(&place, |(place, _)| *place).ok()? + 1,
        };
        let (_, bytes) = self.leaves.get(index)?;
        let mut rises = Vec::new();
        for level in &self.levels {
            if let Some(sibling) = level.get(index ^ 1) {
                rises.push(Rise { sibling: *sibling, is_left: index % 2 == 1 });
            }
            index /= 2;
        }
        Some((bytes.clone(), rises))
    }
}

/// The id that a leaf with this way gives. Every leaf names its node, part and piece, so no position is needed.
#[must_use]
pub fn climb_to_id(node: u32, part: u32, piece: u32, bytes: &[u8], rises: &[Rise]) -> [u8; 32] {
    rises.iter().fold(leaf((node, part, piece), bytes), |hash, rise| match rise.is_left {
        true => pair(&rise.sibling, &hash),
        false => pair(&hash, &rise.sibling),
    })
}
