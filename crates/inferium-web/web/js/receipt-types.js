// What a receipt holds, field by field in the order of `inferium-types`; one place for all of it.

import { bool, bytes, list, option, ppm, struct, u32, u64, u8, unit } from "./borsh.js";

const digest = bytes(32);

export const FinishReason = unit("end_of_text", "stop_string", "length", "cancelled");

const Usage = struct({ prompt_tokens: u32, completion_tokens: u32 });

export const JobRequest = struct({
  job: digest,
  lease: digest,
  sequence: u64,
  attempt: u8,
  input_commitment: digest,
  prompt_tokens: u32,
  tokens_max: u32,
  sampling: struct({ temperature_micro: u32, top_p_ppm: u32, top_k: u32 }),
  client_seed: option(u64),
});

const JobResult = struct({
  request: digest,
  output_commitment: digest,
  evidence_root: digest,
  usage: Usage,
  finish: FinishReason,
});

export const JobLeaf = struct({ request: JobRequest, result: JobResult });

const MerklePath = struct({ index: u64, count: u64, siblings: list(digest) });

export const SegmentOutcome = struct({
  segment: digest,
  lease: digest,
  worker: digest,
  gateway: digest,
  profile: digest,
  root: digest,
  totals: struct({ jobs: u32, prompt_tokens: u64, completion_tokens: u64 }),
  price: struct({ prompt_token: u64, completion_token: u64 }),
  fee: u64,
  approvers: list(digest),
  replayed: ppm,
  planted: option(u32),
  to_worker: u64,
  to_each_approver: u64,
  settled: bool,
});

export const Header = struct({
  chain: digest,
  height: u64,
  timestamp_ms: u64,
  parent: digest,
  state_root: digest,
  receipts_root: digest,
  body_root: digest,
  epoch: u64,
  view: u64,
  parent_view: u64,
  proposer: digest,
  operations_root: digest,
  operations_start: u64,
  operations_end: u64,
});

const Certificate = struct({ epoch: u64, view: u64, parent_view: u64, signature: bytes(48) });

export const Receipt = struct({
  job: JobLeaf,
  job_path: MerklePath,
  outcome: SegmentOutcome,
  outcome_path: MerklePath,
  headers: list(Header),
  certificate: Certificate,
});
