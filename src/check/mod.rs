//! Is a model computed rightly? Its forward pass against plain f64 arithmetic and stored values, its gradients against central differences.

mod certificate;
mod golden;
mod reference;
mod run;

pub use certificate::{CheckReport, ForwardCheck, MatrixCheck, MatrixSummary};
pub use golden::GoldenCheck;
pub use run::{CheckConfig, check_model};
