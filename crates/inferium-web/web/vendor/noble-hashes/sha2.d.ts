// What our scripts use of it; ours, so that the vendored code itself is not type-checked.
export function sha256(message: Uint8Array): Uint8Array;
