"""Challenges: one validator against a worker, before a ledger that computes one tile itself (SPEC V11)."""

from __future__ import annotations

from collections.abc import Callable

from . import exact
from .blake3 import Hash
from .encoding import (
    commitment, committed_leaf, evidence_leaf, input_part, is_consistent, logits_digest, root_of_leaves, root_of_path,
    root_over, trace_digest, vector_digest,
)
from .segments import close_challenge, reject, return_bond
from .slashing import attested, convict_refuted, restitute, slash_withheld
from .state import WHOLE, Entry, Ledger, Refused, late, split
from .verdicts import approvers_of, owed
from .workers import add_fault

NOTHING = "00" * 32
# What encoders of integers have as their build: the contract's version, under the name of what is made of its integers.
ENCODERS = Hash("inferium integer embedder 2026-12").chunk(exact.VERSION.to_bytes(2, "little"), 0, True).hex()


def runs_of(model: Entry) -> str | None:
    """What runs of a profile's model are of, where they are of integers (J8, J12)."""
    task, engine = model["task"], model["engine"]
    if task["kind"] == "classify":
        return str(task["reads"]["kind"])
    is_encoder = task["kind"] == "embed" and engine["kind"] == "canonical" and engine["build"] == ENCODERS
    return "tokens" if is_encoder else None


def _pair(segment: str, challenger: str) -> str:
    return f"{segment}/{challenger}"


def _evidence(why: str) -> Refused:
    return Refused("evidence", why=why)


def is_open(challenge: Entry) -> bool:
    """What is lost stays as long as its segment, so that nobody has two."""
    return bool(challenge["turn"]["kind"] != "over")


def open_challenge(ledger: Ledger, operation: Entry) -> None:
    """A member that was outvoted, once about the job that it found wrong."""
    sender, key, leaf, path = (operation[name] for name in ("sender", "segment", "leaf", "path"))
    ledger.acting(sender, "validator", "a validator")
    segment = ledger.find("segments", key, "segment")
    if segment["state"]["kind"] != "final":
        raise Refused("wrong_state", what="a challenge of a segment that is not final")
    profile = ledger.find("profiles", segment["profile"], "the segment's profile")
    if runs_of(profile["profile"]) is None:
        raise Refused("wrong_state", what="a challenge of a run that is not of integers")
    if _pair(key, sender) in ledger.table("challenges"):
        raise Refused("exists", what="challenge")
    is_in = root_of_path(leaf, path) == segment["terms"]["root"]
    if not is_in or leaf["request"]["lease"] != segment["terms"]["lease"] or not is_consistent(leaf):
        raise _evidence("the job is not in the segment")
    if path["index"] >= 1 << 32:
        raise Refused("overflow")
    # Nobody is shown a part of what it was not given to judge.
    if [sender, path["index"]] not in segment["state"]["approval"]["rejections"]:
        raise Refused("not_allowed", expected="a member that found this job wrong")
    # V5: what was planted by order is wrong on purpose.
    planted = segment["opening"].get("planted")
    if planted and planted["kind"] == "wrong" and planted["job"] == path["index"]:
        raise Refused("wrong_state", what="a challenge of a planted job")
    bond = ledger["dispute_bond"]
    ledger.debit(sender, bond)
    result = leaf["result"]
    challenge = {
        "worker": segment["worker"], "profile": segment["profile"], "bond": bond, "job": path["index"],
        "items": result["usage"]["completion_tokens"],
        "tokens": late(result["usage"]["prompt_tokens"] + result["usage"]["completion_tokens"]), "input": leaf["request"]["input_commitment"],
        "output": result["output_commitment"], "evidence_root": result["evidence_root"], "leaves": [], "run": None,
    }
    _ask(ledger, challenge, {"kind": "leaves"})
    ledger.table("challenges")[_pair(key, sender)] = challenge


def _ask(ledger: Ledger, challenge: Entry, asked: Entry) -> None:
    _turn(ledger, challenge, {"kind": "worker", "asked": asked})


def _window_ms(ledger: Ledger, challenge: Entry) -> int:
    return late(ledger["stall_answer_ms"] + late(challenge["tokens"] * ledger["stall_token_ms"]))


def _turn(ledger: Ledger, challenge: Entry, turn: Entry) -> None:
    """Whoever's turn it is has a whole window, which is a time and a number of blocks (C3)."""
    challenge |= {
        "turn": turn, "due_at_ms": late(ledger.now_ms + _window_ms(ledger, challenge)),
        "due_at_height": late(ledger.height + ledger["draw_delay_views"]),
    }


# What the worker shows.


def show_trace(ledger: Ledger, operation: Entry) -> None:
    key = _pair(operation["segment"], operation["challenger"])
    challenge = ledger.find("challenges", key, "challenge")
    if challenge["worker"] != operation["sender"]:
        raise Refused("not_allowed", expected="the challenged worker")
    turn, shown = challenge["turn"], operation["shown"]
    if turn["kind"] != "worker":
        raise Refused("wrong_state", what="showing what nobody asked for")
    asked = turn["asked"]
    if shown["kind"] != asked["kind"] or not SHOWN[asked["kind"]](challenge, asked, shown):
        raise _evidence("it is not what was asked for")
    if asked["kind"] == "run":
        # Of a run there is one thing to look at first.
        _ask(ledger, challenge, _within(_whole(challenge["run"])))
    else:
        _turn(ledger, challenge, {"kind": "challenger"})


def _whole(run: Entry) -> tuple[int, int]:
    return 0, exact.chunks_of(run["trace"]["values"])


def _within(span: tuple[int, int]) -> Entry:
    """What there is to see of a span."""
    first, chunks = span
    return {"kind": "chunk", "chunk": first} if chunks == 1 else {"kind": "span", "first": first, "chunks": chunks}


def _parts(shown: Entry) -> list[tuple[tuple[int, int], str]]:
    """Parts of a span that was shown, with their hashes."""
    return list(zip(exact.parts_of(shown["first"], shown["chunks"]), shown["hashes"]))


def _hash_of(run: Entry, span: tuple[int, int]) -> str | None:
    """Of the whole, or of a part of what was shown."""
    if span == _whole(run):
        return str(run["trace"]["root"])
    return dict(part for shown in run["spans"] for part in _parts(shown)).get(span)


def _shows_leaves(challenge: Entry, _: Entry, shown: Entry) -> bool:
    challenge["leaves"] = shown["leaves"]
    is_whole = len(shown["leaves"]) == challenge["items"]
    return is_whole and root_of_leaves(shown["leaves"]) == challenge["evidence_root"]


def _shows_run(challenge: Entry, asked: Entry, shown: Entry) -> bool:
    trace, said, item = shown["trace"], shown["said"], asked["item"]
    challenge["run"] = {"item": item, "said": said, "trace": trace, "spans": [], "chunk": None, "sums": None}
    is_leaf = item < len(challenge["leaves"]) and challenge["leaves"][item] == evidence_leaf(
        shown["salt"], said, trace_digest(trace))
    return is_leaf and trace["values"] > 0


def _shows_span(challenge: Entry, asked: Entry, shown: Entry) -> bool:
    run, span = challenge["run"], (asked["first"], asked["chunks"])
    expected, hashes = _hash_of(run, span), shown["hashes"]
    if len(hashes) != len(exact.parts_of(*span)):
        return False
    found = exact.TRACE.tree([bytes.fromhex(part) for part in hashes], span == _whole(run))
    run["spans"].append({"first": span[0], "chunks": span[1], "hashes": hashes})
    return found.hex() == expected


def _shows_chunk(challenge: Entry, asked: Entry, shown: Entry) -> bool:
    run, chunk = challenge["run"], asked["chunk"]
    found = exact.chunk_hash(run["trace"]["values"], chunk, shown["values"])
    run["chunk"] = [chunk, shown["values"]]
    return found is not None and found.hex() == _hash_of(run, (chunk, 1))


def _shows_sums(challenge: Entry, asked: Entry, shown: Entry) -> bool:
    run, sums = challenge["run"], shown["sums"]
    value = _shown_value(run, asked["at"])
    run["sums"] = [asked["at"], sums]
    return 0 < len(sums) <= exact.SUMS_MAX and sums[-1] == value


SHOWN: dict[str, Callable[[Entry, Entry, Entry], bool]] = {
    "leaves": _shows_leaves, "run": _shows_run, "span": _shows_span, "chunk": _shows_chunk, "sums": _shows_sums,
}


def _shown_value(run: Entry, at: int) -> int | None:
    """The value at this position, where the shown chunk has it."""
    if run["chunk"] is None:
        return None
    chunk, values = run["chunk"]
    place = at - exact.CHUNK * chunk
    return int(values[place]) if 0 <= place < len(values) else None


# What the challenger asks.


def ask_trace(ledger: Ledger, operation: Entry) -> None:
    key = _pair(operation["segment"], operation["sender"])
    challenge = ledger.find("challenges", key, "challenge")
    if challenge["turn"]["kind"] != "challenger":
        raise Refused("wrong_state", what="asking out of turn")
    asked = _next(challenge, operation["index"])
    if asked is None:
        raise Refused("out_of_bounds", field="index")
    _ask(ledger, challenge, asked)


def _next(challenge: Entry, index: int) -> Entry | None:
    """By an index into what was shown last."""
    run = challenge["run"]
    if run is None:
        return {"kind": "run", "item": index} if index < challenge["items"] else None
    if run["sums"] is not None:
        return None
    if run["chunk"] is not None:
        chunk, values = run["chunk"]
        at = exact.CHUNK * chunk + index
        # Nobody computes the input: it has no sums that could be shown.
        is_computed = at >= run["trace"]["length"]
        return {"kind": "sums", "at": at} if index < len(values) and is_computed else None
    last = run["spans"][-1] if run["spans"] else None
    parts = exact.parts_of(last["first"], last["chunks"]) if last else []
    return _within(parts[index]) if index < len(parts) else None


# What the ledger computes.


def refute_trace(ledger: Ledger, operation: Entry) -> None:
    """The challenger, at any time once a run is shown. What does not convict changes nothing."""
    key, refutation = _pair(operation["segment"], operation["sender"]), operation["refutation"]
    challenge = ledger.find("challenges", key, "challenge")
    run, claim = challenge["run"], refutation["claim"]
    if not is_open(challenge):
        raise Refused("wrong_state", what="a refutation of what is over")
    model = ledger.find("profiles", challenge["profile"], "profile")["profile"]
    runs = runs_of(model)
    if runs is None:
        raise _evidence("the profile is not of integers")
    # What needs no look at a run.
    if claim.get("opened", {}).get("kind") == "aside":
        of = _is_other_input if claim["kind"] == "input" else _is_other_output
        if not of(challenge, runs, claim["opened"]):
            raise _evidence("each part was answered")
        _uphold(ledger, operation["segment"], operation["sender"], True)
        return
    if run is None:
        raise Refused("wrong_state", what="a refutation of what is not shown")
    outline = _outline(refutation["outline"], model["weights_root"])
    layout = outline.laid_out(run["trace"]["length"])
    is_run = layout is not None and layout.values == run["trace"]["values"]
    is_bound = True
    # What is no run of this model needs no other claim.
    if layout is not None and is_run and (runs == "texts" or run["trace"]["before"] == NOTHING):
        opened = Opened(run, outline, model["weights_root"])
        if claim["kind"] == "length":
            raise _evidence("the model computes so many values")
        if claim["kind"] == "tile":
            is_bound = _refute_tile(run, layout, claim, opened)
        elif claim["kind"] == "input":
            _refute_input(challenge, layout, runs, claim)
        else:
            _refute_output(challenge, layout, runs, claim, opened)
    _uphold(ledger, operation["segment"], operation["sender"], is_bound)


def _outline(pieces: list[Entry], model: str) -> exact.Outline:
    if not pieces:
        raise _evidence("the model's header is missing")
    places = [(piece["node"], piece["part"], piece["piece"]) for piece in pieces]
    if places != [(node, 0, 0) for node in (exact.HEADER, *range(len(pieces) - 1))]:
        raise _evidence("the model's sizes are out of order")
    if any(exact.id_from(piece) != model for piece in pieces):
        raise _evidence("a piece is not the model's")
    header, *sizes = (bytes.fromhex(piece["bytes"]) for piece in pieces)
    outline = exact.outline(header, sizes)
    if outline is None:
        raise _evidence("the model's sizes are not whole")
    return outline


class Opened:
    """Where a tile's operands come from."""

    def __init__(self, run: Entry, outline: exact.Outline, model: str) -> None:
        self.run, self.outline, self.model = run, outline, model
        self.values: dict[int, list[int]] = {}
        self.pieces: dict[tuple[int, int, int], bytes] = {}

    def add_chunks(self, chunks: list[Entry]) -> None:
        """Under the narrowest hash that was shown around each."""
        run, total = self.run, self.run["trace"]["values"]
        spans = [(_whole(run), run["trace"]["root"])] + [part for shown in run["spans"] for part in _parts(shown)]
        for one in chunks:
            chunk, path = one["chunk"], [bytes.fromhex(sibling) for sibling in one["path"]]
            around = [item for item in spans if item[0][0] <= chunk < sum(item[0])]
            value = exact.chunk_hash(total, chunk, one["values"])
            if value is None or not around:
                raise _evidence("a chunk is not the trace's")
            span, expected = around[-1]
            found = exact.climb(span, chunk, value, path, span == _whole(run))
            if found is None or found.hex() != expected:
                raise _evidence("a chunk is not the trace's")
            self.values[chunk] = one["values"]

    def add_pieces(self, pieces: list[Entry]) -> None:
        for piece in pieces:
            if exact.id_from(piece) != self.model:
                raise _evidence("a piece is not the model's")
            self.pieces[piece["node"], piece["part"], piece["piece"]] = bytes.fromhex(piece["bytes"])

    def value(self, at: int) -> int:
        chunk, place = divmod(at, exact.CHUNK)
        values = self.values.get(chunk, [])
        found = values[place] if place < len(values) else _shown_value(self.run, at)
        if found is None:
            raise exact.Missing
        return found

    def number(self, node: int, part: int, index: int) -> int:
        width = self.outline.width_of(node, part)
        if width is None:
            raise exact.Missing
        piece, place = divmod(index * width, exact.PIECE)
        raw = self.pieces.get((node, part, piece), b"")[place : place + width]
        if len(raw) < width:
            raise exact.Missing
        return int.from_bytes(raw, "little", signed=width > 1)


def _refute_tile(run: Entry, layout: exact.Layout, claim: Entry, opened: Opened) -> bool:
    """Whether the value itself is wrong: sums are the worker's word of now, which nobody has approved."""
    opened.add_chunks(claim["chunks"])
    opened.add_pieces(claim["pieces"])
    if run["sums"] is None:
        raise Refused("wrong_state", what="a tile of a value without sums")
    (at, sums), tile = run["sums"], claim["tile"]
    tiles = layout.tiles(at)
    if tiles is None:
        raise _evidence("an input's value is not computed")
    operands, whole = exact.Operands(opened.value, opened.number), 0
    try:
        for each in range(tiles):
            whole = layout.execute(at, each, whole, operands)
        is_bound = whole != sums[-1]
    except exact.Missing:
        is_bound = False
    # More or fewer sums than the value has tiles are a lie as well.
    if len(sums) != tiles:
        return is_bound
    if tile >= tiles:
        raise Refused("out_of_bounds", field="tile")
    try:
        found = layout.execute(at, tile, sums[tile - 1] if tile else 0, operands)
    except exact.Missing:
        raise _evidence("an operand is not opened") from None
    if found == sums[tile]:
        raise _evidence("the tile is right")
    return is_bound


def _committed(opened: Entry, kind: str | None, part: str | None) -> Entry | None:
    """What is committed to, as it is shown without its parts, or by the way of one of them."""
    if opened["kind"] == "aside":
        return dict(opened["committed"])
    path, leaf = opened["path"], committed_leaf(opened["salt"], str(part))
    root = root_over(leaf, path)
    return {"kind": kind, "parts": path["count"], "root": root} if root else None


def _is_other_input(challenge: Entry, runs: str, opened: Entry) -> bool:
    """None that the model takes, or in other parts than were answered."""
    # What a text's input is made of no ledger can compute.
    if runs == "texts":
        raise _evidence("the input is not of integers")
    part = opened.get("part")
    kind = {"tensor": "tensors", "tokens": "tokens"}[part["kind"]] if part else None
    committed = _committed(opened, kind, input_part(part) if part else None)
    if committed is None or commitment("input", committed) != challenge["input"]:
        raise _evidence("the request commits to another input")
    return (committed["kind"], committed["parts"]) != (runs, challenge["items"])


def _is_other_output(challenge: Entry, runs: str, opened: Entry) -> bool:
    committed = _committed(opened, opened.get("of"), opened.get("said"))
    if committed is None or commitment("output", committed) != challenge["output"]:
        raise _evidence("the result commits to another output")
    return (committed["kind"], committed["parts"]) != ("vectors" if runs == "tokens" else "logits", challenge["items"])


def _refute_input(challenge: Entry, layout: exact.Layout, runs: str, claim: Entry) -> None:
    run, opened = challenge["run"], claim["opened"]
    if _is_other_input(challenge, runs, opened):
        return
    if opened["path"]["index"] != run["item"]:
        raise _evidence("it is another part of the input")
    asked = opened["part"]["elements" if runs == "tensors" else "tokens"]
    # A run of a longer or shorter input is one of another.
    if len(asked) != run["trace"]["length"]:
        return
    shown, place = _shown_value(run, claim["at"]), layout.place(claim["at"])
    if shown is None:
        raise _evidence("the value is not shown")
    if place is None or place[0] != 0:
        raise _evidence("the value is not the input's")
    if asked[layout.index_of(0, place[1])] == shown:
        raise _evidence("the value is the input's")


def _refute_output(challenge: Entry, layout: exact.Layout, runs: str, claim: Entry, shown: Opened) -> None:
    """The answer is as its digest says, and as the trace ends."""
    shown.add_chunks(claim["chunks"])
    run, opened = challenge["run"], claim["opened"]
    if _is_other_output(challenge, runs, opened):
        return
    if opened["path"]["index"] != run["item"]:
        raise _evidence("it is another part of the output")
    if opened["said"] != run["said"]:
        return
    try:
        ends = [shown.value(at) for at in layout.stream_of(len(layout.shapes) - 1)]
    except exact.Missing:
        raise _evidence("a last value is not opened") from None
    vector = exact.direction(ends) if runs == "tokens" else None
    found = logits_digest(ends) if runs != "tokens" else vector and vector_digest(vector)
    if found == opened["said"]:
        raise _evidence("the answer is what the trace ends with")


# How it ends.


def _approvals(segment: Entry) -> list[Entry]:
    """All that the segment rests on or rested on."""
    state, found = segment["state"], []
    if state["kind"] == "final":
        found.append(state["approval"])
    if state["kind"] == "judging":
        approvers = approvers_of(state["members"])
        found.append({"approvers": approvers, "seed": state["seed"], "replayed": state["replay"]})
    return found + ([segment["dispute"]["approval"]] if segment["dispute"] else [])


def _uphold(ledger: Ledger, key: str, challenger: str, is_bound: bool) -> None:
    """The worker was wrong, and, if that was in the evidence, so was everyone who attested a replay of this job."""
    challenge, segment = ledger.table("challenges")[_pair(key, challenger)], ledger.table("segments").get(key)
    if segment is None:
        return
    close_challenge(ledger, _pair(key, challenger))
    approvals = _approvals(segment) if is_bound else []
    blind = {node for approval in approvals for node in attested(key, approval, challenge["job"])}
    reject(ledger, key, segment, "proven_wrong")
    return_bond(ledger, segment["dispute"])
    _undo_rejections(ledger, key)
    convict_refuted(ledger, key, segment, sorted(blind), challenger)


def _undo_rejections(ledger: Ledger, key: str) -> None:
    """Whoever was outvoted did not reject what is right."""
    for number, hold in sorted(ledger.table("holds").items(), key=lambda item: int(item[0])):
        if (hold["segment"], hold["rule"]) == (key, "wrong_rejection") and ledger.node(hold["node"]):
            restitute(ledger, number)


def advance(ledger: Ledger, key: str) -> None:
    """A turn that nobody took."""
    challenge = ledger.table("challenges")[key]
    segment = ledger.table("segments").get(key.split("/")[0])
    # V5: what was planted can't be shown, and while judges look its worker may not say that it was.
    is_mute = segment and owed(segment) is not None and segment["state"]["kind"] != "final"
    renewed_ms = late(ledger.meta["resumed_at_ms"] + _window_ms(ledger, challenge))
    if is_mute and challenge["turn"]["kind"] == "worker":
        _turn(ledger, challenge, challenge["turn"])
    elif challenge["due_at_ms"] < renewed_ms:
        challenge["due_at_ms"] = renewed_ms
    elif ledger.height < challenge["due_at_height"]:
        challenge["due_at_ms"] = late(ledger.now_ms + 1)
    elif challenge["turn"]["kind"] == "worker":
        _withheld(ledger, key)
    else:
        _abandoned(ledger, challenge)


def _withheld(ledger: Ledger, key: str) -> None:
    """V3, S6: what is not shown is as good as no evidence."""
    about = key.split("/")[0]
    segment = ledger.table("segments").get(about)
    if segment is None:
        return
    close_challenge(ledger, key)
    replayed = min([approval["replayed"] for approval in _approvals(segment)], default=WHOLE)
    add_fault(ledger, segment["worker"], segment["profile"])
    reject(ledger, about, segment, "unavailable")
    return_bond(ledger, segment["dispute"])
    _undo_rejections(ledger, about)
    slash_withheld(ledger, about, segment, replayed)


def _abandoned(ledger: Ledger, challenge: Entry) -> None:
    """Half of the bond is the worker's, the rest the treasury's."""
    bond = challenge["bond"]
    ledger.credit(challenge["worker"], split(bond, 2))
    ledger.meta["treasury"] += bond - split(bond, 2)
    challenge |= {"bond": 0, "leaves": [], "run": None, "turn": {"kind": "over"}}


RULES = {
    "open_challenge": open_challenge, "show_trace": show_trace, "ask_trace": ask_trace, "refute_trace": refute_trace,
}
