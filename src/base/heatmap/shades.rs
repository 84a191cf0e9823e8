//! Value to colour without a search through all 256 colours.

use super::{ColourMap, Scale};

/// The colours of a scale, found from a value's leading bits and a few comparisons. Gives the same colour as counting [`Scale::starts`].
pub struct Shades {
    starts: [f32; 256],
    rgb: [[u8; 3]; 256],
    /// For each value of the leading bits (in the order of the numbers): how many starts lie at smaller leading bits.
    below: Vec<u8>,
}

/// Sign, exponent and five bits of the mantissa: of a linear scale's upper half, four colours have the same.
const BITS: u32 = 14;

/// Where a number stands among all by its leading bits; larger numbers never stand lower.
fn bucket(v: f32) -> usize {
    // −0 is 0.
    let bits = (v + 0.0).to_bits();
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    (ascending >> (32 - BITS)) as usize
}

impl Shades {
    pub fn new(scale: &Scale, map: ColourMap) -> Self {
        let starts = scale.starts();
        let mut below = vec![0; (1 << BITS) + 1];
        let mut from = 0;
        for (i, start) in (0..=255).zip(&starts[1..]) {
            let to = bucket(*start) + 1;
            below[from..to].fill(i);
            from = to.max(from);
        }
        below[from..].fill(255);
        Self { starts, rgb: std::array::from_fn(|i| map.colour(i as u8)), below }
    }

    /// sRGB of a finite value.
    pub fn of(&self, value: f32) -> [u8; 3] {
        let at = bucket(value);
        let (mut index, to) = (self.below[at] as usize, self.below[at + 1] as usize);
        while index < to && self.starts[index + 1] <= value {
            index += 1;
        }
        self.rgb[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::heatmap::{ScaleKind, Summary};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_colour_is_that_of_the_last_start_not_above_the_value(
            max in prop_oneof![1e-30..1e-20f32, 1e-3..10f32, 1e20..1e30f32], kind in 0..3usize, signed: bool, at in -1.5..1.5f32, exponent in -40..2i32
        ) {
            let summary = Summary { min: -max / 3.0, max, clip: max / 7.0, ..Summary::default() };
            let scale = Scale::fit(&summary, [ScaleKind::Linear, ScaleKind::Log, ScaleKind::Clipped][kind], signed);
            let shades = Shades::new(&scale, ColourMap::Viridis);
            let starts = scale.starts();
            let values = [at * max, at * max * 10f32.powi(exponent), 0.0, -0.0, f32::MAX, -f32::MAX];
            for v in values.into_iter().chain(starts).filter(|v| v.is_finite()) {
                let index = starts[1..].iter().filter(|s| **s <= v).count();
                prop_assert_eq!(shades.of(v), ColourMap::Viridis.colour(index as u8), "{} of {:?}", v, scale);
            }
        }
    }
}
