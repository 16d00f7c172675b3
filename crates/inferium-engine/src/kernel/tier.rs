//! Which instructions the kernels use.

use std::fmt;
use std::str::FromStr;

/// An instruction-set tier. All of them compute the same bits; they differ in speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Portable code, for any processor.
    Scalar,
    /// x86-64 with AVX2.
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL and VNNI.
    Avx512Vnni,
}

impl Tier {
    /// Every tier that this processor can run, slowest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        [Self::Scalar, Self::Avx2, Self::Avx512Vnni].into_iter().filter(|tier| tier.is_supported()).collect()
    }

    /// The fastest tier of this processor.
    #[must_use]
    pub fn detect() -> Self {
        [Self::Avx512Vnni, Self::Avx2].into_iter().find(|tier| tier.is_supported()).unwrap_or(Self::Scalar)
    }

    /// Whether this processor can run the tier.
    #[must_use]
    pub fn is_supported(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => std::arch::is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                    && std::arch::is_x86_feature_detected!("avx512vnni")
            }
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

impl FromStr for Tier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Scalar, Self::Avx2, Self::Avx512Vnni]
            .into_iter()
            .find(|tier| tier.name() == text)
            .ok_or_else(|| format!("unknown tier `{text}`: one of scalar, avx2, avx512-vnni"))
    }
}

/// The proof that this processor runs a tier: the only way to call code compiled for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel(Tier);

impl Kernel {
    /// Makes the proof, if the processor supports the tier.
    pub(crate) fn new(tier: Tier) -> Option<Self> {
        tier.is_supported().then_some(Self(tier))
    }

    pub(crate) fn tier(self) -> Tier {
        self.0
    }

    /// Runs `work` compiled for the tier's instructions, as far as the compiler inlines it (`#[inline(always)]` code
    /// does). The compiler vectorises more widely then, which cannot change the result: it never reorders or fuses
    /// floating-point operations.
    #[inline(always)]
    pub(crate) fn run<R>(self, work: impl FnOnce() -> R) -> R {
        match self.0 {
            Tier::Scalar => work(),
            #[cfg(target_arch = "x86_64")]
            Tier::Avx2 => {
                // SAFETY: a `Kernel` of this tier exists only if the processor has the features.
                unsafe { run_avx2(work) }
            }
            #[cfg(target_arch = "x86_64")]
            Tier::Avx512Vnni => {
                // SAFETY: a `Kernel` of this tier exists only if the processor has the features.
                unsafe { run_avx512(work) }
            }
            #[cfg(not(target_arch = "x86_64"))]
            Tier::Avx2 | Tier::Avx512Vnni => work(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn run_avx2<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn run_avx512<R>(work: impl FnOnce() -> R) -> R {
    work()
}
