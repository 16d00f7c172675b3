"""Workers: record, priority, measured tier (SPEC R, N2, N3)."""

from __future__ import annotations

import math

from . import statistics
from .encoding import lease_id
from .state import WHOLE, WIDE_MAX, Entry, Ledger, Refused, decayed, digest, draw, late, part_of

MICRO = 1_000_000
RECORD_JOBS_MAX = 10_000
SPEED_MIN = 100_000
GAIN_MARGIN = 3
TEXT_MAX, ITEMS_MAX = 128, 32
TIERS = ["low", "mid", "high"]
COMPLETION_WEIGHT = 8
ASSESSMENT_CONTEXT = 512
ASSESSMENT_WINDOWS = 5
SEGMENT_TOKENS_MAX = 16_384
NEVER = WIDE_MAX


def nearest(micro: int) -> int:
    return (micro + MICRO // 2) // MICRO


def record_of(ledger: Ledger, worker: str, profile: str) -> Entry:
    """R1: jobs, tokens and failures as they are now; half of each goes in every half-life."""
    nothing = {"jobs_micro": 0, "tokens_micro": 0, "failures_micro": 0, "updated_ms": 0}
    old = ledger.table("records").get(f"{worker}/{profile}", nothing)
    elapsed = max(0, ledger.now_ms - old["updated_ms"])
    counts = ("jobs_micro", "tokens_micro", "failures_micro")
    new = {name: decayed(old[name], elapsed, ledger["record_half_life_ms"]) for name in counts}
    return new | {"updated_ms": max(ledger.now_ms, old["updated_ms"])}


def add_work(ledger: Ledger, worker: str, profile: str, totals: Entry) -> None:
    record = record_of(ledger, worker, profile)
    record["jobs_micro"] += totals["jobs"] * MICRO
    record["tokens_micro"] += (totals["prompt_tokens"] + totals["completion_tokens"]) * MICRO
    ledger.table("records")[f"{worker}/{profile}"] = record


def add_fault(ledger: Ledger, worker: str, profile: str) -> None:
    record = record_of(ledger, worker, profile)
    record |= {"jobs_micro": 0, "tokens_micro": 0, "failures_micro": record["failures_micro"] + MICRO}
    ledger.table("records")[f"{worker}/{profile}"] = record


def is_newcomer(ledger: Ledger, record: Entry) -> bool:
    jobs, tokens = nearest(record["jobs_micro"]), nearest(record["tokens_micro"])
    return jobs < ledger["newcomer_jobs"] or tokens < ledger["newcomer_tokens"]


def replay_share(ledger: Ledger, record: Entry) -> int:
    """R3: all of a newcomer's jobs, then 50 / jobs of them, at least the least."""
    if is_newcomer(ledger, record):
        return WHOLE
    return max(min(ledger["newcomer_jobs"] * WHOLE // nearest(record["jobs_micro"]), WHOLE), ledger["replay_min"])


def replay_floor(ledger: Ledger, segment: Entry) -> int:
    """R3: so many that a wrong job loses three times its fee in the mean; nothing at stake: all."""
    node = ledger.node(segment["worker"])
    risk = (node["stake"] if node else 0) * ledger["slash_wrong_result"] * segment["terms"]["totals"]["jobs"]
    return min(GAIN_MARGIN * segment["fee"] * WHOLE * WHOLE // risk, WHOLE) if risk else WHOLE


def speed(score: int) -> int:
    return min(max(score.bit_length() - 1, 0), 31)


def priority(ledger: Ledger, worker: str, profile: str) -> int:
    """R2: success x speed, in parts per million."""
    record = record_of(ledger, worker, profile)
    jobs = min(record["jobs_micro"], RECORD_JOBS_MAX * MICRO)
    trials = jobs + record["failures_micro"] + 2 * MICRO
    rate = part_of(WHOLE, jobs + MICRO, trials)
    success = max(rate - 500_000_000 // math.isqrt(trials), 1)
    return max(success * max(_percentile(ledger, worker), SPEED_MIN) // WHOLE, 1)


def _percentile(ledger: Ledger, worker: str) -> int:
    measured, speeds = ledger.table("capabilities").get(worker), ledger.meta["speeds"]
    if measured is None or measured["tier"] is None or sum(speeds) == 0:
        return 0
    place = speed(measured["score"])
    return (2 * sum(speeds[:place]) + speeds[place]) * 500_000 // sum(speeds)


def _set(ledger: Ledger, worker: str, new: Entry) -> None:
    """The sums over all workers follow each change."""
    old = ledger.table("capabilities").get(worker)
    for entry, step in ((old, -1), (new, 1)):
        if entry is not None and entry["tier"] is not None:
            ledger.meta["tiers"][TIERS.index(entry["tier"])] += step
            ledger.meta["speeds"][speed(entry["score"])] += step
    ledger.table("capabilities")[worker] = new
    if new["tier"] != (old["tier"] if old else None):
        # T5: draws of another tier, or while it had none, passed no one over.
        for name, offer in ledger.table("offers").items():
            profile, of = name.split("/")
            if of == worker and profile in ledger.table("profiles"):
                offer["waits_from"] = draws_for(ledger, worker, profile)


def draws_for(ledger: Ledger, worker: str, profile: str) -> int:
    """T5: draws for the profile so far that the worker's tier took part in."""
    measured, entry = ledger.table("capabilities").get(worker), ledger.table("profiles").get(profile)
    if measured is None or measured["tier"] is None or entry is None:
        return 0
    return int(entry["draws"][TIERS.index(measured["tier"])])


def lose_tier(ledger: Ledger, worker: str) -> None:
    old = ledger.table("capabilities").get(worker)
    if old is not None:
        _set(ledger, worker, old | {"tier": None, "call_due_ms": None, "draw_at_ms": NEVER})


def embeds(ledger: Ledger, profile: str) -> bool:
    """T1, N3: embeddings are work of the lowest tier, and measure nothing above it."""
    entry = ledger.table("profiles").get(profile)
    return entry is not None and entry["profile"]["task"]["kind"] == "embed"


def measure(ledger: Ledger, segment: Entry) -> None:
    """N2: prompt tokens + 8 x answer tokens, by the chain's seconds."""
    worker, totals = segment["worker"], segment["terms"]["totals"]
    old, node = ledger.table("capabilities").get(worker), ledger.node(worker)
    if old is None or node is None or node["disqualified"]:
        return
    units = totals["prompt_tokens"] + totals["completion_tokens"] * COMPLETION_WEIGHT
    score = units * 1_000 // segment["elapsed_ms"] if segment["elapsed_ms"] else 0
    tier = 2 if score >= ledger["tier_high_score"] else 1 if score >= ledger["tier_mid_score"] else 0
    tier = min(tier, TIERS.index(old["report"]["tier"]))
    if embeds(ledger, segment["profile"]):
        tier = 0
    _set(ledger, worker, old | {
        "profile": segment["profile"], "score": score, "tier": TIERS[tier], "measured_at_ms": ledger.now_ms,
        "call_due_ms": None, "draw_at_ms": late(ledger.now_ms + ledger["epoch_ms"]),
    })


def _is_well_formed(report: Entry) -> bool:
    names = [report["cpu"], *report["features"], *(card["name"] for card in report["accelerators"])]
    lists = (report["features"], report["accelerators"])
    return all(len(name.encode()) <= TEXT_MAX for name in names) and all(len(items) <= ITEMS_MAX for items in lists)


def assessment_terms(ledger: Ledger, profile: str) -> Entry:
    price = {"prompt_token": ledger["assessment_price"], "completion_token": ledger["assessment_price"]}
    return {
        "kind": "benchmark", "mode": statistics.mode_of(ledger, profile), "tier": "low", "profile": profile, "price_max": price,
        "jobs_max": ledger["assessment_items_max"], "tokens_max": SEGMENT_TOKENS_MAX, "slots": 1,
        "context_tokens": ASSESSMENT_CONTEXT, "open_ms": 1,
        "lease_ms": late(ledger["assessment_ms"] * ASSESSMENT_WINDOWS),
    }


def open_assessment(ledger: Ledger, operation: Entry) -> None:
    from .agents import check_models
    from .pool import begin_lease, check_leasable, escrow_for

    sender, profile, report = operation["sender"], operation["profile"], operation["report"]
    ledger.acting(sender, "worker", "a worker")
    if not _is_well_formed(report):
        raise Refused("out_of_bounds", field="report")
    check_leasable(ledger, profile)
    check_models(ledger, profile)
    statistics.check_bar(ledger, sender, profile)
    old = ledger.table("capabilities").get(sender)
    running = ledger.table("leases").get(old["lease"]) if old and old["lease"] else None
    if running and (running["state"]["kind"] == "active" or running["segments_pending"]):
        raise Refused("wrong_state", what="a second capability task")
    terms = assessment_terms(ledger, profile)
    escrow = escrow_for(ledger, terms)
    unmeasured = {"score": 0, "tier": None, "measured_at_ms": 0, "call_due_ms": None, "draw_at_ms": NEVER}
    ledger.debit(sender, escrow)
    lease = lease_id(operation["id"])
    _set(ledger, sender, (old or unmeasured) | {"report": report, "profile": profile, "lease": lease})
    begin_lease(ledger, operation["id"], sender, sender, terms, terms["price_max"], escrow)


def advance(ledger: Ledger, worker: str) -> None:
    """N2: once an epoch the beacon calls some; who does not come loses its tier."""
    one, meta = ledger.table("capabilities")[worker], ledger.meta
    due_ms = one["call_due_ms"]
    if due_ms is None:
        drawn = draw(digest("inferium/assessment/1", meta["beacon"], worker), WHOLE) < ledger["assessment_share"]
        name, wait = ("call_due_ms", "assessment_call_ms") if drawn else ("draw_at_ms", "epoch_ms")
        one[name] = late(ledger.now_ms + ledger[wait])
        return
    renewed_ms = late(meta["resumed_at_ms"] + ledger["assessment_call_ms"])
    lease = ledger.table("leases").get(one["lease"]) if one["lease"] else None
    if due_ms < renewed_ms:
        one["call_due_ms"] = renewed_ms
    elif lease and lease["granted_ms"] + ledger["assessment_ms"] <= due_ms:
        one["call_due_ms"] = late(ledger.now_ms + ledger["assessment_ms"])
    else:
        lose_tier(ledger, worker)


RULES = {"open_assessment": open_assessment}
