//! A server that is a program on this host: started in its sandbox, and ended with all that it started.

use super::meter::{Allowance, Metered};
use crate::host::{Bounds, Secret};
use crate::sandbox::Sandbox;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// What is kept of a program's complaints: their end, in bytes.
const COMPLAINT_BYTES: usize = 1_024;

/// How long complaints are waited for once the program is dead.
const COMPLAINT_WAIT: Duration = Duration::from_secs(1);

/// How long a killed program is waited for.
const REAP_WAIT: Duration = Duration::from_secs(5);

/// A program that runs.
pub(super) struct Process {
    child: Child,
    /// `None` once it was ended and reaped.
    group: Option<Pid>,
    complaint: Arc<Mutex<Vec<u8>>>,
    listener: tokio::task::JoinHandle<()>,
}

/// What a server's program is started with.
pub(super) struct Start<'a> {
    pub(super) helper: &'a Path,
    pub(super) sandbox: &'a Sandbox,
    pub(super) program: &'a Path,
    pub(super) arguments: Vec<String>,
    pub(super) variables: Vec<(&'a str, &'a Secret)>,
}

impl Process {
    /// Starts a program; what it sends is read within `allowance`.
    ///
    /// # Errors
    /// In words, if the helper can't be started.
    pub(super) fn start(
        start: Start<'_>,
        allowance: &Allowance,
    ) -> Result<(Self, Metered<ChildStdout>, ChildStdin), String> {
        let sandbox = serde_json::to_string(start.sandbox).map_err(|error| error.to_string())?;
        let variables = start.variables.iter().map(|(name, secret)| (Sandbox::variable(name), secret.expose()));
        let mut child = Command::new(start.helper)
            .args(["tool", "sandbox", &sandbox])
            .arg(start.program)
            .args(start.arguments)
            .env_clear()
            .envs(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", start.helper.display()))?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("its streams were not made".to_owned());
        };
        let complaint = Arc::new(Mutex::new(Vec::new()));
        let listener = tokio::spawn(listen(stderr, complaint.clone()));
        Ok((Self { child, group, complaint, listener }, Metered::new(stdout, allowance.clone()), stdin))
    }

    /// Lets the program work for as long as what is returned is kept; it stands still at all other times, so that it takes
    /// nothing of the host while nobody asks it.
    pub(super) fn awake(&self) -> Awake<'_> {
        self.signal(Signal::CONT);
        Awake(self)
    }

    /// Ends the program and all that it started, and says how it had ended before, if it had.
    pub(super) async fn end(&mut self, bounds: &Bounds) -> Option<String> {
        let was_dead = self.is_dead();
        self.signal(Signal::KILL);
        // One that the system can't end yet, as while a disk hangs, is reaped when it can.
        let status = tokio::time::timeout(REAP_WAIT, self.child.wait()).await.ok()?.ok()?;
        self.group = None;
        if tokio::time::timeout(COMPLAINT_WAIT, &mut self.listener).await.is_err() {
            self.listener.abort();
        }
        how_it_ended(status, was_dead, bounds).map(|ended| match self.complained() {
            Some(complaint) => format!("{ended}: {complaint}"),
            None => ended,
        })
    }

    /// What it wrote last to where programs complain.
    fn complained(&self) -> Option<String> {
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&complaint);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = lines.get(lines.len().saturating_sub(3)..).unwrap_or_default();
        (!last.is_empty()).then(|| last.join(" | "))
    }

    /// True if it ended by itself; it is not reaped by this, so that its group keeps its number.
    fn is_dead(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        self.group.is_some_and(|group| matches!(waitid(WaitId::Pid(group), options), Ok(Some(_))))
    }

    /// To the program and all that it started.
    fn signal(&self, signal: Signal) {
        // Before it is reaped its number can't be another's.
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal);
        }
    }
}

/// A program works while this is there.
pub(super) struct Awake<'a>(&'a Process);

impl Drop for Awake<'_> {
    fn drop(&mut self) {
        self.0.signal(Signal::STOP);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        self.listener.abort();
    }
}

/// Reads complaints for as long as there are any, so that the program does not wait to get rid of them.
async fn listen(mut stderr: ChildStderr, complaint: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 4_096];
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        let mut kept = complaint.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let surplus = kept.len().saturating_sub(COMPLAINT_BYTES);
        kept.drain(..surplus);
    }
}

/// In words; `None` for a program that was ended from here.
fn how_it_ended(status: ExitStatus, was_dead: bool, bounds: &Bounds) -> Option<String> {
    match status.signal() {
        Some(signal) if signal == Signal::XCPU.as_raw() => {
            Some(format!("it used more than its {} processor seconds", bounds.cpu_seconds))
        }
        Some(signal) if signal == Signal::XFSZ.as_raw() => {
            Some(format!("it wrote a file of more than {} bytes", bounds.file_bytes))
        }
        Some(signal) if signal == Signal::KILL.as_raw() => {
            was_dead.then(|| "it was killed, as programs are when the machine is out of memory".to_owned())
        }
        Some(signal) => Some(format!("signal {signal} ended it")),
        None => Some(format!("it ended with exit code {}", status.code().unwrap_or_default())),
    }
}
