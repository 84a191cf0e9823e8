//! Which instructions the kernels may use, asked of the processor once.
//!
//! One `#[inline(always)]` body a kernel is compiled once for each level by [`per_isa!`], so that one binary runs everywhere and needs no
//! compiler flag.

/// An instruction level that this processor has. Only [`Isa`]'s own functions make one, which is what makes calling the code of that level
/// sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Level);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Baseline,
    Avx2,
    Avx512,
}

impl Isa {
    /// What every processor of the target architecture has.
    pub const BASELINE: Self = Self(Level::Baseline);

    /// The levels of this processor, lowest first.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "levels above the baseline exist on x86-64 only"))]
        let mut levels = vec![Self::BASELINE];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                levels.push(Self(Level::Avx2));
                if ["avx512f", "avx512vl", "avx512bw", "avx512dq"].iter().all(|f| detected(f)) {
                    levels.push(Self(Level::Avx512));
                }
            }
        }
        levels
    }
    /// The highest level of this processor.
    pub(super) fn highest() -> Self {
        static HIGHEST: std::sync::OnceLock<Isa> = std::sync::OnceLock::new();
        *HIGHEST.get_or_init(|| {
            let available = Self::available();
            available[available.len() - 1]
        })
    }
    /// The highest level of this processor, or the one that `BRODMANN_ISA` (`avx512`, `avx2`, `baseline`) names if the processor has it.
    pub fn best() -> Self {
        let available = Self::available();
        let best = available[available.len() - 1];
        match std::env::var("BRODMANN_ISA") {
            Err(_) => best,
            Ok(wanted) => available.iter().copied().find(|isa| isa.key() == wanted.trim()).unwrap_or_else(|| {
                tracing::warn!(
                    "BRODMANN_ISA={wanted} is not one of avx512, avx2, baseline or not in this processor; using {}",
                    best.name()
                );
                best
            }),
        }
    }
    pub(super) fn level(self) -> Level {
        self.0
    }
    /// As written in `BRODMANN_ISA`.
    pub fn key(self) -> &'static str {
        match self.0 {
            Level::Avx512 => "avx512",
            Level::Avx2 => "avx2",
            Level::Baseline => "baseline",
        }
    }
    /// As shown to people.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Avx512 => "AVX-512",
            Level::Avx2 => "AVX2",
            Level::Baseline if cfg!(target_arch = "x86_64") => "SSE2",
            Level::Baseline if cfg!(target_arch = "aarch64") => "NEON",
            Level::Baseline => "scalar",
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn detected(feature: &str) -> bool {
    match feature {
        "avx512f" => is_x86_feature_detected!("avx512f"),
        "avx512vl" => is_x86_feature_detected!("avx512vl"),
        "avx512bw" => is_x86_feature_detected!("avx512bw"),
        "avx512dq" => is_x86_feature_detected!("avx512dq"),
        _ => false,
    }
}

/// `per_isa! { fn name(arguments) -> R { body } }` makes `name(isa, arguments)`, which runs `body::<FMA>(arguments)` compiled for `isa`.
/// `FMA` says whether a fused multiply-add is one instruction there.
macro_rules! per_isa {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? { $body:ident }) => {
        $(#[$meta])*
        $vis fn $name(isa: $crate::compute::cpu::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    $body::<true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    $body::<true>($($arg),*)
                }
                #[expect(unsafe_code, reason = "calls code compiled for more than the baseline")]
                match isa.level() {
                    // SAFETY: an `Isa` of this level exists only where the processor was found to have the features.
                    $crate::compute::cpu::isa::Level::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::compute::cpu::isa::Level::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::compute::cpu::isa::Level::Baseline => {}
                }
            }
            let _ = isa;
            $body::<{ cfg!(target_arch = "aarch64") }>($($arg),*)
        }
    };
}
pub(super) use per_isa;
