//! Neurons of a layer beside those that serve the same domains: hierarchical clustering of their profiles.

use super::Permutation;
use crate::base::{Ctx, Error, Grid, Result};
use kodama::{Method, linkage};
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Neurons of one layer that are clustered; pairs grow with its square. Wider layers cluster their most active ones and sort the rest.
pub const MOST: usize = 1_024;

/// An order that brings neurons with like profiles together. A profile is a neuron's values over `domains` (all of one shape), scaled to length 1;
/// profiles are merged by average linkage of their Euclidean distance. Of a layer wider than [`MOST`] only the neurons with the largest magnitude in
/// any domain are clustered; the rest follow, largest magnitude first. A branch with the hotter neuron stands left, so the answer is unique.
///
/// # Errors
/// When there is no domain, shapes differ or the work is cancelled.
pub fn by_profile(domains: &[&Grid], ctx: &Ctx<'_>) -> Result<Permutation> {
    let Some(first) = domains.first() else { return Err(Error::invalid("there is no map to cluster by")) };
    let (rows, cols) = (first.rows(), first.cols());
    if domains.iter().any(|g| (g.rows(), g.cols()) != (rows, cols)) {
        return Err(Error::invalid("maps of different shapes cannot be clustered together"));
    }
    let done = AtomicUsize::new(0);
    ctx.progress("clustering neurons", 0, rows, "layers");
    let layers: Vec<Vec<u32>> = (0..rows)
        .into_par_iter()
        .map(|layer| {
            ctx.check()?;
            let lines: Vec<&[f32]> = domains.iter().map(|g| g.row(layer)).collect();
            let order = layer_order(&lines, cols);
            ctx.progress("clustering neurons", done.fetch_add(1, Ordering::Relaxed) + 1, rows, "layers");
            Ok(order)
        })
        .collect::<Result<_>>()?;
    Permutation::new(rows, cols, layers.concat())
}

fn layer_order(domains: &[&[f32]], cols: usize) -> Vec<u32> {
    let value = |d: &[f32], i: u32| Some(d[i as usize]).filter(|v| v.is_finite()).unwrap_or(0.0);
    let size: Vec<f32> = (0..cols as u32).map(|i| domains.iter().map(|d| value(d, i).abs()).fold(0.0, f32::max)).collect();
    let mut order: Vec<u32> = (0..cols as u32).collect();
    order.sort_unstable_by(|&a, &b| size[b as usize].total_cmp(&size[a as usize]).then(a.cmp(&b)));
    let n = cols.min(MOST);
    if n < 3 {
        return order;
    }
    let profiles: Vec<f32> = order[..n]
        .iter()
        .flat_map(|&i| {
            let length = domains.iter().map(|d| value(d, i).powi(2)).sum::<f32>().sqrt();
            domains.iter().map(move |d| if length > 0.0 { value(d, i) / length } else { 0.0 })
        })
        .collect();
    let width = domains.len();
    let mut distances = Vec::with_capacity(n * (n - 1) / 2);
    for a in 0..n {
        let one = &profiles[a * width..(a + 1) * width];
        for other in profiles[(a + 1) * width..].chunks_exact(width) {
            distances.push(one.iter().zip(other).map(|(x, y)| (x - y).powi(2)).sum::<f32>().sqrt());
        }
    }
    let tree = linkage(&mut distances, n, Method::Average);
    // Places in `order` are by magnitude: the smallest place of a branch is its hottest neuron.
    let children: Vec<(usize, usize)> = tree.steps().iter().map(|s| (s.cluster1, s.cluster2)).collect();
    let mut hottest: Vec<usize> = (0..n).collect();
    for &(a, b) in &children {
        hottest.push(hottest[a].min(hottest[b]));
    }
    let mut out = Vec::with_capacity(cols);
    let mut open = vec![n + children.len() - 1];
    while let Some(at) = open.pop() {
        match at.checked_sub(n) {
            None => out.push(order[at]),
            Some(step) => {
                let (a, b) = children[step];
                let (left, right) = if hottest[a] <= hottest[b] { (a, b) } else { (b, a) };
                open.extend([right, left]);
            }
        }
    }
    out.extend(&order[n..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::job::silently;

    /// Neuron i serves domain i % 3: three clusters, whatever the magnitudes.
    fn three(cols: usize) -> Vec<Grid> {
        (0..3)
            .map(|d| {
                let values: Vec<f32> = (0..cols).map(|i| if i % 3 == d { 1.0 + (i * 7 % 11) as f32 } else { 0.05 }).collect();
                Grid::new(1, cols, values).expect("grid")
            })
            .collect()
    }

    #[test]
    fn neurons_of_one_profile_stand_together() {
        let grids = three(90);
        let p = silently(|ctx| by_profile(&grids.iter().collect::<Vec<_>>(), ctx)).expect("clusters");
        let kinds: Vec<u32> = p.layer(0).iter().map(|n| n % 3).collect();
        let changes = kinds.windows(2).filter(|w| w[0] != w[1]).count();
        assert_eq!(changes, 2, "{kinds:?}");
    }

    #[test]
    fn a_wide_layer_clusters_its_most_active_and_sorts_the_rest() {
        let cols = MOST + 500;
        let grids = three(cols);
        let p = silently(|ctx| by_profile(&grids.iter().collect::<Vec<_>>(), ctx)).expect("clusters");
        let size = |n: u32| (0..3).map(|d| grids[d].row(0)[n as usize]).fold(0.0, f32::max);
        let (head, tail) = p.layer(0).split_at(MOST);
        let least = head.iter().map(|&n| size(n)).fold(f32::INFINITY, f32::min);
        assert!(tail.iter().all(|&n| size(n) <= least));
        assert!(tail.windows(2).all(|w| size(w[0]) >= size(w[1])));
        assert_eq!(head.windows(2).filter(|w| w[0] % 3 != w[1] % 3).count(), 2);
    }

    #[test]
    fn a_cancelled_clustering_stops() {
        let cancel = crate::base::CancelToken::default();
        cancel.cancel();
        let grids = three(9);
        let result = by_profile(&grids.iter().collect::<Vec<_>>(), &Ctx::new(&cancel, &|_| {}));
        assert!(matches!(result, Err(Error::Cancelled)));
        assert!(silently(|ctx| by_profile(&[], ctx)).is_err());
    }
}
