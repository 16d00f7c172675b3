//! `inferium completions` and `inferium man`: both from the same definitions as the command line.

use crate::cli::{Cli, Failure};
use crate::progress::{print, say};
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::path::Path;

const NAME: &str = "inferium";

pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    print(String::from_utf8_lossy(&script).trim_end())
}

/// Prints the first page, or writes one for each command.
pub(crate) fn man(out: Option<&Path>) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure::failed(format!("cannot write the manual: {error}"));
    let Some(folder) = out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(cannot)?;
        return print(String::from_utf8_lossy(&page).trim_end());
    };
    std::fs::create_dir_all(folder).map_err(cannot)?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(cannot)?;
    say(&format!(
        "wrote the pages to {}; `man -M` or `man {}/inferium.1` shows them",
        folder.display(),
        folder.display()
    ));
    Ok(())
}
