//! Keys, signatures, VRFs, certificates, and the text form of a network.

use super::receipts::Group;
use super::sample::Gen;
use crate::wire::{GatewayMessage, RelayFetch, RelayedRequest, SessionHello, WorkerMessage};
use crate::*;

fn secret(seed: u64) -> SecretKey {
    SecretKey::from_bytes(*Gen::new(seed).digest().as_bytes()).unwrap()
}

fn vrf(seed: u64) -> VrfSecretKey {
    VrfSecretKey::from_entropy(*Gen::new(seed).digest().as_bytes()).unwrap()
}

#[test]
fn signature_binds_key_domain_and_message() {
    let (key, other) = (secret(1), secret(2));
    let signature = key.sign("domain", b"message");
    assert!(key.public_key().verify("domain", b"message", &signature));
    assert!(!other.public_key().verify("domain", b"message", &signature));
    assert!(!key.public_key().verify("domain2", b"message", &signature));
    assert!(!key.public_key().verify("domai", b"nmessage", &signature), "domain and message don't run together");
    assert!(!key.public_key().verify("domain", b"messag", &signature));
    for index in 0..64 {
        for bit in 0..8 {
            let mut bytes = *signature.as_bytes();
            bytes[index] ^= 1 << bit;
            assert!(!key.public_key().verify("domain", b"message", &Signature::from_bytes(bytes)));
        }
    }
    assert!(!PublicKey::from_bytes([0xff; 32]).verify("domain", b"message", &signature));
}

#[test]
fn secret_keys_survive_bytes_and_hide_in_debug() {
    let key = secret(3);
    assert_eq!(SecretKey::from_bytes(key.to_bytes()).unwrap().public_key(), key.public_key());
    let vrf = vrf(3);
    assert_eq!(VrfSecretKey::from_bytes(vrf.to_bytes()).unwrap().public_key(), vrf.public_key());
    for (debug, bytes) in [(format!("{key:?}"), key.to_bytes()), (format!("{vrf:?}"), vrf.to_bytes())] {
        let digits: String = bytes[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!debug.contains(&digits));
    }
}

#[test]
fn vrf_key_is_a_scalar_in_range() {
    assert!(VrfSecretKey::from_bytes([0xff; 32]).is_err());
    assert!(VrfSecretKey::from_bytes([0; 32]).is_err());
    assert!(VrfSecretKey::from_entropy([0; 32]).is_err());
    let mut only_high = [0; 32];
    only_high[0] = 0xe0;
    assert!(VrfSecretKey::from_entropy(only_high).is_err());
    assert!(VrfSecretKey::from_entropy([0xff; 32]).is_ok());
}

/// SPEC J7: one proof and one output per key and input.
#[test]
fn vrf_is_unique_and_bound_to_key_and_input() {
    let (key, other) = (vrf(4), vrf(5));
    let (input, another) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
    let proof = key.prove(&input);
    assert_eq!(key.prove(&input), proof);
    assert_eq!(key.public_key().verify(&input, &proof), Some(proof.output()));
    assert_eq!(key.public_key().verify(&another, &proof), None);
    assert_eq!(other.public_key().verify(&input, &proof), None);
    assert_ne!(other.prove(&input).output(), proof.output());
    assert_ne!(key.prove(&another).output(), proof.output());
    for index in 0..48 {
        for change in [1, 0x80, 0x20] {
            let mut bytes = *proof.as_bytes();
            bytes[index] ^= change;
            assert_eq!(key.public_key().verify(&input, &VrfProof::from_bytes(bytes)), None, "byte {index}");
        }
    }
    for bytes in [[0; 48], [0xff; 48]] {
        assert_eq!(key.public_key().verify(&input, &VrfProof::from_bytes(bytes)), None);
    }
    // The point at infinity is neither a key nor a proof.
    let (mut key_infinity, mut proof_infinity) = ([0; 96], [0; 48]);
    (key_infinity[0], proof_infinity[0]) = (0xc0, 0xc0);
    let infinity = VrfPublicKey::from_bytes(key_infinity);
    assert_eq!(infinity.verify(&input, &VrfProof::from_bytes(proof_infinity)), None);
    assert_eq!(infinity.verify(&input, &proof), None);
    assert_eq!(key.public_key().verify(&input, &VrfProof::from_bytes(proof_infinity)), None);
}

#[test]
fn vrf_input_binds_beacon_and_lease() {
    let mut g = Gen::new(6);
    let (beacon, lease): (Digest, LeaseId) = (g.next(), g.next());
    assert_ne!(vrf_input(&beacon, lease), vrf_input(&g.next(), lease));
    assert_ne!(vrf_input(&beacon, lease), vrf_input(&beacon, g.next()));
}

/// SPEC C2: a certificate binds chain, key, epoch, views and block.
#[test]
fn certificate_binds_everything() {
    let mut g = Gen::new(7);
    let (group, other) = (Group::new(1), Group::new(2));
    let (chain, block): (ChainId, Digest) = (g.next(), g.next());
    for (epoch, view, parent_view) in [(0, 1, 0), (3, 300, 299), (u64::MAX, u64::MAX, 1 << 40)] {
        let good = group.certify(chain, block, epoch, view, parent_view);
        let refused = Err(InvalidCertificate::Signature);
        assert_eq!(good.verify(chain, &group.public, block), Ok(()));
        assert_eq!(good.verify(g.next(), &group.public, block), refused);
        assert_eq!(good.verify(chain, &other.public, block), refused);
        assert_eq!(good.verify(chain, &group.public, g.next()), refused);
        for changed in [
            Certificate { epoch: epoch ^ 1, ..good },
            Certificate { view: view ^ 1, ..good },
            Certificate { parent_view: parent_view ^ 1, ..good },
            Certificate { signature: [0; 48], ..good },
        ] {
            assert_eq!(changed.verify(chain, &group.public, block), refused);
        }
        // A seed is no certificate.
        let seed = group.seed(chain, epoch, view);
        let posing = Certificate { signature: seed.signature, ..good };
        assert_eq!(posing.verify(chain, &group.public, block), refused);
    }
}

/// SPEC C4: a seed binds chain, epoch and view, and its beacon follows from it.
#[test]
fn seed_binds_epoch_and_view() {
    let mut g = Gen::new(8);
    let group = Group::new(1);
    let chain: ChainId = g.next();
    for (epoch, view) in [(0, 0), (1, 127), (1, 128), (2, u64::MAX)] {
        let seed = group.seed(chain, epoch, view);
        assert!(seed.verify(chain, &group.public, epoch));
        assert!(!seed.verify(chain, &group.public, epoch ^ 1));
        assert!(!seed.verify(g.next(), &group.public, epoch));
        assert!(!seed.verify(chain, &Group::new(2).public, epoch));
        assert!(!SeedSignature { view: view ^ 1, ..seed }.verify(chain, &group.public, epoch));
        assert_ne!(SeedSignature { view: view ^ 1, ..seed }.beacon(), seed.beacon());
    }
    assert_eq!(seed_message(300, 1), [0xac, 0x02, 0x01], "LEB128");
}

#[test]
fn network_key_is_read_as_it_is_written() {
    let key: NetworkKey = Gen::new(10).next();
    let text = key.to_string();
    assert_eq!(text.len(), 9 + 64 + 1 + 192);
    assert_eq!(text.parse(), Ok(key));
    assert_eq!(format!(" {text}\n").parse(), Ok(key), "space around it is no harm");
    let refused = [
        String::new(),
        "inferium".into(),
        text.replace("inferium", "other"),
        text.replace("inferium", "Inferium"),
        text[..text.len() - 1].to_owned(),
        format!("{text}0"),
        format!("{text}:"),
        format!(":{text}"),
        text.replacen(':', "::", 1),
        text.replace(':', " "),
        text.replace(&text[20..21], "g"),
    ];
    for text in refused {
        assert_eq!(text.parse::<NetworkKey>(), Err(InvalidNetworkKey), "{text}");
    }
}

#[test]
fn transaction_is_valid_for_its_chain_and_sender_only() {
    let mut g = Gen::new(12);
    let key = secret(1);
    let transaction = Transaction { sender: key.public_key(), ..g.next() };
    let chain = transaction.chain;
    let signed = transaction.clone().sign(&key);
    let verified = signed.clone().verify(chain).unwrap();
    assert_eq!((verified.id(), verified.size()), (signed.id(), encode(&signed).len()));
    assert_eq!((verified.transaction(), verified.signed()), (&transaction, &signed));
    assert_eq!(signed.clone().verify(g.next()), Err(InvalidSignature::Chain));
    let forged = transaction.clone().sign(&secret(2));
    assert_eq!(forged.verify(chain), Err(InvalidSignature::Signature));
    let replayed = SignedTransaction {
        transaction: Transaction { nonce: transaction.nonce ^ 1, ..transaction },
        signature: signed.signature,
    };
    assert_eq!(replayed.verify(chain), Err(InvalidSignature::Signature));
}

#[test]
fn operators_answer_for_one_node_in_one_role_on_one_chain() {
    let mut g = Gen::new(13);
    let operator = secret(1);
    let (chain, node): (ChainId, NodeId) = (g.next(), g.next());
    let role = NodeRole::Gateway { url: "http://a".into() };
    let signature = Transaction::sign_as_operator(chain, &node, &role, &operator);
    let check = |chain, node, role: &NodeRole, operator: &SecretKey| {
        Transaction::signed_by_operator(chain, &node, role, &operator.public_key(), &signature)
    };
    assert!(check(chain, node, &role, &operator));
    assert!(!check(g.next(), node, &role, &operator));
    assert!(!check(chain, g.next(), &role, &operator));
    assert!(!check(chain, node, &NodeRole::Validator { url: "http://a".into() }, &operator));
    assert!(!check(chain, node, &role, &secret(2)));
}

#[test]
fn sides_of_a_segment_sign_in_their_own_name() {
    let terms: SegmentTerms = Gen::new(14).next();
    let key = secret(1);
    let (worker, gateway) = (terms.sign_as_worker(&key), terms.sign_as_gateway(&key));
    let node = key.public_key();
    assert!(terms.signed_by_worker(&node, &worker) && terms.signed_by_gateway(&node, &gateway));
    assert!(!terms.signed_by_worker(&node, &gateway) && !terms.signed_by_gateway(&node, &worker));
    let other = SegmentTerms { index: terms.index ^ 1, ..terms };
    assert!(!other.signed_by_worker(&node, &worker) && !other.signed_by_gateway(&node, &gateway));
}

#[test]
fn session_and_relay_signatures_are_bound() {
    let mut g = Gen::new(15);
    let (key, hello): (SecretKey, SessionHello) = (secret(1), g.next());
    let signature = hello.sign(&key);
    assert!(hello.verify(&key.public_key(), &signature));
    let others = [
        SessionHello { worker: g.next(), ..hello },
        SessionHello { worker_nonce: g.next(), ..hello },
        SessionHello { worker_key: g.next(), ..hello },
        SessionHello { gateway: g.next(), ..hello },
        SessionHello { gateway_nonce: g.next(), ..hello },
        SessionHello { gateway_key: g.next(), ..hello },
    ];
    assert!(others.iter().all(|other| !other.verify(&key.public_key(), &signature)));
    assert!(!hello.verify(&secret(2).public_key(), &signature));
    let stall: StallId = g.next();
    let fetch = RelayFetch::sign(stall, g.next(), &key);
    assert!(fetch.is_from(&key.public_key(), stall));
    assert!(!fetch.is_from(&key.public_key(), g.next()));
    assert!(!fetch.is_from(&secret(2).public_key(), stall));
    assert!(!RelayFetch { key: g.next(), ..fetch }.is_from(&key.public_key(), stall), "another key to seal to");
}

/// Nobody can hand out a sealing key of another's, nor one that the node had before.
#[test]
fn a_sealing_key_is_proven_to_who_asks() {
    let mut g = Gen::new(16);
    let (node, key): (SecretKey, SealingKey) = (secret(1), g.next());
    let nonce: [u8; 32] = g.next();
    let proof = SealingKeyProof::sign(key, &nonce, &node);
    assert_eq!(encode(&proof).len(), SealingKeyProof::SIZE);
    assert_eq!(proof.verify(&node.public_key(), &nonce), Some(key));
    assert_eq!(proof.verify(&secret(2).public_key(), &nonce), None);
    assert_eq!(proof.verify(&node.public_key(), &g.next()), None, "an old answer");
    assert_eq!(SealingKeyProof { key: g.next(), ..proof }.verify(&node.public_key(), &nonce), None);
    // A signature for one thing says nothing of another.
    let fetch = RelayFetch::sign(StallId::new(Digest::from(nonce)), key, &node);
    assert_eq!(SealingKeyProof { key, signature: fetch.signature }.verify(&node.public_key(), &nonce), None);
    assert!(!RelayFetch { key, signature: proof.signature }.is_from(&node.public_key(), g.next()));
}

#[test]
fn sealed_bytes_are_for_one_thing() {
    let mut g = Gen::new(17);
    let session: SessionHello = g.next();
    let (id, node): (Digest, PublicKey) = (g.next(), g.next());
    let evidence = SealedEvidence { segment: SegmentId::new(id), draw: g.next(), member: node, sealed: g.next() };
    let purposes = [
        session.from_worker(),
        session.from_gateway(),
        evidence.purpose(),
        SealPurpose::Lodged { stall: StallId::new(id), relay: node },
        SealPurpose::Fetched { stall: StallId::new(id), worker: node },
    ];
    let infos: std::collections::BTreeSet<Vec<u8>> = purposes.iter().map(SealPurpose::info).collect();
    assert_eq!(infos.len(), purposes.len());
    // HPKE takes less than 64 KiB.
    assert!(infos.iter().all(|info| info.len() < 1_000));
}

/// SPEC J2: what is printed by mistake says nothing of what a client asked or got.
#[test]
fn texts_and_salts_are_not_shown() {
    let message = ChatMessage { role: "user".into(), content: "quixotic".into() };
    let payload = JobPayload::chat([0xab; 32], vec![message], vec!["quixotic".into()]);
    let texts = JobPayload::embed([0xab; 32], vec!["quixotic".into()]);
    let output = JobOutput::text([0xab; 32], vec![48_879], "quixotic".into());
    let embedding = Embedding::new(&[f32::from_bits(48_879)]);
    let vectors = JobOutput { salt: [0xab; 32], answer: JobAnswer::Embeddings(vec![embedding.clone()]) };
    let one = Continuation { prompt: vec![48_879], tokens: vec![48_879] };
    let scored = JobPayload::score([0xab; 32], vec![one], 1);
    let score = TokenScore::new(f32::from_bits(48_879), &[(48_879, f32::from_bits(48_879))]);
    let likely = JobOutput { salt: [0xab; 32], answer: JobAnswer::Scores(vec![vec![score.clone()]]) };
    let job = JobId::new(Digest::ZERO);
    let scores = WorkerMessage::Scores { job, scores: vec![vec![score.clone()]] };
    let request = Gen::new(18).next();
    let embeddings = WorkerMessage::Embeddings { job, embeddings: vec![embedding] };
    let classified = JobPayload::classify([0xab; 32], ClassifierInputs::Texts(vec!["quixotic".into()]));
    let tensors = JobPayload::classify([0xab; 32], ClassifierInputs::Tensors(vec![vec![171]]));
    let logits = Logits::new(vec![48_879]);
    let said = JobOutput { salt: [0xab; 32], answer: JobAnswer::Logits(vec![logits.clone()]) };
    let classes = WorkerMessage::Logits { job, logits: vec![logits] };
    let delta = WorkerMessage::Delta { job, tokens: vec![48_879], text: "quixotic".into(), scores: Vec::new() };
    let finished = WorkerMessage::Finished { job, result: Gen::new(19).next(), output_salt: [0xab; 32] };
    let shown = [
        format!("{:?}", JobEvidence { payload: payload.clone(), output, measured: None }),
        format!("{:#?}", GatewayMessage::Job { request, payload: payload.clone() }),
        format!("{:?}", RelayedRequest { request: Gen::new(18).next(), payload }),
        format!("{delta:?} {finished:?} {embeddings:?} {texts:?} {vectors:?}"),
        format!("{scored:?} {score:?} {likely:?} {scores:?}"),
        format!("{classified:?} {tensors:?} {said:?} {classes:?}"),
    ];
    for text in shown {
        assert!(!text.contains("quixotic") && !text.contains("48879") && !text.contains("171"), "{text}");
    }
}

#[test]
fn bytes_that_are_no_point_are_no_key() {
    let keys = (0..64_u8).map(|byte| SecretKey::from_bytes([byte; 32]).expect("a key").public_key());
    assert!(keys.into_iter().all(|key| key.is_valid()));
    let invalid = (0..=255_u8).filter(|byte| !PublicKey::from_bytes([*byte; 32]).is_valid()).count();
    assert!((64..192).contains(&invalid), "{invalid} of 256 are no keys");
}

/// Tables are ordered by names: their order is that of their bytes, wherever two differ.
#[test]
fn names_are_ordered_by_their_bytes() {
    let base = [0x80u8; 96];
    for position in 0..96 {
        for byte in [0, 0x7f, 0x80, 0x81, 0xff] {
            for after in [0, 0xff] {
                let mut other = base;
                other[position] = byte;
                other[position + 1..].fill(after);
                let expected = base.cmp(&other);
                assert_eq!(VrfPublicKey::from_bytes(base).cmp(&VrfPublicKey::from_bytes(other)), expected);
                let (left, right): ([u8; 32], [u8; 32]) =
                    (base[..32].try_into().unwrap(), other[..32].try_into().unwrap());
                assert_eq!(PublicKey::from_bytes(left).cmp(&PublicKey::from_bytes(right)), left.cmp(&right));
                assert_eq!(Digest::from(left).cmp(&Digest::from(right)), left.cmp(&right));
                assert_eq!(Digest::from(left).partial_cmp(&Digest::from(right)), left.partial_cmp(&right));
            }
        }
    }
}
