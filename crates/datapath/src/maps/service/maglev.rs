//! `MAGLEV`: tables that hashes of connections are looked up in, each made aside and put in place at one instant.
//!
//! The kernel lets the writer wait until no program has the former table in its hands, so what only that one led to may go then.

use crate::{
    Error,
    maps::{address::is_not_found, take},
};
use aya::{
    Ebpf,
    maps::{Array, HashOfMaps, MapData, MapError},
};
use tombolo_abi::{MaglevPage, maglev_pages, maglev_place};
use tombolo_model::service::maglev::Table;

const NAME: &str = "MAGLEV";
/// Tables of several sizes may stand in one place.
const BPF_F_INNER_MAP: u32 = 0x1000;

type Pages = Array<MapData, MaglevPage>;

pub(super) struct Tables(HashOfMaps<MapData, u32, Pages>);

impl Tables {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Tables, Error> {
        Ok(Tables(take(ebpf, NAME)?))
    }

    /// `ids` are the backends' numbers here, in the table's own order.
    pub(super) fn set(&mut self, pool: u32, table: &Table, ids: &[u32]) -> Result<(), Error> {
        let mut pages = vec![MaglevPage::EMPTY; maglev_pages(table.size()) as usize];
        pages[0] = MaglevPage::head(table.size(), table.seed(), table.digest());
        for (entry, member) in (0..).zip(table.entries()) {
            let (page, at) = maglev_place(entry);
            pages[page as usize].words[at] = ids[member as usize];
        }
        let length = pages.len() as u32;
        let mut map =
            Pages::create(length, BPF_F_INNER_MAP).map_err(Error::map(NAME, "creating"))?;
        for (index, page) in (0..).zip(&pages) {
            map.set(index, page, 0)
                .map_err(Error::map(NAME, "writing"))?;
        }
        self.0
            .insert(pool, &map, 0)
            .map_err(Error::map(NAME, "replacing"))
    }

    /// That it is not there is fine.
    pub(super) fn remove(&mut self, pool: u32) -> Result<(), Error> {
        match self.0.remove(&pool) {
            Err(error) if !is_not_found(&error) => Err(Error::map(NAME, "deleting")(error)),
            _ => Ok(()),
        }
    }

    pub(super) fn pools(&self) -> Result<Vec<u32>, Error> {
        let pools = self.0.keys().collect::<Result<_, _>>();
        pools.map_err(Error::map(NAME, "reading"))
    }

    /// What the table is made of; nothing if it leads to a number that is none of the pool's backends.
    pub(super) fn digest(
        &self,
        pool: u32,
        is_backend: impl Fn(u32) -> bool,
    ) -> Result<Option<u64>, Error> {
        let failed = Error::map(NAME, "reading");
        let pages = match self.0.get(&pool, 0) {
            Ok(pages) => pages
                .iter()
                .collect::<Result<Vec<_>, _>>()
                .map_err(failed)?,
            Err(MapError::KeyNotFound) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let Some((head, pages)) = pages.split_first() else {
            return Ok(None);
        };
        let entries = pages.iter().flat_map(|page| &page.words);
        let mut entries = entries.take(head.size() as usize);
        Ok(entries.all(|id| is_backend(*id)).then(|| head.digest()))
    }
}
