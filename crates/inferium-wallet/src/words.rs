//! Clear signing: what a transaction does, in words, before it is signed.
//!
//! Both matches over [`TransactionBody`] name every variant and every field, so that nothing new
//! can be signed without being said.

use inferium_types::{
    Amount, CapabilityReport, ClassifierReads, ConsensusVote, Digest, EngineClass, JobFault, JobLeaf, JobProof,
    JobRequest, ModelProfile, ModelTask, NodeRole, OfferTerms, PlantedJob, Ppm, Price, ProfileId, ProposalAction,
    ProposalTerms, RequestProof, SegmentCommitment, SegmentId, SegmentOpening, SignedTotals, TaskTerms, Transaction,
    TransactionBody, VerdictVote, VoteSubject,
};
use std::fmt;

mod agents;
mod challenges;

/// A transaction in words: a sentence, then a line for each fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    title: String,
    lines: Vec<(&'static str, String)>,
}

impl Description {
    fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), lines: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.lines.push((name, value.to_string()));
        self
    }

    /// The sentence.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Name and value of each fact.
    #[must_use]
    pub fn lines(&self) -> &[(&'static str, String)] {
        &self.lines
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        let width = self.lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        self.lines.iter().try_for_each(|(name, value)| write!(f, "\n  {name:width$}  {value}"))
    }
}

/// What `transaction` does, and what all transactions have: sender, fee, nonce and chain.
///
/// The fee is the ledger's to say; the caller has it from there.
#[must_use]
pub fn describe(transaction: &Transaction, fee: Amount) -> Description {
    let Transaction { chain, sender, nonce, body } = transaction;
    describe_body(body).with("from", sender).with("fee", fee).with("nonce", nonce).with("chain", chain)
}

/// Money that leaves the sender's balance beside the fee, where the body alone says how much.
#[must_use]
pub fn takes(body: &TransactionBody) -> Amount {
    match body {
        TransactionBody::Transfer { to: _, amount } => *amount,
        TransactionBody::RegisterOperator { bond } => *bond,
        TransactionBody::RegisterNode { stake, .. } => *stake,
        TransactionBody::Bond { node: _, amount } => *amount,
        // What an open task locks follows from the ledger's rules.
        TransactionBody::OpenTask { .. }
        | TransactionBody::SetUrl { .. }
        | TransactionBody::DeclareProfile { .. }
        | TransactionBody::SetOffer { .. }
        | TransactionBody::CloseLease { .. }
        | TransactionBody::CommitSegment { .. }
        | TransactionBody::OpenSegments { .. }
        | TransactionBody::CommitVerdict { .. }
        | TransactionBody::SubmitVerdict { .. }
        | TransactionBody::ReportStall { .. }
        | TransactionBody::CertifyDelivery { .. }
        | TransactionBody::AnswerStall { .. }
        | TransactionBody::ShowTrace { .. }
        | TransactionBody::AskTrace { .. }
        | TransactionBody::RefuteTrace { .. }
        | TransactionBody::ProveConflict { .. }
        | TransactionBody::ProveDoubleSigning { .. }
        | TransactionBody::ProveDoubleRequest { .. }
        | TransactionBody::ProveEquivocation { .. }
        | TransactionBody::Unbond { .. }
        | TransactionBody::SetCommission { .. }
        | TransactionBody::Vote { .. }
        | TransactionBody::UpdateAgent { .. }
        | TransactionBody::RetireAgent { .. }
        // It is the agent's account that pays.
        | TransactionBody::SpendAsAgent { .. }
        // What these lock follows from the network's parameters.
        | TransactionBody::OpenAssessment { .. }
        | TransactionBody::OpenDispute { .. }
        | TransactionBody::OpenChallenge { .. }
        | TransactionBody::Propose { .. }
        | TransactionBody::PublishAgent { .. }
        | TransactionBody::OpenRun { .. } => Amount::ZERO,
    }
}

/// What a body does, without what all transactions have.
#[must_use]
pub fn describe_body(body: &TransactionBody) -> Description {
    match body {
        TransactionBody::Transfer { to, amount } => {
            Description::new(format!("Send {amount} to another account")).with("to", to).with("amount", amount)
        }
        TransactionBody::RegisterOperator { bond } => {
            Description::new(format!("Become an operator and lock {bond} as its bond")).with("bond", bond)
        }
        TransactionBody::RegisterNode { role, operator, operator_signature, stake } => {
            let description = Description::new(format!("Register as a {} and lock {stake}", role.name()));
            let description = match role {
                NodeRole::Worker { vrf } => description.with("VRF key", vrf),
                NodeRole::Validator { url } | NodeRole::Gateway { url } => description.with("URL", plain(url)),
            };
            description.with("stake", stake).with("operator", operator).with("operator's signature", operator_signature)
        }
        TransactionBody::SetUrl { url } => Description::new("Change the node's public URL").with("URL", plain(url)),
        TransactionBody::DeclareProfile { profile } => describe_profile(profile),
        TransactionBody::SetOffer { profile, terms } => {
            let OfferTerms { slots, price, context_tokens, batches } = terms;
            let title = if *slots == 0 { "Withdraw a worker's offer" } else { "Offer to work for a model profile" };
            with_price(Description::new(title).with("profile", profile).with("slots", slots), "price", price)
                .with("context", format!("{context_tokens} tokens"))
                .with("batches", if *batches { "too, for their part of the price" } else { "none" })
        }
        TransactionBody::OpenTask { terms } => describe_task(terms),
        TransactionBody::CloseLease { lease } => Description::new("Close a lease").with("lease", lease),
        TransactionBody::CommitSegment { commitment } => describe_segment(commitment),
        TransactionBody::OpenSegments { openings } => describe_openings(openings),
        TransactionBody::CommitVerdict { segment, commitment } => {
            Description::new("Commit to a verdict about a segment, to be shown later")
                .with("segment", segment)
                .with("commitment", commitment)
        }
        TransactionBody::SubmitVerdict { segment, vote, salt } => describe_verdict(segment, vote, salt.as_ref()),
        TransactionBody::ReportStall { request } => {
            with_request(Description::new("Report a request that got no answer"), request)
        }
        TransactionBody::CertifyDelivery { stall } => {
            Description::new("Certify that the request of a stall claim is held for its worker").with("claim", stall)
        }
        TransactionBody::AnswerStall { stall, result } => Description::new("Answer a certified request")
            .with("claim", stall)
            .with("request", result.request)
            .with("prompt", format!("{} tokens", result.usage.prompt_tokens))
            .with("answer", format!("{} tokens", result.usage.completion_tokens))
            .with("end", format!("{:?}", result.finish))
            .with("output commitment", result.output_commitment)
            .with("evidence root", result.evidence_root),
        TransactionBody::ProveConflict { worker, first, second } => {
            let description = Description::new("Accuse a worker of two results for one request").with("worker", worker);
            with_proof(with_proof(description, "first", first), "second", second)
        }
        TransactionBody::ProveDoubleSigning { gateway, first, second } => {
            let description = Description::new("Accuse a gateway of two sums for one segment").with("gateway", gateway);
            with_totals(with_totals(description, "first", first), "second", second)
        }
        TransactionBody::ProveDoubleRequest { gateway, first, second } => {
            let description =
                Description::new("Accuse a gateway of two requests for one sequence").with("gateway", gateway);
            with_request_proof(with_request_proof(description, "first", first), "second", second)
        }
        TransactionBody::ProveEquivocation { validator, first, second } => {
            let description = Description::new("Accuse a validator of two consensus votes that contradict each other")
                .with("validator", validator);
            with_consensus_vote(with_consensus_vote(description, "first", first), "second", second)
        }
        TransactionBody::Bond { node, amount } => Description::new(format!("Lock {amount} as stake"))
            .with("node", node)
            .with("amount", amount)
            .with("note", "comes back after the unbonding time; a slash of the node takes its part"),
        TransactionBody::Unbond { node, amount } => Description::new(format!("Take {amount} of stake back"))
            .with("node", node)
            .with("amount", amount)
            .with("note", "paid after the unbonding time; slashable until then"),
        TransactionBody::SetCommission { commission } => {
            Description::new("Set what this validator keeps of its delegators' rewards")
                .with("commission", percent(*commission))
        }
        TransactionBody::OpenAssessment { profile, report } => describe_assessment(profile, report),
        TransactionBody::OpenDispute { segment } => {
            Description::new("Doubt an approved segment, and lock the bond of a dispute").with("segment", segment)
        }
        TransactionBody::Propose { proposal } => describe_proposal(proposal),
        TransactionBody::Vote { proposal, choice } => {
            Description::new(format!("Vote {} with all own stake", choice.name())).with("proposal", proposal)
        }
        TransactionBody::PublishAgent { name, terms } => agents::published(name, terms),
        TransactionBody::UpdateAgent { agent, terms } => agents::updated(agent, terms),
        TransactionBody::RetireAgent { agent, stop_spending } => agents::retired(agent, *stop_spending),
        TransactionBody::OpenRun { terms } => agents::opened(terms),
        TransactionBody::SpendAsAgent { spend } => agents::spent(spend),
        TransactionBody::OpenChallenge { terms } => challenges::opened(terms),
        TransactionBody::ShowTrace { segment, challenger, shown } => challenges::shown(segment, challenger, shown),
        TransactionBody::AskTrace { segment, index } => challenges::asked(segment, *index),
        TransactionBody::RefuteTrace { segment, refutation } => challenges::refuted(segment, refutation),
    }
}

fn describe_verdict(segment: &SegmentId, vote: &VerdictVote, salt: Option<&Digest>) -> Description {
    let description = Description::new("Judge a segment").with("segment", segment).with("verdict", verdict(vote));
    match salt {
        Some(salt) => description.with("salt of the commitment", salt),
        None => description,
    }
}

fn percent(share: Ppm) -> String {
    format!("{}.{:04} %", share.get() / 10_000, share.get() % 10_000)
}

fn with_totals(description: Description, name: &'static str, totals: &SignedTotals) -> Description {
    let SignedTotals { terms, gateway_signature } = totals;
    description
        .with(name, format!("lease {}, segment {}, root {}, {gateway_signature}", terms.lease, terms.index, terms.root))
}

fn with_consensus_vote(description: Description, name: &'static str, vote: &ConsensusVote) -> Description {
    let ConsensusVote { epoch, view, subject, signature } = vote;
    let says = match subject {
        VoteSubject::Notarize { parent_view, block } => format!("block {block} on view {parent_view} is the view's"),
        VoteSubject::Nullify => "the view has no block".to_owned(),
        VoteSubject::Finalize { parent_view, block } => format!("block {block} on view {parent_view} is final"),
    };
    description.with(name, format!("epoch {epoch}, view {view}: {says}; {signature}"))
}

fn describe_openings(openings: &[SegmentOpening]) -> Description {
    let list = openings.iter().map(|SegmentOpening { segment, proof, planted }| match planted {
        Some(PlantedJob { leaf, path }) => {
            format!("{segment}: job {} at position {} was planted ({proof})", leaf.request.job, path.index)
        }
        None => format!("{segment}: nothing was planted ({proof})"),
    });
    Description::new("Say which jobs of judged segments were planted")
        .with("segments", list.collect::<Vec<_>>().join(", "))
}

fn describe_assessment(profile: &ProfileId, report: &CapabilityReport) -> Description {
    let CapabilityReport { tier, cpu, features, cores, memory_mib, accelerators } = report;
    let features: Vec<String> = features.iter().map(|feature| plain(feature)).collect();
    let cards = accelerators.iter().map(|card| format!("{} ({} MiB)", plain(&card.name), card.memory_mib));
    Description::new("Ask for the capability task, which measures this worker's machine")
        .with("profile", profile)
        .with("highest tier wanted", tier.name())
        .with("processor", format!("{}, {cores} cores", plain(cpu)))
        .with("instructions", features.join(", "))
        .with("memory", format!("{memory_mib} MiB"))
        .with("accelerators", cards.collect::<Vec<_>>().join(", "))
}

fn describe_proposal(proposal: &ProposalTerms) -> Description {
    let ProposalTerms { title, description, action } = proposal;
    let named = |what: &str| {
        Description::new(format!("Propose {what}, and lock the deposit of a proposal"))
            .with("title", plain(title))
            .with("reason", plain(description))
    };
    match action {
        ProposalAction::ChangeParameters { changes } => {
            let list = changes.iter().map(|change| format!("{} = {}", plain(&change.name), change.value));
            named("new parameters").with("changes", list.collect::<Vec<_>>().join(", "))
        }
        ProposalAction::SpendTreasury { to, amount } => {
            named("a payment from the treasury").with("to", to).with("amount", amount)
        }
        ProposalAction::ApproveProfile { profile } => {
            named("to approve a model profile").with("profile", profile.id()).with("model", plain(&profile.name))
        }
        ProposalAction::DelistProfile { profile } => named("to delist a model profile").with("profile", profile),
        ProposalAction::Restitute { slash } => named("to overturn a slash").with("slash", slash),
        ProposalAction::RemoveValidator { validator } => named("to remove a validator").with("validator", validator),
        ProposalAction::Upgrade { height, version } => {
            named("an upgrade of the protocol").with("at height", height).with("protocol version", version)
        }
        ProposalAction::Text => named("a text"),
    }
}

fn describe_profile(profile: &ModelProfile) -> Description {
    let id = profile.id();
    let ModelProfile { name, task, weights_root, tokenizer_hash, template_hash, engine, sampler_version, eos_tokens } =
        profile;
    let class = match engine {
        EngineClass::Canonical { build, tier } => format!("canonical, build {build}, tier {}", plain(tier)),
        EngineClass::Tolerance { verifier, calibration } => format!(
            "tolerance, verified by build {verifier}, calibration {} of {} honest positions",
            calibration.corpus, calibration.positions
        ),
        EngineClass::Foreign { verifier, bounds } => format!(
            "foreign, verified by build {verifier}: surprisal within {} ppm of a standard deviation, {} ppm of tokens more than {} millionths of a logit outside",
            bounds.drift.get(),
            bounds.outside.get(),
            bounds.margin_micro
        ),
    };
    let does = match task {
        ModelTask::Chat => "answers conversations".to_owned(),
        ModelTask::Embed { width } => format!("gives texts vectors of {width} values"),
        ModelTask::Classify { reads: ClassifierReads::Texts, classes } => {
            format!("says of texts which of {classes} classes they are of")
        }
        ModelTask::Classify { reads: ClassifierReads::Tensors { elements, .. }, classes } => {
            format!("says of {elements} numbers which of {classes} classes they are of")
        }
        ModelTask::Host => "hosts runs of agents".to_owned(),
        ModelTask::Fold => "folds results into boards".to_owned(),
        ModelTask::Train => "trains intervals of runs".to_owned(),
        ModelTask::Prove => "proves what a classifier said".to_owned(),
        ModelTask::ProvePrivate { openings } => {
            format!("says of numbers which class they are of, by private weights, in {openings} proofs at most")
        }
    };
    Description::new("Declare that this validator can replay a model profile")
        .with("profile", id)
        .with("model", plain(name))
        .with("what it does", does)
        .with("weights root", weights_root)
        .with("tokenizer", tokenizer_hash)
        .with("template", template_hash)
        .with("engine", class)
        .with("sampler version", sampler_version)
        .with("end tokens", format!("{eos_tokens:?}"))
}

fn describe_task(terms: &TaskTerms) -> Description {
    let TaskTerms {
        kind,
        mode,
        tier,
        profile,
        price_max,
        jobs_max,
        tokens_max,
        slots,
        context_tokens,
        open_ms,
        lease_ms,
    } = terms;
    let title = format!("Open a task of kind {}, mode {}, and lock its cost at most", kind.policy().name, mode.name());
    let description = Description::new(title).with("tier", tier.name()).with("profile", profile);
    with_price(description, "price at most", price_max)
        .with("jobs at most", jobs_max)
        .with("tokens at most", tokens_max)
        .with("slots", slots)
        .with("context", format!("{context_tokens} tokens"))
        .with("waits for a worker", format!("{open_ms} ms"))
        .with("lease lasts", format!("{lease_ms} ms"))
}

fn describe_segment(commitment: &SegmentCommitment) -> Description {
    let SegmentCommitment { terms, worker_signature, gateway_signature } = commitment;
    let (jobs, noun) = (terms.totals.jobs, if terms.totals.jobs == 1 { "job" } else { "jobs" });
    Description::new(format!("Commit a segment of {jobs} finished {noun}"))
        .with("lease", terms.lease)
        .with("index", terms.index)
        .with("prompts", format!("{} tokens", terms.totals.prompt_tokens))
        .with("answers", format!("{} tokens", terms.totals.completion_tokens))
        .with("root", terms.root)
        .with("worker's signature", worker_signature)
        .with("gateway's signature", gateway_signature)
}

fn with_price(description: Description, name: &'static str, price: &Price) -> Description {
    let Price { prompt_token, completion_token } = price;
    description.with(name, format!("{prompt_token} a prompt token, {completion_token} an answer token"))
}

fn with_request(description: Description, request: &JobRequest) -> Description {
    let JobRequest {
        job,
        lease,
        sequence,
        attempt,
        input_commitment,
        prompt_tokens,
        tokens_max,
        sampling,
        client_seed,
    } = request;
    let seed = client_seed.map_or_else(|| "none".to_owned(), |seed| seed.to_string());
    description
        .with("job", job)
        .with("lease", lease)
        .with("sequence", sequence)
        .with("attempt", attempt)
        .with("input commitment", input_commitment)
        .with("prompt", format!("{prompt_tokens} tokens"))
        .with("answer at most", format!("{tokens_max} tokens"))
        .with("sampling", format!("{sampling:?}"))
        .with("client's seed", seed)
}

/// A proof by what it names: its signature is checked by the ledger, and no one reads a path.
fn with_proof(description: Description, name: &'static str, proof: &JobProof) -> Description {
    let JobProof { terms, worker_signature: _, leaf: JobLeaf { request, result }, path: _ } = proof;
    description.with(
        name,
        format!(
            "job {}, lease {}, segment {}, sequence {}, output commitment {}",
            request.job, request.lease, terms.index, request.sequence, result.output_commitment
        ),
    )
}

fn with_request_proof(description: Description, name: &'static str, proof: &RequestProof) -> Description {
    let RequestProof { terms, gateway_signature: _, leaf: JobLeaf { request, result: _ }, path: _ } = proof;
    let says = format!(
        "job {}, lease {}, segment {}, sequence {}, request {}",
        request.job,
        request.lease,
        terms.index,
        request.sequence,
        request.digest()
    );
    description.with(name, says)
}

fn verdict(vote: &VerdictVote) -> String {
    match vote {
        VerdictVote::Valid { effort } => format!("valid, effort {effort}"),
        VerdictVote::Invalid { job, fault } => format!("invalid: job {job}, {}", fault_name(*fault)),
        VerdictVote::Unavailable => "no usable evidence in time".into(),
        VerdictVote::Measured { effort, statistics } => format!(
            "nothing wrong: {} of {} tokens differ, effort {effort}",
            statistics.flips(),
            statistics.positions()
        ),
    }
}

const fn fault_name(fault: JobFault) -> &'static str {
    match fault {
        JobFault::Leaf => "its leaf is wrong",
        JobFault::Prompt => "its count of prompt tokens is wrong",
        JobFault::Text => "its text is not its tokens'",
        JobFault::Finish => "it does not end as it says",
        JobFault::Token => "the sampler chooses another token",
        JobFault::Logits => "its logits differ",
        JobFault::Windows => "what is shown of its run contradicts itself",
        JobFault::GrossTokens => "more tokens differ than an honest engine's",
        JobFault::GrossSketches => "its hidden states are not the model's",
        JobFault::Classification => "a classification is not what the model computes",
        JobFault::Embedding => "an embedding is not the one that the model gives the text",
        JobFault::Score => "a score is not what the model's logits say",
        JobFault::Run => "a run did not go as its rules say",
        JobFault::ModelCall => "a run cites what the model does not say",
        JobFault::Board => "a board is not what its files fold to",
        JobFault::Interval => "an interval of training is not what its steps come to",
        JobFault::Proof => "a proof is not one of the answer that it was asked for, or does not hold",
    }
}

/// Text of a stranger, with nothing in it that a terminal obeys or an eye misreads.
fn plain(text: &str) -> String {
    text.escape_default().to_string()
}
