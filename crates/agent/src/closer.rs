//! Ends connections that were led to a backend that is dead, beside the loop: in the node's own network namespace, where the
//! agent runs, and in those of its pods.

use anyhow::Result;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tombolo_datapath::{Dead, LedSockets};
use tombolo_linux::{netns::Netns, sockets::Sockets};

/// Orders that wait. The loop keeps what finds no room.
const ORDERS: usize = 4;
/// Whoever was about to connect when its backend died has done so by then.
const AGAIN: Duration = Duration::from_secs(1);

pub struct Order {
    pub dead: BTreeSet<Dead>,
    /// Of the node's pods, as their runtime calls them.
    pub namespaces: Vec<String>,
}

/// The loop's end.
pub struct Orders {
    orders: mpsc::Sender<Order>,
    ended: Arc<AtomicU64>,
}

pub struct Closer {
    led: Arc<LedSockets>,
    orders: mpsc::Receiver<Order>,
    ended: Arc<AtomicU64>,
    /// Namespaces that could not be looked into, so that each is told of once.
    closed: BTreeSet<String>,
}

impl Orders {
    /// Gives it back if there is no room.
    pub fn give(&self, order: Order) -> Option<Order> {
        match self.orders.try_send(order) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => None,
            Err(mpsc::error::TrySendError::Full(order)) => Some(order),
        }
    }

    /// How many connections were ended.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }
}

impl Closer {
    pub fn new(led: LedSockets) -> (Closer, Orders) {
        let (sender, orders) = mpsc::channel(ORDERS);
        let ended = Arc::new(AtomicU64::new(0));
        let closer = Closer {
            led: Arc::new(led),
            orders,
            ended: ended.clone(),
            closed: BTreeSet::new(),
        };
        let orders = Orders {
            orders: sender,
            ended,
        };
        (closer, orders)
    }

    pub async fn follow(mut self, stop: CancellationToken) -> Result<()> {
        let mut again: Option<(Instant, Order)> = None;
        loop {
            let due = again.as_ref().map_or_else(Instant::now, |(at, _)| *at);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                order = self.orders.recv() => {
                    let Some(order) = order else { return Ok(()) };
                    let mut order = self.carry_out(order).await?;
                    if let Some((_, former)) = again.take() {
                        order.dead.extend(former.dead);
                    }
                    again = Some((Instant::now() + AGAIN, order));
                }
                () = sleep_until(due), if again.is_some() => {
                    if let Some((_, order)) = again.take() {
                        self.carry_out(order).await?;
                    }
                }
            }
        }
    }

    async fn carry_out(&mut self, order: Order) -> Result<Order> {
        let led = self.led.clone();
        let (order, outcome) = spawn_blocking(move || {
            let outcome = end(&led, &order);
            (order, outcome)
        })
        .await?;
        self.closed.retain(|path| order.namespaces.contains(path));
        for (path, trouble) in outcome.troubles {
            if self.closed.insert(path.clone()) {
                tracing::warn!(
                    namespace = path,
                    "connections to dead backends can't be ended there: {trouble}"
                );
            }
        }
        if outcome.ended > 0 {
            self.ended
                .fetch_add(outcome.ended as u64, Ordering::Relaxed);
            tracing::info!(
                connections = outcome.ended,
                "their backends are dead: ended"
            );
        }
        Ok(order)
    }
}

#[derive(Default)]
struct Outcome {
    ended: usize,
    /// By the namespace's path, which is empty for the node's own.
    troubles: Vec<(String, String)>,
}

fn end(led: &LedSockets, order: &Order) -> Outcome {
    let mut outcome = Outcome::default();
    let led = match led.led_to(&order.dead) {
        Ok(led) if led.is_empty() => return outcome,
        Ok(led) => led,
        Err(error) => {
            outcome.troubles.push((String::new(), error.to_string()));
            return outcome;
        }
    };
    let mut look = |path: &str, sockets: Result<Sockets, tombolo_linux::Error>| {
        let ended = sockets.and_then(|mut sockets| tombolo_datapath::end(&mut sockets, &led));
        match ended {
            Ok(ended) => outcome.ended += ended,
            Err(error) => outcome.troubles.push((path.to_owned(), told(&error))),
        }
    };
    look("", Sockets::open());
    for path in &order.namespaces {
        look(path, Netns::open(path).and_then(|it| Sockets::open_in(&it)));
    }
    outcome
}

fn told(error: &tombolo_linux::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
