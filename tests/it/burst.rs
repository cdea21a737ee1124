//! Many people at once: nothing is lost, nothing doubled, and each room is decided in its own order.

use std::{collections::BTreeSet, time::Instant};

use futures_util::future::join_all;

use crate::harness::{Plan, World};

#[tokio::test]
async fn two_hundred_commands_of_five_people_are_each_run_once_in_the_order_of_the_room() {
    let world = World::with(Plan { crowd: 3, ..Plan::default() }).await;
    let people: Vec<_> = [&world.alice, &world.bob].into_iter().chain(&world.crowd).collect();
    let begun = Instant::now();
    let sent = people.iter().enumerate().map(async |(who, person)| {
        let mut events = Vec::new();
        for number in 0..40 {
            events.push(person.say(&world.room, &format!("!count p{who}-{number}")).await);
        }
        events
    });
    let sent: Vec<String> = join_all(sent).await.concat();
    for event in &sent {
        assert_eq!(world.alice.outcome(&world.bot(), event).await.state, "succeeded");
    }
    eprintln!("200 commands were sent and answered in {:?}", begun.elapsed());
    world.settled().await;

    let traced = world.ops.traced();
    assert_eq!(traced.len(), 201, "each ran once, and the one that settles");
    assert_eq!(traced.iter().collect::<BTreeSet<_>>().len(), 201);
    for event in &sent {
        assert_eq!(world.alice.outcomes(&world.bot(), event).len(), 1);
    }
    let commands: BTreeSet<_> = sent.iter().map(String::as_str).collect();
    let seen = world.alice.seen();
    let in_the_room: Vec<_> = seen
        .iter()
        .filter_map(|event| event["event_id"].as_str())
        .filter(|id| commands.contains(id))
        .collect();
    let decided: Vec<String> = sqlx::query_scalar(
        "SELECT event_id FROM requests r JOIN entries e ON e.request = r.number AND e.kind = 'command.permitted'
         WHERE event_id IS NOT NULL ORDER BY e.place",
    )
    .fetch_all(&world.sql())
    .await
    .unwrap();
    let decided: Vec<_> = decided.iter().map(String::as_str).filter(|id| commands.contains(id)).collect();
    assert_eq!(decided, in_the_room);
}
