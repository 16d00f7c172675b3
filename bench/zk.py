"""Proofs of inference beside other provers, in one run: `python3 bench/zk.py [--peers] [--peers-heavy] [--out FILE.json]`.

Without flags: what `inferium zk bench` measures, as a table. Needs `cargo build --release -p inferium`, or --binary.

`--peers` also measures ezkl 23.0.5 and JSTprove 2.1.0 on the network of 784-128-64-10, `--peers-heavy` on LeNet-5 too, which takes ezkl
some ten minutes of a core and 11 GB of memory. They are installed from PyPI into virtual environments in --folder (6 GB: JSTprove
brings PyTorch), where their keys go too. JSTprove needs libmpi.so.40; where the machine has none, Debian's packages are unpacked into the folder
(`apt-get download`), nothing is installed.

Each step is a process of its own: wall time, processor time and peak memory are what the kernel says of it, with what it loads. So they
are of the peers' `prove` and `verify` commands as they are used; ours says its own, without the key's making, and its memory from the
process's start. What the proofs promise differs, which the table's last column says.
"""

import argparse
import asyncio
import inspect
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
EZKL, JSTPROVE = "ezkl==23.0.5", "jstprove==2.1.0"
MPI = ["libopenmpi3", "libhwloc15", "libevent-core-2.1-7", "libevent-pthreads-2.1-7", "libpmix2", "libucx0", "libfabric1", "libibverbs1",
       "libpsm-infinipath1", "libpsm2-2", "librdmacm1", "libnl-3-200", "libnl-route-3-200", "libmunge2", "libltdl7", "libxnvctrl0"]
PROMISES = {
    "ezkl": "input hidden, weights committed in the key; a trusted setup (KZG), here an unsafe one of this machine",
    "jstprove": "input and weights are public, and the verifier reads the circuit that holds them; no trusted setup",
    "inferium": "input hidden, weights committed in the key; no trusted setup",
    "inferium, no hiding": "input committed but not hidden, weights committed in the key; no trusted setup",
}


def measured(command, env=None, cwd=None, log=None):
    """Runs a process: (wall seconds, processor seconds, peak MB). Its children count too."""
    with open(log or os.devnull, "ab") as out:
        begin = time.monotonic()
        process = subprocess.Popen([str(c) for c in command], env=os.environ | (env or {}), cwd=cwd, stdout=out, stderr=out)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed with {process.returncode}; see {log}")
    return {"wall_s": time.monotonic() - begin, "cpu_s": usage.ru_utime + usage.ru_stime, "rss_mb": usage.ru_maxrss / 1024}


def environment(folder, package, *others):
    """The Python of a virtual environment with a package."""
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        print(f"installs {package} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", package, *others], check=True)
        (folder / "done").touch()
    return python


def make(name, folder, pooling):
    """The network as JSTprove and ezkl read it, with all attributes, for one input; and an input. JSTprove knows no means: its
    pooling takes the largest, which is more work for it."""
    import numpy as np
    import onnx

    sys.path.insert(0, str(ROOT / "bench"))
    from exact import NETWORKS, network

    rng = np.random.default_rng(2026)
    model, _ = network(name, rng)
    for end in [*model.graph.input, *model.graph.output]:
        end.type.tensor_type.shape.dim[0].dim_value = 1
    given = {"AveragePool": {"pads": [0] * 4, "ceil_mode": 0, "count_include_pad": 0, "auto_pad": "NOTSET"},
             "Conv": {"auto_pad": "NOTSET"}, "Gemm": {"alpha": 1.0, "beta": 1.0, "transA": 0}}
    given["MaxPool"] = {"pads": [0] * 4, "ceil_mode": 0, "auto_pad": "NOTSET", "dilations": [1, 1], "storage_order": 0}
    for node in model.graph.node:
        node.op_type = pooling if node.op_type == "AveragePool" else node.op_type
        node.attribute.extend(onnx.helper.make_attribute(*one) for one in given.get(node.op_type, {}).items())
    onnx.save(onnx.shape_inference.infer_shapes(model), folder / "model.onnx")
    value = rng.uniform(0, 1, NETWORKS[name][0]).astype("float32").ravel().tolist()
    (folder / "ezkl.json").write_text(json.dumps({"input_data": [value]}))
    (folder / "jst.json").write_text(json.dumps({"input": value}))


async def ezkl_step(step, folder):
    """One step of ezkl, in its environment."""
    import ezkl

    at = lambda name: str(folder / name)

    async def call(function, *arguments, **named):
        result = function(*arguments, **named)
        return await result if inspect.isawaitable(result) else result

    if step == "prepare":
        options = ezkl.PyRunArgs()
        options.input_visibility, options.param_visibility, options.output_visibility = "private", "fixed", "public"
        await call(ezkl.gen_settings, at("model.onnx"), at("settings.json"), py_run_args=options)
        await call(ezkl.calibrate_settings, at("ezkl.json"), at("model.onnx"), at("settings.json"), "resources", scales=[7])
        await call(ezkl.compile_circuit, at("model.onnx"), at("model.ezkl"), at("settings.json"))
        logrows = json.loads((folder / "settings.json").read_text())["run_args"]["logrows"]
        await call(ezkl.gen_srs, at("srs"), logrows)
    elif step == "setup":
        await call(ezkl.setup, at("model.ezkl"), at("vk"), at("pk"), at("srs"))
    elif step == "prove":
        await call(ezkl.gen_witness, at("ezkl.json"), at("model.ezkl"), at("witness.json"))
        await call(ezkl.prove, at("witness.json"), at("model.ezkl"), at("pk"), at("proof.json"), at("srs"))
    elif step == "verify":
        assert await call(ezkl.verify, at("proof.json"), at("settings.json"), at("vk"), at("srs"))


def ezkl(name, cache, work):
    python = environment(cache / "ezkl", EZKL, "numpy", "onnx")
    own = [python, pathlib.Path(__file__).resolve(), "--step"]
    subprocess.run([*own, f"make {name} AveragePool", "--folder", work], check=True)
    steps = {step: measured([*own, f"ezkl {step}", "--folder", work], log=work / "ezkl.log") for step in ("prepare", "setup", "prove", "verify")}
    hexed = json.loads((work / "proof.json").read_text())
    proof = hexed.get("hex_proof") or hexed["proof"]
    size = len(bytes.fromhex(proof.removeprefix("0x"))) if isinstance(proof, str) else len(proof)
    return row("ezkl", name, steps, size, logrows=json.loads((work / "settings.json").read_text())["run_args"]["logrows"])


def mpi(folder):
    """Variables with which a program finds MPI and runs as one process."""
    env = {"OMPI_MCA_ess": "singleton", "OMPI_MCA_ess_singleton_isolated": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    known = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True).stdout if shutil.which("ldconfig") else ""
    if "libmpi.so.40" in known:
        return env
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for package in MPI:
            subprocess.run(["apt-get", "download", package], cwd=folder, capture_output=True)
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, folder / "root"], check=True)
        if not list(folder.glob("root/usr/lib/*/libmpi.so.40")):
            raise SystemExit("JSTprove needs libmpi.so.40: install Debian's libopenmpi3 or its like")
        (folder / "done").touch()
    libraries = next(folder.glob("root/usr/lib/*/libmpi.so.40")).parent
    return env | {"LD_LIBRARY_PATH": str(libraries), "OMPI_MCA_mca_base_component_path": str(libraries / "openmpi/lib/openmpi3")}


def jstprove(name, cache, work):
    ezkl_python = environment(cache / "ezkl", EZKL, "numpy", "onnx")
    subprocess.run([ezkl_python, pathlib.Path(__file__).resolve(), "--step", f"make {name} MaxPool", "--folder", work], check=True)
    python = environment(cache / "jstprove", JSTPROVE)
    jst, expander = python.parent / "jst", next(cache.glob("jstprove/lib/*/site-packages/python/core/binaries/expander-exec"))
    env = mpi(cache / "mpi")
    log = work / "jstprove.log"
    run = lambda *command: measured(command, env, cwd=work, log=log)
    # Called directly: the wrapper's `prove` and `verify` fail where MPI has no daemon.
    prove = ("-p", "Hyrax", "prove", "-c", "circuit.txt", "-w", "witness.txt", "-o", "proof.bin")
    verify = ("-p", "Hyrax", "verify", "-c", "circuit.txt", "-w", "witness.txt", "-i", "proof.bin")
    steps = {
        "prepare": run(jst, "--no-banner", "compile", "-m", "model.onnx", "-c", "circuit.txt"),
        "witness": run(jst, "--no-banner", "witness", "-c", "circuit.txt", "-i", "jst.json", "-o", "output.json", "-w", "witness.txt"),
        "prove": run(expander, *prove),
        "verify": run(expander, *verify),
    }
    return row("jstprove", name, steps, (work / "proof.bin").stat().st_size)


def row(prover, name, steps, proof_bytes, **more):
    prove, verify = steps["prove"], steps["verify"]
    return {"prover": prover, "model": name, "prove_cpu_s": prove["cpu_s"], "prove_s": prove["wall_s"], "verify_s": verify["wall_s"],
            "verify_cpu_s": verify["cpu_s"], "proof_bytes": proof_bytes, "peak_rss_mb": prove["rss_mb"],
            "setup_cpu_s": sum(step["cpu_s"] for what, step in steps.items() if what in ("prepare", "setup")), "steps": steps, **more}


def ours(binary, names, hiding, proofs):
    models = [word for name in names for word in ("--model", name)]
    command = [binary, "zk", "bench", "--output", "json", "--hiding", hiding, "--proofs", str(proofs), *models]
    for found in json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout):
        prover = "inferium" if found["hiding"] else "inferium, no hiding"
        yield {"prover": prover, "model": found["model"], "prove_cpu_s": found["prove_cpu_s"], "prove_s": found["prove_s"],
               "verify_s": found["verify_ms"] / 1000, "proof_bytes": found["proof_bytes"], "peak_rss_mb": found["peak_rss_mb"]}


def print_table(rows):
    print("| network | prover | prove, processor | prove, wall | verify, wall | proof | peak memory | setup, processor | what it promises |")
    print("|" + " --- |" * 9)
    for one in sorted(rows, key=lambda one: one["model"]):
        setup = f"{one['setup_cpu_s']:.1f} s" if "setup_cpu_s" in one else "–"
        print(f"| {one['model']} | {one['prover']} | {one['prove_cpu_s']:.2f} s | {one['prove_s']:.2f} s | {one['verify_s'] * 1000:.0f} ms | "
              f"{one['proof_bytes']:,} B | {one['peak_rss_mb']:.0f} MB | {setup} | {PROMISES[one['prover']]} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "inferium" / "bench"
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target" / "release" / "inferium")
    parser.add_argument("--peers", action="store_true", help="also ezkl and JSTprove, on the MLP")
    parser.add_argument("--peers-heavy", action="store_true", help="on LeNet-5 too: ten minutes of a core and 11 GB of memory")
    parser.add_argument("--only", choices=("ezkl", "jstprove"), help="of the peers this one")
    parser.add_argument("--folder", type=pathlib.Path, default=cache, help="where the peers are installed and work")
    parser.add_argument("--proofs", type=int, default=5, help="of ours, of each model")
    parser.add_argument("--out", type=pathlib.Path, help="JSON of all figures")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        kind, what, *pooling = arguments.step.split()
        return make(what, arguments.folder, *pooling) if kind == "make" else asyncio.run(ezkl_step(what, arguments.folder))
    if not arguments.binary.is_file():
        parser.error(f"there is no {arguments.binary}: `cargo build --release` makes it, `--binary` names another")
    rows = []
    peers = [peer for peer in (ezkl, jstprove) if arguments.only in (None, peer.__name__)]
    for name in (["mlp-109k"] if arguments.peers or arguments.peers_heavy else []) + (["lenet-5"] if arguments.peers_heavy else []):
        for peer in peers:
            work = arguments.folder / "work" / f"{peer.__name__}-{name}"
            work.mkdir(parents=True, exist_ok=True)
            print(f"{peer.__name__}: {name}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
            rows.append(peer(name, arguments.folder, work))
    names = ["mlp-109k", "lenet-5"] if rows else ["mlp-109k", "lenet-5", "dense-4m", "cnn-264k"]
    for hiding in ("activations", "none"):
        rows.extend(ours(arguments.binary, names, hiding, arguments.proofs))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print_table(rows)
    if arguments.out:
        arguments.out.write_text(json.dumps({"cores": os.cpu_count(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
