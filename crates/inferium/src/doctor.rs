//! `inferium doctor`: what is wrong with this machine or its network, and how to mend it.

mod machine;
mod network;

use crate::cli::{DoctorArgs, Failure};
use crate::home::{data_dir, models_dir};
use crate::output;
use crate::progress::print;
use serde_json::{Value, json};

/// How a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Fine,
    /// It works, but not as it could.
    Weak,
    Broken,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Weak => "warn",
            Self::Broken => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    check: &'static str,
    state: State,
    detail: String,
    /// What to do about it; none where nothing is wrong.
    fix: Option<String>,
}

impl Finding {
    fn fine(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, state: State::Fine, detail: detail.into(), fix: None }
    }

    fn weak(check: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, state: State::Weak, detail: detail.into(), fix: Some(fix.into()) }
    }

    fn broken(check: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, state: State::Broken, detail: detail.into(), fix: Some(fix.into()) }
    }

    fn json(&self) -> Value {
        json!({"check": self.check, "state": self.state.name(), "detail": self.detail, "fix": self.fix})
    }
}

/// Looks at everything; a broken thing makes the command fail, after all of them were told.
pub(crate) async fn run(arguments: DoctorArgs) -> Result<(), Failure> {
    let (data, models) = (data_dir(arguments.network.data), models_dir(arguments.models.dir));
    let mut findings = machine::look(&data, &models);
    findings.extend(network::look(&data).await);
    if output::is_json() {
        let rows: Vec<Value> = findings.iter().map(Finding::json).collect();
        output::print_json(&json!({"version": env!("CARGO_PKG_VERSION"), "data": rows}))?;
    } else {
        print(&in_words(&findings))?;
    }
    match findings.iter().filter(|finding| finding.state == State::Broken).count() {
        0 => Ok(()),
        1 => Err(Failure::failed("one thing is broken")),
        count => Err(Failure::failed(format!("{count} things are broken"))),
    }
}

fn in_words(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|finding| {
        let fix = finding.fix.as_ref().map_or_else(String::new, |fix| format!("\n                    fix: {fix}"));
        format!("{:<5} {:<13} {}{fix}", finding.state.name(), finding.check, finding.detail)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::{Finding, in_words};

    #[test]
    fn every_trouble_comes_with_its_fix() {
        let findings = [Finding::fine("disk", "plenty"), Finding::weak("memory", "little", "close something")];
        assert_eq!(
            in_words(&findings),
            "ok    disk          plenty\nwarn  memory        little\n                    fix: close something"
        );
    }
}
