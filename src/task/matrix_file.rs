//! A matrix on the disk: JSON, one line a cell, after a line that says what is measured. It only grows, so that a matrix that was killed goes on where it
//! was. Its name in a folder: [`MATRIX_FILE`].
//!
//! ```text
//! {"format":"brodmann task matrix","version":1,"plan":{...},"key":"ab12...","before":[...],...}
//! {"k":0,"set":1,"task":0,"n":64,"correct":41,"margin":0.81,"loss":1.25,"lost":7,"gained":2}
//! ```

use super::matrix::{Cell, CellId, MatrixPlan, TaskMatrix};
use crate::{
    ablate::Totals,
    base::{Error, Result, one_writer, provenance::Provenance},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

pub const MATRIX_FILE: &str = "matrix.jsonl";
const FORMAT: &str = "brodmann task matrix";
const VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
    plan: MatrixPlan,
    /// Digest of everything that the cells depend on: model, items, sets, how they are switched.
    key: String,
    sets: String,
    switched: String,
    neurons: Vec<Vec<usize>>,
    before: Vec<Totals>,
    left_out: Vec<usize>,
    provenance: Provenance,
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    id: CellId,
    #[serde(flatten)]
    cell: Cell,
}

/// No matrix that anybody measures has more.
const MOST_CELLS: u128 = 10_000_000;

/// An open file that cells are appended to.
pub struct MatrixFile {
    path: PathBuf,
    file: File,
}

impl MatrixFile {
    /// Makes the file, or goes on with the one that is there: its cells are put into `matrix`. A last line that a kill cut off is taken away.
    ///
    /// # Errors
    /// When the file cannot be read or written, another process writes it, or it holds another matrix.
    pub fn open(folder: &Path, key: &str, matrix: &mut TaskMatrix) -> Result<Self> {
        let path = folder.join(MATRIX_FILE);
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        let io = |e| Error::io(&path, e);
        let mut file = File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(io)?;
        one_writer::lock(&file, &path, "another matrix is being written here", &|| Ok(()))?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io)?;
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        if whole.is_empty() {
            let header = Header {
                format: FORMAT.into(),
                version: VERSION,
                plan: matrix.plan.clone(),
                key: key.to_owned(),
                sets: matrix.sets.clone(),
                switched: matrix.switched.clone(),
                neurons: matrix.neurons.clone(),
                before: matrix.before.clone(),
                left_out: matrix.left_out.clone(),
                provenance: matrix.provenance.clone(),
            };
            let json = serde_json::to_string(&header).map_err(|e| Error::format(&path, e.to_string()))?;
            file.set_len(0).and_then(|()| file.rewind()).map_err(io)?;
            file.write_all(format!("{json}\n").as_bytes()).map_err(io)?;
            return Ok(Self { path, file });
        }
        let (header, cells) = parse(&path, whole)?;
        if header.key != key || header.plan != matrix.plan {
            let what = "holds a matrix of another model, of other tasks, sets or settings";
            return Err(Error::format(&path, format!("{what}; name a new folder, or remove this one to begin again")));
        }
        matrix.cells.extend(cells);
        file.set_len(whole.len() as u64).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        Ok(Self { path, file })
    }

    /// # Errors
    /// When the file cannot be written.
    pub fn append(&mut self, cells: &[(CellId, Cell)]) -> Result<()> {
        let mut text = String::new();
        for &(id, cell) in cells {
            text += &serde_json::to_string(&Line { id, cell }).map_err(|e| Error::format(&self.path, e.to_string()))?;
            text.push('\n');
        }
        self.file.write_all(text.as_bytes()).and_then(|()| self.file.flush()).map_err(|e| Error::io(&self.path, e))
    }
}

/// What a matrix's folder holds.
///
/// # Errors
/// When there is no such file, or it is damaged.
pub fn read(folder: &Path) -> Result<TaskMatrix> {
    let path = folder.join(MATRIX_FILE);
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
    let (h, cells) = parse(&path, &text[..text.rfind('\n').map_or(0, |end| end + 1)])?;
    Ok(TaskMatrix {
        total: h.plan.cells().len(),
        plan: h.plan,
        sets: h.sets,
        switched: h.switched,
        neurons: h.neurons,
        before: h.before,
        left_out: h.left_out,
        cells,
        provenance: h.provenance,
    })
}

fn parse(path: &Path, text: &str) -> Result<(Header, BTreeMap<CellId, Cell>)> {
    let mut lines = text.lines();
    let header: Header = serde_json::from_str(lines.next().unwrap_or_default())
        .map_err(|e| Error::format(path, format!("is no task matrix of Brodmann: its first line does not say what it holds ({e})")))?;
    if header.format != FORMAT || header.version > VERSION {
        return Err(Error::format(path, format!("is no task matrix that this program reads: expected `{FORMAT}`, version {VERSION}")));
    }
    let (tasks, shares) = (header.plan.tasks.len(), header.plan.percents.len());
    let plan = &header.plan;
    let cells = (tasks as u128).pow(2)
        * (shares as u128 * (1 + plan.controls as u128) + plan.factors.len() as u128 * (1 + plan.scaled_controls as u128));
    let tables = header.before.len() == tasks
        && header.left_out.len() == tasks
        && header.neurons.len() == shares
        && header.neurons.iter().all(|n| n.len() == tasks);
    if tasks == 0 || shares == 0 || plan.scaled_at >= shares || !tables || cells > MOST_CELLS {
        return Err(Error::format(path, format!("its tables do not fit {tasks} tasks and {shares} shares")));
    }
    let mut cells = BTreeMap::new();
    for (i, line) in lines.enumerate() {
        let bad = |message: String| Error::Row { path: path.to_owned(), line: i + 2, message };
        let Line { id, cell } = serde_json::from_str(line).map_err(|e| bad(e.to_string()))?;
        if id.task >= tasks || id.set >= tasks || id.k >= shares || id.factor.is_some_and(|f| f >= header.plan.factors.len()) {
            return Err(bad("a cell outside the matrix".into()));
        }
        cells.insert(id, cell);
    }
    Ok((header, cells))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> TaskMatrix {
        let plan = MatrixPlan {
            tasks: vec!["a".into(), "b".into()],
            percents: vec![10.0],
            controls: 1,
            factors: vec![2.0],
            scaled_at: 0,
            scaled_controls: 0,
        };
        TaskMatrix {
            total: plan.cells().len(),
            plan,
            sets: "top k %".into(),
            switched: "set to 0".into(),
            neurons: vec![vec![3, 3]],
            before: vec![Totals { n: 8, correct: Some(7), margin: Some(0.5), loss: Some(0.25) }; 2],
            left_out: vec![1, 0],
            cells: BTreeMap::new(),
            provenance: Provenance::default(),
        }
    }

    #[test]
    fn a_matrix_cut_off_anywhere_goes_on_with_the_cells_it_has() {
        let dir = tempfile::tempdir().expect("folder");
        let mut m = matrix();
        let cells: Vec<(CellId, Cell)> = (m.plan.cells().into_iter().enumerate())
            .map(|(i, id)| {
                let totals = Totals { n: 8, correct: (i % 2 == 0).then_some(i), margin: None, loss: Some(0.5 + i as f64) };
                (id, Cell { totals, lost: i, gained: 1 })
            })
            .collect();
        MatrixFile::open(dir.path(), "key", &mut m).expect("new").append(&cells).expect("written");
        let path = dir.path().join(MATRIX_FILE);
        let whole = std::fs::read(&path).expect("bytes");
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("cut");
            let mut again = matrix();
            let mut file = MatrixFile::open(dir.path(), "key", &mut again).expect("again");
            let known = again.cells.clone();
            assert!(known.iter().all(|(id, c)| cells.contains(&(*id, *c))), "{cut}");
            let open: Vec<_> = cells.iter().filter(|(id, _)| !known.contains_key(id)).copied().collect();
            file.append(&open).expect("written");
            drop(file);
            let back = read(dir.path()).expect("read");
            assert_eq!(back.cells, cells.iter().copied().collect(), "{cut}");
            assert_eq!(TaskMatrix { cells: BTreeMap::new(), ..back }, matrix());
        }
    }

    #[test]
    fn another_matrix_is_not_gone_on_with() {
        let dir = tempfile::tempdir().expect("folder");
        drop(MatrixFile::open(dir.path(), "key", &mut matrix()).expect("new"));
        let refused = |key: &str, mut m: TaskMatrix| MatrixFile::open(dir.path(), key, &mut m).err().expect("another").to_string();
        assert!(refused("other", matrix()).contains("name a new folder"));
        let mut m = matrix();
        m.plan.controls = 2;
        assert!(refused("key", m).contains("name a new folder"));
        std::fs::write(dir.path().join(MATRIX_FILE), "{\"a\": 1}\n").expect("write");
        assert!(refused("key", matrix()).contains("is no task matrix"));
    }

    #[test]
    fn tables_that_do_not_fit_the_tasks_are_refused_when_read() {
        type Damage = fn(&mut TaskMatrix);
        let damages: [Damage; 5] = [
            |m| m.before.truncate(1),
            |m| m.left_out.clear(),
            |m| m.neurons = vec![vec![3]],
            |m| m.plan.scaled_at = 7,
            |m| m.plan.controls = usize::MAX,
        ];
        for (i, damage) in damages.into_iter().enumerate() {
            let dir = tempfile::tempdir().expect("folder");
            let mut m = matrix();
            damage(&mut m);
            drop(MatrixFile::open(dir.path(), "key", &mut m).expect("new"));
            let why = read(dir.path()).expect_err("damaged").to_string();
            assert!(why.contains("do not fit 2 tasks and 1 shares") && why.contains(MATRIX_FILE), "{i}: {why}");
        }
    }
}
