//! Compute kernels with one canonical arithmetic: the same bits on every machine, tier, thread count and batch.
//!
//! # Canonical arithmetic, version 1
//! A change of any rule here changes logits' bits and raises [`ARITHMETIC_VERSION`].
//!
//! - **No freedom.** Only IEEE-754 single-precision `+ − × ÷ √`, comparisons and conversions, each in the order
//!   written; never a fused multiply-add, never the platform's libm. Subnormals are kept. Every output row depends
//!   on its own input row (and its sequence's cache) only, so batch composition cannot show.
//! - **Weights** are Q8_0: blocks of 32 along `k`, scale `d = f16(amax / 127)` (round to nearest even), quants
//!   `round_half_away(w · (127 / amax))` in −127..=127 ([`q8::quantise_weights`]).
//! - **Activations** are quantised per row and block of 32: `amax = max |x|`, `d = amax / 127` kept as f32, quants
//!   `round_half_even(x · (127 / amax))`, clamped to −127..=127; an all-zero block has `d = 0` ([`q8::Q8Rows`]).
//! - **Matrix product**: `y = 0; for block in order { y = y + f32(isum) · (dw · dx) }` with the exact integer
//!   `isum = Σ w·x` ([`matmul`]).
//! - **Sums of a row** (norms, softmax) use 16 lanes: lane `i mod 16` in order, then halves are added: 8, 4, 2, 1
//!   ([`math::sum_lanes`]).
//! - **RMS norm**: `(x · (1 / √(Σx²/n + ε))) · w`. **SiLU**: `x / (1 + exp(−x))`.
//! - **exp** is a degree-6 polynomial after range reduction, see [`math::exp`].
//! - **RoPE** tables are computed in f64 with the `libm` crate and rounded to f32; pairs `(2i, 2i+1)`:
//!   `(a·c − b·s, a·s + b·c)`.
//! - **KV cache** is f16, round to nearest even, magnitudes below 2⁻¹⁴ become zero, above 65504 saturate.
//! - **Attention**, each (row, head) alone: four partial dot products over `d mod 4`, each sequential,
//!   `((a0+a1)+(a2+a3)) · (1/√D)`; softmax `exp(s − max)` with the 16-lane sum; the values are added sequentially
//!   over positions and multiplied by `1/sum` at the end ([`attention`]).
//!
//! # Canonical arithmetic of encoders, version 1
//! No freedom here either; weights and activations are single-precision. A change of a rule changes vectors' bits and raises
//! [`ENCODER_ARITHMETIC_VERSION`].
//!
//! - **Matrix product**: `y = 0; for k in order { y = y + w · x }`, and then the bias is added ([`dense`]).
//! - **Embedding**: `(word + type) + position`, then the layer norm.
//! - **Layer norm**: `μ = Σx/n`, `((x − μ) · (1 / √(Σ(x − μ)²/n + ε))) · w + b`, both sums in 16 lanes.
//! - **Attention**, each head alone: `(q · k) · (1/√D)` with a product as above; softmax `exp(s − max)` with the 16-lane
//!   sum; the values are added sequentially over positions and multiplied by `1/sum` at the end ([`full_attention`]).
//! - **After attention and feed-forward**: `(y + bias) + residual`, then the layer norm.
//! - **GELU**: `(x · 0.5) · (1 + erf(x · (1/√2)))`; **erf** is a rational function, see [`math::erf`].
//! - **Pooling**: `Σx/n` over the tokens in order; then `x / √(Σx²)`, the sum in 16 lanes.
//!
//! The tiers ([`Tier`]) differ in instructions only; tests compare them bit for bit.

pub(crate) mod attention;
pub(crate) mod dense;
pub(crate) mod full_attention;
pub(crate) mod math;
pub(crate) mod matmul;
pub(crate) mod q8;
mod tier;

pub(crate) use tier::Kernel;
pub use tier::Tier;

/// Names the arithmetic; a part of the engine's build digest.
pub(crate) const ARITHMETIC_VERSION: &str = "canonical-q8-1";

/// Names the arithmetic of encoders; a part of their build digest.
pub(crate) const ENCODER_ARITHMETIC_VERSION: &str = "canonical-f32-1";
