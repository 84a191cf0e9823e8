"""A data set as Hugging Face's cache holds it, written by pyarrow as the `datasets` library writes: tests/fixtures/data/hub.

  python parquet_fixture.py OUT

Questions of our own in ARC's columns: two shards of a test split, one of a train split. Made with pyarrow 26.0.1.
"""

import pathlib
import sys

import pyarrow as pa
import pyarrow.parquet as pq

repo = pathlib.Path(sys.argv[1]) / "datasets--brodmann--questions"
commit = "0123456789abcdef0123456789abcdef01234567"
folder = repo / "snapshots" / commit / "data"
folder.mkdir(parents=True)
(repo / "refs").mkdir()
(repo / "refs/main").write_text(commit)
(repo / "snapshots" / commit / "README.md").write_text("Questions for tests.\n")

schema = pa.schema(
    [
        ("id", pa.string()),
        ("question", pa.string()),
        ("choices", pa.struct([("text", pa.list_(pa.string())), ("label", pa.list_(pa.string()))])),
        ("answerKey", pa.string()),
    ]
)


def rows(split, numbers):
    def row(i):
        texts = [str(i + d) for d in (1, 2, 3)]
        gold = i % 3
        return dict(
            id=f"{split}_{i}",
            question=f"What is {i} and {gold + 1} more?",
            choices=dict(text=texts, label=["A", "B", "C"]),
            answerKey="ABC"[gold],
        )

    return pa.Table.from_pylist([row(i) for i in numbers], schema=schema)


for name, split, numbers in [
    ("test-00000-of-00002", "test", range(0, 5)),
    ("test-00001-of-00002", "test", range(5, 8)),
    ("train-00000-of-00001", "train", range(20, 32)),
]:
    pq.write_table(rows(split, numbers), folder / f"{name}.parquet", compression="snappy", write_statistics=False)
