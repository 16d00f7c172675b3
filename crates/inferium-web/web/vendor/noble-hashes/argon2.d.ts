// What our scripts use of it; ours, so that the vendored code itself is not type-checked.
export function argon2idAsync(
  password: Uint8Array,
  salt: Uint8Array,
  options: { m: number; t: number; p: number; dkLen: number; version: number; asyncTick: number; onProgress?: ((share: number) => void) | undefined },
): Promise<Uint8Array>;
