"""Integer models from float weights, and proofs of what they answer: the commands alone, no network."""

import json
import random
import struct

import pytest
from network import done, inferium

WIDTHS = [12, 8, 3]


def shown(*arguments):
    return json.loads(done(*arguments, "--json").stdout)


def refused(*arguments):
    """What a command says that refuses what it was given."""
    ran = inferium(*arguments)
    assert ran.returncode == 4 and ran.stdout == "", (ran.returncode, ran.stderr)
    return ran.stderr


def safetensors(seed, layers="dense a,relu,dense b"):
    """An MLP with drawn weights: a length, a head in JSON, floats."""
    rng, head, data = random.Random(seed), {}, b""
    head["__metadata__"] = {"input": "12,1,1", "input_range": "0,255", "input_scale": repr(1 / 255), "layers": layers}
    for name, inputs, outputs in zip("ab", WIDTHS, WIDTHS[1:]):
        for part, shape in (("weight", [outputs, inputs]), ("bias", [outputs])):
            count = outputs * inputs if part == "weight" else outputs
            floats = struct.pack(f"<{count}f", *(rng.uniform(-0.6, 0.6) for _ in range(count)))
            head[f"{name}.{part}"] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(floats)]}
            data += floats
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + data


def protobuf(*fields):
    """A message of protocol buffers: pairs of a field's number and its value, a whole number, a text or bytes."""

    def varint(number):
        out = b""
        while number > 127:
            out, number = out + bytes([number & 127 | 128]), number >> 7
        return out + bytes([number])

    message = b""
    for number, value in fields:
        if isinstance(value, int):
            message += varint(number << 3) + varint(value)
        else:
            value = value.encode() if isinstance(value, str) else value
            message += varint(number << 3 | 2) + varint(len(value)) + value
    return message


def onnx(seed, activation="Relu"):
    """The network of [safetensors] as an ONNX file, written by hand."""
    rng, tensors = random.Random(seed), []
    for name, inputs, outputs in zip("ab", WIDTHS, WIDTHS[1:]):
        for part, shape in (("weight", [outputs, inputs]), ("bias", [outputs])):
            count = outputs * inputs if part == "weight" else outputs
            floats = struct.pack(f"<{count}f", *(rng.uniform(-0.6, 0.6) for _ in range(count)))
            sizes = [(1, size) for size in shape]
            tensors.append((5, protobuf(*sizes, (2, 1), (8, f"{name}.{part}"), (9, floats))))
    transposed = protobuf((1, "transB"), (3, 1), (20, 2))

    def value(name, length):
        dimensions = [(1, protobuf((2, "batch"))), (1, protobuf((1, length)))]
        return protobuf((1, name), (2, protobuf((1, protobuf((1, 1), (2, protobuf(*dimensions)))))))

    def node(kind, inputs, output, *attributes):
        return 1, protobuf(*[(1, name) for name in inputs], (2, output), (3, f"n-{output}"), (4, kind), *[(5, one) for one in attributes])

    nodes = [
        node("Gemm", ["x", "a.weight", "a.bias"], "h", transposed),
        node(activation, ["h"], "r"),
        node("Gemm", ["r", "b.weight", "b.bias"], "y", transposed),
    ]
    graph = protobuf(*nodes, (2, "g"), *tensors, (11, value("x", WIDTHS[0])), (12, value("y", WIDTHS[-1])))
    return protobuf((1, 8), (7, graph), (8, protobuf((2, 17))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two models, some inputs, and a proof of each kind of what the first model answers to the third of them."""
    path = tmp_path_factory.mktemp("exact")
    rng = random.Random(7)
    inputs = [[rng.randrange(256) for _ in range(12)] for _ in range(20)]
    (path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in inputs))
    for seed, name in enumerate(["mlp", "other"]):
        (path / f"{name}.safetensors").write_bytes(safetensors(seed))
        done("exact", "compile", path / f"{name}.safetensors", "--calibration", path / "data.jsonl", "--out", path / f"{name}.ifx")
    for hiding in ("activations", "none"):
        where = ("--input", path / "data.jsonl", "--index", 2, "--hiding", hiding)
        done("zk", "prove", path / "mlp.ifx", *where, "--out", path / f"{hiding}.proof", "--task", "ab" * 32)
    done("zk", "key", path / "mlp.ifx", "--out", path / "mlp.key")
    return path


def test_a_compiled_model_is_shown_and_answers_alike_from_every_format(folder, tmp_path):
    model = shown("exact", "show", folder / "mlp.ifx")
    assert model["name"] == "mlp" and len(model["id"]) == 64 and model["bytes"] == (folder / "mlp.ifx").stat().st_size
    assert model["parameters"] == 12 * 8 + 8 + 8 * 3 + 3
    assert model["input"] == {"shape": [12, 1, 1], "min": 0, "max": 255} and model["output"] == [3, 1, 1]
    assert [node["op"] for node in model["nodes"]] == ["dense", "affine", "requantisation", "dense", "affine"]
    assert model["headroom_bits"] == min(node["headroom_bits"] for node in model["nodes"]) > 0
    words = done("exact", "show", folder / "mlp.ifx").stdout
    assert model["id"] in words and "headroom" in words and "requantisation" in words
    ran = shown("exact", "run", folder / "mlp.ifx", "--input", folder / "data.jsonl")
    assert ran["model"] == model["id"] and len(ran["data"]) == 20
    for row in ran["data"]:
        assert len(row["logits"]) == 3 and row["label"] == row["logits"].index(max(row["logits"]))
    assert len({row["label"] for row in ran["data"]}) > 1
    rows = done("exact", "run", folder / "mlp.ifx", "--input", folder / "data.jsonl", "--output", "ndjson").stdout
    assert [json.loads(line) for line in rows.splitlines()] == ran["data"]
    inputs = [json.loads(line) for line in (folder / "data.jsonl").read_text().splitlines()]
    (tmp_path / "data.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in inputs))
    (tmp_path / "data.json").write_text(json.dumps(inputs, indent=1))
    (tmp_path / "data.u8").write_bytes(bytes(number for row in inputs for number in row))
    head = b"{'descr': '<i4', 'fortran_order': False, 'shape': (20, 12), }\n"
    numbers = struct.pack("<240i", *(number for row in inputs for number in row))
    (tmp_path / "data.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + numbers)
    for ending in ("csv", "json", "u8", "npy"):
        assert shown("exact", "run", folder / "mlp.ifx", "--input", tmp_path / f"data.{ending}") == ran, ending


def test_the_same_weights_make_the_same_file_and_none_is_written_over(folder, tmp_path):
    again = ("exact", "compile", folder / "mlp.safetensors", "--calibration", folder / "data.jsonl", "--out", tmp_path / "again.ifx")
    done(*again)
    assert (tmp_path / "again.ifx").read_bytes() == (folder / "mlp.ifx").read_bytes()
    (tmp_path / "again.ifx").write_text("mine")
    assert "is there already" in refused(*again)
    prove = ("zk", "prove", folder / "mlp.ifx", "--input", folder / "data.jsonl", "--index", 0, "--out", tmp_path / "again.ifx")
    assert "is there already" in refused(*prove)
    assert "is there already" in refused("zk", "key", folder / "mlp.ifx", "--out", tmp_path / "again.ifx")
    assert (tmp_path / "again.ifx").read_text() == "mine"
    done(*again, "--force")
    assert (tmp_path / "again.ifx").read_bytes() == (folder / "mlp.ifx").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.ifx"]


def test_an_onnx_file_makes_the_model_that_a_safetensors_file_makes(folder, tmp_path):
    (tmp_path / "mlp.onnx").write_bytes(onnx(0))
    compiled = ("exact", "compile", tmp_path / "mlp.onnx", "--calibration", folder / "data.jsonl", "--out", tmp_path / "mlp.ifx")
    assert "input" in refused(*compiled), "the file does not say what its inputs are"
    terms = ("--input-range", "0,255", "--input-scale", repr(1 / 255))
    done(*compiled, *terms)
    assert (tmp_path / "mlp.ifx").read_bytes() == (folder / "mlp.ifx").read_bytes()
    (tmp_path / "mlp.onnx").write_bytes(onnx(0, "Sigmoid"))
    said = refused(*compiled, *terms, "--force")
    assert "Sigmoid" in said and "n-r" in said, said
    (tmp_path / "mlp.onnx").write_bytes(onnx(0)[:-5])
    assert "mlp.onnx" in refused(*compiled, *terms, "--force")


def test_what_is_asked_of_a_sentence_encoder_wrongly_is_refused_in_words(folder, tmp_path):
    texts, empty = tmp_path / "texts.txt", tmp_path / "empty.txt"
    texts.write_text("One text.\nAnother one.\n")
    empty.write_text("\n \n")
    (tmp_path / "encoder").mkdir()
    compiled = ("exact", "compile", tmp_path / "encoder", "--calibration")
    assert "there is no text in it" in refused(*compiled, empty, "--out", tmp_path / "out")
    assert "config.json" in refused(*compiled, texts, "--out", tmp_path / "out")
    assert "no range and scale" in refused(*compiled, texts, "--out", tmp_path / "out", "--input-scale", "1")
    assert "is there already" in refused(*compiled, texts, "--out", tmp_path / "encoder")
    ran = inferium(*compiled, texts, "--out", tmp_path / "out.ifx")
    assert ran.returncode == 2 and "go to a folder" in ran.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_no_model_weights_or_input_is_refused_with_its_reason(folder, tmp_path):
    bad = tmp_path / "bad.ifx"
    whole = (folder / "mlp.ifx").read_bytes()
    for damaged, reason in [(b"", "not an .ifx"), (whole[:-1], "damaged"), (whole[:4] + b"\x09" + whole[5:], "version 9"), (whole + b"x", "damaged")]:
        bad.write_bytes(damaged)
        for command in [("exact", "show", bad), ("exact", "run", bad, "--input", folder / "data.jsonl"), ("zk", "key", bad, "--out", tmp_path / "k")]:
            said = refused(*command)
            assert "bad.ifx" in said and reason in said, said
    (tmp_path / "short.jsonl").write_text("[1, 2]\n")
    (tmp_path / "large.jsonl").write_text("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 300]\n")
    for name, reason in [("short", "line 1: 2 numbers; the model takes 12"), ("large", "line 1: number 12 is 300; the model takes 0 to 255")]:
        assert reason in refused("exact", "run", folder / "mlp.ifx", "--input", tmp_path / f"{name}.jsonl")
    missing = inferium("exact", "run", folder / "mlp.ifx", "--input", tmp_path / "none.jsonl")
    assert missing.returncode == 2 and "none.jsonl" in missing.stderr
    unknown = inferium("exact", "run", folder / "mlp.ifx", "--input", folder / "mlp.safetensors")
    assert unknown.returncode == 2 and ".jsonl, .json, .csv, .npy and .u8" in unknown.stderr
    for layers, reason in [("dense a,relu,dense c", "c.weight"), ("dense a,softmax", "layers"), ("relu,dense a", "rectifier")]:
        weights = tmp_path / "weights.safetensors"
        weights.write_bytes(safetensors(1, layers))
        said = refused("exact", "compile", weights, "--calibration", folder / "data.jsonl", "--out", tmp_path / "new.ifx")
        assert "weights.safetensors" in said and reason in said, said
    assert not (tmp_path / "new.ifx").exists()


def test_a_proof_verifies_with_the_model_or_its_key_and_says_what_it_claims(folder):
    answer = shown("exact", "run", folder / "mlp.ifx", "--input", folder / "data.jsonl")["data"][2]
    model = shown("exact", "show", folder / "mlp.ifx")["id"]
    for hiding in ("activations", "none"):
        proof = folder / f"{hiding}.proof"
        checked = shown("zk", "verify", folder / "mlp.ifx", proof)
        assert checked["is_valid"] and checked["model"] == model and checked["task"] == "ab" * 32
        assert checked["output"] == answer["logits"] and checked["label"] == answer["label"]
        assert checked["hiding"] == (hiding == "activations")
        by_key = shown("zk", "verify", "--key", folder / "mlp.key", proof)
        differs = {"name", "verify_ms"}
        assert {name: by_key[name] for name in by_key.keys() - differs} == {name: checked[name] for name in checked.keys() - differs}
        words = done("zk", "verify", folder / "mlp.ifx", proof).stdout
        assert str(answer["logits"][0]) in words and model in words and "ab" * 32 in words
        assert ("zero-knowledge" in words) == (hiding == "activations")
        assert ("nothing is hidden" in words) == (hiding == "none")
    assert (folder / "mlp.key").stat().st_size < 300


def test_a_proof_for_another_task_chain_prover_or_input_is_refused(folder):
    proof = (folder / "mlp.ifx", folder / "activations.proof")
    claimed = shown("zk", "verify", *proof)
    expected = {"task": "ab" * 32, "chain": "00" * 32, "prover": "00" * 32, "committed-input": claimed["input"]}
    assert shown("zk", "verify", *proof, *(word for name, hex_ in expected.items() for word in (f"--{name}", hex_)))["is_valid"]
    for name in expected:
        said = refused("zk", "verify", *proof, f"--{name}", "cd" * 32)
        assert f"its {name.replace('-', ' ')} is {expected[name]}, not {'cd' * 32}" in said


def test_a_proof_shows_its_stages_and_what_it_took(folder, tmp_path):
    where = ("--input", folder / "data.jsonl", "--index", 1)
    ran = done("zk", "prove", folder / "mlp.ifx", *where, "--out", tmp_path / "a.proof", "--json")
    for stage in ("commits to the model", "look-ups", "layers", "masked messages", "opens the commitments"):
        assert stage in ran.stderr, stage
    told = json.loads(ran.stdout)
    assert told["prove_s"] > 0 and told["prove_cpu_s"] > 0 and told["peak_rss_mb"] > 1 and told["hiding"] is True
    plain = done("zk", "prove", folder / "mlp.ifx", *where, "--out", tmp_path / "b.proof", "--hiding", "none")
    assert "succinct" in plain.stdout and "zero-knowledge" not in plain.stdout + plain.stderr
    assert "processor time" in plain.stdout and "MB at most" in plain.stdout
    # Of several inputs one is chosen, or all of them are proved at once.
    of_all = ("zk", "prove", folder / "mlp.ifx", "--input", folder / "data.jsonl", "--out", tmp_path / "c.proof")
    several = inferium(*of_all)
    assert several.returncode == 2 and "20 inputs" in several.stderr and not (tmp_path / "c.proof").exists()
    told = json.loads(done(*of_all, "--all", "--json").stdout)
    alone = json.loads(done("exact", "run", folder / "mlp.ifx", "--input", folder / "data.jsonl", "--json").stdout)["data"]
    labels = [row["label"] for row in alone]
    assert told["inputs"] == 32 and told["labels"] == labels + [labels[-1]] * 12
    verified = json.loads(done("zk", "verify", folder / "mlp.ifx", tmp_path / "c.proof", "--json").stdout)
    assert verified["is_valid"] and verified["inputs"] == 32 and verified["labels"] == told["labels"]


def test_a_changed_byte_another_model_and_other_outputs_are_rejected(folder, tmp_path):
    for hiding in ("activations", "none"):
        whole = (folder / f"{hiding}.proof").read_bytes()
        changed = tmp_path / "changed.proof"
        # Magic, model, input, output, task, chain, prover, and drawn places of the proof itself.
        for at in [0, 10, 40, 69, 75, 110, 140, *random.Random(hiding).sample(range(200, len(whole)), 12)]:
            damaged = bytearray(whole)
            damaged[at] ^= 1
            changed.write_bytes(damaged)
            assert "changed.proof" in refused("zk", "verify", "--key", folder / "mlp.key", changed), at
        for damaged in (whole[:-1], whole + b"\0", b""):
            changed.write_bytes(damaged)
            refused("zk", "verify", folder / "mlp.ifx", changed)
        said = refused("zk", "verify", folder / "other.ifx", folder / f"{hiding}.proof")
        assert "rejected: it is about the model" in said
        # The answer of another model, and one that is one off, in the place of the true one.
        output = shown("zk", "verify", folder / "mlp.ifx", folder / f"{hiding}.proof")["output"]
        other = shown("exact", "run", folder / "other.ifx", "--input", folder / "data.jsonl")["data"][2]["logits"]
        encoded = outputs(output)
        assert whole.count(encoded) == 1
        for wrong in (other, [output[0] + 1, *output[1:]], [*output[:-1], output[-1] - 1], output[::-1]):
            changed.write_bytes(whole.replace(encoded, outputs(wrong)))
            assert "rejected" in refused("zk", "verify", folder / "mlp.ifx", changed)


def outputs(numbers):
    """A list as proofs' files have it: its length, then each number in zigzag, seven bits a byte."""
    encoded = bytearray([len(numbers)])
    for number in numbers:
        value = number << 1 if number >= 0 else ~(number << 1)
        while value >= 0x80:
            encoded.append(value & 0x7F | 0x80)
            value >>= 7
        encoded.append(value)
    return bytes(encoded)


def test_a_hidden_input_is_not_in_the_proof(folder, tmp_path):
    # Numbers that would be seen: in bytes, in words, and as varints that the file has its numbers in.
    secret = [201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 211, 212]
    (tmp_path / "secret.jsonl").write_text(json.dumps(secret))
    done("zk", "prove", folder / "mlp.ifx", "--input", tmp_path / "secret.jsonl", "--out", tmp_path / "secret.proof")
    proof = (tmp_path / "secret.proof").read_bytes()
    for part in (secret[at : at + 4] for at in range(9)):
        assert bytes(part) not in proof
        assert struct.pack("<4I", *part) not in proof and struct.pack("<4H", *part) not in proof
        varints = b"".join(bytes([number & 0x7F | 0x80, number >> 7]) for number in part)
        assert varints not in proof and varints[1:] not in proof
    # Of one input two proofs have nothing in common but the statement's beginning: not even the commitment.
    done("zk", "prove", folder / "mlp.ifx", "--input", tmp_path / "secret.jsonl", "--out", tmp_path / "again.proof")
    one, two = (shown("zk", "verify", folder / "mlp.ifx", tmp_path / f"{name}.proof") for name in ("secret", "again"))
    assert one["output"] == two["output"] and one["input"] != two["input"]


def test_a_model_that_cannot_be_proved_is_refused(folder, tmp_path):
    weights = safetensors(0).replace(b'"input_range": "0,255"', b'"input_range": "0,200"')
    (tmp_path / "odd.safetensors").write_bytes(weights)
    (tmp_path / "data.jsonl").write_text(json.dumps([100] * 12))
    done("exact", "compile", tmp_path / "odd.safetensors", "--calibration", tmp_path / "data.jsonl", "--out", tmp_path / "odd.ifx")
    said = refused("zk", "prove", tmp_path / "odd.ifx", "--input", tmp_path / "data.jsonl", "--out", tmp_path / "odd.proof")
    assert "odd.ifx" in said and "proves no such model" in said and "power of two" in said
    assert not (tmp_path / "odd.proof").exists()


def test_measurements_have_the_agreed_form():
    fields = {"model", "params", "prove_s", "prove_cpu_s", "verify_ms", "proof_bytes", "peak_rss_mb", "hiding"}
    for hiding, is_hiding in (("activations", True), ("none", False)):
        rows = shown("zk", "bench", "--model", "mlp-tiny", "--model", "cnn-tiny", "--proofs", 1, "--hiding", hiding)
        assert [row["model"] for row in rows] == ["mlp-tiny", "cnn-tiny"]
        for row in rows:
            assert set(row) == fields and row["hiding"] is is_hiding
            assert all(row[name] > 0 for name in fields - {"model", "hiding"}), row
    table = done("zk", "bench", "--model", "mlp-tiny", "--proofs", 1).stdout
    assert "mlp-tiny" in table and "zero-knowledge" in table
    assert inferium("zk", "bench", "--model", "none").returncode == 2
