// Bytes and their canonical encodings: hex, borsh, LEB128.

/** @typedef {import("./borsh.js").Schema<any>} AnySchema */

/**
 * Lower-case hex.
 * @param {Uint8Array} bytes
 */
export function toHex(bytes) {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/**
 * Bytes of hex digits; null for anything else.
 * @param {string} text
 * @returns {Uint8Array | null}
 */
export function fromHex(text) {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return null;
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/**
 * @param {...Uint8Array} parts
 */
export function concat(...parts) {
  const out = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/**
 * @param {Uint8Array} left
 * @param {Uint8Array} right
 */
export function equal(left, right) {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}

/**
 * Big-endian, in `size` bytes.
 * @param {bigint | number} number
 * @param {number} size
 */
export function bigEndian(number, size) {
  const out = new Uint8Array(size);
  let left = BigInt(number);
  for (let i = size - 1; i >= 0; i -= 1) {
    out[i] = Number(left & 0xffn);
    left >>= 8n;
  }
  return out;
}

/**
 * LEB128.
 * @param {bigint | number} number
 */
export function varint(number) {
  const out = [];
  let left = BigInt(number);
  while (left >= 0x80n) {
    out.push(Number(left & 0x7fn) | 0x80);
    left >>= 7n;
  }
  out.push(Number(left));
  return Uint8Array.from(out);
}

/** @param {string} text */
export const utf8 = (text) => new TextEncoder().encode(text);
