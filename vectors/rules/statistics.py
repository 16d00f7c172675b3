"""Tolerance profiles: what approvals measured, and what all of them say of a worker (SPEC V6, V7)."""

from __future__ import annotations

import copy
import math

from .state import WHOLE, Entry, Ledger, Refused, late

# Numbers with 64 bits after the point, and where they end.
POINT = 64
ONE = 1 << POINT
MOST = (1 << 128) - 1
# Logarithms have 32.
LOG_BITS = 32

ALTERNATIVES_MAX = 6
# Bets against a mean: what each stakes is the validators' to work out.
BETS = 8
SUSPECT, CONVICTED = 100, 1_000_000


def calibration_of(ledger: Ledger, profile: str) -> Entry | None:
    entry = ledger.table("profiles").get(profile)
    found: Entry | None = entry["profile"]["engine"].get("calibration") if entry else None
    return found


def mode_of(ledger: Ledger, profile: str) -> str:
    """T2: how results are verified follows from the profile."""
    return "exact" if calibration_of(ledger, profile) is None else "sampled"


# Votes.


def approves(vote: Entry | None) -> bool:
    return vote is not None and vote["kind"] in ("valid", "measured")


def agreeing(members: list[Entry]) -> tuple[list[str], Entry | None]:
    """V2, V6: the most members whose approvals say the same, effort included, and what they measured."""
    approvals = [(one["validator"], one["ballot"]["vote"]) for one in members if approves(one["ballot"].get("vote"))]
    best: tuple[list[str], Entry | None] = ([], None)
    for _, vote in approvals:
        group = [validator for validator, other in approvals if other == vote]
        if len(group) > len(best[0]):
            best = (group, vote.get("statistics"))
    return best


def check_vote(ledger: Ledger, profile: str, vote: Entry) -> None:
    """V6: an approval has the form of the profile's class, and its parts fit together."""
    is_tolerance = calibration_of(ledger, profile) is not None
    if vote["kind"] == "valid" and is_tolerance:
        raise Refused("vote_form", expected="measured")
    if vote["kind"] != "measured":
        return
    if not is_tolerance:
        raise Refused("vote_form", expected="valid")
    measured = vote["statistics"]
    kinds, sums = measured["kinds"], (measured["logprobs"], measured["sketches"])
    fits = [
        all(kind["flips"] <= kind["positions"] for kind in kinds),
        measured["bad"] <= sum(kind["flips"] for kind in kinds),
        measured["logprobs"]["count"] == sum(kind["positions"] for kind in kinds),
        all(one["sum_ppm"] <= one["count"] * WHOLE for one in sums),
    ]
    if not all(fits):
        raise Refused("out_of_bounds", field="statistics")


# The test of a worker: integers, each rounding downwards.


def times(a: int, b: int) -> int:
    """The product of the four halves, each cut off by itself."""
    (a_high, a_low), (b_high, b_low) = divmod(a, ONE), divmod(b, ONE)
    if a_high * b_high >= ONE:
        return MOST
    return min(a_high * b_high * ONE + a_high * b_low + a_low * b_high + a_low * b_low // ONE, MOST)


def log2_ratio(numerator: int, denominator: int) -> int | None:
    """A lower bound of the binary logarithm of a ratio, bit by bit: squaring doubles it."""
    if numerator == 0 or denominator == 0:
        return None
    exponent = numerator.bit_length() - denominator.bit_length()
    if (numerator << 63 - exponent) // denominator < 1 << 63:
        exponent -= 1
    mantissa, log = (numerator << 63 - exponent) // denominator, exponent
    for _ in range(LOG_BITS):
        mantissa, log = mantissa * mantissa >> 63, log * 2
        if mantissa >= 1 << 64:
            mantissa, log = mantissa >> 1, log + 1
    return log


def _roots() -> list[int]:
    """2^(1/2), 2^(1/4), ... with 63 bits after the point."""
    roots, last = [], 1 << 64
    for _ in range(LOG_BITS):
        last = math.isqrt(last << 63)
        roots.append(last)
    return roots


ROOTS = _roots()


def exp2(log: int) -> int:
    """A lower bound of a power of two."""
    whole, fraction = log >> LOG_BITS, log % (1 << LOG_BITS)
    if whole >= 64:
        return MOST
    if whole < -64:
        return 0
    mantissa = 1 << 63
    for place, root in enumerate(ROOTS):
        if fraction >> (LOG_BITS - 1 - place) & 1:
            mantissa = mantissa * root >> 63
    return mantissa << whole + 1 if whole >= -1 else mantissa >> -1 - whole


def _log_ratios(honest: list[int], shares: list[int]) -> list[tuple[int, int]]:
    """How much likelier a flip is by a cheat's shares, and none; nothing of kinds that tell nothing."""
    ratios = []
    for at_most, share in zip(honest, shares):
        flipped, stayed = log2_ratio(share, at_most), log2_ratio(max(0, WHOLE - share), max(0, WHOLE - at_most))
        tells = flipped is not None and stayed is not None and share >= at_most
        ratios.append((flipped or 0, stayed or 0) if tells else (0, 0))
    return ratios


def _alternatives(calibration: Entry) -> list[list[int]]:
    alternatives: list[list[int]] = calibration["alternatives"][:ALTERNATIVES_MAX]
    return alternatives


def judge(test: Entry, calibration: Entry, measured: Entry) -> None:
    """One step: each bet's capital, with what is put in before it, times how much likelier this is of a cheat."""
    step = test["steps"]
    more = ONE // (step + 1) // (step + 2)
    test["steps"] = late(step + 1)
    for index, shares in enumerate(_alternatives(calibration)):
        log = 0
        for count, (flipped, stayed) in zip(measured["kinds"], _log_ratios(calibration["flips"], shares)):
            log += count["flips"] * flipped + (count["positions"] - count["flips"]) * stayed
        test["flips"][index] = times(min(test["flips"][index] + more, MOST), exp2(log))
    for name in ("logprobs", "sketches"):
        for index, log in enumerate(measured[name]["bets"]):
            test[name][index] = times(min(test[name][index] + more, MOST), exp2(log))


def suspicion_by(test: Entry, calibration: Entry) -> str:
    """The mean capital of the three things that are measured, each the mean of its bets."""
    counts = {"flips": max(len(_alternatives(calibration)), 1), "logprobs": BETS, "sketches": BETS}
    capital = 0
    for name, count in counts.items():
        capital += min(sum(one // count for one in test[name]), MOST) // 3
    whole = capital // ONE
    return "convicted" if whole >= CONVICTED else "suspect" if whole >= SUSPECT else "none"


def fresh_test() -> Entry:
    return {"steps": 0, "flips": [0] * ALTERNATIVES_MAX, "logprobs": [0] * BETS, "sketches": [0] * BETS}


# What follows from it; `segments.py` has what a conviction does to segments.


def suspicion(ledger: Ledger, worker: str, profile: str) -> str:
    conduct = ledger.table("conducts").get(f"{worker}/{profile}")
    return str(conduct["suspicion"]) if conduct else "none"


def is_doubtful(ledger: Ledger, segment: Entry, members: list[Entry]) -> bool:
    """V7: what was measured concerns a suspect worker, or would make it one."""
    calibration, measured = calibration_of(ledger, segment["profile"]), agreeing(members)[1]
    if calibration is None or measured is None:
        return False
    conduct = ledger.table("conducts").get(f"{segment['worker']}/{segment['profile']}")
    test = copy.deepcopy(conduct["test"]) if conduct else fresh_test()
    judge(test, calibration, measured)
    before = suspicion(ledger, segment["worker"], segment["profile"])
    return before != "convicted" and (before == "suspect" or suspicion_by(test, calibration) != "none")


def check_bar(ledger: Ledger, worker: str, profile: str) -> None:
    """V7: whom statistics convicted does nothing on that profile any more."""
    if suspicion(ledger, worker, profile) == "convicted":
        raise Refused("barred_from_profile")


def finals_of(ledger: Ledger, worker: str, profile: str) -> list[tuple[str, Entry]]:
    segments = sorted(ledger.table("segments").items())
    return [
        (key, one) for key, one in segments
        if (one["worker"], one["profile"], one["state"]["kind"]) == (worker, profile, "final")
    ]


def held_until_ms(ledger: Ledger, state: Entry) -> int:
    """V7: when a suspect worker is paid at the latest."""
    until_ms: int | None = state["held_until_ms"]
    return late(state["settles_at_ms"] + ledger["suspicion_ms"]) if until_ms is None else until_ms


def forget(ledger: Ledger, slash: int) -> None:
    """S2: an overturned slash lifts the bar, and the test begins anew."""
    for key, conduct in list(ledger.table("conducts").items()):
        if conduct["slash"] == slash:
            del ledger.table("conducts")[key]
