// What our scripts use of it; ours, so that the vendored code itself is not type-checked.
export const bls12_381: {
  shortSignatures: {
    hash(message: Uint8Array, domain: string): unknown;
    verify(signature: Uint8Array, message: unknown, publicKey: Uint8Array): boolean;
  };
};
