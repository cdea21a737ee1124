//! Membership of a team for a while: decided by the rules, over by itself, and said of every decision made under it.

use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::{
    approvals::digits,
    harness::{Plan, World},
};

const RULES: &str = r#"
@id("ask-for-dba")
@says("The web team may be dba for a while.")
permit (principal in Team::"web", action == Action::"elevate", resource)
when { context.arguments.team == "dba" && context.arguments.duration <= duration("10m") };

@id("dba-changes-production")
permit (principal in Team::"dba", action == Action::"deploy", resource in Environment::"production");

@id("somebody-looks")
@says("Somebody else looks at what is guarded.")
@remedy("approval") @by("web") @count("1")
forbid (principal, action == Action::"count", resource)
when { context.arguments.word == "guarded" }
unless { context.approvals.web >= 1 };

@id("dba-approves")
permit (principal in Team::"dba", action == Action::"approve", resource);
"#;

async fn world() -> World {
    let mut world = World::prepared(Plan { limits: "elevation = \"20m\"", ..Plan::default() }).await;
    world.ops.team("dba", &[&world.lease.homeserver.name], &[], 0);
    let rules = world.ops.read("policies/rules.cedar");
    let rules = rules.replace(
        "unless { principal in Team::\"leads\" };",
        "unless { principal in [Team::\"leads\", Team::\"dba\"] };",
    );
    world.ops.file("policies/rules.cedar", &rules);
    world.ops.file("policies/elevation.cedar", RULES);
    world.serve().await;
    world.gather().await;
    world
}

async fn last(world: &World, kind: &str) -> Value {
    let sql = format!("SELECT body FROM entries WHERE kind = '{kind}' ORDER BY place DESC LIMIT 1");
    let body: String = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&world.sql()).await.unwrap();
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn somebody_is_in_a_team_for_a_while_and_everything_decided_then_says_so() {
    let world = world().await;
    let deploy = "!deploy web production";
    assert_eq!(world.ask_as(&world.bob, deploy).await.state, "refused");
    let given = world.ask_as(&world.bob, "!elevate dba 6s the index is broken").await;
    assert_eq!(given.state, "succeeded", "{}", given.body);
    assert!(given.body.contains("until") && given.body.contains("the index is broken"), "{}", given.body);
    let entry = last(&world, "elevation.given").await;
    assert_eq!((entry["user"].as_str(), entry["team"].as_str()), (Some(world.bob.id.as_str()), Some("dba")));
    assert!(!entry.to_string().contains("index"), "the words can be erased");

    let yes = world.ask_as(&world.bob, deploy).await;
    assert_eq!(yes.state, "succeeded", "{}", yes.body);
    assert!(
        yes.body.contains("in dba for a while") || yes.body.contains("in **dba** for a while"),
        "{}",
        yes.body
    );
    assert_eq!(last(&world, "command.permitted").await["elevated"][0], "dba");
    // It is bob's, and nobody else's; and no other team's.
    assert_eq!(world.ask("!count alice").await.body.find("for a while"), None);
    assert_eq!(world.ask_as(&world.bob, "!elevate partner 5m I am curious").await.state, "refused");
    assert_eq!(last(&world, "command.refused").await["elevated"][0], "dba");

    // It ends by itself, by the time of the decision.
    let begun = Instant::now();
    while world.count("SELECT count(*) FROM entries WHERE kind = 'elevation.ended'").await == 0 {
        assert!(begun.elapsed() < Duration::from_secs(15));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(last(&world, "elevation.ended").await["why"], "over");
    assert_eq!(world.ask_as(&world.bob, deploy).await.state, "refused");
    assert_eq!(last(&world, "command.refused").await.get("elevated"), None);
    world
        .bob
        .until("the word of its end", |events| {
            let over = |event: &Value| {
                event["content"]["body"].as_str().is_some_and(|body| body.contains("the time is over"))
            };
            events.iter().any(over).then_some(())
        })
        .await;
}

#[tokio::test]
async fn what_is_over_counts_for_nothing_although_nobody_has_written_that_down() {
    let mut world = world().await;
    assert_eq!(world.ask_as(&world.bob, "!elevate dba 2s the index is broken").await.state, "succeeded");
    world.kill();
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.serve().await;
    assert_eq!(world.ask_as(&world.bob, "!deploy web production").await.state, "refused");
    assert_eq!(last(&world, "command.refused").await.get("elevated"), None);
}

#[tokio::test]
async fn what_cannot_be_had_is_said_before_anybody_is_asked() {
    let world = world().await;
    let no = world.ask_as(&world.bob, "!elevate dab 5m typing is hard").await;
    assert_eq!(
        (no.state.as_str(), no.body.contains("Did you mean dba") || no.body.contains("Did you mean `dba`")),
        ("refused", true),
        "{}",
        no.body
    );
    let no = world.ask_as(&world.bob, "!elevate dba 2h a long night").await;
    assert!(no.body.contains("too long"), "{}", no.body);
    let no = world.ask_as(&world.bob, "!elevate web 5m for fun").await;
    assert!(no.body.contains("already"), "{}", no.body);
    assert!(world.ask_as(&world.bob, "!elevate dba 5m").await.body.contains("reason"));
    // The rules have the last word.
    assert_eq!(world.ask_as(&world.bob, "!elevate dba 15m too long for the rule").await.state, "refused");
    assert_eq!(world.count("SELECT count(*) FROM elevations").await, 0);
}

#[tokio::test]
async fn whoever_is_struck_from_a_team_is_in_no_other_for_a_while() {
    let world = world().await;
    assert_eq!(world.ask_as(&world.bob, "!elevate dba 10m the index is broken").await.state, "succeeded");
    world.ops.team("web", &[&world.lease.homeserver.name], &[&world.alice.id], 1);
    assert_eq!(world.ask("!reload").await.state, "succeeded");
    assert_eq!(last(&world, "elevation.ended").await["why"], "struck");
    assert_eq!(world.ask_as(&world.bob, "!deploy web production").await.state, "refused");
}

#[tokio::test]
async fn explanations_and_approvals_count_it_for_as_long_as_it_lasts() {
    let world = world().await;
    let may = format!("!can {} deploy web production", world.bob.id);
    assert!(world.ask_as(&world.bob, "!why deploy web production").await.body.contains("You may not"));
    assert!(world.ask(&may).await.body.contains("may not"));
    let guarded = world.alice.say(&world.room, "!count guarded").await;
    let prompt = world
        .bob
        .answer_that(&world.bot(), &guarded, |event| {
            event["content"]["body"].to_string().contains("Waits for 1 approval")
        })
        .await;
    assert!(prompt["content"]["body"].to_string().contains("Nobody in this room can approve it now"));
    let number = prompt["content"]["org.quarterdeck.request"]["number"].clone();
    assert_eq!(world.ask_as(&world.bob, &format!("!approve {number}")).await.state, "refused");

    assert_eq!(world.ask_as(&world.bob, "!elevate dba 10m the index is broken").await.state, "succeeded");
    let why = world.ask_as(&world.bob, "!why deploy web production").await.body.replace('*', "");
    assert!(why.contains("You may:") && why.contains("its sender is in dba for a while"), "{why}");
    let can = world.ask(&may).await.body.replace('*', "");
    assert!(
        can.contains(" may: ") && can.contains(&format!("{} is in dba for a while", world.bob.id)),
        "{can}"
    );
    // Not in its thread the number alone does not say which prompt was read.
    let unsaid = world.ask_as(&world.bob, &format!("!approve {number}")).await;
    assert!(unsaid.body.contains("the 4 digits of the newest prompt"), "{}", unsaid.body);
    let approved = world.ask_as(&world.bob, &format!("!approve {number} {}", digits(&prompt))).await;
    assert_eq!(approved.state, "succeeded", "{}", approved.body);
    assert!(approved.body.replace('*', "").contains("is in dba for a while"), "{}", approved.body);
    assert_eq!(last(&world, "approval.given").await["elevated"][0], "dba");
    assert_eq!(world.alice.outcome(&world.bot(), &guarded).await.state, "succeeded");
}

#[tokio::test]
async fn an_approval_by_somebody_who_is_in_a_team_no_more_is_void() {
    let mut world = world().await;
    let rules =
        world.ops.read("policies/elevation.cedar").replace("\"count\", resource", "\"slow\", resource");
    world.ops.file("policies/elevation.cedar", &rules);
    assert_eq!(world.ask("!reload").await.state, "succeeded");
    // What runs holds the lock, so that what is approved waits to start until the approver's time is over.
    let first = world.alice.say(&world.room, "!slow 8 first").await;
    world.started("first begins").await;
    let guarded = world.alice.say(&world.room, "!slow 0 guarded").await;
    let is_prompt = |event: &Value| event["content"]["body"].to_string().contains("Waits for 1 approval");
    let prompt = world.bob.answer_that(&world.bot(), &guarded, is_prompt).await;
    let number = prompt["content"]["org.quarterdeck.request"]["number"].clone();
    assert_eq!(world.ask_as(&world.bob, "!elevate dba 4s the index is broken").await.state, "succeeded");
    let approve = format!("!approve {number} {}", digits(&prompt));
    assert_eq!(world.ask_as(&world.bob, &approve).await.state, "succeeded");
    assert_eq!(world.alice.outcome(&world.bot(), &first).await.state, "succeeded");
    world
        .alice
        .answer_that(&world.bot(), &guarded, |event| {
            event["content"]["body"].to_string().contains("the rules no longer let them approve this")
        })
        .await;
    assert_eq!(last(&world, "approval.void").await["why"], "rules");
    assert_eq!(world.ops.counted("guarded begins"), 0);
    world.leave_pending();
}
