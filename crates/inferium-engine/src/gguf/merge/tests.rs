use super::*;
use std::io::Cursor;

/// The path of a file of two small matrices, and the numbers of both.
fn base() -> (std::path::PathBuf, Vec<f32>) {
    based(&[])
}

fn based(more: &[(&str, &Value)]) -> (std::path::PathBuf, Vec<f32>) {
    let numbers: Vec<f32> = (0_i16..64).map(|number| f32::from(number) / 8.0).collect();
    let tensor = |kind| {
        let whole = Tensor::from_vec(numbers.clone(), (2, 32), &Device::Cpu).unwrap();
        QTensor::quantize(&whole, kind).unwrap()
    };
    let (first, second) = (tensor(GgmlDType::F32), tensor(GgmlDType::Q8_0));
    let (name, bits) = (Value::String("base".to_owned()), Value::U32(8));
    let mut bytes = Cursor::new(Vec::new());
    let metadata = [&[("general.name", &name), ("some.bits", &bits)], more].concat();
    write(&mut bytes, &metadata, &[("a.weight", &first), ("b.weight", &second)]).unwrap();
    let path =
        std::env::temp_dir().join(format!("inferium-merge-{}-{:p}.gguf", std::process::id(), &raw const numbers));
    std::fs::write(&path, bytes.into_inner()).unwrap();
    (path, numbers)
}

fn merged(path: &Path, changes: &BTreeMap<String, Vec<f32>>) -> Result<Vec<u8>, LoadError> {
    let mut out = Cursor::new(Vec::new());
    merge_gguf(path, "other", changes, &mut out)?;
    Ok(out.into_inner())
}

#[test]
fn changes_are_added_and_all_else_stays() {
    let (path, numbers) = base();
    let changes = BTreeMap::from([("a.weight".to_owned(), vec![0.5_f32; 64])]);
    let bytes = merged(&path, &changes).unwrap();
    assert_eq!(bytes, merged(&path, &changes).unwrap(), "one file of one model");
    let other = path.with_extension("merged");
    std::fs::write(&other, &bytes).unwrap();
    let (mut before, mut after) = (Gguf::open(&path).unwrap(), Gguf::open(&other).unwrap());
    let expected: Vec<f32> = numbers.iter().map(|number| number + 0.5).collect();
    assert_eq!(after.floats("a.weight", &[2, 32]).unwrap(), expected);
    assert_eq!(after.floats("b.weight", &[2, 32]).unwrap(), before.floats("b.weight", &[2, 32]).unwrap());
    assert_eq!((after.text("general.name").unwrap(), after.integer("some.bits").unwrap()), (Some("other"), Some(8)));
    std::fs::remove_file(path).unwrap();
    std::fs::remove_file(other).unwrap();
}

/// Files are written in steps of 32 bytes: one that said another step would be read at other places.
#[test]
fn what_is_written_says_how_it_is_aligned() {
    let (path, numbers) = based(&[("general.alignment", &Value::U32(32))]);
    let bytes = merged(&path, &BTreeMap::new()).unwrap();
    let other = path.with_extension("merged");
    std::fs::write(&other, &bytes).unwrap();
    let mut after = Gguf::open(&other).unwrap();
    assert_eq!(after.integer("general.alignment").unwrap(), None);
    assert_eq!(after.floats("a.weight", &[2, 32]).unwrap(), numbers);
    std::fs::remove_file(path).unwrap();
    std::fs::remove_file(other).unwrap();
}

#[test]
fn a_matrix_that_is_not_there_or_of_another_size_is_named() {
    let (path, _) = base();
    let change = |name: &str, count| BTreeMap::from([(name.to_owned(), vec![0.0_f32; count])]);
    assert!(
        matches!(merged(&path, &change("c.weight", 64)), Err(LoadError::MissingTensor { tensor }) if tensor == "c.weight")
    );
    assert!(
        matches!(merged(&path, &change("a.weight", 63)), Err(LoadError::Shape { tensor, .. }) if tensor == "a.weight")
    );
    std::fs::remove_file(path).unwrap();
}
