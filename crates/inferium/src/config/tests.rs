//! Flag over variable over file, and no key that nobody reads.

use super::{named, read, settings, with_defaults};
use crate::cli::{Cli, Command};
use clap::{CommandFactory as _, FromArgMatches as _};
use std::ffi::OsString;

fn parse(text: &str, arguments: &[&str]) -> Command {
    let command = Cli::command();
    let values = read(text, &settings(&command)).unwrap();
    let matches = with_defaults(command, &values).try_get_matches_from(arguments).unwrap();
    Cli::from_arg_matches(&matches).unwrap().command
}

#[test]
fn the_file_says_what_no_flag_says() {
    let text = "data = \"/srv/net\"\nlisten = \"127.0.0.1:81\"\n";
    let Command::Up(up) = parse(text, &["inferium", "up"]) else { panic!("not up") };
    assert_eq!((up.data.unwrap().to_str(), up.listen.port()), (Some("/srv/net"), 81));
    let Command::Up(up) = parse(text, &["inferium", "up", "--listen", "127.0.0.1:82"]) else { panic!("not up") };
    assert_eq!((up.data.unwrap().to_str(), up.listen.port()), (Some("/srv/net"), 82));
    let Command::Slashes(slashes) = parse(text, &["inferium", "slashes"]) else { panic!("not slashes") };
    assert_eq!(slashes.network.data.unwrap().to_str(), Some("/srv/net"));
}

#[test]
fn a_key_that_nobody_reads_is_an_error_that_names_it() {
    let known = settings(&Cli::command());
    for key in ["data", "listen", "admin", "models", "url", "output", "wallet"] {
        assert!(known.contains(key), "{key}");
    }
    let unknown = read("lisen = \"x\"", &known).unwrap_err();
    assert!(unknown.contains("`lisen`") && unknown.contains("listen"), "{unknown}");
    assert!(read("data = [1]", &known).unwrap_err().contains("`data`"));
    assert!(read("data = ", &known).unwrap_err().contains("line 1"));
    // The file does not name another.
    assert!(!known.contains("config"));
}

#[test]
fn the_named_file_is_found_wherever_it_is_named() {
    let named = |arguments: &[&str]| named(&arguments.iter().map(OsString::from).collect::<Vec<_>>());
    assert_eq!(named(&["inferium", "--config", "a", "up"]), Some("a".into()));
    assert_eq!(named(&["inferium", "up", "--config=b"]), Some("b".into()));
    assert_eq!(named(&["inferium", "service", "--", "--config", "c"]), None);
    assert_eq!(named(&["inferium", "up", "--config"]), None);
}
