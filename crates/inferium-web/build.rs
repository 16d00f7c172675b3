//! Says that the binary holds the files of `web`, so that a changed or new one is built in.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    writeln!(std::io::stdout(), "cargo::rerun-if-changed=web")
}
