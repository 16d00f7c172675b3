//! The least that a host's binary does for its tools: `helper tool …`. The tests of this crate use it as theirs.

use std::process::ExitCode;

fn main() -> ExitCode {
    // `tool` comes first, as in `inferium tool …`.
    inferium_tools::helper(std::env::args_os().skip(2))
}
