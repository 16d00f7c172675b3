"""Agents, their runs, and what they spend (SPEC A)."""

from __future__ import annotations

import re

from . import pool, statistics
from .encoding import (
    agent_account, agent_id, hosts_id, is_consistent, lease_id, order_in_step, root_of_path, version_of,
)
from .state import Entry, Ledger, Refused, ends, late, share

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?\Z")
STEPS_MAX, TOKENS_MAX, TOOL_CALLS_MAX, RUN_MS_MIN = 64, 65_536, 256, 1_000
STEPS_WAIT_MS = 1_000
PROOFS = ("prove", "prove_private")
NOTHING: Entry = {"per_run": 0, "per_day": 0, "recipients": {"kind": "nobody"}, "expires_at_ms": 0}
RECIPIENTS_MAX = 32
DAY_MS = 86_400_000


def is_of(ledger: Ledger, profile: str, task: str) -> bool:
    """Whether a profile that was declared does this."""
    entry = ledger.table("profiles").get(profile)
    return entry is not None and bool(entry["profile"]["task"]["kind"] == task)


def is_proof(ledger: Ledger, profile: str) -> bool:
    """V10, V12: what proofs are made on."""
    return any(is_of(ledger, profile, task) for task in PROOFS)


def check_models(ledger: Ledger, profile: str) -> None:
    """A2, L2, X3, V10, V12: hosts, boards, training and proofs have no model."""
    if any(is_of(ledger, profile, task) for task in ("host", "fold", "train", *PROOFS)):
        raise Refused("profile", expected="a model's")


# Policies.


def _may_pay(policy: Entry, account: str) -> bool:
    recipients = policy["recipients"]
    return recipients["kind"] == "anybody" or account in recipients.get("accounts", [])


def _meet(one: Entry, other: Entry) -> Entry:
    """A1: what both allow."""
    kinds = [policy["recipients"]["kind"] for policy in (one, other)]
    if "nobody" in kinds:
        recipients: Entry = {"kind": "nobody"}
    elif kinds[0] == "anybody":
        recipients = other["recipients"]
    elif kinds[1] == "anybody":
        recipients = one["recipients"]
    else:
        both = [account for account in one["recipients"]["accounts"] if _may_pay(other, account)]
        recipients = {"kind": "listed", "accounts": both} if both else {"kind": "nobody"}
    caps = {name: min(one[name], other[name]) for name in ("per_run", "per_day", "expires_at_ms")}
    return caps | {"recipients": recipients}


def _is_within(policy: Entry, other: Entry) -> bool:
    """A1: all that it allows the other allows as well."""
    if any(policy[name] > other[name] for name in ("per_run", "per_day", "expires_at_ms")):
        return False
    kind = policy["recipients"]["kind"]
    if kind == "anybody":
        return bool(other["recipients"]["kind"] == "anybody")
    return kind == "nobody" or all(_may_pay(other, account) for account in policy["recipients"]["accounts"])


def _policy(ledger: Ledger, agent: Entry) -> Entry:
    """The policy in force."""
    waiting = agent["widening"]
    policy: Entry = waiting["policy"] if waiting and waiting["from_ms"] <= ledger.now_ms else agent["terms"]["policy"]
    return policy


def _settled(ledger: Ledger, agent: Entry) -> Entry:
    """With a wider policy that came into force in its place."""
    waiting = agent["widening"]
    is_due = waiting is not None and waiting["from_ms"] <= ledger.now_ms
    terms = agent["terms"] | {"policy": _policy(ledger, agent)}
    return agent | {"terms": terms, "widening": None if is_due else waiting}


def run_max(policy: Entry) -> int:
    return 0 if policy["recipients"]["kind"] == "nobody" else int(min(policy["per_run"], policy["per_day"]))


# Publishing.


def _check_terms(ledger: Ledger, terms: Entry) -> None:
    limits = terms["limits"]
    bounds = [
        ("price", terms["price"] > 0),
        ("limits", all([
            0 < limits["steps"] <= STEPS_MAX, 0 < limits["tokens"] <= TOKENS_MAX,
            limits["tool_calls"] <= TOOL_CALLS_MAX, limits["run_ms"] >= RUN_MS_MIN,
        ])),
        ("recipients", _is_set(terms["policy"])),
        ("run_ms", limits["run_ms"] <= min(ledger["lease_max_ms"], pool.SERVED["agent"][1])),
    ]
    for field, fits in bounds:
        if not fits:
            raise Refused("out_of_bounds", field=field)
    # A2: its calls are replayed to equality, by hosts and judges.
    task = ledger.find("profiles", terms["model"], "profile")["profile"]["task"]["kind"]
    if task != "chat" or statistics.class_of(ledger, terms["model"]) is not None:
        raise Refused("profile", expected="of conversations, and canonical")


def _is_set(policy: Entry) -> bool:
    accounts = policy["recipients"].get("accounts", ["one"])
    return bool(accounts == sorted(set(accounts)) and 0 < len(accounts) <= RECIPIENTS_MAX)


def publish_agent(ledger: Ledger, operation: Entry) -> None:
    sender, name, terms = operation["sender"], operation["name"], operation["terms"]
    if not NAME.match(name):
        raise Refused("out_of_bounds", field="name")
    key = agent_id(sender, name)
    if key in ledger.table("agents"):
        raise Refused("exists", what="agent")
    _check_terms(ledger, terms)
    ledger.debit(sender, ledger["agent_deposit"])
    ledger.table("agents")[key] = {
        "creator": sender, "name": name, "deposit": ledger["agent_deposit"], "version": 1, "terms": terms,
        "widening": None, "retired": False, "open_runs": 0, "spent": [0, 0],
        "earned": {"runs": 0, "fees": 0, "hosts": 0, "creator": 0, "committees": 0, "treasury": 0, "refunded": 0},
    }


def _own(ledger: Ledger, operation: Entry) -> Entry:
    agent = ledger.find("agents", operation["agent"], "agent")
    if agent["creator"] != operation["sender"]:
        raise Refused("not_allowed", expected="the agent's creator")
    return agent


def update_agent(ledger: Ledger, operation: Entry) -> None:
    agent, terms = _settled(ledger, _own(ledger, operation)), operation["terms"]
    in_force = agent["terms"]["policy"]
    is_new = version_of(terms) != version_of(agent["terms"])
    widens = not _is_within(terms["policy"], in_force)
    if agent["retired"] and (is_new or widens):
        raise Refused("wrong_state", what="changing more of a retired agent than its policy to a narrower one")
    if is_new or widens:
        _check_terms(ledger, terms)
    elif not _is_set(terms["policy"]):
        raise Refused("out_of_bounds", field="recipients")
    at_once = _meet(in_force, terms["policy"])
    widening = None
    if widens:
        widening = {"policy": terms["policy"], "from_ms": late(ledger.now_ms + ledger["epoch_ms"])}
    new = agent | {"terms": terms | {"policy": at_once}, "widening": widening}
    if is_new:
        new["version"] += 1
        if new["version"] >= 1 << 32:
            raise Refused("overflow")
    if new == agent:
        raise Refused("wrong_state", what="an update that changes nothing")
    ledger.table("agents")[operation["agent"]] = new


def retire_agent(ledger: Ledger, operation: Entry) -> None:
    agent = _own(ledger, operation)
    if agent["retired"]:
        raise Refused("wrong_state", what="retiring a retired agent")
    agent["retired"] = True
    if operation["stop_spending"]:
        agent["terms"]["policy"], agent["widening"] = dict(NOTHING), None
    _close(ledger, operation["agent"])


def _close(ledger: Ledger, key: str) -> None:
    """A1: once no run is left all that a retired agent has is its creator's."""
    agent = ledger.table("agents").get(key)
    if agent is None or not agent["retired"] or agent["open_runs"]:
        return
    account = ledger.table("accounts").pop(agent_account(key), {"balance": 0})
    del ledger.table("agents")[key]
    ledger.credit(agent["creator"], agent["deposit"] + account["balance"])


# Runs.


def open_run(ledger: Ledger, operation: Entry) -> None:
    pool.check_requester(ledger, operation["sender"])
    _begin(ledger, operation["id"], operation["sender"], None, operation["terms"])


def _begin(ledger: Ledger, task: str, gateway: str, hirer: str | None, terms: Entry) -> int:
    """A2: pins the agent, and locks what its run costs at most: so much."""
    agent = ledger.find("agents", terms["agent"], "agent")
    if agent["retired"]:
        raise Refused("wrong_state", what="a run of a retired agent")
    of, limits, hosts = agent["terms"], agent["terms"]["limits"], hosts_id()
    if terms["version"] != version_of(of):
        raise Refused("version", expected=version_of(of), found=terms["version"])
    pool.check_leasable(ledger, hosts, of["model"])
    run = {
        "agent": terms["agent"], "version": agent["version"], "manifest": of["manifest"], "model": of["model"],
        "limits": limits, "policy": _policy(ledger, agent), "price": of["price"], "input": terms["input"],
        "gateway": gateway, "hirer": hirer, "host": None, "spent": 0, "settled": [], "cited": [], "over": False,
        "ends_at_ms": None,
    }
    asked = {
        "kind": "agent", "mode": "exact", "tier": "mid", "profile": hosts,
        "price_max": {"prompt_token": 0, "completion_token": of["price"]}, "jobs_max": limits["steps"],
        "tokens_max": 1, "slots": 1, "context_tokens": 0, "open_ms": terms["open_ms"], "lease_ms": limits["run_ms"],
    }
    escrow = pool.lock_task(ledger, task, gateway, _payer(run), asked)
    for of_run in filter(None, (terms["agent"], hirer)):
        counted = ledger.find("agents", of_run, "agent")
        counted["open_runs"] += 1
        if counted["open_runs"] >= 1 << 32:
            raise Refused("overflow")
    ledger.table("runs")[lease_id(task)] = run
    return escrow


def _payer(run: Entry) -> str:
    return agent_account(run["hirer"]) if run["hirer"] else str(run["gateway"])


def payer_of(ledger: Ledger, lease: str, gateway: str) -> str:
    run = ledger.table("runs").get(lease)
    return _payer(run) if run else gateway


def cover_of(ledger: Ledger, lease: str) -> int:
    """A2: what its host answers for until the lease is closed; nothing if it is no run."""
    run = ledger.table("runs").get(lease)
    return late(run["price"] + run_max(run["policy"])) if run else 0


def cover_left(ledger: Ledger, worker: Entry) -> int:
    return max(0, share(worker["stake"], ledger["unsettled_max"]) - int(worker["unsettled"]))


def at_stake(ledger: Ledger, segment: Entry) -> int:
    """V1, A2: what a wrong verdict could cost; of a run what it may still move."""
    run = ledger.table("runs").get(segment["terms"]["lease"])
    return cover_of(ledger, segment["terms"]["lease"]) - int(run["spent"]) if run else int(segment["fee"])


def judges(ledger: Ledger, segment: Entry) -> list[str]:
    """A2: who declared the segment's profile; of a run also its model's."""
    run = ledger.table("runs").get(segment["terms"]["lease"])
    return pool.declared_all(ledger, segment["profile"], *([run["model"]] if run else []))


def check_steps(ledger: Ledger, key: str, lease: Entry, totals: Entry) -> None:
    """A2: whether a run takes a segment with these totals."""
    run = ledger.table("runs").get(key)
    if run is None:
        return
    if run["over"]:
        raise Refused("wrong_state", what="a segment of a run that is over")
    if lease["tokens"] >= lease["terms"]["tokens_max"]:
        raise Refused("wrong_state", what="a segment after the run's answer")
    if totals["prompt_tokens"] > 0:
        raise Refused("out_of_bounds", field="tokens")


def replay_tokens(ledger: Ledger, terms: Entry) -> int:
    """V3, A2: by which the window is sized."""
    run = ledger.table("runs").get(terms["lease"])
    if run is not None:
        return int(run["limits"]["tokens"])
    return late(terms["totals"]["prompt_tokens"] + terms["totals"]["completion_tokens"])


def is_over(ledger: Ledger, segment: Entry) -> bool:
    run = ledger.table("runs").get(segment["terms"]["lease"])
    return run is not None and bool(run["over"])


def waits(ledger: Ledger, segment: Entry) -> bool:
    """A2: a segment before it is not settled."""
    run = ledger.table("runs").get(segment["terms"]["lease"])
    return run is not None and len(run["settled"]) != segment["terms"]["index"]


def end_over(ledger: Ledger, key: str, how: str) -> None:
    """A2: a segment was rejected: nothing more is committed, settled or spent."""
    run = ledger.table("runs").get(key)
    if run is not None and not run["over"]:
        run["over"] = True
        pool.end_lease(ledger, key, how)


def end(ledger: Ledger, key: str) -> None:
    """A3: its lease is closed; what it ordered may be spent for a while."""
    run = ledger.table("runs").get(key)
    if run is not None and run["settled"] and not run["over"] and run_max(run["policy"]):
        run["ends_at_ms"] = late(ledger.now_ms + ledger["run_spend_ms"])
    elif run is not None:
        remove(ledger, key)


def remove(ledger: Ledger, key: str) -> None:
    run = ledger.table("runs").pop(key, None)
    if run is None:
        return
    for of in filter(None, (run["agent"], run["hirer"])):
        agent = ledger.table("agents").get(of)
        if agent is not None:
            agent["open_runs"] = max(0, agent["open_runs"] - 1)
        _close(ledger, of)


def paid(ledger: Ledger, run: Entry, segment: Entry, parts: Entry) -> None:
    """A4: the agent's books; and from now on the segment's orders may be spent (A3)."""
    agent = ledger.table("agents").get(run["agent"])
    if agent is not None and segment["fee"]:
        earned = agent["earned"]
        earned["runs"] = late(earned["runs"] + 1)
        for name, part in (parts | {"fees": segment["fee"]}).items():
            earned[name] = late(earned[name] + part)
    run["settled"].append(segment["terms"]["root"])


# Spends.


def spend_as_agent(ledger: Ledger, operation: Entry) -> None:
    spend, sender = operation["spend"], operation["sender"]
    run = ledger.find("runs", spend["run"], "run")
    if sender not in (run["gateway"], run["host"]):
        raise Refused("not_allowed", expected="the run's host or gateway")
    if run["over"]:
        raise Refused("wrong_state", what="a spend of a run that is over")
    if spend["segment"] >= len(run["settled"]):
        raise Refused("unknown", what="settled segment of the run")
    root = run["settled"][spend["segment"]]
    step, order = spend["step"], spend["order"]
    is_of_run = step["request"]["lease"] == spend["run"] and is_consistent(step)
    if not is_of_run or root_of_path(step, spend["step_path"]) != root or not order_in_step(order, spend):
        raise Refused("evidence", why="no step of the segment ordered this")
    citation = [spend["segment"], spend["step_path"]["index"], spend["call_path"]["index"]]
    if citation in run["cited"]:
        raise Refused("exists", what="spend")
    if len(run["cited"]) >= run["limits"]["tool_calls"]:
        raise Refused("out_of_bounds", field="tool_calls")
    agent, account = ledger.find("agents", run["agent"], "agent"), agent_account(run["agent"])
    policies = [run["policy"], _policy(ledger, agent)]
    to = order["to"] if order["kind"] == "pay" else agent_account(order["run"]["agent"])
    _check_recipient(ledger, policies, account, to)
    if order["kind"] == "pay":
        amount = order["amount"]
        if amount == 0:
            raise Refused("out_of_bounds", field="amount")
        ledger.debit(account, amount)
        ledger.credit(to, amount)
    else:
        pool.check_requester(ledger, run["gateway"])
        amount = _begin(ledger, operation["id"], run["gateway"], run["agent"], order["run"])
    day = ledger.now_ms // DAY_MS
    sums = {"run": ends(run["spent"] + amount), "day": ends((agent["spent"][1] if agent["spent"][0] == day else 0) + amount)}
    for policy in policies:
        for cap, found in sums.items():
            if found > policy[f"per_{cap}"]:
                raise Refused("policy_cap", cap=cap, limit=policy[f"per_{cap}"], found=found)
    run |= {"spent": sums["run"], "cited": sorted([*run["cited"], citation])}
    agent["spent"] = [day, sums["day"]]


def _check_recipient(ledger: Ledger, policies: list[Entry], account: str, to: str) -> None:
    if to == account:
        raise Refused("out_of_bounds", field="to")
    for policy in policies:
        if ledger.now_ms >= policy["expires_at_ms"]:
            raise Refused("policy", what="spends after it expired")
        if not _may_pay(policy, to):
            raise Refused("policy", what="this recipient")


RULES = {
    "publish_agent": publish_agent, "update_agent": update_agent, "retire_agent": retire_agent, "open_run": open_run,
    "spend_as_agent": spend_as_agent,
}
