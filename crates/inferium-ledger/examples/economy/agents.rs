//! Who takes part, and how each of them decides.

use inferium_types::{AccountId, Amount, NodeId, OfferTerms, Price};

/// What a token costs on this market: what the shipped devnet asks.
pub(crate) const PRICE: Price =
    Price { prompt_token: Amount::from_nano(500), completion_token: Amount::from_nano(1_500) };
/// Cost of computing a token as a share of its price.
pub(crate) const WORK_COST: f64 = 0.5;
/// Cost of replaying a token, likewise. Measured: a replay takes about 0.9 of the time of batched work.
pub(crate) const REPLAY_COST: f64 = 0.45;
/// What is left of the cost when a job is done by a cheaper model or cut short.
pub(crate) const CHEAP: f64 = 0.4;
/// A context that no honest machine has: only the hand's own worker can take such a task.
pub(crate) const OWN_CONTEXT: u32 = 1 << 20;

/// What a strategy has to end up with under the default parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Must {
    Earn,
    Lose,
    /// It works honestly for the most part: what it adds to that must not pay.
    EarnLess,
    /// The same for a lease: how many it is drawn for is not its doing.
    EarnLessALease,
    /// Said, not judged.
    Shown,
}

/// How a worker behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum WorkerStyle {
    /// Loses the evidence of this many segments of a million.
    Honest { lost_ppm: u64 },
    /// A cheaper model for this many jobs of a million, once it has this many jobs on record.
    Cheap { jobs_ppm: u64, from_jobs: u64 },
    /// Computes the beginning of an answer and fills the rest, in a fifth of the jobs.
    Truncate,
    /// Does not answer in this many leases of a million.
    Silent { ppm: u64 },
    /// Closes each lease at once.
    Grab,
    /// Closes three leases of four, for a beacon that suits it.
    Reroll,
    /// Answers rubbish, and keeps the evidence back.
    Rubbish,
    /// A cheaper model as soon as few jobs are replayed; keeps the evidence back when it is drawn.
    Withhold,
    /// Plants nothing, whatever its VRF orders, and opens what ordered nothing.
    Disobey,
    /// Plants nothing and opens nothing.
    Closed,
    /// Plants as ordered, but opens nothing that would bar its hand's validator.
    Shield,
}

/// How a validator behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValidatorStyle {
    Honest,
    /// Approves everything unseen.
    Lazy,
    /// Approves unseen in a first committee, replays when the segment is in doubt.
    LazyAtFirst,
    Silent,
    Reject,
    /// Honest, but disputes one of a hundred approved segments.
    Dispute,
    /// Would repeat what another member voted: it approves blindly, and keeps that back when another finds something
    /// wrong; alone it replays.
    Copy,
    /// Knows what its hand's worker planted, and replays nothing of that worker.
    Farm,
}

impl ValidatorStyle {
    /// True for those that approve what they have not seen.
    pub(crate) const fn is_lazy(self) -> bool {
        matches!(self, Self::Lazy | Self::LazyAtFirst)
    }
}

/// How a gateway behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GatewayStyle {
    Honest,
    /// Buys from its own hand's worker, at a price of its own.
    SelfDeal,
    /// Closes leases until its own hand's worker is drawn.
    Reroll,
    /// Takes leases and sends nothing.
    Squat,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Worker {
    pub(crate) agent: usize,
    pub(crate) style: WorkerStyle,
    /// Tokens a second and slot.
    pub(crate) speed: u64,
    pub(crate) offer: OfferTerms,
    /// Stays away until then.
    pub(crate) joins_at: u64,
    pub(crate) first_lease: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Validator {
    pub(crate) agent: usize,
    pub(crate) style: ValidatorStyle,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Gateway {
    pub(crate) style: GatewayStyle,
    /// Its hand's worker, if it buys from itself.
    pub(crate) own: Option<NodeId>,
    /// Opens a task in one of so many blocks.
    pub(crate) every: u64,
}

/// One hand: everything that it gains or loses is added up.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) strategy: usize,
    pub(crate) accounts: Vec<AccountId>,
    /// Worth at the beginning; IFR.
    pub(crate) start: f64,
    /// Compute; IFR.
    pub(crate) cost: f64,
    /// Own stake taken; IFR.
    pub(crate) slashed: f64,
    /// Got from strangers' slashes and lost disputes; IFR.
    pub(crate) windfall: f64,
    /// Likewise from slashes of its own nodes.
    pub(crate) recovered: f64,
    /// Own stake that planted jobs took of its validators; IFR.
    pub(crate) forced: f64,
    /// What they would take in the mean: for each verdict given unseen, stake by chance of being found out; IFR.
    pub(crate) risk: f64,
    /// Verdicts given unseen.
    pub(crate) blind: u64,
    pub(crate) leases: u64,
    /// Jobs that were settled, or verdicts given.
    pub(crate) jobs: u64,
}

#[derive(Debug)]
pub(crate) struct Strategy {
    pub(crate) name: &'static str,
    pub(crate) must: Must,
}
