//! One replica leads: whoever holds the lease `tombolo-operator`, for as long as it renews it.
//!
//! The clocks of replicas may differ: a lease is over when the one who looks at it has not seen it change for as long as
//! it is granted. Who leads gives up sooner than that.

mod lease;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::{
    pin, select,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tombolo_k8s::client::{Api, Client, Error, ObjectName};

use super::Operator;
use crate::options::random;
use lease::{Lease, Look, Step};

const NAME: &str = "tombolo-operator";
const ABOUT: &str = "holding the lease";
/// How long a lease is granted from the last time that it was renewed.
const GRANT: Duration = Duration::from_secs(15);
/// Who can't renew for so long leads no more.
const PATIENCE: Duration = Duration::from_secs(10);
const RENEWAL: Duration = Duration::from_secs(3);
/// Between two looks of one who waits.
const LOOK: Duration = Duration::from_secs(2);

pub struct Election {
    client: Client,
    name: ObjectName,
    holder: String,
    look: Look,
}

impl Election {
    pub fn new(client: &Client, namespace: &str, holder: &str) -> Election {
        Election {
            client: client.clone(),
            name: Api::LEASES.name(namespace, NAME),
            holder: holder.to_owned(),
            look: Look::new(holder, GRANT),
        }
    }

    /// Leads whenever it can, until it is told to stop.
    pub async fn run(mut self, operator: &Operator, stop: CancellationToken) {
        let start = Instant::now();
        let mut random = random();
        loop {
            let asked = Instant::now();
            match self.hold(start).await {
                Ok(true) => {
                    operator.troubles.clear(ABOUT);
                    self.lead(operator, start, asked, &stop).await;
                }
                Ok(false) => {
                    operator.troubles.clear(ABOUT);
                    operator.shown.leader(false, self.look.holder());
                }
                Err(error) => operator.troubles.set(ABOUT, error.to_string()),
            }
            let spread = Duration::from_millis(random.below(500));
            select! {
                () = stop.cancelled() => return,
                () = sleep(LOOK + spread) => {}
            }
        }
    }

    async fn lead(
        &mut self,
        operator: &Operator,
        start: Instant,
        mut renewed: Instant,
        stop: &CancellationToken,
    ) {
        tracing::info!("this replica leads");
        operator.shown.leader(true, &self.holder);
        let work = operator.lead();
        pin!(work);
        let renewing = async {
            loop {
                sleep(RENEWAL).await;
                let asked = Instant::now();
                let held = timeout_at(renewed + PATIENCE, self.hold(start)).await;
                match held {
                    Ok(Ok(true)) => {
                        operator.troubles.clear(ABOUT);
                        renewed = asked;
                    }
                    Ok(Ok(false)) => return "another replica has taken the lease",
                    Ok(Err(error)) => {
                        operator.troubles.set(ABOUT, error.to_string());
                        if renewed.elapsed() >= PATIENCE {
                            return "the lease could not be renewed in time";
                        }
                    }
                    // Said before we lead no more: whoever sees that sees why.
                    Err(_) => {
                        let server = self.client.server();
                        let silent = format!("the API server {server} does not answer in time");
                        operator.troubles.set(ABOUT, silent);
                        return "the lease could not be renewed in time";
                    }
                }
            }
        };
        let ended = select! {
            // Dropped where it stands: nothing is written once the lease may be another's.
            why = renewing => Some(why),
            () = work => unreachable!("controllers end only by being dropped"),
            () = stop.cancelled() => None,
        };
        operator.shown.leader(false, "");
        match ended {
            Some(why) => tracing::warn!("this replica leads no more: {why}"),
            None => self.release(start).await,
        }
    }

    /// Takes or renews the lease, if it is free or ours.
    async fn hold(&mut self, start: Instant) -> Result<bool, Error> {
        let found = self.client.get(Api::LEASES, &self.name).await?;
        let Some(found) = found else {
            let lease = Lease::first(&self.name, &self.holder, GRANT);
            return match self
                .client
                .create(Api::LEASES, &self.name.namespace, &lease)
                .await
            {
                Ok(_) => Ok(true),
                Err(Error::Exists { .. }) => Ok(false),
                Err(error) => Err(error),
            };
        };
        let Ok(lease) = found.read::<Lease>() else {
            return Ok(false);
        };
        match self.look.at(&lease, start.elapsed()) {
            Step::Wait => Ok(false),
            Step::Write(lease) => {
                let replaced = self.client.replace(Api::LEASES, &self.name, &*lease).await;
                match replaced {
                    Ok(_) => Ok(true),
                    Err(Error::Conflict { .. }) => Ok(false),
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// So that the next one need not wait.
    async fn release(&mut self, start: Instant) {
        let found = match self.client.get(Api::LEASES, &self.name).await {
            Ok(Some(found)) => found,
            _ => return,
        };
        let Ok(lease) = found.read::<Lease>() else {
            return;
        };
        if let Step::Write(lease) = self.look.at(&lease, start.elapsed()) {
            let free = lease.free();
            if let Err(error) = self.client.replace(Api::LEASES, &self.name, &free).await {
                tracing::debug!(%error, "the lease is left to end by itself");
            }
        }
    }
}
