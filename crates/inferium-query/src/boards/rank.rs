//! From counts to boards: nobody is ranked within noise, and who is barred stands below everyone who is not.

use super::fold::{AgentRecord, Fold, NodeRecord, Role};
use super::{AgentRow, Board, Kind, VERSION, ValidatorRow, WorkerRow};
use inferium_eval::{Interval, PPM, wilson};
use inferium_types::{AgentId, NetworkKey, NodeId};
use std::cmp::Reverse;

/// How much of what was judged of a node held.
#[derive(Debug, Clone, Copy)]
struct Standing {
    barred: bool,
    is_slashed: bool,
    /// What held.
    held: u64,
    /// Whether anything was judged.
    is_judged: bool,
    share: Interval,
}

impl Standing {
    fn new(node: &NodeRecord, held: u64, failed: u64) -> Self {
        let judged = held.saturating_add(failed);
        Self {
            barred: node.is_barred(),
            is_slashed: node.slashes > 0,
            held,
            is_judged: judged > 0,
            share: wilson(held.saturating_mul(u64::from(PPM)), judged),
        }
    }

    fn of_worker(node: &NodeRecord) -> Self {
        Self::new(node, node.approved, node.rejected)
    }

    /// A verdict that a slash is about did not hold; a duty that was missed left no verdict.
    fn of_validator(node: &NodeRecord) -> Self {
        Self::new(node, node.verdicts.saturating_sub(node.faulty_verdicts), node.slashes)
    }
}

/// One more than are surely better: of equals in being barred or not, whose interval lies wholly above, and, where noise
/// could have put two in another order, who has no slash and as much that held, for one with a slash. For those who are
/// barred everyone who is not is better, too. None where nothing was judged.
///
/// Cost: for each node with a slash all others are looked at.
fn ranks(standings: &[Standing]) -> Vec<Option<u64>> {
    let judged = |barred: bool| -> Vec<&Standing> {
        standings.iter().filter(|standing| standing.is_judged && standing.barred == barred).collect()
    };
    let lows = |peers: &[&Standing]| {
        let mut lows: Vec<u32> = peers.iter().map(|peer| peer.share.low).collect();
        lows.sort_unstable();
        lows
    };
    let (free, barred) = (judged(false), judged(true));
    let (free_lows, barred_lows) = (lows(&free), lows(&barred));
    let rank = |standing: &Standing| {
        let (peers, lows, before) =
            if standing.barred { (&barred, &barred_lows, free.len()) } else { (&free, &free_lows, 0) };
        let above = lows.len().saturating_sub(lows.partition_point(|low| *low <= standing.share.high));
        let is_cleaner =
            |peer: &&&Standing| !peer.is_slashed && peer.held >= standing.held && peer.share.overlaps(&standing.share);
        let cleaner = if standing.is_slashed { peers.iter().filter(is_cleaner).count() } else { 0 };
        let better = u64::try_from(before.saturating_add(above).saturating_add(cleaner)).unwrap_or(u64::MAX);
        standing.is_judged.then(|| better.saturating_add(1))
    };
    standings.iter().map(rank).collect()
}

/// Those without a rank stand below those with one.
fn order_of(rank: Option<u64>) -> u64 {
    rank.unwrap_or(u64::MAX)
}

impl Fold {
    fn board<R>(&self, network: &NetworkKey, kind: Kind, complete: bool, rows: Vec<R>) -> Board<R> {
        Board {
            block: self.block().to_string(),
            board: kind.name().to_owned(),
            complete,
            first: self.first(),
            height: self.height(),
            network: network.to_string(),
            rows,
            version: VERSION,
        }
    }

    fn in_role(&self, role: Role) -> Vec<(&NodeId, &NodeRecord)> {
        self.nodes().filter(|(_, node)| node.role == Some(role)).collect()
    }

    /// The board of workers, by the share of their segments that held; within a rank those without a slash first, then
    /// by tokens.
    #[must_use]
    pub fn workers(&self, network: &NetworkKey) -> Board<WorkerRow> {
        let nodes = self.in_role(Role::Worker);
        let standings: Vec<Standing> = nodes.iter().map(|(_, node)| Standing::of_worker(node)).collect();
        let of = |(((id, node), standing), rank): (((&NodeId, &NodeRecord), &Standing), Option<u64>)| WorkerRow {
            approved: node.approved,
            barred: standing.barred,
            earned_nano: node.earned_nano(),
            high_ppm: standing.share.high,
            jobs: node.jobs,
            low_ppm: standing.share.low,
            node: id.to_string(),
            overturned: node.overturned,
            rank,
            rejected: node.rejected,
            slashed_nano: node.slashed.nano(),
            slashes: node.slashes,
            tokens: node.tokens,
            undecided: node.undecided,
            verified_ppm: standing.share.mean,
        };
        let mut rows: Vec<WorkerRow> = nodes.into_iter().zip(&standings).zip(ranks(&standings)).map(of).collect();
        // Nodes come by their ids, and the sort is stable.
        rows.sort_by_key(|row| (row.barred, order_of(row.rank), row.slashes > 0, Reverse(row.tokens)));
        self.board(network, Kind::Workers, self.has_all_nodes, rows)
    }

    /// The board of validators, by the share of their duties that held; within a rank those without a slash first, then
    /// by verdicts, then by blocks.
    #[must_use]
    pub fn validators(&self, network: &NetworkKey) -> Board<ValidatorRow> {
        let nodes = self.in_role(Role::Validator);
        let standings: Vec<Standing> = nodes.iter().map(|(_, node)| Standing::of_validator(node)).collect();
        let of = |(((id, node), standing), rank): (((&NodeId, &NodeRecord), &Standing), Option<u64>)| ValidatorRow {
            barred: standing.barred,
            earned_nano: node.earned_nano(),
            high_ppm: standing.share.high,
            low_ppm: standing.share.low,
            node: id.to_string(),
            overturned: node.overturned,
            proposed: node.proposed,
            rank,
            share_ppm: standing.share.mean,
            slashed_nano: node.slashed.nano(),
            slashes: node.slashes,
            verdicts: node.verdicts,
        };
        let mut rows: Vec<ValidatorRow> = nodes.into_iter().zip(&standings).zip(ranks(&standings)).map(of).collect();
        rows.sort_by_key(|row| {
            (row.barred, order_of(row.rank), row.slashes > 0, Reverse(row.verdicts), Reverse(row.proposed))
        });
        self.board(network, Kind::Validators, self.has_all_nodes, rows)
    }

    /// The board of agents, by what their runs cost those who paid; of equals those with more runs, then more payers,
    /// come first.
    #[must_use]
    pub fn agents_board(&self, network: &NetworkKey) -> Board<AgentRow> {
        let mut agents: Vec<(&AgentId, &AgentRecord)> = self.agents().map(|(_, id, agent)| (id, agent)).collect();
        agents.sort_by_key(|(id, agent)| (Reverse(agent.fees), Reverse(agent.runs), Reverse(agent.payers()), **id));
        let mut fees: Vec<_> = agents.iter().filter(|(_, agent)| agent.runs > 0).map(|(_, agent)| agent.fees).collect();
        fees.sort_unstable();
        let rank = |agent: &AgentRecord| {
            let more = fees.len().saturating_sub(fees.partition_point(|other| *other <= agent.fees));
            (agent.runs > 0).then(|| u64::try_from(more).unwrap_or(u64::MAX).saturating_add(1))
        };
        let row = |(id, agent): &(&AgentId, &AgentRecord)| AgentRow {
            agent: id.to_string(),
            creator: agent.creator.to_string(),
            earned_nano: agent.earned.nano(),
            fees_nano: agent.fees.nano(),
            name: agent.name.clone(),
            payers: agent.payers(),
            price_nano: agent.price.nano(),
            rank: rank(agent),
            runs: agent.runs,
            state: agent.state.name().to_owned(),
            version: agent.version,
        };
        let rows = agents.iter().map(row).collect();
        self.board(network, Kind::Agents, self.has_all_agents, rows)
    }
}
