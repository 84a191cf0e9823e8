//! The other names of a neuron: as a coordinate of a hook point (`blocks.3.mlp.hook_post[17]`), and as a row or column of a checkpoint's matrix
//! (`model.layers.3.mlp.down_proj.weight[:, 17]`, `transformer.h.3.mlp.c_proj.weight[17, :]`).

use crate::base::{Error, Result};

/// Along which dimension of a stored matrix neurons lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// `[j, :]`
    Row,
    /// `[:, j]`
    Column,
}

impl Axis {
    /// With `*` for the neuron: the end of a key in a file.
    pub fn pattern(self) -> &'static str {
        match self {
            Self::Row => "[*, :]",
            Self::Column => "[:, *]",
        }
    }
}

/// Matrices of an MLP by the end of their names, in every family that loads, and where a neuron lies in them. GPT-2 stores `[in, out]`.
const MATRICES: [(&str, Axis); 10] = [
    ("mlp.down_proj", Axis::Column),
    ("mlp.up_proj", Axis::Row),
    ("mlp.gate_proj", Axis::Row),
    ("mlp.c_proj", Axis::Row),
    ("mlp.c_fc", Axis::Column),
    ("mlp.dense_4h_to_h", Axis::Column),
    ("mlp.dense_h_to_4h", Axis::Row),
    ("fc2", Axis::Column),
    ("fc1", Axis::Row),
    ("mlp.fc2", Axis::Column),
];

/// Hook points whose last coordinate is the neuron.
const HOOKS: [&str; 3] = ["mlp.hook_post", "mlp.hook_pre", "mlp.hook_pre_linear"];

/// What a name without its brackets is of: the layer, and the axis for a matrix (`None` for a hook point, whose only axis is the neuron).
fn place(name: &str) -> Option<(u32, Option<Axis>)> {
    if let Some(rest) = name.strip_prefix("blocks.") {
        let (layer, hook) = rest.split_once('.')?;
        return HOOKS.contains(&hook).then(|| layer.parse().ok().map(|l| (l, None)))?;
    }
    let stem = name.strip_suffix(".weight").unwrap_or(name);
    let (matrix, axis) = MATRICES.iter().find(|(m, _)| stem.strip_suffix(m).is_some_and(|rest| rest.ends_with('.')))?;
    let before = stem.strip_suffix(matrix)?.trim_end_matches('.');
    let layer = before.rsplit('.').next()?.parse().ok()?;
    Some((layer, Some(*axis)))
}

/// How to write it, for messages.
pub const HOW: &str = "blocks.3.mlp.hook_post[17] or model.layers.3.mlp.down_proj.weight[:, 17]";

/// The layer that a key of a file names: `3`, `L3`, a hook point, a matrix (with or without `[:, *]`). `None` when it is nothing of the kind.
pub fn layer_of_key(key: &str) -> Option<u32> {
    let key = key.trim();
    if let Ok(layer) = key.trim_start_matches(['L', 'l']).parse() {
        return Some(layer);
    }
    let (name, pattern) = key.split_once('[').map_or((key, None), |(n, p)| (n, Some(p)));
    let (layer, axis) = place(name.trim())?;
    let plain = |p: &str| p.trim_end_matches(']').chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let fits = match (pattern.map(plain).as_deref(), axis) {
        (None, _) | (Some("*"), None) => true,
        (Some("*,:"), Some(a)) => a == Axis::Row,
        (Some(":,*"), Some(a)) => a == Axis::Column,
        _ => false,
    };
    fits.then_some(layer)
}

/// The layer and the indices `first..=last` of one name with brackets; `[17:20]` is 17, 18, 19, as in Python.
///
/// # Errors
/// When the name is no neuron's, or the brackets take the other axis.
pub fn parse(text: &str) -> Result<(u32, u32, u32)> {
    let bad = |why: &str| Error::invalid(format!("`{text}`: {why}; write {HOW}"));
    let (name, inside) =
        text.trim().strip_suffix(']').and_then(|t| t.split_once('[')).ok_or_else(|| bad("an index in brackets is missing"))?;
    let (layer, axis) = place(name.trim()).ok_or_else(|| bad("this tensor has no neurons"))?;
    let parts: Vec<&str> = inside.split(',').map(str::trim).collect();
    let index = match (axis, parts[..].as_ref()) {
        (None, [i]) | (Some(Axis::Row), [i] | [i, ":"]) | (Some(Axis::Column), [":", i]) => *i,
        (Some(Axis::Column), _) => return Err(bad("the neurons of this matrix are its columns, [:, j]")),
        (Some(Axis::Row), _) => return Err(bad("the neurons of this matrix are its rows, [j, :]")),
        (None, _) => return Err(bad("a hook point has one index, the neuron")),
    };
    let number = |t: &str| t.trim().parse::<u32>().map_err(|_| bad("an index is a whole number or a range such as 17:20"));
    match index.split_once(':') {
        None => number(index).map(|i| (layer, i, i)),
        Some((a, b)) => {
            let (a, b) = (number(a)?, number(b)?);
            if b <= a || b - a > 1 << 20 {
                return Err(bad("a range goes from the smaller to the larger index, over at most 1,048,576 neurons"));
            }
            Ok((layer, a, b - 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_s_names_are_read() {
        for (text, want) in [
            ("blocks.3.mlp.hook_post[17]", (3, 17, 17)),
            ("blocks.12.mlp.hook_pre[17:20]", (12, 17, 19)),
            ("model.layers.3.mlp.down_proj.weight[:, 17]", (3, 17, 17)),
            ("model.layers.3.mlp.gate_proj.weight[17,:]", (3, 17, 17)),
            ("model.layers.3.mlp.up_proj.weight[17]", (3, 17, 17)),
            ("transformer.h.3.mlp.c_proj.weight[17, :]", (3, 17, 17)),
            ("h.3.mlp.c_fc.weight[:,17]", (3, 17, 17)),
            ("gpt_neox.layers.3.mlp.dense_4h_to_h.weight[:,5]", (3, 5, 5)),
            ("model.decoder.layers.3.fc2.weight[:,0:2]", (3, 0, 1)),
        ] {
            assert_eq!(parse(text).expect(text), want, "{text}");
        }
    }

    #[test]
    fn the_wrong_axis_and_other_tensors_are_refused() {
        for (text, part) in [
            ("model.layers.3.mlp.down_proj.weight[17]", "columns"),
            ("model.layers.3.mlp.up_proj.weight[:,17]", "rows"),
            ("transformer.h.3.mlp.c_proj.weight[:,17]", "rows"),
            ("model.layers.3.self_attn.q_proj.weight[17]", "no neurons"),
            ("blocks.3.hook_resid_pre[17]", "no neurons"),
            ("blocks.3.mlp.hook_post[1,2]", "one index"),
            ("blocks.3.mlp.hook_post[20:17]", "range"),
            ("blocks.3.mlp.hook_post[x]", "whole number"),
            ("blocks.3.mlp.hook_post", "brackets"),
        ] {
            let e = parse(text).expect_err(text).to_string();
            assert!(e.contains(part) && e.contains("hook_post[17]"), "{text}: {e}");
        }
    }

    #[test]
    fn keys_name_layers() {
        for key in ["3", "L3", "blocks.3.mlp.hook_post", "blocks.3.mlp.hook_post[*]", "model.layers.3.mlp.down_proj.weight[:, *]"] {
            assert_eq!(layer_of_key(key), Some(3), "{key}");
        }
        for key in ["three", "blocks.3.hook_attn_out", "model.layers.3.mlp.down_proj.weight[*, :]", ""] {
            assert_eq!(layer_of_key(key), None, "{key}");
        }
    }
}
