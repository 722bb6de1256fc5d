//! Reading diffusers' `config.json` files: known keys are read, keys that change nothing are passed over, and every other
//! one is refused by name rather than guessed at.

use super::ModelError;
use serde_json::{Map, Value};

/// A JSON object whose keys are taken out one by one; what remains is refused.
pub(crate) struct ConfigReader {
    what: &'static str,
    keys: Map<String, Value>,
}

impl ConfigReader {
    /// Parses `json`, which configures `what`.
    pub fn parse(what: &'static str, json: &[u8]) -> Result<Self, ModelError> {
        let syntax = |detail: String| ModelError::ConfigSyntax { what: format!("{what}'s config.json"), detail };
        match serde_json::from_slice(json).map_err(|e| syntax(e.to_string()))? {
            Value::Object(keys) => Ok(Self { what, keys }),
            _ => Err(syntax("it is not a JSON object".into())),
        }
    }

    /// Whether a key is there and not `null`.
    pub fn has(&self, key: &str) -> bool {
        self.keys.get(key).is_some_and(|v| !v.is_null())
    }

    /// Takes out a key; `null` counts as absent.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.keys.remove(key).filter(|v| !v.is_null())
    }

    fn typed<T: serde::de::DeserializeOwned>(&mut self, key: &'static str) -> Result<Option<T>, ModelError> {
        self.take(key)
            .map(|value| {
                let shown = value.to_string();
                serde_json::from_value(value).map_err(|e| ModelError::config(key, format!("{shown} ({e})")))
            })
            .transpose()
    }

    /// A value that must be there.
    pub fn required<T: serde::de::DeserializeOwned>(&mut self, key: &'static str) -> Result<T, ModelError> {
        self.typed(key)?.ok_or_else(|| ModelError::config(key, format!("it is missing from {}'s config.json", self.what)))
    }

    /// A value with a default.
    pub fn optional<T: serde::de::DeserializeOwned>(&mut self, key: &'static str, default: T) -> Result<T, ModelError> {
        Ok(self.typed(key)?.unwrap_or(default))
    }

    /// One number for all `count` blocks, or a list with one for each.
    pub fn per_block(&mut self, key: &'static str, count: usize, default: usize) -> Result<Vec<usize>, ModelError> {
        let values = match self.take(key) {
            None => vec![default; count],
            Some(Value::Array(list)) => {
                let shown = Value::Array(list.clone()).to_string();
                list.iter()
                    .map(|v| v.as_u64().map(|v| v as usize))
                    .collect::<Option<Vec<_>>>()
                    .filter(|l| l.len() == count)
                    .ok_or_else(|| ModelError::config(key, format!("{shown} is not a list of {count} whole numbers")))?
            }
            Some(value) => match value.as_u64() {
                Some(v) => vec![v as usize; count],
                None => return Err(ModelError::config(key, format!("{value} is not a whole number"))),
            },
        };
        if values.contains(&0) {
            return Err(ModelError::config(key, "it is zero"));
        }
        Ok(values)
    }

    /// A key that may be absent or have one of `allowed`; any other value asks for something that is not built.
    pub fn only(&mut self, key: &'static str, allowed: &[Value]) -> Result<(), ModelError> {
        match self.take(key) {
            Some(value) if !allowed.contains(&value) => {
                let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
                Err(ModelError::config(key, format!("{value} is not supported (supported: {})", allowed.join(", "))))
            }
            _ => Ok(()),
        }
    }

    /// Keys that change nothing here.
    pub fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.keys.remove(*key);
        }
    }

    /// Refuses whatever was not taken, unless it is `null`, `false` or private.
    pub fn finish(self) -> Result<(), ModelError> {
        let left = self.keys.iter().find(|(key, value)| !key.starts_with('_') && !value.is_null() && **value != Value::Bool(false));
        match left {
            Some((key, value)) => Err(ModelError::ConfigSyntax {
                what: format!("{}'s config.json", self.what),
                detail: format!("the key `{key}` ({value}) is not known here, and guessing what it means could give wrong pictures"),
            }),
            None => Ok(()),
        }
    }
}

/// Checks that a dimension is of a size that a real model has, so that a hostile file cannot ask for absurd memory.
pub(crate) fn plausible(key: &'static str, values: &[usize], limit: usize) -> Result<(), ModelError> {
    match values.iter().find(|&&v| v == 0 || v > limit) {
        Some(v) => Err(ModelError::config(key, format!("{v} is not between 1 and {limit}"))),
        None => Ok(()),
    }
}
