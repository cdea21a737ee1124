//! Teams on other homeservers: the same rooms, the same rules; and servers that are no team's.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    approvals::{body, digits, number},
    harness::{Answer, OwnHomeserver, Person, Plan, State, World},
};

async fn sender_of(world: &World, event: &str) -> String {
    sqlx::query_scalar("SELECT sender FROM requests WHERE event_id = $1")
        .bind(event)
        .fetch_one(&world.sql())
        .await
        .unwrap()
}

async fn ask(world: &World, person: &Person, text: &str) -> (Answer, String) {
    let event = person.say(&world.room, text).await;
    (person.outcome(&world.bot(), &event).await, event)
}

#[tokio::test]
async fn a_partners_member_joins_runs_what_is_permitted_and_is_refused_the_rest() {
    let world = World::with(Plan { federated: true, ..Plan::default() }).await;
    let carol = world.carol.as_ref().unwrap();
    carol.join(&world.alias("deploy")).await;
    carol.sync(Duration::ZERO).await;

    let (answer, event) = ask(&world, carol, "!deploy api staging v3").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert_eq!(sender_of(&world, &event).await, carol.id);
    // Both homeservers show the same answer.
    assert_eq!(world.alice.outcome(&world.bot(), &event).await.event["event_id"], answer.event["event_id"]);
    let (answer, event) = ask(&world, carol, "!deploy web staging v3").await;
    assert_eq!(answer.state, "refused");
    assert!(answer.body.contains("Partners change api in staging only."), "{}", answer.body);
    assert!(answer.body.contains("partner-ceiling"), "{}", answer.body);
    assert_eq!(world.why_refused(&event).await, "rules");
    assert_eq!(world.ops.traced(), ["deploy api staging v3"]);
    assert_eq!(world.ask("!deploy web staging v3").await.state, "succeeded", "what carol may not, alice may");

    let acl = world.alice.state(&world.room, "m.room.server_acl", "").await;
    let allowed = acl["allow"].as_array().unwrap();
    let state = State::read();
    for homeserver in &state.homeservers {
        assert!(allowed.contains(&Value::from(homeserver.name.as_str())), "{acl}");
    }
    assert!(!allowed.contains(&Value::from("*")), "{acl}");
}

#[tokio::test]
async fn a_display_name_copied_from_a_lead_of_another_homeserver_changes_nothing() {
    let world = World::with(Plan { federated: true, ..Plan::default() }).await;
    let carol = world.carol.as_ref().unwrap();
    carol.join(&world.alias("deploy")).await;
    carol.sync(Duration::ZERO).await;
    carol
        .must("PUT", &["profile", &carol.id, "displayname"], &json!({ "displayname": world.alice.id }))
        .await;
    world
        .alice
        .until("carol bears alice's name", |seen| {
            let renamed = |event: &&Value| {
                event["state_key"] == carol.id.as_str()
                    && event["content"]["displayname"] == world.alice.id.as_str()
            };
            seen.iter().find(renamed).map(drop)
        })
        .await;
    let (answer, event) = ask(&world, carol, "!deploy web production v4").await;
    assert_eq!(answer.state, "refused");
    assert_eq!(world.why_refused(&event).await, "rules");
    assert_eq!(sender_of(&world, &event).await, carol.id);
    assert!(world.ops.traced().is_empty());
    // It was the rules and not the command.
    assert_eq!(world.ask("!deploy web production v4").await.state, "succeeded");
}

#[tokio::test]
async fn a_server_that_no_team_names_gets_nothing() {
    let certificates = State::read().folder.join("certificates");
    let third = OwnHomeserver::up(&["--appservices", "1", "--certificates", certificates.to_str().unwrap()]);
    let dave = Person::register(&third.homeserver, "dave").await;
    let world = World::with(Plan { federated: true, ..Plan::default() }).await;
    let via = world.lease.homeserver.name.clone();
    let join = async || {
        let path = ["join", &world.room];
        dave.call("POST", &path, &[("server_name", &via)], Some(&json!({}))).await
    };
    assert_eq!(join().await.0, 403, "nobody invited him");

    // Lists of servers name hosts, without ports, and all homeservers of these tests are on one: with an invitation
    // this one's comes in, as anybody's does where some server in the room does not honour the list.
    let acl = world.alice.state(&world.room, "m.room.server_acl", "").await;
    assert!(
        !acl["allow"].as_array().unwrap().contains(&Value::from(third.homeserver.name.as_str())),
        "{acl}"
    );
    world.as_bot().must("POST", &["rooms", &world.room, "invite"], &json!({ "user_id": dave.id })).await;
    let (status, answer) = join().await;
    assert_eq!(status, 200, "{answer}");
    let mut events = Vec::new();
    for text in ["!count dave", "!deploy api staging v1", "!help", "!no-such-thing"] {
        events.push(dave.say(&world.room, text).await);
        world.alice.until_seen(&events[events.len() - 1]).await;
    }
    world.settled().await;
    for event in &events {
        assert_eq!(world.state_of(event).await.as_deref(), Some("refused"));
        assert_eq!(world.why_refused(event).await, "server");
        assert_eq!(sender_of(&world, event).await, dave.id);
        assert_eq!(world.alice.answers(&world.bot(), event), Vec::<Value>::new(), "he is not even told so");
    }
    assert_eq!(world.ops.counted("dave"), 0);
    assert_eq!(world.ops.counted("deploy api staging v1"), 0);
    // The same words of somebody of a team run: it was the server.
    assert_eq!(world.ask("!count dave").await.state, "succeeded");
    drop(world);
}

#[tokio::test]
async fn a_host_that_no_team_names_is_kept_out_by_the_rooms_own_list() {
    let certificates = State::read().folder.join("certificates");
    let certificates = certificates.to_str().unwrap();
    // Its name is told from the others' without its port as well.
    let third =
        OwnHomeserver::up(&["--appservices", "1", "--host", "127.0.0.1", "--certificates", certificates]);
    let dave = Person::register(&third.homeserver, "dave").await;
    let world = World::with(Plan { federated: true, ..Plan::default() }).await;
    let carol = world.carol.as_ref().unwrap();
    world.as_bot().must("POST", &["rooms", &world.room, "invite"], &json!({ "user_id": dave.id })).await;
    let via = world.lease.homeserver.name.clone();
    let path = ["join", &world.room];
    let (status, answer) = dave.call("POST", &path, &[("server_name", &via)], Some(&json!({}))).await;
    assert_eq!(status, 403, "{answer}");
    assert!(answer["error"].as_str().unwrap_or_default().contains("banned"), "{answer}");
    // Who has an invitation and a team comes in by the same way.
    let (status, answer) = carol.call("POST", &path, &[("server_name", &via)], Some(&json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    drop(world);
}

/// What asks both organisations, and what asks leads of ours.
const BOTH: &str = r#"
@id("members-approve")
permit (principal, action in [Action::"approve", Action::"deny"], resource)
when { principal in [Team::"web", Team::"partner"] };
@id("ours-and-theirs")
@says("One of ours and one of theirs say yes.")
@remedy("approval") @by("web, partner") @count("1")
forbid (principal, action == Action::"count", resource)
when { context.arguments.word == "guarded" }
unless { context.approvals.web >= 1 && context.approvals.partner >= 1 && context.approvals.total >= 2 };
@id("ours-alone")
@says("A lead of ours says yes.")
@remedy("approval") @by("leads") @count("1")
forbid (principal, action == Action::"count", resource)
when { context.arguments.word == "ours" }
unless { context.approvals.leads >= 1 };
"#;

/// A world in which carol of the other homeserver is in the room, under those rules.
async fn of_two_organisations() -> World {
    let mut world = World::prepared(Plan { federated: true, ..Plan::default() }).await;
    world.ops.file("policies/both.cedar", BOTH);
    world.serve().await;
    world.gather().await;
    let carol = world.carol.as_ref().unwrap();
    carol.join(&world.alias("deploy")).await;
    carol.sync(Duration::ZERO).await;
    world
}

/// The prompt about a command, as somebody sees it.
async fn prompt(world: &World, who: &Person, command: &str) -> Value {
    let is_prompt = |event: &Value| body(event).contains("!approve ");
    who.answer_that(&world.bot(), command, is_prompt).await
}

async fn told(world: &World, command: &str, words: &str) -> Value {
    world.alice.answer_that(&world.bot(), command, |event| body(event).contains(words)).await
}

/// The bodies of a request's entries of a kind.
async fn bodies(world: &World, number: i64, kind: &str) -> Vec<Value> {
    let sql = "SELECT body FROM entries WHERE request = $1 AND kind = $2 ORDER BY place";
    let found: Vec<String> =
        sqlx::query_scalar(sql).bind(number).bind(kind).fetch_all(&world.sql()).await.unwrap();
    found.iter().map(|body| serde_json::from_str(body).unwrap()).collect()
}

#[tokio::test]
async fn what_asks_one_of_ours_and_one_of_theirs_runs_when_both_have_said_yes_each_on_their_homeserver() {
    let world = of_two_organisations().await;
    let carol = world.carol.as_ref().unwrap();
    let command = world.bob.say(&world.room, "!count guarded").await;
    let seen = prompt(&world, carol, &command).await;
    let id = seen["event_id"].as_str().unwrap();
    let mentioned = seen["content"]["m.mentions"]["user_ids"].as_array().unwrap();
    assert!(mentioned.contains(&Value::from(carol.id.as_str())), "{mentioned:?}");

    carol.react(&world.room, id, "✅").await;
    let missing = told(&world, &command, &format!("Approved by {}. 1 missing", carol.id)).await;
    assert!(body(&missing).contains("by web"), "{}", body(&missing));
    // The one who asked is one of ours, and does not count; nor does hers count twice.
    world.bob.react(&world.room, id, "✅").await;
    told(&world, &command, "asked for this, and cannot approve it too").await;
    let again = carol.say(&world.room, &format!("!approve {} {}", number(&seen), digits(&seen))).await;
    carol.outcome(&world.bot(), &again).await;
    assert_eq!(world.state_of(&command).await.as_deref(), Some("awaiting_approval"));
    assert_eq!(world.ops.counted("guarded"), 0);

    world.alice.react(&world.room, id, "✅").await;
    assert_eq!(carol.outcome(&world.bot(), &command).await.state, "succeeded");
    assert_eq!(world.ops.counted("guarded"), 1);
    let given: Vec<_> = bodies(&world, number(&seen), "approval.given").await;
    let by: std::collections::BTreeSet<_> = given.iter().filter_map(|entry| entry["by"].as_str()).collect();
    assert_eq!(by, [carol.id.as_str(), world.alice.id.as_str()].into(), "{given:?}");
}

#[tokio::test]
async fn the_yes_of_another_organisation_is_none_where_ours_is_asked() {
    let world = of_two_organisations().await;
    let carol = world.carol.as_ref().unwrap();
    // Not under the name of a lead of ours, either.
    let name = json!({ "displayname": world.alice.id });
    carol.must("PUT", &["profile", &carol.id, "displayname"], &name).await;
    let command = world.bob.say(&world.room, "!count ours").await;
    let seen = prompt(&world, carol, &command).await;
    carol.react(&world.room, seen["event_id"].as_str().unwrap(), "✅").await;
    let no = told(&world, &command, "cannot approve this").await;
    assert!(body(&no).starts_with(&carol.id), "{}", body(&no));
    let said = carol.say(&world.room, &format!("!approve {} {}", number(&seen), digits(&seen))).await;
    let answer = carol.outcome(&world.bot(), &said).await;
    assert_eq!(answer.state, "refused", "{}", answer.body);
    assert_eq!(world.state_of(&command).await.as_deref(), Some("awaiting_approval"));
    let refused = bodies(&world, number(&seen), "approval.refused").await;
    assert!(!refused.is_empty() && refused.iter().all(|entry| entry["why"] == "team"), "{refused:?}");
    assert_eq!(world.ops.counted("ours"), 0);
    assert_eq!(world.ask_as(&world.bob, &format!("!cancel {}", number(&seen))).await.state, "succeeded");
}

#[tokio::test]
async fn an_open_room_lets_strangers_of_its_teams_homeservers_ask_and_nobody_else() {
    let certificates = State::read().folder.join("certificates");
    let third = OwnHomeserver::up(&["--appservices", "1", "--certificates", certificates.to_str().unwrap()]);
    let dave = Person::register(&third.homeserver, "dave").await;
    let stranger = Person::register(&State::read().homeservers[1], "stranger").await;
    let mut world = World::prepared(Plan { federated: true, ..Plan::default() }).await;
    let room = world.ops.read("rooms/deploy.toml");
    world.ops.file("rooms/deploy.toml", &format!("{room}join = \"open\"\n"));
    let asking = "@id(\"everybody-may-ask\")\npermit (principal, action in [Action::\"read\", Action::\"read_output\"], resource);\n";
    world.ops.file("policies/everybody.cedar", asking);
    world.serve().await;
    world.gather().await;

    // In no team, and not invited.
    stranger.join(&world.alias("deploy")).await;
    stranger.sync(Duration::ZERO).await;
    let (answer, event) = ask(&world, &stranger, "!count stranger").await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert_eq!(sender_of(&world, &event).await, stranger.id);
    for line in ["!deploy api staging v3", "!deploy web production v3"] {
        let (answer, event) = ask(&world, &stranger, line).await;
        assert_eq!(answer.state, "refused", "{}", answer.body);
        assert_eq!(world.why_refused(&event).await, "rules");
    }
    assert_eq!(world.ops.traced(), ["stranger"]);

    // Of a homeserver that no team names. Lists of servers name hosts and not ports, so here he can come in; not on the list, he is not heard.
    let acl = world.alice.state(&world.room, "m.room.server_acl", "").await;
    let allowed = acl["allow"].as_array().unwrap();
    assert!(
        !allowed.contains(&Value::from(third.homeserver.name.as_str()))
            && !allowed.contains(&Value::from("*")),
        "{acl}"
    );
    let via = world.lease.homeserver.name.clone();
    let (status, answer) =
        dave.call("POST", &["join", &world.room], &[("server_name", &via)], Some(&json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    let event = dave.say(&world.room, "!count dave").await;
    world.alice.until_seen(&event).await;
    world.settled().await;
    assert_eq!(world.why_refused(&event).await, "server");
    assert_eq!(world.ops.counted("dave"), 0);
}

#[tokio::test]
async fn somebody_whose_homeserver_does_not_answer_holds_up_no_room_and_nobody_else() {
    // It takes every connection, and says nothing on any.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("localhost:{}", silent.local_addr().unwrap().port());
    let held = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = silent.accept().await {
            connections.push(connection);
        }
    });
    let user = format!("@a:{server}");
    let mut world = World::prepared(Plan::default()).await;
    world.ops.team("silent", &[&server], &[&user], 0);
    let room = world.ops.read("rooms/deploy.toml");
    world.ops.file("rooms/deploy.toml", &room.replace("teams = [", "teams = [\"silent\", "));
    let begun = Instant::now();
    world.serve().await;
    assert!(begun.elapsed() < Duration::from_secs(8), "it was not waited for: {:?}", begun.elapsed());

    // Who comes after them in the room is invited, and served.
    world.gather().await;
    assert_eq!(world.ask("!count one").await.state, "succeeded");
    let failed = "SELECT body FROM entries WHERE kind = 'room.failed'";
    let told = loop {
        let told: Vec<String> = sqlx::query_scalar(failed).fetch_all(&world.sql()).await.unwrap();
        if !told.is_empty() {
            break told;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "nobody is told");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let words = format!("{user} is not invited");
    assert!(told[0].contains(&words) && told[0].contains(&format!("{server} does not answer")), "{told:?}");
    held.abort();
}
