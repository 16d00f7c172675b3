use super::*;
use crate::testing::{Group, key};
use commonware_consensus::{
    simplex::types::Context,
    types::{Epoch, Round, View},
};
use commonware_glue::stateful::db::DatabaseSet;
use commonware_runtime::{Clock as _, Runner as _, Supervisor as _, buffer::paged::CacheRef, deterministic};
use commonware_utils::{NZU16, NZUsize};
use store::Databases;

type Runtime = deterministic::Context;

struct Fixture {
    runtime: Runtime,
    group: Group,
    core: Core,
    databases: Databases<Runtime>,
}

impl Fixture {
    async fn new(runtime: Runtime) -> Self {
        let group = Group::new(4);
        let index = Index::in_memory(100).unwrap();
        let pace = Pace { idle_ms: 1_000, busy_ms: 100 };
        let (core, _gossip) = crate::seat::new_core(Arc::new(group.genesis.clone()), pace, index).unwrap();
        core.states.set_base(0, Digest::ZERO, State::genesis(&group.genesis));
        let cache = CacheRef::new(NZU16!(4_096), NZUsize!(64));
        let config = store::config("test", cache);
        let databases = <Databases<Runtime> as DatabaseSet<Runtime>>::init(runtime.child("db"), config, None).await;
        Self { runtime, group, core, databases }
    }

    async fn batch(&self) -> Batch<Runtime> {
        DatabaseSet::<Runtime>::new_batches(&self.databases).await
    }

    fn context(&self, view: u64) -> BlockContext {
        let leader = crate::keys::to_engine_key(&self.group.genesis.validators[0].node).unwrap();
        let parent = crate::keys::to_engine_digest(self.core.genesis_block.id());
        Context { round: Round::new(Epoch::zero(), View::new(view)), leader, parent: (View::zero(), parent) }
    }

    async fn build(&self, view: u64) -> Block {
        let parent = self.core.genesis_block.clone();
        self.core.build::<Runtime>(&self.runtime, &self.context(view), &parent, self.batch().await).await.unwrap().0
    }

    /// Judges a block as a validator that has not built it.
    async fn judge(&self, block: &Block, finality: Finality) -> Result<(), InvalidCandidate> {
        let states = States::new();
        states.set_base(0, Digest::ZERO, State::genesis(&self.group.genesis));
        let other = Core { states, ..self.core.clone() };
        let parent = &self.core.genesis_block;
        other.check::<Runtime>(&self.runtime, block, parent, self.batch().await, finality).await.map(|_| ())
    }

    /// The block with another header and body, judged as a candidate.
    async fn judge_altered(&self, block: &Block, alter: impl FnOnce(&mut Header, &mut Body)) -> InvalidCandidate {
        let (mut header, mut body) = (block.header().clone(), block.body().clone());
        alter(&mut header, &mut body);
        header.body_root = body.root();
        let altered = Block::new(header, body).unwrap();
        self.judge(&altered, Finality::Candidate).await.unwrap_err()
    }

    fn now_ms(&self) -> u64 {
        unix_ms(self.runtime.current())
    }

    fn seed(&self, view: u64) -> SeedSignature {
        let finalization = self.group.finalize(&Group::proposal(view, view - 1, Digest::ZERO));
        let signature = crate::keys::signature_bytes(&finalization.certificate.get().unwrap().seed_signature);
        SeedSignature { view, signature }
    }
}

fn run<Fut: std::future::Future<Output = ()>>(test: impl FnOnce(Fixture) -> Fut) {
    deterministic::Runner::default().start(|runtime| async move { test(Fixture::new(runtime).await).await });
}

#[test]
fn what_one_builds_the_others_accept() {
    run(|fixture| async move {
        for nonce in 0..3 {
            fixture.core.mempool.submit(fixture.group.transfer(&key(100), nonce, 1)).unwrap();
        }
        for view in [1, 2] {
            let seed = fixture.seed(view);
            fixture.core.seeds.insert(view, seed.signature);
        }
        let block = fixture.build(3).await;
        assert_eq!(block.body().transactions.len(), 3);
        assert_eq!(block.body().seeds.len(), 2);
        fixture.judge(&block, Finality::Candidate).await.unwrap();
        fixture.judge(&block, Finality::Finalized).await.unwrap();
    });
}

#[test]
fn an_idle_proposer_keeps_its_pace_and_a_transaction_wakes_it() {
    run(|fixture| async move {
        // The genesis is of the clock's first millisecond.
        fixture.build(1).await;
        assert!(fixture.now_ms() >= 1_000);
    });
    run(|fixture| async move {
        fixture.core.mempool.submit(fixture.group.transfer(&key(100), 0, 1)).unwrap();
        fixture.build(1).await;
        assert!((100..1_000).contains(&fixture.now_ms()));
    });
    run(|fixture| async move {
        let submit = async {
            fixture.runtime.sleep(Duration::from_millis(500)).await;
            fixture.core.mempool.submit(fixture.group.transfer(&key(100), 0, 1)).unwrap();
        };
        let (block, ()) = futures::join!(fixture.build(1), submit);
        assert!((500..600).contains(&block.header().timestamp_ms));
        assert_eq!(block.body().transactions.len(), 1);
    });
}

#[test]
fn a_block_with_a_wrong_header_is_refused() {
    run(|fixture| async move {
        let block = fixture.build(1).await;
        let zero = Digest::sha256(b"wrong");
        let chain = fixture.judge_altered(&block, |header, _| header.chain = inferium_types::ChainId::new(zero)).await;
        assert_eq!(chain, InvalidCandidate::Chain);
        let height = fixture.judge_altered(&block, |header, _| header.height = 2).await;
        assert_eq!(height, InvalidCandidate::Height { parent: 0, found: 2 });
        let time = fixture.judge_altered(&block, |header, _| header.timestamp_ms = 1).await;
        assert_eq!(time, InvalidCandidate::Timestamp { parent: 1, found: 1 });
        let receipts = fixture.judge_altered(&block, |header, _| header.receipts_root = zero).await;
        assert!(matches!(receipts, InvalidCandidate::ReceiptsRoot { .. }));
        let state = fixture.judge_altered(&block, |header, _| header.state_root = zero).await;
        assert!(matches!(state, InvalidCandidate::StateRoot { .. }));
    });
}

#[test]
fn a_block_with_wrong_seeds_is_refused() {
    run(|fixture| async move {
        let block = fixture.build(5).await;
        let (one, two, five) = (fixture.seed(1), fixture.seed(2), fixture.seed(5));
        for seeds in [vec![two, one], vec![one, one], vec![five]] {
            let error = fixture.judge_altered(&block, |_, body| body.seeds = seeds).await;
            assert_eq!(error, InvalidCandidate::SeedOrder);
        }
        let forged = SeedSignature { view: 2, ..one };
        let error = fixture.judge_altered(&block, |_, body| body.seeds = vec![one, forged]).await;
        assert_eq!(error, InvalidCandidate::Seed { view: 2 });
    });
}

#[test]
fn a_block_with_wrong_transactions_is_refused() {
    run(|fixture| async move {
        let block = fixture.build(1).await;
        let good = fixture.group.transfer(&key(100), 0, 1);
        let mut forged = good.clone();
        forged.transaction.nonce = 1;
        let error = fixture.judge_altered(&block, |_, body| body.transactions = vec![good.clone(), forged]).await;
        assert!(matches!(error, InvalidCandidate::Transaction { position: 1, .. }));
        let early = fixture.group.transfer(&key(100), 1, 1);
        let error = fixture.judge_altered(&block, |_, body| body.transactions = vec![early]).await;
        assert!(matches!(error, InvalidCandidate::Ledger(_)));
        // Executed, it gives another state than the header's.
        let error = fixture.judge_altered(&block, |_, body| body.transactions = vec![good]).await;
        assert!(matches!(error, InvalidCandidate::StateRoot { .. }));
    });
}

#[test]
fn a_block_from_the_future_is_waited_for_within_bounds() {
    run(|fixture| async move {
        let block = fixture.build(1).await;
        let now_ms = fixture.now_ms();
        // The state root differs with the timestamp, so this is as far as the block gets.
        let ahead = AHEAD_MAX_MS + AHEAD_WAIT_MAX_MS;
        let error = fixture.judge_altered(&block, |header, _| header.timestamp_ms = now_ms + ahead).await;
        assert!(matches!(error, InvalidCandidate::StateRoot { .. }));
        assert_eq!(fixture.now_ms(), now_ms + AHEAD_WAIT_MAX_MS);
        let now_ms = fixture.now_ms();
        let error = fixture.judge_altered(&block, |header, _| header.timestamp_ms = now_ms + ahead + 1).await;
        assert_eq!(error, InvalidCandidate::Ahead { by_ms: AHEAD_WAIT_MAX_MS + 1 });
        assert_eq!(fixture.now_ms(), now_ms);
    });
}

#[test]
fn replaying_a_final_block_reads_no_clock() {
    run(|fixture| async move {
        let block = fixture.build(1).await;
        let before_ms = fixture.now_ms();
        let (mut header, body) = (block.header().clone(), block.body().clone());
        header.timestamp_ms = before_ms + 1_000_000;
        let later = Block::new(header, body).unwrap();
        let error = fixture.judge(&later, Finality::Finalized).await.unwrap_err();
        assert!(matches!(error, InvalidCandidate::StateRoot { .. }));
        assert_eq!(fixture.now_ms(), before_ms);
    });
}
