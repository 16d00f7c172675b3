use super::position_digest;

#[test]
fn every_bit_counts() {
    let row: Vec<f32> = (0..5000_u16).map(|i| f32::from(i) * 0.25).collect();
    let base = position_digest(7, &row);
    assert_eq!(base, position_digest(7, &row));
    assert_ne!(base, position_digest(8, &row));
    for index in [0, 4095, 4096, 4999] {
        let mut other = row.clone();
        other[index] = f32::from_bits(other[index].to_bits() ^ 1);
        assert_ne!(base, position_digest(7, &other));
    }
    assert_ne!(position_digest(0, &[0.0]), position_digest(0, &[-0.0]));
    assert_ne!(position_digest(0, &[0.0]), position_digest(0, &[]));
}

#[test]
fn the_layout_is_pinned() {
    let mut bytes = b"inferium/position/1\0".to_vec();
    bytes.extend_from_slice(&[5, 0, 0, 0]);
    bytes.extend_from_slice(&1.5_f32.to_le_bytes());
    bytes.extend_from_slice(&(-2.0_f32).to_le_bytes());
    assert_eq!(position_digest(5, &[1.5, -2.0]).as_bytes(), blake3::hash(&bytes).as_bytes());
}
