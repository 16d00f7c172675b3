//! The command line of the wallet.

use super::{Cli, Command, WalletCommand};
use clap::{CommandFactory as _, Parser as _, error::ErrorKind};
use inferium_types::{AccountId, Amount, SecretKey};

fn address() -> AccountId {
    SecretKey::from_bytes([1; 32]).unwrap().public_key()
}

fn wallet(arguments: &[&str]) -> Result<WalletCommand, clap::Error> {
    match Cli::try_parse_from(["inferium", "wallet"].iter().chain(arguments))?.command {
        Command::Wallet(command) => Ok(command),
        other => panic!("parsed as {other:?}"),
    }
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn money_and_addresses_are_read_exactly() {
    let to = address().to_string();
    let WalletCommand::Send { to: parsed, amount, signing } = wallet(&["send", &to, "1.5"]).unwrap() else {
        panic!("not a send");
    };
    assert_eq!((parsed, amount), (address(), Amount::from_nano(1_500_000_000)));
    assert!(!signing.yes && signing.network.data.is_none());
    let WalletCommand::Faucet { address: None, amount, .. } = wallet(&["faucet"]).unwrap() else {
        panic!("not a faucet");
    };
    assert_eq!(amount, Amount::from_ifr(100));
    let WalletCommand::Faucet { address: Some(parsed), amount, .. } = wallet(&["faucet", &to, "7"]).unwrap() else {
        panic!("not a faucet");
    };
    assert_eq!((parsed, amount), (address(), Amount::from_ifr(7)));
}

#[test]
fn what_is_no_money_or_address_is_refused() {
    let to = address().to_string();
    for amount in ["0", "0.0", "-1", "1.0000000001", "1e3", "", "1 IFR", "18446744074"] {
        assert_eq!(wallet(&["send", &to, amount]).unwrap_err().kind(), ErrorKind::ValueValidation, "{amount:?}");
    }
    let no_key = (0..=255_u8).map(|byte| AccountId::from_bytes([byte; 32])).find(|id| !id.is_valid()).unwrap();
    for to in ["garbage", "", &to[2..], &format!("{to}00"), &no_key.to_string()] {
        assert_eq!(wallet(&["send", to, "1"]).unwrap_err().kind(), ErrorKind::ValueValidation, "{to:?}");
    }
}

#[test]
fn no_argument_takes_a_secret() {
    for flag in ["--password", "--mnemonic", "--words", "--key"] {
        for command in [vec!["new"], vec!["import"], vec!["send", &address().to_string(), "1"]] {
            let arguments: Vec<&str> = command.iter().copied().chain([flag, "secret"]).collect();
            assert_eq!(wallet(&arguments).unwrap_err().kind(), ErrorKind::UnknownArgument, "{arguments:?}");
        }
    }
}
