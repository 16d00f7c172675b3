//! Whether the processor has what this program was compiled for: without it the first such instruction would end the process with a signal that
//! says nothing.

use crate::cli::Failure;

/// # Errors
/// [`Failure`] names what is missing, and what to do.
pub(crate) fn check() -> Result<(), Failure> {
    missing(&needed()).map_or(Ok(()), |feature| {
        Err(Failure::failed(format!(
            "this program was compiled for processors with {feature}, which this one does not have; compile it here with \
             RUSTFLAGS=\"-C target-cpu=native\""
        )))
    })
}

/// Features of x86-64-v3 (`.cargo/config.toml`) beyond the least x86-64, and whether they are there.
#[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
fn needed() -> Vec<(&'static str, bool)> {
    let id = raw_cpuid::CpuId::new();
    let basic = id.get_feature_info();
    let extended = id.get_extended_feature_info();
    let processor = id.get_extended_processor_and_feature_identifiers();
    let basic = |of: fn(&raw_cpuid::FeatureInfo) -> bool| basic.as_ref().is_some_and(of);
    let extended = |of: fn(&raw_cpuid::ExtendedFeatures) -> bool| extended.as_ref().is_some_and(of);
    vec![
        ("AVX", basic(raw_cpuid::FeatureInfo::has_avx) && basic(raw_cpuid::FeatureInfo::has_oxsave)),
        ("AVX2", extended(raw_cpuid::ExtendedFeatures::has_avx2)),
        ("FMA", basic(raw_cpuid::FeatureInfo::has_fma)),
        ("F16C", basic(raw_cpuid::FeatureInfo::has_f16c)),
        ("MOVBE", basic(raw_cpuid::FeatureInfo::has_movbe)),
        ("BMI1", extended(raw_cpuid::ExtendedFeatures::has_bmi1)),
        ("BMI2", extended(raw_cpuid::ExtendedFeatures::has_bmi2)),
        ("LZCNT", processor.is_some_and(|processor| processor.has_lzcnt())),
    ]
}

#[cfg(not(all(target_arch = "x86_64", target_feature = "avx2")))]
const fn needed() -> Vec<(&'static str, bool)> {
    Vec::new()
}

fn missing(features: &[(&'static str, bool)]) -> Option<&'static str> {
    features.iter().find(|(_, is_there)| !is_there).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::{check, missing, needed};

    #[test]
    fn the_first_feature_that_is_not_there_is_named() {
        assert_eq!(missing(&[("AVX", true), ("AVX2", false), ("FMA", false)]), Some("AVX2"));
        assert_eq!(missing(&[("AVX", true)]), None);
        assert_eq!(missing(&[]), None);
    }

    #[test]
    fn a_processor_that_runs_this_has_what_it_needs() {
        assert_eq!(needed().is_empty(), !cfg!(all(target_arch = "x86_64", target_feature = "avx2")));
        check().unwrap();
    }
}
