//! Tensors as safetensors bytes, in the order given, so that the same run makes the same file. (The crate's own writer keeps the metadata in a
//! hash map, whose order differs from one process to the next.)

use serde_json::{Map, Value, json};

pub enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I64(Vec<i64>),
}

pub struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Values,
}

/// Format: eight bytes header length, JSON header, data. Source: github.com/huggingface/safetensors, README.
pub fn to_bytes(mut tensors: Vec<Tensor>, metadata: &[(&str, String)]) -> Vec<u8> {
    // Wider types first keeps every tensor aligned to its own width.
    tensors.sort_by_key(|t| matches!(t.values, Values::F32(_)));
    let mut header = Map::new();
    header.insert("__metadata__".into(), metadata.iter().map(|(k, v)| ((*k).to_owned(), Value::from(v.as_str()))).collect());
    let mut data = Vec::new();
    for t in &tensors {
        let start = data.len();
        let dtype = match &t.values {
            Values::F32(v) => {
                v.iter().for_each(|x| data.extend(x.to_le_bytes()));
                "F32"
            }
            Values::F64(v) => {
                v.iter().for_each(|x| data.extend(x.to_le_bytes()));
                "F64"
            }
            Values::I64(v) => {
                v.iter().for_each(|x| data.extend(x.to_le_bytes()));
                "I64"
            }
        };
        header.insert(t.name.clone(), json!({ "dtype": dtype, "shape": t.shape, "data_offsets": [start, data.len()] }));
    }
    let mut head = Value::Object(header).to_string().into_bytes();
    head.resize(head.len().next_multiple_of(8), b' ');
    let mut bytes = (head.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut head);
    bytes.append(&mut data);
    bytes
}
