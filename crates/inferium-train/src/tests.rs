//! Whole runs, of both kinds: chains that verify, runs that resume, and cheats that are caught when their interval is drawn.

use crate::record::{IntervalRecord, StepRecord};
use crate::{
    Audit, Checkpoint, Mismatch, Order, Ruling, State, Trainer, adamw, bisect, check_first, draw, head, lora, rule,
    run_interval, verify_interval,
};
use inferium_types::Digest;

fn trainers() -> [Box<dyn Trainer>; 2] {
    [Box::new(head::tests::trainer()), Box::new(lora::tests::trainer())]
}

fn first(trainer: &dyn Trainer) -> Checkpoint {
    Checkpoint { spec: trainer.spec().digest(), record: None, state: trainer.initial() }
}

/// The next interval, as it should be.
fn next(trainer: &dyn Trainer, from: &Checkpoint) -> Checkpoint {
    let (state, record) = run_interval(trainer, from.next_job(), from.state.clone(), &mut |_| ()).unwrap();
    Checkpoint { spec: from.spec, record: Some(record), state }
}

/// What a trainer may do instead of a step.
type Crime<'a> = dyn Fn(&dyn Trainer, &mut Order, &mut State) -> StepRecord + 'a;

/// The next interval with `crime` instead of honest steps.
fn crooked(trainer: &dyn Trainer, from: &Checkpoint, crime: &Crime<'_>) -> Checkpoint {
    let (mut state, mut order) = (from.state.clone(), Order::new(trainer.spec()));
    let (begin, end) = trainer.spec().steps_of(from.index());
    let steps = (begin..end).map(|_| crime(trainer, &mut order, &mut state)).collect();
    Checkpoint { spec: from.spec, record: Some(IntervalRecord { job: from.next_job(), steps }), state }
}

fn taken(trainer: &dyn Trainer, batch: &[usize], state: &mut State, rate_percent: u32) -> StepRecord {
    let step = state.step;
    let (loss, gradient) = trainer.gradient(&state.parameters, batch).unwrap();
    let mut terms = trainer.spec().optimiser;
    terms.learning_rate_nano = terms.learning_rate_nano / 100 * rate_percent;
    adamw::update(state, &gradient, &terms);
    StepRecord { step, loss_bits: loss.to_bits(), state: state.digest() }
}

/// A run of so many intervals in which interval `wrong` is crooked, and all others are honest.
fn run(trainer: &dyn Trainer, intervals: u64, wrong: u64, crime: &Crime<'_>) -> Vec<Checkpoint> {
    let mut run = vec![first(trainer)];
    for index in 0..intervals {
        let from = run.last().unwrap();
        run.push(if index == wrong { crooked(trainer, from, crime) } else { next(trainer, from) });
    }
    run
}

/// What verification says of interval `index`.
fn verdict(trainer: &dyn Trainer, run: &[Checkpoint], index: usize) -> Option<Mismatch> {
    let record = run[index + 1].record.as_ref().unwrap();
    let difference = verify_interval(trainer, &run[index], record, &mut |_| ()).unwrap();
    difference.map(|difference| {
        assert_eq!(difference.interval, index as u64);
        difference.what
    })
}

/// The crime is found in its interval, and in no other: a cheat is caught when its interval is drawn, and the others tell nothing.
fn is_caught(crime: &Crime<'_>) -> Vec<Mismatch> {
    let mut found = Vec::new();
    for trainer in &trainers() {
        let run = run(trainer.as_ref(), 3, 1, crime);
        assert_eq!(verdict(trainer.as_ref(), &run, 0), None);
        found.push(verdict(trainer.as_ref(), &run, 1).expect("a crime that nobody finds"));
        assert_eq!(verdict(trainer.as_ref(), &run, 2), None, "the interval after it follows from its end");
    }
    found
}

#[test]
fn an_honest_run_verifies_in_every_interval() {
    for trainer in &trainers() {
        let intervals = trainer.spec().intervals();
        let run = run(trainer.as_ref(), intervals, u64::MAX, &|_, _, _| unreachable!());
        for index in 0..usize::try_from(intervals).unwrap() {
            assert_eq!(verdict(trainer.as_ref(), &run, index), None);
        }
        assert_eq!(run.last().unwrap().state.step, trainer.spec().steps, "the last interval is a short one");
    }
}

#[test]
fn two_runs_and_one_that_was_resumed_from_bytes_are_equal_to_the_bit() {
    for trainer in &trainers() {
        let (trainer, shapes) = (trainer.as_ref(), trainer.shapes());
        let honest = |_: &dyn Trainer, _: &mut Order, _: &mut State| unreachable!();
        let (one, two) = (run(trainer, 3, u64::MAX, &honest), run(trainer, 3, u64::MAX, &honest));
        let bytes = |run: &[Checkpoint]| run.iter().map(|c| c.to_bytes(&shapes)).collect::<Vec<_>>();
        assert_eq!(bytes(&one), bytes(&two));
        let middle = Checkpoint::from_bytes(&bytes(&one)[1], one[0].spec, &shapes).unwrap();
        let resumed = next(trainer, &next(trainer, &middle));
        assert_eq!(resumed.to_bytes(&shapes), bytes(&one)[3]);
        assert_eq!(resumed.root(), one[3].root());
    }
}

#[test]
fn skipped_steps_are_caught() {
    // Half of the steps leave everything as it is, and tell the loss of the last one.
    let skipped = |trainer: &dyn Trainer, order: &mut Order, state: &mut State| {
        let step = state.step;
        if step.is_multiple_of(2) {
            return crate::step(trainer, order, state).unwrap();
        }
        let (loss, _) = trainer.gradient(&state.parameters, &order.batch(step)).unwrap();
        state.step += 1;
        StepRecord { step, loss_bits: loss.to_bits(), state: state.digest() }
    };
    for found in is_caught(&skipped) {
        assert!(matches!(found, Mismatch::State { step, .. } if step % 2 == 1), "{found:?}");
    }
}

#[test]
fn other_data_is_caught() {
    let other = |trainer: &dyn Trainer, order: &mut Order, state: &mut State| {
        let mut batch = order.batch(state.step);
        batch[0] = (batch[0] + 1) % trainer.spec().data.examples as usize;
        taken(trainer, &batch, state, 100)
    };
    for found in is_caught(&other) {
        assert!(matches!(found, Mismatch::Loss { .. }), "{found:?}");
    }
}

#[test]
fn the_same_examples_in_another_order_are_caught() {
    let other = |trainer: &dyn Trainer, order: &mut Order, state: &mut State| {
        let mut batch = order.batch(state.step);
        batch.reverse();
        taken(trainer, &batch, state, 100)
    };
    // Sums of floats know their order; were they equal by chance, the step would be the right one.
    is_caught(&other);
}

#[test]
fn another_learning_rate_is_caught() {
    let faster = |trainer: &dyn Trainer, order: &mut Order, state: &mut State| {
        let batch = order.batch(state.step);
        taken(trainer, &batch, state, 101)
    };
    for (found, trainer) in is_caught(&faster).into_iter().zip(&trainers()) {
        let (first, _) = trainer.spec().steps_of(1);
        // The loss before the first such step is the right one; the state after it is not.
        assert!(matches!(found, Mismatch::State { step, .. } if step == first), "{found:?}");
    }
}

#[test]
fn a_copied_checkpoint_is_caught() {
    for trainer in &trainers() {
        let trainer = trainer.as_ref();
        let honest = run(trainer, 1, u64::MAX, &|_, _, _| unreachable!());
        // What the interval before it led to, told once more as the work of this one.
        let old = honest[1].record.clone().unwrap();
        let mut state = honest[1].state.clone();
        state.step = trainer.spec().steps_of(1).1;
        let steps = old.steps.iter().map(|step| StepRecord {
            step: step.step + old.steps.len() as u64,
            state: if step == old.steps.last().unwrap() { state.digest() } else { step.state },
            ..*step
        });
        let record = IntervalRecord { job: honest[1].next_job(), steps: steps.collect() };
        let copy = Checkpoint { spec: honest[1].spec, record: Some(record), state };
        // It is sound as a file, and chained.
        let shapes = trainer.shapes();
        let copy = Checkpoint::from_bytes(&copy.to_bytes(&shapes), copy.spec, &shapes).unwrap();
        let found = verify_interval(trainer, &honest[1], copy.record.as_ref().unwrap(), &mut |_| ()).unwrap();
        assert!(matches!(found.unwrap().what, Mismatch::Loss { .. }));
        // As it stands it is not even chained.
        let found = verify_interval(trainer, &honest[1], &old, &mut |_| ()).unwrap();
        assert_eq!(found.unwrap().what, Mismatch::Chain);
    }
}

#[test]
fn a_fabricated_loss_is_caught() {
    let prettier = |trainer: &dyn Trainer, order: &mut Order, state: &mut State| {
        let record = crate::step(trainer, order, state).unwrap();
        StepRecord { loss_bits: record.loss_bits - 1, ..record }
    };
    for found in is_caught(&prettier) {
        let Mismatch::Loss { claimed, found, .. } = found else { panic!("{found:?}") };
        assert_eq!(claimed.0 + 1, found.0, "one bit is enough");
    }
}

#[test]
fn a_first_state_that_was_not_drawn_and_missing_steps_are_caught() {
    for trainer in &trainers() {
        let trainer = trainer.as_ref();
        let mut begun = first(trainer);
        begun.state.parameters[0] += 0.5;
        let after = next(trainer, &begun);
        assert_eq!(verdict(trainer, &[begun, after], 0), Some(Mismatch::FirstState));
        // It is checked without a step, so whatever is drawn; and a zero with another sign is another state.
        assert_eq!(check_first(trainer, &first(trainer)), None);
        let mut begun = first(trainer);
        begun.state.first_moment[0] = -0.0;
        assert_eq!(check_first(trainer, &begun), Some(Mismatch::FirstState));
        assert_eq!(check_first(trainer, &next(trainer, &first(trainer))), Some(Mismatch::FirstState));
        let begun = first(trainer);
        let mut after = next(trainer, &begun);
        let expected = after.record.as_ref().unwrap().steps.len() as u64;
        after.record.as_mut().unwrap().steps.pop();
        let found = verdict(trainer, &[begun, after], 0);
        assert_eq!(found, Some(Mismatch::Steps { expected, claimed: expected - 1 }));
    }
}

#[test]
fn a_disagreement_is_bisected_to_its_step_and_decided_by_that_step_alone() {
    for trainer in &trainers() {
        let trainer = trainer.as_ref();
        let start = first(trainer);
        let honest = next(trainer, &start).record.unwrap();
        for wrong in 0..honest.steps.len() as u64 {
            let crime = |trainer: &dyn Trainer, order: &mut Order, state: &mut State| {
                let batch = order.batch(state.step);
                taken(trainer, &batch, state, if state.step == wrong { 200 } else { 100 })
            };
            let cheat = crooked(trainer, &start, &crime).record.unwrap();
            let found = bisect(&honest, &cheat).unwrap();
            assert_eq!(found.step, wrong);
            assert!(found.exchanges <= 3, "{}", found.exchanges);
            // The state before it, which both agree on.
            let (mut state, mut order) = (start.state.clone(), Order::new(trainer.spec()));
            while state.step < wrong {
                crate::step(trainer, &mut order, &mut state).unwrap();
            }
            assert_eq!(rule(trainer, &state, state.digest(), &found), Ok(Ruling::First));
            let swapped = bisect(&cheat, &honest).unwrap();
            assert_eq!(rule(trainer, &state, state.digest(), &swapped), Ok(Ruling::Second));
            assert!(rule(trainer, &state, Digest::ZERO, &found).is_err(), "a state that was not agreed on");
        }
        assert_eq!(bisect(&honest, &honest), None);
    }
}

#[test]
fn a_cheat_in_a_tenth_of_the_intervals_is_drawn_as_often_as_promised() {
    let audit = Audit::usual(300);
    let wrong = |index: &u64| index.is_multiple_of(10);
    let caught = (0..1_000_u32)
        .filter(|beacon| {
            let beacon = Digest::of("beacon", &[&beacon.to_be_bytes()]);
            draw(&beacon, &Digest::ZERO, &audit).iter().any(wrong)
        })
        .count();
    // 95.5 % are expected; 930 are more than three standard deviations below.
    assert!(caught >= 930, "{caught} of 1000");
}
