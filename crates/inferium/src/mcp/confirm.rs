//! Asking the client's user before money moves.
//!
//! Until 2025-11-25 a server asks while the call goes on. From 2026-07-28 on the call ends with the question, and comes again with the answer;
//! what was asked is remembered here under a handle that is good once, so that the second call moves what the first one showed.

use crate::cli::Failure;
use rmcp::RoleServer;
use rmcp::model::{
    CallToolRequestParams, ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationSchema,
    InputRequest, InputRequests, InputRequiredResult, ProtocolVersion,
};
use rmcp::service::RequestContext;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Questions that may be open at once; the oldest is forgotten.
const OPEN_MAX: usize = 16;
/// The question's name in a result.
const QUESTION: &str = "transfer";

/// Whether money may move.
pub(super) enum Consent {
    Given,
    /// To be sent to the client.
    Asking(InputRequiredResult),
}

/// Questions whose answers are to come.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<VecDeque<(String, String)>>);

impl Pending {
    /// Asks, or reads the answer, about what `identity` names to the last bit and `words` tell.
    pub(super) async fn ask(
        &self,
        words: &str,
        identity: &str,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<Consent, Failure> {
        let capabilities = context.client_capabilities();
        if capabilities.is_none_or(|capabilities| capabilities.elicitation.is_none()) {
            return Err(Failure::refused(
                "this client can't ask its user, and nothing is sent without asking: start `inferium mcp` with --yes to allow it up to --spend-max",
            ));
        }
        let asks_by_result = context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28);
        if !asks_by_result {
            let answer = context.peer.create_elicitation(question(words)?).await;
            let answer =
                answer.map_err(|error| Failure::refused(format!("the client did not ask its user: {error}")))?;
            return agreed(&answer);
        }
        let answer = request.input_responses.as_ref().and_then(|answers| answers.get(QUESTION));
        let Some(answer) = answer else {
            let handle = self.open(identity);
            let asked = InputRequest::Elicitation(ElicitRequest::new(question(words)?));
            let questions = InputRequests::from([(QUESTION.to_owned(), asked)]);
            return Ok(Consent::Asking(InputRequiredResult::new(Some(questions), Some(handle))));
        };
        let answer: ElicitResult = serde_json::from_value(answer.clone())
            .map_err(|error| Failure::usage(format!("the answer of the client's user is not understood: {error}")))?;
        if !self.close(request.request_state.as_deref().unwrap_or_default(), identity) {
            return Err(Failure::refused("nothing was sent: that is not what the client's user was asked"));
        }
        agreed(&answer)
    }

    fn open(&self, identity: &str) -> String {
        let handle = hex::encode(rand::random::<[u8; 16]>());
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN_MAX {
            open.pop_front();
        }
        open.push_back((handle.clone(), identity.to_owned()));
        handle
    }

    /// True if this was asked under the handle, which is good no more.
    fn close(&self, handle: &str, identity: &str) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = open.iter().position(|(known, _)| known == handle);
        place.and_then(|place| open.remove(place)).is_some_and(|(_, asked)| asked == identity)
    }
}

fn question(words: &str) -> Result<ElicitRequestParams, Failure> {
    // There is nothing to fill in: to accept is to agree.
    let schema = ElicitationSchema::builder().build().map_err(|error| Failure::failed(error.to_string()))?;
    Ok(ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: format!("Sign and send this?\n\n{words}"),
        requested_schema: schema,
    })
}

fn agreed(answer: &ElicitResult) -> Result<Consent, Failure> {
    match answer.action {
        ElicitationAction::Accept => Ok(Consent::Given),
        // Declined, cancelled, and whatever else there may be one day.
        _ => Err(Failure::refused("nothing was sent: the client's user did not agree")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_good_once_and_for_what_was_asked() {
        let pending = Pending::default();
        let handle = pending.open("5 IFR to a");
        assert!(!pending.close("another", "5 IFR to a"));
        assert!(pending.close(&handle, "5 IFR to a"));
        assert!(!pending.close(&handle, "5 IFR to a"));
        let handle = pending.open("5 IFR to a");
        assert!(!pending.close(&handle, "6 IFR to a"));
        assert!(!pending.close(&handle, "5 IFR to a"), "a wrong answer is no second chance");
    }

    #[test]
    fn the_oldest_of_too_many_questions_is_forgotten() {
        let pending = Pending::default();
        let handles: Vec<String> = (0..=OPEN_MAX).map(|number| pending.open(&number.to_string())).collect();
        assert!(!pending.close(&handles[0], "0"));
        assert!(pending.close(&handles[1], "1"));
        assert!(pending.close(&handles[OPEN_MAX], &OPEN_MAX.to_string()));
    }

    #[test]
    fn only_accepting_is_agreeing() {
        assert!(matches!(agreed(&ElicitResult::new(ElicitationAction::Accept)), Ok(Consent::Given)));
        for no in [ElicitationAction::Decline, ElicitationAction::Cancel] {
            assert!(agreed(&ElicitResult::new(no)).is_err());
        }
    }
}
