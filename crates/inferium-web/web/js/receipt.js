// Checks a receipt as `inferium receipt verify` does: from the job to the validators' group key, with
// nothing but the network key. No server is asked, and none is believed.
//
//   job ── path ──► segment ── outcome, path ──► block ── parents ──► certified block ◄── group key

import { bls12_381 } from "../vendor/noble-curves/bls12-381.js";
import { sha256 } from "../vendor/noble-hashes/sha2.js";
import { InvalidEncoding, decode } from "./borsh.js";
import { bigEndian, concat, equal, fromHex, toHex, utf8, varint } from "./bytes.js";
import { parseExact } from "./json.js";
import { JobLeaf, JobRequest, Receipt, SegmentOutcome } from "./receipt-types.js";

/** Bytes of one receipt. */
const RECEIPT_SIZE_MAX = 64 * 1024;
/** Headers between a receipt's block and the certified one. */
const HEADERS_MAX = 64;
/** Levels of a Merkle path. */
const DEPTH_MAX = 32;
/** The version of a header's layout. */
const HEADER_VERSION = 1;
/** `SegmentApproved` among a block's events. */
const SEGMENT_APPROVED = 14;
const U64_MAX = (1n << 64n) - 1n;
const SIGNATURE_DOMAIN = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";

/** @typedef {{ chain: Uint8Array, group: Uint8Array }} NetworkKey */
/** @typedef {ReturnType<typeof Receipt.read>} ReceiptValue */
/** @typedef {{ name: string, title: string, detail: string }} Check */
/** @typedef {{ valid: boolean, checks: Check[], failed: { check: string, reason: string } | null, document: Record<string, any> | null }} Verdict */

/** A receipt that proves nothing. */
export class InvalidReceipt extends Error {
  /** @param {string} check @param {string} reason */
  constructor(check, reason) {
    super(`${check}: ${reason}`);
    this.check = check;
    this.reason = reason;
  }
}

/**
 * Reads `inferium:<chain id>:<group key>`.
 * @param {string} text
 * @returns {NetworkKey}
 */
export function parseNetworkKey(text) {
  const parts = text.trim().split(":");
  const chain = fromHex(parts[1] ?? "");
  const group = fromHex(parts[2] ?? "");
  if (parts.length !== 3 || parts[0] !== "inferium" || chain?.length !== 32 || group?.length !== 96) {
    throw new InvalidReceipt("network key", "expected inferium:<64 hex digits>:<192 hex digits>");
  }
  return { chain, group };
}

/**
 * SHA-256 over a domain and parts, each with its length before it.
 * @param {string} domain
 * @param {...Uint8Array} parts
 */
export function digestOf(domain, ...parts) {
  const all = [utf8(domain), ...parts].flatMap((part) => [bigEndian(part.length, 4), part]);
  return sha256(concat(...all));
}

/** @param {Uint8Array} bytes */
const leafHash = (bytes) => sha256(concat(Uint8Array.of(0), bytes));
/** @param {Uint8Array} left @param {Uint8Array} right */
const nodeHash = (left, right) => sha256(concat(Uint8Array.of(1), left, right));

/**
 * The root that a path gives for a leaf; null when the path's shape is wrong.
 * @param {ReceiptValue["job_path"]} path
 * @param {Uint8Array} leaf
 */
export function pathRoot(path, leaf) {
  if (path.index >= path.count || path.siblings.length > DEPTH_MAX) return null;
  let { index, count } = path;
  let hash = leaf;
  let used = 0;
  while (count > 1n) {
    if ((index ^ 1n) < count) {
      const sibling = path.siblings[used];
      if (sibling === undefined) return null;
      used += 1;
      hash = index % 2n === 0n ? nodeHash(hash, sibling) : nodeHash(sibling, hash);
    }
    index /= 2n;
    count = (count + 1n) / 2n;
  }
  return used === path.siblings.length ? sha256(concat(Uint8Array.of(2), bigEndian(path.count, 8), hash)) : null;
}

/**
 * A block's digest: SHA-256 of its header's fixed layout.
 * @param {ReceiptValue["headers"][number]} header
 */
export function headerDigest(header) {
  return sha256(concat(
    bigEndian(HEADER_VERSION, 4), header.chain, bigEndian(header.height, 8), bigEndian(header.timestamp_ms, 8),
    header.parent, header.state_root, header.receipts_root, header.body_root,
    bigEndian(header.epoch, 8), bigEndian(header.view, 8), bigEndian(header.parent_view, 8),
    header.proposer, header.operations_root, bigEndian(header.operations_start, 8), bigEndian(header.operations_end, 8),
  ));
}

/**
 * Checks the group's signature over a block: one pairing.
 * @param {ReceiptValue["certificate"]} certificate
 * @param {NetworkKey} key
 * @param {Uint8Array} block
 */
function isCertified(certificate, key, block) {
  const namespace = concat(utf8("inferium/"), key.chain, utf8("_FINALIZE"));
  const message = concat(varint(certificate.epoch), varint(certificate.view), varint(certificate.parent_view), block);
  const signed = concat(varint(namespace.length), namespace, message);
  const { shortSignatures } = bls12_381;
  try {
    return shortSignatures.verify(certificate.signature, shortSignatures.hash(signed, SIGNATURE_DOMAIN), key.group);
  } catch {
    // Bytes that are no point of the group.
    return false;
  }
}

/** @param {ReceiptValue["job"]} job */
function checkJob({ request, result }) {
  const isConsistent = equal(result.request, digestOf("inferium/request/1", JobRequest.write(request)))
    && result.usage.prompt_tokens === request.prompt_tokens
    && result.usage.completion_tokens <= request.tokens_max
    && (result.finish !== "length" || result.usage.completion_tokens === request.tokens_max);
  if (!isConsistent) throw new InvalidReceipt("job", "the result does not answer the request");
}

/** @param {ReceiptValue} receipt */
function checkSegment({ job, job_path, outcome }) {
  if (!equal(job.request.lease, outcome.lease)) {
    throw new InvalidReceipt("lease", "the job belongs to another lease than the segment");
  }
  const root = pathRoot(job_path, leafHash(JobLeaf.write(job)));
  if (root === null || !equal(root, outcome.root)) throw new InvalidReceipt("job path", "the job is not in the segment");
  if (outcome.planted !== null && BigInt(outcome.planted) === job_path.index) {
    throw new InvalidReceipt("job", "the worker planted it to test the committee; it answers nobody");
  }
}

/** @param {ReceiptValue} receipt @param {NetworkKey} key */
function checkHeaders({ headers, certificate }, key) {
  const first = headers[0];
  if (first === undefined) throw new InvalidReceipt("headers", "there is none");
  if (headers.length > HEADERS_MAX) throw new InvalidReceipt("headers", "there are too many");
  const digests = headers.map(headerDigest);
  headers.slice(1).forEach((header, index) => {
    const parent = digests[index];
    if (parent === undefined || !equal(header.parent, parent)) {
      throw new InvalidReceipt("headers", `header ${index} is not the parent of the next one`);
    }
  });
  if (!equal(first.chain, key.chain)) {
    throw new InvalidReceipt("chain", `expected ${toHex(key.chain)}, found ${toHex(first.chain)}`);
  }
  const [block, certified] = [digests[0], digests[digests.length - 1]];
  if (block === undefined || certified === undefined || !isCertified(certificate, key, certified)) {
    throw new InvalidReceipt("certificate", "the group key did not sign this block");
  }
  return { header: first, block };
}

/** What a job costs. @param {ReceiptValue} receipt */
function feeOf({ job, outcome }) {
  const prompt = outcome.price.prompt_token * BigInt(job.result.usage.prompt_tokens);
  const completion = outcome.price.completion_token * BigInt(job.result.usage.completion_tokens);
  if (prompt > U64_MAX || completion > U64_MAX || prompt + completion > U64_MAX) {
    throw new InvalidReceipt("job", "the result does not answer the request");
  }
  return prompt + completion;
}

/**
 * The document that a receipt stands for; every field of a file must say the same.
 * @param {ReceiptValue} receipt
 * @param {{ header: ReceiptValue["headers"][number], block: Uint8Array, fee: bigint, proof: string }} facts
 */
function documentOf({ job, outcome }, { header, block, fee, proof }) {
  return {
    object: "inferium.receipt",
    version: 1n,
    status: outcome.settled ? "settled" : "final",
    job: toHex(job.request.job),
    attempt: BigInt(job.request.attempt),
    lease: toHex(outcome.lease),
    segment: toHex(outcome.segment),
    model_profile: toHex(outcome.profile),
    worker: toHex(outcome.worker),
    gateway: toHex(outcome.gateway),
    input_commitment: toHex(job.request.input_commitment),
    output_commitment: toHex(job.result.output_commitment),
    evidence_root: toHex(job.result.evidence_root),
    usage: {
      prompt_tokens: BigInt(job.result.usage.prompt_tokens),
      completion_tokens: BigInt(job.result.usage.completion_tokens),
    },
    finish: job.result.finish,
    fee_nano: fee,
    approved_by: outcome.approvers.map(toHex),
    replayed_ppm: BigInt(outcome.replayed),
    chain: toHex(header.chain),
    height: header.height,
    timestamp_ms: header.timestamp_ms,
    block: toHex(block),
    proof,
  };
}

/** @param {any} left @param {any} right @returns {boolean} */
function same(left, right) {
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) return left === right;
  if (Array.isArray(left) !== Array.isArray(right)) return false;
  const [names, others] = [Object.keys(left), Object.keys(right)];
  return names.length === others.length && names.every((name) => Object.hasOwn(right, name) && same(left[name], right[name]));
}

/** @param {Record<string, any>} found */
function readProof(found) {
  const hex = typeof found?.["proof"] === "string" ? found["proof"] : null;
  const bytes = hex === null ? null : fromHex(hex);
  if (hex === null || bytes === null) throw new InvalidReceipt("proof", "the field `proof` is missing or not lower-case hex");
  if (bytes.length > RECEIPT_SIZE_MAX) throw new InvalidReceipt("encoding", "too large");
  try {
    const receipt = decode(Receipt, bytes);
    if (!equal(Receipt.write(receipt), bytes)) throw new InvalidEncoding("not canonical");
    return { receipt, proof: toHex(bytes) };
  } catch (error) {
    throw new InvalidReceipt("encoding", error instanceof Error ? error.message : String(error));
  }
}

/** @param {Record<string, any>} expected @param {any} found */
function checkDocument(expected, found) {
  if (same(expected, found)) return;
  const changed = Object.keys(expected).find((name) => !Object.hasOwn(found, name) || !same(expected[name], found[name]));
  const added = Object.keys(found).find((name) => !Object.hasOwn(expected, name));
  throw new InvalidReceipt("document", `field \`${changed ?? added}\` does not say what the proof says`);
}

/**
 * Checks a receipt's file; never throws. `checks` holds what held, in order.
 * @param {string | Uint8Array} file
 * @param {NetworkKey} key
 * @returns {Verdict}
 */
export function verifyReceipt(file, key) {
  /** @type {Check[]} */
  const checks = [];
  /** @param {string} name @param {string} title @param {string} detail */
  const held = (name, title, detail) => checks.push({ name, title, detail });
  try {
    let found;
    try {
      const text = typeof file === "string" ? file : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(file);
      found = parseExact(text);
    } catch (error) {
      throw new InvalidReceipt("json", error instanceof Error ? error.message : "not UTF-8");
    }
    const { receipt, proof } = readProof(found);
    const { job, outcome } = receipt;
    held("encoding", "The proof is one canonical receipt", `${proof.length / 2} bytes`);
    checkJob(job);
    held("job", "The result answers the request", `request ${toHex(job.result.request)}`);
    checkSegment(receipt);
    held("segment", "The job is in the segment that both sides signed", `place ${placeOf(receipt)} under root ${toHex(outcome.root)}`);
    const { header, block } = checkHeaders(receipt, key);
    held("certificate", "The validators' group key certified the block", `BLS12-381, block ${header.height}, ${receipt.headers.length - 1} headers to the certificate`);
    const leaf = leafHash(concat(Uint8Array.of(SEGMENT_APPROVED), SegmentOutcome.write(outcome)));
    const root = pathRoot(receipt.outcome_path, leaf);
    if (root === null || !equal(root, header.receipts_root)) {
      throw new InvalidReceipt("segment path", "the segment's outcome is not under the block's receipts root");
    }
    held("outcome", "The block holds the committee's approval", `${outcome.approvers.length} validators replayed ${outcome.replayed / 10_000} % of its jobs`);
    const expected = documentOf(receipt, { header, block, fee: feeOf(receipt), proof });
    checkDocument(expected, found);
    held("document", "Every field says what the proof says", `${Object.keys(expected).length} fields`);
    return { valid: true, checks, failed: null, document: expected };
  } catch (error) {
    const failed = error instanceof InvalidReceipt ? { check: error.check, reason: error.reason } : { check: "receipt", reason: String(error) };
    return { valid: false, checks, failed, document: null };
  }
}

/** @param {ReceiptValue} receipt */
const placeOf = ({ job_path }) => `${job_path.index + 1n} of ${job_path.count}`;
