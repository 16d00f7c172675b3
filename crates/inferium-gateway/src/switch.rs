//! Workers of the same operator, which the admin routes pause and take up again.

use inferium_types::{Duty, NodeId};
use std::fmt;
use tokio::sync::watch;

/// Keeps what an operator wants of a worker, so that it is so after a restart too; why it could not.
pub type KeepDuty = Box<dyn Fn(Duty) -> Result<(), String> + Send + Sync>;

/// A worker that runs beside the gateway.
pub struct WorkerSwitch {
    /// Its name, for people.
    pub name: String,
    /// Its node.
    pub node: NodeId,
    /// What it is told.
    pub duty: watch::Sender<Duty>,
    /// Called before it is told.
    pub keep: KeepDuty,
}

impl fmt::Debug for WorkerSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerSwitch")
            .field("name", &self.name)
            .field("duty", &*self.duty.borrow())
            .finish_non_exhaustive()
    }
}

impl WorkerSwitch {
    /// Tells the worker. One that drains goes for good: it can't be told to do otherwise.
    pub(crate) fn set(&self, duty: Duty) -> Result<(), NotSet> {
        if *self.duty.borrow() == Duty::Draining && duty != Duty::Draining {
            return Err(NotSet::Draining);
        }
        (self.keep)(duty).map_err(NotSet::Disk)?;
        self.duty.send_replace(duty);
        Ok(())
    }
}

/// Why a worker was not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotSet {
    /// It goes already.
    Draining,
    /// What is wanted could not be kept.
    Disk(String),
}
