//! Neurons by what one types: `L14N7168`, `7168`, a range `L14N0-99`, a layer `L14`, or a rank `top 3` in the shown map.

use crate::{
    app::App,
    base::{Grid, Neuron, NeuronSet, number},
};

/// One thing that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub words: String,
    /// Where maps scroll to.
    pub neuron: Neuron,
    /// What is selected.
    pub neurons: NeuronSet,
}

/// Where ranks and largest values come from: the map that is shown.
pub struct Shown<'a> {
    pub grid: &'a Grid,
    /// `relevance of logic`
    pub what: String,
}

impl<'a> Shown<'a> {
    pub fn of(app: &'a App) -> Option<Self> {
        let scan = app.library.scan()?;
        let view = &app.project.view;
        let domain = view.domain.as_deref().and_then(|d| scan.domain(d)).or(scan.domains.first())?;
        Some(Self { grid: domain.map(view.metric)?, what: format!("{} of {}", view.metric.label(), domain.name) })
    }
}

/// Everything that `text` can mean, best first; an error says what is wrong with something that is nearly a name. `focus`: the neuron in focus, whose
/// layer a bare number belongs to.
///
/// # Errors
/// When a neuron, layer or rank is named that the model has not.
pub fn find(text: &str, (layers, cols): (usize, usize), shown: Option<&Shown<'_>>, focus: Option<Neuron>) -> Result<Vec<Found>, String> {
    let text = text.trim().to_ascii_uppercase();
    let one = |n: Neuron, words: String| Found { words, neuron: n, neurons: NeuronSet::from_iter([n]) };
    let value = |n: Neuron| {
        let v = shown.and_then(|s| Some((s.grid.get(n.layer as usize, n.index as usize)?, &s.what)));
        v.map_or(String::new(), |(v, what)| format!(", {what} {}", number::sig3(f64::from(v))))
    };
    let inside = |n: Neuron| (n.layer as usize) < layers && (n.index as usize) < cols;
    let range = || format!("This model has layers 0 to {} and neurons 0 to {}", layers.saturating_sub(1), cols.saturating_sub(1));
    if let Ok(n) = text.parse::<Neuron>() {
        return if inside(n) { Ok(vec![one(n, format!("Go to {n}{}", value(n)))]) } else { Err(format!("{n} is outside. {}", range())) };
    }
    if let Some(rank) = text.strip_prefix("TOP").or(text.strip_prefix('#')) {
        let Ok(rank) = rank.trim().parse::<usize>() else { return Ok(Vec::new()) };
        let Some(s) = shown else { return Err("There is no map to rank by".to_owned()) };
        let n = ranked(s.grid, rank).ok_or_else(|| format!("Ranks go from 1 to {}", number::count(s.grid.values().len() as u64)))?;
        let mut all = vec![one(
            n,
            format!("Number {rank} by {}: {n}{}", s.what, value(n).rsplit_once(' ').map_or(String::new(), |v| format!(", {}", v.1))),
        )];
        if rank > 1 {
            let neurons = NeuronSet::top_count(s.grid, rank);
            all.push(Found { words: format!("Select the {} largest by {}", number::count(rank as u64), s.what), neuron: n, neurons });
        }
        return Ok(all);
    }
    if let Ok(index) = text.trim_start_matches('N').parse::<u32>() {
        if index as usize >= cols {
            return Err(format!("There is no neuron {index}. {}", range()));
        }
        let mut all = Vec::new();
        let largest = shown
            .and_then(|s| (0..layers as u32).map(|l| Neuron::new(l, index)).max_by(|a, b| size(s.grid, *a).total_cmp(&size(s.grid, *b))));
        if let Some(n) = focus.map(|f| Neuron::new(f.layer, index)).filter(|n| inside(*n)) {
            all.push(one(n, format!("Go to {n}{}, in the layer in focus", value(n))));
        }
        if let Some(n) = largest.filter(|n| all.iter().all(|f| f.neuron != *n)) {
            all.push(one(n, format!("Go to {n}{}, its largest layer", value(n))));
        }
        all.extend((all.is_empty() && layers > 0).then(|| one(Neuron::new(0, index), format!("Go to {}", Neuron::new(0, index)))));
        let column: NeuronSet = (0..layers as u32).map(|l| Neuron::new(l, index)).collect();
        all.push(Found { words: format!("Select neuron {index} of every layer"), neuron: all[0].neuron, neurons: column });
        return Ok(all);
    }
    if let Some(layer) = text.strip_prefix('L').and_then(|l| l.parse::<u32>().ok()) {
        if layer as usize >= layers {
            return Err(format!("There is no layer {layer}. {}", range()));
        }
        let best = shown.and_then(|s| {
            (0..cols as u32).map(|i| Neuron::new(layer, i)).max_by(|a, b| size(s.grid, *a).total_cmp(&size(s.grid, *b)).then(b.cmp(a)))
        });
        let n = best.unwrap_or(Neuron::new(layer, 0));
        return Ok(vec![one(n, format!("Go to the largest of layer {layer}: {n}{}", value(n)))]);
    }
    if text.contains('N') && text.starts_with('L') {
        match NeuronSet::parse(&text) {
            Ok(set) if !set.is_empty() => {
                if let Err(e) = set.check_inside(layers, cols) {
                    return Err(e.to_string());
                }
                let middle = set.iter().nth(set.len() / 2).unwrap_or(Neuron::new(0, 0));
                let words = format!("Select {text}: {}", number::counted(set.len() as u64, "neuron"));
                return Ok(vec![Found { words, neuron: middle, neurons: set }]);
            }
            _ => return Ok(Vec::new()),
        }
    }
    Ok(Vec::new())
}

fn size(grid: &Grid, n: Neuron) -> f32 {
    grid.get(n.layer as usize, n.index as usize).filter(|v| v.is_finite()).map_or(-1.0, f32::abs)
}

/// The neuron with the `rank`-th largest value, from 1; ties as in [`NeuronSet::top_count`].
fn ranked(grid: &Grid, rank: usize) -> Option<Neuron> {
    let v = grid.values();
    let mut order: Vec<u32> = (0..v.len() as u32).filter(|&i| v[i as usize].is_finite()).collect();
    let k = rank.checked_sub(1).filter(|k| *k < order.len())?;
    let (_, at, _) = order.select_nth_unstable_by(k, |a, b| v[*b as usize].total_cmp(&v[*a as usize]).then(a.cmp(b)));
    let cols = grid.cols() as u32;
    Some(Neuron::new(*at / cols, *at % cols))
}

/// Found again only when the words or the map change: ranks of millions of neurons take longer than a frame should.
#[derive(Default)]
pub struct Finder {
    of: Option<(String, usize)>,
    found: Option<Result<Vec<Found>, String>>,
}

impl Finder {
    pub fn find(
        &mut self,
        text: &str,
        shape: (usize, usize),
        shown: Option<&Shown<'_>>,
        focus: Option<Neuron>,
    ) -> &Result<Vec<Found>, String> {
        let key = (text.to_owned(), shown.map_or(0, |s| s.grid.values().as_ptr() as usize));
        if self.of.as_ref() != Some(&key) {
            self.of = Some(key);
            self.found = None;
        }
        self.found.get_or_insert_with(|| find(text, shape, shown, focus))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, focus: Option<Neuron>) -> Vec<String> {
        let grid = Grid::new(2, 4, vec![0.1, 0.2, -9.0, 0.4, 5.0, 0.3, 7.0, f32::NAN]).expect("grid");
        let shown = Shown { grid: &grid, what: "relevance of logic".into() };
        find(text, (2, 4), Some(&shown), focus)
            .map_or_else(|e| vec![e], |all| all.into_iter().map(|f| format!("{} ({})", f.neuron, f.words)).collect())
    }

    #[test]
    fn neurons_are_found_by_name_number_range_layer_and_rank() {
        assert_eq!(names("l1n2", None), ["L1N2 (Go to L1N2, relevance of logic 7.00)"]);
        let number = names("2", Some(Neuron::new(1, 0)));
        assert!(number[0].starts_with("L1N2") && number[1].starts_with("L0N2") && number[2].contains("every layer"), "{number:?}");
        assert_eq!(names("L0N1-3", None), ["L0N2 (Select L0N1-3: 3 neurons)"]);
        assert!(names("L1", None)[0].starts_with("L1N2 (Go to the largest of layer 1"));
        assert_eq!(names("top 1", None), ["L1N2 (Number 1 by relevance of logic: L1N2, 7.00)"]);
        let third = names("top 3", None);
        assert!(third[0].starts_with("L0N3") && third[1].contains("Select the 3 largest"), "{third:?}");
    }

    #[test]
    fn what_the_model_has_not_is_told_with_what_it_has() {
        for text in ["L2N0", "L0N4", "4", "L7", "L0N2-9"] {
            let all = names(text, None);
            assert!(all.len() == 1 && (all[0].contains("layers 0 to 1") || all[0].contains("0..")), "{text}: {all:?}");
        }
        assert!(names("top 8", None)[0].contains("Ranks go from 1"), "NaN has no rank: {:?}", names("top 8", None));
        assert!(names("hello", None).is_empty() && names("top", None).is_empty());
    }
}
