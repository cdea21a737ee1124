//! A room took another's place: what waited there for somebody's word is ended, and that is said where people are now. What is
//! recorded of the one is read in the other.

use std::sync::Arc;

use ruma::OwnedRoomId;

use super::{answers, dispatcher::House, pipeline::Asked};
use crate::{
    model::{Event, Message, RequestNumber, Span, State, StateMark},
    storage::{Error, InboxRow, Request, Work},
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

impl Asked<'_> {
    /// A request of this room, or of one whose place it took.
    pub async fn request_of_here(&self, number: RequestNumber) -> Result<Option<Request>, Error> {
        let storage = &self.house.storage;
        let Some(request) = storage.request(number).await? else { return Ok(None) };
        Ok(storage.is_place(&self.address.room, &request.room).await?.then_some(request))
    }
}
