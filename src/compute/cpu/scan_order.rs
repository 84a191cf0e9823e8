//! In which order a tile goes through the samples, and what it keeps of them how long.
//!
//! A sample's activations are kept until the last of those that they are multiplied with has come, a domain's sum from its first sample to its
//! last. Two orders are tried, and the one that keeps less at a time is taken: domain after domain, and the first sample of every domain, then the
//! second of every domain... A run asks for products of the m-th samples of all domains, so the second keeps a few samples a domain,
//! however many there are: a tile's numbers stay in a near cache.

/// One sample's turn.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub sample: usize,
    pub domain: usize,
    /// Where the domain's activations are summed, whether they begin with this sample, and whether they end with it.
    pub mean: usize,
    pub begins: bool,
    pub ends: bool,
    /// Where its activations are kept, if they are multiplied with others.
    pub slot: Option<usize>,
    /// Samples whose turn was earlier and that it is multiplied with: their slots, and the pairs' numbers in the job.
    pub partners: Vec<(usize, usize)>,
}

/// All samples' turns.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    pub list: Vec<Turn>,
    /// Samples, and sums of domains, that are held at a time.
    pub slots: usize,
    pub means: usize,
}

/// What a tile is asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// Of each sample.
    pub domain_of: &'a [usize],
    pub n_domains: usize,
    pub pairs: &'a [(usize, usize)],
    pub want_means: bool,
}

impl Turns {
    pub fn new(asked: Asked<'_>) -> Self {
        // Place of each sample within its domain.
        let mut sizes = vec![0usize; asked.n_domains];
        let mut place = |&domain: &usize| {
            sizes[domain] += 1;
            sizes[domain]
        };
        let rank: Vec<usize> = asked.domain_of.iter().map(&mut place).collect();
        let mut order: Vec<usize> = (0..asked.domain_of.len()).collect();
        order.sort_by_key(|&s| asked.domain_of[s]);
        let by_domain = Self::along(&order, asked);
        order.sort_by_key(|&s| rank[s]);
        let by_rank = Self::along(&order, asked);
        if by_rank.held() < by_domain.held() { by_rank } else { by_domain }
    }

    /// Domain after domain, every sample of a pair in a slot of its own until the end, none multiplied on the way.
    pub fn keeping_all(asked: Asked<'_>) -> Self {
        let mut order: Vec<usize> = (0..asked.domain_of.len()).collect();
        order.sort_by_key(|&s| asked.domain_of[s]);
        let mut paired = vec![false; order.len()];
        for &(a, b) in asked.pairs.iter().filter(|(a, b)| a != b) {
            (paired[a], paired[b]) = (true, true);
        }
        let mut turns = Self::along(&order, Asked { pairs: &[], ..asked });
        for turn in turns.list.iter_mut().filter(|t| paired[t.sample]) {
            turn.slot = Some(turns.slots);
            turns.slots += 1;
        }
        turns
    }

    /// Arrays of a tile's size that are held at a time.
    pub fn held(&self) -> usize {
        self.slots + self.means
    }

    fn along(order: &[usize], asked: Asked<'_>) -> Self {
        let mut turn_of = vec![0; order.len()];
        for (i, &s) in order.iter().enumerate() {
            turn_of[s] = i;
        }
        let mut list: Vec<Turn> = order
            .iter()
            .map(|&sample| {
                let domain = asked.domain_of[sample];
                Turn { sample, domain, mean: 0, begins: false, ends: false, slot: None, partners: Vec::new() }
            })
            .collect();
        // The pairs of a turn, by the other sample's turn; and the turn that needs a sample last.
        let mut last: Vec<Option<usize>> = vec![None; order.len()];
        for (pair, &(a, b)) in asked.pairs.iter().enumerate().filter(|(_, (a, b))| a != b) {
            let (early, late) = (turn_of[a].min(turn_of[b]), turn_of[a].max(turn_of[b]));
            for i in [early, late] {
                last[i] = last[i].max(Some(late));
            }
            list[late].partners.push((early, pair));
        }
        let mut released: Vec<Vec<usize>> = vec![Vec::new(); order.len()];
        for (i, last) in last.iter().enumerate() {
            if let Some(last) = last {
                released[*last].push(i);
            }
        }
        let mut ends: Vec<Option<usize>> = vec![None; asked.n_domains];
        for (i, turn) in list.iter().enumerate() {
            ends[turn.domain] = Some(i);
        }
        let (mut slots, mut means) = (Places::default(), Places::default());
        let mut mean_of: Vec<Option<usize>> = vec![None; asked.n_domains];
        for i in 0..list.len() {
            if last[i].is_some() {
                list[i].slot = Some(slots.take());
            }
            for p in 0..list[i].partners.len() {
                let early = list[i].partners[p].0;
                list[i].partners[p].0 = list[early].slot.unwrap_or_default();
            }
            list[i].partners.sort_unstable();
            for &done in &released[i] {
                slots.free.extend(list[done].slot);
            }
            if asked.want_means {
                let domain = list[i].domain;
                list[i].begins = mean_of[domain].is_none();
                list[i].mean = *mean_of[domain].get_or_insert_with(|| means.take());
                list[i].ends = ends[domain] == Some(i);
                if list[i].ends {
                    means.free.push(list[i].mean);
                }
            }
        }
        Self { list, slots: slots.all, means: means.all }
    }
}

/// Numbered places; one that was freed last is taken first, since it is the likeliest in a near cache.
#[derive(Default)]
struct Places {
    all: usize,
    free: Vec<usize>,
}

impl Places {
    fn take(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.all += 1;
            self.all - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As a run asks: sample m of every domain with sample m of every other, and each domain with itself, one further.
    fn of_run(domains: usize, samples: usize) -> (Vec<usize>, Vec<(usize, usize)>) {
        let mut pairs = Vec::new();
        for a in 0..domains {
            for b in a..domains {
                pairs.extend((0..samples).map(|m| (a * samples + m, b * samples + (m + usize::from(a == b)) % samples)));
            }
        }
        ((0..domains * samples).map(|s| s / samples).collect(), pairs)
    }

    fn held(domains: usize, samples: usize, want_means: bool) -> (usize, usize) {
        let (domain_of, pairs) = of_run(domains, samples);
        let turns = Turns::new(Asked { domain_of: &domain_of, n_domains: domains, pairs: &pairs, want_means });
        (turns.slots, turns.means)
    }

    #[test]
    fn a_run_keeps_a_few_samples_a_domain_however_many_there_are() {
        // One domain: its first sample, the one before and the one in hand.
        assert_eq!(held(1, 8, true), (3, 1));
        assert_eq!(held(1, 800, true), (3, 1));
        // The first of every domain, those before, and those in hand until the next of their domain has come.
        let (slots, means) = held(6, 64, true);
        assert!(slots <= 3 * 6 + 1 && means == 6, "{slots} slots, {means} means");
        assert_eq!(held(6, 640, true), (slots, means));
        assert_eq!(held(6, 64, false), (slots, 0));
    }

    #[test]
    fn without_products_one_sum_is_held_at_a_time() {
        let (domain_of, _) = of_run(57, 4);
        let turns = Turns::new(Asked { domain_of: &domain_of, n_domains: 57, pairs: &[], want_means: true });
        assert_eq!((turns.slots, turns.means), (0, 1));
    }

    proptest! {
        /// Walks through the turns as a tile does and looks at what lies in every place.
        #[test]
        fn whatever_is_asked_every_pair_meets_and_every_domain_is_summed(
            domain_of in prop::collection::vec(0usize..5, 0..24),
            raw in prop::collection::vec((0usize..24, 0usize..24), 0..60),
            want_means: bool,
        ) {
            let n = domain_of.len();
            let pairs: Vec<(usize, usize)> = raw.into_iter().filter(|(a, b)| *a < n && *b < n).collect();
            let asked = Asked { domain_of: &domain_of, n_domains: 5, pairs: &pairs, want_means };
            let turns = Turns::new(asked);
            let (mut kept, mut sums) = (vec![None; turns.slots], vec![(usize::MAX, Vec::new()); turns.means]);
            let mut met = vec![0; pairs.len()];
            let mut read: Vec<Option<Vec<usize>>> = vec![None; 5];
            for turn in &turns.list {
                prop_assert_eq!(turn.domain, domain_of[turn.sample]);
                if let Some(slot) = turn.slot {
                    kept[slot] = Some(turn.sample);
                }
                for &(slot, pair) in &turn.partners {
                    let mut both = [kept[slot].expect("a sample"), turn.sample];
                    both.sort_unstable();
                    let (a, b) = pairs[pair];
                    prop_assert_eq!(both, [a.min(b), a.max(b)]);
                    met[pair] += 1;
                }
                if want_means {
                    if turn.begins {
                        sums[turn.mean] = (turn.domain, Vec::new());
                    }
                    prop_assert_eq!(sums[turn.mean].0, turn.domain);
                    sums[turn.mean].1.push(turn.sample);
                    if turn.ends {
                        prop_assert!(read[turn.domain].replace(sums[turn.mean].1.clone()).is_none());
                    }
                }
            }
            for (times, (a, b)) in met.iter().zip(&pairs) {
                prop_assert_eq!(*times, usize::from(a != b));
            }
            for (domain, read) in read.into_iter().enumerate().filter(|_| want_means) {
                // In the given order, whatever stands between.
                let members: Vec<usize> = (0..n).filter(|&s| domain_of[s] == domain).collect();
                prop_assert_eq!(read.unwrap_or_default(), members);
            }
        }
    }
}
