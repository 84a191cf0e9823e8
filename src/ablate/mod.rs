//! Accuracy before and after switching neurons off, beside random controls of the same size.

pub mod attribution;
pub mod paired;
pub mod predict;
pub mod report;
pub mod run;
pub mod selection;
pub mod session;

pub use attribution::{Attribution, AttributionLimits, attribute, attributed_mode};
pub use predict::{Prediction, Quantity, Summary};
pub use report::{AblationReport, DomainAblation};
pub use run::{AblationRequest, Part, random_heads_like, run};
pub use selection::{NeuronSetFile, Selected, Selection};
pub use session::{EvalSession, SessionLimits};
