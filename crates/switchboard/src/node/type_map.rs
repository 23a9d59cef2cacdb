//! A map that holds at most one value of each type.
//!
//! Lower layers use it to store values of higher layers without importing their types.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// Values by type. A clone shares the values.
#[derive(Clone, Default)]
pub(crate) struct TypeMap(HashMap<TypeId, Arc<dyn Any + Send + Sync>, BuildHasherDefault<TypeIdHasher>>);

/// Uses a [`TypeId`], which is a hash already, as the hash. A handshake looks up several values.
#[derive(Default)]
struct TypeIdHasher(u64);

impl Hasher for TypeIdHasher {
    fn write(&mut self, bytes: &[u8]) {
        // Not used at present: a type id writes one number.
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl TypeMap {
    pub(crate) fn get<T: Any>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// Returns true if a value of this type was replaced.
    pub(crate) fn insert<T: Any + Send + Sync>(&mut self, value: T) -> bool {
        self.0.insert(TypeId::of::<T>(), Arc::new(value)).is_some()
    }

    /// [`insert`](Self::insert) for method chains.
    pub(crate) fn with<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.insert(value);
        self
    }

    /// Removes a value. It is cloned if another map shares it.
    pub(crate) fn take<T: Any + Send + Sync + Clone>(&mut self) -> Option<T> {
        let value = self.0.remove(&TypeId::of::<T>())?;
        Some(Arc::unwrap_or_clone(value.downcast().expect("the key is the value's type")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_type_and_a_clone_is_independent() {
        let mut map = TypeMap::default().with(1_u8).with("text");
        let copy = map.clone();
        assert_eq!((map.get::<u8>(), map.get::<u16>()), (Some(&1), None));
        assert!(map.insert(2_u8), "the first value is replaced");
        assert_eq!((map.take::<u8>(), map.get::<u8>(), copy.get::<u8>()), (Some(2), None, Some(&1)));
    }
}
