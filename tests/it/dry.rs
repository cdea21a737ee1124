//! `!dry COMMAND`: what a command would do, told without doing it, and never taken for the command itself.

use crate::{
    approvals::{Company, RULES, body, digits, number},
    harness::{OpsFolder, Plan},
};

/// Gives `deploy` of the test folder a dry run.
fn declare(ops: &OpsFolder) {
    let deploy = ops.read("commands/deploy.toml");
    let dry = "[dry]\narguments = [\"--plan\", \"{app}\", \"{env}\", \"{version}\"]\n";
    ops.file("commands/deploy.toml", &format!("{deploy}{dry}"));
}

async fn company(rules: &str) -> Company {
    let mut company = Company::prepared(Plan::default(), "").await;
    declare(&company.ops);
    company.ops.file("policies/rules.cedar", rules);
    company.world.serve().await;
    company.gather().await;
    company
}

/// What the rules of the example say: whoever may release may look at what a release would do.
fn alone() -> String {
    let two = "in Environment::\"production\")\nunless { context.approvals.leads >= 1 };";
    assert!(RULES.contains(two));
    RULES.replace(
        two,
        "in Environment::\"production\")\nunless { context.dry || context.approvals.leads >= 1 };",
    )
}

#[tokio::test]
async fn a_rule_may_let_a_dry_run_go_without_the_word_that_the_real_one_waits_for() {
    let company = company(&alone()).await;
    let dry = company.ask_as(&company.bob, "!dry deploy web production v3").await;
    assert_eq!(dry.state, "succeeded", "{}", dry.body);
    assert_eq!(
        company.ops.traced(),
        ["deploy --plan web production v3"],
        "the declared dry run, and nothing else"
    );
    assert!(dry.body.replace("**", "").contains("dry run: "), "nobody takes it for done: {}", dry.body);

    // The real one waits as ever.
    let (real, prompt) = company.waits("!deploy web production v3").await;
    assert_eq!(company.state(&real).await, "awaiting_approval");
    company.ask_as(&company.bob, &format!("!cancel {}", number(&prompt))).await;

    // On the record, once more, explained and scheduled it is the dry run as well.
    let story = company.ask(&format!("!audit {}", dry.number)).await.body;
    assert!(story.contains("dry deploy web@production"), "{story}");
    let list = company.ask("!audit --command deploy --outcome succeeded").await.body;
    assert!(list.contains("dry deploy web@production"), "{list}");
    let entry = format!(
        "SELECT count(*) FROM entries WHERE request = {} AND kind = 'command.permitted' AND (body::json ->> 'dry')::boolean",
        dry.number
    );
    assert_eq!(company.count(&entry).await, 1);
    let again = company.ask_as(&company.bob, &format!("!again {}", dry.number)).await;
    assert_eq!(again.state, "succeeded", "{}", again.body);
    assert_eq!(company.ops.counted("deploy --plan web production v3"), 2);
    let why = company.ask_as(&company.bob, "!why dry deploy web production v3").await.body;
    assert!(why.contains("may: ") && why.contains("`dry deploy --app web"), "{why}");
    let why = company.ask_as(&company.bob, "!why deploy web production v3").await.body;
    assert!(why.contains("two-person-rule"), "{why}");
    let every = company.ask_as(&company.bob, "!every day 09:00 dry deploy web production v3").await.body;
    assert!(every.contains("!dry deploy --app web --env production --version v3"), "{every}");

    // What declares none is not run at all.
    let none = company.ask_as(&company.bob, "!dry count one").await;
    assert_eq!(none.state, "refused");
    assert!(none.body.contains("has no dry run") && none.body.contains("!dry deploy"), "{}", none.body);
    assert_eq!(company.ops.traced().len(), 2, "{:?}", company.ops.traced());
}

#[tokio::test]
async fn an_approval_of_a_dry_run_never_starts_the_real_one_nor_the_other_way_round() {
    let company = company(RULES).await;
    let (real, of_real) = company.waits("!deploy web production v3").await;
    let (dry, of_dry) = company.waits("!dry deploy web production v3").await;
    assert!(body(&of_dry).contains("dry deploy --app web"), "{}", body(&of_dry));
    assert!(body(&of_dry).contains("deploy --plan web production v3"), "{}", body(&of_dry));
    assert_ne!(digits(&of_real), digits(&of_dry));
    let shown = company.ask("!ps").await.body;
    assert!(shown.contains("!dry deploy --app web") && shown.contains("!deploy --app web"), "{shown}");

    // The digits of the one are none of the other.
    for (of, digits) in [(number(&of_dry), digits(&of_real)), (number(&of_real), digits(&of_dry))] {
        let answer = company.ask(&format!("!approve {of} {digits}")).await;
        assert_eq!(answer.state, "refused", "{}", answer.body);
        assert!(answer.body.contains("another version"), "{}", answer.body);
    }
    company.react(&company.carol, &of_dry, "✅").await;
    assert_eq!(company.ends(&dry).await.state, "succeeded");
    assert_eq!(company.ops.traced(), ["deploy --plan web production v3"]);
    assert_eq!(company.state(&real).await, "awaiting_approval");
    company.react(&company.carol, &of_real, "✅").await;
    assert_eq!(company.ends(&real).await.state, "succeeded");
    assert_eq!(company.ops.traced(), ["deploy --plan web production v3", "deploy web production v3"]);
}

#[tokio::test]
async fn a_dry_run_that_waits_becomes_nothing_else_when_its_file_declares_none_any_more() {
    let mut company = company(RULES).await;
    let (dry, of_dry) = company.waits("!dry deploy web production v3").await;
    let text = company.ops.read("commands/deploy.toml");
    company.ops.file("commands/deploy.toml", text.split("[dry]").next().unwrap());
    company.reload(RULES, true).await;
    let answer = company.ask(&format!("!approve {} {}", number(&of_dry), digits(&of_dry))).await;
    assert_eq!(answer.state, "refused", "{}", answer.body);
    assert_eq!(company.state(&dry).await, "awaiting_approval");
    assert!(company.ops.traced().is_empty(), "{:?}", company.ops.traced());
    // Nobody can approve it any more; its time runs out.
    company.world.leave_pending();
}
