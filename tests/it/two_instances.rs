//! Two `serve` on one database: what is due happens once, whoever sees to it, and what one runs the other can stop.

use serde_json::{Value, json};

use crate::{
    approvals::{Company, body, number},
    harness::Plan,
};

/// What was said about a command in these words, so far.
fn said(company: &Company, command: &str, words: &str) -> usize {
    company.alice.answers(&company.bot(), command).iter().filter(|event| body(event).contains(words)).count()
}

#[tokio::test]
async fn what_nobody_approves_expires_once_and_is_said_once() {
    let company = Company::with(Plan::default(), "wait = \"5s\"\nremind = \"2s\"").await;
    let mut second = company.second().await;
    // Several at once, so that the two have something to race for.
    let mut commands = Vec::new();
    for version in 1..=6 {
        commands.push(company.bob.say(&company.room, &format!("!deploy web production v{version}")).await);
    }
    for command in &commands {
        let ended = company.ends(command).await;
        assert_eq!(ended.state, "expired", "{}", ended.body);
        company.once(ended.number, "command.expired").await;
    }
    company.world.settled().await;
    for command in &commands {
        assert_eq!(company.alice.outcomes(&company.bot(), command).len(), 1, "said once");
        assert_eq!(said(&company, command, "Still waits"), 1, "reminded once");
    }
    assert!(company.ops.traced().iter().all(|line| !line.starts_with("deploy")));
    second.stop().await;
}

#[tokio::test]
async fn what_waits_expires_although_the_instance_that_took_it_is_dead() {
    let mut company = Company::with(Plan::default(), "wait = \"4s\"\nremind = \"2s\"").await;
    let mut second = company.second().await;
    let (command, _) = company.waits("!deploy web production v1").await;
    company.world.kill();
    let ended = company.ends(&command).await;
    assert_eq!(ended.state, "expired", "{}", ended.body);
    company.once(ended.number, "command.expired").await;
    second.stop().await;
    company.world.serve().await;
    company.world.settled().await;
    assert_eq!(company.alice.outcomes(&company.bot(), &command).len(), 1, "said once");
}

#[tokio::test]
async fn what_one_instance_runs_or_keeps_waiting_is_cancelled_through_the_other_once() {
    let mut company = Company::start().await;
    let mut second = company.second().await;
    // What waits.
    let (waiting, prompt) = company.waits("!deploy web production v1").await;
    assert_eq!(cancel(&company, second.address(), "waiting", number(&prompt)).await, 200);
    let ended = company.ends(&waiting).await;
    assert_eq!(ended.state, "cancelled", "{}", ended.body);
    company.once(ended.number, "command.cancelled").await;

    // What runs: the one that does not run it is told.
    let running = company.bob.say(&company.room, "!slow 100 stopped").await;
    company.started("stopped begins").await;
    let (request, instance): (i64, String) = sqlx::query_as(
        "SELECT r.number, i.instance FROM requests r JOIN attempts a ON a.request = r.number
         JOIN instances i ON i.boot = a.boot WHERE r.event_id = $1",
    )
    .bind(&running)
    .fetch_one(&company.sql())
    .await
    .unwrap();
    let other = if instance == "second" { company.address() } else { second.address().to_owned() };
    assert_eq!(cancel(&company, &other, "running", request).await, 200);
    let ended = company
        .alice
        .answer_that(&company.bot(), &running, |event| {
            event["content"]["org.quarterdeck.request"]["state"] == "cancelled"
        })
        .await;
    assert!(body(&ended).contains(&format!("Stopped by {}", company.bob.id)), "{}", body(&ended));
    for kind in ["run.cancel_requested", "run.finished"] {
        company.once(request, kind).await;
    }
    assert_eq!(company.ops.counted("stopped ends"), 0);
    company.all_decided().await;
    company.nothing_waits_to_be_sent().await;
    company.alice.sync(std::time::Duration::ZERO).await;
    assert_eq!(company.alice.outcomes(&company.bot(), &running).len(), 1, "said once");
    second.stop().await;
    // The answers to what no homeserver knows cannot be sent.
    company.world.leave_pending();
}

/// bob's `!cancel`, which the homeserver delivers to this address alone.
async fn cancel(company: &Company, address: &str, name: &str, request: i64) -> u16 {
    let now = company.count("SELECT (extract(epoch FROM now()) * 1000)::bigint").await;
    let event: Value = json!({
        "type": "m.room.message", "event_id": format!("$cancel-{name}"), "room_id": company.room,
        "sender": company.bob.id, "origin_server_ts": now,
        "content": { "msgtype": "m.text", "body": format!("!cancel {request}") },
    });
    company.deliver_to(address, &format!("cancel {name}"), &[event]).await
}
