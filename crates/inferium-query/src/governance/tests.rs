//! Numbers as people read them.

use super::{duration, in_unit};
use inferium_types::ParameterUnit;

#[test]
fn durations_are_in_their_largest_whole_unit() {
    let cases =
        [(0, "0 ms"), (1, "1 ms"), (1_000, "1 s"), (1_500, "1500 ms"), (90_000, "90 s"), (120_000, "2 minutes")];
    for (ms, text) in cases {
        assert_eq!(duration(ms), text);
    }
    assert_eq!((duration(7_200_000), duration(86_400_000)), ("2 hours".into(), "1 day".into()));
}

#[test]
fn every_unit_shows_the_number_that_is_sent() {
    assert_eq!(in_unit(1_500_000_000, ParameterUnit::Nano), "1500000000 (1.5 IFR)");
    assert_eq!(in_unit(52_500, ParameterUnit::Ppm), "52500 (5.2500 %)");
    assert_eq!(in_unit(60_000, ParameterUnit::Milliseconds), "60000 (1 minute)");
    assert_eq!(in_unit(7, ParameterUnit::Count), "7");
}
