//! `inferium worker list|pause|resume|drain`: whether workers take work, and where that is kept.

use crate::admin::Admin;
use crate::cli::{DutyArgs, Failure};
use crate::home::{self, data_dir, worker_dir};
use crate::keys::{rows, text};
use crate::output;
use crate::progress::{print, say};
use crate::up;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use inferium_types::Duty;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;

/// The only worker of a folder that `inferium worker join` made.
pub(crate) const JOINED: &str = "worker";
/// How often a worker that joined looks what its operator wants.
pub(crate) const LOOK: Duration = Duration::from_secs(2);

/// What an operator wants of a worker, on the disk: so it is after a restart too.
#[derive(Debug, Clone)]
pub(crate) struct DutyFile(PathBuf);

impl DutyFile {
    pub(crate) fn of(data: &Path, worker: &str) -> Self {
        Self(data.join(format!("{worker}.duty")))
    }

    /// What a worker begins with. One that was drained works again when it is started.
    pub(crate) fn read(&self) -> Result<Duty, Failure> {
        if !self.0.exists() {
            return Ok(Duty::Working);
        }
        let kept = std::fs::read_to_string(&self.0);
        let kept = kept.map_err(|error| Failure::failed(format!("cannot read {}: {error}", self.0.display())))?;
        let damaged = || Failure::failed(format!("{} is damaged: {kept:?} is no duty", self.0.display()));
        let duty = Duty::named(kept.trim()).ok_or_else(damaged)?;
        Ok(if duty == Duty::Draining { Duty::Working } else { duty })
    }

    pub(crate) fn write(&self, duty: Duty) -> Result<(), Failure> {
        home::write(&self.0, format!("{}\n", duty.name()).as_bytes())
    }

    /// Tells a worker what the file says, looking `every` so often, as long as anyone listens.
    pub(crate) async fn follow(self, every: Duration, duty: watch::Sender<Duty>) {
        let mut look = tokio::time::interval(every);
        loop {
            tokio::select! {
                _ = look.tick() => {}
                () = duty.closed() => return,
            }
            // Whoever reads it may find it half-way to its place; the next look finds it whole.
            if let Ok(wanted) = self.read() {
                duty.send_if_modified(|current| std::mem::replace(current, wanted) != wanted);
            }
        }
    }
}

/// Has a worker do so.
pub(crate) async fn set(duty: Duty, arguments: DutyArgs) -> Result<(), Failure> {
    let data = match arguments.network.data {
        Some(data) => data,
        None => only_folder(data_dir(None), worker_dir(None))?,
    };
    if is_joined(&data) {
        return set_joined(duty, &data, arguments.worker.as_deref());
    }
    let admin = Admin::of(Some(data))?;
    let workers = admin.get("/workers").await?;
    let name = named(&workers, arguments.worker)?;
    let told = admin.ask(Method::PUT, &format!("/workers/{name}"), Some(&json!({"duty": duty.name()}))).await?;
    say(&format!("{name}: {}", words(duty)));
    if output::is_json() { output::print_json(&told) } else { Ok(()) }
}

/// True for the folder of a worker that joined a network, not of a network.
fn is_joined(data: &Path) -> bool {
    up::network_file(data).is_err() && data.join("worker.redb").exists()
}

/// Without a word about it: the folder of this machine's network, or of its worker that joined one, whichever there is.
fn only_folder(network: PathBuf, worker: PathBuf) -> Result<PathBuf, Failure> {
    match (up::network_file(&network).is_ok(), is_joined(&worker)) {
        (true, true) => Err(Failure::usage(format!(
            "this machine has a network and a worker that joined one: say which by --data {} or --data {}",
            network.display(),
            worker.display()
        ))),
        (false, true) => Ok(worker),
        (_, false) => Ok(network),
    }
}

/// A worker that joined a network has no admin routes: it reads its file.
fn set_joined(duty: Duty, data: &Path, worker: Option<&str>) -> Result<(), Failure> {
    if let Some(other) = worker.filter(|worker| *worker != JOINED) {
        return Err(Failure::usage(format!("{} has no worker {other:?}, only `{JOINED}`", data.display())));
    }
    if duty == Duty::Draining {
        return Err(Failure::usage("a worker that joined drains when it is stopped: Ctrl-C, or `systemctl stop`"));
    }
    DutyFile::of(data, JOINED).write(duty)?;
    say(&format!("{JOINED}: {}, within {} s if it runs", words(duty), LOOK.as_secs()));
    if output::is_json() { output::print_json(&json!({"name": JOINED, "duty": duty.name()})) } else { Ok(()) }
}

pub(crate) async fn list(data: Option<PathBuf>) -> Result<(), Failure> {
    let workers = Admin::of(data)?.get("/workers").await?;
    if output::is_json() {
        return output::print_json(&workers);
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(["worker", "duty", "node"]);
    for worker in rows(&workers) {
        table.add_row(["name", "duty", "node"].map(|field| text(worker, field)));
    }
    print(&table.to_string())
}

const fn words(duty: Duty) -> &'static str {
    match duty {
        Duty::Working => "takes work",
        Duty::Paused => "ends what it began, and takes nothing new",
        Duty::Draining => "ends what it began, and goes",
    }
}

/// The worker that is meant: without a name, the only one.
fn named(workers: &Value, name: Option<String>) -> Result<String, Failure> {
    let names: Vec<&str> = rows(workers).iter().map(|worker| text(worker, "name")).collect();
    let choose = || format!("which one? {}", names.join(", "));
    match (name, names.as_slice()) {
        (Some(name), _) => {
            let is_it = |worker: &Value| text(worker, "name") == name || text(worker, "node") == name;
            let found = rows(workers).iter().find(|worker| is_it(worker));
            let found =
                found.ok_or_else(|| Failure::refused(format!("there is no worker {name:?} here: {}", choose())))?;
            Ok(text(found, "name").to_owned())
        }
        (None, [only]) => Ok((*only).to_owned()),
        (None, []) => Err(Failure::refused("no worker runs beside this gateway")),
        (None, _) => Err(Failure::usage(choose())),
    }
}

#[cfg(test)]
mod tests;
