use super::*;

#[test]
fn eight_bit_floats_are_those_of_the_format() {
    for (value, expected) in [
        (0.0, 0.0),
        (1.0, 1.0),
        (1.0625, 1.0),
        (1.07, 1.125),
        (1.1875, 1.25),
        (-3.3, -3.25),
        (448.0, 448.0),
        (460.0, 448.0),
        (1e9, 448.0),
        (-1e9, -448.0),
        (1.0 / 512.0, 1.0 / 512.0),
        (0.4 / 512.0, 0.0),
        (0.6 / 512.0, 1.0 / 512.0),
    ] {
        assert_eq!(e4m3(value), expected, "{value}");
    }
}

#[test]
fn four_bit_heads_keep_their_largest_value() {
    let mut head = [0.7, -0.34, 0.04, 0.06, 0.0];
    WeakCache::Int4.round(&mut head);
    assert!((head[0] - 0.7).abs() < 1e-6 && (head[1] + 0.3).abs() < 1e-6, "{head:?}");
    assert_eq!((head[2], head[4]), (0.0, 0.0));
    assert!((head[3] - 0.1).abs() < 1e-6);
    let mut zeros = [0.0; 4];
    WeakCache::Int4.round(&mut zeros);
    assert_eq!(zeros, [0.0; 4]);
}

#[test]
fn skipped_layers_are_in_the_middle() {
    let computed = |skipped_layers| {
        let deviation = Deviation { skipped_layers, ..Deviation::default() };
        (0..30).filter(|layer| deviation.computes(*layer, 30)).collect::<Vec<_>>()
    };
    assert_eq!(computed(0).len(), 30);
    let two = computed(2);
    assert_eq!(two.len(), 28);
    assert!(!two.contains(&14) && !two.contains(&15) && two.contains(&13) && two.contains(&16));
    assert_eq!(computed(30).len(), 0);
    assert_eq!(computed(31).len(), 0);
}

#[test]
fn whoever_computes_otherwise_is_of_another_class() {
    let canonical = Digest::from([7; 32]);
    assert_eq!(Deviation::default().build(canonical), canonical);
    let stock = Deviation { batch_dependent: true, ..Deviation::default() };
    let skipping = Deviation { skipped_layers: 1, ..Deviation::default() };
    assert_ne!(stock.build(canonical), canonical);
    assert_ne!(stock.build(canonical), skipping.build(canonical));
}

#[test]
fn coarse_rounding_begins_at_its_layer_and_is_another_build() {
    let from = |coarse_from_layer| Deviation { coarse_activations: true, coarse_from_layer, ..Deviation::default() };
    let coarse = |deviation: &Deviation| (0..5).filter(|layer| deviation.rounds_coarsely(*layer)).collect::<Vec<_>>();
    assert_eq!(coarse(&from(0)), [0, 1, 2, 3, 4]);
    assert_eq!(coarse(&from(3)), [3, 4]);
    assert!(coarse(&from(5)).is_empty());
    assert!(coarse(&Deviation { coarse_activations: false, ..from(0) }).is_empty());
    assert_ne!(from(3).build(Digest::ZERO), from(4).build(Digest::ZERO));
}
