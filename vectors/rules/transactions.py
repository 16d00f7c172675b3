"""Transactions: nonce, fee, and what a refusal leaves (SPEC M3, C9)."""

from __future__ import annotations

from collections.abc import Callable

from . import agents, challenges, forced, governance, money, nodes, pool, segments, slashing, stake, stalls, verdicts
from .state import Entry, Ledger, Refused, ends

SIZE_MAX = 64 * 1024
# V11: operands and weights of one tile of any model.
REFUTATION_SIZE_MAX = 384 * 1024
DUTIES = {
    "commit_segment", "open_segments", "commit_verdict", "submit_verdict", "certify_delivery", "answer_stall",
    "show_trace",
}

RULES: dict[str, Callable[[Ledger, Entry], None]] = (
    money.RULES | nodes.RULES | pool.RULES | segments.RULES | verdicts.RULES | stalls.RULES | slashing.RULES
    | stake.RULES | governance.RULES | forced.RULES | agents.RULES | challenges.RULES
)


def include(ledger: Ledger, operation: Entry) -> Entry | None:
    """Executes a transaction; its error, if it is refused.

    What can't be charged changes nothing, and neither does a duty that is refused. Everything else
    costs its fee and its nonce whatever comes of it.
    """
    untouched = ledger.snapshot()
    try:
        _charge(ledger, operation)
    except Refused as refused:
        ledger.restore(untouched)
        return refused.error
    charged = ledger.snapshot()
    try:
        RULES[operation["kind"]](ledger, operation)
    except Refused as refused:
        ledger.restore(untouched if operation["kind"] in DUTIES else charged)
        return refused.error
    return None


def _charge(ledger: Ledger, operation: Entry) -> None:
    size, sender, nonce = operation["size"], operation["sender"], operation["nonce"]
    limit = REFUTATION_SIZE_MAX if operation["kind"] == "refute_trace" else SIZE_MAX
    if size > limit:
        raise Refused("too_large", found=size, limit=limit)
    account = ledger.account(sender)
    if nonce != account["nonce"]:
        kind = "nonce_too_low" if nonce < account["nonce"] else "nonce_too_high"
        raise Refused(kind, expected=account["nonce"], found=nonce)
    is_free = operation["kind"] in DUTIES
    fee = 0 if is_free else ends(ledger["fee_base"] + ends(ledger["fee_per_byte"] * size))
    if account["balance"] < fee:
        raise Refused("fee_unpayable", fee=fee, balance=account["balance"])
    charged = {"balance": account["balance"] - fee, "nonce": ends(nonce + 1)}
    ledger.meta["validator_pool"] = ends(ledger.meta["validator_pool"] + fee)
    ledger.table("accounts")[sender] = charged
