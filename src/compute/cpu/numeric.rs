//! Inlined scalar and lane arithmetic from which the kernels' bodies are made. Loops over [`LANES`] become vector code of any width.

/// Independent partial sums of a reduction: one 512-bit register, two of 256, four of 128. The same at every level, so that a sum is taken
/// in one order everywhere.
pub(super) const LANES: usize = 16;

/// `a * b + c`, fused where that is one instruction (elsewhere `mul_add` would be a library call).
#[inline(always)]
pub(super) fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// `e^x` to about 1e-7 relative, without branches. Below -87 it stays at `e^-87` (about 1.6e-38), above 88 at `e^88`; NaN stays NaN.
///
/// Range reduction by Cody and Waite, polynomial of Cephes `expf`.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
    // Comparisons that are false for NaN let it through; `f32::max` would hide it.
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves that integer in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = fma::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fma::<FMA>(n, -0.693_359_4, x);
    let r = fma::<FMA>(n, 2.121_944_4e-4, r);
    let p = fma::<FMA>(1.987_569_1e-4, r, 1.398_199_9e-3);
    let p = fma::<FMA>(p, r, 8.333_452e-3);
    let p = fma::<FMA>(p, r, 4.166_579_6e-2);
    let p = fma::<FMA>(p, r, 1.666_666_5e-1);
    let p = fma::<FMA>(p, r, 0.5);
    let p = fma::<FMA>(p * r, r, r) + 1.0;
    p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()))
}

#[inline(always)]
pub(super) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

/// To about 1e-7 absolute.
#[inline(always)]
pub(super) fn tanh<const FMA: bool>(x: f32) -> f32 {
    1.0 - 2.0 / (1.0 + exp::<FMA>(2.0 * x))
}

/// To about 2e-7 absolute: the rational approximation of single-precision `erf` that Eigen and XLA use, `x P(x^2) / Q(x^2)` on [-4, 4].
#[inline(always)]
pub(super) fn erf<const FMA: bool>(x: f32) -> f32 {
    // Comparisons that are false for NaN let it through.
    let x = if x < -4.0 { -4.0 } else { x };
    let x = if x > 4.0 { 4.0 } else { x };
    let s = x * x;
    let p = fma::<FMA>(-2.726_142_3e-10, s, 2.770_681_4e-8);
    let p = fma::<FMA>(p, s, -2.101_024e-6);
    let p = fma::<FMA>(p, s, -5.692_506_3e-5);
    let p = fma::<FMA>(p, s, -7.349_906_4e-4);
    let p = fma::<FMA>(p, s, -2.954_6e-3);
    let p = fma::<FMA>(p, s, -1.609_603_3e-2);
    let q = fma::<FMA>(-1.456_607_2e-5, s, -2.133_740_6e-4);
    let q = fma::<FMA>(q, s, -1.682_827e-3);
    let q = fma::<FMA>(q, s, -7.373_329e-3);
    let q = fma::<FMA>(q, s, -1.426_473_9e-2);
    x * p / q
}

/// Sum of `f(i, x[i])`-like terms in [`LANES`] partial sums: `dot(a, b)`.
#[inline(always)]
pub(super) fn dot<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let mut acc = [0.0f32; LANES];
    let (mut ca, mut cb) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    for (x, y) in (&mut ca).zip(&mut cb) {
        for i in 0..LANES {
            acc[i] = fma::<FMA>(x[i], y[i], acc[i]);
        }
    }
    let mut rest = 0.0;
    for (x, y) in ca.remainder().iter().zip(cb.remainder()) {
        rest = fma::<FMA>(*x, *y, rest);
    }
    fold(&acc) + rest
}

/// Sum of the lanes by halves, the order in which a vector register folds.
#[inline(always)]
pub(super) fn fold(acc: &[f32; LANES]) -> f32 {
    let mut a = *acc;
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            a[i] += a[i + width];
        }
        width /= 2;
    }
    a[0]
}

/// Largest element; NaN if any element is NaN, so that a broken input shows. Negative infinity for an empty slice.
#[inline(always)]
pub(super) fn max(x: &[f32]) -> f32 {
    let mut acc = [f32::NEG_INFINITY; LANES];
    // Sum of x * 0 is NaN exactly when some x is NaN or infinite.
    let mut poison = [0.0f32; LANES];
    let mut chunks = x.chunks_exact(LANES);
    for c in &mut chunks {
        for i in 0..LANES {
            acc[i] = if c[i] > acc[i] { c[i] } else { acc[i] };
            poison[i] += c[i] * 0.0;
        }
    }
    let mut best = f32::NEG_INFINITY;
    let mut bad = fold(&poison);
    for &v in acc.iter().chain(chunks.remainder()) {
        best = if v > best { v } else { best };
    }
    for &v in chunks.remainder() {
        bad += v * 0.0;
    }
    if bad.is_nan() && x.iter().any(|v| v.is_nan()) { f32::NAN } else { best }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_units_in_the_last_place_or_so() {
        let mut worst = 0.0f64;
        // -87_000 * 1e-3 rounds to just below -87, where the result stays put by design.
        for i in -86_999..88_000 {
            let x = i as f32 * 1e-3;
            let exact = f64::from(x).exp();
            for got in [exp::<true>(x), exp::<false>(x)] {
                worst = worst.max((f64::from(got) - exact).abs() / exact);
            }
        }
        // 2^-23 = 1.19e-7 is one unit in the last place at most.
        assert!(worst < 2.0e-7, "{worst:e}");
        assert_eq!(exp::<false>(0.0), 1.0);
        assert!(exp::<false>(f32::NAN).is_nan());
        assert!(exp::<false>(-1e30) < 2e-38);
    }

    #[test]
    fn tanh_and_erf_agree_with_f64() {
        // erf by its alternating series in f64, which is exact enough up to 4.
        let series = |x: f64| {
            let (mut term, mut sum) = (x, x);
            for n in 1..200 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            sum * 2.0 / std::f64::consts::PI.sqrt()
        };
        for i in -4000..=4000 {
            let x = i as f32 * 1e-3;
            let wide = f64::from(x);
            for got in [erf::<true>(x), erf::<false>(x)] {
                assert!((f64::from(got) - series(wide)).abs() < 4e-7, "erf {x}: {got}");
            }
            for got in [tanh::<true>(x), tanh::<false>(x)] {
                assert!((f64::from(got) - wide.tanh()).abs() < 2e-7, "tanh {x}: {got}");
            }
        }
        assert_eq!((tanh::<false>(90.0), tanh::<false>(-90.0)), (1.0, -1.0));
        assert!((erf::<false>(30.0) - 1.0).abs() < 2e-7 && (erf::<false>(-30.0) + 1.0).abs() < 2e-7);
        assert!(erf::<false>(f32::NAN).is_nan() && tanh::<false>(f32::NAN).is_nan());
    }

    #[test]
    fn max_shows_a_nan_anywhere() {
        for n in [1, 15, 16, 17, 65] {
            let mut x: Vec<f32> = (0..n).map(|i| (i as f32 * 1.7).sin()).collect();
            let want = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(max(&x), want);
            x[n / 2] = f32::NAN;
            assert!(max(&x).is_nan());
        }
        assert_eq!(max(&[f32::NEG_INFINITY, -3.0]), -3.0);
        assert_eq!(max(&[]), f32::NEG_INFINITY);
    }

    #[test]
    fn dot_agrees_with_f64() {
        for n in [0, 1, 15, 16, 33, 1000] {
            let a: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
            let b: Vec<f32> = (0..n).map(|i| (i as f32 * 0.11).cos()).collect();
            let want: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            assert!((f64::from(dot::<true>(&a, &b)) - want).abs() < 1e-4);
            assert!((f64::from(dot::<false>(&a, &b)) - want).abs() < 1e-4);
        }
    }
}
