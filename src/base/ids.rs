//! Names of places in a model: `L{layer}N{index}` for a neuron, `L{layer}H{index}` for an attention head.

use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// One coordinate of `blocks.{layer}.mlp.hook_post`: row `index` of gate and up, column `index` of down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Neuron {
    pub layer: u32,
    pub index: u32,
}

/// One attention (query) head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Head {
    pub layer: u32,
    pub index: u32,
}

impl Neuron {
    pub const fn new(layer: u32, index: u32) -> Self {
        Self { layer, index }
    }
}

impl Head {
    pub const fn new(layer: u32, index: u32) -> Self {
        Self { layer, index }
    }
}

impl fmt::Display for Neuron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L{}N{}", self.layer, self.index)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L{}H{}", self.layer, self.index)
    }
}

fn parse(text: &str, letter: char, what: &str) -> Result<(u32, u32)> {
    let bad = || Error::invalid(format!("`{text}` is not a {what}; write it as L3{letter}17 (layer 3, index 17, both from 0)"));
    let rest = text.trim().strip_prefix(['L', 'l']).ok_or_else(bad)?;
    let (layer, index) = rest.split_once([letter, letter.to_ascii_lowercase()]).ok_or_else(bad)?;
    Ok((layer.parse().map_err(|_| bad())?, index.parse().map_err(|_| bad())?))
}

impl FromStr for Neuron {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        parse(text, 'N', "neuron").map(|(layer, index)| Self { layer, index })
    }
}

impl FromStr for Head {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        parse(text, 'H', "head").map(|(layer, index)| Self { layer, index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let n: Neuron = "L14N7168".parse().expect("neuron");
        assert_eq!(n, Neuron::new(14, 7168));
        assert_eq!(n.to_string(), "L14N7168");
        assert_eq!("l0h3".parse::<Head>().expect("head"), Head::new(0, 3));
    }

    #[test]
    fn a_bad_name_says_how_to_write_it() {
        for text in ["", "L3", "3N4", "LxN1", "L1N", "L-1N2", "L1N99999999999"] {
            let message = text.parse::<Neuron>().expect_err(text).to_string();
            assert!(message.contains("L3N17"), "{message}");
        }
    }
}
