//! A scale for values of either sign that span decades: `sign(v) * plog2(1 + |v| / c)`, where `plog2` is log2 with straight lines between the powers
//! of two. That function is the bits of a float read as a number, so a billion values are binned in seconds, and it inverts exactly up to rounding.

/// Position of `v` on the scale that turns from linear to logarithmic at `c > 0`.
pub fn position(v: f32, c: f32) -> f32 {
    let x = 1.0 + v.abs() / c;
    let steps = x.to_bits() as f32 * (1.0 / 8_388_608.0) - 127.0;
    steps.copysign(v)
}

/// The value at a position: the inverse of [`position`].
pub fn value(position: f32, c: f32) -> f32 {
    let steps = position.abs();
    let power = steps.floor();
    let x = power.exp2() * (1.0 + (steps - power));
    (c * (x - 1.0)).copysign(position)
}

/// Bin of `v` among `bins` equal parts of `lo..=hi` (positions); values beyond go into the end bins.
pub fn bin(v: f32, c: f32, lo: f32, hi: f32, bins: usize) -> usize {
    let width = hi - lo;
    if width <= 0.0 {
        return 0;
    }
    let at = (position(v, c) - lo) / width * bins as f32;
    (at.max(0.0) as usize).min(bins - 1)
}

/// The `bins + 1` values between the bins.
pub fn edges(c: f32, lo: f32, hi: f32, bins: usize) -> Vec<f32> {
    (0..=bins).map(|i| value(lo + (hi - lo) * i as f32 / bins as f32, c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn powers_of_two_stand_at_whole_positions() {
        // 1 + |v| / c is 1, 2, 4, 8 there.
        for (v, p) in [(0.0, 0.0), (0.5, 1.0), (1.5, 2.0), (3.5, 3.0), (-1.5, -2.0)] {
            assert_eq!(position(v, 0.5), p);
            assert_eq!(value(p, 0.5), v);
        }
    }

    proptest! {
        #[test]
        fn the_scale_is_monotone_and_inverts(a in -1e4f32..1e4, b in -1e4f32..1e4, c in 1e-4f32..10.0) {
            let (pa, pb) = (position(a, c), position(b, c));
            prop_assert!((a < b) <= (pa <= pb));
            // 1 + |v| / c keeps 24 bits, so a value far below c loses what lies below c * 2^-24, others about 1e-6 of themselves
            // (the position itself has 24 bits for up to 31 steps).
            prop_assert!((value(pa, c) - a).abs() <= 1e-5 * (a.abs() + c), "{a} {pa} {}", value(pa, c));
        }

        #[test]
        fn a_value_lies_between_the_edges_of_its_bin(v in -50f32..50.0, c in 0.01f32..5.0) {
            let (lo, hi) = (position(-50.0, c), position(50.0, c));
            let edges = edges(c, lo, hi, 64);
            let i = bin(v, c, lo, hi, 64);
            let slack = 1e-4 * (v.abs() + c);
            prop_assert!(edges[i] - slack <= v && v <= edges[i + 1] + slack, "{v} in bin {i} of {}..{}", edges[i], edges[i + 1]);
        }
    }

    #[test]
    fn a_constant_has_one_bin() {
        assert_eq!(bin(3.0, 1.0, 2.0, 2.0, 64), 0);
    }
}
