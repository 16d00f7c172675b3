//! What happens to a network, and what must hold afterwards.

use crate::network::{Network, Validator};
use commonware_cryptography::ed25519;
use commonware_glue::simulate::{
    action::{Action, Crash, Schedule},
    exit::ProcessedHeightAtLeast,
    plan::PlanBuilder,
    property::Property,
    tracker::ProgressTracker,
};
use commonware_p2p::simulated::Link;
use commonware_runtime::deterministic;
use commonware_utils::Probability;
use std::{collections::BTreeSet, future::Future, ops::Range, pin::Pin, time::Duration};

/// Something that goes wrong at a time, in milliseconds of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The validator at this position ends without warning.
    Crash {
        /// When.
        at_ms: u64,
        /// Who.
        validator: usize,
    },
    /// It starts again on what it had made durable.
    Restart {
        /// When.
        at_ms: u64,
        /// Who.
        validator: usize,
    },
    /// From here on, one in so many syncs of any disk fails; 0 for none any more. Validators stop
    /// at the first failure (SPEC C8) and need a restart.
    SyncFailures {
        /// When.
        at_ms: u64,
        /// One in how many.
        one_in: u64,
    },
}

impl Fault {
    const fn at_ms(self) -> u64 {
        match self {
            Self::Crash { at_ms, .. } | Self::Restart { at_ms, .. } | Self::SyncFailures { at_ms, .. } => at_ms,
        }
    }
}

/// One finished run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Digest over everything that happened: equal for equal seeds.
    pub fingerprint: String,
}

/// A network, its circumstances, and how long it runs.
#[derive(Debug, Clone)]
pub struct Scenario {
    network: Network,
    blocks: u64,
    seeds: Range<u64>,
    latency: Duration,
    jitter: Duration,
    loss: (u64, u64),
    faults: Vec<Fault>,
    timeout: Duration,
}

impl Scenario {
    /// The network on good links, for ten blocks, once.
    #[must_use]
    pub const fn new(network: Network) -> Self {
        Self {
            network,
            blocks: 10,
            seeds: 0..1,
            latency: Duration::from_millis(10),
            jitter: Duration::from_millis(1),
            loss: (0, 1),
            faults: Vec::new(),
            timeout: Duration::from_secs(600),
        }
    }

    /// Runs until every validator has made so many blocks durable.
    #[must_use]
    pub const fn blocks(mut self, blocks: u64) -> Self {
        self.blocks = blocks;
        self
    }

    /// Runs once for each of these seeds.
    #[must_use]
    pub const fn seeds(mut self, seeds: Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// Links of this latency and jitter that lose `lost` of `of` messages.
    #[must_use]
    pub const fn links(mut self, latency: Duration, jitter: Duration, lost: u64, of: u64) -> Self {
        self.latency = latency;
        self.jitter = jitter;
        self.loss = (lost, of);
        self
    }

    /// Adds a fault.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Runs it.
    ///
    /// # Errors
    /// In words: what did not hold, and under which seed.
    pub fn run(mut self) -> Result<Vec<Run>, String> {
        self.faults.sort_by_key(|fault| fault.at_ms());
        let (lost, of) = self.loss;
        let kept = Probability::new(of.saturating_sub(lost), of).ok_or("loss of no messages")?;
        let mut runs = Vec::new();
        for seed in self.seeds.clone() {
            let mut faults = self.faults.iter();
            let schedule = faults.try_fold(Schedule::new(), |schedule, fault| self.schedule(schedule, *fault))?;
            let link = Link { latency: self.latency, jitter: self.jitter, success_rate: kept };
            let results = PlanBuilder::new(self.network.fresh())
                .seeds(seed..seed.saturating_add(1))
                .link(link)
                .crash(Crash::Schedule(schedule))
                .exit_condition(ProcessedHeightAtLeast::new(self.blocks))
                .property(Agreement { height: self.blocks })
                .timeout(self.timeout)
                .run()?;
            runs.extend(results.into_iter().map(|result| Run { fingerprint: result.state }));
        }
        Ok(runs)
    }

    /// A fault that can't happen is an error: a run without it would prove nothing.
    fn schedule(
        &self,
        schedule: Schedule<ed25519::PublicKey>,
        fault: Fault,
    ) -> Result<Schedule<ed25519::PublicKey>, String> {
        let who = |position: usize| {
            let validator = self.network.participants().get(position).cloned();
            validator.ok_or_else(|| format!("there is no validator {position} for {fault:?}"))
        };
        let action = match fault {
            Fault::Crash { validator, .. } => Action::Crash(who(validator)?),
            Fault::Restart { validator, .. } => Action::Restart(who(validator)?),
            Fault::SyncFailures { one_in, .. } => {
                let config = deterministic::FaultConfig::default();
                // One in none is no probability, and no failure.
                let config = match Probability::new(1, one_in) {
                    Some(failure) => config.sync(failure),
                    None => config,
                };
                Action::SetStorageFault(config)
            }
        };
        Ok(schedule.at(Duration::from_millis(fault.at_ms()), action))
    }
}

/// All validators have the same final blocks and state roots, money is conserved, transfers get
/// through.
#[derive(Debug, Clone, Copy)]
struct Agreement {
    height: u64,
}

impl Property<ed25519::PublicKey, Validator> for Agreement {
    fn name(&self) -> &str {
        "agreement"
    }

    fn check<'a>(
        &'a self,
        _: &'a ProgressTracker<ed25519::PublicKey>,
        validators: &'a [&'a Validator],
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(async move {
            for height in 1..=self.height {
                let mut digests = BTreeSet::new();
                for validator in validators {
                    let block = validator.0.digest(height).ok_or(format!("block {height} is missing"))?;
                    digests.insert(block);
                }
                if digests.len() != 1 {
                    return Err(format!("{} blocks of height {height}", digests.len()));
                }
            }
            for validator in validators {
                let state = validator.0.state().ok_or("no state")?;
                state.audit()?;
                let index = validator.0.index();
                let transactions: usize = (1..=self.height)
                    .filter_map(|height| index.get(height).ok().flatten())
                    .map(|block| block.body.transactions.len())
                    .sum();
                if transactions == 0 {
                    return Err("no transaction got through".into());
                }
            }
            Ok(())
        })
    }
}
