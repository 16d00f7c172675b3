//! The chain of an Inferium network: the validators' node and the light client.
//!
//! A validator runs one BFT engine (commonware `simplex`) over blocks of transactions, keeps the
//! ledger's state in an authenticated store (QMDB), and serves blocks and proofs over HTTP. A
//! light client follows certificates of the group key and believes nothing else.
//!
//! What this crate is *not*: it knows no rule of the ledger (that is `inferium-ledger`, which it
//! calls as a pure function of state and block) and no duty of a validator beyond consensus
//! (`inferium-validator`).
//!
//! Invariants: a block is acknowledged only when its state is durable; a failed write stops the
//! node; every list from a stranger is bounded before it is read.
//!
//! The engine's generic types are instantiated once, in its `node` module, and what leaves this crate
//! is plain; but for [`simulation`], which hands the engine's generics to `inferium-sim` and no one else.

#![forbid(unsafe_code)]

mod application;
mod blame;
mod block;
mod bundle;
mod deal;
mod engine;
mod entry;
mod execution;
mod index;
mod keys;
mod light;
mod loopback;
mod mempool;
mod node;
mod pace;
mod rpc;
mod scheme;
mod sealing;
mod seat;
mod seeds;
mod sender;
pub mod simulation;
mod states;
mod store;
#[cfg(test)]
mod testing;

pub use blame::Equivocation;
pub use block::{Block, Body};
pub use bundle::{BlockBundle, Certified, InvalidBundle, InvalidStateProof, StateProof};
pub use deal::{DealError, Dealing, deal};
pub use index::{FinalBlock, Index, IndexError};
pub use light::{ConnectError, EventProof, GetError, LightClient, PostError, TransactionStatus, VerifiedBlock};
pub use loopback::free_loopback;
pub use mempool::SubmitError;
pub use node::{Fatal, Head, StartError, ValidatorHandle, ValidatorSetup, start_validators};
pub use pace::Pace;
pub use rpc::router;
pub use sealing::{SealingKeyError, sealing_key};
pub use sender::{SendError, Sender, Sent, send_signed};
