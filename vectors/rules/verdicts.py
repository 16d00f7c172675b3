"""Committees, their votes, and what these decide (SPEC V)."""

from __future__ import annotations

from . import workers
from .segments import approve, dismiss_dispute, reject, return_bond, seed_window_ms, settle, unresolved
from .slashing import convict, slash_missed_duty, slash_withheld, slash_wrong_rejection
from .state import WHOLE, Entry, Ledger, Refused, digest, late

ASSESSMENT_REPLAY = 250_000
FAULTS = ["leaf", "prompt", "text", "finish", "token", "logits"]


def eligible(ledger: Ledger, segment: Entry) -> list[str]:
    """V1, N6: active validators that declared the profile, of neither side's operator."""
    sides = {ledger.operator_of(segment["worker"]), ledger.operator_of(segment["gateway"])}
    # V4: nobody judges its own doubt.
    if segment["dispute"]:
        sides.add(ledger.operator_of(segment["dispute"]["challenger"]))
    # N4: who has too little left to lose has nothing to say.
    least = ledger["validator_stake_min"] // 2
    profile = ledger.table("profiles").get(segment["profile"])
    found = []
    for key in profile["validators"] if profile else []:
        node = ledger.node(key)
        if node is None or not ledger.is_active(node) or node["operator"] in sides:
            continue
        if node["stake"] >= least:
            found.append(key)
    return found


def _drawn(ledger: Ledger, candidates: list[str], seed: str, seated: list[str]) -> list[str]:
    """In the order of the draw, one of each operator that has no seat yet."""
    operators, chosen = {ledger.operator_of(key) for key in seated}, []
    for key in sorted(candidates, key=lambda key: digest("inferium/member/1", seed, key)):
        if ledger.operator_of(key) not in operators:
            operators.add(ledger.operator_of(key))
            chosen.append(key)
    return chosen


def draw_committee(ledger: Ledger, key: str, beacon: str) -> None:
    segment = ledger.table("segments")[key]
    seed = digest("inferium/committee/1", beacon, key)
    drawn = _drawn(ledger, eligible(ledger, segment), seed, [])
    if not drawn:
        unresolved(ledger, key, segment)
        return
    if segment["dispute"]:
        _seat(ledger, segment, drawn[: ledger["court_size"]], "court", seed, WHOLE)
        return
    record = workers.record_of(ledger, segment["worker"], segment["profile"])
    replay = ASSESSMENT_REPLAY
    if segment["kind"] != "benchmark":
        replay = max(workers.replay_share(ledger, record), workers.replay_floor(ledger, segment))
    steps = (ledger["committee_two_from"], ledger["committee_three_from"])
    wanted = 1 + sum(segment["fee"] >= step for step in steps)
    wanted = max(wanted, 2 if workers.is_newcomer(ledger, record) else 1)
    size = max(min(wanted, len(drawn) - 2), 1)
    _seat(ledger, segment, drawn[:size], "committee", seed, replay)


def _window_ms(ledger: Ledger, segment: Entry) -> int:
    totals = segment["terms"]["totals"]
    tokens = late(totals["prompt_tokens"] + totals["completion_tokens"])
    return late(ledger["verdict_ms"] + late(tokens * ledger["verdict_token_ms"]))


def _seat(ledger: Ledger, segment: Entry, newcomers: list[str], stage: str, seed: str, replay: int) -> None:
    members = segment["state"].get("members", []) + [{"validator": key, "vote": None} for key in newcomers]
    segment["state"] = {
        "kind": "judging", "members": sorted(members, key=lambda member: str(member["validator"])), "stage": stage,
        "seed": seed, "replay": replay, "due_at_ms": late(ledger.now_ms + _window_ms(ledger, segment)),
        "due_at_height": late(ledger.height + ledger["verdict_blocks"]),
    }


def submit_verdict(ledger: Ledger, operation: Entry) -> None:
    sender, key, vote = operation["sender"], operation["segment"], operation["vote"]
    ledger.acting(sender, "validator", "a validator")
    segment = ledger.find("segments", key, "segment")
    if segment["state"]["kind"] != "judging":
        raise Refused("wrong_state", what="a verdict")
    seats = [member for member in segment["state"]["members"] if member["validator"] == sender]
    if not seats:
        raise Refused("not_allowed", expected="a member of the committee")
    if seats[0]["vote"] is not None:
        raise Refused("exists", what="verdict")
    planted = segment["opening"].get("planted")
    known_wrong = planted["job"] if planted and planted["kind"] == "wrong" else None
    if vote["kind"] == "invalid" and (vote["job"] >= segment["terms"]["totals"]["jobs"] or vote["job"] == known_wrong):
        raise Refused("out_of_bounds", field="job")
    seats[0]["vote"] = vote
    decide(ledger, key, False)


def owed(segment: Entry) -> Entry | None:
    """V5: what the segment's worker has not told yet."""
    order: Entry | None = segment["opening"].get("order")
    return order


def is_asked(segment: Entry) -> bool:
    return bool(segment["opening"]["kind"] == "asked")


def voters(members: list[Entry], kind: str | None) -> list[str]:
    return [one["validator"] for one in members if (one["vote"] or {"kind": None})["kind"] == kind]


def _verdict(state: Entry, is_overdue: bool) -> str:
    """V3: what the votes amount to."""
    members, stage = state["members"], state["stage"]
    counts = {kind: len(voters(members, kind)) for kind in ("valid", "invalid", "unavailable", None)}
    if stage == "committee":
        if counts["invalid"] or counts["unavailable"] or (counts[None] and is_overdue):
            return "widen"
        return "waiting" if counts[None] else "valid"
    for kind in ("valid", "invalid", "unavailable"):
        if counts[kind] * 3 > len(members) * 2:
            return "widen" if stage == "court" and kind == "unavailable" else kind
    if counts[None] and not is_overdue:
        return "waiting"
    return "widen" if stage == "court" else "unresolved"


def decide(ledger: Ledger, key: str, is_overdue: bool) -> None:
    segment = ledger.table("segments")[key]
    state = segment["state"]
    verdict, members = _verdict(state, is_overdue), state["members"]
    # V5: what a member finds wrong may have been planted; before the doubt goes on, the worker is asked.
    if verdict in ("widen", "invalid") and voters(members, "invalid"):
        if is_asked(segment):
            return
        if segment["opening"]["kind"] == "closed":
            _ask(ledger, segment, segment["opening"]["order"])
            return
    if is_overdue:
        for member in voters(members, None):
            slash_missed_duty(ledger, member, key)
    if verdict == "valid":
        _approved(ledger, key, segment, members)
    elif verdict == "widen":
        _widen(ledger, key, segment)
    elif verdict == "invalid":
        reject(ledger, key, segment, "proven_wrong")
        return_bond(ledger, segment["dispute"])
        convict(ledger, key, segment, voters(members, "invalid"), voters(members, "valid"))
    elif verdict == "unavailable":
        workers.add_fault(ledger, segment["worker"], segment["profile"])
        reject(ledger, key, segment, "unavailable")
        return_bond(ledger, segment["dispute"])
        slash_withheld(ledger, key, segment, state["replay"])
    elif verdict == "unresolved":
        unresolved(ledger, key, segment)


def _approved(ledger: Ledger, key: str, segment: Entry, members: list[Entry]) -> None:
    approvers = voters(members, "valid")
    for rejecter in voters(members, "invalid"):
        slash_wrong_rejection(ledger, rejecter, key, segment, approvers)
    if segment["dispute"]:
        dismiss_dispute(ledger, segment, approvers)
    else:
        state = segment["state"]
        approve(ledger, segment, {"approvers": approvers, "seed": state["seed"], "replayed": state["replay"]})


def _widen(ledger: Ledger, key: str, segment: Entry) -> None:
    state = segment["state"]
    seated = [member["validator"] for member in state["members"]]
    more = _drawn(ledger, eligible(ledger, segment), state["seed"], seated)
    more = more[: max(0, ledger["escalation_max"] - len(seated))]
    stage = "full_court" if state["stage"] == "court" else "widened"
    _seat(ledger, segment, more, stage, state["seed"], state["replay"])
    if not voters(segment["state"]["members"], None):
        decide(ledger, key, False)


# V5: what waits for an opening; `forced.py` has what ends it.


def _ask(ledger: Ledger, segment: Entry, order: Entry) -> None:
    """A doubt waits until the worker has said what it was ordered, or its time is over."""
    until_ms = late(ledger.now_ms + ledger["forced_open_ms"])
    segment["opening"] = {"kind": "asked", "order": order, "until_ms": until_ms}
    segment["state"]["due_at_ms"] = max(until_ms, segment["state"]["due_at_ms"])


def _advance_doubt(ledger: Ledger, key: str) -> None:
    segment = ledger.table("segments")[key]
    opening, state = segment["opening"], segment["state"]
    renewed_ms = late(ledger.meta["resumed_at_ms"] + ledger["forced_open_ms"])
    until_ms = max(opening["until_ms"], renewed_ms)
    is_over = ledger.now_ms >= until_ms
    if is_over:
        segment["opening"] = {"kind": "late", "order": opening["order"]}
    else:
        opening["until_ms"] = until_ms
    state["due_at_ms"] = max(until_ms, state["due_at_ms"])
    if is_over:
        decide(ledger, key, ledger.now_ms >= state["due_at_ms"] and ledger.height >= state["due_at_height"])


def _advance_unopened(ledger: Ledger, key: str) -> None:
    """What is not opened when the challenge window ends has as long again for that, and is unpaid then."""
    segment = ledger.table("segments")[key]
    window_ms = ledger["challenge_ms"]
    until_ms = late(ledger.now_ms + window_ms)
    if is_asked(segment):
        until_ms = max(segment["opening"]["until_ms"], late(ledger.meta["resumed_at_ms"] + window_ms))
    if until_ms <= ledger.now_ms:
        workers.add_fault(ledger, segment["worker"], segment["profile"])
        reject(ledger, key, segment, "unopened")
    else:
        segment["opening"] = {"kind": "asked", "order": owed(segment), "until_ms": until_ms}


def advance(ledger: Ledger, key: str) -> None:
    """A segment's time has come: no seed, no verdicts, or settlement (C3, V3, V4)."""
    segment = ledger.table("segments")[key]
    state, resumed_ms = segment["state"], ledger.meta["resumed_at_ms"]
    if state["kind"] == "final":
        if owed(segment) is not None:
            _advance_unopened(ledger, key)
        else:
            settle(ledger, key, segment)
    elif state["kind"] == "judging" and is_asked(segment):
        _advance_doubt(ledger, key)
    elif state["kind"] == "awaiting_seed":
        renewed_ms = late(resumed_ms + seed_window_ms(ledger))
        if state["until_ms"] < renewed_ms:
            state["until_ms"] = renewed_ms
        else:
            unresolved(ledger, key, segment)
    else:
        renewed_ms = late(resumed_ms + _window_ms(ledger, segment))
        if state["due_at_ms"] < renewed_ms:
            state["due_at_ms"] = renewed_ms
        elif ledger.height < state["due_at_height"]:
            state["due_at_ms"] = ledger.now_ms + 1
        else:
            decide(ledger, key, True)


RULES = {"submit_verdict": submit_verdict}
