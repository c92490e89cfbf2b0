//! Which peer has which cluster's number, so that no two have the same.

use std::collections::BTreeMap;

use tombolo_model::id::ClusterId;

#[derive(Clone, Debug, Default)]
pub struct Ids {
    holders: BTreeMap<ClusterId, String>,
}

impl Ids {
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
        if self
            .holders
            .get(&id)
            .is_some_and(|holder| holder == cluster)
        {
            self.holders.remove(&id);
        }
    }
}
