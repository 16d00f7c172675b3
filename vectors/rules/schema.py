"""What a vector may hold. A key that is not named here, or is missing, is an error: nothing in a
file goes unread."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Reader = Callable[[Any, str], Any]

HEX = re.compile(r"[0-9a-f]*\Z")
DECIMAL = re.compile(r"(0|[1-9][0-9]*)\Z")


class Malformed(Exception):
    """A file that is no file of vectors."""


def wide(value: Any, path: str) -> int:
    """An integer of 64 or 128 bits: decimal digits in a string."""
    if not isinstance(value, str) or not DECIMAL.match(value) or int(value) >= 1 << 128:
        raise Malformed(f"{path}: {value!r} is no integer in a string")
    return int(value)


def signed(value: Any, path: str) -> int:
    """An integer of 64 bits that may be below zero: decimal digits in a string."""
    if isinstance(value, str) and value.startswith("-") and value != "-0":
        return -wide(value[1:], path)
    return wide(value, path)


def narrow(value: Any, path: str) -> int:
    """An integer of at most 32 bits: a JSON number."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 32:
        raise Malformed(f"{path}: {value!r} is no integer of 32 bits")
    return value


def integer(value: Any, path: str) -> int:
    """An integer of 32 bits with a sign: a JSON number."""
    if isinstance(value, bool) or not isinstance(value, int) or not -(1 << 31) <= value < 1 << 31:
        raise Malformed(f"{path}: {value!r} is no integer of 32 bits with a sign")
    return value


def truth(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise Malformed(f"{path}: {value!r} is neither true nor false")
    return value


def text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise Malformed(f"{path}: {value!r} is no text")
    return value


def hexadecimal(size: int) -> Reader:
    def read(value: Any, path: str) -> str:
        if not isinstance(value, str) or len(value) != 2 * size or not HEX.match(value):
            raise Malformed(f"{path}: {value!r} is not {size} bytes in hex")
        return value

    return read


def octets(value: Any, path: str) -> str:
    """Bytes of any number, in hex."""
    if not isinstance(value, str) or len(value) % 2 or not HEX.match(value):
        raise Malformed(f"{path}: {value!r} is not bytes in hex")
    return value


def option(inner: Reader) -> Reader:
    return lambda value, path: None if value is None else inner(value, path)


def many(inner: Reader) -> Reader:
    def read(value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            raise Malformed(f"{path}: {value!r} is no list")
        return [inner(item, f"{path}[{index}]") for index, item in enumerate(value)]

    return read


def row(*inner: Reader) -> Reader:
    def read(value: Any, path: str) -> list[Any]:
        if not isinstance(value, list) or len(value) != len(inner):
            raise Malformed(f"{path}: {value!r} has not {len(inner)} parts")
        return [part(item, f"{path}[{index}]") for index, (part, item) in enumerate(zip(inner, value))]

    return read


def record(**fields: Reader) -> Reader:
    def read(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict) or set(value) != set(fields):
            found = set(value) if isinstance(value, dict) else value
            raise Malformed(f"{path}: expected {sorted(fields)}, found {found}")
        return {name: inner(value[name], f"{path}.{name}") for name, inner in fields.items()}

    return read


def words(*names: str) -> Reader:
    def read(value: Any, path: str) -> str:
        if value not in names:
            raise Malformed(f"{path}: {value!r} is none of {names}")
        return value

    return read


def choice(**variants: dict[str, Reader]) -> Reader:
    """An object whose `kind` says which fields it has besides."""

    def read(value: Any, path: str) -> dict[str, Any]:
        kind = value.get("kind") if isinstance(value, dict) else None
        if kind not in variants:
            raise Malformed(f"{path}: unknown kind {kind!r}")
        return record(kind=text, **variants[kind])(value, f"{path}({kind})")

    return read


def table(key: Reader, value_of: Reader) -> Reader:
    def read(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Malformed(f"{path}: {value!r} is no table")
        for name in value:
            key(name, path)
        return {name: value_of(item, f"{path}.{name}") for name, item in value.items()}

    return read


def pair(*parts: Reader) -> Reader:
    """A key of several parts, with strokes between them."""

    def read(value: Any, path: str) -> list[Any]:
        found = value.split("/")
        if len(found) != len(parts):
            raise Malformed(f"{path}: {value!r} has not {len(parts)} parts")
        return [part(item, path) for part, item in zip(parts, found)]

    return read


ID = hexadecimal(32)
PRICE = record(prompt_token=wide, completion_token=wide)
KIND = words("inference", "benchmark", "agent", "validation", "training", "leaderboard", "batch")
TIER = words("low", "mid", "high")
ROLE = choice(worker={"vrf": hexadecimal(96)}, validator={"url": text}, gateway={"url": text})
POOL = record(tokens=wide, shares=wide)
FRESH = many(row(wide, wide))
SHARES = row(*[narrow] * 24)
CALIBRATION = record(
    corpus=ID, positions=wide, flips=SHARES, alternatives=many(SHARES), bad_margin_micro=wide, bad=narrow,
    bad_correlation=narrow, logprob_clip_micro=wide, logprob_mean=narrow, sketch_clip_micro=wide, sketch_mean=narrow,
    sketch_gross_micro=wide,
)
CLIPPED = record(count=narrow, sum_ppm=wide, bets=row(*[signed] * 8))
STATISTICS = record(
    kinds=row(*[record(positions=narrow, flips=narrow)] * 24), bad=narrow, logprobs=CLIPPED, sketches=CLIPPED,
    surprisal_micro=signed, variance_micro=wide,
    draws=record(positions=narrow, outside=narrow, bets=row(*[signed] * 8)),
)
MODEL = record(
    name=text,
    task=choice(
        chat={}, embed={"width": narrow}, host={}, fold={}, train={}, prove={}, prove_private={"openings": narrow},
        classify={
            "reads": choice(texts={}, tensors={"elements": narrow, "least": signed, "most": signed}),
            "classes": narrow,
        },
    ),
    weights_root=ID, tokenizer_hash=ID, template_hash=ID,
    engine=choice(
        canonical={"build": ID, "tier": text}, tolerance={"verifier": ID, "calibration": CALIBRATION},
        foreign={"verifier": ID, "bounds": record(drift=narrow, margin_micro=narrow, outside=narrow)},
    ),
    sampler_version=narrow, eos_tokens=many(narrow),
)
OFFER_TERMS = record(slots=narrow, price=PRICE, context_tokens=narrow, batches=truth)
TASK_TERMS = record(
    kind=KIND, mode=words("exact", "sampled", "replicated", "zk"), tier=TIER, profile=ID, price_max=PRICE,
    jobs_max=narrow, tokens_max=wide, slots=narrow, context_tokens=narrow, open_ms=wide, lease_ms=wide,
)
LEASE_END = words("exhausted", "expired", "closed_by_gateway", "closed_by_worker", "fault", "undecided")
SEGMENT_TERMS = record(
    lease=ID, index=narrow, root=ID, totals=record(jobs=narrow, prompt_tokens=wide, completion_tokens=wide),
)
FAULT = words(
    "leaf", "prompt", "text", "finish", "token", "logits", "windows", "gross_tokens", "gross_sketches", "embedding", "score", "run", "model_call", "board",
    "interval", "classification", "proof",
)
VOTE_ON_SEGMENT = choice(
    valid={"effort": ID}, invalid={"job": narrow, "fault": FAULT}, unavailable={},
    measured={"effort": ID, "statistics": STATISTICS},
)
BALLOT_ON_SEGMENT = choice(blank={}, committed={"commitment": ID}, given={"vote": VOTE_ON_SEGMENT})
SLASH_RULE = words(
    "deadline_missed", "wrong_result", "conflicting_results", "wrong_approval", "wrong_rejection", "missed_duty",
    "double_signing", "equivocation", "forged_proof", "evidence_withheld",
    "double_request", "statistics", "false_replay",
)
REPORT = record(
    tier=TIER, cpu=text, features=many(text), cores=narrow, memory_mib=wide,
    accelerators=many(record(name=text, memory_mib=wide)),
)
TALLY = record(yes=wide, no=wide, abstain=wide, veto=wide)
BALLOT = words("yes", "no", "abstain", "veto")
PROPOSAL_TERMS = record(
    title=text, description=text,
    action=choice(
        change_parameters={"changes": many(record(name=text, value=wide))},
        spend_treasury={"to": ID, "amount": wide}, approve_profile={"profile": MODEL},
        delist_profile={"profile": ID}, restitute={"slash": wide}, remove_validator={"validator": ID},
        upgrade={"height": wide, "version": narrow}, text={},
    ),
)
REQUEST = record(
    job=ID, lease=ID, sequence=wide, attempt=narrow, input_commitment=ID, prompt_tokens=narrow, tokens_max=narrow,
    sampling=record(temperature_micro=narrow, top_p_ppm=narrow, top_k=narrow), client_seed=option(wide),
)
USAGE = record(prompt_tokens=narrow, completion_tokens=narrow)
RESULT = record(
    request=ID, output_commitment=ID, evidence_root=ID, usage=USAGE,
    finish=words("end_of_text", "stop_string", "length", "cancelled"),
)
LEAF = record(request=REQUEST, result=RESULT)
PATH = record(index=wide, count=wide, siblings=many(ID))
POLICY = record(
    per_run=wide, per_day=wide, recipients=choice(nobody={}, listed={"accounts": many(ID)}, anybody={}),
    expires_at_ms=wide,
)
LIMITS = record(steps=narrow, tokens=wide, tool_calls=narrow, run_ms=wide)
AGENT_TERMS = record(manifest=ID, model=ID, price=wide, limits=LIMITS, policy=POLICY)
RUN_TERMS = record(agent=ID, version=ID, input=ID, open_ms=wide)
SPEND = record(
    run=ID, segment=narrow, step=LEAF, step_path=PATH, call_path=PATH,
    order=choice(pay={"to": ID, "amount": wide}, hire={"run": RUN_TERMS}),
)
PROOF = record(terms=SEGMENT_TERMS, signed_by_worker=truth, leaf=LEAF, path=PATH)
REQUEST_PROOF = record(terms=SEGMENT_TERMS, signed_by_gateway=truth, leaf=LEAF, path=PATH)
SIGNED_TOTALS = record(terms=SEGMENT_TERMS, signed_by_gateway=truth)
ORDER = record(share=narrow, has_room=truth)
PLANTED = record(job=narrow, kind=words("wrong", "right"), usage=USAGE)
OPENING = record(
    segment=ID, output=ID, proven_input=option(ID), planted=option(record(leaf=LEAF, path=PATH)),
)
CONSENSUS_VOTE = record(
    epoch=wide, view=wide, signed_by_validator=truth,
    subject=choice(
        notarize={"parent_view": wide, "block": ID}, nullify={}, finalize={"parent_view": wide, "block": ID},
    ),
)
APPROVAL = record(approvers=many(ID), seed=ID, replayed=narrow, rejections=many(row(ID, narrow)))
ASKED = choice(
    leaves={}, run={"item": narrow}, span={"first": wide, "chunks": wide}, chunk={"chunk": wide}, sums={"at": wide},
)
TRACE = record(before=ID, length=narrow, values=wide, root=ID)
SHOWN = choice(
    leaves={"leaves": many(ID)}, run={"salt": ID, "said": ID, "trace": TRACE}, span={"hashes": many(ID)},
    chunk={"values": many(integer)}, sums={"sums": many(integer)},
)
PIECE = record(node=narrow, part=narrow, piece=narrow, bytes=octets, rises=many(row(ID, truth)))
OPENED_CHUNKS = many(record(chunk=wide, values=many(integer), path=many(ID)))
COMMITTED_KIND = words("whole", "tensors", "tokens", "logits", "vectors")
COMMITTED = record(kind=COMMITTED_KIND, parts=wide, root=ID)
REFUTATION = record(
    outline=many(PIECE),
    claim=choice(
        length={}, tile={"tile": narrow, "chunks": OPENED_CHUNKS, "pieces": many(PIECE)},
        input={
            "at": wide,
            "opened": choice(
                aside={"committed": COMMITTED},
                part={
                    "salt": ID, "path": PATH,
                    "part": choice(tensor={"elements": many(integer)}, tokens={"text": ID, "tokens": many(narrow)}),
                },
            ),
        },
        output={
            "opened": choice(
                aside={"committed": COMMITTED}, part={"of": COMMITTED_KIND, "salt": ID, "said": ID, "path": PATH},
            ),
            "chunks": OPENED_CHUNKS,
        },
    ),
)

SEGMENT = record(
    terms=SEGMENT_TERMS, worker=ID, gateway=ID, profile=ID, price=PRICE, fee=wide, kind=KIND, elapsed_ms=wide,
    replay_tokens=wide,
    dispute=option(record(challenger=ID, bond=wide, approval=APPROVAL, settles_at_ms=wide)),
    disputed=truth,
    opening=choice(
        not_owed={}, closed={"order": ORDER}, asked={"order": ORDER, "until_ms": wide}, late={"order": ORDER},
        opened={"planted": option(PLANTED)},
    ),
    state=choice(
        awaiting_seed={"view": wide, "until_ms": wide},
        judging={
            "members": many(record(validator=ID, ballot=BALLOT_ON_SEGMENT)),
            "stage": words("committee", "widened", "court", "full_court"),
            "phase": words("committing", "revealing", "closed"), "seed": ID, "replay": narrow,
            "due_at_ms": wide, "due_at_height": wide,
        },
        final={"approval": APPROVAL, "settles_at_ms": wide, "held_until_ms": option(wide)},
    ),
)
PROPOSAL = record(
    terms=PROPOSAL_TERMS, proposer=ID, deposit=wide, snapshot_epoch=wide,
    state=choice(
        voting={"closes_at_ms": wide},
        counting={
            "after": option(ID), "tally": TALLY, "validators": many(row(ID, option(BALLOT), wide)), "at_ms": wide,
        },
        passed={"tally": TALLY, "executes_at_ms": wide},
        ended={
            "outcome": words("passed", "no_quorum", "failed", "vetoed", "executed", "void"), "tally": TALLY,
            "until_ms": wide,
        },
    ),
)

TABLES: dict[str, tuple[Reader, Reader]] = {
    "accounts": (ID, record(balance=wide, nonce=wide)),
    "operators": (ID, record(bond=wide, barred=truth)),
    "nodes": (ID, record(
        role=ROLE, operator=ID, stake=wide, active_from_epoch=wide, beacon_from_view=wide, faults_ms=many(wide),
        unsettled=wide, disqualified=truth, removed=truth, delegated=POOL, unbonding=POOL, commission=narrow,
        commission_before=row(wide, narrow), holds=narrow, fresh=FRESH, fresh_shares=FRESH,
    )),
    "profiles": (ID, record(
        profile=MODEL, validators=many(ID), listing=words("declared", "approved", "paused", "delisted"),
        slashed=row(wide, wide), draws=row(wide, wide, wide), openings_spent=narrow,
    )),
    "offers": (pair(ID, ID), record(terms=OFFER_TERMS, slots_used=narrow, waits_from=wide)),
    "tasks": (ID, record(requester=ID, terms=TASK_TERMS, escrow=wide, opened=row(wide, narrow), expires_at_ms=wide)),
    "leases": (ID, record(
        task=ID, worker=ID, gateway=ID, terms=TASK_TERMS, price=PRICE, beacon=ID, escrow=wide, reserved=wide,
        jobs=narrow, tokens=wide, segments=narrow, segments_pending=narrow, spoiled=truth, granted_height=wide,
        granted_ms=wide, segment_height=wide, expires_at_ms=wide,
        state=choice(active={}, draining={"end": LEASE_END, "until_ms": wide, "commits_until_ms": wide}),
    )),
    "segments": (ID, SEGMENT),
    "stalls": (ID, record(
        lease=ID, worker=ID, gateway=ID, request=ID, tokens=wide, job=ID,
        state=choice(
            awaiting_seed={"view": wide, "until_ms": wide},
            relaying={"relays": many(row(ID, truth)), "until_ms": wide},
            certified={"due_at_ms": wide, "due_at_height": wide},
        ),
    )),
    "holds": (wide, record(
        node=ID, rule=SLASH_RULE, segment=option(ID), job=option(ID), own=wide, delegated=wide, unbonding=wide,
        disqualified=truth, provers=many(ID), harmed=option(ID), harm=wide, taken_at_ms=wide,
        releases_at_ms=wide,
    )),
    "records": (pair(ID, ID), record(jobs_micro=wide, tokens_micro=wide, failures_micro=wide, updated_ms=wide)),
    "delegations": (pair(ID, ID), record(shares=wide, fresh=FRESH)),
    "unbondings": (wide, record(node=ID, account=ID, shares=wide, matures_at_ms=wide, waited=truth)),
    "epoch_works": (pair(wide, ID), record(fees=wide, weight=wide, duties=wide)),
    "epoch_rewards": (wide, record(workers=wide, validators=wide, weight=wide, duties=wide)),
    "capabilities": (ID, record(
        report=REPORT, profile=ID, lease=option(ID), score=wide, tier=option(TIER), measured_at_ms=wide,
        call_due_ms=option(wide), draw_at_ms=wide,
    )),
    "proposals": (wide, PROPOSAL),
    "votes": (pair(wide, ID), BALLOT),
    "conducts": (pair(ID, ID), record(
        test=record(
            steps=wide, flips=row(*[wide] * 6), logprobs=row(*[wide] * 8), sketches=row(*[wide] * 8),
            draws=row(*[wide] * 8), outside=row(*[wide] * 2),
        ),
        suspicion=words("none", "suspect", "convicted"), slash=option(wide),
    )),
    "agents": (ID, record(
        creator=ID, name=text, deposit=wide, version=narrow, terms=AGENT_TERMS,
        widening=option(record(policy=POLICY, from_ms=wide)), retired=truth, open_runs=narrow, spent=row(wide, wide),
        earned=record(runs=wide, fees=wide, hosts=wide, creator=wide, committees=wide, treasury=wide, refunded=wide),
    )),
    "challenges": (pair(ID, ID), record(
        worker=ID, profile=ID, bond=wide, job=narrow, items=narrow, tokens=wide, input=ID, output=ID, evidence_root=ID,
        leaves=many(ID),
        run=option(record(
            item=narrow, said=ID, trace=TRACE, spans=many(record(first=wide, chunks=wide, hashes=many(ID))),
            chunk=option(row(wide, many(integer))), sums=option(row(wide, many(integer))),
        )),
        turn=choice(worker={"asked": ASKED}, challenger={}, over={}), due_at_ms=wide, due_at_height=wide,
    )),
    "runs": (ID, record(
        agent=ID, version=narrow, manifest=ID, model=ID, limits=LIMITS, policy=POLICY, price=wide, input=ID, gateway=ID,
        hirer=option(ID), host=option(ID), spent=wide, settled=many(ID),
        cited=many(row(narrow, wide, wide)), over=truth, ends_at_ms=option(wide),
    )),
}

# Fields of the one entry `meta`, and what a vector means that does not show one. An epoch whose
# beginning is not shown has just begun.
META: dict[str, tuple[Reader, Any]] = {
    "height": (wide, 0), "timestamp_ms": (wide, 0), "resumed_at_ms": (wide, 0), "epoch": (wide, 0),
    "epoch_started_ms": (wide, None), "beacon": (ID, "00" * 32), "beacon_view": (wide, 0), "reward_pool": (wide, 0),
    "treasury": (wide, 0), "validator_pool": (wide, 0), "burned": (wide, 0), "slashes": (wide, 0),
    "slashes_overturned": (wide, 0), "emission_from": (row(wide, wide), [0, 0]), "bonded": (wide, 0),
    "unbondings": (wide, 0), "proposals": (wide, 0), "spent": (row(wide, wide), [0, 0]),
    "removed_epoch": (option(wide), None), "protocol": (narrow, 1), "upgrade": (option(row(wide, narrow)), None),
    "tiers": (many(narrow), [0] * 3), "speeds": (many(narrow), [0] * 32), "parameters": (table(text, wide), {}),
}

COMMON: dict[str, Reader] = {"sender": ID, "nonce": wide, "size": wide}
OPERATIONS: dict[str, dict[str, Reader]] = {
    "transfer": {"to": ID, "amount": wide},
    "register_operator": {"bond": wide},
    "register_node": {"role": ROLE, "operator": ID, "signed_by_operator": truth, "stake": wide},
    "set_url": {"url": text},
    "declare_profile": {"profile": MODEL},
    "set_offer": {"profile": ID, "terms": OFFER_TERMS},
    "open_task": {"id": ID, "terms": TASK_TERMS},
    "close_lease": {"lease": ID},
    "commit_segment": {"terms": SEGMENT_TERMS, "signed_by_worker": truth, "signed_by_gateway": truth},
    "open_segments": {"openings": many(OPENING)},
    "commit_verdict": {"segment": ID, "commitment": ID},
    "submit_verdict": {"segment": ID, "vote": VOTE_ON_SEGMENT, "salt": option(ID)},
    "report_stall": {"request": REQUEST},
    "certify_delivery": {"stall": ID},
    "answer_stall": {"stall": ID, "result": RESULT},
    "prove_conflict": {"worker": ID, "first": PROOF, "second": PROOF},
    "prove_double_request": {"gateway": ID, "first": REQUEST_PROOF, "second": REQUEST_PROOF},
    "prove_double_signing": {"gateway": ID, "first": SIGNED_TOTALS, "second": SIGNED_TOTALS},
    "prove_equivocation": {"validator": ID, "first": CONSENSUS_VOTE, "second": CONSENSUS_VOTE},
    "bond": {"node": ID, "amount": wide},
    "unbond": {"node": ID, "amount": wide},
    "set_commission": {"commission": narrow},
    "open_assessment": {"id": ID, "profile": ID, "report": REPORT},
    "open_dispute": {"segment": ID},
    "propose": {"proposal": PROPOSAL_TERMS},
    "vote": {"proposal": wide, "choice": BALLOT},
    "publish_agent": {"name": text, "terms": AGENT_TERMS},
    "update_agent": {"agent": ID, "terms": AGENT_TERMS},
    "retire_agent": {"agent": ID, "stop_spending": truth},
    "open_run": {"id": ID, "terms": RUN_TERMS},
    "spend_as_agent": {"id": ID, "spend": SPEND},
    "open_challenge": {"segment": ID, "leaf": LEAF, "path": PATH},
    "show_trace": {"segment": ID, "challenger": ID, "shown": SHOWN},
    "ask_trace": {"segment": ID, "index": wide},
    "refute_trace": {"segment": ID, "refutation": REFUTATION},
}
BLOCK: dict[str, Reader] = {
    "height": wide, "view": wide, "timestamp_ms": wide,
    "seeds": many(record(view=wide, signature=hexadecimal(48))),
}

PARAMETER_ERROR = choice(
    unknown={"name": text}, out_of_bounds={"name": text, "min": wide, "max": wide, "found": wide},
    together={"why": text},
)
ERROR = choice(
    nonce_too_low={"expected": wide, "found": wide}, nonce_too_high={"expected": wide, "found": wide},
    fee_unpayable={"fee": wide, "balance": wide}, too_large={"found": wide, "limit": wide},
    insufficient={"needed": wide, "available": wide}, overflow={}, unknown={"what": text},
    not_allowed={"expected": text}, exists={"what": text}, disqualified={}, jailed={"until": wide},
    signature={"whose": text}, out_of_bounds={"field": text}, wrong_state={"what": text},
    profile_not_leasable={"found": narrow, "needed": narrow}, unsettled_limit={"found": wide, "limit": wide},
    not_served={"what": text}, no_workers={"tier": text}, profile_closed={"listing": text},
    openings={"left": narrow, "needed": narrow},
    parameter={"why": PARAMETER_ERROR}, commitment={}, mode={"expected": text, "found": text},
    vote_form={"expected": text}, barred_from_profile={}, evidence={"why": text}, no_agent={},
    profile={"expected": text}, version={"expected": ID, "found": ID}, policy={"what": text},
    policy_cap={"cap": text, "limit": wide, "found": wide},
    # Of blocks.
    height={"expected": wide, "found": wide}, timestamp={"parent": wide, "found": wide},
    upgrade={"needed": narrow, "known": narrow},
)
PLACE = record(height=wide, view=wide, timestamp_ms=wide)


def some_of(fields: dict[str, Reader]) -> Reader:
    def read(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict) or not set(value) <= set(fields):
            raise Malformed(f"{path}: unknown key in {sorted(value)}")
        return {name: fields[name](item, f"{path}.{name}") for name, item in value.items()}

    return read


def entries(removed: bool) -> Reader:
    """Tables of entries; `null` for one that is gone, where that may be."""
    kinds = {name: table(key, option(value) if removed else value) for name, (key, value) in TABLES.items()}
    return some_of(kinds | {"meta": some_of({name: read for name, (read, _) in META.items()})})


PRE, POST = entries(False), entries(True)


def vector(value: Any, path: str) -> dict[str, Any]:
    """One vector, all of it."""
    if not isinstance(value, dict) or not isinstance(value.get("operation"), dict):
        raise Malformed(f"{path}: no vector")
    kind = value["operation"].get("kind")
    is_block = kind == "block"
    if not is_block and kind not in OPERATIONS:
        raise Malformed(f"{path}: unknown operation {kind!r}")
    body = BLOCK if is_block else COMMON | OPERATIONS[kind]
    fields: dict[str, Reader] = {
        "name": text, "rule": text, "pre": PRE, "operation": record(kind=text, **body), "post": POST,
    }
    if not is_block:
        fields["environment"] = PLACE
    if "error" in value:
        fields["error"] = ERROR
    return record(**fields)(value, f"{path} {value.get('name')!r}")


FILE = record(vectors=many(vector))
PARAMETER_FILE = record(parameters=table(text, record(
    unit=words("nano", "ppm", "ms", "count"), default=wide, devnet=wide, min=wide, max=wide, is_critical=truth,
)))
