"""Proposals, votes, counting, and what passes (SPEC G)."""

from __future__ import annotations

from . import nodes, stake
from .encoding import profile_id
from .slashing import restitute
from .state import WHOLE, Entry, Ledger, Refused, decayed, ends, late, share

NAME_SIZE_MAX = 128
TEXT_SIZE_MAX = 8 * 1024
CHANGES_MAX = 32
COUNTED_MAX = 256
SUPERMAJORITY = ("spend_treasury", "restitute", "remove_validator", "upgrade")

# The table of parameters, as the checker read it: bounds, and which are critical (G3).
BOUNDS: dict[str, Entry] = {}


def _is_well_formed(terms: Entry) -> bool:
    action = terms["action"]
    if action["kind"] == "change_parameters" and not 0 < len(action["changes"]) <= CHANGES_MAX:
        return False
    if action["kind"] == "approve_profile" and not nodes.is_well_formed(action["profile"]):
        return False
    title = terms["title"]
    return bool(title.strip()) and len(title.encode()) <= NAME_SIZE_MAX and \
        len(terms["description"].encode()) <= TEXT_SIZE_MAX


def propose(ledger: Ledger, operation: Entry) -> None:
    sender, terms = operation["sender"], operation["proposal"]
    if not _is_well_formed(terms):
        raise Refused("out_of_bounds", field="proposal")
    _check_action(ledger, terms["action"])
    deposit, number = ledger["proposal_deposit"], ledger.meta["proposals"]
    ledger.debit(sender, deposit)
    ledger.meta["proposals"] = number + 1
    ledger.table("proposals")[str(number)] = {
        "terms": terms, "proposer": sender, "deposit": deposit, "snapshot_epoch": max(0, ledger.meta["epoch"] - 1),
        "state": {"kind": "voting", "closes_at_ms": late(ledger.now_ms + ledger["voting_ms"])},
    }


def _check_action(ledger: Ledger, action: Entry) -> None:
    """G3: what could not be executed now can't be submitted."""
    kind = action["kind"]
    if kind == "change_parameters":
        changed_parameters(ledger, action["changes"])
    elif kind == "spend_treasury":
        if action["amount"] == 0:
            raise Refused("out_of_bounds", field="amount")
        available = share(ledger.meta["treasury"], ledger["treasury_spend_max"])
        if action["amount"] > available:
            raise Refused("insufficient", needed=action["amount"], available=available)
    elif kind == "delist_profile":
        ledger.find("profiles", action["profile"], "profile")
    elif kind == "restitute":
        hold = ledger.find("holds", str(action["slash"]), "held slash")
        if hold["releases_at_ms"] <= late(ledger.now_ms + ledger["voting_ms"] + ledger["timelock_ms"]):
            raise Refused("wrong_state", what="overturning a slash that is final before the vote")
    elif kind == "remove_validator":
        node = ledger.node(action["validator"])
        if node is None or node["role"]["kind"] != "validator":
            raise Refused("unknown", what="validator")
        if node["disqualified"]:
            raise Refused("disqualified")
    elif kind == "upgrade":
        _check_upgrade(ledger, action)


def _check_upgrade(ledger: Ledger, action: Entry) -> None:
    if action["height"] <= ledger.height:
        raise Refused("out_of_bounds", field="height")
    if action["version"] <= ledger.meta["protocol"]:
        raise Refused("out_of_bounds", field="version")


def changed_parameters(ledger: Ledger, changes: list[Entry]) -> dict[str, int]:
    parameters, seen = dict(ledger.parameters), set()
    for change in changes:
        name, value = change["name"], change["value"]
        if len(name.encode()) > NAME_SIZE_MAX:
            raise Refused("out_of_bounds", field="parameter name")
        if name in seen:
            raise Refused("exists", what="parameter change")
        seen.add(name)
        _check_bounds(name, value)
        parameters[name] = value
    for name, value in parameters.items():
        _check_bounds(name, value)
    _check_together(parameters)
    return parameters


def _check_bounds(name: str, value: int) -> None:
    rule = BOUNDS.get(name)
    if rule is None:
        raise Refused("parameter", why={"kind": "unknown", "name": name})
    if not rule["min"] <= value <= rule["max"]:
        why = {"kind": "out_of_bounds", "name": name, "min": rule["min"], "max": rule["max"], "found": value}
        raise Refused("parameter", why=why)


def _check_together(p: dict[str, int]) -> None:
    fee_shares = p["fee_share_worker"] + p["fee_share_committee"] + p["fee_share_validators"]
    takes_ms = p["voting_ms"] + p["timelock_ms"] + p["challenge_ms"]
    rules = [
        (fee_shares <= WHOLE, "the shares of a fee are more than the fee"),
        (p["slash_provers_share"] + p["slash_harmed_share"] <= WHOLE, "the shares of a slash are more than the slash"),
        (p["tier_mid_score"] < p["tier_high_score"], "tier High must take more than tier Mid"),
        (p["committee_two_from"] <= p["committee_three_from"], "a third member must come after the second"),
        (p["slash_hold_ms"] > takes_ms, "slashed stake must be held for longer than a vote, its timelock and a challenge"),
    ]
    for fits, why in rules:
        if not fits:
            raise Refused("parameter", why={"kind": "together", "why": why})


def vote(ledger: Ledger, operation: Entry) -> None:
    sender, number = operation["sender"], str(operation["proposal"])
    state = ledger.find("proposals", number, "proposal")["state"]
    if state["kind"] != "voting" or ledger.now_ms >= state["closes_at_ms"]:
        raise Refused("wrong_state", what="voting")
    node = ledger.node(sender)
    if node is not None and node["disqualified"]:
        raise Refused("disqualified")
    if not (node is not None and node["stake"]) and not stake.delegations_of(ledger, sender):
        raise Refused("not_allowed", expected="someone with bonded stake")
    ledger.table("votes")[f"{number}/{sender}"] = operation["choice"]


# What happens by itself.


def advance(ledger: Ledger, number: str) -> None:
    proposal = ledger.table("proposals")[number]
    state = proposal["state"]
    if state["kind"] == "ended":
        del ledger.table("proposals")[number]
        return
    is_passed = state["kind"] == "passed"
    action = proposal["terms"]["action"]
    after = _carry_out(ledger, action, state["tally"]) if is_passed else _count(ledger, number, proposal)
    # What could not be carried out was undone, and this entry with it.
    ledger.table("proposals")[number]["state"] = after


def _count(ledger: Ledger, number: str, proposal: Entry) -> Entry:
    """G2: some votes a block; a validator's own vote last, with what its delegators left to it."""
    state, snapshot = proposal["state"], proposal["snapshot_epoch"]
    tally = dict(state.get("tally", {"yes": 0, "no": 0, "abstain": 0, "veto": 0}))
    seats = {key: [choice, left] for key, choice, left in state.get("validators", [])}
    votes, prefix = ledger.table("votes"), f"{number}/"
    waiting = sorted(key for key in votes if key.startswith(prefix))
    budget = max(1, min(COUNTED_MAX, ledger["queue_work_max"]))
    for key in waiting[:budget]:
        choice = votes.pop(key)
        tally[choice] += _power(ledger, key[len(prefix):], choice, snapshot, seats)
    if waiting[budget:]:
        rows = [[key, *seat] for key, seat in sorted(seats.items())]
        last = waiting[budget - 1][len(prefix):]
        return {"kind": "counting", "after": last, "tally": tally, "validators": rows, "at_ms": ledger.now_ms + 1}
    for key, (choice, left) in seats.items():
        node = ledger.node(key)
        if choice is not None and node is not None and not node["disqualified"]:
            tally[choice] += _own_power(node, snapshot) + left
    return _decide(ledger, proposal, tally)


def _own_power(node: Entry, snapshot: int) -> int:
    return max(0, node["stake"] - stake.after(node["fresh"], snapshot))


def _shares_power(node: Entry, shares: int, fresh: stake.Fresh, snapshot: int) -> int:
    return 0 if node["disqualified"] else stake.worth(node["delegated"], max(0, shares - stake.after(fresh, snapshot)))


def _power(ledger: Ledger, voter: str, choice: str, snapshot: int, seats: dict[str, list]) -> int:
    node = ledger.node(voter)
    if node is not None and node["disqualified"]:
        return 0
    power = 0
    if node is not None and node["role"]["kind"] == "validator":
        _seat(seats, voter, node, snapshot)[0] = choice
    elif node is not None:
        power = _own_power(node, snapshot)
    for validator, delegation in stake.delegations_of(ledger, voter):
        node = ledger.node(validator)
        if node is not None:
            part = _shares_power(node, delegation["shares"], delegation["fresh"], snapshot)
            seat = _seat(seats, validator, node, snapshot)
            seat[1] = max(0, seat[1] - part)
            power += part
    return power


def _seat(seats: dict[str, list], key: str, node: Entry, snapshot: int) -> list:
    """What a validator votes for others is fixed when counting first meets it."""
    behind = _shares_power(node, node["delegated"]["shares"], node["fresh_shares"], snapshot)
    return seats.setdefault(key, [None, behind])


def _decide(ledger: Ledger, proposal: Entry, tally: dict[str, int]) -> Entry:
    outcome = _outcome(ledger, proposal["terms"]["action"], tally)
    deposit, proposal["deposit"] = proposal["deposit"], 0
    if outcome == "vetoed":
        ledger.meta["burned"] += deposit
    else:
        ledger.credit(proposal["proposer"], deposit)
    if outcome == "passed":
        return {"kind": "passed", "tally": tally, "executes_at_ms": late(ledger.now_ms + ledger["timelock_ms"])}
    return _ended(ledger, outcome, tally)


def _ended(ledger: Ledger, outcome: str, tally: dict[str, int]) -> Entry:
    return {"kind": "ended", "outcome": outcome, "tally": tally, "until_ms": late(ledger.now_ms + ledger["voting_ms"])}


def _outcome(ledger: Ledger, action: Entry, tally: dict[str, int]) -> str:
    bonded = ledger.meta["bonded"]
    decided = tally["yes"] + tally["no"] + tally["veto"]
    cast = decided + tally["abstain"]
    if cast == 0 or cast * WHOLE < bonded * ledger["quorum"]:
        return "no_quorum"
    if tally["veto"] * WHOLE >= cast * ledger["veto_share"]:
        return "vetoed"
    if _needs_supermajority(action):
        has_passed = tally["yes"] * WHOLE >= bonded * ledger["supermajority"]
    else:
        has_passed = tally["yes"] * WHOLE > decided * ledger["pass_share"]
    return "passed" if has_passed else "failed"


def _needs_supermajority(action: Entry) -> bool:
    if action["kind"] == "change_parameters":
        return any(BOUNDS.get(one["name"], {"is_critical": True})["is_critical"] for one in action["changes"])
    return action["kind"] in SUPERMAJORITY


def _carry_out(ledger: Ledger, action: Entry, tally: dict[str, int]) -> Entry:
    if _must_wait(ledger, action):
        next_ms = late(ledger.meta["epoch_started_ms"] + ledger["epoch_ms"])
        return {"kind": "passed", "tally": tally, "executes_at_ms": max(next_ms, ledger.now_ms + 1)}
    before = ledger.snapshot()
    try:
        _act(ledger, action)
    except Refused:
        ledger.restore(before)
        return _ended(ledger, "void", tally)
    return _ended(ledger, "executed", tally)


def _spend_room(ledger: Ledger) -> tuple[int, int]:
    """What this epoch's spends took, and what they may come to (G1)."""
    epoch, amount = ledger.meta["spent"]
    spent = amount if epoch == ledger.meta["epoch"] else 0
    return spent, share(ledger.meta["treasury"] + spent, ledger["treasury_spend_max"])


def _must_wait(ledger: Ledger, action: Entry) -> bool:
    if action["kind"] == "remove_validator":
        return bool(ledger.meta["removed_epoch"] == ledger.meta["epoch"])
    if action["kind"] == "spend_treasury":
        spent, room = _spend_room(ledger)
        alone = share(ledger.meta["treasury"], ledger["treasury_spend_max"])
        return bool(action["amount"] <= alone and spent + action["amount"] > room)
    return False


def _act(ledger: Ledger, action: Entry) -> None:
    kind, meta = action["kind"], ledger.meta
    if kind == "change_parameters":
        _change_parameters(ledger, action["changes"])
    elif kind == "spend_treasury":
        spent, room = _spend_room(ledger)
        needed = ends(spent + action["amount"])
        if needed > room:
            raise Refused("insufficient", needed=needed, available=room)
        meta["treasury"] = ends(meta["treasury"] - action["amount"])
        meta["spent"] = [meta["epoch"], needed]
        ledger.credit(action["to"], action["amount"])
    elif kind == "approve_profile":
        profile = action["profile"]
        fresh = {"profile": profile, "validators": [], "slashed": [0, 0], "draws": [0] * 3, "openings_spent": 0}
        ledger.table("profiles").setdefault(profile_id(profile), fresh)["listing"] = "approved"
    elif kind == "delist_profile":
        ledger.find("profiles", action["profile"], "profile")["listing"] = "delisted"
    elif kind == "restitute":
        restitute(ledger, str(action["slash"]))
    elif kind == "remove_validator":
        stake.remove_validator(ledger, action["validator"])
        meta["removed_epoch"] = meta["epoch"]
    elif kind == "upgrade":
        _check_upgrade(ledger, action)
        meta["upgrade"] = [action["height"], action["version"]]


def _change_parameters(ledger: Ledger, changes: list[Entry]) -> None:
    new, old_ms = changed_parameters(ledger, changes), ledger["emission_halving_ms"]
    if new["emission_halving_ms"] != old_ms:
        # M6: the new pace is for what the schedule has left.
        pool, began_ms = ledger.meta["emission_from"]
        started_ms = ledger.meta["epoch_started_ms"]
        ledger.meta["emission_from"] = [decayed(pool, max(0, started_ms - began_ms), old_ms), started_ms]
    ledger.parameters = new


RULES = {"propose": propose, "vote": vote}
