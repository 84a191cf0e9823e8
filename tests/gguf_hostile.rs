//! Cut, garbled and hostile GGUF files: an error, never a panic, never memory beyond a small multiple of the file.

#[path = "support/gguf.rs"]
mod gguf;

use brodmann::{
    base::{job::silently, rng::Rng},
    model::{Model, load_model},
};
use gguf::{Gguf, Tensor, Value, convert};
use proptest::prelude::*;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    path::Path,
};

/// Counts what this thread asks for: bytes held, the most that were held, and the largest single request.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn count(more: isize, request: usize) {
    // Gone while a thread ends.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + more);
        PEAK.with(|peak| peak.set(peak.get().max(held.get())));
        LARGEST.with(|largest| largest.set(largest.get().max(request)));
    });
}

#[expect(unsafe_code, reason = "a global allocator is an unsafe trait")]
// SAFETY: everything is handed to the system's allocator as it comes; the counters allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize, layout.size());
        // SAFETY: as our caller promises.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize, layout.size());
        // SAFETY: as our caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize), 0);
        // SAFETY: as our caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize, size);
        // SAFETY: as our caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What reading needs whatever the file holds: regular expressions, hashing buffers, messages.
const FIXED: usize = 8 << 20;

fn open(bytes: &[u8]) -> brodmann::base::Result<Model> {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).expect("write");
    HELD.set(0);
    PEAK.set(0);
    LARGEST.set(0);
    let model = silently(|ctx| load_model(&path, ctx));
    let (peak, largest) = (PEAK.get() as usize, LARGEST.get());
    // A token of one letter becomes a text of its own in three tables, a metadata entry of 13 bytes a node of a tree.
    assert!(peak <= 32 * bytes.len() + FIXED, "{peak} bytes were held for a file of {}", bytes.len());
    assert!(largest <= 8 * bytes.len() + FIXED, "{largest} bytes were asked for at once, for a file of {}", bytes.len());
    model
}

fn message(bytes: &[u8]) -> String {
    open(bytes).err().expect("refused").to_string()
}

fn fixture(name: &str) -> Gguf {
    convert(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name))
}

/// Where the tensors' values begin, about.
fn header_len(file: &Gguf) -> usize {
    file.bytes().len() - file.tensors.iter().map(|t| t.bytes.len().next_multiple_of(32)).sum::<usize>()
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let file = fixture("tiny-qwen2");
    let (whole, header) = (file.bytes(), header_len(&file));
    assert!(open(&whole).is_ok());
    let in_header = (1..header).step_by(13).chain(1..200.min(header));
    let in_data = (header..whole.len() - 32).step_by(4801);
    let mut cuts = 0;
    for at in in_header.chain(in_data) {
        let e = message(&whole[..at]);
        assert!(e.contains("model.gguf"), "cut at {at}: {e}");
        cuts += 1;
    }
    println!("{cuts} cuts of {} bytes", whole.len());
}

/// The header with this in place of its counts.
fn counted(n_tensors: u64, n_entries: u64, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend(n_tensors.to_le_bytes());
    bytes.extend(n_entries.to_le_bytes());
    bytes.extend(rest);
    bytes
}

fn entry(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = (key.len() as u64).to_le_bytes().to_vec();
    bytes.extend(key.as_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend(value);
    bytes
}

#[test]
fn numbers_that_lie_are_found_before_anything_is_made_of_them() {
    let says = |bytes: &[u8], part: &str| {
        let e = message(bytes);
        assert!(e.contains(part), "`{part}` is not in: {e}");
    };
    says(&[], "empty");
    says(b"GGML", "does not begin with `GGUF`");
    says(b"GGUF\0\0\0\x03", "big-endian");
    says(b"GGUF\x04\0\0\0", "version 4");
    for n in [u64::MAX, 1 << 62, 1 << 40, 5000] {
        says(&counted(n, 0, &[0; 64]), "tensors, which do not fit");
        says(&counted(0, n, &[0; 64]), "metadata entries, which do not fit");
        // A key, a text, a list of texts, a list of numbers of this length.
        says(&counted(0, 1, &[&n.to_le_bytes()[..], &[0; 64]].concat()), "a metadata key needs");
        says(&counted(0, 1, &entry("a", 8, &n.to_le_bytes())), "its value needs");
        for kind in [8u32, 6, 0, 9] {
            let list = [&kind.to_le_bytes()[..], &n.to_le_bytes(), &[0; 64]].concat();
            says(&counted(0, 1, &entry("a", 9, &list)), "elements, which do not fit");
        }
    }
    // A list of lists of lists.
    let nested: Vec<u8> = std::iter::repeat_n([&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat(), 100_000).flatten().collect();
    says(&counted(0, 1, &entry("a", 9, &nested)), "nested deeper");
    says(&counted(0, 1, &entry("a", 77, &[0; 8])), "value type 77");
    let twice = [entry("a", 4, &[0; 4]), entry("a", 4, &[0; 4])].concat();
    says(&counted(0, 2, &twice), "there twice");
    says(&counted(0, 1, &entry("general.alignment", 4, &48u32.to_le_bytes())), "power of two");

    let tensor = |dims: &[u64], kind: u32, offset: u64| {
        let mut bytes = 1u64.to_le_bytes().to_vec();
        bytes.push(b't');
        bytes.extend((dims.len() as u32).to_le_bytes());
        dims.iter().for_each(|d| bytes.extend(d.to_le_bytes()));
        bytes.extend(kind.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        bytes.extend([0; 256]);
        counted(1, 0, &bytes)
    };
    for dims in [&[u64::MAX, u64::MAX][..], &[1 << 33, 1 << 33], &[1 << 20, 1 << 20], &[1024]] {
        says(&tensor(dims, 0, 0), "does not fit into the file");
    }
    for offset in [u64::MAX, u64::MAX - 31, 1 << 40, 512] {
        says(&tensor(&[8], 0, offset), "does not fit into the file");
    }
    says(&tensor(&[0, 8], 0, 0), "dimension of 0");
    says(&tensor(&[33], 8, 0), "expected a multiple of 32");
    says(&tensor(&[1; 5], 0, 0), "5 dimensions");
    says(&tensor(&[], 0, 0), "0 dimensions");
}

#[test]
fn tensors_may_not_share_their_bytes() {
    let file = fixture("tiny-llama");
    let mut bytes = file.bytes();
    // The second tensor's offset becomes the first one's: it follows the type, which follows the dimensions.
    let name = file.tensors[1].name.as_bytes();
    let at = bytes.windows(name.len()).position(|w| w == name).expect("name") + name.len();
    let offset = at + 4 + 8 * file.tensors[1].shape.len() + 4;
    bytes[offset..offset + 8].fill(0);
    assert!(message(&bytes).contains("overlap"));
}

#[test]
fn many_small_things_cost_no_more_than_a_multiple() {
    // As many entries, empty tensors and one-letter tokens as a file of some megabytes can hold.
    let entries: Vec<u8> = (0..100_000u32).flat_map(|i| entry(&format!("{i:x}"), 7, &[1])).collect();
    assert!(message(&counted(0, 100_000, &entries)).contains("general.architecture"));
    let mut file = fixture("tiny-llama");
    file.tensors = (0..50_000).map(|i| Tensor::f32(&format!("{i:x}"), &[1], &[0.0])).collect();
    assert!(message(&file.bytes()).contains("token_embd.weight is missing"));
    let mut file = fixture("tiny-llama");
    file.set("tokenizer.ggml.tokens", Value::Texts(vec![String::new(); 300_000]));
    file.set("tokenizer.ggml.token_type", Value::I32s(vec![1; 300_000]));
    assert!(message(&file.bytes()).contains("300000 tokens"));
    // Scores for pieces of any length: every way to cut a long piece would be quadratic.
    let mut file = fixture("tiny-llama");
    let tokens: Vec<String> = (0..512).map(|i| if i == 9 { "ab".repeat(500_000) } else { format!("{i}") }).collect();
    file.set("tokenizer.ggml.model", "llama");
    file.set("tokenizer.ggml.tokens", Value::Texts(tokens));
    file.set("tokenizer.ggml.scores", Value::F32s(vec![0.0; 512]));
    let started = std::time::Instant::now();
    assert!(open(&file.bytes()).is_ok());
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn merges_of_no_tokens_do_no_harm() {
    let mut file = fixture("tiny-llama");
    let long = "x".repeat(100_000);
    file.set("tokenizer.ggml.merges", Value::Texts(vec![format!("{long} {long}"), "a b".into(), "Ġ t".into()]));
    assert!(open(&file.bytes()).is_ok());
    file.set("tokenizer.ggml.merges", Value::Texts(vec!["ab".into()]));
    assert!(message(&file.bytes()).contains("is not two tokens"));
    for bad in [Value::U32(7), Value::I32s(vec![1, 2])] {
        file.set("tokenizer.ggml.merges", bad);
        assert!(message(&file.bytes()).contains("`tokenizer.ggml.merges`"));
    }
}

/// Loads it and, where that goes, uses what was loaded.
fn use_it(bytes: &[u8]) {
    if let Ok(model) = open(bytes) {
        assert!(model.spec.n_params() < 1 << 40);
        let ids = model.tokenizer.encode("it's 12 <s>\u{3b1}");
        let _ = ids.map(|ids| ids.iter().map(|&id| model.tokenizer.piece(id)).collect::<String>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn garbled_bytes_never_panic(seed in any::<u64>(), which in 0usize..3, edits in 1usize..10) {
        let file = fixture(["tiny-llama", "tiny-gemma3", "tiny-gpt2"][which]);
        let mut bytes = file.bytes();
        let mut rng = Rng::new(seed);
        // Half of the edits fall among the counts and sizes of the first entries and of the tensors, which end the header.
        let header = header_len(&file);
        for _ in 0..edits {
            let at = match rng.below(4) {
                0 => rng.below(1200.min(header)),
                1 => header - 1 - rng.below(2500.min(header)),
                _ => rng.below(header),
            };
            bytes[at] = match rng.below(4) {
                0 => 0xff,
                1 => 0,
                2 => bytes[at] ^ (1 << rng.below(8)),
                _ => rng.below(256) as u8,
            };
        }
        use_it(&bytes);
    }

    #[test]
    fn metadata_of_any_value_never_panics(which in 0usize..40, kind in 0usize..8, number in any::<u64>()) {
        let mut file = fixture("tiny-gemma3");
        let keys: Vec<String> = file.metadata.iter().map(|(k, _)| k.clone()).chain([
            "gemma3.rope.scaling.type", "gemma3.rope.scaling.factor", "gemma3.rope.freq_base_swa", "gemma3.final_logit_softcapping",
            "general.alignment", "tokenizer.ggml.scores", "tokenizer.ggml.unknown_token_id", "tokenizer.chat_template",
        ].map(str::to_owned)).collect();
        let value = match kind {
            0 => Value::U32(number as u32),
            1 => Value::U64(number),
            2 => Value::I32(number as i32),
            3 => Value::F32(f32::from_bits(number as u32)),
            4 => Value::Bool(number % 2 == 0),
            5 => Value::Text(format!("{number}")),
            6 => Value::I32s(vec![number as i32; number as usize % 600]),
            _ => Value::Texts(vec!["a".into(); number as usize % 600]),
        };
        file.set(&keys[which % keys.len()], value);
        use_it(&file.bytes());
    }
}
