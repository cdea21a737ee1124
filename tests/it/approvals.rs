//! Approvals and confirmations: what you see is what runs, and the record says who let it.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Answer, OpsFolder, Person, Plan, World};

/// Two teams: alice (a lead) and bob are of `web`, carol and dave of `ops`, where carol leads.
///
/// In production a change waits for one approval by a lead; `both` for one of each team; `wipe` for a confirmation, and
/// in production for an approval as well.
pub const RULES: &str = r#"
@id("reading")
@says("Teams may look at everything.")
permit (principal in Team::"web", action in Action::"read", resource);
@id("reading-ops")
permit (principal in Team::"ops", action in Action::"read", resource);
@id("seeing")
permit (principal, action == Action::"read_output", resource)
when { principal in [Team::"web", Team::"ops"] };
@id("changing")
@says("The web team changes what it owns.")
permit (principal in Team::"web", action in [Action::"change", Action::"danger"], resource);
@id("approving")
@says("Members of a team approve and refuse.")
permit (principal, action in [Action::"approve", Action::"deny"], resource)
when { principal in [Team::"web", Team::"ops"] };
@id("stopping-by-leads")
@says("Leads stop what others began.")
permit (principal in Team::"leads", action == Action::"cancel", resource);
@id("reloading")
permit (principal in Team::"leads", action == Action::"reload", resource);
@id("guarded")
@says("Somebody of the ops team approves what is guarded.")
@remedy("approval") @by("ops") @count("1")
forbid (principal, action == Action::"slow", resource)
when { context.arguments.word == "guarded" }
unless { context.approvals.ops >= 1 };
@id("two-person-rule")
@says("Changes in production need one approval by a lead who is not the requester.")
@remedy("approval") @by("leads") @count("1")
forbid (principal, action in Action::"change", resource in Environment::"production")
unless { context.approvals.leads >= 1 };
@id("one-of-each")
@says("This needs one approval of each team.")
@remedy("approval") @by("web, ops") @count("1")
forbid (principal, action == Action::"both", resource)
unless { context.approvals.web >= 1 && context.approvals.ops >= 1 && context.approvals.total >= 2 };
@id("look-twice")
@says("What destroys is confirmed first.")
@remedy("confirm")
forbid (principal, action in Action::"danger", resource)
unless { context.confirmed };
@id("wipe-with-approval")
@says("Somebody of the ops team approves what destroys everything.")
@remedy("approval") @by("ops") @count("1")
forbid (principal, action == Action::"wipe", resource)
when { context.arguments.what == "all" }
unless { context.approvals.ops >= 1 };
"#;

/// The world of these tests: three people and more, two teams.
pub struct Company {
    /// The world; alice leads `web`, bob is in it.
    pub world: World,
    /// Leads `ops`.
    pub carol: Person,
    /// Is in `ops`.
    pub dave: Person,
}

impl std::ops::Deref for Company {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

/// What is added to the usual folder: two commands and the rules.
fn folder(ops: &OpsFolder, carol: &Person, dave: &Person, homeserver: &str, settings: &str) {
    ops.team("ops", &[homeserver], &[&carol.id, &dave.id], 1);
    ops.command("both", "read", "", r#"echo "both" >> "$TRACE"; echo "done""#);
    ops.command(
        "wipe",
        "danger",
        "\n[[argument]]\nname = \"what\"\ntype = \"choice\"\nchoices = [\"cache\", \"all\"]\n",
        r#"echo "wipe $1" >> "$TRACE"; echo "wiped $1""#,
    );
    ops.room("deploy", &["web", "ops"]);
    let room = ops.read("rooms/deploy.toml").replace("\"count\"", "\"count\", \"both\", \"wipe\"");
    ops.file("rooms/deploy.toml", &room);
    ops.file("policies/rules.cedar", RULES);
    let text = ops.read("quarterdeck.toml");
    ops.file("quarterdeck.toml", &format!("{text}[approvals]\n{settings}\n"));
}

impl Company {
    /// The usual one.
    pub async fn start() -> Self {
        Self::with(Plan::default(), "").await
    }

    /// With these lines in `[approvals]`.
    pub async fn with(plan: Plan, settings: &str) -> Self {
        let mut company = Self::prepared(plan, settings).await;
        company.world.serve().await;
        company.gather().await;
        company
    }

    /// Before `serve` is started.
    pub async fn prepared(plan: Plan, settings: &str) -> Self {
        let world = World::prepared(plan).await;
        let carol = Person::register(&world.lease.homeserver, "carol").await;
        let dave = Person::register(&world.lease.homeserver, "dave").await;
        folder(&world.ops, &carol, &dave, &world.lease.homeserver.name, settings);
        Self { world, carol, dave }
    }

    /// Everybody goes into the room.
    pub async fn gather(&mut self) {
        self.world.gather().await;
        let alias = self.world.alias("deploy");
        for person in [&self.carol, &self.dave] {
            person.join(&alias).await;
            person.sync(Duration::ZERO).await;
        }
        self.world.settled().await;
        let _ = std::fs::write(&self.world.ops.trace, "");
    }

    /// bob says something that waits; gives the command's event and the prompt.
    pub async fn waits(&self, line: &str) -> (String, Value) {
        let command = self.bob.say(&self.room, line).await;
        let prompt = self.prompt(&command).await;
        (command, prompt)
    }

    /// The first prompt about a command.
    pub async fn prompt(&self, command: &str) -> Value {
        self.prompt_that(command, |_| true).await
    }

    /// A prompt about a command that fits.
    pub async fn prompt_that(&self, command: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let bot = self.bot();
        let is_prompt = |event: &Value| {
            event["content"]["org.quarterdeck.step"].as_str().is_some_and(|step| step.contains("/prompt/"))
        };
        self.alice.answer_that(&bot, command, |event| is_prompt(event) && fits(event)).await
    }

    /// Somebody puts a sign on a prompt.
    pub async fn react(&self, who: &Person, prompt: &Value, key: &str) -> String {
        who.react(&self.room, prompt["event_id"].as_str().unwrap(), key).await
    }

    /// How the command ended.
    pub async fn ends(&self, command: &str) -> Answer {
        self.alice.outcome(&self.bot(), command).await
    }

    /// Changes the rules and has them read again; waits until they are in force, or are refused.
    pub async fn reload(&self, rules: &str, good: bool) {
        const LOADED: &str = "SELECT count(*) FROM entries WHERE kind = 'rules.loaded'";
        let (before, loaded) = (self.log_text().len(), self.count(LOADED).await);
        self.ops.file("policies/rules.cedar", rules);
        self.world.server.as_ref().unwrap().signal(nix::sys::signal::Signal::SIGHUP);
        let begun = std::time::Instant::now();
        loop {
            let refused = self.log_text()[before..].contains("not put in force");
            if if good { self.count(LOADED).await > loaded } else { refused } {
                // It is recorded just before it is in force.
                tokio::time::sleep(Duration::from_millis(200)).await;
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", &self.log_text()[before..]);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until everything that was to be said is said.
    pub async fn nothing_waits_to_be_sent(&self) {
        let begun = std::time::Instant::now();
        while self.count("SELECT count(*) FROM outbox WHERE state = 'waiting'").await > 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "the outbox is not empty");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for a line about a command.
    pub async fn told(&self, command: &str, words: &str) -> Value {
        let bot = self.bot();
        let says = |event: &Value| body(event).contains(words);
        self.alice.answer_that(&bot, command, says).await
    }

    /// The state of a command's request.
    pub async fn state(&self, command: &str) -> String {
        self.state_of(command).await.unwrap()
    }

    /// The kinds of a request's entries about approvals and its end.
    pub async fn kinds(&self, number: i64) -> Vec<String> {
        self.entries(number).await
    }

    /// Makes sure that a request has one entry of a kind.
    pub async fn once(&self, number: i64, kind: &str) {
        let kinds = self.entries(number).await;
        assert_eq!(kinds.iter().filter(|it| *it == kind).count(), 1, "{kind} in {kinds:?}");
    }

    /// Approvals of a command that do not count, and why, in order.
    pub async fn refused_approvals(&self, command: &str) -> Vec<String> {
        self.whys(command, "approval.refused").await
    }

    /// The `why` of a command's entries of one kind.
    pub async fn whys(&self, command: &str, kind: &str) -> Vec<String> {
        let bodies: Vec<String> = sqlx::query_scalar(
            "SELECT body FROM entries e JOIN requests r ON r.number = e.request
             WHERE r.event_id = $1 AND kind = $2 ORDER BY place",
        )
        .bind(command)
        .bind(kind)
        .fetch_all(&self.sql())
        .await
        .unwrap();
        let why = |body: &String| {
            serde_json::from_str::<Value>(body).unwrap()["why"].as_str().unwrap_or_default().to_owned()
        };
        bodies.iter().map(why).collect()
    }
}

/// The number that a prompt is about.
pub fn number(prompt: &Value) -> i64 {
    prompt["content"]["org.quarterdeck.request"]["number"].as_i64().unwrap()
}

/// A message's plain body, without what only marks words in it.
pub fn body(event: &Value) -> String {
    event["content"]["body"].as_str().unwrap_or_default().replace("**", "")
}

/// The four digits that the prompt asks for.
pub fn digits(prompt: &Value) -> String {
    let body = body(prompt);
    let typed = ["!approve ", "!confirm "].into_iter().find_map(|verb| Some(body.split_once(verb)?.1));
    typed.expect("a command to type").split_whitespace().nth(1).unwrap()[..4].to_owned()
}

#[tokio::test]
async fn what_waits_shows_all_that_is_approved_and_runs_when_a_lead_says_yes() {
    let company = Company::start().await;
    let (command, prompt) = company.waits("!deploy web production v2").await;
    let text = body(&prompt);
    for shown in [
        &*company.bob.id,
        "deploy --app web --env production --version v2",
        "bin/deploy web production v2",
        "1 approval by leads",
        "two-person-rule",
        "Changes in production need one approval by a lead who is not the requester.",
        " UTC",
        "Can approve: ",
        &*company.carol.id,
        "digest ",
        &format!("!approve {} ", number(&prompt)),
    ] {
        assert!(text.contains(shown), "{shown} in {text}");
    }
    // It makes a sound for exactly those who may approve and are there.
    assert_eq!(prompt["content"]["msgtype"], "m.text");
    let mut mentioned: Vec<_> = prompt["content"]["m.mentions"]["user_ids"].as_array().unwrap().clone();
    let mut leads = vec![Value::from(&*company.alice.id), Value::from(&*company.carol.id)];
    mentioned.sort_by_key(ToString::to_string);
    leads.sort_by_key(ToString::to_string);
    assert_eq!(mentioned, leads);
    assert!(company.ops.traced().is_empty());

    // With the selector of its look, as some clients send it.
    company.react(&company.carol, &prompt, "✅\u{fe0f}").await;
    assert_eq!(company.ends(&command).await.state, "succeeded");
    company.told(&command, &format!("Approved by {}. Running.", company.carol.id)).await;
    assert_eq!(company.ops.traced(), ["deploy web production v2"]);
    let kinds = company.kinds(number(&prompt)).await;
    assert_eq!(
        kinds,
        [
            "command.received",
            "approval.requested",
            "approval.given",
            "command.permitted",
            "command.permitted",
            "run.started",
            "run.finished"
        ]
    );
}

#[tokio::test]
async fn a_typed_approval_names_the_request_and_its_digest_and_in_the_thread_neither() {
    let company = Company::start().await;
    let (command, prompt) = company.waits("!deploy web production v1").await;
    let first = number(&prompt);
    for (line, words) in [
        (format!("!approve {first} 0000"), "another version"),
        ("!approve 999999 0000".to_owned(), "There is no request"),
        ("!approve".to_owned(), "Which one?"),
    ] {
        let answer = company.ask(&line).await;
        assert_eq!(answer.state, "refused", "{}", answer.body);
        assert!(answer.body.contains(words), "{line}: {}", answer.body);
    }
    assert_eq!(company.state(&command).await, "awaiting_approval");
    let answer = company.ask(&format!("!approve {first} {}", digits(&prompt))).await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    assert_eq!(company.ends(&command).await.state, "succeeded");

    let (command, prompt) = company.waits("!deploy web production v2").await;
    let said = in_thread(&company, &company.alice, &command, "!approve").await;
    assert_eq!(company.alice.outcome(&company.bot(), &said).await.state, "succeeded");
    company
        .alice
        .until("the end", |seen| {
            let done = |event: &&Value| {
                event["content"]["org.quarterdeck.request"]["number"] == number(&prompt)
                    && event["content"]["org.quarterdeck.request"]["state"] == "succeeded"
            };
            seen.iter().find(done).map(|_| ())
        })
        .await;
    assert_eq!(company.ops.traced(), ["deploy web production v1", "deploy web production v2"]);
}

/// Somebody says something in the thread of a command.
pub async fn in_thread(company: &Company, who: &Person, root: &str, text: &str) -> String {
    let content = serde_json::json!({
        "msgtype": "m.text", "body": text,
        "m.relates_to": {
            "rel_type": "m.thread", "event_id": root, "is_falling_back": true,
            "m.in_reply_to": { "event_id": root },
        },
    });
    who.send(&company.room, &content).await
}

#[tokio::test]
async fn one_of_each_team_is_two_people_and_the_first_is_told_who_is_missing() {
    let company = Company::start().await;
    let (command, prompt) = company.waits("!both").await;
    assert!(body(&prompt).contains("1 approval by web and 1 by ops"), "{}", body(&prompt));
    company.react(&company.dave, &prompt, "✅").await;
    let told = company.told(&command, &format!("Approved by {}. 1 missing", company.dave.id)).await;
    assert!(body(&told).contains("by web"), "{}", body(&told));
    assert_eq!(company.state(&command).await, "awaiting_approval");
    // Another of the same team, and the same once more, bring it no further.
    company.react(&company.carol, &prompt, "✅").await;
    company.told(&command, &format!("Approved by {}. 1 missing", company.carol.id)).await;
    assert!(company.ops.traced().is_empty());
    company.react(&company.alice, &prompt, "✅").await;
    assert_eq!(company.ends(&command).await.state, "succeeded");
    assert_eq!(company.ops.traced(), ["both"]);
}

#[tokio::test]
async fn a_refusal_ends_it_with_its_reason_and_its_giver() {
    let company = Company::start().await;
    let (command, prompt) = company.waits("!deploy web production v1").await;
    let answer = company.ask(&format!("!deny {} not before the backup", number(&prompt))).await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    let ended = company.ends(&command).await;
    assert_eq!(ended.state, "denied");
    company.once(ended.number, "command.denied").await;
    assert!(
        ended.body.contains(&company.alice.id) && ended.body.contains("not before the backup"),
        "{}",
        ended.body
    );
    let (command, prompt) = company.waits("!deploy web production v2").await;
    company.react(&company.carol, &prompt, "⛔").await;
    assert_eq!(company.ends(&command).await.state, "denied");
    // Too late: nothing waits any more.
    company.react(&company.alice, &prompt, "✅").await;
    company.world.settled().await;
    assert_eq!(company.ops.counted("deploy web production v2"), 0);
    assert_eq!(company.refused_approvals(&command).await, ["not_waiting"]);
}

#[tokio::test]
async fn an_approval_is_taken_back_by_removing_the_reaction() {
    let company = Company::start().await;
    let (command, prompt) = company.waits("!both").await;
    let reaction = company.react(&company.dave, &prompt, "✅").await;
    company.told(&command, "Approved by").await;
    company.dave.redact(&company.room, &reaction).await;
    company.told(&command, "took the approval back").await;
    company.react(&company.alice, &prompt, "✅").await;
    company.told(&command, &format!("Approved by {}. 1 missing", company.alice.id)).await;
    assert_eq!(company.state(&command).await, "awaiting_approval");
    assert!(company.ops.traced().is_empty());
    // And given once more.
    company.react(&company.dave, &prompt, "✅").await;
    assert_eq!(company.ends(&command).await.state, "succeeded");
    let kinds = company.kinds(number(&prompt)).await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "approval.withdrawn").count(), 1, "{kinds:?}");
}

#[tokio::test]
async fn what_nobody_approves_expires_after_a_reminder() {
    let company = Company::with(Plan::default(), "wait = \"4s\"\nremind = \"2s\"").await;
    let (command, prompt) = company.waits("!deploy web production v1").await;
    let reminder = company.told(&command, "Still waits for 1 approval").await;
    assert_eq!(reminder["content"]["msgtype"], "m.text");
    assert_eq!(reminder["content"]["m.mentions"], prompt["content"]["m.mentions"]);
    let ended = company.ends(&command).await;
    assert_eq!(ended.state, "expired", "{}", ended.body);
    company.once(ended.number, "command.expired").await;
    assert_eq!(ended.content("m.mentions")["user_ids"][0], company.bob.id.as_str());
    assert!(company.ops.traced().is_empty());
}

#[tokio::test]
async fn a_time_that_comes_while_nobody_serves_is_kept() {
    let mut company = Company::with(Plan::default(), "wait = \"3s\"\nremind = \"1s\"").await;
    let (command, _) = company.waits("!deploy web production v1").await;
    company.world.kill();
    tokio::time::sleep(Duration::from_secs(4)).await;
    company.world.serve().await;
    assert_eq!(company.ends(&command).await.state, "expired");
}

#[tokio::test]
async fn who_asked_drops_what_waits_and_leads_stop_what_runs() {
    let company = Company::start().await;
    let (command, prompt) = company.waits("!deploy web production v1").await;
    let answer = company.ask_as(&company.dave, &format!("!cancel {}", number(&prompt))).await;
    assert_eq!(answer.state, "refused", "{}", answer.body);
    let answer = company.ask_as(&company.bob, &format!("!cancel {}", number(&prompt))).await;
    assert_eq!(answer.state, "succeeded", "{}", answer.body);
    let ended = company.ends(&command).await;
    assert_eq!(ended.state, "cancelled");
    assert!(ended.body.contains(&company.bob.id), "{}", ended.body);

    let command = company.bob.say(&company.room, "!slow 100 stopped").await;
    company.started("stopped begins").await;
    let said = in_thread(&company, &company.carol, &command, "!cancel").await;
    company.alice.until_seen(&said).await;
    let ended = company
        .alice
        .answer_that(&company.bot(), &command, |event| {
            event["content"]["org.quarterdeck.request"]["state"] == "cancelled"
        })
        .await;
    assert!(body(&ended).contains(&format!("Stopped by {}", company.carol.id)), "{}", body(&ended));
    assert_eq!(company.ops.counted("stopped ends"), 0);
    company.once(number(&ended), "run.cancel_requested").await;
    company.world.settled().await;
}

#[tokio::test]
async fn a_waiting_command_that_is_removed_or_edited_does_not_run() {
    let company = Company::start().await;
    let (command, _) = company.waits("!deploy web production v1").await;
    company.bob.redact(&company.room, &command).await;
    assert_eq!(company.ends(&command).await.state, "cancelled");
    let (command, prompt) = company.waits("!deploy web production v2").await;
    company.bob.edit(&company.room, &command, "!deploy web staging v2").await;
    let ended = company.ends(&command).await;
    assert_eq!(ended.state, "cancelled");
    assert!(ended.body.contains("edited"), "{}", ended.body);
    company.react(&company.alice, &prompt, "✅").await;
    company.world.settled().await;
    assert!(
        company.ops.traced().iter().all(|line| !line.starts_with("deploy")),
        "{:?}",
        company.ops.traced()
    );
}

#[tokio::test]
async fn what_destroys_is_confirmed_by_its_requester_alone() {
    let company = Company::start().await;
    let (command, prompt) = company.waits("!wipe cache").await;
    assert!(
        body(&prompt).contains("wipe --what cache") && body(&prompt).contains("look-twice"),
        "{}",
        body(&prompt)
    );
    assert_eq!(prompt["content"]["m.mentions"]["user_ids"], serde_json::json!([company.bob.id]));
    company.react(&company.alice, &prompt, "✅").await;
    company.told(&command, "first waits for").await;
    assert!(company.ops.traced().is_empty());
    company.react(&company.bob, &prompt, "✅").await;
    assert_eq!(company.ends(&command).await.state, "succeeded");
    assert_eq!(company.ops.traced(), ["wipe cache"]);
    company.once(number(&prompt), "confirmation.requested").await;
    company.once(number(&prompt), "confirmation.given").await;

    // First confirmed, then approved, where both are asked.
    let (command, prompt) = company.waits("!wipe all").await;
    let said = in_thread(&company, &company.bob, &command, &format!("!confirm {}", number(&prompt))).await;
    company.alice.until_seen(&said).await;
    let prompt = company.prompt_that(&command, |event| body(event).contains("approval by ops")).await;
    company.react(&company.dave, &prompt, "✅").await;
    let of_it = |event: &Value| {
        let request = &event["content"]["org.quarterdeck.request"];
        request["number"] == number(&prompt) && request["state"] == "succeeded"
    };
    company.alice.answer_that(&company.bot(), &command, of_it).await;
    assert_eq!(company.ops.traced(), ["wipe cache", "wipe all"]);
}

#[tokio::test]
async fn why_can_and_rules_tell_without_running() {
    let company = Company::start().await;
    for (who, line, words) in [
        (&company.bob, "!why deploy web staging", vec!["You may", "changing"]),
        (&company.bob, "!why deploy web production", vec!["1 approval by leads", "two-person-rule"]),
        (&company.bob, "!why wipe all", vec!["a confirmation and 1 approval by ops"]),
        (&company.dave, "!why deploy web staging", vec!["no rule permits it", "changing"]),
        (&company.bob, "!why depoly web", vec!["Did you mean"]),
        (
            &company.alice,
            &*format!("!can {} deploy web staging", company.dave.id),
            vec!["may not", "changing"],
        ),
        (&company.alice, "!rules", vec!["two-person-rule", "one-of-each", "version"]),
        // A rule that has no words of its own is told by its scope.
        (&company.alice, "!rules", vec!["Permits whoever is in leads: reload."]),
        (&company.alice, "!rules two-person-rule", vec!["context.approvals", "policies/rules.cedar"]),
        (&company.alice, "!rules nothing", vec!["No rule"]),
    ] {
        let answer = company.ask_as(who, line).await;
        assert_eq!(answer.state, "succeeded", "{line}: {}", answer.body);
        for words in words {
            assert!(body(&answer.event).contains(words), "{line}: {words} in {}", answer.body);
        }
    }
    assert!(company.ops.traced().is_empty());
    let help = company.ask_as(&company.dave, "!help").await.body;
    let line = |name: &str| {
        help.lines().find(|line| line.contains(&format!("!{name}"))).unwrap_or_default().to_owned()
    };
    assert!(line("deploy").contains("not for you"), "{help}");
    let help = company.ask_as(&company.bob, "!help").await.body;
    let line = |name: &str| {
        help.lines().find(|line| line.contains(&format!("!{name}"))).unwrap_or_default().to_owned()
    };
    assert!(line("wipe").contains("with approval") && !line("deploy").contains("approval"), "{help}");
}
