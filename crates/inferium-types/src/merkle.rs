//! Binary Merkle trees as in RFC 6962: leaves and inner nodes hash under different tags, and an
//! odd node moves up unchanged, so that no leaf is counted twice. The root also binds the number
//! of leaves, so that a path has one valid encoding only.

use crate::{Digest, limits::MERKLE_DEPTH_MAX};
use borsh::{BorshDeserialize, BorshSerialize};

/// The hash of a leaf's bytes.
#[must_use]
pub fn leaf_hash(bytes: &[u8]) -> Digest {
    let mut tagged = Vec::with_capacity(bytes.len().saturating_add(1));
    tagged.push(0);
    tagged.extend_from_slice(bytes);
    Digest::sha256(&tagged)
}

/// The hash of an inner node.
pub(crate) fn node_hash(left: Digest, right: Digest) -> Digest {
    let mut tagged = Vec::with_capacity(65);
    tagged.push(1);
    tagged.extend_from_slice(left.as_bytes());
    tagged.extend_from_slice(right.as_bytes());
    Digest::sha256(&tagged)
}

pub(crate) fn bind_count(count: u64, top: Digest) -> Digest {
    let mut tagged = Vec::with_capacity(41);
    tagged.push(2);
    tagged.extend_from_slice(&count.to_be_bytes());
    tagged.extend_from_slice(top.as_bytes());
    Digest::sha256(&tagged)
}

fn next_level(level: &[Digest]) -> Vec<Digest> {
    level
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => node_hash(*left, *right),
            [single] => *single,
            _ => Digest::ZERO,
        })
        .collect()
}

/// The root over leaf hashes (see [`leaf_hash`]); [`Digest::ZERO`] for no leaves.
#[must_use]
pub fn merkle_root(leaves: &[Digest]) -> Digest {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = next_level(&level);
    }
    let count = u64::try_from(leaves.len()).unwrap_or(u64::MAX);
    level.first().map_or(Digest::ZERO, |top| bind_count(count, *top))
}

/// The path from leaf `index` to the root; `None` when there is no such leaf.
#[must_use]
pub fn merkle_path(leaves: &[Digest], index: usize) -> Option<MerklePath> {
    leaves.get(index)?;
    let mut level = leaves.to_vec();
    let mut position = index;
    let mut siblings = Vec::new();
    while level.len() > 1 {
        if let Some(sibling) = level.get(position ^ 1) {
            siblings.push(*sibling);
        }
        level = next_level(&level);
        position /= 2;
    }
    Some(MerklePath { index: u64::try_from(index).ok()?, count: u64::try_from(leaves.len()).ok()?, siblings })
}

/// A proof that a leaf stands at `index` among `count` leaves.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MerklePath {
    /// Position of the leaf.
    pub index: u64,
    /// Leaves of the tree; fixes the shape, so that one proof has one encoding.
    pub count: u64,
    /// Siblings from the leaf upwards, where there is one.
    pub siblings: Vec<Digest>,
}

impl MerklePath {
    /// The root that this path gives for `leaf`; `None` when the path's shape is wrong.
    #[must_use]
    pub fn root(&self, leaf: Digest) -> Option<Digest> {
        if self.index >= self.count || self.siblings.len() > MERKLE_DEPTH_MAX {
            return None;
        }
        let (mut index, mut count, mut hash) = (self.index, self.count, leaf);
        let mut siblings = self.siblings.iter();
        while count > 1 {
            let has_sibling = index ^ 1 < count;
            if has_sibling {
                let sibling = *siblings.next()?;
                hash = if index % 2 == 0 { node_hash(hash, sibling) } else { node_hash(sibling, hash) };
            }
            index /= 2;
            count = count.div_ceil(2);
        }
        siblings.next().is_none().then(|| bind_count(self.count, hash))
    }
}

/// An inner node of a tree, by its place: leaves have height 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MerkleNode {
    /// Levels above the leaves.
    pub height: u32,
    /// Place in its level, from the left.
    pub index: u64,
}

impl MerkleNode {
    /// The topmost node of a tree of `count` leaves.
    #[must_use]
    pub const fn top(count: u64) -> Self {
        Self { height: u64::BITS - count.saturating_sub(1).leading_zeros(), index: 0 }
    }

    /// Its two children; `None` for a leaf, or when there is no such node in a tree of `count` leaves.
    ///
    /// The right one may be missing, and then the left one is this node itself: an odd node moves up unchanged.
    #[must_use]
    pub fn children(self, count: u64) -> Option<(Self, Option<Self>)> {
        let below = self.height.checked_sub(1)?;
        let left = Self { height: below, index: self.index.checked_mul(2)? };
        let right = Self { height: below, index: left.index.checked_add(1)? };
        left.is_of(count).then_some((left, right.is_of(count).then_some(right)))
    }

    /// True when a tree of `count` leaves has this node.
    fn is_of(self, count: u64) -> bool {
        let width = u128::from(count).div_ceil(1_u128.checked_shl(self.height).unwrap_or(u128::MAX));
        self.height <= Self::top(count).height && u128::from(self.index) < width
    }
}

/// A whole tree, for who is asked about its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MerkleTree {
    /// From the leaves upwards.
    levels: Vec<Vec<Digest>>,
}

impl MerkleTree {
    /// The tree over leaf hashes.
    #[must_use]
    pub fn new(leaves: Vec<Digest>) -> Self {
        let mut levels = vec![leaves];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            levels.push(next_level(level));
        }
        Self { levels }
    }

    /// As [`merkle_root`].
    #[must_use]
    pub fn root(&self) -> Digest {
        let top = self.levels.last().and_then(|level| level.first());
        top.map_or(Digest::ZERO, |top| bind_count(self.count(), *top))
    }

    /// The hashes of an inner node's two children; `None` when there is no such node, or it has one child.
    #[must_use]
    pub fn children(&self, node: MerkleNode) -> Option<[Digest; 2]> {
        let (left, right) = node.children(self.count())?;
        Some([self.hash(left)?, self.hash(right?)?])
    }

    /// Leaves of the tree.
    fn count(&self) -> u64 {
        self.levels.first().and_then(|leaves| u64::try_from(leaves.len()).ok()).unwrap_or(u64::MAX)
    }

    fn hash(&self, node: MerkleNode) -> Option<Digest> {
        self.levels.get(usize::try_from(node.height).ok()?)?.get(usize::try_from(node.index).ok()?).copied()
    }
}
