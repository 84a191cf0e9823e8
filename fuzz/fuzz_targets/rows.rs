//! What every target of rows does with its bytes.

use brodmann::{
    base::job::silently,
    data::{Mapping, domain_from_bytes},
};
use std::path::Path;

/// Reads the bytes as a file of each of these names: as its columns say, as plain text of one column, with templates.
pub fn read(names: &[&str], bytes: &[u8]) {
    let map = |pairs: &[(&str, &str)]| Mapping {
        columns: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ..Mapping::default()
    };
    let mut templates = Mapping::default();
    templates.prompt.template = Some(brodmann::data::PromptTemplate {
        text: "{{question}}\n{% for c in choices %}{{loop.index}}. {{c}}\n{% endfor %}Answer:".into(),
        choices: Some("{{choices}}".into()),
        target: Some("{{answer}}".into()),
    });
    for name in names {
        for mapping in [&Mapping::default(), &map(&[("header", "none"), ("rows", "paragraphs")]), &map(&[("text", "1"), ("header", "none")]), &templates] {
            if let Ok(domain) = silently(|ctx| domain_from_bytes(Path::new(name), bytes, mapping, ctx)) {
                for item in &domain.items {
                    assert!(item.gold.is_none_or(|g| g < item.choices.len()));
                    assert!(!item.gold_text().trim().is_empty() || item.gold.is_none());
                }
            }
        }
    }
}
