use super::*;
use crate::synthetic;

fn file(name: &str) -> Vec<u8> {
    encode(&synthetic(name).unwrap().unwrap().0).unwrap()
}

#[test]
fn what_was_written_is_read_and_writes_the_same_bytes() {
    for name in ["mlp-tiny", "cnn-tiny"] {
        let bytes = file(name);
        let model = decode(&bytes).unwrap();
        assert_eq!(encode(&model).unwrap(), bytes);
        assert_eq!(model.name, name);
    }
}

#[test]
fn damage_is_an_error_or_another_model_and_takes_no_memory() {
    let bytes = file("mlp-tiny");
    let stride = if bytes.len() > 20_000 { 37 } else { 1 };
    for index in (0..2_000.min(bytes.len())).chain((2_000..bytes.len()).step_by(stride)) {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[index] ^= flip;
            let mut found = None;
            let taken = allocation_counter::measure(|| found = Some(decode(&damaged)));
            assert!(
                taken.bytes_max < 16 * bytes.len() as u64 + (1 << 20) + (1 << 16),
                "{} bytes at {index}",
                taken.bytes_max
            );
            if let Some(Ok(model)) = found {
                assert_eq!(encode(&model).unwrap(), damaged, "two files of one model, at {index}");
            }
        }
    }
}

#[test]
fn a_cut_or_lengthened_file_is_refused() {
    let bytes = file("cnn-tiny");
    for length in (0..bytes.len()).step_by(97) {
        assert!(decode(&bytes[..length]).is_err());
    }
    assert!(decode(&[bytes.as_slice(), &[0]].concat()).is_err());
    let mut newer = bytes;
    newer[4] = 2;
    assert!(matches!(decode(&newer), Err(DecodeError::Version(2))));
}

/// Files and ids from before sequences: what is appended to the operations changes none of them.
#[test]
fn models_of_the_first_version_keep_their_bytes_and_ids() {
    let known = [
        (
            "mlp-tiny",
            "89b18c2eacc2021d35e735e6b16e7350d73a31f4dbe1b8c82c3a535bc39623b2",
            "e1f9ac39e321518f97c5d457c3fa6270cfee89d87444901c7fe4868d92287f47",
        ),
        (
            "cnn-tiny",
            "acd3f6703fb4437b773a4c71c52fa896ce522cd91a3a9ed1af2fc98c4aab5c04",
            "b302ff6c6fcb87ae521ad58eed2f3b38bc8615d24bddac8d11be92add578ead3",
        ),
    ];
    for (name, id, bytes) in known {
        let model = synthetic(name).unwrap().unwrap().0;
        assert_eq!(blake3::Hash::from(crate::model_id(&model)).to_hex().as_str(), id);
        assert_eq!(blake3::hash(&encode(&model).unwrap()).to_hex().as_str(), bytes);
    }
}
