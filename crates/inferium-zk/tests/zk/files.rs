//! Files of proofs and of keys: what is written is read, and nothing else.

use inferium_exact::synthetic;
use inferium_zk::{FileError, Hiding, ProofFile, VerifyingKey, register, verify};

use super::case;

#[test]
fn a_proof_and_a_key_verify_from_their_files() {
    for (name, hiding) in [("mlp-tiny", Hiding::Nothing), ("cnn-tiny", Hiding::Activations)] {
        let case = case(name, hiding);
        let key = case.key.verifying_key();
        let file = ProofFile { model: *key.model(), statement: case.statement.clone(), proof: case.proof() };
        let read = ProofFile::from_bytes(&file.to_bytes().unwrap()).unwrap();
        assert_eq!(read, file);
        let bytes = key.to_bytes().unwrap();
        assert!(bytes.len() < 200, "{} bytes", bytes.len());
        let again = VerifyingKey::from_bytes(&bytes).unwrap();
        assert_eq!((again.model(), again.weights()), (key.model(), key.weights()));
        assert_eq!(again.digest(&read.statement), key.digest(&case.statement));
        assert_eq!(verify(&again, &read.statement, &read.proof), Ok(()));
        let mut other = read.statement;
        other.output[0] += 1;
        assert!(verify(&again, &other, &read.proof).is_err());
    }
}

#[test]
fn keys_of_all_models_are_read_as_they_were() {
    for name in ["lenet-5", "mlp-109k"] {
        let (model, _) = synthetic(name).unwrap().unwrap();
        let key = register(model).unwrap();
        let again = VerifyingKey::from_bytes(&key.to_bytes().unwrap()).unwrap();
        let case = case("mlp-tiny", Hiding::Nothing);
        assert_eq!(again.digest(&case.statement), key.digest(&case.statement), "{name}");
    }
}

#[test]
fn damaged_files_are_refused_or_say_something_else() {
    let case = case("mlp-tiny", Hiding::Nothing);
    let key = case.key.verifying_key();
    let file = ProofFile { model: *key.model(), statement: case.statement.clone(), proof: case.proof() };
    let (bytes, key_bytes) = (file.to_bytes().unwrap(), key.to_bytes().unwrap());
    for at in (0..256).chain((256..bytes.len()).step_by(997)) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        let Ok(read) = ProofFile::from_bytes(&damaged) else { continue };
        assert_eq!(read.to_bytes().unwrap(), damaged, "byte {at}");
        let is_refused = read.model != *key.model() || verify(key, &read.statement, &read.proof).is_err();
        assert!(is_refused, "byte {at}");
    }
    let mut alike = 0;
    for at in 0..key_bytes.len() {
        for bit in 0..8 {
            let mut damaged = key_bytes.clone();
            damaged[at] ^= 1 << bit;
            let Ok(read) = VerifyingKey::from_bytes(&damaged) else { continue };
            assert_eq!(read.to_bytes().unwrap(), damaged, "byte {at}");
            if verify(&read, &case.statement, &file.proof).is_ok() {
                // A length that is padded to the same one: nothing that is checked depends on it.
                assert!(at >= 4 + 64, "byte {at}, bit {bit}");
                alike += 1;
            }
        }
    }
    assert!(alike < 24, "{alike} damaged keys verify");
    for length in 0..key_bytes.len() {
        assert!(VerifyingKey::from_bytes(&key_bytes[..length]).is_err(), "{length} bytes");
    }
    let longer = [key_bytes.as_slice(), &[0]].concat();
    assert!(matches!(VerifyingKey::from_bytes(&longer), Err(FileError::Encoding)));
    assert!(matches!(ProofFile::from_bytes(&[bytes.as_slice(), &[0]].concat()), Err(FileError::Encoding)));
    assert!(matches!(ProofFile::from_bytes(&key_bytes), Err(FileError::Kind(_))));
    assert!(matches!(VerifyingKey::from_bytes(&bytes), Err(FileError::Kind(_))));
}
