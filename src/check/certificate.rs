//! What a check found, and when it passes.

use super::GoldenCheck;
use crate::{base::provenance::Provenance, model::Matrix};
use serde::{Deserialize, Serialize};

/// Changes when the same model would get another certificate.
pub(super) const VERSION: u32 = 1;

/// Logits of the program against plain f64 arithmetic, on the check's own tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForwardCheck {
    pub tokens: usize,
    /// Largest |difference| of a logit.
    pub worst: f64,
    /// Largest |logit|.
    pub largest: f64,
    /// Allowed share of the largest.
    pub tolerance: f64,
}

/// One weight matrix: does it receive a gradient, and does it agree with central differences at random weights?
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatrixCheck {
    pub layer: usize,
    pub matrix: Matrix,
    /// Root of the mean square of the whole gradient.
    pub gradient_rms: f64,
    /// Weights that were moved.
    pub weights: usize,
    /// Largest |gradient - difference| / max(|difference|, rms of the matrix's gradient).
    pub worst: f64,
    pub passed: bool,
}

/// The certificate of a model. `passed` is all that counts; the rest says why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    pub model: String,
    pub model_sha256: String,
    /// A certificate of another version of the formulas is made anew.
    pub version: u32,
    pub forward: ForwardCheck,
    /// Stored values beside the model, where there are some.
    pub golden: Option<GoldenCheck>,
    pub matrices: Vec<MatrixCheck>,
    /// Weights moved in all.
    pub weights: usize,
    /// Allowed relative error of a gradient.
    pub tolerance: f64,
    pub seconds: f64,
    pub passed: bool,
    pub provenance: Provenance,
}

/// One kind of matrix over all layers: a line of the certificate's table.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSummary {
    pub matrix: Matrix,
    pub layers: usize,
    /// Weights that were moved.
    pub weights: usize,
    /// Smallest and largest root mean square of a layer's gradient.
    pub gradient_rms: (f64, f64),
    /// As [`MatrixCheck::worst`], the largest.
    pub worst: f64,
    /// Layers whose gradient failed.
    pub failed: Vec<usize>,
}

impl ForwardCheck {
    pub fn passed(&self) -> bool {
        self.worst <= self.tolerance * self.largest
    }
}

impl CheckReport {
    /// Made by this version of the formulas.
    pub fn is_current(&self) -> bool {
        self.version == VERSION
    }
    /// The matrices' checks, one line for each kind, in the order of a block.
    pub fn by_matrix(&self) -> Vec<MatrixSummary> {
        let mut kinds: Vec<Matrix> = self.matrices.iter().map(|m| m.matrix).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let summary = |matrix| {
            let of = || self.matrices.iter().filter(move |m| m.matrix == matrix);
            let rms = || of().map(|m| m.gradient_rms);
            MatrixSummary {
                matrix,
                layers: of().count(),
                weights: of().map(|m| m.weights).sum(),
                gradient_rms: (rms().fold(f64::INFINITY, f64::min), rms().fold(0.0, f64::max)),
                worst: of().map(|m| m.worst).fold(0.0, f64::max),
                failed: of().filter(|m| !m.passed).map(|m| m.layer).collect(),
            }
        };
        kinds.into_iter().map(summary).collect()
    }
    /// In a line: `passed: 30 layers, 210 matrices, 256 weights, gradients within 2e-5`.
    pub fn summary(&self) -> String {
        let worst = self.matrices.iter().map(|m| m.worst).fold(0.0, f64::max);
        let failed = self.matrices.iter().filter(|m| !m.passed).count();
        if self.passed {
            format!(
                "passed: logits within {:.1e} of f64, gradients of {} weights in {} matrices within {worst:.1e}",
                self.forward.worst / self.forward.largest.max(f64::MIN_POSITIVE),
                self.weights,
                self.matrices.len()
            )
        } else if failed > 0 {
            format!("FAILED: gradients of {failed} of {} matrices are off, by up to {worst:.1e}", self.matrices.len())
        } else if !self.forward.passed() {
            format!(
                "FAILED: logits are off by {:.1e}, allowed {:.1e} of {:.1e}",
                self.forward.worst, self.forward.tolerance, self.forward.largest
            )
        } else {
            "FAILED: stored values differ".into()
        }
    }
}
