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
    // Whatever its shape: what tells of an error is no success.
    if !json["error"].is_null() {
        let message = json["error"]["message"].as_str().or_else(|| json["error"].as_str());
        let message = message.unwrap_or("It does not say why.").to_owned();
        return Answered::Error { code: json["error"]["code"].as_i64(), message };
    }
    // The protocol's own answers have neither; where they are there, JSON-RPC says what they must be: a call without an
    // `id`, as ours is, has no answer with one.
    if !json["jsonrpc"].is_null() && json["jsonrpc"] != "2.0" {
        return Answered::Nonsense { text: text(), what: "and what it said is of another JSON-RPC than 2.0" };
    }
    if !json["id"].is_null() {
        return Answered::Nonsense { text: text(), what: "and what it said is the answer to another call" };
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
    let title = match (adornment("title"), adornment("title_link").filter(|link| is_link(link))) {
        (Some(title), Some(link)) => Some(format!("{title}: {link}")),
        (Some(one), None) | (None, Some(one)) => Some(one),
        (None, None) => None,
    };
    let result = if result.is_empty() { "It returned nothing to show." } else { result };
    // What other rooms show as a box with a coloured side has its lines set off by a bar.
    let result = if json["attachment"] == true {
        result.lines().map(|line| format!("│ {line}")).collect::<Vec<_>>().join("\n")
    } else {
        result.to_owned()
    };
    // Messages have no colours of their own: it stands before what it is to mark.
    match (adornment("color").as_deref().and_then(square), title) {
        (Some(square), Some(title)) => lines.extend([format!("{square} {title}"), result]),
        (None, Some(title)) => lines.extend([title, result]),
        (Some(square), None) => lines.push(format!("{square} {result}")),
        (None, None) => lines.push(result),
    }
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

/// The sign that comes nearest to a colour in hexadecimal digits: `ddeeaa`, `#fff`.
fn square(color: &str) -> Option<char> {
    const SIGNS: [(char, [i32; 3]); 9] = [
        ('🟥', [221, 46, 68]),
        ('🟧', [244, 144, 12]),
        ('🟨', [253, 203, 88]),
        ('🟩', [92, 173, 90]),
        ('🟦', [40, 110, 235]),
        ('🟪', [150, 60, 190]),
        ('🟫', [150, 90, 65]),
        ('⬛', [30, 30, 30]),
        ('⬜', [230, 231, 232]),
    ];
    let digits: Vec<i32> = color
        .trim_start_matches('#')
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| i32::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let parts = match digits.as_slice() {
        [red, green, blue] => [red * 17, green * 17, blue * 17],
        six if six.len() == 6 => [six[0] * 16 + six[1], six[2] * 16 + six[3], six[4] * 16 + six[5]],
        _ => return None,
    };
    let apart = |of: &[i32; 3]| of.iter().zip(parts).map(|(one, other)| (one - other).pow(2)).sum::<i32>();
    SIGNS.iter().min_by_key(|(_, of)| apart(of)).map(|(sign, _)| *sign)
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
        let lines = ["⬜ web: https://example.org/web", "unlocked", "Lock it: .deploy lock web"];
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
    fn a_colour_is_the_nearest_sign_and_an_attachment_is_set_off() {
        let answer = of(200, r##"{"result":"one\ntwo","color":"#cc0000","attachment":true}"##);
        assert_eq!(answer, Answered::Result(vec!["🟥 │ one\n│ two".to_owned()]));
        for (color, sign) in [
            ("ff0000", '🟥'),
            ("0f0", '🟩'),
            ("#0000FF", '🟦'),
            ("000", '⬛'),
            ("ffff00", '🟨'),
            ("800080", '🟪'),
        ] {
            assert_eq!(square(color), Some(sign), "{color}");
        }
        for color in ["", "#", "red", "ff00", "ffffffff", "ff 00 00", "-ff000"] {
            assert_eq!(square(color), None, "{color}");
        }
    }

    #[test]
    fn nothing_that_tells_of_an_error_or_answers_another_call_is_a_success() {
        for body in [
            r#"{"result":"done","error":{"message":"it is not"}}"#,
            r#"{"result":"done","error":{"code":-32603}}"#,
            r#"{"result":"done","error":"it is not"}"#,
            r#"{"result":"done","error":[]}"#,
            r#"{"result":"done","error":false}"#,
        ] {
            assert!(matches!(of(200, body), Answered::Error { .. }), "{body}");
        }
        for body in [
            r#"{"result":"done","id":7}"#,
            r#"{"result":"done","id":""}"#,
            r#"{"result":"done","jsonrpc":"1.0"}"#,
            r#"{"result":"done","jsonrpc":2.0}"#,
            r#"{"result":["done"]}"#,
            r#"[{"result":"done"}]"#,
        ] {
            assert!(matches!(of(200, body), Answered::Nonsense { .. }), "{body}");
        }
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(matches!(of(200, &deep), Answered::Nonsense { .. }));
        assert_eq!(
            of(200, r#"{"jsonrpc":"2.0","id":null,"result":"done"}"#),
            Answered::Result(vec!["done".to_owned()])
        );
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
