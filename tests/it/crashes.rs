//! `kill -9` at every named point, then a restart: one terminal state, one answer, nothing started twice.

use quarterdeck::model::fault::Point;

use crate::{approvals::Company, harness::World};

/// How a command comes to its decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// As it arrives, in one commit with its receipt.
    Short,
    /// From the inbox, in a commit of its own.
    Inbox,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// A command that needs nothing else.
    Plain,
    /// One that needs a lock: its request is written before the lock is looked at.
    Locked,
}

/// Kills `serve` at `point` while it handles a command, and looks at what the next start makes of it.
async fn killed(what: What, way: Way, point: Point, state: &str, runs: std::ops::RangeInclusive<usize>) {
    let (line, trace) = match what {
        What::Plain => ("!count crash", "crash"),
        What::Locked => ("!slow 0 crash", "crash begins"),
    };
    let mut world = World::start().await;
    world.settled().await;
    world.stop().await;
    match way {
        Way::Short => world.serve_until(point).await,
        Way::Inbox => world.serve_by_the_inbox_until(point).await,
    }
    let command = world.alice.say(&world.room, line).await;
    world.died().await;

    world.serve().await;
    let answer = world.alice.outcome(&world.bot(), &command).await;
    assert_eq!(answer.state, state, "{}", answer.body);
    // And a life later nothing is left to be done once more.
    world.restart().await;
    world.settled().await;
    assert!(runs.contains(&world.ops.counted(trace)), "{:?}", world.ops.traced());
    assert_eq!(world.alice.outcomes(&world.bot(), &command).len(), 1, "answered once");
    assert_eq!(world.state_of(&command).await.as_deref(), Some(state));
    let entries = world.entries(answer.number).await;
    for kind in ["command.received", "command.permitted", "run.started", "run.finished"] {
        assert_eq!(entries.iter().filter(|it| *it == kind).count(), 1, "{kind} in {entries:?}");
    }
    if state == "interrupted" {
        // Somebody must look: it makes a sound for who asked.
        assert_eq!(answer.content("msgtype"), "m.text");
        assert_eq!(answer.content("m.mentions")["user_ids"][0], world.alice.id.as_str());
    }
    assert_eq!(world.count("SELECT count(*) FROM locks").await, 0);
    if what == What::Locked {
        assert_eq!(world.ask("!slow 0 next").await.state, "succeeded", "its lock is free");
    }
}

macro_rules! killed {
    ($($name:ident: $what:ident $way:ident $point:ident, $state:literal, $runs:expr;)*) => {
        $(#[tokio::test]
        async fn $name() {
            killed(What::$what, Way::$way, Point::$point, $state, $runs).await;
        })*

        #[test]
        fn every_point_has_a_test() {
            let tested = [
                $(Point::$point,)* Point::BeforeApprovalCommit, Point::AfterApprovalCommit,
                // Only of a long output are there parts: `long_output`.
                Point::AfterPartsKept,
                // That a room was made is no step of a command's life: `rooms_succession` kills there.
                Point::AfterRoomMade,
                // Nor that somebody gets a room of their own: `seeing` kills there.
                Point::AfterDirectRoomMade, Point::AfterDirectInvitation,
                // Nor that contents are erased: `erase`, which also dies there before the answer.
                Point::BeforeErasureCommit,
                // Nor that old contents go to files: `archive`.
                Point::AfterArchiveWritten, Point::BeforeArchiveCommit, Point::AfterArchiveCommit,
                // Nor that a version comes into force: `reload` kills there.
                Point::BeforeReloadCommit, Point::AfterReloadCommit,
                // Nor that something scheduled is due: `schedules`.
                Point::BeforeFiringCommit, Point::AfterFiringCommit,
                // The log's tree is beside the commands: `log_tree`.
                Point::BeforeTreeCommit, Point::AfterTreeCommit, Point::AfterCheckpointSigned,
                // A witness is a program of its own: `witness`.
                // Nor that the log goes on with another key: `key_rotation`.
                Point::AfterKeySignedOver,
                Point::BeforeWitnessStored, Point::AfterWitnessStored,
            ];
            assert!(Point::ALL.iter().all(|point| tested.contains(point)));
        }
    };
}

killed! {
    killed_before_the_inbox_commit_it_is_delivered_again: Plain Inbox BeforeInboxCommit, "succeeded", 1..=1;
    killed_after_the_inbox_commit_it_is_taken_from_the_inbox: Plain Inbox AfterInboxCommit, "succeeded", 1..=1;
    killed_before_the_decisions_commit_nothing_had_happened: Plain Inbox BeforeDecisionCommit, "succeeded", 1..=1;
    killed_after_the_decisions_commit_it_is_interrupted_and_not_run: Plain Inbox AfterDecisionCommit, "interrupted", 0..=0;
    killed_before_it_is_decided_as_it_arrives_it_is_delivered_again: Plain Short BeforeDecisionCommit, "succeeded", 1..=1;
    killed_after_it_was_decided_as_it_arrived_it_is_interrupted_and_not_run: Plain Short AfterDecisionCommit, "interrupted", 0..=0;
    killed_before_the_homeserver_hears_that_it_was_decided_it_is_not_decided_again: Plain Short AfterInboxCommit, "interrupted", 0..=1;
    killed_after_the_start_of_the_process_it_is_interrupted: Plain Short AfterProcessStart, "interrupted", 0..=1;
    killed_after_the_end_of_the_process_it_is_interrupted_and_not_run_again: Plain Short AfterProcessEnd, "interrupted", 1..=1;
    killed_before_the_outcomes_commit_it_is_interrupted_and_not_run_again: Plain Short BeforeOutcomeCommit, "interrupted", 1..=1;
    killed_after_the_outcomes_commit_it_is_answered_from_the_outbox: Plain Short AfterOutcomeCommit, "succeeded", 1..=1;
    killed_before_the_answer_it_is_answered_from_the_outbox: Plain Short BeforeAnswer, "succeeded", 1..=1;
    killed_after_the_answer_it_is_not_answered_twice: Plain Short AfterAnswer, "succeeded", 1..=1;
    killed_before_the_decision_about_a_locked_command_nothing_holds_the_lock: Locked Inbox BeforeDecisionCommit, "succeeded", 1..=1;
    killed_after_the_decision_about_a_locked_command_its_lock_is_free_again: Locked Inbox AfterDecisionCommit, "interrupted", 0..=0;
    killed_before_a_locked_command_is_decided_as_it_arrives_nothing_holds_the_lock: Locked Short BeforeDecisionCommit, "succeeded", 1..=1;
    killed_after_a_locked_command_was_decided_as_it_arrived_its_lock_is_free_again: Locked Short AfterDecisionCommit, "interrupted", 0..=0;
    killed_before_the_outcome_of_a_locked_command_its_lock_is_free_again: Locked Short BeforeOutcomeCommit, "interrupted", 1..=1;
    killed_after_the_outcome_of_a_locked_command_its_lock_is_free_already: Locked Short AfterOutcomeCommit, "succeeded", 1..=1;
}

#[tokio::test]
async fn a_process_that_outlives_the_server_is_ended_when_its_run_is_called_interrupted() {
    let mut world = World::start().await;
    let command = world.alice.say(&world.room, "!slow 60 outlives").await;
    world.started("outlives begins").await;
    world.restart().await;
    assert_eq!(world.alice.outcome(&world.bot(), &command).await.state, "interrupted");
    // Its lock is free, and it is not there any more.
    assert_eq!(world.ask("!slow 0 next").await.state, "succeeded");
    assert_eq!(world.ops.traced(), ["outlives begins", "next begins", "next ends"]);
}

/// Kills `serve` at `point` while it handles the approval of a command that waits.
async fn approved_and_killed(point: Point, state: &str, runs: usize) {
    let mut company = Company::start().await;
    let (command, prompt) = company.waits("!deploy web production v1").await;
    company.nothing_waits_to_be_sent().await;
    company.world.stop().await;
    company.world.serve_until(point).await;
    company.react(&company.carol, &prompt, "✅").await;
    company.world.died().await;

    company.world.serve().await;
    assert_eq!(company.ends(&command).await.state, state);
    company.world.restart().await;
    company.world.settled().await;
    assert_eq!(company.ops.counted("deploy web production v1"), runs, "{:?}", company.ops.traced());
    let entries = company.kinds(crate::approvals::number(&prompt)).await;
    for kind in ["approval.requested", "approval.given", "run.started", "run.finished"] {
        assert_eq!(entries.iter().filter(|it| *it == kind).count(), 1, "{kind} in {entries:?}");
    }
}

#[tokio::test]
async fn killed_before_an_approvals_commit_it_is_counted_after_the_restart() {
    approved_and_killed(Point::BeforeApprovalCommit, "succeeded", 1).await;
}

#[tokio::test]
async fn killed_after_an_approvals_commit_it_starts_after_the_restart() {
    approved_and_killed(Point::AfterApprovalCommit, "succeeded", 1).await;
}

#[tokio::test]
async fn killed_before_the_commit_of_an_approved_start_it_starts_after_the_restart() {
    approved_and_killed(Point::BeforeDecisionCommit, "succeeded", 1).await;
}

#[tokio::test]
async fn killed_after_the_commit_of_an_approved_start_it_is_interrupted_and_not_run() {
    approved_and_killed(Point::AfterDecisionCommit, "interrupted", 0).await;
}
