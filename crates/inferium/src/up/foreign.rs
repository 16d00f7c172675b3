//! The server behind workers of the foreign class (SPEC V9).

use super::engine::Served;
use crate::cli::{ClassKind, Failure, ServingArgs};
use crate::progress::{Step, say};
use inferium_engine::Model;
use inferium_worker::{Server, ServerConfig};
use std::sync::Arc;

/// Options that contradict each other.
pub(super) fn check(arguments: &ServingArgs, has_cheat: bool) -> Result<(), Failure> {
    match (arguments.class(), &arguments.server) {
        (ClassKind::Foreign, None) => Err(Failure::usage("--class foreign needs --server URL")),
        (ClassKind::Canonical | ClassKind::Tolerance, Some(_)) => {
            Err(Failure::usage("--server is for --class foreign"))
        }
        (ClassKind::Foreign, Some(_)) if has_cheat => {
            Err(Failure::usage("of --class foreign the server cheats, or nobody: --crime is for engines of our own"))
        }
        _ => Ok(()),
    }
}

/// Reaches the server, if one was named, and says what it is found to do.
pub(crate) async fn reach(arguments: &ServingArgs, served: &mut Served) -> Result<(), Failure> {
    let (Some(url), Model::Chat(engine)) = (&arguments.server, &served.model) else { return Ok(()) };
    let mut config = ServerConfig { model: arguments.server_model.clone(), ..ServerConfig::new(url) };
    if let Some(path) = &arguments.server_key_file {
        let key = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("{} can't be read: {error}", path.display())))?;
        config.key = Some(key.trim().to_owned());
    }
    let step = Step::begin(&format!("server: {url}"));
    let server =
        Server::connect(config, &**engine).await.map_err(|error| Failure::failed(format!("{url}: {error}")))?;
    step.done();
    if !server.has_ids() {
        say("the server does not say which tokens it draws: its text is read with the model's tokenizer");
    }
    served.server = Some(Arc::new(server));
    Ok(())
}
