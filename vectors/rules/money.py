"""Accounts (SPEC M)."""

from __future__ import annotations

from .state import Entry, Ledger


def transfer(ledger: Ledger, operation: Entry) -> None:
    ledger.debit(operation["sender"], operation["amount"])
    ledger.credit(operation["to"], operation["amount"])


RULES = {"transfer": transfer}
