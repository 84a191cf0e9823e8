//! Python's `random.Random(seed).sample`, draw for draw: the examples that lm-evaluation-harness puts before a question are chosen by it.
//! Source: CPython, Modules/_randommodule.c (MT19937, `init_by_array`) and Lib/random.py (`_randbelow_with_getrandbits`, `sample`).

const N: usize = 624;
const M: usize = 397;

/// The Mersenne Twister as Python seeds it.
#[derive(Clone)]
pub struct PythonRandom {
    state: [u32; N],
    at: usize,
}

impl PythonRandom {
    pub fn new(seed: u64) -> Self {
        // The seed as 32-bit digits, least significant first.
        let key: Vec<u32> = if seed >> 32 == 0 { vec![seed as u32] } else { vec![seed as u32, (seed >> 32) as u32] };
        let mut state = [0u32; N];
        state[0] = 19_650_218;
        for i in 1..N {
            state[i] = 1_812_433_253u32.wrapping_mul(state[i - 1] ^ (state[i - 1] >> 30)).wrapping_add(i as u32);
        }
        let (mut i, mut j) = (1, 0);
        for _ in 0..N.max(key.len()) {
            let mixed = (state[i - 1] ^ (state[i - 1] >> 30)).wrapping_mul(1_664_525);
            state[i] = (state[i] ^ mixed).wrapping_add(key[j]).wrapping_add(j as u32);
            i += 1;
            j = (j + 1) % key.len();
            if i == N {
                state[0] = state[N - 1];
                i = 1;
            }
        }
        for _ in 0..N - 1 {
            let mixed = (state[i - 1] ^ (state[i - 1] >> 30)).wrapping_mul(1_566_083_941);
            state[i] = (state[i] ^ mixed).wrapping_sub(i as u32);
            i += 1;
            if i == N {
                state[0] = state[N - 1];
                i = 1;
            }
        }
        state[0] = 0x8000_0000;
        Self { state, at: N }
    }

    fn next_u32(&mut self) -> u32 {
        if self.at == N {
            for i in 0..N {
                let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + M) % N] ^ (y >> 1) ^ odd;
            }
            self.at = 0;
        }
        let mut y = self.state[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// Uniform in `0..n`; `n` is from 1 up to 2^31.
    fn below(&mut self, n: usize) -> usize {
        let bits = usize::BITS - n.leading_zeros();
        loop {
            let draw = (self.next_u32() >> (32 - bits)) as usize;
            if draw < n {
                return draw;
            }
        }
    }

    /// `k` distinct numbers of `0..n`, in the order in which `random.sample(range(n), k)` gives them; all of them where `k` is more.
    pub fn sample(&mut self, n: usize, k: usize) -> Vec<usize> {
        let k = k.min(n);
        // Python takes whichever of two ways needs less memory; they draw differently.
        let mut set_size = 21usize;
        if k > 5 {
            set_size += 4usize.pow(((k * 3) as f64).log(4.0).ceil() as u32);
        }
        if n <= set_size {
            let mut pool: Vec<usize> = (0..n).collect();
            return (0..k)
                .map(|i| {
                    let j = self.below(n - i);
                    let drawn = pool[j];
                    pool[j] = pool[n - i - 1];
                    drawn
                })
                .collect();
        }
        let mut drawn: Vec<usize> = Vec::with_capacity(k);
        while drawn.len() < k {
            let j = self.below(n);
            if !drawn.contains(&j) {
                drawn.push(j);
            }
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_those_of_python() {
        // python3 -c "import random; r = random.Random(1234); print([r.getrandbits(32) for _ in range(3)])"
        let mut r = PythonRandom::new(1234);
        assert_eq!([r.next_u32(), r.next_u32(), r.next_u32()], BITS);
        // r = random.Random(1234); [r.sample(range(300), 3), r.sample(range(10), 4), r.sample(range(60), 6), r.sample(range(200), 8)]
        let mut r = PythonRandom::new(1234);
        assert_eq!(r.sample(300, 3), SAMPLES.0);
        assert_eq!(r.sample(10, 4), SAMPLES.1);
        assert_eq!(r.sample(60, 6), SAMPLES.2);
        assert_eq!(r.sample(200, 8), SAMPLES.3);
        // random.Random(2**40 + 5).sample(range(1000), 4)
        assert_eq!(PythonRandom::new((1 << 40) + 5).sample(1000, 4), LARGE_SEED);
    }

    #[test]
    fn a_sample_of_more_than_all_is_all() {
        let mut all = PythonRandom::new(0).sample(5, 9);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4]);
        assert!(PythonRandom::new(0).sample(0, 3).is_empty());
    }

    const BITS: [u32; 3] = [4_150_886_329, 3_342_196_574, 1_892_932_127];
    const SAMPLES: ([usize; 3], [usize; 4], [usize; 6], [usize; 8]) =
        ([225, 59, 3], [1, 0, 9, 8], [49, 22, 15, 1, 56, 50], [4, 88, 165, 159, 123, 157, 118, 38]);
    const LARGE_SEED: [usize; 4] = [516, 529, 275, 679];
}
