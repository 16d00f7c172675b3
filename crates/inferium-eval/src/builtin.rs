//! Suites that come with the program.

use crate::suite::{InvalidSuite, Suite};

macro_rules! suite_files {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../../../suites/", $name, "/suite.toml")),
            include_str!(concat!("../../../suites/", $name, "/items.jsonl")),
        )
    };
}

/// Name, definition and items of each.
const FILES: [(&str, &str, &str); 4] =
    [suite_files!("arithmetic"), suite_files!("everyday"), suite_files!("forms"), suite_files!("towns")];

/// Names of the suites that come with the program.
pub const BUILTIN: [&str; FILES.len()] = [FILES[0].0, FILES[1].0, FILES[2].0, FILES[3].0];

/// A suite that comes with the program; `None` if none has this name.
///
/// # Errors
/// [`InvalidSuite`]: never, as the tests of this crate say.
pub fn builtin(name: &str) -> Option<Result<Suite, InvalidSuite>> {
    let (_, definition, items) = FILES.iter().find(|(known, _, _)| *known == name)?;
    Some(Suite::parse(definition, items))
}
