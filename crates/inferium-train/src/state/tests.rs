use super::{State, TensorShape, count};

fn state() -> State {
    let mut state = State::initial(vec![0.5, -0.0, 3.0]);
    state.step = 7;
    state.second_moment[2] = 1e-30;
    state
}

#[test]
fn bytes_and_state_are_one_to_one() {
    let state = state();
    let bytes = state.to_bytes();
    assert_eq!(bytes.len(), 8 + 3 * 12);
    let read = State::from_bytes(&bytes, 3).unwrap();
    assert_eq!(read, state);
    assert_eq!(read.parameters[1].to_bits(), (-0.0_f32).to_bits());
    assert_eq!(read.digest(), state.digest());
}

#[test]
fn other_sizes_are_refused() {
    let bytes = state().to_bytes();
    for count in [0, 2, 4, usize::MAX] {
        assert!(State::from_bytes(&bytes, count).is_err(), "{count}");
    }
    assert!(State::from_bytes(&bytes[..bytes.len() - 1], 3).is_err());
    assert!(State::from_bytes(&[], 0).is_err());
}

#[test]
fn the_digest_knows_every_bit() {
    let state = state();
    let changes: [fn(&mut State); 4] = [
        |state| state.step += 1,
        |state| state.parameters[1] = 0.0,
        |state| state.first_moment[0] = f32::MIN_POSITIVE,
        |state| state.second_moment[2] = 0.0,
    ];
    for change in changes {
        let mut other = state.clone();
        change(&mut other);
        assert_ne!(other.digest(), state.digest());
    }
    let mut wild = state;
    assert!(wild.is_finite());
    wild.first_moment[1] = f32::NAN;
    assert!(!wild.is_finite());
}

#[test]
fn shapes_count_their_numbers() {
    let shapes = [TensorShape::new("a", &[2, 3]), TensorShape::new("b", &[5])];
    assert_eq!(count(&shapes), 11);
    assert_eq!(count(&[]), 0);
}
