//! Two requests for one sequence, under a gateway's signatures: SPEC S.

use super::slashing::slashes;
use super::stalls::{request, result};
use super::support::*;
use crate::Rejection;
use inferium_types::{
    Amount, Digest, JobLeaf, JobRequest, LeaseId, RequestProof, SegmentId, SegmentTerms, SlashRule, TransactionBody,
    limits, merkle_path, merkle_root,
};

/// What `name` signs for segment `index` of `lease`: this request, and another leaf.
fn proof_of(name: &str, index: u32, request: JobRequest) -> RequestProof {
    let (lease, result) = (request.lease, result(&request));
    let leaf = JobLeaf { request, result };
    let leaves = [leaf.hash(), Digest::sha256(b"another leaf")];
    let terms = SegmentTerms { lease, index, totals: totals(2, 10, 10), root: merkle_root(&leaves) };
    let path = merkle_path(&leaves, 0).unwrap();
    RequestProof { terms, gateway_signature: terms.sign_as_gateway(&key(name)), leaf, path }
}

/// The same of a request for `sequence` that `salt` tells from others.
pub(super) fn asked(name: &str, lease: LeaseId, index: u32, sequence: u64, salt: u8) -> RequestProof {
    proof_of(name, index, JobRequest { input_commitment: Digest::from([salt; 32]), ..request(lease, sequence) })
}

pub(super) fn accuse(gateway: &str, first: &RequestProof, second: &RequestProof) -> TransactionBody {
    TransactionBody::ProveDoubleRequest { gateway: id(gateway), first: first.clone(), second: second.clone() }
}

const UNSIGNED: Rejection =
    Rejection::Evidence { why: "a leaf is not in a segment of its lease that the gateway signed" };
const SEQUENCES: Rejection = Rejection::Evidence { why: "the sequences differ" };
const EQUAL: Rejection = Rejection::Evidence { why: "the requests are equal" };

/// 100 % and for ever, proven by anyone; the lease's worker was harmed, by no more than the escrow.
#[test]
fn gateway_with_two_requests_for_one_sequence_loses_its_bond() {
    // In two segments, and in one.
    for index in [1, 0] {
        let mut chain = Chain::ready(1);
        let lease = chain.lease();
        let (stake, escrow) = (chain.stake("g0"), chain.state.lease(&lease).unwrap().escrow);
        let (first, second) = (asked("g0", lease, 0, 7, 1), asked("g0", lease, index, 7, 2));
        chain.ok("x0", accuse("g0", &first, &second));
        assert_eq!(chain.stake("g0"), 0);
        let slash = slashes(&chain).pop().unwrap();
        assert_eq!(
            (slash.rule, slash.amount.nano(), slash.role.as_str()),
            (SlashRule::DoubleRequest, stake, "gateway")
        );
        assert_eq!((slash.disqualified, slash.segment), (true, Some(SegmentId::of_lease(lease, 0))));
        assert_eq!(slash.job, Some(first.leaf.request.job));
        let (_, hold) = chain.state.holds().last().unwrap();
        assert_eq!((hold.provers.as_slice(), hold.harmed, hold.harm), ([id("x0")].as_slice(), Some(id("w0")), escrow));
        assert!(chain.state.operator(&id(&operator_of("g0"))).unwrap().barred);
        // Once: everything is gone, and so is the right to come back.
        chain.fails("x1", accuse("g0", &first, &second), &Rejection::Disqualified);
        chain.fails("g0", TransactionBody::OpenTask { terms: task_terms() }, &Rejection::Disqualified);
    }
}

/// Any difference makes another request, the attempt too: in a lease a sequence names one for ever (SPEC J1). A lease
/// that is gone harmed no one that is known.
#[test]
fn any_difference_between_the_requests_is_proof() {
    let chain = Chain::ready(1);
    let lease = LeaseId::new(Digest::ZERO);
    let last = JobRequest { sequence: limits::SEQUENCE_MAX, ..request(lease, 0) };
    for other in [
        JobRequest { attempt: 1, ..last.clone() },
        JobRequest { tokens_max: 11, ..last.clone() },
        JobRequest { client_seed: Some(0), ..last.clone() },
        JobRequest { job: request(lease, 9).job, ..last.clone() },
    ] {
        let mut chain = chain.clone();
        chain.ok("w0", accuse("g0", &proof_of("g0", 4, last.clone()), &proof_of("g0", 4, other)));
        assert_eq!(chain.state.holds().last().unwrap().1.harmed, None);
        assert_eq!(chain.stake("g0"), 0);
    }
}

/// What an honest gateway signs is no crime: one job, signed for again in another segment, the next sequence, the same
/// sequence of another lease, a second attempt elsewhere.
#[test]
fn honest_signatures_prove_nothing() {
    let mut chain = Chain::ready(1);
    let (lease, other) = (chain.lease(), LeaseId::new(Digest::ZERO));
    let first = asked("g0", lease, 0, 7, 1);
    chain.fails("x0", accuse("g0", &first, &first), &EQUAL);
    chain.fails("x0", accuse("g0", &first, &asked("g0", lease, 1, 7, 1)), &EQUAL);
    for sequence in [6, 8] {
        chain.fails("x0", accuse("g0", &first, &asked("g0", lease, 1, sequence, 2)), &SEQUENCES);
    }
    chain.fails("x0", accuse("g0", &first, &asked("g0", other, 0, 7, 2)), &SEQUENCES);
    let retried = JobRequest { lease: other, attempt: 1, ..first.leaf.request };
    chain.fails("x0", accuse("g0", &first, &proof_of("g0", 0, retried)), &SEQUENCES);
    // Another result over the same request is the worker's, not the gateway's (SPEC S).
    let mut result = first.clone();
    result.leaf.result.evidence_root = Digest::sha256(b"other evidence");
    let leaves = [result.leaf.hash()];
    result.terms.root = merkle_root(&leaves);
    result.path = merkle_path(&leaves, 0).unwrap();
    result.gateway_signature = result.terms.sign_as_gateway(&key("g0"));
    chain.fails("x0", accuse("g0", &first, &result), &EQUAL);
    assert_eq!(chain.state.holds().count(), 0);
}

/// Nobody but the gateway can make it: not the worker, nor another gateway, nor with another path or leaf.
#[test]
fn evidence_is_what_this_gateway_signed() {
    let mut chain = Chain::ready(1);
    chain.register("g1", gateway_role(), Amount::from_ifr(1_000));
    let lease = chain.lease();
    let (first, second) = (asked("g0", lease, 0, 7, 1), asked("g0", lease, 1, 7, 2));
    let mut bad = Vec::new();
    for name in ["g1", "w0"] {
        bad.push(asked(name, lease, 1, 7, 2));
    }
    let changed = |change: &dyn Fn(&mut RequestProof)| {
        let mut proof = second.clone();
        change(&mut proof);
        proof
    };
    bad.push(changed(&|proof| proof.gateway_signature = proof.terms.sign_as_worker(&key("g0"))));
    bad.push(changed(&|proof| proof.gateway_signature = first.gateway_signature));
    bad.push(changed(&|proof| proof.path.index = 1));
    bad.push(changed(&|proof| proof.path.count = 3));
    bad.push(changed(&|proof| proof.path.siblings.clear()));
    bad.push(changed(&|proof| proof.leaf.request.tokens_max += 1));
    bad.push(changed(&|proof| proof.terms.index = 2));
    // A leaf of another lease in a segment of this one is no request that this lease numbers.
    let mut foreign = asked("g0", LeaseId::new(Digest::ZERO), 1, 7, 2);
    foreign.terms.lease = lease;
    foreign.gateway_signature = foreign.terms.sign_as_gateway(&key("g0"));
    bad.push(foreign);
    for proof in &bad {
        chain.fails("x0", accuse("g0", &first, proof), &UNSIGNED);
        chain.fails("x0", accuse("g0", proof, &first), &UNSIGNED);
    }
    chain.fails("x0", accuse("g1", &first, &second), &UNSIGNED);
    for stranger in ["w0", "v0", "x5"] {
        chain.fails("x0", accuse(stranger, &first, &second), &Rejection::Unknown { what: "gateway" });
    }
    chain.ok("x0", accuse("g0", &first, &second));
}
