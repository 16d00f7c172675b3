//! A look at a file's metadata before the library reads it: it divides by the alignment that a file states, even by zero.

use crate::LoadError;
use std::io::{self, BufRead, Seek, SeekFrom};

/// The key of the alignment.
const KEY: &[u8] = b"general.alignment";
/// Lists within lists that are followed; the library refuses deeper ones.
const DEPTH_MAX: u32 = 64;
const STRING: u32 = 8;
const LIST: u32 = 9;

/// Refuses a file whose tensors are aligned to multiples of nothing, and leaves the reader at the start.
pub(super) fn refuse_alignment_of_nothing(file: &mut (impl BufRead + Seek)) -> Result<(), LoadError> {
    // What can't be followed here is refused by the library, with its reason.
    let is_zero = states_zero(file).unwrap_or(false);
    file.seek(SeekFrom::Start(0)).map_err(LoadError::file)?;
    if is_zero { Err(LoadError::file("an alignment of 0")) } else { Ok(()) }
}

/// Whether the metadata state an alignment of zero. An error, also at the file's end, says that they can't be followed.
fn states_zero(file: &mut impl BufRead) -> io::Result<bool> {
    let (_magic, version) = (u32::from_le_bytes(bytes(file)?), u32::from_le_bytes(bytes(file)?));
    let (_tensors, entries) = (length(file, version)?, length(file, version)?);
    for _ in 0..entries {
        let size = length(file, version)?;
        let is_alignment = if size == KEY.len() as u64 {
            bytes::<{ KEY.len() }>(file)? == *KEY
        } else {
            skip(file, size)?;
            false
        };
        let kind = u32::from_le_bytes(bytes(file)?);
        if is_alignment && kind < STRING {
            // Zero has the same bytes in every format of numbers.
            let mut value = [0; 8];
            let size = usize::try_from(number_size(kind)?).unwrap_or(0).min(value.len());
            file.read_exact(&mut value[..size])?;
            if value == [0; 8] {
                return Ok(true);
            }
        } else {
            skip_value(file, version, kind, 0)?;
        }
    }
    Ok(false)
}

fn bytes<const N: usize>(file: &mut impl BufRead) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A length, of 32 bits in the first version of the format.
fn length(file: &mut impl BufRead, version: u32) -> io::Result<u64> {
    Ok(if version == 1 { u32::from_le_bytes(bytes(file)?).into() } else { u64::from_le_bytes(bytes(file)?) })
}

/// Reads over so many bytes, which must be there.
fn skip(file: &mut impl BufRead, size: u64) -> io::Result<()> {
    let skipped = io::copy(&mut io::Read::take(&mut *file, size), &mut io::sink())?;
    if skipped == size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn skip_value(file: &mut impl BufRead, version: u32, kind: u32, depth: u32) -> io::Result<()> {
    match kind {
        STRING => {
            let size = length(file, version)?;
            skip(file, size)
        }
        LIST if depth < DEPTH_MAX => {
            let kind = u32::from_le_bytes(bytes(file)?);
            for _ in 0..length(file, version)? {
                skip_value(file, version, kind, depth + 1)?;
            }
            Ok(())
        }
        kind => skip(file, number_size(kind)?),
    }
}

/// Bytes of a number of this type.
fn number_size(kind: u32) -> io::Result<u64> {
    match kind {
        0 | 1 | 7 => Ok(1),
        2 | 3 => Ok(2),
        4..=6 => Ok(4),
        10..=12 => Ok(8),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests;
