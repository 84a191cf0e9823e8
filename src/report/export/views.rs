//! The views that can leave the program. One line a view: what the window offers, what `--what` reads, how it is drawn, what its table and its dense
//! numbers are.

use super::{
    super::Report, ExportSpec, View, ablation, clusters, inspected, lessons, maps_grid, neurons, pictures, predictions, rows, sets,
    sheet::Content, sweeps, tasks, tensors,
};
use crate::{
    base::{Ctx, LongTable, Result, provenance::Provenance, tensor_file::Tensor},
    scan::{DomainScan, MetricKind},
};

type Make<T> = for<'a> fn(&ExportSpec, &Report<'a>, &[&'a DomainScan], &Ctx<'_>) -> Result<T>;

pub struct ViewInfo {
    pub view: View,
    /// As `--what` reads it, and in file names.
    pub id: &'static str,
    /// Another word for it.
    pub alias: Option<&'static str>,
    /// What a button says.
    pub label: &'static str,
    pub hint: &'static str,
    /// Its numbers lie in a stored scan; else they were measured by the open program ([`Report::ablation`], [`Report::live`]).
    pub stored: bool,
    pub formula: fn(&ExportSpec) -> String,
    pub(super) content: Make<Content>,
    pub(super) table: Make<LongTable>,
    /// Dense arrays, where it has some.
    pub(super) tensors: Option<Make<Vec<Tensor>>>,
}

pub const VIEWS: &[ViewInfo] = &[
    ViewInfo {
        view: View::Neurons,
        id: "neurons",
        alias: None,
        label: "neurons",
        hint: "The map of layers and neurons",
        stored: true,
        formula: |spec| {
            let compared = spec.minus.as_ref().map(|b| format!("A = each domain, B = {b}: {}; ", spec.combine.formula()));
            let per_layer = Some(spec.per_layer.words()).filter(|w| !w.is_empty()).map(|w| format!("{w}; "));
            format!("{}{}{}", per_layer.unwrap_or_default(), compared.unwrap_or_default(), spec.metric.info().formula)
        },
        content: neurons::content,
        table: rows::neurons,
        tensors: Some(tensors::neurons),
    },
    ViewInfo {
        view: View::Density,
        id: "density",
        alias: None,
        label: "density",
        hint: "Density by layer",
        stored: true,
        formula: |_| MetricKind::ParamActivation.info().formula.to_owned(),
        content: pictures::density,
        table: rows::density,
        tensors: Some(tensors::density),
    },
    ViewInfo {
        view: View::Similarity,
        id: "similarity",
        alias: Some("llmdcos"),
        label: "similarity",
        hint: "LLMDcos: matrix, curves, the pair's box plot",
        stored: true,
        formula: |_| MetricKind::Llmdcos.info().formula.to_owned(),
        content: pictures::similarity,
        table: rows::similarity,
        tensors: Some(tensors::similarity),
    },
    ViewInfo {
        view: View::Overlap,
        id: "overlap",
        alias: None,
        label: "overlap",
        hint: "Jaccard matrix of the top neurons, by layer, the pair's curve",
        stored: true,
        formula: |spec| format!("J(A, B) = |A and B| / |A or B| of the top {} %; {}", spec.top_percent, spec.metric.info().formula),
        content: pictures::overlap,
        table: rows::overlap,
        tensors: Some(tensors::overlap),
    },
    ViewInfo {
        view: View::Upset,
        id: "upset",
        alias: None,
        label: "intersections",
        hint: "UpSet plot: neurons in exactly these domains' top sets",
        stored: true,
        formula: |spec| format!("neurons in the top {} % of exactly these domains; {}", spec.top_percent, spec.metric.info().formula),
        content: |spec, report, chosen, _| sets::upset(spec, report, chosen),
        table: |spec, report, chosen, _| Ok(rows::ready(report, sets::upset_rows(spec, report, chosen)?)),
        tensors: None,
    },
    ViewInfo {
        view: View::OverlapCurve,
        id: "overlap-curve",
        alias: None,
        label: "overlap by share",
        hint: "Jaccard index against the share that is taken, with chance",
        stored: true,
        formula: |spec| format!("J(A, B) = |A and B| / |A or B| of the top k %; {}", spec.metric.info().formula),
        content: |spec, report, chosen, _| sets::curve(spec, report, chosen),
        table: |spec, report, chosen, _| Ok(rows::ready(report, sets::curve_rows(spec, report, chosen)?)),
        tensors: None,
    },
    ViewInfo {
        view: View::Tree,
        id: "tree",
        alias: None,
        label: "dendrogram",
        hint: "Domains clustered by LLMDcos, beside their matrix",
        stored: true,
        formula: |_| format!("average linkage on 1 - mean LLMDcos; {}", MetricKind::Llmdcos.info().formula),
        content: |spec, report, chosen, _| clusters::tree(spec, report, chosen),
        table: |spec, report, chosen, _| Ok(rows::ready(report, clusters::tree_rows(spec, report, chosen)?)),
        tensors: None,
    },
    ViewInfo {
        view: View::Samples,
        id: "samples",
        alias: None,
        label: "samples",
        hint: "LLMDcos of all pairs of samples at one layer (`brodmann similarity`, or Compare samples in the window, makes them)",
        stored: true,
        formula: |_| format!("{}, of every two samples", MetricKind::Llmdcos.info().formula),
        content: |spec, report, _, _| clusters::samples(spec, report),
        table: |spec, report, _, _| Ok(rows::ready(report, clusters::samples_rows(spec, report)?)),
        tensors: Some(tensors::samples),
    },
    ViewInfo {
        view: View::Ablation,
        id: "ablation",
        alias: None,
        label: "ablation",
        hint: "Accuracy of every domain before and after, beside random controls",
        stored: false,
        formula: |_| {
            "multiple choice by log-likelihood (lm-evaluation-harness); 95 % Wilson intervals; controls with as many neurons in each layer"
                .into()
        },
        content: ablation::content,
        table: ablation::table,
        tensors: None,
    },
    ViewInfo {
        view: View::Maps,
        id: "maps",
        alias: None,
        label: "maps",
        hint: "Maps beside each other, of one run or of two",
        stored: true,
        formula: |spec| match spec.maps.first() {
            None => spec.metric.info().formula.to_owned(),
            Some(first) => {
                let compared = spec.maps.iter().find(|m| m.against.is_some()).map(|m| format!("{}; ", m.combine.formula()));
                format!("{}{}", compared.unwrap_or_default(), first.metric.info().formula)
            }
        },
        content: maps_grid::content,
        table: maps_grid::table,
        tensors: Some(maps_grid::tensors),
    },
    ViewInfo {
        view: View::Prediction,
        id: "prediction",
        alias: None,
        label: "prediction",
        hint: "Predicted against measured changes, one point a set and domain",
        stored: false,
        formula: |_| predictions::formula(),
        content: predictions::content,
        table: predictions::table,
        tensors: None,
    },
    ViewInfo {
        view: View::Sweep,
        id: "sweep",
        alias: None,
        label: "sweep",
        hint: "What each neuron, head or layer does when it is switched by itself",
        stored: false,
        formula: |_| "value with the unit switched less that with nothing switched; multiple choice by log-likelihood".into(),
        content: sweeps::units_content,
        table: sweeps::units_table,
        tensors: None,
    },
    ViewInfo {
        view: View::AgainstK,
        id: "against-k",
        alias: None,
        label: "accuracy against k",
        hint: "Accuracy of every domain against the share of neurons that is switched",
        stored: false,
        formula: |_| {
            "multiple choice by log-likelihood with the top k % of a ranking switched; random sets with as many neurons in each layer"
                .into()
        },
        content: sweeps::curve_content,
        table: sweeps::curve_table,
        tensors: None,
    },
    ViewInfo {
        view: View::Break,
        id: "break",
        alias: None,
        label: "break",
        hint: "The smallest set found that breaks a domain and spares the others",
        stored: false,
        formula: |_| {
            "greedy: each round adds the candidate with the largest damage to the domain less penalty times the mean damage to the others"
                .into()
        },
        content: sweeps::break_content,
        table: sweeps::break_table,
        tensors: None,
    },
    ViewInfo {
        view: View::Neuron,
        id: "neuron",
        alias: None,
        label: "neuron",
        hint: "The inspected neuron: histograms, relevance, texts, logit lens",
        stored: false,
        formula: |_| format!("activation: mlp.hook_post; {}", MetricKind::Relevance.info().formula),
        content: inspected::neuron_content,
        table: inspected::neuron_table,
        tensors: None,
    },
    ViewInfo {
        view: View::Head,
        id: "head",
        alias: None,
        label: "head",
        hint: "The inspected head: how far back it looks, its attention on a text, what it writes",
        stored: false,
        formula: |_| "attn.hook_pattern, attn.hook_z".into(),
        content: inspected::head_content,
        table: inspected::head_table,
        tensors: None,
    },
    ViewInfo {
        view: View::TaskNeurons,
        id: "task-neurons",
        alias: None,
        label: "task neurons",
        hint: "The neurons of each task: by layer, what tasks share, stability, accuracy against k",
        stored: false,
        formula: |_| "relevance of a neuron to a task: |sum_t a dLoss/da| (Leng and Xiong, arXiv 2407.06488)".into(),
        content: tasks::found_content,
        table: tasks::found_table,
        tensors: None,
    },
    ViewInfo {
        view: View::Deactivation,
        id: "deactivation",
        alias: Some("prove"),
        label: "deactivation",
        hint: "Each task scored with each task's neurons off, beside random ones",
        stored: false,
        formula: |_| "multiple choice by log-likelihood; random sets with as many neurons in each layer".into(),
        content: tasks::matrix_content,
        table: tasks::matrix_table,
        tensors: None,
    },
    ViewInfo {
        view: View::Tuning,
        id: "tuning",
        alias: None,
        label: "tuning",
        hint: "One tuning: curves, and every domain before and after",
        stored: false,
        formula: |_| "multiple choice by log-likelihood; the step that validation rows like best is kept".into(),
        content: lessons::tuning_content,
        table: lessons::tuning_table,
        tensors: None,
    },
    ViewInfo {
        view: View::Continual,
        id: "continual",
        alias: None,
        label: "continual",
        hint: "Tasks learnt in turn: a matrix a method, and what is kept",
        stored: false,
        formula: |_| {
            "a[i][j]: accuracy on j after i was learnt; FG and forward transfer as in arXiv 2407.06488 and GEM (NeurIPS 2017)".into()
        },
        content: lessons::sequence_content,
        table: lessons::sequence_table,
        tensors: None,
    },
    ViewInfo {
        view: View::Transfer,
        id: "transfer",
        alias: None,
        label: "transfer",
        hint: "What learning one task does to the others, against overlap and likeness of their neurons",
        stored: false,
        formula: |_| "Pearson and Spearman over ordered pairs of tasks, p by permutation of the tasks".into(),
        content: lessons::transfer_content,
        table: lessons::transfer_table,
        tensors: None,
    },
];

impl ViewInfo {
    /// Whether it can be written as safetensors.
    pub fn has_tensors(&self) -> bool {
        self.tensors.is_some()
    }
}

impl View {
    pub fn info(self) -> &'static ViewInfo {
        // Every view has its line (a test walks them); the first stands in for what cannot happen.
        VIEWS.iter().find(|v| v.view == self).unwrap_or(&VIEWS[0])
    }
    /// As `--what` reads it, and in file names.
    pub fn id(self) -> &'static str {
        self.info().id
    }
    /// Whether a folder of its own holds its numbers: what `prove`, `tune`, `continual` and `transfer` write.
    pub fn has_folder(self) -> bool {
        matches!(self, Self::Deactivation | Self::Tuning | Self::Continual | Self::Transfer)
    }
    /// Where its numbers come from.
    pub(super) fn provenance<'a>(self, report: &Report<'a>) -> &'a Provenance {
        match (self, report.ablation, report.samples) {
            (Self::Ablation, Some(measured), _) => &measured.provenance,
            // The matrices of samples may be younger than the run that they belong to.
            (Self::Samples, _, Some(samples)) => &samples.provenance,
            _ if !self.info().stored => report.live.map_or(&report.scan.provenance, |l| &l.provenance),
            _ => &report.scan.provenance,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_has_one_line_and_a_name_of_its_own() {
        for view in View::ALL {
            assert_eq!(VIEWS.iter().filter(|v| v.view == view).count(), 1, "{view:?}");
        }
        for (i, v) in VIEWS.iter().enumerate() {
            assert!(!v.label.is_empty() && !v.hint.is_empty() && !(v.formula)(&ExportSpec::default()).is_empty(), "{}", v.id);
            assert!(VIEWS[..i].iter().all(|w| w.id != v.id && w.alias != Some(v.id)), "{} twice", v.id);
        }
    }
}
