// Borsh, as far as receipts and transactions need it: a schema reads and writes one type.
//
// Reading refuses what is not canonical (unknown tags, truncated input), so that what was read and is
// written again gives the same bytes.

import { bigEndian, concat, utf8 } from "./bytes.js";

/** Bytes that are no canonical encoding. */
export class InvalidEncoding extends Error {}

/**
 * @template T
 * @typedef {{ read: (reader: Reader) => T, write: (value: T) => Uint8Array }} Schema
 */

/** A place in bytes. */
export class Reader {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  /** @param {number} size */
  take(size) {
    if (this.at + size > this.bytes.length) throw new InvalidEncoding("it ends too early");
    const out = this.bytes.subarray(this.at, this.at + size);
    this.at += size;
    return out;
  }

  /** @param {number} size */
  integer(size) {
    let number = 0n;
    const bytes = this.take(size);
    for (let i = size - 1; i >= 0; i -= 1) number = (number << 8n) | BigInt(bytes[i] ?? 0);
    return number;
  }
}

/** @param {bigint | number} number @param {number} size */
const littleEndian = (number, size) => bigEndian(number, size).reverse();

/** @type {Schema<number>} */
export const u8 = { read: (reader) => Number(reader.integer(1)), write: (value) => littleEndian(value, 1) };
/** @type {Schema<number>} */
export const u32 = { read: (reader) => Number(reader.integer(4)), write: (value) => littleEndian(value, 4) };
/** @type {Schema<bigint>} */
export const u64 = { read: (reader) => reader.integer(8), write: (value) => littleEndian(value, 8) };

/** @type {Schema<boolean>} */
export const bool = {
  read: (reader) => {
    const tag = u8.read(reader);
    if (tag > 1) throw new InvalidEncoding("a flag is neither 0 nor 1");
    return tag === 1;
  },
  write: (value) => Uint8Array.of(value ? 1 : 0),
};

/** @type {Schema<string>} */
export const string = {
  read: (reader) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(reader.take(u32.read(reader))),
  write: (value) => concat(u32.write(utf8(value).length), utf8(value)),
};

/** @param {number} size @returns {Schema<Uint8Array>} */
export const bytes = (size) => ({ read: (reader) => reader.take(size), write: (value) => value });

/** Parts per million, at most one whole. @type {Schema<number>} */
export const ppm = {
  read: (reader) => {
    const parts = u32.read(reader);
    if (parts > 1_000_000) throw new InvalidEncoding("more than one whole");
    return parts;
  },
  write: u32.write,
};

/**
 * A value, or none.
 * @template T
 * @param {Schema<T>} inner
 * @returns {Schema<T | null>}
 */
export const option = (inner) => ({
  read: (reader) => (bool.read(reader) ? inner.read(reader) : null),
  write: (value) => (value === null ? Uint8Array.of(0) : concat(Uint8Array.of(1), inner.write(value))),
});

/**
 * A list.
 * @template T
 * @param {Schema<T>} inner
 * @returns {Schema<T[]>}
 */
export const list = (inner) => ({
  read: (reader) => {
    const count = u32.read(reader);
    const out = [];
    // A length is only claimed: each item that follows takes at least a byte.
    for (let i = 0; i < count; i += 1) out.push(inner.read(reader));
    return out;
  },
  write: (value) => concat(u32.write(value.length), ...value.map((item) => inner.write(item))),
});

/**
 * Fields in their order.
 * @template {Record<string, Schema<any>>} F
 * @param {F} fields
 * @returns {Schema<{ [K in keyof F]: F[K] extends Schema<infer V> ? V : never }>}
 */
export const struct = (fields) => ({
  read: (reader) => /** @type {any} */ (Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.read(reader)]))),
  write: (value) => concat(...Object.entries(fields).map(([name, field]) => field.write(/** @type {any} */ (value)[name]))),
});

/**
 * One of names without content, by position.
 * @param {string[]} names
 * @returns {Schema<string>}
 */
export const unit = (...names) => ({
  read: (reader) => {
    const name = names[u8.read(reader)];
    if (name === undefined) throw new InvalidEncoding("an unknown tag");
    return name;
  },
  write: (value) => {
    const tag = names.indexOf(value);
    if (tag < 0) throw new InvalidEncoding(`there is no ${value}`);
    return Uint8Array.of(tag);
  },
});

/**
 * Reads exactly `input`.
 * @template T
 * @param {Schema<T>} schema
 * @param {Uint8Array} input
 */
export function decode(schema, input) {
  const reader = new Reader(input);
  const value = schema.read(reader);
  if (reader.at !== input.length) throw new InvalidEncoding("bytes are left over");
  return value;
}
