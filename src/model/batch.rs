//! Token sequences laid one after another without padding, so that batch composition cannot change a result.
//!
//! A sequence may go on from another one's beginning ([`Batch::branch`]): questions whose choices share a prompt read it once. Such a batch
//! runs forward only.

use crate::compute::AttentionSpan;
use std::ops::Range;

/// Sequence `i` holds tokens `starts[i]..starts[i + 1]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub tokens: Vec<u32>,
    pub starts: Vec<usize>,
    /// Position of each token inside its sequence, what it goes on from included.
    pub positions: Vec<u32>,
    /// What each sequence goes on from.
    parents: Vec<Option<Parent>>,
}

/// The first `len` tokens of `sequence` (those that it goes on from itself included).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    pub sequence: usize,
    pub len: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self { tokens: Vec::new(), starts: vec![0], positions: Vec::new(), parents: Vec::new() }
    }
}

impl Batch {
    pub fn new<S: AsRef<[u32]>>(sequences: &[S]) -> Self {
        let mut batch = Self::default();
        for s in sequences {
            batch.push(s.as_ref());
        }
        batch
    }
    /// One sequence that goes on at position `first` of a text whose beginning was read before.
    pub(super) fn going_on(tokens: &[u32], first: usize) -> Self {
        let mut batch = Self::new(&[tokens]);
        batch.positions.iter_mut().for_each(|p| *p += first as u32);
        batch
    }
    pub fn push(&mut self, tokens: &[u32]) {
        self.add(None, 0, tokens);
    }
    /// Adds `tokens` as what follows the first `len` tokens of `sequence`, which is in the batch already.
    ///
    /// # Panics
    /// When there are fewer: a bug of the caller.
    pub fn branch(&mut self, sequence: usize, len: usize, tokens: &[u32]) {
        assert!(len <= self.len_of(sequence), "{len} tokens of a sequence of {}", self.len_of(sequence));
        self.add(Some(Parent { sequence, len }), len, tokens);
    }
    fn add(&mut self, parent: Option<Parent>, first: usize, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
        self.positions.extend((first..first + tokens.len()).map(|p| p as u32));
        self.starts.push(self.tokens.len());
        self.parents.push(parent.filter(|p| p.len > 0));
    }
    pub fn n_tokens(&self) -> usize {
        self.tokens.len()
    }
    pub fn n_sequences(&self) -> usize {
        self.starts.len() - 1
    }
    /// A sequence's own tokens.
    pub fn sequence(&self, i: usize) -> &[u32] {
        &self.tokens[self.starts[i]..self.starts[i + 1]]
    }
    pub fn span(&self, i: usize) -> Range<usize> {
        self.starts[i]..self.starts[i + 1]
    }
    pub fn parent(&self, i: usize) -> Option<Parent> {
        self.parents[i]
    }
    /// Tokens of a sequence with those it goes on from.
    pub fn len_of(&self, i: usize) -> usize {
        // By its last position, which counts text that was read before this batch too.
        self.span(i).last().map_or_else(|| self.parents[i].map_or(0, |p| p.len), |last| self.positions[last] as usize + 1)
    }
    /// True when a sequence goes on from another.
    pub fn is_branched(&self) -> bool {
        self.parents.iter().any(Option::is_some)
    }
    /// Rows of the first `len` tokens of a sequence, in order.
    pub fn rows_of(&self, i: usize, len: usize) -> Vec<Range<usize>> {
        let before = self.parents[i].map_or(0, |p| p.len);
        let mut rows = self.parents[i].map_or_else(Vec::new, |p| self.rows_of(p.sequence, len.min(p.len)));
        if len > before {
            let start = self.starts[i];
            rows.push(start..start + (len - before));
        }
        rows
    }
    /// The row of a position of a sequence, which lies in another one where it goes on from that.
    pub fn row(&self, i: usize, position: usize) -> usize {
        match self.parents[i] {
            Some(p) if position < p.len => self.row(p.sequence, position),
            parent => self.starts[i] + position - parent.map_or(0, |p| p.len),
        }
    }
    /// Every sequence as a span.
    pub fn spans(&self) -> Vec<AttentionSpan> {
        (0..self.n_sequences()).map(|i| self.span_of(i, 0..self.span(i).len())).collect()
    }
    /// Some of a sequence's own tokens as a span.
    fn span_of(&self, i: usize, own: Range<usize>) -> AttentionSpan {
        let before = self.parents[i].map_or(0, |p| p.len);
        let start = self.starts[i];
        AttentionSpan { rows: start + own.start..start + own.end, first: before + own.start, keys: self.rows_of(i, before + own.end) }
    }
    /// The batch that rows of this one make (ascending), each run of neighbours a sequence of its own; and, for attention, where its queries
    /// stand in this batch: `rows` of a span count in the new batch, `keys` in this one.
    pub fn select(&self, rows: &[usize]) -> (Self, Vec<AttentionSpan>) {
        debug_assert!(rows.is_sorted());
        let (mut part, mut spans) = (Self::default(), Vec::new());
        let mut at = 0;
        for i in 0..self.n_sequences() {
            let span = self.span(i);
            while at < rows.len() && rows[at] < span.end {
                let mut end = at + 1;
                while end < rows.len() && rows[end] < span.end && rows[end] == rows[end - 1] + 1 {
                    end += 1;
                }
                let own = rows[at] - span.start..rows[end - 1] + 1 - span.start;
                let of = self.span_of(i, own);
                spans.push(AttentionSpan { rows: at..end, ..of.clone() });
                part.add(None, of.first, &self.tokens[of.rows]);
                at = end;
            }
        }
        (part, spans)
    }
    /// The batch `times` times over.
    pub fn repeat(&self, times: usize) -> Self {
        let mut out = Self::default();
        for _ in 0..times {
            let (row, sequence) = (out.tokens.len(), out.parents.len());
            out.tokens.extend_from_slice(&self.tokens);
            out.positions.extend_from_slice(&self.positions);
            out.starts.extend(self.starts[1..].iter().map(|s| s + row));
            out.parents.extend(self.parents.iter().map(|p| p.map(|p| Parent { sequence: p.sequence + sequence, ..p })));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_sees_what_it_goes_on_from() {
        let mut b = Batch::new(&[vec![1, 2, 3, 4]]);
        b.branch(0, 3, &[7, 8]);
        b.branch(1, 4, &[9]);
        assert_eq!((b.positions.as_slice(), b.len_of(2)), (&[0, 1, 2, 3, 3, 4, 4][..], 5));
        assert_eq!(b.rows_of(2, 5), [0..3, 4..5, 6..7]);
        assert_eq!(b.spans()[2], AttentionSpan { rows: 6..7, first: 4, keys: vec![0..3, 4..5, 6..7] });
        assert!(b.is_branched() && !Batch::new(&[vec![1]]).is_branched());
    }

    #[test]
    fn chosen_rows_keep_their_positions_and_their_view() {
        let mut b = Batch::new(&[vec![1, 2, 3]]);
        b.branch(0, 3, &[4, 5, 6]);
        let (part, spans) = b.select(&[2, 3, 5]);
        assert_eq!((part.tokens.as_slice(), part.positions.as_slice()), (&[3, 4, 6][..], &[2, 3, 5][..]));
        assert_eq!(
            spans.iter().map(|s| (s.rows.clone(), s.first, s.keys.clone())).collect::<Vec<_>>(),
            [(0..1, 2, std::iter::once(0..3).collect()), (1..2, 3, vec![0..3, 3..4]), (2..3, 5, vec![0..3, 3..6]),]
        );
    }

    #[test]
    fn a_batch_repeated_branches_inside_each_copy() {
        let mut b = Batch::new(&[vec![1, 2]]);
        b.branch(0, 2, &[3]);
        let twice = b.repeat(2);
        assert_eq!(twice.spans()[3], AttentionSpan { rows: 5..6, first: 2, keys: vec![3..5, 5..6] });
        assert_eq!(twice.n_tokens(), 6);
    }
}
