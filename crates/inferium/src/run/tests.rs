//! Lines of a chat.

use super::Options;
use super::chat::Line;

#[test]
fn a_line_is_a_question_unless_it_is_a_command() {
    let set = |name: &str, value: &str| Line::Set(name.into(), value.into());
    for (line, expected) in [
        ("", Line::Nothing),
        ("   ", Line::Nothing),
        ("Why?", Line::Ask("Why?".into())),
        ("  a / b  ", Line::Ask("a / b".into())),
        ("\"\"\"one\"\"\"", Line::Ask("one".into())),
        ("\"\"\"one", Line::Open("one".into())),
        ("\"\"\"", Line::Open(String::new())),
        ("/bye", Line::Bye),
        ("/clear", Line::Clear),
        ("/set temperature 0.5", set("temperature", "0.5")),
        ("/set system  You are terse.", set("system", "You are terse.")),
        ("/set", set("", "")),
        ("/unset seed", Line::Unset("seed".into())),
        ("/nothing here", Line::Unknown("/nothing".into())),
    ] {
        assert_eq!(Line::read(line), expected, "{line:?}");
    }
}

#[test]
fn options_take_what_the_api_takes() {
    let mut options = Options::default();
    for (name, value) in [("temperature", "2"), ("top_p", "0.5"), ("seed", "7"), ("max_tokens", "9"), ("system", "Hi")]
    {
        assert_eq!(options.set(name, value), Ok(()));
    }
    assert_eq!((options.temperature, options.seed, options.max_tokens), (Some(2.0), Some(7), Some(9)));
    for (name, value) in [
        ("temperature", "2.1"),
        ("temperature", "warm"),
        ("top_p", "0"),
        ("seed", "-1"),
        ("max_tokens", "x"),
        ("mood", "1"),
    ] {
        assert!(options.set(name, value).is_err(), "{name} {value}");
    }
    assert_eq!(options.temperature, Some(2.0), "what is refused changes nothing");
    assert_eq!(options.set("seed", ""), Ok(()));
    assert_eq!(options.seed, None);
}
