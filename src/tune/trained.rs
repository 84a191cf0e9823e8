//! What trains: every parameter, or only some rows and columns. The rest of a model is never written to, and costs neither gradient nor optimiser state.

use crate::{
    base::{Error, NeuronSet, Result},
    model::{DecoderSpec, Matrix, Weights, weights::Role},
};

/// A part of a tensor. Its values are packed one member after another: a row as it lies, a column from its first row to its last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// Of a matrix `[out, in]`, ascending.
    Rows(Vec<usize>),
    /// Of a matrix `[out, in]`, ascending.
    Columns(Vec<usize>),
}

/// A part of a tensor that trains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    pub role: Role,
    pub part: Part,
    /// Of the whole tensor.
    pub shape: Vec<usize>,
}

impl Slice {
    /// Values that train.
    pub fn len(&self) -> usize {
        match &self.part {
            Part::Whole => self.shape.iter().product(),
            Part::Rows(rows) => rows.len() * self.shape[1],
            Part::Columns(columns) => columns.len() * self.shape[0],
        }
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Whether weight decay applies: to matrices (embedding and head included), not to norm gains and biases.
    pub fn decays(&self) -> bool {
        matches!(self.role, Role::Weight(..) | Role::Embedding | Role::Head)
    }
    /// The trained values of `tensor`, packed.
    pub fn read(&self, tensor: &[f32], out: &mut Vec<f32>) {
        out.clear();
        match &self.part {
            Part::Whole => out.extend_from_slice(tensor),
            Part::Rows(rows) => {
                let width = self.shape[1];
                rows.iter().for_each(|r| out.extend_from_slice(&tensor[r * width..(r + 1) * width]));
            }
            Part::Columns(columns) => {
                let width = self.shape[1];
                columns.iter().for_each(|c| out.extend(tensor.iter().skip(*c).step_by(width)));
            }
        }
    }
    /// Puts packed values back.
    pub fn write(&self, packed: &[f32], tensor: &mut [f32]) {
        match &self.part {
            Part::Whole => tensor.copy_from_slice(packed),
            Part::Rows(rows) => {
                let width = self.shape[1];
                for (r, values) in rows.iter().zip(packed.chunks_exact(width)) {
                    tensor[r * width..(r + 1) * width].copy_from_slice(values);
                }
            }
            Part::Columns(columns) => {
                let (height, width) = (self.shape[0], self.shape[1]);
                // Row after row: down a column every number lies in a line of its own.
                for (r, row) in tensor.chunks_exact_mut(width).enumerate() {
                    for (&c, values) in columns.iter().zip(packed.chunks_exact(height)) {
                        row[c] = values[r];
                    }
                }
            }
        }
    }
}

/// Everything of a model that trains, in the order of [`DecoderSpec::roles`].
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    pub slices: Vec<Slice>,
    /// The first block whose backward pass is needed; the number of layers where none is.
    pub first_layer: usize,
}

impl Trained {
    /// Every parameter.
    pub fn all(spec: &DecoderSpec) -> Self {
        let slice = |role: Role| Some(Slice { role, part: Part::Whole, shape: spec.shape(role)? });
        Self { slices: spec.roles().into_iter().filter_map(slice).filter(|s| !s.is_empty()).collect(), first_layer: 0 }
    }

    /// The parameters of hidden neurons: rows of gate and up, columns of down (METHODS 2, Train-Task). Biases stay as they are.
    ///
    /// # Errors
    /// When the set is empty or does not fit the model.
    pub fn neurons(spec: &DecoderSpec, set: &NeuronSet) -> Result<Self> {
        set.check_inside(spec.n_layers, spec.d_mlp)?;
        let mut slices = Vec::new();
        for layer in set.layers() {
            let members: Vec<usize> = set.layer(layer).collect();
            for matrix in spec.matrices() {
                let part = match matrix {
                    Matrix::Gate | Matrix::Up => Part::Rows(members.clone()),
                    Matrix::Down => Part::Columns(members.clone()),
                    Matrix::Q | Matrix::K | Matrix::V | Matrix::O => continue,
                };
                let role = Role::Weight(layer, *matrix);
                let shape = spec.shape(role).ok_or_else(|| Error::invalid(format!("this model has no {role}")))?;
                slices.push(Slice { role, part, shape });
            }
        }
        let first_layer =
            set.layers().next().ok_or_else(|| Error::invalid("a set of no neurons cannot be trained; choose at least one"))?;
        Ok(Self { slices, first_layer })
    }

    /// Scalars that train.
    pub fn len(&self) -> usize {
        self.slices.iter().map(Slice::len).sum()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    pub fn position(&self, role: Role) -> Option<usize> {
        self.slices.iter().position(|s| s.role == role)
    }
    /// Packed values of every slice.
    ///
    /// # Errors
    /// When the weights are of another model.
    pub fn read(&self, weights: &Weights) -> Result<Vec<Vec<f32>>> {
        let values = |s: &Slice| {
            let tensor = weights.get(s.role).ok_or_else(|| Error::invalid(format!("the weights have no {}", s.role)))?;
            let mut out = Vec::with_capacity(s.len());
            s.read(&tensor, &mut out);
            Ok(out)
        };
        self.slices.iter().map(values).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spec::Sizes;

    fn spec() -> DecoderSpec {
        DecoderSpec::llama(Sizes { n_layers: 3, d_model: 4, d_mlp: 6, vocab: 8, max_positions: 8, n_heads: 2, n_kv_heads: 1, head_dim: 2 })
    }

    #[test]
    fn rows_and_columns_are_read_and_written_in_place() {
        let tensor: Vec<f32> = (0..12u8).map(f32::from).collect();
        // [3, 4]
        let rows = Slice { role: Role::Weight(0, Matrix::Up), part: Part::Rows(vec![0, 2]), shape: vec![3, 4] };
        let columns = Slice { part: Part::Columns(vec![1, 3]), ..rows.clone() };
        let mut packed = Vec::new();
        rows.read(&tensor, &mut packed);
        assert_eq!(packed, [0.0, 1.0, 2.0, 3.0, 8.0, 9.0, 10.0, 11.0]);
        columns.read(&tensor, &mut packed);
        assert_eq!(packed, [1.0, 5.0, 9.0, 3.0, 7.0, 11.0]);
        let mut changed = tensor.clone();
        columns.write(&[-1.0; 6], &mut changed);
        assert_eq!(changed, [0.0, -1.0, 2.0, -1.0, 4.0, -1.0, 6.0, -1.0, 8.0, -1.0, 10.0, -1.0]);
        rows.write(&[7.0; 8], &mut changed);
        assert_eq!(changed, [7.0, 7.0, 7.0, 7.0, 4.0, -1.0, 6.0, -1.0, 7.0, 7.0, 7.0, 7.0]);
    }

    #[test]
    fn a_neuron_is_a_row_of_gate_and_up_and_a_column_of_down() {
        let trained = Trained::neurons(&spec(), &NeuronSet::parse("L1N2,L2N0-1").expect("set")).expect("fits");
        // Three neurons of 3 x d_model scalars.
        assert_eq!((trained.len(), trained.first_layer, trained.slices.len()), (3 * 3 * 4, 1, 6));
        assert!(Trained::neurons(&spec(), &NeuronSet::new()).is_err());
        assert!(Trained::neurons(&spec(), &NeuronSet::parse("L3N0").expect("set")).is_err());
        assert_eq!(Trained::all(&spec()).len() as u64, spec().n_params());
    }
}
