//! Forced errors: SPEC V5.

use super::sample::Gen;
use crate::*;

#[test]
fn orders_come_at_their_share_half_of_each_kind() {
    let mut g = Gen::new(5);
    let orders: Vec<ForcedOrder> = (0..20_000).map(|_| ForcedOrder::of(g.digest())).collect();
    let count = |share: u32, wanted: ForcedKind| {
        orders.iter().filter(|order| order.kind(Ppm::new(share)) == Some(wanted)).count()
    };
    assert_eq!((count(0, ForcedKind::Wrong), count(0, ForcedKind::Right)), (0, 0));
    for kind in [ForcedKind::Wrong, ForcedKind::Right] {
        let (some, all) = (count(200_000, kind), count(1_000_000, kind));
        assert!((1_850..2_150).contains(&some), "{kind:?}: {some}");
        assert!((9_700..10_300).contains(&all), "{kind:?}: {all}");
    }
    assert_eq!(count(1_000_000, ForcedKind::Wrong) + count(1_000_000, ForcedKind::Right), 20_000);
}

#[test]
fn the_input_is_of_one_segment() {
    let mut g = Gen::new(6);
    let (beacon, lease): (Digest, LeaseId) = (g.digest(), g.next());
    let input = ForcedOrder::input(&beacon, lease, 3);
    assert_ne!(input, ForcedOrder::input(&beacon, lease, 4));
    assert_ne!(input, ForcedOrder::input(&beacon, g.next(), 3));
    assert_ne!(input, ForcedOrder::input(&g.digest(), lease, 3));
    // Members learn the output that seeds the sampling: it must say nothing about this one.
    assert_ne!(input, vrf_input(&beacon, lease));
}

#[test]
fn a_leaf_meets_an_order_by_name_and_kind() {
    let mut g = Gen::new(7);
    let order = ForcedOrder::of(g.digest());
    let mut leaf: JobLeaf = g.next();
    leaf.request.job = order.job();
    assert!(order.is_met_by(ForcedKind::Right, &leaf));
    assert!(!order.is_met_by(ForcedKind::Wrong, &leaf));
    leaf.result.evidence_root = order.wrong_root();
    assert!(!order.is_met_by(ForcedKind::Right, &leaf));
    assert!(order.is_met_by(ForcedKind::Wrong, &leaf));
    leaf.request.job = g.next();
    assert!(!order.is_met_by(ForcedKind::Wrong, &leaf), "a client's job");
}

#[test]
fn a_planted_job_stands_where_its_path_says() {
    let mut g = Gen::new(8);
    let lease: LeaseId = g.next();
    let leaves: Vec<JobLeaf> = (0..5)
        .map(|_| {
            let mut leaf: JobLeaf = g.next();
            leaf.request.lease = lease;
            leaf
        })
        .collect();
    let hashes: Vec<Digest> = leaves.iter().map(JobLeaf::hash).collect();
    let terms = SegmentTerms { lease, root: merkle_root(&hashes), ..g.next() };
    let planted = |index: usize| PlantedJob { leaf: leaves[index].clone(), path: merkle_path(&hashes, index).unwrap() };
    assert_eq!(planted(0).position(&terms), Some(0));
    assert_eq!(planted(4).position(&terms), Some(4));
    let moved = PlantedJob { path: merkle_path(&hashes, 3).unwrap(), ..planted(4) };
    assert_eq!(moved.position(&terms), None);
    assert_eq!(planted(1).position(&SegmentTerms { root: g.digest(), ..terms }), None);
    assert_eq!(planted(1).position(&SegmentTerms { lease: g.next(), ..terms }), None);
}
