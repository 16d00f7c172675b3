// What our scripts use of it; ours, so that the vendored code itself is not type-checked.
export function xchacha20poly1305(
  key: Uint8Array,
  nonce: Uint8Array,
  authenticated: Uint8Array,
): { encrypt(plain: Uint8Array): Uint8Array; decrypt(sealed: Uint8Array): Uint8Array };
