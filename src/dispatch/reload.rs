//! Another version of the ops folder comes into force: as a whole or not at all.
//!
//! The log names a version before anything is decided under it: `rules.loaded` is committed first, then the version is put
//! in force in memory. Where that commit's answer is lost, or another server of the database made it, [`follow`] takes up
//! what the log says. A death in between is no lie: the next start reads what the log named, or what the folder has become.

use std::sync::Arc;

use super::{
    answers, changes,
    dispatcher::House,
    in_force::InForce,
    pipeline::{Asked, No},
    said_of_versions as said,
    versions::{NotLoaded, Version, listed},
};
use crate::{
    executor::Secrets,
    matrix::render::Loudness,
    model::{
        Ending, Invocation, Message, Outcome, OutputSummary, Span, StateMark, Timestamp, Value, fault::Point,
    },
    policy::{Decision, Permit},
    storage::{Error, OutboxDraft, Work},
};

/// The command's name.
pub const COMMAND: &str = "reload";
/// Its arguments: what people ask for, and what that stood for when they did.
const REFERENCE: &str = "ref";
const VERSION: &str = "version";

fn text<'a>(invocation: &'a Invocation, name: &str) -> Option<&'a str> {
    match invocation.arguments.get(name) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

/// Before the rules are asked: finds what is meant by the name of a branch, or by the folder as it is now, so that what is
/// decided, shown and approved is exactly one version. Nothing is fetched for whom the rules refuse anyway.
pub async fn bind(asked: &Asked<'_>, now: Timestamp, invocation: &mut Invocation) -> Result<(), No> {
    let decision = asked.decide(invocation, now);
    if matches!(decision, Decision::Refused(_)) {
        return Ok(());
    }
    let not_loaded = |error: &NotLoaded| {
        let message = Message { mark: Some(StateMark::Refused), ..said::not_loaded(error) };
        No::plain("version", Some(message))
    };
    let found = asked.house.versions.name(text(invocation, REFERENCE)).await.map_err(|it| not_loaded(&it))?;
    match text(invocation, VERSION) {
        Some(wanted) if wanted != found => {
            let error = NotLoaded::Another { wanted: wanted.to_owned(), found };
            Err(not_loaded(&error))
        }
        _ => {
            invocation.arguments.insert(VERSION.to_owned(), Value::Text(found));
            // Nobody is asked to approve what could not come into force anyway.
            if matches!(decision, Decision::Waits(_)) {
                read(asked, invocation).await.map_err(|error| not_loaded(&error))?;
            }
            Ok(())
        }
    }
}

/// Reads the version that an invocation names, without putting it in force.
async fn read(asked: &Asked<'_>, invocation: &Invocation) -> Result<Version, NotLoaded> {
    let versions = &asked.house.versions;
    let _turn = versions.turn().await;
    versions.load(text(invocation, REFERENCE), text(invocation, VERSION).unwrap_or_default()).await
}

/// For the prompt of a request that waits: what would be different with the version that it asks for, an item each. Of
/// any other command nothing.
pub async fn would_change(asked: &Asked<'_>, invocation: &Invocation) -> Result<Vec<Vec<Span>>, Error> {
    if invocation.command != COMMAND {
        return Ok(Vec::new());
    }
    match read(asked, invocation).await {
        Ok(version) => Ok(changes::between(&asked.house.current.get(), &version.in_force)),
        Err(NotLoaded::Storage(error)) => Err(error),
        // What is shown is what holds: it cannot be loaded any more, so nothing would change.
        Err(error) => Ok(vec![vec![Span::text("nothing: "), Span::text(error.to_string())]]),
    }
}

/// Loads what was permitted, records it, and puts it in force once that is committed.
pub async fn conclude(
    asked: &Asked<'_>,
    mut work: Work,
    permit: Permit,
    invocation: &Invocation,
) -> Result<(), Error> {
    let house = asked.house;
    let _turn = house.versions.turn().await;
    let wanted = text(invocation, VERSION).unwrap_or_default();
    let loaded = house.versions.load(text(invocation, REFERENCE), wanted).await;
    let (message, next) = match loaded {
        Err(NotLoaded::Storage(error)) => return Err(error),
        Err(error) => (said::not_loaded(&error), None),
        Ok(version) => {
            let changes = changes::between(&house.current.get(), &version.in_force);
            let changed = work.keep_version(&permit, version.loading()).await?;
            (said::in_force(&version, changes, changed), Some(version))
        }
    };
    let outcome = Outcome {
        ending: Ending::Exited { status: i32::from(next.is_none()) },
        took_ms: 0,
        output: OutputSummary::empty(),
    };
    work.permitted(asked.number, &permit, invocation, asked.in_force.ops.digest, None).await?;
    let kept = asked.kept(&message);
    work.conclude(permit, asked.number, &outcome, kept.as_deref()).await?;
    work.send(asked.address.answer(asked.number, outcome.state(), &message, Loudness::Notice));
    if next.is_some() {
        let line = said::by_whom(&message, asked.sender);
        if let Some(draft) = in_log_room(house, format!("log/reload/{}", asked.number), &line).await?
            && draft.to != asked.address.room.clone().into()
        {
            work.send(draft);
        }
    }
    metrics::counter!("quarterdeck_requests_total", "state" => outcome.state().name()).increment(1);
    Point::BeforeReloadCommit.pass();
    house.conclude(work).await?;
    Point::AfterReloadCommit.pass();
    if let Some(version) = next {
        put_in_force(house, version).await;
        house.look_at(&asked.address.room);
    }
    Ok(())
}

/// Reads anew at a signal: the machine's own door, by which nothing new is admitted where versions come from a repository.
/// What came of it is told in the log room; an error is the caller's to write down.
pub async fn at_a_signal(house: &Arc<House>) -> Result<(), NotLoaded> {
    let _turn = house.versions.turn().await;
    let step = format!("log/signal/{}", house.storage.now().as_microsecond());
    let version = match house.versions.anew(&house.storage).await {
        Ok(version) => version,
        Err(error) => {
            say_in_log_room(house, step, &said::not_loaded(&error)).await;
            return Err(error);
        }
    };
    let changes = changes::between(&house.current.get(), &version.in_force);
    for change in &changes {
        tracing::info!(change = %plain(change), "in the new version");
    }
    if !version.need_a_restart.is_empty() {
        tracing::warn!(
            settings = version.need_a_restart.join(", "),
            "these settings differ and count after a restart only"
        );
    }
    let changed = house.storage.keep_version(version.loading()).await?;
    let message = said::in_force(&version, changes, changed);
    Point::AfterReloadCommit.pass();
    let in_force = put_in_force(house, version).await;
    tracing::info!(folder = %in_force.ops.digest, rules = %in_force.rules.digest(), "the ops folder is in force");
    if changed {
        say_in_log_room(house, step, &message).await;
    }
    Ok(())
}

/// Takes up the version that the log names last, where this server has another in force: another server loaded it, or the
/// answer to our own commit was lost. Says whether it did.
pub async fn follow(house: &Arc<House>) -> Result<bool, NotLoaded> {
    let differs = |last: &crate::storage::Loaded| {
        let in_force = house.current.get();
        (in_force.ops.digest, in_force.rules.digest()) != (last.folder, last.rules)
    };
    if house.storage.last_loaded().await?.is_none_or(|last| !differs(&last)) {
        return Ok(false);
    }
    let _turn = house.versions.turn().await;
    let Some(last) = house.storage.last_loaded().await?.filter(differs) else { return Ok(false) };
    house.versions.remember(&house.storage).await?;
    let version = house.versions.again(&last).await?;
    put_in_force(house, version).await;
    Ok(true)
}

/// Puts a version in force whose `rules.loaded` is committed.
pub async fn put_in_force(house: &House, version: Version) -> Arc<InForce> {
    let Version { in_force, .. } = version;
    house.versions.know(listed(&in_force.ops));
    house.executor.replace_secrets(Secrets::of(&in_force.ops));
    let next = house.current.replace(in_force);
    if let Err(error) = house.storage.replace_documents(&next.ops.documents).await {
        tracing::warn!(%error, "the runbooks could not be put where `docs` finds them; those of the version before stay");
    }
    next
}

/// A message for the log room, if there is one.
pub async fn in_log_room(
    house: &House,
    step: String,
    message: &Message,
) -> Result<Option<OutboxDraft>, Error> {
    let in_force = house.current.get();
    let Some(log) = in_force.ops.rooms.values().find(|room| room.log) else { return Ok(None) };
    let bound = house.storage.bound_rooms().await?;
    let room = bound.into_iter().find(|(key, _)| *key == log.key).map(|(_, room)| room);
    Ok(room.map(|room| answers::in_room(room, step, message)))
}

/// Tells the log room, if there is one.
pub async fn say_in_log_room(house: &House, step: String, message: &Message) {
    let said = async {
        let draft = in_log_room(house, step, message).await?;
        house.storage.say(draft.into_iter().collect()).await
    };
    match said.await {
        Ok(messages) => house.outbox.hand(messages),
        Err(error) => tracing::warn!(%error, "could not tell the log room"),
    }
}

fn plain(spans: &[Span]) -> String {
    spans
        .iter()
        .map(|span| match span {
            Span::Text(text) | Span::Code(text) | Span::Strong(text) | Span::Emphasis(text) => text.as_str(),
        })
        .collect()
}
