//! What an endpoint answers: a result with what may adorn it, an error (JSON-RPC), or neither.

use http::StatusCode;
use serde_json::Value;

/// How much is shown of what is no answer, in characters: pages of errors are long.
const LONGEST_NONSENSE: usize = 300;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// What to show, a line or more each.
    Result(Vec<String>),
    /// It failed, and says why.
    Error {
        /// The number of the error (JSON-RPC 2.0, section 5.1).
        code: Option<i64>,
        /// Why, for people.
        message: String,
    },
    /// It is no answer of the protocol.
    Nonsense {
        /// The beginning of it.
        text: String,
        /// What it is, in words of ours.
        what: &'static str,
    },
}

/// Reads an answer. Its status tells nothing that the body does not: a method that failed answers 400 with its reason.
pub(super) fn read(status: StatusCode, body: &[u8]) -> Answered {
    let text = || String::from_utf8_lossy(body).trim().chars().take(LONGEST_NONSENSE).collect();
    let Ok(json) = serde_json::from_slice::<Value>(body) else {
        return Answered::Nonsense { text: text(), what: "and what it said is no JSON" };
    };
    if let Some(message) = json["error"]["message"].as_str() {
        return Answered::Error { code: json["error"]["code"].as_i64(), message: message.to_owned() };
    }
    if !status.is_success() {
        return Answered::Nonsense { text: text(), what: "without an error that says why" };
    }
    let result = match &json["result"] {
        Value::String(result) => result.trim_end(),
        Value::Null if json.get("result").is_some() => "",
        _ => return Answered::Nonsense { text: text(), what: "without a result" },
    };
    let mut lines = Vec::new();
    let adornment = |name: &str| json[name].as_str().map(one_line).filter(|text| !text.is_empty());
    match (adornment("title"), adornment("title_link").filter(|link| is_link(link))) {
        (Some(title), Some(link)) => lines.push(format!("{title}: {link}")),
        (Some(one), None) | (None, Some(one)) => lines.push(one),
        (None, None) => {}
    }
    lines.push(if result.is_empty() { "It returned nothing to show.".to_owned() } else { result.to_owned() });
    lines.extend(adornment("image_url").filter(|link| is_link(link)).map(|link| format!("Image: {link}")));
    let buttons = json["buttons"].as_array().map(Vec::as_slice).unwrap_or_default();
    for button in buttons.iter().take(10) {
        if let Some(command) = button["command"].as_str() {
            let label = button["label"].as_str().unwrap_or("Then");
            lines.push(format!("{}: {}", one_line(label), one_line(command)));
        }
    }
    Answered::Result(lines)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_link(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| ["http", "https"].contains(&url.scheme()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Answered {
        read(StatusCode::from_u16(status).expect("a status"), body.as_bytes())
    }

    #[test]
    fn a_result_is_shown_with_its_title_its_link_and_its_buttons() {
        assert_eq!(of(200, r#"{"result":"pong\n"}"#), Answered::Result(vec!["pong".to_owned()]));
        let rich = r#"{"result":"unlocked","title":"web","title_link":"https://example.org/web","color":"ddeeaa",
            "image_url":"javascript:alert(1)","buttons":[{"label":"Lock\n it","command":".deploy lock web"}]}"#;
        let lines = ["web: https://example.org/web", "unlocked", "Lock it: .deploy lock web"];
        assert_eq!(of(200, rich), Answered::Result(lines.map(str::to_owned).to_vec()));
        assert_eq!(
            of(200, r#"{"result":null}"#),
            Answered::Result(vec!["It returned nothing to show.".to_owned()])
        );
    }

    #[test]
    fn an_error_says_why_whatever_its_status() {
        for status in [200, 400, 500] {
            let error = of(status, r#"{"jsonrpc":"2.0","error":{"code":-32602,"message":"no such app"}}"#);
            let expected = Answered::Error { code: Some(-32602), message: "no such app".to_owned() };
            assert_eq!(error, expected, "{status}");
        }
    }

    #[test]
    fn what_is_no_answer_is_shown_in_part() {
        let page = "x".repeat(5_000);
        let Answered::Nonsense { text, .. } = of(500, &page) else { panic!("an answer") };
        assert_eq!(text.len(), LONGEST_NONSENSE);
        for body in ["{}", r#"{"result":7}"#, "[]", "null"] {
            assert!(matches!(of(200, body), Answered::Nonsense { .. }), "{body}");
        }
        assert!(matches!(of(302, r#"{"result":"moved"}"#), Answered::Nonsense { .. }));
    }
}
