//! Receipts: SPEC J5. A real one, made with a group key that the test holds, and every lie.

use super::sample::Gen;
use crate::certificate::consensus_namespace;
use crate::*;
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::bls12381::primitives::{group::Private, ops, variant::MinSig};

/// A group key, whole: what the validators share is one secret here.
pub(super) struct Group {
    secret: Private,
    pub(super) public: GroupKey,
}

impl Group {
    pub(super) fn new(seed: u64) -> Self {
        let mut bytes = *Gen::new(seed).digest().as_bytes();
        bytes[0] &= 0x1f;
        let secret = Private::decode(Copying(&bytes[..])).unwrap();
        let mut public = [0; 96];
        public.copy_from_slice(&ops::compute_public::<MinSig>(&secret).encode());
        Self { secret, public: GroupKey::from_bytes(public) }
    }

    fn sign(&self, chain: ChainId, kind: &[u8], message: &[u8]) -> [u8; 48] {
        let namespace = [consensus_namespace(chain).as_slice(), kind].concat();
        let mut signature = [0; 48];
        signature.copy_from_slice(&ops::sign_message::<MinSig>(&self.secret, &namespace, message).encode());
        signature
    }

    pub(super) fn certify(
        &self,
        chain: ChainId,
        block: Digest,
        epoch: u64,
        view: u64,
        parent_view: u64,
    ) -> Certificate {
        let mut message = Vec::new();
        for mut number in [epoch, view, parent_view] {
            while number > 0x7f {
                message.push((number & 0x7f) as u8 | 0x80);
                number >>= 7;
            }
            message.push(number as u8);
        }
        message.extend_from_slice(block.as_bytes());
        let signature = self.sign(chain, b"_FINALIZE", &message);
        Certificate { epoch, view, parent_view, signature }
    }

    pub(super) fn seed(&self, chain: ChainId, epoch: u64, view: u64) -> SeedSignature {
        SeedSignature { view, signature: self.sign(chain, b"_SEED", &seed_message(epoch, view)) }
    }
}

/// A receipt of the third of five jobs, in the second of four events, `headers` blocks before a
/// certified one.
struct Story {
    group: Group,
    key: NetworkKey,
    receipt: Receipt,
}

fn story(headers: usize, settled: bool) -> Story {
    story_with(headers, settled, None)
}

fn story_with(headers: usize, settled: bool, planted: Option<u32>) -> Story {
    let mut g = Gen::new(77);
    let group = Group::new(1);
    let chain: ChainId = g.next();
    let lease: LeaseId = g.next();
    let leaves: Vec<JobLeaf> = (0..5)
        .map(|sequence| {
            let request = JobRequest { lease, sequence, prompt_tokens: 7, tokens_max: 9, ..g.next() };
            let usage = Usage { prompt_tokens: 7, completion_tokens: 3 };
            let result = JobResult { request: request.digest(), usage, finish: FinishReason::EndOfText, ..g.next() };
            JobLeaf { request, result }
        })
        .collect();
    let hashes: Vec<Digest> = leaves.iter().map(JobLeaf::hash).collect();
    let price = Price { prompt_token: Amount::from_nano(10), completion_token: Amount::from_nano(20) };
    let outcome = SegmentOutcome {
        lease,
        root: merkle_root(&hashes),
        totals: JobTotals::of(&leaves).unwrap(),
        price,
        approvers: vec![g.next(), g.next()],
        settled,
        planted,
        ..g.next()
    };
    let events = [g.next(), Event::SegmentApproved(outcome.clone()), g.next(), g.next()];
    let event_hashes: Vec<Digest> = events.iter().map(Event::hash).collect();
    let mut chain_of_headers = vec![Header { chain, receipts_root: Event::root(&events), height: 41, ..g.next() }];
    while chain_of_headers.len() < headers {
        let parent = chain_of_headers.last().unwrap().digest();
        chain_of_headers.push(Header { chain, parent, ..g.next() });
    }
    let certificate = group.certify(chain, chain_of_headers.last().unwrap().digest(), 1, 300, 299);
    let receipt = Receipt {
        job: leaves[2].clone(),
        job_path: merkle_path(&hashes, 2).unwrap(),
        outcome,
        outcome_path: merkle_path(&event_hashes, 1).unwrap(),
        headers: chain_of_headers,
        certificate,
    };
    let key = NetworkKey { chain, group: group.public };
    Story { group, key, receipt }
}

fn verify(bytes: &[u8], key: &NetworkKey) -> Result<ReceiptFacts, InvalidReceipt> {
    Receipt::from_bytes(bytes)?.verify(key)
}

#[test]
fn receipt_shows_what_was_committed() {
    for (headers, settled, status) in [(1, false, ReceiptStatus::Final), (4, true, ReceiptStatus::Settled)] {
        let Story { key, receipt, .. } = story(headers, settled);
        let facts = verify(&encode(&receipt), &key).unwrap();
        assert_eq!(facts.status, status);
        assert_eq!((&facts.job, &facts.outcome), (&receipt.job, &receipt.outcome));
        assert_eq!(facts.fee, Amount::from_nano(7 * 10 + 3 * 20));
        let header = &receipt.headers[0];
        assert_eq!((facts.chain, facts.height, facts.block), (key.chain, 41, header.digest()));
        assert_eq!(facts.timestamp_ms, header.timestamp_ms);
    }
}

/// Every byte counts: no single change of any byte leaves a receipt that verifies.
#[test]
fn receipt_with_any_byte_changed_is_refused() {
    for headers in [1, 3] {
        let Story { key, receipt, .. } = story(headers, false);
        let bytes = encode(&receipt);
        assert!(verify(&bytes, &key).is_ok());
        for index in 0..bytes.len() {
            for change in [bytes[index] ^ 1, bytes[index] ^ 0x80, bytes[index].wrapping_add(1)] {
                let mut changed = bytes.clone();
                changed[index] = change;
                assert!(verify(&changed, &key).is_err(), "byte {index} of {}", bytes.len());
            }
        }
    }
}

/// SPEC V5: the receipt is of the third job. One beside it, or none, may be planted.
#[test]
fn planted_job_has_no_receipt() {
    for (planted, expected) in [(None, true), (Some(1), true), (Some(2), false), (Some(3), true)] {
        let Story { key, receipt, .. } = story_with(1, true, planted);
        let found = verify(&encode(&receipt), &key);
        match expected {
            true => assert!(found.is_ok(), "{planted:?}"),
            false => assert_eq!(found, Err(InvalidReceipt::Planted)),
        }
    }
}

#[test]
fn receipt_cut_or_extended_is_refused() {
    let Story { key, receipt, .. } = story(2, true);
    let bytes = encode(&receipt);
    for size in 0..bytes.len() {
        assert!(matches!(verify(&bytes[..size], &key), Err(InvalidReceipt::Encoding { .. })));
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(matches!(verify(&longer, &key), Err(InvalidReceipt::Encoding { .. })));
}

#[test]
fn receipt_has_its_largest_size() {
    let Story { receipt, .. } = story(1, false);
    let with_approvers = |count: usize| {
        let mut receipt = receipt.clone();
        receipt.outcome.approvers = vec![PublicKey::from_bytes([1; 32]); count];
        encode(&receipt)
    };
    let fitting = (limits::RECEIPT_SIZE_MAX - with_approvers(0).len()) / 32;
    assert!(Receipt::from_bytes(&with_approvers(fitting)).is_ok());
    let refused = Receipt::from_bytes(&with_approvers(fitting + 1));
    assert_eq!(refused, Err(InvalidReceipt::Encoding { reason: "too large".into() }));
}

/// Each check has its own refusal, whatever else is sound.
#[test]
fn every_lie_has_its_name() {
    let refusal = |headers: usize, edit: &dyn Fn(&mut Story)| {
        let mut story = story(headers, false);
        edit(&mut story);
        story.receipt.verify(&story.key).unwrap_err()
    };
    let job = refusal(1, &|story| story.receipt.job.result.usage.completion_tokens = 10);
    assert_eq!(job, InvalidReceipt::Job);
    let job = refusal(1, &|story| story.receipt.job.request.attempt ^= 1);
    assert_eq!(job, InvalidReceipt::Job);
    let lease = refusal(1, &|story| story.receipt.outcome.lease = LeaseId::new(Digest::ZERO));
    assert_eq!(lease, InvalidReceipt::Lease);
    let path = refusal(1, &|story| story.receipt.job_path.index = 3);
    assert_eq!(path, InvalidReceipt::JobPath);
    let path = refusal(1, &|story| story.receipt.job.result.output_commitment = Digest::ZERO);
    assert_eq!(path, InvalidReceipt::JobPath);
    let path = refusal(1, &|story| story.receipt.outcome.settled = true);
    assert_eq!(path, InvalidReceipt::SegmentPath);
    let path = refusal(1, &|story| story.receipt.outcome.approvers.push(PublicKey::from_bytes([3; 32])));
    assert_eq!(path, InvalidReceipt::SegmentPath);
    let headers = refusal(1, &|story| story.receipt.headers.clear());
    assert_eq!(headers, InvalidReceipt::Headers { index: 0 });
    let headers = refusal(4, &|story| story.receipt.headers[2].parent = Digest::ZERO);
    assert_eq!(headers, InvalidReceipt::Headers { index: 1 });
    let headers = refusal(3, &|story| story.receipt.headers.swap(1, 2));
    assert_eq!(headers, InvalidReceipt::Headers { index: 0 });
    let chain = refusal(1, &|story| story.key.chain = ChainId::new(Digest::ZERO));
    assert!(matches!(chain, InvalidReceipt::Chain { .. }), "{chain}");
    let signature = InvalidReceipt::Certificate(InvalidCertificate::Signature);
    assert_eq!(refusal(1, &|story| story.key.group = Group::new(2).public), signature);
    assert_eq!(refusal(2, &|story| story.receipt.certificate.view += 1), signature);
    assert_eq!(refusal(2, &|story| story.receipt.headers.truncate(1)), signature);
    assert_eq!(refusal(1, &|story| story.receipt.headers[0].receipts_root = Digest::ZERO), signature);
}

/// A fee that no number holds is a lie too: such an outcome is never certified.
#[test]
fn fee_out_of_range_is_refused() {
    let Story { group, mut key, mut receipt } = story(1, false);
    receipt.outcome.price.prompt_token = Amount::from_nano(u64::MAX);
    let event = Event::SegmentApproved(receipt.outcome.clone());
    receipt.headers[0].receipts_root = Event::root(std::slice::from_ref(&event));
    receipt.outcome_path = merkle_path(&[event.hash()], 0).unwrap();
    key.group = group.public;
    receipt.certificate = group.certify(key.chain, receipt.headers[0].digest(), 1, 300, 299);
    assert_eq!(receipt.verify(&key), Err(InvalidReceipt::Job));
}

#[test]
fn headers_up_to_the_certified_one_have_their_number() {
    for (headers, accepted) in [(limits::RECEIPT_HEADERS_MAX, true), (limits::RECEIPT_HEADERS_MAX + 1, false)] {
        let Story { key, receipt, .. } = story(headers, false);
        let verified = receipt.verify(&key).map(|_| ());
        let refused = Err(InvalidReceipt::Headers { index: limits::RECEIPT_HEADERS_MAX });
        assert_eq!(verified, if accepted { Ok(()) } else { refused });
    }
}

/// Another event of the same block is not the outcome, though it is under the same root.
#[test]
fn rejected_segment_has_no_receipt() {
    let Story { group, key, mut receipt } = story(1, false);
    let rejection = Event::SegmentRejected {
        segment: receipt.outcome.segment,
        lease: receipt.outcome.lease,
        worker: receipt.outcome.worker,
        gateway: receipt.outcome.gateway,
        reason: RejectReason::Unresolved,
    };
    receipt.headers[0].receipts_root = Event::root(std::slice::from_ref(&rejection));
    receipt.outcome_path = merkle_path(&[rejection.hash()], 0).unwrap();
    receipt.certificate = group.certify(key.chain, receipt.headers[0].digest(), 1, 300, 299);
    assert_eq!(receipt.verify(&key), Err(InvalidReceipt::SegmentPath));
}
