//! The types a GGUF tensor may have, and their values as f32. candle knows how each block is packed.

use crate::model::load::checkpoint::widen;
use candle_core::{CpuStorage, quantized::GgmlDType};
use rayon::prelude::*;
use safetensors::Dtype;
use std::{borrow::Cow, fmt};

/// The number by which a file names a tensor's type.
/// Source: `enum ggml_type` of <https://github.com/ggml-org/ggml/blob/master/include/ggml.h>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct GgmlType(pub u32);

/// How values are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    /// As safetensors has them too.
    Plain(Dtype),
    Blocks(GgmlDType),
}

/// Number, name, packing of all that are read.
const READ: &[(u32, &str, Packing)] = &[
    (0, "F32", Packing::Plain(Dtype::F32)),
    (1, "F16", Packing::Plain(Dtype::F16)),
    (30, "BF16", Packing::Plain(Dtype::BF16)),
    (2, "Q4_0", Packing::Blocks(GgmlDType::Q4_0)),
    (3, "Q4_1", Packing::Blocks(GgmlDType::Q4_1)),
    (6, "Q5_0", Packing::Blocks(GgmlDType::Q5_0)),
    (7, "Q5_1", Packing::Blocks(GgmlDType::Q5_1)),
    (8, "Q8_0", Packing::Blocks(GgmlDType::Q8_0)),
    (9, "Q8_1", Packing::Blocks(GgmlDType::Q8_1)),
    (10, "Q2_K", Packing::Blocks(GgmlDType::Q2K)),
    (11, "Q3_K", Packing::Blocks(GgmlDType::Q3K)),
    (12, "Q4_K", Packing::Blocks(GgmlDType::Q4K)),
    (13, "Q5_K", Packing::Blocks(GgmlDType::Q5K)),
    (14, "Q6_K", Packing::Blocks(GgmlDType::Q6K)),
    (15, "Q8_K", Packing::Blocks(GgmlDType::Q8K)),
];

/// Those that are not, so that a message can name them.
const UNREAD: &[(u32, &str)] = &[
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
];

impl GgmlType {
    pub const F32: Self = Self(0);

    fn packing(self) -> Option<Packing> {
        READ.iter().find(|(number, ..)| *number == self.0).map(|(.., packing)| *packing)
    }
    /// Values a block and bytes a block; `None` for a type that is not read.
    pub fn block(self) -> Option<(usize, usize)> {
        self.packing().map(|packing| match packing {
            Packing::Plain(dtype) => (1, dtype.bitsize() / 8),
            Packing::Blocks(dtype) => (dtype.block_size(), dtype.type_size()),
        })
    }
    /// For an error.
    pub fn supported() -> String {
        READ.iter().map(|(_, name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// Widens `raw`, whole blocks, into as many values; on all cores where there are many.
    ///
    /// # Panics
    /// For a type that is not read, or lengths that do not fit each other: checked when a model is opened.
    pub fn widen(self, raw: &[u8], out: &mut [f32]) {
        const CHUNK: usize = 1 << 16;
        let (block, block_bytes) = self.block().expect("a type that is read");
        assert_eq!(raw.len() * block, out.len() * block_bytes, "{self}: bytes and values do not fit each other");
        let packing = self.packing().expect("a type that is read");
        // A chunk is a multiple of every block's length.
        let work = out.par_chunks_mut(CHUNK).zip(raw.par_chunks(CHUNK / block * block_bytes));
        work.for_each(|(out, raw)| match packing {
            Packing::Plain(dtype) => widen(dtype, raw, out),
            Packing::Blocks(dtype) => unpack(dtype, raw, out),
        });
    }
}

fn unpack(dtype: GgmlDType, raw: &[u8], out: &mut [f32]) {
    // candle reads blocks in place where their first byte is aligned as their widest field, and refuses them otherwise.
    let aligned: Vec<u64>;
    let raw = if raw.as_ptr().addr().is_multiple_of(align_of::<u64>()) {
        raw
    } else {
        let mut words = vec![0u64; raw.len().div_ceil(8)];
        bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..raw.len()].copy_from_slice(raw);
        aligned = words;
        &bytemuck::cast_slice(&aligned)[..raw.len()]
    };
    match dtype.from_data(Cow::Borrowed(raw)).dequantize(out.len()) {
        Ok(CpuStorage::F32(values)) => out.copy_from_slice(&values),
        Ok(_) => unreachable!("blocks unpack to f32"),
        Err(e) => unreachable!("{dtype:?}: {e}"),
    }
}

impl fmt::Display for GgmlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read = READ.iter().map(|(number, name, _)| (number, name));
        match read.chain(UNREAD.iter().map(|(number, name)| (number, name))).find(|(number, _)| **number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "type {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor, quantized::QTensor};

    #[test]
    fn sizes_are_those_of_ggml() {
        // Bytes of a block from ggml-common.h: scales of two bytes, then the packed values.
        for (name, block, bytes) in [
            ("Q4_0", 32, 2 + 16),
            ("Q4_1", 32, 4 + 16),
            ("Q5_0", 32, 2 + 4 + 16),
            ("Q5_1", 32, 4 + 4 + 16),
            ("Q8_0", 32, 2 + 32),
            ("Q2_K", 256, 16 + 64 + 4),
            ("Q3_K", 256, 32 + 64 + 12 + 2),
            ("Q4_K", 256, 4 + 12 + 128),
            ("Q5_K", 256, 4 + 12 + 32 + 128),
            ("Q6_K", 256, 128 + 64 + 16 + 2),
        ] {
            let (number, ..) = READ.iter().find(|(_, n, _)| *n == name).expect(name);
            assert_eq!(GgmlType(*number).block(), Some((block, bytes)), "{name}");
        }
        assert_eq!(GgmlType(16).block(), None);
        assert_eq!((GgmlType(16).to_string(), GgmlType(77).to_string()), ("IQ2_XXS".into(), "type 77".into()));
    }

    /// Every block type: what candle packs, at an odd address and over several chunks, comes back as candle itself unpacks it.
    #[test]
    fn blocks_unpack_wherever_they_lie() {
        let n = 3 * (1 << 16) + 512;
        let values: Vec<f32> = (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0).collect();
        let source = Tensor::from_slice(&values, (n / 256, 256), &Device::Cpu).expect("tensor");
        for (number, name, packing) in READ {
            let Packing::Blocks(dtype) = packing else { continue };
            let packed = QTensor::quantize(&source, *dtype).expect(name);
            let want: Vec<f32> = packed.dequantize(&Device::Cpu).and_then(|t| t.flatten_all()).and_then(|t| t.to_vec1()).expect(name);
            let bytes = packed.data().expect(name);
            let mut odd = vec![0u8; bytes.len() + 1];
            odd[1..].copy_from_slice(&bytes);
            let mut got = vec![0.0; n];
            GgmlType(*number).widen(&odd[1..], &mut got);
            assert!(got == want, "{name}");
            // Two bits a value still tell the sign and the size.
            let worst = values.iter().zip(&got).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1.0, "{name}: off by {worst}");
        }
    }
}
