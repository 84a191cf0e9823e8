//! A sweep on the disk: one CSV file that only grows, so that a sweep that was killed goes on where it was. Its first line is a comment that says
//! in JSON what is measured and where the numbers come from.
//!
//! ```text
//! # {"format":"brodmann sweep","version":1,"unit":"neuron",...,"provenance":{...}}
//! layer,unit,n,correct,margin,loss
//! 5,0,64,41,0.8125,1.25
//! ```

use super::sweep::{Measured, SweepSpec, Totals, UnitId};
use crate::base::{Error, Result, one_writer, provenance::Provenance};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

/// Name inside a sweep's folder.
pub const SWEEP_FILE: &str = "sweep.csv";
const FORMAT: &str = "brodmann sweep";
const VERSION: u32 = 1;
/// Far longer than any that is written; a file that is none may have no line at all.
const LONGEST_HEADER: u64 = 1 << 20;
const COLUMNS: &str = "layer,unit,n,correct,margin,loss";

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepHeader {
    format: String,
    version: u32,
    #[serde(flatten)]
    pub spec: SweepSpec,
    pub domain: String,
    pub n_layers: usize,
    /// Units of a layer.
    pub width: usize,
    /// Digest of the items that are scored.
    pub items_sha256: String,
    /// For readers of the file; JSON may lose its last bit, so a sweep that goes on measures it again.
    pub baseline: Totals,
    pub provenance: Provenance,
}

impl SweepHeader {
    pub fn new(
        spec: SweepSpec,
        domain: &str,
        (n_layers, width): (usize, usize),
        items_sha256: &str,
        baseline: Totals,
        provenance: Provenance,
    ) -> Self {
        let (domain, items_sha256) = (domain.to_owned(), items_sha256.to_owned());
        Self { format: FORMAT.into(), version: VERSION, spec, domain, n_layers, width, items_sha256, baseline, provenance }
    }

    /// What must be equal for a file to be gone on with, in words.
    fn differs(&self, other: &Self) -> Option<String> {
        let pairs = [
            ("the model", &self.provenance.model_sha256, &other.provenance.model_sha256),
            ("the domain", &self.domain, &other.domain),
            ("the items that are scored", &self.items_sha256, &other.items_sha256),
        ];
        if let Some((what, a, b)) = pairs.iter().find(|(_, a, b)| a != b) {
            return Some(format!("{what} is another ({a}, now {b})"));
        }
        let words = |h: &Self| {
            let layers = h.spec.layers.map_or_else(|| "all layers".into(), |(a, b)| format!("layers {a}-{b}"));
            format!("{} by {}, {}, {}", h.spec.unit, h.spec.mode.word(), h.spec.at.words(), layers)
        };
        (self.spec != other.spec).then(|| format!("it is a sweep of {}, now asked for is one of {}", words(self), words(other)))
    }
}

/// An open file that results are appended to.
pub struct SweepFile {
    path: PathBuf,
    file: File,
}

impl SweepFile {
    /// Makes the file, or goes on with the one that is there: then also what it holds, its own header first. A last line that a kill cut off is
    /// taken away.
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds another sweep.
    pub fn open(folder: &Path, header: &SweepHeader) -> Result<(Self, SweepHeader, Vec<Measured>)> {
        let path = folder.join(SWEEP_FILE);
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        let io = |e| Error::io(&path, e);
        let mut file = File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(io)?;
        one_writer::lock(&file, &path, "another sweep is writing here", &|| Ok(()))?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io)?;
        // Less than the two first lines is as good as nothing.
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        if whole.lines().count() < 2 {
            let json = serde_json::to_string(header).map_err(|e| Error::format(&path, e.to_string()))?;
            file.set_len(0).and_then(|()| file.rewind()).map_err(io)?;
            file.write_all(format!("# {json}\n{COLUMNS}\n").as_bytes()).map_err(io)?;
            file.sync_all().map_err(io)?;
            return Ok((Self { path, file }, header.clone(), Vec::new()));
        }
        let (old, rows) = parse(&path, whole)?;
        if let Some(why) = old.differs(header) {
            return Err(Error::format(&path, format!("{why}; name a new folder, or remove this one to begin again")));
        }
        file.set_len(whole.len() as u64).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        Ok((Self { path, file }, old, rows))
    }

    /// # Errors
    /// When the file cannot be written.
    pub fn append(&mut self, rows: &[Measured]) -> Result<()> {
        let number = |v: Option<f64>| v.map_or_else(String::new, |v| v.to_string());
        let line = |(id, t): &Measured| {
            let correct = t.correct.map_or_else(String::new, |c| c.to_string());
            format!("{},{},{},{correct},{},{}\n", id.layer, id.index, t.n, number(t.margin), number(t.loss))
        };
        let text: String = rows.iter().map(line).collect();
        self.file.write_all(text.as_bytes()).and_then(|()| self.file.flush()).map_err(|e| Error::io(&self.path, e))
    }
}

/// What a sweep's folder holds.
///
/// # Errors
/// When there is no such file, or it is damaged.
pub fn read(folder: &Path) -> Result<(SweepHeader, Vec<Measured>)> {
    let path = folder.join(SWEEP_FILE);
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
    parse(&path, &text[..text.rfind('\n').map_or(0, |end| end + 1)])
}

/// What a sweep's folder is about, without its numbers.
///
/// # Errors
/// As [`read`].
pub fn read_header(folder: &Path) -> Result<SweepHeader> {
    let path = folder.join(SWEEP_FILE);
    let mut line = String::new();
    let file = File::open(&path).map_err(|e| Error::io(&path, e))?;
    BufReader::new(file.take(LONGEST_HEADER)).read_line(&mut line).map_err(|e| Error::io(&path, e))?;
    parse_header(&path, line.trim_end_matches('\n'))
}

fn parse_header(path: &Path, line: &str) -> Result<SweepHeader> {
    let json = line.strip_prefix("# ").unwrap_or_default();
    serde_json::from_str(json)
        .map_err(|e| Error::format(path, format!("is no sweep of Brodmann: its first line does not say what it holds ({e})")))
}

fn parse(path: &Path, text: &str) -> Result<(SweepHeader, Vec<Measured>)> {
    let mut lines = text.lines();
    let header = parse_header(path, lines.next().unwrap_or_default())?;
    if header.format != FORMAT || header.version > VERSION || lines.next() != Some(COLUMNS) {
        return Err(Error::format(
            path,
            format!("is no sweep that this program reads: expected `{FORMAT}`, version {VERSION}, `{COLUMNS}`"),
        ));
    }
    let mut rows = Vec::new();
    for (i, line) in lines.enumerate() {
        let bad = || Error::Row { path: path.to_owned(), line: i + 3, message: format!("`{line}` is no row of {COLUMNS}") };
        let cells: Vec<&str> = line.split(',').collect();
        let [layer, unit, n, correct, margin, loss] = cells[..] else { return Err(bad()) };
        let whole = |text: &str| text.parse::<usize>().map_err(|_| bad());
        let number = |text: &str| if text.is_empty() { Ok(None) } else { text.parse::<f64>().map(Some).map_err(|_| bad()) };
        let id = UnitId { layer: whole(layer)?, index: whole(unit)? };
        if id.layer >= header.n_layers || id.index >= header.width {
            return Err(bad());
        }
        let correct = if correct.is_empty() { None } else { Some(whole(correct)?) };
        rows.push((id, Totals { n: whole(n)?, correct, margin: number(margin)?, loss: number(loss)? }));
    }
    Ok((header, rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ablate::sweep::SweepUnit,
        eval::{AblationAt, AblationMode},
    };

    fn header() -> SweepHeader {
        let spec = SweepSpec { unit: SweepUnit::Neuron, layers: None, mode: AblationMode::Scale(0.1), at: AblationAt::All };
        let baseline = Totals { n: 8, correct: Some(5), margin: Some(0.125), loss: Some(0.375) };
        SweepHeader::new(spec, "logic", (2, 4), "ab", baseline, Provenance { model_sha256: "cd".into(), ..Provenance::default() })
    }

    #[test]
    fn a_file_cut_off_in_its_last_line_goes_on_with_the_same_numbers() {
        let dir = tempfile::tempdir().expect("folder");
        let row = |i: usize| {
            let totals = Totals {
                n: 8,
                correct: (i > 0).then_some(i),
                margin: (i > 1).then_some(0.1 * i as f64),
                loss: Some(1.0 / (3.0 + i as f64)),
            };
            (UnitId { layer: i / 4, index: i % 4 }, totals)
        };
        let (mut file, ..) = SweepFile::open(dir.path(), &header()).expect("new");
        file.append(&[row(0), row(1)]).expect("written");
        file.append(&[row(2)]).expect("written");
        drop(file);
        let path = dir.path().join(SWEEP_FILE);
        let whole = std::fs::read(&path).expect("bytes");
        // Wherever a kill cuts: complete lines stay, and what is appended follows them.
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("cut");
            let (mut file, _, rows) = SweepFile::open(dir.path(), &header()).expect("again");
            assert!(rows.iter().enumerate().all(|(i, r)| *r == row(i)), "{cut}: {rows:?}");
            file.append(&[row(5)]).expect("written");
            assert_eq!(read_header(dir.path()).expect("header"), header());
            let (back, all) = read(dir.path()).expect("read");
            assert_eq!((back, all.len(), all.last()), (header(), rows.len() + 1, Some(&row(5))));
        }
    }

    #[test]
    fn another_sweep_is_not_gone_on_with() {
        let dir = tempfile::tempdir().expect("folder");
        SweepFile::open(dir.path(), &header()).expect("new");
        let refused = |h: &SweepHeader| SweepFile::open(dir.path(), h).err().expect("another").to_string();
        let other = SweepHeader { domain: "code".into(), ..header() };
        assert!(refused(&other).contains("the domain is another (logic, now code)"), "{}", refused(&other));
        let mut other = header();
        other.spec.at = AblationAt::Answer;
        assert!(refused(&other).contains("name a new folder"), "{}", refused(&other));
        std::fs::write(dir.path().join(SWEEP_FILE), "a,b\n1,2\n").expect("write");
        assert!(refused(&header()).contains("is no sweep"), "{}", refused(&header()));
    }
}
