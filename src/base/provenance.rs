//! What a number came from. Travels with every result, file and picture.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Program and version: `brodmann 0.1.0`.
    pub program: String,
    pub model: String,
    /// SHA-256 over the model's config and weight files.
    pub model_sha256: String,
    /// Domain name and SHA-256 of the file it was read from, in order.
    pub data_sha256: Vec<(String, String)>,
    /// Domain name and how its prompts are made: template, examples and their seed, chat template.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<(String, String)>,
    /// What the tokenizer puts before and after a text: `none`, `adds <s>`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub bos: String,
    /// The formula in words or symbols, with its source.
    pub formula: String,
    pub objective: String,
    pub seed: u64,
    pub dtype: String,
    pub device: String,
    /// The command line that makes the same numbers again.
    pub command: String,
    /// UTC, `2026-01-31T12:00:00Z`.
    pub created: String,
}

pub fn program() -> String {
    format!("brodmann {}", env!("CARGO_PKG_VERSION"))
}

/// Now, in UTC, to the second.
pub fn now_utc() -> String {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    utc(seconds)
}

/// Seconds since 1970 as `YYYY-MM-DDTHH:MM:SSZ` (proleptic Gregorian; days-from-civil inverted).
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_instants() {
        assert_eq!(super::utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(super::utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(super::utc(1_798_761_599), "2026-12-31T23:59:59Z");
    }
}
