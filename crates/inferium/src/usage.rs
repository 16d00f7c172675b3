//! What this process has used: as the kernel tells it, or nothing where it doesn't.

#[cfg(unix)]
use std::time::Duration;

/// Seconds of processor time, user and system, of all threads, as fine as the kernel's clock.
#[cfg(unix)]
pub(crate) fn cpu_seconds() -> Option<f64> {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(used).ok().map(|used| used.as_secs_f64())
}

/// Seconds of processor time, where no kernel says.
#[cfg(not(unix))]
pub(crate) fn cpu_seconds() -> Option<f64> {
    None
}

/// Most memory that was resident at a time, in bytes.
pub(crate) fn peak_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::{cpu_seconds, peak_bytes};

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_used_grows() {
        let (before, peak) = (cpu_seconds().unwrap(), peak_bytes().unwrap());
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(peak_bytes().unwrap() >= peak.max(64 << 20));
        let mut sum = 0_u64;
        while cpu_seconds().unwrap() <= before {
            sum = std::hint::black_box(block.iter().map(|byte| u64::from(*byte)).sum::<u64>() + sum % 2);
        }
    }
}
