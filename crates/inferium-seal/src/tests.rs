//! Bytes open for one key, one purpose and one place, or not at all.

mod fuzz;

use crate::{
    Aead, FRAME_OVERHEAD_MAX, Kdf, Kem, SealError, SealingSecret, SessionOpener, SessionSealer, StorageKey, seal,
};
use hpke::{Deserializable as _, OpModeR, OpModeS, Serializable as _, setup_receiver, setup_sender_with_rng};
use inferium_types::{
    Digest, SealPurpose, Sealed, SealedEvidence, SealingKey, SecretKey, SegmentId, StallId, encode, wire::SessionHello,
};
use proptest::prelude::*;
use rand_core::{Infallible, TryCryptoRng, TryRng};

/// Gives the same bytes again and again.
struct Fixed([u8; 32]);

impl TryRng for Fixed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("keys are asked for as bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("keys are asked for as bytes")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(&self.0[..bytes.len()]);
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}

fn hex32(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn node(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).unwrap()
}

fn evidence(segment: u8, draw: u8, member: u8) -> SealPurpose {
    let (segment, draw) = (SegmentId::new(Digest::from([segment; 32])), Digest::from([draw; 32]));
    SealPurpose::Evidence { segment, draw, member: node(member).public_key() }
}

/// RFC 9180, A.2.1: our suite in base mode, by the same calls as ours.
#[test]
fn the_suite_is_that_of_the_standard() {
    let mut sender_entropy = Fixed(hex32("909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b"));
    let mut entropy = Fixed(hex32("1ac01f181fdf9f352797655161c58b75c656a6cc2716dcb66372da835542e1df"));
    let receiver = SealingSecret::generate(&mut entropy);
    let expected = hex32("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
    assert_eq!(receiver.public_key(), SealingKey::from_bytes(expected));
    let info = b"Ode on a Grecian Urn";
    let public = <Kem as hpke::Kem>::PublicKey::from_bytes(&expected).unwrap();
    let (encapsulated, mut context) =
        setup_sender_with_rng::<Aead, Kdf, Kem>(&OpModeS::Base, &public, info, &mut sender_entropy).unwrap();
    let expected = hex32("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a");
    assert_eq!(encapsulated.to_bytes()[..], expected);
    let mut opener = setup_receiver::<Aead, Kdf, Kem>(&OpModeR::Base, &receiver.secret, &encapsulated, info).unwrap();
    let ciphertexts = [
        "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
        "6b53c051e4199c518de79594e1c4ab18b96f081549d45ce015be002090bb119e85285337cc95ba5f59992dc98c",
        "71146bd6795ccc9c49ce25dda112a48f202ad220559502cef1f34271e0cb4b02b4f10ecac6f48c32f878fae86b",
    ];
    for (count, expected) in ciphertexts.into_iter().enumerate() {
        let (message, aad) = (b"Beauty is truth, truth beauty", format!("Count-{count}"));
        let sealed = context.seal(message, aad.as_bytes()).unwrap();
        assert_eq!(hex::encode(&sealed), expected);
        assert_eq!(opener.open(&sealed, aad.as_bytes()).unwrap(), message);
    }
}

#[test]
fn a_message_opens_for_its_receiver_and_purpose_only() {
    let mut rng = rand::rng();
    let (secret, other) = (SealingSecret::generate(&mut rng), SealingSecret::generate(&mut rng));
    let purpose = evidence(1, 2, 3);
    let sealed = seal(secret.public_key(), &purpose, b"text", &mut rng).unwrap();
    assert_eq!(secret.open(&purpose, &sealed).unwrap(), b"text");
    assert_eq!(other.open(&purpose, &sealed), Err(SealError::UnknownKey));
    // Who says that it was sealed to another key does not open it by that.
    let renamed = Sealed { key: other.public_key(), ..sealed.clone() };
    assert_eq!(other.open(&purpose, &renamed), Err(SealError::NotOpened));
    let (stall, worker) = (StallId::new(Digest::from([1; 32])), node(3).public_key());
    let others = [
        evidence(9, 2, 3),
        evidence(1, 9, 3),
        evidence(1, 2, 9),
        SealPurpose::Lodged { stall, relay: worker },
        SealPurpose::Fetched { stall, worker },
    ];
    for purpose in others {
        assert_eq!(secret.open(&purpose, &sealed), Err(SealError::NotOpened), "{purpose:?}");
    }
}

#[test]
fn every_changed_byte_and_every_missing_one_is_noticed() {
    let mut rng = rand::rng();
    let (secret, purpose) = (SealingSecret::generate(&mut rng), evidence(1, 2, 3));
    let sealed = seal(secret.public_key(), &purpose, b"some text", &mut rng).unwrap();
    for index in 0..sealed.ciphertext.len() {
        let mut changed = sealed.clone();
        changed.ciphertext[index] ^= 1;
        assert_eq!(secret.open(&purpose, &changed), Err(SealError::NotOpened));
        changed.ciphertext.truncate(index);
        assert_eq!(secret.open(&purpose, &changed), Err(SealError::NotOpened));
    }
    for index in 0..32 {
        let mut changed = sealed.clone();
        changed.encapsulated[index] ^= 1;
        assert_eq!(secret.open(&purpose, &changed), Err(SealError::NotOpened));
    }
    let mut longer = sealed;
    longer.ciphertext.push(0);
    assert_eq!(secret.open(&purpose, &longer), Err(SealError::NotOpened));
}

/// Points of small order: what would be sealed to them, anyone could open.
#[test]
fn nothing_is_sealed_to_a_key_that_is_none() {
    let mut rng = rand::rng();
    let secret = SealingSecret::generate(&mut rng);
    let mut one = [0; 32];
    one[0] = 1;
    for bytes in [[0; 32], one] {
        let key = SealingKey::from_bytes(bytes);
        assert_eq!(seal(key, &evidence(1, 2, 3), b"text", &mut rng), Err(SealError::InvalidKey));
        let purpose = evidence(1, 2, 3);
        assert_eq!(SessionSealer::new(&secret, &key, &purpose, &mut rng).map(drop), Err(SealError::InvalidKey));
        assert!(SessionOpener::new(&secret, &key, &bytes, &purpose).is_err());
        let sealed = Sealed { key: secret.public_key(), encapsulated: bytes, ciphertext: vec![0; 40] };
        assert_eq!(secret.open(&purpose, &sealed), Err(SealError::NotOpened));
    }
}

#[test]
fn overheads_are_as_named() {
    let mut rng = rand::rng();
    let secret = SealingSecret::generate(&mut rng);
    let purpose = evidence(1, 2, 3);
    for size in [0, 1, 1_000] {
        let sealed = seal(secret.public_key(), &purpose, &vec![7; size], &mut rng).unwrap();
        assert_eq!(encode(&sealed).len(), size + Sealed::OVERHEAD);
        let (member, segment) = (node(3).public_key(), SegmentId::new(Digest::ZERO));
        let evidence = SealedEvidence { segment, draw: Digest::ZERO, member, sealed };
        assert_eq!(encode(&evidence).len(), size + SealedEvidence::OVERHEAD);
    }
}

struct Ends {
    sealer: SessionSealer,
    opener: SessionOpener,
}

fn hello(worker: SealingKey, gateway: SealingKey) -> SessionHello {
    SessionHello {
        worker: node(1).public_key(),
        worker_nonce: [1; 32],
        worker_key: worker,
        gateway: node(2).public_key(),
        gateway_nonce: [2; 32],
        gateway_key: gateway,
    }
}

/// The direction from the worker to the gateway.
fn ends() -> Ends {
    let mut rng = rand::rng();
    let (worker, gateway) = (SealingSecret::generate(&mut rng), SealingSecret::generate(&mut rng));
    let purpose = hello(worker.public_key(), gateway.public_key()).from_worker();
    let (encapsulated, sealer) = SessionSealer::new(&worker, &gateway.public_key(), &purpose, &mut rng).unwrap();
    let opener = SessionOpener::new(&gateway, &worker.public_key(), &encapsulated, &purpose).unwrap();
    Ends { sealer, opener }
}

#[test]
fn a_session_takes_frames_in_order_and_each_once() {
    let Ends { mut sealer, mut opener } = ends();
    let frames: Vec<Vec<u8>> = (0..4u8).map(|number| sealer.seal(vec![number; 3]).unwrap()).collect();
    assert_eq!(opener.open(&frames[0]).unwrap(), [0; 3]);
    assert_eq!(opener.open(&frames[0]), Err(SealError::NotOpened), "repeated");
    assert_eq!(opener.open(&frames[2]), Err(SealError::NotOpened), "one is left out");
    let mut changed = frames[1].clone();
    changed[5] ^= 0x10;
    assert_eq!(opener.open(&changed), Err(SealError::NotOpened), "changed");
    assert_eq!(opener.open(&frames[1][..frames[1].len() - 1]), Err(SealError::NotOpened), "cut");
    assert_eq!(opener.open(&[]), Err(SealError::NotOpened), "empty");
}

#[test]
fn a_direction_is_that_of_its_two_sides_and_its_handshake() {
    let mut rng = rand::rng();
    let [worker, gateway, other] = std::array::from_fn(|_| SealingSecret::generate(&mut rng));
    let session = hello(worker.public_key(), gateway.public_key());
    let purpose = session.from_worker();
    let opened = |own: &SealingSecret, from: &SealingSecret, began: &SealingSecret, meant: &SealPurpose| {
        let mut rng = rand::rng();
        let (encapsulated, mut sealer) = SessionSealer::new(began, &gateway.public_key(), &purpose, &mut rng).unwrap();
        let frame = sealer.seal(b"text".to_vec()).unwrap();
        SessionOpener::new(own, &from.public_key(), &encapsulated, meant)?.open(&frame)
    };
    assert_eq!(opened(&gateway, &worker, &worker, &purpose).unwrap(), b"text");
    // Someone between them knows both public keys, and can begin a direction under its own only.
    assert_eq!(opened(&gateway, &worker, &other, &purpose), Err(SealError::NotOpened));
    assert_eq!(opened(&gateway, &other, &worker, &purpose), Err(SealError::NotOpened));
    assert_eq!(opened(&other, &worker, &worker, &purpose), Err(SealError::NotOpened));
    assert_eq!(opened(&gateway, &worker, &worker, &session.from_gateway()), Err(SealError::NotOpened));
    let later = SessionHello { gateway_nonce: [9; 32], ..session };
    assert_eq!(opened(&gateway, &worker, &worker, &later.from_worker()), Err(SealError::NotOpened));
}

#[test]
fn tokens_of_different_length_look_alike() {
    let Ends { mut sealer, .. } = ends();
    let sizes: Vec<usize> = (0..=200).map(|size| sealer.seal(vec![7; size]).unwrap().len()).collect();
    assert!(sizes[..128].iter().all(|size| *size == 128 + 16), "{sizes:?}");
    assert!(sizes[128..].iter().all(|size| *size == 256 + 16), "{sizes:?}");
    assert!(sizes.iter().enumerate().all(|(size, frame)| frame - size <= FRAME_OVERHEAD_MAX));
}

/// The other side knows the keys: it must not get two forms of one message through.
#[test]
fn a_message_has_one_padding() {
    let padded = |message: &[u8], size: usize| {
        let mut bytes = message.to_vec();
        bytes.resize(size, 0);
        bytes
    };
    for bytes in [
        padded(b"text", 128),
        padded(b"text\x80", 256),
        padded(b"text\x80", 127),
        padded(&[], 128),
        Vec::new(),
        padded(b"text\x81", 128),
    ] {
        let Ends { mut sealer, mut opener } = ends();
        let frame = sealer.0.seal(&bytes, &[]).unwrap();
        assert_eq!(opener.open(&frame), Err(SealError::NotOpened), "{bytes:?}");
    }
    let Ends { mut sealer, mut opener } = ends();
    let frame = sealer.0.seal(&padded(b"text\x80", 128), &[]).unwrap();
    assert_eq!(opener.open(&frame).unwrap(), b"text");
}

#[test]
fn what_is_stored_opens_at_its_place_with_its_key_only() {
    let key = StorageKey::derive(&node(1), "worker");
    let stored = key.seal(b"here", b"text", [5; 24]).unwrap();
    assert_eq!(key.open(b"here", &stored).unwrap(), b"text");
    assert_eq!(key.open(b"there", &stored), Err(SealError::NotOpened));
    assert_eq!(StorageKey::derive(&node(2), "worker").open(b"here", &stored), Err(SealError::NotOpened));
    assert_eq!(StorageKey::derive(&node(1), "gateway").open(b"here", &stored), Err(SealError::NotOpened));
    for index in 0..stored.len() {
        let mut changed = stored.clone();
        changed[index] ^= 0x80;
        assert_eq!(key.open(b"here", &changed), Err(SealError::NotOpened));
        assert_eq!(key.open(b"here", &stored[..index]), Err(SealError::NotOpened));
    }
}

#[test]
fn secrets_are_not_shown() {
    let secret = SealingSecret::generate(&mut Fixed([7; 32]));
    let shown = format!("{secret:?} {:?}", StorageKey::derive(&node(1), "worker"));
    assert_eq!(shown, format!("SealingSecret(of {:?}) StorageKey", secret.public_key()));
}

proptest! {
    #[test]
    fn sessions_carry_any_messages(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..8)) {
        let Ends { mut sealer, mut opener } = ends();
        for message in messages {
            let frame = sealer.seal(message.clone()).unwrap();
            prop_assert_eq!(frame.len() % 128, 16);
            prop_assert_eq!(opener.open(&frame), Ok(message));
        }
    }

    #[test]
    fn no_other_bytes_open(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let Ends { mut opener, .. } = ends();
        prop_assert_eq!(opener.open(&bytes), Err(SealError::NotOpened));
        let secret = SealingSecret::generate(&mut rand::rng());
        let sealed = Sealed { key: secret.public_key(), encapsulated: [9; 32], ciphertext: bytes.clone() };
        prop_assert_eq!(secret.open(&evidence(1, 2, 3), &sealed), Err(SealError::NotOpened));
        prop_assert_eq!(StorageKey::derive(&node(1), "worker").open(b"here", &bytes), Err(SealError::NotOpened));
    }
}
