use super::halves;
use crate::{Trainer, head, lora};
use safetensors::SafeTensors;

#[test]
fn pairs_become_halves() {
    // One head of four rows, two columns: rows 0 and 1 are a pair, and 2 and 3.
    let rows = [0.0, 0.1, 1.0, 1.1, 2.0, 2.1, 3.0, 3.1];
    assert_eq!(halves(&rows, 2, 4), [0.0, 0.1, 2.0, 2.1, 1.0, 1.1, 3.0, 3.1]);
    let two = [rows, rows.map(|x| x + 10.0)].concat();
    assert_eq!(halves(&two, 2, 4)[8..], [10.0, 10.1, 12.0, 12.1, 11.0, 11.1, 13.0, 13.1]);
}

#[test]
fn a_classifier_is_two_tensors_and_its_labels() {
    let trainer = head::tests::trainer();
    let state = trainer.initial();
    let files = trainer.export(&state);
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["head.safetensors", "labels.json"]);
    let read = SafeTensors::deserialize(&files[0].1).unwrap();
    assert_eq!(read.tensor("weight").unwrap().shape(), [3, head::tests::WIDTH]);
    let bias = read.tensor("bias").unwrap();
    assert_eq!((bias.shape(), bias.data()), (&[3][..], &[0; 12][..]));
    assert_eq!(serde_json::from_slice::<Vec<String>>(&files[1].1).unwrap(), ["ant", "bee", "cat"]);
}

#[test]
fn adapters_have_the_names_and_the_order_of_rows_that_others_load() {
    let trainer = lora::tests::trainer();
    let mut state = trainer.initial();
    for (place, number) in state.parameters.iter_mut().enumerate() {
        *number = place as f32;
    }
    let files = trainer.export(&state);
    let read = SafeTensors::deserialize(&files[0].1).unwrap();
    assert_eq!(read.len(), 8);
    let numbers = |name: &str| -> Vec<f32> {
        let tensor = read.tensor(&format!("base_model.model.model.layers.{name}.weight")).unwrap();
        tensor.data().as_chunks::<4>().0.iter().map(|bits| f32::from_le_bytes(*bits)).collect()
    };
    // Query A is as it is; of query B (32 rows of rank 2, heads of 8) row 1 is row 2 of ours.
    let down = numbers("1.self_attn.q_proj.lora_A");
    assert_eq!(down[..3], [0.0, 1.0, 2.0]);
    let up = numbers("1.self_attn.q_proj.lora_B");
    assert_eq!(up[..4], [48.0, 49.0, 52.0, 53.0]);
    let value = numbers("1.self_attn.v_proj.lora_B");
    assert!(value.windows(2).all(|pair| pair[1] - pair[0] == 1.0), "values are not rotated, and keep their order");
    let config: serde_json::Value = serde_json::from_slice(&files[1].1).unwrap();
    assert_eq!((config["r"].as_u64(), config["lora_alpha"].as_f64()), (Some(2), Some(4.0)));
    assert_eq!(config["layers_to_transform"], serde_json::json!([1, 2]));
}
