//! Look-ups in a GGUF file's metadata whose errors name the file, the key, and what was expected.

use super::{header::Header, value::Value};
use crate::base::{Error, Result};
use std::{borrow::Cow, path::Path};

pub(super) struct Metadata<'h, 'a> {
    pub path: &'h Path,
    pub header: &'h Header<'a>,
    /// `general.architecture`, which most keys begin with.
    pub architecture: Cow<'a, str>,
}

impl<'h, 'a> Metadata<'h, 'a> {
    /// # Errors
    /// When the file does not say what it holds, or is not the whole of a model.
    pub fn new(path: &'h Path, header: &'h Header<'a>) -> Result<Self> {
        let mut this = Self { path, header, architecture: Cow::Borrowed("") };
        let kind = this.text("general.type")?.unwrap_or(Cow::Borrowed("model"));
        if kind != "model" {
            return Err(this.error(format!("holds a `{kind}`, expected a whole model")));
        }
        this.architecture =
            this.text("general.architecture")?.ok_or_else(|| this.error("`general.architecture` is missing: not a model"))?;
        if let Some(parts) = this.number("split.count")?.filter(|&n| n > 1.0) {
            return Err(this.error(format!(
                "is one of {parts} parts of a model; put them together first: `llama-gguf-split --merge FIRST_PART WHOLE.gguf`"
            )));
        }
        Ok(this)
    }
    /// An error that names the file.
    pub fn error(&self, message: impl Into<String>) -> Error {
        Error::format(self.path, message)
    }
    fn wrong(&self, key: &str, value: &Value<'_>, expected: &str) -> Error {
        self.error(format!("metadata `{key}` is {value}, expected {expected}"))
    }
    pub fn get(&self, key: &str) -> Option<&'h Value<'a>> {
        self.header.metadata.get(key)
    }
    /// `head_count` to `llama.attention.head_count` and the like.
    pub fn own(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    pub fn text(&self, key: &str) -> Result<Option<Cow<'a, str>>> {
        self.get(key).map(|v| v.text().ok_or_else(|| self.wrong(key, v, "a text"))).transpose()
    }
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.get(key).map(|v| v.bool().ok_or_else(|| self.wrong(key, v, "true or false"))).transpose()
    }
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        self.get(key).map(|v| v.number().ok_or_else(|| self.wrong(key, v, "a finite number"))).transpose()
    }
    /// A whole number from 0 up; a list with one entry a layer counts when all its entries are the same.
    pub fn whole(&self, key: &str) -> Result<Option<u64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let Some(mut each) = value.elements() else {
            return value.unsigned().map(Some).ok_or_else(|| self.wrong(key, value, "a whole number from 0 up"));
        };
        let first = each.next().and_then(|v| v.unsigned()).ok_or_else(|| self.wrong(key, value, "whole numbers from 0 up"))?;
        if each.any(|v| v.unsigned() != Some(first)) {
            return Err(
                self.error(format!("metadata `{key}` differs from layer to layer; only models whose layers are alike are supported"))
            );
        }
        Ok(Some(first))
    }
    /// As [`Metadata::whole`], with `{architecture}.` before the key, and there.
    pub fn need(&self, key: &str) -> Result<u64> {
        let key = self.own(key);
        self.whole(&key)?.ok_or_else(|| self.error(format!("metadata `{key}` is missing")))
    }
    /// As [`Metadata::number`], with `{architecture}.` before the key, and there.
    pub fn need_number(&self, key: &str) -> Result<f64> {
        self.own_number(key)?.ok_or_else(|| self.error(format!("metadata `{}` is missing", self.own(key))))
    }
    pub fn own_whole(&self, key: &str) -> Result<Option<u64>> {
        self.whole(&self.own(key))
    }
    pub fn own_number(&self, key: &str) -> Result<Option<f64>> {
        self.number(&self.own(key))
    }
    pub fn has_tensor(&self, name: &str) -> bool {
        self.header.tensors.contains_key(name)
    }
    /// A text for each token, in order.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<Cow<'a, str>>>> {
        self.list(key, "texts", |v| v.text())
    }
    pub fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>> {
        self.list(key, "finite numbers", |v| v.number())
    }
    /// `None` where it is no list.
    pub fn flags(&self, key: &str) -> Result<Option<Vec<bool>>> {
        if self.get(key).is_none_or(|v| v.elements().is_none()) {
            return Ok(None);
        }
        self.list(key, "flags", |v| v.bool().or_else(|| v.unsigned().map(|n| n != 0)))
    }
    fn list<T>(&self, key: &str, expected: &str, read: impl Fn(Value<'a>) -> Option<T>) -> Result<Option<Vec<T>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let wrong = || self.wrong(key, value, &format!("a list of {expected}"));
        value.elements().ok_or_else(wrong)?.map(|v| read(v).ok_or_else(wrong)).collect::<Result<Vec<T>>>().map(Some)
    }
}
