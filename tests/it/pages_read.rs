//! What the pages tell, and to whom: the table, the story, the rules, the charts.

use reqwest::StatusCode;

use crate::{
    harness::{Plan, World},
    pages::{Browser, entries, world},
};

/// The numbers of the requests that a table links to, in its order.
fn listed(text: &str) -> Vec<i64> {
    text.split("href=\"/requests/").skip(1).filter_map(|rest| rest.split('"').next()?.parse().ok()).collect()
}

#[tokio::test]
async fn the_table_finds_what_a_search_in_the_room_does_and_goes_on_by_its_address() {
    let world = world(Plan::default()).await;
    let mut browser = Browser::of(&world, &world.alice).await;
    let counted = world.ask("!count sesame").await.number;
    let failed = world.ask("!fail").await.number;
    let refused = world.ask_as(&world.bob, "!deploy web production").await.number;
    let staging = world.ask_as(&world.bob, "!deploy web staging v7").await.number;
    for (query, wanted) in [
        ("command=deploy", vec![staging, refused]),
        ("by=%40nobody%3Aexample.org", vec![]),
        ("outcome=failed", vec![failed]),
        ("argument=env%3Dstaging&room=deploy&by=", vec![staging]),
        ("rule=production-is-for-leads", vec![refused]),
        ("text=sesame", vec![counted]),
        // Said by the program alone, which alice may read.
        ("text=%22went+wrong%22", vec![failed]),
    ] {
        let found = browser.get(&format!("/trail?{query}")).await;
        assert_eq!(found.status, StatusCode::OK);
        assert_eq!(listed(&found.text), wanted, "{query}");
    }
    for (query, wrong) in [
        ("outcome=faild", "outcome"),
        ("since=yesterday", "7d"),
        ("room=other", "deploy"),
        ("frobnicate=1", "frobnicate"),
        ("by=a&by=b", "twice"),
    ] {
        let mistaken = browser.get(&format!("/trail?{query}")).await;
        assert_eq!(mistaken.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(mistaken.text.contains(wrong), "{query}: {}", mistaken.text);
    }
    let huge = browser.get(&format!("/trail?text={}", "a%20".repeat(2_000))).await;
    assert_eq!(huge.status, StatusCode::BAD_REQUEST);

    // Each reading is an entry of the room, and it holds nobody's own words.
    let read: Vec<String> = entries(&world, "audit.read")
        .await
        .iter()
        .map(|entry| format!("{} {}", entry["by"].as_str().unwrap(), entry["query"].as_str().unwrap()))
        .collect();
    assert_eq!(read.len(), 7, "a mistake reads nothing: {read:?}");
    assert_eq!(read[0], format!("{} on the pages: --command deploy", world.alice.id));
    assert!(!read.iter().any(|query| query.contains("sesame")), "{read:?}");
    let told = world.ask("!audit --kind audit.read").await;
    assert!(told.body.contains("on the pages"), "the room knows who read: {}", told.body);

    // More than a page: each thing once, the newest first.
    sqlx::query(
        "INSERT INTO trail (place, request, at, room_id, who, command, state, tags, said, printed)
         SELECT -n, 1000000 + n, now() - interval '1 day' - n * interval '1 second', $1, '@x:y', 'count', 'succeeded',
                ARRAY['command:count'], '', '' FROM generate_series(1, 120) n",
    )
    .bind(&world.room)
    .execute(&world.sql())
    .await
    .unwrap();
    let (mut path, mut all) = ("/trail?command=count".to_owned(), Vec::new());
    loop {
        let page = browser.get(&path).await;
        let found = listed(&page.text);
        assert!(!found.is_empty() && found.len() <= 50);
        all.extend(found);
        match page.text.split("rel=\"next\" href=\"").nth(1) {
            Some(rest) => path = rest.split('"').next().unwrap().replace("&#38;", "&"),
            None => break,
        }
    }
    assert_eq!(all.len(), 121);
    assert_eq!((all[0], all[1], all[120]), (counted, 1_000_001, 1_000_120));
}

#[tokio::test]
async fn a_story_tells_who_asked_what_the_rules_said_what_came_out_and_where_it_is_held() {
    let world = world(Plan::default()).await;
    let mut browser = Browser::of(&world, &world.alice).await;
    let nasty = "<script>alert(1)</script>&\"'";
    let number = world.ask(&format!("!echo {}", shell_words::quote(nasty))).await.number;
    let story = browser.until(&format!("/requests/{number}"), "In the signed checkpoint").await;
    for told in [
        world.alice.id.as_str(),
        "reading",
        "command.permitted",
        "Started (process)",
        "Succeeded",
        "&#60;script&#62;alert(1)&#60;/script&#62;&#38;",
        "witnessed by nobody yet",
        "<time datetime=\"20",
    ] {
        assert!(story.text.contains(told), "{told}: {}", story.text);
    }
    assert!(!story.text.contains("<script>alert"), "{}", story.text);
    assert!(!story.text.contains("data-live"), "it has ended");
    // What somebody searches for is shown as it was typed, and nothing more.
    let searched = browser.get("/trail?text=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").await;
    assert!(!searched.text.contains("<script>alert"), "{}", searched.text);
    // And what was refused, with why.
    let refused = world.ask_as(&world.bob, "!deploy web production").await.number;
    let story = browser.get(&format!("/requests/{refused}")).await;
    assert!(story.text.contains("production-is-for-leads"), "{}", story.text);
    assert_eq!(
        entries(&world, "audit.read").await.last().unwrap()["query"],
        format!("on the pages: request {refused}")
    );
}

/// A second room of the web team alone, a partner in the first; the partner may not read what `fail` prints.
async fn with_partner() -> World {
    let mut world = World::prepared(Plan { federated: true, other_room: true, ..Plan::default() }).await;
    crate::pages::with_pages(&world.ops);
    world.ops.file(
        "policies/seeing.cedar",
        r#"
@id("not-for-partners")
@says("What goes wrong here is not the partner's.")
forbid (principal in Team::"partner", action == Action::"read_output", resource)
when { context.command == "fail" };
@id("partner-log")
permit (principal in Team::"partner", action == Action::"read_audit", resource);
@id("sealed-room") @says("Nothing goes out from the room of the safe.")
forbid (principal, action == Action::"deploy", resource)
when { context.room == Room::"other" };
"#,
    );
    world.serve().await;
    world.gather().await;
    world.carol.as_ref().unwrap().join(&world.alias("deploy")).await;
    world
}

#[tokio::test]
async fn what_somebody_may_not_see_is_found_by_no_list_search_address_or_count() {
    let world = with_partner().await;
    let carol = world.carol.as_ref().unwrap();
    let other = world.alice.join(&world.alias("other")).await;
    let said = world.alice.say(&other, "!count hidden").await;
    let hidden = world.alice.outcome(&world.bot(), &said).await.number;
    let failed = world.ask("!fail").await.number;
    let mut hers = Browser::of(&world, carol).await;
    let mut browser = Browser::of(&world, &world.alice).await;
    assert_eq!(listed(&browser.get("/trail?command=count").await.text), [hidden]);

    // By no list and no search: of the room that she is not in, nothing.
    assert!(!hers.get("/").await.text.contains("Room other"));
    for query in ["", "?command=count", "?text=hidden", "?argument=word%3Dhidden"] {
        let found = hers.get(&format!("/trail{query}")).await;
        assert_eq!(found.status, StatusCode::OK);
        assert!(!listed(&found.text).contains(&hidden), "{query}");
    }
    let named = hers.get("/trail?room=other").await;
    let unknown = hers.get("/trail?room=othes").await;
    assert_eq!((named.status, unknown.status), (StatusCode::BAD_REQUEST, StatusCode::BAD_REQUEST));
    assert_eq!(
        named.text.replace("other", "othes"),
        unknown.text,
        "a room of others is as one that is not there"
    );
    // Nor by its address: as what is not there.
    let there = hers.get(&format!("/requests/{hidden}")).await;
    let not_there = hers.get("/requests/999999").await;
    let no_number = hers.get("/requests/abc").await;
    assert_eq!((there.status, not_there.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    assert_eq!((&there.text, &there.text), (&not_there.text, &no_number.text));
    assert_eq!(hers.get(&format!("/requests/{hidden}/live?ticket=1.x")).await.status, StatusCode::NOT_FOUND);
    // Nor by a count.
    let counted = |text: &str| text.contains("<th scope=\"row\">count</th>");
    assert!(counted(&browser.get("/charts").await.text));
    assert!(!counted(&hers.get("/charts").await.text));

    // What a program printed that she may not read: not in its story, and not to be found by its words.
    let story = hers.get(&format!("/requests/{failed}")).await;
    assert_eq!(story.status, StatusCode::OK);
    assert!(
        !story.text.contains("it went wrong") && story.text.contains("do not let you read"),
        "{}",
        story.text
    );
    assert_eq!(listed(&hers.get("/trail?text=%22went+wrong%22").await.text), Vec::<i64>::new());
    assert_eq!(listed(&browser.get("/trail?text=%22went+wrong%22").await.text), [failed]);
    assert!(browser.get(&format!("/requests/{failed}")).await.text.contains("it went wrong"));
    // Nor as a file, which is there for whom it is shown to.
    let file = format!("/requests/{failed}/output");
    assert_eq!(hers.get(&file).await.status, StatusCode::NOT_FOUND);
    assert_eq!(hers.get(&format!("/requests/{hidden}/output")).await.status, StatusCode::NOT_FOUND);
    assert!(browser.get(&file).await.text.contains("it went wrong"));
    let read = format!("on the pages: all that request {failed} printed");
    let readings = entries(&world, "audit.read").await;
    let by: Vec<_> = readings.iter().filter(|it| it["query"] == read).map(|it| &it["by"]).collect();
    assert_eq!(by, [carol.id.as_str(), world.alice.id.as_str()]);

    // The rules: those of her room.
    let rules = hers.get("/rules").await.text;
    assert!(rules.contains("not-for-partners") && rules.contains("Beside these, 1 that name"), "{rules}");
    assert!(!rules.contains("sealed-room") && !rules.contains("&#34;other&#34;"), "{rules}");
    let rules = browser.get("/rules").await.text;
    assert!(rules.contains("sealed-room") && !rules.contains("Beside these"), "{rules}");

    // She leaves: with the same session there is nothing any more, by any address.
    carol.leave(&world.room).await;
    hers.until("/", "of no room").await;
    assert_eq!(hers.get(&format!("/requests/{failed}")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(listed(&hers.get("/trail").await.text), Vec::<i64>::new());
    assert!(!hers.get("/rules").await.text.contains("not-for-partners"));
    assert!(!hers.get("/charts").await.text.contains("scope=\"row\""));
}

#[tokio::test]
async fn of_a_long_output_the_story_shows_the_end_and_offers_all_of_it() {
    let mut world = World::prepared(Plan::default()).await;
    crate::pages::with_pages(&world.ops);
    world.ops.command("long", "read", "", "seq 1 400000; echo the last of it");
    let room = world.ops.read("rooms/deploy.toml");
    world.ops.file("rooms/deploy.toml", &room.replace("commands = [", "commands = [\"long\", "));
    world.serve().await;
    world.gather().await;
    let number = world.ask("!long").await.number;
    let mut browser = Browser::of(&world, &world.alice).await;
    let mut whole = (1..=400_000).map(|line: u32| line.to_string()).collect::<Vec<_>>().join("\n");
    whole.push_str("\nthe last of it\n");
    let story = browser.get(&format!("/requests/{number}")).await.text;
    assert!(story.contains(&format!("of {} bytes:", whole.len())), "it says how much there is");
    let link = format!("href=\"/requests/{number}/output\"");
    assert!(story.contains(&link) && story.contains("the last of it") && !story.contains("\n200000\n"));
    let file = browser.get(&format!("/requests/{number}/output")).await;
    assert!(file.text == whole, "{} bytes", file.text.len());
    assert_eq!(file.headers["content-disposition"], format!("attachment; filename=\"request-{number}.txt\""));
    assert_eq!(file.headers["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn what_runs_is_followed_by_who_opened_it_and_by_nobody_else() {
    let world = world(Plan::default()).await;
    let mut browser = Browser::of(&world, &world.alice).await;
    let mut bobs = Browser::of(&world, &world.bob).await;
    world.ops.command(
        "talk",
        "read",
        "",
        "echo first words; while [ ! -e \"$TRACE.stop\" ]; do sleep 0.1; done; echo last words",
    );
    let room = world.ops.read("rooms/deploy.toml");
    world.ops.file("rooms/deploy.toml", &room.replace("commands = [", "commands = [\"talk\", "));
    world.server.as_ref().unwrap().signal(nix::sys::signal::Signal::SIGHUP);
    let said = loop {
        let said = world.alice.say(&world.room, "!talk").await;
        // Until the other version is in force it is no command.
        let begun = std::time::Instant::now();
        while world.state_of(&said).await.is_none() {
            assert!(begun.elapsed() < std::time::Duration::from_secs(30));
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        if world.state_of(&said).await.unwrap() != "refused" {
            break said;
        }
    };
    let number: i64 = sqlx::query_scalar("SELECT number FROM requests WHERE event_id = $1")
        .bind(&said)
        .fetch_one(&world.sql())
        .await
        .unwrap();
    let opened = browser.until(&format!("/requests/{number}"), "first words").await;
    let live = opened.text.split("data-live=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let before = entries(&world, "audit.read").await.len();
    assert!(browser.get(&live).await.text.contains("first words"));
    assert_eq!(entries(&world, "audit.read").await.len(), before, "the reading goes on");
    // Its address is for that session, that request and an hour.
    assert_eq!(bobs.get(&live).await.status, StatusCode::NOT_FOUND);
    assert_eq!(browser.get(&live.replace(&number.to_string(), "1")).await.status, StatusCode::NOT_FOUND);
    let (address, ticket) = live.split_once("ticket=").unwrap();
    let (until, tag) = ticket.split_once('.').unwrap();
    for bad in ["", "x", "0.", &format!("0.{tag}"), &format!("9{until}.{tag}"), &format!("{until}.{tag}0")] {
        assert_eq!(
            browser.get(&format!("{address}ticket={bad}")).await.status,
            StatusCode::NOT_FOUND,
            "{bad}"
        );
    }
    std::fs::write(format!("{}.stop", world.ops.trace.display()), "").unwrap();
    let ended = browser.until(&live, "What it printed</h2>").await;
    assert!(ended.text.contains("last words") && !ended.text.contains("data-live"), "{}", ended.text);
    world.alice.outcome(&world.bot(), &said).await;
}

#[tokio::test]
async fn how_to_check_the_record_is_told_with_the_key_that_signs_it() {
    let world = world(Plan::default()).await;
    let mut browser = Browser::of(&world, &world.alice).await;
    let key = browser.get("/checking/key").await.text;
    let told = world.quarterdeck(&["audit", "key", "--ops", world.ops.path().to_str().unwrap()]);
    assert_eq!(key, String::from_utf8(told.stdout).unwrap());
    let shown = browser.get("/checking").await.text;
    assert!(shown.contains(key.trim()) && shown.contains("/log/checkpoint"), "{shown}");
    for path in [
        "/trail",
        "/requests/1",
        "/rules",
        "/charts",
        "/checking",
        "/checking/key",
        "/requests/1/live?ticket=x",
        "/requests/1/output",
    ] {
        assert_eq!(Browser::new(&world).get(path).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}
