//! The machine: processor, memory, disk, folders.

use super::Finding;
use inferium_engine::source;
use std::path::Path;

/// Room on a disk below which a node may soon have to stop, and below which it can't be told to last; bytes.
const DISK_LEAST: u64 = 1 << 30;
const DISK_LOW: u64 = 5 << 30;

pub(super) fn look(data: &Path, models: &Path) -> Vec<Finding> {
    let mut findings = vec![Finding::fine("version", concat!("inferium ", env!("CARGO_PKG_VERSION"))), processor()];
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    findings.extend(memory(system.total_memory(), system.available_memory(), &sizes(models)));
    findings.push(disk("disk", data));
    findings.push(folder(data));
    findings
}

fn processor() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512bw") {
            return Finding::fine("processor", format!("{cores} cores with AVX-512"));
        }
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            return Finding::fine("processor", format!("{cores} cores with AVX2"));
        }
    }
    let detail = format!("{cores} cores, run by portable code: same answers, more slowly");
    Finding::weak("processor", detail, "work on an x86-64 processor with AVX2 or AVX-512")
}

/// Names and bytes of the models that are here.
fn sizes(models: &Path) -> Vec<(String, u64)> {
    let found = source::list(models).unwrap_or_default();
    found.into_iter().map(|model| (model.name, model.size_bytes)).collect()
}

/// A model takes at least its file's size; caches of conversations come on top.
fn memory(total: u64, available: u64, models: &[(String, u64)]) -> Vec<Finding> {
    if models.is_empty() {
        let detail = format!("{} of {} free; no model is here", size(available), size(total));
        return vec![Finding::weak("memory", detail, "inferium pull smollm2-135m-instruct")];
    }
    let look = |(name, needs): &(String, u64)| {
        let detail =
            format!("{} of {} free, {name} takes {} and its caches", size(available), size(total), size(*needs));
        if *needs > total {
            Finding::broken("memory", detail, format!("this machine can't serve {name}: choose a smaller model"))
        } else if needs.saturating_mul(2) > available {
            Finding::weak("memory", detail, "end other programs, or serve a smaller model")
        } else {
            Finding::fine("memory", detail)
        }
    };
    models.iter().map(look).collect()
}

/// Room on the disk that a folder is on, or would be.
fn disk(check: &'static str, folder: &Path) -> Finding {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let disks = sysinfo::Disks::new_with_refreshed_list();
    let on = disks.iter().filter(|disk| folder.starts_with(disk.mount_point()));
    let Some(disk) = on.max_by_key(|disk| disk.mount_point().as_os_str().len()) else {
        return Finding::weak(check, "no disk is known for the data folder", "check its room by hand: df -h");
    };
    room(check, disk.available_space(), &folder)
}

fn room(check: &'static str, free: u64, folder: &Path) -> Finding {
    let detail = format!("{} free for {}", size(free), folder.display());
    let fix = "make room there, or choose another disk with --data";
    match free {
        0..DISK_LEAST => Finding::broken(check, detail, fix),
        DISK_LEAST..DISK_LOW => Finding::weak(check, detail, fix),
        _ => Finding::fine(check, detail),
    }
}

/// Nobody else may read what is in the data folder.
fn folder(data: &Path) -> Finding {
    let check = "data folder";
    if !data.exists() {
        return Finding::weak(check, format!("{} is not there yet", data.display()), "`inferium up` makes it");
    }
    match open_to_others(data) {
        Ok(open) if open.is_empty() => Finding::fine(check, format!("{} is this user's alone", data.display())),
        Ok(open) => {
            let fix = format!("chmod -R go= {}", data.display());
            Finding::broken(check, format!("others can read {}", open.join(", ")), fix)
        }
        Err(error) => {
            let fix = "run as the user whose folder it is, or choose another with --data";
            Finding::broken(check, format!("{} can't be looked at: {error}", data.display()), fix)
        }
    }
}

/// The folder, and the secrets in it, as far as others may read them.
#[cfg(unix)]
fn open_to_others(data: &Path) -> std::io::Result<Vec<String>> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut open = Vec::new();
    let mut look = |path: &Path| -> std::io::Result<()> {
        if std::fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
            open.push(path.display().to_string());
        }
        Ok(())
    };
    look(data)?;
    let keys = data.join("keys");
    if keys.exists() {
        for entry in std::fs::read_dir(&keys)? {
            look(&entry?.path())?;
        }
    }
    Ok(open)
}

#[cfg(not(unix))]
fn open_to_others(data: &Path) -> std::io::Result<Vec<String>> {
    std::fs::metadata(data).map(|_| Vec::new())
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    if bytes < 1_000_000_000 {
        return format!("{} MB", bytes / 1_000_000);
    }
    let tenths = bytes / 100_000_000;
    format!("{}.{} GB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::{folder, memory, room, size};
    use crate::doctor::State;
    use std::path::Path;

    #[test]
    fn memory_is_measured_by_the_models_that_are_here() {
        let models = |size| [("m".to_owned(), size)];
        let state = |total, available, size| memory(total, available, &models(size))[0].state;
        assert_eq!(state(16, 8, 4), State::Fine);
        assert_eq!(state(16, 7, 4), State::Weak);
        assert_eq!(state(16, 16, 17), State::Broken);
        assert_eq!(memory(16, 16, &[])[0].state, State::Weak);
    }

    #[test]
    fn sizes_have_the_unit_that_fits() {
        assert_eq!((size(91_000_000).as_str(), size(1_250_000_000).as_str()), ("91 MB", "1.2 GB"));
    }

    #[test]
    fn a_full_disk_is_broken() {
        let state = |free| room("disk", free, Path::new("/x")).state;
        assert_eq!((state(0), state(2 << 30), state(6 << 30)), (State::Broken, State::Weak, State::Fine));
    }

    #[cfg(unix)]
    #[test]
    fn secrets_that_others_can_read_are_found() {
        use std::os::unix::fs::PermissionsExt as _;
        let data = std::env::temp_dir().join(format!("inferium-doctor-{}", std::process::id()));
        let keys = data.join("keys");
        std::fs::create_dir_all(&keys).unwrap();
        let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        let secret = keys.join("gateway.key");
        std::fs::write(&secret, b"x").unwrap();
        set(&data, 0o700);
        set(&secret, 0o600);
        assert_eq!(folder(&data).state, State::Fine);
        set(&secret, 0o640);
        let found = folder(&data);
        assert_eq!(found.state, State::Broken);
        assert!(found.detail.contains("gateway.key") && !found.detail.contains("can read /dev"), "{}", found.detail);
        std::fs::remove_dir_all(&data).unwrap();
        assert_eq!(folder(&data).state, State::Weak);
    }
}
