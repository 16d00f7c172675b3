//! A report is what the ledger takes, on any machine.

use super::{as_json, lines, report, shortened};
use inferium_types::{Tier, limits};

#[test]
fn this_machine_has_a_report_that_the_ledger_takes() {
    let report = report(Tier::High);
    assert!(report.is_well_formed());
    assert!(report.cores > 0 && report.memory_mib > 0 && !report.cpu.is_empty());
    assert_eq!(as_json(&report)["tier_wanted"], "high");
    assert!(lines(&report).len() >= 4);
}

#[test]
fn long_names_are_cut_between_letters() {
    assert_eq!(shortened("card".into()), "card");
    let long = "é".repeat(limits::NAME_SIZE_MAX);
    let cut = shortened(format!("a{long}"));
    assert!(cut.len() <= limits::NAME_SIZE_MAX && cut.len() + 2 > limits::NAME_SIZE_MAX);
}
