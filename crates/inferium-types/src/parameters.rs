//! The parameters that govern a network, their defaults, and the bounds that no vote can leave
//! (SPEC G3).

use crate::{Amount, Ppm};
use borsh::{BorshDeserialize, BorshSerialize};

/// What a parameter's number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterUnit {
    /// nano-IFR.
    Nano,
    /// Parts per million.
    Ppm,
    /// Milliseconds.
    Milliseconds,
    /// A count.
    Count,
}

/// How one parameter is read and changed, and within which bounds.
#[derive(Debug, Clone, Copy)]
pub struct ParameterRule {
    /// Its name, as in [`Parameters`].
    pub name: &'static str,
    /// What its number counts.
    pub unit: ParameterUnit,
    /// Least value.
    pub min: u64,
    /// Greatest value.
    pub max: u64,
    /// True for rules of slashing and voting, which take two thirds of all stake to change
    /// (SPEC G2).
    pub is_critical: bool,
    get: fn(&Parameters) -> u64,
    set: fn(&mut Parameters, u64),
}

impl ParameterRule {
    /// The rule of the parameter `name`.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        PARAMETERS.iter().find(|rule| rule.name == name)
    }

    /// The parameter's value in `parameters`.
    #[must_use]
    pub fn value(&self, parameters: &Parameters) -> u64 {
        (self.get)(parameters)
    }
}

/// Why a parameter can't have a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidParameter {
    /// There is none of this name.
    #[error("there is no parameter {name:?}")]
    Unknown {
        /// As asked for.
        name: String,
    },
    /// Outside its bounds (SPEC G3).
    #[error("{name} must be {min} to {max}, not {found}")]
    OutOfBounds {
        /// Which.
        name: &'static str,
        /// Least value.
        min: u64,
        /// Greatest value.
        max: u64,
        /// As asked for.
        found: u64,
    },
    /// Each is within its bounds, but they contradict each other.
    #[error("{why}")]
    Together {
        /// What does not fit.
        why: &'static str,
    },
}

/// A number of a parameter, whatever it counts.
trait Number: Copy {
    fn number(self) -> u64;
    fn of(number: u64) -> Self;
}

impl Number for u64 {
    fn number(self) -> u64 {
        self
    }
    fn of(number: u64) -> Self {
        number
    }
}

impl Number for u32 {
    fn number(self) -> u64 {
        self.into()
    }
    fn of(number: u64) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

impl Number for Amount {
    fn number(self) -> u64 {
        self.nano()
    }
    fn of(number: u64) -> Self {
        Self::from_nano(number)
    }
}

impl Number for Ppm {
    fn number(self) -> u64 {
        self.get().into()
    }
    fn of(number: u64) -> Self {
        Self::new(<u32 as Number>::of(number))
    }
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const IFR: u64 = crate::NANO_PER_IFR;

const fn nano(number: u64) -> Amount {
    Amount::from_nano(number)
}

const fn ppm(parts: u32) -> Ppm {
    Ppm::new(parts)
}

macro_rules! parameters {
    ($($(#[doc = $doc:expr])+ $name:ident: $type:ty = $default:expr, $min:expr => $max:expr, $unit:ident, $critical:expr;)+) => {
        /// Governable parameters. Durations are in milliseconds.
        #[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
        pub struct Parameters {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Parameters {
            /// The protocol's defaults.
            #[must_use]
            pub const fn mainnet() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        /// Every parameter's rule, in the order of [`Parameters`].
        pub const PARAMETERS: &[ParameterRule] = &[$(ParameterRule {
            name: stringify!($name),
            unit: ParameterUnit::$unit,
            min: $min,
            max: $max,
            is_critical: $critical,
            get: |parameters| Number::number(parameters.$name),
            set: |parameters, number| parameters.$name = Number::of(number),
        },)+];
    };
}

/// Takes two thirds of all stake to change.
const CRITICAL: bool = true;
const PLAIN: bool = false;

parameters! {
    /// Fee of any transaction that is no duty (SPEC C9).
    fee_base: Amount = nano(10_000), 0 => IFR, Nano, PLAIN;
    /// Fee of each of its bytes.
    fee_per_byte: Amount = nano(10), 0 => IFR / 1_000, Nano, PLAIN;
    /// Bond of an operator.
    operator_bond_min: Amount = nano(100 * IFR), IFR => 100_000 * IFR, Nano, PLAIN;
    /// Stake of a worker (SPEC N1).
    worker_stake_min: Amount = nano(1_000 * IFR), IFR => 1_000_000 * IFR, Nano, PLAIN;
    /// Stake of a validator (SPEC N4).
    validator_stake_min: Amount = nano(50_000 * IFR), 1_000 * IFR => 10_000_000 * IFR, Nano, PLAIN;
    /// Bond of a gateway (SPEC N5).
    gateway_bond_min: Amount = nano(1_000 * IFR), IFR => 1_000_000 * IFR, Nano, PLAIN;
    /// Operators that must be able to replay a profile before it can be leased (SPEC N4).
    profile_operators_min: u32 = 3, 1 => 100, Count, PLAIN;
    /// What a lease pays its worker per slot and block (SPEC M4).
    reservation_per_block: Amount = nano(100), 0 => IFR / 1_000, Nano, PLAIN;
    /// What it pays per slot at least.
    reservation_min: Amount = nano(10_000), 1 => IFR, Nano, PLAIN;
    /// Longest wait of an open task.
    task_open_max_ms: u64 = 600 * SECOND, 10 * SECOND => 7 * DAY, Milliseconds, PLAIN;
    /// Longest lease.
    lease_max_ms: u64 = DAY, MINUTE => 30 * DAY, Milliseconds, PLAIN;
    /// How long a lease that ended still takes segments of jobs that it had.
    lease_drain_ms: u64 = 10 * SECOND, SECOND => HOUR, Milliseconds, PLAIN;
    /// Wait from which on workers of a higher tier may take a task (SPEC N3).
    starving_ms: u64 = 3 * SECOND, 100 => HOUR, Milliseconds, PLAIN;
    /// Views between binding a request to the beacon and its draw (SPEC C4).
    draw_delay_views: u64 = 2, 2 => 16, Count, CRITICAL;
    /// Fee of a segment from which its committee has two members (SPEC V1) ...
    committee_two_from: Amount = nano(IFR / 100), 0 => 1_000 * IFR, Nano, PLAIN;
    /// ... and three.
    committee_three_from: Amount = nano(IFR), 0 => 10_000 * IFR, Nano, PLAIN;
    /// Members that an escalation draws at most (SPEC V3).
    escalation_max: u32 = 21, 4 => 100, Count, CRITICAL;
    /// Members that a dispute draws before it draws all (SPEC V4).
    court_size: u32 = 7, 3 => 21, Count, CRITICAL;
    /// Bond of a dispute (SPEC V4).
    dispute_bond: Amount = nano(10 * IFR), IFR / 100 => 10_000 * IFR, Nano, CRITICAL;
    /// Time to be bound to a verdict after the draw ...
    verdict_ms: u64 = 120 * SECOND, 10 * SECOND => HOUR, Milliseconds, CRITICAL;
    /// ... and for each token of the segment (SPEC V3).
    verdict_token_ms: u64 = 5, 0 => SECOND, Milliseconds, CRITICAL;
    /// Blocks for a verdict at least (SPEC C3).
    verdict_blocks: u64 = 20, 2 => 10_000, Count, CRITICAL;
    /// Time to reveal what was committed to, once no one can commit any more (SPEC V2) ...
    reveal_ms: u64 = 30 * SECOND, SECOND => HOUR, Milliseconds, CRITICAL;
    /// ... and blocks for that at least.
    reveal_blocks: u64 = 10, 2 => 10_000, Count, CRITICAL;
    /// Challenge window after finality (SPEC V4).
    challenge_ms: u64 = 600 * SECOND, 10 * SECOND => 7 * DAY, Milliseconds, CRITICAL;
    /// How long the pay of a suspect worker waits beyond that at most (SPEC V7).
    suspicion_ms: u64 = DAY, 10 * SECOND => 7 * DAY, Milliseconds, CRITICAL;
    /// Share of segments whose worker's VRF orders a planted job (SPEC V5).
    forced_share: Ppm = ppm(10_000), 0 => 200_000, Ppm, CRITICAL;
    /// Time for a worker to open a segment that was doubted, before the doubt goes on.
    forced_open_ms: u64 = 60 * SECOND, SECOND => HOUR, Milliseconds, CRITICAL;
    /// What the members that catch one known-wrong job get of the treasury together at most.
    forced_jackpot_max: Amount = nano(10 * IFR), 0 => 1_000 * IFR, Nano, CRITICAL;
    /// Time for a certified request to be answered ... (SPEC T6)
    stall_answer_ms: u64 = 60 * SECOND, SECOND => HOUR, Milliseconds, CRITICAL;
    /// ... and for each token of prompt and answer.
    stall_token_ms: u64 = 20, 0 => SECOND, Milliseconds, CRITICAL;
    /// Time for relays to certify a claim, after which it lapses.
    stall_certify_ms: u64 = 60 * SECOND, SECOND => HOUR, Milliseconds, CRITICAL;
    /// Relays drawn for a claim.
    stall_relays: u32 = 3, 1 => 21, Count, CRITICAL;
    /// A ledger epoch (SPEC C5).
    epoch_ms: u64 = HOUR, 10 * SECOND => 7 * DAY, Milliseconds, PLAIN;
    /// How long slashed stake is held (SPEC S2).
    slash_hold_ms: u64 = 21 * DAY, MINUTE => 90 * DAY, Milliseconds, CRITICAL;
    /// Stake lost by a certified request that got no answer (SPEC S).
    slash_deadline: Ppm = ppm(1_000), 0 => 10_000, Ppm, CRITICAL;
    /// Stake lost by a drawn member that gave no verdict, or did not reveal it.
    slash_missed_duty: Ppm = ppm(1_000), 0 => 5_000, Ppm, CRITICAL;
    /// Stake lost by the first result proven wrong ...
    slash_wrong_result: Ppm = ppm(100_000), 10_000 => 500_000, Ppm, CRITICAL;
    /// ... and by the second within 30 days.
    slash_wrong_again: Ppm = ppm(500_000), 100_000 => 1_000_000, Ppm, CRITICAL;
    /// Stake lost by the first rejection of what was proven right ...
    slash_wrong_rejection: Ppm = ppm(50_000), 0 => 250_000, Ppm, CRITICAL;
    /// ... and by later ones.
    slash_rejection_again: Ppm = ppm(250_000), 0 => 500_000, Ppm, CRITICAL;
    /// Stake lost by a worker whose statistics convict it (SPEC V7).
    slash_statistics: Ppm = ppm(200_000), 10_000 => 500_000, Ppm, CRITICAL;
    /// What a lease of a foreign profile pays of the price that its worker offered (SPEC V9).
    foreign_price_share: Ppm = ppm(600_000), 100_000 => 1_000_000, Ppm, PLAIN;
    /// What a lease of a `batch` task pays of the price that its worker offered (SPEC M4).
    batch_price_share: Ppm = ppm(500_000), 100_000 => 1_000_000, Ppm, PLAIN;
    /// Share of jobs of foreign profiles that is replayed at least.
    foreign_replay_min: Ppm = ppm(200_000), 10_000 => 1_000_000, Ppm, CRITICAL;
    /// Part of a burned slash that goes to who proved it (SPEC S2).
    slash_provers_share: Ppm = ppm(300_000), 0 => 500_000, Ppm, CRITICAL;
    /// Part of it that goes to who was harmed.
    slash_harmed_share: Ppm = ppm(200_000), 0 => 500_000, Ppm, CRITICAL;
    /// Share of all stake that slashes about one profile may take in an epoch before the profile is
    /// paused (SPEC S5).
    profile_slash_max: Ppm = ppm(100_000), 10_000 => 333_333, Ppm, CRITICAL;
    /// A worker is a newcomer below this many jobs ... (SPEC R3)
    newcomer_jobs: u64 = 50, 1 => 100_000, Count, PLAIN;
    /// ... or this many tokens.
    newcomer_tokens: u64 = 20_000, 1 => 1_000_000_000, Count, PLAIN;
    /// Share of jobs replayed for the longest record (SPEC R3).
    replay_min: Ppm = ppm(10_000), 1_000 => 1_000_000, Ppm, CRITICAL;
    /// Time in which a record loses half of its weight (SPEC R1).
    record_half_life_ms: u64 = 30 * DAY, HOUR => 3_650 * DAY, Milliseconds, PLAIN;
    /// Worker's share of a settled fee (SPEC M5).
    fee_share_worker: Ppm = ppm(800_000), 500_000 => 900_000, Ppm, PLAIN;
    /// Share of the committee that approved.
    fee_share_committee: Ppm = ppm(120_000), 50_000 => 300_000, Ppm, PLAIN;
    /// Share of all active validators. The rest is the treasury's.
    fee_share_validators: Ppm = ppm(40_000), 0 => 200_000, Ppm, PLAIN;
    /// Time in which half of the reward pool that is left is scheduled for emission (SPEC M6).
    emission_halving_ms: u64 = 730 * DAY, 90 * DAY => 3_650 * DAY, Milliseconds, PLAIN;
    /// Workers' part of emission; validators get the rest.
    emission_share_workers: Ppm = ppm(700_000), 500_000 => 900_000, Ppm, PLAIN;
    /// What a job may earn by emission at most, as a share of the part of its fee that is not the
    /// worker's. Above one half buying from oneself could pay.
    emission_fee_max: Ppm = ppm(500_000), 0 => 500_000, Ppm, CRITICAL;
    /// Least delegation (SPEC M7).
    delegation_min: Amount = nano(IFR), IFR / 1_000 => 1_000 * IFR, Nano, PLAIN;
    /// A validator's own share of the stake behind it at least.
    self_bond_min: Ppm = ppm(100_000), 10_000 => 1_000_000, Ppm, PLAIN;
    /// Time from unbonding to payment, slashable throughout.
    unbond_ms: u64 = 14 * DAY, MINUTE => 60 * DAY, Milliseconds, CRITICAL;
    /// Unsettled pay of a worker at most, as a share of its stake (SPEC V4).
    unsettled_max: Ppm = ppm(50_000), 1_000 => 100_000, Ppm, CRITICAL;
    /// Score of a worker of tier Mid at least; work units a second (SPEC N3).
    tier_mid_score: u64 = 100, 1 => 1_000_000_000, Count, PLAIN;
    /// Score of a worker of tier High at least.
    tier_high_score: u64 = 20_000, 2 => 1_000_000_000, Count, PLAIN;
    /// How long a worker works on its capability task (SPEC N2) ...
    assessment_ms: u64 = 10 * SECOND, SECOND => HOUR, Milliseconds, PLAIN;
    /// ... and items of it at most.
    assessment_items_max: u32 = 256, 2 => 4_096, Count, PLAIN;
    /// What each token of it costs the worker, who gets most of it back as its own client.
    assessment_price: Amount = nano(100), 1 => IFR / 1_000, Nano, PLAIN;
    /// Share of workers that an epoch calls to be measured again.
    assessment_share: Ppm = ppm(40_000), 1_000 => 1_000_000, Ppm, PLAIN;
    /// Time to be measured again after the call, before the tier is lost.
    assessment_call_ms: u64 = HOUR, MINUTE => 7 * DAY, Milliseconds, PLAIN;
    /// Deposit of a proposal (SPEC G2).
    proposal_deposit: Amount = nano(1_000 * IFR), IFR => 1_000_000 * IFR, Nano, CRITICAL;
    /// How long a proposal is voted on.
    voting_ms: u64 = 7 * DAY, 30 * SECOND => 60 * DAY, Milliseconds, CRITICAL;
    /// Time from passing to execution.
    timelock_ms: u64 = HOUR, 10 * SECOND => 30 * DAY, Milliseconds, CRITICAL;
    /// Share of all stake that must vote.
    quorum: Ppm = ppm(334_000), 100_000 => 900_000, Ppm, CRITICAL;
    /// Share of yes among yes, no and veto that must be exceeded.
    pass_share: Ppm = ppm(500_000), 500_000 => 900_000, Ppm, CRITICAL;
    /// Share of vetoes among the votes from which a proposal fails and its deposit burns.
    veto_share: Ppm = ppm(334_000), 100_000 => 500_000, Ppm, CRITICAL;
    /// Share of all stake that must say yes to spends, removals, restitution, upgrades and rules of
    /// slashing and voting.
    supermajority: Ppm = ppm(667_000), 600_000 => 950_000, Ppm, CRITICAL;
    /// Share of the treasury that spends of one epoch may take (SPEC G1).
    treasury_spend_max: Ppm = ppm(10_000), 0 => 100_000, Ppm, CRITICAL;
    /// Queue items handled per block and queue (SPEC C9).
    queue_work_max: u32 = 4_096, 64 => 100_000, Count, PLAIN;
    /// Time between two blocks from which the chain counts as having stood still: windows that were
    /// open then begin anew (SPEC C3).
    pause_ms: u64 = 30 * SECOND, 5 * SECOND => HOUR, Milliseconds, CRITICAL;
    /// Deposit of an agent, until it is retired (SPEC A1).
    agent_deposit: Amount = nano(IFR), IFR / 1_000 => 1_000 * IFR, Nano, PLAIN;
    /// Its host's share of the fee of a run (SPEC M5) ...
    run_share_host: Ppm = ppm(600_000), 300_000 => 800_000, Ppm, PLAIN;
    /// ... its creator's ...
    run_share_creator: Ppm = ppm(250_000), 0 => 500_000, Ppm, PLAIN;
    /// ... and that of the committee that approved. The rest is the treasury's.
    run_share_committee: Ppm = ppm(100_000), 50_000 => 300_000, Ppm, PLAIN;
    /// How long after the end of its lease a run's orders may still be spent (SPEC A3).
    run_spend_ms: u64 = DAY, MINUTE => 30 * DAY, Milliseconds, PLAIN;
}

impl Parameters {
    /// The defaults with a devnet's short windows, for `validators` operators.
    #[must_use]
    pub fn devnet(validators: u32) -> Self {
        Self {
            profile_operators_min: validators.clamp(1, 3),
            challenge_ms: 20 * SECOND,
            suspicion_ms: MINUTE,
            epoch_ms: 20 * SECOND,
            verdict_ms: 60 * SECOND,
            reveal_ms: 10 * SECOND,
            forced_open_ms: 10 * SECOND,
            stall_answer_ms: 10 * SECOND,
            stall_certify_ms: 20 * SECOND,
            slash_hold_ms: 10 * MINUTE,
            unbond_ms: 2 * MINUTE,
            assessment_ms: 2 * SECOND,
            assessment_call_ms: 2 * MINUTE,
            record_half_life_ms: DAY,
            voting_ms: MINUTE,
            timelock_ms: 20 * SECOND,
            run_spend_ms: 2 * MINUTE,
            ..Self::mainnet()
        }
    }

    /// These parameters with one of them changed.
    ///
    /// # Errors
    /// [`InvalidParameter`]: no such parameter, or out of its bounds. Whether they fit together is
    /// [`Parameters::check`]'s business, since several may change at once.
    pub fn with(&self, name: &str, value: u64) -> Result<Self, InvalidParameter> {
        let rule = ParameterRule::find(name).ok_or_else(|| InvalidParameter::Unknown { name: name.to_owned() })?;
        if value < rule.min || value > rule.max {
            let ParameterRule { name, min, max, .. } = *rule;
            return Err(InvalidParameter::OutOfBounds { name, min, max, found: value });
        }
        let mut changed = self.clone();
        (rule.set)(&mut changed, value);
        Ok(changed)
    }

    /// Checks every parameter's bounds, and that they fit together.
    ///
    /// # Errors
    /// [`InvalidParameter`].
    pub fn check(&self) -> Result<(), InvalidParameter> {
        for rule in PARAMETERS {
            self.with(rule.name, rule.value(self))?;
        }
        let shares = [self.fee_share_worker, self.fee_share_committee, self.fee_share_validators];
        let run_shares = [self.run_share_host, self.run_share_creator, self.run_share_committee];
        let together = [
            (
                run_shares.iter().map(|share| u64::from(share.get())).sum::<u64>() <= u64::from(Ppm::ONE.get()),
                "the shares of a run's fee are more than the fee",
            ),
            (
                shares.iter().map(|share| u64::from(share.get())).sum::<u64>() <= u64::from(Ppm::ONE.get()),
                "the shares of a fee are more than the fee",
            ),
            (
                u64::from(self.slash_provers_share.get()) + u64::from(self.slash_harmed_share.get())
                    <= u64::from(Ppm::ONE.get()),
                "the shares of a slash are more than the slash",
            ),
            (self.tier_mid_score < self.tier_high_score, "tier High must take more than tier Mid"),
            (self.committee_two_from <= self.committee_three_from, "a third member must come after the second"),
            // SPEC S2: an appeal must be able to pass while there is something to give back.
            (
                self.slash_hold_ms > self.voting_ms.saturating_add(self.timelock_ms).saturating_add(self.challenge_ms),
                "slashed stake must be held for longer than a vote, its timelock and a challenge",
            ),
        ];
        match together.into_iter().find(|(fits, _)| !fits) {
            Some((_, why)) => Err(InvalidParameter::Together { why }),
            None => Ok(()),
        }
    }
}
