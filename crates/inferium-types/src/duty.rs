//! What an operator asks of a worker.

/// Whether a worker takes work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duty {
    /// It takes leases.
    #[default]
    Working,
    /// It ends what it began and takes nothing new, until it works again.
    Paused,
    /// It ends what it began, and then itself.
    Draining,
}

impl Duty {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Working, Self::Paused, Self::Draining];

    /// Its name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Paused => "paused",
            Self::Draining => "draining",
        }
    }

    /// The duty with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|duty| duty.name() == name)
    }
}
