//! A request starts as soon as its rule has all the approvers that it asks for, and never with fewer: however people approve and
//! take it back.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    approvals::{Company, RULES},
    harness::{Person, Plan},
};

/// `both` needs two of the ops team.
const TWO: &str = r#"
@id("two-of-ops")
@says("Two of the ops team approve it.")
@remedy("approval") @by("ops") @count("2")
forbid (principal, action == Action::"both", resource)
unless { context.approvals.ops >= 2 };
"#;

/// How many requests are tried.
const REQUESTS: usize = 8;
/// How many things at most are done about each.
const STEPS: usize = 12;

/// Numbers that follow from a seed (`splitmix64`): the same seed, the same test.
struct Chance(u64);

impl Chance {
    fn below(&mut self, many: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % many as u64).unwrap()
    }
}

fn seed() -> u64 {
    let given = std::env::var("QUARTERDECK_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}; repeat it with QUARTERDECK_TEST_SEED={seed}");
    seed
}

/// Waits until an event has come and was decided.
async fn is_decided(company: &Company, event: &str) {
    let begun = Instant::now();
    let sql = format!("SELECT count(*) FROM inbox WHERE external_id = '{event}' AND state = 'done'");
    while company.count(&sql).await == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{event} was not decided");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Takes a reaction away.
async fn take_back(company: &Company, who: &Person, reaction: &str) {
    let removal = who.redacts(&company.room, reaction).await;
    is_decided(company, &removal).await;
}

#[tokio::test]
async fn a_request_starts_with_all_approvers_that_its_rule_asks_for_and_never_before() {
    let mut company = Company::prepared(Plan::default(), "").await;
    let rules = RULES.replace("@id(\"one-of-each\")", &format!("{TWO}@id(\"one-of-each\")"));
    let cut = rules.find("@id(\"one-of-each\")").unwrap();
    let end = cut + rules[cut..].find("};").unwrap() + 2;
    company.ops.file("policies/rules.cedar", &[&rules[..cut], &rules[end..]].concat());
    company.world.serve().await;
    company.gather().await;
    let mut chance = Chance(seed());
    let mut started = 0;
    for request in 0..REQUESTS {
        let (command, prompt) = company.waits("!both").await;
        // Of alice and bob nothing counts here: she is of another team, he is the one who asks.
        let people = [&company.alice, &company.bob, &company.carol, &company.dave];
        let mut given: BTreeMap<usize, String> = BTreeMap::new();
        let mut told = Vec::new();
        for _ in 0..STEPS {
            let who = chance.below(people.len());
            if let Some(reaction) = given.remove(&who) {
                told.push(format!("{} takes it back", people[who].localpart()));
                take_back(&company, people[who], &reaction).await;
            } else {
                told.push(format!("{} approves", people[who].localpart()));
                let reaction = company.react(people[who], &prompt, "✅").await;
                is_decided(&company, &reaction).await;
                given.insert(who, reaction);
            }
            let enough = given.contains_key(&2) && given.contains_key(&3);
            let state = company.state(&command).await;
            assert_eq!(state != "awaiting_approval", enough, "request {request}: {told:?}: {state}");
            if enough {
                let answer = company.ends(&command).await;
                assert_eq!(answer.state, "succeeded", "{told:?}: {}", answer.body);
                started += 1;
                break;
            }
        }
        assert_eq!(company.ops.counted("both"), started, "request {request}: {told:?}");
        if company.state(&command).await == "awaiting_approval" {
            let line = format!("!cancel {}", crate::approvals::number(&prompt));
            assert_eq!(company.ask_as(&company.bob, &line).await.state, "succeeded");
        }
    }
    println!("{started} of {REQUESTS} were started");
}
