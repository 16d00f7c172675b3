"""The table of S: from proof to hold, from hold to its end."""

from __future__ import annotations

from . import agents, statistics, workers
from .emission import count_duty
from .encoding import request_digest, root_of_path, segment_id
from .pool import dismiss, expire_task
from .stake import cut, give
from .state import WHOLE, Entry, Ledger, Refused, digest, draw, late, share, split

FAULTS_MAX = 3
FAULT_MEMORY_MS = 30 * 24 * 3_600_000
JAIL_EPOCHS = 2


def _slash(
    ledger: Ledger, key: str, parts: int, rule: str, *, segment: str | None = None, job: str | None = None,
    profile: str | None = None, provers: list[str] | None = None, harmed: str | None = None, harm: int = 0,
    bars: bool = False, amount: int | None = None,
) -> None:
    """S2: the same share of own, delegated and unbonding stake goes into a hold; or an amount, of own stake first."""
    node = ledger.node(key)
    if node is None:
        return
    own = share(node["stake"], parts)
    delegated, unbonding = cut(node["delegated"], parts), cut(node["unbonding"], parts)
    if amount is not None:
        own = min(node["stake"], amount)
        unbonding = min(node["unbonding"]["tokens"], amount - own)
        node["unbonding"]["tokens"] -= unbonding
    node["stake"] -= own
    node["holds"] += 1
    ledger.rebond(-own - delegated)
    number = ledger.meta["slashes"]
    ledger.meta["slashes"] = number + 1
    ledger.table("holds")[str(number)] = {
        "node": key, "rule": rule, "segment": segment, "job": job, "own": own, "delegated": delegated,
        "unbonding": unbonding, "disqualified": bars, "provers": list(provers or []), "harmed": harmed,
        "harm": harm, "taken_at_ms": ledger.now_ms, "releases_at_ms": late(ledger.now_ms + ledger["slash_hold_ms"]),
    }
    if profile is not None:
        _count(ledger, profile, own + delegated + unbonding)


def _count(ledger: Ledger, profile: str, amount: int) -> None:
    """S5: slashes that take too much about one profile in an epoch pause it."""
    entry, epoch = ledger.table("profiles").get(profile), ledger.meta["epoch"]
    if entry is None:
        return
    before = entry["slashed"][1] if entry["slashed"][0] == epoch else 0
    entry["slashed"] = [epoch, before + amount]
    limit = share(ledger.meta["bonded"], ledger["profile_slash_max"])
    if before + amount > limit and entry["listing"] in ("declared", "approved"):
        entry["listing"] = "paused"


def _bar(ledger: Ledger, key: str, rule: str, **about: object) -> None:
    """S3: everything, and for ever, key and operator."""
    _slash(ledger, key, WHOLE, rule, bars=True, **about)  # type: ignore[arg-type]
    node = ledger.node(key)
    if node is None:
        return
    node["disqualified"] = True
    ledger.vacated.add(key)
    operator = ledger.table("operators").get(node["operator"])
    if operator is not None:
        operator["barred"] = True
    for fellow, other in sorted(ledger.table("nodes").items()):
        if other["operator"] != node["operator"]:
            continue
        workers.lose_tier(ledger, fellow)
        dismiss(ledger, fellow)
        for task in [name for name, open_one in ledger.table("tasks").items() if open_one["requester"] == fellow]:
            expire_task(ledger, task)


def bar_blind_approver(ledger: Ledger, key: str, segment: str) -> None:
    """V5: nobody gains by it, and it counts for no pause of a profile (S5)."""
    _bar(ledger, key, "wrong_approval", segment=segment)


def bar_forger(ledger: Ledger, key: str, segment: str) -> None:
    """S, fraud: a VRF proof that is not the worker's, signed by the worker."""
    _bar(ledger, key, "forged_proof", segment=segment)


def _remember_fault(ledger: Ledger, key: str) -> int:
    """The node's faults of the last 30 days, with this one."""
    node = ledger.node(key)
    if node is None:
        return 0
    recent = [at for at in node["faults_ms"] if ledger.now_ms - at < FAULT_MEMORY_MS] + [ledger.now_ms]
    node["faults_ms"] = recent[-FAULTS_MAX:]
    return len(recent)


def draws_job(segment: str, seed: str, job: int, replay: int) -> bool:
    return draw(digest("inferium/job-draw/1", seed, segment, job.to_bytes(4, "big")), WHOLE) < replay


def attested(key: str, approval: Entry, job: int) -> list[str]:
    """V2: who approved, when the draw of then had them replay the job."""
    return list(approval["approvers"]) if draws_job(key, approval["seed"], job, approval["replayed"]) else []


def convict(ledger: Ledger, key: str, segment: Entry, job: int, provers: list[str], approvers: list[str]) -> None:
    """A court found the job wrong."""
    for prover in provers:
        count_duty(ledger, prover)
    dispute = segment["dispute"]
    if dispute:
        # V4: who approved first attested the replay of what was drawn then.
        approvers = sorted({*approvers, *attested(key, dispute["approval"], job)})
        provers = sorted({*provers, dispute["challenger"]} - set(approvers))
    _punish(ledger, key, segment, provers, approvers)


def convict_refuted(ledger: Ledger, key: str, segment: Entry, approvers: list[str], challenger: str) -> None:
    """V11: the ledger computed it."""
    count_duty(ledger, challenger)
    _punish(ledger, key, segment, [challenger] if challenger not in approvers else [], approvers)


def _punish(ledger: Ledger, key: str, segment: Entry, provers: list[str], approvers: list[str]) -> None:
    """The worker pays, and who attested a replay that can't have been."""
    worker = segment["worker"]
    payer = agents.payer_of(ledger, segment["terms"]["lease"], segment["gateway"])
    harmed = payer if payer != worker else None
    about = {
        "segment": key, "profile": segment["profile"], "provers": provers, "harmed": harmed,
        "harm": agents.at_stake(ledger, segment),
    }
    # V6: on a profile that is measured no verdict costs stake.
    for approver in approvers if statistics.class_of(ledger, segment["profile"]) is None else []:
        _bar(ledger, approver, "wrong_approval", **about)
    faults = _remember_fault(ledger, worker)
    workers.add_fault(ledger, worker, segment["profile"])
    if segment["kind"] == "benchmark":
        workers.lose_tier(ledger, worker)
    if faults >= FAULTS_MAX:
        _bar(ledger, worker, "wrong_result", **about)
        return
    parts = ledger["slash_wrong_result" if faults <= 1 else "slash_wrong_again"]
    _slash(ledger, worker, parts, "wrong_result", **about)
    node = ledger.node(worker)
    if node is not None:
        # One whole epoch: the running one does not count.
        node["active_from_epoch"] = ledger.meta["epoch"] + JAIL_EPOCHS
    dismiss(ledger, worker)


def slash_withheld(ledger: Ledger, key: str, segment: Entry, replayed: int) -> None:
    """V3: the fee, and three times a job's fee by the chance that the job is replayed; nobody gets a part."""
    drawn = segment["terms"]["totals"]["jobs"] * replayed
    cost = max(segment["fee"], workers.GAIN_MARGIN * segment["fee"] * WHOLE // drawn if drawn else 0)
    # S6: of a run at least what it could still move.
    cost = max(cost, agents.at_stake(ledger, segment))
    _slash(ledger, segment["worker"], 0, "evidence_withheld", segment=key, amount=cost)


def slash_wrong_verdict(
    ledger: Ledger, validator: str, rule: str, key: str, segment: Entry, provers: list[str]
) -> None:
    """S, V2: it rejected what is right, or attested a replay that the others have not made."""
    is_first = _remember_fault(ledger, validator) <= 1
    parts = ledger["slash_wrong_rejection" if is_first else "slash_rejection_again"]
    _slash(
        ledger, validator, parts, rule, segment=key, profile=segment["profile"], provers=provers,
        harmed=segment["worker"], harm=segment["fee"],
    )


def slash_statistics(ledger: Ledger, key: str, segment: Entry) -> None:
    """V7: nobody gets a part; it counts for the pause of the profile."""
    parts, profile = ledger["slash_statistics"], segment["profile"]
    _slash(ledger, segment["worker"], parts, "statistics", segment=key, profile=profile)


def slash_missed_duty(ledger: Ledger, validator: str, key: str) -> None:
    _slash(ledger, validator, ledger["slash_missed_duty"], "missed_duty", segment=key)


def slash_deadline(ledger: Ledger, worker: str, job: str, profile: str) -> None:
    _slash(ledger, worker, ledger["slash_deadline"], "deadline_missed", job=job)
    workers.add_fault(ledger, worker, profile)


def _accused(ledger: Ledger, key: str, role: str) -> None:
    node = ledger.node(key)
    if node is None or node["role"]["kind"] != role:
        raise Refused("unknown", what=role)
    if node["disqualified"]:
        raise Refused("disqualified")


def prove_double_signing(ledger: Ledger, operation: Entry) -> None:
    gateway, first, second = operation["gateway"], operation["first"], operation["second"]
    _accused(ledger, gateway, "gateway")
    if not (first["signed_by_gateway"] and second["signed_by_gateway"]):
        raise Refused("evidence", why="the gateway did not sign both")
    names = [segment_id(one["terms"]["lease"], one["terms"]["index"]) for one in (first, second)]
    if names[0] != names[1]:
        raise Refused("evidence", why="the segments differ")
    if first["terms"] == second["terms"]:
        raise Refused("evidence", why="the sums are equal")
    lease = ledger.table("leases").get(first["terms"]["lease"])
    harmed, harm = (lease["worker"], lease["escrow"]) if lease else (None, 0)
    provers = [operation["sender"]]
    _bar(ledger, gateway, "double_signing", segment=names[0], provers=provers, harmed=harmed, harm=harm)


def _asked(proof: Entry) -> bool:
    """The leaf is in a segment of its own lease that the gateway signed."""
    at_home = proof["leaf"]["request"]["lease"] == proof["terms"]["lease"]
    is_in = root_of_path(proof["leaf"], proof["path"]) == proof["terms"]["root"]
    return at_home and is_in and bool(proof["signed_by_gateway"])


def prove_double_request(ledger: Ledger, operation: Entry) -> None:
    gateway, first, second = operation["gateway"], operation["first"], operation["second"]
    _accused(ledger, gateway, "gateway")
    if not (_asked(first) and _asked(second)):
        raise Refused("evidence", why="a leaf is not in a segment of its lease that the gateway signed")
    one, other = first["leaf"]["request"], second["leaf"]["request"]
    if one["lease"] != other["lease"] or one["sequence"] != other["sequence"]:
        raise Refused("evidence", why="the sequences differ")
    if one == other:
        raise Refused("evidence", why="the requests are equal")
    lease = ledger.table("leases").get(one["lease"])
    harmed, harm = (lease["worker"], lease["escrow"]) if lease else (None, 0)
    segment = segment_id(first["terms"]["lease"], first["terms"]["index"])
    _bar(
        ledger, gateway, "double_request", segment=segment, job=one["job"], provers=[operation["sender"]],
        harmed=harmed, harm=harm,
    )


def _contradict(first: Entry, second: Entry) -> bool:
    """S: two blocks notarised in one view, two finalised, or one finalised in a view that was skipped."""
    if (first["epoch"], first["view"]) != (second["epoch"], second["view"]):
        return False
    kinds = {first["subject"]["kind"], second["subject"]["kind"]}
    if len(kinds) == 1:
        return first["subject"] != second["subject"]
    return kinds == {"nullify", "finalize"}


def prove_equivocation(ledger: Ledger, operation: Entry) -> None:
    validator, first, second = operation["validator"], operation["first"], operation["second"]
    _accused(ledger, validator, "validator")
    if not _contradict(first, second):
        raise Refused("evidence", why="the votes do not contradict each other")
    if not (first["signed_by_validator"] and second["signed_by_validator"]):
        raise Refused("evidence", why="the validator did not sign both")
    _bar(ledger, validator, "equivocation", provers=[operation["sender"]])


def _proves(proof: Entry) -> bool:
    return root_of_path(proof["leaf"], proof["path"]) == proof["terms"]["root"] and bool(proof["signed_by_worker"])


def prove_conflict(ledger: Ledger, operation: Entry) -> None:
    worker, first, second = operation["worker"], operation["first"], operation["second"]
    _accused(ledger, worker, "worker")
    if not (_proves(first) and _proves(second)):
        raise Refused("evidence", why="a leaf is not in a segment that the worker signed")
    if request_digest(first["leaf"]["request"]) != request_digest(second["leaf"]["request"]):
        raise Refused("evidence", why="the requests differ")
    if first["leaf"]["result"] == second["leaf"]["result"]:
        raise Refused("evidence", why="the results are equal")
    request = first["leaf"]["request"]
    lease = ledger.table("leases").get(request["lease"])
    payer = agents.payer_of(ledger, request["lease"], lease["gateway"]) if lease else None
    harmed, harm = (payer, lease["escrow"]) if lease else (None, 0)
    provers = [operation["sender"]]
    _bar(ledger, worker, "conflicting_results", job=request["job"], provers=provers, harmed=harmed, harm=harm)


# The end of a hold.


def release(ledger: Ledger, number: str) -> None:
    """S2: burned, less 30 % of the own part for who proved it and 20 % for who was harmed, at most the harm."""
    hold = ledger.table("holds").pop(number)
    _unhold(ledger, hold)
    burned = hold["own"] + hold["delegated"] + hold["unbonding"]
    proven = share(hold["own"], ledger["slash_provers_share"])
    if hold["rule"] == "wrong_approval":
        proven = min(proven, hold["harm"])
    part = split(proven, len(hold["provers"]))
    for prover in hold["provers"]:
        ledger.credit(prover, part)
        burned -= part
    if hold["harmed"] is not None:
        part = min(share(hold["own"], ledger["slash_harmed_share"]), hold["harm"])
        ledger.credit(hold["harmed"], part)
        burned -= part
    ledger.meta["burned"] += burned


def _unhold(ledger: Ledger, hold: Entry) -> None:
    node = ledger.node(hold["node"])
    if node is not None:
        node["holds"] -= 1


def restitute(ledger: Ledger, number: str) -> None:
    """S2: all goes back to each pool what was its own; what it alone barred or jailed is free, its fault forgotten."""
    hold = ledger.find("holds", number, "held slash")
    node = ledger.find("nodes", hold["node"], "node")
    del ledger.table("holds")[number]
    _unhold(ledger, hold)
    node["stake"] += hold["own"]
    nobodys = [give(node["delegated"], hold["delegated"]), give(node["unbonding"], hold["unbonding"])]
    ledger.rebond(hold["own"] + hold["delegated"] - nobodys[0])
    others = [one for one in ledger.table("holds").values() if one["node"] == hold["node"] and one["disqualified"]]
    if hold["disqualified"] and not node["removed"] and not others:
        node["disqualified"] = False
    wrong = [one for one in ledger.table("holds").values() if one["node"] == hold["node"]]
    if hold["rule"] == "wrong_result" and not any(one["rule"] == "wrong_result" for one in wrong):
        node["active_from_epoch"] = min(node["active_from_epoch"], ledger.meta["epoch"])
    is_fault = hold["rule"] in ("wrong_result", "wrong_rejection", "false_replay")
    if is_fault and hold["taken_at_ms"] in node["faults_ms"]:
        node["faults_ms"].remove(hold["taken_at_ms"])
    for back in nobodys:
        ledger.credit(node["operator"], back)
    operator = ledger.table("operators").get(node["operator"])
    fellows = [one for one in ledger.table("nodes").values() if one["operator"] == node["operator"]]
    if hold["disqualified"] and operator is not None and not any(one["disqualified"] for one in fellows):
        operator["barred"] = False
    statistics.forget(ledger, int(number))
    ledger.meta["slashes_overturned"] += 1


RULES = {
    "prove_conflict": prove_conflict, "prove_double_signing": prove_double_signing,
    "prove_double_request": prove_double_request,
    "prove_equivocation": prove_equivocation,
}
