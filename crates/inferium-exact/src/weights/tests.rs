use super::*;

/// A file by hand: the header's length, the header, the numbers.
fn file(header: &str, floats: &[f32]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(floats.iter().flat_map(|float| float.to_le_bytes()));
    bytes
}

fn header(layers: &str) -> String {
    format!(
        "{{\"__metadata__\":{{\"input\":\"2,1,1\",\"input_range\":\"0,255\",\"input_scale\":\"0.5\",\"layers\":\"{layers}\"}},\
         \"a.weight\":{{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]}},\
         \"a.bias\":{{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}}}"
    )
}

#[test]
fn layers_are_read_by_the_names_that_the_file_gives() {
    let model = read_safetensors("x", &file(&header("dense a"), &[1.0, -2.0, 3.0])).unwrap();
    assert_eq!(model.layers, [FloatLayer::Dense { weights: vec![1.0, -2.0], biases: vec![3.0] }]);
    assert_eq!(model.logits(&[4, 1]).unwrap(), [4.0]);
}

#[test]
fn what_a_file_lacks_is_said() {
    let floats = [1.0, -2.0, 3.0];
    let of = |layers: &str| read_safetensors("x", &file(&header(layers), &floats)).unwrap_err();
    assert_eq!(of("dense b"), WeightsError::Tensor("b.weight".into()));
    assert_eq!(of("dense a, dropout"), WeightsError::Metadata("layers"));
    assert!(matches!(read_safetensors("x", b"no file at all"), Err(WeightsError::File(_))));
}
