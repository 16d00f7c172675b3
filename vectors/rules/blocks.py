"""A block: seeds and the epoch before its transactions, what is due and matching after them."""

from __future__ import annotations

from . import agents, challenges, emission, governance, pool, slashing, stake, stalls, verdicts, workers
from .state import Entry, Ledger, digest

KNOWN_PROTOCOL = 1
NEVER = 1 << 64

# What is due in one block is handled by time, then in this order, then by key.
DUE = ["tasks", "leases", "segments", "stalls", "holds", "unbondings", "capabilities", "proposals", "runs", "challenges"]


def check(ledger: Ledger, block: Entry) -> Entry | None:
    """Why no chain goes on with this block (SPEC C1, C3, G1)."""
    meta = ledger.meta
    if block["height"] != meta["height"] + 1:
        return {"kind": "height", "expected": meta["height"] + 1, "found": block["height"]}
    needed = _protocol(meta, block["height"])
    if needed > KNOWN_PROTOCOL:
        return {"kind": "upgrade", "needed": needed, "known": KNOWN_PROTOCOL}
    if block["timestamp_ms"] <= meta["timestamp_ms"]:
        return {"kind": "timestamp", "parent": meta["timestamp_ms"], "found": block["timestamp_ms"]}
    return None


def _protocol(meta: Entry, height: int) -> int:
    upgrade = meta["upgrade"]
    return int(upgrade[1] if upgrade and upgrade[0] <= height else meta["protocol"])


def begin(ledger: Ledger, block: Entry) -> None:
    meta = ledger.meta
    if meta["upgrade"] and meta["upgrade"][0] <= block["height"]:
        meta |= {"protocol": meta["upgrade"][1], "upgrade": None}
    if ledger.now_ms - meta["timestamp_ms"] > ledger["pause_ms"]:
        meta["resumed_at_ms"] = ledger.now_ms
    emission.turn_epoch(ledger)
    for seed in block["seeds"]:
        _draw(ledger, seed)


def _draw(ledger: Ledger, seed: Entry) -> None:
    """C4: what was bound to the seed's view is drawn."""
    view, meta = seed["view"], ledger.meta
    beacon = digest("inferium/beacon/1", view.to_bytes(8, "big"), seed["signature"])
    if view > meta["beacon_view"]:
        meta |= {"beacon": beacon, "beacon_view": view}
    for table, rule in (("segments", verdicts.draw_committee), ("stalls", stalls.draw_relays)):
        for key, entry in sorted(ledger.table(table).items()):
            if entry["state"]["kind"] == "awaiting_seed" and entry["state"]["view"] == view:
                rule(ledger, key, beacon)


def _due_ms(table: str, entry: Entry) -> int:
    if table == "challenges" and not challenges.is_open(entry):
        return NEVER
    if table == "runs":
        return int(NEVER if entry["ends_at_ms"] is None else entry["ends_at_ms"])
    if table == "capabilities":
        return int(entry["draw_at_ms"] if entry["call_due_ms"] is None else entry["call_due_ms"])
    if table == "leases" and entry["state"]["kind"] == "active":
        return int(entry["expires_at_ms"])
    # V5: what is final and asked for waits for its opening alone.
    if table == "segments" and entry["opening"]["kind"] == "asked" and entry["state"]["kind"] == "final":
        return int(entry["opening"]["until_ms"])
    state = entry.get("state", entry)
    names = (
        "until_ms", "due_at_ms", "settles_at_ms", "closes_at_ms", "at_ms", "executes_at_ms", "releases_at_ms",
        "matures_at_ms", "expires_at_ms",
    )
    return int(next(state[name] for name in names if name in state))


RULES = {
    "tasks": pool.expire_task, "leases": pool.advance_lease, "segments": verdicts.advance, "stalls": stalls.advance,
    "holds": slashing.release, "unbondings": stake.mature, "capabilities": workers.advance,
    "proposals": governance.advance, "runs": agents.remove, "challenges": challenges.advance,
}


def finish(ledger: Ledger) -> None:
    due = []
    for place, table in enumerate(DUE):
        for key, entry in ledger.table(table).items():
            at_ms = _due_ms(table, entry)
            if at_ms <= ledger.now_ms:
                due.append((at_ms, place, key.rjust(64, "0"), key))
    for _, place, _, key in sorted(due):
        if key in ledger.table(DUE[place]):
            RULES[DUE[place]](ledger, key)
    verdicts.go_on_without_vacated(ledger)
    emission.pay(ledger)
    pool.match(ledger)
