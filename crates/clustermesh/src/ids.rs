//! Which peer has which cluster's number, so that no two have the same.

use std::collections::BTreeMap;

use tombolo_model::id::ClusterId;

#[derive(Clone, Debug, Default)]
pub struct Ids {
    holders: BTreeMap<ClusterId, String>,
    /// Numbers that were given back, if they stay taken for now.
    parted: Option<Parted>,
}

/// Numbers and who had them.
pub(crate) type Parted = Vec<(ClusterId, String)>;

impl Ids {
    /// For those whose words take a while to be heard: a number that is given back stays taken until it is freed.
    pub(crate) fn heard_later() -> Ids {
        Ids {
            parted: Some(Parted::new()),
            ..Ids::default()
        }
    }

    pub fn holder(&self, id: ClusterId) -> Option<&str> {
        self.holders.get(&id).map(String::as_str)
    }

    /// The holder's name if another one has it.
    pub(crate) fn reserve(&mut self, id: ClusterId, cluster: &str) -> Result<(), String> {
        match self.holders.get(&id) {
            Some(holder) if holder != cluster => Err(holder.clone()),
            _ => {
                self.holders.insert(id, cluster.to_owned());
                Ok(())
            }
        }
    }

    pub(crate) fn release(&mut self, id: ClusterId, cluster: &str) {
        match &mut self.parted {
            Some(parted) => parted.push((id, cluster.to_owned())),
            None => self.free(vec![(id, cluster.to_owned())]),
        }
    }

    /// What was given back since this was asked last.
    pub(crate) fn take_parted(&mut self) -> Parted {
        self.parted.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn free(&mut self, parted: Parted) {
        for (id, cluster) in parted {
            if self.holder(id) == Some(&cluster) {
                self.holders.remove(&id);
            }
        }
    }
}
