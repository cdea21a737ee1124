//! The rules in force, in words and as they are written.

use askama::Template;
use axum::{Router, extract::State, http::StatusCode, response::Response, routing::get};

use super::{
    Pages, WrittenRule,
    html::{Frame, Stop, page},
    trail::searched,
    visitor::Visitor,
};

pub(super) fn routes() -> Router<Pages> {
    Router::new().route("/rules", get(rules))
}

impl WrittenRule {
    /// What the record is searched for by, for what it decided.
    fn query(&self) -> String {
        searched("rule", &self.id)
    }
}

#[derive(Template)]
#[template(path = "rules.html")]
struct Shown<'a> {
    frame: Frame<'a>,
    rules: Vec<WrittenRule>,
    /// How many name what this reader may not know of.
    hidden: usize,
    version: String,
}

async fn rules(State(pages): State<Pages>, visitor: Visitor) -> Result<Response, Stop> {
    let _place = pages.asking.acquire().await;
    let sight = pages.decides.sight(&visitor.session.user).await?;
    let (rules, hidden, version) = sight.rules();
    Ok(page(StatusCode::OK, &Shown { frame: Frame::of(&visitor, "rules"), rules, hidden, version }))
}
