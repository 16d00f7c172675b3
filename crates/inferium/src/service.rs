//! `inferium service`: a network or a worker under systemd.
//!
//! No secret is in a unit's arguments or variables. What a worker needs to know of another server's key systemd reads
//! itself and hands over as a credential, a file that this service alone can read.

use crate::cli::{Failure, Role, ServiceCommand, UnitArgs};
use crate::output;
use crate::progress::{print, say};
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Seconds without a sign of life after which systemd starts the service anew.
const WATCHDOG_S: u32 = 60;
/// What every unit is restricted to: it computes, keeps its own data and uses the network.
const HARDENING: &[&str] = &[
    "NoNewPrivileges=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "UMask=0077",
];
/// What the machine's own units are restricted to beside: a manager of a user can't do these.
const SYSTEM_HARDENING: &[&str] = &[
    "DynamicUser=yes",
    "CapabilityBoundingSet=",
    "PrivateDevices=yes",
    "PrivateTmp=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHome=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "ProtectSystem=strict",
];

pub(crate) fn run(command: ServiceCommand) -> Result<(), Failure> {
    match command {
        ServiceCommand::Install { unit, binary, server_key_file, dry_run, arguments } => {
            let binary = match binary {
                Some(binary) => binary,
                None => std::env::current_exe()
                    .map_err(|error| Failure::failed(format!("cannot tell where this program is: {error}")))?,
            };
            let wanted =
                Unit { of: unit, binary: &binary, server_key_file: server_key_file.as_deref(), arguments: &arguments };
            let text = wanted.text()?;
            if dry_run {
                return if output::is_json() {
                    output::print_json(&json!({"path": unit.path()?, "unit": text}))
                } else {
                    print(text.trim_end())
                };
            }
            install(unit, &text)
        }
        ServiceCommand::Uninstall { unit } => uninstall(unit),
        ServiceCommand::Status { unit } => status(unit),
    }
}

impl UnitArgs {
    fn name(self) -> &'static str {
        match self.role {
            Role::Up => "inferium.service",
            Role::Worker => "inferium-worker.service",
        }
    }

    /// Where systemd looks for the unit.
    fn path(self) -> Result<PathBuf, Failure> {
        if !self.user {
            return Ok(Path::new("/etc/systemd/system").join(self.name()));
        }
        let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let config = config.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
        let config =
            config.ok_or_else(|| Failure::failed("HOME is not set, so there is no place for units of this user"))?;
        Ok(config.join("systemd/user").join(self.name()))
    }

    /// How the service's manager is called.
    fn systemctl(self) -> &'static str {
        if self.user { "systemctl --user" } else { "systemctl" }
    }

    /// What the manager says, if there is one.
    fn ask(self, question: &str) -> Option<String> {
        let mut command = Command::new("systemctl");
        if self.user {
            command.arg("--user");
        }
        let answer = command.args([question, self.name()]).output().ok()?;
        let text = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }
}

/// A unit as it is asked for.
struct Unit<'a> {
    of: UnitArgs,
    binary: &'a Path,
    server_key_file: Option<&'a Path>,
    arguments: &'a [String],
}

impl Unit<'_> {
    fn text(&self) -> Result<String, Failure> {
        // What `up` prints holds an API key, which no journal may keep: `inferium key create` makes others.
        let (what, command, output, stop_s) = match self.of.role {
            Role::Up => ("An Inferium network on this machine", "up --json", "null", 90),
            // It goes when what it signed is judged (`--drain`).
            Role::Worker => ("A worker of an Inferium network", "worker join --json", "journal", 300),
        };
        if self.of.role == Role::Up && self.server_key_file.is_some() {
            return Err(Failure::usage("--server-key-file goes with the service `worker`"));
        }
        let mut start = format!("{} {command}", quoted(absolute(self.binary)?)?);
        let mut credential = String::new();
        if let Some(file) = self.server_key_file {
            let file = absolute(file)?;
            if file.contains([':', '%', '\n']) {
                return Err(Failure::usage(format!("the path {file:?} can't be named in a unit")));
            }
            // Writing to a String can't fail.
            let _ = writeln!(credential, "LoadCredential=server-key:{file}");
            start.push_str(" --server-key-file %d/server-key");
        }
        for argument in self.arguments {
            start.push(' ');
            start.push_str(&quoted(argument)?);
        }
        let mut text = format!(
            "[Unit]\nDescription={what}\nWants=network-online.target\nAfter=network-online.target\n\n\
             [Service]\nType=notify\nNotifyAccess=main\nExecStart={start}\nStandardOutput={output}\n{credential}\
             WatchdogSec={WATCHDOG_S}\nTimeoutStartSec=600\nTimeoutStopSec={stop_s}\nKillSignal=SIGTERM\n\
             Restart=on-failure\nRestartSec=5\nStateDirectory=inferium\nStateDirectoryMode=0700\n\
             Environment=INFERIUM_HOME=%S/inferium\nLimitNOFILE=65536\n\n"
        );
        let system = if self.of.user { &[] } else { SYSTEM_HARDENING };
        for line in HARDENING.iter().chain(system) {
            text.push_str(line);
            text.push('\n');
        }
        let target = if self.of.user { "default.target" } else { "multi-user.target" };
        let _ = write!(text, "\n[Install]\nWantedBy={target}\n");
        Ok(text)
    }
}

fn absolute(path: &Path) -> Result<String, Failure> {
    let path = std::path::absolute(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    path.into_os_string().into_string().map_err(|path| Failure::usage(format!("the path {path:?} is not Unicode")))
}

/// A word of a command line as systemd reads it back: quoted, and nothing in it means anything else.
fn quoted(word: impl AsRef<str>) -> Result<String, Failure> {
    let word = word.as_ref();
    if word.chars().any(char::is_control) {
        return Err(Failure::usage(format!("{word:?} can't stand in a unit")));
    }
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    let is_plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=,@+".contains(c));
    Ok(if is_plain { escaped } else { format!("\"{escaped}\"") })
}

fn install(unit: UnitArgs, text: &str) -> Result<(), Failure> {
    let path = unit.path()?;
    let cannot = |error: std::io::Error| {
        let hint = if unit.user { "" } else { "; as root, or with --user" };
        Failure::failed(format!("cannot write {}: {error}{hint}", path.display()))
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(cannot)?;
    }
    std::fs::write(&path, text).map_err(cannot)?;
    let systemctl = unit.systemctl();
    say(&format!("start it with: {systemctl} daemon-reload && {systemctl} enable --now {}", unit.name()));
    if output::is_json() {
        return output::print_json(&json!({"path": path}));
    }
    print(&path.display().to_string())
}

fn uninstall(unit: UnitArgs) -> Result<(), Failure> {
    let path = unit.path()?;
    let systemctl = unit.systemctl();
    if unit.ask("is-active").as_deref() == Some("active") {
        let name = unit.name();
        return Err(Failure::refused(format!("{name} runs; stop it first: {systemctl} disable --now {name}")));
    }
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::failed(format!("{} is not there: nothing to remove", path.display())));
        }
        Err(error) => return Err(Failure::failed(format!("cannot remove {}: {error}", path.display()))),
    }
    say(&format!("removed {}; its data stays. Let systemd know: {systemctl} daemon-reload", path.display()));
    if output::is_json() { output::print_json(&json!({"removed": path})) } else { Ok(()) }
}

fn status(unit: UnitArgs) -> Result<(), Failure> {
    let path = unit.path()?;
    let is_installed = path.exists();
    let unknown = || "unknown (no systemd here)".to_owned();
    let active = unit.ask("is-active").unwrap_or_else(unknown);
    let enabled = unit.ask("is-enabled").unwrap_or_else(unknown);
    if output::is_json() {
        return output::print_json(
            &json!({"unit": unit.name(), "path": path, "installed": is_installed, "active": active, "enabled": enabled}),
        );
    }
    let installed = if is_installed { path.display().to_string() } else { "no".into() };
    print(&format!("unit       {}\ninstalled  {installed}\nactive     {active}\nenabled    {enabled}", unit.name()))
}

#[cfg(test)]
mod tests;
