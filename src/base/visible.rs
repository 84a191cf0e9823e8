//! Pieces of text as they are shown: what has no shape of its own gets a sign, so that no token looks empty or breaks a line.

/// Line ends, tabs and controls get signs; spaces stay. For a token inside a running text.
pub fn inline(piece: &str) -> String {
    signs(piece, false)
}

/// As [`inline`], with spaces at both ends shown too: for a token that stands alone.
pub fn alone(piece: &str) -> String {
    signs(piece, true)
}

fn signs(piece: &str, spaces: bool) -> String {
    let trimmed = piece.trim_matches(' ');
    let first = piece.len() - piece.trim_start_matches(' ').len();
    let mut out = String::with_capacity(piece.len() + 8);
    for (i, c) in piece.char_indices() {
        match c {
            ' ' if spaces && (i < first || i >= first + trimmed.len()) => out.push('·'),
            '\n' => out.push('⏎'),
            '\t' => out.push('→'),
            '\r' => out.push_str("\\r"),
            // A byte that was no character; marks of direction and joining, which would turn or join what stands beside them.
            '\u{fffd}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
                out.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c if c.is_control() => out.push_str(&format!("\\x{:02X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_gets_a_sign() {
        for (piece, shown) in [
            (" the", "·the"),
            ("\n\n", "⏎⏎"),
            ("a b ", "a b·"),
            ("  ", "··"),
            ("\t", "→"),
            ("\u{1b}", "\\x1B"),
            ("\u{fffd}", "\\uFFFD"),
            ("\\xE7", "\\xE7"),
            ("神经", "神经"),
        ] {
            assert_eq!(alone(piece), shown);
        }
        assert_eq!(inline(" the\n"), " the⏎");
    }
}
