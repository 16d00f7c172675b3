use super::*;

fn known(views: &[u64]) -> Seeds {
    let seeds = Seeds::default();
    for view in views {
        seeds.insert(*view, [1; 48]);
    }
    seeds
}

fn views(seeds: &[SeedSignature]) -> Vec<u64> {
    seeds.iter().map(|seed| seed.view).collect()
}

#[test]
fn a_block_gets_the_seeds_since_its_parents_view() {
    let seeds = known(&[1, 2, 3, 4, 5, 6]);
    assert_eq!(views(&seeds.for_block(3, 5, &[], 10)), [3, 4]);
    assert_eq!(views(&seeds.for_block(5, 5, &[], 10)), [0u64; 0]);
}

#[test]
fn it_gets_the_wanted_ones_that_are_known_and_earlier() {
    let seeds = known(&[1, 3, 4, 5, 6]);
    assert_eq!(views(&seeds.for_block(4, 5, &[1, 2, 3, 5, 6], 10)), [1, 3, 4]);
}

#[test]
fn wanted_and_recent_seeds_come_first_when_there_are_too_many() {
    let seeds = known(&[1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(views(&seeds.for_block(2, 8, &[1], 3)), [1, 6, 7]);
}

#[test]
fn the_oldest_seeds_go_first() {
    let seeds = Seeds::default();
    for view in 0..=u64::try_from(SEEDS_MAX).unwrap() {
        seeds.insert(view, [1; 48]);
    }
    assert_eq!(views(&seeds.for_block(0, 3, &[], 10)), [1, 2]);
}
