//! How keys and usage are shown.

use super::{date_time, day, field};

#[test]
fn days_and_moments_are_dates_of_the_calendar() {
    assert_eq!((day(0).as_str(), day(11_016).as_str()), ("1970-01-01", "2000-02-29"));
    assert_eq!(date_time(951_827_696_999), "2000-02-29 12:34:56 UTC");
    // What no calendar has is a number, and no panic.
    assert_eq!(day(u32::MAX), u32::MAX.to_string());
    assert!(date_time(u64::MAX).ends_with("s after 1970"));
}

#[test]
fn a_field_of_a_table_is_one_field_and_no_formula() {
    let cases = [
        ("plain", "plain"),
        ("", ""),
        ("a,b", "\"a,b\""),
        ("say \"hi\"", "\"say \"\"hi\"\"\""),
        ("two\nlines", "\"two\nlines\""),
        ("=1+1", "'=1+1"),
        ("@x,y", "\"'@x,y\""),
    ];
    for (text, expected) in cases {
        assert_eq!(field(text), expected, "{text:?}");
    }
}
