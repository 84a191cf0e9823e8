//! Templates on one line: a line end is written `\n`, a tab `\t`, a backslash `\\`.

/// What a template typed on one line means. Any other pair with a backslash stays as it is.
pub fn from_line(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('\\') => out.push('\\'),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

/// The line that [`from_line`] turns back into `text`.
pub fn to_line(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn line_ends_and_backslashes() {
        assert_eq!(from_line(r"{{q}}\nAnswer:"), "{{q}}\nAnswer:");
        assert_eq!(from_line(r"\\n \d \"), "\\n \\d \\");
    }

    proptest! {
        #[test]
        fn one_line_says_any_text(text in "[\\\\nta\n\t{}]{0,20}") {
            let line = to_line(&text);
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(from_line(&line), text);
        }
    }
}
