//! What this process has used: as the kernel tells it, or nothing where it doesn't.

/// The kernel counts processor time in hundredths of a second for programs, on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of processor time, user and system, of all threads.
pub(crate) fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program stands in brackets, and may hold anything.
    let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
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
