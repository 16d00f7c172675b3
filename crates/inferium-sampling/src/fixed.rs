//! Fixed-point numbers that consensus may read: integers only, and every rounding is downwards.

#[cfg(test)]
mod tests;

/// Bits after the point of a [`Q64`].
pub(crate) const FRACTION_BITS: u32 = 64;

/// A non-negative number below 2⁶⁴ with 64 bits after the point.
pub(crate) type Q64 = u128;

/// 1 as a [`Q64`].
pub(crate) const ONE: Q64 = 1 << FRACTION_BITS;

/// Where logarithms have their point.
const LOG_BITS: u32 = 32;

/// The product, rounded down; what is too large is the largest number.
pub(crate) const fn times(a: Q64, b: Q64) -> Q64 {
    const LOW: u128 = u64::MAX as u128;
    let (a_high, a_low, b_high, b_low) = (a >> 64, a & LOW, b >> 64, b & LOW);
    let high = a_high * b_high;
    if high > LOW {
        return Q64::MAX;
    }
    // Each below 2^128, and added with saturation.
    (high << 64).saturating_add(a_high * b_low).saturating_add(a_low * b_high).saturating_add((a_low * b_low) >> 64)
}

/// A lower bound of log₂(numerator / denominator) with 32 bits after the point, less than 2⁻³¹ below it; `None` unless
/// both are positive.
pub(crate) fn log2_ratio(numerator: u64, denominator: u64) -> Option<i64> {
    if numerator == 0 || denominator == 0 {
        return None;
    }
    // The mantissa is in [1, 2) with 63 bits after the point.
    let mut exponent = i64::from(denominator.leading_zeros()) - i64::from(numerator.leading_zeros());
    let scaled = |exponent: i64| {
        let shift = u32::try_from(63 - exponent).unwrap_or(0);
        (u128::from(numerator) << shift) / u128::from(denominator)
    };
    let mut mantissa = scaled(exponent);
    if mantissa < 1 << 63 {
        exponent -= 1;
        mantissa = scaled(exponent);
    }
    let mut log = exponent;
    let mut bit = 0;
    while bit < LOG_BITS {
        // Squaring doubles the logarithm; what is cut off makes it smaller.
        mantissa = (mantissa * mantissa) >> 63;
        log <<= 1;
        if mantissa >= 1 << 64 {
            log |= 1;
            mantissa >>= 1;
        }
        bit += 1;
    }
    Some(log)
}

/// 2^(1/2), 2^(1/4), ... with 63 bits after the point, each the root of the last, rounded down.
const ROOTS: [u128; LOG_BITS as usize] = {
    let mut roots = [0; LOG_BITS as usize];
    let mut root: u128 = 1 << 64;
    let mut index = 0;
    while index < roots.len() {
        root = (root << 63).isqrt();
        roots[index] = root;
        index += 1;
    }
    roots
};

/// A lower bound of 2^`log`, for a logarithm with 32 bits after the point; the largest number when it is too large.
pub(crate) fn exp2(log: i128) -> Q64 {
    let whole = log >> LOG_BITS;
    if whole >= 64 {
        return Q64::MAX;
    }
    if whole < -64 {
        return 0;
    }
    let fraction = (log - (whole << LOG_BITS)) as u64;
    let mut mantissa: u128 = 1 << 63;
    for (bit, root) in (0..LOG_BITS).rev().zip(ROOTS) {
        if (fraction >> bit) & 1 == 1 {
            mantissa = (mantissa * root) >> 63;
        }
    }
    // Between 2^63 and 2^64, so that the largest shift is to the highest bit.
    if whole >= -1 { mantissa << (whole + 1) } else { mantissa >> (-1 - whole) }
}
