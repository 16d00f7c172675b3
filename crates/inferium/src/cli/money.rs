//! Wallets, and what every command that signs takes.

use super::client::ServerArgs;
use super::parse::{parse_address, parse_amount, parse_payment, parse_percent};
use clap::{Args, Subcommand};
use inferium_types::{AccountId, Amount, Ppm};
use std::path::PathBuf;

/// `inferium wallet`. No argument takes a secret: the words and the password come from a terminal,
/// from stdin or from a file.
#[derive(Debug, Subcommand)]
pub(crate) enum WalletCommand {
    /// Make a wallet and show its 24 words, once.
    New {
        #[command(flatten)]
        unlock: UnlockArgs,
    },
    /// Make a wallet from 24 words that you have; asked for on the terminal, or read from stdin.
    Import {
        #[command(flatten)]
        unlock: UnlockArgs,
        /// Read the words from this file.
        #[arg(long, value_name = "FILE")]
        mnemonic_file: Option<PathBuf>,
    },
    /// Print the wallet's address.
    Address {
        #[command(flatten)]
        wallet: WalletFile,
    },
    /// Show what an account holds, proven against the network key.
    Balance {
        /// The account [default: the wallet's].
        #[arg(value_parser = parse_address)]
        address: Option<AccountId>,
        #[command(flatten)]
        wallet: WalletFile,
        #[command(flatten)]
        network: NetworkDir,
    },
    /// Send money to an account.
    Send {
        /// The receiver's address.
        #[arg(value_parser = parse_address)]
        to: AccountId,
        /// How much, in IFR: 1.5
        #[arg(value_parser = parse_payment, allow_negative_numbers = true)]
        amount: Amount,
        #[command(flatten)]
        signing: SigningArgs,
    },
    /// Sign the payment that a gateway asked for with 402, and print what to send in `PAYMENT-SIGNATURE`; the gateway sends it to the chain.
    PayHeader {
        /// The answer's header `PAYMENT-REQUIRED`.
        required: String,
        #[command(flatten)]
        signing: SigningArgs,
    },
    /// Lock stake: for one's own node, or as a delegation to a validator.
    #[command(visible_alias = "delegate")]
    Stake {
        /// The node's name in the data folder, or its key.
        node: String,
        /// How much, in IFR.
        #[arg(value_parser = parse_payment, allow_negative_numbers = true)]
        amount: Amount,
        #[command(flatten)]
        signing: SigningArgs,
    },
    /// Take stake back; it is paid after the unbonding time.
    Unbond {
        /// The node's name in the data folder, or its key.
        node: String,
        /// How much, in IFR.
        #[arg(value_parser = parse_payment, allow_negative_numbers = true)]
        amount: Amount,
        #[command(flatten)]
        signing: SigningArgs,
    },
    /// A validator's own: what it keeps of its delegators' rewards.
    Commission {
        /// In percent, with up to four decimals.
        #[arg(value_parser = parse_percent)]
        percent: Ppm,
        #[command(flatten)]
        signing: SigningArgs,
    },
    /// Devnet only: get money from the test account of a network that `inferium up` made here.
    Faucet {
        /// The receiver [default: the wallet's account].
        #[arg(value_parser = parse_address)]
        address: Option<AccountId>,
        /// How much, in IFR.
        #[arg(value_parser = parse_payment, default_value = "100", allow_negative_numbers = true)]
        amount: Amount,
        #[command(flatten)]
        wallet: WalletFile,
        #[command(flatten)]
        network: NetworkDir,
    },
}

/// Which wallet.
#[derive(Debug, Args)]
pub(crate) struct WalletFile {
    /// The wallet's file [default: ~/.inferium/wallet.json].
    #[arg(long = "keystore", env = "INFERIUM_WALLET", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// Which wallet, and where its password is.
#[derive(Debug, Args)]
pub(crate) struct UnlockArgs {
    #[command(flatten)]
    pub(crate) wallet: WalletFile,
    /// Read the password from this file's first line instead of asking for it.
    #[arg(long, env = "INFERIUM_WALLET_PASSWORD_FILE", value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

/// Which network.
#[derive(Debug, Args)]
pub(crate) struct NetworkDir {
    /// The data folder of a running `inferium up`.
    #[arg(long, env = "INFERIUM_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// What every command that signs a transaction takes.
#[derive(Debug, Args)]
pub(crate) struct SigningArgs {
    #[command(flatten)]
    pub(crate) unlock: UnlockArgs,
    #[command(flatten)]
    pub(crate) network: NetworkDir,
    /// Sign with the key of this name in the data folder (gateway, validator-0, operator-worker, ...)
    /// instead of a wallet's.
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) signer: Option<String>,
    /// Sign without asking; the transaction is shown all the same.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// `inferium mcp`.
#[derive(Debug, Args)]
pub(crate) struct McpArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// What all calls together may spend while this process runs: of the API key's budget, and of the account that signs.
    #[arg(long, value_name = "IFR", default_value = "0.1", value_parser = parse_amount, allow_negative_numbers = true)]
    pub(crate) spend_max: Amount,
    /// Offer transfers, signed with the key of this name in the data folder. A wallet's are offered with --password-file.
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) signer: Option<String>,
    #[command(flatten)]
    pub(crate) unlock: UnlockArgs,
    /// Sign transfers without asking the client's user.
    #[arg(long)]
    pub(crate) yes: bool,
}
