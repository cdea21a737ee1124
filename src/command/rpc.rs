//! The call of an endpoint's method, and the endpoint's own way of saying it (Chatops RPC, version 3).
//!
//! An endpoint lists a regular expression for each method: `!deploy options web` is matched as people typed it to other
//! clients. What that gives are arguments by name, like any others, so it is bound, decided, shown and recorded as
//! `deploy-options --app web`.

use std::{collections::BTreeMap, fmt};

use ruma::UserId;
use serde_json::json;

use super::bind::{Sorted, Texts};
use crate::{
    catalogue::{Command, Ops, Room, RpcRun, RunKind},
    model::Invocation,
};

/// A call without who makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcCall {
    /// Where it goes.
    pub url: String,
    /// The method.
    pub method: String,
    /// Its parameters.
    pub params: BTreeMap<String, String>,
}

impl RpcCall {
    /// What is sent: for whom, and in which room.
    pub fn body(&self, user: &str, mention: &UserId, room: &str) -> String {
        json!({
            "user": user, "mention_slug": mention, "room_id": room, "method": self.method, "params": self.params,
        })
        .to_string()
    }
}

impl fmt::Display for RpcCall {
    /// All of it in a line: `options {"app":"web"} to https://deploys.example.org/_chatops/wcid`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} to {}", self.method, json!(self.params), self.url)
    }
}

/// The call that an invocation makes. Parameters that are empty are not sent, as the protocol has it.
///
/// # Errors
///
/// Why nothing can be called, in words: the endpoint does not list the method, or does not take an argument.
pub fn rpc_call(run: &RpcRun, invocation: &Invocation) -> Result<RpcCall, String> {
    let (endpoint, method) = (&run.endpoint, &run.method);
    let Some(url) = run.url.clone() else {
        return Err(format!(
            "the endpoint {endpoint} has not said yet that it offers {method}, or does so no longer"
        ));
    };
    let mut params = BTreeMap::new();
    for (argument, value) in &invocation.arguments {
        let value = value.to_string();
        if value.is_empty() {
            continue;
        }
        let param = run.params.get(argument).unwrap_or(argument);
        if !run.takes.contains(param) {
            return Err(format!("{method} of the endpoint {endpoint} takes no parameter {param}"));
        }
        params.insert(param.clone(), value);
    }
    Ok(RpcCall { url, method: method.clone(), params })
}

/// The texts of the arguments, where a line that begins with `first` reads as the endpoint lists it.
pub(super) fn spoken(command: &Command, first: &str, sorted: &Sorted) -> Option<Texts> {
    let RunKind::ChatopsRpc(run) = &command.run.kind else { return None };
    let spoken = run.spoken.as_ref().filter(|_| run.prefix == first)?;
    let line = sorted.positional.join(" ");
    let found = spoken.captures(&line)?;
    let mut texts = sorted.named.clone();
    for group in spoken.capture_names().flatten() {
        let Some(value) = found.name(group).map(|found| found.as_str().trim()).filter(|it| !it.is_empty())
        else {
            continue;
        };
        // A group that no argument stands for would be lost.
        let (argument, _) = run.params.iter().find(|(_, param)| *param == group)?;
        if texts.insert(argument.clone(), value.to_owned()).is_some() {
            return None;
        }
    }
    Some(texts)
}

/// What an endpoint offers in a room whose commands begin so. `None` where none does.
pub(super) fn offered(ops: &Ops, room: &Room, first: &str) -> Option<(String, Vec<String>)> {
    let endpoint = ops.endpoints.values().find(|endpoint| endpoint.prefix == first)?;
    let of_it = |command: &&str| matches!(&ops.commands.get(*command).map(|it| &it.run.kind), Some(RunKind::ChatopsRpc(run)) if run.endpoint == endpoint.key);
    let here = room.commands.iter().map(String::as_str).filter(of_it).map(str::to_owned).collect();
    Some((endpoint.key.clone(), here))
}
