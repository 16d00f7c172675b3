//! SPEC V8: which jobs replays disagree about.

use super::{Opinion, doubted_jobs, opinion_of};
use inferium_types::{Digest, JobFault, ReplayStatistics, VerdictVote};

const VALID: VerdictVote = VerdictVote::Valid { effort: Digest::ZERO };
const NONE: [u32; 0] = [];

const fn wrong(job: u32, fault: JobFault) -> VerdictVote {
    VerdictVote::Invalid { job, fault }
}

fn doubted(votes: &[VerdictVote]) -> Vec<u32> {
    doubted_jobs(votes.iter()).into_iter().collect()
}

#[test]
fn a_vote_speaks_of_the_jobs_that_it_looked_at() {
    let vote = wrong(3, JobFault::Logits);
    assert_eq!(opinion_of(&vote, 2), Some(Opinion::Right));
    assert_eq!(opinion_of(&vote, 3), Some(Opinion::Wrong(JobFault::Logits)));
    assert_eq!(opinion_of(&vote, 4), None);
    assert_eq!(opinion_of(&VALID, u32::MAX), Some(Opinion::Right));
    assert_eq!(opinion_of(&VerdictVote::Unavailable, 0), None);
    let statistics = ReplayStatistics::default();
    assert_eq!(opinion_of(&VerdictVote::Measured { effort: Digest::ZERO, statistics }, 0), None);
}

#[test]
fn replays_disagree_about_what_one_names_and_another_does_not() {
    assert_eq!(doubted(&[VALID, wrong(3, JobFault::Logits)]), [3]);
    assert_eq!(doubted(&[VALID, wrong(3, JobFault::Token), wrong(0, JobFault::Prompt)]), [0, 3]);
    assert_eq!(doubted(&[wrong(3, JobFault::Logits), wrong(3, JobFault::Token)]), [3]);
    assert_eq!(doubted(&[wrong(3, JobFault::Logits), wrong(5, JobFault::Logits)]), [3], "one never looked at job 5");
}

#[test]
fn replays_agree_or_say_nothing_otherwise() {
    assert_eq!(doubted(&[]), NONE);
    assert_eq!(doubted(&[VALID, VALID]), NONE);
    assert_eq!(doubted(&[wrong(3, JobFault::Logits); 3]), NONE);
    assert_eq!(doubted(&[wrong(3, JobFault::Logits), VerdictVote::Unavailable]), NONE);
    // Sums and texts are compared without an engine's arithmetic.
    for fault in [JobFault::Leaf, JobFault::Text, JobFault::Finish, JobFault::Windows, JobFault::GrossTokens] {
        assert_eq!(doubted(&[VALID, wrong(3, fault)]), NONE, "{fault:?}");
    }
}
