//! What this machine has: a worker's capability report (SPEC N2).

use inferium_types::{Accelerator, CapabilityReport, Tier, limits};
use nvml_wrapper::Nvml;
use serde_json::{Value, json};

const MIB: u64 = 1024 * 1024;

/// Looks at processor, memory and accelerators. What can't be found is left out: only what is
/// measured counts.
pub(crate) fn report(tier: Tier) -> CapabilityReport {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    system.refresh_cpu_all();
    let cpu = system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).filter(|name| !name.is_empty());
    // What a container or a service manager allows, rather than what the machine has.
    let cores = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX));
    CapabilityReport {
        tier,
        cpu: shortened(cpu.unwrap_or_else(|| std::env::consts::ARCH.to_owned())),
        features: features(),
        cores,
        memory_mib: system.total_memory() / MIB,
        accelerators: accelerators(),
    }
}

/// The instruction sets that the engine's kernels know.
fn features() -> Vec<String> {
    let mut found = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        let known = [
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("f16c", std::arch::is_x86_feature_detected!("f16c")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
            ("avx512bw", std::arch::is_x86_feature_detected!("avx512bw")),
            ("avx512vnni", std::arch::is_x86_feature_detected!("avx512vnni")),
        ];
        found.extend(known.iter().filter(|(_, has)| *has).map(|(name, _)| (*name).to_owned()));
    }
    #[cfg(target_arch = "aarch64")]
    {
        let known = [
            ("neon", std::arch::is_aarch64_feature_detected!("neon")),
            ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ];
        found.extend(known.iter().filter(|(_, has)| *has).map(|(name, _)| (*name).to_owned()));
    }
    found
}

/// NVIDIA cards; none where there is no driver.
fn accelerators() -> Vec<Accelerator> {
    let Ok(nvml) = Nvml::init() else { return Vec::new() };
    let count = nvml.device_count().unwrap_or(0);
    (0..count)
        .filter_map(|index| {
            let card = nvml.device_by_index(index).ok()?;
            let (name, memory) = (card.name().ok()?, card.memory_info().ok()?);
            Some(Accelerator { name: shortened(name), memory_mib: memory.total / MIB })
        })
        .take(limits::REPORT_ITEMS_MAX)
        .collect()
}

fn shortened(mut text: String) -> String {
    let mut end = text.len().min(limits::NAME_SIZE_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// The report in words, a line for each part.
pub(crate) fn lines(report: &CapabilityReport) -> Vec<String> {
    let features = if report.features.is_empty() { "none known".to_owned() } else { report.features.join(", ") };
    let mut lines = vec![
        format!("processor     {} ({} cores)", report.cpu, report.cores),
        format!("instructions  {features}"),
        format!("memory        {} MiB", report.memory_mib),
    ];
    if report.accelerators.is_empty() {
        lines.push("accelerators  none found".to_owned());
    }
    lines.extend(
        report.accelerators.iter().map(|card| format!("accelerator   {} ({} MiB)", card.name, card.memory_mib)),
    );
    lines
}

pub(crate) fn as_json(report: &CapabilityReport) -> Value {
    let cards = report.accelerators.iter();
    json!({
        "cpu": report.cpu,
        "features": report.features,
        "cores": report.cores,
        "memory_mib": report.memory_mib,
        "accelerators": cards.map(|card| json!({"name": card.name, "memory_mib": card.memory_mib})).collect::<Vec<_>>(),
        "tier_wanted": report.tier.name(),
    })
}

#[cfg(test)]
mod tests;
