"""What every rule works on: tables of entries, numbers that end, digests."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from .schema import META, TABLES

Entry = dict[str, Any]

WIDE_MAX = (1 << 64) - 1
WHOLE = 1_000_000
ONE = 1 << 64


class Refused(Exception):
    """A typed rejection: its kind and its fields."""

    def __init__(self, kind: str, **fields: Any) -> None:
        super().__init__(kind)
        self.error: Entry = {"kind": kind, **fields}


def ends(number: int) -> int:
    """A number that may not leave its range (SPEC M1)."""
    if not 0 <= number <= WIDE_MAX:
        raise Refused("overflow")
    return number


def late(number: int) -> int:
    """A time: past the end of numbers it is never."""
    return min(number, WIDE_MAX)


def share(amount: int, parts: int) -> int:
    """So many parts per million, rounded down."""
    return amount * parts // WHOLE


def part_of(amount: int, parts: int, whole: int) -> int:
    """`parts` of `whole` of an amount; of a whole beyond 64 bits the lowest bits do not count."""
    shift = max(0, whole.bit_length() - 64)
    parts, whole = parts >> shift, whole >> shift
    return min(amount * parts // whole, amount) if whole else 0


def split(amount: int, count: int) -> int:
    return amount // count if count else 0


def digest(domain: str, *parts: bytes | str) -> str:
    """SHA-256 over a domain and parts, each after its length; ids come and go in hex."""
    hashed = hashlib.sha256()
    for part in (domain.encode(), *parts):
        raw = bytes.fromhex(part) if isinstance(part, str) else part
        hashed.update(len(raw).to_bytes(4, "big") + raw)
    return hashed.hexdigest()


def draw(of: str, bound: int) -> int:
    """A number below `bound`, by the first eight bytes of a digest."""
    return (int(of[:16], 16) * bound) >> 64


def _roots() -> list[int]:
    last, roots = 1 << 63, []
    for _ in range(32):
        last = math.isqrt(last << 64)
        roots.append(last)
    return roots


ROOTS = _roots()


def decayed(amount: int, elapsed_ms: int, half_life_ms: int) -> int:
    """amount x 2^(-elapsed / half-life) in 64 binary places, to the nearest (SPEC M6, R1)."""
    halvings, rest = divmod(elapsed_ms, half_life_ms)
    fraction, factor = (rest << 32) // half_life_ms, ONE
    for position, root in enumerate(ROOTS):
        if fraction >> (31 - position) & 1:
            factor = factor * root >> 64
    factor = factor >> halvings if halvings < 128 else 0
    return min((amount * factor + (ONE >> 1)) >> 64, amount)


class Ledger:
    """A state, and the block in which it changes."""

    def __init__(self, pre: Entry, parameters: dict[str, int], place: Entry) -> None:
        self.tables: dict[str, Entry] = {name: deepcopy(pre.get(name, {})) for name in TABLES}
        self.meta: Entry = {name: deepcopy(value) for name, (_, value) in META.items()}
        self.meta |= deepcopy(pre.get("meta", {}))
        self.parameters = parameters | self.meta.pop("parameters")
        self.height: int = place["height"]
        self.view: int = place["view"]
        self.now_ms: int = place["timestamp_ms"]
        # Nodes that may have lost their seats in committees.
        self.vacated: set[str] = set()
        if self.meta["epoch_started_ms"] is None:
            self.meta["epoch_started_ms"] = self.now_ms

    def __getitem__(self, name: str) -> Any:
        """A parameter in force."""
        return self.parameters[name]

    def table(self, name: str) -> Entry:
        return self.tables[name]

    def find(self, table: str, key: str, what: str) -> Entry:
        """The entry of this key, or the refusal that there is none."""
        entry: Entry | None = self.tables[table].get(key)
        if entry is None:
            raise Refused("unknown", what=what)
        return entry

    def node(self, key: str) -> Entry | None:
        return self.tables["nodes"].get(key)

    def nodes(self, role: str) -> Iterator[tuple[str, Entry]]:
        """Nodes of a role, ascending."""
        return ((key, node) for key, node in sorted(self.tables["nodes"].items()) if node["role"]["kind"] == role)

    def operator_of(self, key: str) -> str | None:
        node = self.node(key)
        return node["operator"] if node else None

    def is_active(self, node: Entry, epoch: int | None = None) -> bool:
        epoch = self.meta["epoch"] if epoch is None else epoch
        return not node["disqualified"] and node["active_from_epoch"] <= epoch

    def acting(self, sender: str, role: str, expected: str) -> Entry:
        """The sender's node, when it has the role and may work now (SPEC S3)."""
        node = self.node(sender)
        if node is None or node["role"]["kind"] != role:
            raise Refused("not_allowed", expected=expected)
        operator = self.tables["operators"].get(node["operator"])
        barred = operator is None or operator["barred"]
        if node["disqualified"] or (barred and role != "validator"):
            raise Refused("disqualified")
        if not self.is_active(node):
            raise Refused("jailed", until=node["active_from_epoch"])
        return node

    # Money.

    def account(self, key: str) -> Entry:
        return self.tables["accounts"].get(key, {"balance": 0, "nonce": 0})

    def credit(self, key: str, amount: int) -> None:
        if amount:
            account = self.account(key)
            self.tables["accounts"][key] = account | {"balance": ends(account["balance"] + amount)}

    def debit(self, key: str, amount: int) -> None:
        account = self.account(key)
        if account["balance"] < amount:
            raise Refused("insufficient", needed=amount, available=account["balance"])
        self.tables["accounts"][key] = account | {"balance": account["balance"] - amount}

    def rebond(self, change: int) -> None:
        """The sum of all bonded stake follows each change of a node's."""
        self.meta["bonded"] += change

    # What a case starts from and comes to.

    def snapshot(self) -> Entry:
        return deepcopy({"tables": self.tables, "meta": self.meta, "parameters": self.parameters})

    def restore(self, kept: Entry) -> None:
        self.tables, self.meta, self.parameters = kept["tables"], kept["meta"], kept["parameters"]


def changes(before: Entry, after: Entry, usual: dict[str, int]) -> Entry:
    """The entries and fields of meta in which two snapshots differ; `None` is a removed entry."""
    found: Entry = {}
    for name, old in before["tables"].items():
        new = after["tables"][name]
        keys = [key for key in sorted(set(old) | set(new)) if old.get(key) != new.get(key)]
        if keys:
            found[name] = {key: new.get(key) for key in keys}
    of_block = ("height", "timestamp_ms")
    meta = {
        name: value for name, value in after["meta"].items() if value != before["meta"][name] and name not in of_block
    }
    if before["parameters"] != after["parameters"]:
        meta["parameters"] = {n: v for n, v in after["parameters"].items() if v != usual[n]}
    return found | ({"meta": meta} if meta else {})
