//! Places in a forward pass, by their TransformerLens names.

use std::fmt;

/// A tensor of the forward pass. All are `[position, width]`, positions of all sequences of a batch one after another
/// (attention patterns are `[head, query, key]` of one sequence).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HookPoint {
    Embed,
    /// Learned positions.
    PosEmbed,
    ResidPre(usize),
    Q(usize),
    K(usize),
    V(usize),
    Pattern(usize),
    Z(usize),
    AttnOut(usize),
    ResidMid(usize),
    /// Gate pre-activation of a gated MLP, or the only pre-activation of a plain one.
    MlpPre(usize),
    /// Up projection of a gated MLP.
    MlpPreLinear(usize),
    /// The neurons: `act(gate) * up`, or `act(fc)`.
    MlpPost(usize),
    MlpOut(usize),
    ResidPost(usize),
    FinalNorm,
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embed => write!(f, "hook_embed"),
            Self::PosEmbed => write!(f, "hook_pos_embed"),
            Self::ResidPre(l) => write!(f, "blocks.{l}.hook_resid_pre"),
            Self::Q(l) => write!(f, "blocks.{l}.attn.hook_q"),
            Self::K(l) => write!(f, "blocks.{l}.attn.hook_k"),
            Self::V(l) => write!(f, "blocks.{l}.attn.hook_v"),
            Self::Pattern(l) => write!(f, "blocks.{l}.attn.hook_pattern"),
            Self::Z(l) => write!(f, "blocks.{l}.attn.hook_z"),
            Self::AttnOut(l) => write!(f, "blocks.{l}.hook_attn_out"),
            Self::ResidMid(l) => write!(f, "blocks.{l}.hook_resid_mid"),
            Self::MlpPre(l) => write!(f, "blocks.{l}.mlp.hook_pre"),
            Self::MlpPreLinear(l) => write!(f, "blocks.{l}.mlp.hook_pre_linear"),
            Self::MlpPost(l) => write!(f, "blocks.{l}.mlp.hook_post"),
            Self::MlpOut(l) => write!(f, "blocks.{l}.hook_mlp_out"),
            Self::ResidPost(l) => write!(f, "blocks.{l}.hook_resid_post"),
            Self::FinalNorm => write!(f, "ln_final.hook_normalized"),
        }
    }
}

impl HookPoint {
    /// Every point that a model of `layers` blocks may have, in the order of the forward pass.
    pub fn all(layers: usize) -> Vec<Self> {
        let mut points = vec![Self::Embed, Self::PosEmbed];
        for l in 0..layers {
            points.extend([
                Self::ResidPre(l),
                Self::Q(l),
                Self::K(l),
                Self::V(l),
                Self::Pattern(l),
                Self::Z(l),
                Self::AttnOut(l),
                Self::ResidMid(l),
                Self::MlpPre(l),
                Self::MlpPreLinear(l),
                Self::MlpPost(l),
                Self::MlpOut(l),
                Self::ResidPost(l),
            ]);
        }
        points.push(Self::FinalNorm);
        points
    }
}
