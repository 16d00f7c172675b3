//! Trees and paths: every index of every count, and nothing else.

use crate::{Digest, MerklePath, leaf_hash, limits, merkle_path, merkle_root};

const COUNT_MAX: usize = 40;

fn leaves(count: usize) -> Vec<Digest> {
    (0..count).map(|index| leaf_hash(&index.to_be_bytes())).collect()
}

fn paths() -> impl Iterator<Item = (Vec<Digest>, usize, MerklePath)> {
    (1..=COUNT_MAX).flat_map(|count| {
        let leaves = leaves(count);
        (0..count).map(move |index| (leaves.clone(), index, merkle_path(&leaves, index).unwrap()))
    })
}

#[test]
fn every_path_leads_to_the_root() {
    for (leaves, index, path) in paths() {
        assert_eq!(path.root(leaves[index]), Some(merkle_root(&leaves)));
    }
    assert_eq!(merkle_path(&leaves(3), 3), None);
    assert_eq!(merkle_path(&[], 0), None);
    assert_eq!(merkle_root(&[]), Digest::ZERO);
}

#[test]
fn anything_changed_leads_elsewhere() {
    for (leaves, index, path) in paths() {
        let root = Some(merkle_root(&leaves));
        assert_ne!(path.root(leaf_hash(b"other")), root);
        for level in 0..path.siblings.len() {
            for edit in 0..3 {
                let mut changed = path.clone();
                match edit {
                    0 => changed.siblings[level] = leaf_hash(b"other"),
                    1 => changed.siblings.drain(level..=level).for_each(|_| ()),
                    _ => changed.siblings.insert(level, leaf_hash(b"other")),
                }
                assert_ne!(changed.root(leaves[index]), root);
            }
        }
        for other in 0..=COUNT_MAX as u64 + 1 {
            if other != path.index {
                assert_ne!(MerklePath { index: other, ..path.clone() }.root(leaves[index]), root);
            }
            if other != path.count {
                assert_ne!(MerklePath { count: other, ..path.clone() }.root(leaves[index]), root);
            }
        }
        for huge in [u64::MAX, 1 << 32, 1 << 63] {
            assert_ne!(MerklePath { index: huge, ..path.clone() }.root(leaves[index]), root);
            assert_ne!(MerklePath { count: huge, ..path.clone() }.root(leaves[index]), root);
        }
    }
}

/// As in RFC 6962: an odd node moves up as it is, leaves and nodes hash under different tags.
#[test]
fn odd_nodes_move_up_unchanged() {
    let tagged = |tag: u8, parts: &[&[u8]]| Digest::sha256(&[&[tag], parts.concat().as_slice()].concat());
    let node = |left: Digest, right: Digest| tagged(1, &[left.as_bytes(), right.as_bytes()]);
    let bound = |count: u64, top: Digest| tagged(2, &[&count.to_be_bytes(), top.as_bytes()]);
    let l = leaves(7);
    assert_eq!(leaf_hash(b"x"), tagged(0, &[b"x"]));
    assert_eq!(merkle_root(&l[..1]), bound(1, l[0]));
    assert_eq!(merkle_root(&l[..3]), bound(3, node(node(l[0], l[1]), l[2])));
    assert_eq!(merkle_root(&l[..5]), bound(5, node(node(node(l[0], l[1]), node(l[2], l[3])), l[4])));
    let (left, right) = (node(node(l[0], l[1]), node(l[2], l[3])), node(node(l[4], l[5]), l[6]));
    assert_eq!(merkle_root(&l), bound(7, node(left, right)));
}

#[test]
fn roots_differ_by_count_order_and_repetition() {
    let l = leaves(COUNT_MAX);
    let mut roots: std::collections::BTreeSet<Digest> = (0..=COUNT_MAX).map(|count| merkle_root(&l[..count])).collect();
    assert_eq!(roots.len(), COUNT_MAX + 1);
    for count in 2..COUNT_MAX {
        let mut swapped = l[..count].to_vec();
        swapped.swap(count - 2, count - 1);
        assert!(roots.insert(merkle_root(&swapped)));
        let mut repeated = l[..count].to_vec();
        repeated.push(l[count - 1]);
        assert!(roots.insert(merkle_root(&repeated)));
    }
}

#[test]
fn path_has_its_greatest_depth() {
    let siblings = vec![Digest::ZERO; limits::MERKLE_DEPTH_MAX];
    let path = MerklePath { index: 0, count: 1 << 32, siblings };
    assert!(path.root(Digest::ZERO).is_some());
    let mut deeper = MerklePath { count: 1 << 33, ..path };
    deeper.siblings.push(Digest::ZERO);
    assert_eq!(deeper.root(Digest::ZERO), None);
}
