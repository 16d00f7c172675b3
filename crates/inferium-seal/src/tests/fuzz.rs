//! Damaged frames, messages and stored values don't open, and nothing takes a node down.

use super::*;
use inferium_fuzz::{Form, Memory, Outcome, Target};
use inferium_types::{
    JobId,
    wire::{GatewayMessage, WorkerMessage},
};

/// What opens is as long as what was sealed.
const MEMORY: Memory = Memory { fixed: 16 * 1024, per_byte: 4 };

const fn target(name: &str, cases: u64) -> Target<'_> {
    Target { name, form: Form::Binary, cases, memory: MEMORY }
}

/// Messages of a session, and some that no one sends.
fn messages() -> Vec<Vec<u8>> {
    let job = JobId::new(Digest::sha256(b"job"));
    vec![
        encode(&WorkerMessage::Delta { job, tokens: vec![1, 2, 3], text: "some text".to_owned(), scores: Vec::new() }),
        encode(&WorkerMessage::Refused { job, reason: "busy".to_owned() }),
        encode(&GatewayMessage::Cancel { job }),
        encode(&GatewayMessage::Welcome),
        Vec::new(),
        vec![0x80; 127],
        vec![0; 128],
    ]
}

/// Who is in the middle has the sealed bytes only.
#[test]
fn a_damaged_frame_does_not_open() {
    let mut rng = rand::rng();
    let (worker, gateway) = (SealingSecret::generate(&mut rng), SealingSecret::generate(&mut rng));
    let purpose = hello(worker.public_key(), gateway.public_key()).from_worker();
    let mut begun = [0; 32];
    let frames: Vec<Vec<u8>> = messages()
        .into_iter()
        .map(|message| {
            // Each is the first one of a direction; only that of the last one is the one that opens below.
            let (encapsulated, mut sealer) =
                SessionSealer::new(&worker, &gateway.public_key(), &purpose, &mut rng).unwrap();
            begun = encapsulated;
            sealer.seal(message).unwrap()
        })
        .collect();
    let own = frames.last().cloned().unwrap();
    let tally = target("a frame", 1_500).run(&frames, |bytes| {
        let mut opener = SessionOpener::new(&gateway, &worker.public_key(), &begun, &purpose).unwrap();
        match opener.open(bytes) {
            Ok(_) => Outcome::Encodes(own.clone()),
            Err(_) => Outcome::Refused,
        }
    });
    assert!(tally.unwrap().refused > 1_000);
}

/// The other side of a session has the keys: it seals what it likes. Each message has one padding.
#[test]
fn a_damaged_message_under_a_good_seal_has_one_form() {
    let padded = |mut message: Vec<u8>| {
        message.push(0x80);
        message.resize(message.len().next_multiple_of(128), 0);
        message
    };
    let samples: Vec<Vec<u8>> = messages().into_iter().map(padded).collect();
    let mut refused_messages = 0;
    // Lists of a message are read a mebibyte at a time.
    let memory = Memory { fixed: 1_200_000, per_byte: 4 };
    let tally = Target { memory, ..target("a message under a seal", 1_500) }.run(&samples, |bytes| {
        let Ends { mut sealer, mut opener } = ends();
        let Ok(message) = opener.open(&sealer.0.seal(bytes, &[]).unwrap()) else { return Outcome::Refused };
        // What is no message is found by the next decoder.
        refused_messages += u32::from(inferium_types::decode::<WorkerMessage>(&message).is_err());
        Outcome::Encodes(padded(message))
    });
    assert!(tally.unwrap().refused > 0);
    assert!(refused_messages > 0);
}

#[test]
fn damaged_sealed_and_stored_bytes_don_t_open() {
    let mut rng = rand::rng();
    let (secret, purpose) = (SealingSecret::generate(&mut rng), evidence(1, 2, 3));
    let sealed: Vec<Vec<u8>> = messages()
        .iter()
        .map(|message| encode(&seal(secret.public_key(), &purpose, message, &mut rng).unwrap()))
        .collect();
    let read = |bytes: &[u8]| match inferium_types::decode::<Sealed>(bytes) {
        Ok(value) if secret.open(&purpose, &value).is_ok() && !sealed.iter().any(|sample| sample == bytes) => {
            panic!("what nobody sealed opens")
        }
        Ok(value) => Outcome::Encodes(encode(&value)),
        Err(_) => Outcome::Refused,
    };
    let memory = Memory { fixed: 1_200_000, per_byte: 4 };
    assert!(Target { memory, ..target("a sealed message", 1_500) }.run(&sealed, read).is_ok());

    let key = StorageKey::derive(&node(1), "worker");
    let stored: Vec<Vec<u8>> = messages().iter().map(|value| key.seal(b"here", value, [5; 24]).unwrap()).collect();
    let read = |bytes: &[u8]| match key.open(b"here", bytes) {
        Ok(value) => Outcome::Encodes(key.seal(b"here", &value, [5; 24]).unwrap()),
        Err(_) => Outcome::Refused,
    };
    assert!(target("a stored value", 3_000).run(&stored, read).unwrap().refused > 1_000);
}
