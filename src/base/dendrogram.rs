//! Hierarchical clustering of a few hundred things by average linkage (UPGMA; Sokal and Michener 1958), and the order of leaves that a drawing of its
//! tree needs. Clustering itself is the crate kodama's.

use kodama::{Method, linkage};

/// Two clusters become one. Clusters `0..n` are the leaves; the `k`-th merge makes cluster `n + k`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Merge {
    pub a: usize,
    pub b: usize,
    /// Distance at which they meet: the mean over all pairs of their leaves.
    pub height: f64,
    /// Leaves of the new cluster.
    pub size: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    /// `n - 1` of them, by height.
    pub merges: Vec<Merge>,
    /// Leaves from one end of the drawing to the other: no line crosses another. The side with the smallest leaf comes first, so that what need not
    /// move stays.
    pub order: Vec<usize>,
}

impl Tree {
    /// Average linkage of `n` leaves. `distance` is asked for `i < j` only and must be finite.
    pub fn average_linkage(n: usize, distance: impl Fn(usize, usize) -> f64) -> Self {
        if n < 2 {
            return Self { merges: Vec::new(), order: (0..n).collect() };
        }
        let mut condensed: Vec<f64> = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).map(|(i, j)| distance(i, j)).collect();
        let made = linkage(&mut condensed, n, Method::Average);
        let mut first: Vec<usize> = (0..n).collect();
        let mut merges = Vec::with_capacity(n - 1);
        for step in made.steps() {
            let (x, y) = (step.cluster1, step.cluster2);
            let (a, b) = if first[x] <= first[y] { (x, y) } else { (y, x) };
            first.push(first[a]);
            merges.push(Merge { a, b, height: step.dissimilarity, size: step.size });
        }
        let mut order = Vec::with_capacity(n);
        let mut open = vec![n + merges.len() - 1];
        while let Some(cluster) = open.pop() {
            match cluster.checked_sub(n) {
                None => order.push(cluster),
                Some(k) => open.extend([merges[k].b, merges[k].a]),
            }
        }
        Self { merges, order }
    }
    pub fn leaves(&self) -> usize {
        self.order.len()
    }
    /// Height of the root; 0 of a single leaf.
    pub fn height(&self) -> f64 {
        self.merges.last().map_or(0.0, |m| m.height)
    }
    /// Of two leaves: the height at which they first lie in one cluster.
    pub fn cophenetic(&self, i: usize, j: usize) -> f64 {
        if i == j {
            return 0.0;
        }
        let n = self.leaves();
        let mut cluster: Vec<usize> = vec![i, j];
        for (k, m) in self.merges.iter().enumerate() {
            for c in &mut cluster {
                if *c == m.a || *c == m.b {
                    *c = n + k;
                }
            }
            if cluster[0] == cluster[1] {
                return m.height;
            }
        }
        self.height()
    }
    /// Where each cluster's stem stands across the drawing, in leaves: leaf `order[k]` at `k`, a merge midway between its two.
    pub fn places(&self) -> Vec<f64> {
        let mut places = vec![0.0; self.leaves()];
        self.order.iter().enumerate().for_each(|(k, &leaf)| places[leaf] = k as f64);
        for m in &self.merges {
            places.push(0.5 * (places[m.a] + places[m.b]));
        }
        places
    }
    /// Height at which a cluster was made; 0 of a leaf.
    pub fn height_of(&self, cluster: usize) -> f64 {
        cluster.checked_sub(self.leaves()).map_or(0.0, |k| self.merges[k].height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    /// Cophenetic distances of average linkage as its definition says: again and again the two clusters whose leaves lie nearest on average.
    fn brute(n: usize, d: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let mut clusters: Vec<Vec<usize>> = (0..n).map(|i| vec![i]).collect();
        let mut out = vec![vec![0.0; n]; n];
        while clusters.len() > 1 {
            let mut best = (0, 1, f64::INFINITY);
            for x in 0..clusters.len() {
                for y in x + 1..clusters.len() {
                    let pairs = clusters[x].iter().flat_map(|i| clusters[y].iter().map(move |j| d[*i][*j]));
                    let mean = pairs.sum::<f64>() / (clusters[x].len() * clusters[y].len()) as f64;
                    if mean < best.2 {
                        best = (x, y, mean);
                    }
                }
            }
            let gone = clusters.remove(best.1);
            for &i in &clusters[best.0] {
                for &j in &gone {
                    (out[i][j], out[j][i]) = (best.2, best.2);
                }
            }
            clusters[best.0].extend(gone);
        }
        out
    }

    #[test]
    fn cophenetic_distances_are_those_of_the_definition() {
        for n in 2..9 {
            for seed in 0..20 {
                let mut rng = Rng::new(seed * 100 + n as u64);
                let mut d = vec![vec![0.0; n]; n];
                for (i, j) in (0..n).flat_map(|i| (0..i).map(move |j| (i, j))) {
                    d[i][j] = rng.unit();
                    d[j][i] = d[i][j];
                }
                let (tree, want) = (Tree::average_linkage(n, |i, j| d[i][j]), brute(n, &d));
                for (i, row) in want.iter().enumerate() {
                    for (j, v) in row.iter().enumerate() {
                        // Means of at most 16 distances, added in another order.
                        assert!((tree.cophenetic(i, j) - v).abs() < 1e-12, "{n} {seed}: {i} {j}");
                    }
                }
                let mut leaves = tree.order.clone();
                leaves.sort_unstable();
                assert_eq!(leaves, (0..n).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn lines_of_the_drawing_do_not_cross_and_near_leaves_lie_together() {
        // Two pairs, {0 3} and {1 2}: 0 3 1 2.
        let d = |i: usize, j: usize| if matches!((i, j), (0, 3) | (1, 2)) { 0.1 + 0.1 * i as f64 } else { 0.8 };
        let tree = Tree::average_linkage(4, d);
        assert_eq!(tree.order, [0, 3, 1, 2]);
        assert_eq!(tree.places(), [0.0, 2.0, 3.0, 1.0, 0.5, 2.5, 1.5]);
        assert!((tree.height() - 0.8).abs() < 1e-12 && tree.height_of(0) == 0.0 && (tree.height_of(4) - 0.1).abs() < 1e-12);
        assert_eq!(Tree::average_linkage(1, d).order, [0]);
        assert_eq!(Tree::average_linkage(0, d), Tree::default());
    }
}
