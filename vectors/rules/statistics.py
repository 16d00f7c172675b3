"""Profiles that are measured: what approvals say, and what all of them say of a worker (SPEC V6, V7, V9)."""

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
# V9: shares of positions outside of the truncation that cheats have.
OUTSIDE = [50_000, 300_000]


def class_of(ledger: Ledger, profile: str) -> Entry | None:
    """The class of engines of a profile that is measured; nothing for any other one."""
    entry = ledger.table("profiles").get(profile)
    found: Entry | None = entry["profile"]["engine"] if entry else None
    return found if found and found["kind"] in ("tolerance", "foreign") else None


def is_foreign(ledger: Ledger, profile: str) -> bool:
    found = class_of(ledger, profile)
    return found is not None and found["kind"] == "foreign"


def mode_of(ledger: Ledger, profile: str) -> str:
    """T2, V10: how results are verified follows from the profile."""
    entry = ledger.table("profiles").get(profile)
    if entry is not None and entry["profile"]["task"]["kind"] in ("prove", "prove_private"):
        return "zk"
    return "exact" if class_of(ledger, profile) is None else "sampled"


def price_of(ledger: Ledger, terms: Entry, offered: Entry) -> Entry:
    """M4, V9: a lease of a foreign profile, and one of a batch, pays a part of what was offered, rounded up each time."""
    of_profile = ledger["foreign_price_share"] if is_foreign(ledger, terms["profile"]) else WHOLE
    of_kind = ledger["batch_price_share"] if terms["kind"] == "batch" else WHOLE
    part = lambda price, share: -(-price * share // WHOLE)
    return {name: part(part(price, of_profile), of_kind) for name, price in offered.items()}


def least_replay(ledger: Ledger, profile: str) -> int:
    """V9: of a foreign worker so much is replayed at least."""
    return int(ledger["foreign_replay_min"]) if is_foreign(ledger, profile) else 0


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
    """V6, V9: an approval has the form of the profile's class, and its parts fit together."""
    engine = class_of(ledger, profile)
    if vote["kind"] == "valid" and engine:
        raise Refused("vote_form", expected="measured")
    if vote["kind"] != "measured":
        return
    if not engine:
        raise Refused("vote_form", expected="valid")
    measured = vote["statistics"]
    kinds, sums, draws = measured["kinds"], (measured["logprobs"], measured["sketches"]), measured["draws"]
    nothing = {"count": 0, "sum_ppm": 0, "bets": [0] * BETS}
    of_other = {
        # What only replays of the other class measure.
        "tolerance": draws == {"positions": 0, "outside": 0, "bets": [0] * BETS},
        "foreign": all(kind == {"positions": 0, "flips": 0} for kind in kinds) and all(one == nothing for one in sums),
    }
    fits = [
        all(kind["flips"] <= kind["positions"] for kind in kinds),
        measured["bad"] <= sum(kind["flips"] for kind in kinds),
        measured["logprobs"]["count"] == sum(kind["positions"] for kind in kinds),
        all(one["sum_ppm"] <= one["count"] * WHOLE for one in sums),
        draws["outside"] <= draws["positions"],
        of_other[engine["kind"]],
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
    return [_log_ratio(at_most, share) for at_most, share in zip(honest, shares)]


def _log_ratio(at_most: int, share: int) -> tuple[int, int]:
    hit, missed = log2_ratio(share, at_most), log2_ratio(max(0, WHOLE - share), max(0, WHOLE - at_most))
    tells = hit is not None and missed is not None and share >= at_most
    return (hit or 0, missed or 0) if tells else (0, 0)


def _alternatives(calibration: Entry) -> list[list[int]]:
    alternatives: list[list[int]] = calibration["alternatives"][:ALTERNATIVES_MAX]
    return alternatives


def _flips(calibration: Entry, measured: Entry) -> list[int]:
    logs = []
    for shares in _alternatives(calibration):
        log = 0
        for count, (flipped, stayed) in zip(measured["kinds"], _log_ratios(calibration["flips"], shares)):
            log += count["flips"] * flipped + (count["positions"] - count["flips"]) * stayed
        logs.append(log)
    return logs


def _outside(bounds: Entry, draws: Entry) -> list[int]:
    logs = []
    for share in OUTSIDE:
        hit, missed = _log_ratio(bounds["outside"], share)
        logs.append(draws["outside"] * hit + (draws["positions"] - draws["outside"]) * missed)
    return logs


def judge(test: Entry, engine: Entry, measured: Entry) -> None:
    """One step: each bet's capital, with what is put in before it, times how much likelier this is of a cheat."""
    step = test["steps"]
    more = ONE // (step + 1) // (step + 2)
    test["steps"] = late(step + 1)
    if engine["kind"] == "foreign":
        draws = measured["draws"]
        bets = {"draws": draws["bets"], "outside": _outside(engine["bounds"], draws)}
    else:
        bets = {name: measured[name]["bets"] for name in ("logprobs", "sketches")}
        bets["flips"] = _flips(engine["calibration"], measured)
    for name, logs in bets.items():
        for index, log in enumerate(logs):
            test[name][index] = times(min(test[name][index] + more, MOST), exp2(log))


def suspicion_by(test: Entry, engine: Entry) -> str:
    """The mean capital of the things that are measured, each the mean of its bets."""
    if engine["kind"] == "foreign":
        counts = {"draws": BETS, "outside": len(OUTSIDE)}
    else:
        counts = {"flips": max(len(_alternatives(engine["calibration"])), 1), "logprobs": BETS, "sketches": BETS}
    capital = 0
    for name, count in counts.items():
        capital += min(sum(one // count for one in test[name]), MOST) // len(counts)
    whole = capital // ONE
    return "convicted" if whole >= CONVICTED else "suspect" if whole >= SUSPECT else "none"


def fresh_test() -> Entry:
    return {
        "steps": 0, "flips": [0] * ALTERNATIVES_MAX, "logprobs": [0] * BETS, "sketches": [0] * BETS, "draws": [0] * BETS,
        "outside": [0] * len(OUTSIDE),
    }


# What follows from it; `segments.py` has what a conviction does to segments.


def suspicion(ledger: Ledger, worker: str, profile: str) -> str:
    conduct = ledger.table("conducts").get(f"{worker}/{profile}")
    return str(conduct["suspicion"]) if conduct else "none"


def is_doubtful(ledger: Ledger, segment: Entry, members: list[Entry]) -> bool:
    """V7: what was measured concerns a suspect worker, or would make it one."""
    engine, measured = class_of(ledger, segment["profile"]), agreeing(members)[1]
    if engine is None or measured is None:
        return False
    conduct = ledger.table("conducts").get(f"{segment['worker']}/{segment['profile']}")
    test = copy.deepcopy(conduct["test"]) if conduct else fresh_test()
    judge(test, engine, measured)
    before = suspicion(ledger, segment["worker"], segment["profile"])
    return before != "convicted" and (before == "suspect" or suspicion_by(test, engine) != "none")


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
