//! Puts nodes on the ledger: funds their operators, bonds them, registers them.

use crate::cli::Failure;
use inferium_chain::{LightClient, Sender};
use inferium_ledger::{Account, Node, Operator, StateKey};
use inferium_types::{AccountId, Amount, NodeRole, SecretKey, Transaction, TransactionBody};

/// What the faucet leaves a node beside its stake, for fees and escrow.
const SPENDING_MONEY: Amount = Amount::from_ifr(10_000);
/// What an operator locks.
pub(crate) const BOND: Amount = Amount::from_ifr(100);

/// A node that should be on the ledger.
pub(crate) struct Registration<'a> {
    pub(crate) key: &'a SecretKey,
    pub(crate) operator: &'a SecretKey,
    pub(crate) role: NodeRole,
    pub(crate) stake: Amount,
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::failed(format!("registration failed: {error}"))
}

/// Sends a transaction and makes sure that it had its effect.
pub(crate) async fn send(sender: &Sender, body: TransactionBody) -> Result<(), Failure> {
    let sent = sender.send(body).await.map_err(failed)?;
    sent.failure.map_or(Ok(()), |failure| Err(failed(failure)))
}

/// Registers the node unless it is; each step is skipped when a former run did it.
pub(crate) async fn ensure(chain: &LightClient, faucet: &Sender, node: &Registration<'_>) -> Result<(), Failure> {
    let id = node.key.public_key();
    if let Some(standing) = chain.entry::<Node>(&StateKey::Node(id)).await.map_err(failed)? {
        return update_url(chain, node, &standing).await;
    }
    let operator = node.operator.public_key();
    if chain.entry::<Operator>(&StateKey::Operator(operator)).await.map_err(failed)?.is_none() {
        fund(chain, faucet, operator, BOND.add(Amount::from_ifr(10)).map_err(failed)?).await?;
    }
    fund(chain, faucet, id, node.stake.add(SPENDING_MONEY).map_err(failed)?).await?;
    enlist(chain, node).await
}

/// Bonds the operator if it is none yet, and registers the node. Both hold what that takes.
pub(crate) async fn enlist(chain: &LightClient, node: &Registration<'_>) -> Result<(), Failure> {
    let (id, operator) = (node.key.public_key(), node.operator.public_key());
    if chain.entry::<Operator>(&StateKey::Operator(operator)).await.map_err(failed)?.is_none() {
        let sender = Sender::new(chain.clone(), node.operator.clone());
        send(&sender, TransactionBody::RegisterOperator { bond: BOND }).await?;
    }
    let network = chain.network_key();
    let operator_signature = Transaction::sign_as_operator(network.chain, &id, &node.role, node.operator);
    let body =
        TransactionBody::RegisterNode { role: node.role.clone(), operator, operator_signature, stake: node.stake };
    send(&Sender::new(chain.clone(), node.key.clone()), body).await
}

/// Brings an account's balance up to `amount`.
pub(crate) async fn fund(chain: &LightClient, faucet: &Sender, to: AccountId, amount: Amount) -> Result<(), Failure> {
    let account: Account = chain.entry(&StateKey::Account(to)).await.map_err(failed)?.unwrap_or_default();
    match amount.sub(account.balance) {
        Ok(missing) if !missing.is_zero() => send(faucet, TransactionBody::Transfer { to, amount: missing }).await,
        _ => Ok(()),
    }
}

async fn update_url(chain: &LightClient, node: &Registration<'_>, standing: &Node) -> Result<(), Failure> {
    match (&node.role, &standing.role) {
        (NodeRole::Gateway { url: wanted }, NodeRole::Gateway { url }) if wanted != url => {
            let sender = Sender::new(chain.clone(), node.key.clone());
            send(&sender, TransactionBody::SetUrl { url: wanted.clone() }).await
        }
        _ => Ok(()),
    }
}
