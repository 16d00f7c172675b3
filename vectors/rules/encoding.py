"""The canonical bytes of what is named or proven by its hash: little-endian integers, lists and
texts after their length, a byte for which variant it is."""

from __future__ import annotations

import hashlib

from .state import Entry, digest

COMMITTED = ["whole", "tensors", "tokens", "logits", "vectors"]
FINISHES = ["end_of_text", "stop_string", "length", "cancelled"]
FAULTS = [
    "leaf", "prompt", "text", "finish", "token", "logits", "windows", "gross_tokens", "gross_sketches", "embedding",
    "score", "run", "model_call", "board", "interval", "classification", "proof",
]
DEPTH_MAX = 32
# L2: a hash over the ids of the suites that boards are folded of.
FOLDED_SUITES = "875e8f758d3a0869cb9567681c4f3b7cf97257964a1bb225b7da84c2af322a19"


def _le(number: int, size: int) -> bytes:
    return number.to_bytes(size, "little")


def _text(value: str) -> bytes:
    raw = value.encode()
    return _le(len(raw), 4) + raw


def _engine(engine: Entry) -> bytes:
    if engine["kind"] == "canonical":
        return b"\0" + bytes.fromhex(engine["build"]) + _text(engine["tier"])
    if engine["kind"] == "foreign":
        bounds = engine["bounds"]
        numbers = [bounds["drift"], bounds["margin_micro"], bounds["outside"]]
        return b"\2" + bytes.fromhex(engine["verifier"]) + b"".join(_le(number, 4) for number in numbers)
    limits = engine["calibration"]
    alternatives = limits["alternatives"]
    return b"\1" + b"".join([
        bytes.fromhex(engine["verifier"]), bytes.fromhex(limits["corpus"]), _le(limits["positions"], 8),
        _shares(limits["flips"]), _le(len(alternatives), 4), *map(_shares, alternatives),
        _le(limits["bad_margin_micro"], 8), _shares([limits["bad"], limits["bad_correlation"]]),
        _le(limits["logprob_clip_micro"], 8), _le(limits["logprob_mean"], 4), _le(limits["sketch_clip_micro"], 8),
        _le(limits["sketch_mean"], 4), _le(limits["sketch_gross_micro"], 8),
    ])


def _shares(shares: list[int]) -> bytes:
    return b"".join(_le(share, 4) for share in shares)


def _task(task: Entry) -> bytes:
    if task["kind"] == "embed":
        return b"\1" + _le(task["width"], 4)
    if task["kind"] == "classify":
        reads = task["reads"]
        bounds = [reads[name].to_bytes(2, "little", signed=True) for name in ("least", "most") if name in reads]
        tensors = b"\1" + _le(reads["elements"], 4) + b"".join(bounds) if bounds else b"\0"
        return b"\5" + tensors + _le(task["classes"], 4)
    if task["kind"] == "prove_private":
        return b"\7" + _le(task["openings"], 4)
    return {"chat": b"\0", "host": b"\2", "fold": b"\3", "train": b"\4", "prove": b"\6"}[task["kind"]]


def profile_id(profile: Entry) -> str:
    hashes = b"".join(bytes.fromhex(profile[name]) for name in ("weights_root", "tokenizer_hash", "template_hash"))
    engine = _engine(profile["engine"])
    tokens = _le(len(profile["eos_tokens"]), 4) + b"".join(_le(token, 4) for token in profile["eos_tokens"])
    raw = _text(profile["name"]) + _task(profile["task"]) + hashes + engine + _le(profile["sampler_version"], 2) + tokens
    return digest("inferium/profile/1", raw)


def request_bytes(request: Entry) -> bytes:
    sampling, seed = request["sampling"], request["client_seed"]
    return b"".join([
        bytes.fromhex(request["job"]), bytes.fromhex(request["lease"]), _le(request["sequence"], 8),
        _le(request["attempt"], 1), bytes.fromhex(request["input_commitment"]), _le(request["prompt_tokens"], 4),
        _le(request["tokens_max"], 4), _le(sampling["temperature_micro"], 4), _le(sampling["top_p_ppm"], 4),
        _le(sampling["top_k"], 4), b"\0" if seed is None else b"\1" + _le(seed, 8),
    ])


def request_digest(request: Entry) -> str:
    return digest("inferium/request/1", request_bytes(request))


def result_bytes(result: Entry) -> bytes:
    usage = result["usage"]
    return b"".join([
        bytes.fromhex(result["request"]), bytes.fromhex(result["output_commitment"]),
        bytes.fromhex(result["evidence_root"]), _le(usage["prompt_tokens"], 4), _le(usage["completion_tokens"], 4),
        _le(FINISHES.index(result["finish"]), 1),
    ])


def vote_bytes(vote: Entry) -> bytes:
    """A verdict, as a commitment hides it."""
    if vote["kind"] == "valid":
        return b"\0" + bytes.fromhex(vote["effort"])
    if vote["kind"] == "invalid":
        return b"\1" + _le(vote["job"], 4) + _le(FAULTS.index(vote["fault"]), 1)
    if vote["kind"] == "measured":
        return b"\3" + bytes.fromhex(vote["effort"]) + _statistics_bytes(vote["statistics"])
    return b"\2"


def _statistics_bytes(measured: Entry) -> bytes:
    kinds = b"".join(_le(kind["positions"], 4) + _le(kind["flips"], 4) for kind in measured["kinds"])
    sums = b"".join(_sum_bytes(measured[name]) for name in ("logprobs", "sketches"))
    surprisal = measured["surprisal_micro"].to_bytes(8, "little", signed=True)
    draws = measured["draws"]
    of_draws = _le(draws["positions"], 4) + _le(draws["outside"], 4) + _bets(draws["bets"])
    return kinds + _le(measured["bad"], 4) + sums + surprisal + _le(measured["variance_micro"], 8) + of_draws


def _sum_bytes(measured: Entry) -> bytes:
    return _le(measured["count"], 4) + _le(measured["sum_ppm"], 8) + _bets(measured["bets"])


def _bets(bets: list[int]) -> bytes:
    return b"".join(bet.to_bytes(8, "little", signed=True) for bet in bets)


def lease_id(task: str) -> str:
    return digest("inferium/lease/1", task)


def segment_id(lease: str, index: int) -> str:
    return digest("inferium/segment/1", lease, index.to_bytes(4, "big"))


def stall_id(lease: str, sequence: int) -> str:
    return digest("inferium/stall/1", lease, sequence.to_bytes(8, "big"))


def _sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def agent_id(creator: str, name: str) -> str:
    return digest("inferium/agent/1", creator, name.encode())


def agent_account(agent: str) -> str:
    return digest("inferium/agent-account/1", agent)


def version_of(terms: Entry) -> str:
    """A1: what a run is and costs."""
    limits = terms["limits"]
    numbers = [
        _le(terms["price"], 8), _le(limits["steps"], 4), _le(limits["tokens"], 8), _le(limits["tool_calls"], 4),
        _le(limits["run_ms"], 8),
    ]
    return digest("inferium/agent-version/1", bytes.fromhex(terms["manifest"] + terms["model"]) + b"".join(numbers))


def hosts_id() -> str:
    """A2: the one profile of hosts."""
    return profile_id(hosts())


def hosts() -> Entry:
    return _of_rules("agents", "host", digest("inferium/run-rules/2"))


def boards() -> Entry:
    """L2: the one profile of boards, whose build names the suites."""
    return _of_rules("boards", "fold", digest("inferium/board-rules/2", FOLDED_SUITES.encode()))


def trainer(build: str) -> Entry:
    """X3: the profile of training by an arithmetic, which its build names."""
    return _of_rules("training", "train", build)


def prover(key: str) -> Entry:
    """V10: the profile of proofs by a verifier's key, which its build names."""
    return _of_rules("proofs", "prove", key)


def private(name: str, key: str, openings: int) -> Entry:
    """V12: the profile of a classifier of private weights."""
    profile = _of_rules(name, "prove_private", key)
    return {**profile, "task": {"kind": "prove_private", "openings": openings}}


def _of_rules(name: str, does: str, build: str) -> Entry:
    nothing = "00" * 32
    return {
        "name": name, "task": {"kind": does}, "weights_root": nothing, "tokenizer_hash": nothing,
        "template_hash": nothing, "engine": {"kind": "canonical", "build": build, "tier": "any"},
        "sampler_version": 0, "eos_tokens": [],
    }


def _order_bytes(order: Entry) -> bytes:
    if order["kind"] == "pay":
        return b"\0" + bytes.fromhex(order["to"]) + _le(order["amount"], 8)
    run = order["run"]
    names = bytes.fromhex(run["agent"] + run["version"] + run["input"])
    return b"\1" + names + _le(run["open_ms"], 8)


def order_in_step(order: Entry, spend: Entry) -> bool:
    """A3: the order is the call of its step that the path says."""
    root = _root(_sha(b"\0", b"\2", _order_bytes(order)), spend["call_path"])
    return root is not None and root == spend["step"]["result"]["evidence_root"]


def is_consistent(leaf: Entry) -> bool:
    """A leaf whose result answers its request within its limits."""
    request, result = leaf["request"], leaf["result"]
    answered = result["usage"]["completion_tokens"]
    return all([
        result["request"] == request_digest(request), result["usage"]["prompt_tokens"] == request["prompt_tokens"],
        answered <= request["tokens_max"], result["finish"] != "length" or answered == request["tokens_max"],
    ])


def trace_digest(trace: Entry) -> str:
    """V11: what evidence holds of a run of integers."""
    numbers = _le(trace["length"], 4) + _le(trace["values"], 8)
    return digest("inferium/trace/1", bytes.fromhex(trace["before"]) + numbers + bytes.fromhex(trace["root"]))


def logits_digest(values: list[int]) -> str:
    raw = b"".join(value.to_bytes(4, "little", signed=True) for value in values)
    return digest("inferium/logits/1", _le(len(values), 4) + raw)


def vector_digest(bits: list[int]) -> str:
    return digest("inferium/embedding/1", _le(len(bits), 4) + b"".join(_le(value, 4) for value in bits))


def commitment(of: str, committed: Entry) -> str:
    """What a request or a result has of it (J1)."""
    kind = COMMITTED.index(committed["kind"])
    return digest(f"inferium/{of}/2", bytes([kind]) + _le(committed["parts"], 8) + bytes.fromhex(committed["root"]))


def committed_leaf(salt: str, part: str) -> str:
    return digest("inferium/committed-part/1", salt, part)


def input_part(part: Entry) -> str:
    """The digest of a tensor, or of a text's tokens."""
    if part["kind"] == "tensor":
        elements = part["elements"]
        raw = b"\0" + _le(len(elements), 4) + b"".join(value.to_bytes(2, "little", signed=True) for value in elements)
    else:
        tokens = part["tokens"]
        raw = b"\1" + bytes.fromhex(part["text"]) + _le(len(tokens), 4) + b"".join(_le(token, 4) for token in tokens)
    return digest("inferium/input-part/1", raw)


def evidence_leaf(salt: str, said: str, trace: str) -> str:
    return digest("inferium/evidence-leaf/2", salt, said, trace)


def root_of_leaves(leaves: list[str]) -> str:
    """The Merkle root over hashes of leaves; of none it is zero."""
    level = [bytes.fromhex(leaf) for leaf in leaves]
    while len(level) > 1:
        pairs = [level[at : at + 2] for at in range(0, len(level), 2)]
        level = [_sha(b"\1", *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return _sha(b"\2", len(leaves).to_bytes(8, "big"), level[0]).hex() if level else "00" * 32


def root_of_path(leaf: Entry, path: Entry) -> str | None:
    """The root that a Merkle path gives for a leaf; `None` when it has not the shape of its tree."""
    return _root(_sha(b"\0", request_bytes(leaf["request"]), result_bytes(leaf["result"])), path)


def root_over(leaf: str, path: Entry) -> str | None:
    """The same of a leaf that is a hash already."""
    return _root(bytes.fromhex(leaf), path)


def _root(top: bytes, path: Entry) -> str | None:
    index, count, siblings = path["index"], path["count"], list(path["siblings"])
    if index >= count or len(siblings) > DEPTH_MAX:
        return None
    width = count
    while width > 1:
        if index ^ 1 < width:
            if not siblings:
                return None
            sibling = bytes.fromhex(siblings.pop(0))
            top = _sha(b"\1", top, sibling) if index % 2 == 0 else _sha(b"\1", sibling, top)
        index, width = index // 2, (width + 1) // 2
    return None if siblings else _sha(b"\2", count.to_bytes(8, "big"), top).hex()
