//! Windows into the forward pass ([`Hooks`]) and into the backward pass ([`Taps`]).

use super::{Batch, RowsAt, weights::Role};
use crate::base::{HookPoint, Result};
use std::fmt;

/// Called with each wanted tensor of a forward pass, which it may read or change in place (an ablation does).
pub trait Hooks {
    /// A point that is not wanted is not called, and need not be computed.
    fn wants(&self, point: HookPoint) -> bool;
    /// `values` is `[batch.n_tokens(), width]`; for `Pattern` it is `[n_heads, t, t]`, called once a sequence, read-only in effect.
    ///
    /// # Errors
    /// Ends the forward pass.
    fn at(&mut self, point: HookPoint, batch: &Batch, values: &mut [f32]) -> Result<()>;
    /// Whether it changes what it is shown at a point that it wants.
    fn changes(&self, point: HookPoint) -> bool {
        self.wants(point)
    }
    /// Never looks: text that was read need not be read again for its sake.
    fn is_blind(&self) -> bool {
        false
    }
}

/// Looks at nothing.
pub struct NoHooks;

impl Hooks for NoHooks {
    fn is_blind(&self) -> bool {
        true
    }
    fn wants(&self, _: HookPoint) -> bool {
        false
    }
    fn at(&mut self, _: HookPoint, _: &Batch, _: &mut [f32]) -> Result<()> {
        Ok(())
    }
}

/// The linear weights of a block, in the order in which they are flattened and reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matrix {
    Q,
    K,
    V,
    O,
    Gate,
    Up,
    Down,
}

impl Matrix {
    pub const ALL: [Self; 7] = [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];
    /// Those of a block whose MLP has no gate.
    pub const PLAIN: [Self; 6] = [Self::Q, Self::K, Self::V, Self::O, Self::Up, Self::Down];

    pub const fn is_mlp(self) -> bool {
        matches!(self, Self::Gate | Self::Up | Self::Down)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Q => "q",
            Self::K => "k",
            Self::V => "v",
            Self::O => "o",
            Self::Gate => "gate",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Called during a backward pass. Every matrix of every block must be seen exactly once a pass: whoever relies on it counts.
pub trait Taps {
    /// Whether it looks at the input of a matrix that reads what a norm gives, which is made for taps alone.
    fn wants_input(&self, _layer: usize, _matrix: Matrix) -> bool {
        true
    }
    /// A linear layer `y = x W^T`: its input `x` `[n, in]` and `delta = dD/dy` `[n, out]`; `dD/dW = delta^T x`.
    /// `x` may be empty where it is not wanted, and where a trainer's tape does without it.
    ///
    /// # Errors
    /// Ends the backward pass.
    fn linear(&mut self, layer: usize, matrix: Matrix, x: &[f32], delta: &[f32]) -> Result<()>;
    /// [`Taps::linear`] of the matrices that read one `x`, with the `delta` of each.
    ///
    /// # Errors
    /// Ends the backward pass.
    fn linears(&mut self, layer: usize, x: &[f32], of: &[(Matrix, &[f32])]) -> Result<()> {
        of.iter().try_for_each(|(matrix, delta)| self.linear(layer, *matrix, x, delta))
    }
    /// `mlp.hook_post` or `attn.hook_z` with its gradient, both `[n, width]`.
    ///
    /// # Errors
    /// Ends the backward pass.
    fn activation(&mut self, point: HookPoint, values: &[f32], gradient: &[f32]) -> Result<()>;
    /// As [`Taps::linear`], for a pass in which the rows `at` alone have a gradient: `x` and `delta` are these rows'. Unless told otherwise they are
    /// shown among zeros to [`Taps::linear`].
    ///
    /// # Errors
    /// Ends the backward pass.
    fn linear_at(&mut self, layer: usize, matrix: Matrix, at: &RowsAt, x: &[f32], delta: &[f32]) -> Result<()> {
        self.linear(layer, matrix, &at.among_zeros(x), &at.among_zeros(delta))
    }
    /// As [`Taps::activation`], for a pass as in [`Taps::linear_at`].
    ///
    /// # Errors
    /// Ends the backward pass.
    fn activation_at(&mut self, point: HookPoint, at: &RowsAt, values: &[f32], gradient: &[f32]) -> Result<()> {
        self.activation(point, &at.among_zeros(values), &at.among_zeros(gradient))
    }
    /// Wanted by a trainer: the gradient of any other parameter (norm gains and biases, embedding, positions, head) is added to the returned
    /// slice, which has its shape. Asked only for what the model has; a tied head asks for [`Role::Embedding`].
    fn parameter(&mut self, _role: Role) -> Option<&mut [f32]> {
        None
    }
}

/// Looks at nothing.
pub struct NoTaps;

impl Taps for NoTaps {
    fn linear(&mut self, _: usize, _: Matrix, _: &[f32], _: &[f32]) -> Result<()> {
        Ok(())
    }
    fn activation(&mut self, _: HookPoint, _: &[f32], _: &[f32]) -> Result<()> {
        Ok(())
    }
}
