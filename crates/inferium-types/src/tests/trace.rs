//! SPEC V8: the first cell that differs is found, whatever differs after it, and nobody changes its mind on the way.

use super::sample::Gen;
use crate::{
    Digest, JobEvidence, MerkleNode, MerklePath, MerkleTree, SecretKey, SignedTrace, TraceCell, TraceClaim, TraceKey,
    TraceSearch, TraceShape, TraceStage, UnboundAnswer, leaf_hash, merkle_root,
};

const SHAPE: TraceShape = TraceShape { prompt_tokens: 3, output_tokens: 2, layers: 2 };

fn leaves(count: u64) -> Vec<Digest> {
    (0..count).map(|index| leaf_hash(&index.to_be_bytes())).collect()
}

/// A pseudo-random number below `bound`.
fn draw(seed: u64, bound: u64) -> u64 {
    Digest::of("test", &[&seed.to_be_bytes()]).draw(bound)
}

fn search(trees: &[MerkleTree; 2], count: u64) -> Option<TraceSearch> {
    let mut search = TraceSearch::new(count, [trees[0].root(), trees[1].root()])?;
    while let Some(node) = search.question() {
        search.answer([trees[0].children(node).unwrap(), trees[1].children(node).unwrap()]).unwrap();
    }
    Some(search)
}

#[test]
fn a_tree_has_the_root_of_its_leaves_and_every_node_once() {
    for count in 0..70 {
        let tree = MerkleTree::new(leaves(count));
        assert_eq!(tree.root(), merkle_root(&leaves(count)));
        let mut waiting = vec![MerkleNode::top(count)];
        let mut met = Vec::new();
        while let Some(node) = waiting.pop().filter(|_| count > 0) {
            match node.children(count) {
                Some((left, right)) => {
                    assert_eq!(tree.children(node).is_some(), right.is_some());
                    waiting.extend(right);
                    waiting.push(left);
                }
                None => met.push(node.index),
            }
        }
        assert_eq!(met, (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn nodes_that_are_not_there_have_no_children() {
    let tree = MerkleTree::new(leaves(5));
    assert!(tree.children(MerkleNode { height: 3, index: 0 }).is_some());
    for (height, index) in [(0, 0), (0, 9), (1, 2), (1, 3), (2, 1), (2, 2), (3, 1), (4, 0), (64, 0), (u32::MAX, 0)] {
        assert_eq!(tree.children(MerkleNode { height, index }), None, "{height} {index}");
    }
    assert_eq!(tree.children(MerkleNode { height: 1, index: u64::MAX }), None);
    assert_eq!(MerkleTree::new(Vec::new()).children(MerkleNode::top(0)), None);
    assert_eq!(MerkleNode::top(1 << 40), MerkleNode { height: 40, index: 0 });
    assert_eq!(MerkleNode::top(u64::MAX).height, 64);
    assert!(MerkleNode::top(u64::MAX).children(u64::MAX).is_some());
}

#[test]
fn the_first_of_many_differences_is_found_in_as_many_exchanges_as_the_tree_is_high() {
    for case in 0..2_000 {
        let count = 2 + draw(case, 700);
        let first = draw(case ^ 1 << 40, count);
        let mut other = leaves(count);
        for index in first..count {
            // What follows may differ or agree again.
            if index == first || draw(case ^ index << 20, 2) == 0 {
                other[index as usize] = leaf_hash(b"other");
            }
        }
        let (one, two) = (leaves(count)[first as usize], other[first as usize]);
        let trees = [MerkleTree::new(leaves(count)), MerkleTree::new(other)];
        let search = search(&trees, count).unwrap();
        assert_eq!(search.found(), Some((first, [one, two])), "{first} of {count}");
        assert!(search.exchanges() <= MerkleNode::top(count).height);
        for ((leaf, siblings), tree) in [one, two].into_iter().zip(search.paths()).zip(&trees) {
            let path = MerklePath { index: first, count, siblings };
            assert_eq!(path.root(leaf), Some(tree.root()), "what is found is proven under what was signed");
        }
    }
}

#[test]
fn equal_trees_need_no_question() {
    let trees = [MerkleTree::new(leaves(9)), MerkleTree::new(leaves(9))];
    assert_eq!(search(&trees, 9), None);
    for count in [0, 1] {
        assert_eq!(TraceSearch::new(count, [Digest::ZERO, leaf_hash(b"lie")]), None);
    }
    assert!(TraceSearch::new(2, [Digest::ZERO, leaf_hash(b"lie")]).is_some());
}

#[test]
fn whoever_shows_something_else_than_it_signed_is_named_and_may_try_again() {
    let count = 23;
    let mut other = leaves(count);
    other[14] = leaf_hash(b"other");
    let trees = [MerkleTree::new(leaves(count)), MerkleTree::new(other)];
    let mut search = TraceSearch::new(count, [trees[0].root(), trees[1].root()]).unwrap();
    while let Some(node) = search.question() {
        let right = [trees[0].children(node).unwrap(), trees[1].children(node).unwrap()];
        for side in 0..2 {
            for child in 0..2 {
                let mut shown = right;
                shown[side][child] = leaf_hash(b"another");
                let before = search.clone();
                assert_eq!(search.answer(shown), Err(UnboundAnswer { side }));
                assert_eq!(search, before);
            }
        }
        search.answer(right).unwrap();
    }
    assert_eq!(search.found().map(|(index, _)| index), Some(14));
}

#[test]
fn cells_stand_in_the_order_of_computation() {
    // Positions 0 and 1 draw nothing, 2 and 3 draw the answer's two tokens.
    assert_eq!((SHAPE.positions(), SHAPE.first_drawn(), SHAPE.cells()), (4, 2, 2 * 8 + 2 * 10));
    let mut expected = Vec::new();
    for position in 0..4 {
        expected.extend(SHAPE.stages_at(position).map(|stage| TraceCell { position, stage }));
    }
    let found: Vec<TraceCell> = (0..SHAPE.cells()).map(|index| SHAPE.cell(index).unwrap()).collect();
    assert_eq!(found, expected);
    assert_eq!(SHAPE.cell(SHAPE.cells()), None);
    assert_eq!(SHAPE.cell(u64::MAX), None);
    assert_eq!(SHAPE.stages_at(4).count(), 0);
    assert_eq!(found[7].stage, TraceStage::FeedForward { layer: 1 });
    assert_eq!((found[7].stage.name(), found[7].stage.layer()), ("feed_forward", Some(1)));
    assert_eq!(found[25].stage, TraceStage::Logits);
    assert_eq!((found[25].stage.name(), found[25].stage.layer()), ("logits", None));
}

#[test]
fn a_trace_without_prompt_or_answer_has_no_cells_and_none_overflows() {
    for shape in [TraceShape { prompt_tokens: 0, ..SHAPE }, TraceShape { output_tokens: 0, ..SHAPE }] {
        assert_eq!((shape.positions(), shape.cells(), shape.cell(0)), (0, 0, None));
    }
    let huge = TraceShape { prompt_tokens: u32::MAX, output_tokens: u32::MAX, layers: u32::MAX };
    assert_eq!((huge.positions(), huge.cells()), (u32::MAX - 1, u64::MAX));
    assert!(huge.cell(huge.cells()).is_none_or(|cell| cell.position < huge.positions()));
    let single = TraceShape { prompt_tokens: 1, output_tokens: 1, layers: 0 };
    assert_eq!((single.positions(), single.cells()), (1, 4));
}

#[test]
fn what_is_shown_follows_from_both_salts_and_the_place() {
    let mut g = Gen::new(3);
    let (evidence, segment, computed): (JobEvidence, _, Digest) = (g.next(), g.next(), g.next());
    let key = TraceKey::of(segment, 1, &evidence);
    let shown = key.hide(5, &computed);
    assert_eq!(TraceKey::of(segment, 1, &evidence).hide(5, &computed), shown);
    let mut others = [evidence.clone(), evidence.clone()];
    others[0].payload.salt[0] ^= 1;
    others[1].output.salt[0] ^= 1;
    let keys = others.iter().map(|other| TraceKey::of(segment, 1, other));
    for other in keys.chain([TraceKey::of(segment, 2, &evidence), TraceKey::of(g.next(), 1, &evidence)]) {
        assert_ne!(other.hide(5, &computed), shown);
    }
    assert_ne!(key.hide(6, &computed), shown);
    assert_ne!(key.hide(5, &Digest::ZERO), shown);
    assert_eq!(format!("{key:?}"), "TraceKey");
}

#[test]
fn a_claim_is_its_validators_and_every_field_of_it_is_signed() {
    let mut g = Gen::new(4);
    let validator = SecretKey::from_bytes([7; 32]).unwrap();
    let claim: TraceClaim = g.next();
    let signed = SignedTrace::sign(claim, &validator);
    assert!(signed.is_from(&validator.public_key()));
    assert!(!signed.is_from(&SecretKey::from_bytes([8; 32]).unwrap().public_key()));
    let shape = TraceShape { layers: claim.shape.layers ^ 1, ..claim.shape };
    let changed = [
        TraceClaim { segment: g.next(), ..claim },
        TraceClaim { draw: g.next(), ..claim },
        TraceClaim { job: claim.job ^ 1, ..claim },
        TraceClaim { shape, ..claim },
        TraceClaim { root: g.next(), ..claim },
    ];
    for claim in changed {
        assert!(!SignedTrace { claim, ..signed }.is_from(&validator.public_key()));
    }
}
