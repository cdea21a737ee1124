//! A room took another's place: what waited there for somebody's word is ended, and that is said where people are now.

use std::sync::Arc;

use ruma::OwnedRoomId;

use super::{answers, dispatcher::House};
use crate::{
    model::{Event, Message, Span, State, StateMark},
    storage::{Error, InboxRow, Work},
};

/// Ends what waits in the room of this lane. An approval that was given counts for a prompt that nobody can see any more, and
/// who may give one is asked of a room that is none of ours: so it is asked for anew.
pub async fn process(house: &Arc<House>, mut work: Work, row: &InboxRow) -> Result<(), Error> {
    let next = std::str::from_utf8(&row.raw).ok().and_then(|room| OwnedRoomId::try_from(room).ok());
    let before = OwnedRoomId::try_from(row.lane.as_str()).ok();
    let Some((before, next)) = before.zip(next) else { return house.conclude(work).await };
    for request in work.waiting_requests_in(&before).await? {
        let (number, by) = (request.number, house.homeserver.bot().to_owned());
        work.transition(number, request.state, State::Cancelled, Event::CommandCancelled { by }).await?;
        let message = Message::marked(StateMark::Cancelled).line([
            Span::strong("Not run:"),
            Span::text(format!(" {number} of ")),
            Span::strong(request.sender.as_str()),
            Span::text(" waited in the room whose place this one has taken. Ask for it again here."),
        ]);
        work.send(answers::in_room(next.clone(), format!("request/{number}/succession"), &message));
        metrics::counter!("quarterdeck_requests_total", "state" => "cancelled").increment(1);
    }
    house.conclude(work).await
}
