"""Stake on its way in and out (SPEC M7): own, delegated, and the pools of shares behind it."""

from __future__ import annotations

from .state import WHOLE, Entry, Ledger, Refused, ends, late, share

DELEGATIONS_MAX = 16
SHARES_MAX = 1 << 70
COMMISSION_MAX = 500_000
COMMISSION_RISE_MAX = 10_000
FRESH_MAX = 8
FRESH_GRID = 6

Fresh = list[list[int]]


# Pools of shares.


def worth(pool: Entry, shares: int) -> int:
    return shares * pool["tokens"] // pool["shares"] if pool["shares"] else 0


def put_in(pool: Entry, amount: int) -> int:
    """Adds stake at the present worth of a share; how many shares that makes."""
    if pool["shares"] == 0:
        shares = amount
    elif pool["tokens"] == 0:
        raise Refused("wrong_state", what="adding to stake that was slashed to nothing")
    else:
        shares = amount * pool["shares"] // pool["tokens"]
    if pool["shares"] + shares > SHARES_MAX:
        raise Refused("overflow")
    if shares == 0:
        raise Refused("out_of_bounds", field="amount")
    pool["tokens"] = ends(pool["tokens"] + amount)
    pool["shares"] += shares
    return shares


def take_out(pool: Entry, shares: int) -> int:
    shares = min(shares, pool["shares"])
    amount = worth(pool, shares)
    pool["shares"] -= shares
    pool["tokens"] -= amount
    return amount


def cut(pool: Entry, parts: int) -> int:
    """A slash takes its share of what everyone has."""
    taken = share(pool["tokens"], parts)
    pool["tokens"] -= taken
    return taken


def give(pool: Entry, amount: int) -> int:
    """A reward is everyone's; what is left of it when there is nobody."""
    if pool["shares"] == 0:
        return amount
    pool["tokens"] += amount
    return 0


# Stake without a vote on what was proposed before it came (SPEC G2).


def oldest_snapshot(ledger: Ledger) -> int:
    """The oldest epoch that an open vote asks about, or the next one could."""
    last = max(0, ledger.meta["epoch"] - 1)
    proposals = sorted(ledger.table("proposals").items(), key=lambda item: int(item[0]))
    open_ones = [one["snapshot_epoch"] for _, one in proposals if one["state"]["kind"] in ("voting", "counting")]
    return min([last, *open_ones[:1]])


def note(fresh: Fresh, epoch: int, oldest: int, added: int) -> None:
    fresh[:] = [item for item in fresh if item[0] > oldest]
    if fresh and fresh[-1][0] == epoch:
        fresh[-1][1] += added
    else:
        fresh.append([epoch, added])
    if len(fresh) > FRESH_MAX:
        _round(fresh, epoch, epoch - oldest)


def _round(fresh: Fresh, epoch: int, window: int) -> None:
    """Fewer epochs are told apart, each counted as the next on a grid of powers of two."""
    width = 1
    while width < -(-window // FRESH_GRID):
        width *= 2
    merged: dict[int, int] = {}
    for at, added in fresh:
        at = min(-(-at // width) * width, epoch)
        merged[at] = merged.get(at, 0) + added
    fresh[:] = [[at, added] for at, added in merged.items()]


def take_youngest(fresh: Fresh, oldest: int, count: int) -> Fresh:
    """What leaves is the youngest first; what was taken, by epoch."""
    fresh[:] = [item for item in fresh if item[0] > oldest]
    taken = []
    while fresh:
        at, added = fresh.pop()
        part = min(added, count)
        count -= part
        taken.append([at, part])
        if part < added:
            fresh.append([at, added - part])
            break
    return taken


def take_same(fresh: Fresh, oldest: int, taken: Fresh) -> None:
    """The sum of several loses what one of them lost."""
    fresh[:] = [item for item in fresh if item[0] > oldest]
    for epoch, count in taken:
        for item in (item for item in fresh if item[0] >= epoch):
            part = min(count, item[1])
            item[1] -= part
            count -= part
    fresh[:] = [item for item in fresh if item[1] > 0]


def after(fresh: Fresh, epoch: int) -> int:
    return sum(added for at, added in fresh if at > epoch)


# Bonding.


def is_owner(node: Entry, key: str, sender: str) -> bool:
    return sender in (key, node["operator"])


def is_self_bonded(own: int, delegated: int, least: int) -> bool:
    return delegated == 0 or own * WHOLE >= (own + delegated) * least


def bond(ledger: Ledger, operation: Entry) -> None:
    key, sender, amount = operation["node"], operation["sender"], operation["amount"]
    node = ledger.find("nodes", key, "node")
    if node["disqualified"]:
        raise Refused("disqualified")
    if amount == 0:
        raise Refused("out_of_bounds", field="amount")
    if is_owner(node, key, sender):
        ledger.debit(sender, amount)
        node["stake"] = ends(node["stake"] + amount)
        note(node["fresh"], ledger.meta["epoch"], oldest_snapshot(ledger), amount)
    else:
        _delegate(ledger, node, key, sender, amount)
    ledger.rebond(amount)


def delegations_of(ledger: Ledger, sender: str) -> list[tuple[str, Entry]]:
    """What an account delegated, by validator."""
    mine = [(key, one) for key, one in sorted(ledger.table("delegations").items()) if key.startswith(f"{sender}/")]
    return [(key.split("/")[1], one) for key, one in mine]


def _delegate(ledger: Ledger, node: Entry, key: str, sender: str, amount: int) -> None:
    if node["role"]["kind"] != "validator":
        raise Refused("not_allowed", expected="the node or its operator: only validators take delegations")
    if amount < ledger["delegation_min"]:
        raise Refused("insufficient", needed=ledger["delegation_min"], available=amount)
    if node["holds"]:
        raise Refused("wrong_state", what="delegating while slashed stake is held")
    behind = ends(node["delegated"]["tokens"] + amount)
    if not is_self_bonded(node["stake"], behind, ledger["self_bond_min"]):
        raise Refused("out_of_bounds", field="delegation: the validator's own stake is too small")
    name = f"{sender}/{key}"
    if name not in ledger.table("delegations") and len(delegations_of(ledger, sender)) >= DELEGATIONS_MAX:
        raise Refused("out_of_bounds", field="delegations")
    ledger.debit(sender, amount)
    shares = put_in(node["delegated"], amount)
    epoch, oldest = ledger.meta["epoch"], oldest_snapshot(ledger)
    note(node["fresh_shares"], epoch, oldest, shares)
    delegation = ledger.table("delegations").setdefault(name, {"shares": 0, "fresh": []})
    delegation["shares"] += shares
    note(delegation["fresh"], epoch, oldest, shares)


def unbond(ledger: Ledger, operation: Entry) -> None:
    key, sender, amount = operation["node"], operation["sender"], operation["amount"]
    node = ledger.find("nodes", key, "node")
    if amount == 0:
        raise Refused("out_of_bounds", field="amount")
    if is_owner(node, key, sender):
        _check_leaving(ledger, node, amount)
        node["stake"] -= amount
        ledger.rebond(-amount)
        take_youngest(node["fresh"], oldest_snapshot(ledger), amount)
        # Own stake comes back to the operator.
        start_unbonding(ledger, key, node, node["operator"], amount)
        return
    taken = _undelegate(ledger, node, key, sender, amount)
    ledger.rebond(-taken)
    start_unbonding(ledger, key, node, sender, taken)


def _undelegate(ledger: Ledger, node: Entry, key: str, sender: str, amount: int) -> int:
    name, pool = f"{sender}/{key}", node["delegated"]
    delegation = ledger.find("delegations", name, "delegation")
    # The least number of shares that are worth it.
    shares = -(-amount * pool["shares"] // pool["tokens"]) if pool["tokens"] else None
    if shares is None or shares > delegation["shares"]:
        raise Refused("insufficient", needed=amount, available=worth(pool, delegation["shares"]))
    if worth(pool, delegation["shares"] - shares) == 0:
        shares = delegation["shares"]
    delegation["shares"] -= shares
    oldest = oldest_snapshot(ledger)
    take_same(node["fresh_shares"], oldest, take_youngest(delegation["fresh"], oldest, shares))
    if delegation["shares"] == 0:
        del ledger.table("delegations")[name]
    return take_out(pool, shares)


def _check_leaving(ledger: Ledger, node: Entry, amount: int) -> None:
    """A node keeps the least stake of its role or leaves whole."""
    if node["stake"] < amount:
        raise Refused("insufficient", needed=amount, available=node["stake"])
    left, role = node["stake"] - amount, node["role"]["kind"]
    least = ledger[{"worker": "worker_stake_min", "gateway": "gateway_bond_min"}.get(role, "validator_stake_min")]
    may_leave = {"worker": node["unsettled"] == 0, "gateway": True, "validator": node["disqualified"]}[role]
    if left < least and not (left == 0 and may_leave):
        raise Refused("insufficient", needed=least, available=left)
    if not is_self_bonded(left, node["delegated"]["tokens"], ledger["self_bond_min"]):
        raise Refused("out_of_bounds", field="own stake: too small for what is delegated")


def start_unbonding(ledger: Ledger, key: str, node: Entry, account: str, amount: int) -> None:
    from .pool import dismiss
    from .workers import lose_tier

    shares = put_in(node["unbonding"], amount)
    if node["stake"] == 0:
        lose_tier(ledger, key)
        dismiss(ledger, key)
    number = ledger.meta["unbondings"]
    ledger.meta["unbondings"] = number + 1
    ledger.table("unbondings")[str(number)] = {
        "node": key, "account": account, "shares": shares, "matures_at_ms": late(ledger.now_ms + ledger["unbond_ms"]),
        "waited": False,
    }


def mature(ledger: Ledger, number: str) -> None:
    """A withdrawal is due: it is paid, or waits once for slashes that are held."""
    one = ledger.table("unbondings")[number]
    node = ledger.table("nodes")[one["node"]]
    if node["holds"] and not one["waited"]:
        one |= {"waited": True, "matures_at_ms": late(ledger.now_ms + ledger["slash_hold_ms"])}
        return
    del ledger.table("unbondings")[number]
    ledger.credit(one["account"], take_out(node["unbonding"], one["shares"]))


def set_commission(ledger: Ledger, operation: Entry) -> None:
    commission = operation["commission"]
    node = ledger.acting(operation["sender"], "validator", "a validator")
    epoch, shares = ledger.meta["epoch"], node["delegated"]["shares"]
    # M7: what counts is the commission before the epoch's first change; nobody is charged before one delegates.
    if shares == 0:
        node["commission_before"] = [epoch, commission]
    elif node["commission_before"][0] != epoch:
        node["commission_before"] = [epoch, node["commission"]]
    if shares and commission > node["commission_before"][1] + COMMISSION_RISE_MAX:
        raise Refused("out_of_bounds", field="commission: it may rise by one percent an epoch")
    if commission > COMMISSION_MAX:
        raise Refused("out_of_bounds", field="commission")
    node["commission"] = commission


def pay_validator(ledger: Ledger, key: str, amount: int) -> None:
    """Delegators get their part by stake less the commission, the validator the rest."""
    node = ledger.node(key)
    if node is None:
        ledger.credit(key, amount)
        return
    behind = node["delegated"]["tokens"]
    part = amount * behind // (behind + node["stake"]) if behind + node["stake"] else 0
    shared = part - share(part, node["commission"])
    left = give(node["delegated"], shared)
    ledger.rebond(shared - left)
    ledger.credit(key, amount - shared + left)


def remove_validator(ledger: Ledger, key: str) -> None:
    """SPEC G1: a vote takes seat and duties; the stake unbonds."""
    node = ledger.node(key)
    if node is None or node["role"]["kind"] != "validator":
        raise Refused("unknown", what="validator")
    if node["disqualified"]:
        raise Refused("disqualified")
    stake = node["stake"]
    node |= {"disqualified": True, "removed": True, "stake": 0}
    ledger.vacated.add(key)
    ledger.rebond(-stake)
    if stake:
        start_unbonding(ledger, key, node, node["operator"], stake)


RULES = {"bond": bond, "unbond": unbond, "set_commission": set_commission}
