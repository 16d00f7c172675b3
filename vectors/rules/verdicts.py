"""Committees, their votes, and what these decide (SPEC V)."""

from __future__ import annotations

from . import agents, statistics, workers
from .encoding import vote_bytes
from .segments import (
    approve, awaits_challenge, dismiss_dispute, pay, reject, rejections_of, return_bond, seed_window_ms,
    unresolved,
)
from .slashing import convict, slash_missed_duty, slash_withheld, slash_wrong_verdict
from .state import WHOLE, Entry, Ledger, Refused, digest, late

ASSESSMENT_REPLAY = 250_000


def eligible(ledger: Ledger, segment: Entry) -> list[str]:
    """V1, N6: active validators that declared the profile, of neither side's operator."""
    sides = {ledger.operator_of(segment["worker"]), ledger.operator_of(segment["gateway"])}
    # V4: nobody judges its own doubt.
    if segment["dispute"]:
        sides.add(ledger.operator_of(segment["dispute"]["challenger"]))
    # N4: who has too little left to lose has nothing to say.
    least = ledger["validator_stake_min"] // 2
    found = []
    for key in agents.judges(ledger, segment):
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
        _seat(ledger, key, drawn[: ledger["court_size"]], "court", seed, WHOLE)
        return
    record = workers.record_of(ledger, segment["worker"], segment["profile"])
    replay = ASSESSMENT_REPLAY
    if segment["kind"] != "benchmark":
        least = statistics.least_replay(ledger, segment["profile"])
        replay = max(workers.replay_share(ledger, record), workers.replay_floor(ledger, segment), least)
    # A2, L2, X3, V10: what a step orders may be spent, many read a board, one wrong interval is enough, and proofs are for that: every one is
    # looked at.
    if segment["kind"] in ("agent", "leaderboard", "training", "validation"):
        replay = WHOLE
    # V7: nothing of a suspect worker is left to chance.
    if statistics.suspicion(ledger, segment["worker"], segment["profile"]) != "none":
        replay = WHOLE
    steps = (ledger["committee_two_from"], ledger["committee_three_from"])
    wanted = 1 + sum(agents.at_stake(ledger, segment) >= step for step in steps)
    wanted = max(wanted, 2 if workers.is_newcomer(ledger, record) or segment["kind"] in ("leaderboard", "training", "validation") else 1)
    size = max(min(wanted, len(drawn) - 2), 1)
    _seat(ledger, key, drawn[:size], "committee", seed, replay)


def _window_ms(ledger: Ledger, segment: Entry) -> int:
    return late(ledger["verdict_ms"] + late(segment["replay_tokens"] * ledger["verdict_token_ms"]))


def _seat(ledger: Ledger, key: str, newcomers: list[str], stage: str, seed: str, replay: int) -> None:
    segment = ledger.table("segments")[key]
    newcomers_seats = [{"validator": key, "ballot": {"kind": "blank"}} for key in newcomers]
    members = segment["state"].get("members", []) + newcomers_seats
    segment["state"] = {
        "kind": "judging", "members": sorted(members, key=lambda member: str(member["validator"])), "stage": stage,
        "phase": "committing", "seed": seed, "replay": replay,
        "due_at_ms": late(ledger.now_ms + _window_ms(ledger, segment)),
        "due_at_height": late(ledger.height + ledger["verdict_blocks"]),
    }
    _go_on(ledger, key)


# V2: commit and reveal.


def commitment_of(segment: str, seed: str, validator: str, vote: Entry, salt: str) -> str:
    return digest("inferium/verdict-commit/1", segment, seed, validator, vote_bytes(vote), salt)


def commit_verdict(ledger: Ledger, operation: Entry) -> None:
    _, state, seat = _seated(ledger, operation)
    if seat["ballot"]["kind"] != "blank":
        raise Refused("exists", what="commitment" if seat["ballot"]["kind"] == "committed" else "verdict")
    if state["phase"] != "committing":
        raise Refused("wrong_state", what="a late verdict")
    seat["ballot"] = {"kind": "committed", "commitment": operation["commitment"]}
    _go_on(ledger, operation["segment"])


def submit_verdict(ledger: Ledger, operation: Entry) -> None:
    segment, state, seat = _seated(ledger, operation)
    vote, salt, ballot = operation["vote"], operation["salt"], seat["ballot"]
    if ballot["kind"] == "given":
        raise Refused("exists", what="verdict")
    if ballot["kind"] == "blank":
        _check_open(ledger, state, seat, salt)
    else:
        if state["phase"] != "revealing":
            raise Refused("wrong_state", what="a reveal")
        key, seed = operation["segment"], state["seed"]
        if salt is None or commitment_of(key, seed, operation["sender"], vote, salt) != ballot["commitment"]:
            raise Refused("commitment")
    statistics.check_vote(ledger, segment["profile"], vote)
    planted = segment["opening"].get("planted")
    known_wrong = planted["job"] if planted and planted["kind"] == "wrong" else None
    if vote["kind"] == "invalid" and (vote["job"] >= segment["terms"]["totals"]["jobs"] or vote["job"] == known_wrong):
        raise Refused("out_of_bounds", field="job")
    seat["ballot"] = {"kind": "given", "vote": vote}
    _go_on(ledger, operation["segment"])


def _seated(ledger: Ledger, operation: Entry) -> tuple[Entry, Entry, Entry]:
    """The segment, its judgement, and the sender's seat in it."""
    ledger.acting(operation["sender"], "validator", "a validator")
    segment = ledger.find("segments", operation["segment"], "segment")
    if segment["state"]["kind"] != "judging":
        raise Refused("wrong_state", what="a verdict")
    seats = [member for member in segment["state"]["members"] if member["validator"] == operation["sender"]]
    if not seats:
        raise Refused("not_allowed", expected="a member of the committee")
    return segment, segment["state"], seats[0]


def _is_vacant(ledger: Ledger, member: Entry) -> bool:
    """C5: who was barred or removed has no duties any more."""
    node = ledger.node(member["validator"])
    return node is None or bool(node["disqualified"])


def _check_open(ledger: Ledger, state: Entry, seat: Entry, salt: str | None) -> None:
    """A vote without a commitment comes last."""
    if salt is not None:
        raise Refused("unknown", what="commitment")
    if state["phase"] != "committing":
        raise Refused("wrong_state", what="a late verdict")
    others = [member for member in state["members"] if member is not seat and not _is_vacant(ledger, member)]
    if any(member["ballot"]["kind"] == "blank" for member in others):
        raise Refused("wrong_state", what="an open verdict")


def _go_on(ledger: Ledger, key: str) -> None:
    """Ends the phase when nobody is waited for in it."""
    state = ledger.table("segments")[key]["state"]
    waits_for = {"committing": "blank", "revealing": "committed"}.get(state["phase"])
    if waits_for is None:
        return
    awaited = [member for member in state["members"] if not _is_vacant(ledger, member)]
    if not any(member["ballot"]["kind"] == waits_for for member in awaited):
        _end_phase(ledger, key)


def go_on_without_vacated(ledger: Ledger) -> None:
    """C5: what waited for those that lost their seats in this block goes on at its end."""
    while ledger.vacated:
        gone = min(ledger.vacated)
        ledger.vacated.remove(gone)
        for key in sorted(ledger.table("segments")):
            segment = ledger.table("segments").get(key)
            if segment and gone in [member["validator"] for member in segment["state"].get("members", [])]:
                _go_on(ledger, key)


def _end_phase(ledger: Ledger, key: str) -> None:
    state = ledger.table("segments")[key]["state"]
    is_hidden = any(member["ballot"]["kind"] == "committed" for member in state["members"])
    if state["phase"] == "committing" and is_hidden:
        state |= {
            "phase": "revealing", "due_at_ms": late(ledger.now_ms + ledger["reveal_ms"]),
            "due_at_height": late(ledger.height + ledger["reveal_blocks"]),
        }
        return
    state["phase"] = "closed"
    present = [member for member in state["members"] if not _is_vacant(ledger, member)]
    for member in voters(present, None):
        slash_missed_duty(ledger, member, key)
    decide(ledger, key)


def owed(segment: Entry) -> Entry | None:
    """V5: what the segment's worker has not told yet."""
    order: Entry | None = segment["opening"].get("order")
    return order


def is_asked(segment: Entry) -> bool:
    return bool(segment["opening"]["kind"] == "asked")


def voters(members: list[Entry], kind: str | None) -> list[str]:
    """Who voted so; with `None`, whose vote nobody has seen."""
    return [one["validator"] for one in members if (one["ballot"].get("vote") or {"kind": None})["kind"] == kind]


def approvers_of(members: list[Entry]) -> list[str]:
    return [one["validator"] for one in members if statistics.approves(one["ballot"].get("vote"))]


def _verdict(state: Entry) -> str:
    """V3: what the votes amount to, once no more can come."""
    members, stage = state["members"], state["stage"]
    counts = {kind: len(voters(members, kind)) for kind in ("invalid", "unavailable")}
    # V6: approvals that say the same.
    counts["valid"] = len(statistics.agreeing(members)[0])
    if stage == "committee":
        return "valid" if counts["valid"] == len(members) else "widen"
    # Evidence that some got, and that convinced none of them, is as good as none.
    counts["unavailable"] += counts["invalid"]
    for kind in ("valid", "invalid", "unavailable"):
        if counts[kind] * 3 > len(members) * 2:
            return "widen" if stage == "court" and kind == "unavailable" else kind
    return "widen" if stage == "court" else "unresolved"


def decide(ledger: Ledger, key: str) -> None:
    segment = ledger.table("segments")[key]
    state = segment["state"]
    verdict, members = _verdict(state), state["members"]
    # V7: the word of a few makes nobody suspect, and clears nobody who is.
    if state["stage"] == "committee" and verdict == "valid" and statistics.is_doubtful(ledger, segment, members):
        verdict = "widen"
    # V5: what a member finds wrong may have been planted; before the doubt goes on, the worker is asked.
    if verdict in ("widen", "invalid") and voters(members, "invalid"):
        if is_asked(segment):
            state["due_at_ms"] = segment["opening"]["until_ms"]
            state["due_at_height"] = late(ledger.height + ledger["reveal_blocks"])
            return
        if segment["opening"]["kind"] == "closed":
            _ask(ledger, segment, segment["opening"]["order"])
            return
    if verdict == "valid":
        _approved(ledger, key, segment, members)
    elif verdict == "widen":
        _widen(ledger, key, segment)
    elif verdict == "invalid":
        reject(ledger, key, segment, "proven_wrong")
        return_bond(ledger, segment["dispute"])
        # Of several jobs the first one that was found wrong counts.
        found = [one["ballot"]["vote"] for one in members if (one["ballot"].get("vote") or {}).get("kind") == "invalid"]
        job = min(vote["job"] for vote in found)
        convict(ledger, key, segment, job, voters(members, "invalid"), approvers_of(members))
    elif verdict == "unavailable":
        workers.add_fault(ledger, segment["worker"], segment["profile"])
        reject(ledger, key, segment, "unavailable")
        return_bond(ledger, segment["dispute"])
        slash_withheld(ledger, key, segment, state["replay"])
    elif verdict == "unresolved":
        unresolved(ledger, key, segment)


def _approved(ledger: Ledger, key: str, segment: Entry, members: list[Entry]) -> None:
    approvers, measured = statistics.agreeing(members)
    is_measured = statistics.class_of(ledger, segment["profile"]) is not None
    for rejecter in [] if is_measured else voters(members, "invalid"):
        slash_wrong_verdict(ledger, rejecter, "wrong_rejection", key, segment, approvers)
    for other in [] if is_measured else voters(members, "valid"):
        if other not in approvers:
            slash_wrong_verdict(ledger, other, "false_replay", key, segment, approvers)
    if segment["dispute"]:
        dismiss_dispute(ledger, key, segment, approvers)
    else:
        state = segment["state"]
        approval = {
            "approvers": approvers, "seed": state["seed"], "replayed": state["replay"],
            "rejections": rejections_of(key, members, state["seed"], state["replay"]),
        }
        approve(ledger, key, segment, approval, measured)


def _widen(ledger: Ledger, key: str, segment: Entry) -> None:
    state = segment["state"]
    seated = [member["validator"] for member in state["members"]]
    more = _drawn(ledger, eligible(ledger, segment), state["seed"], seated)
    more = more[: max(0, ledger["escalation_max"] - len(seated))]
    stage = "full_court" if state["stage"] == "court" else "widened"
    _seat(ledger, key, more, stage, state["seed"], state["replay"])


# V5: what waits for an opening; `forced.py` has what ends it.


def _ask(ledger: Ledger, segment: Entry, order: Entry) -> None:
    """A doubt waits until the worker has said what it was ordered, or its time is over."""
    until_ms = late(ledger.now_ms + ledger["forced_open_ms"])
    segment["opening"] = {"kind": "asked", "order": order, "until_ms": until_ms}
    segment["state"]["due_at_ms"] = until_ms
    segment["state"]["due_at_height"] = late(ledger.height + ledger["reveal_blocks"])


def _advance_doubt(ledger: Ledger, key: str) -> None:
    segment = ledger.table("segments")[key]
    opening, state = segment["opening"], segment["state"]
    renewed_ms = late(ledger.meta["resumed_at_ms"] + ledger["forced_open_ms"])
    until_ms = max(opening["until_ms"], renewed_ms)
    # C3: a time, and a least number of blocks.
    if ledger.height < state["due_at_height"]:
        until_ms = max(until_ms, late(ledger.now_ms + 1))
    is_over = ledger.now_ms >= until_ms
    if is_over:
        segment["opening"] = {"kind": "late", "order": opening["order"]}
    else:
        opening["until_ms"] = until_ms
    state["due_at_ms"] = until_ms
    if is_over:
        decide(ledger, key)


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
        if awaits_challenge(ledger, key, segment):
            return
        if owed(segment) is not None:
            _advance_unopened(ledger, key)
        elif agents.is_over(ledger, segment):
            reject(ledger, key, segment, "run_over")
        elif agents.waits(ledger, segment):
            state["settles_at_ms"] = late(ledger.now_ms + agents.STEPS_WAIT_MS)
        else:
            pay(ledger, key, segment)
    elif state["kind"] == "judging" and state["phase"] == "closed":
        _advance_doubt(ledger, key)
    elif state["kind"] == "awaiting_seed":
        renewed_ms = late(resumed_ms + seed_window_ms(ledger))
        if state["until_ms"] < renewed_ms:
            state["until_ms"] = renewed_ms
        else:
            unresolved(ledger, key, segment)
    else:
        window_ms = _window_ms(ledger, segment) if state["phase"] == "committing" else ledger["reveal_ms"]
        renewed_ms = late(resumed_ms + window_ms)
        if state["due_at_ms"] < renewed_ms:
            state["due_at_ms"] = renewed_ms
        elif ledger.height < state["due_at_height"]:
            state["due_at_ms"] = ledger.now_ms + 1
        else:
            _end_phase(ledger, key)


RULES = {"commit_verdict": commit_verdict, "submit_verdict": submit_verdict}
