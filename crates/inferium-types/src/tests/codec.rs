//! One value, one encoding.

use super::sample::{Gen, Sample, for_each_type};
use crate::wire::{GatewayMessage, ModelAnswer, Planting, RelayFetch, RelayedRequest, SessionHello, WorkerMessage};
use crate::*;
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt::Debug;

const SAMPLES: u64 = 40;

/// Bytes that decode at all are the encoding of what they decode to.
fn check_bytes<T: BorshSerialize + BorshDeserialize>(bytes: &[u8], what: &str) {
    if let Ok(value) = decode::<T>(bytes) {
        assert_eq!(encode(&value), bytes, "{what} of {}", std::any::type_name::<T>());
    }
}

fn check_type<T: Sample + BorshSerialize + BorshDeserialize + PartialEq + Debug>() {
    for seed in 0..SAMPLES {
        let value: T = Gen::new(seed).next();
        let bytes = encode(&value);
        assert_eq!(decode::<T>(&bytes).unwrap(), value);
        for size in 0..bytes.len() {
            assert!(decode::<T>(&bytes[..size]).is_err(), "{} cut to {size}", std::any::type_name::<T>());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(decode::<T>(&longer).is_err(), "trailing byte");
        let mut flipped = bytes.clone();
        for index in 0..bytes.len() {
            for bit in 0..8 {
                flipped[index] ^= 1 << bit;
                check_bytes::<T>(&flipped, "flip");
                flipped[index] ^= 1 << bit;
            }
        }
    }
}

#[test]
fn every_type_has_one_encoding_per_value() {
    macro_rules! check_all {
        ($($type:ty),+) => { $(check_type::<$type>();)+ };
    }
    for_each_type!(check_all);
}

#[test]
fn unknown_tags_are_refused() {
    fn check<T: BorshDeserialize + Debug>(known: u8) {
        for tag in known..=u8::MAX {
            let mut bytes = vec![tag];
            bytes.resize(2_000, 0);
            let error = decode::<T>(&bytes).unwrap_err();
            assert!(error.reason.contains("tag"), "{tag} of {}: {error}", std::any::type_name::<T>());
        }
    }
    check::<TransactionBody>(35);
    check::<Event>(48);
    check::<WorkerMessage>(16);
    check::<GatewayMessage>(8);
    check::<VerdictVote>(4);
    check::<NodeRole>(3);
    check::<JobFault>(17);
    check::<JobInput>(9);
    check::<JobAnswer>(8);
    check::<ModelTask>(8);
    check::<ClassifierInputs>(2);
    check::<ClassifierReads>(2);
    check::<FinishReason>(4);
    check::<SlashRule>(13);
    check::<LeaseEnd>(6);
    check::<RejectReason>(6);
    check::<Tier>(3);
    check::<TaskKind>(7);
    check::<VerificationMode>(4);
    check::<ProposalAction>(8);
    check::<VoteChoice>(4);
    check::<ForcedKind>(2);
    check::<SealPurpose>(5);
    check::<VoteSubject>(3);
    check::<Suspicion>(3);
    check::<EngineClass>(3);
    check::<Recipients>(3);
    check::<SpendOrder>(2);
    check::<RunCall>(3);
    check::<CallRecord>(3);
    check::<TraceAsked>(5);
    check::<TraceShown>(5);
    check::<ChallengeEnd>(4);
    check::<RefutedClaim>(4);
    check::<CommittedKind>(5);
    check::<OpenedInput>(2);
    check::<OpenedOutput>(2);
    check::<InputPart>(2);
}

#[test]
fn lengths_beyond_the_bytes_are_refused() {
    for length in [1u32, 1_000, u32::MAX] {
        assert!(decode::<Vec<Digest>>(&length.to_le_bytes()).is_err());
        assert!(decode::<String>(&length.to_le_bytes()).is_err());
    }
}

#[test]
fn booleans_options_and_text_have_one_form() {
    assert!(decode::<bool>(&[2]).is_err());
    assert!(decode::<Option<u8>>(&[2, 0]).is_err());
    assert!(decode::<String>(&[1, 0, 0, 0, 0xff]).is_err());
}

/// The layout that contracts read: its size is fixed, each field has its place, all are bound.
#[test]
fn header_layout_is_fixed() {
    for seed in 0..SAMPLES {
        let header: Header = Gen::new(seed).next();
        let bytes = header.to_bytes();
        assert_eq!(bytes.len(), Header::SIZE);
        assert_eq!(bytes[..4], HEADER_VERSION.to_be_bytes());
        assert_eq!(bytes[4..36], header.chain.digest().as_bytes()[..]);
        assert_eq!(bytes[36..44], header.height.to_be_bytes());
        assert_eq!(bytes[44..52], header.timestamp_ms.to_be_bytes());
        assert_eq!(bytes[116..148], header.receipts_root.as_bytes()[..]);
        assert_eq!(bytes[276..], header.operations_end.to_be_bytes());
        assert_eq!(header.digest(), Digest::sha256(&bytes));
    }
}

#[test]
fn every_field_of_a_header_changes_its_digest() {
    let header: Header = Gen::new(1).next();
    let bytes = encode(&header);
    for index in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[index] ^= 1;
        let changed: Header = decode(&changed).unwrap();
        assert_ne!(changed.digest(), header.digest(), "byte {index}");
    }
}

/// No two lists of parts hash alike, however the bytes are spread.
#[test]
fn digest_binds_domain_and_parts() {
    let all = [
        Digest::of("a", &[b"b", b"c"]),
        Digest::of("a", &[b"bc"]),
        Digest::of("a", &[b"", b"bc"]),
        Digest::of("a", &[b"bc", b""]),
        Digest::of("ab", &[b"c"]),
        Digest::of("", &[b"a", b"b", b"c"]),
        Digest::of("a", &[]),
        Digest::of("a", &[b""]),
    ];
    let distinct: std::collections::BTreeSet<Digest> = all.into_iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn digest_draws_within_its_bound() {
    for (bytes, expected) in [([0u8; 32], 0), ([0xff; 32], 9)] {
        assert_eq!(Digest::from(bytes).draw(10), expected);
        assert_eq!(Digest::from(bytes).draw(0), 0);
        assert_eq!(Digest::from(bytes).draw(1), 0);
    }
    assert_eq!(Digest::from([0xff; 32]).draw(u64::MAX), u64::MAX - 1);
    let mut seen = [0u32; 10];
    let mut g = Gen::new(3);
    for _ in 0..10_000 {
        seen[usize::try_from(g.below(10)).unwrap()] += 1;
    }
    assert!(seen.iter().all(|count| (850..1_150).contains(count)), "{seen:?}");
}

#[test]
fn digest_has_one_length_in_hex() {
    let digest = Digest::sha256(b"x");
    assert_eq!(Digest::from_hex(&digest.to_string()), Some(digest));
    for text in ["", "00", &digest.to_string()[1..], &format!("{digest}0"), &"g".repeat(64)] {
        assert_eq!(Digest::from_hex(text), None, "{text}");
    }
}

/// SPEC R3, C4: the drawn share is the wanted one; all for one whole, none for none.
#[test]
fn drawn_jobs_are_the_wanted_share() {
    let segment: SegmentId = Gen::new(5).next();
    let seed = Digest::sha256(b"seed");
    let drawn = |replay| (0..20_000).filter(|index| segment.draws_job(&seed, *index, replay)).count();
    assert_eq!(drawn(Ppm::ONE), 20_000);
    assert_eq!(drawn(Ppm::new(0)), 0);
    assert!((1_850..2_150).contains(&drawn(Ppm::new(100_000))));
    let other = Digest::sha256(b"another seed");
    let differs = |index: &u32| {
        segment.draws_job(&seed, *index, Ppm::new(500_000)) != segment.draws_job(&other, *index, Ppm::new(500_000))
    };
    assert!((0..1_000).filter(differs).count() > 400);
}

/// SPEC J7: with a client seed only seed and input count; else the VRF and the request.
#[test]
fn sampling_seed_binds_what_the_rule_says() {
    let mut g = Gen::new(9);
    let mut request: JobRequest = g.next();
    let (vrf, other) = (g.digest(), g.digest());
    let prompt = [1, 2, 3];
    request.client_seed = None;
    let by_vrf = replay_seed(&request, &prompt, &vrf);
    assert_ne!(by_vrf, replay_seed(&request, &prompt, &other));
    let next = JobRequest { sequence: request.sequence ^ 1, ..request };
    assert_ne!(by_vrf, replay_seed(&next, &prompt, &vrf));
    let seeded = JobRequest { client_seed: Some(7), ..request };
    let by_client = replay_seed(&seeded, &prompt, &vrf);
    assert_eq!(by_client, replay_seed(&JobRequest { sequence: 99, ..seeded }, &prompt, &other));
    assert_ne!(by_client, replay_seed(&seeded, &[1, 2, 4], &vrf));
    assert_ne!(by_client, replay_seed(&JobRequest { client_seed: Some(8), ..seeded }, &prompt, &vrf));
}

/// A result answers its request within the request's limits; each limit is exact.
#[test]
fn leaf_is_consistent_within_its_limits() {
    let mut g = Gen::new(11);
    let request = JobRequest { prompt_tokens: 5, tokens_max: 10, ..g.next() };
    let result = JobResult {
        request: request.digest(),
        usage: Usage { prompt_tokens: 5, completion_tokens: 10 },
        finish: FinishReason::Length,
        ..g.next()
    };
    let check = |edit: &dyn Fn(&mut JobLeaf)| {
        let mut leaf = JobLeaf { request: request.clone(), result: result.clone() };
        edit(&mut leaf);
        leaf.is_consistent()
    };
    assert!(check(&|_| ()));
    assert!(!check(&|leaf| leaf.request.attempt ^= 1));
    assert!(!check(&|leaf| leaf.result.usage.prompt_tokens = 4));
    assert!(!check(&|leaf| leaf.result.usage.completion_tokens = 11));
    assert!(!check(&|leaf| leaf.result.usage.completion_tokens = 9), "a length end at less than the length");
    for finish in [FinishReason::EndOfText, FinishReason::StopString, FinishReason::Cancelled] {
        for (completion_tokens, expected) in [(0, true), (9, true), (10, true), (11, false)] {
            let consistent = check(&|leaf| {
                leaf.result.finish = finish;
                leaf.result.usage.completion_tokens = completion_tokens;
            });
            assert_eq!(consistent, expected, "{finish:?} {completion_tokens}");
        }
    }
}

#[test]
fn totals_add_up_without_overflow() {
    let usage = Usage { prompt_tokens: 3, completion_tokens: 4 };
    let two = JobTotals::default().with(&usage).and_then(|one| one.with(&usage)).unwrap();
    assert_eq!(two, JobTotals { jobs: 2, prompt_tokens: 6, completion_tokens: 8 });
    assert_eq!(JobTotals { jobs: u32::MAX, ..two }.with(&usage), None);
    assert_eq!(JobTotals { prompt_tokens: u64::MAX - 2, ..two }.with(&usage), None);
    assert_eq!(JobTotals { completion_tokens: u64::MAX - 3, ..two }.with(&usage), None);
    assert!(JobTotals { completion_tokens: u64::MAX - 4, ..two }.with(&usage).is_some());
    let price = Price { prompt_token: Amount::from_nano(5), completion_token: Amount::from_nano(7) };
    assert_eq!(two.fee(&price), Ok(Amount::from_nano(86)));
    assert_eq!(price.fee(&usage), Ok(Amount::from_nano(43)));
    assert_eq!(JobTotals { prompt_tokens: u64::MAX, ..two }.fee(&price), Err(AmountOverflow));
}
