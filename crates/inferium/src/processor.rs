//! Whether the processor has what this program was compiled for: without it the first such instruction would end the process with a signal that
//! says nothing. What is here runs on processors that lack it, so it is of single numbers and texts, and in functions of their own: nothing that
//! a compiler would use wider registers for.

use std::io::Write as _;
use std::process::ExitCode;

/// A feature of x86-64-v3 (`.cargo/config.toml`) beyond the least x86-64 that this processor does not have.
#[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
#[inline(never)]
pub(crate) fn missing() -> Option<&'static str> {
    use raw_cpuid::native_cpuid::cpuid_count;
    if cpuid_count(0, 0).eax < 7 || cpuid_count(0x8000_0000, 0).eax < 0x8000_0001 {
        return Some("AVX2");
    }
    let (basic, extended, further) = (cpuid_count(1, 0).ecx, cpuid_count(7, 0).ebx, cpuid_count(0x8000_0001, 0).ecx);
    // Bits as the processors' manuals number them: OSXSAVE, AVX; AVX2; FMA, F16C, MOVBE; BMI1, BMI2; LZCNT.
    if basic & (1 << 27) == 0 || basic & (1 << 28) == 0 {
        return Some("AVX");
    }
    if extended & (1 << 5) == 0 {
        return Some("AVX2");
    }
    if basic & (1 << 12) == 0 || basic & (1 << 29) == 0 || basic & (1 << 22) == 0 {
        return Some("FMA, F16C and MOVBE");
    }
    if extended & (1 << 3) == 0 || extended & (1 << 8) == 0 || further & (1 << 5) == 0 {
        return Some("BMI and LZCNT");
    }
    None
}

#[cfg(not(all(target_arch = "x86_64", target_feature = "avx2")))]
pub(crate) const fn missing() -> Option<&'static str> {
    None
}

/// Says so.
#[cold]
#[inline(never)]
pub(crate) fn complain(feature: &str) -> ExitCode {
    let mut stderr = std::io::stderr();
    for part in [
        "error: this program was compiled for processors with ",
        feature,
        ", which this one does not have; compile it here with RUSTFLAGS=\"-C target-cpu=native\"\n",
    ] {
        // Nobody is left to tell of a closed stderr.
        let _ = stderr.write_all(part.as_bytes());
    }
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::{complain, missing};
    use std::process::ExitCode;

    #[test]
    fn a_processor_that_runs_this_has_what_it_needs() {
        assert_eq!(missing(), None);
        assert_eq!(complain("something"), ExitCode::FAILURE);
    }
}
