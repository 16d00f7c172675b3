//! Transactions that wallets in other languages make: `vectors/transactions.toml` holds their bytes, and the pages' tests make
//! them again.

use crate::*;

const VECTORS: &str = include_str!("../../vectors/transactions.toml");

/// One of each kind that a page makes, with texts and numbers that show width, order and byte count.
fn bodies() -> Vec<(&'static str, TransactionBody)> {
    let (to, node, amount) =
        (AccountId::from_bytes([0x11; 32]), NodeId::from_bytes([0x22; 32]), Amount::from_nano(1_500_000_007));
    let proposal = |action| TransactionBody::Propose {
        proposal: ProposalTerms { title: "Gedůld, 一".into(), description: "Line\nand \"line\"".into(), action },
    };
    let change = |name: &str, value| ParameterChange { name: name.into(), value };
    let changes = vec![change("starving_ms", 5_000), change("fee_base", u64::MAX)];
    vec![
        ("transfer", TransactionBody::Transfer { to, amount }),
        ("bond", TransactionBody::Bond { node, amount }),
        ("unbond", TransactionBody::Unbond { node, amount }),
        ("vote_yes", TransactionBody::Vote { proposal: 3, choice: VoteChoice::Yes }),
        ("vote_no", TransactionBody::Vote { proposal: 3, choice: VoteChoice::No }),
        ("vote_abstain", TransactionBody::Vote { proposal: u64::MAX, choice: VoteChoice::Abstain }),
        ("vote_veto", TransactionBody::Vote { proposal: 0, choice: VoteChoice::Veto }),
        ("propose_parameters", proposal(ProposalAction::ChangeParameters { changes })),
        ("propose_spend", proposal(ProposalAction::SpendTreasury { to, amount })),
        ("propose_text", proposal(ProposalAction::Text)),
    ]
}

#[test]
fn what_wallets_sign_is_as_committed() {
    let key = SecretKey::from_bytes([0x33; 32]).unwrap();
    let chain = ChainId::new(Digest::from([0x44; 32]));
    let line = |(nonce, (name, body)): (u64, (&str, TransactionBody))| {
        let signed = Transaction { chain, sender: key.public_key(), nonce, body }.sign(&key);
        assert!(signed.clone().verify(chain).is_ok());
        format!("{name} = \"{}\"", hex::encode(encode(&signed)))
    };
    let found: Vec<String> = (0..).zip(bodies()).map(line).collect();
    let expected: Vec<&str> = VECTORS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(found, expected, "the file would be:\n{}", found.join("\n"));
}
