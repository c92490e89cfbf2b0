//! Things that are known by small numbers, which are given again when they are free.

use std::ops::{Index, IndexMut};

#[derive(Debug)]
pub(super) struct Slab<T> {
    items: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) fn insert(&mut self, item: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.items[number as usize] = Some(item);
            return number;
        }
        self.items.push(Some(item));
        u32::try_from(self.items.len() - 1).expect("fewer than claims, which are counted")
    }

    pub(super) fn remove(&mut self, number: u32) -> T {
        let item = self.items[number as usize].take();
        self.free.push(number);
        item.unwrap_or_else(|| panic!("{number} is free already"))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let items = self.items.iter().enumerate();
        items.filter_map(|(number, item)| Some((number as u32, item.as_ref()?)))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.items.len() - self.free.len()
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab {
            items: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        let item = self.items[number as usize].as_ref();
        item.unwrap_or_else(|| panic!("{number} is free"))
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        let item = self.items[number as usize].as_mut();
        item.unwrap_or_else(|| panic!("{number} is free"))
    }
}
