//! `!again ID`: the same once more, decided anew as whoever asks, and never another thing.

use crate::harness::{Plan, World};

#[tokio::test]
async fn a_request_is_run_once_more_as_who_asks_and_its_story_says_what_it_repeats() {
    let world = World::with(Plan { other_room: true, ..Plan::default() }).await;
    let first = world.ask("!deploy web production v3").await;
    assert_eq!(first.state, "succeeded", "{}", first.body);

    let again = world.ask(&format!("!again {}", first.number)).await;
    assert_eq!(again.state, "succeeded", "{}", again.body);
    assert!(again.number > first.number);
    assert_eq!(world.ops.counted("deploy web production v3"), 2);
    let story = world.ask(&format!("!audit {}", again.number)).await;
    assert!(story.body.contains(&format!("again after `{}`", first.number)), "{}", story.body);
    let doors = format!(
        "SELECT count(*) FROM requests WHERE door = 'again {}' AND number = {}",
        first.number, again.number
    );
    assert_eq!(world.count(&doors).await, 1);

    // What alice may do bob may not, by repeating it either; and what he was refused she may have run.
    let refused = world.ask_as(&world.bob, &format!("!again {}", first.number)).await;
    assert_eq!(
        (refused.state.as_str(), world.ops.counted("deploy web production v3")),
        ("refused", 2),
        "{}",
        refused.body
    );
    assert!(refused.body.contains("production-is-for-leads"), "{}", refused.body);
    let hers = world.ask(&format!("!again {}", refused.number)).await;
    assert_eq!(
        (hers.state.as_str(), world.ops.counted("deploy web production v3")),
        ("succeeded", 3),
        "{}",
        hers.body
    );

    // What was never understood, nobody's number, and another room's: nothing is run.
    let mistyped = world.ask("!cuont here").await.number;
    let other = world.alice.join(&world.alias("other")).await;
    let there = world.alice.say(&other, "!count there").await;
    let there = world.alice.outcome(&world.bot(), &there).await.number;
    for (number, why) in
        [(mistyped, "never understood"), (999_999, "no such request"), (there, "no such request")]
    {
        let answer = world.ask(&format!("!again {number}")).await;
        assert_eq!(answer.state, "failed", "{}", answer.body);
        assert!(answer.body.contains(why), "{}", answer.body);
    }
    assert_eq!(world.ops.counted("there"), 1);

    // One that names itself before it exists, and one that names that, do not go round and round.
    let next = world.count("SELECT max(number) + 1 FROM requests").await;
    let itself = world.ask(&format!("!again {next}")).await;
    assert_eq!((itself.number, itself.state.as_str()), (next, "failed"), "{}", itself.body);
    let round = world.ask(&format!("!again {next}")).await;
    assert!(round.state == "failed" && round.body.contains("is an “again” itself"), "{}", round.body);
    assert_eq!(world.count("SELECT max(number) FROM requests").await, round.number);
}

#[tokio::test]
async fn what_would_be_another_thing_by_now_is_not_run_again() {
    let world = World::start().await;
    let echoed = world.ask("!echo one two").await.number;
    let counted = world.ask("!count kept").await.number;
    // The one command takes other arguments now, the other is gone from the room.
    let file = world.ops.read("commands/echo.toml");
    world.ops.file(
        "commands/echo.toml",
        &file.replace("type = \"text\"", "type = \"integer\"").replace("rest = true", ""),
    );
    let room = world.ops.read("rooms/deploy.toml");
    world.ops.file("rooms/deploy.toml", &room.replace("\"count\",", ""));
    let system = world.ops.read("systems/web.toml");
    world.ops.file("systems/web.toml", &system.replace("status = [\"count status\"]\n", ""));
    let reloaded = world.ask("!reload").await;
    assert_eq!(reloaded.state, "succeeded", "{}", reloaded.body);
    for (number, why) in [(echoed, "a whole number"), (counted, "`count`")] {
        let answer = world.ask(&format!("!again {number}")).await;
        assert_eq!(answer.state, "failed", "{}", answer.body);
        assert!(
            answer.body.contains("the commands have changed since") && answer.body.contains(why),
            "{}",
            answer.body
        );
    }
    assert_eq!((world.ops.counted("echo"), world.ops.counted("kept")), (1, 1));
}
