"""Forced errors: what a worker's VRF ordered it to plant, told after the verdict (SPEC V5).

The VRF itself is a fact of the vector; everything that follows from its output is computed here.
"""

from __future__ import annotations

from .emission import count_duty
from .encoding import root_of_path
from .segments import awaiting_seed, end_challenges, return_bond
from .slashing import attested, bar_blind_approver, bar_forger, draws_job
from .stake import pay_validator
from .state import WHOLE, WIDE_MAX, Entry, Ledger, Refused, digest, draw, share, split
from .verdicts import decide, owed, voters

OPENINGS_MAX = 64
TREASURY_PART = 1_000


def order_input(lease: Entry, terms: Entry) -> str:
    return digest("inferium/forced-order/1", lease["beacon"], terms["lease"], terms["index"].to_bytes(4, "big"))


def order_of(output: str, parts: int) -> str | None:
    """What an output orders: in a share of segments a job, half of them of each kind."""
    drawn = draw(digest("inferium/forced-draw/1", output), 2 * WHOLE)
    return ("right" if drawn % 2 else "wrong") if drawn // 2 < parts else None


def _meets(output: str, kind: str, leaf: Entry) -> bool:
    is_wrong = leaf["result"]["evidence_root"] == digest("inferium/forced-root/1", output)
    return bool(leaf["request"]["job"] == digest("inferium/forced-job/1", output) and is_wrong == (kind == "wrong"))


def open_segments(ledger: Ledger, operation: Entry) -> None:
    """Whatever can be refused is refused before the first proof is checked; then one that is not its own bars."""
    sender, openings = operation["sender"], operation["openings"]
    if not 0 < len(openings) <= OPENINGS_MAX:
        raise Refused("out_of_bounds", field="openings")
    known: set[str] = set()
    opened: list[tuple[str, Entry | None]] = []
    for opening in openings:
        if opening["segment"] in known:
            raise Refused("exists", what="opening")
        known.add(opening["segment"])
        opened.append(_check(ledger, sender, opening))
    worker = ledger.node(sender)
    if worker is None or worker["role"]["kind"] != "worker":
        raise Refused("unknown", what="worker")
    for opening, (needed, _) in zip(openings, opened):
        if opening["proven_input"] != needed:
            bar_forger(ledger, sender, opening["segment"])
            return
    for opening, (_, planted) in zip(openings, opened):
        _open(ledger, opening["segment"], planted)


def _check(ledger: Ledger, sender: str, opening: Entry) -> tuple[str, Entry | None]:
    """The input that its proof needs to be over, and what was planted if it is."""
    segment = ledger.find("segments", opening["segment"], "segment")
    if sender != segment["worker"]:
        raise Refused("not_allowed", expected="the segment's worker")
    order, told = owed(segment), segment["opening"]["kind"]
    if told == "not_owed":
        raise Refused("wrong_state", what="opening a segment that owes no order")
    if order is None:
        raise Refused("exists", what="opening")
    # Before, it would tell the committee where to look.
    stage = segment["state"]["kind"]
    if stage == "awaiting_seed" or (stage == "judging" and told == "closed"):
        raise Refused("wrong_state", what="an opening before the verdict")
    lease = ledger.find("leases", segment["terms"]["lease"], "the segment's lease")
    planted = _ordered(segment["terms"], order, opening["output"], opening["planted"])
    return order_input(lease, segment["terms"]), planted


def _ordered(terms: Entry, order: Entry, output: str, job: Entry | None) -> Entry | None:
    """What was planted, when it is what the output orders."""
    kind = order_of(output, order["share"])
    if kind is None:
        if job is not None:
            raise Refused("evidence", why="no job was ordered")
        return None
    if job is None:
        if order["has_room"]:
            raise Refused("evidence", why="the ordered job is missing")
        return None
    path, leaf = job["path"], job["leaf"]
    is_in = root_of_path(leaf, path) == terms["root"] and leaf["request"]["lease"] == terms["lease"]
    if not is_in or path["index"] >= 1 << 32:
        raise Refused("evidence", why="the job is not in the segment")
    if not _meets(output, kind, leaf):
        raise Refused("evidence", why="the job is not the ordered one")
    return {"job": path["index"], "kind": kind, "usage": leaf["result"]["usage"]}


def _open(ledger: Ledger, key: str, planted: Entry | None) -> None:
    # One that was opened before it in the same transaction may have ended it.
    segment = ledger.table("segments").get(key)
    if segment is None:
        return
    is_waiting = segment["state"].get("phase") == "closed"
    segment["opening"] = {"kind": "opened", "planted": planted}
    if planted is not None:
        _take_out(ledger, key, segment, planted)
    if is_waiting and segment["state"]["kind"] == "judging":
        decide(ledger, key)


def _take_out(ledger: Ledger, key: str, segment: Entry, planted: Entry) -> None:
    """It costs nothing, and what the votes about it were worth shows."""
    fee, usage, price = segment["fee"], planted["usage"], segment["price"]
    unpaid = usage["prompt_tokens"] * price["prompt_token"] + usage["completion_tokens"] * price["completion_token"]
    # A fee beyond all amounts takes nothing off.
    unpaid = min(unpaid, fee) if unpaid <= WIDE_MAX else 0
    segment["fee"] = fee - unpaid
    lease, worker = ledger.table("leases").get(segment["terms"]["lease"]), ledger.node(segment["worker"])
    if lease is not None:
        lease["reserved"] -= unpaid
        lease["jobs"] = max(0, lease["jobs"] - 1)
        lease["tokens"] = max(0, lease["tokens"] - usage["prompt_tokens"] - usage["completion_tokens"])
    if worker is not None:
        worker["unsettled"] -= unpaid
    blind, caught = _verdicts_on(key, segment, planted) if planted["kind"] == "wrong" else ([], [])
    _pay_jackpot(ledger, fee, caught)
    is_anew = planted["kind"] == "wrong" and (blind or segment["state"]["kind"] == "judging")
    for validator in blind:
        bar_blind_approver(ledger, validator, key)
    if planted["kind"] == "wrong":
        # V11: whoever challenged it was right, and so was its worker.
        end_challenges(ledger, key, planted["job"])
    if is_anew:
        return_bond(ledger, segment["dispute"])
        segment |= {"dispute": None, "state": awaiting_seed(ledger)}


def _verdicts_on(key: str, segment: Entry, planted: Entry) -> tuple[list[str], list[str]]:
    """Who approved the job although it was drawn, and who found it wrong."""
    state, job = segment["state"], planted["job"]
    if state["kind"] == "final":
        return attested(key, state["approval"], job), []
    # Who approved what is disputed now attested its replay as well.
    dispute = segment["dispute"]
    blind = [] if dispute is None else attested(key, dispute["approval"], job)
    if not draws_job(key, state["seed"], job, state["replay"]):
        return blind, []
    blind = sorted({*blind, *voters(state["members"], "valid")})
    found = [one["validator"] for one in state["members"] if one["ballot"].get("vote", {}).get("job") == job]
    return blind, [one for one in found if one not in blind]


def _pay_jackpot(ledger: Ledger, fee: int, caught: list[str]) -> None:
    """The treasury's share of as many such segments as it takes for one order, within bounds."""
    for_others = sum(ledger[f"fee_share_{name}"] for name in ("worker", "committee", "validators"))
    segments = split(WHOLE, ledger["forced_share"])
    expected = share(fee, max(0, WHOLE - for_others)) * segments
    total = min(expected, ledger["forced_jackpot_max"], ledger.meta["treasury"] // TREASURY_PART)
    each = split(total, len(caught))
    for member in caught:
        ledger.meta["treasury"] -= each
        pay_validator(ledger, member, each)
        count_duty(ledger, member)


RULES = {"open_segments": open_segments}
