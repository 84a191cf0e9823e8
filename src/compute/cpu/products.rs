//! How matrix products are made: by f32 multiply-adds, or on the processor's tile unit from the bfloat16 parts of both operands.
//!
//! A tile unit (Intel AMX) multiplies bfloat16 numbers, eight significant bits each, and adds up in f32. An f32 number is the sum of three of them,
//! `x = h + m + l`, exactly; a product of two numbers is then nine products, of which the largest six leave out less than f32 itself rounds off.

use super::Isa;
#[cfg(target_arch = "x86_64")]
use super::tile_unit::Unit;
use std::{fmt, str::FromStr};

/// Arithmetic of matrix products and of the fused scan. Everything else is f32 all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Products {
    /// f32 multiply-adds.
    F32,
    /// Six products of bfloat16 parts, summed in f32: an error of the size of f32's own.
    Bf16x6,
    /// Three products of two parts each: a relative error of up to 2^-14 a product.
    Bf16x3,
    /// One product of numbers rounded to bfloat16: up to 2^-7.
    Bf16,
}

impl Products {
    pub const ALL: [Self; 4] = [Self::F32, Self::Bf16x6, Self::Bf16x3, Self::Bf16];

    /// As written on the command line and in `BRODMANN_PRODUCTS`.
    pub fn key(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16x6 => "bf16x6",
            Self::Bf16x3 => "bf16x3",
            Self::Bf16 => "bf16",
        }
    }
    /// What is computed in with them, for provenance.
    pub fn arithmetic(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16x6 => "f32 (bf16x6 products)",
            Self::Bf16x3 => "f32 with bf16x3 products",
            Self::Bf16 => "f32 with bf16 products",
        }
    }
    /// Whether this processor can, and no lower instruction level was asked for: who asks for less than the processor has means all of it.
    pub fn available(self) -> bool {
        match self {
            Self::F32 => true,
            #[cfg(target_arch = "x86_64")]
            _ => Isa::best() == Isa::highest() && super::tile_unit::available(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }
    /// The fastest of f32's accuracy here, or what the environment names.
    pub fn best() -> Self {
        Self::from_env().unwrap_or_else(Self::fastest)
    }
    fn fastest() -> Self {
        if Self::Bf16x6.available() { Self::Bf16x6 } else { Self::F32 }
    }
    /// What `BRODMANN_PRODUCTS` names, if the processor can.
    pub fn from_env() -> Option<Self> {
        let wanted = std::env::var("BRODMANN_PRODUCTS").ok()?;
        let found = wanted.trim().parse().ok().filter(|p: &Self| p.available());
        if found.is_none() {
            let best = Self::fastest();
            tracing::warn!(
                "BRODMANN_PRODUCTS={wanted} is not one of f32, bf16x6, bf16x3, bf16 or needs a tile unit that this processor lacks; using {best}"
            );
        }
        found
    }
    /// bfloat16 numbers that stand for one f32; none for f32 itself.
    #[cfg(target_arch = "x86_64")]
    fn planes(self) -> Option<usize> {
        match self {
            Self::F32 => None,
            Self::Bf16x6 => Some(3),
            Self::Bf16x3 => Some(2),
            Self::Bf16 => Some(1),
        }
    }
    /// What makes them, where it is not f32 multiply-adds.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn unit(self) -> Option<Unit> {
        self.planes().and_then(Unit::amx)
    }
}

impl fmt::Display for Products {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

impl FromStr for Products {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|p| p.key() == text)
            .ok_or_else(|| format!("`{text}` is no kind of products; expected f32, bf16x6, bf16x3 or bf16"))
    }
}

impl TryFrom<String> for Products {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Products> for String {
    fn from(products: Products) -> Self {
        products.to_string()
    }
}
