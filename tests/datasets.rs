//! Data sets end to end: files of our own in tests/fixtures/data, and every sample in ../shared/data where that folder is beside the repository.

use brodmann::{
    base::job::silently,
    data::{Domain, DomainKind, Mapping, PromptTemplate, Prompting, ShotOrder, Shots, open_domain, preview},
};
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data").join(name)
}

fn map(pairs: &[(&str, &str)]) -> Mapping {
    Mapping { columns: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(), ..Mapping::default() }
}

fn open(path: &Path, mapping: &Mapping) -> Result<Domain, String> {
    silently(|ctx| open_domain("set", path, mapping, ctx)).map_err(|e| e.to_string())
}

#[test]
fn ready_made_prompts_get_the_answer_line_and_bad_rows_are_named() {
    let d = open(&fixture("choices.jsonl"), &Mapping::default()).expect("choices");
    assert_eq!(d.kind, DomainKind::MultipleChoice);
    assert_eq!(d.items[1].gold_text(), "Question: Which of these is a number?\nAnswer: nine");
    assert_eq!(d.items[2].gold_text(), "The cat sat on the mat");
    assert_eq!(d.skipped.iter().map(|p| p.line).collect::<Vec<_>>(), [4, 5]);
    let strict = Mapping { strict: true, ..Mapping::default() };
    let e = open(&fixture("choices.jsonl"), &strict).expect_err("strict");
    assert!(e.contains("choices.jsonl:4:"), "{e}");
}

#[test]
fn mmlu_asks_for_the_letter_under_its_subject() {
    let d = open(&fixture("mmlu.csv"), &Mapping::default()).expect("mmlu");
    assert_eq!(
        d.items[0].gold_text(),
        "The following are multiple choice questions (with answers) about abstract algebra.\n\n\
         What is 2 + 2, \"exactly\"?\nA. 1\nB. 4\nC. 3\nD. 2\nAnswer: B"
    );
    assert_eq!(d.items[0].choices, ["A", "B", "C", "D"]);
    assert_eq!(d.items.iter().map(|i| (i.line, i.gold)).collect::<Vec<_>>(), [(2, Some(1)), (3, Some(0)), (4, Some(3))]);
    // The same columns read with the texts as choices.
    let m = map(&[("recipe", "choices"), ("context", "question"), ("choices", "A,B,C,D"), ("answer", "answer")]);
    assert_eq!(open(&fixture("mmlu.csv"), &m).expect("mapped").items[1].gold_text(), "What is 3 + 3? 6");
}

#[test]
fn sst2_and_boolq_read_as_in_the_harness() {
    let d = open(&fixture("sst2.tsv"), &Mapping::default()).expect("sst2");
    assert_eq!(d.items[0].gold_text(), "the soup was \"warm and kind\nQuestion: Is this sentence positive or negative?\nAnswer: positive");
    assert_eq!((d.items.len(), d.items[3].gold), (4, Some(0)));
    let d = open(&fixture("boolq.json"), &Mapping::default()).expect("boolq");
    assert_eq!(d.items[0].gold_text(), "Rivers run downhill.\nQuestion: do rivers run uphill?\nAnswer: no");
    assert_eq!(d.items[1].choices, ["no", "yes"]);
}

#[test]
fn few_labels_become_the_choices_and_can_be_mapped_away() {
    let d = open(&fixture("labelled.jsonl"), &Mapping::default()).expect("labels");
    assert_eq!((d.kind, d.items[0].choices.clone()), (DomainKind::MultipleChoice, vec!["HUM".into(), "LOC".into(), "NUM".into()]));
    assert_eq!(d.items[0].gold_text(), "How many legs has a spider ?\nLabel: NUM");
    assert!(d.template.contains("HUM, LOC, NUM"), "{}", d.template);
    let plain = open(&fixture("labelled.jsonl"), &map(&[("text", "text")])).expect("plain");
    assert_eq!((plain.kind, plain.items[0].gold), (DomainKind::Text, None));
}

#[test]
fn columns_that_say_nothing_are_listed_with_the_way_to_map_them() {
    let e = open(&fixture("unnamed.csv"), &Mapping::default()).expect_err("unnamed");
    assert!(e.contains("`col_a`, `col_b`") && e.contains("--map set.text=col_a"), "{e}");
    let d = open(&fixture("unnamed.csv"), &map(&[("question", "col_a"), ("answer", "col_b")])).expect("mapped");
    assert_eq!((d.kind, d.items[0].gold_text()), (DomainKind::Answer, "Question: what is this?\nAnswer: a test".to_owned()));
    for (mapping, words) in [
        (map(&[("question", "nope"), ("answer", "col_b")]), "no column `nope`"),
        (map(&[("colour", "col_a")]), "the fields are activity, answer"),
        (map(&[("recipe", "nope")]), "there are winogrande-partial"),
        (map(&[("question", "col_a")]), "a mapping names every field it uses"),
    ] {
        let e = open(&fixture("unnamed.csv"), &mapping).expect_err(words);
        assert!(e.contains(words), "{e}");
    }
}

#[test]
fn a_file_without_one_good_row_says_so_instead_of_asking_for_a_mapping() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("words.jsonl");
    std::fs::write(&path, "hello\nworld\n").expect("written");
    let message = open(&path, &Mapping::default()).expect_err("no JSON");
    assert!(message.contains("none of its 2 rows can be read; line 1: ") && !message.contains("--map"), "{message}");
}

#[test]
fn a_preview_spells_out_the_mapping_it_found() {
    let p = preview(&fixture("mmlu.csv"), &Mapping::default()).expect("preview");
    let reading = p.reading.expect("reading");
    assert_eq!((reading.recipe, p.format, p.usable), ("mmlu", "CSV", 3));
    assert_eq!(
        p.columns[0],
        ("subject".to_owned(), vec!["\"abstract_algebra\"".into(), "\"abstract_algebra\"".into(), "\"world_history\"".into()])
    );
    // Its own mapping opens the same domain.
    let same = open(&fixture("mmlu.csv"), &reading.mapping).expect("same");
    assert_eq!(same.items, open(&fixture("mmlu.csv"), &Mapping::default()).expect("detected").items);
    let unnamed = preview(&fixture("unnamed.csv"), &Mapping::default()).expect("preview");
    assert!(unnamed.reading.expect_err("needs a mapping").contains("col_a") && unnamed.columns.len() == 2);
}

#[test]
fn pairs_and_contrasts_keep_both_texts() {
    let d = open(&fixture("pairs.tsv"), &Mapping::default()).expect("pairs");
    assert_eq!((d.kind, d.items.len(), d.skipped.len()), (DomainKind::Pairs, 2, 0));
    assert_eq!(d.items[0].gold_text(), "A dog runs.\nA dog is running.");
    let pair = d.items[1].pair.as_ref().expect("pair");
    assert_eq!((pair.second.as_str(), pair.score), ("The sea is cold.", Some(0.2)));
    let d = open(&fixture("contrast.csv"), &Mapping::default()).expect("contrast");
    assert_eq!((d.kind, d.items[1].gold_text()), (DomainKind::MultipleChoice, "The keys on the table are".to_owned()));
    assert_eq!(d.items[1].pair.as_ref().map(|p| p.second.as_str()), Some("The key on the table"));
}

#[test]
fn a_plain_text_is_read_by_lines_paragraphs_or_whole() {
    let texts = |rows: &str| {
        let d = open(&fixture("paragraphs.txt"), &map(&[("rows", rows)])).expect(rows);
        d.items.iter().map(|i| (i.line, i.context.clone())).collect::<Vec<_>>()
    };
    assert_eq!(texts("lines").len(), 4);
    assert_eq!(
        texts("lines"),
        open(&fixture("paragraphs.txt"), &Mapping::default())
            .expect("default")
            .items
            .iter()
            .map(|i| (i.line, i.context.clone()))
            .collect::<Vec<_>>()
    );
    let paragraphs = texts("paragraphs");
    assert_eq!(paragraphs[0], (1, "The first paragraph\nhas two lines.".to_owned()));
    assert_eq!(paragraphs[2], (7, "The third stands after two blank lines.".to_owned()));
    assert_eq!(texts("file").len(), 1);
    let e = open(&fixture("paragraphs.txt"), &map(&[("rows", "pages")])).expect_err("unknown");
    assert!(e.contains("rows=paragraphs"), "{e}");
}

#[test]
fn a_snapshot_of_parquet_opens_by_split() {
    let repo = fixture("hub/datasets--brodmann--questions");
    let e = open(&repo, &Mapping::default()).expect_err("two splits");
    assert!(e.contains("several splits: test, train") && e.contains(":test"), "{e}");
    let split = |name: &str| PathBuf::from(format!("{}:{name}", repo.display()));
    let d = open(&split("test"), &Mapping::default()).expect("test");
    assert_eq!((d.kind, d.items.len(), d.skipped.len()), (DomainKind::MultipleChoice, 8, 0));
    assert_eq!(d.items[6].gold_text(), "Question: What is 6 and 1 more?\nAnswer: 7");
    // Rows are counted through both shards.
    assert_eq!(d.items.iter().map(|i| i.line).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    let p = preview(&split("train"), &Mapping::default()).expect("preview");
    assert_eq!((p.format, p.usable, p.complete, p.reading.expect("reading").recipe), ("Parquet", 12, true, "arc"));
    assert!(!preview(&split("test"), &Mapping::default()).expect("preview").complete, "the first shard only");
}

fn prompted(template: Option<(&str, Option<&str>, Option<&str>)>, shots: Shots) -> Mapping {
    let template = template.map(|(text, choices, target)| PromptTemplate {
        text: text.into(),
        choices: choices.map(Into::into),
        target: target.map(Into::into),
    });
    Mapping { prompt: Box::new(Prompting { template, shots, ..Prompting::default() }), ..Mapping::default() }
}

#[test]
fn a_template_changes_the_words_and_leaves_the_rest_to_the_columns() {
    let test = PathBuf::from(format!("{}:test", fixture("hub/datasets--brodmann--questions").display()));
    let words = prompted(Some(("Q: {{question}}\nA:", None, None)), Shots::default());
    let d = open(&test, &words).expect("text only");
    assert_eq!((d.items[0].gold_text().as_str(), d.items[0].choices.len()), ("Q: What is 0 and 1 more?\nA: 1", 3));
    assert_eq!(d.template, "Q: {{question}}\\nA:; the rest as recipe arc");
    // Letters instead of texts, as lm-evaluation-harness writes it in a task.
    let lettered = "{{question}}{% for c in choices.text %}\n{{choices.label[loop.index0]}}. {{c}}{% endfor %}\nAnswer:";
    let d =
        open(&test, &prompted(Some((lettered, Some("{{choices.label}}"), Some("{{answerKey}}"))), Shots::default())).expect("all three");
    assert_eq!(d.items[1].gold_text(), "What is 1 and 2 more?\nA. 2\nB. 3\nC. 4\nAnswer: B");
    let e = open(&test, &prompted(Some(("{{quesion}}", None, None)), Shots::default())).expect_err("no column");
    assert!(e.contains("`quesion`") && e.contains("`question`"), "{e}");
    // A file that fits no recipe is read by templates alone.
    let unnamed = prompted(Some(("{{col_a}}", None, Some("{{col_b}}"))), Shots::default());
    let d = open(&fixture("unnamed.csv"), &unnamed).expect("templates alone");
    assert_eq!((d.kind, d.items[0].gold_text()), (DomainKind::Answer, "what is this? a test".to_owned()));
    let e = open(&fixture("unnamed.csv"), &prompted(Some(("{{col_a}}", None, None)), Shots::default())).expect_err("no target");
    assert!(e.contains("template for the target"), "{e}");
}

#[test]
fn examples_stand_before_the_question_and_the_description_before_them() {
    let repo = fixture("hub/datasets--brodmann--questions");
    let split = |name: &str| PathBuf::from(format!("{}:{name}", repo.display()));
    let d = open(&split("test"), &prompted(None, Shots { count: 2, ..Shots::default() })).expect("own rows");
    for item in &d.items {
        let lines: Vec<usize> = item.shots.iter().map(|s| s.line).collect();
        assert!(lines.len() == 2 && !lines.contains(&item.line) && lines[0] != lines[1], "{lines:?}");
    }
    let shot = &d.items[0].shots[0];
    assert!(d.items[0].gold_text().starts_with(&format!("{} {}\n\n", shot.context, shot.answer)), "{}", d.items[0].gold_text());
    assert!(d.template.contains("2 examples, drawn from the other rows with seed 1234"), "{}", d.template);
    let other = open(&split("test"), &prompted(None, Shots { count: 2, seed: 7, ..Shots::default() })).expect("another seed");
    assert_ne!(d.items_sha256, other.items_sha256);
    assert_eq!(d.sha256, other.sha256, "the same file");

    let mut from = prompted(None, Shots { count: 2, order: ShotOrder::First, from: Some(split("train")), ..Shots::default() });
    from.prompt.description = Some("Count.\n\n".into());
    let d = open(&split("test"), &from).expect("another split");
    let first = "Count.\n\nQuestion: What is 20 and 3 more?\nAnswer: 23\n\nQuestion: What is 21 and 1 more?\nAnswer: 22\n\nQuestion: What is 0 and 1 more?\nAnswer: 1";
    assert_eq!(d.items[0].gold_text(), first);
    let e = open(&split("test"), &prompted(None, Shots { count: 8, ..Shots::default() })).expect_err("too many");
    assert!(e.contains("8 examples") && e.contains("only 7 other rows"), "{e}");
    let e = open(&fixture("paragraphs.txt"), &prompted(None, Shots { count: 1, ..Shots::default() })).expect_err("asks nothing");
    assert!(e.contains("asks nothing"), "{e}");
}

#[test]
fn the_subject_of_mmlu_stands_once_before_its_examples() {
    let file = tempfile::NamedTempFile::with_suffix(".csv").expect("file");
    let all = std::fs::read_to_string(fixture("mmlu.csv")).expect("fixture");
    // Without the only row of its subject, which has no example.
    std::fs::write(file.path(), &all[..all.find("world_history").expect("third row")]).expect("write");
    let shots = prompted(None, Shots { count: 1, ..Shots::default() });
    let d = open(file.path(), &shots).expect("two rows");
    assert_eq!(
        d.items[0].gold_text(),
        "The following are multiple choice questions (with answers) about abstract algebra.\n\n\
         What is 3 + 3?\nA. 6\nB. 7\nC. 8\nD. 9\nAnswer: A\n\nWhat is 2 + 2, \"exactly\"?\nA. 1\nB. 4\nC. 3\nD. 2\nAnswer: B"
    );
    let e = open(&fixture("mmlu.csv"), &shots).expect_err("one row of history");
    assert!(e.contains("line 4") && e.contains("only 0 other rows"), "{e}");
}

/// What every sample must open as, and how its first prompt begins and ends.
const SAMPLES: &[(&str, DomainKind, &str, &str)] = &[
    ("ag_news_test", DomainKind::MultipleChoice, "Fears for T N pension", "\nTopic: Business"),
    ("arc_challenge_instruct", DomainKind::MultipleChoice, "Please choose the correct answer", "\nAnswer: the correct answer is answer3"),
    (
        "arc_easy",
        DomainKind::MultipleChoice,
        "Question: Which statement best explains",
        "\nAnswer: Sunlight is the source of energy for nearly all ecosystems.",
    ),
    ("bbh_8_tasks", DomainKind::Answer, "Q: not ( True ) and ( True ) is\nA:", " False"),
    (
        "boolq_validation",
        DomainKind::MultipleChoice,
        "All biomass goes",
        "\nQuestion: does ethanol take more energy make that produces?\nAnswer: no",
    ),
    ("gsm8k_test", DomainKind::Answer, "Question: Janet", "#### 18"),
    ("humaneval", DomainKind::Answer, "from typing import List", "    return False\n"),
    ("mbpp", DomainKind::Answer, "You are an expert Python programmer", "return tc[m][n]"),
    (
        "mmlu_dev_10_subjects",
        DomainKind::MultipleChoice,
        "The following are multiple choice questions (with answers) about abstract algebra.\n\nFind all c",
        "\nAnswer: B",
    ),
    ("mmlu_test_10_subjects", DomainKind::MultipleChoice, "The following are multiple choice", "\nAnswer: B"),
    (
        "piqa",
        DomainKind::MultipleChoice,
        "Question: How do I ready",
        "ripped paper strips, you will also need to supply it with a water bottle and a food dish.",
    ),
    (
        "sick_train",
        DomainKind::MultipleChoice,
        "A group of kids",
        "is playing and a man is standing in the background. True, False or Neither?\nAnswer: Neither",
    ),
    ("sst2_dev", DomainKind::MultipleChoice, "it 's a charming", "\nAnswer: positive"),
    ("stsb_dev", DomainKind::Pairs, "The woman is holding the hands of the man.\n", "The woman is checking the eyes of the man."),
    ("superni_task1146_country_capital", DomainKind::Answer, "Definition: In this task", "Input: Afghanistan\nOutput: Kabul"),
    ("tinystories", DomainKind::Text, "One day, a little girl", "worked together."),
    ("trec_test", DomainKind::MultipleChoice, "How far is it", "\nLabel: NUM"),
    ("truthfulqa", DomainKind::MultipleChoice, "Q: What happens to you", "\nA: The watermelon seeds pass through your digestive system"),
    ("wikitext2_test", DomainKind::Text, "", ""),
    ("winogrande", DomainKind::MultipleChoice, "Sarah was a much better surgeon than Maria so Maria", " always got the easier cases."),
];

#[test]
fn every_sample_file_opens_by_itself() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: {} is not there", folder.display());
        return;
    };
    let mut seen = 0;
    for path in entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "jsonl")) {
        let stem = path.file_stem().expect("stem").to_string_lossy().into_owned();
        let (_, kind, begins, ends) = SAMPLES.iter().find(|s| s.0 == stem).unwrap_or_else(|| panic!("{stem}: no expectation"));
        let d = open(&path, &Mapping::default()).unwrap_or_else(|e| panic!("{e}"));
        let first = d.items[0].gold_text();
        assert_eq!(d.kind, *kind, "{stem}: {}", d.template);
        assert!(first.starts_with(begins) && first.ends_with(ends), "{stem}: {first}");
        if stem != "wikitext2_test" {
            assert!(d.skipped.is_empty(), "{stem}: {:?}", d.skipped.first());
        }
        println!("{stem}: {} items, {} skipped, {}", d.items.len(), d.skipped.len(), d.template);
        seen += 1;
    }
    assert_eq!(seen, SAMPLES.len());
}
