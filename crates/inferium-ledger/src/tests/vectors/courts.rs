//! Courts that find a job wrong: whose approval that undoes, and whose challenges (SPEC V4, V11).

use super::book::{Book, Page, with};
use super::challenges::usual;
use crate::tests::challenges::player::{Lie, Player, SMALL};
use crate::tests::support::*;
use inferium_types::{JobFault, Ppm, TransactionBody, VerdictVote};

const ALL: u32 = 1_000_000;

fn wrong(job: u32) -> VerdictVote {
    VerdictVote::Invalid { job, fault: JobFault::Classification }
}

/// A segment of two jobs that this one disputes, and all of whose court have found these jobs wrong but for the
/// first, who has not shown it; who, and what it shows.
fn court(disputer: Option<usize>, jobs: [u32; 2]) -> (Player, Vec<String>, String, TransactionBody) {
    let mut player = usual(Player::approved(SMALL, Lie::None));
    let disputer = disputer.map_or("g0".to_owned(), |index| player.approvers[index].clone());
    player.chain.ok(&disputer, TransactionBody::OpenDispute { segment: player.segment });
    let members = player.chain.draw(player.segment);
    let votes: Vec<_> =
        members.iter().enumerate().map(|(at, name)| (name.as_str(), wrong(jobs[usize::from(at > 1)]))).collect();
    let (name, body) = player.chain.last_reveal(player.segment, &votes);
    (player, members, name, body)
}

/// The chain in which the first approvers were to replay this share of jobs.
fn replaying(player: &Player, parts: u32) -> Chain {
    with(&player.chain, |state| {
        let mut entry = state.segment(&player.segment).unwrap().clone();
        entry.dispute.as_mut().unwrap().approval.replayed = Ppm::new(parts);
        state.set_segment(player.segment, Some(entry));
    })
}

/// The least share by which they were to replay this job.
fn first_drawn(player: &Player, job: u32) -> u32 {
    let approval = player.chain.state.segment(&player.segment).unwrap().dispute.clone().unwrap().approval;
    (0..=ALL).find(|parts| player.segment.draws_job(&approval.seed, job, Ppm::new(*parts))).unwrap()
}

fn convicts(page: &mut Page<'_>, name: &str, chain: &Chain, (member, body): (&str, &TransactionBody)) {
    page.valid(name, "V4", chain, member, body.clone());
    page.numbers(name, chain, member, body);
}

pub(super) fn write(book: &mut Book) {
    let page = &mut book.page("court_conviction");
    let (player, _, member, body) = court(None, [1, 1]);
    let last = (member.as_str(), &body);
    let first = first_drawn(&player, 1);
    convicts(page, "first approvers were just to replay the job", &replaying(&player, first), last);
    convicts(page, "first approvers were just not to replay it", &replaying(&player, first - 1), last);
    let (own, _, member, body) = court(Some(0), [1, 1]);
    let last = (member.as_str(), &body);
    convicts(page, "who disputes what it attested gets no part", &replaying(&own, first_drawn(&own, 1)), last);
    let name = "who disputes what it approved and was not to replay does";
    convicts(page, name, &replaying(&own, first_drawn(&own, 1) - 1), last);
    // Of what two find wrong the first job counts, whoever says which.
    let (two, _, member, body) = court(None, [1, 0]);
    let last = (member.as_str(), &body);
    let of_each = [0, 1].map(|job| first_drawn(&two, job));
    let between = of_each[0].min(of_each[1]);
    convicts(page, "of two jobs the first counts, which was to be replayed or not", &replaying(&two, between), last);
    convicts(page, "of two jobs the first counts, at its own share", &replaying(&two, of_each[0]), last);
    convicts(page, "of two jobs the first counts, just below it", &replaying(&two, of_each[0] - 1), last);
    let mut challenged = player;
    let (name, _) = (challenged.challenger.clone(), ());
    challenged.chain = with(&challenged.chain, |state| {
        let template = {
            let mut player = Player::approved(SMALL, Lie::None);
            player.open();
            player.challenge().unwrap().clone()
        };
        state.set_challenge((challenged.segment, id(&name)), Some(template));
    });
    let (_, _, member, body) = court(None, [1, 1]);
    convicts(page, "challenges of it are moot", &challenged.chain, (&member, &body));
}
