//! SPEC G3: no value outside its bounds, and none that contradicts another.

use crate::{InvalidParameter, PARAMETERS, ParameterRule, Parameters};

#[test]
fn the_defaults_keep_the_rules() {
    for parameters in [Parameters::mainnet(), Parameters::devnet(1), Parameters::devnet(4), Parameters::devnet(100)] {
        assert_eq!(parameters.check(), Ok(()));
    }
}

#[test]
fn every_parameter_is_read_and_changed_under_its_own_name() {
    let before = Parameters::mainnet();
    for rule in PARAMETERS {
        let value = if rule.value(&before) == rule.max { rule.min } else { rule.max };
        let after = before.with(rule.name, value).unwrap();
        assert_eq!(rule.value(&after), value, "{}", rule.name);
        for other in PARAMETERS.iter().filter(|other| other.name != rule.name) {
            assert_eq!(other.value(&after), other.value(&before), "{} changed {}", rule.name, other.name);
        }
    }
}

#[test]
fn every_bound_holds_at_its_edge_and_not_beyond() {
    let before = Parameters::mainnet();
    for rule in PARAMETERS {
        assert!(rule.min <= rule.max, "{}", rule.name);
        for value in [rule.min, rule.max] {
            assert_eq!(before.with(rule.name, value).map(|after| rule.value(&after)), Ok(value), "{}", rule.name);
        }
        for value in [rule.min.checked_sub(1), rule.max.checked_add(1)].into_iter().flatten() {
            let refused = before.with(rule.name, value);
            assert!(
                matches!(refused, Err(InvalidParameter::OutOfBounds { name, found, .. }) if name == rule.name && found == value),
                "{} = {value}: {refused:?}",
                rule.name
            );
        }
    }
}

#[test]
fn names_are_unique_and_unknown_ones_refused() {
    let mut names: Vec<_> = PARAMETERS.iter().map(|rule| rule.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), PARAMETERS.len());
    assert!(ParameterRule::find("fee_base").is_some());
    for name in ["", "fee", "FEE_BASE", "fee_base "] {
        let refused = Parameters::mainnet().with(name, 1);
        assert_eq!(refused, Err(InvalidParameter::Unknown { name: name.to_owned() }));
    }
}

#[test]
fn values_that_contradict_each_other_are_refused_together() {
    let base = Parameters::mainnet();
    let contradictions = [
        ("tier_mid_score", base.tier_high_score),
        ("slash_hold_ms", base.voting_ms),
        ("committee_two_from", base.committee_three_from.nano() + 1),
        ("fee_share_committee", 300_000),
    ];
    for (name, value) in contradictions {
        let changed = base.with(name, value).unwrap();
        assert!(matches!(changed.check(), Err(InvalidParameter::Together { .. })), "{name}");
    }
    let edge = base.voting_ms + base.timelock_ms + base.challenge_ms;
    assert!(base.with("slash_hold_ms", edge).unwrap().check().is_err());
    assert_eq!(base.with("slash_hold_ms", edge + 1).unwrap().check(), Ok(()));
    let full = base.with("fee_share_committee", 160_000).unwrap();
    assert_eq!(full.check(), Ok(()));
    assert!(full.with("fee_share_committee", 160_001).unwrap().check().is_err());
}
