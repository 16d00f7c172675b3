//! Operators, nodes and profiles (SPEC N).

use crate::Rejection;
use crate::entries::{Listing, Node, Operator, Profile};
use crate::execute::Block;
use inferium_types::{AccountId, Amount, Event, ModelProfile, NodeId, NodeRole, Signature, Transaction, limits};

impl Block {
    pub(crate) fn register_operator(&mut self, sender: AccountId, bond: Amount) -> Result<(), Rejection> {
        if self.state.operators.contains_key(&sender) {
            return Err(Rejection::Exists { what: "operator" });
        }
        let needed = self.state.meta().parameters.operator_bond_min;
        if bond < needed {
            return Err(Rejection::Insufficient { needed, available: bond });
        }
        self.state.debit(sender, bond)?;
        self.state.operators.insert(sender, Operator { bond, barred: false });
        Ok(())
    }

    pub(crate) fn register_node(
        &mut self,
        sender: NodeId,
        role: &NodeRole,
        operator: AccountId,
        operator_signature: &Signature,
        stake: Amount,
    ) -> Result<(), Rejection> {
        // SPEC S3: neither key nor operator comes back.
        if let Some(node) = self.state.nodes.get(&sender) {
            return Err(if node.disqualified { Rejection::Disqualified } else { Rejection::Exists { what: "node" } });
        }
        let entry = self.state.operators.get(&operator).ok_or(Rejection::Unknown { what: "operator" })?;
        if entry.barred {
            return Err(Rejection::Disqualified);
        }
        let meta = self.state.meta();
        if !Transaction::signed_by_operator(meta.chain, &sender, role, &operator, operator_signature) {
            return Err(Rejection::Signature { whose: "operator's" });
        }
        let parameters = &meta.parameters;
        let needed = match role {
            NodeRole::Worker { .. } => parameters.worker_stake_min,
            // SPEC C5: seats are handed out at the genesis only.
            NodeRole::Validator { .. } => return Err(Rejection::NotAllowed { expected: "a seat of the genesis" }),
            NodeRole::Gateway { url } => {
                check_url(url)?;
                parameters.gateway_bond_min
            }
        };
        if stake < needed {
            return Err(Rejection::Insufficient { needed, available: stake });
        }
        // SPEC N1: what decides its work must not be known while it chooses its VRF key.
        let beacon_from_view = self.view.saturating_add(parameters.draw_delay_views);
        self.state.debit(sender, stake)?;
        let mut node = Node { beacon_from_view, ..Node::new(role.clone(), operator, stake) };
        node.fresh.note(self.state.meta().epoch, self.oldest_snapshot(), stake.nano().into());
        self.state.set_node(sender, node);
        self.events.push(Event::NodeRegistered { node: sender, role: role.clone(), operator });
        Ok(())
    }

    pub(crate) fn set_url(&mut self, sender: NodeId, new: &str) -> Result<(), Rejection> {
        check_url(new)?;
        let node = self.state.nodes.get_mut(&sender).ok_or(Rejection::Unknown { what: "node" })?;
        match &mut node.role {
            NodeRole::Validator { url } | NodeRole::Gateway { url } => new.clone_into(url),
            NodeRole::Worker { .. } => return Err(Rejection::NotAllowed { expected: "a validator or gateway" }),
        }
        self.events.push(Event::UrlChanged { node: sender, url: new.to_owned() });
        Ok(())
    }

    /// SPEC N4: a validator lists what it can replay.
    pub(crate) fn declare_profile(&mut self, sender: NodeId, profile: &ModelProfile) -> Result<(), Rejection> {
        self.active_node(sender, "a validator", Node::is_validator)?;
        if !profile.is_well_formed() {
            return Err(Rejection::OutOfBounds { field: "profile" });
        }
        let id = profile.id();
        let mut entry = self.state.profiles.get(&id).cloned().unwrap_or_else(|| Profile {
            profile: profile.clone(),
            validators: Vec::new(),
            listing: Listing::Declared,
            slashed: (0, Amount::ZERO),
            draws: [0; 3],
            openings_spent: 0,
        });
        match entry.validators.binary_search(&sender) {
            Ok(_) => return Err(Rejection::Exists { what: "declaration" }),
            Err(position) => entry.validators.insert(position, sender),
        }
        self.state.profiles.insert(id, entry);
        self.events.push(Event::ProfileDeclared { profile: id, validator: sender });
        Ok(())
    }

    /// The sender's node when it has the role and may work now.
    pub(crate) fn active_node(
        &self,
        sender: NodeId,
        expected: &'static str,
        role: impl Fn(&Node) -> bool,
    ) -> Result<&Node, Rejection> {
        let node = self.state.nodes.get(&sender).ok_or(Rejection::NotAllowed { expected })?;
        if !role(node) {
            return Err(Rejection::NotAllowed { expected });
        }
        // SPEC S3: an operator answers for all its nodes. Seats are handed over, not dropped.
        let is_barred = self.state.operators.get(&node.operator).is_none_or(|entry| entry.barred);
        if node.disqualified || (is_barred && !node.is_validator()) {
            return Err(Rejection::Disqualified);
        }
        let epoch = self.state.meta().epoch;
        if !node.is_active(epoch) {
            return Err(Rejection::Jailed { until: node.active_from_epoch });
        }
        Ok(node)
    }
}

fn check_url(url: &str) -> Result<(), Rejection> {
    let known_scheme = url.starts_with("http://") || url.starts_with("https://");
    if url.len() > limits::URL_SIZE_MAX || !known_scheme {
        return Err(Rejection::OutOfBounds { field: "url" });
    }
    Ok(())
}
