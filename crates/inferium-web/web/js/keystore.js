// The keystore file of `inferium wallet`: argon2id from a password, XChaCha20-Poly1305 over 32 secret bytes, every
// other field authenticated. Signatures are the browser's own Ed25519.

import { xchacha20poly1305 } from "../vendor/noble-ciphers/chacha.js";
import { argon2idAsync } from "../vendor/noble-hashes/argon2.js";
import { bytes, string, struct, u32, u64 } from "./borsh.js";
import { concat, equal, fromHex, toHex, utf8 } from "./bytes.js";

const VERSION = 1;
const DOMAIN = "inferium/keystore/1";
const NAMES = { kdf: "argon2id", cipher: "xchacha20poly1305" };
/** What a file may ask for: no protection below, an attack above. Memory in KiB. */
const BOUNDS = { m_kib: [8 * 1024, 512 * 1024], t: [1, 16], p: [1, 4] };
/** What a new file asks for, as the command line's. */
const COST = { m_kib: 64 * 1024, t: 3, p: 1 };
/** An Ed25519 seed as PKCS #8, but for the seed. */
const PKCS8 = fromHex("302e020100300506032b657004220420") ?? new Uint8Array();

/**
 * @typedef {{ version: number, address: string, created_ms: number, kdf: { name: string, m_kib: number, t: number, p: number, salt: string },
 *   cipher: { name: string, nonce: string }, ciphertext: string }} Keystore
 * @typedef {{ address: Uint8Array, sign: (message: Uint8Array) => Promise<Uint8Array> }} Key
 */

/** Hex in its one spelling. @param {any} text @param {number} size */
function exactly(text, size) {
  const found = typeof text === "string" ? fromHex(text) : null;
  if (found?.length !== size || toHex(found) !== text) throw new Error("Not a keystore: the document is damaged or of another kind.");
  return found;
}

/** @param {any} value @param {string[]} names */
function hasFields(value, names) {
  const found = typeof value === "object" && value !== null ? Object.keys(value) : [];
  return found.length === names.length && names.every((name) => found.includes(name));
}

/**
 * Reads a file; its costs are bounded before anything is derived.
 * @param {string} text
 * @returns {Keystore}
 */
export function parseKeystore(text) {
  /** @type {Keystore} */
  let document;
  try {
    document = JSON.parse(text);
  } catch {
    throw new Error("Not a keystore: the document is damaged or of another kind.");
  }
  const isWhole = hasFields(document, ["version", "address", "created_ms", "kdf", "cipher", "ciphertext"])
    && hasFields(document.kdf, ["name", "m_kib", "t", "p", "salt"]) && hasFields(document.cipher, ["name", "nonce"])
    && Number.isSafeInteger(document.created_ms) && document.created_ms >= 0;
  if (!isWhole) throw new Error("Not a keystore: the document is damaged or of another kind.");
  if (document.version !== VERSION) throw new Error(`Keystore version ${document.version} is not known.`);
  if (document.kdf.name !== NAMES.kdf || document.cipher.name !== NAMES.cipher) throw new Error("The keystore's kdf or cipher is not known.");
  for (const [name, [min, max]] of Object.entries(BOUNDS)) {
    const found = /** @type {any} */ (document.kdf)[name];
    if (!Number.isInteger(found) || found < (min ?? 0) || found > (max ?? 0)) throw new Error(`The keystore's ${name} is ${found}; ${min} to ${max} are allowed.`);
  }
  exactly(document.address, 32);
  exactly(document.kdf.salt, 32);
  exactly(document.cipher.nonce, 24);
  exactly(document.ciphertext, 48);
  return document;
}

const Header = struct({
  domain: string, version: u32, address: bytes(32), created_ms: u64,
  kdf: struct({ name: string, m_kib: u32, t: u32, p: u32, salt: bytes(32) }),
  cipher: struct({ name: string, nonce: bytes(24) }),
});

/** Every field but the ciphertext: what the cipher authenticates. @param {Keystore} document */
function header({ version, address, created_ms, kdf, cipher }) {
  return Header.write({
    domain: DOMAIN, version, address: exactly(address, 32), created_ms: BigInt(created_ms),
    kdf: { ...kdf, salt: exactly(kdf.salt, 32) }, cipher: { ...cipher, nonce: exactly(cipher.nonce, 24) },
  });
}

/** @param {Keystore} document @param {string} password @param {(share: number) => void} [onProgress] */
async function cipherOf(document, password, onProgress) {
  const { m_kib: m, t, p, salt } = document.kdf;
  const key = await argon2idAsync(utf8(password), exactly(salt, 32), { m, t, p, dkLen: 32, version: 0x13, onProgress, asyncTick: 20 });
  return xchacha20poly1305(key, exactly(document.cipher.nonce, 24), header(document));
}

/** A key that signs and can't be read back. @param {Uint8Array} seed @returns {Promise<Key>} */
async function keyOf(seed) {
  const subtle = globalThis.crypto?.subtle;
  if (!subtle) throw new Error("Signing takes a secure connection: open this page as https, or on this machine.");
  const whole = concat(PKCS8, seed);
  const readable = await subtle.importKey("pkcs8", whole, "Ed25519", true, ["sign"]);
  const { x } = await subtle.exportKey("jwk", readable);
  const address = Uint8Array.from(atob((x ?? "").replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  const key = await subtle.importKey("pkcs8", whole, "Ed25519", false, ["sign"]);
  whole.fill(0);
  return { address, sign: async (message) => new Uint8Array(await subtle.sign("Ed25519", key, /** @type {BufferSource} */ (message))) };
}

/**
 * Opens a keystore.
 * @param {Keystore} document
 * @param {string} password
 * @param {(share: number) => void} [onProgress]
 */
export async function openKeystore(document, password, onProgress) {
  const cipher = await cipherOf(document, password, onProgress);
  let seed;
  try {
    seed = cipher.decrypt(exactly(document.ciphertext, 48));
  } catch {
    throw new Error("Wrong password, or the keystore was changed.");
  }
  const key = await keyOf(seed);
  seed.fill(0);
  if (!equal(key.address, exactly(document.address, 32))) throw new Error("Not a keystore: the document is damaged or of another kind.");
  return key;
}

/**
 * Makes a key under a password.
 * @param {string} password
 * @param {(share: number) => void} [onProgress]
 */
export async function createKeystore(password, onProgress) {
  const seed = crypto.getRandomValues(new Uint8Array(32));
  const key = await keyOf(seed);
  const random = (/** @type {number} */ size) => toHex(crypto.getRandomValues(new Uint8Array(size)));
  /** @type {Keystore} */
  const document = {
    version: VERSION, address: toHex(key.address), created_ms: Date.now(), kdf: { name: NAMES.kdf, ...COST, salt: random(32) },
    cipher: { name: NAMES.cipher, nonce: random(24) }, ciphertext: "",
  };
  const cipher = await cipherOf(document, password, onProgress);
  document.ciphertext = toHex(cipher.encrypt(seed));
  seed.fill(0);
  return { document, key };
}
