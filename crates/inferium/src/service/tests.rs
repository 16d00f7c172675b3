//! Units say what they must, and nothing that they must not.

use super::{Unit, quoted};
use crate::cli::{Role, UnitArgs};
use std::path::Path;

fn unit(of: UnitArgs, key: Option<&str>, arguments: &[&str]) -> Result<String, String> {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let unit = Unit {
        of,
        binary: Path::new("/usr/local/bin/inferium"),
        server_key_file: key.map(Path::new),
        arguments: &arguments,
    };
    unit.text().map_err(|failure| failure.to_string())
}

#[test]
fn a_unit_waits_for_readiness_and_is_watched() {
    for user in [false, true] {
        for (role, start) in [(Role::Up, "inferium up --json"), (Role::Worker, "inferium worker join --json")] {
            let text = unit(UnitArgs { role, user }, None, &[]).unwrap();
            for line in ["Type=notify", "WatchdogSec=60", "NoNewPrivileges=yes", "StateDirectoryMode=0700"] {
                assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
            }
            assert!(text.contains(start));
            // What `up` prints holds an API key.
            assert_eq!(text.contains("StandardOutput=null\n"), role == Role::Up);
            assert_eq!(text.contains("DynamicUser=yes"), !user);
        }
    }
}

#[test]
fn a_secret_is_a_credential_and_no_argument() {
    let worker = UnitArgs { role: Role::Worker, user: false };
    let text = unit(worker, Some("/etc/inferium/key"), &["--engine", "openai"]).unwrap();
    assert!(text.contains("\nLoadCredential=server-key:/etc/inferium/key\n"));
    assert!(text.contains("--server-key-file %d/server-key --engine openai\n"));
    assert!(unit(worker, Some("/a:b"), &[]).is_err());
    let up = UnitArgs { role: Role::Up, user: false };
    assert!(unit(up, Some("/etc/inferium/key"), &[]).unwrap_err().contains("worker"));
}

#[test]
fn words_of_the_command_line_stay_words() {
    for (word, expected) in [
        ("--data", "--data"),
        ("/srv/a b", "\"/srv/a b\""),
        ("50%", "\"50%%\""),
        ("$HOME", "\"$$HOME\""),
        ("say \"hi\"", "\"say \\\"hi\\\"\""),
        ("", "\"\""),
    ] {
        assert_eq!(quoted(word).map_err(|failure| failure.to_string()).as_deref(), Ok(expected));
    }
    assert!(quoted("two\nlines").is_err());
}
