//! What a program wrote for a terminal, as plain text (pure).

/// The text that a terminal would show at the end: without colours and other escape sequences, and of a line that was
/// written over and over, as progress is, what was written last. Bytes that are no UTF-8 are shown as U+FFFD.
pub fn as_plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = anstream::adapter::strip_str(&text).to_string();
    let mut plain = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let line = line.trim_end_matches('\r');
        plain.push_str(line.rsplit('\r').next().unwrap_or(line));
        plain.push_str(end);
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn colours_and_cursor_tricks_become_plain_text() {
        assert_eq!(as_plain(b"\x1b[1;31mred\x1b[0m and \x1b]0;a title\x07plain\n"), "red and plain\n");
        assert_eq!(as_plain(b"a\x1b[2Jb\x1b[10;3Hc\n"), "abc\n");
    }

    #[test]
    fn of_a_line_that_is_written_over_the_last_writing_stays() {
        assert_eq!(as_plain(b"10 %\r50 %\r100 %\ndone\r\n"), "100 %\ndone\n");
        assert_eq!(as_plain(b"10 %\r50 %\r"), "50 %");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        assert_eq!(as_plain(b"a\xff\xfeb"), "a\u{fffd}\u{fffd}b");
        assert_eq!(as_plain("grüße 日本語\n".as_bytes()), "grüße 日本語\n");
    }

    proptest! {
        #[test]
        fn nothing_that_steers_a_terminal_is_left(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let plain = as_plain(&bytes);
            let steers = |c: char| c.is_ascii_control() && !c.is_ascii_whitespace();
            prop_assert!(!plain.contains(steers) && !plain.contains('\r'));
        }
    }
}
