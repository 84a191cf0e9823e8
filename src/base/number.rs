//! How numbers are written for people: three significant digits, thousands apart, a unit, an interval.

use std::time::Duration;

/// Three significant digits: `0.831`, `12.3`, `1,230,000`, `2.00e-6`. Whole numbers below 1000 that are whole stay whole.
pub fn sig3(value: f64) -> String {
    if !value.is_finite() {
        return "undefined".to_owned();
    }
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    // 999.6 would round up to four digits before the point, 0.000 999 6 to 1.00e-3.
    if size >= 999.5 {
        if size >= 1e9 {
            return format!("{value:.2e}");
        }
        let rounded = count(size.round() as u64);
        return if value < 0.0 { format!("-{rounded}") } else { rounded };
    }
    if size < 9.995e-4 {
        return format!("{value:.2e}");
    }
    let before_point = if size >= 99.95 {
        3
    } else if size >= 9.995 {
        2
    } else if size >= 0.9995 {
        1
    } else {
        // 0.0831: one more decimal for each leading zero.
        -(((-size.log10()) - 1e-9).floor() as i32)
    };
    format!("{value:.*}", (3 - before_point).clamp(0, 6) as usize)
}

/// `12,345,678`
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `1.24 M`, `7.00 B`; below ten thousand the whole number.
pub fn short_count(n: u64) -> String {
    let x = n as f64;
    match n {
        0..10_000 => count(n),
        10_000..1_000_000 => format!("{} k", sig3(x / 1e3)),
        1_000_000..1_000_000_000 => format!("{} M", sig3(x / 1e6)),
        _ => format!("{} B", sig3(x / 1e9)),
    }
}

/// `512 B`, `3.10 MB` (powers of 1000, as disks are sold).
pub fn bytes(n: u64) -> String {
    let x = n as f64;
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{} kB", sig3(x / 1e3)),
        1_000_000..1_000_000_000 => format!("{} MB", sig3(x / 1e6)),
        _ => format!("{} GB", sig3(x / 1e9)),
    }
}

/// `0.42 s`, `6.1 s`, `1 min 05 s`, `2 h 03 min`
pub fn duration(d: Duration) -> String {
    let s = d.as_secs_f64();
    if s < 10.0 {
        return format!("{s:.1} s");
    }
    let whole = s.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3_600, whole % 3_600 / 60),
    }
}

/// An estimate with its standard error: `0.83 ± 0.02`. Both get the decimals that the error's first digit needs (at least two).
pub fn plus_minus(value: f64, error: Option<f64>) -> String {
    match error {
        Some(e) if e.is_finite() && e > 0.0 => {
            let decimals = ((-e.log10()).ceil() as i32).clamp(2, 4) as usize;
            format!("{value:.decimals$} ± {e:.decimals$}")
        }
        Some(_) => format!("{value:.2} ± 0.00"),
        None => format!("{value:.2}"),
    }
}

/// A signed change: `+0.02`, `-0.41`, `0.00`.
pub fn change(value: f64) -> String {
    if value.abs() < 0.005 { "0.00".to_owned() } else { format!("{value:+.2}") }
}

/// Singular or plural by the number: `1 item`, `12 items`.
pub fn counted(n: u64, singular: &str) -> String {
    if n == 1 { format!("1 {singular}") } else { format!("{} {singular}s", count(n)) }
}

/// Cuts the middle out of a long text: `3f2a91…c04e`.
pub fn elided(text: &str, head: usize, tail: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= head + tail + 1 {
        return text.to_owned();
    }
    let first: String = chars[..head].iter().collect();
    let last: String = chars[chars.len() - tail..].iter().collect();
    format!("{first}…{last}")
}

/// A p-value from its natural logarithm, however small: `0.023`, `3.2e-45`, `1.7e-418`.
pub fn p_value(ln_p: f64) -> String {
    if ln_p == f64::NEG_INFINITY {
        return "0".to_owned();
    }
    let log10 = ln_p / std::f64::consts::LN_10;
    if log10 >= -3.0 {
        return sig3(ln_p.exp().min(1.0));
    }
    let (mut exponent, mut mantissa) = (log10.floor(), 10f64.powf(log10 - log10.floor()));
    if mantissa >= 9.95 {
        (mantissa, exponent) = (1.0, exponent + 1.0);
    }
    format!("{mantissa:.1}e{exponent:.0}")
}

/// With a capital at its beginning, as a sentence has it.
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |c| c.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_significant_digits_at_every_size() {
        for (value, text) in [
            (0.0, "0"),
            (2e-6, "2.00e-6"),
            (0.001, "0.00100"),
            (0.0831, "0.0831"),
            (0.1, "0.100"),
            (0.83149, "0.831"),
            (0.9999, "1.00"),
            (1.0, "1.00"),
            (12.345, "12.3"),
            (99.99, "100"),
            (123.4, "123"),
            (999.7, "1,000"),
            (1_234_567.0, "1,234,567"),
            (-0.5, "-0.500"),
            (-4321.0, "-4,321"),
            (f64::NAN, "undefined"),
        ] {
            assert_eq!(sig3(value), text, "{value}");
        }
    }

    #[test]
    fn counts_and_sizes() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(999), "999");
        assert_eq!(short_count(1_240_000), "1.24 M");
        assert_eq!(bytes(3_100_000), "3.10 MB");
        assert_eq!(duration(Duration::from_millis(420)), "0.4 s");
        assert_eq!(duration(Duration::from_secs(65)), "1 min 05 s");
        assert_eq!(duration(Duration::from_secs(7_380)), "2 h 03 min");
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(0, "row"), "0 rows");
    }

    #[test]
    fn an_error_sets_the_decimals() {
        assert_eq!(plus_minus(0.8312, Some(0.0234)), "0.83 ± 0.02");
        assert_eq!(plus_minus(0.8312, Some(0.0042)), "0.831 ± 0.004");
        assert_eq!(plus_minus(1.0, Some(0.0)), "1.00 ± 0.00");
        assert_eq!(plus_minus(0.5, None), "0.50");
        assert_eq!(change(-0.4149), "-0.41");
        assert_eq!(change(-0.0001), "0.00");
    }

    #[test]
    fn elision_keeps_both_ends() {
        assert_eq!(elided("0123456789abcdef", 6, 4), "012345…cdef");
        assert_eq!(elided("short", 6, 4), "short");
    }

    #[test]
    fn p_values_of_any_size_are_written() {
        assert_eq!(p_value(0.0), "1.00");
        assert_eq!(p_value(0.0234f64.ln()), "0.0234");
        assert_eq!(p_value(3.24e-45f64.ln()), "3.2e-45");
        assert_eq!(p_value(-418.0 * std::f64::consts::LN_10 + 1.7f64.ln()), "1.7e-418");
        assert_eq!(p_value(9.99e-8f64.ln()), "1.0e-7");
        assert_eq!(p_value(f64::NEG_INFINITY), "0");
    }
}
