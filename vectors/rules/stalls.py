"""Certified delivery: a request that got no answer (SPEC T6)."""

from __future__ import annotations

from .encoding import request_digest, stall_id
from .pool import end_lease, has_claim, openings_left
from .slashing import slash_deadline
from .state import WHOLE, Entry, Ledger, Refused, digest, late

SEQUENCE_MAX = 1 << 62
TEMPERATURE_MICRO_MAX = 2_000_000


def report_stall(ledger: Ledger, operation: Entry) -> None:
    sender, request = operation["sender"], operation["request"]
    ledger.acting(sender, "gateway", "a gateway")
    lease = ledger.find("leases", request["lease"], "lease")
    if lease["gateway"] != sender:
        raise Refused("not_allowed", expected="the lease's gateway")
    if lease["state"]["kind"] != "active":
        raise Refused("wrong_state", what="a claim about an ended lease")
    # V12: an answer would be an opening that nobody counted.
    if openings_left(ledger, lease["terms"]["profile"]) is not None:
        raise Refused("wrong_state", what="a claim about private weights")
    tokens = request["prompt_tokens"] + request["tokens_max"]
    if request["sequence"] > SEQUENCE_MAX:
        raise Refused("out_of_bounds", field="sequence")
    if 0 in (request["prompt_tokens"], request["tokens_max"]):
        raise Refused("out_of_bounds", field="tokens")
    sampling = request["sampling"]
    if sampling["temperature_micro"] > TEMPERATURE_MICRO_MAX or not 0 < sampling["top_p_ppm"] <= WHOLE:
        raise Refused("out_of_bounds", field="sampling")
    if tokens > lease["terms"]["context_tokens"]:
        raise Refused("out_of_bounds", field="tokens")
    if has_claim(ledger, request["lease"]):
        raise Refused("exists", what="claim")
    ledger.table("stalls")[stall_id(request["lease"], request["sequence"])] = {
        "lease": request["lease"], "worker": lease["worker"], "gateway": sender, "request": request_digest(request),
        "tokens": tokens, "job": request["job"],
        "state": {
            "kind": "awaiting_seed", "view": late(ledger.view + ledger["draw_delay_views"]),
            "until_ms": late(ledger.now_ms + ledger["stall_certify_ms"]),
        },
    }


def draw_relays(ledger: Ledger, key: str, beacon: str) -> None:
    """Validators of neither side, one of each operator."""
    stall = ledger.table("stalls")[key]
    sides = {ledger.operator_of(stall["worker"]), ledger.operator_of(stall["gateway"])}
    able = [k for k, node in ledger.nodes("validator") if ledger.is_active(node) and node["operator"] not in sides]
    operators: set[str | None] = set()
    relays = []
    for relay in sorted(able, key=lambda relay: digest("inferium/relay/1", beacon, key, relay)):
        if ledger.operator_of(relay) not in operators:
            operators.add(ledger.operator_of(relay))
            relays.append(relay)
    relays = sorted(relays[: ledger["stall_relays"]])
    if not relays:
        del ledger.table("stalls")[key]
        return
    until_ms = late(ledger.now_ms + ledger["stall_certify_ms"])
    stall["state"] = {"kind": "relaying", "relays": [[relay, False] for relay in relays], "until_ms": until_ms}


def _window_ms(ledger: Ledger, stall: Entry) -> int:
    return late(ledger["stall_answer_ms"] + late(stall["tokens"] * ledger["stall_token_ms"]))


def certify_delivery(ledger: Ledger, operation: Entry) -> None:
    stall = ledger.find("stalls", operation["stall"], "claim")
    if stall["state"]["kind"] != "relaying":
        raise Refused("wrong_state", what="a certification")
    relays = stall["state"]["relays"]
    seats = [relay for relay in relays if relay[0] == operation["sender"]]
    if not seats:
        raise Refused("not_allowed", expected="a drawn relay")
    if seats[0][1]:
        raise Refused("exists", what="certification")
    seats[0][1] = True
    if 2 * sum(certified for _, certified in relays) > len(relays):
        stall["state"] = {
            "kind": "certified", "due_at_ms": late(ledger.now_ms + _window_ms(ledger, stall)),
            "due_at_height": late(ledger.height + ledger["draw_delay_views"]),
        }


def answer_stall(ledger: Ledger, operation: Entry) -> None:
    stall = ledger.find("stalls", operation["stall"], "claim")
    if stall["worker"] != operation["sender"]:
        raise Refused("not_allowed", expected="the claim's worker")
    if operation["result"]["request"] != stall["request"]:
        raise Refused("evidence", why="the result is for another request")
    del ledger.table("stalls")[operation["stall"]]


def advance(ledger: Ledger, key: str) -> None:
    """A claim lapses, or the worker missed its deadline."""
    stall = ledger.table("stalls")[key]
    state = stall["state"]
    if state["kind"] != "certified":
        del ledger.table("stalls")[key]
        return
    renewed_ms = late(ledger.meta["resumed_at_ms"] + _window_ms(ledger, stall))
    if state["due_at_ms"] < renewed_ms:
        state["due_at_ms"] = renewed_ms
    elif ledger.height < state["due_at_height"]:
        state["due_at_ms"] = ledger.now_ms + 1
    else:
        del ledger.table("stalls")[key]
        lease = ledger.table("leases").get(stall["lease"])
        if lease is not None:
            slash_deadline(ledger, stall["worker"], stall["job"], lease["terms"]["profile"])
            end_lease(ledger, stall["lease"], "fault")


RULES = {"report_stall": report_stall, "certify_delivery": certify_delivery, "answer_stall": answer_stall}
