//! People who were taken out of a team: what waits of theirs is refused.
//!
//! It would be refused at its start anyway, because everything is decided anew then. This says so at once, and leaves no
//! prompt open for what can not be.

use std::{collections::BTreeSet, sync::Arc};

use ruma::OwnedUserId;

use super::{
    answers::Address,
    dispatcher::House,
    pipeline::{Asked, Granted, No},
};
use crate::{
    catalogue::Answers,
    model::{Event, Message, Span, StateMark},
    storage::{Error, InboxRow, Work},
};

/// Refuses what waits of the people whom a row names.
pub async fn process(house: &Arc<House>, mut work: Work, row: &InboxRow) -> Result<(), Error> {
    let users: BTreeSet<OwnedUserId> = serde_json::from_slice(&row.raw).unwrap_or_default();
    let in_force = house.current.get();
    for request in work.waiting_requests_of(&users).await? {
        let standing = work.standing(&request.room, &request.sender).await?;
        let room = standing.as_ref().and_then(|standing| in_force.ops.rooms.get(&standing.key));
        let Some((standing, room)) = standing.as_ref().zip(room) else {
            let by = house.homeserver.bot().to_owned();
            let event = Event::CommandCancelled { by };
            work.transition(request.number, request.state, crate::model::State::Cancelled, event).await?;
            continue;
        };
        let asked = Asked {
            house,
            in_force: &in_force,
            room,
            standing,
            sender: &request.sender,
            number: request.number,
            address: Address::of_request(&request, Answers::Thread),
            granted: Granted::default(),
        };
        let message = Message::marked(StateMark::Refused).line([
            Span::strong("Not run:"),
            Span::text(" the rules were loaded anew, and a team does not name "),
            Span::strong(request.sender.as_str()),
            Span::text(" any more. What waited is not run."),
        ]);
        asked.write_refusal(&mut work, request.state, No::plain("struck", Some(message))).await?;
    }
    house.conclude(work).await
}
