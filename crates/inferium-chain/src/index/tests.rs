use super::*;
use crate::testing::Group;

fn block(group: &Group, height: u64, parent: Digest, is_certified: bool) -> Arc<FinalBlock> {
    let body = Body::default();
    let header = group.header(height, parent, &[], body.root());
    let certificate = is_certified.then(|| group.certify(&header));
    Arc::new(FinalBlock { header, body, events: Vec::new(), certificate })
}

fn chain(group: &Group, index: &Index, certified: &[bool]) -> Vec<Arc<FinalBlock>> {
    let mut parent = Digest::ZERO;
    let blocks: Vec<_> = (1..)
        .zip(certified)
        .map(|(height, is_certified)| {
            let block = block(group, height, parent, *is_certified);
            parent = block.header.digest();
            block
        })
        .collect();
    for block in &blocks {
        index.insert(block, &[SeedSignature { view: block.header.view, signature: [1; 48] }]).unwrap();
    }
    blocks
}

#[test]
fn blocks_and_seeds_are_there_after_reopening() {
    let group = Group::new(4);
    let directory = std::env::temp_dir().join(format!("inferium-index-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let blocks = chain(&group, &Index::open(&directory).unwrap(), &[true; 3]);
    let index = Index::open(&directory).unwrap();
    for block in &blocks {
        assert_eq!(index.get(block.header.height).unwrap().as_ref(), Some(block));
    }
    assert_eq!(index.last().unwrap().as_ref(), blocks.last());
    assert_eq!(index.seeds().unwrap().iter().map(|seed| seed.view).collect::<Vec<_>>(), [1, 2, 3]);
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn the_same_block_again_is_harmless_and_another_one_is_not() {
    let group = Group::new(4);
    let index = Index::in_memory(100).unwrap();
    let blocks = chain(&group, &index, &[true; 3]);
    index.insert(&blocks[1], &[]).unwrap();
    index.insert(&blocks[2], &[]).unwrap();
    assert_eq!(index.last().unwrap().unwrap(), blocks[2]);
    let other = block(&group, 2, Digest::ZERO, true);
    assert!(matches!(index.insert(&other, &[]), Err(IndexError::Conflict { height: 2 })));
}

#[test]
fn a_block_without_certificate_is_served_with_its_descendants() {
    let group = Group::new(4);
    let index = Index::in_memory(100).unwrap();
    let blocks = chain(&group, &index, &[true, false, false, true, false]);
    let (descendants, certificate) = index.certified(2).unwrap().unwrap();
    assert_eq!(descendants, [blocks[2].header.clone(), blocks[3].header.clone()]);
    assert_eq!(Some(certificate), blocks[3].certificate);
    assert_eq!(index.certified(1).unwrap().unwrap().0, []);
    assert_eq!(index.certified(5).unwrap(), None);
    assert_eq!(index.certified(6).unwrap(), None);
}

#[test]
fn old_blocks_are_dropped() {
    let group = Group::new(4);
    let index = Index::in_memory(2).unwrap();
    chain(&group, &index, &[true; 5]);
    assert_eq!(index.first_height().unwrap(), Some(4));
    assert_eq!(index.last().unwrap().unwrap().header.height, 5);
}
