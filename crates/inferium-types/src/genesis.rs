//! What a network starts from, and the parameters that govern it.

use crate::{AccountId, Amount, ChainId, Digest, GroupKey, NetworkKey, NodeId, Ppm};
use borsh::{BorshDeserialize, BorshSerialize};

/// Governable parameters with the protocol's defaults. Durations are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Parameters {
    /// Fee of any transaction that is no duty (SPEC C9).
    pub fee_base: Amount,
    /// Fee of each of its bytes.
    pub fee_per_byte: Amount,
    /// Bond of an operator.
    pub operator_bond_min: Amount,
    /// Stake of a worker (SPEC N1).
    pub worker_stake_min: Amount,
    /// Stake of a validator (SPEC N4).
    pub validator_stake_min: Amount,
    /// Bond of a gateway (SPEC N5).
    pub gateway_bond_min: Amount,
    /// Operators that must be able to replay a profile before it can be leased (SPEC N4).
    pub profile_operators_min: u32,
    /// What a lease pays its worker per slot and block (SPEC M4).
    pub reservation_per_block: Amount,
    /// What it pays per slot at least.
    pub reservation_min: Amount,
    /// Longest wait of an open task.
    pub task_open_max_ms: u64,
    /// Longest lease.
    pub lease_max_ms: u64,
    /// How long a lease that ended still takes segments of jobs that it had.
    pub lease_drain_ms: u64,
    /// Views between binding a request to the beacon and its draw (SPEC C4).
    pub draw_delay_views: u64,
    /// Fee of a segment from which its committee has two, and three members (SPEC V1).
    pub committee_value: [Amount; 2],
    /// Members that an escalation draws at most (SPEC V3).
    pub escalation_max: u32,
    /// Time for a verdict after the draw ...
    pub verdict_ms: u64,
    /// ... and for each token of the segment (SPEC V3).
    pub verdict_token_ms: u64,
    /// Blocks for a verdict at least (SPEC C3).
    pub verdict_blocks: u64,
    /// Challenge window after finality (SPEC V4).
    pub challenge_ms: u64,
    /// Time for a certified request to be answered ... (SPEC T6)
    pub stall_answer_ms: u64,
    /// ... and for each token of prompt and answer.
    pub stall_token_ms: u64,
    /// Time for relays to certify a claim, after which it lapses.
    pub stall_certify_ms: u64,
    /// Relays drawn for a claim.
    pub stall_relays: u32,
    /// A ledger epoch (SPEC C5).
    pub epoch_ms: u64,
    /// How long slashed stake is held (SPEC S2).
    pub slash_hold_ms: u64,
    /// A worker is a newcomer below this many jobs ... (SPEC R3)
    pub newcomer_jobs: u64,
    /// ... or this many tokens.
    pub newcomer_tokens: u64,
    /// Share of jobs replayed for the longest record (SPEC R3).
    pub replay_min: Ppm,
    /// Shares of a settled fee (SPEC M5): worker, committee, validators; the rest is the treasury's.
    pub fee_shares: [Ppm; 3],
    /// Unsettled pay of a worker at most, as a share of its stake (SPEC V4).
    pub unsettled_max: Ppm,
    /// Queue items handled per block and queue (SPEC C9).
    pub queue_work_max: u32,
    /// Time between two blocks from which the chain counts as having stood still: windows that were
    /// open then begin anew (SPEC C3).
    pub pause_ms: u64,
}

impl Parameters {
    /// The protocol's defaults.
    #[must_use]
    pub const fn mainnet() -> Self {
        Self {
            fee_base: Amount::from_nano(10_000),
            fee_per_byte: Amount::from_nano(10),
            operator_bond_min: Amount::from_ifr(100),
            worker_stake_min: Amount::from_ifr(1_000),
            validator_stake_min: Amount::from_ifr(50_000),
            gateway_bond_min: Amount::from_ifr(1_000),
            profile_operators_min: 3,
            reservation_per_block: Amount::from_nano(100),
            reservation_min: Amount::from_nano(10_000),
            task_open_max_ms: 600_000,
            lease_max_ms: 86_400_000,
            lease_drain_ms: 10_000,
            draw_delay_views: 2,
            committee_value: [Amount::from_nano(10_000_000), Amount::from_ifr(1)],
            escalation_max: 21,
            verdict_ms: 120_000,
            verdict_token_ms: 5,
            verdict_blocks: 20,
            challenge_ms: 600_000,
            stall_answer_ms: 60_000,
            stall_token_ms: 20,
            stall_certify_ms: 60_000,
            stall_relays: 3,
            epoch_ms: 3_600_000,
            slash_hold_ms: 1_814_400_000,
            newcomer_jobs: 50,
            newcomer_tokens: 20_000,
            replay_min: Ppm::new(10_000),
            fee_shares: [Ppm::new(800_000), Ppm::new(120_000), Ppm::new(40_000)],
            unsettled_max: Ppm::new(50_000),
            queue_work_max: 4_096,
            pause_ms: 30_000,
        }
    }

    /// The defaults with a devnet's short windows, for `validators` operators.
    #[must_use]
    pub fn devnet(validators: u32) -> Self {
        Self {
            profile_operators_min: validators.clamp(1, 3),
            challenge_ms: 20_000,
            epoch_ms: 20_000,
            verdict_ms: 60_000,
            stall_answer_ms: 10_000,
            stall_certify_ms: 20_000,
            slash_hold_ms: 600_000,
            ..Self::mainnet()
        }
    }
}

/// A validator that the network starts with.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GenesisNode {
    /// Its key, in consensus and on the ledger.
    pub node: NodeId,
    /// Its operator.
    pub operator: AccountId,
    /// Stake.
    pub stake: Amount,
    /// Public URL.
    pub url: String,
}

/// A network's first state. Its digest is the chain id.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Genesis {
    /// Name for people.
    pub name: String,
    /// When it was made; milliseconds since 1970.
    pub timestamp_ms: u64,
    /// The group key.
    pub group: GroupKey,
    /// The public polynomial of the group key, as the consensus engine encodes it.
    pub sharing: Vec<u8>,
    /// Parameters.
    pub parameters: Parameters,
    /// Free balances, ascending by account.
    pub accounts: Vec<(AccountId, Amount)>,
    /// Operators and their bonds, ascending by account.
    pub operators: Vec<(AccountId, Amount)>,
    /// Seats, ascending by key.
    pub validators: Vec<GenesisNode>,
}

impl Genesis {
    /// IFR that will ever be (SPEC M1).
    pub const SUPPLY: Amount = Amount::from_ifr(250_000_000);

    /// The chain's id.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        ChainId::new(Digest::of_value("inferium/genesis/1", self))
    }

    /// What receipts verify against.
    #[must_use]
    pub fn network_key(&self) -> NetworkKey {
        NetworkKey { chain: self.chain(), group: self.group }
    }
}
