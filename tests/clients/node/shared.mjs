// What the tests of both clients need to know of the network that they run against.
import { execFile } from "node:child_process";
import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { z } from "zod";

export const BASE = process.env.OPENAI_BASE_URL;
export const MODEL = process.env.INFERIUM_TEST_MODEL_NAME;
export const EMBEDDER = process.env.INFERIUM_TEST_EMBEDDER_NAME;
const HERE = dirname(fileURLToPath(import.meta.url));

export const Weather = z.strictObject({ city: z.string().max(30), unit: z.enum(["celsius", "fahrenheit"]) });
export const Person = z.strictObject({ name: z.enum(["Ann", "Bob"]), age: z.int().min(0).max(150) });

/** How many requests the gateway has answered with this status: what a client's tries are counted by. */
export async function answered(status) {
  const text = await (await fetch(`${process.env.INFERIUM_TEST_ADMIN}/metrics`)).text();
  const found = new RegExp(`^inferium_requests_total\\{status="${status}"\\} (\\d+)$`, "m").exec(text);
  return Number(found?.[1] ?? 0);
}

/** What a snippet of docs/clients.md prints, run beside the packages that it imports. */
export async function snippet(name) {
  const folder = await mkdtemp(join(tmpdir(), "inferium-snippet-"));
  try {
    await cp(join(HERE, "../snippets", name), join(folder, name));
    await symlink(join(HERE, "node_modules"), join(folder, "node_modules"));
    return (await promisify(execFile)("node", [join(folder, name)], { timeout: 120_000 })).stdout;
  } finally {
    await rm(folder, { recursive: true });
  }
}
