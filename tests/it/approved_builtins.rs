//! What Quarterdeck does itself waits for approval like everything else, and is done when it is given.

use crate::{
    approvals::{Company, RULES, body, digits, number},
    harness::Plan,
};

/// Another version, and a team for a while, need somebody else's word.
const GUARDED: &str = r#"
@id("a-second-look")
@says("Another lead looks at a new version.")
@remedy("approval") @by("leads") @count("1")
forbid (principal, action == Action::"reload", resource)
unless { context.approvals.leads >= 1 };
@id("ask-for-ops")
permit (principal in Team::"web", action == Action::"elevate", resource);
@id("ops-lets-in")
@says("The ops team says whom it lets in.")
@remedy("approval") @by("ops") @count("1")
forbid (principal, action == Action::"elevate", resource)
unless { context.approvals.ops >= 1 };
"#;

async fn company() -> Company {
    let mut company = Company::prepared(Plan::default(), "").await;
    company.ops.file("policies/rules.cedar", &format!("{RULES}{GUARDED}"));
    company.world.serve().await;
    company.gather().await;
    company
}

#[tokio::test]
async fn a_version_that_waits_shows_in_words_what_would_change_and_comes_into_force_when_approved() {
    let company = company().await;
    company.ops.file(
        "policies/closed.cedar",
        "@id(\"staging-is-closed\") @says(\"Staging is being rebuilt.\")\n\
         forbid (principal, action == Action::\"deploy\", resource in Environment::\"staging\");\n",
    );
    let command = company.alice.say(&company.room, "!reload").await;
    let prompt = company.prompt(&command).await;
    let text = body(&prompt).replace('`', "");
    for shown in
        ["What would be different then:", "rule staging-is-closed added", "Staging is being rebuilt."]
    {
        assert!(text.contains(shown), "{shown} in {text}");
    }
    assert_eq!(company.ask_as(&company.bob, "!deploy web staging").await.state, "succeeded");
    // An older prompt is answered with the present one, which shows it all again.
    let again = company.ask_as(&company.carol, &format!("!approve {} 0000", number(&prompt))).await;
    assert_eq!(again.state, "refused", "{}", again.body);
    let present = company.prompt_that(&command, |event| event["event_id"] != prompt["event_id"]).await;
    assert!(body(&present).contains("Staging is being rebuilt."), "{}", body(&present));

    company.react(&company.carol, &prompt, "✅").await;
    let ended = company.ends(&command).await;
    assert_eq!(ended.state, "succeeded", "{}", ended.body);
    assert!(ended.body.contains("In force now"), "{}", ended.body);
    let no = company.ask_as(&company.bob, "!deploy web staging").await;
    assert!(no.body.contains("Staging is being rebuilt."), "{}", no.body);
}

#[tokio::test]
async fn nobody_is_asked_to_approve_a_version_that_could_not_come_into_force() {
    let company = company().await;
    company.ops.file("policies/broken.cedar", "permit (principal, action == Action::\"depoly\", resource);");
    let answer = company.ask("!reload").await;
    assert_eq!(answer.state, "refused", "{}", answer.body);
    assert!(answer.body.contains("policies/broken.cedar"), "{}", answer.body);
}

#[tokio::test]
async fn a_version_that_was_changed_while_it_waited_is_not_the_one_that_was_approved() {
    let company = company().await;
    let closed = |says: &str| {
        format!(
            "@id(\"closed\") @says(\"{says}\") forbid (principal, action == Action::\"deploy\", resource in \
             Environment::\"staging\");"
        )
    };
    company.ops.file("policies/closed.cedar", &closed("First."));
    let command = company.alice.say(&company.room, "!reload").await;
    let prompt = company.prompt(&command).await;
    company.ops.file("policies/closed.cedar", &closed("Second."));
    company.react(&company.carol, &prompt, "✅").await;
    let ended = company.ends(&command).await;
    assert_eq!(ended.state, "failed", "{}", ended.body);
    assert!(ended.body.contains("Nothing was changed"), "{}", ended.body);
    assert_eq!(company.ask_as(&company.bob, "!deploy web staging").await.state, "succeeded");
}

#[tokio::test]
async fn a_team_for_a_while_is_given_when_it_is_approved() {
    let company = company().await;
    let (command, prompt) = company.waits("!elevate ops 5m the night shift is ill").await;
    assert_eq!(company.count("SELECT count(*) FROM elevations").await, 0);
    // Who asks does not let themselves in.
    assert_eq!(company.ask_as(&company.bob, &format!("!approve {}", number(&prompt))).await.state, "refused");
    let said = format!("!approve {} {}", number(&prompt), digits(&prompt));
    assert_eq!(company.ask_as(&company.dave, &said).await.state, "succeeded");
    let ended = company.ends(&command).await;
    assert_eq!(ended.state, "succeeded", "{}", ended.body);
    assert!(ended.body.contains("the night shift is ill"), "{}", ended.body);
    assert_eq!(company.count("SELECT count(*) FROM elevations WHERE ended_at IS NULL").await, 1);
}
