//! What can't be served is refused before anything is loaded.

use super::*;
use crate::cli::{Cli, Command};
use clap::Parser as _;

fn arguments(given: &[&str]) -> UpArgs {
    match Cli::try_parse_from(["inferium", "up"].iter().chain(given)).unwrap().command {
        Command::Up(arguments) => arguments,
        other => panic!("parsed as {other:?}"),
    }
}

fn engine(given: &[&str]) -> Result<(), String> {
    check_engine(&arguments(given).serving).map_err(|failure| failure.to_string())
}

fn other(given: &[&str]) -> Result<bool, String> {
    other_model(&arguments(given)).map(|other| other.is_some()).map_err(|failure| failure.to_string())
}

#[test]
fn llama_cpp_is_for_the_tolerance_class_of_programs_that_have_it() {
    assert_eq!(engine(&[]), Ok(()));
    assert_eq!(engine(&["--class", "tolerance"]), Ok(()));
    let on_tolerance = engine(&["--class", "tolerance", "--engine", "llamacpp"]);
    let on_canonical = engine(&["--engine", "llamacpp"]).unwrap_err();
    if Arithmetic::LlamaCpp.is_built_in() {
        assert_eq!(on_tolerance, Ok(()));
        assert!(on_canonical.contains("--class tolerance"), "{on_canonical}");
    } else {
        assert!(on_tolerance.unwrap_err().contains("--features llamacpp"));
        assert!(on_canonical.contains("--features llamacpp"), "{on_canonical}");
    }
}

#[test]
fn another_model_goes_with_its_crime() {
    assert_eq!(other(&[]), Ok(false));
    assert_eq!(other(&["--crime", "own-seed"]), Ok(false));
    let alone = other(&["--other-model", "x.gguf"]).unwrap_err();
    assert!(alone.contains("--crime another-model"), "{alone}");
    let unnamed = other(&["--crime", "another-model"]).unwrap_err();
    let missing = other(&["--crime", "another-model", "--other-model", "/nowhere/x.gguf"]).unwrap_err();
    if Arithmetic::LlamaCpp.is_built_in() {
        assert!(unnamed.contains("--other-model FILE"), "{unnamed}");
        assert!(missing.contains("/nowhere/x.gguf") && missing.contains("no such file"), "{missing}");
    } else {
        assert!(unnamed.contains("--features llamacpp") && missing.contains("--features llamacpp"));
    }
}
