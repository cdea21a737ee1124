//! Joins the pages to what decides: `web` asks, `dispatch` answers, and neither knows the other.

use std::{sync::Arc, time::Duration};

use axum::Router;
use futures_util::future::{BoxFuture, FutureExt as _};
use ruma::{RoomId, UserId};

use crate::{
    catalogue::Ops,
    dispatch::{House, Sight},
    model::RequestNumber,
    storage::{Error, RoomIds, Storage},
    web::{self, Decides, Pages, WrittenRule},
};

/// How often it is looked which sessions have come to their end.
const ROUND: Duration = Duration::from_mins(1);

/// The pages, where an address is set for them. `log_key`: the public key of the log.
pub fn router(house: &Arc<House>, log_key: &str) -> Router {
    let in_force = house.current.get();
    let settings = &in_force.ops.settings;
    let Some(url) = &settings.web_url else { return Router::new() };
    let decides = Arc::new(Asks(Arc::clone(house)));
    Pages::new(house.storage.clone(), decides, url, &settings.prefix, log_key).router()
}

/// Ends sessions whose time has come, for as long as the server runs.
pub async fn keep_ending(storage: Storage) {
    loop {
        tokio::time::sleep(ROUND).await;
        if let Err(error) = storage.end_old_sessions().await {
            tracing::debug!(%error, "sessions that nobody can use any more stay for now");
        }
    }
}

struct Asks(Arc<House>);

impl Decides for Asks {
    fn sight<'a>(&'a self, who: &'a UserId) -> BoxFuture<'a, Result<Box<dyn web::Sight>, Error>> {
        async move { Ok(Box::new(self.0.sight(who).await?) as Box<dyn web::Sight>) }.boxed()
    }

    fn reads<'a>(
        &'a self,
        who: &'a UserId,
        room: Option<&'a RoomId>,
        query: &'a str,
    ) -> BoxFuture<'a, Result<(), Error>> {
        self.0.reads(who, room, query).boxed()
    }

    fn printed_so_far(&self, number: RequestNumber) -> Option<String> {
        self.0.printed_so_far(number)
    }
}

impl web::Sight for Sight {
    fn rooms(&self) -> &RoomIds {
        self.rooms()
    }

    fn ops(&self) -> &Ops {
        self.ops()
    }

    fn may_read_output(
        &self,
        room: &RoomId,
        command: &str,
        requester: &UserId,
        subject: Option<&str>,
    ) -> bool {
        self.may_read_output(room, command, requester, subject)
    }

    fn rules(&self) -> (Vec<WrittenRule>, usize, String) {
        let (rules, hidden, version) = self.rules();
        let written = rules.into_iter().map(|(told, code)| WrittenRule {
            id: told.id,
            says: told.says,
            place: told.place,
            code,
        });
        (written.collect(), hidden, version)
    }
}
