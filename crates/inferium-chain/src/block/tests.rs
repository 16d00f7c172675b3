use super::*;
use crate::testing::{Group, key};
use commonware_codec::{Copying, Decode as _, DecodeExt as _, Encode as _};

fn block(group: &Group) -> Block {
    let body = Body {
        seeds: vec![SeedSignature { view: 3, signature: [7; 48] }],
        transactions: vec![group.transfer(&key(100), 0, 1), group.transfer(&key(100), 1, 2)],
    };
    let header = group.header(5, Digest::sha256(b"parent"), &[], body.root());
    Block::new(header, body).unwrap()
}

#[test]
fn blocks_survive_their_encoding() {
    let block = block(&Group::new(4));
    let bytes = block.encode();
    assert_eq!(bytes.len(), block.encode_size());
    let again = Block::decode(Copying(&bytes[..])).unwrap();
    assert_eq!(again, block);
    assert_eq!(again.digest(), to_engine_digest(block.header().digest()));
}

#[test]
fn no_corrupted_block_decodes_to_the_same_digest() {
    let block = block(&Group::new(4));
    let bytes = block.encode().to_vec();
    for position in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            let mut corrupt = bytes.clone();
            corrupt[position] ^= bit;
            if let Ok(other) = Block::decode(Copying(&corrupt[..])) {
                assert_ne!(other.digest(), block.digest(), "byte {position}");
            }
        }
    }
    for length in 0..bytes.len() {
        assert!(Block::decode(Copying(&bytes[..length])).is_err());
    }
}

#[test]
fn a_body_of_another_block_is_refused() {
    let group = Group::new(4);
    let block = block(&group);
    assert!(Block::new(block.header().clone(), Body::default()).is_none());
    let bytes = inferium_types::encode(&(block.header(), &Body::default())).encode();
    assert!(Block::decode_cfg(Copying(&bytes[..]), &()).is_err());
}

#[test]
fn the_context_is_the_headers() {
    let block = block(&Group::new(4));
    let context = block.context();
    let fields = ContextFields::from(&context);
    let header = block.header();
    assert_eq!(
        (fields.epoch, fields.view, fields.parent_view, fields.parent, fields.proposer),
        (header.epoch, header.view, header.parent_view, header.parent, header.proposer)
    );
}
