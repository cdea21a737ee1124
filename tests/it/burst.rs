//! Many commands at once: nothing is lost, nothing doubled, and each room is decided in its own order.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};
use serde_json::Value;

use crate::harness::{OwnHomeserver, Plan, World, server::client};

#[tokio::test]
async fn two_hundred_commands_of_five_people_are_each_run_once_in_the_order_of_the_room() {
    let world = World::with(Plan { crowd: 3, ..Plan::default() }).await;
    let people: Vec<_> = [&world.alice, &world.bob].into_iter().chain(&world.crowd).collect();
    let begun = Instant::now();
    let sending = join_all((0..200).map(async |number| {
        let person = people[number % people.len()];
        person.say(&world.room, &format!("!count burst-{number}")).await
    }));
    let is_command = |event: &&Value| {
        event["content"]["body"].as_str().is_some_and(|body| body.starts_with("!count burst-"))
    };
    // Alice watches all the while: what a client is pushed stands in the order in which the homeserver took it.
    let watching = world
        .alice
        .until("all of the burst", |seen| (seen.iter().filter(is_command).count() == 200).then_some(()));
    let (sent, ()) = join(sending, watching).await;
    let all_sent = begun.elapsed();
    for event in &sent {
        let answer = world.alice.outcome(&world.bot(), event).await;
        assert_eq!(answer.state, "succeeded", "{}", answer.body);
    }
    eprintln!("200 commands were sent in {all_sent:?}, and answered {:?} after the first", begun.elapsed());
    world.settled().await;

    let traced = world.ops.traced();
    assert_eq!(traced.len(), 201, "each ran once, and the one that settles");
    assert_eq!(traced.iter().collect::<BTreeSet<_>>().len(), 201);
    for event in &sent {
        assert_eq!(world.alice.outcomes(&world.bot(), event).len(), 1);
    }
    let seen = world.alice.seen();
    let in_the_room: Vec<_> =
        seen.iter().filter(is_command).filter_map(|event| event["event_id"].as_str()).collect();
    for order in [
        "SELECT event_id FROM requests r JOIN entries e ON e.request = r.number
         WHERE e.kind = 'command.permitted' AND event_id = ANY($1) ORDER BY e.place",
        "SELECT event_id FROM requests WHERE event_id = ANY($1) ORDER BY number",
    ] {
        let decided: Vec<String> =
            sqlx::query_scalar(order).bind(&sent).fetch_all(&world.sql()).await.unwrap();
        assert_eq!(decided, in_the_room, "{order}");
    }
}

#[tokio::test]
async fn the_limits_of_a_stock_homeserver_hold_back_no_answer() {
    let own = OwnHomeserver::up(&["--stock-limits", "--appservices", "2"]);
    let plan = Plan { homeserver: Some(own.homeserver.clone()), puppet: true, ..Plan::default() };
    let world = World::with(plan).await;
    // People have their limit, which is of no use here; a puppet has none.
    let eve = world.eve.as_ref().unwrap();
    let begun = Instant::now();
    let mut commands = Vec::new();
    for number in 0..25 {
        commands.push(eve.say(&world.room, &format!("!count stock-{number}")).await);
    }
    for command in &commands {
        assert_eq!(world.alice.outcome(&world.bot(), command).await.state, "succeeded");
    }
    // An ordinary user of this homeserver may send 10, and then one every 5 seconds.
    let took = begun.elapsed();
    eprintln!("25 commands were answered in {took:?} under stock limits");
    assert!(took < Duration::from_secs(25), "{took:?}");
    assert_eq!(world.ask("!count alice").await.state, "succeeded");
    assert_eq!(world.ask_as(&world.bob, "!deploy web production v1").await.state, "refused");
    assert_eq!(world.ops.traced().iter().collect::<BTreeSet<_>>().len(), 26);
    let url = format!("http://{}/metrics", world.address());
    let metrics = client().get(url).send().await.unwrap().text().await.unwrap();
    assert!(!metrics.contains("quarterdeck_rate_limited_total"), "it was asked for patience: {metrics}");
    drop(world);
}
