//! OPT: layer norms before (or, in the 350M model, after) each part, learned positions that begin at 2, a plain ReLU MLP, an embedding that may
//! be narrower than the model.

use super::{
    ConfigFile, Family,
    llama::refuse_quantised,
    whole,
    write::{self, entries},
};
use crate::{
    base::Result,
    compute::Activation,
    model::{
        DecoderSpec, Matrix,
        spec::{EmbeddingSpec, MlpSpec, NormSpec, PositionSpec, Residual, Sizes},
        weights::{BlockNorm, Role},
    },
};
use serde_json::{Map, Value, json};

pub const FAMILY: Family = Family {
    model_type: "opt",
    also: &[],
    label: "OPT",
    source: "https://github.com/huggingface/transformers/tree/main/src/transformers/models/opt",
    spec,
    config,
    tensor_name,
    layout: whole,
    prefixes: &["model.", ""],
    ignored: &[],
};

/// Rows of the table of positions before that of the first token.
const OFFSET: usize = 2;

/// Defaults are those of `OPTConfig`.
fn spec(c: &ConfigFile) -> Result<DecoderSpec> {
    refuse_quantised(c)?;
    if !c.flag("layer_norm_elementwise_affine", true)? {
        return Err(c.error("`layer_norm_elementwise_affine` is false; norms without gain and bias are not supported"));
    }
    let (d_model, n_heads) = (c.size("hidden_size")?, c.size("num_attention_heads")?);
    if d_model % n_heads != 0 {
        return Err(c.error(format!("`hidden_size` {d_model} is no multiple of `num_attention_heads` {n_heads}")));
    }
    let mut spec = DecoderSpec::llama(Sizes {
        n_layers: c.layers("num_hidden_layers")?,
        d_model,
        d_mlp: c.size("ffn_dim")?,
        vocab: c.size("vocab_size")?,
        max_positions: c.size_or("max_position_embeddings", None)?.unwrap_or(2048),
        n_heads,
        n_kv_heads: n_heads,
        head_dim: d_model / n_heads,
    });
    let bias = c.flag("enable_bias", true)?;
    let before = c.flag("do_layer_norm_before", true)?;
    spec.attention.qkv_bias = bias;
    spec.attention.out_bias = bias;
    spec.norm = NormSpec::layer(1e-5);
    spec.mlp = MlpSpec::Plain { act: c.activation("activation_function", Activation::Relu)?, bias };
    spec.positions = PositionSpec::Learned { offset: OFFSET };
    spec.residual = if before { Residual::Sequential } else { Residual::PostNorm };
    spec.embedding = EmbeddingSpec { width: c.size_or("word_embed_proj_dim", None)?.unwrap_or(d_model), scale: 1.0 };
    spec.final_norm = before && !c.flag("_remove_final_layer_norm", false)?;
    spec.tied_head = c.flag("tie_word_embeddings", true)?;
    Ok(spec)
}

fn config(spec: &DecoderSpec) -> Map<String, Value> {
    let before = spec.residual == Residual::Sequential;
    entries([
        ("architectures", json!(["OPTForCausalLM"])),
        ("model_type", json!("opt")),
        ("hidden_size", json!(spec.d_model)),
        ("ffn_dim", json!(spec.d_mlp)),
        ("num_hidden_layers", json!(spec.n_layers)),
        ("num_attention_heads", json!(spec.attention.n_heads)),
        ("vocab_size", json!(spec.vocab)),
        ("max_position_embeddings", json!(spec.max_positions)),
        ("word_embed_proj_dim", json!(spec.embedding.width)),
        ("activation_function", json!(write::activation(spec.mlp.act()))),
        ("enable_bias", json!(spec.mlp.bias())),
        ("do_layer_norm_before", json!(before)),
        ("_remove_final_layer_norm", json!(before && !spec.final_norm)),
        ("tie_word_embeddings", json!(spec.tied_head)),
    ])
}

fn tensor_name(role: Role) -> String {
    let linear = |m: Matrix| match m {
        Matrix::Q => "self_attn.q_proj",
        Matrix::K => "self_attn.k_proj",
        Matrix::V => "self_attn.v_proj",
        Matrix::O => "self_attn.out_proj",
        Matrix::Up => "fc1",
        Matrix::Gate => "fc_gate",
        Matrix::Down => "fc2",
    };
    let norm = |n: BlockNorm| match n {
        BlockNorm::Attn => "self_attn_layer_norm",
        BlockNorm::Mlp => "final_layer_norm",
        other => other.name(),
    };
    match role {
        Role::Embedding => "model.decoder.embed_tokens.weight".into(),
        Role::Positions => "model.decoder.embed_positions.weight".into(),
        Role::ProjectIn => "model.decoder.project_in.weight".into(),
        Role::ProjectOut => "model.decoder.project_out.weight".into(),
        Role::Norm(n, l) => format!("model.decoder.layers.{l}.{}.weight", norm(n)),
        Role::NormBias(n, l) => format!("model.decoder.layers.{l}.{}.bias", norm(n)),
        Role::Weight(l, m) => format!("model.decoder.layers.{l}.{}.weight", linear(m)),
        Role::Bias(l, m) => format!("model.decoder.layers.{l}.{}.bias", linear(m)),
        Role::NormFinal => "model.decoder.final_layer_norm.weight".into(),
        Role::NormFinalBias => "model.decoder.final_layer_norm.bias".into(),
        Role::Head => "lm_head.weight".into(),
    }
}
