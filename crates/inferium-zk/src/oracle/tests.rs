use super::*;

#[test]
fn an_opening_has_at_least_a_hundred_bits_at_every_size() {
    for variables in VARIABLES_MIN..=VARIABLES_MAX {
        let bits = opening_bits(variables).unwrap();
        assert!(bits >= 100.0, "{variables} variables: {bits} bits");
    }
}
