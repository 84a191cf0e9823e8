//! The reference backend: plain f32 buffers, the `gemm` crate, rayon, run-time chosen AVX-512 / AVX2 code.
