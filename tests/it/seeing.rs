//! Who sees what a program printed: everybody in the room, or who asked alone.

use std::time::{Duration, Instant};

use quarterdeck::model::fault::Point;
use serde_json::{Value, json};

use crate::harness::{Person, Plan, World};

/// The partner may not read what `fail`, `lines` and `slow` print, and the web team not what `whois` does.
const RULES: &str = r#"
@id("not-for-partners")
@says("What goes wrong here is not the partner's.")
forbid (principal in Team::"partner", action == Action::"read_output", resource)
when { ["fail", "lines", "slow"].contains(context.command) };
@id("not-for-web")
@says("Who is who is not for the web team.")
forbid (principal in Team::"web", action == Action::"read_output", resource)
when { context.command == "whois" };
"#;

/// alice and bob of the team `web`, and carol of the partner, who lives on another homeserver. She is not in the room yet.
async fn world() -> World {
    let mut world = World::prepared(Plan { federated: true, ..Plan::default() }).await;
    world.ops.file("policies/seeing.cedar", RULES);
    let echo = world.ops.read("commands/echo.toml").replace("effect =", "answer = \"private\"\neffect =");
    world.ops.file("commands/echo.toml", &echo);
    world.serve().await;
    world.gather().await;
    world
}

/// carol comes into the room, and that is known.
async fn carol_comes(world: &World) -> &Person {
    let carol = world.carol.as_ref().unwrap();
    carol.join(&world.alias("deploy")).await;
    carol.sync(Duration::ZERO).await;
    until(world, "carol is known to be there", &is_joined(carol)).await;
    carol
}

fn is_joined(who: &Person) -> String {
    format!("SELECT count(*) FROM members WHERE user_id = '{}' AND membership = 'join'", who.id)
}

/// Waits until a count is not 0.
async fn until(world: &World, what: &str, sql: &str) {
    let begun = Instant::now();
    while world.count(sql).await == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}: never");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The room with somebody alone, once everything that was to be said there is said.
pub async fn direct(world: &World, who: &Person) -> String {
    let sent = format!(
        "SELECT count(*) FROM outbox WHERE room_id = '{0}' HAVING count(*) > 0 AND bool_and(state = 'sent')",
        who.id
    );
    until_some(world, &sent).await;
    sqlx::query_scalar("SELECT room_id FROM direct_rooms WHERE user_id = $1")
        .bind(&who.id)
        .fetch_one(&world.sql())
        .await
        .unwrap()
}

/// Waits until a query gives a row.
async fn until_some(world: &World, sql: &str) {
    let begun = Instant::now();
    let sql = format!("SELECT count(*) FROM ({sql}) AS it");
    until(world, &sql, &sql).await;
    assert!(begun.elapsed() < Duration::from_secs(40));
}

/// Accepts the invitation and waits for a message there. What was said before reaches another homeserver when its people
/// read back, as their clients do.
pub async fn read_there(who: &Person, room: &str, words: &str) -> Value {
    who.join(room).await;
    let begun = Instant::now();
    loop {
        let (_, page) =
            who.call("GET", &["rooms", room, "messages"], &[("dir", "b"), ("limit", "50")], None).await;
        let said = page["chunk"].as_array().into_iter().flatten();
        let fits = |event: &&Value| event["content"]["body"].as_str().is_some_and(|it| it.contains(words));
        if let Some(event) = said.clone().find(fits) {
            return event.clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{words:?} is not in {page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether somebody has seen words in the room where everybody is.
fn saw(who: &Person, room: &str, words: &str) -> bool {
    who.seen().iter().any(|event| event["room_id"] == room && event["content"].to_string().contains(words))
}

async fn entry(world: &World, number: i64, kind: &str) -> Value {
    let body: String = sqlx::query_scalar("SELECT body FROM entries WHERE request = $1 AND kind = $2")
        .bind(number)
        .bind(kind)
        .fetch_one(&world.sql())
        .await
        .unwrap();
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn what_somebody_in_the_room_may_not_read_goes_to_who_asked_alone() {
    let world = world().await;
    assert!(world.ask("!fail").await.body.contains("it went wrong"), "they may all read it");
    let carol = carol_comes(&world).await;
    // A name is no identity.
    carol
        .must("PUT", &["profile", &carol.id, "displayname"], &json!({ "displayname": world.alice.id }))
        .await;
    let answer = world.ask("!fail").await;
    assert_eq!(answer.state, "failed");
    let body = answer.body.replace('*', "");
    assert!(body.contains("exit status 3") && !body.contains("it went wrong"), "{body}");
    assert!(body.contains(&format!("What it printed went to {} alone", world.alice.id)), "{body}");
    assert!(body.contains(&carol.id), "it says why: {body}");
    let private = entry(&world, answer.number, "answer.private").await;
    assert_eq!((private["why"].as_str(), private["to"].as_str()), (Some("readers"), Some(&*world.alice.id)));

    // It waits for her there, and she can read it once she has accepted.
    let room = direct(&world, &world.alice).await;
    let said = read_there(&world.alice, &room, "it went wrong").await;
    assert!(said["content"]["body"].as_str().unwrap().contains("You asked: "), "{said}");
    assert_eq!(said["content"]["org.quarterdeck.request"]["number"], answer.number);
    assert_eq!(world.count("SELECT count(*) FROM entries WHERE kind = 'direct.opened'").await, 2);

    // What everybody may read is shown, and the partner's answers go to her, on her homeserver.
    assert!(world.ask("!count shown").await.body.contains("counted shown"));
    let whois = carol.say(&world.room, &format!("!whois {}", world.bob.id)).await;
    let answer = carol.outcome(&world.bot(), &whois).await;
    assert!(!answer.body.contains("it is"), "{}", answer.body);
    let hers = direct(&world, carol).await;
    assert_ne!(hers, room);
    read_there(carol, &hers, "it is").await;
    for person in [carol, &world.bob] {
        person.sync(Duration::ZERO).await;
    }
    assert!(!saw(&world.bob, &world.room, "it is @"));
    assert!(!saw(carol, &world.room, "it went wrong"));
}

#[tokio::test]
async fn files_and_stories_go_where_the_output_goes_and_there_is_one_room_for_each() {
    let world = world().await;
    let carol = carol_comes(&world).await;
    let long = world.ask("!lines 3000").await;
    assert!(!long.body.contains("of the output"), "{}", long.body);
    assert!(!long.body.contains("Whole output"), "{}", long.body);
    let room = direct(&world, &world.alice).await;
    let file = read_there(&world.alice, &room, &format!("lines-{}.txt", long.number)).await;
    assert_eq!(file["content"]["msgtype"], "m.file");
    world.bob.sync(Duration::ZERO).await;
    assert!(world.bob.seen().iter().all(|event| event["content"]["msgtype"] != "m.file"));

    // In the room `!audit` tells the story without the output; to her it tells it whole. To carol it does not.
    let story = world.ask(&format!("!audit {}", long.number)).await;
    assert!(!story.body.contains("of the output"), "{}", story.body);
    assert!(story.body.contains("went to you alone"), "{}", story.body);
    read_there(&world.alice, &room, "What it printed:").await;
    let asked = carol.say(&world.room, &format!("!audit {}", long.number)).await;
    let hers = carol.outcome(&world.bot(), &asked).await;
    assert!(hers.body.contains("The rules do not let you read here what it printed."), "{}", hers.body);
    assert_eq!(world.count("SELECT count(*) FROM direct_rooms WHERE room_id IS NOT NULL").await, 1);

    // She leaves it, and is invited again into the same one.
    world.alice.leave(&room).await;
    world.ask("!fail").await;
    assert_eq!(direct(&world, &world.alice).await, room);
    read_there(&world.alice, &room, "it went wrong").await;

    // What is declared so answers only who asks, whoever else may read it.
    let private = world.ask("!echo between us").await;
    assert!(!private.body.contains("between us"), "{}", private.body);
    assert!(private.body.contains("answers only who asks"), "{}", private.body);
    assert_eq!(entry(&world, private.number, "answer.private").await["why"], "declared");
    read_there(&world.alice, &room, "between us").await;
}

#[tokio::test]
async fn it_is_decided_for_those_who_are_there_when_it_is_answered() {
    let world = world().await;
    let carol = world.carol.as_ref().unwrap();
    // Nobody but the teams comes in: a stranger is not asked for.
    let stranger = Person::register(&world.lease.homeserver, "mallory").await;
    assert_eq!(stranger.try_join(&world.alias("deploy")).await, 403);
    // It is known for these people that all may read it.
    assert!(world.ask("!slow 0 before").await.body.contains("slept 0"));
    let command = world.alice.say(&world.room, "!slow 6 while").await;
    world.started("while begins").await;
    carol_comes(&world).await;
    let answer = world.alice.outcome(&world.bot(), &command).await;
    assert!(!answer.body.contains("slept"), "she came while it ran: {}", answer.body);
    let room = direct(&world, &world.alice).await;
    read_there(&world.alice, &room, "slept 6").await;

    // Who asked and left gets nothing, and the room neither.
    let command = world.bob.say(&world.room, "!slow 5 leaving").await;
    world.started("leaving begins").await;
    world.bob.leave(&world.room).await;
    let answer = world.alice.outcome(&world.bot(), &command).await;
    assert!(answer.body.contains("is kept, and not shown here"), "{}", answer.body);
    assert!(!answer.body.contains("slept"), "{}", answer.body);
    assert_eq!(entry(&world, answer.number, "answer.private").await.get("to"), Some(&Value::Null));
    let his = format!("SELECT count(*) FROM direct_rooms WHERE user_id = '{}'", world.bob.id);
    assert_eq!(world.count(&his).await, 0);

    // When she has gone it is the room's again.
    carol.leave(&world.room).await;
    let gone = format!("{} AND room_id = '{}'", is_joined(carol), world.room);
    let begun = Instant::now();
    while world.count(&gone).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(world.ask("!slow 0 after").await.body.contains("slept 0"));
}

/// alice and bob alone, where what `fail` prints goes to alice alone.
async fn two(plan: Plan) -> World {
    let mut world = World::prepared(plan).await;
    let bob = format!(
        "@id(\"not-for-bob\") @says(\"Not for bob.\") forbid (principal == User::\"{}\", action == Action::\"read_output\", resource);",
        world.bob.id
    );
    world.ops.file("policies/seeing.cedar", &bob);
    world.serve().await;
    world.gather().await;
    world
}

#[tokio::test]
async fn a_room_that_was_deleted_or_into_which_somebody_else_came_is_given_up_for_another() {
    let world = two(Plan::default()).await;
    world.ask("!fail").await;
    let first = direct(&world, &world.alice).await;
    read_there(&world.alice, &first, "it went wrong").await;
    Person::administrator(&world.lease.homeserver).await.delete_room(&first).await;
    world.ask("!fail").await;
    let second = direct(&world, &world.alice).await;
    assert_ne!(second, first);
    read_there(&world.alice, &second, "it went wrong").await;
    // By the homeserver's administrator, or an error of ours: whoever is there, it is not said before them.
    let path = ["rooms", &second, "invite"];
    world.as_bot().must("POST", &path, &json!({ "user_id": world.bob.id })).await;
    world.bob.join(&second).await;
    world.ask("!fail").await;
    let third = direct(&world, &world.alice).await;
    assert!(third != second && third != first);
    read_there(&world.alice, &third, "it went wrong").await;
    world.bob.sync(Duration::ZERO).await;
    assert!(!saw(&world.bob, &second, "it went wrong"), "he came after what was said there before");
    assert_eq!(
        world
            .count("SELECT count(*) FROM entries WHERE kind = 'direct.opened' AND body LIKE '%given up%'")
            .await,
        2
    );
}

#[tokio::test]
async fn on_a_homeserver_that_encrypts_private_rooms_the_room_with_one_person_is_readable() {
    let own = crate::harness::OwnHomeserver::up(&["--encrypts", "invite"]);
    let world = two(Plan { homeserver: Some(own.homeserver.clone()), ..Plan::default() }).await;
    world.ask("!fail").await;
    let room = direct(&world, &world.alice).await;
    read_there(&world.alice, &room, "it went wrong").await;
    let (status, _) =
        world.alice.call("GET", &["rooms", &room, "state", "m.room.encryption", ""], &[], None).await;
    assert_eq!(status, 404, "it is not encrypted");
}

/// Kills `serve` at `point` while it opens the room with alice alone.
async fn killed(point: Point) {
    let mut world = world().await;
    carol_comes(&world).await;
    world.settled().await;
    world.stop().await;
    world.serve_until(point).await;
    let command = world.alice.say(&world.room, "!fail").await;
    world.died().await;
    world.serve().await;
    let answer = world.alice.outcome(&world.bot(), &command).await;
    assert!(!answer.body.contains("it went wrong"), "{}", answer.body);
    let room = direct(&world, &world.alice).await;
    read_there(&world.alice, &room, "it went wrong").await;
    // One room, in which it is said once.
    world.ask("!fail").await;
    assert_eq!(direct(&world, &world.alice).await, room);
    let bot = world.as_bot();
    let joined = bot.must("GET", &["joined_rooms"], &Value::Null).await;
    let mut names = Vec::new();
    for one in joined["joined_rooms"].as_array().unwrap() {
        let (status, members) =
            bot.call("GET", &["rooms", one.as_str().unwrap(), "joined_members"], &[], None).await;
        let mut of_two = members["joined"].as_object().into_iter().flatten().map(|(who, _)| who.as_str());
        if status == 200 && of_two.any(|who| who == world.alice.id) {
            names.push(one.as_str().unwrap().to_owned());
        }
    }
    names.retain(|one| *one != world.room);
    let made =
        world.count("SELECT count(*) FROM entries WHERE kind = 'direct.opened' AND body LIKE '%made%'").await;
    assert_eq!((made, names.iter().filter(|one| **one == room).count()), (1, 1), "{names:?}");
    let (_, page) =
        world.alice.call("GET", &["rooms", &room, "messages"], &[("dir", "b"), ("limit", "50")], None).await;
    let of_it = |event: &&Value| event["content"]["org.quarterdeck.request"]["number"] == answer.number;
    assert_eq!(page["chunk"].as_array().unwrap().iter().filter(of_it).count(), 1, "{page}");
}

#[tokio::test]
async fn killed_when_the_room_with_somebody_was_made_it_is_found_again() {
    killed(Point::AfterDirectRoomMade).await;
}

#[tokio::test]
async fn killed_when_somebody_was_invited_they_are_not_invited_twice() {
    killed(Point::AfterDirectInvitation).await;
}
