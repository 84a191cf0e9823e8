//! How matrix products are made: by f32 multiply-adds, or from smaller parts of both operands, on the processor's tile unit or by its vectors.
//!
//! A tile unit (Intel AMX) multiplies numbers of eight bits at twice the speed of bfloat16 ones, and adds up in whole numbers of 32. Of two fixed-point numbers of three such
//! digits the largest eight of nine products leave out less than f32 itself rounds off when it sums, and the sums no bit at all; numbers far smaller than the largest
//! of their row keep fewer bits than in f32.
//!
//! A tile unit (Intel AMX) multiplies bfloat16 numbers, eight significant bits each, and adds up in f32. An f32 number is the sum of three of them,
//! `x = h + m + l`, exactly; a product of two numbers is then nine products, of which the largest six leave out less than f32 itself rounds off. Vectors of AVX512_BF16 multiply twice as many
//! bfloat16 numbers an instruction as f32 ones, so they gain by one product for each of f32's alone.

#[cfg(target_arch = "x86_64")]
use super::tiles::{Parts, Unit};
use super::{Isa, pairs::Words};
use std::{fmt, str::FromStr};

/// Arithmetic of matrix products and of the fused scan. Everything else is f32 all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Products {
    /// f32 multiply-adds.
    F32,
    /// Eight products of the digits of fixed-point numbers, summed in whole numbers: an error of the order of f32's own, in the mean two to four times it where
    /// rows have a few numbers much larger than the rest. Weights stored in bfloat16 as by [`Self::Bf16x6`], which needs half of its products for them.
    Int8x8,
    /// Six products of bfloat16 parts, summed in f32: an error of the size of f32's own or half of it.
    Bf16x6,
    /// Three products of two parts each: a relative error of up to 2^-14 a product.
    Bf16x3,
    /// One product of numbers rounded to bfloat16: up to 2^-7.
    Bf16,
}

impl Products {
    pub const ALL: [Self; 5] = [Self::F32, Self::Int8x8, Self::Bf16x6, Self::Bf16x3, Self::Bf16];

    /// As written on the command line and in `BRODMANN_PRODUCTS`.
    pub fn key(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Int8x8 => "int8x8",
            Self::Bf16x6 => "bf16x6",
            Self::Bf16x3 => "bf16x3",
            Self::Bf16 => "bf16",
        }
    }
    /// What they are, what they cost in accuracy and when they are faster: a sentence for whoever chooses.
    pub fn about(self) -> &'static str {
        match self {
            Self::F32 => "multiply-adds in f32, which every processor has and the others are compared with",
            Self::Int8x8 => {
                "eight products of 8-bit digits, each row to 2^-23 of its largest number, an error of f32's order (mostly two to four times f32's own in a language model) and the fastest of this order on a tile unit; weights stored in bfloat16 are multiplied as by bf16x6, which is faster for them"
            }
            Self::Bf16x6 => {
                "six products of bfloat16 parts, an error of f32's own size or half of it, faster on a tile unit where many rows are multiplied at once"
            }
            Self::Bf16x3 => {
                "three products of bfloat16 parts, 16 bits of each number and up to 2^-14 off a product, faster than bf16x6 on a tile unit"
            }
            Self::Bf16 => {
                "one product of numbers rounded to bfloat16, 8 bits of each and up to 2^-7 off a product, the fastest on a tile unit and with AVX512_BF16"
            }
        }
    }
    /// As [`Products::about`], of the program's own choice.
    pub const ABOUT_AUTO: &str = "the fastest with an error of f32's order, which is int8x8 on a tile unit and f32 elsewhere";
    /// Those that a provenance names as what was computed in: `Q4_1 weights, f32 with bf16 products arithmetic, f64 sums`.
    pub fn named_in(provenance: &str) -> Self {
        Self::ALL.into_iter().find(|p| *p != Self::F32 && provenance.contains(p.arithmetic())).unwrap_or(Self::F32)
    }
    /// Whether their error is larger than of f32's order.
    pub fn is_coarse(self) -> bool {
        matches!(self, Self::Bf16x3 | Self::Bf16)
    }
    /// What is computed in with them, for provenance.
    pub fn arithmetic(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Int8x8 => "f32 (int8x8 products)",
            Self::Bf16x6 => "f32 (bf16x6 products)",
            Self::Bf16x3 => "f32 with bf16x3 products",
            Self::Bf16 => "f32 with bf16 products",
        }
    }
    /// Whether this processor can, and no lower instruction level was asked for: who asks for less than the processor has means all of it.
    pub fn available(self) -> bool {
        self.maker().is_some()
    }
    /// The part of this processor that makes them; nothing for what every processor has, or where it lacks what they need.
    pub fn made_by(self) -> Option<&'static str> {
        self.maker().and_then(Maker::name)
    }
    /// What tells results apart whose last bits differ: the unit's sums and the vectors' come in another order. Nothing for f32 multiply-adds. To be changed with that order.
    pub fn bits(self) -> Option<String> {
        match self.maker()? {
            Maker::MultiplyAdds => None,
            Maker::Pairs => Some(format!("{self} pairs")),
            #[cfg(target_arch = "x86_64")]
            Maker::TileUnit(_) => Some(format!("{self} tiles")),
        }
    }
    /// Themselves where they can be had.
    ///
    /// # Errors
    /// Why they cannot, as a clause.
    pub fn usable(self) -> Result<Self, String> {
        if self.available() {
            return Ok(self);
        }
        Err(if Isa::best() == Isa::highest() {
            format!("{self} needs {}, which this processor or system lacks", self.needs())
        } else {
            format!("{self} needs all that this processor has, and BRODMANN_ISA asks for less")
        })
    }
    /// What a processor has to have for them.
    pub fn needs(self) -> &'static str {
        match self {
            Self::F32 => "nothing",
            Self::Int8x8 | Self::Bf16x6 | Self::Bf16x3 => "a tile unit (Intel AMX)",
            Self::Bf16 => "AVX512_BF16 or a tile unit (Intel AMX)",
        }
    }
    /// What makes them here.
    pub(super) fn maker(self) -> Option<Maker> {
        if self == Self::F32 {
            return Some(Maker::MultiplyAdds);
        }
        if Isa::best() != Isa::highest() {
            return None;
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(unit) = Unit::amx(self.parts()) {
            return Some(Maker::TileUnit(unit));
        }
        (self == Self::Bf16 && Words::pairs().is_some()).then_some(Maker::Pairs)
    }
    /// The fastest with an error of f32's order here, or what the environment names.
    pub fn best() -> Self {
        Self::from_env().and_then(Result::ok).flatten().unwrap_or_else(Self::fastest)
    }
    /// The fastest with an error of f32's order here: what `auto` takes.
    pub fn fastest() -> Self {
        if Self::Int8x8.available() { Self::Int8x8 } else { Self::F32 }
    }
    /// What `BRODMANN_PRODUCTS` asks for, as [`Products::asked_for`] takes it; `None` where it is not set.
    pub fn from_env() -> Option<Result<Option<Self>, String>> {
        let wanted = std::env::var("BRODMANN_PRODUCTS").ok()?;
        Some(Self::asked_for(wanted.trim()))
    }
    /// What a word asks for at start: `auto` (`None`), or a kind that can be had.
    ///
    /// # Errors
    /// When it is no such word, with those that are; when this processor cannot make them.
    pub fn asked_for(word: &str) -> Result<Option<Self>, String> {
        if word == "auto" { Ok(None) } else { word.parse().and_then(Self::usable).map(Some) }
    }
    /// What a tile unit is given for an f32 number.
    #[cfg(target_arch = "x86_64")]
    fn parts(self) -> Parts {
        match self {
            Self::F32 | Self::Int8x8 => Parts::Digits,
            Self::Bf16x6 => Parts::Planes(3),
            Self::Bf16x3 => Parts::Planes(2),
            Self::Bf16 => Parts::Planes(1),
        }
    }
}

/// What makes products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    /// f32 multiply-adds.
    MultiplyAdds,
    /// Vectors of pairs of bfloat16 numbers.
    Pairs,
    #[cfg(target_arch = "x86_64")]
    TileUnit(Unit),
}

impl Maker {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::MultiplyAdds => None,
            Self::Pairs => Some("AVX512_BF16"),
            #[cfg(target_arch = "x86_64")]
            Self::TileUnit(_) => Some("AMX"),
        }
    }
    pub fn words(self) -> Words {
        if self == Self::Pairs { Words::Pairs } else { Words::Numbers }
    }
    #[cfg(target_arch = "x86_64")]
    pub fn unit(self) -> Option<Unit> {
        match self {
            Self::TileUnit(unit) => Some(unit),
            _ => None,
        }
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
            .ok_or_else(|| format!("`{text}` is no kind of products; expected auto, f32, int8x8, bf16x6, bf16x3 or bf16"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_bits_of_its_own_says_so_and_f32_says_nothing() {
        assert_eq!((Products::F32.bits(), Products::F32.made_by()), (None, None));
        for products in Products::ALL.into_iter().filter(|p| *p != Products::F32) {
            let bits = products.bits();
            assert_eq!(bits.is_some(), products.available(), "{products}");
            assert_eq!(products.made_by() == Some("AVX512_BF16"), bits == Some(format!("{products} pairs")), "{products}");
        }
    }

    #[test]
    fn they_are_read_from_the_provenance_that_they_write() {
        for products in Products::ALL {
            for text in [
                products.arithmetic().to_owned(),
                format!("bf16 weights, {} arithmetic, f64 sums", products.arithmetic()),
                format!("f32 weights, {} against f64 arithmetic", products.arithmetic()),
            ] {
                assert_eq!(Products::named_in(&text), products, "{text}");
            }
        }
        assert_eq!(Products::named_in(""), Products::F32);
    }

    #[test]
    fn auto_is_asked_for_as_a_kind_is_and_other_words_name_all() {
        assert_eq!(Products::asked_for("auto"), Ok(None));
        assert_eq!(Products::asked_for("f32"), Ok(Some(Products::F32)));
        let unknown = Products::asked_for("fp8").expect_err("no such kind");
        assert!(unknown.contains("auto") && Products::ALL.iter().all(|p| unknown.contains(p.key())), "{unknown}");
    }

    #[test]
    fn what_cannot_be_had_says_why() {
        for products in Products::ALL {
            match products.usable() {
                Ok(same) => assert!(same == products && products.available()),
                Err(why) => assert!(!products.available() && why.starts_with(&format!("{products} needs ")), "{why}"),
            }
        }
    }
}
