//! Words, passwords and consent, as people give them. What was typed is in no message.

use crate::cli::Failure;
use crate::progress::say;
use inferium_wallet::{Mnemonic, Password};
use std::fs::File;
use std::io::{BufRead as _, IsTerminal as _, Read, stdin};
use std::path::Path;
use zeroize::Zeroizing;

/// Bytes of a secret that are read.
const SECRET_SIZE_MAX: usize = 4096;

/// A password for a new wallet: from the file, or typed twice.
pub(super) fn new_password(file: Option<&Path>) -> Result<Password, Failure> {
    let password = match file {
        Some(file) => password_of(file)?,
        None => {
            let password = ask_password("New password (not shown): ")?;
            if ask_password("The same again: ")? != password {
                return Err(Failure::usage("the two passwords differ"));
            }
            password
        }
    };
    password.check_strength().map_err(|e| Failure::usage(e.to_string()))?;
    Ok(password)
}

/// The password of a wallet that exists.
pub(super) fn password(file: Option<&Path>) -> Result<Password, Failure> {
    file.map_or_else(|| ask_password("Password (not shown): "), password_of)
}

/// 24 words: from the file, typed unseen on a terminal, or from stdin.
pub(super) fn mnemonic(file: Option<&Path>) -> Result<Mnemonic, Failure> {
    let text = match file {
        Some(file) => read_file(file)?,
        None if stdin().is_terminal() => ask("The 24 words (not shown): ")?,
        None => read(stdin().lock()).map_err(|reason| Failure::failed(format!("cannot read stdin: {reason}")))?,
    };
    Mnemonic::parse(&text).map_err(|e| Failure::refused(e.to_string()))
}

/// Goes on when the answer is yes.
pub(super) fn confirm(question: &str) -> Result<(), Failure> {
    say(question);
    let mut answer = String::new();
    stdin().lock().take(64).read_line(&mut answer).map_err(|e| Failure::failed(format!("cannot read stdin: {e}")))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::refused("not confirmed; nothing was signed")),
    }
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    rpassword::prompt_password(prompt)
        .map(Zeroizing::new)
        .map_err(|error| Failure::usage(format!("cannot ask on a terminal ({error}); give a file instead, see --help")))
}

fn ask_password(prompt: &str) -> Result<Password, Failure> {
    // The copy is the password's own, which clears it.
    ask(prompt).map(|text| Password::new(text.to_string()))
}

/// The file's first line, without its end.
fn password_of(file: &Path) -> Result<Password, Failure> {
    let text = read_file(file)?;
    let line = text.split('\n').next().unwrap_or_default();
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(Failure::usage(format!("{} has no password in its first line", file.display())));
    }
    Ok(Password::new(line.to_owned()))
}

fn read_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let cannot = |reason: String| Failure::failed(format!("cannot read {}: {reason}", path.display()));
    read(File::open(path).map_err(|e| cannot(e.to_string()))?).map_err(cannot)
}

fn read(source: impl Read) -> Result<Zeroizing<String>, String> {
    // Room for all of it at once: a buffer that grew would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_SIZE_MAX.saturating_mul(2)));
    let limit = u64::try_from(SECRET_SIZE_MAX).unwrap_or(u64::MAX).saturating_add(1);
    source.take(limit).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() > SECRET_SIZE_MAX {
        return Err(format!("longer than {SECRET_SIZE_MAX} bytes"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| "not UTF-8 text".to_owned())?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests;
