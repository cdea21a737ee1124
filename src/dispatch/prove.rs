//! `!prove ID`: a file by which anybody can check that a request is on the record, with the log's public key alone.

use super::pipeline::Asked;
use crate::{
    audit::{self, proof, tree},
    model::{Message, RequestNumber, Span},
    policy::{Action, Decision},
    storage::{Error, SignedLeaf, Work},
};

/// Answers with a proof of the request's last entry that is signed.
pub async fn prove(asked: &Asked<'_>, work: &mut Work, number: RequestNumber) -> Result<Message, Error> {
    let said = |text: String| Ok(Message::plain().line([Span::text(text)]));
    if !matches!(asked.decide_action(Action::ReadAudit, work.now()), Decision::Permitted(_)) {
        return said("The rules do not let you read the log here.".to_owned());
    }
    super::builtin::reads(asked, work, format!("the proof of request {number}"));
    let storage = &asked.house.storage;
    // A request of another room is none of this room's business, and does not even exist here.
    let Some(request) = asked.request_of_here(number).await? else {
        return said(format!("There is no request {number} in this room."));
    };
    let Some(SignedLeaf { log, index, body }) = storage.signed_leaf_of(number).await? else {
        return said(format!("Nothing of {number} is signed yet. Ask again in a second."));
    };
    // The file is for everybody here, and holds the entry as it is.
    let (entries, _) = storage.story(number).await?;
    let says_why = entries.iter().any(|recorded| recorded.entry.event.says_why_elsewhere());
    if says_why && asked.why_not_shown_here(&request).await?.is_some() {
        return said(format!(
            "The entry tells why {number} ended so, in words that not everybody here may read, so its proof is not shown here. \
             Who runs Quarterdeck can give it to you: `quarterdeck audit export`."
        ));
    }
    let storage = &storage.of_log(log);
    let Some(shown) = storage.checkpoint_for(index).await? else {
        let reason = format!("the checkpoint is gone that held the leaf {index}");
        return Err(Error::Unreadable { what: "the log's tree", reason });
    };
    let size = shown.size;
    let unreadable =
        |error: tree::Error| Error::Unreadable { what: "the log's tree", reason: error.to_string() };
    let needed = tree::needed_for_inclusion(size, index).map_err(unreadable)?;
    let inclusion = audit::tiles(storage, size, needed).await?.inclusion(index).map_err(unreadable)?;
    let text = proof::text(index, &body, &inclusion, &shown.note);
    work.send(asked.address.proof(asked.number, number, text.as_bytes()));
    let witnesses = audit::cosigners(&shown.note);
    let witnessed = if witnesses.is_empty() {
        "No witness has cosigned that yet.".to_owned()
    } else {
        format!("Cosigned by {}.", witnesses.join(" and "))
    };
    said(format!(
        "The last entry of {number} is number {index} of the {size} that are signed. The file shows it, to whoever has the log's key. {witnessed}"
    ))
}
