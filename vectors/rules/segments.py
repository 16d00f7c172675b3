"""Segments: commitment, approval, settlement, disputes (SPEC J3, M5, V4)."""

from __future__ import annotations

from typing import Any

from . import agents, statistics, workers
from .emission import count_duty, count_work
from .encoding import segment_id
from .pool import end_lease, renewed_drain_ms
from .slashing import draws_job, slash_statistics
from .stake import pay_validator
from .state import Entry, Ledger, Refused, ends, late, share, split

JOBS_MAX = 4_096
# V5: planted jobs for which a lease keeps room, and tokens of one.
FORCED_ROOM, FORCED_TOKENS = 8, 256
SEED_WINDOWS = 3


def seed_window_ms(ledger: Ledger) -> int:
    """C4: what waits for a seed is given up after three verdict windows."""
    return late(ledger["verdict_ms"] * SEED_WINDOWS)


def _fee(totals: Entry, price: Entry) -> int:
    prompts = ends(price["prompt_token"] * totals["prompt_tokens"])
    return ends(prompts + ends(price["completion_token"] * totals["completion_tokens"]))


def _check_sums(lease: Entry, totals: Entry) -> tuple[int, int]:
    jobs, tokens = totals["jobs"], late(totals["prompt_tokens"] + totals["completion_tokens"])
    all_jobs, all_tokens = lease["jobs"] + jobs, lease["tokens"] + tokens
    if all_jobs >= 1 << 32:
        raise Refused("overflow")
    ends(all_tokens)
    if not 0 < jobs <= JOBS_MAX or all_jobs > lease["terms"]["jobs_max"]:
        raise Refused("out_of_bounds", field="jobs")
    if all_tokens > lease["terms"]["tokens_max"] or (jobs > 1 and tokens > workers.SEGMENT_TOKENS_MAX):
        raise Refused("out_of_bounds", field="tokens")
    return all_jobs, all_tokens


def commit_segment(ledger: Ledger, operation: Entry) -> None:
    terms, totals = operation["terms"], operation["terms"]["totals"]
    lease = ledger.find("leases", terms["lease"], "lease")
    _check_commit(ledger, operation, lease)
    jobs, tokens = _check_sums(lease, totals)
    agents.check_steps(ledger, terms["lease"], lease, totals)
    for whose in ("worker", "gateway"):
        if not operation[f"signed_by_{whose}"]:
            raise Refused("signature", whose=f"{whose}'s")
    fee = _fee(totals, lease["price"])
    reserved = ends(lease["reserved"] + fee)
    if reserved > lease["escrow"]:
        raise Refused("insufficient", needed=reserved, available=lease["escrow"])
    _reserve_pay(ledger, lease["worker"], lease["terms"]["profile"], _unsettled(lease["terms"]["kind"], fee))
    lease |= {
        "reserved": reserved, "jobs": jobs, "tokens": tokens, "segments": lease["segments"] + 1,
        "segments_pending": lease["segments_pending"] + 1, "segment_height": ledger.height,
    }
    kind = lease["terms"]["kind"]
    ledger.table("segments")[segment_id(terms["lease"], terms["index"])] = {
        "terms": terms, "worker": lease["worker"], "gateway": lease["gateway"], "profile": lease["terms"]["profile"],
        "price": lease["price"], "fee": fee, "kind": kind, "elapsed_ms": ledger.now_ms - lease["granted_ms"],
        "replay_tokens": agents.replay_tokens(ledger, terms),
        "dispute": None, "disputed": False, "opening": _opening_of(ledger, lease, totals), "state": awaiting_seed(ledger),
    }
    if kind == "benchmark" or jobs == lease["terms"]["jobs_max"] or tokens == lease["terms"]["tokens_max"]:
        end_lease(ledger, terms["lease"], "exhausted")


def _unsettled(kind: str, fee: int) -> int:
    """A2: all that is at stake in a run was counted when it was granted."""
    return 0 if kind == "agent" else fee


def counts_duties(segment: Entry) -> bool:
    """A4: verdicts about steps that nobody pays for count for no emission."""
    return bool(segment["kind"] != "agent" or segment["fee"])


def _opening_of(ledger: Ledger, lease: Entry, totals: Entry) -> Entry:
    """V5: what the worker owes for a segment that leaves the lease like this."""
    terms = lease["terms"]
    is_measured = statistics.class_of(ledger, terms["profile"]) is not None
    if ledger["forced_share"] == 0 or terms["kind"] in ("benchmark", "agent", "leaderboard", "training", "validation") or is_measured:
        return {"kind": "not_owed"}
    jobs_kept, tokens_kept = FORCED_ROOM, FORCED_ROOM * FORCED_TOKENS
    has_room = all([
        # What is kept is at most an eighth.
        terms["jobs_max"] >= 8 * jobs_kept, terms["tokens_max"] >= 8 * tokens_kept,
        lease["jobs"] <= terms["jobs_max"] - jobs_kept, lease["tokens"] <= terms["tokens_max"] - tokens_kept,
        totals["jobs"] < JOBS_MAX,
        totals["prompt_tokens"] + totals["completion_tokens"] + FORCED_TOKENS <= workers.SEGMENT_TOKENS_MAX,
    ])
    return {"kind": "closed", "order": {"share": ledger["forced_share"], "has_room": has_room}}


def awaiting_seed(ledger: Ledger) -> Entry:
    view = late(ledger.view + ledger["draw_delay_views"])
    return {"kind": "awaiting_seed", "view": view, "until_ms": late(ledger.now_ms + seed_window_ms(ledger))}


def _check_commit(ledger: Ledger, operation: Entry, lease: Entry) -> None:
    if operation["sender"] != lease["worker"]:
        raise Refused("not_allowed", expected="the lease's worker")
    state = lease["state"]
    if state["kind"] == "draining" and ledger.now_ms > max(state["commits_until_ms"], renewed_drain_ms(ledger)):
        raise Refused("wrong_state", what="a segment of a closed lease")
    if operation["terms"]["index"] != lease["segments"]:
        raise Refused("wrong_state", what="a segment out of order")
    if ledger.height <= lease["segment_height"]:
        raise Refused("wrong_state", what="a second segment of one block")


def _reserve_pay(ledger: Ledger, worker: str, profile: str, fee: int) -> None:
    """V4: unsettled pay is a small part of the stake that answers for it."""
    node = ledger.find("nodes", worker, "worker")
    if node["disqualified"]:
        raise Refused("disqualified")
    if not ledger.is_active(node):
        raise Refused("jailed", until=node["active_from_epoch"])
    statistics.check_bar(ledger, worker, profile)
    found, limit = ends(node["unsettled"] + fee), share(node["stake"], ledger["unsettled_max"])
    if found > limit:
        raise Refused("unsettled_limit", found=found, limit=limit)
    node["unsettled"] = found


def approve(ledger: Ledger, key: str, segment: Entry, approval: Entry, measured: Entry | None) -> None:
    for approver in approval["approvers"] if counts_duties(segment) else []:
        count_duty(ledger, approver)
    # A2: it was under way when its run was over.
    if agents.is_over(ledger, segment):
        reject(ledger, key, segment, "run_over")
        return
    # V7: it was under way when its worker was convicted.
    if statistics.suspicion(ledger, segment["worker"], segment["profile"]) == "convicted":
        reject(ledger, key, segment, "statistics")
        return
    opening = segment["opening"]
    # V5: whatever was asked about a doubt, its worker has until settlement again.
    if "order" in opening:
        segment["opening"] = {"kind": "closed", "order": opening["order"]}
    settles_at_ms = late(ledger.now_ms + ledger["challenge_ms"])
    segment["state"] = {
        "kind": "final", "approval": approval, "settles_at_ms": settles_at_ms, "held_until_ms": None,
    }
    is_convicted = measured is not None and _fold(ledger, key, segment, measured)
    if segment["kind"] == "benchmark" and is_convicted:
        workers.lose_tier(ledger, segment["worker"])
    elif segment["kind"] == "benchmark":
        workers.measure(ledger, segment)


def _fold(ledger: Ledger, key: str, segment: Entry, measured: Entry) -> bool:
    """V7: a step of the worker's test; true when that convicts it."""
    worker, profile = segment["worker"], segment["profile"]
    engine = statistics.class_of(ledger, profile)
    if engine is None:
        return False
    fresh = {"test": statistics.fresh_test(), "suspicion": "none", "slash": None}
    conduct = ledger.table("conducts").setdefault(f"{worker}/{profile}", fresh)
    before = conduct["suspicion"]
    statistics.judge(conduct["test"], engine, measured)
    conduct["suspicion"] = statistics.suspicion_by(conduct["test"], engine)
    if before != "none" and conduct["suspicion"] == "none":
        for _, final in statistics.finals_of(ledger, worker, profile):
            final["state"]["held_until_ms"] = None
    if conduct["suspicion"] == "convicted":
        # V9: on a foreign profile the bar is all.
        if engine["kind"] != "foreign":
            conduct["slash"] = ledger.meta["slashes"]
            slash_statistics(ledger, key, segment)
        _bar_from_profile(ledger, worker, profile, before)
    return bool(conduct["suspicion"] == "convicted")


def _bar_from_profile(ledger: Ledger, worker: str, profile: str, before: str) -> None:
    """V7: no lease, no offer, and no pay that was not due."""
    for key, lease in sorted(ledger.table("leases").items()):
        if (lease["worker"], lease["terms"]["profile"]) == (worker, profile):
            end_lease(ledger, key, "fault")
    ledger.table("offers").pop(f"{profile}/{worker}", None)
    for key, segment in statistics.finals_of(ledger, worker, profile):
        state = segment["state"]
        waits = before == "suspect" or state["held_until_ms"] is not None
        due_ms = statistics.held_until_ms(ledger, state) if waits else state["settles_at_ms"]
        if ledger.now_ms < due_ms:
            reject(ledger, key, segment, "statistics")
        else:
            settle(ledger, key, segment)


def pay(ledger: Ledger, key: str, segment: Entry) -> None:
    """V7: what is due is paid, but for the barred; of the suspect it waits."""
    suspicion, state = statistics.suspicion(ledger, segment["worker"], segment["profile"]), segment["state"]
    until_ms = statistics.held_until_ms(ledger, state)
    if suspicion == "convicted":
        reject(ledger, key, segment, "statistics")
    elif suspicion == "suspect" and ledger.now_ms < until_ms:
        state["held_until_ms"] = until_ms
    else:
        settle(ledger, key, segment)


def reject(ledger: Ledger, key: str, segment: Entry, reason: str) -> None:
    """It costs nothing; what is the worker's fault spoils the lease's reservation."""
    _release(ledger, segment, False)
    end_challenges(ledger, key)
    lease = ledger.table("leases").get(segment["terms"]["lease"])
    is_workers = reason not in ("unresolved", "run_over")
    if lease is not None and is_workers:
        lease["spoiled"] = True
    del ledger.table("segments")[key]
    agents.end_over(ledger, segment["terms"]["lease"], "fault" if is_workers else "undecided")


# V11: what a challenge means for its segment; `challenges.py` has the rest.


def _challenges_of(ledger: Ledger, key: str) -> list[tuple[str, Entry]]:
    return [item for item in sorted(ledger.table("challenges").items()) if item[0].split("/")[0] == key]


def close_challenge(ledger: Ledger, name: str) -> None:
    """The bond returns; of one that is lost nothing is left of it."""
    ledger.credit(name.split("/")[1], ledger.table("challenges").pop(name)["bond"])


def end_challenges(ledger: Ledger, key: str, job: int | None = None) -> None:
    """Of a segment that is gone all; of a job that was wrong by order those that go on."""
    for name, challenge in _challenges_of(ledger, key):
        if job is None or (challenge["job"] == job and challenge["turn"]["kind"] != "over"):
            close_challenge(ledger, name)


def awaits_challenge(ledger: Ledger, key: str, segment: Entry) -> bool:
    """Pay waits while one goes on, until after its turn."""
    turns = [one["due_at_ms"] for _, one in _challenges_of(ledger, key) if one["turn"]["kind"] != "over"]
    if turns:
        settles_at_ms = late(max(*turns, ledger.now_ms) + 1)
        segment["state"] |= {"settles_at_ms": settles_at_ms, "held_until_ms": None}
        if segment["opening"]["kind"] == "asked":
            segment["opening"]["until_ms"] = settles_at_ms
    return bool(turns)


def _release(ledger: Ledger, segment: Entry, is_paid: bool) -> None:
    lease, worker = ledger.table("leases").get(segment["terms"]["lease"]), ledger.node(segment["worker"])
    if lease is not None:
        lease["reserved"] -= segment["fee"]
        lease["segments_pending"] -= 1
        lease["escrow"] -= segment["fee"] if is_paid else 0
    if worker is not None:
        worker["unsettled"] -= _unsettled(segment["kind"], segment["fee"])


def settle(ledger: Ledger, key: str, segment: Entry) -> None:
    """M5: 80 % worker, 12 % committee, 4 % all validators, the rest the treasury's; of a run 60 % host, 25 % creator,
    10 % committee."""
    _release(ledger, segment, True)
    end_challenges(ledger, key)
    fee, approvers = segment["fee"], segment["state"]["approval"]["approvers"]
    run = ledger.table("runs").get(segment["terms"]["lease"])
    agent = ledger.table("agents").get(run["agent"]) if run else None
    shares = ["run_share_host", "run_share_committee", "run_share_creator"] if agent else [
        "fee_share_worker", "fee_share_committee", "fee_share_validators",
    ]
    for_worker, for_committee, for_third = (share(fee, ledger[name]) for name in shares)
    for_creator, for_validators = (for_third, 0) if agent else (0, for_third)
    for_member = split(for_committee, len(approvers))
    worker = ledger.node(segment["worker"])
    is_barred = worker is None or worker["disqualified"]
    payer = agents.payer_of(ledger, segment["terms"]["lease"], segment["gateway"])
    ledger.credit(payer if is_barred else segment["worker"], for_worker)
    if agent:
        ledger.credit(agent["creator"], for_creator)
    # S3: who was barred since earns nothing; its part is the treasury's.
    seated = [member for member in approvers if not (ledger.node(member) or {"disqualified": True})["disqualified"]]
    for member in seated:
        pay_validator(ledger, member, for_member)
    ledger.meta["validator_pool"] += for_validators
    for_treasury = fee - for_worker - for_creator - for_member * len(seated) - for_validators
    ledger.meta["treasury"] += for_treasury
    # M6: a run earns no emission.
    if segment["kind"] not in ("benchmark", "agent"):
        count_work(ledger, segment["worker"], fee, workers.priority(ledger, segment["worker"], segment["profile"]))
    if segment["kind"] != "benchmark":
        workers.add_work(ledger, segment["worker"], segment["profile"], clients_totals(segment))
    del ledger.table("segments")[key]
    if run:
        parts = {"creator": for_creator, "committees": for_member * len(seated), "treasury": for_treasury}
        parts |= {"hosts": 0, "refunded": for_worker} if is_barred else {"hosts": for_worker, "refunded": 0}
        agents.paid(ledger, run, segment, parts)


def clients_totals(segment: Entry) -> Entry:
    """V5: a planted job is no client's."""
    totals, planted = dict(segment["terms"]["totals"]), segment["opening"].get("planted")
    if planted:
        totals["jobs"] -= 1
        for name in ("prompt_tokens", "completion_tokens"):
            totals[name] = max(0, totals[name] - planted["usage"][name])
    return totals


# Disputes.


def open_dispute(ledger: Ledger, operation: Entry) -> None:
    """V4: the gateway, or any validator, once, before the segment is settled."""
    sender, segment = operation["sender"], ledger.find("segments", operation["segment"], "segment")
    state, bond = segment["state"], ledger["dispute_bond"]
    if state["kind"] != "final":
        raise Refused("wrong_state", what="a dispute about a segment that is not final")
    if segment["disputed"]:
        raise Refused("exists", what="dispute")
    if sender != segment["gateway"] or sender == segment["worker"]:
        ledger.acting(sender, "validator", "the segment's gateway or a validator")
    ledger.debit(sender, bond)
    segment["dispute"] = {
        "challenger": sender, "bond": bond, "approval": state["approval"], "settles_at_ms": state["settles_at_ms"],
    }
    segment |= {"disputed": True, "state": awaiting_seed(ledger)}


def rejections_of(key: str, members: list[Entry], seed: str, replay: int) -> list[list[Any]]:
    """V11: who was outvoted, and about which job, of those that it was given."""
    votes = [(one["validator"], one["ballot"].get("vote") or {"kind": None}) for one in members]
    found = [[validator, vote["job"]] for validator, vote in votes if vote["kind"] == "invalid"]
    return [one for one in found if draws_job(key, seed, one[1], replay)]


def _stand(ledger: Ledger, key: str, segment: Entry) -> Entry:
    """What was approved stands, and is paid when it would have been, or in the next block."""
    dispute: Entry = segment["dispute"]
    state, approval = segment["state"], dispute["approval"]
    settles_at_ms = max(dispute["settles_at_ms"], ledger.now_ms + 1)
    if state["kind"] == "judging":
        # V11: each by what it found last, and with time for that.
        outvoted = rejections_of(key, state["members"], state["seed"], state["replay"])
        if outvoted:
            settles_at_ms = max(settles_at_ms, late(ledger.now_ms + ledger["challenge_ms"]))
        known = dict(map(tuple, approval["rejections"] + outvoted))
        approval["rejections"] = [[member, known[member]] for member in sorted(known)]
    segment["dispute"] = None
    segment["state"] = {
        "kind": "final", "approval": dispute["approval"],
        "settles_at_ms": settles_at_ms, "held_until_ms": None,
    }
    return dispute


def dismiss_dispute(ledger: Ledger, key: str, segment: Entry, court: list[str]) -> None:
    bond = _stand(ledger, key, segment)["bond"]
    part = split(bond // 2, len(court))
    for member in court:
        if counts_duties(segment):
            count_duty(ledger, member)
        pay_validator(ledger, member, part)
    ledger.credit(segment["worker"], bond - part * len(court))


def return_bond(ledger: Ledger, dispute: Entry | None) -> None:
    if dispute is not None:
        ledger.credit(dispute["challenger"], dispute["bond"])


def unresolved(ledger: Ledger, key: str, segment: Entry) -> None:
    """T3: without a decision nobody loses anything."""
    if segment["dispute"] is None:
        reject(ledger, key, segment, "unresolved")
    else:
        return_bond(ledger, _stand(ledger, key, segment))


RULES = {"commit_segment": commit_segment, "open_dispute": open_dispute}
