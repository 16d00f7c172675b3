use super::{IntervalJob, IntervalRecord, StepRecord, first_root};
use inferium_types::Digest;

fn record() -> IntervalRecord {
    let step = |step| StepRecord { step, loss_bits: 1.5_f32.to_bits(), state: Digest::of("state", &[&[step as u8]]) };
    let job = IntervalJob { spec: Digest::of("spec", &[]), start: Digest::of("start", &[]), index: 2 };
    IntervalRecord { job, steps: (4..7).map(step).collect() }
}

#[test]
fn a_root_binds_everything() {
    let good = record();
    let changes: [fn(&mut IntervalRecord); 7] = [
        |record| record.job.spec = Digest::ZERO,
        |record| record.job.start = Digest::ZERO,
        |record| record.job.index = 3,
        |record| record.steps[0].loss_bits += 1,
        |record| record.steps[1].state = Digest::ZERO,
        |record| record.steps[2].step = 9,
        |record| record.steps.truncate(2),
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut other = good.clone();
        change(&mut other);
        assert_ne!(other.root(), good.root(), "change {index}");
    }
    assert_eq!(record().root(), good.root());
    assert_eq!(good.end_state(), good.steps[2].state);
}

#[test]
fn the_first_root_binds_run_and_state() {
    let (a, b) = (Digest::of("a", &[]), Digest::of("b", &[]));
    assert_ne!(first_root(&a, &b), first_root(&b, &a));
    assert_ne!(first_root(&a, &b), first_root(&a, &a));
}
