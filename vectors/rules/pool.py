"""Tasks, offers, matching and leases (SPEC T, M4)."""

from __future__ import annotations

from . import agents, statistics, workers
from .encoding import lease_id
from .state import WIDE_MAX, Entry, Ledger, Refused, digest, draw, ends, late

SLOTS_MAX = 4_096
LEASE_JOBS_MAX = 1_000_000
HOUR = 3_600_000
PATIENCE = 3
UNIFORM_PERCENT = 5
# T1: the least tier of a kind that is served, and its deadline.
SERVED = {
    "inference": ("mid", 24 * HOUR), "batch": ("mid", 24 * HOUR), "agent": ("mid", 24 * HOUR), "leaderboard": ("low", HOUR),
    "training": ("high", 720 * HOUR), "validation": ("mid", 24 * HOUR),
}


def check_price(field: str, price: Entry) -> None:
    if price["prompt_token"] == 0 and price["completion_token"] == 0:
        raise Refused("out_of_bounds", field=field)


def declared_all(ledger: Ledger, *profiles: str) -> list[str]:
    """Validators that declared each of these."""
    entries = [ledger.table("profiles").get(profile) for profile in profiles]
    lists = [entry["validators"] if entry else [] for entry in entries]
    return [key for key in lists[0] if all(key in others for others in lists[1:])]


def check_leasable(ledger: Ledger, *profiles: str) -> None:
    """N4, A2: enough operators can replay all of them, and nothing is against any."""
    for profile in profiles:
        entry = ledger.find("profiles", profile, "profile")
        if entry["listing"] in ("paused", "delisted"):
            raise Refused("profile_closed", listing=entry["listing"])
    nodes = [node for node in map(ledger.node, declared_all(ledger, *profiles)) if node and ledger.is_active(node)]
    found = len({node["operator"] for node in nodes})
    if found < ledger["profile_operators_min"]:
        raise Refused("profile_not_leasable", found=found, needed=ledger["profile_operators_min"])


def reservation_for(ledger: Ledger, terms: Entry, blocks: int) -> int:
    """M4: per slot and block, at most what a block a second comes to, at least the least."""
    by_time = ends(ledger["reservation_per_block"] * min(blocks, terms["lease_ms"] // 1_000))
    return ends(max(by_time, ledger["reservation_min"]) * terms["slots"])


def escrow_for(ledger: Ledger, terms: Entry) -> int:
    dearer = max(terms["price_max"].values())
    work = ends(dearer * terms["tokens_max"])
    return ends(work + reservation_for(ledger, terms, WIDE_MAX))


def _check_task(ledger: Ledger, terms: Entry) -> None:
    if terms["kind"] not in SERVED:
        raise Refused("not_served", what=terms["kind"])
    if terms["mode"] not in ("exact", "sampled", "zk"):
        raise Refused("not_served", what=terms["mode"])
    least_tier, deadline_ms = SERVED[terms["kind"]]
    if workers.embeds(ledger, terms["profile"]) or agents.is_proof(ledger, terms["profile"]):
        least_tier = "low"
    bounds = [
        ("tier", workers.TIERS.index(terms["tier"]) >= workers.TIERS.index(least_tier)),
        ("jobs_max", 0 < terms["jobs_max"] <= LEASE_JOBS_MAX),
        ("tokens_max", terms["tokens_max"] > 0),
        ("slots", 0 < terms["slots"] <= SLOTS_MAX),
        ("open_ms", 0 < terms["open_ms"] <= ledger["task_open_max_ms"]),
        ("lease_ms", 0 < terms["lease_ms"] <= min(ledger["lease_max_ms"], deadline_ms)),
    ]
    for field, fits in bounds:
        if not fits:
            raise Refused("out_of_bounds", field=field)
    check_price("price_max", terms["price_max"])


def open_task(ledger: Ledger, operation: Entry) -> None:
    sender, terms = operation["sender"], operation["terms"]
    check_requester(ledger, sender)
    # A2: a run names its agent, and nothing but runs is done on a profile of hosts.
    if terms["kind"] == "agent":
        raise Refused("no_agent")
    if terms["kind"] == "leaderboard":
        # L2: boards are folded on the one profile of boards.
        if not agents.is_of(ledger, terms["profile"], "fold"):
            raise Refused("profile", expected="the one of boards")
    elif terms["kind"] == "training" and agents.is_of(ledger, terms["profile"], "train"):
        # X3: training is done on profiles of training.
        pass
    elif terms["kind"] == "validation" and agents.is_proof(ledger, terms["profile"]):
        # V10, V12: proofs are made on profiles of proofs.
        pass
    else:
        agents.check_models(ledger, terms["profile"])
        if terms["kind"] == "training":
            raise Refused("profile", expected="one of training")
        if terms["kind"] == "validation":
            raise Refused("profile", expected="one of proofs")
    lock_task(ledger, operation["id"], sender, sender, terms)


def check_requester(ledger: Ledger, sender: str) -> None:
    gateway = ledger.acting(sender, "gateway", "a gateway")
    if gateway["stake"] < ledger["gateway_bond_min"]:
        raise Refused("insufficient", needed=ledger["gateway_bond_min"], available=gateway["stake"])


def lock_task(ledger: Ledger, key: str, requester: str, payer: str, terms: Entry) -> int:
    """M4: what it costs at most is locked, and told."""
    _check_task(ledger, terms)
    check_leasable(ledger, terms["profile"])
    mode = statistics.mode_of(ledger, terms["profile"])
    if terms["mode"] != mode:
        raise Refused("mode", expected=mode, found=terms["mode"])
    # T2: some measured worker may serve it, if only when it starves.
    if sum(ledger.meta["tiers"][workers.TIERS.index(terms["tier"]):]) == 0:
        raise Refused("no_workers", tier=terms["tier"])
    escrow = escrow_for(ledger, terms)
    # V12: a task is for one opening.
    left = openings_left(ledger, terms["profile"])
    if left is not None and terms["jobs_max"] != 1:
        raise Refused("out_of_bounds", field="jobs_max")
    if left == 0:
        raise Refused("openings", left=0, needed=1)
    ledger.debit(payer, escrow)
    ledger.table("tasks")[key] = {
        "requester": requester, "terms": terms, "escrow": escrow, "opened": [ledger.height, 0],
        "expires_at_ms": late(ledger.now_ms + terms["open_ms"]),
    }
    return escrow


def openings_left(ledger: Ledger, profile: str) -> int | None:
    """V12: how often private weights may be opened yet."""
    entry = ledger.table("profiles").get(profile)
    if entry is None or entry["profile"]["task"]["kind"] != "prove_private":
        return None
    return max(0, entry["profile"]["task"]["openings"] - entry["openings_spent"])


def set_offer(ledger: Ledger, operation: Entry) -> None:
    sender, profile, terms = operation["sender"], operation["profile"], operation["terms"]
    ledger.acting(sender, "worker", "a worker")
    ledger.find("profiles", profile, "profile")
    statistics.check_bar(ledger, sender, profile)
    check_price("price", terms["price"])
    if terms["slots"] > SLOTS_MAX:
        raise Refused("out_of_bounds", field="slots")
    key = f"{profile}/{sender}"
    old = ledger.table("offers").get(key)
    used = old["slots_used"] if old else 0
    if terms["slots"] == 0 and used == 0:
        ledger.table("offers").pop(key, None)
    else:
        # T5: it waits on, or begins to.
        waits = old["waits_from"] if old and _free(old) else workers.draws_for(ledger, sender, profile)
        ledger.table("offers")[key] = {"terms": terms, "slots_used": used, "waits_from": waits}


def _free(offer: Entry) -> int:
    return max(0, int(offer["terms"]["slots"] - offer["slots_used"]))


def expire_task(ledger: Ledger, key: str) -> None:
    task = ledger.table("tasks").pop(key)
    ledger.credit(agents.payer_of(ledger, lease_id(key), task["requester"]), task["escrow"])
    agents.remove(ledger, lease_id(key))


# Matching.


def match(ledger: Ledger) -> None:
    """T4, T5: the last step of a block; the dearest task first, of batches at half the price, then the oldest."""

    def rank(item: tuple[str, Entry]) -> tuple[str, int, list[int], str]:
        key, task = item
        terms = task["terms"]
        price = terms["price_max"]["completion_token"]
        return terms["profile"], -(price // 2 if terms["kind"] == "batch" else price), task["opened"], key

    for key, task in sorted(ledger.table("tasks").items(), key=rank):
        _match_one(ledger, key, task)


def _match_one(ledger: Ledger, key: str, task: Entry) -> None:
    offers, profile = ledger.table("offers"), task["terms"]["profile"]
    if openings_left(ledger, profile) == 0:
        return
    eligible = []
    for worker in (name.split("/")[1] for name in offers if name.startswith(f"{profile}/")):
        if _may_serve(ledger, lease_id(key), task, worker, offers[f"{profile}/{worker}"]):
            eligible.append(worker)
    eligible.sort(key=lambda worker: _place(ledger, worker, offers[f"{profile}/{worker}"]))
    chosen = _choose(ledger, key, profile, eligible)
    if chosen is None:
        return
    # All tiers that may serve the task took part, whoever has an offer.
    entry, served = ledger.table("profiles").get(profile), offers[f"{profile}/{chosen}"]
    if entry is not None and openings_left(ledger, profile) is not None:
        entry["openings_spent"] += task["terms"]["jobs_max"]
    for tier in range(len(workers.TIERS)):
        if entry is not None and _serves(ledger, task, tier):
            entry["draws"][tier] += 1
    served["waits_from"] = workers.draws_for(ledger, chosen, profile)
    served["slots_used"] += task["terms"]["slots"]
    del ledger.table("tasks")[key]
    # A2: a host says for how much at least it runs agents; the price is the agent's.
    is_run = task["terms"]["kind"] == "agent"
    price = task["terms"]["price_max"] if is_run else statistics.price_of(ledger, task["terms"], served["terms"]["price"])
    begin_lease(ledger, key, chosen, task["requester"], task["terms"], price, task["escrow"])


def _place(ledger: Ledger, worker: str, offer: Entry) -> tuple[int, int, int, int, str]:
    """The order in which candidates stand for a draw: those alike are neighbours."""
    price = offer["terms"]["price"]
    return (
        _tier(ledger, worker), offer["terms"]["context_tokens"], price["completion_token"], price["prompt_token"], worker,
    )


def _tier(ledger: Ledger, worker: str) -> int:
    return workers.TIERS.index(ledger.table("capabilities")[worker]["tier"])


def _serves(ledger: Ledger, task: Entry, tier: int) -> bool:
    """N3: below its tier a worker serves only what would starve, above it nothing."""
    terms = task["terms"]
    wanted = workers.TIERS.index(terms["tier"])
    waited_ms = ledger.now_ms - max(0, task["expires_at_ms"] - terms["open_ms"])
    return tier == wanted or (tier > wanted and waited_ms >= ledger["starving_ms"])


def _may_serve(ledger: Ledger, run: str, task: Entry, worker: str, offer: Entry) -> bool:
    terms, asked, node = task["terms"], offer["terms"], ledger.node(worker)
    measured = ledger.table("capabilities").get(worker)
    if node is None or measured is None or measured["tier"] is None:
        return False
    operator = ledger.table("operators").get(node["operator"])
    return all([
        _free(offer) >= terms["slots"],
        all(asked["price"][name] <= terms["price_max"][name] for name in terms["price_max"]),
        asked["context_tokens"] >= terms["context_tokens"],
        terms["kind"] != "batch" or asked["batches"],
        operator is not None and not operator["barred"],
        ledger.is_active(node),
        node["beacon_from_view"] <= ledger.meta["beacon_view"],
        node["stake"] >= ledger["worker_stake_min"] // 2,
        node["operator"] != ledger.operator_of(task["requester"]),
        _serves(ledger, task, _tier(ledger, worker)),
        statistics.suspicion(ledger, worker, terms["profile"]) != "convicted",
        # A2: it has to answer for what is at stake in a run.
        agents.cover_left(ledger, node) >= agents.cover_of(ledger, run),
    ])


def _choose(ledger: Ledger, task: str, profile: str, eligible: list[str]) -> str | None:
    offers = ledger.table("offers")
    if not eligible:
        return None
    waited = {
        worker: max(0, workers.draws_for(ledger, worker, profile) - offers[f"{profile}/{worker}"]["waits_from"])
        for worker in eligible
    }
    # Of those that waited equally long, the first.
    longest = max(eligible, key=lambda worker: waited[worker])
    if waited[longest] >= PATIENCE * len(eligible):
        return longest
    drawn = digest("inferium/match/1", ledger.meta["beacon"], task)
    if draw(digest("inferium/match-lane/1", drawn), 100) < UNIFORM_PERCENT:
        weights = [1] * len(eligible)
    else:
        weights = [workers.priority(ledger, worker, profile) for worker in eligible]
    left = draw(drawn, sum(weights))
    for worker, weight in zip(eligible, weights):
        if left < weight:
            return worker
        left -= weight
    return None


# Leases.


def begin_lease(
    ledger: Ledger, task: str, worker: str, gateway: str, terms: Entry, price: Entry, escrow: int
) -> None:
    ledger.table("leases")[lease_id(task)] = {
        "task": task, "worker": worker, "gateway": gateway, "terms": terms, "price": price,
        "beacon": ledger.meta["beacon"], "escrow": escrow, "reserved": 0, "jobs": 0, "tokens": 0, "segments": 0,
        "segments_pending": 0, "spoiled": False, "granted_height": ledger.height, "granted_ms": ledger.now_ms,
        "segment_height": ledger.height, "expires_at_ms": late(ledger.now_ms + terms["lease_ms"]),
        "state": {"kind": "active"},
    }
    if lease_id(task) in ledger.table("runs"):
        ledger.table("runs")[lease_id(task)]["host"] = worker
        node = ledger.node(worker)
        if node is not None:
            node["unsettled"] = late(node["unsettled"] + agents.cover_of(ledger, lease_id(task)))


def close_lease(ledger: Ledger, operation: Entry) -> None:
    key, sender = operation["lease"], operation["sender"]
    lease = ledger.find("leases", key, "lease")
    if sender not in (lease["gateway"], lease["worker"]):
        raise Refused("not_allowed", expected="a side of the lease")
    if lease["state"]["kind"] != "active":
        raise Refused("wrong_state", what="closing an ended lease")
    end_lease(ledger, key, "closed_by_gateway" if sender == lease["gateway"] else "closed_by_worker")


def end_lease(ledger: Ledger, key: str, end: str) -> None:
    """T6: it takes no more jobs, and for a while segments of those that it had."""
    lease = ledger.table("leases").get(key)
    if lease is None or lease["state"]["kind"] != "active":
        return
    until_ms = late(ledger.now_ms + ledger["lease_drain_ms"])
    lease["state"] = {"kind": "draining", "end": end, "until_ms": until_ms, "commits_until_ms": until_ms}
    name = f"{lease['terms']['profile']}/{lease['worker']}"
    offer = ledger.table("offers").get(name)
    # A capability task took no slot of an offer.
    if offer is None or lease["terms"]["kind"] == "benchmark":
        return
    if _free(offer) == 0:
        # T5: while it was full, nobody passed it over.
        offer["waits_from"] = workers.draws_for(ledger, lease["worker"], lease["terms"]["profile"])
    offer["slots_used"] = max(0, offer["slots_used"] - lease["terms"]["slots"])
    if offer["slots_used"] == 0 and offer["terms"]["slots"] == 0:
        del ledger.table("offers")[name]


def has_claim(ledger: Ledger, lease: str) -> bool:
    return any(stall["lease"] == lease for stall in ledger.table("stalls").values())


def renewed_drain_ms(ledger: Ledger) -> int:
    """C3: nobody could commit while the chain stood still."""
    return late(ledger.meta["resumed_at_ms"] + ledger["lease_drain_ms"])


def advance_lease(ledger: Ledger, key: str) -> None:
    lease = ledger.table("leases")[key]
    state, renewed_ms = lease["state"], renewed_drain_ms(ledger)
    if state["kind"] == "active":
        end_lease(ledger, key, "expired")
    elif lease["segments_pending"] or has_claim(ledger, key):
        state["until_ms"] = ledger.now_ms + 1_000
    elif state["until_ms"] < renewed_ms:
        state["until_ms"] = state["commits_until_ms"] = renewed_ms
    else:
        _close(ledger, key, lease)


def _close(ledger: Ledger, key: str, lease: Entry) -> None:
    reservation = 0
    if lease["state"]["end"] not in ("fault", "closed_by_worker") and not lease["spoiled"]:
        blocks = ledger.height - lease["granted_height"]
        reservation = min(reservation_for(ledger, lease["terms"], blocks), lease["escrow"])
    del ledger.table("leases")[key]
    ledger.credit(lease["worker"], reservation)
    ledger.credit(agents.payer_of(ledger, key, lease["gateway"]), lease["escrow"] - reservation)
    node = ledger.node(lease["worker"])
    if node is not None:
        node["unsettled"] = max(0, node["unsettled"] - agents.cover_of(ledger, key))
    agents.end(ledger, key)


def dismiss(ledger: Ledger, worker: str) -> None:
    """A node leaves the pool: no offers, no leases."""
    for key, lease in sorted(ledger.table("leases").items()):
        if lease["worker"] == worker:
            end_lease(ledger, key, "fault")
    for name in [name for name in ledger.table("offers") if name.endswith(f"/{worker}")]:
        del ledger.table("offers")[name]


RULES = {"open_task": open_task, "set_offer": set_offer, "close_lease": close_lease} | workers.RULES
