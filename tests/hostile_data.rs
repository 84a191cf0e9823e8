//! Files of rows that lie: an error or rows, and never more memory than a small multiple of the file. The allocator of this test counts.

use brodmann::{
    base::job::silently,
    data::read::{
        How, TextRows,
        table::{Table, parse},
    },
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: passes every call on to the system's allocator and only counts beside it.
#[expect(unsafe_code, reason = "a counting allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as our caller promises.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as our caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Peaks of tests that run at once would add up.
static ALONE: Mutex<()> = Mutex::new(());

/// Bytes above what was in use, at the peak of `work`.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let out = work();
    (out, PEAK.load(Ordering::Relaxed).saturating_sub(before))
}

fn read(name: &str, bytes: &[u8], how: How) -> Result<Table, String> {
    silently(|ctx| parse(Path::new(name), bytes, how, ctx)).map_err(|e| e.to_string())
}

/// What a file may cost: rows hold named values, each some hundred bytes, and the smallest row has two bytes (`1\n`).
fn allowed(bytes: usize) -> usize {
    (1 << 20) + bytes * 600
}

fn parquet() -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data/hub/datasets--brodmann--questions/snapshots");
    let commit = std::fs::read_dir(folder).expect("snapshots").next().expect("one").expect("entry").path();
    std::fs::read(commit.join("data/train-00000-of-00001.parquet")).expect("fixture")
}

#[test]
fn text_files_cost_a_small_multiple_whatever_they_hold() {
    let _alone = ALONE.lock();
    let n = 200_000;
    let repeated = |piece: &str| piece.repeat(n / piece.len()).into_bytes();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("commas.csv", repeated(",")),
        ("cells.csv", [b"a,b,c,d,e,f,g,h\n".to_vec(), repeated(",,,,,,,\n")].concat()),
        ("long name.csv", [vec![b'x'; n / 2], b",b\n".to_vec(), repeated("1,2\n")].concat()),
        ("quotes.csv", repeated("\"")),
        ("tabs.tsv", repeated("\t\"\n")),
        ("deep.jsonl", repeated("[")),
        ("deep.json", repeated("[{\"a\":")),
        ("objects.jsonl", repeated("{}\n")),
        ("objects.json", [b"[".to_vec(), repeated("{},"), b"{}]".to_vec()].concat()),
        ("names.jsonl", (0..n / 16).map(|i| format!("{{\"{i}\":1}}\n")).collect::<String>().into_bytes()),
        ("numbers.jsonl", repeated("1e999999999\n")),
        ("lines.txt", repeated("a\n")),
        ("blank.txt", repeated(" \n")),
        ("zeros.txt", vec![0; n]),
        ("bad.jsonl", vec![0xff; n]),
    ];
    for (name, bytes) in cases {
        for how in [How::default(), How { header: false, text: TextRows::Paragraphs }] {
            let (_, peak) = peak_of(|| read(name, &bytes, how));
            assert!(peak < allowed(bytes.len()), "{name}: {} bytes cost {peak}", bytes.len());
        }
    }
}

#[test]
fn every_changed_byte_of_a_parquet_file_costs_little() {
    let _alone = ALONE.lock();
    let file = parquet();
    let (whole, peak) = peak_of(|| read("x.parquet", &file, How::default()));
    assert_eq!(whole.expect("reads").rows.len(), 12);
    println!("{} bytes cost {peak}", file.len());
    let mut worst = 0;
    for at in 0..file.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, file[at] ^ 0x10] {
            let mut bytes = file.clone();
            bytes[at] = value;
            let (_, peak) = peak_of(|| read("x.parquet", &bytes, How::default()));
            worst = worst.max(peak);
            // The reader's own budget: 16 MiB and 64 times the file, held at most twice while rows are put together.
            assert!(peak < 2 * ((16 << 20) + 64 * file.len()), "byte {at} = {value}: {peak}");
        }
    }
    println!("largest cost of a changed byte: {worst}");
}

#[test]
fn every_beginning_of_a_parquet_file_is_refused() {
    let _alone = ALONE.lock();
    let file = parquet();
    for n in 0..file.len() {
        let (result, peak) = peak_of(|| read("x.parquet", &file[..n], How::default()));
        assert!(result.is_err() && peak < allowed(n), "{n} bytes cost {peak}");
    }
}
