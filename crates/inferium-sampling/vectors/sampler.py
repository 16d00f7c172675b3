#!/usr/bin/env python3
"""Generates sampler_v1.csv: the canonical sampler written a second time, by a full sort and without shortcuts.

Run `python3 sampler.py > sampler_v1.csv`. Standard library only. Logits are multiples of 1/256 from a linear
congruential generator that the Rust test repeats, so that the file needs to hold the cases' parameters only.
Python's log and exp come from the platform's libm and may differ from ours in the last bit; a case where that
decided the token would differ by about 1e-16 in z + g, so cases whose two best sums are closer than 1e-9 are
left out here.
"""
import hashlib
import math

MASK = 0xFFFFFFFF


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & MASK, (p0 >> 32) ^ c[3] ^ k[1], p0 & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def row(case, size):
    state, logits = case * 2654435761 + 12345, []
    for _ in range(size):
        state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
        logits.append(((state >> 40) % 8192 - 4096) / 256.0)
    return logits


def choose(logits, temperature, top_p, top_k, seed, position):
    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    order = order[: min(top_k or 1024, 1024)]
    if temperature == 0:
        return order[0], 1.0
    z = [logits[i] / (temperature / 1e6) for i in order]
    if top_p < 1_000_000:
        mass = [math.exp(v - z[0]) for v in z]
        total, before, kept = sum(mass), 0.0, 0
        for m in mass:
            if kept and before >= total * (top_p / 1e6):
                break
            before, kept = before + m, kept + 1
        order, z = order[:kept], z[:kept]
    key = [int.from_bytes(seed[0:4], "little"), int.from_bytes(seed[4:8], "little")]
    sums = []
    for v, i in zip(z, order):
        w = philox([position & MASK, i, position >> 32, 0], key)
        u = min(((w[1] << 32 | w[0]) >> 11) * 2.0**-53 + 2.0**-54, 1 - 2.0**-53)
        sums.append((-(v - math.log(-math.log(u))), i))
    sums.sort()
    return sums[0][1], (sums[1][0] - sums[0][0] if len(sums) > 1 else 1.0)


def main():
    print("case,size,temperature_micro,top_p_ppm,top_k,position,seed,token")
    for case in range(240):
        size = [1, 2, 50, 1000, 5000][case % 5]
        temperature = [0, 1_000_000, 700_000, 1_500_000, 10_000, 3_000_000][case % 6]
        top_p = [1_000_000, 900_000, 500_000, 1, 0, 990_000, 1_000_000][case % 7]
        top_k = [0, 1, 40, 5, 2000, 0, 0, 300][case % 8]
        position = [0, 1, 77, 2**32 + 5][case % 4]
        seed = hashlib.sha256(b"case %d" % case).digest()
        token, margin = choose(row(case, size), temperature, top_p, top_k, seed, position)
        if margin > 1e-9:
            print(f"{case},{size},{temperature},{top_p},{top_k},{position},{seed.hex()},{token}")


main()
