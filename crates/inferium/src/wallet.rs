//! `inferium wallet`: a key of one's own, and what can be done with it.
//!
//! Everything that signs goes through [`sign_and_send`]: it shows the transaction in words, asks,
//! opens the keystore, signs exactly what was shown, and waits for a final block. A new command is
//! an arm of [`run`] that names a [`TransactionBody`].

mod pay;
mod secrets;

use crate::cli::{Failure, McpArgs, SigningArgs, UnlockArgs, WalletCommand, WalletFile};
use crate::home::{data_dir, devnet_key, unix_ms, wallet_file};
use crate::output;
use crate::progress::{print, say};
use crate::up;
use inferium_chain::{LightClient, SendError, Sender, send_signed};
use inferium_ledger::{Account, Meta, StateKey, fee_of};
use inferium_types::{
    AccountId, Amount, ChainId, SecretKey, Signature, SignedTransaction, Transaction, TransactionBody, TransactionId,
    encode,
};
use inferium_wallet::{
    ENTROPY_SIZE, FileError, KdfParameters, Keystore, KeystoreError, Mnemonic, Sealing, WORDS, create_keystore,
    describe, read_keystore, takes,
};
use serde_json::json;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The devnet's account that the faucet gives from.
const TEST_ACCOUNT: &str = "account";
/// Words in a row.
const ROW: usize = 4;

pub(crate) async fn run(command: WalletCommand) -> Result<(), Failure> {
    match command {
        WalletCommand::New { unlock } => new(&unlock),
        WalletCommand::Import { unlock, mnemonic_file } => import(&unlock, mnemonic_file.as_deref()),
        WalletCommand::Address { wallet } => {
            let address = load(&wallet)?.1.address().to_string();
            if output::is_json() { output::print_json(&json!({ "address": address })) } else { print(&address) }
        }
        WalletCommand::Balance { address, wallet, network } => {
            balance(account_or_own(address, &wallet)?, &data_dir(network.data)).await
        }
        WalletCommand::Send { to, amount, signing } => {
            from_wallet(signing, TransactionBody::Transfer { to, amount }).await
        }
        WalletCommand::PayHeader { required, signing } => pay::header(&required, signing).await,
        WalletCommand::Stake { node, amount, signing } => {
            let node = up::node_named(&node, &data_dir(signing.network.data.clone()))?;
            from_wallet(signing, TransactionBody::Bond { node, amount }).await
        }
        WalletCommand::Unbond { node, amount, signing } => {
            let node = up::node_named(&node, &data_dir(signing.network.data.clone()))?;
            from_wallet(signing, TransactionBody::Unbond { node, amount }).await
        }
        WalletCommand::Commission { percent, signing } => {
            from_wallet(signing, TransactionBody::SetCommission { commission: percent }).await
        }
        WalletCommand::Faucet { address, amount, wallet, network } => {
            faucet(account_or_own(address, &wallet)?, amount, &data_dir(network.data)).await
        }
    }
}

fn new(unlock: &UnlockArgs) -> Result<(), Failure> {
    let path = free_path(&unlock.wallet)?;
    let password = secrets::new_password(unlock.password_file.as_deref())?;
    let entropy = Zeroizing::new(rand::random::<[u8; ENTROPY_SIZE]>());
    let mnemonic = Mnemonic::from_entropy(&entropy);
    let address = save(&path, &mnemonic.secret_key(), &password)?;
    let words: Vec<&str> = mnemonic.words().collect();
    if output::is_json() {
        let made = json!({ "address": address.to_string(), "keystore": path, "words": words });
        return print(&Zeroizing::new(made.to_string()));
    }
    let numbered: Vec<String> =
        words.iter().enumerate().map(|(index, word)| format!("{:>4} {word:<9}", index.saturating_add(1))).collect();
    let rows: Vec<String> = numbered.chunks(ROW).map(|row| row.concat().trim_end().to_owned()).collect();
    print(&Zeroizing::new(format!(
        "Your {WORDS} words, in this order:\n\n{}\n\n\
         Write them down on paper and keep it safe: they are not shown again. Whoever has them has the\n\
         account; once file or password is lost, only they bring it back.\n\n\
         address   {address}\nkeystore  {}",
        rows.join("\n"),
        path.display(),
    )))
}

fn import(unlock: &UnlockArgs, mnemonic_file: Option<&Path>) -> Result<(), Failure> {
    let path = free_path(&unlock.wallet)?;
    let mnemonic = secrets::mnemonic(mnemonic_file)?;
    let password = secrets::new_password(unlock.password_file.as_deref())?;
    let address = save(&path, &mnemonic.secret_key(), &password)?;
    if output::is_json() {
        return output::print_json(&json!({ "address": address.to_string(), "keystore": path }));
    }
    print(&format!("address   {address}\nkeystore  {}", path.display()))
}

/// Where the wallet will be; asked before anything else, so that nobody types a password in vain.
fn free_path(wallet: &WalletFile) -> Result<PathBuf, Failure> {
    let path = wallet_file(wallet.file.clone());
    if path.symlink_metadata().is_ok() { Err(unmade(&path, &FileError::Exists)) } else { Ok(path) }
}

fn save(path: &Path, key: &SecretKey, password: &inferium_wallet::Password) -> Result<AccountId, Failure> {
    let sealing =
        Sealing { kdf: KdfParameters::default(), salt: rand::random(), nonce: rand::random(), created_ms: unix_ms() };
    let keystore = Keystore::seal(key, password, &sealing).map_err(|e| Failure::failed(e.to_string()))?;
    create_keystore(path, &keystore).map_err(|error| unmade(path, &error))?;
    Ok(keystore.address())
}

fn unmade(path: &Path, error: &FileError) -> Failure {
    let message = format!("cannot make the wallet {}: {error}", path.display());
    if matches!(error, FileError::Exists) { Failure::refused(message) } else { Failure::failed(message) }
}

fn load(wallet: &WalletFile) -> Result<(PathBuf, Keystore), Failure> {
    let path = wallet_file(wallet.file.clone());
    if !path.exists() {
        return Err(Failure::usage(format!(
            "there is no wallet {}; make one with `inferium wallet new`",
            path.display()
        )));
    }
    match read_keystore(&path) {
        Ok(keystore) => Ok((path, keystore)),
        Err(FileError::Keystore(error)) => Err(unopened(&path, error)),
        Err(error @ FileError::Open { .. }) => {
            Err(Failure::refused(format!("the wallet {} is not opened: {error}", path.display())))
        }
        Err(error) => Err(Failure::failed(format!("cannot read the wallet {}: {error}", path.display()))),
    }
}

fn unopened(path: &Path, error: KeystoreError) -> Failure {
    Failure::refused(format!("the wallet {} does not open: {error}", path.display()))
}

fn account_or_own(address: Option<AccountId>, wallet: &WalletFile) -> Result<AccountId, Failure> {
    address.map_or_else(|| load(wallet).map(|(_, keystore)| keystore.address()), Ok)
}

async fn balance(address: AccountId, data: &Path) -> Result<(), Failure> {
    let (_, chain) = up::connect(data).await?;
    let height = chain.height();
    let Account { balance, nonce } = account(&chain, address).await?;
    if output::is_json() {
        let shown = json!({
            "address": address.to_string(),
            "balance_nano": balance.nano(),
            "transactions": nonce,
            "height": height,
        });
        return output::print_json(&shown);
    }
    print(&balance.to_string())
}

/// An account that nobody has sent anything to holds nothing. As new as any validator proves it: with a nonce that was used meanwhile, the same
/// words would make the same transaction again.
async fn account(chain: &LightClient, address: AccountId) -> Result<Account, Failure> {
    Ok(chain.newest_entry(&StateKey::Account(address)).await?.unwrap_or_default())
}

async fn faucet(to: AccountId, amount: Amount, data: &Path) -> Result<(), Failure> {
    let key = devnet_key(data, TEST_ACCOUNT)?.ok_or_else(|| {
        Failure::usage(format!(
            "{} holds no test account: only a devnet that `inferium up` made on this machine has a faucet",
            data.display()
        ))
    })?;
    let (_, chain) = up::connect(data).await?;
    let unlock = || Ok(key.clone());
    sign_and_send(&chain, (key.public_key(), TransactionBody::Transfer { to, amount }), Facts::new(), unlock).await
}

/// The account that signs: the wallet's, or that of a key in the data folder.
pub(crate) fn address_of(signing: &SigningArgs) -> Result<AccountId, Failure> {
    let Some(name) = &signing.signer else {
        return load(&signing.unlock.wallet).map(|(_, keystore)| keystore.address());
    };
    let data = data_dir(signing.network.data.clone());
    let key = devnet_key(&data, name)?;
    let key = key.ok_or_else(|| Failure::usage(format!("{} holds no key {name:?}", data.join("keys").display())))?;
    Ok(key.public_key())
}

/// Does `body` in the name of the wallet, or of a key in the data folder.
pub(crate) async fn from_wallet(signing: SigningArgs, body: TransactionBody) -> Result<(), Failure> {
    from_wallet_about(signing, body, Facts::new()).await
}

/// The same of something that its bytes alone do not name: these facts are told before anything is signed, and in the JSON
/// of the outcome.
pub(crate) async fn from_wallet_about(
    signing: SigningArgs,
    body: TransactionBody,
    facts: Facts,
) -> Result<(), Failure> {
    for (name, value) in &facts {
        say(&format!("{name} {}", value.as_str().unwrap_or_default()));
    }
    if let Some(name) = &signing.signer {
        return from_key(name, &signing, body, facts).await;
    }
    let (path, keystore) = load(&signing.unlock.wallet)?;
    let (_, chain) = up::connect(&data_dir(signing.network.data.clone())).await?;
    let unlock = || open(&signing, (&path, &keystore), "Sign and send it? [y/N]");
    sign_and_send(&chain, (keystore.address(), body), facts, unlock).await
}

/// Texts by their names.
pub(crate) type Facts = serde_json::Map<String, serde_json::Value>;

/// The wallet's key, once its owner agrees.
fn open(signing: &SigningArgs, (path, keystore): (&Path, &Keystore), question: &str) -> Result<SecretKey, Failure> {
    if !signing.yes {
        secrets::confirm(question)?;
    }
    let password = secrets::password(signing.unlock.password_file.as_deref())?;
    keystore.open(&password).map_err(|error| unopened(path, error))
}

/// Signs `body` as [`from_wallet`] does, if `is_meant` is true of the network, and sends it to nobody.
async fn sign(
    signing: SigningArgs,
    body: TransactionBody,
    is_meant: impl Fn(ChainId) -> Result<(), Failure>,
) -> Result<SignedTransaction, Failure> {
    const QUESTION: &str = "Sign it? [y/N]";
    let data = data_dir(signing.network.data.clone());
    if let Some(name) = &signing.signer {
        let key = devnet_key(&data, name)?
            .ok_or_else(|| Failure::usage(format!("{} holds no key {name:?}", data.join("keys").display())))?;
        let (_, chain) = up::connect(&data).await?;
        is_meant(chain.network_key().chain)?;
        let transaction = show(&chain, key.public_key(), body).await?;
        if !signing.yes {
            tokio::task::block_in_place(|| secrets::confirm(QUESTION))?;
        }
        return Ok(transaction.sign(&key));
    }
    let (path, keystore) = load(&signing.unlock.wallet)?;
    let (_, chain) = up::connect(&data).await?;
    is_meant(chain.network_key().chain)?;
    let transaction = show(&chain, keystore.address(), body).await?;
    let key = tokio::task::block_in_place(|| open(&signing, (&path, &keystore), QUESTION))?;
    Ok(transaction.sign(&key))
}

/// The key that signs where nobody can be asked for a password, as long as a process runs: of a name in the data folder, or of the wallet if a file
/// holds its password; none if neither is named.
pub(crate) fn unattended_key(arguments: &McpArgs) -> Result<Option<SecretKey>, Failure> {
    if let Some(name) = &arguments.signer {
        let data = data_dir(arguments.server.network.data.clone());
        return devnet_key(&data, name)?
            .ok_or_else(|| Failure::usage(format!("{} holds no key {name:?}", data.join("keys").display())))
            .map(Some);
    }
    let Some(file) = arguments.unlock.password_file.as_deref() else { return Ok(None) };
    let (path, keystore) = load(&arguments.unlock.wallet)?;
    keystore.open(&secrets::password(Some(file))?).map(Some).map_err(|error| unopened(&path, error))
}

/// What a transaction of `sender` would do now, in words, and the most that it takes from the account.
pub(crate) async fn priced(
    chain: &LightClient,
    sender: AccountId,
    body: TransactionBody,
) -> Result<(String, Amount), Failure> {
    let Account { balance, nonce } = account(chain, sender).await?;
    let transaction = Transaction { chain: chain.network_key().chain, sender, nonce, body };
    let fee = fee(chain, &transaction).await?;
    let needed = takes(&transaction.body).add(fee).map_err(|e| Failure::refused(e.to_string()))?;
    if needed > balance {
        return Err(Failure::refused(format!("the account holds {balance}; this takes {needed}, the fee included")));
    }
    Ok((describe(&transaction, fee).to_string(), needed))
}

/// What an account holds, as proven, and how many transactions it sent.
pub(crate) async fn holdings(chain: &LightClient, address: AccountId) -> Result<(Amount, u64), Failure> {
    account(chain, address).await.map(|Account { balance, nonce }| (balance, nonce))
}

/// Does `body` in the name of a node, whose process may be sending with the same key: the nonce is
/// whichever is free then.
async fn from_key(name: &str, signing: &SigningArgs, body: TransactionBody, facts: Facts) -> Result<(), Failure> {
    let data = data_dir(signing.network.data.clone());
    let key = devnet_key(&data, name)?
        .ok_or_else(|| Failure::usage(format!("{} holds no key {name:?}", data.join("keys").display())))?;
    let (_, chain) = up::connect(&data).await?;
    let transaction = show(&chain, key.public_key(), body).await?;
    if !signing.yes {
        tokio::task::block_in_place(|| secrets::confirm("Sign and send it? [y/N]"))?;
    }
    let sent = Sender::new(chain, key).send(transaction.body).await.map_err(|error| match error {
        SendError::Refused { .. } => Failure::refused(format!("validators refuse it: {error}")),
        SendError::NonceUsed { .. } => Failure::refused(format!("it was not sent: {error}")),
        SendError::Unreachable { .. } => Failure::network(format!("it was not sent: {error}")),
        error => Failure::failed(error.to_string()),
    })?;
    print(&outcome(sent.id, sent.block.header.height, sent.failure.as_deref(), output::is_json().then_some(facts))?)
}

/// Shows a transaction in words, gets the key once they are read, signs exactly what was shown, and
/// waits until it is in a final block.
async fn sign_and_send(
    chain: &LightClient,
    (sender, body): (AccountId, TransactionBody),
    facts: Facts,
    unlock: impl FnOnce() -> Result<SecretKey, Failure>,
) -> Result<(), Failure> {
    let transaction = show(chain, sender, body).await?;
    // The key's owner may take a while to read; other tasks go on meanwhile.
    let key = tokio::task::block_in_place(unlock)?;
    let signed = transaction.sign(&key);
    let sent = send_signed(chain, &signed).await.map_err(|error| unsent(&signed, error))?;
    print(&outcome(sent.id, sent.block.header.height, sent.failure.as_deref(), output::is_json().then_some(facts))?)
}

/// Says in words what a transaction of `sender` would do now, if it can pay for it.
async fn show(chain: &LightClient, sender: AccountId, body: TransactionBody) -> Result<Transaction, Failure> {
    let Account { balance, nonce } = account(chain, sender).await?;
    let transaction = Transaction { chain: chain.network_key().chain, sender, nonce, body };
    let fee = fee(chain, &transaction).await?;
    say(&describe(&transaction, fee).to_string());
    let needed = takes(&transaction.body).add(fee).map_err(|e| Failure::refused(e.to_string()))?;
    if needed > balance {
        return Err(Failure::refused(format!("the account holds {balance}; this takes {needed}, the fee included")));
    }
    Ok(transaction)
}

/// By the rule and the parameters that the ledger has now.
async fn fee(chain: &LightClient, transaction: &Transaction) -> Result<Amount, Failure> {
    let meta: Option<Meta> = chain.entry(&StateKey::Meta).await?;
    let meta = meta.ok_or_else(|| Failure::failed("the chain has no state"))?;
    // Every signature has the same size.
    let signed = SignedTransaction { transaction: transaction.clone(), signature: Signature::from_bytes([0; 64]) };
    fee_of(&transaction.body, encode(&signed).len(), &meta.parameters).map_err(|e| Failure::failed(e.to_string()))
}

fn outcome(id: TransactionId, height: u64, failure: Option<&str>, json: Option<Facts>) -> Result<String, Failure> {
    if let Some(reason) = failure {
        return Err(Failure::failed(format!(
            "transaction {id} is final in block {height}, but did nothing and cost its fee: {reason}"
        )));
    }
    if let Some(mut told) = json {
        told.insert("transaction".to_owned(), id.to_string().into());
        told.insert("height".to_owned(), height.into());
        told.insert("status".to_owned(), "final".into());
        return Ok(serde_json::Value::Object(told).to_string());
    }
    Ok(format!("transaction {id} is final in block {height}"))
}

fn unsent(signed: &SignedTransaction, error: SendError) -> Failure {
    let id = signed.id();
    match error {
        SendError::Refused { .. } => Failure::refused(format!("validators refuse transaction {id}: {error}")),
        SendError::Unreachable { .. } => Failure::network(format!("transaction {id} was not sent: {error}")),
        SendError::NonceUsed { .. } => Failure::refused(format!("transaction {id} was not sent: {error}")),
        SendError::Timeout => {
            Failure::failed(format!("transaction {id}: {error}; it may still get there, so look before you send again"))
        }
        error => Failure::failed(format!("transaction {id}: {error}")),
    }
}

#[cfg(test)]
mod tests;
