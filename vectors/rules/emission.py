"""What validators share and what the reward pool adds (SPEC M5, M6)."""

from __future__ import annotations

from .stake import pay_validator
from .state import Entry, Ledger, decayed, part_of, share, split


def _add(ledger: Ledger, node: str, fees: int, weight: int, duties: int) -> None:
    key = f"{ledger.meta['epoch']}/{node}"
    work = ledger.table("epoch_works").setdefault(key, {"fees": 0, "weight": 0, "duties": 0})
    work["fees"] += fees
    work["weight"] += weight
    work["duties"] += duties


def count_work(ledger: Ledger, worker: str, fee: int, priority: int) -> None:
    _add(ledger, worker, fee, fee * priority, 0)


def count_duty(ledger: Ledger, validator: str) -> None:
    _add(ledger, validator, 0, 0, 1)


def _works(ledger: Ledger) -> list[tuple[int, str, Entry]]:
    keys = ((key.split("/"), work) for key, work in ledger.table("epoch_works").items())
    return sorted(((int(epoch), node, work) for (epoch, node), work in keys), key=lambda item: item[:2])


def _limit(ledger: Ledger, fees: int) -> int:
    """At most half of the part of fees that is not the worker's."""
    return share(fees - share(fees, ledger["fee_share_worker"]), ledger["emission_fee_max"])


def turn_epoch(ledger: Ledger) -> None:
    """C5: epochs are spans of time; none starts late because a block did."""
    meta, length = ledger.meta, ledger["epoch_ms"]
    count = (ledger.now_ms - meta["epoch_started_ms"]) // length
    if count == 0:
        return
    ended_ms = meta["epoch_started_ms"] + count * length
    _share_fees(ledger)
    _set_free(ledger, ended_ms)
    meta["epoch"] += count
    meta["epoch_started_ms"] = ended_ms


def _share_fees(ledger: Ledger) -> None:
    active = [key for key, node in ledger.nodes("validator") if ledger.is_active(node)]
    part = split(ledger.meta["validator_pool"], len(active))
    for validator in active:
        pay_validator(ledger, validator, part)
    ledger.meta["validator_pool"] -= part * len(active)


def _set_free(ledger: Ledger, ended_ms: int) -> None:
    meta = ledger.meta
    epoch, (pool, began_ms) = meta["epoch"], meta["emission_from"]
    works = [work for of, _, work in _works(ledger) if of == epoch]
    if not works:
        return
    halving_ms = ledger["emission_halving_ms"]
    before = decayed(pool, max(0, meta["epoch_started_ms"] - began_ms), halving_ms)
    increment = min(before - decayed(pool, max(0, ended_ms - began_ms), halving_ms), meta["reward_pool"])
    by_fees = _limit(ledger, sum(work["fees"] for work in works))
    for_workers, most = share(increment, ledger["emission_share_workers"]), share(by_fees, ledger["emission_share_workers"])
    ledger.table("epoch_rewards")[str(epoch)] = {
        "workers": min(for_workers, most), "validators": min(increment - for_workers, by_fees - most),
        "weight": sum(work["weight"] for work in works), "duties": sum(work["duties"] for work in works),
    }


def pay(ledger: Ledger) -> None:
    """What ended epochs emit; a budget of thousands in a block is never met by a vector."""
    now = ledger.meta["epoch"]
    for epoch, node, work in [item for item in _works(ledger) if item[0] < now]:
        del ledger.table("epoch_works")[f"{epoch}/{node}"]
        reward = ledger.table("epoch_rewards").get(str(epoch))
        if reward is not None:
            _emit(ledger, node, work, reward)
    for epoch in [epoch for epoch in ledger.table("epoch_rewards") if int(epoch) < now]:
        del ledger.table("epoch_rewards")[epoch]


def _emit(ledger: Ledger, key: str, work: Entry, reward: Entry) -> None:
    node = ledger.node(key)
    if node is None or node["disqualified"]:
        return
    is_validator = node["role"]["kind"] == "validator"
    if is_validator:
        amount = part_of(reward["validators"], work["duties"], reward["duties"])
    else:
        own = share(_limit(ledger, work["fees"]), ledger["emission_share_workers"])
        amount = min(part_of(reward["workers"], work["weight"], reward["weight"]), own)
    amount = min(amount, ledger.meta["reward_pool"])
    ledger.meta["reward_pool"] -= amount
    if is_validator and amount:
        pay_validator(ledger, key, amount)
    else:
        ledger.credit(key, amount)
