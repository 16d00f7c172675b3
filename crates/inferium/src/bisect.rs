//! `inferium bisect`: where the replays of two validators that disagree about a segment first differ (SPEC V8).
//!
//! Who voted what is read from the chain. The rest is between two validators: each signs the root over all that its replay
//! computed, and then shows, exchange by exchange, what is below it. Nothing that they show is believed unless it hashes to what they
//! signed.

mod ask;
mod report;

use crate::cli::{Failure, NetworkDir, parse_id};
use crate::history;
use crate::home::data_dir;
use crate::output;
use crate::progress::print;
use crate::up::{self, NetworkFile};
use ask::Side;
use clap::Args;
use inferium_chain::LightClient;
use inferium_ledger::{Node, StateKey};
use inferium_types::{Digest, Event, JobFault, NodeId, NodeRole, SegmentId, TraceCell, TraceSearch, VerdictVote};
use inferium_validator::{Opinion, doubted_jobs, opinion_of};
use std::collections::{BTreeMap, BTreeSet};

/// `inferium bisect`.
#[derive(Debug, Args)]
pub(crate) struct BisectArgs {
    /// The segment; 64 hex digits, from a receipt or `inferium slashes`.
    #[arg(value_parser = parse_id)]
    segment: Digest,
    /// The job, by its place in the segment, when verdicts disagree about several [default: the first of them].
    #[arg(long, value_name = "N")]
    job: Option<u32>,
    #[command(flatten)]
    network: NetworkDir,
}

/// What a committee said.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Draw {
    seed: Digest,
    votes: BTreeMap<NodeId, VerdictVote>,
}

/// What blocks say of a segment.
#[derive(Debug, Default)]
struct Judged {
    /// Its jobs, once it was committed.
    jobs: Option<u32>,
    draws: Vec<Draw>,
}

/// What there is to look into: a job, and validators by what they say of it.
#[derive(Debug, PartialEq, Eq)]
struct Quarrel {
    seed: Digest,
    job: u32,
    /// Two parties, each of one opinion.
    parties: [Vec<(NodeId, VerdictVote)>; 2],
}

/// What the search came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// All that both computed is equal.
    Nothing,
    /// They read prompts or models of other sizes.
    Shapes,
    /// The first cell that differs, its place in the trace, and what each side has there.
    Cell { index: u64, cell: TraceCell, digests: [Digest; 2] },
}

pub(crate) async fn run(arguments: BisectArgs) -> Result<(), Failure> {
    let segment = SegmentId::new(arguments.segment);
    let (file, chain) = up::connect(&data_dir(arguments.network.data)).await?;
    let mut judged = Judged::default();
    history::scan(&chain, |block| block.events.iter().for_each(|event| judged.on_event(segment, event))).await?;
    let Some(quarrel) = judged.quarrel(segment, arguments.job)? else {
        let verdicts = judged.draws.last().map_or(0, |draw| draw.votes.len());
        let agreed = report::agreed(segment, verdicts);
        return if output::is_json() { output::print_json(&agreed) } else { print(&report::text_of(&agreed)) };
    };
    let names = Names::new(&file);
    let [first, second] = &quarrel.parties;
    let about = (segment, quarrel.seed, quarrel.job);
    // Both replay at the same time.
    let (first, second) =
        futures::try_join!(side_of(&chain, &names, about, first), side_of(&chain, &names, about, second))?;
    let sides = [first, second];
    let (found, exchanges, paths) = search(&sides).await?;
    let report = report::bisected(&sides, found, exchanges, &paths);
    if output::is_json() { output::print_json(&report) } else { print(&report::in_words(&report)) }
}

impl Judged {
    fn on_event(&mut self, segment: SegmentId, event: &Event) {
        match event {
            Event::SegmentCommitted { segment: of, totals, .. } if *of == segment => self.jobs = Some(totals.jobs),
            // A widened committee has the seed of the one before.
            Event::CommitteeDrawn { segment: of, seed, .. } if *of == segment && self.is_new(seed) => {
                self.draws.push(Draw { seed: *seed, votes: BTreeMap::new() });
            }
            Event::VerdictGiven { segment: of, validator, vote } if *of == segment => {
                if let Some(draw) = self.draws.last_mut() {
                    draw.votes.insert(*validator, *vote);
                }
            }
            _ => {}
        }
    }

    fn is_new(&self, seed: &Digest) -> bool {
        self.draws.last().is_none_or(|draw| draw.seed != *seed)
    }

    /// The newest disagreement, about job `wanted` if one is named; `None` when all verdicts agree.
    fn quarrel(&self, segment: SegmentId, wanted: Option<u32>) -> Result<Option<Quarrel>, Failure> {
        let jobs = self.jobs.ok_or_else(|| Failure::refused(format!("nobody knows a segment {segment}")))?;
        if let Some(job) = wanted.filter(|job| *job >= jobs) {
            return Err(Failure::refused(format!(
                "the segment has {jobs} jobs, numbered from 0: there is no job {job}"
            )));
        }
        if self.draws.iter().all(|draw| draw.votes.is_empty()) {
            return Err(Failure::refused("no verdict about this segment is public yet"));
        }
        let doubts = self.draws.iter().rev().map(|draw| (draw, doubted_jobs(draw.votes.values())));
        let Some((draw, doubted)) = doubts.into_iter().find(|(_, doubted)| !doubted.is_empty()) else {
            return self.draws.iter().find_map(|draw| untraced(&draw.votes)).map_or(Ok(None), |job| {
                Err(Failure::refused(format!(
                    "verdicts disagree about the embeddings of job {job}: vectors are compared whole, and have no \
                     trace (those of models of integers are challenged instead: V11)"
                )))
            });
        };
        let job = match wanted {
            None => doubted.first().copied().unwrap_or(0),
            Some(job) if doubted.contains(&job) => job,
            Some(job) => {
                let doubted: Vec<String> = doubted.iter().map(u32::to_string).collect();
                let reason = format!("no verdicts disagree about job {job}; they do about {}", doubted.join(", "));
                return Err(Failure::refused(reason));
            }
        };
        Ok(Some(Quarrel { seed: draw.seed, job, parties: parties(&draw.votes, job) }))
    }
}

/// A job about whose embeddings votes disagree.
fn untraced(votes: &BTreeMap<NodeId, VerdictVote>) -> Option<u32> {
    let named = votes.values().find_map(|vote| match vote {
        VerdictVote::Invalid { job, fault: JobFault::Embedding } => Some(*job),
        _ => None,
    })?;
    let doubts = |vote| opinion_of(vote, named).is_some_and(|opinion| opinion != Opinion::Wrong(JobFault::Embedding));
    votes.values().any(doubts).then_some(named)
}

/// Who says what of a job: those of one opinion, and those of the first other one.
fn parties(votes: &BTreeMap<NodeId, VerdictVote>, job: u32) -> [Vec<(NodeId, VerdictVote)>; 2] {
    let of = |wanted: Opinion| {
        let same = votes.iter().filter(|(_, vote)| opinion_of(vote, job) == Some(wanted));
        same.map(|(validator, vote)| (*validator, *vote)).collect()
    };
    let mut opinions: Vec<Opinion> = Vec::new();
    for opinion in votes.values().filter_map(|vote| opinion_of(vote, job)) {
        if !opinions.contains(&opinion) {
            opinions.push(opinion);
        }
    }
    // Who found nothing wrong comes first.
    opinions.sort_by_key(|opinion| *opinion != Opinion::Right);
    let mut opinions = opinions.into_iter();
    [opinions.next(), opinions.next()].map(|opinion| opinion.map(of).unwrap_or_default())
}

/// What nodes are called in the data folder.
struct Names(BTreeMap<String, String>);

impl Names {
    fn new(file: &NetworkFile) -> Self {
        Self(file.nodes.iter().map(|(name, key)| (key.clone(), name.clone())).collect())
    }

    fn of(&self, node: &NodeId) -> String {
        let key = node.to_string();
        self.0.get(&key).cloned().unwrap_or(key)
    }
}

/// The first validator of a party that answers for its replay.
async fn side_of(
    chain: &LightClient,
    names: &Names,
    about: (SegmentId, Digest, u32),
    party: &[(NodeId, VerdictVote)],
) -> Result<Side, Failure> {
    let mut reasons = BTreeSet::new();
    for (validator, vote) in party {
        let name = names.of(validator);
        let role = chain.entry::<Node>(&StateKey::Node(*validator)).await?.map(|node| node.role);
        let Some(NodeRole::Validator { url }) = role else {
            reasons.insert(format!("{name}: it is no validator any more"));
            continue;
        };
        match Side::open(about, *validator, &name, &url, *vote).await {
            Ok(side) => return Ok(side),
            Err(reason) => reasons.insert(format!("{name}: {reason}")),
        };
    }
    let reasons: Vec<String> = reasons.into_iter().collect();
    Err(Failure::refused(format!("nobody of one side answers for its replay: {}", reasons.join("; "))))
}

/// Asks both sides until the first difference is found; with the exchanges that took, and each side's way to it.
async fn search(sides: &[Side; 2]) -> Result<(Found, u32, [Vec<Digest>; 2]), Failure> {
    let claims = [&sides[0].signed.claim, &sides[1].signed.claim];
    // Both roots were one exchange.
    let opening = 1;
    if claims[0].shape != claims[1].shape {
        return Ok((Found::Shapes, opening, Default::default()));
    }
    let shape = claims[0].shape;
    let Some(mut search) = TraceSearch::new(shape.cells(), [claims[0].root, claims[1].root]) else {
        return Ok((Found::Nothing, opening, Default::default()));
    };
    while let Some(node) = search.question() {
        let (first, second) = futures::try_join!(sides[0].children(node), sides[1].children(node))?;
        search.answer([first, second]).map_err(|unbound| {
            let liar = sides.get(unbound.side).map_or("a side", |side| side.name.as_str());
            Failure::refused(format!("{liar} shows what does not hash to what it signed: {unbound}"))
        })?;
    }
    let found = search.found().and_then(|(index, digests)| Some((index, shape.cell(index)?, digests)));
    let (index, cell, digests) = found.ok_or_else(|| Failure::failed("the search ended nowhere"))?;
    Ok((Found::Cell { index, cell, digests }, search.exchanges().saturating_add(opening), search.paths()))
}

#[cfg(test)]
mod tests;
