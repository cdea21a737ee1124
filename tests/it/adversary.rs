//! Ways to have something approved that nobody approved: each of them runs nothing.

use serde_json::{Value, json};

use crate::{
    approvals::{Company, RULES, body, digits, in_thread, number},
    harness::Plan,
};

/// The command still waits, nothing ran, and these approvals were not counted.
async fn still_waits(company: &Company, command: &str, not_counted: &[&str]) {
    company.all_decided().await;
    assert_eq!(company.state(command).await, "awaiting_approval");
    assert_eq!(company.refused_approvals(command).await, not_counted);
    let ran = company.ops.traced().iter().any(|line| line.starts_with("deploy") || line == "both");
    assert!(!ran, "{:?}", company.ops.traced());
}

/// Ends what a test leaves waiting.
async fn drop_it(company: &Company, prompt: &Value) {
    let answer = company.ask(&format!("!cancel {}", number(prompt))).await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
}

#[tokio::test]
async fn nobody_approves_their_own_request() {
    let company = Company::start().await;
    // alice is a lead, and could approve it if somebody else had asked.
    let command = company.alice.say(&company.room, "!deploy web production v1").await;
    let prompt = company.prompt(&command).await;
    company.react(&company.alice, &prompt, "✅").await;
    company.told(&command, "asked for this, and cannot approve it too").await;
    let answer = company.ask(&format!("!approve {} {}", number(&prompt), digits(&prompt))).await;
    assert_eq!(answer.state, "refused", "{}", answer.body);
    still_waits(&company, &command, &["requester", "requester"]).await;
    drop_it(&company, &prompt).await;
}

#[tokio::test]
async fn an_approval_that_is_delivered_again_counts_once_and_for_one_request() {
    let company = Company::start().await;
    let (command, prompt) = company.waits("!both").await;
    let reaction = company.react(&company.dave, &prompt, "✅").await;
    company.told(&command, "1 missing").await;
    let mut event = company.event(&company.room, &reaction).await;
    event["room_id"] = company.room.as_str().into();
    assert_eq!(company.deliver("replayed", &[event.clone()]).await, 200);
    // Taken back, it cannot be delivered into force again.
    company.dave.redact(&company.room, &reaction).await;
    company.told(&command, "took the approval back").await;
    assert_eq!(company.deliver("replayed again", &[event]).await, 200);
    // And it is worth nothing for the next request.
    let (second, next) = company.waits("!both").await;
    company.react(&company.alice, &prompt, "✅").await;
    company.told(&command, &format!("Approved by {}. 1 missing", company.alice.id)).await;
    still_waits(&company, &command, &[]).await;
    still_waits(&company, &second, &[]).await;
    drop_it(&company, &prompt).await;
    drop_it(&company, &next).await;
}

#[tokio::test]
async fn an_approval_from_another_room_counts_nowhere_and_gives_nothing_away() {
    let company = Company::with(Plan { other_room: true, ..Plan::default() }, "").await;
    let (command, prompt) = company.waits("!deploy web production v1").await;
    let other = company.alice.join(&company.alias("other")).await;
    let said = company.alice.say(&other, &format!("!approve {} {}", number(&prompt), digits(&prompt))).await;
    let answer = company.alice.outcome(&company.bot(), &said).await;
    assert!(answer.body.contains("There is no request"), "{}", answer.body);
    // The homeserver takes no reaction to an event of another room; another homeserver might.
    let mut reaction = company.event(&other, &said).await;
    reaction["event_id"] = "$elsewhere".into();
    reaction["room_id"] = other.as_str().into();
    reaction["type"] = "m.reaction".into();
    reaction["content"] = json!({
        "m.relates_to": { "rel_type": "m.annotation", "event_id": prompt["event_id"], "key": "✅" },
    });
    assert_eq!(company.deliver("elsewhere", &[reaction]).await, 200);
    still_waits(&company, &command, &[]).await;
    drop_it(&company, &prompt).await;
}

#[tokio::test]
async fn the_approval_of_somebody_who_has_left_counts_no_longer() {
    let company = Company::start().await;
    let (command, prompt) = company.waits("!both").await;
    company.react(&company.dave, &prompt, "✅").await;
    company.told(&command, "1 missing").await;
    company.dave.leave(&company.room).await;
    company.react(&company.alice, &prompt, "✅").await;
    company.told(&command, &format!("Approved by {}. 1 missing", company.alice.id)).await;
    // Nor does one that arrives from somebody who is gone.
    let reaction = json!({
        "type": "m.reaction", "event_id": "$from-outside", "room_id": company.room, "sender": company.dave.id,
        "origin_server_ts": prompt["origin_server_ts"],
        "content": { "m.relates_to": { "rel_type": "m.annotation", "event_id": prompt["event_id"], "key": "✅" } },
    });
    assert_eq!(company.deliver("from outside", &[reaction]).await, 200);
    still_waits(&company, &command, &["membership"]).await;
    assert_eq!(company.whys(&command, "approval.void").await, ["membership"]);
    drop_it(&company, &prompt).await;
}

#[tokio::test]
async fn a_display_name_makes_nobody_a_lead() {
    let company = Company::start().await;
    let name = json!({ "displayname": company.carol.id });
    company.dave.must("PUT", &["profile", &company.dave.id, "displayname"], &name).await;
    let (command, prompt) = company.waits("!deploy web production v1").await;
    company.react(&company.dave, &prompt, "✅").await;
    let told = company.told(&command, "cannot approve this").await;
    assert!(body(&told).starts_with(&company.dave.id), "{}", body(&told));
    still_waits(&company, &command, &["team"]).await;
    drop_it(&company, &prompt).await;
}

#[tokio::test]
async fn a_reaction_to_what_is_no_prompt_or_not_ours_approves_nothing() {
    let company = Company::start().await;
    let (command, prompt) = company.waits("!deploy web production v1").await;
    // The same words and the same step, said by somebody else; the command itself; another message of ours.
    let fake = company.dave.send(&company.room, &prompt["content"]).await;
    company.alice.react(&company.room, &fake, "✅").await;
    company.alice.react(&company.room, &command, "✅").await;
    let other = company.ask("!ping").await;
    company.alice.react(&company.room, other.event["event_id"].as_str().unwrap(), "✅").await;
    company.alice.react(&company.room, prompt["event_id"].as_str().unwrap(), "👍").await;
    still_waits(&company, &command, &[]).await;
    drop_it(&company, &prompt).await;
}

#[tokio::test]
async fn an_approval_after_the_command_was_edited_runs_neither_text() {
    let company = Company::start().await;
    let (command, prompt) = company.waits("!deploy web production v1").await;
    company.bob.edit(&company.room, &command, "!deploy web production v2").await;
    company.react(&company.alice, &prompt, "✅").await;
    assert_eq!(company.ends(&command).await.state, "cancelled");
    company.world.settled().await;
    assert_eq!(company.ops.traced(), ["settled"]);
    assert_eq!(company.refused_approvals(&command).await, ["not_waiting"]);
}

#[tokio::test]
async fn a_typed_confirmation_of_what_was_shown_anew_names_what_it_confirms() {
    let company = Company::start().await;
    let (command, prompt) = company.waits("!wipe cache").await;
    company.reload(&format!("{RULES}\n// Another version.\n"), true).await;
    let say = async |words: &str| {
        company.bob.say(&company.room, &format!("!confirm {} {words}", number(&prompt))).await
    };
    let outdated = say(&digits(&prompt)).await;
    company.told(&outdated, "has changed since").await;
    let next = company.prompt_that(&command, |event| digits(event) != digits(&prompt)).await;
    // The second prompt may not have been seen by whoever names none.
    let unsaid = say("").await;
    company.told(&unsaid, "must say what is confirmed").await;
    assert_eq!(company.state(&command).await, "awaiting_confirmation");
    assert!(company.ops.traced().is_empty());
    say(&digits(&next)).await;
    assert_eq!(company.ends(&command).await.state, "succeeded");
    assert_eq!(company.ops.traced(), ["wipe cache"]);
}

#[tokio::test]
async fn rules_that_change_between_the_approval_and_the_start_void_it() {
    let company = Company::start().await;
    let holder = company.alice.say(&company.room, "!slow 8 holder").await;
    company.started("holder begins").await;
    let (command, prompt) = company.waits("!slow 0 guarded").await;
    company.react(&company.dave, &prompt, "✅").await;
    company.told(&command, "Approved by").await;
    // It was approved, and what it needs is taken: that is said as well.
    company.told(&command, "Waits until").await;
    assert_eq!(company.state(&command).await, "queued");
    company.reload(&format!("{RULES}\n// Another version.\n"), true).await;
    company.alice.outcome(&company.bot(), &holder).await;
    let next = company.prompt_that(&command, |event| body(event).contains("is void")).await;
    assert_eq!(company.state(&command).await, "awaiting_approval");
    assert_eq!(company.whys(&command, "approval.void").await, ["changed"]);
    assert_ne!(digits(&prompt), digits(&next));
    // The old prompt is worth nothing, the new one is.
    company.react(&company.carol, &prompt, "✅").await;
    company.told(&command, "another version").await;
    company.react(&company.dave, &next, "✅").await;
    assert_eq!(company.ends(&command).await.state, "succeeded");
    assert_eq!(company.ops.counted("guarded begins"), 1);
}

#[tokio::test]
async fn an_approval_is_taken_back_until_the_start_also_of_what_waits_for_its_lock() {
    let company = Company::start().await;
    let holder = company.alice.say(&company.room, "!slow 8 holder").await;
    company.started("holder begins").await;
    let (command, prompt) = company.waits("!slow 0 guarded").await;
    let reaction = company.react(&company.dave, &prompt, "✅").await;
    company.told(&command, "Waits until").await;
    assert_eq!(company.state(&command).await, "queued");
    company.dave.redact(&company.room, &reaction).await;
    company.told(&command, "took the approval back").await;
    assert_eq!(company.state(&command).await, "awaiting_approval");
    company.alice.outcome(&company.bot(), &holder).await;
    company.all_decided().await;
    assert_eq!(company.ops.counted("guarded begins"), 0);
    still_waits(&company, &command, &[]).await;
    drop_it(&company, &prompt).await;
}

#[tokio::test]
async fn another_program_under_the_same_name_voids_what_was_approved() {
    let company = Company::start().await;
    let (command, prompt) = company.waits("!both").await;
    company.react(&company.dave, &prompt, "✅").await;
    company.told(&command, "1 missing").await;
    let program = company.ops.path().parent().unwrap().join("bin/both");
    std::fs::write(&program, "#!/bin/sh\necho evil >> \"$TRACE\"\n").unwrap();
    company.react(&company.alice, &prompt, "✅").await;
    let next = company.prompt_that(&command, |event| body(event).contains("is void")).await;
    assert_ne!(digits(&prompt), digits(&next));
    still_waits(&company, &command, &["outdated"]).await;
    assert_eq!(company.ops.counted("evil"), 0);
    drop_it(&company, &next).await;
}

#[tokio::test]
async fn of_two_approvals_at_the_same_moment_one_starts_it_and_once() {
    let company = Company::start().await;
    let (command, prompt) = company.waits("!deploy web production v1").await;
    tokio::join!(company.react(&company.alice, &prompt, "✅"), company.react(&company.carol, &prompt, "✅"));
    assert_eq!(company.ends(&command).await.state, "succeeded");
    company.all_decided().await;
    let kinds = company.kinds(number(&prompt)).await;
    let count = |kind: &str| kinds.iter().filter(|it| *it == kind).count();
    assert_eq!(
        (count("approval.given"), count("approval.refused"), count("run.started")),
        (1, 1, 1),
        "{kinds:?}"
    );
    assert_eq!(company.ops.traced(), ["deploy web production v1"]);
}

#[tokio::test]
async fn power_in_the_room_is_no_leave_to_approve() {
    let company = Company::start().await;
    let mut levels = company.alice.state(&company.room, "m.room.power_levels", "").await;
    levels["users"][&company.dave.id] = 100.into();
    let path = ["rooms", &company.room, "state", "m.room.power_levels", ""];
    company.as_bot().must("PUT", &path, &levels).await;
    let (command, prompt) = company.waits("!deploy web production v1").await;
    assert!(!body(&prompt).contains(&company.dave.id), "{}", body(&prompt));
    company.react(&company.dave, &prompt, "✅").await;
    company.told(&command, "cannot approve this").await;
    still_waits(&company, &command, &["team"]).await;
    drop_it(&company, &prompt).await;
}

#[tokio::test]
async fn a_forbid_that_cannot_be_evaluated_is_a_no_to_what_waits() {
    let company = Company::start().await;
    let (command, prompt) = company.waits("!deploy web production v1").await;
    let broken = r#"
@id("broken") @says("This rule breaks.")
forbid (principal, action == Action::"deploy", resource)
when { context.time.hour + 1 + 9223372036854775807 < 0 };
"#;
    company.reload(&format!("{RULES}{broken}"), true).await;
    company.react(&company.alice, &prompt, "✅").await;
    let ended = company.ends(&command).await;
    assert_eq!(ended.state, "refused", "{}", ended.body);
    assert!(ended.body.contains("broken"), "{}", ended.body);
    assert!(company.ops.traced().is_empty());
}

#[tokio::test]
async fn an_attribute_that_an_entity_lacks_is_a_no_to_what_waits() {
    let company = Company::start().await;
    let rules = r#"
@id("not-about-the-mighty") @says("Nobody looks the mighty up.")
@remedy("approval") @by("ops") @count("1")
forbid (principal, action == Action::"whois", resource)
when { context.arguments.user.power_level > 50 }
unless { context.approvals.ops >= 1 };
"#;
    company.reload(&format!("{RULES}{rules}"), true).await;
    // The power of somebody whom an argument names is not known: so nobody can approve it either.
    let answer = company.ask_as(&company.bob, &format!("!whois {}", company.dave.id)).await;
    assert_eq!(answer.state, "refused", "{}", answer.body);
    assert_eq!(company.why_refused_number(answer.number).await, "evaluation");
    assert!(company.ops.traced().is_empty());
}

#[tokio::test]
async fn rules_with_a_slip_while_something_waits_change_nothing() {
    let company = Company::start().await;
    let (command, prompt) = company.waits("!deploy web production v1").await;
    company.reload("permit (principal, action, resource", false).await;
    let said = in_thread(&company, &company.carol, &command, "!approve").await;
    let answer = company.alice.outcome(&company.bot(), &said).await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    let done = |event: &Value| {
        let request = &event["content"]["org.quarterdeck.request"];
        request["number"] == number(&prompt) && request["state"] == "succeeded"
    };
    company.alice.answer_that(&company.bot(), &command, done).await;
    assert_eq!(company.ops.traced(), ["deploy web production v1"]);
}

/// The teams without those who were struck; in force when this is over.
async fn strike(company: &Company, web: &[&str], ops: &[&str]) {
    let homeserver = company.lease.homeserver.name.clone();
    company.ops.team("web", &[&homeserver], web, 1);
    company.ops.team("ops", &[&homeserver], ops, 1);
    company.reload(RULES, true).await;
}

#[tokio::test]
async fn whoever_is_struck_from_a_team_loses_what_waits_in_every_state_of_waiting() {
    let company = Company::start().await;
    let holder = company.alice.say(&company.room, "!slow 8 holder").await;
    company.started("holder begins").await;
    let mut waiting = Vec::new();
    for (line, state) in [
        ("!deploy web production v1", "awaiting_approval"),
        ("!wipe cache", "awaiting_confirmation"),
        ("!slow 0 guarded", "awaiting_approval"),
    ] {
        let (command, prompt) = company.waits(line).await;
        assert_eq!(company.state(&command).await, state, "{line}");
        waiting.push((command, prompt));
    }
    // Approved already, and behind another that runs.
    company.react(&company.dave, &waiting[2].1, "✅").await;
    company.told(&waiting[2].0, "Approved by").await;
    assert_eq!(company.state(&waiting[2].0).await, "queued");

    strike(&company, &[&company.alice.id], &[&company.carol.id, &company.dave.id]).await;
    for (command, prompt) in &waiting {
        let ended = company.ends(command).await;
        assert_eq!(ended.state, "refused", "{}", ended.body);
        assert!(ended.body.contains("does not name"), "{}", ended.body);
        assert_eq!(company.why_refused(command).await, "struck");
        // What was on its way comes too late.
        company.react(&company.carol, prompt, "✅").await;
    }
    assert_eq!(company.alice.outcome(&company.bot(), &holder).await.state, "succeeded");
    company.all_decided().await;
    let traced = company.ops.traced();
    assert!(traced.iter().all(|line| line.starts_with("holder")), "{traced:?}");
}

#[tokio::test]
async fn the_approval_of_somebody_who_was_struck_from_their_team_counts_no_longer() {
    let company = Company::start().await;
    let command = company.carol.say(&company.room, "!both").await;
    let prompt = company.prompt(&command).await;
    company.react(&company.dave, &prompt, "✅").await;
    company.told(&command, "1 missing").await;
    strike(&company, &[&company.alice.id, &company.bob.id], &[&company.carol.id]).await;
    company.react(&company.alice, &prompt, "✅").await;
    let next = company.prompt_that(&command, |event| body(event).contains("is void")).await;
    assert_ne!(digits(&prompt), digits(&next));
    // alice's yes to what is shown now, and dave's, who is nobody any more.
    company.react(&company.alice, &next, "✅").await;
    company.told(&command, &format!("Approved by {}. 1 missing", company.alice.id)).await;
    company.react(&company.dave, &next, "✅").await;
    company.all_decided().await;
    assert_eq!(company.state(&command).await, "awaiting_approval");
    assert_eq!(company.ops.counted("both"), 0);
    let answer = company.ask_as(&company.carol, &format!("!cancel {}", number(&next))).await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
}
