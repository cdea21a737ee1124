//! Help, lists, suggestions and explanations name nothing that who asks may not know of.

use crate::harness::{Person, Plan, World};

/// A command that takes any system, with an example that speaks of one that the partner may not know of.
const RESTART: &str = r#"
name     = "restart"
summary  = "For a test"
effect   = "change"
subject  = "{system}@{env}"
examples = ["restart vault production", "restart api staging"]
[[argument]]
name = "system"
type = "system"
[[argument]]
name    = "env"
type    = "choice"
choices = ["staging", "production"]
[run]
executor  = "process"
program   = "/bin/echo"
arguments = ["{system}", "{env}"]
"#;

const KEYS: &str = r#"
name     = "Room keys"
alias    = "keys"
purpose  = "For a test"
teams    = ["web"]
commands = ["rotate"]
"#;

/// Rules that name the system and the room that are not for everybody.
const SECRETIVE: &str = r#"
@id("sealed") @says("The safe is opened at work alone.")
forbid (principal, action == Action::"restart", resource == System::"vault@production")
when { context.time.hour < 7 };
@id("night-of-the-safe") @says("Not from the room of the safe at night.")
forbid (principal, action == Action::"restart", resource)
when { context.room == Room::"keys" && context.time.hour < 7 };
@id("anybody-asks") @says("Anybody may ask what others can.")
permit (principal, action == Action::"can", resource);
"#;

/// alice and bob of the team `web`, and carol of the partner, whom the rules let change `api@staging` alone. A second room is
/// the web team's own.
async fn world() -> World {
    let mut world = World::prepared(Plan { federated: true, ..Plan::default() }).await;
    let ops = &world.ops;
    let vault = ops.read("systems/api.toml").replace("\"The api\"", "\"Where the keys are\"");
    ops.file("systems/vault.toml", &vault);
    ops.file("commands/restart.toml", RESTART);
    ops.file("commands/rotate.toml", &RESTART.replace("restart", "rotate"));
    let deploy = ops.read("rooms/deploy.toml");
    ops.file("rooms/deploy.toml", &deploy.replace("commands = [", "commands = [\"restart\", "));
    ops.file("rooms/keys.toml", KEYS);
    ops.file("policies/secretive.cedar", SECRETIVE);
    world.serve().await;
    world.gather().await;
    world.carol.as_ref().unwrap().join(&world.alias("deploy")).await;
    world
}

async fn told(world: &World, who: &Person, line: &str) -> String {
    let event = who.say(&world.room, line).await;
    who.outcome(&world.bot(), &event).await.body
}

#[tokio::test]
async fn what_a_partner_mistypes_or_asks_about_reveals_no_system_and_no_room_of_others() {
    let world = world().await;
    let carol = world.carol.as_ref().unwrap();
    let asks = |line: &str| format!("!can {} {line}", world.alice.id);
    let of_alice = [
        asks("restart vaul staging"),
        asks("restart api production"),
        asks("rotate api staging"),
        asks("rotat api staging"),
    ];
    for line in of_alice.iter().map(String::as_str).chain([
        "!restart vaul staging",
        "!restart",
        "!restart web",
        "!restart api stagin",
        "!help restart",
        "!help",
        "!help rotat",
        "!help rotate",
        "!rotate api staging",
        "!rotat",
        "!status",
        "!status vaul",
        "!why restart vaul staging",
        "!why rotate api staging",
        "!rules",
        "!rules sealed",
        "!rules night-of-the-safe",
        "!why restart api production",
        "!adoption",
    ]) {
        let said = told(&world, carol, line).await;
        assert!(!said.contains("vault") && !said.contains("Where the keys are"), "{line}: {said}");
        assert!(!said.contains("keys"), "{line}: {said}");
        assert!(!said.contains("lives in"), "{line}: {said}");
    }
    // What is hers is named.
    assert!(
        told(&world, carol, "!restart apj staging").await.contains("Did you mean `!restart api staging`?")
    );
    assert!(told(&world, carol, "!help restart").await.contains("`!restart api staging`"));
    assert!(told(&world, carol, "!status").await.contains("api"));
    let rules = told(&world, carol, "!rules").await;
    assert!(rules.contains("2 more name what you cannot act upon here"), "{rules}");
    assert!(!rules.contains("night-of-the-safe"), "{rules}");
    // Who types a name knows it: the rules answer.
    let said = told(&world, carol, "!restart vault staging").await;
    assert!(said.contains("Partners change api in staging only."), "{said}");
}

#[tokio::test]
async fn who_may_know_of_a_system_and_a_room_is_helped_to_them() {
    let world = world().await;
    assert!(told(&world, &world.alice, "!restart vaul staging").await.contains("`!restart vault staging`"));
    assert!(told(&world, &world.bob, "!help restart").await.contains("vault"));
    let rules = told(&world, &world.bob, "!rules").await;
    assert!(rules.contains("sealed") && rules.contains("night-of-the-safe"), "{rules}");
    assert!(told(&world, &world.bob, "!rules sealed").await.contains("vault"));
    let can = format!("!can {} restart vaul staging", world.alice.id);
    assert!(told(&world, &world.bob, &can).await.contains("vault"));
    // Forbidden is not unknown: he may change it in staging.
    assert!(told(&world, &world.bob, "!status").await.contains("vault"));
    let said = told(&world, &world.bob, "!rotate api staging").await;
    assert!(said.contains("It lives in") && said.contains("Room keys"), "{said}");
}
