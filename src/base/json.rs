//! JSON of other people's files. A key that stands twice in an object is an error: any reader takes one of the two values and says nothing.

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Any JSON value in which no object has a key twice.
pub struct UniqueKeys(pub Value);

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Number::from_f64(v).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(UniqueKeys(value)) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format!("the key `{key}` stands twice in one object (keep one), the second time")));
            }
            let UniqueKeys(value) = entries.next_value()?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Value, serde_json::Error> {
        serde_json::from_str::<UniqueKeys>(text).map(|v| v.0)
    }

    #[test]
    fn a_key_that_stands_twice_is_an_error_at_any_depth() {
        for text in [r#"{"a": 1, "b": 2, "a": 1}"#, r#"[{"x": {"a": 1, "a": 2}}]"#, r#"{"a": 1, "\u0061": 2}"#] {
            let message = read(text).expect_err(text).to_string();
            assert!(message.contains("the key `a` stands twice") && message.contains("line 1 column"), "{message}");
        }
        assert!(read(r#"{"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}"#).is_ok());
    }

    proptest! {
        #[test]
        fn everything_else_is_read_as_usual(numbers in prop::collection::vec(any::<f64>(), 0..4), big in any::<u64>(), small in any::<i64>(), word in ".*") {
            let numbers: Vec<f64> = numbers.into_iter().filter(|n| n.is_finite()).collect();
            let value = serde_json::json!({ "n": numbers, "u": big, "i": small, "w": word, "none": null, "yes": true, "deep": [[{ "k": [] }]] });
            let text = value.to_string();
            prop_assert_eq!(read(&text).expect("own json"), serde_json::from_str::<Value>(&text).expect("own json"));
        }
    }
}
