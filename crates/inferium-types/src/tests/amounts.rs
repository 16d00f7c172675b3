//! Money: SPEC M1.

use crate::{Amount, AmountOverflow, InvalidAmount, NANO_PER_IFR, Parameters, Ppm, Price, decode, encode};

const MAX: Amount = Amount::from_nano(u64::MAX);
const ONE: Amount = Amount::from_nano(1);

#[test]
fn arithmetic_stops_at_the_ends_of_the_range() {
    assert_eq!(MAX.add(Amount::ZERO), Ok(MAX));
    assert_eq!(MAX.add(ONE), Err(AmountOverflow));
    assert_eq!(Amount::ZERO.sub(Amount::ZERO), Ok(Amount::ZERO));
    assert_eq!(Amount::ZERO.sub(ONE), Err(AmountOverflow));
    assert_eq!(ONE.times(u64::MAX), Ok(MAX));
    assert_eq!(Amount::from_nano(2).times(u64::MAX / 2 + 1), Err(AmountOverflow));
    assert_eq!(MAX.times(0), Ok(Amount::ZERO));
    assert_eq!(Amount::from_ifr(3), Amount::from_nano(3 * NANO_PER_IFR));
    assert_eq!(Amount::from_ifr(u64::MAX), MAX);
}

#[test]
fn share_is_rounded_down_and_never_more_than_the_whole() {
    for nano in [0, 1, 2, 999_999, 1_000_000, 1_000_001, u64::MAX - 1, u64::MAX] {
        let amount = Amount::from_nano(nano);
        assert_eq!(amount.share(Ppm::ONE), amount);
        assert_eq!(amount.share(Ppm::new(0)), Amount::ZERO);
        for parts in [1, 333_333, 500_000, 999_999] {
            let exact = u128::from(nano) * u128::from(parts) / 1_000_000;
            assert_eq!(u128::from(amount.share(Ppm::new(parts)).nano()), exact);
        }
    }
}

#[test]
fn split_gives_equal_parts_and_nothing_to_no_one() {
    assert_eq!(Amount::from_nano(10).split(3), Amount::from_nano(3));
    assert_eq!(Amount::from_nano(10).split(0), Amount::ZERO);
    assert_eq!(MAX.split(u64::MAX), ONE);
}

#[test]
fn amount_is_written_exactly() {
    let cases = [
        (0, "0 IFR"),
        (1, "0.000000001 IFR"),
        (1_500_000_000, "1.5 IFR"),
        (NANO_PER_IFR, "1 IFR"),
        (10 * NANO_PER_IFR, "10 IFR"),
        (1_000_000_010, "1.00000001 IFR"),
        (u64::MAX, "18446744073.709551615 IFR"),
    ];
    for (nano, text) in cases {
        assert_eq!(Amount::from_nano(nano).to_string(), text);
    }
}

#[test]
fn share_of_a_whole_is_at_most_the_whole() {
    assert_eq!(Ppm::new(1_000_000), Ppm::ONE);
    assert_eq!(Ppm::new(1_000_001), Ppm::ONE);
    assert_eq!(Ppm::new(u32::MAX), Ppm::ONE);
    assert_eq!(Ppm::new(999_999).get(), 999_999);
}

/// What can't be made can't be decoded either.
#[test]
fn more_than_one_whole_does_not_decode() {
    assert_eq!(decode::<Ppm>(&encode(&1_000_000u32)), Ok(Ppm::ONE));
    for parts in [1_000_001, u32::MAX] {
        assert!(decode::<Ppm>(&encode(&parts)).is_err());
    }
}

#[test]
fn price_is_within_another_only_in_both_parts() {
    let price = |prompt, completion| Price {
        prompt_token: Amount::from_nano(prompt),
        completion_token: Amount::from_nano(completion),
    };
    let limit = price(5, 7);
    for (prompt, completion, expected) in [(5, 7, true), (0, 0, true), (6, 7, false), (5, 8, false)] {
        assert_eq!(price(prompt, completion).within(&limit), expected);
    }
}

/// SPEC M5: the shares leave something for the treasury.
#[test]
fn shares_of_a_fee_are_at_most_the_fee() {
    for parameters in [Parameters::mainnet(), Parameters::devnet(4)] {
        let shares = [parameters.fee_share_worker, parameters.fee_share_committee, parameters.fee_share_validators];
        assert_eq!(shares.iter().map(|share| share.get()).sum::<u32>(), 960_000);
    }
}

#[test]
fn small_devnets_need_as_many_operators_as_they_have() {
    for (validators, needed) in [(0, 1), (1, 1), (2, 2), (3, 3), (4, 3), (100, 3)] {
        assert_eq!(Parameters::devnet(validators).profile_operators_min, needed);
    }
}

#[test]
fn amounts_are_read_exactly() {
    let cases = [
        ("0", 0),
        ("2", 2 * NANO_PER_IFR),
        ("002", 2 * NANO_PER_IFR),
        ("1.5", 1_500_000_000),
        ("0.000000001", 1),
        ("1.050000000", 1_050_000_000),
        ("18446744073.709551615", u64::MAX),
    ];
    for (text, nano) in cases {
        assert_eq!(text.parse(), Ok(Amount::from_nano(nano)), "{text}");
    }
    for nano in [0, 1, 10, 999_999_999, 1_000_000_000, 1_000_000_001, 123_456_789_012, u64::MAX - 1, u64::MAX] {
        let amount = Amount::from_nano(nano);
        let shown = amount.to_string();
        assert_eq!(shown.trim_end_matches(" IFR").parse(), Ok(amount), "{shown}");
    }
}

#[test]
fn what_is_no_amount_is_refused_by_its_name() {
    let cases = [
        ("", InvalidAmount::Empty),
        ("-1", InvalidAmount::Negative),
        ("-", InvalidAmount::Negative),
        ("+1", InvalidAmount::Syntax),
        (" 1", InvalidAmount::Syntax),
        ("1 ", InvalidAmount::Syntax),
        (".", InvalidAmount::Syntax),
        (".5", InvalidAmount::Syntax),
        ("1.", InvalidAmount::Syntax),
        ("1.2.3", InvalidAmount::Syntax),
        ("1,5", InvalidAmount::Syntax),
        ("1_000", InvalidAmount::Syntax),
        ("1e3", InvalidAmount::Syntax),
        ("0x10", InvalidAmount::Syntax),
        ("1.-5", InvalidAmount::Syntax),
        ("1 IFR", InvalidAmount::Syntax),
        ("\u{661}", InvalidAmount::Syntax),
        ("NaN", InvalidAmount::Syntax),
        ("1.0000000000", InvalidAmount::Decimals),
        ("0.0000000001", InvalidAmount::Decimals),
        ("18446744073.709551616", InvalidAmount::TooLarge),
        ("18446744074", InvalidAmount::TooLarge),
        ("18446744073709551615", InvalidAmount::TooLarge),
        ("99999999999999999999999999", InvalidAmount::TooLarge),
    ];
    for (text, error) in cases {
        assert_eq!(text.parse::<Amount>(), Err(error), "{text:?}");
    }
}
