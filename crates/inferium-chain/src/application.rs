//! The ledger as the consensus engine's application.

use crate::{
    block::{Block, BlockContext},
    execution::{Core, fatal},
    index::FinalBlock,
    node::Head,
    scheme::Scheme,
    store::{Batch, Databases, SealedBatch, SyncTarget},
};
use commonware_consensus::{
    marshal::{ancestry::Ancestry, core::Mailbox as MarshalMailbox, standard::Standard},
    types::Height,
};
use commonware_glue::stateful::{Application, Finality, Input, Proposed, db::DatabaseSet};
use commonware_runtime::Spawner;
use commonware_storage::{Context as StorageContext, merkle::Location};
use commonware_utils::non_empty_range;
use futures::StreamExt as _;
use inferium_types::Certificate;
use std::sync::Arc;

/// The engine's mailbox for stored blocks and certificates.
pub(crate) type Marshal = MarshalMailbox<Scheme, Standard<Block>>;

/// The application of one validator.
#[derive(Clone)]
pub struct ChainApplication {
    core: Core,
    marshal: Marshal,
}

impl std::fmt::Debug for ChainApplication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainApplication").finish_non_exhaustive()
    }
}

impl ChainApplication {
    pub(crate) const fn new(core: Core, marshal: Marshal) -> Self {
        Self { core, marshal }
    }

    /// The block's own certificate, if the engine has it.
    async fn certificate(&self, block: &Block) -> Option<Certificate> {
        let height = block.header().height;
        let finalization = self.marshal.get_finalization(Height::new(height)).await?;
        if crate::keys::from_engine_digest(&finalization.proposal.payload) != block.id() {
            return None;
        }
        let round = finalization.proposal.round;
        let pair = finalization.certificate.get()?;
        self.core.seeds.insert_certificate(round.view().get(), &finalization.certificate);
        Some(Certificate {
            epoch: round.epoch().get(),
            view: round.view().get(),
            parent_view: finalization.proposal.parent.get(),
            signature: crate::keys::signature_bytes(&pair.vote_signature),
        })
    }
}

impl<E: StorageContext + Spawner> Application<E> for ChainApplication {
    type SigningScheme = Scheme;
    type Context = BlockContext;
    type Block = Block;
    type Databases = Databases<E>;
    type Captured = ();
    type Provider = ();
    type Input = ();

    fn sync_targets(block: &Block) -> SyncTarget {
        let header = block.header();
        // A header from the network was checked by the validators that certified it, or fails
        // against the executed batch; an empty range is replaced, since the type can't hold one.
        let end = header.operations_end.max(header.operations_start.saturating_add(1));
        SyncTarget::new(
            crate::keys::to_engine_digest(header.operations_root),
            non_empty_range!(Location::new(header.operations_start), Location::new(end)),
        )
    }

    async fn genesis(&mut self) -> Block {
        self.core.genesis_block.clone()
    }

    async fn propose(
        &mut self,
        (runtime, context): (E, BlockContext),
        mut ancestry: impl Ancestry<Block>,
        batch: Batch<E>,
        _: Input<(), ()>,
    ) -> Option<Proposed<Self, E>> {
        let parent = ancestry.next().await?;
        let (block, merkleized) = self.core.build::<E>(&runtime, &context, parent.inner(), batch).await?;
        Some(Proposed { block, merkleized })
    }

    async fn process(
        &mut self,
        (runtime, _): (E, BlockContext),
        mut ancestry: impl Ancestry<Block>,
        batch: Batch<E>,
        finality: Finality,
    ) -> Option<SealedBatch<E>> {
        let block = ancestry.next().await?;
        let parent = ancestry.next().await?;
        match self.core.check::<E>(&runtime, block.inner(), parent.inner(), batch, finality).await {
            Ok(sealed) => Some(sealed),
            Err(error) => {
                let header = block.inner().header();
                tracing::warn!(height = header.height, proposer = %header.proposer, %error, "block refused");
                None
            }
        }
    }

    async fn capture(
        &mut self,
        _: (E, BlockContext),
        _: &Block,
        _: &SealedBatch<E>,
        _: <Databases<E> as DatabaseSet<E>>::Readers,
    ) {
    }

    async fn finalized(
        &mut self,
        _: (E, BlockContext),
        block: &Block,
        (): (),
        _: <Databases<E> as DatabaseSet<E>>::Readers,
    ) {
        let core = &self.core;
        let Some(outcome) = core.states.outcome(block.id()) else {
            fatal("a final block was not executed here");
        };
        let certificate = self.certificate(block).await;
        let header = block.header().clone();
        let seeds = core.seeds.for_block(header.parent_view, header.view.saturating_add(1), &[], usize::MAX);
        let last = Arc::new(FinalBlock {
            header: header.clone(),
            body: block.body().clone(),
            events: outcome.events.clone(),
            certificate,
        });
        // SPEC C8: durable before it is acknowledged.
        if let Err(error) = core.index.insert(&last, &seeds) {
            fatal(&error.to_string());
        }
        core.states.finalize(block.id(), &outcome);
        core.mempool.finalized(&outcome.state);
        core.head.send_replace(Head { height: header.height, digest: block.id(), header: Some(header) });
        // Nobody listening is no error.
        let _ = core.blocks.send(last);
        // SPEC G1: the next block is another software's to make; this one is durable.
        if let Err(error) = outcome.state.check_protocol() {
            fatal(&error.to_string());
        }
    }
}
