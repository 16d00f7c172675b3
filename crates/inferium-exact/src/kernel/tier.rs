//! Which instructions the sums are computed with.

use std::fmt;

use thiserror::Error;

use crate::model::ModelError;

/// An instruction set. All of them compute the same integers; they differ in speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Portable code, for any processor.
    Scalar,
    /// x86-64 with AVX2.
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL and VNNI.
    Avx512Vnni,
}

/// Why an engine was not made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TierError {
    /// The model is none of the contract.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// This machine lacks the instructions.
    #[error("this processor has no {0}")]
    Unsupported(Tier),
}

impl Tier {
    /// Every tier, slowest first.
    pub const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Avx512Vnni];

    /// Every tier that this machine can run, slowest first; never empty.
    #[must_use]
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|tier| tier.is_supported()).collect()
    }

    /// The fastest tier of this machine.
    #[must_use]
    pub fn detect() -> Self {
        [Self::Avx512Vnni, Self::Avx2].into_iter().find(|tier| tier.is_supported()).unwrap_or(Self::Scalar)
    }

    /// Whether this machine can run the tier.
    #[must_use]
    pub fn is_supported(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => super::x86::Avx2::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => super::x86::Vnni::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512Vnni => false,
        }
    }

    /// The tier's name: `scalar`, `avx2` or `avx512-vnni`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512Vnni => "avx512-vnni",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
