"""Operators, nodes and profiles (SPEC N)."""

from __future__ import annotations

from .encoding import boards, hosts, private, profile_id, prover, trainer
from .stake import note, oldest_snapshot
from .state import Entry, Ledger, Refused, late

URL_SIZE_MAX = 256
NAME_SIZE_MAX = 128
EMBEDDING_WIDTH_MAX = 4_096


def register_operator(ledger: Ledger, operation: Entry) -> None:
    sender, bond = operation["sender"], operation["bond"]
    if sender in ledger.table("operators"):
        raise Refused("exists", what="operator")
    if bond < ledger["operator_bond_min"]:
        raise Refused("insufficient", needed=ledger["operator_bond_min"], available=bond)
    ledger.debit(sender, bond)
    ledger.table("operators")[sender] = {"bond": bond, "barred": False}


def new_node(role: Entry, operator: str, stake: int) -> Entry:
    nobodys = {"tokens": 0, "shares": 0}
    return {
        "role": role, "operator": operator, "stake": stake, "active_from_epoch": 0, "beacon_from_view": 0,
        "faults_ms": [], "unsettled": 0, "disqualified": False, "removed": False, "delegated": nobodys,
        "unbonding": dict(nobodys), "commission": 0, "commission_before": [0, 0], "holds": 0, "fresh": [], "fresh_shares": [],
    }


def register_node(ledger: Ledger, operation: Entry) -> None:
    sender, role, stake = operation["sender"], operation["role"], operation["stake"]
    known = ledger.node(sender)
    if known:
        # SPEC S3: a key that was disqualified never comes back.
        raise Refused("disqualified") if known["disqualified"] else Refused("exists", what="node")
    operator = ledger.find("operators", operation["operator"], "operator")
    if operator["barred"]:
        raise Refused("disqualified")
    if not operation["signed_by_operator"]:
        raise Refused("signature", whose="operator's")
    if role["kind"] == "validator":
        # SPEC C5: seats are those of the genesis.
        raise Refused("not_allowed", expected="a seat of the genesis")
    if role["kind"] == "gateway":
        check_url(role["url"])
    least = ledger["worker_stake_min" if role["kind"] == "worker" else "gateway_bond_min"]
    if stake < least:
        raise Refused("insufficient", needed=least, available=stake)
    ledger.debit(sender, stake)
    node = new_node(role, operation["operator"], stake)
    # SPEC N1: seeds that were known when it registered give it nothing.
    node["beacon_from_view"] = late(ledger.view + ledger["draw_delay_views"])
    note(node["fresh"], ledger.meta["epoch"], oldest_snapshot(ledger), stake)
    ledger.table("nodes")[sender] = node
    ledger.rebond(stake)


def check_url(url: str) -> None:
    if len(url.encode()) > URL_SIZE_MAX or not url.startswith(("http://", "https://")):
        raise Refused("out_of_bounds", field="url")


def set_url(ledger: Ledger, operation: Entry) -> None:
    check_url(operation["url"])
    node = ledger.find("nodes", operation["sender"], "node")
    if node["role"]["kind"] == "worker":
        raise Refused("not_allowed", expected="a validator or gateway")
    node["role"]["url"] = operation["url"]


def is_well_formed(profile: Entry) -> bool:
    """SPEC J8, V9: vectors have a width, and are verified by equality; bounds of foreign profiles bind."""
    task, engine = profile["task"], profile["engine"]
    if engine["kind"] == "foreign":
        bounds = engine["bounds"]
        drift, margin, outside = bounds["drift"], bounds["margin_micro"], bounds["outside"]
        if not (10_000 <= drift <= 200_000 and 500_000 <= margin <= 4_000_000 and 5_000 <= outside <= 20_000):
            return False
    if task["kind"] == "embed":
        if not 0 < task["width"] <= EMBEDDING_WIDTH_MAX or profile["engine"]["kind"] != "canonical":
            return False
    # A2: of hosts there is one profile.
    if task["kind"] == "host" and profile != hosts():
        return False
    # L2: so it is with boards.
    if task["kind"] == "fold" and profile != boards():
        return False
    # X3: of training there is one for each arithmetic.
    if task["kind"] == "train" and (engine["kind"] != "canonical" or profile != trainer(engine["build"])):
        return False
    # V10: of proofs there is one for each verifier's key.
    if task["kind"] == "prove" and (engine["kind"] != "canonical" or profile != prover(engine["build"])):
        return False
    # V12: of private weights one for each key, name and number of openings.
    if task["kind"] == "prove_private":
        if engine["kind"] != "canonical" or task["openings"] == 0:
            return False
        if profile != private(profile["name"], engine["build"], task["openings"]):
            return False
    return 0 < len(profile["name"].encode()) <= NAME_SIZE_MAX


def declare_profile(ledger: Ledger, operation: Entry) -> None:
    """SPEC N4: a validator lists what it can replay."""
    sender, profile = operation["sender"], operation["profile"]
    ledger.acting(sender, "validator", "a validator")
    if not is_well_formed(profile):
        raise Refused("out_of_bounds", field="profile")
    fresh = {"profile": profile, "validators": [], "listing": "declared", "slashed": [0, 0], "draws": [0] * 3,
             "openings_spent": 0}
    entry = ledger.table("profiles").setdefault(profile_id(profile), fresh)
    if sender in entry["validators"]:
        raise Refused("exists", what="declaration")
    entry["validators"] = sorted([*entry["validators"], sender])


RULES = {
    "register_operator": register_operator, "register_node": register_node, "set_url": set_url,
    "declare_profile": declare_profile,
}
