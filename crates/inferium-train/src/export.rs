//! What was trained, as files that others read: safetensors, and what stands beside them.

use crate::{State, TensorShape};
use safetensors::tensor::{Dtype, TensorView};
use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// A file: its name and bytes.
pub(crate) type File = (String, Vec<u8>);

/// A safetensors file of a state's weights; `rename` gives each tensor the name and the numbers that others know it by.
pub(crate) fn tensors(
    file: &str,
    shapes: &[TensorShape],
    state: &State,
    rename: impl Fn(&TensorShape, &[f32]) -> (String, Vec<f32>),
) -> Option<File> {
    let mut rest = state.parameters.as_slice();
    let mut all = BTreeMap::new();
    for shape in shapes {
        let (numbers, after) = rest.split_at_checked(shape.count())?;
        rest = after;
        let (name, numbers) = rename(shape, numbers);
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let dimensions: Vec<usize> = shape.dimensions.iter().map(|size| *size as usize).collect();
        all.insert(name, (dimensions, bytes));
    }
    let views: Result<BTreeMap<&String, TensorView<'_>>, _> = all
        .iter()
        .map(|(name, (dimensions, bytes))| Ok((name, TensorView::new(Dtype::F32, dimensions.clone(), bytes)?)))
        .collect::<Result<_, safetensors::SafeTensorError>>();
    Some((file.to_owned(), safetensors::serialize(views.ok()?, None).ok()?))
}

/// Rows of an `[outputs, columns]` matrix of queries as others have them: of each head first the first numbers of all pairs that are
/// rotated together, then the second ones. GGUF files, and so the trained adapters, have the pairs side by side.
pub(crate) fn halves(numbers: &[f32], columns: usize, head_size: usize) -> Vec<f32> {
    let half = head_size / 2;
    numbers
        .chunks_exact(columns * head_size)
        .flat_map(|head| {
            (0..head_size).flat_map(move |row| {
                let (side, pair) = (row / half.max(1), row % half.max(1));
                head.chunks_exact(columns).nth(2 * pair + side).unwrap_or_default().iter().copied()
            })
        })
        .collect()
}
