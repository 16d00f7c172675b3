// Vendored files of the pages: `node vendor.mjs` compares each with what its package publishes,
// `node vendor.mjs --write` fetches them again by the list below and writes VENDOR.toml.
//
// Published modules import each other by package name, which a browser resolves by an inline script
// alone. Those imports, and nothing else, are rewritten to relative ones.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const VENDOR = join(dirname(fileURLToPath(import.meta.url)), "../../crates/inferium-web/web/vendor");

/** @type {{name: string, version: string, licence: string, folder: string, why: string, files: [string, string][]}[]} */
const PACKAGES = [
  {
    name: "htmx.org", version: "2.0.11", licence: "0BSD", folder: "htmx",
    why: "search, paging and the live head without a page load; 2.x: its options for a strict CSP are documented and tried, 4.x is new",
    files: [["dist/htmx.min.js", "htmx.min.js"], ["LICENSE", "LICENSE"]],
  },
  {
    name: "uplot", version: "1.6.32", licence: "MIT", folder: "uplot", why: "charts over time",
    files: [["dist/uPlot.iife.min.js", "uPlot.iife.min.js"], ["dist/uPlot.min.css", "uPlot.min.css"], ["LICENSE", "LICENSE"]],
  },
  {
    name: "@noble/hashes", version: "2.4.0", licence: "MIT", folder: "noble-hashes", why: "SHA-256 of receipts, argon2id of keystores",
    files: ["sha2", "_md", "_u64", "utils", "hmac", "argon2", "blake2", "_blake"].map((file) => [`${file}.js`, `${file}.js`]),
  },
  {
    name: "@noble/curves", version: "2.4.0", licence: "MIT", folder: "noble-curves", why: "BLS12-381: the group's certificate of a block",
    files: ["bls12-381", "utils", "abstract/bls", "abstract/curve", "abstract/der", "abstract/hash-to-curve", "abstract/modular", "abstract/tower", "abstract/weierstrass"]
      .map((file) => [`${file}.js`, `${file}.js`]),
  },
  {
    name: "@noble/ciphers", version: "2.4.0", licence: "MIT", folder: "noble-ciphers", why: "XChaCha20-Poly1305 of keystores",
    files: ["chacha", "_arx", "_poly1305", "utils"].map((file) => [`${file}.js`, `${file}.js`]),
  },
];
for (const entry of PACKAGES) if (entry.name.startsWith("@noble/")) entry.files.push(["LICENSE", "LICENSE"]);

/** @param {Uint8Array | string} bytes */
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** Package imports made relative. @param {string} text @param {string} file */
function relativeImports(text, file) {
  return text.replace(/^(import .* from )'@noble\/(hashes|curves|ciphers)\/([\w./-]+)';$/gm, (_, head, name, module) => {
    const target = relative(dirname(file), join(`noble-${name}`, module));
    return `${head}'${target.startsWith(".") ? target : `./${target}`}';`;
  });
}

/** What a package publishes, by path. @param {typeof PACKAGES[number]} entry @param {string} work */
function published(entry, work) {
  const out = execFileSync("npm", ["pack", "--silent", `${entry.name}@${entry.version}`], { cwd: work, encoding: "utf8" });
  const folder = join(work, entry.folder);
  mkdirSync(folder, { recursive: true });
  execFileSync("tar", ["xzf", join(work, out.trim().split("\n").at(-1) ?? ""), "-C", folder, "--strip-components=1"]);
  return folder;
}

const isWriting = process.argv.includes("--write");
const work = mkdtempSync(join(tmpdir(), "inferium-vendor-"));
const listed = ["# What the pages ship that others wrote; made and compared by tests/web/vendor.mjs.",
  "# `sha256` is the published file's, `vendored` that of the file here, where package imports were made relative.", ""];
let wrong = 0;
try {
  for (const entry of PACKAGES) {
    const folder = published(entry, work);
    for (const [source, file] of entry.files) {
      const bytes = readFileSync(join(folder, source));
      const path = join(entry.folder, file);
      const isModule = entry.name.startsWith("@noble/") && file.endsWith(".js");
      const vendored = isModule ? Buffer.from(relativeImports(bytes.toString("utf8"), path)) : bytes;
      listed.push("[[file]]", `file = "${path}"`, `package = "${entry.name}"`, `version = "${entry.version}"`, `source = "${source}"`,
        `sha256 = "${sha256(bytes)}"`, `vendored = "${sha256(vendored)}"`, `licence = "${entry.licence}"`, `why = "${entry.why}"`, "");
      const here = join(VENDOR, path);
      if (isWriting) {
        mkdirSync(dirname(here), { recursive: true });
        writeFileSync(here, vendored);
      } else if (!existsSync(here) || sha256(readFileSync(here)) !== sha256(vendored)) {
        console.error(`${path} is not what ${entry.name} ${entry.version} publishes as ${source}`);
        wrong += 1;
      }
    }
  }
  const list = `${listed.join("\n").trimEnd()}\n`;
  if (isWriting) writeFileSync(join(VENDOR, "VENDOR.toml"), list);
  else if (readFileSync(join(VENDOR, "VENDOR.toml"), "utf8") !== list) {
    console.error("VENDOR.toml is not what it should be");
    wrong += 1;
  }
} finally {
  rmSync(work, { recursive: true });
}
if (wrong) process.exit(1);
console.log(isWriting ? "vendored" : "vendored files are those that were published");
