//! Which choice a row calls right: an index from 0 or 1, a letter, a truth value, or the choice's own text. One file, one reading.

use serde_json::Value;

/// How the answers of a file are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoldForm {
    /// 0, 1, 2, ...
    FromZero,
    /// 1, 2, 3, ...
    FromOne,
    /// A, B, C, ... (also `(A)` and lower case)
    Letter,
    /// The text of the right choice.
    Text,
}

impl GoldForm {
    pub fn words(self) -> &'static str {
        match self {
            Self::FromZero => "its index, counted from 0",
            Self::FromOne => "its index, counted from 1",
            Self::Letter => "its letter",
            Self::Text => "its text",
        }
    }

    /// The reading under which most of the rows (answer, choices) make sense. An index from 1 only where it says more than one from 0 (some
    /// answer equals the number of choices, none is 0).
    pub fn of(rows: &[(&Value, &[String])]) -> Self {
        let readable = |form: Self| rows.iter().filter(|(answer, choices)| form.read(answer, choices).is_ok()).count();
        let forms = [Self::FromZero, Self::FromOne, Self::Letter, Self::Text];
        let best = forms.iter().map(|&f| readable(f)).max().unwrap_or(0);
        forms.into_iter().find(|&f| readable(f) == best).unwrap_or(Self::FromZero)
    }

    /// # Errors
    /// With a message when the answer names none of the choices.
    pub fn read(self, answer: &Value, choices: &[String]) -> Result<usize, String> {
        let answer = match answer {
            Value::Array(one) if one.len() == 1 => &one[0],
            other => other,
        };
        let found = match self {
            Self::FromZero => index(answer),
            Self::FromOne => index(answer).and_then(|i| i.checked_sub(1)),
            Self::Letter => answer.as_str().and_then(letter),
            Self::Text => super::row::scalar_text(answer).and_then(|text| choices.iter().position(|c| c.trim() == text.trim())),
        };
        found.filter(|&i| i < choices.len()).ok_or_else(|| {
            format!(
                "the answer {} names none of the {} choices (in this file the answer is {})",
                super::row::short(answer),
                choices.len(),
                self.words()
            )
        })
    }
}

fn index(value: &Value) -> Option<usize> {
    match value {
        Value::Bool(b) => Some(usize::from(*b)),
        Value::Number(n) => {
            n.as_u64().or_else(|| n.as_f64().filter(|f| f.fract() == 0.0 && *f >= 0.0 && *f < 1e9).map(|f| f as u64)).map(|i| i as usize)
        }
        Value::String(s) => s.trim().parse().ok(),
        _ => None,
    }
}

fn letter(text: &str) -> Option<usize> {
    let text = text.trim();
    let text = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')).unwrap_or(text).trim_end_matches(['.', ')']);
    match text.as_bytes() {
        [b] if b.is_ascii_alphabetic() => Some(usize::from(b.to_ascii_lowercase() - b'a')),
        _ => None,
    }
}

/// Truth values as data sets write them.
pub fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        Value::Number(n) => match n.as_u64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(s) => match s.trim().to_lowercase().as_str() {
            "true" | "yes" | "1" => Some(true),
            "false" | "no" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn form(answers: &[Value], choices: &[&str]) -> GoldForm {
        let choices: Vec<String> = choices.iter().map(|s| (*s).to_owned()).collect();
        let rows: Vec<(&Value, &[String])> = answers.iter().map(|a| (a, choices.as_slice())).collect();
        GoldForm::of(&rows)
    }

    #[test]
    fn one_reading_fits_the_whole_file() {
        let abcd = ["w", "x", "y", "z"];
        assert_eq!(form(&[json!(0), json!(3)], &abcd), GoldForm::FromZero);
        // 4 of 4 choices cannot be an index from 0.
        assert_eq!(form(&[json!(1), json!(4)], &abcd), GoldForm::FromOne);
        // Without a 4 nothing speaks for counting from 1.
        assert_eq!(form(&[json!(1), json!(3)], &abcd), GoldForm::FromZero);
        assert_eq!(form(&[json!("2"), json!("4")], &abcd), GoldForm::FromOne);
        assert_eq!(form(&[json!("B"), json!("(d)")], &abcd), GoldForm::Letter);
        assert_eq!(form(&[json!("x"), json!("z")], &abcd), GoldForm::Text);
        assert_eq!(form(&[json!(false), json!(true)], &["no", "yes"]), GoldForm::FromZero);
    }

    #[test]
    fn an_answer_outside_the_choices_says_how_it_was_read() {
        let choices = ["a".to_owned(), "b".to_owned()];
        let e = GoldForm::FromZero.read(&json!(2), &choices).expect_err("outside");
        assert!(e.contains('2') && e.contains("counted from 0"), "{e}");
        assert_eq!(GoldForm::FromZero.read(&json!([1]), &choices), Ok(1));
        assert_eq!(GoldForm::FromOne.read(&json!(0), &choices).ok(), None);
        assert_eq!(GoldForm::FromZero.read(&json!(-1), &choices).ok(), None);
    }
}
