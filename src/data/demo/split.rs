//! Which items are for training and which are kept back.

use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    Train,
    Validation,
    Test,
}

impl Split {
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The split of an item by the hash of its key: one part in ten each for validation and test. An item can therefore never be drawn
    /// for two splits, in whatever order and number items are drawn.
    pub(super) fn of_key(key: &str) -> Self {
        // FNV-1a, 64 bits, then one round of mixing (its low bits alone are weak): stable across platforms and library versions.
        let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let mixed = (hash ^ (hash >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb);
        match (mixed >> 32) % 10 {
            0 => Self::Validation,
            1 => Self::Test,
            _ => Self::Train,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
