//! The pages: whether they can be reached where the settings say.

use std::time::Duration;

use super::{Patient, report::Report};

/// How long the address may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn check(patient: &Patient, report: &mut Report) {
    let Some(url) = &patient.ops.settings.web_url else {
        report.ok("pages", "none are served: `[web] url` is not set, and `!login` says so");
        return;
    };
    let mend = format!(
        "Start Quarterdeck, and have the reverse proxy at this address pass it on to {} (docs/web.md).",
        patient.ops.settings.listen
    );
    let client =
        reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build();
    let answer = match client {
        Ok(client) => client.get(url.join("/login").unwrap_or_else(|_| url.clone())).send().await,
        Err(error) => Err(error),
    };
    match answer {
        // What the pages say to who is not logged in, under a policy that no proxy has by chance.
        Ok(answer) if answer.status() == 401 && answer.headers().contains_key("content-security-policy") => {
            report.ok("pages", format!("{url} leads to them"));
        }
        Ok(answer) => {
            let what = format!("{url} leads elsewhere: it answers {}", answer.status());
            report.warn("pages", what, &mend);
        }
        Err(error) => report.warn("pages", format!("{url} leads nowhere: {error}"), &mend),
    }
}
