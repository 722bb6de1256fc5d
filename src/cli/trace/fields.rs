//! The fields of a JSON object, read by name; what nobody asked for is an error.

use anyhow::{Result, anyhow, bail, ensure};
use serde_json::{Map, Value};
use std::cell::RefCell;

/// An object under reading.
pub(super) struct Fields<'a> {
    what: String,
    map: &'a Map<String, Value>,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Fields<'a> {
    /// The fields of `value`, which messages call `what`.
    pub fn of(value: &'a Value, what: String) -> Result<Self> {
        let map = value.as_object().ok_or_else(|| anyhow!("{what} is not an object"))?;
        Ok(Self { what, map, known: RefCell::default() })
    }

    /// A field that may be missing; null counts as that.
    pub fn value(&self, name: &'static str) -> Option<&'a Value> {
        self.known.borrow_mut().push(name);
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A number that is finite.
    pub fn number(&self, name: &'static str) -> Result<Option<f64>> {
        self.read(name, "a number", Value::as_f64)
    }

    /// A number from 0 without a fraction.
    pub fn count(&self, name: &'static str) -> Result<Option<usize>> {
        self.read(name, "a whole number", |value| value.as_u64().and_then(|count| usize::try_from(count).ok()))
    }

    /// True or false.
    pub fn flag(&self, name: &'static str) -> Result<Option<bool>> {
        self.read(name, "true or false", Value::as_bool)
    }

    /// One of `known`, by the name that `find` knows it by.
    pub fn choice<T>(&self, name: &'static str, known: &[&str], find: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let found = value.as_str().and_then(find);
        found.map(Some).ok_or_else(|| self.wrong(&format!("{name} is {value}, which is unknown; known are {}", known.join(", "))))
    }

    /// A list of numbers.
    pub fn numbers(&self, name: &'static str) -> Result<Option<Vec<f64>>> {
        self.read(name, "a list of numbers", numbers_of)
    }

    /// A list of lists of numbers.
    pub fn rows(&self, name: &'static str) -> Result<Option<Vec<Vec<f64>>>> {
        self.read(name, "a list of lists of numbers", |value| value.as_array()?.iter().map(numbers_of).collect())
    }

    /// A list of whole numbers from 0.
    pub fn counts(&self, name: &'static str) -> Result<Option<Vec<usize>>> {
        self.read(name, "a list of whole numbers", |value| {
            value.as_array()?.iter().map(|value| value.as_u64().and_then(|count| usize::try_from(count).ok())).collect()
        })
    }

    /// What cannot be missing.
    pub fn needed<T>(&self, name: &'static str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.wrong(&format!("{name} is missing")))
    }

    /// An error about this object.
    pub fn wrong(&self, problem: &str) -> anyhow::Error {
        anyhow!("{}: {problem}", self.what)
    }

    /// Refuses fields that were never asked for.
    pub fn finish(self) -> Result<()> {
        let known = self.known.borrow();
        if let Some(name) = self.map.keys().find(|name| !known.contains(&name.as_str())) {
            bail!("{}: the field {name:?} is unknown here; known are {}", self.what, known.join(", "));
        }
        Ok(())
    }

    fn read<T>(&self, name: &'static str, expected: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.wrong(&format!("{name} is {value}, but it should be {expected}")))
    }
}

fn numbers_of(value: &Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(Value::as_f64).collect()
}

/// The objects listed under `name` at the top of a file, where it must not be missing.
pub(super) fn list<'a>(file: &'a mut Value, name: &str) -> Result<&'a mut Vec<Value>> {
    ensure!(file.is_object(), "the file should hold an object with a list {name:?}");
    file.get_mut(name).and_then(Value::as_array_mut).ok_or_else(|| anyhow!("there is no list {name:?} in it"))
}
